/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.h - limits the questions that one client network may cause (dns.per_client): a table all workers share.
 *
 * A client controls the names we look up: in its HELO, its MAIL, its reverse zone.  Each name can cause a hundred
 * questions to unrelated name servers.  So we count the questions of each /24 or /48, and limit failed ones to a
 * smaller number.  Cached answers and questions merged into a pending one count nothing.
 *
 *     dns_query_for --- cached, merged ----------------------> free
 *          |
 *          '--- pace_ask: may it? --- no --> DNS_TEMPFAIL, DNS_WHY_PACE
 *                    | yes: counted in both numbers
 *                    '--> flight --- NXDOMAIN, no data, SERVFAIL, timeout --> stays counted
 *                            '------ any other end ------------------------> pace_give_back: no failure
 *
 * So a pending question counts as a failure: a client gains nothing by many questions at once.
 *
 * Shared      the supervisor maps the table before the first fork, so a client cannot multiply its limit by using many
 *             workers.  Each entry is one word, changed by compare-and-swap: a dead or hostile worker can hold no lock,
 *             and there is no pointer or length to trust.  A corrupt word has an effect for one window at most.
 * Memory      always PACE_BYTES; a full set evicts the network with the smallest debt.
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
    PACE_NO = 0,   /* over the limit */
    PACE_YES,      /* counted; call pace_give_back() if it does not fail */
    PACE_YES_FREE, /* counted, but a failure is not */
};

/* May this network cause one more question?  Counts it.  now_us: monotonic, not 0. */
enum pace_said pace_ask(struct dns_pace *p, const struct pace_rates *rates, const struct dns_asker *who,
                        uint64_t now_us) MUST_USE;

/* A question that got PACE_YES did not fail: takes back its failure. */
void pace_give_back(struct dns_pace *p, const struct pace_rates *rates, uint64_t network, uint64_t now_us);

/* The first address of a network, for the log. */
struct addr pace_address(uint64_t network);

#endif
