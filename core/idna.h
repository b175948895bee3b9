/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idna.h - domain names as they are compared, looked up and sent: lower-case A-labels.
 *
 * IDNA2008 with the mapping of UTS 46, non-transitional (RFC 5890..5892).  The only place that sees libidn2.
 */
#ifndef CORE_IDNA_H
#define CORE_IDNA_H

#include "core/buf.h"

#define IDNA_NAME_MAX 253 /* octets of a name here, without a final dot (RFC 1035 2.3.4) */

/*
 * Puts the name into *out in lower-case A-labels.  False, and nothing is put, if it is not UTF-8, if IDNA
 * refuses it, or if the result is no host name (hostname_valid).  ASCII names are only checked and lowered:
 * an A-label that IDNA2008 would not make is in use somewhere and does no harm.  No final dot.
 */
bool idna_to_ascii(struct slice name, struct buf *out) MUST_USE;

#endif
