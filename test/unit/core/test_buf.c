/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_buf.c - growth, sticky failure, quoting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"

static void text_grows_up_to_its_maximum_and_then_fails_for_good(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_null(b.ptr);
    for (int i = 0; i < 100; i++) {
        buf_put_str(&b, "0123456789");
    }
    assert_true(buf_ok(&b));
    assert_int_equal(b.len, 1000);
    assert_int_equal(strlen(b.ptr), 1000);
    buf_put_char(&b, 'x');
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 1000);
    buf_reset(&b);
    assert_true(buf_ok(&b));
    assert_int_equal(b.len, 0);
    buf_put_u64(&b, 0);
    buf_put_u64(&b, UINT64_MAX);
    assert_string_equal(b.ptr, "018446744073709551615");
    buf_drop(&b, 1);
    buf_truncate(&b, 5);
    assert_string_equal(b.ptr, "18446");
    buf_fini(&b);
}

static void numbers_have_their_digits(void **state)
{
    struct buf b;
    char mem[100];

    (void)state;
    buf_init_fixed(&b, mem, sizeof(mem));
    buf_put_digits(&b, 7, 3);
    buf_put_char(&b, ' ');
    buf_put_digits(&b, 1234, 2); /* never cut */
    buf_put_char(&b, ' ');
    buf_put_digits(&b, 0, 1);
    buf_put_digits(&b, 0, 0);
    buf_put_char(&b, ' ');
    buf_put_digits(&b, UINT64_MAX, 99);
    assert_string_equal(b.ptr, "007 1234 0 18446744073709551615");
    buf_reset(&b);
    buf_put_i64(&b, INT64_MIN);
    buf_put_i64(&b, -1);
    buf_put_i64(&b, INT64_MAX);
    assert_string_equal(b.ptr, "-9223372036854775808-19223372036854775807");
}

static void fixed_memory_is_cut_and_never_left(void **state)
{
    char mem[8];
    struct buf b;

    (void)state;
    buf_init_fixed(&b, mem, sizeof(mem));
    assert_string_equal(mem, "");
    buf_putf(&b, "%s", "1234567");
    assert_true(buf_ok(&b));
    buf_reset(&b);
    buf_putf(&b, "%s", "12345678");
    assert_false(buf_ok(&b));
    assert_string_equal(mem, "1234567");
    buf_put(&b, "x", 1);
    assert_int_equal(b.len, 7);
    buf_reset(&b);
    buf_put(&b, "123456789", 9);
    assert_false(buf_ok(&b));
    assert_string_equal(mem, "1234567");
    buf_fini(&b);
}

static void formatted_text_grows_too(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 500);
    for (int i = 0; i < 50; i++) {
        buf_putf(&b, "%09d,", i);
    }
    assert_true(buf_ok(&b));
    assert_int_equal(b.len, 500);
    buf_putf(&b, "%d", 1);
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 500);
    buf_fini(&b);
    buf_init(&b, 3);
    buf_putf(&b, "%s", "");
    assert_true(buf_ok(&b));
    buf_putf(&b, "%s", "abcd");
    assert_false(buf_ok(&b));
    assert_string_equal(b.ptr, "abc");
    buf_fini(&b);
}

static void what_a_peer_sent_is_quoted(void **state)
{
    static const struct {
        const char *label;
        struct slice text;
        size_t max;
        const char *want_quoted, *want_json;
    } rows[] = {
        { "plain", SLICE_INIT("EHLO a"), 99, "EHLO a", "\"EHLO a\"" },
        { "empty", SLICE_INIT(""), 99, "", "\"\"" },
        { "quotes", SLICE_INIT("a\"b\\c"), 99, "a\\x22b\\x5cc", "\"a\\\"b\\\\c\"" },
        { "controls", SLICE_INIT("a\r\n\t\0\x1b\x7f"), 99, "a\\x0d\\x0a\\x09\\x00\\x1b\\x7f",
          "\"a\\r\\n\\t\\u0000\\u001b\\u007f\"" },
        { "cut", SLICE_INIT("abcdef"), 3, "abc...", "\"abc...\"" },
        { "not cut", SLICE_INIT("abc"), 3, "abc", "\"abc\"" },
        { "utf-8", SLICE_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), 99,
          "\\xc3\\xa9\\xe2\\x82\\xac\\xf0\\x9f\\x98\\x80", "\"\\u00e9\\u20ac\\ud83d\\ude00\"" },
        { "utf-8 cut inside", SLICE_INIT("a\xe2\x82\xac"), 3, "a\\xe2\\x82...", "\"a...\"" },
        { "overlong", SLICE_INIT("\xc0\xaf"), 99, "\\xc0\\xaf", "\"\\\\xc0\\\\xaf\"" },
        { "surrogate", SLICE_INIT("\xed\xa0\x80"), 99, "\\xed\\xa0\\x80", "\"\\\\xed\\\\xa0\\\\x80\"" },
        { "too high", SLICE_INIT("\xf4\x90\x80\x80"), 99, "\\xf4\\x90\\x80\\x80",
          "\"\\\\xf4\\\\x90\\\\x80\\\\x80\"" },
        { "half a character", SLICE_INIT("\xe2\x82"), 99, "\\xe2\\x82", "\"\\\\xe2\\\\x82\"" },
        { "c1 control", SLICE_INIT("\xc2\x9b"), 99, "\\xc2\\x9b", "\"\\u009b\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b;

        buf_init(&b, 1000);
        buf_put_quoted(&b, rows[i].text, rows[i].max);
        if (!slice_eq(buf_slice(&b), slice_str(rows[i].want_quoted))) {
            fail_msg("%s: %s", rows[i].label, b.ptr);
        }
        buf_reset(&b);
        buf_put_json(&b, rows[i].text, rows[i].max);
        if (!slice_eq(buf_slice(&b), slice_str(rows[i].want_json))) {
            fail_msg("%s: %s", rows[i].label, b.ptr);
        }
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_up_to_its_maximum_and_then_fails_for_good),
        cmocka_unit_test(numbers_have_their_digits),
        cmocka_unit_test(fixed_memory_is_cut_and_never_left),
        cmocka_unit_test(formatted_text_grows_too),
        cmocka_unit_test(what_a_peer_sent_is_quoted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
