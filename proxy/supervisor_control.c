/*
 * supervisor_control.c - the control socket: one line in, an answer out, closed.
 *
 *     reload    ok generation 2     once its workers serve; or "error" and every reason, one a line
 *     status    one JSON object; "status text" the same for people
 *     lists     reputation lists: shown, set, tested (policy.h)
 *
 * Only the user who started glacis can reach it (mode 0600).  Clients are few, bounded, and have a deadline;
 * an answer that does not fit the socket's buffer at once is cut, so nothing here waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "admin/admin.h"
#include "policy/policy.h"
#include "proxy/supervisor_parts.h"

#define CLIENT_MS 5000
#define RELOAD_MS 60000
#define STATUS_MAX (128u * 1024u)
#define LISTS_MAX (256u * 1024u)
#define PATH_BYTES 4096
#define ERROR_SHOWN 1000u

/* Another glacis with the same state directory: allowed (a new binary beside the old one), but said. */
static void warn_if_answered(const char *path)
{
    int fd = control_connect(path);

    if (fd < 0)
        return;
    close(fd);
    log_msg(LOG_LEVEL_WARN, "another_instance",
            "Another glacis answers on %s; both serve, and this one takes over the control socket", path);
}

bool control_open(struct supervisor *sup, const struct config *conf)
{
    struct buf path;
    struct stat st;

    buf_init(&path, PATH_BYTES);
    buf_putf(&path, "%s/" CONTROL_NAME, conf->server.state_dir);
    warn_if_answered(path.ptr);
    sup->control_fd = control_bind(path.ptr);
    if (sup->control_fd < 0) {
        log_msg(LOG_LEVEL_ERROR, "control_socket", "%s cannot be made: %s", path.ptr, strerror(errno));
        buf_fini(&path);
        return false;
    }
    (void)fcntl(sup->control_fd, F_SETFL, O_NONBLOCK);
    if (lstat(path.ptr, &st) == 0) {
        sup->control_dev = st.st_dev;
        sup->control_ino = st.st_ino;
    }
    sup->control_path = xstrdup(path.ptr);
    buf_fini(&path);
    return true;
}

static void drop_client(struct control_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->len = 0;
    c->waits_for = 0;
}

void control_close_in_child(struct supervisor *sup)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        drop_client(&sup->client[i]);
    if (sup->control_fd >= 0)
        close(sup->control_fd);
    sup->control_fd = -1;
}

/* Not if a newer instance has put its own there. */
static void remove_socket(const char *path, dev_t dev, ino_t ino)
{
    struct stat st;

    if (lstat(path, &st) == 0 && st.st_dev == dev && st.st_ino == ino)
        (void)unlink(path);
}

void control_close(struct supervisor *sup)
{
    control_close_in_child(sup);
    if (sup->control_path == NULL)
        return;
    remove_socket(sup->control_path, sup->control_dev, sup->control_ino);
    free(sup->control_path);
    sup->control_path = NULL;
}

static bool is_at(const struct supervisor *sup, const struct config *conf)
{
    struct buf path;
    bool same;

    buf_init(&path, PATH_BYTES);
    buf_putf(&path, "%s/" CONTROL_NAME, conf->server.state_dir);
    same = sup->control_path != NULL && strcmp(sup->control_path, path.ptr) == 0;
    buf_fini(&path);
    return same;
}

void control_follow(struct supervisor *sup, const struct config *conf)
{
    int fd = sup->control_fd;
    char *path = sup->control_path;
    dev_t dev = sup->control_dev;
    ino_t ino = sup->control_ino;

    if (is_at(sup, conf))
        return;
    if (!control_open(sup, conf)) { /* it has said why */
        sup->control_fd = fd;
        return;
    }
    log_msg(LOG_LEVEL_INFO, "control_socket", "The control socket is %s from now on", sup->control_path);
    if (path == NULL)
        return;
    close(fd);
    remove_socket(path, dev, ino);
    free(path);
}

