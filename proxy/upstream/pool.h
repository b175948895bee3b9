/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - connections to upstream servers: leases, idle connections, counts and queues.
 *
 *   upstreams -+- pool (one an upstream of the configuration)
 *              |    +- server -+- connecting  \      one an address: pool_servers.c
 *              |    |          +- idle         | each connection (struct upstream) is on exactly one list;
 *              |    |          +- leased       | only pool_move() relinks it (T7)
 *              |    |          +- closing     /
 *              |    +- clients with waiting leases, served in turn
 *              +- unknown: cache of refused recipients
 *
 * A lease is a relay's request for a connection and then its right to use one:
 *
 *      queued --> connecting --> held --> (released)
 *        ^            | the server fails: the next one, in the order of `balance`
 *        +------------+
 *
 * Shares     a server has `connections` tickets over all processes (state.h).  At most half of them, but at
 *            least one, serve envelopes.  A process serves at most two envelopes of one client.  Complete
 *            bodies come first.  Within a kind clients take turns, and each client's leases keep their order.
 *            Clients in good standing get three of four turns while strangers wait too.
 * Processes  the oldest waiting lease is published; a process with a free connection gives it up for an older
 *            lease elsewhere.
 * Holders    a relay that keeps its connection for a silent client gets a callback when others wait for one:
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
    POOL_NONE = 0, /* new, or closed */
    POOL_CONNECTING,
    POOL_IDLE,
    POOL_LEASED, /* or cleaned by RSET for the next lease */
    POOL_CLOSING,
    POOL_LIST_COUNT,
};

struct pool_server { /* one address */
    struct pool *pool;
    const struct config_upstream_server *conf; /* the first server with this address: label and TLS name */
    struct addr address;
    int index;                              /* its record in the shared state; -1: this entry is free */
    size_t rank;                            /* position in pool.order, unless it is leaving */
    bool leaving;                           /* no longer configured or no longer in DNS: gets no new lease */
    bool twins;                             /* another upstream has a server at the same address */
    struct list_node list[POOL_LIST_COUNT]; /* by upstream.link; the newest first */
    size_t count[POOL_LIST_COUNT];
    unsigned envelopes;            /* envelope leases of this process */
    struct tls_resume *resume;     /* the last TLS session with this address */
    unsigned tries;                /* consecutive probes without an answer */
    struct log_limit path_log;     /* upstream_connect */
    struct log_limit refuse_log;   /* upstream_refuses_us */
    struct log_limit tls_log;      /* upstream_tls */
    struct log_limit identity_log; /* upstream_identity */
    unsigned broken;           /* consecutive failures of leased connections after EHLO, in this process */
    uint64_t shunned_until_ms; /* because of `broken`: other servers come first until then */
    uint64_t clear_until_ms;   /* `opportunistic`: a handshake failed; no STARTTLS until then */
};

enum lease_kind {
    LEASE_BODY = 0, /* for a complete message: comes first */
    LEASE_ENVELOPE,
    LEASE_KIND_COUNT,
};

#define POOL_NAME_ADDRESSES 16 /* for one name */

struct pool_name { /* DNS addresses of a configured name */
    struct addr address[POOL_NAME_ADDRESSES];
    size_t count;
};

struct pool {
    struct upstreams *ups;
    const struct config_upstream *conf;
    int area;                   /* the upstream's area in the shared state, or -1: it then has no servers */
    struct tls_client *tls;     /* NULL: TLS is off or unavailable */
    struct tls_client *own_tls; /* the same, if the configuration did not supply it */
    struct pool_server server[STATE_UPSTREAM_SERVERS]; /* by record index */
    size_t places;                                     /* used entries of server: all behind them are free */
    bool has_leaving;
    struct timer refill; /* repeats pool_arrange() after an address found no free record */
    struct pool_server *order[STATE_UPSTREAM_SERVERS]; /* servers that may have leases, in failover order */
    size_t server_count;                               /* entries of order */
    struct pool_name known[CONFIG_MAX_SERVERS];        /* by index in conf->server */
    size_t resolving;                                  /* names whose first lookup still runs */
    struct log_limit full_log;
    size_t next;                                /* round_robin: where to begin */
    struct list_node turn[LEASE_KIND_COUNT][2]; /* waiting clients: strangers, and those in good standing */
    unsigned good_turns[LEASE_KIND_COUNT];      /* turns of the latter since the last stranger's turn */
    struct list_node retry;   /* leases whose server or connection failed: before all others */
    struct list_node waiting; /* all queued leases, the oldest first, by lease.age */
    struct list_node holding; /* leases kept for silent clients, the longest silence first, by lease.hold */
    struct table clients;
    struct deferred dispatch;
    struct timer rate;     /* when the next message may start */
    uint64_t published_ms; /* last value given to state_waiting_since */
};

