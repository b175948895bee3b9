/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_put.h - writes the header of the PROXY protocol for upstream servers.
 *
 * Pure.  Both versions announce an address (TCP4, TCP6), never UNKNOWN or LOCAL: Postfix and Haraka refuse those.
 * HAProxy defines the protocol.
 */
#ifndef SMTP_PROXY_PUT_H
#define SMTP_PROXY_PUT_H

#include "core/addr.h"
#include "core/buf.h"

/*
 * Writes version 1 or 2, for a connection from `from` (which must have a family) to `to`.  If the families differ,
 * writes both as IPv6.  Writes a `to` without a family as the unspecified address.
 */
void proxy_put(struct buf *out, unsigned version, const struct addr *from, const struct addr *to);

#endif
