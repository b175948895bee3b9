/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_control.c - the sockets `control` and `query`: whatever is written to them, there is an answer that a terminal
 * can show, or the end, and supervisor and recorder go on.
 *
 * First octet: size of the pieces.  A line that says "reload" is left out: it would load the machine's own
 * configuration and fork.
 */
#include <fcntl.h>

#include "admin/recorder/query.h"
#include "policy/policy.h"
#include "proxy/process/supervisor_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "server: {hostname: mx.test, listen: [\"127.0.0.1:2525\"]}\n"
    "upstreams: {up: {servers: [\"127.0.0.9:25\"]}}\n"
    "domains: {example.test: up}\n"
    "reputation: {lists: [{name: bl, zone: bl.test}, {name: quiet, zone: q.test, mode: \"off\"}]}\n";

static struct config *load(void)
{
    struct config_errors errs = { .count = 0 };
    struct config *conf = config_load_text("fuzz", slice_str(text), &errs);

    BUG_ON(conf == NULL || !setup_complete(conf, &errs));
    config_errors_fini(&errs);
    return conf;
}

static void check_answer(struct slice answer)
{
    BUG_ON(answer.len > 0 && answer.ptr[answer.len - 1] != '\n');
    for (size_t i = 0; i < answer.len; i++) {
        BUG_ON((unsigned char)answer.ptr[i] < ' ' && answer.ptr[i] != '\n');
    }
}

static void read_answer(int fd)
{
    static char mem[1u << 20];
    ssize_t n = recv(fd, mem, sizeof(mem), MSG_DONTWAIT);

    check_answer(slice_of(mem, n > 0 ? (size_t)n : 0));
}

static void talk(struct supervisor *sup, struct slice said, size_t step)
{
    struct control_client *c = &sup->client[0];
    int fd[2];

    BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) != 0);
    c->fd = fd[0];
    c->len = 0;
    while (c->fd >= 0 && said.len > 0) {
        struct slice piece = slice_take(said, step);

        BUG_ON(send(fd[1], piece.ptr, piece.len, MSG_NOSIGNAL) != (ssize_t)piece.len);
        control_read(sup, c);
        said = slice_skip(said, piece.len);
    }
    read_answer(fd[1]);
    if (c->fd >= 0) { /* no line yet: it ends with its time */
        sup->now_ms = c->deadline_ms + 1;
        control_tick(sup);
        BUG_ON(c->fd >= 0);
    }
    close(fd[1]);
}

static void query(struct supervisor *sup, struct config *conf, struct slice line)
{
    const struct recorder_view view = { .st = sup->state, .conf = conf };
    struct buf out;

    buf_init(&out, QUERY_ANSWER_MAX);
    query_run(&view, 0, slice_trim(slice_take(line, slice_find(line, '\n'))), &out);
    BUG_ON(!buf_ok(&out) || out.len == 0);
    check_answer(buf_slice(&out));
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *conf; /* immutable; one for all inputs */
    struct supervisor *sup;
    struct generation g = { .number = 1, .phase = GENERATION_CURRENT };

    if (size < 2 || size > 300 || memmem(data, size, "reload", 6) != NULL) {
        return 0;
    }
    log_set_level(LOG_LEVEL_ERROR);
    conf = conf != NULL ? conf : load();
    sup = xcalloc(1, sizeof(*sup));
    sup->state = state_new(64);
    sup->to_recorder = sup->control.fd = sup->query.fd = -1;
    g.conf = conf;
    sup->generation[0] = &g;
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        sup->client[i].fd = -1;
    }
    talk(sup, slice_of(data + 1, size - 1), 1u + data[0]);
    query(sup, conf, slice_of(data + 1, size - 1));
    state_free(sup->state);
    metrics_use(NULL);
    free(sup);
    return 0;
}
