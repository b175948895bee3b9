/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_workers.c - processes and generations: fork, watch, reap, replace, drain.
 *
 * A worker that dies is replaced at once; if it keeps dying soon after its start, the delay grows.
 * A worker whose heartbeat stops is killed and then counts as dead.  A new generation becomes the
 * current one when all its workers beat.  Until then, and if they fail to start, the old one keeps
 * serving.
 *
 * The log rings have one reader at a time: a new recorder is forked after the old one has been reaped.
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "admin/admin.h"
#include "core/crypto.h"
#include "core/loop.h"
#include "policy/policy.h"
#include "proxy/process/canary.h"
#include "proxy/process/supervisor_priv.h"
#include "proxy/upstream/pool.h"
#include "state/log_ring.h"
#include "state/servers.h"
#include "state/slots.h"

#define HEARTBEAT_MAX_MS 30000
#define START_MAX_MS 30000
#define START_FAILURES 3
#define SOON_MS 1000   /* a death this soon after the start counts as a crash loop */
#define CRASHES_FREE 2 /* replaced without delay */
#define BACKOFF_MS 100
#define BACKOFF_MAX_MS 5000
#define RECORDER_STOP_MS 12000 /* more than recorder_main() may need to end */
#define LAST_WORDS_S 5

uint64_t supervisor_clock(void)
{
    return loop_now_us() / 1000;
}

struct generation *generation_in(const struct supervisor *sup, enum generation_phase phase)
{
    for (size_t i = 0; i < GENERATIONS; i++) {
        if (sup->generation[i] != NULL && sup->generation[i]->phase == phase) {
            return sup->generation[i];
        }
    }
    return NULL;
}

unsigned generations_draining(const struct supervisor *sup)
{
    unsigned n = 0;

    for (size_t i = 0; i < GENERATIONS; i++) {
        n += sup->generation[i] != NULL && sup->generation[i]->phase == GENERATION_DRAINING;
    }
    return n;
}

/* ---- forking ---- */

static void sink_to_ring(enum log_level level, enum log_class cls, struct slice line, void *arg)
{
    (void)level;
    state_log(arg, cls, line);
}

/* Runs first in every child: resets signals to the defaults, and closes the supervisor's descriptors. */
static void become_child(struct supervisor *sup, const char *role, unsigned index, int slot)
{
    static const int ignored[] = { SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGPIPE };
    sigset_t none;

    for (size_t i = 0; i < ARRAY_LEN(ignored); i++) {
        (void)signal(ignored[i], SIG_IGN);
    }
    sigemptyset(&none);
    sigaddset(&none, SIGTERM); /* stays blocked until the process has its own way to receive it */
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0); /* only the supervisor handles signals to the group: two would mean "at once" */
    close(sup->signal_fd);
    close(sup->alive[1]);
    control_drop_all(sup);
    unix_sockets_close_in_child(sup, role[0] == 'r');
    if (sup->notify_fd >= 0) {
        close(sup->notify_fd);
    }
    crypto_after_fork();
    state_slot_enter(sup->state, slot);
    log_set_process(role, index);
    log_set_sink(sink_to_ring, sup->state);
    (void)prctl(PR_SET_NAME, role[0] == 'w' ? "glacis-worker" : "glacis-recorder", 0, 0, 0);
}

static void apply_log_settings(const struct config *conf)
{
    log_set_format(conf->log.format);
    log_set_level(conf->log.level);
}

NORETURN static void run_worker(struct supervisor *sup, struct generation *g, unsigned index, int slot)
{
    struct worker_socket *sockets = xcalloc(WORKER_SOCKETS, sizeof(*sockets));
    size_t count = sockets_of_worker(&sup->sockets, g->conf, index, sockets);
    const struct worker_task task = { .state = sup->state,
                                      .pace = sup->pace,
                                      .conf = g->conf,
                                      .index = index,
                                      .generation = g->number,
                                      .sockets = sockets,
                                      .socket_count = count,
                                      .supervisor_fd = sup->alive[0] };
    int status;

    become_child(sup, "worker", index, slot);
    canary_set(canary_new());
    apply_log_settings(g->conf);
    sockets_close_others(&sup->sockets, sockets, count, -1);
    status = worker_main(&task);
    free(sockets);
    exit(status);
}

