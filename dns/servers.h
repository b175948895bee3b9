/* SPDX-License-Identifier: Apache-2.0 */
/*
 * servers.h - the recursive servers: which of them to ask next.
 *
 * Pure bookkeeping: who is told what happened and what time it is, and who then chooses.  The list is in
 * order of preference; the first one in good health is taken, so that its cache stays warm.
 *
 *   good      an answer (NOERROR, NXDOMAIN) sets the score back to 0
 *   bad       timeouts, broken connections weigh most; REFUSED less; SERVFAIL and garbage least, because
 *             they may be the fault of the name that was asked for and not of the server
 *   down      at a score of SERVER_DOWN_SCORE; then only asked when no other is left, and by one probe
 *             (a copy of a question that another server gets as well) after a pause that doubles
 *   suspect   it owes answers since SERVER_SUSPECT_MS and gave none meanwhile: others are preferred
 */
#ifndef DNS_SERVERS_H
#define DNS_SERVERS_H

#include "core/log.h"
#include "dns/dns.h"

#define SERVER_DOWN_SCORE 20
#define SERVER_SUSPECT_MS 500
#define SERVER_BACKOFF_MIN_MS 1000
#define SERVER_BACKOFF_MAX_MS 60000

struct exchange;

struct server {
    struct addr addr;
    struct exchange *exchange; /* the resolver's to make and free */
    unsigned score;
    bool down;
    bool probing; /* a probe is out */
    uint32_t backoff_ms;
    uint64_t retry_at_ms;       /* while down: no probe before */
    uint64_t silent_since_ms;   /* when the first question since its last answer left; 0: owes nothing */
    struct log_limit log_limit; /* for `down`, by server_log() */
    bool down_logged;
    struct dns_server_stats stats;
};

struct servers {
    struct server list[DNS_SERVERS_MAX];
    size_t count;
};

void server_init(struct server *s, const struct addr *a);
void server_sent(struct server *s, uint64_t now_ms);

/* True if this brought it up again, or took it down. */
bool server_good(struct server *s, uint32_t latency_us) MUST_USE;
bool server_bad(struct server *s, enum dns_why why, uint64_t now_ms) MUST_USE;

/*
 * The best server whose bit in `asked` is not set; NULL if there is none.  Servers that are down count
 * only with allow_down, or when all are down.
 */
struct server *servers_pick(struct servers *set, unsigned asked, bool allow_down, uint64_t now_ms);

/* A server that is down and due for a probe; NULL if there is none. */
struct server *servers_due(struct servers *set, uint64_t now_ms);

/* Its line, if it has come up or gone down: one that flaps is written down once in a while. */
void server_log(struct server *s, enum dns_why why, uint64_t now_ms);

unsigned servers_bit(const struct servers *set, const struct server *s);

/* The `nameserver` lines of a resolv.conf(5); returns how many were put into out. */
size_t servers_parse_resolv_conf(struct slice text, struct addr *out, size_t max);

/* The same from a file; what cannot be read gives 0.  Blocks: at start only. */
size_t servers_read_resolv_conf(const char *path, struct addr *out, size_t max);

#endif
