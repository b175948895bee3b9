/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_selftest.c - the self-test of resolvers that are fit, and of those that are not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/dns.h"
#include "test/unit/dns/server.h"

#define MOST 32

struct bench {
    struct loop *loop;
    struct test_server server, other;
    struct resolver *r;
    struct dns_selftest *test;
    struct timer guard;
    unsigned called;
    enum dns_grade worst;
    size_t count;
    struct dns_finding findings[MOST];
};

static void on_guard(void *arg)
{
    loop_stop(arg);
}

static void on_result(const struct dns_selftest_result *res, void *arg)
{
    struct bench *b = arg;

    b->test = NULL;
    b->called += 1;
    b->worst = res->worst;
    b->count = min_size(res->count, MOST);
    memcpy(b->findings, res->findings, b->count * sizeof(b->findings[0]));
    loop_stop(b->loop);
}

static int set_up(void **state)
{
    struct bench *b = xcalloc(1, sizeof(*b));

    b->loop = loop_new();
    server_start(&b->server, b->loop);
    server_start(&b->other, b->loop);
    timer_init(&b->guard, b->loop, on_guard, b->loop);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    dns_selftest_cancel(&b->test);
    resolver_free(b->r);
    timer_stop(&b->guard);
    server_stop(&b->server);
    server_stop(&b->other);
    loop_free(b->loop);
    free(b);
    return 0;
}

static void open_resolver(struct bench *b, size_t servers)
{
    struct addr list[2] = { b->server.addr, b->other.addr };
    struct dns_settings s = dns_settings_default();

    s.servers = list;
    s.server_count = servers;
    s.timeout_ms = 150;
    b->r = resolver_new(b->loop, &s);
}

static void start(struct bench *b, const char *const *zones, size_t count)
{
    struct slice lists[DNS_SELFTEST_LISTS_MAX];
    struct dns_selftest_settings s = { .known = SLICE_INIT("known.zone"), .lists = lists };

    for (size_t i = 0; i < count; i++) {
        lists[i] = slice_str(zones[i]);
    }
    s.list_count = count;
    b->test = dns_selftest_start(b->r, &s, on_result, b);
}

static void run_ms(struct bench *b, unsigned ms)
{
    timer_start(&b->guard, ms);
    loop_run(b->loop);
    timer_stop(&b->guard);
}

static const struct dns_finding *find(const struct bench *b, enum dns_check check, size_t list)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->findings[i].check == check && b->findings[i].list == list) {
            return &b->findings[i];
        }
    }
    fail_msg("no finding for %s", dns_check_text(check));
    return NULL;
}

static void expect(const struct bench *b, enum dns_check check, size_t list, enum dns_grade grade,
                   const char *part)
{
    const struct dns_finding *f = find(b, check, list);

    if (f->grade != grade || strstr(f->text, part) == NULL) {
        fail_msg("%s: %s, \"%s\"", dns_check_text(check), dns_grade_text(f->grade), f->text);
    }
}

static void a_good_resolver_is_good(void **state)
{
    static const char *const zones[] = { "good.list" };
    struct bench *b = *state;

    open_resolver(b, 1);
    start(b, zones, 1);
    assert_int_equal(b->called, 0);
    run_ms(b, 3000);
    assert_int_equal(b->called, 1);
    assert_int_equal(b->worst, DNS_GRADE_OK);
    assert_int_equal(b->count, 5);
    expect(b, DNS_CHECK_UDP, 0, DNS_GRADE_OK, "answers over UDP");
    expect(b, DNS_CHECK_TCP, 0, DNS_GRADE_OK, "answers over TCP");
    expect(b, DNS_CHECK_EDNS, 0, DNS_GRADE_OK, "speaks EDNS");
    expect(b, DNS_CHECK_NXDOMAIN, 0, DNS_GRADE_OK, "says NXDOMAIN");
    expect(b, DNS_CHECK_LIST, 0, DNS_GRADE_OK, "good.list");
    assert_int_equal(b->server.tcp_queries, 1);
}

static void each_trouble_of_a_list_has_its_sentence(void **state)
{
    static const char *const zones[] = { "open.list", "outside.list", "rebind.list",
                                         "dead.list", "silent.test",  "a..b" };
    struct bench *b = *state;

    open_resolver(b, 1);
    start(b, zones, ARRAY_LEN(zones));
    run_ms(b, 3000);
    assert_int_equal(b->worst, DNS_GRADE_BROKEN);
    expect(b, DNS_CHECK_LIST, 0, DNS_GRADE_BROKEN, "127.255.255.254");
    expect(b, DNS_CHECK_LIST, 1, DNS_GRADE_BROKEN, "10.0.0.1, which is outside 127/8, for list outside.list");
    expect(b, DNS_CHECK_LIST, 2, DNS_GRADE_BROKEN, "rebind.list: answers in 127/8 are filtered");
    expect(b, DNS_CHECK_LIST, 3, DNS_GRADE_BROKEN, "no test entry in list dead.list");
    expect(b, DNS_CHECK_LIST, 5, DNS_GRADE_UNKNOWN, "not legal");
}

