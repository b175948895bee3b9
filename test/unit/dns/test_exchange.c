/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_exchange.c - one server: ids, TCP, EDNS, letters, freeing at bad moments.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/unit/dns/exchange_bench.h"

static void open_exchange(struct bench *b, bool forgers, bool tcp)
{
    struct exchange_settings s = { .timeout_ms = 200, .forgers = forgers, .tcp = tcp };

    s.server = b->server.addr;
    b->x = exchange_new(b->loop, &s);
}

static int set_up(void **state)
{
    *state = bench_new();
    return 0;
}

static void every_question_gets_its_callback_later(void **state)
{
    struct bench *b = *state;

    open_exchange(b, false, false);
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

    open_exchange(b, false, false);
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

    open_exchange(b, false, false);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(seen[send_one(b, "silent.test")]++, 0);
    }
    run_ms(b, 450);
    assert_int_equal(b->timeouts, 400);
    /* and are given back */
    send_one(b, "host.test");
    run_ms(b, 20);
    assert_int_equal(b->answers, 1);
}

static void tcp_only_uses_tcp(void **state)
{
    struct bench *b = *state;

    open_exchange(b, false, true);
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

    open_exchange(b, false, false);
    send_one(b, "host.test");
    send_one(b, "silent.test");
    exchange_free(b->x);
    b->x = NULL;
    run_ms(b, 20);
    assert_int_equal(b->answers + b->timeouts + b->errors, 0);
}

static void it_may_be_freed_in_a_callback(void **state)
{
    struct bench *b = *state;

    open_exchange(b, false, false);
    b->frees = true;
    for (int i = 0; i < 10; i++) {
        send_one(b, "host.test");
    }
    run_ms(b, 50);
    assert_int_equal(b->answers, 1);
    assert_null(b->x);
}

static void it_may_be_freed_in_the_callback_of_a_failure(void **state)
{
    struct bench *b = *state;

    open_exchange(b, false, false);
    server_stop(&b->server);
    b->frees = true;
    for (int i = 0; i < 10; i++) {
        send_one(b, "host.test");
    }
    run_ms(b, 50);
    assert_int_equal(b->errors, 1);
}

static void a_truncated_answer_comes_by_tcp_and_under_the_first_id(void **state)
{
    struct bench *b = *state;
    uint16_t id;

    open_exchange(b, true, false);
    b->server.opt = SERVER_OPT_BARE; /* sent again twice */
    id = send_one(b, "big.test");
    run_ms(b, 100);
    assert_int_equal(b->answers, 1);
    assert_int_equal(b->last_packet[0] << 8 | b->last_packet[1], id);
    assert_true(b->server.tcp_queries >= 1);
}

/* ---- EDNS ---- */

/* Whatever it says to OPT: the first question is answered, by its second packet, and the next ones at once. */
static void who_refuses_edns_is_asked_without(void **state)
{
    static const enum server_opt ways[] = { SERVER_OPT_FORMERR, SERVER_OPT_NOTIMP, SERVER_OPT_BARE,
                                            SERVER_OPT_ECHO };

    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct bench *b = *state;

        open_exchange(b, i % 2 == 0, false);
        b->server.opt = ways[i];
        for (int k = 0; k < 20; k++) {
            send_one(b, "host.test"); /* all out before the first answer */
        }
        run_ms(b, 50);
        assert_int_equal(b->answers, 20);
        assert_int_equal(b->server.with_opt, 20);
        assert_true(exchange_is_plain(b->x));
        for (int k = 0; k < 20; k++) {
            send_one(b, "host.test");
        }
        run_ms(b, 50);
        assert_int_equal(b->answers, 40);
        assert_int_equal(b->server.with_opt, 20); /* it is remembered */
        tear_down(state);
        set_up(state);
    }
}

static void edns_is_tried_again_after_an_hour(void **state)
{
    struct bench *b = *state;

    open_exchange(b, false, false);
    b->server.opt = SERVER_OPT_FORMERR;
    send_one(b, "host.test");
    run_ms(b, 20);
    assert_true(exchange_is_plain(b->x));
    run_ms(b, 3600000 - 1000);
    send_one(b, "host.test");
    run_ms(b, 20);
    assert_int_equal(b->server.with_opt, 1);
    b->server.opt = SERVER_OPT_TAKEN;
    run_ms(b, 2000);
    send_one(b, "host.test");
    run_ms(b, 20);
    assert_int_equal(b->server.with_opt, 2);
    assert_int_equal(b->answers, 3);
    assert_false(exchange_is_plain(b->x));
}

