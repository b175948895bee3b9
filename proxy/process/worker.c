/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c - one worker process: builds everything on the snapshot, serves, drains, ends.
 *
 * Once a second it beats (the supervisor kills a worker that does not), checks the load of all workers and
 * decides whether to shorten timeouts.  It also frees memory of large messages after they have stopped coming.
 * A drain stops accepting, tells idle sessions, and lets the others finish.  At drain_timeout it ends all but
 * those that wait for a final reply, whose own deadlines apply (DESIGN 3).
 *
 * Order of the end: listeners, sessions, lingering replies, upstreams, loop.
 */
#include "proxy/worker.h"

#include <malloc.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "core/crypto.h"
#include "core/heap_trim.h"
#include "core/stream.h"
#include "dns/dns.h"
#include "policy/policy.h"
#include "proxy/process/resolver_watch.h"
#include "proxy/process/sandbox.h"
#include "proxy/session/limits.h"
#include "proxy/session/listener.h"
#include "proxy/session/proxy_wait.h"
#include "proxy/session/session.h"
#include "proxy/upstream/pool.h"
#include "proxy/upstream/upstream_names.h"
#include "state/slots.h"
#include "tls/tls.h"

#define TICK_MS 1000
#define TICK_DRAINING_MS 50
#define TURN_WINDOW 10 /* ticks for which the longest turn stays visible */
#define SESSIONS_KEPT 1024

#define MAPPED_FROM (4 << 20) /* octets: malloc maps larger blocks separately */
#define FREED_KEPT (64 << 20)
#define QUIET_KEPT ((size_t)8 << 20) /* octets kept after a while without large messages */
#define QUIET_TICKS 10

#define CACHE_PART_OF 8          /* divisor of limits.memory: maximum for the DNS cache */
#define QUIET_MESSAGES (1 << 20) /* octets of all messages at one tick */

#define EXIT_CONFIG 78

struct process { /* the worker and data of this file */
    struct worker w;
    struct watch signals, supervisor;
    int signal_fd;
    uint64_t next_beat_ms, next_turn_ms;
    unsigned quiet_ticks;
    struct heap_trim trim;
};

static struct process *process_of(struct worker *w)
{
    return container_of(w, struct process, w);
}

static void measure_load(struct worker *w)
{
    const struct config_limits *lim = &w->conf->limits;
    bool stress = w->stress, spool_stress = w->spool_stress;

    w->stress = limits_short(w, M_SESSIONS_NOW, lim->connections);
    w->spool_stress =
        limits_short(w, M_MEMORY_HELD, lim->memory) || limits_short(w, M_SPOOL_USED, lim->spool);
    gauge_set(M_STRESS, w->stress || w->spool_stress ? 1 : 0);
    if ((w->stress && !stress) || (w->spool_stress && !spool_stress)) {
        session_each(w, session_rearm); /* silent sessions still have the long timeout */
    }
}

static void measure_turn(struct process *p, uint64_t now)
{
    uint64_t longest = loop_longest_turn_us(p->w.loop);

    if (longest < metric_get(M_LONGEST_TURN_US) && now < p->next_turn_ms) {
        return;
    }
    gauge_set(M_LONGEST_TURN_US, longest);
    p->next_turn_ms = now + TURN_WINDOW * TICK_MS;
}

/* Keeps freed memory of large messages for the next ones, and returns it to the kernel after they have stopped. */
static void give_memory_back(struct process *p)
{
    if (metric_get(M_MEMORY_USED) > QUIET_MESSAGES) {
        p->quiet_ticks = 0;
        heap_trim_stop(&p->trim);
    } else if (++p->quiet_ticks == QUIET_TICKS) {
        heap_trim_start(&p->trim, QUIET_KEPT);
    }
}

static void end_if_done(struct worker *w)
{
    if (w->draining && w->session_count == 0 && stream_lingering() == 0) {
        loop_stop(w->loop);
    }
}

static void on_tick(void *arg)
{
    struct worker *w = arg;
    struct process *p = process_of(w);
    uint64_t now = loop_now(w->loop);

    timer_start(&w->tick, w->draining ? TICK_DRAINING_MS : TICK_MS);
    end_if_done(w);
    if (now < p->next_beat_ms) {
        return;
    }
    p->next_beat_ms = now + TICK_MS - 1;
    state_heartbeat(w->state, now);
    measure_load(w);
    measure_turn(p, now);
    give_memory_back(p);
    seccomp_report();
}

static void on_drain_deadline(void *arg)
{
    struct worker *w = arg;

    log_msg(LOG_LEVEL_WARN, "drain_timeout",
            "%zu sessions are ended; those that wait for a final reply go on", w->session_count);
    session_each(w, session_expire);
}

static void drain(struct process *p)
{
    struct worker *w = &p->w;

    if (w->draining) {
        return;
    }
    w->draining = true;
    w->replaced = state_generation(w->state) > w->generation;
    state_set_draining(w->state, state_my_slot(w->state));
    log_msg(LOG_LEVEL_INFO, "draining", "%zu sessions are left", w->session_count);
    for (size_t i = 0; i < w->listener_count; i++) {
        listener_close(&w->listeners[i]);
    }
    proxy_wait_close_all(w);
    if (w->conf->server.drain_timeout_ms != CONFIG_OFF) {
        timer_start(&w->drain_deadline, w->conf->server.drain_timeout_ms);
    }
    timer_start(&w->tick, TICK_DRAINING_MS);
    upstreams_drain(w->upstreams);
    session_each(w, session_drain);
}

