/*
 * fuzz_control.c - the control socket: whatever is written to it, there is an answer or the end, and the
 * supervisor goes on.
 *
 * First octet: size of the pieces.  A line that says "reload" is left out: it would load the machine's own
 * configuration and fork.
 */
#include <fcntl.h>

#include "policy/policy.h"
#include "proxy/supervisor_parts.h"

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

    BUG_ON(conf == NULL || !snapshot_complete(conf, &errs));
    config_errors_fini(&errs);
    return conf;
}

static void read_answer(int fd)
{
    static char mem[1u << 20];
    ssize_t n = recv(fd, mem, sizeof(mem), MSG_DONTWAIT);

    BUG_ON(n > 0 && mem[n - 1] != '\n');
    for (ssize_t i = 0; i < n; i++) {
        BUG_ON((unsigned char)mem[i] < ' ' && mem[i] != '\n');
    }
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
    g.conf = conf;
    sup->generation[0] = &g;
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        sup->client[i].fd = -1;
    }
    talk(sup, slice_of(data + 1, size - 1), 1u + data[0]);
    state_free(sup->state);
    metrics_use(NULL);
    free(sup);
    return 0;
}