NORETURN static void run_recorder(struct supervisor *sup, const struct config *conf, int handover_fd)
{
    const struct bound *admin = sockets_find_admin(&sup->sockets, conf);
    const struct recorder_task task = { .state = sup->state,
                                        .conf = conf,
                                        .admin_fd = admin != NULL ? admin->fd[0] : -1,
                                        .query_fd = sup->query.fd,
                                        .handover_fd = handover_fd,
                                        .supervisor_fd = sup->alive[0],
                                        .owner = geteuid(),
                                        .each_turn = seccomp_report };

    become_child(sup, "recorder", 0, sup->recorder.slot);
    canary_set(canary_new());
    apply_log_settings(conf);
    sockets_close_others(&sup->sockets, NULL, 0, task.admin_fd);
    (void)sandbox_raise_descriptors();
    if (sandbox_enter(conf, SECCOMP_RECORDER) != SANDBOX_OK) {
        exit(EXIT_CONFIG);
    }
    sandbox_seal(conf, SECCOMP_RECORDER);
    exit(recorder_main(&task));
}

static void forked(struct supervisor *sup, struct child *c, pid_t pid)
{
    c->started_ms = supervisor_clock();
    c->killed = false;
    c->restart_ms = 0;
    if (pid < 0) {
        log_msg(LOG_LEVEL_ERROR, "fork_failed", "A process cannot be started: %s", strerror(errno));
        state_slot_release(sup->state, c->slot);
        c->slot = -1;
        c->restart_ms = c->started_ms + BACKOFF_MAX_MS;
        return;
    }
    c->pid = pid;
    state_slot_pid(sup->state, c->slot, pid);
}

static void start_worker(struct supervisor *sup, struct generation *g, unsigned index)
{
    struct child *c = &g->worker[index];
    pid_t pid;

    c->slot = state_slot_take(sup->state, ROLE_WORKER, g->number, index);
    if (c->slot < 0) {
        log_msg(LOG_LEVEL_ERROR, "slots_full", "No slot of the shared memory is free for a worker");
        c->restart_ms = sup->now_ms + BACKOFF_MAX_MS;
        return;
    }
    pid = fork();
    if (pid == 0) {
        run_worker(sup, g, index, c->slot);
    }
    forked(sup, c, pid);
}

static void start_recorder(struct supervisor *sup)
{
    struct generation *g = generation_in(sup, GENERATION_CURRENT);
    int pair[2];
    pid_t pid;

    if (g == NULL) {
        g = generation_in(sup, GENERATION_STARTING);
    }
    if (g == NULL) {
        g = generation_in(sup, GENERATION_DRAINING);
    }
    sup->recorder.restart_ms = 0;
    sup->recorder_stopping = false;
    if (g == NULL) {
        return;
    }
    sup->recorder.slot = state_slot_take(sup->state, ROLE_RECORDER, g->number, 0);
    if (sup->recorder.slot < 0) {
        sup->recorder.restart_ms = sup->now_ms + BACKOFF_MAX_MS;
        return;
    }
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        pair[0] = pair[1] = -1; /* a replacement for `query` then needs a new recorder */
    }
    sup->to_recorder = pair[0];
    pid = fork();
    if (pid == 0) {
        run_recorder(sup, g->conf, pair[1]);
    }
    forked(sup, &sup->recorder, pid);
    if (pair[1] >= 0) {
        close(pair[1]);
    }
    if (pid > 0) {
        log_set_sink(sink_to_ring, sup->state);
    }
}

void recorder_stop(struct supervisor *sup)
{
    if (sup->recorder.pid == 0 || sup->recorder_stopping) {
        return;
    }
    sup->recorder_stopping = true;
    sup->recorder_kill_ms = sup->now_ms + RECORDER_STOP_MS;
    (void)kill(sup->recorder.pid, SIGTERM);
}

