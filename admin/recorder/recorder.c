/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recorder.c - the process that writes the log and serves metrics, health and the socket `query`.
 *
 * It has three threads.  The log writer and the snapshot of the memory may block.  This thread serves HTTP and the
 * socket `query` (recorder/query.h) and beats.  Only the workers' heartbeats decide health, so a slow disk never
 * makes a healthy proxy look dead.
 *
 *     /metrics   Prometheus text; requires the token if one is configured
 *     /healthz   200 if every worker of the generation in force has beaten within 10 s
 *     /readyz    200 if one of them also accepts, and at least one server of any upstream is up:
 *                with none, mail could only be deferred, and a balancer should prefer another proxy
 *
 * The health pages need no token, because they contain only one word.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "admin/admin.h"
#include "admin/certificates.h"
#include "admin/recorder/health.h"
#include "admin/recorder/http.h"
#include "admin/recorder/log_writer.h"
#include "admin/recorder/query.h"
#include "admin/recorder/server_status.h"
#include "core/loop.h"
#include "policy/policy.h"
#include "state/slots.h"

#define TURN_MS 1000
#define STOP_MS 3000
#define FINISH_MS 1000
#define SNAPSHOT_STOP_MS 5000

struct recorder {
    struct state *st;
    const struct config *conf;
    struct recorder_view view;
    struct query *query;
    struct log_writer *writer;
    struct snapshot *snapshot; /* NULL: it failed to start */
    struct http *http;
    struct log_limit write_errors;
    int signal_fd;
    int supervisor_fd;
    bool orphaned; /* the supervisor is gone: end with the last worker */
    bool stop;
};

static uint64_t now_ms(void)
{
    return loop_now_us() / 1000;
}

/* ---- health ---- */

static void answer_health(struct http_reply *out, bool good, const char *bad)
{
    out->status = good ? 200 : 503;
    buf_put_str(&out->body, good ? "ok\n" : bad);
}

/* ---- metrics ---- */

static void put_metrics(const struct recorder *r, struct buf *b)
{
    uint64_t values[METRIC_COUNT];

    state_metrics_sum(r->st, values);
    metrics_render(b, values);
    buf_put_str(b, "# HELP glacis_build_info The version that runs\n# TYPE glacis_build_info gauge\n");
    buf_put_str(b, "glacis_build_info{version=\"" GLACIS_VERSION "\"} 1\n");
    buf_put_str(
        b, "# HELP glacis_config_loaded_seconds When the configuration in force was loaded, in Unix time\n"
           "# TYPE glacis_config_loaded_seconds gauge\n");
    buf_putf(b, "glacis_config_loaded_seconds %" PRId64 "\n", r->conf->loaded_at_s);
    buf_put_str(b,
                "# HELP glacis_monitor_mode 1 while the mode is monitor\n# TYPE glacis_monitor_mode gauge\n");
    buf_putf(b, "glacis_monitor_mode %d\n", r->conf->mode == MODE_MONITOR);
    servers_put_metrics(r->conf, r->st, b);
    certificates_put_metrics(r->conf, b);
    if (r->conf->policy != NULL) {
        policy_rules_metrics(r->conf->policy, r->st, b);
        policy_lists_metrics(r->conf->policy, r->st, b);
    }
}

/* Load balancers request these pages with any host name, and the pages contain nothing confidential. */
static bool is_health(struct slice path)
{
    return slice_eq(path, SLICE("/healthz")) || slice_eq(path, SLICE("/readyz"));
}

static void on_request(void *arg, struct slice path, bool authorized, struct http_reply *out)
{
    const struct recorder *r = arg;
    struct workers_seen seen = health_workers(r->st, now_ms());

    if (slice_eq(path, SLICE("/healthz"))) {
        answer_health(out, seen.fresh > 0 && seen.stale == 0, "a worker does not answer\n");
    } else if (slice_eq(path, SLICE("/readyz"))) {
        answer_health(out, seen.accepting > 0 && servers_look(r->conf, r->st).up > 0,
                      seen.accepting > 0 ? "all servers of all upstreams are down\n" : "no worker accepts\n");
    } else if (!authorized) {
        out->status = 401;
        buf_put_str(&out->body, "a token is needed: Authorization: Bearer ...\n");
    } else if (slice_eq(path, SLICE("/metrics"))) {
        out->status = 200;
        out->type = "text/plain; version=0.0.4; charset=utf-8";
        put_metrics(r, &out->body);
    } else {
        buf_put_str(&out->body, "/metrics /healthz /readyz\n");
    }
}

