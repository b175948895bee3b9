/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_field.c - what a line of a header section is; values from anywhere in a field of ours: cleaned, folded, encoded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/field.h"

#define S(text) SLICE_INIT(text)

struct field_row {
    const char *label;
    struct slice value;
    bool utf8;
    struct slice want;
};

#define W9 "123456789 "

static const struct field_row field_rows[] = {
    { "short", S("a b"), false, S("X: a b\r\n") },
    { "empty", S(""), false, S("X:\r\n") },
    { "blanks alone", S(" \t\r\n"), false, S("X:\r\n") },
    { "line ends and NUL", S("a\r\nEvil: b\0c\x7f"), false, S("X: a Evil: b c\r\n") },
    { "folded at 78", S(W9 W9 W9 W9 W9 W9 W9 W9 "end"), false,
      S("X: " W9 W9 W9 W9 W9 W9 "123456789\r\n 123456789 end\r\n") },
    { "UTF-8 encoded",
      S("Gr\xc3\xbc\xc3\x9f"
        "e = x"),
      false, S("X: =?utf-8?Q?Gr=C3=BC=C3=9Fe_=3D_x?=\r\n") },
    { "UTF-8 kept",
      S("Gr\xc3\xbc\xc3\x9f"
        "e"),
      true,
      S("X: Gr\xc3\xbc\xc3\x9f"
        "e\r\n") },
    { "not UTF-8",
      S("a\xff"
        "b"),
      true, S("X: a?b\r\n") },
};

static void values_are_reduced_folded_and_encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(field_rows); i++) {
        struct buf out;

        buf_init(&out, 4096);
        field_put(&out, SLICE("X"), field_rows[i].value, field_rows[i].utf8);
        if (!slice_eq(buf_slice(&out), field_rows[i].want)) {
            fail_msg("%s: %s", field_rows[i].label, out.ptr);
        }
        buf_fini(&out);
    }
}

/* Every line is short enough, and no line is blanks alone or begins a field of its own. */
static void check_lines(struct slice s, size_t max)
{
    bool first = true;

    while (s.len > 0) {
        struct slice line = slice_cut(&s, '\n');

        assert_true(line.len > 0 && line.ptr[line.len - 1] == '\r');
        line.len--;
        assert_true(line.len <= max);
        assert_true(first || line.ptr[0] == ' ');
        assert_true(slice_trim(line).len > 0);
        first = false;
    }
}

static void long_values_stay_within_the_line_limits(void **state)
{
    struct buf value, out;

    (void)state;
    buf_init(&value, 1 << 20);
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < 5000; i++) {
        buf_put_char(&value, 'x');
    }
    field_put(&out, SLICE("X-Long"), buf_slice(&value), false);
    check_lines(buf_slice(&out), 998);
    for (size_t i = 0; i < 3000; i++) {
        buf_put_str(&value, i % 7 == 0 ? " \xe2\x82\xac" : "\xe2\x82\xac");
    }
    buf_reset(&out);
    field_put(&out, SLICE("X-Long"), buf_slice(&value), true);
    check_lines(buf_slice(&out), 998);
    buf_reset(&out);
    field_put(&out, SLICE("X-Long"), buf_slice(&value), false);
    check_lines(buf_slice(&out), 78);
    buf_reset(&value);
    buf_put_char(&value, 'a');
    for (size_t i = 0; i < 3000; i++) {
        buf_put_char(&value, ' ');
    }
    buf_put_char(&value, 'b');
    buf_reset(&out);
    field_put(&out, SLICE("X-Long"), buf_slice(&value), false);
    check_lines(buf_slice(&out), 998);
    buf_fini(&value);
    buf_fini(&out);
}

struct line_row {
    const char *label;
    struct slice in;
    enum header_line_kind want;
    size_t took, name_len;
};

static const struct line_row line_rows[] = {
    { "a field", S("Subject: x\r\n"), HEADER_LINE_FIELD, 8, 7 },
    { "blanks before the colon", S("Subject \t: x\r\n"), HEADER_LINE_FIELD, 10, 7 },
    { "no name", S(": x\r\n"), HEADER_LINE_FIELD, 1, 0 },
    { "odd octets in a name", S("X\x80\x01: x\r\n"), HEADER_LINE_FIELD, 4, 3 },
    { "a continuation", S("\tx: y\r\n"), HEADER_LINE_CONTINUATION, 1, 0 },
    { "a mailbox line", S("From x: y\r\n"), HEADER_LINE_MBOX, 6, 4 },
    { "a quoted mailbox line", S(">From \r\n"), HEADER_LINE_MBOX, 7, 5 },
    { "From is a field as well", S("From : x\r\n"), HEADER_LINE_FIELD, 6, 4 },
    { "FROM is no mailbox line", S("FROM x\r\n"), HEADER_LINE_OTHER, 6, 4 },
    { "From alone is none", S("From\r\n"), HEADER_LINE_OTHER, 5, 4 },
    { "odd octets make no mailbox line", S("Fr\x80om x\r\n"), HEADER_LINE_OTHER, 7, 5 },
    { "blanks within a name", S("Hello all: x\r\n"), HEADER_LINE_OTHER, 7, 5 },
    { "no colon", S("Hello\r\n"), HEADER_LINE_OTHER, 6, 5 },
    { "an empty line", S("\r\n"), HEADER_LINE_EMPTY, 2, 0 },
    { "not decided yet", S("Subject "), HEADER_LINE_UNKNOWN, 8, 7 },
};

static void a_line_is_the_same_in_one_piece_and_octet_by_octet(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(line_rows); i++) {
        const struct line_row *row = &line_rows[i];
        struct header_line whole = { .keeps_name = true }, cut = whole;
        size_t took = header_line_put(&whole, row->in), pieces = 0;

        for (size_t n = 0; n < row->in.len; n++) {
            pieces += header_line_put(&cut, slice_of(row->in.ptr + n, 1));
        }
        if (whole.kind != row->want || cut.kind != row->want || took != row->took || pieces != took ||
            whole.name_len != row->name_len || cut.name_len != row->name_len) {
            fail_msg("%s: %d %d, took %zu %zu, name %zu %zu", row->label, (int)whole.kind, (int)cut.kind,
                     took, pieces, whole.name_len, cut.name_len);
        }
    }
}

static void only_one_field_of_a_name_counts(void **state)
{
    struct slice name = SLICE("Message-ID");
    struct header_field f;

    (void)state;
    assert_true(header_only(SLICE("From x\r\nA: b\r\nmessage-id: <1>\r\n\r\nMessage-ID: <2>\r\n"), name, &f));
    assert_true(slice_eq(f.value, SLICE(" <1>")));
    assert_false(header_only(SLICE("Message-ID: <1>\r\nMessage-ID: <1>\r\n\r\n"), name, &f));
    assert_false(header_only(SLICE("A: b\r\n\r\nMessage-ID: <2>\r\n"), name, &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_reduced_folded_and_encoded),
        cmocka_unit_test(a_line_is_the_same_in_one_piece_and_octet_by_octet),
        cmocka_unit_test(only_one_field_of_a_name_counts),
        cmocka_unit_test(long_values_stay_within_the_line_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