/* The lines may come from a compromised worker, so an unprivileged process reads and prints them. */
NORETURN static void tell_last_words(struct supervisor *sup, const struct config *conf, int slot)
{
    struct buf line;

    become_child(sup, "recorder", 0, slot);
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(LAST_WORDS_S);
    if (conf != NULL && sandbox_enter(conf, SECCOMP_RECORDER) == SANDBOX_OK) {
        sandbox_seal(conf, SECCOMP_RECORDER);
    }
    buf_init(&line, LOG_LINE_MAX);
    while (state_log_read(sup->state, &line)) {
        fprintf(stderr, SLICE_FMT, SLICE_ARG(buf_slice(&line)));
        buf_reset(&line);
    }
    exit(0);
}

void supervisor_last_words(struct supervisor *sup)
{
    const struct config *conf = NULL;
    int slot = -1;
    pid_t pid;

    if (sup->state != NULL && state_log_waits(sup->state)) {
        slot = state_slot_take(sup->state, ROLE_RECORDER, 0, 0);
    }
    if (slot < 0) {
        return;
    }
    for (size_t i = 0; i < GENERATIONS && conf == NULL; i++) {
        conf = sup->generation[i] != NULL ? sup->generation[i]->conf : NULL;
    }
    pid = fork();
    if (pid == 0) {
        tell_last_words(sup, conf, slot);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        ;
    }
}

/* ---- generations ---- */

bool generation_start(struct supervisor *sup, struct config *conf)
{
    struct generation *g;
    size_t place = 0;

    while (place < GENERATIONS && sup->generation[place] != NULL) {
        place++;
    }
    if (place == GENERATIONS) {
        return false;
    }
    g = xcalloc(1, sizeof(*g));
    g->number = conf->generation;
    g->conf = conf;
    g->phase = GENERATION_STARTING;
    g->workers = conf->server.workers;
    g->since_ms = sup->now_ms;
    sup->generation[place] = g;
    upstreams_register(sup->state, conf);
    state_keywords_read(sup->state, conf->server.state_dir);
    if (conf->policy != NULL) {
        policy_rules_register(conf->policy, sup->state);
        files_keep_rules(conf);
    }
    if (sup->recorder.pid == 0) {
        start_recorder(sup);
    }
    for (unsigned i = 0; i < g->workers; i++) {
        start_worker(sup, g, i);
    }
    return true;
}

static bool is_alive(const struct generation *g)
{
    for (size_t i = 0; i < g->workers; i++) {
        if (g->worker[i].pid > 0) {
            return true;
        }
    }
    return false;
}

bool generations_alive(const struct supervisor *sup)
{
    for (size_t i = 0; i < GENERATIONS; i++) {
        if (sup->generation[i] != NULL && is_alive(sup->generation[i])) {
            return true;
        }
    }
    return false;
}

static void signal_workers(struct generation *g, int sig)
{
    for (size_t i = 0; i < g->workers; i++) {
        if (g->worker[i].pid > 0) {
            (void)kill(g->worker[i].pid, sig);
        }
    }
}

void generations_signal(struct supervisor *sup, int sig)
{
    for (size_t i = 0; i < GENERATIONS; i++) {
        if (sup->generation[i] != NULL) {
            signal_workers(sup->generation[i], sig);
        }
    }
}

static void drain(struct generation *g)
{
    if (g->phase == GENERATION_DRAINING) {
        return;
    }
    g->phase = GENERATION_DRAINING;
    for (size_t i = 0; i < g->workers; i++) {
        g->worker[i].restart_ms = 0;
    }
    signal_workers(g, SIGTERM);
}

void generations_drain(struct supervisor *sup)
{
    for (size_t i = 0; i < GENERATIONS; i++) {
        if (sup->generation[i] != NULL) {
            drain(sup->generation[i]);
        }
    }
}

/*
 * Closes and drops sockets that no snapshot names.  A draining generation accepts nothing, so its addresses are not
 * kept: a client would wait there forever.
 */
static void sweep(struct supervisor *sup)
{
    const struct config *confs[GENERATIONS + 1] = { 0 }, *listens[GENERATIONS + 1] = { 0 };

    for (size_t i = 0; i < GENERATIONS; i++) {
        const struct generation *g = sup->generation[i];

        confs[i] = g != NULL ? g->conf : NULL;
        listens[i] = g != NULL && g->phase != GENERATION_DRAINING ? g->conf : NULL;
    }
    confs[GENERATIONS] = listens[GENERATIONS] = sup->pending;
    sockets_keep(&sup->sockets, listens, ARRAY_LEN(listens));
    upstreams_sweep(sup->state, confs, ARRAY_LEN(confs));
}

