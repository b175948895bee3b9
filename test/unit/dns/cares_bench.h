/*
 * cares_bench.h - a loop, a test server and one struct cares that asks it, with what came back counted.
 */
#ifndef TEST_DNS_CARES_BENCH_H
#define TEST_DNS_CARES_BENCH_H

#include "dns/cares.h"
#include "test/unit/dns/server.h"

struct bench {
    struct loop *loop;
    struct test_server server;
    struct cares *c; /* the test's to open */
    struct timer stop;
    unsigned answers, timeouts, errors;
    bool frees; /* in the callback */
};

static inline void on_stop(void *arg)
{
    loop_stop(arg);
}

static inline void on_packet(enum cares_status status, struct slice packet, void *arg)
{
    struct bench *b = arg;

    b->answers += status == CARES_ANSWER && packet.len > 12;
    b->timeouts += status == CARES_TIMEOUT;
    b->errors += status == CARES_NETWORK;
    if (b->frees) {
        cares_free(b->c);
        b->c = NULL;
    }
}

/* Returns the id of the question. */
static inline uint16_t send_one(struct bench *b, const char *name)
{
    struct wire_question q = { .type = DNS_TYPE_A };

    assert_true(wire_name_set(&q.name, slice_str(name)));
    cares_send(b->c, &q, on_packet, b);
    return q.id;
}

static inline void run_ms(struct bench *b, unsigned ms)
{
    timer_start(&b->stop, ms);
    loop_run(b->loop);
}

static inline struct bench *bench_new(void)
{
    struct bench *b = xcalloc(1, sizeof(*b));

    b->loop = loop_new();
    server_start(&b->server, b->loop);
    timer_init(&b->stop, b->loop, on_stop, b->loop);
    return b;
}

static inline int tear_down(void **state)
{
    struct bench *b = *state;

    cares_free(b->c);
    server_stop(&b->server);
    loop_free(b->loop);
    free(b);
    return 0;
}

#endif
