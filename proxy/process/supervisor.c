/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor.c - start, the poll loop, signals, stop.
 *
 * It runs a plain poll() over a signalfd and the control socket, because it must continue when all else is broken.
 * It forks, so it must not own an event loop that children would share.  It reads nothing from the network.
 *
 *     SIGHUP   reload            SIGTERM, SIGINT   drain and end; the second time at once
 *     SIGUSR1  log file again    SIGCHLD           reap and replace
 *
 * Errors of the start go to standard error, as sentences.  Once the recorder runs, everything goes to the log.
 */
#include "proxy/process/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "admin/admin.h"
#include "dns/dns.h"
#include "proxy/process/supervisor_priv.h"
#include "state/slots.h"
#include "tls/tls.h"

#define TICK_MS 1000
#define TICK_BUSY_MS 20 /* while something starts or ends */
#define AT_ONCE_MS 500
#define BIND_PAUSE_MS 100
#define BIND_TRIES 15
#define STOP_MARGIN_MS 60000
#define TEXT_MAX (64u * 1024u * 1024u)
#define CLIENTS_MIN 65536u

/* ---- start ---- */

static int say(int status, const struct buf *text)
{
    fprintf(stderr, "glacis: " SLICE_FMT "\n", SLICE_ARG(buf_slice(text)));
    return status;
}

static void print_errors(const struct config_errors *errs, const char *path)
{
    struct buf b;

    buf_init(&b, TEXT_MAX);
    config_errors_print(errs, path != NULL ? path : "environment", &b);
    fputs(b.ptr != NULL ? b.ptr : "", stderr);
    buf_fini(&b);
}

/* The file is invalid: uses the last good one instead, if there is one, and logs that. */
static struct config *fall_back(struct supervisor *sup, const struct config_errors *errs)
{
    const char *path = sup->options.config_path;
    struct config_errors again = { .lenient = MATERIAL_ALL };
    struct config *conf = NULL;
    struct buf text;

    buf_init(&text, TEXT_MAX);
    if (path != NULL && files_last_good(path, &text)) {
        conf = supervisor_complete(config_load_text(path, buf_slice(&text), &again), &again);
    }
    if (conf != NULL) {
        supervisor_log_errors(errs, path);
        supervisor_note_refused(sup, errs, SLICE_NONE);
        sup->last_good = true;
        log_msg(LOG_LEVEL_ERROR, "config_fallback",
                "%s is not valid (%zu errors): the last good configuration is in force instead", path,
                errs->fatal);
    }
    config_errors_fini(&again);
    buf_fini(&text);
    return conf;
}

/* Loads the first configuration; NULL with the exit status after printing why.  text: the file, if it was valid. */
static struct config *load_first(struct supervisor *sup, struct buf *text, int *status)
{
    struct config_errors errs = { .lenient = MATERIAL_ALL };
    struct config *conf = supervisor_load(sup, &errs, text);

    if (conf != NULL) {
        supervisor_log_errors(&errs, sup->options.config_path); /* warnings */
    } else {
        conf = fall_back(sup, &errs);
        buf_reset(text);
        if (conf == NULL) {
            print_errors(&errs, sup->options.config_path);
        }
    }
    *status = errs.unreadable ? EXIT_NOINPUT : EXIT_CONFIG;
    config_errors_fini(&errs);
    if (conf != NULL) {
        conf->generation = ++sup->last_number;
    }
    return conf;
}

/*
 * Workers whose supervisor was killed close their listeners at once, but a restart may be faster.  So if an address is
 * in use, retry the bind for a moment.
 */
static bool bind_first(struct supervisor *sup, const struct config *conf, struct buf *why)
{
    const struct timespec pause = { 0, BIND_PAUSE_MS * 1000000L };

    buf_reset(why); /* files_go_without() has logged its text */
    for (unsigned tries = 0; !sockets_bind(&sup->sockets, conf, why); tries++) {
        if (errno != EADDRINUSE || tries == BIND_TRIES) {
            return false;
        }
        buf_reset(why);
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

/* Binds addresses and prepares folders, then keeps the file as the last good one.  Returns 0 or the exit status. */
static int take_place(struct supervisor *sup, struct config *conf, struct slice text)
{
    struct buf why;
    int status = 0;

    buf_init(&why, 4096);
    sockets_inherit(&sup->sockets);
    if (!sup->options.beside && unix_sockets_taken(conf, &why)) {
        status = say(EXIT_OSERR, &why);
    } else if (!files_prepare(conf, &why) && !files_go_without(conf, buf_slice(&why))) {
        status = say(EXIT_CONFIG, &why);
    } else if (!bind_first(sup, conf, &why)) {
        status = say(EXIT_OSERR, &why);
    } else {
        files_keep_good(conf, text);
    }
    buf_fini(&why);
    return status;
}

static bool open_signals(struct supervisor *sup)
{
    static const int wanted[] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGCHLD };
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        (void)signal(wanted[i], SIG_DFL); /* an ignored signal would never arrive */
        sigaddset(&set, wanted[i]);
    }
    sigprocmask(SIG_SETMASK, &set, NULL);
    sup->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return sup->signal_fd >= 0 && pipe2(sup->alive, O_CLOEXEC) == 0;
}

