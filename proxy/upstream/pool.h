/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - connections to upstream servers: lent, kept, counted, waited for.
 *
 *   upstreams -+- pool (one an upstream of the configuration)
 *              |    +- server -+- connecting  \      one an address: pool_servers.c
 *              |    |          +- idle         | each connection (struct upstream) is on exactly one list;
 *              |    |          +- leased       | pool_move() alone relinks it (T7)
 *              |    |          +- closing     /
 *              |    +- clients with waiting leases, served in turn
 *              +- unknown: refused recipients that are remembered
 *
 * A lease is one relay's wish for a connection and then its right to one:
 *
 *      queued --> connecting --> held --> (released)
 *        ^            | the server fails: the next one, in the order of `balance`
 *        +------------+
 *
 * Shares     a server has `connections` tickets over all processes (state.h).  At most half of them, at least
 *            one, serve envelopes; at most two envelopes of one client are served by a process.  Complete
 *            bodies come first; within a kind clients take turns, and each client's leases come in order.
 *            Of four turns three are for clients in good standing, while strangers wait too.
 * Processes  the oldest waiter is published; who has a free connection gives it up for an older waiter
 *            elsewhere.
 * Holders    a relay that keeps its connection for a client that is silent is told when others wait for one:
 *            see pool_hold().
 * Callbacks  of a lease run from the loop, never inside pool_lease(), pool_hold() or pool_release().
 */
#ifndef PROXY_UPSTREAM_POOL_H
#define PROXY_UPSTREAM_POOL_H

#include "core/loop.h"
#include "core/table.h"
#include "proxy/upstream/relay.h"
#include "smtp/envelope.h"
#include "state/state.h"

struct pool;
struct tls_client;
struct tls_resume;
struct unknown_rcpt;
struct upstream;
struct upstream_events;
struct upstream_failure;

enum pool_list {
    POOL_NONE = 0, /* new, or gone */
    POOL_CONNECTING,
    POOL_IDLE,
    POOL_LEASED, /* or being cleaned by RSET for the next one */
    POOL_CLOSING,
    POOL_LIST_COUNT,
};

struct pool_server { /* one address */
    struct pool *pool;
    const struct config_upstream_server *conf; /* the first with this address: label and TLS name */
    struct addr address;
    int index;    /* its record in the shared state; -1: this place is free */
    size_t rank;  /* in pool.order, unless it is leaving */
    bool leaving; /* no longer configured, or no longer in the DNS answers: gets no new lease */
    bool twins;   /* another upstream has a server at the same address */
    struct list_node list[POOL_LIST_COUNT]; /* by upstream.link; the newest in front */
    size_t count[POOL_LIST_COUNT];
    unsigned envelopes;            /* envelope leases of this process */
    struct tls_resume *resume;     /* the last TLS session with this address */
    unsigned tries;                /* probes in a row without an answer */
    struct log_limit path_log;     /* upstream_connect */
    struct log_limit refuse_log;   /* upstream_refuses_us */
    struct log_limit tls_log;      /* upstream_tls */
    struct log_limit identity_log; /* upstream_identity */
    unsigned broken; /* leased connections that failed behind their EHLO, in a row, in this process */
    uint64_t shunned_until_ms; /* by that: others are asked first until then */
    uint64_t clear_until_ms;   /* `opportunistic`: a handshake failed, STARTTLS is left alone until then */
};

enum lease_kind {
    LEASE_BODY = 0, /* a complete message: comes first */
    LEASE_ENVELOPE,
    LEASE_KIND_COUNT,
};

#define POOL_NAME_ADDRESSES 16 /* of one name */

struct pool_name { /* what the DNS says of a configured name */
    struct addr address[POOL_NAME_ADDRESSES];
    size_t count;
};

