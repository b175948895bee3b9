/* SPDX-License-Identifier: Apache-2.0 */
/*
 * servers.h - the recursive servers: their health, and which one to ask next.
 *
 * Pure bookkeeping: the caller reports events and passes the time.  The list is in order of preference.  The first
 * healthy server is chosen, so that its cache stays warm.
 *
 *   good      an answer (NOERROR, NXDOMAIN) sets the score back to 0
 *   bad       timeouts and broken connections weigh most, REFUSED less, SERVFAIL and garbage least: the
 *             name may cause those, not the server
 *   down      at a score of SERVER_DOWN_SCORE.  Then it gets questions only if no other server is left, and one
 *             probe (a copy of another server's question) after a pause that doubles
 *   suspect   it has owed answers for SERVER_SUSPECT_MS and sent none: others are preferred
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
    struct exchange *exchange; /* created and freed by the resolver */
    unsigned score;
    bool down;
    bool probing; /* a probe is pending */
    uint32_t backoff_ms;
    uint64_t retry_at_ms;       /* while down: no probe earlier */
    uint64_t silent_since_ms;   /* first question sent since its last answer; 0: owes none */
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

/* True if the server came up (good) or went down (bad). */
bool server_good(struct server *s, uint32_t latency_us) MUST_USE;
bool server_bad(struct server *s, enum dns_why why, uint64_t now_ms) MUST_USE;

/*
 * The best server whose bit in `asked` is not set; NULL if there is none.  Down servers count only with
 * allow_down, or when all are down.
 */
struct server *servers_pick(struct servers *set, unsigned asked, bool allow_down, uint64_t now_ms);

/* A down server that is due for a probe; NULL if there is none. */
struct server *servers_due(struct servers *set, uint64_t now_ms);

/* Logs that the server came up or went down; rate-limited, because a server may flap. */
void server_log(struct server *s, enum dns_why why, uint64_t now_ms);

unsigned servers_bit(const struct servers *set, const struct server *s);

/* Parses the `nameserver` lines of a resolv.conf(5); returns how many it put into out. */
size_t servers_parse_resolv_conf(struct slice text, struct addr *out, size_t max);

/* The same from a file; returns 0 if it is unreadable.  Blocks: call it at start only. */
size_t servers_read_resolv_conf(const char *path, struct addr *out, size_t max);

#endif