size_t supervisor_clients(const struct config *conf)
{
    uint64_t wanted = conf->limits.connections == CONFIG_OFF ? 0 : conf->limits.connections;

    return (size_t)min_u64(wanted * 4 > CLIENTS_MIN ? wanted * 4 : CLIENTS_MIN, UINT32_MAX);
}

/* Loads the configuration, binds, and makes shared memory; NULL after printing why. */
static struct config *prepare(struct supervisor *sup, int *status)
{
    struct config *conf;
    struct buf text;

    buf_init(&text, TEXT_MAX);
    conf = load_first(sup, &text, status);
    if (conf != NULL) {
        *status = take_place(sup, conf, buf_slice(&text));
        sup->clients = supervisor_clients(conf);
        sup->sandbox = conf->server.sandbox;
        log_set_format(conf->log.format);
        log_set_level(conf->log.level);
    }
    buf_fini(&text);
    if (conf != NULL && *status == 0 &&
        (!open_signals(sup) || (sup->state = state_new(sup->clients)) == NULL ||
         (sup->pace = dns_pace_new()) == NULL)) {
        fprintf(stderr, "glacis: The system refuses what is needed to start: %s\n", strerror(errno));
        *status = EXIT_OSERR;
    }
    if (conf != NULL && *status != 0) {
        config_free(conf);
        conf = NULL;
    }
    return conf;
}

/* Does everything up to the first fork; 0, or the exit status after printing why. */
static int start(struct supervisor *sup)
{
    int status = 0;
    struct config *conf = prepare(sup, &status);

    if (conf == NULL) {
        return status;
    }
    tls_tickets_prepare(state_tls_share(sup->state));
    state_slot_enter(sup->state, state_slot_take(sup->state, ROLE_SUPERVISOR, 0, 0));
    state_slot_pid(sup->state, state_my_slot(sup->state), getpid());
    gauge_set(M_CONFIG_REFUSED_NOW, sup->refused.since_s != 0 ? 1 : 0);
    if (geteuid() == 0 && strcmp(conf->server.user, "root") == 0) {
        log_msg(LOG_LEVEL_WARN, "runs_as_root", "server.user is root: workers do not drop their privileges");
    }
    sandbox_supervisor(conf);
    unix_sockets_open(sup, conf);
    sup->now_ms = supervisor_clock();
    material_say(sup, conf);
    if (!generation_start(sup, conf)) {
        status = EXIT_SOFTWARE;
    }
    sockets_keep(&sup->sockets, (const struct config *const[]){ conf },
                 1); /* inherited ones that the file does not name */
    return status;
}

/* ---- stop ---- */

/* No process may stay forever, whatever it waits for. */
static uint64_t longest_drain_ms(const struct supervisor *sup)
{
    uint64_t longest = 0;

    for (size_t i = 0; i < GENERATIONS; i++) {
        const struct config *c = sup->generation[i] != NULL ? sup->generation[i]->conf : NULL;

        for (size_t u = 0; c != NULL && u < c->upstream_count; u++) {
            uint64_t ms = c->server.drain_timeout_ms;

            if (ms == CONFIG_OFF) {
                return CONFIG_OFF;
            }
            ms += c->upstreams[u].timeouts.final_reply_ms + STOP_MARGIN_MS;
            longest = ms > longest ? ms : longest;
        }
    }
    return longest;
}

static void begin_stop(struct supervisor *sup)
{
    uint64_t longest = longest_drain_ms(sup);

    sup->stopping = true;
    notify_send(sup, "STOPPING=1\nSTATUS=Sessions are drained");
    log_msg(LOG_LEVEL_INFO, "stopping", "Sessions are drained; a second signal ends them at once");
    if (sup->pending != NULL) {
        config_free(sup->pending);
    }
    sup->pending = NULL;
    generations_drain(sup);
    sockets_close_all(&sup->sockets);
    sup->stop_kill_ms = longest == CONFIG_OFF ? UINT64_MAX : sup->now_ms + longest;
}

static void on_stop_signal(struct supervisor *sup)
{
    if (!sup->stopping) {
        begin_stop(sup);
        return;
    }
    if (sup->at_once) {
        return;
    }
    log_msg(LOG_LEVEL_WARN, "stopping", "The second signal: sessions are ended at once");
    sup->at_once = true;
    sup->stop_kill_ms = sup->now_ms + AT_ONCE_MS;
    generations_signal(sup, SIGTERM);
}

