/* SPDX-License-Identifier: Apache-2.0 */
/*
 * servers.h - the addresses of upstream servers over all processes: connection tickets, health, keywords, waiters, rates.
 *
 * Each upstream has an area, made by the supervisor before the fork.  A worker joins the record of an address, and all
 * functions below take the number that state_server_join() returned; the last process that leaves frees the record.
 * Tickets name their owner's slot, so that the supervisor gives back those of a dead process.
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
int state_upstream_find(const struct state *s, const char *name); /* -1: there is none */
/* Wipes and frees the areas for which wanted() says no: no live process uses them any more (supervisor). */
void state_upstreams_sweep(struct state *s, bool (*wanted)(void *arg, const char *name), void *arg);

/*
 * Finds or fills the record of an address (with its port) and enters this process as a user of it.  Returns
 * the server, the number that all functions below take; -1 if all records of the upstream are in use.
 */
int state_server_join(struct state *s, int upstream, const struct addr *a);
/* No ticket of this process is left.  The last user frees the record: health and keywords are forgotten. */
void state_server_leave(struct state *s, int server);
/* The configured texts that have the address, at most STATE_SERVER_LABELS. */
void state_server_describe(struct state *s, int server, const uint64_t *label, size_t count);
uint64_t state_server_label(const char *text); /* case of ASCII letters is ignored */

/* The record of an address, in use or not; -1: there is none. */
int state_server_find(const struct state *s, int upstream, const struct addr *a);

struct state_server_info {
    int server;
    struct addr address;
    uint64_t label[STATE_SERVER_LABELS]; /* 0: none */
};
/* Record `i` (below STATE_UPSTREAM_SERVERS) of the upstream; false: no process uses it. */
bool state_server_info(const struct state *s, int upstream, size_t i, struct state_server_info *out);

/* One of `cap` connections to the server, over all processes.  Returns the ticket or -1. */
int state_ticket_take(struct state *s, int server, unsigned cap);
void state_ticket_return(struct state *s, int server, int ticket);
/* Marks it as idle in a pool, if fewer than keep_idle are; false: close the connection instead. */
bool state_ticket_idle(struct state *s, int server, int ticket, unsigned keep_idle) MUST_USE;
void state_ticket_busy(struct state *s, int server, int ticket);
unsigned state_tickets_used(const struct state *s, int server);
/* The same for the share of envelopes, which is counted apart. */
int state_envelope_take(struct state *s, int server, unsigned cap);
void state_envelope_return(struct state *s, int server, int ticket);

/* Which process waits longest for a connection to this upstream: monotonic ms of its oldest waiter, 0 none. */
void state_waiting_since(struct state *s, int upstream, uint64_t oldest_ms);
/* The oldest waiter of any other process; 0: none. */
uint64_t state_others_waiting_since(const struct state *s, int upstream);
/* Wakes the process that waits longest (its eventfd becomes readable); it may find nothing. */
void state_wake_waiter(struct state *s, int upstream);
int state_wake_fd(const struct state *s); /* of this process */
void state_wake_drain(struct state *s);

struct state_keywords { /* of the server's last EHLO */
    bool known;
    bool pipelining, eightbitmime, smtputf8, dsn, size_offered, starttls, chunking, xclient, xforward,
        enhanced;
    uint64_t size;  /* 0: offered without a number or 0 (no fixed limit) */
    uint64_t at_ms; /* 0: recalled from before the start, not heard since */
};
void state_keywords_set(struct state *s, int server, const struct state_keywords *k);
void state_keywords_get(const struct state *s, int server, struct state_keywords *out);

/*
 * Keywords last seen outlive a restart in the file `keywords` of state_dir.  The supervisor reads it before it
 * forks; the recorder writes it from a thread that may block.  Lines that are not legal are skipped.
 */
void state_keywords_read(struct state *s, const char *state_dir);
/* True: written, or nothing has changed; else errno says why. */
bool state_keywords_write(struct state *s, const char *state_dir) MUST_USE;
/* Recalled keywords `i` (below STATE_UPSTREAM_SERVERS) of the upstream; false: there are none. */
bool state_keywords_recalled(const struct state *s, int upstream, size_t i, struct state_keywords *out);

struct state_health {
    bool down;
    unsigned failures, successes; /* in a row */
    uint64_t changed_ms;
    uint64_t next_probe_ms; /* the process that moves it with state_probe_claim() does the probe */
};
void state_health_get(const struct state *s, int server, struct state_health *out);
/* One observation; returns true if the server's state changed by it (then the caller logs). fall 0: never down. */
bool state_health_report(struct state *s, int server, bool ok, unsigned fall, unsigned rise,
                         uint64_t now_ms) MUST_USE;
/* True for exactly one process when now_ms >= next_probe_ms; the next one is then due interval_ms later. */
bool state_probe_claim(struct state *s, int server, uint64_t now_ms, uint64_t interval_ms) MUST_USE;

/* A generation with another interval begins: the next probe is due at due_ms at the latest. */
void state_probe_hasten(struct state *s, int server, uint64_t due_ms);

/* ---- rates of an upstream ("2/1s"), over all processes ---- */
/* 0: go on now; else ms to wait until a slot is free (and nothing is taken). */
uint64_t state_server_rate(struct state *s, int server, unsigned count, uint64_t per_ms, uint64_t now_ms);

#endif
