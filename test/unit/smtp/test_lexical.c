/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lexical.c - comments, quoted strings and encoded words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/lexical.h"

static void comments_are_skipped(void **state)
{
    static const struct {
        struct slice in, rest, comment;
        bool ok;
    } rows[] = {
        { SLICE_INIT("x"), SLICE_INIT("x"), SLICE_INIT(""), true },
        { SLICE_INIT(" \t\r\n x"), SLICE_INIT("x"), SLICE_INIT(""), true },
        { SLICE_INIT(" (a (b) \\) c) (d)x"), SLICE_INIT("x"), SLICE_INIT("a (b) \\) c"), true },
        { SLICE_INIT("()(d)x"), SLICE_INIT("x"), SLICE_INIT("d"), true },
        { SLICE_INIT("(a"), SLICE_INIT("(a"), SLICE_INIT(""), false },
        { SLICE_INIT("(a\\)"), SLICE_INIT("(a\\)"), SLICE_INIT(""), false },
        { SLICE_INIT(""), SLICE_INIT(""), SLICE_INIT(""), true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice s = rows[i].in, comment = SLICE_NONE;

        assert_int_equal(lex_skip_cfws(&s, &comment), rows[i].ok);
        assert_true(slice_eq(s, rows[i].rest));
        assert_true(slice_eq(comment, rows[i].comment));
    }
}

static void quoted_strings_are_read(void **state)
{
    static const struct {
        struct slice in, text, rest;
        bool ok;
    } rows[] = {
        { SLICE_INIT("\"a\"b"), SLICE_INIT("a"), SLICE_INIT("b"), true },
        { SLICE_INIT("\"\""), SLICE_INIT(""), SLICE_INIT(""), true },
        { SLICE_INIT("\"a\\\"\\\\ \r\n b\""), SLICE_INIT("a\"\\  b"), SLICE_INIT(""), true },
        { SLICE_INIT("\"a"), SLICE_INIT("a"), SLICE_INIT("\"a"), false },
        { SLICE_INIT("\"a\\\""), SLICE_INIT("a\""), SLICE_INIT("\"a\\\""), false },
        { SLICE_INIT("\""), SLICE_INIT(""), SLICE_INIT("\""), false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice s = rows[i].in;
        struct buf out;

        buf_init(&out, 100);
        assert_int_equal(lex_quoted(&s, &out), rows[i].ok);
        assert_true(slice_eq(s, rows[i].rest));
        assert_true(slice_eq(buf_slice(&out), rows[i].text));
        buf_fini(&out);
    }
}

static void encoded_words_are_decoded(void **state)
{
    static const struct {
        struct slice in, want;
    } rows[] = {
        { SLICE_INIT("plain = text ?= =?"), SLICE_INIT("plain = text ?= =?") },
        { SLICE_INIT("=?utf-8?Q?a=40b_c?="), SLICE_INIT("a@b c") },
        { SLICE_INIT("=?UTF-8*en?q?=4D=6d=4?="), SLICE_INIT("Mm=4") },
        { SLICE_INIT("=?x?B?YUBiLnRlc3Q=?="), SLICE_INIT("a@b.test") },
        { SLICE_INIT("=?x?b?YU BiLn\r\n Rlc3Q?="), SLICE_INIT("a@b.test") },
        { SLICE_INIT("=?x?Q?a?= \r\n =?x?Q?b?= c =?x?Q?d?="), SLICE_INIT("ab c d") },
        { SLICE_INIT("a=?x?Q?b?=c"), SLICE_INIT("abc") },
        { SLICE_INIT("=?x?Z?b?="), SLICE_INIT("=?x?Z?b?=") },
        { SLICE_INIT("=?x y?Q?b?="), SLICE_INIT("=?x y?Q?b?=") },
        { SLICE_INIT("=?x?Q?open"), SLICE_INIT("=?x?Q?open") },
        { SLICE_INIT("=?x?Q?\?="), SLICE_INIT("") },
        { SLICE_INIT("=?x?Q?=?="), SLICE_INIT("=") },
        { SLICE_INIT(""), SLICE_INIT("") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;

        buf_init(&out, 100);
        lex_put_decoded(&out, rows[i].in);
        if (!slice_eq(buf_slice(&out), rows[i].want)) {
            fail_msg("%s: " SLICE_FMT, rows[i].in.ptr, SLICE_ARG(buf_slice(&out)));
        }
        buf_fini(&out);
    }
}

static void many_openings_take_linear_time(void **state)
{
    struct buf in, out;

    (void)state;
    buf_init(&in, 4 << 20);
    buf_init(&out, 4 << 20);
    for (size_t i = 0; i < 100000; i++) {
        buf_put_str(&in, "=?x?Q?a");
    }
    lex_put_decoded(&out, buf_slice(&in));
    assert_true(out.len == in.len);
    buf_fini(&in);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comments_are_skipped),
        cmocka_unit_test(quoted_strings_are_read),
        cmocka_unit_test(encoded_words_are_decoded),
        cmocka_unit_test(many_openings_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