static void on_signal(unsigned ready, void *arg)
{
    struct process *p = arg;
    struct signalfd_siginfo info;

    (void)ready;
    while (read(p->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (p->w.draining) {
            _exit(0); /* the second time: end at once; this process promised nothing to a client */
        }
        drain(p);
    }
}

static void on_supervisor(unsigned ready, void *arg)
{
    struct process *p = arg;

    (void)ready;
    watch_set(&p->supervisor, 0);
    log_msg(LOG_LEVEL_ERROR, "supervisor_gone", "The supervisor is gone: this worker drains");
    drain(p);
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_SETMASK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

_Static_assert(TLS_TICKET_SHARE <= STATE_TLS_SHARE, "the ticket keys must fit the shared memory");

/* The supervisor has already done the same successfully; if it fails here, STARTTLS gets 454. */
static void make_tls(struct worker *w)
{
    struct config_errors errs = { 0 };

    if (w->conf->tls_material == NULL) {
        return;
    }
    w->tls = tls_server_new(w->conf, w->conf->tls_material, state_tls_share(w->state), &errs);
    for (size_t i = 0; i < errs.count; i++) {
        log_msg(LOG_LEVEL_ERROR, "tls", "%s", errs.list[i].text);
    }
    config_errors_fini(&errs);
}

/* The cache gets one worker's share of the configured size, at most an eighth of limits.memory, which counts it. */
static struct resolver *make_resolver(const struct worker *w, struct dns_pace *pace)
{
    const struct config *c = w->conf;
    struct dns_settings dns = dns_settings_of(&c->dns);

    dns.pace = pace;
    dns.cache_bytes =
        (size_t)min_u64(c->dns.cache_memory, c->limits.memory / CACHE_PART_OF) / c->server.workers;
    dns.cache_entries = max_size(c->dns.cache_entries / c->server.workers, 1);
    return resolver_new(w->loop, &dns);
}

static void start(struct process *p, const struct worker_socket *sockets, int supervisor_fd)
{
    struct worker *w = &p->w;

    watch_init(&p->signals, w->loop, p->signal_fd, on_signal, p);
    watch_set(&p->signals, WATCH_READ);
    watch_init(&p->supervisor, w->loop, supervisor_fd, on_supervisor, p);
    watch_set(&p->supervisor, WATCH_READ);
    timer_init(&w->tick, w->loop, on_tick, w);
    heap_trim_init(&p->trim, w->loop);
    timer_init(&w->drain_deadline, w->loop, on_drain_deadline, w);
    timer_start(&w->tick, 0);
    for (size_t i = 0; i < w->listener_count; i++) {
        listener_open(&w->listeners[i], w, &sockets[i]);
    }
}

static void finish(struct process *p)
{
    struct worker *w = &p->w;

    for (size_t i = 0; i < w->listener_count; i++) {
        listener_fini(&w->listeners[i]);
    }
    proxy_wait_close_all(w);
    timer_stop(&w->tick);
    heap_trim_stop(&p->trim);
    timer_stop(&w->drain_deadline);
    watch_stop(&p->signals);
    watch_stop(&p->supervisor);
    resolver_watch_free(&w->test);
    policy_worker_free(&w->judges);
    upstream_names_free(&w->names);
    upstreams_free(&w->upstreams);
    resolver_free(w->resolver);
    loop_free(w->loop);
    tls_server_free(w->tls);
    slab_fini(&w->session_slab);
    network_share_fini(&w->networks);
    close(p->signal_fd);
    free(w->listeners);
    free(p);
}

/* Message buffers are allocated and freed all the time.  New memory from the kernel would cost a page fault for
 * every page. */
static void keep_freed_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
    (void)mallopt(M_TRIM_THRESHOLD, FREED_KEPT);
}

int worker_main(const struct worker_task *task)
{
    struct process *p = xcalloc(1, sizeof(*p));
    const struct config *conf = task->conf;
    struct worker *w = &p->w;

    crypto_after_fork();
    keep_freed_memory();
    w->conf = conf;
    w->state = task->state;
    w->index = task->index;
    w->generation = task->generation;
    w->session_max = limits_session_max(conf, sandbox_raise_descriptors());
    list_init(&w->sessions);
    list_init(&w->handshakes);
    list_init(&w->announced);
    network_share_init(&w->networks);
    session_slab_init(&w->session_slab, SESSIONS_KEPT);
    p->signal_fd = open_signals();
    if (sandbox_enter(conf, SECCOMP_WORKER) != SANDBOX_OK) {
        log_msg(LOG_LEVEL_ERROR, "sandbox", "Privileges cannot be dropped to the user \"%s\"",
                conf->server.user);
        free(p);
        return EXIT_CONFIG;
    }
    w->loop = loop_new();
    make_tls(w);
    w->resolver = make_resolver(w, task->pace);
    w->upstreams = upstreams_new(w->loop, w->state, conf);
    w->names = upstream_names_new(w->upstreams, w->resolver);
    w->judges = policy_worker_new(conf->policy, w->loop, w->resolver, w->state);
    w->test = resolver_watch_new(w);
    w->listener_count = task->socket_count;
    w->listeners = xcalloc(max_size(task->socket_count, 1), sizeof(*w->listeners));
    start(p, task->sockets, task->supervisor_fd);
    sandbox_seal(conf, SECCOMP_WORKER);
    loop_run(w->loop);
    finish(p);
    return 0;
}

void worker_session_gone(struct worker *w)
{
    end_if_done(w);
}
