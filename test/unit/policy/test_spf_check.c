/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_spf_check.c - the driver of SPF: asks, feeds, keeps its deadline, can be cancelled.
 *
 * dns_query_for() and dns_cancel() are replaced at link time: questions are answered from the loop, or never.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/spf/spf_check.h"

static const char *const rows[][3] = {
    { "a.test", "TXT", "v=spf1 mx include:b.test -all" },
    { "a.test", "MX", "m1.test" },
    { "a.test", "MX", "m2.test" },
    { "m1.test", "A", "\xc0\x01\x02\x01" },
    { "m2.test", "A", "\xc0\x01\x02\x02" },
    { "b.test", "TXT", "v=spf1 ip4:192.0.2.0/24 -all" },
    { "c.test", "TXT", "v=spf1 a:silent.test -all" },
    { "d.test", "TXT", "v=spf1 a:broken.test -all" },
};

struct dns_req {
    struct deferred later;
    struct resolver *r;
    struct slice name;
    enum dns_type type;
    dns_cb cb;
    void *arg;
};

struct resolver {
    struct loop *loop;
    size_t asked;
    size_t out; /* requests that exist */
};

static bool is_type(enum dns_type type, const char *text)
{
    static const char *const texts[] = {
        [DNS_TYPE_A] = "A",
        [DNS_TYPE_MX] = "MX",
        [DNS_TYPE_TXT] = "TXT",
    };

    return type < ARRAY_LEN(texts) && texts[type] != NULL && strcmp(texts[type], text) == 0;
}

static void on_later(void *arg)
{
    struct dns_req *q = arg;
    struct dns_record rec[8] = { 0 };
    struct dns_had had = { 0 };
    struct dns_answer *ans;
    size_t n = 0;
    dns_cb cb = q->cb;
    void *cb_arg = q->arg;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_eq(q->name, slice_str(rows[i][0])) && is_type(q->type, rows[i][1])) {
            rec[n++].data = q->type == DNS_TYPE_A ? slice_of(rows[i][2], 4) : slice_str(rows[i][2]);
        }
    }
    if (n > 0) {
        ans = dns_answer_make(rec, n);
    } else if (slice_eq(q->name, SLICE("broken.test"))) {
        ans = dns_answer_empty(DNS_TEMPFAIL, DNS_WHY_SERVFAIL);
    } else {
        ans = dns_answer_empty(DNS_NXDOMAIN, DNS_WHY_NONE);
    }
    q->r->out--;
    free(q);
    cb(ans, &had, cb_arg);
    dns_answer_unref(ans);
}

struct dns_req *dns_query_for(const struct dns_asker *who, struct slice name, enum dns_type type, dns_cb cb,
                              void *arg)
{
    struct dns_req *q = xcalloc(1, sizeof(*q));
    struct resolver *r = who->resolver;

    *q = (struct dns_req){ .r = r, .name = name, .type = type, .cb = cb, .arg = arg };
    deferred_init(&q->later, on_later, q);
    if (!slice_eq(name, SLICE("silent.test"))) {
        loop_defer(r->loop, &q->later);
    }
    r->asked++;
    r->out++;
    return q;
}

void dns_cancel(struct dns_req **req)
{
    if (*req != NULL) {
        (*req)->r->out--;
        deferred_cancel(&(*req)->later);
        free(*req);
        *req = NULL;
    }
}

struct bench {
    struct loop *loop;
    struct resolver r;
    struct spf_check *check;
    struct spf_verdict verdict;
    size_t called;
    struct timer end;
};

static void on_verdict(const struct spf_verdict *v, void *arg)
{
    struct bench *b = arg;

    b->check = NULL;
    b->verdict = *v;
    b->called++;
    loop_stop(b->loop);
}

static void on_end(void *arg)
{
    struct bench *b = arg;

    loop_stop(b->loop);
}

static int set_up(void **state)
{
    struct bench *b = xcalloc(1, sizeof(*b));

    b->loop = loop_new();
    b->r.loop = b->loop;
    timer_init(&b->end, b->loop, on_end, b);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    spf_check_cancel(&b->check);
    spf_check_cancel(&b->check);
    assert_int_equal(0, b->r.out);
    timer_stop(&b->end);
    loop_free(b->loop);
    free(b);
    return 0;
}

static void start(struct bench *b, const char *sender, uint64_t timeout_ms)
{
    struct spf_check_setup setup = {
        .loop = b->loop,
        .who = { .resolver = &b->r },
        .timeout_ms = timeout_ms,
        .in = { .client = { .family = ADDR_V4, .ip = { 192, 0, 2, 1 } },
                .sender = slice_str(sender),
                .helo = SLICE("helo.test") },
    };

    b->check = spf_check_start(&setup, on_verdict, b);
    assert_non_null(b->check);
    assert_int_equal(0, b->called);
}

static void a_check_asks_until_it_knows(void **state)
{
    struct bench *b = *state;

    start(b, "x@a.test", 0);
    loop_run(b->loop);
    assert_int_equal(1, b->called);
    assert_int_equal(SPF_PASS, b->verdict.result);
    assert_string_equal("include:b.test", b->verdict.mechanism);
    assert_int_equal(5, b->r.asked);
    assert_int_equal(5, b->verdict.lookups);
}

static void a_check_without_questions_calls_back_later(void **state)
{
    struct bench *b = *state;

    start(b, "x@[192.0.2.1]", 0);
    loop_run(b->loop);
    assert_int_equal(1, b->called);
    assert_int_equal(SPF_NONE, b->verdict.result);
    assert_int_equal(0, b->r.asked);
}

static void the_deadline_is_a_temperror(void **state)
{
    struct bench *b = *state;

    start(b, "x@c.test", 20);
    loop_run(b->loop);
    assert_int_equal(1, b->called);
    assert_int_equal(SPF_TEMPERROR, b->verdict.result);
    assert_string_equal("no answer in time", b->verdict.problem);
    assert_int_equal(0, b->r.out);
}

static void a_failure_of_dns_is_a_temperror(void **state)
{
    struct bench *b = *state;

    start(b, "x@d.test", 0);
    loop_run(b->loop);
    assert_int_equal(SPF_TEMPERROR, b->verdict.result);
}

static void a_cancelled_check_never_calls_back(void **state)
{
    static const char *const senders[] = { "x@a.test", "x@[192.0.2.1]", "x@c.test" };
    struct bench *b = *state;

    for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
        start(b, senders[i], 0);
        spf_check_cancel(&b->check);
        assert_null(b->check);
        assert_int_equal(0, b->r.out);
    }
    start(b, "x@c.test", 1000);
    timer_start(&b->end, 20);
    loop_run(b->loop);
    spf_check_cancel(&b->check); /* with a question out */
    timer_start(&b->end, 20);
    loop_run(b->loop);
    assert_int_equal(0, b->called);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_check_asks_until_it_knows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_check_without_questions_calls_back_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_deadline_is_a_temperror, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_of_dns_is_a_temperror, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancelled_check_never_calls_back, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