struct upstreams {
    struct loop *loop;
    struct state *state;
    const struct config *conf;
    struct pool *pool; /* one for each upstream, same index */
    size_t pool_count;
    struct unknown_rcpt *unknown;
    struct buf scratch; /* for building commands; empty between uses */
    struct watch wake;
    struct timer wait_poll; /* while leases wait: another process may have closed a connection */
    struct timer idle_poll; /* while connections are idle or kept: checks ages and other processes' leases */
    struct timer probe;     /* health.c */
    struct relay_keywords keywords; /* computed at most once a second */
    uint64_t keywords_until_ms;
    bool draining;
    bool has_wake;
};

/* Allocates an area for each upstream in the shared state.  Call in the supervisor, before it forks workers. */
void upstreams_register(struct state *st, const struct config *conf);

/* Removes the upstreams that none of these snapshots (NULLs allowed) names.  Call in the supervisor. */
void upstreams_sweep(struct state *st, const struct config *const *confs, size_t count);

/* Makes all pools of a worker; probes begin at once.  Everything is borrowed.  Never NULL. */
struct upstreams *upstreams_new(struct loop *loop, struct state *st, const struct config *conf) MUST_USE;

/* Stops probes and closes idle connections from here on.  Leases continue. */
void upstreams_drain(struct upstreams *ups);

/* Call after all relays are gone.  Sends QUIT on open connections, without waiting.  NULL is allowed; clears *ups. */
void upstreams_free(struct upstreams **ups);

/*
 * Sets the addresses of a server configured by name, conf->server[which], in failover order, with the configured port.
 * Earlier addresses that are not among them drain.
 */
void pool_resolved(struct pool *p, size_t which, const struct addr *address, size_t count);

/* ---- leases: for relay.c ---- */

enum lease_status {
    LEASE_OK = 0,
    LEASE_UNREACHABLE, /* all servers are down or failing */
    LEASE_REFUSES_US,  /* a server answered 5xx to EHLO and HELO */
    LEASE_NO_TLS,      /* a server lacks TLS, which the file requires */
    LEASE_UNTRUSTED,   /* a server's certificate failed verification, which the file requires */
    LEASE_BUSY,        /* queue_wait has passed */
};

/* OK: use lease->u, with lease->ev as its events.  Otherwise the lease is already released. */
typedef void (*lease_cb)(void *arg, enum lease_status status);

/* Called when others wait for a connection like the kept one. */
typedef void (*lease_wanted_cb)(void *arg);

struct pool_client { /* a client with waiting or envelope leases; in pool.clients */
    struct table_entry entry;
    uint8_t key[32];
    struct list_node turn[LEASE_KIND_COUNT];  /* in pool.turn[kind][good] */
    struct list_node queue[LEASE_KIND_COUNT]; /* leases, by lease.link */
    unsigned envelopes;                       /* envelope leases, held or connecting */
    unsigned leases;                          /* all leases; the last one frees the entry */
    bool exempt, good;
};

struct lease {         /* embedded in its owner; call lease_init first */
    struct pool *pool; /* NULL: not in use */
    struct pool_client *client;
    enum lease_kind kind;
    struct list_node link; /* in client->queue or pool->retry */
    struct list_node age;  /* in pool->waiting */
    struct list_node hold; /* in pool->holding */
    struct upstream *u;    /* connecting for this lease, or held */
    bool held;
    const struct envelope *env; /* envelope of its transaction; borrowed while the lease is in use */
    bool fresh;                 /* take no idle connection: one was stale */
    bool again;                 /* retries at the front of the queue: its connection or TLS failed */
    enum lease_status worst;    /* status to report when all servers have failed */
    bool rated;                 /* the upstream's rate was checked: not again for the next server */
    bool share;                 /* counts as an envelope of its server and client */
    struct pool_server *share_server;
    int share_ticket; /* for share_server's envelopes */
    uint32_t tried;   /* servers that failed: one bit for each index in pool.server */
    uint64_t since_ms;
    uint64_t connect_ms; /* total time of its connects */
    uint64_t path_until_ms;
    struct timer timer; /* queue_wait */
    lease_cb cb;
    lease_wanted_cb wanted;           /* while it is in pool->holding */
    const struct upstream_events *ev; /* of the connection while it is held */
    void *arg;
};

