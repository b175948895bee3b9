/* SPDX-License-Identifier: Apache-2.0 */
/*
 * servers.h - upstream server addresses over all processes: connection tickets, health, keywords, waiters, rates.
 *
 * The supervisor makes an area for each upstream before the fork.  A worker joins the record of an address.  All
 * functions below take the number that state_server_join() returned.  The last process that leaves frees the record.
 * Tickets name their owner's slot, so the supervisor can return those of a dead process.
 *
 * Times  monotonic ms, the same in all processes.
 * Trust  workers fill the records: a reader bounds each number and label where it reads it.
 * Files  servers.c (records, tickets, waiters), server_health.c (health, keywords, rates), keywords_file.c.
 */
#ifndef STATE_SERVERS_H
#define STATE_SERVERS_H

#include "core/addr.h"
#include "state/state.h"

/* Finds or makes the area of an upstream; -1 if all STATE_UPSTREAMS are in use.  Supervisor, before fork. */
int state_upstream(struct state *s, const char *name);
int state_upstream_find(const struct state *s, const char *name); /* -1: no such upstream */
/* Wipes and frees the areas for which wanted() returns false.  No live process may use them.  Supervisor only. */
void state_upstreams_sweep(struct state *s, bool (*wanted)(void *arg, const char *name), void *arg);

/*
 * Finds or makes the record of an address (with its port) and adds this process as a user.  Returns the server
 * number that all functions below take, or -1 if all records of the upstream are in use.
 */
int state_server_join(struct state *s, int upstream, const struct addr *a);
/* Call when this process holds no ticket.  The last user frees the record, with its health and keywords. */
void state_server_leave(struct state *s, int server);
/* The configured texts that have the address, at most STATE_SERVER_LABELS. */
void state_server_describe(struct state *s, int server, const uint64_t *label, size_t count);
uint64_t state_server_label(const char *text); /* case of ASCII letters is ignored */

/* The record of an address, in use or not; -1: no such record. */
int state_server_find(const struct state *s, int upstream, const struct addr *a);

struct state_server_info {
    int server;
    struct addr address;
    uint64_t label[STATE_SERVER_LABELS]; /* 0: none */
};
/* Record `i` (below STATE_UPSTREAM_SERVERS) of the upstream; false: no process uses it. */
bool state_server_info(const struct state *s, int upstream, size_t i, struct state_server_info *out);

/* Takes one of `cap` connections to the server, over all processes.  Returns the ticket, or -1 if none is free. */
int state_ticket_take(struct state *s, int server, unsigned cap);
void state_ticket_return(struct state *s, int server, int ticket);
/* Marks it as idle in a pool, if fewer than keep_idle are; false: close the connection instead. */
bool state_ticket_idle(struct state *s, int server, int ticket, unsigned keep_idle) MUST_USE;
void state_ticket_busy(struct state *s, int server, int ticket);
unsigned state_tickets_used(const struct state *s, int server);
/* The same for envelopes, which have a count of their own. */
int state_envelope_take(struct state *s, int server, unsigned cap);
void state_envelope_return(struct state *s, int server, int ticket);

/* Publishes when this process's oldest waiter for a connection to this upstream began; monotonic ms, 0: no waiter. */
void state_waiting_since(struct state *s, int upstream, uint64_t oldest_ms);
/* When the oldest waiter of all other processes began; 0: none. */
uint64_t state_others_waiting_since(const struct state *s, int upstream);
/* Wakes the process with the oldest waiter: its eventfd becomes readable.  It may still find no free ticket. */
void state_wake_waiter(struct state *s, int upstream);
int state_wake_fd(const struct state *s); /* of this process */
void state_wake_drain(struct state *s);

struct state_keywords { /* of the server's last EHLO */
    bool known;
    bool pipelining, eightbitmime, smtputf8, dsn, size_offered, starttls, chunking, xclient, xforward,
        enhanced;
    uint64_t size;  /* 0: offered without a number or 0 (no fixed limit) */
    uint64_t at_ms; /* 0: read from the file, no EHLO since the start */
};
void state_keywords_set(struct state *s, int server, const struct state_keywords *k);
void state_keywords_get(const struct state *s, int server, struct state_keywords *out);

/*
 * The file `keywords` in state_dir keeps the last keywords over a restart.  The supervisor reads it before it
 * forks and skips invalid lines.  The recorder writes it from a thread that may block.
 */
void state_keywords_read(struct state *s, const char *state_dir);
/* True: written, or nothing has changed.  False: errno has the reason. */
bool state_keywords_write(struct state *s, const char *state_dir) MUST_USE;
/* Keywords `i` (below STATE_UPSTREAM_SERVERS) of the upstream, as read from the file.  False: none. */
bool state_keywords_recalled(const struct state *s, int upstream, size_t i, struct state_keywords *out);

struct state_health {
    bool down;
    unsigned failures, successes; /* in a row */
    uint64_t changed_ms;
    uint64_t next_probe_ms; /* the process that moves it with state_probe_claim() does the probe */
};
void state_health_get(const struct state *s, int server, struct state_health *out);
/* Reports one success or failure.  True: the server went up or down, and the caller logs it.  fall 0: never down. */
bool state_health_report(struct state *s, int server, bool ok, unsigned fall, unsigned rise,
                         uint64_t now_ms) MUST_USE;
/* True for exactly one process once now_ms >= next_probe_ms.  Then the next probe is due interval_ms later. */
bool state_probe_claim(struct state *s, int server, uint64_t now_ms, uint64_t interval_ms) MUST_USE;

/* Makes the next probe due at due_ms at the latest, when a generation with another interval starts. */
void state_probe_hasten(struct state *s, int server, uint64_t due_ms);

/* ---- rates of an upstream ("2/1s"), over all processes ---- */
/* 0: took a place, send now.  Otherwise takes none and returns the ms to wait for one. */
uint64_t state_server_rate(struct state *s, int server, unsigned count, uint64_t per_ms, uint64_t now_ms);

#endif