void control_accept(struct supervisor *sup)
{
    int fd = accept4(sup->control_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    for (size_t i = 0; fd >= 0 && i < CONTROL_CLIENTS; i++) {
        struct control_client *c = &sup->client[i];

        if (c->fd >= 0)
            continue;
        c->fd = fd;
        c->len = 0;
        c->waits_for = 0;
        c->deadline_ms = sup->now_ms + CLIENT_MS;
        return;
    }
    if (fd >= 0)
        close(fd);
}

void control_answer(struct control_client *c, struct slice text)
{
    if (c->fd >= 0)
        (void)send(c->fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    drop_client(c);
}

void control_generation(struct supervisor *sup, unsigned number, struct slice text)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        if (sup->client[i].fd >= 0 && sup->client[i].waits_for == number)
            control_answer(&sup->client[i], text);
    }
}

void control_tick(struct supervisor *sup)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        if (sup->client[i].fd >= 0 && sup->now_ms >= sup->client[i].deadline_ms)
            drop_client(&sup->client[i]);
    }
}

/* ---- status ---- */

static void put_worker(const struct supervisor *sup, struct buf *b, const struct generation *g,
                       unsigned index)
{
    const struct child *c = &g->worker[index];
    struct state_slot_info info;

    if (!state_slot_info(sup->state, c->slot, &info))
        return;
    buf_putf(b, "%s{\"pid\":%ld,\"generation\":%u,\"index\":%u", b->ptr[b->len - 1] == '[' ? "" : ",",
             (long)c->pid, g->number, index);
    buf_putf(b, ",\"sessions\":%" PRIu64, state_slot_metric(sup->state, c->slot, M_SESSIONS_NOW));
    if (info.heartbeat_ms != 0)
        buf_putf(b, ",\"heartbeat_age_ms\":%" PRIu64,
                 sup->now_ms > info.heartbeat_ms ? sup->now_ms - info.heartbeat_ms : 0);
    buf_putf(b, ",\"draining\":%s}", info.draining || g->phase == GENERATION_DRAINING ? "true" : "false");
}

static void put_workers(const struct supervisor *sup, struct buf *b)
{
    buf_put_str(b, ",\"workers\":[");
    for (size_t i = 0; i < GENERATIONS; i++) {
        const struct generation *g = sup->generation[i];

        for (unsigned k = 0; g != NULL && k < g->workers; k++) {
            if (g->worker[k].pid > 0)
                put_worker(sup, b, g, k);
        }
    }
    buf_put_char(b, ']');
}

static void put_listeners(const struct supervisor *sup, struct buf *b, const struct config *conf)
{
    const struct bound *admin = sockets_find_admin(&sup->sockets, conf);

    buf_put_str(b, ",\"listeners\":[");
    for (size_t i = 0; i < conf->server.listen_count; i++) {
        const struct bound *at = sockets_find(&sup->sockets, conf, i);

        if (at == NULL)
            continue;
        buf_putf(b, "%s{\"name\":\"%s\",\"address\":\"", b->ptr[b->len - 1] == '[' ? "" : ",",
                 conf->server.listen[i].tls == TLS_MODE_IMPLICIT ? "smtps" : "smtp");
        addr_put_endpoint(b, &at->real);
        buf_putf(b, "\",\"sockets\":%zu}", at->count);
    }
    if (admin != NULL) {
        buf_putf(b, "%s{\"name\":\"admin\",\"address\":\"", b->ptr[b->len - 1] == '[' ? "" : ",");
        addr_put_endpoint(b, &admin->real);
        buf_put_str(b, "\",\"sockets\":1}");
    }
    buf_put_char(b, ']');
}

/* What the file would need before it can be taken. */
static void put_refused(const struct supervisor *sup, struct buf *b)
{
    if (sup->refused.since_s == 0)
        return;
    buf_putf(b, ",\"config_refused\":{\"since\":%" PRId64 ",\"errors\":%zu,\"last_good\":%s,\"first\":",
             sup->refused.since_s, sup->refused.errors, sup->refused.last_good ? "true" : "false");
    buf_put_json(b, slice_str(sup->refused.first), ERROR_SHOWN);
    buf_put_char(b, '}');
}

