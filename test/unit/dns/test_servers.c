/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_servers.c - choice of a server, health, resolv.conf.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/servers.h"

static void make_set(struct servers *set, size_t count)
{
    *set = (struct servers){ .count = count };
    for (size_t i = 0; i < count; i++) {
        struct addr a = { .family = ADDR_V4, .port = 53, .ip = { 127, 0, 0, (uint8_t)(i + 1) } };

        server_init(&set->list[i], &a);
    }
}

static void bad_times(struct server *s, enum dns_why why, int times, uint64_t now_ms)
{
    for (int i = 0; i < times; i++) {
        server_sent(s, now_ms);
        (void)!server_bad(s, why, now_ms);
    }
}

static void the_first_healthy_server_is_taken(void **state UNUSED)
{
    struct servers set;

    make_set(&set, 3);
    assert_ptr_equal(servers_pick(&set, 0, true, 1000), &set.list[0]);
    assert_ptr_equal(servers_pick(&set, 1, true, 1000), &set.list[1]);
    assert_null(servers_pick(&set, 7, true, 1000));
}

static void three_timeouts_take_a_server_down_and_an_answer_brings_it_back(void **state UNUSED)
{
    struct servers set;

    make_set(&set, 2);
    bad_times(&set.list[0], DNS_WHY_TIMEOUT, 2, 1000);
    assert_false(set.list[0].down);
    server_sent(&set.list[0], 1000);
    assert_true(server_bad(&set.list[0], DNS_WHY_TIMEOUT, 1000));
    assert_ptr_equal(servers_pick(&set, 0, true, 1000), &set.list[1]);
    assert_null(servers_due(&set, 1999));
    assert_ptr_equal(servers_due(&set, 2000), &set.list[0]);
    set.list[0].probing = true;
    assert_null(servers_due(&set, 2000));
    server_sent(&set.list[0], 2000);
    assert_true(server_good(&set.list[0], 300));
    assert_ptr_equal(servers_pick(&set, 0, true, 2000), &set.list[0]);
    assert_int_equal(set.list[0].stats.marked_down, 1);
    assert_int_equal(set.list[0].stats.pending, 0);
}

static void failures_that_may_be_the_names_fault_weigh_little(void **state UNUSED)
{
    struct servers set;

    make_set(&set, 1);
    bad_times(&set.list[0], DNS_WHY_SERVFAIL, SERVER_DOWN_SCORE - 1, 1000);
    assert_false(set.list[0].down);
    bad_times(&set.list[0], DNS_WHY_SERVFAIL, 1, 1000);
    assert_true(set.list[0].down);
    assert_ptr_equal(servers_pick(&set, 0, false, 1000), &set.list[0]);
}

static void the_pause_doubles_up_to_its_limit(void **state UNUSED)
{
    struct servers set;
    uint64_t now = 1000;

    make_set(&set, 2);
    bad_times(&set.list[0], DNS_WHY_NETWORK, 3, now);
    for (int i = 0; i < 12; i++) {
        now = set.list[0].retry_at_ms;
        bad_times(&set.list[0], DNS_WHY_NETWORK, 1, now);
    }
    assert_int_equal(set.list[0].retry_at_ms - now, SERVER_BACKOFF_MAX_MS);
    /* a burst that fails together counts once */
    bad_times(&set.list[0], DNS_WHY_NETWORK, 50, now);
    assert_int_equal(set.list[0].retry_at_ms - now, SERVER_BACKOFF_MAX_MS);
}

static void a_silent_server_is_passed_over_before_it_is_down(void **state UNUSED)
{
    struct servers set;

    make_set(&set, 2);
    server_sent(&set.list[0], 1000);
    assert_ptr_equal(servers_pick(&set, 0, true, 1000 + SERVER_SUSPECT_MS - 1), &set.list[0]);
    assert_ptr_equal(servers_pick(&set, 0, true, 1000 + SERVER_SUSPECT_MS), &set.list[1]);
    assert_false(server_good(&set.list[0], 100));
    assert_ptr_equal(servers_pick(&set, 0, true, 9000), &set.list[0]);
}

static void down_servers_are_left_out_unless_allowed(void **state UNUSED)
{
    struct servers set;

    make_set(&set, 2);
    bad_times(&set.list[1], DNS_WHY_TIMEOUT, 3, 1000);
    assert_null(servers_pick(&set, 1, false, 1000));
    assert_ptr_equal(servers_pick(&set, 1, true, 1000), &set.list[1]);
    bad_times(&set.list[0], DNS_WHY_TIMEOUT, 3, 1500);
    /* all are down: the one whose pause ends first */
    assert_ptr_equal(servers_pick(&set, 0, false, 1500), &set.list[1]);
}

static void resolv_conf_gives_its_servers(void **state UNUSED)
{
    struct addr out[3];
    struct slice text = SLICE("# nameserver 192.0.2.9\n"
                              "search example.org\n"
                              "nameserver 192.0.2.1\r\n"
                              "nameserver\tnonsense\n"
                              "nameserver fe80::1%eth0\n"
                              "  nameserver 2001:db8::1   # second\n"
                              "nameservers 192.0.2.8\n"
                              "options timeout:1\n"
                              "nameserver 192.0.2.3\n"
                              "nameserver 192.0.2.4");

    assert_int_equal(servers_parse_resolv_conf(text, out, 3), 3);
    assert_int_equal(out[0].ip[3], 1);
    assert_int_equal(out[1].family, ADDR_V6);
    assert_int_equal(out[2].ip[3], 3);
    assert_int_equal(servers_parse_resolv_conf(SLICE(""), out, 3), 0);
    assert_int_equal(servers_read_resolv_conf("/nonexistent/resolv.conf", out, 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_healthy_server_is_taken),
        cmocka_unit_test(three_timeouts_take_a_server_down_and_an_answer_brings_it_back),
        cmocka_unit_test(failures_that_may_be_the_names_fault_weigh_little),
        cmocka_unit_test(the_pause_doubles_up_to_its_limit),
        cmocka_unit_test(a_silent_server_is_passed_over_before_it_is_down),
        cmocka_unit_test(down_servers_are_left_out_unless_allowed),
        cmocka_unit_test(resolv_conf_gives_its_servers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
