/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - one worker process and the ownership tree.
 *
 *   worker -+- config snapshot (immutable for the life of the process)
 *           +- loop, state (shared memory), upstreams (pools)
 *           +- listeners --- session -+- stream (client socket, TLS)
 *                                     +- txn -+- arena   (everything with the message's lifetime)
 *                                             +- spool
 *                                             +- relay --- lease of an upstream connection
 *
 * One owner each; an object is destroyed by its owner and by nobody else (L1).
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "config/config.h"
#include "core/loop.h"
#include "core/slab.h"
#include "proxy/network_share.h"
#include "state/state.h"

struct upstreams;
struct listener;
struct session;
struct policy_worker;
struct resolver;
struct resolver_watch;
struct upstream_names;
struct tls_server;

struct worker {
    const struct config *conf;
    struct loop *loop;
    struct state *state;
    struct upstreams *upstreams;
    struct resolver *resolver;
    struct upstream_names *names; /* upstream servers given by name */
    struct policy_worker *judges; /* what the sessions' judgements share */
    struct resolver_watch *test;  /* NULL: another worker does it */
    struct tls_server *tls;       /* NULL: no section tls */
    struct list_node handshakes;  /* sessions in a handshake, by session.tls_link */
    size_t handshake_count;
    struct list_node announced; /* connections whose PROXY header is awaited */
    size_t proxy_wait_count;
    unsigned index; /* 0.. of its generation */
    unsigned generation;
    struct list_node sessions; /* all live ones, by session.link */
    size_t session_count;
    struct slab session_slab;
    struct network_share networks; /* where the counted sessions come from */
    struct listener *listeners;
    size_t listener_count;
    bool draining;     /* no new sessions; the loop stops when the last one is gone */
    bool replaced;     /* draining because a newer generation serves: a reload, not a stop */
    bool stress;       /* over limits.stress.at: short command timeout */
    bool spool_stress; /* the same share of limits.memory or limits.spool: messages must keep a pace */
    struct timer tick; /* heartbeat, stress, gauges: once a second */
    struct timer drain_deadline;
    size_t session_max; /* of this process, so that descriptors are left for upstreams */
    struct log_limit private_log, monitor_log, proxy_log;
};

/* A listening socket handed to a worker. */
struct worker_socket {
    int fd;
    const struct config_listener *conf;
};

struct dns_pace;

struct worker_task { /* what the supervisor gives a worker; all of it outlives worker_main() */
    struct state *state;
    struct dns_pace *pace; /* of all workers: what client networks have asked */
    const struct config *conf;
    unsigned index, generation;
    const struct worker_socket *sockets;
    size_t socket_count;
    int supervisor_fd; /* readable (end of file) when the supervisor is gone: then the worker drains too */
};

/*
 * The whole life of a worker process, after fork and state_slot_enter(): builds everything on conf, serves,
 * drains when asked (SIGTERM once; the second ends at once), exits.  Returns the exit status.
 */
int worker_main(const struct worker_task *task);

/* A session ended (called by session.c): counts, and ends the loop of a draining worker with the last one. */
void worker_session_gone(struct worker *w);

#endif
