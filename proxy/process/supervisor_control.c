/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_control.c - the control socket: one line in, an answer out, closed.
 *
 *     reload      "ok generation 2" once its workers serve, or "error" and every reason, one a line
 *     processes   the bare process table; "processes json": the same as JSON
 *
 * The recorder answers everything else (supervisor_unix.c).  The process table is for a recorder that is dead or
 * hangs.  From memory that workers can write, the table shows only numbers.
 *
 * Only the user who started glacis can connect (mode 0600).  Clients are few and have a deadline.  An answer that
 * does not fit the socket's buffer at once is truncated, so nothing here blocks.
 */
#include <errno.h>
#include <sys/socket.h>

#include "proxy/process/supervisor_priv.h"
#include "state/facts.h"
#include "state/slots.h"

#define CLIENT_MS 5000
#define RELOAD_MS 60000
#define TABLE_MAX (64u * 1024u)
#define HANGS_MS 10000

static void drop_client(struct control_client *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
    c->len = 0;
    c->waits_for = 0;
}

void control_drop_all(struct supervisor *sup)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        drop_client(&sup->client[i]);
    }
}

void control_accept(struct supervisor *sup)
{
    int fd = accept4(sup->control.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    for (size_t i = 0; fd >= 0 && i < CONTROL_CLIENTS; i++) {
        struct control_client *c = &sup->client[i];

        if (c->fd >= 0) {
            continue;
        }
        c->fd = fd;
        c->len = 0;
        c->waits_for = 0;
        c->deadline_ms = sup->now_ms + CLIENT_MS;
        return;
    }
    if (fd >= 0) {
        close(fd);
    }
}

void control_answer(struct supervisor *sup, struct control_client *c, struct slice text)
{
    facts_publish(sup); /* the recorder then shows the same as this answer */
    if (c->fd >= 0) {
        (void)send(c->fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    drop_client(c);
}

void control_generation(struct supervisor *sup, unsigned number, struct slice text)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        if (sup->client[i].fd >= 0 && sup->client[i].waits_for == number) {
            control_answer(sup, &sup->client[i], text);
        }
    }
}

void control_tick(struct supervisor *sup)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        if (sup->client[i].fd >= 0 && sup->now_ms >= sup->client[i].deadline_ms) {
            drop_client(&sup->client[i]);
        }
    }
}

/* ---- the process table ---- */

static uint64_t age_ms(const struct supervisor *sup, const struct child *c)
{
    struct state_slot_info info;

    if (c->pid == 0 || !state_slot_info(sup->state, c->slot, &info) || info.heartbeat_ms == 0 ||
        info.heartbeat_ms > sup->now_ms) {
        return 0;
    }
    return sup->now_ms - info.heartbeat_ms;
}

/* The client asks for the table because the recorder did not answer. */
static const char *recorder_trouble(const struct supervisor *sup)
{
    if (sup->recorder.pid == 0) {
        return "the recorder does not run";
    }
    return age_ms(sup, &sup->recorder) > HANGS_MS ? "the recorder hangs" : "the recorder does not answer";
}

static void put_child(const struct supervisor *sup, struct buf *b, bool json, const char *name,
                      const struct child *c)
{
    uint64_t age = age_ms(sup, c);

    if (json) {
        buf_putf(b, ",{\"process\":\"%s\",\"pid\":%ld,\"heartbeat_age_ms\":%" PRIu64 "}", name, (long)c->pid,
                 age);
    } else if (c->pid == 0) {
        buf_putf(b, "%s, not running\n", name);
    } else {
        buf_putf(b, "%s, pid %ld, last beat %" PRIu64 ".%" PRIu64 " s ago\n", name, (long)c->pid, age / 1000,
                 age / 100 % 10);
    }
}

static void put_workers(const struct supervisor *sup, struct buf *b, bool json)
{
    for (size_t i = 0; i < GENERATIONS; i++) {
        const struct generation *g = sup->generation[i];

        for (size_t k = 0; g != NULL && k < g->workers; k++) {
            char name[80];
            struct buf n;

            buf_init_fixed(&n, name, sizeof(name));
            buf_putf(&n, "worker %zu of generation %u%s", k, g->number,
                     g->phase == GENERATION_DRAINING ? ", draining" : "");
            put_child(sup, b, json, name, &g->worker[k]);
        }
    }
}

static void answer_processes(struct supervisor *sup, struct control_client *c, bool json)
{
    static const char *const phases[] = { "starting", "serving", "stopping" };
    const char *phase = phases[facts_phase(sup)], *trouble = recorder_trouble(sup);
    bool serving = facts_phase(sup) == STATE_SERVING;
    struct buf b;

    buf_init(&b, TABLE_MAX);
    buf_putf(&b, "exit %d\n", serving ? 1 : 2);
    if (json) {
        buf_putf(&b,
                 "{\"pid\":%ld,\"version\":\"%s\",\"state\":\"%s\",\"status\":\"%s\",\"problems\":[{\"what\":"
                 "\"recorder\",\"status\":\"degraded\",\"text\":\"%s\"}],\"processes\":[{\"process\":"
                 "\"supervisor\","
                 "\"pid\":%ld}",
                 (long)getpid(), GLACIS_VERSION, phase, serving ? "degraded" : "not_serving", trouble,
                 (long)getpid());
    } else {
        buf_putf(&b, "glacis %s, pid %ld, %s: %s\n", GLACIS_VERSION, (long)getpid(),
                 serving ? "serving, DEGRADED" : phase, trouble);
    }
    put_child(sup, &b, json, "recorder", &sup->recorder);
    put_workers(sup, &b, json);
    buf_put_str(&b, json ? "]}\n" : "");
    control_answer(sup, c, buf_slice(&b));
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
    } else if (slice_eq(line, SLICE("processes")) || slice_eq(line, SLICE("processes json"))) {
        answer_processes(sup, c, line.len > 9);
    } else {
        control_answer(sup, c, SLICE("error\nThe commands are: reload, processes, processes json\n"));
    }
}

void control_read(struct supervisor *sup, struct control_client *c)
{
    ssize_t n = read(c->fd, c->line + c->len, sizeof(c->line) - c->len);
    struct slice got;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        drop_client(c);
        return;
    }
    c->len += (size_t)n;
    got = slice_of(c->line, c->len);
    if (slice_find(got, '\n') < got.len) {
        run_line(sup, c, slice_take(got, slice_find(got, '\n')));
    } else if (c->len == sizeof(c->line)) {
        drop_client(c);
    }
}
