/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_dns.h - a resolver for tests: a table of answers with delays in virtual time.
 *
 * fake_dns.c replaces dns_query(), dns_cancel() and the resolver at link time.  What is not in the table is
 * NXDOMAIN at once (that is: from the loop).  Several rows of one name and type are one answer.  Nothing is
 * cached: every question is counted.
 */
#ifndef TEST_SIM_FAKE_DNS_H
#define TEST_SIM_FAKE_DNS_H

#include "dns/dns.h"

/*
 * `value` by type: an address (A, AAAA), a name (MX "10 mail.example.org", PTR), text (TXT); or one of
 * "NODATA", "NXDOMAIN", "SERVFAIL", "TIMEOUT" (never answers), "GARBAGE", "OVERLOAD" (no question was sent), "PACE" (the
 * client has caused too many questions).  An A may also be any address of IPv6.
 */
void fake_dns_add(struct resolver *r, const char *name, enum dns_type type, const char *value,
                  uint64_t delay_ms);
void fake_dns_clear(struct resolver *r); /* the table and the counts */

size_t fake_dns_asked(const struct resolver *r, const char *name, enum dns_type type);
size_t fake_dns_asked_below(const struct resolver *r,
                            const char *zone); /* of any type, the zone's own included */
/* On whose account it was asked last; NULL: it was not asked. */
const struct dns_asker *fake_dns_asker(const struct resolver *r, const char *name, enum dns_type type);
size_t fake_dns_total(const struct resolver *r);
size_t fake_dns_out(const struct resolver *r); /* requests that exist */

#endif