static void free_generation(struct supervisor *sup, size_t place)
{
    struct generation *g = sup->generation[place];

    log_msg(LOG_LEVEL_INFO, "generation_drained", "Generation %u has ended", g->number);
    sup->generation[place] = NULL;
    config_free(g->conf);
    free(g);
    if (!sup->stopping) {
        sweep(sup);
    }
}

/* All its workers beat: drains the previous generation and replaces the recorder, for the new settings. */
static void make_current(struct supervisor *sup, struct generation *g)
{
    struct generation *old = generation_in(sup, GENERATION_CURRENT);

    state_generation_set(sup->state, g->number); /* first: it tells the old workers that they are replaced */
    gauge_set(M_GENERATION, g->number);
    if (old != NULL) {
        drain(old);
    }
    g->phase = GENERATION_CURRENT;
    if (old != NULL) {
        apply_log_settings(g->conf);
        recorder_stop(sup);
        sweep(sup);
    }
    supervisor_generation_up(sup, g);
}

static bool all_beat(const struct supervisor *sup, const struct generation *g)
{
    struct state_slot_info info;

    for (size_t i = 0; i < g->workers; i++) {
        if (g->worker[i].pid == 0 || !state_slot_info(sup->state, g->worker[i].slot, &info) ||
            info.heartbeat_ms == 0) {
            return false;
        }
    }
    return true;
}

static void give_up(struct supervisor *sup, struct generation *g)
{
    g->phase = GENERATION_DRAINING;
    for (size_t i = 0; i < g->workers; i++) {
        g->worker[i].restart_ms = 0;
    }
    signal_workers(g, SIGTERM);
    supervisor_generation_failed(sup, g);
}

/* ---- death ---- */

static uint64_t backoff(struct child *c, uint64_t now)
{
    uint64_t wait;

    c->crashes = now - c->started_ms < SOON_MS ? c->crashes + 1 : 0;
    if (c->crashes <= CRASHES_FREE) {
        return now;
    }
    wait = (uint64_t)BACKOFF_MS << (c->crashes - CRASHES_FREE < 6 ? c->crashes - CRASHES_FREE : 6);
    return now + min_u64(wait, BACKOFF_MAX_MS);
}

static void log_death(const char *role, unsigned generation, unsigned index, const struct child *c,
                      int status)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_ERROR, "process_died")) {
        return;
    }
    log_text(&l, "role", role);
    log_num(&l, "generation", generation);
    log_num(&l, "index", index);
    log_num(&l, "pid", c->pid);
    if (WIFSIGNALED(status)) {
        log_text(&l, "cause", c->killed ? "hung" : "signal");
        log_num(&l, "signal", WTERMSIG(status));
    } else {
        log_text(&l, "cause", "exit");
        log_num(&l, "status", WEXITSTATUS(status));
    }
    log_end(&l);
}

static void worker_gone(struct supervisor *sup, struct generation *g, unsigned index, int status)
{
    struct child *c = &g->worker[index];
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    if (!clean || g->phase != GENERATION_DRAINING) {
        log_death("worker", g->number, index, c, status);
        facts_note_death(sup);
    }
    state_slot_release(sup->state, c->slot);
    c->slot = -1;
    c->pid = 0;
    if (g->phase == GENERATION_DRAINING) {
        return;
    }
    count(M_WORKER_RESTARTS);
    c->restart_ms = backoff(c, sup->now_ms);
    if (g->phase == GENERATION_STARTING && ++g->failures >= START_FAILURES) {
        give_up(sup, g);
    }
}

static void recorder_gone(struct supervisor *sup, int status)
{
    struct child *c = &sup->recorder;

    if (!sup->recorder_stopping) {
        log_death("recorder", 0, 0, c, status);
        facts_note_death(sup);
    }
    if (sup->to_recorder >= 0) {
        close(sup->to_recorder);
    }
    sup->to_recorder = -1;
    state_slot_release(sup->state, c->slot);
    c->slot = -1;
    c->pid = 0;
    if (sup->stopping && !generations_alive(sup)) {
        log_set_sink(NULL, NULL);
        return;
    }
    c->restart_ms = sup->recorder_stopping ? sup->now_ms : backoff(c, sup->now_ms);
    sup->recorder_stopping = false;
}