struct lease_wish {
    enum lease_kind kind;
    const struct envelope *env; /* envelope of the transaction; borrowed until the lease is released */
    bool fresh;
};

void lease_init(struct lease *l, struct upstreams *ups, lease_cb cb, const struct upstream_events *ev,
                void *arg);
void pool_lease(struct pool *p, struct lease *l, const struct lease_wish *wish);

/* Works in any state, idempotent.  A held connection is reset (RSET) and kept, or closed if content had begun. */
void pool_release(struct lease *l);

/* Moves a held envelope lease on to DATA: it leaves the share.  False: `rate` forbids it now, and nothing changes. */
bool pool_promote(struct lease *l) MUST_USE;

/*
 * Keeps the held lease for a silent client: `wanted` runs once, from the loop, when others wait for a connection.
 * Within a pool the longest silent holders come first, one for each lease that waits in this process.  The pool's poll
 * checks other processes, and then calls all holders.  pool_release() ends it too; a second call starts anew.
 */
void pool_hold(struct lease *l, lease_wanted_cb wanted);
void pool_unhold(struct lease *l);           /* `wanted` will not run; idempotent */
bool pool_waited_for(const struct lease *l); /* does another lease wait for a connection like this one? */

/* ---- what upstream.c reports ---- */

void pool_greeted(struct upstream *u); /* EHLO is done for the first time */
void pool_clean(struct upstream *u);   /* ready and without a lease: after RSET */
void pool_lost(struct upstream *u,
               const struct upstream_failure *failure); /* closed; u is freed after this turn */

/* A server refuses us (RPL-15): counts it and logs an error, because an administrator must act. */
void pool_refuses_us(struct pool_server *s, const struct upstream_failure *failure);

/* ---- within the folder ---- */

/* All servers, including those that are leaving. */
#define EACH_SERVER(p, s)                                                                                    \
    for ((s) = (p)->server; (s) < (p)->server + (p)->places; (s)++)                                          \
        if ((s)->index >= 0)

#define IDLE_POLL_MS 100U

void pool_move(struct upstream *u, enum pool_list to);
void pool_wake(struct pool *p); /* a resource became free: runs the queue, from the loop */

/* pool_servers.c */
void pool_servers_init(struct pool *p);
void pool_arrange(struct pool *p);           /* addresses become servers; others leave */
void pool_tidy(struct pool *p);              /* frees servers that have left */
void pool_servers_fini(struct pool *p);      /* call when no connection is left */
int pool_take_ticket(struct pool_server *s); /* for a new connection; may close an idle one; -1: none */
bool pool_tickets_gone(const struct pool_server *s);
/* Puts upstream, server, and the address of a server configured by name. */
void pool_log_server(struct log_line *l, const struct pool_server *s);

/* pool_queue.c */
void pool_dispatch(struct pool *p);
void pool_enqueue(struct lease *l);
void pool_publish(struct pool *p);
void lease_end(struct lease *l, enum lease_status status);
void pool_ask_holders(struct pool *p);  /* as many as leases wait here */
bool pool_poll_holders(struct pool *p); /* all, if leases wait elsewhere; false: none is left */
struct upstream *pool_take_idle(struct pool_server *s);
void pool_connect(struct pool_server *s, int ticket, struct lease *l);

/* health.c */
void health_start(struct upstreams *ups);
void health_stop(struct upstreams *ups);
void health_wake(struct upstreams *ups); /* probes new servers soon */
/* Repeats a probe at once, because the server is used without TLS from now on. */
void health_again(struct pool_server *s);
/* Reports whether a connection reached the end of its EHLO. */
void health_observe(struct pool_server *s, bool ok);
/*
 * A leased connection failed after its EHLO.  Probes cannot detect a server that greets and then fails.  So after
 * `fall` of these without a success between, other servers come first for an `interval`.
 */
void health_broken(struct pool_server *s, const struct upstream_failure *f);

#endif
