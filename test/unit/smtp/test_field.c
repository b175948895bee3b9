/*
 * test_field.c - values from anywhere in a field of ours: cleaned, folded, encoded.
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_reduced_folded_and_encoded),
        cmocka_unit_test(long_values_stay_within_the_line_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
