/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - DNS names as text: legality, normal form, reverse names, list names.
 *
 * A name is text whose dots separate labels.  A label is any 1 to 63 octets, because SPF macros can produce any.  There
 * is no escaping, so a label cannot contain a dot.  The normal form has lower-case ASCII letters and no final dot.
 * Part of the public contract: dns.h includes it.
 *
 * RFC     1035 2.3.4 (limits), 3.5 and 3596 2.5 (reverse names), 5782 2.1, 2.4 (lists)
 */
#ifndef DNS_NAMES_H
#define DNS_NAMES_H

#include "core/addr.h"
#include "core/buf.h"

#define DNS_NAME_MAX 253 /* octets of a name in normal form */

/*
 * True for labels of 1..63 octets, 1..253 octets in all.  One final dot is allowed and not counted.  False for the
 * root and the empty name.
 */
bool dns_name_legal(struct slice name);

/* Appends the normal form.  Returns false and appends nothing if the name is not legal. */
bool dns_put_name(struct buf *out, struct slice name) MUST_USE;

/* Appends "1.2.0.192.in-addr.arpa", "1.0.0. ... .ip6.arpa"; nothing for an address that is not set. */
void dns_put_reverse(struct buf *out, const struct addr *ip);

/*
 * Appends the name of an address in a list: "1.2.0.192.list.example".  Returns false if the address is not set or
 * the result is not legal; the appended text is then unusable.
 */
bool dns_put_list_name(struct buf *out, const struct addr *ip, struct slice zone) MUST_USE;

/* The same for a domain in a list of domains: "domain.example.list.example". */
bool dns_put_domain_list_name(struct buf *out, struct slice domain, struct slice zone) MUST_USE;

#endif
