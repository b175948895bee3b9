/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_idna.c - UTF-8 and domain names in A-labels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/idna.h"
#include "core/utf8.h"

struct utf8_row {
    const char *label;
    struct slice in;
    bool want;
};

static const struct utf8_row utf8_rows[] = {
    { "nothing", SLICE_INIT(""), true },
    { "ASCII and NUL", SLICE_INIT("a\0b"), true },
    { "two octets", SLICE_INIT("\xc2\x80\xdf\xbf"), true },
    { "three octets", SLICE_INIT("\xe0\xa0\x80\xef\xbf\xbf"), true },
    { "four octets", SLICE_INIT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), true },
    { "beside the surrogates", SLICE_INIT("\xed\x9f\xbf\xee\x80\x80"), true },
    { "overlong in two", SLICE_INIT("\xc0\x80"), false },
    { "overlong in two, the last", SLICE_INIT("\xc1\xbf"), false },
    { "overlong in three", SLICE_INIT("\xe0\x9f\xbf"), false },
    { "overlong in four", SLICE_INIT("\xf0\x8f\xbf\xbf"), false },
    { "a surrogate", SLICE_INIT("\xed\xa0\x80"), false },
    { "the last surrogate", SLICE_INIT("\xed\xbf\xbf"), false },
    { "above U+10FFFF", SLICE_INIT("\xf4\x90\x80\x80"), false },
    { "far above", SLICE_INIT("\xf5\x80\x80\x80"), false },
    { "truncated", SLICE_INIT("a\xe2\x82"), false },
    { "a lone continuation", SLICE_INIT("\x80"), false },
    { "a first octet before ASCII",
      SLICE_INIT("\xc3"
                 "a"),
      false },
    { "latin-1", SLICE_INIT("M\xfcller"), false },
};

static void utf8_is_judged_strictly(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(utf8_rows); i++) {
        if (utf8_valid(utf8_rows[i].in) != utf8_rows[i].want) {
            fail_msg("%s", utf8_rows[i].label);
        }
    }
}

/* Every code point, encoded here, is taken back; every surrogate is refused. */
static void every_code_point_is_decoded(void **state)
{
    (void)state;
    for (uint32_t c = 0x80; c <= 0x10ffff; c++) {
        char mem[4];
        size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, len;

        for (size_t i = 1; i < n; i++) {
            mem[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
        }
        mem[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c >> 6 * (n - 1));
        if (c >= 0xd800 && c < 0xe000) {
            assert_int_equal(utf8_char(slice_of(mem, n)), 0);
            continue;
        }
        assert_int_equal(utf8_decode(slice_of(mem, n), &len), c);
        assert_int_equal(len, n);
        assert_int_equal(utf8_char(slice_of(mem, n - 1)), 0);
    }
}

static void octets_above_127_are_found_at_any_place(void **state)
{
    char mem[40];

    (void)state;
    for (size_t i = 0; i < sizeof(mem); i++) {
        memset(mem, 'a', sizeof(mem));
        assert_false(utf8_has_8bit(slice_of(mem, sizeof(mem))));
        mem[i] = '\x80';
        assert_true(utf8_has_8bit(slice_of(mem, sizeof(mem))));
        assert_false(utf8_has_8bit(slice_of(mem, i)));
    }
}

struct idna_row {
    const char *label;
    struct slice in, want; /* empty: refused */
};

static const struct idna_row idna_rows[] = {
    { "ASCII is lowered", SLICE_INIT("Mail.EXAMPLE.Test"), SLICE_INIT("mail.example.test") },
    { "an underscore is seen in practice", SLICE_INIT("_a.b_c.test"), SLICE_INIT("_a.b_c.test") },
    { "an A-label stays", SLICE_INIT("XN--MNCHEN-3YA.de"), SLICE_INIT("xn--mnchen-3ya.de") },
    { "a U-label", SLICE_INIT("m\xc3\xbcnchen.de"), SLICE_INIT("xn--mnchen-3ya.de") },
    { "upper case is mapped", SLICE_INIT("M\xc3\x9cNCHEN.DE"), SLICE_INIT("xn--mnchen-3ya.de") },
    { "decomposed is the same name", SLICE_INIT("mu\xcc\x88nchen.de"), SLICE_INIT("xn--mnchen-3ya.de") },
    { "non-transitional: sharp s is a letter", SLICE_INIT("fa\xc3\x9f.de"), SLICE_INIT("xn--fa-hia.de") },
    { "full-width letters are letters", SLICE_INIT("\xef\xbd\x85xample.test"), SLICE_INIT("example.test") },
    { "an ideographic dot is a dot", SLICE_INIT("example\xe3\x80\x82test"), SLICE_INIT("example.test") },
    { "a look-alike is another name", SLICE_INIT("ex\xd0\xb0mple.test"), SLICE_INIT("xn--exmple-4nf.test") },
    { "nothing", SLICE_INIT(""), SLICE_INIT("") },
    { "a final dot", SLICE_INIT("example.test."), SLICE_INIT("") },
    { "an empty label", SLICE_INIT("a..b"), SLICE_INIT("") },
    { "a blank", SLICE_INIT("a b.test"), SLICE_INIT("") },
    { "a full-width @",
      SLICE_INIT("a\xef\xbc\xa0"
                 "b.test"),
      SLICE_INIT("") },
    { "a full-width slash",
      SLICE_INIT("a\xef\xbc\x8f"
                 "b.test"),
      SLICE_INIT("") },
    { "a zero-width joiner out of place",
      SLICE_INIT("a\xe2\x80\x8d"
                 "b.test"),
      SLICE_INIT("") },
    { "a right-to-left override",
      SLICE_INIT("a\xe2\x80\xae"
                 "b.test"),
      SLICE_INIT("") },
    { "not UTF-8", SLICE_INIT("m\xfcnchen.de"), SLICE_INIT("") },
    { "NUL", SLICE_INIT("m\xc3\xbc\0.de"), SLICE_INIT("") },
    { "a hyphen in front", SLICE_INIT("-\xc3\xbc.de"), SLICE_INIT("") },
};

static void names_become_lower_case_a_labels_or_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(idna_rows); i++) {
        const struct idna_row *row = &idna_rows[i];
        char mem[300];
        struct buf b;
        bool good;

        buf_init_fixed(&b, mem, sizeof(mem));
        good = idna_to_ascii(row->in, &b);
        if (good != (row->want.len > 0) || !slice_eq(buf_slice(&b), row->want)) {
            fail_msg("%s: %s", row->label, mem);
        }
    }
}

static void over_long_names_are_refused(void **state)
{
    struct buf in, out;

    (void)state;
    buf_init(&in, 8192);
    buf_init(&out, 8192);
    for (int i = 0; i < 1000; i++) {
        buf_put_str(&in, "\xc3\xbc.");
    }
    buf_put_str(&in, "de");
    assert_false(idna_to_ascii(buf_slice(&in), &out));
    assert_false(idna_to_ascii(slice_skip(buf_slice(&in), in.len - 602), &out));
    assert_int_equal(out.len, 0);
    buf_fini(&in);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_judged_strictly),
        cmocka_unit_test(every_code_point_is_decoded),
        cmocka_unit_test(octets_above_127_are_found_at_any_place),
        cmocka_unit_test(names_become_lower_case_a_labels_or_are_refused),
        cmocka_unit_test(over_long_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