static void put_text_refused(const struct supervisor *sup, struct buf *b)
{
    char stamp[40];
    struct tm tm;
    time_t since = (time_t)sup->refused.since_s;

    if (since == 0)
        return;
    gmtime_r(&since, &tm);
    (void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S UTC", &tm);
    buf_putf(
        b, "REFUSED     that file as it is now, since %s (%" PRId64 " s), by %zu error%s; %s\n            ",
        stamp, wall_now_s() - sup->refused.since_s, sup->refused.errors, sup->refused.errors == 1 ? "" : "s",
        sup->refused.last_good ? "the last good one (last-good.yaml) is in force instead"
                               : "what was in force before stays");
    buf_put_slice(b, slice_take(slice_str(sup->refused.first), ERROR_SHOWN));
    buf_put_char(b, '\n');
}

/* Names as in the metrics, without labels folded: "glacis_upstream_connections{state=\"idle\"}". */
static void put_gauges(const struct supervisor *sup, struct buf *b)
{
    uint64_t values[METRIC_COUNT];
    bool first = true;

    state_metrics_sum(sup->state, values);
    buf_put_str(b, ",\"gauges\":{");
    for (size_t m = 0; m < METRIC_COUNT; m++) {
        struct buf name;

        if (metric_table[m].kind == METRIC_COUNTER)
            continue;
        buf_init(&name, 256);
        buf_put_str(&name, metric_table[m].name);
        if (metric_table[m].label[0] != '\0')
            buf_putf(&name, "{%s}", metric_table[m].label);
        if (!first)
            buf_put_char(b, ',');
        first = false;
        buf_put_json(b, buf_slice(&name), 256);
        buf_put_char(b, ':');
        metrics_put_value(b, metric_table[m].kind, values[m]);
        buf_fini(&name);
    }
    buf_put_char(b, '}');
}

static void answer_status(struct supervisor *sup, struct control_client *c)
{
    const struct generation *g = generation_in(sup, GENERATION_CURRENT);
    struct buf b;

    if (g == NULL)
        g = generation_in(sup, GENERATION_STARTING);
    buf_init(&b, STATUS_MAX);
    buf_putf(&b, "{\"pid\":%ld,\"version\":\"%s\",\"started\":%" PRId64, (long)getpid(), GLACIS_VERSION,
             sup->started_s);
    buf_putf(&b, ",\"state\":\"%s\"", sup->stopping ? "stopping" : sup->ready ? "serving" : "starting");
    if (g != NULL) {
        buf_putf(&b, ",\"generation\":%u,\"loaded_at\":%" PRId64 ",\"config\":", g->number,
                 g->conf->loaded_at_s);
        buf_put_json(&b, slice_str(sup->options.config_path != NULL ? sup->options.config_path : ""),
                     PATH_BYTES);
        buf_putf(&b, ",\"mode\":\"%s\"", g->conf->mode == MODE_MONITOR ? "monitor" : "enforce");
        put_refused(sup, &b);
        put_listeners(sup, &b, g->conf);
        buf_put_str(&b, ",\"servers\":");
        servers_put_json(g->conf, sup->state, &b);
    }
    buf_putf(&b, ",\"draining_generations\":%u", generations_draining(sup));
    put_workers(sup, &b);
    buf_putf(&b, ",\"recorder\":%ld", (long)sup->recorder.pid);
    put_gauges(sup, &b);
    buf_put_str(&b, "}\n");
    control_answer(c, buf_slice(&b));
    buf_fini(&b);
}

static void put_text_worker(const struct supervisor *sup, struct buf *b, const struct generation *g,
                            unsigned index)
{
    const struct child *c = &g->worker[index];
    struct state_slot_info info;

    if (c->pid == 0 || !state_slot_info(sup->state, c->slot, &info))
        return;
    buf_putf(b, "worker      %u of generation %u, pid %ld, %" PRIu64 " sessions%s\n", index, g->number,
             (long)c->pid, state_slot_metric(sup->state, c->slot, M_SESSIONS_NOW),
             info.draining || g->phase == GENERATION_DRAINING ? ", draining" : "");
}

static void answer_text(struct supervisor *sup, struct control_client *c)
{
    const struct generation *now = generation_in(sup, GENERATION_CURRENT);
    struct buf b;

    buf_init(&b, STATUS_MAX);
    buf_putf(&b, "glacis %s, pid %ld, %s\n", GLACIS_VERSION, (long)getpid(),
             sup->stopping ? "stopping"
             : sup->ready  ? "serving"
                           : "starting");
    if (now != NULL) {
        buf_putf(&b, "config      %s, generation %u, mode %s, in force for %" PRId64 " s\n",
                 sup->options.config_path != NULL ? sup->options.config_path : "from the environment",
                 now->number, now->conf->mode == MODE_MONITOR ? "monitor" : "enforce",
                 wall_now_s() - now->conf->loaded_at_s);
        put_text_refused(sup, &b);
    }
    for (size_t i = 0; now != NULL && i < now->conf->server.listen_count; i++) {
        const struct bound *at = sockets_find(&sup->sockets, now->conf, i);

        if (at == NULL)
            continue;
        buf_put_str(&b, "listens on  ");
        addr_put_endpoint(&b, &at->real);
        buf_put_char(&b, '\n');
    }
    for (size_t i = 0; i < GENERATIONS; i++) {
        for (unsigned k = 0; sup->generation[i] != NULL && k < sup->generation[i]->workers; k++)
            put_text_worker(sup, &b, sup->generation[i], k);
    }
    if (now != NULL)
        servers_put_text(now->conf, sup->state, &b);
    buf_putf(&b, "sessions    %" PRIu64 "\n", state_gauge_sum(sup->state, M_SESSIONS_NOW));
    control_answer(c, buf_slice(&b));
    buf_fini(&b);
}

static void answer_lists(struct supervisor *sup, struct control_client *c, struct slice args)
{
    struct buf b;

    buf_init(&b, LISTS_MAX);
    policy_lists_command(generation_in(sup, GENERATION_CURRENT)->conf->policy, sup->state, args, &b);
    control_answer(c, buf_slice(&b));
    buf_fini(&b);
}

/* ---- commands ---- */

static void run_line(struct supervisor *sup, struct control_client *c, struct slice line)
{
    line = slice_trim(slice_take(line, slice_find(line, '\r')));
    if (slice_eq(line, SLICE("reload"))) {
        c->deadline_ms = sup->now_ms + RELOAD_MS;
        log_msg(LOG_LEVEL_INFO, "reload_asked", "By the control socket");
        supervisor_reload(sup, c);
        return;
    }
    if (slice_eq(line, SLICE("status"))) {
        answer_status(sup, c);
        return;
    }
    if (slice_eq(line, SLICE("status text"))) {
        answer_text(sup, c);
        return;
    }
    if (slice_starts(line, SLICE("lists")) && generation_in(sup, GENERATION_CURRENT) != NULL) {
        answer_lists(sup, c, slice_skip(line, 5));
        return;
    }
    control_answer(c, SLICE("error\nThe commands are: reload, status, lists\n"));
}

void control_read(struct supervisor *sup, struct control_client *c)
{
    ssize_t n = read(c->fd, c->line + c->len, sizeof(c->line) - c->len);
    struct slice got;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop_client(c);
        return;
    }
    c->len += (size_t)n;
    got = slice_of(c->line, c->len);
    if (slice_find(got, '\n') < got.len)
        run_line(sup, c, slice_take(got, slice_find(got, '\n')));
    else if (c->len == sizeof(c->line))
        drop_client(c);
}
