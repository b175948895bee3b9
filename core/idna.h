/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idna.h - domain names in the form that we compare, look up and send: lower-case A-labels.
 *
 * IDNA2008 with the mapping of UTS 46, non-transitional (RFC 5890..5892).  Only idna.c uses libidn2.
 */
#ifndef CORE_IDNA_H
#define CORE_IDNA_H

#include "core/buf.h"

#define IDNA_NAME_MAX 253 /* octets of a name here, without a final dot (RFC 1035 2.3.4) */

/*
 * Puts the name into *out in lower-case A-labels, without a final dot.  Returns false and puts nothing if the name is
 * not UTF-8, IDNA refuses it, or the result fails hostname_valid().  ASCII names are only checked and lowered: A-labels
 * that IDNA2008 would not produce are in use and harmless.
 */
bool idna_to_ascii(struct slice name, struct buf *out) MUST_USE;

#endif