/* ---- the process ---- */

static bool open_signals(struct recorder *r)
{
    sigset_t set;

    (void)signal(SIGUSR1, SIG_DFL); /* blocked, so that it arrives through the descriptor */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_SETMASK, &set, NULL); /* the thread inherits it */
    r->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return r->signal_fd >= 0;
}

static void read_signals(struct recorder *r)
{
    struct signalfd_siginfo info;

    while (read(r->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGUSR1) {
            log_writer_reopen(r->writer);
        } else {
            r->stop = true;
        }
    }
}

static bool workers_left(const struct recorder *r)
{
    for (int i = 0; i < STATE_SLOTS; i++) {
        struct state_slot_info info;

        if (state_slot_info(r->st, i, &info) && info.role == ROLE_WORKER && info.pid > 0 &&
            (kill(info.pid, 0) == 0 || errno == EPERM)) {
            return true;
        }
    }
    return false;
}

static void look_after_supervisor(struct recorder *r)
{
    struct pollfd p = { r->supervisor_fd, POLLIN, 0 };

    if (!r->orphaned && poll(&p, 1, 0) > 0) {
        r->orphaned = true;
        log_msg(LOG_LEVEL_ERROR, "supervisor_gone",
                "The supervisor is gone: the recorder ends with the last worker");
    }
    if (r->orphaned && !workers_left(r)) {
        r->stop = true;
    }
}

static void report_write_errors(struct recorder *r)
{
    int err = log_writer_error(r->writer);
    uint32_t before;

    if (err != 0 && log_allowed(&r->write_errors, now_ms(), 10, &before)) {
        log_msg(LOG_LEVEL_ERROR, "log_write", "Log lines cannot be written: %s", strerror(err));
    }
}

static void report_snapshot(struct recorder *r)
{
    char text[500];
    struct buf b;
    enum log_level level;

    buf_init_fixed(&b, text, sizeof(text));
    if (r->snapshot != NULL && snapshot_message(r->snapshot, &level, &b)) {
        log_msg(level, "snapshot", "%s", text);
    }
}

/* Opens HTTP and the socket `query`. */
static bool open_ears(struct recorder *r, const struct recorder_task *task)
{
    r->view = (struct recorder_view){ .st = r->st, .conf = r->conf };
    r->query = query_new(task->query_fd, task->handover_fd, r->signal_fd, task->owner, &r->view);
    if (r->query != NULL) {
        r->http = http_new(task->admin_fd, query_fd(r->query),
                           &(struct http_settings){ .token = r->conf->admin.token,
                                                    .names = r->conf->admin.names,
                                                    .name_count = r->conf->admin.name_count,
                                                    .any_host = is_health,
                                                    .handler = on_request,
                                                    .arg = r });
    }
    return r->http != NULL;
}

static void turn(struct recorder *r)
{
    uint64_t sums[METRIC_COUNT];

    state_heartbeat(r->st, now_ms());
    state_metrics_sum(r->st, sums);
    recent_note(&r->view.recent, now_ms(), sums);
    http_turn(r->http, TURN_MS);
    query_turn(r->query, now_ms());
    read_signals(r);
    look_after_supervisor(r);
    report_write_errors(r);
    report_snapshot(r);
}

int recorder_main(const struct recorder_task *task)
{
    struct recorder r = { .st = task->state, .conf = task->conf, .supervisor_fd = task->supervisor_fd };
    bool stuck;

    if (!open_signals(&r) || (r.writer = log_writer_start(r.st, &r.conf->log)) == NULL ||
        !open_ears(&r, task)) {
        return 71;
    }
    r.snapshot = snapshot_start(r.st, r.conf->server.state_dir);
    while (!r.stop) {
        turn(&r);
        task->each_turn();
    }
    http_finish(r.http, FINISH_MS); /* a reload replaces this process: answer the open requests */
    query_finish(r.query, FINISH_MS);
    stuck = r.snapshot != NULL && !snapshot_stop(r.snapshot, SNAPSHOT_STOP_MS);
    report_snapshot(&r);
    if (!stuck) {
        snapshot_free(&r.snapshot);
    }
    http_free(r.http);
    query_free(&r.query);
    close(r.signal_fd);
    stuck = !log_writer_stop(r.writer, STOP_MS) || stuck;
    if (stuck) {
        _exit(0); /* the log target accepts nothing, and no other way to report is left */
    }
    return 0;
}
