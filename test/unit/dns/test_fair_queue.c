/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fair_queue.c - whose question is asked next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/fair_queue.h"

#define MANY 1000

struct waiting {
    struct fair_turn turn;
    char name[64];
};

static void add(struct fair_queue *q, struct waiting *w, const char *name, bool first)
{
    struct wire_name n;

    memset(w, 0, sizeof(*w));
    (void)snprintf(w->name, sizeof(w->name), "%s", name);
    assert_true(wire_name_set(&n, slice_str(name)));
    fair_queue_add(q, &w->turn, &n, first);
}

static const char *next(struct fair_queue *q)
{
    struct fair_turn *t = fair_queue_next(q);

    return t == NULL ? "" : container_of(t, struct waiting, turn)->name;
}

static void one_of_each_site_in_turn(void **state UNUSED)
{
    struct waiting w[8];
    struct fair_queue q;

    fair_queue_init(&q);
    add(&q, &w[0], "a.tar.test", false);
    add(&q, &w[1], "b.tar.test", false);
    add(&q, &w[2], "c.x.TAR.test", false);
    add(&q, &w[3], "good.test", false);
    add(&q, &w[4], "test", false);
    add(&q, &w[5], "1.2.0.192.in-addr.arpa", false);
    add(&q, &w[6], "1.2.1.192.in-addr.arpa", false);
    add(&q, &w[7], "9.2.0.192.in-addr.arpa", false);
    assert_int_equal(q.len, 8);
    assert_string_equal(next(&q), "a.tar.test");
    assert_string_equal(next(&q), "good.test");
    assert_string_equal(next(&q), "test");
    assert_string_equal(next(&q), "1.2.0.192.in-addr.arpa");
    assert_string_equal(next(&q), "1.2.1.192.in-addr.arpa");
    assert_string_equal(next(&q), "b.tar.test");
    assert_string_equal(next(&q), "9.2.0.192.in-addr.arpa");
    assert_string_equal(next(&q), "c.x.TAR.test");
    assert_string_equal(next(&q), "");
    assert_int_equal(q.len + q.sites.len, 0);
    fair_queue_fini(&q);
}

static void below_the_registry_of_a_country_each_name_is_a_site(void **state UNUSED)
{
    static const char *const names[] = { "a.tar.co.uk",  "b.tar.co.uk", "good.co.uk",      "mail.x.com.AU",
                                         "y.com.au",     "1.abc.de",    "2.abc.de",        "tar.co.test",
                                         "pass.co.test", "co.uk",       "com.example.com", "a.co" };
    static const char *const order[] = { "a.tar.co.uk", "good.co.uk",      "mail.x.com.AU",
                                         "y.com.au",    "1.abc.de",        "tar.co.test",
                                         "co.uk",       "com.example.com", "a.co" };
    struct waiting w[ARRAY_LEN(names)];
    struct fair_queue q;

    fair_queue_init(&q);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        add(&q, &w[i], names[i], false);
    }
    assert_int_equal(q.sites.len, ARRAY_LEN(order));
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        assert_string_equal(next(&q), order[i]);
    }
    while (fair_queue_next(&q) != NULL) {
    }
    fair_queue_fini(&q);
}

static void who_has_waited_already_comes_first(void **state UNUSED)
{
    struct waiting w[4];
    struct fair_queue q;

    fair_queue_init(&q);
    add(&q, &w[0], "a.one.test", false);
    add(&q, &w[1], "b.two.test", false);
    add(&q, &w[2], "c.two.test", true);
    add(&q, &w[3], "d.three.test", true);
    assert_string_equal(next(&q), "d.three.test");
    assert_string_equal(next(&q), "c.two.test");
    assert_string_equal(next(&q), "a.one.test");
    assert_string_equal(next(&q), "b.two.test");
    fair_queue_fini(&q);
}

static void who_leaves_is_not_asked(void **state UNUSED)
{
    struct waiting w[3];
    struct fair_queue q;

    fair_queue_init(&q);
    add(&q, &w[0], "a.one.test", false);
    add(&q, &w[1], "b.one.test", false);
    add(&q, &w[2], "c.two.test", false);
    fair_queue_drop(&q, &w[0].turn);
    fair_queue_drop(&q, &w[0].turn); /* again: nothing */
    fair_queue_drop(&q, &w[2].turn);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.sites.len, 1);
    assert_string_equal(next(&q), "b.one.test");
    assert_null(fair_queue_next(&q));
    fair_queue_fini(&q);
}

static void a_crowd_of_one_site_holds_nobody_up(void **state UNUSED)
{
    struct waiting *w = xcalloc(MANY + 1, sizeof(*w));
    struct fair_queue q;
    char name[32];

    fair_queue_init(&q);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "n%u.tar.test", i);
        add(&q, &w[i], name, false);
    }
    add(&q, &w[MANY], "pass.test", false);
    (void)next(&q);
    assert_string_equal(next(&q), "pass.test");
    while (fair_queue_next(&q) != NULL) {
    }
    assert_int_equal(q.len + q.sites.len, 0);
    fair_queue_fini(&q);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_each_site_in_turn),
        cmocka_unit_test(below_the_registry_of_a_country_each_name_is_a_site),
        cmocka_unit_test(who_has_waited_already_comes_first),
        cmocka_unit_test(who_leaves_is_not_asked),
        cmocka_unit_test(a_crowd_of_one_site_holds_nobody_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