struct pool {
    struct upstreams *ups;
    const struct config_upstream *conf;
    int area;                   /* of the upstream in the shared state, or -1: it has no servers then */
    struct tls_client *tls;     /* NULL: TLS is off, or cannot be had */
    struct tls_client *own_tls; /* the same, if it did not come with the configuration */
    struct pool_server server[STATE_UPSTREAM_SERVERS]; /* by the place of the record */
    size_t places;                                     /* of server: behind them all are free */
    bool has_leaving;
    struct timer refill; /* pool_arrange() again: an address found no free record */
    struct pool_server
        *order[STATE_UPSTREAM_SERVERS];         /* those that may have leases, failover's first in front */
    size_t server_count;                        /* of order */
    struct pool_name known[CONFIG_MAX_SERVERS]; /* by the place in conf->server */
    size_t resolving;                           /* names whose first lookup is still running */
    struct log_limit full_log;
    size_t next;                                /* round_robin: where to begin */
    struct list_node turn[LEASE_KIND_COUNT][2]; /* clients that wait: strangers, and those in good standing */
    unsigned good_turns[LEASE_KIND_COUNT];      /* of the latter since the last stranger's */
    struct list_node retry;   /* leases whose server failed or connection was dead: before all others */
    struct list_node waiting; /* all queued leases, the oldest first, by lease.age */
    struct list_node holding; /* leases kept for silent clients, the longest silent first, by lease.hold */
    struct table clients;
    struct deferred dispatch;
    struct timer rate;     /* a message may start then */
    uint64_t published_ms; /* what state_waiting_since was told */
};

struct upstreams {
    struct loop *loop;
    struct state *state;
    const struct config *conf;
    struct pool *pool; /* one an upstream, same index */
    size_t pool_count;
    struct unknown_rcpt *unknown;
    struct buf scratch; /* for building commands; empty between uses */
    struct watch wake;
    struct timer wait_poll;         /* while somebody waits: other processes may have closed a connection */
    struct timer idle_poll;         /* while connections are idle or kept: ages, and waiters elsewhere */
    struct timer probe;             /* health.c */
    struct relay_keywords keywords; /* computed at most once a second */
    uint64_t keywords_until_ms;
    bool draining;
    bool has_wake;
};

/* Lays out an area for each upstream in the shared state.  Supervisor, before the workers are forked. */
void upstreams_register(struct state *st, const struct config *conf);

/* Forgets the upstreams that none of these snapshots (NULLs allowed) names.  Supervisor. */
void upstreams_sweep(struct state *st, const struct config *const *confs, size_t count);

/* All pools of a worker; probes begin at once.  Everything is borrowed.  Never NULL. */
struct upstreams *upstreams_new(struct loop *loop, struct state *st, const struct config *conf) MUST_USE;

/* No more probes, and nothing is kept idle from here on.  Leases go on. */
void upstreams_drain(struct upstreams *ups);

/* All relays must be gone.  Says QUIT on what is open, without waiting.  NULL is allowed; *ups is cleared. */
void upstreams_free(struct upstreams **ups);

/*
 * The addresses of a server that is configured by name, conf->server[which], in the order of failover; the port
 * is the configured one.  Those that were known and are not among them drain.
 */
void pool_resolved(struct pool *p, size_t which, const struct addr *address, size_t count);

/* ---- leases: for relay.c ---- */

enum lease_status {
    LEASE_OK = 0,
    LEASE_UNREACHABLE, /* all servers are down or failing */
    LEASE_REFUSES_US,  /* a server answered 5xx to EHLO and HELO */
    LEASE_NO_TLS,      /* a server has no TLS, which is demanded */
    LEASE_UNTRUSTED,   /* a server's certificate is not good, which is demanded */
    LEASE_BUSY,        /* queue_wait is over */
};

/* OK: lease->u may be used, with lease->ev as its events.  Else the lease is as released. */
typedef void (*lease_cb)(void *arg, enum lease_status status);

/* Others wait for a connection like the one that is kept. */
typedef void (*lease_wanted_cb)(void *arg);

struct pool_client { /* who waits or has an envelope lease; in pool.clients */
    struct table_entry entry;
    uint8_t key[32];
    struct list_node turn[LEASE_KIND_COUNT];  /* in pool.turn[kind][good] */
    struct list_node queue[LEASE_KIND_COUNT]; /* leases, by lease.link */
    unsigned envelopes;                       /* envelope leases held or connecting */
    unsigned leases;                          /* all of them: the entry goes with the last */
    bool exempt, good;
};

struct lease {         /* embedded in its owner; lease_init first */
    struct pool *pool; /* NULL: not in use */
    struct pool_client *client;
    enum lease_kind kind;
    struct list_node link; /* in client->queue or pool->retry */
    struct list_node age;  /* in pool->waiting */
    struct list_node hold; /* in pool->holding */
    struct upstream *u;    /* connecting for it, or held */
    bool held;
    const struct envelope *env; /* of its transaction; borrowed while the lease is in use */
    bool fresh;                 /* no idle connection, please: one was stale */
    bool again;                 /* retries at the front of the queue: a connection or its TLS failed */
    enum lease_status worst;    /* what to say when all servers have failed */
    bool rated;                 /* the upstream's rate was asked: not again for the next server */
    bool share;                 /* counts as an envelope of its server and client */
    struct pool_server *share_server;
    int share_ticket; /* of share_server's envelopes */
    uint32_t tried;   /* servers that failed: a bit for each place in pool.server */
    uint64_t since_ms;
    uint64_t connect_ms; /* spent in connects so far */
    uint64_t path_until_ms;
    struct timer timer; /* queue_wait */
    lease_cb cb;
    lease_wanted_cb wanted;           /* while it is in pool->holding */
    const struct upstream_events *ev; /* of the connection while it is held */
    void *arg;
};

