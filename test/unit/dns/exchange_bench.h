/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange_bench.h - a loop, a test server and one struct exchange that asks it, with what came back counted.
 */
#ifndef TEST_DNS_EXCHANGE_BENCH_H
#define TEST_DNS_EXCHANGE_BENCH_H

#include "dns/exchange.h"
#include "test/unit/dns/server.h"

struct bench {
    struct loop *loop;
    struct test_server server;
    struct exchange *x; /* the test's to open */
    struct timer stop;
    unsigned answers, timeouts, errors;
    bool frees; /* in the callback */
    uint8_t last_packet[512];
    size_t last_len;
};

static inline void on_stop(void *arg)
{
    loop_stop(arg);
}

static inline void on_packet(enum exchange_status status, struct slice packet, void *arg)
{
    struct bench *b = arg;

    b->last_len = min_size(packet.len, sizeof(b->last_packet));
    if (b->last_len > 0) {
        memcpy(b->last_packet, packet.ptr, b->last_len);
    }
    b->answers += status == EXCHANGE_ANSWER && packet.len > 12;
    b->timeouts += status == EXCHANGE_TIMEOUT;
    b->errors += status == EXCHANGE_NETWORK;
    if (b->frees) {
        exchange_free(b->x);
        b->x = NULL;
    }
}

/* Returns the id of the question. */
static inline uint16_t send_one(struct bench *b, const char *name)
{
    struct wire_question q = { .type = DNS_TYPE_A };

    assert_true(wire_name_set(&q.name, slice_str(name)));
    exchange_send(b->x, &q, on_packet, b);
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

    exchange_free(b->x);
    server_stop(&b->server);
    loop_free(b->loop);
    free(b);
    return 0;
}

#endif