static void find_dead(struct supervisor *sup, pid_t pid, int status)
{
    if (pid == sup->recorder.pid) {
        recorder_gone(sup, status);
        return;
    }
    for (size_t i = 0; i < GENERATIONS; i++) {
        struct generation *g = sup->generation[i];

        for (unsigned k = 0; g != NULL && k < g->workers; k++) {
            if (g->worker[k].pid == pid) {
                worker_gone(sup, g, k, status);
                return;
            }
        }
    }
    /* Not our child: as process 1 of a container we also reap orphans. */
}

void generations_reap(struct supervisor *sup)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        find_dead(sup, pid, status);
    }
}

/* ---- once a tick ---- */

static void check_heartbeat(struct supervisor *sup, struct child *c, const char *role)
{
    struct state_slot_info info;
    uint64_t last;

    if (c->pid == 0 || c->killed || !state_slot_info(sup->state, c->slot, &info)) {
        return;
    }
    last = info.heartbeat_ms > c->started_ms ? info.heartbeat_ms : c->started_ms;
    if (sup->now_ms < sup->grace_until_ms || sup->now_ms < last + HEARTBEAT_MAX_MS) {
        return;
    }
    log_msg(LOG_LEVEL_ERROR, "process_hung", "The %s with pid %ld has not beaten for %u s and is killed",
            role, (long)c->pid, HEARTBEAT_MAX_MS / 1000);
    c->killed = true;
    (void)kill(c->pid, SIGKILL);
}

static void tick_generation(struct supervisor *sup, struct generation *g)
{
    for (unsigned i = 0; i < g->workers; i++) {
        struct child *c = &g->worker[i];

        check_heartbeat(sup, c, "worker");
        if (c->pid == 0 && c->restart_ms != 0 && sup->now_ms >= c->restart_ms) {
            start_worker(sup, g, i);
        }
    }
    if (g->phase != GENERATION_STARTING) {
        return;
    }
    if (all_beat(sup, g)) {
        make_current(sup, g);
    } else if (sup->now_ms > g->since_ms + START_MAX_MS) {
        give_up(sup, g);
    }
}

static void tick_recorder(struct supervisor *sup)
{
    check_heartbeat(sup, &sup->recorder, "recorder");
    if (sup->recorder.pid == 0 && sup->recorder.restart_ms != 0 && sup->now_ms >= sup->recorder.restart_ms) {
        start_recorder(sup);
    }
    if (sup->recorder.pid > 0 && sup->recorder_stopping && sup->now_ms >= sup->recorder_kill_ms) {
        (void)kill(sup->recorder.pid, SIGKILL);
    }
}

static void set_gauges(const struct supervisor *sup)
{
    uint64_t current = 0, draining = 0;

    for (size_t i = 0; i < GENERATIONS; i++) {
        const struct generation *g = sup->generation[i];

        for (size_t k = 0; g != NULL && k < g->workers; k++) {
            if (g->worker[k].pid > 0 && g->phase == GENERATION_DRAINING) {
                draining++;
            } else if (g->worker[k].pid > 0 && g->phase == GENERATION_CURRENT) {
                current++;
            }
        }
    }
    gauge_set(M_WORKERS, current);
    gauge_set(M_WORKERS_DRAINING, draining);
}

void generations_tick(struct supervisor *sup)
{
    if (sup->tick_ms != 0 && sup->now_ms > sup->tick_ms + HEARTBEAT_MAX_MS / 6) {
        sup->grace_until_ms = sup->now_ms + HEARTBEAT_MAX_MS; /* all processes may have slept */
    }
    sup->tick_ms = sup->now_ms;
    tick_recorder(sup);
    for (size_t i = 0; i < GENERATIONS; i++) {
        if (sup->generation[i] == NULL) {
            continue;
        }
        tick_generation(sup, sup->generation[i]);
        if (sup->generation[i]->phase == GENERATION_DRAINING && !is_alive(sup->generation[i])) {
            free_generation(sup, i);
        }
    }
    set_gauges(sup);
}