struct lease_wish {
    enum lease_kind kind;
    const struct envelope *env; /* of the transaction; borrowed until the lease is released */
    bool fresh;
};

void lease_init(struct lease *l, struct upstreams *ups, lease_cb cb, const struct upstream_events *ev,
                void *arg);
void pool_lease(struct pool *p, struct lease *l, const struct lease_wish *wish);

/* In any state, idempotent.  A held connection is cleaned (RSET) and kept, or closed if content had begun. */
void pool_release(struct lease *l);

/* A held envelope lease goes on to DATA: it leaves the share.  False: `rate` says not now (nothing is
 * changed). */
bool pool_promote(struct lease *l) MUST_USE;

/*
 * The lease, which is held, is kept for a client that says nothing: `wanted` runs once, from the loop, when
 * others wait for a connection.  Of one pool the longest silent are told first, as many as wait in this
 * process; what other processes wait for is looked at with the pool's poll, and then all are told.
 * pool_release() ends it too; a second call begins anew.
 */
void pool_hold(struct lease *l, lease_wanted_cb wanted);
void pool_unhold(struct lease *l);           /* `wanted` will not run; idempotent */
bool pool_waited_for(const struct lease *l); /* does anybody wait for a connection like this one? */

/* ---- what upstream.c reports ---- */

void pool_greeted(struct upstream *u); /* EHLO is done, for the first time */
void pool_clean(struct upstream *u);   /* ready and nobody's: after RSET */
void pool_lost(struct upstream *u, const struct upstream_failure *failure); /* it is closed; u is buried */

/* A server refuses us (RPL-15): counted, and logged as an error that someone must see. */
void pool_refuses_us(struct pool_server *s, const struct upstream_failure *failure);

/* ---- within the folder ---- */

/* All servers, the leaving ones included. */
#define EACH_SERVER(p, s)                                                                                    \
    for ((s) = (p)->server; (s) < (p)->server + (p)->places; (s)++)                                          \
        if ((s)->index >= 0)

#define IDLE_POLL_MS 100U

void pool_move(struct upstream *u, enum pool_list to);
void pool_wake(struct pool *p); /* something became free: asks the queue, from the loop */

/* pool_servers.c */
void pool_servers_init(struct pool *p);
void pool_arrange(struct pool *p); /* configured addresses and those of names become servers; others leave */
void pool_tidy(struct pool *p);    /* forgets servers that have left */
void pool_servers_fini(struct pool *p);      /* no connection is left */
int pool_take_ticket(struct pool_server *s); /* for a new connection; may close an idle one; or -1 */
bool pool_tickets_gone(const struct pool_server *s);
/* Upstream, server, and the address of one that is a name. */
void pool_log_server(struct log_line *l, const struct pool_server *s);

/* pool_queue.c */
void pool_dispatch(struct pool *p);
void pool_enqueue(struct lease *l);
void pool_publish(struct pool *p);
void lease_end(struct lease *l, enum lease_status status);
void pool_ask_holders(struct pool *p);  /* as many as wait here */
bool pool_poll_holders(struct pool *p); /* all, if others wait elsewhere; false: none is left */
struct upstream *pool_take_idle(struct pool_server *s);
void pool_connect(struct pool_server *s, int ticket, struct lease *l);

/* health.c */
void health_start(struct upstreams *ups);
void health_stop(struct upstreams *ups);
void health_wake(struct upstreams *ups); /* probes new servers soon */
/* A probe that has to be repeated at once: the server is spoken to without TLS from now on. */
void health_again(struct pool_server *s);
/* One connection reached, or did not reach, the end of its EHLO. */
void health_observe(struct pool_server *s, bool ok);
/*
 * A leased connection failed behind its EHLO.  A server that greets and then does no work looks well to every
 * probe: after `fall` of these without one that ended well, servers beside it come first for an `interval`.
 */
void health_broken(struct pool_server *s, const struct upstream_failure *f);

#endif
