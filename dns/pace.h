/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.h - how many questions one client network may cause (dns.per_client): a table all workers share.
 *
 * A client decides what is asked: names in its HELO, its MAIL, its reverse zone.  Each can lead to a hundred questions
 * to name servers that have nothing to do with it.  So the questions of a /24 or /48 are counted, and those that came to
 * nothing are counted against a smaller number.  What the cache answers, and what joins a question that is
 * out, causes none.
 *
 *     dns_query_for --- cached, merged ----------------------> free
 *          |
 *          '--- pace_ask: may it? --- no --> DNS_TEMPFAIL, DNS_WHY_PACE
 *                    | yes: counted in both numbers
 *                    '--> flight --- NXDOMAIN, no data, SERVFAIL, timeout --> stays counted
 *                            '------ any other end ------------------------> pace_give_back: no failure
 *
 * So what is still out counts as if it would fail: many questions at once gain nothing.
 *
 * Shared      the supervisor maps the table before the first fork, so a client gains nothing by being spread over the
 *             workers.  One word an entry, changed by compare-and-swap: there is no lock that a dead or hostile worker
 *             could hold, and no pointer or length to trust.  Nonsense in a word weighs for one window at most.
 * Memory      PACE_BYTES, whatever happens; a full set forgets the network whose debt is the smallest.
 */
#ifndef DNS_PACE_H
#define DNS_PACE_H

#include "dns/dns.h"

#define PACE_SETS 8192
#define PACE_WAYS 8                                               /* words of a set: one cache line */
#define PACE_BYTES (2 * PACE_SETS * PACE_WAYS * sizeof(uint64_t)) /* 1 MiB */

enum pace_kind { PACE_QUESTIONS = 0, PACE_FAILED, PACE_KINDS };

struct pace_rates {
    struct dns_rate rate[PACE_KINDS];
};

enum pace_said {
    PACE_NO = 0,   /* one too many */
    PACE_YES,      /* counted; pace_give_back() if it does not come to nothing */
    PACE_YES_FREE, /* counted, but no failure would be */
};

/* One more question on the account of a network?  now_us: monotonic, not 0. */
enum pace_said pace_ask(struct dns_pace *p, const struct pace_rates *rates, const struct dns_asker *who,
                        uint64_t now_us) MUST_USE;

/* A question of this network, for which PACE_YES was said, has not come to nothing. */
void pace_give_back(struct dns_pace *p, const struct pace_rates *rates, uint64_t network, uint64_t now_us);

/* The first address of a network, for the log. */
struct addr pace_address(uint64_t network);

#endif
