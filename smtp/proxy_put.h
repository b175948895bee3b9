/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_put.h - the header of the PROXY protocol, as we send it to servers behind.
 *
 * Pure.  Both versions announce an address (TCP4, TCP6), never UNKNOWN or LOCAL: Postfix and Haraka refuse those.
 * HAProxy defines the protocol.
 */
#ifndef SMTP_PROXY_PUT_H
#define SMTP_PROXY_PUT_H

#include "core/addr.h"
#include "core/buf.h"

/*
 * Version 1 or 2, for a connection from `from` (of a family) to `to`.  An IPv4 and an IPv6 end are both written as
 * IPv6; an end of no family as the unspecified address.
 */
void proxy_put(struct buf *out, unsigned version, const struct addr *from, const struct addr *to);

#endif
