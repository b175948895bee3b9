/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_regex.c - expressions match octets, and never work longer than their limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/regex.h"

static void expressions_match_octets(void **state)
{
    static const struct {
        const char *pattern;
        bool nocase;
        const char *text;
        size_t len;
        enum regex_result want;
    } rows[] = {
        { "^ab+c$", false, "abbc", 4, REGEX_MATCH },
        { "^ab+c$", false, "ABBC", 4, REGEX_NO },
        { "^ab+c$", true, "ABBC", 4, REGEX_MATCH },
        { "b", false, "abc", 3, REGEX_MATCH },
        { "^abc$", false, "abc\n", 4, REGEX_NO },
        { "a.c", false,
          "a\xff"
          "c",
          3, REGEX_MATCH },
        { "a\\x00c", false, "a\0c", 3, REGEX_MATCH },
        { "^$", false, NULL, 0, REGEX_MATCH },
        { "", false, "x", 1, REGEX_MATCH },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char mem[200];
        struct buf why;
        struct regex *re;

        buf_init_fixed(&why, mem, sizeof(mem));
        re = regex_new(slice_str(rows[i].pattern), rows[i].nocase, &why);
        assert_non_null(re);
        assert_int_equal(regex_match(re, slice_of(rows[i].text, rows[i].len)), rows[i].want);
        regex_free(&re);
        assert_null(re);
        regex_free(&re);
    }
}

static void bad_expressions_say_why(void **state)
{
    static const struct {
        const char *pattern, *why;
    } rows[] = {
        { "(", "missing closing parenthesis, at offset 1" },
        { "a{2", NULL }, /* literal in PCRE2 */
        { "[z-a]", "range out of order in character class, at offset 3" },
        { "(*UTF)a", "using UTF is disabled by the application, at offset 6" },
    };
    char mem[200], pattern[REGEX_PATTERN_MAX + 1];
    struct buf why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct regex *re;

        buf_init_fixed(&why, mem, sizeof(mem));
        re = regex_new(slice_str(rows[i].pattern), false, &why);
        assert_int_equal(re == NULL, rows[i].why != NULL);
        if (rows[i].why != NULL) {
            assert_string_equal(mem, rows[i].why);
        }
        regex_free(&re);
    }
    memset(pattern, 'a', sizeof(pattern));
    buf_init_fixed(&why, mem, sizeof(mem));
    assert_null(regex_new(slice_of(pattern, sizeof(pattern)), false, &why));
    assert_string_equal(mem, "longer than 4096 octets");
}

static void hostile_texts_end_soon(void **state)
{
    static const char *const patterns[] = { "^(a+)+$", "^(a|aa)+$", "(a*)*c", "^(([a-z])+.)+[A-Z]([a-z])+$" };
    char text[20000], mem[200];
    struct buf why;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '!';
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        struct regex *re;

        buf_init_fixed(&why, mem, sizeof(mem));
        re = regex_new(slice_str(patterns[i]), false, &why);
        assert_non_null(re);
        assert_int_not_equal(regex_match(re, slice_of(text, sizeof(text))), REGEX_MATCH);
        regex_free(&re);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_match_octets),
        cmocka_unit_test(bad_expressions_say_why),
        cmocka_unit_test(hostile_texts_end_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