/* ---- the loop ---- */

static void reopen_log(struct supervisor *sup)
{
    const struct generation *g = generation_in(sup, GENERATION_CURRENT);

    if (g != NULL && !files_make_log(g->conf)) {
        log_msg(LOG_LEVEL_ERROR, "log_reopen", "%s cannot be made: %s", g->conf->log.file, strerror(errno));
    }
    if (sup->recorder.pid > 0) {
        (void)kill(sup->recorder.pid, SIGUSR1);
    }
}

static void read_signals(struct supervisor *sup)
{
    struct signalfd_siginfo info;

    while (read(sup->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGHUP:
            log_msg(LOG_LEVEL_INFO, "reload_asked", "By SIGHUP");
            supervisor_reload(sup, NULL);
            break;
        case SIGUSR1:
            reopen_log(sup);
            break;
        case SIGTERM:
        case SIGINT:
        case SIGQUIT:
            on_stop_signal(sup);
            break;
        default:
            break; /* SIGCHLD: generations_reap() checks every turn */
        }
    }
}

static int wait_ms(const struct supervisor *sup)
{
    if (sup->stopping || sup->pending != NULL || generation_in(sup, GENERATION_STARTING) != NULL) {
        return TICK_BUSY_MS;
    }
    if (sup->recorder.restart_ms != 0 || generations_draining(sup) > 0) {
        return TICK_BUSY_MS;
    }
    return TICK_MS;
}

static void wait_for_events(struct supervisor *sup)
{
    struct pollfd p[2 + CONTROL_CLIENTS];

    p[0] = (struct pollfd){ sup->signal_fd, POLLIN, 0 };
    p[1] = (struct pollfd){ sup->control.fd, POLLIN, 0 };
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) { /* skip clients that only wait for an answer */
        int fd = sup->client[i].waits_for == 0 ? sup->client[i].fd : -1;

        p[2 + i] = (struct pollfd){ fd, POLLIN, 0 };
    }
    if (poll(p, ARRAY_LEN(p), wait_ms(sup)) < 0) {
        return;
    }
    sup->now_ms = supervisor_clock();
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        if (p[2 + i].revents != 0) {
            control_read(sup, &sup->client[i]);
        }
    }
    if (p[1].revents & POLLIN) {
        control_accept(sup);
    }
    if (p[0].revents & POLLIN) {
        read_signals(sup);
    }
}

/* True once everything has ended. */
static bool stop_step(struct supervisor *sup)
{
    if (generations_alive(sup)) {
        if (sup->now_ms >= sup->stop_kill_ms) {
            generations_signal(sup, SIGKILL);
        }
        return false;
    }
    sup->recorder.restart_ms = 0;
    recorder_stop(sup);
    return sup->recorder.pid == 0;
}

static void run(struct supervisor *sup)
{
    for (;;) {
        wait_for_events(sup);
        sup->now_ms = supervisor_clock();
        state_heartbeat(sup->state, sup->now_ms);
        generations_reap(sup);
        if (sup->stopping && stop_step(sup)) {
            break;
        }
        generations_tick(sup);
        certificates_tick(sup);
        groups_tick(sup);
        material_tick(sup);
        supervisor_reload_pending(sup);
        supervisor_recheck(sup);
        control_tick(sup);
        unix_sockets_tick(sup);
        facts_publish(sup);
        notify_tick(sup);
        seccomp_report();
    }
}

/* In the reverse order of start(). */
static void finish(struct supervisor *sup)
{
    log_set_sink(NULL, NULL);
    supervisor_last_words(sup);
    for (size_t i = 0; i < GENERATIONS; i++) {
        if (sup->generation[i] == NULL) {
            continue;
        }
        config_free(sup->generation[i]->conf);
        free(sup->generation[i]);
    }
    control_drop_all(sup);
    unix_sockets_close(sup);
    if (sup->to_recorder >= 0) {
        close(sup->to_recorder);
    }
    sockets_close_all(&sup->sockets);
    state_free(sup->state);
    dns_pace_free(sup->pace);
    if (sup->notify_fd >= 0) {
        close(sup->notify_fd);
    }
}

int supervisor_run(const struct supervisor_options *options)
{
    struct supervisor *sup = xcalloc(1, sizeof(*sup));
    int status;

    sup->options = *options;
    sup->recorder.slot = -1;
    sup->control.fd = sup->query.fd = sup->to_recorder = -1;
    sup->sockets.beside = options->beside;
    sup->started_s = wall_now_s();
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        sup->client[i].fd = -1;
    }
    log_set_process("supervisor", 0);
    notify_open(sup);
    status = start(sup);
    if (status == 0) {
        run(sup);
        status = sup->exit_status;
    }
    finish(sup);
    free(sup);
    return status;
}
