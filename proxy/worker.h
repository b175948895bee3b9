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
 * Each object has one owner, and only its owner destroys it (L1).
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
    struct upstream_names *names; /* upstream servers configured by name */
    struct policy_worker *judges; /* policy data that all sessions share */
    struct resolver_watch *test;  /* NULL: another worker runs the test */
    struct tls_server *tls;       /* NULL: the file has no section tls */
    struct list_node handshakes;  /* sessions in a handshake, by session.tls_link */
    size_t handshake_count;
    struct list_node announced; /* connections that still owe their PROXY header */
    size_t proxy_wait_count;
    unsigned index; /* 0.. within its generation */
    unsigned generation;
    struct list_node sessions; /* all live ones, by session.link */
    size_t session_count;
    struct slab session_slab;
    struct network_share networks; /* connections by client network */
    struct listener *listeners;
    size_t listener_count;
    bool draining;     /* no new sessions; the loop stops when the last one is gone */
    bool replaced;     /* draining because a newer generation serves (a reload), not because of a stop */
    bool stress;       /* over limits.stress.at: short command timeout */
    bool spool_stress; /* the same for limits.memory or limits.spool: messages must keep a minimum pace */
    struct timer tick; /* once a second: heartbeat, stress, gauges */
    struct timer drain_deadline;
    size_t session_max; /* session limit of this process; leaves descriptors for upstreams */
    struct log_limit private_log, monitor_log, proxy_log;
};

/* A listening socket handed to a worker. */
struct worker_socket {
    int fd;
    const struct config_listener *conf;
};

struct dns_pace;

struct worker_task { /* input of a worker from the supervisor; all of it outlives worker_main() */
    struct state *state;
    struct dns_pace *pace; /* DNS queries by client network, shared by all workers */
    const struct config *conf;
    unsigned index, generation;
    const struct worker_socket *sockets;
    size_t socket_count;
    int supervisor_fd; /* reports end of file when the supervisor has ended; the worker then drains too */
};

/*
 * Runs a worker process from after fork and state_slot_enter() to its exit: builds everything from conf and serves.
 * The first SIGTERM drains, the second ends at once.  Returns the exit status.
 */
int worker_main(const struct worker_task *task);

/* Called by session.c when a session has ended.  The last one ends the loop of a draining worker. */
void worker_session_gone(struct worker *w);

#endif
