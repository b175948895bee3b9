/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: found by name, counted apart when only recorded, kept when they are gone, bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/buf.h"
#include "state/rule_counts.h"
#include "state/state.h"

static void each_name_has_one_record(void **st)
{
    struct state *s = state_new(0);
    int a = state_rule(s, "a"), b = state_rule(s, "b");

    (void)st;
    assert_true(a >= 0 && b >= 0 && a != b);
    assert_int_equal(state_rule(s, "a"), a);
    assert_int_equal(state_rule_find(s, "b"), b);
    assert_int_equal(state_rule_find(s, "c"), -1);
    state_rule_count(s, a, false);
    state_rule_count(s, a, false);
    state_rule_count(s, a, true);
    state_rule_count(s, -1, true);
    assert_int_equal(state_rule_counted(s, a, false), 2);
    assert_int_equal(state_rule_counted(s, a, true), 1);
    assert_int_equal(state_rule_counted(s, b, false), 0);
    assert_int_equal(state_rule_counted(s, -1, false), 0);
    state_free(s);
}

static void there_are_so_many_and_no_more(void **st)
{
    struct state *s = state_new(0);
    char name[STATE_RULE_NAME_MAX + 3];
    struct buf text;

    (void)st;
    memset(name, 'x', sizeof(name));
    name[STATE_RULE_NAME_MAX + 1] = '\0';
    assert_int_equal(state_rule(s, name), -1);
    name[STATE_RULE_NAME_MAX] = '\0';
    assert_int_equal(state_rule(s, name), 0);
    for (int i = 1; i < STATE_RULES; i++) {
        buf_init_fixed(&text, name, sizeof(name));
        buf_putf(&text, "rule-%d", i);
        assert_int_equal(state_rule(s, name), i);
    }
    assert_int_equal(state_rule(s, "one-too-many"), -1);
    assert_int_equal(state_rule(s, "rule-7"), 7);
    state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_has_one_record),
        cmocka_unit_test(there_are_so_many_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
