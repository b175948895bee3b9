/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_walk.c - the names of a walk, the organisational domain, and comparison of two walks with failed lookups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"
#include "policy/dmarc/walk.h"

static void names_are(const char *domain, const char *wanted)
{
    struct slice names[DMARC_WALK_MAX];
    size_t count = dmarc_walk_names(slice_str(domain), names);
    struct buf text;

    buf_init(&text, 4096);
    for (size_t i = 0; i < count; i++) {
        buf_put_str(&text, i > 0 ? " " : "");
        buf_put_slice(&text, names[i]);
    }
    buf_put_char(&text, '\0');
    assert_string_equal(text.ptr, wanted);
    buf_fini(&text);
}

static void test_names(void **state)
{
    (void)state;
    names_are("", "");
    names_are("com", "com");
    names_are("a.mail.example.com", "a.mail.example.com mail.example.com example.com com");
    names_are("1.2.3.4.5.6.7", "1.2.3.4.5.6.7 2.3.4.5.6.7 3.4.5.6.7 4.5.6.7 5.6.7 6.7 7");
    names_are("1.2.3.4.5.6.7.8", "1.2.3.4.5.6.7.8 2.3.4.5.6.7.8 3.4.5.6.7.8 4.5.6.7.8 5.6.7.8 6.7.8 7.8 8");
    names_are("1.2.3.4.5.6.7.8.9",
              "1.2.3.4.5.6.7.8.9 3.4.5.6.7.8.9 4.5.6.7.8.9 5.6.7.8.9 6.7.8.9 7.8.9 8.9 9");
    names_are("a.b.c.d.e.f.g.h.i.j.mail.example.com", /* RFC 9989 4.10 */
              "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com "
              "i.j.mail.example.com "
              "j.mail.example.com mail.example.com example.com com");
}

static void test_labels(void **state)
{
    (void)state;
    assert_int_equal(dmarc_labels(SLICE("")), 0);
    assert_int_equal(dmarc_labels(SLICE("com")), 1);
    assert_int_equal(dmarc_labels(SLICE("a.b.com")), 3);
    assert_true(slice_eq(dmarc_suffix(SLICE("a.b.com"), 1), SLICE("com")));
    assert_true(slice_eq(dmarc_suffix(SLICE("a.b.com"), 3), SLICE("a.b.com")));
    assert_true(slice_eq(dmarc_suffix(SLICE("a.b.com"), 9), SLICE("a.b.com")));
    assert_int_equal(dmarc_shared_labels(SLICE("a.b.com"), SLICE("b.com")), 2);
    assert_int_equal(dmarc_shared_labels(SLICE("ab.com"), SLICE("b.com")), 1);
    assert_int_equal(dmarc_shared_labels(SLICE("a.b.com"), SLICE("a.b.com")), 3);
    assert_int_equal(dmarc_shared_labels(SLICE("com"), SLICE("org")), 0);
    assert_int_equal(dmarc_shared_labels(SLICE(""), SLICE("org")), 0);
}

/* The walk of a name with a label for each letter: - none, u y n a record with this psd, e error, ? pending. */
static struct dmarc_walk walk(const char *letters)
{
    struct dmarc_level levels[DMARC_WALK_MAX] = { { DMARC_LEVEL_PENDING, DMARC_PSD_UNKNOWN, 0 } };
    size_t count = strlen(letters);

    for (size_t i = 0; i < count; i++) {
        char c = letters[i];

        levels[i].labels = count - i;
        levels[i].state = c == '-'   ? DMARC_LEVEL_NONE
                          : c == 'e' ? DMARC_LEVEL_ERROR
                          : c == '?' ? DMARC_LEVEL_PENDING
                                     : DMARC_LEVEL_RECORD;
        levels[i].psd = c == 'y' ? DMARC_PSD_YES : c == 'n' ? DMARC_PSD_NO : DMARC_PSD_UNKNOWN;
    }
    return dmarc_walk_read(levels, count);
}

static void test_org(void **state)
{
    static const struct {
        const char *letters;
        size_t org, stop;
    } cases[] = {
        { "-", 1, 1 },   { "---", 3, 3 }, { "u--", 3, 3 }, { "uu-", 2, 3 }, { "-u-", 2, 3 }, { "uuu", 1, 3 },
        { "--u", 1, 3 }, { "n??", 3, 0 }, { "un?", 2, 1 }, { "-n?", 2, 1 }, { "--n", 1, 2 }, { "u-n", 1, 2 },
        { "--y", 2, 2 }, { "-uy", 2, 2 }, { "u-y", 2, 2 }, /* one label below the PSD */
        { "-y?", 3, 1 }, { "uy?", 3, 1 }, { "y??", 3, 0 }, /* psd=y at the start is no other organisation */
        { "y", 1, 0 },   { "n", 1, 0 },   { "u", 1, 1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dmarc_walk w = walk(cases[i].letters);

        if (w.pending || w.org != cases[i].org || w.stop != cases[i].stop || w.error != 0) {
            fail_msg("%s: org %zu, stop %zu", cases[i].letters, w.org, w.stop);
        }
    }
    assert_true(walk("?").pending);
    assert_true(walk("u?n").pending);
    assert_true(walk("e?-").pending);
}

static void same_is(const char *a, const char *b, size_t shared, enum dmarc_truth wanted)
{
    struct dmarc_walk wa = walk(a), wb = walk(b);

    if (dmarc_walk_same(&wa, &wb, shared) != wanted || dmarc_walk_same(&wb, &wa, shared) != wanted) {
        fail_msg("%s and %s with %zu shared labels: %d", a, b, shared,
                 (int)dmarc_walk_same(&wa, &wb, shared));
    }
}

static void test_same(void **state)
{
    (void)state;
    same_is("u-", "-u-", 2, DMARC_YES);  /* example.org, mail.example.org */
    same_is("--", "---", 2, DMARC_NO);   /* no record at all */
    same_is("u-", "nu-", 2, DMARC_NO);   /* psd=n at mail.example.org */
    same_is("-u-", "-u-", 2, DMARC_YES); /* siblings */
    same_is("-uy", "-uy", 1, DMARC_NO);  /* siblings below a PSD */
    same_is("uu", "uu", 1, DMARC_YES);   /* a record without psd at org: one organisation, by RFC 9989 */
}

static void test_same_with_errors(void **state)
{
    (void)state;
    same_is("ue", "-ue", 2, DMARC_YES);     /* whatever org says, both follow it */
    same_is("-e", "--e", 2, DMARC_UNKNOWN); /* without a record below, it decides */
    same_is("ue", "u-e", 1, DMARC_UNKNOWN); /* other.org: the same if org has a record without psd=y */
    same_is("ue", "n??", 2, DMARC_NO);      /* mail.example.org is an organisation of its own */
    same_is("u-", "eu-", 2, DMARC_UNKNOWN); /* it may be one */
    same_is("e-", "-e-", 2, DMARC_UNKNOWN); /* psd=y there: itself for one, the child for the other */
    same_is("n?", "en?", 2, DMARC_UNKNOWN);
    same_is("-n?", "e-n", 1, DMARC_NO); /* no common organisation is possible */
    same_is("-ee", "-ee", 2, DMARC_UNKNOWN);
    same_is("-uee", "uuee", 3, DMARC_YES);
    same_is("ey?", "uuy", 2, DMARC_NO);
    same_is("eyu", "--y", 3, DMARC_NO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_labels),           cmocka_unit_test(test_org),
        cmocka_unit_test(test_same),  cmocka_unit_test(test_same_with_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
