/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_unknown_rcpt.c - refused recipients are remembered by upstream and address, for a time, up to a number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/upstream/unknown_rcpt.h"

static const struct reply refusal = { 550, SLICE_INIT("5.1.1"), SLICE_INIT("no such user") };

static void what_was_refused_is_found_with_its_text(void **state)
{
    struct unknown_rcpt *u = unknown_rcpt_new(10);
    const struct reply *r;

    (void)state;
    unknown_rcpt_remember(u, 1, SLICE("a@b"), &refusal, 1000);
    r = unknown_rcpt_find(u, 1, SLICE("a@b"), 999);
    assert_non_null(r);
    assert_int_equal(r->code, 550);
    assert_true(slice_eq(r->text, refusal.text));
    assert_null(unknown_rcpt_find(u, 2, SLICE("a@b"), 999));  /* another upstream */
    assert_null(unknown_rcpt_find(u, 1, SLICE("A@b"), 999));  /* the local part is as it came */
    assert_null(unknown_rcpt_find(u, 1, SLICE("a@b"), 1000)); /* over */
    assert_null(unknown_rcpt_find(u, 1, SLICE("a@b"), 0));
    unknown_rcpt_free(&u);
    unknown_rcpt_free(&u);
}

static void a_new_refusal_replaces_the_old_one(void **state)
{
    struct unknown_rcpt *u = unknown_rcpt_new(10);
    struct reply other = refusal;

    (void)state;
    other.text = SLICE("moved on");
    unknown_rcpt_remember(u, 1, SLICE("a@b"), &refusal, 1000);
    unknown_rcpt_remember(u, 1, SLICE("a@b"), &other, 2000);
    assert_true(slice_eq(unknown_rcpt_find(u, 1, SLICE("a@b"), 1500)->text, other.text));
    unknown_rcpt_free(&u);
}

static void beyond_the_maximum_the_oldest_goes(void **state)
{
    struct unknown_rcpt *u = unknown_rcpt_new(3);
    static const char *const who[] = { "a@b", "b@b", "c@b", "d@b" };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        unknown_rcpt_remember(u, 1, slice_str(who[i]), &refusal, 1000);
    }
    assert_null(unknown_rcpt_find(u, 1, SLICE("a@b"), 1));
    assert_non_null(unknown_rcpt_find(u, 1, SLICE("b@b"), 1));
    assert_non_null(unknown_rcpt_find(u, 1, SLICE("d@b"), 1));
    unknown_rcpt_free(&u);
}

static void an_endless_address_is_not_kept(void **state)
{
    struct unknown_rcpt *u = unknown_rcpt_new(3);
    static char text[10000];

    (void)state;
    memset(text, 'x', sizeof(text));
    unknown_rcpt_remember(u, 1, slice_of(text, sizeof(text)), &refusal, 1000);
    assert_null(unknown_rcpt_find(u, 1, slice_of(text, sizeof(text)), 1));
    unknown_rcpt_free(&u);
}

static void an_endless_text_is_not_kept(void **state)
{
    struct unknown_rcpt *u = unknown_rcpt_new(3);
    static char text[UNKNOWN_TEXT_MAX + 1];
    struct reply r = refusal;

    (void)state;
    memset(text, 'x', sizeof(text));
    r.text = slice_of(text, sizeof(text));
    unknown_rcpt_remember(u, 1, SLICE("a@corp.test"), &r, 1000);
    assert_null(unknown_rcpt_find(u, 1, SLICE("a@corp.test"), 1));
    r.text = slice_of(text, UNKNOWN_TEXT_MAX);
    unknown_rcpt_remember(u, 1, SLICE("a@corp.test"), &r, 1000);
    assert_non_null(unknown_rcpt_find(u, 1, SLICE("a@corp.test"), 1));
    unknown_rcpt_free(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_refused_is_found_with_its_text),
        cmocka_unit_test(a_new_refusal_replaces_the_old_one),
        cmocka_unit_test(beyond_the_maximum_the_oldest_goes),
        cmocka_unit_test(an_endless_address_is_not_kept),
        cmocka_unit_test(an_endless_text_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
