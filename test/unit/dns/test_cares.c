/*
 * test_cares.c - one server through c-ares: channels, ids, freeing at bad moments.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/unit/dns/cares_bench.h"

static void open_cares(struct bench *b, uint32_t renew_ms, bool tcp)
{
    struct cares_settings s = { .timeout_ms = 200, .renew_ms = renew_ms, .tcp = tcp };

    s.server = b->server.addr;
    b->c = cares_new(b->loop, &s);
}

static int set_up(void **state)
{
    *state = bench_new();
    return 0;
}

static void every_question_gets_its_callback_later(void **state)
{
    struct bench *b = *state;

    open_cares(b, 0, false);
    send_one(b, "host.test");
    send_one(b, "silent.test");
    assert_int_equal(b->answers + b->timeouts + b->errors, 0);
    run_ms(b, 450);
    assert_int_equal(b->answers, 1);
    assert_int_equal(b->timeouts, 1);
}

static void a_closed_port_is_a_network_error_and_not_inline(void **state)
{
    struct bench *b = *state;

    open_cares(b, 0, false);
    server_stop(&b->server);
    send_one(b, "host.test");
    send_one(b, "host.test");
    assert_int_equal(b->errors, 0);
    run_ms(b, 400);
    /* the kernel reports the closed port once: who sent before may have to wait for the timeout */
    assert_true(b->errors >= 1);
    assert_int_equal(b->errors + b->timeouts, 2);
}

static void ids_in_flight_differ(void **state)
{
    static uint8_t seen[65536];
    struct bench *b = *state;

    open_cares(b, 0, false);
    for (int i = 0; i < 400; i++)
        assert_int_equal(seen[send_one(b, "silent.test")]++, 0);
    run_ms(b, 450);
    assert_int_equal(b->timeouts, 400);
    /* and are given back */
    send_one(b, "host.test");
    run_ms(b, 20);
    assert_int_equal(b->answers, 1);
}

static void a_renewed_channel_has_a_new_port_and_the_old_one_drains(void **state)
{
    struct bench *b = *state;
    uint16_t port;

    open_cares(b, 20, false);
    send_one(b, "host.test");
    run_ms(b, 10);
    port = b->server.last_port;
    send_one(b, "silent.test");
    run_ms(b, 30);
    send_one(b, "host.test");
    assert_int_equal(cares_channels(b->c), 2);
    run_ms(b, 10);
    assert_int_not_equal(b->server.last_port, port);
    assert_int_equal(b->answers, 2);
    run_ms(b, 400);
    assert_int_equal(b->timeouts, 1);
    assert_int_equal(cares_channels(b->c), 1);
}

static void tcp_only_uses_tcp(void **state)
{
    struct bench *b = *state;

    open_cares(b, 0, true);
    send_one(b, "host.test");
    send_one(b, "big.test");
    run_ms(b, 50);
    assert_int_equal(b->answers, 2);
    assert_int_equal(b->server.udp_queries, 0);
    assert_int_equal(b->server.tcp_queries, 2);
}

static void it_may_be_freed_with_questions_out(void **state)
{
    struct bench *b = *state;

    open_cares(b, 0, false);
    send_one(b, "host.test");
    send_one(b, "silent.test");
    cares_free(b->c);
    b->c = NULL;
    run_ms(b, 20);
    assert_int_equal(b->answers + b->timeouts + b->errors, 0);
}

static void it_may_be_freed_in_a_callback(void **state)
{
    struct bench *b = *state;

    open_cares(b, 0, false);
    b->frees = true;
    for (int i = 0; i < 10; i++)
        send_one(b, "host.test");
    run_ms(b, 50);
    assert_int_equal(b->answers, 1);
    assert_null(b->c);
}

static void it_may_be_freed_in_the_callback_of_a_failure(void **state)
{
    struct bench *b = *state;

    open_cares(b, 0, false);
    server_stop(&b->server);
    b->frees = true;
    for (int i = 0; i < 10; i++)
        send_one(b, "host.test");
    run_ms(b, 50);
    assert_int_equal(b->errors, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_question_gets_its_callback_later),
        TEST(a_closed_port_is_a_network_error_and_not_inline),
        TEST(ids_in_flight_differ),
        TEST(a_renewed_channel_has_a_new_port_and_the_old_one_drains),
        TEST(tcp_only_uses_tcp),
        TEST(it_may_be_freed_with_questions_out),
        TEST(it_may_be_freed_in_a_callback),
        TEST(it_may_be_freed_in_the_callback_of_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