/* The first question times out, the second goes both ways: that is proof, and the third goes without. */
static void who_drops_edns_is_asked_without(void **state)
{
    struct bench *b = *state;

    open_exchange(b, true, false);
    b->server.opt = SERVER_OPT_SILENT;
    send_one(b, "host.test");
    run_ms(b, 300);
    assert_int_equal(b->timeouts, 1);
    send_one(b, "host.test");
    run_ms(b, 300);
    assert_int_equal(b->answers, 1);
    assert_true(exchange_is_plain(b->x));
    send_one(b, "host.test");
    run_ms(b, 20);
    assert_int_equal(b->answers, 2);
    assert_int_equal(b->server.with_opt, 2);
}

/* Names of strangers that are not answered in time prove nothing, however many, in whatever order. */
static void a_server_that_bears_edns_is_not_taken_for_one_that_does_not(void **state)
{
    struct bench *b = *state;

    open_exchange(b, false, false);
    for (int i = 0; i < 10; i++) { /* from the start on */
        send_one(b, "silent.test");
        run_ms(b, 300);
        send_one(b, "host.test");
        send_one(b, "silent.test");
        run_ms(b, 300);
    }
    for (int i = 0; i < 10; i++) {
        send_one(b, "silent.test");
        run_ms(b, 300);
    }
    assert_false(exchange_is_plain(b->x));
    assert_int_equal(b->answers, 10);
    assert_int_equal(b->timeouts, 30);
    send_one(b, "host.test");
    run_ms(b, 20);
    b->server.opt = SERVER_OPT_FORMERR; /* one FORMERR of a server that has borne it: that question only */
    send_one(b, "host.test");
    run_ms(b, 20);
    b->server.opt = SERVER_OPT_TAKEN;
    assert_int_equal(b->answers, 12);
    send_one(b, "host.test");
    run_ms(b, 20);
    assert_false(exchange_is_plain(b->x));
}

/* ---- letters ---- */

static void letters_are_mixed_where_there_may_be_forgers(void **state)
{
    struct bench *b = *state;
    unsigned upper = 0, lower = 0;

    open_exchange(b, true, false);
    for (int i = 0; i < 50; i++) {
        send_one(b, "abcdefghijklmnopqrstuvwxyz-0123.test");
        run_ms(b, 5);
        for (size_t k = 1; b->server.last_name[k] != 0; k++) {
            upper += b->server.last_name[k] >= 'A' && b->server.last_name[k] <= 'Z';
            lower += b->server.last_name[k] >= 'a' && b->server.last_name[k] <= 'z';
        }
    }
    assert_int_equal(b->answers, 50);
    assert_int_equal(upper + lower, 50 * 30);
    assert_in_range(upper, 600, 900);
    assert_memory_equal(b->last_packet + 12, "\037abcdefghijklmnopqrstuvwxyz-0123\4test",
                        37); /* as it was asked */
}

static void who_changes_letters_is_asked_in_lower_case(void **state)
{
    struct bench *b = *state;

    open_exchange(b, true, false);
    b->server.lowers = true;
    send_one(b, "host-with-many-letters.test");
    run_ms(b, 20);
    assert_int_equal(b->answers, 1);
    assert_int_equal(b->server.udp_queries, 2);
    for (int i = 0; i < 10; i++) {
        send_one(b, "host-with-many-letters.test");
    }
    run_ms(b, 20);
    assert_int_equal(b->answers, 11);
    assert_int_equal(b->server.udp_queries, 12);
}

#define TITLED(title, f)                                                                                     \
    {                                                                                                        \
        title, f, set_up, tear_down, NULL                                                                    \
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_question_gets_its_callback_later),
        TEST(a_closed_port_is_a_network_error_and_not_inline),
        TEST(ids_in_flight_differ),
        TEST(tcp_only_uses_tcp),
        TEST(it_may_be_freed_with_questions_out),
        TEST(it_may_be_freed_in_a_callback),
        TEST(it_may_be_freed_in_the_callback_of_a_failure),
        TEST(a_truncated_answer_comes_by_tcp_and_under_the_first_id),
        TITLED("A16: who refuses EDNS is asked without", who_refuses_edns_is_asked_without),
        TITLED("A16: EDNS is tried again after an hour", edns_is_tried_again_after_an_hour),
        TITLED("A16: who drops EDNS is asked without", who_drops_edns_is_asked_without),
        TITLED("A16: a server that bears EDNS is not taken for one that does not",
               a_server_that_bears_edns_is_not_taken_for_one_that_does_not),
        TITLED("C12: letters are mixed where there may be forgers",
               letters_are_mixed_where_there_may_be_forgers),
        TITLED("C12: who changes letters is asked in lower case", who_changes_letters_is_asked_in_lower_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