static void what_a_server_makes_of_edns_is_said(void **state)
{
    static const struct {
        enum server_opt opt;
        const char *said;
    } rows[] = {
        { SERVER_OPT_FORMERR, "refuses questions with EDNS (FORMERR or NOTIMP): it is asked without" },
        { SERVER_OPT_NOTIMP, "refuses questions with EDNS" },
        { SERVER_OPT_BARE, "refuses questions with EDNS" },
        { SERVER_OPT_SILENT, "does not answer questions with EDNS, or something on the way drops them" },
    };
    static const char *const zones[] = { "good.list" };
    struct bench *b = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_resolver(b, 1);
        b->server.opt = rows[i].opt;
        start(b, zones, 1);
        run_ms(b, 3000);
        assert_int_equal(b->count, 5);
        expect(b, DNS_CHECK_EDNS, 0, DNS_GRADE_WARN, rows[i].said);
        expect(b, DNS_CHECK_UDP, 0, DNS_GRADE_OK, "answers over UDP");
        expect(b, DNS_CHECK_TCP, 0, DNS_GRADE_OK, "answers over TCP");
        expect(b, DNS_CHECK_NXDOMAIN, 0, DNS_GRADE_OK, "says NXDOMAIN");
        expect(b, DNS_CHECK_LIST, 0, DNS_GRADE_OK, "good.list");
        assert_int_equal(b->worst, DNS_GRADE_WARN);
        resolver_free(b->r);
        b->r = NULL;
    }
}

static void rewritten_nxdomain_is_found(void **state)
{
    struct bench *b = *state;

    open_resolver(b, 1);
    b->server.mode = SERVER_REWRITES;
    start(b, NULL, 0);
    run_ms(b, 3000);
    expect(b, DNS_CHECK_NXDOMAIN, 0, DNS_GRADE_BROKEN, "answers 5.5.5.5 for a name that does not exist");
}

static void a_resolver_that_refuses_or_is_silent_is_broken(void **state)
{
    struct bench *b = *state;

    open_resolver(b, 1);
    b->server.mode = SERVER_REFUSED;
    start(b, NULL, 0);
    run_ms(b, 3000);
    expect(b, DNS_CHECK_UDP, 0, DNS_GRADE_BROKEN, "refuses our questions");
    b->server.mode = SERVER_SILENT;
    start(b, NULL, 0);
    run_ms(b, 3000);
    assert_int_equal(b->called, 2);
    expect(b, DNS_CHECK_UDP, 0, DNS_GRADE_BROKEN, "over UDP did not answer in time");
    expect(b, DNS_CHECK_EDNS, 0, DNS_GRADE_UNKNOWN, "EDNS");
    expect(b, DNS_CHECK_NXDOMAIN, 0, DNS_GRADE_UNKNOWN, "no usable answer");
}

static void each_server_is_tested_by_itself(void **state)
{
    static const char *const zones[] = { "good.list" };
    struct bench *b = *state;
    size_t broken = 0;

    open_resolver(b, 2);
    server_stop(&b->server);
    start(b, zones, 1);
    run_ms(b, 3000);
    assert_int_equal(b->count, 10);
    for (size_t i = 0; i < b->count; i++) {
        assert_int_equal(b->findings[i].server.port, i < 5 ? b->server.addr.port : b->other.addr.port);
        broken += b->findings[i].grade != DNS_GRADE_OK;
    }
    assert_int_equal(broken, 5);
    expect(b, DNS_CHECK_TCP, 0, DNS_GRADE_BROKEN, "cannot be reached");
}

static void a_cancelled_test_is_silent_and_may_outlive_its_resolver(void **state)
{
    struct bench *b = *state;

    open_resolver(b, 1);
    start(b, NULL, 0);
    dns_selftest_cancel(&b->test);
    assert_null(b->test);
    dns_selftest_cancel(&b->test);
    run_ms(b, 50);
    assert_int_equal(b->called, 0);
    start(b, NULL, 0);
    resolver_free(b->r);
    b->r = NULL;
    run_ms(b, 3000);
    assert_int_equal(b->called, 1);
    assert_int_equal(b->worst, DNS_GRADE_OK);
}

static void the_deadline_ends_it(void **state)
{
    struct dns_selftest_settings s = { .known = SLICE_INIT("known.zone"), .deadline_ms = 40 };
    struct bench *b = *state;

    open_resolver(b, 1);
    b->server.mode = SERVER_SILENT;
    b->test = dns_selftest_start(b->r, &s, on_result, b);
    run_ms(b, 100);
    assert_int_equal(b->called, 1);
    expect(b, DNS_CHECK_UDP, 0, DNS_GRADE_BROKEN, "did not answer in time");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_resolver_is_good),
        TEST(each_trouble_of_a_list_has_its_sentence),
        { "A16: what a server makes of EDNS is said", what_a_server_makes_of_edns_is_said, set_up, tear_down,
          NULL },
        TEST(rewritten_nxdomain_is_found),
        TEST(a_resolver_that_refuses_or_is_silent_is_broken),
        TEST(each_server_is_tested_by_itself),
        TEST(a_cancelled_test_is_silent_and_may_outlive_its_resolver),
        TEST(the_deadline_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
