/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pace.c - how many questions a network may cause: allowances, refill, who shares one, nonsense in the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "dns/pace.h"

#define NOW UINT64_C(5000000000)
#define SECOND UINT64_C(1000000)

static const struct pace_rates rates = { .rate = { { 3, 60000 }, { 2, 60000 } } };

static int set_up(void **state)
{
    *state = dns_pace_new();
    assert_non_null(*state);
    return 0;
}

static int tear_down(void **state)
{
    dns_pace_free(*state);
    return 0;
}

static struct dns_asker asker(const char *ip)
{
    struct addr a;

    assert_true(addr_parse_ip(slice_str(ip), &a));
    return (struct dns_asker){ .network = dns_network(&a), .failures_free = true };
}

static unsigned asks(struct dns_pace *p, const struct dns_asker *who, unsigned times, uint64_t now_us)
{
    unsigned yes = 0;

    for (unsigned i = 0; i < times; i++) {
        yes += pace_ask(p, &rates, who, now_us) != PACE_NO;
    }
    return yes;
}

static void a_network_has_its_questions_and_no_more(void **state)
{
    struct dns_asker one = asker("192.0.2.1"), other = asker("192.0.3.1");

    assert_int_equal(asks(*state, &one, 10, NOW), 3);
    assert_int_equal(asks(*state, &other, 10, NOW), 3);
    assert_int_equal(asks(*state, &one, 10, NOW + 19 * SECOND), 0);
    assert_int_equal(asks(*state, &one, 10, NOW + 21 * SECOND), 1); /* one each 20 s */
    assert_int_equal(asks(*state, &one, 10, NOW + 600 * SECOND), 3);
}

static void a_network_is_a_24_or_a_48(void **state)
{
    struct dns_asker a = asker("192.0.2.1"), b = asker("192.0.2.254");
    struct dns_asker c = asker("2001:db8:1::1"), d = asker("2001:db8:1:ffff::9"), e = asker("2001:db8:2::1");
    struct addr back = pace_address(c.network), want;
    struct addr none = { .family = ADDR_NONE };

    assert_int_equal(asks(*state, &a, 2, NOW) + asks(*state, &b, 2, NOW), 3);
    assert_int_equal(asks(*state, &c, 2, NOW) + asks(*state, &d, 2, NOW), 3);
    assert_int_equal(asks(*state, &e, 1, NOW), 1);
    assert_int_equal(dns_network(&none), 0);
    assert_true(addr_parse_ip(SLICE("2001:db8:1::"), &want));
    assert_true(addr_same_ip(&back, &want));
    back = pace_address(b.network);
    assert_true(addr_parse_ip(SLICE("192.0.2.0"), &want));
    assert_true(addr_same_ip(&back, &want));
}

static bool yes(void *arg)
{
    *(unsigned *)arg += 1;
    return true;
}

static void what_fails_has_a_smaller_number(void **state)
{
    struct dns_asker list = asker("192.0.2.1"), who = list, good;
    unsigned called = 0;

    who.failures_free = false;
    good = who;
    good.forgives = yes;
    good.arg = &called;
    assert_int_equal(pace_ask(*state, &rates, &who, NOW), PACE_YES);
    assert_int_equal(pace_ask(*state, &rates, &good, NOW), PACE_YES);
    assert_int_equal(called, 0); /* no callback was needed */
    assert_int_equal(pace_ask(*state, &rates, &who, NOW), PACE_NO);
    pace_give_back(*state, &rates, who.network, NOW);
    pace_give_back(*state, &rates, who.network, NOW);
    assert_int_equal(pace_ask(*state, &rates, &who, NOW + 20 * SECOND),
                     PACE_YES); /* of the questions one is left */
    assert_int_equal(pace_ask(*state, &rates, &who, NOW + 40 * SECOND), PACE_YES);
    assert_int_equal(pace_ask(*state, &rates, &who, NOW + 41 * SECOND), PACE_NO);
    assert_int_equal(pace_ask(*state, &rates, &good, NOW + 60 * SECOND),
                     PACE_YES); /* one failure is forgotten */
    assert_int_equal(pace_ask(*state, &rates, &list, NOW + 120 * SECOND), PACE_YES_FREE);
    assert_int_equal(called, 0);
}

static void who_is_forgiven_goes_on(void **state)
{
    struct dns_asker who = asker("192.0.2.1");
    unsigned called = 0;

    who.failures_free = false;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pace_ask(*state, &rates, &who, NOW), PACE_YES);
    }
    assert_int_equal(pace_ask(*state, &rates, &who, NOW), PACE_NO);
    who.forgives = yes;
    who.arg = &called;
    assert_int_equal(pace_ask(*state, &rates, &who, NOW), PACE_YES_FREE);
    assert_int_equal(called, 1);
    assert_int_equal(pace_ask(*state, &rates, &who, NOW),
                     PACE_NO); /* the questions are used up nevertheless */
}

/* One network, spread over workers, has one allowance. */
static void all_processes_share_one_table(void **state)
{
    struct dns_asker who = asker("192.0.2.1");
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        _exit((int)asks(*state, &who, 2, NOW));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 2);
    assert_int_equal(asks(*state, &who, 10, NOW), 1);
}

static void nonsense_in_the_table_weighs_nothing(void **state)
{
    static const uint8_t patterns[] = { 0xff, 0x80, 0x7f, 0x01 };
    struct dns_asker who = asker("192.0.2.1");

    for (size_t i = 0; i < sizeof(patterns); i++) {
        memset((char *)*state + 64, patterns[i], PACE_BYTES);
        assert_int_equal(asks(*state, &who, 10, NOW), 3);
        pace_give_back(*state, &rates, who.network, NOW);
    }
}

/* Far more networks than there are places: everybody is let through, and the table does not grow. */
static void a_full_table_lets_through(void **state)
{
    unsigned refused = 0;

    for (uint32_t i = 0; i < 300000; i++) {
        struct dns_asker who = { .network = (UINT64_C(4) << 48) + i + 1 };

        refused += pace_ask(*state, &rates, &who, NOW + i) == PACE_NO;
    }
    assert_true(refused < 300); /* a network that shares its tag with others of the set */
}

static void off_is_off(void **state)
{
    static const struct pace_rates none = { 0 };
    struct dns_asker who = asker("192.0.2.1");

    for (int i = 0; i < 10000; i++) {
        pace_give_back(*state, &none, who.network, NOW);
        assert_int_equal(pace_ask(*state, &none, &who, NOW), PACE_YES_FREE);
    }
}

#define TEST(title, f)                                                                                       \
    {                                                                                                        \
        title, f, set_up, tear_down, NULL                                                                    \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("C11: a network has its questions and no more", a_network_has_its_questions_and_no_more),
        TEST("C11: a network is a /24 or a /48", a_network_is_a_24_or_a_48),
        TEST("C11: what fails has a smaller number", what_fails_has_a_smaller_number),
        TEST("C11: who is forgiven goes on", who_is_forgiven_goes_on),
        TEST("C11: all processes share one table", all_processes_share_one_table),
        TEST("C11: nonsense in the table weighs nothing", nonsense_in_the_table_weighs_nothing),
        TEST("C11: a full table lets through", a_full_table_lets_through),
        TEST("C11: off is off", off_is_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
