/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_redis.c - any octets as the replies of Redis: every question is answered exactly once, from the tables
 * if need be, and what is learned is no nonsense.
 *
 * Input      octet 0: bit 0: the handshake is answered well for it; octet 1: where the rest is cut.  The rest
 *            is what the server sends, half of it before the questions and half behind them.  The same octets
 *            are also taken as a URL.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "state/memory.h"
#include "state/memory_priv.h"
#include "state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW ((int64_t)1793620800)

static struct {
    char path[64];
    int listener;
} server;

struct asked {
    unsigned answers;
    bool shared;
};

static void remove_socket(void)
{
    (void)unlink(server.path);
}

static void listen_once(void)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    struct buf b;

    if (server.path[0] != '\0') {
        return;
    }
    buf_init_fixed(&b, server.path, sizeof(server.path));
    buf_putf(&b, "/tmp/glacis-fuzz-redis-%ld", (long)getpid());
    memcpy(sa.sun_path, server.path, sizeof(server.path));
    server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    BUG_ON(bind(server.listener, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(server.listener, 8) != 0);
    (void)atexit(remove_socket);
}

static void on_turn(void *arg)
{
    loop_stop(arg);
}

static void turn(struct loop *l)
{
    struct timer t;

    timer_init(&t, l, on_turn, l);
    timer_start(&t, 0);
    loop_run(l);
    timer_stop(&t);
}

static void on_answer(void *arg, const struct memory_answer *a)
{
    struct asked *asked = arg;

    asked->answers++;
    asked->shared = a->shared;
    for (size_t i = 0; i < a->count; i++) {
        BUG_ON(a->record[i].known && a->record[i].since_s > NOW);
    }
}

static struct memory_op *ask(struct memory *m, struct asked *asked)
{
    static const enum memory_what what[] = { MEMORY_SEEN, MEMORY_STANDING, MEMORY_GREYLIST, MEMORY_BURST };
    struct memory_question q[ARRAY_LEN(what)];

    for (size_t i = 0; i < ARRAY_LEN(what); i++) {
        q[i] = (struct memory_question){ .what = what[i],
                                         .key = memory_key(MEMORY_DOMAIN, SLICE("a.test")),
                                         .keep_s = 86400 };
    }
    return memory_ask(m, q, ARRAY_LEN(q), NOW, on_answer, asked);
}

static void say(int fd, struct slice text)
{
    if (fd >= 0 && text.len > 0) {
        (void)send(fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static void check_lists(struct memory *m)
{
    struct memory_list *l = memory_list_take(m, SLICE("bl"));

    BUG_ON(l == NULL || l->override > OVERRIDE_OFF || strnlen(l->name, MEMORY_LIST_NAME) != 2);
    memory_list_give(m, l);
}

static void serve(struct memory *m, struct loop *l, struct slice text, bool polite, size_t cut)
{
    struct asked asked = { 0 };
    struct memory_op *op;
    int fd;

    turn(l);
    fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    say(fd, polite ? SLICE("+OK\r\n$-1\r\n") : SLICE_NONE);
    turn(l);
    say(fd, slice_take(text, cut));
    op = ask(m, &asked);
    turn(l);
    say(fd, slice_skip(text, cut));
    for (unsigned i = 0; i < 4; i++) {
        turn(l);
    }
    if (fd >= 0) {
        close(fd);
    }
    turn(l);
    turn(l);
    BUG_ON(asked.answers > 1 || (asked.answers == 0 && op == NULL));
    if (asked.answers == 0) {
        memory_cancel(&op);
    }
    check_lists(m);
}

static void try_url(struct slice s)
{
    struct redis_address a = { 0 };

    if (redis_address_parse(&a, s)) {
        BUG_ON((a.host == NULL) == (a.path == NULL) || (a.host != NULL && a.port == 0));
    }
    redis_address_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_redis conf = { .prefix = "g:", .timeout_ms = 1000 };
    struct state *st;
    struct memory *m;
    struct loop *l;
    struct buf url;

    if (size < 2 || size > 16384) {
        return 0;
    }
    log_set_level(LOG_LEVEL_ERROR);
    listen_once();
    try_url(slice_of(data + 2, size - 2));
    buf_init(&url, 128);
    buf_putf(&url, "unix:%s", server.path);
    conf.url = url.ptr;
    st = state_new(64);
    l = loop_new();
    m = memory_new(st, l, &conf);
    memory_list_give(m, memory_list_take(m, SLICE("bl")));
    serve(m, l, slice_of(data + 2, size - 2), data[0] & 1, data[1]);
    memory_free(&m);
    loop_free(l);
    state_free(st);
    metrics_use(NULL);
    buf_fini(&url);
    return 0;
}
