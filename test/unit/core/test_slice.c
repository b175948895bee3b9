/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_slice.c - slices: cutting at the edges, empty slices, numbers, host names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/slice.h"

static void empty_slices_are_equal_and_harmless(void **state)
{
    struct slice s = SLICE_NONE;

    (void)state;
    assert_true(slice_eq(s, SLICE("")));
    assert_true(slice_eq_nocase(SLICE(""), s));
    assert_true(slice_starts(SLICE("a"), s));
    assert_int_equal(slice_find(s, 'a'), 0);
    assert_int_equal(slice_rfind(s, 'a'), 0);
    assert_int_equal(slice_trim(s).len, 0);
    assert_int_equal(slice_token(&s).len, 0);
    assert_int_equal(slice_cut(&s, '.').len, 0);
    assert_int_equal(slice_skip(s, 3).len, 0);
    assert_false(hostname_valid(s));
    assert_int_equal(slice_str(NULL).len, 0);
}

static void comparison_knows_case_and_order(void **state)
{
    (void)state;
    assert_true(slice_eq_nocase(SLICE("MAIL from"), SLICE("mail FROM")));
    assert_false(slice_eq(SLICE("MAIL"), SLICE("mail")));
    assert_false(slice_eq_nocase(SLICE("@"), SLICE("`"))); /* next to A and a */
    assert_true(slice_starts_nocase(SLICE("Mail from"), SLICE("MAIL")));
    assert_true(slice_ends_nocase(SLICE("a.Example.ORG"), SLICE(".example.org")));
    assert_false(slice_ends_nocase(SLICE("org"), SLICE(".org")));
}

static void cutting_takes_what_is_before_and_moves_behind(void **state)
{
    struct slice s = SLICE("a,,b");

    (void)state;
    assert_true(slice_eq(slice_cut(&s, ','), SLICE("a")));
    assert_true(slice_eq(slice_cut(&s, ','), SLICE("")));
    assert_true(slice_eq(slice_cut(&s, ','), SLICE("b")));
    assert_int_equal(s.len, 0);
    s = SLICE("  one\t two  ");
    assert_true(slice_eq(slice_token(&s), SLICE("one")));
    assert_true(slice_eq(slice_token(&s), SLICE("two")));
    assert_true(slice_eq(slice_token(&s), SLICE("")));
    assert_true(slice_eq(slice_trim(SLICE("\t a b \t")), SLICE("a b")));
    assert_int_equal(slice_rfind(SLICE("a.b.c"), '.'), 3);
    assert_int_equal(slice_find(SLICE("a.b.c"), 'x'), 5);
    assert_true(slice_eq(slice_take(SLICE("abc"), 9), SLICE("abc")));
}

static void words_end_at_blanks_and_line_ends(void **state)
{
    (void)state;
    assert_true(slice_has_word(SLICE("220 mx ESMTP Exim\r\n"), SLICE("exim")));
    assert_true(slice_has_word(SLICE("mx ESMTP\nExim 4.96"), SLICE("Exim")));
    assert_true(slice_has_word(SLICE("\tExim"), SLICE("Exim")));
    assert_false(slice_has_word(SLICE("exim.test ESMTP myExim"), SLICE("Exim")));
    assert_false(slice_has_word(SLICE("\r\n"), SLICE("Exim")));
    assert_false(slice_has_word(SLICE_NONE, SLICE("Exim")));
}

static void numbers_are_strict(void **state)
{
    static const struct {
        const char *label;
        struct slice text;
        uint64_t max, want;
        bool want_ok;
    } rows[] = {
        { "zero", SLICE_INIT("0"), 10, 0, true },
        { "at the maximum", SLICE_INIT("10"), 10, 10, true },
        { "above the maximum", SLICE_INIT("11"), 10, 0, false },
        { "leading zeros", SLICE_INIT("0007"), 10, 7, true },
        { "largest", SLICE_INIT("18446744073709551615"), UINT64_MAX, UINT64_MAX, true },
        { "one more", SLICE_INIT("18446744073709551616"), UINT64_MAX, 0, false },
        { "many digits", SLICE_INIT("99999999999999999999999"), UINT64_MAX, 0, false },
        { "empty", SLICE_INIT(""), 10, 0, false },
        { "sign", SLICE_INIT("+1"), 10, 0, false },
        { "blank", SLICE_INIT("1 "), 10, 0, false },
        { "hex", SLICE_INIT("0x1"), 10, 0, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t got = 99;
        bool ok = slice_to_u64(rows[i].text, rows[i].max, &got);

        if (ok != rows[i].want_ok || got != rows[i].want) {
            fail_msg("%s: %d, %" PRIu64, rows[i].label, ok, got);
        }
    }
}

static void host_names_follow_the_rules(void **state)
{
    static const char label63[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const struct {
        const char *name;
        bool want;
    } rows[] = {
        { "a", true },     { "mx.example.org", true }, { "_dmarc.example.org", true },
        { "1.2", true },   { "example.org.", false },  { ".org", false },
        { "a..b", false }, { "-a.org", false },        { "a-.org", false },
        { "a b", false },  { "a\x80", false },         { "", false },
    };
    char long_name[260];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (hostname_valid(slice_str(rows[i].name)) != rows[i].want) {
            fail_msg("%s", rows[i].name);
        }
    }
    assert_true(hostname_valid(slice_str(label63)));
    memset(long_name, 'a', sizeof(long_name));
    assert_false(hostname_valid(slice_of(long_name, 64)));
    for (size_t i = 49; i < sizeof(long_name); i += 50) {
        long_name[i] = '.';
    }
    assert_true(hostname_valid(slice_of(long_name, 253)));
    assert_false(hostname_valid(slice_of(long_name, 254)));
}

static void a_copy_is_terminated(void **state)
{
    char *copy = slice_dup(slice_of("abcdef", 3));

    (void)state;
    assert_string_equal(copy, "abc");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_slices_are_equal_and_harmless),
        cmocka_unit_test(comparison_knows_case_and_order),
        cmocka_unit_test(cutting_takes_what_is_before_and_moves_behind),
        cmocka_unit_test(words_end_at_blanks_and_line_ends),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(host_names_follow_the_rules),
        cmocka_unit_test(a_copy_is_terminated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
