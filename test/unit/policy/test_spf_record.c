/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_spf_record.c - syntax of SPF records and of macro-strings, and what macros expand to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/spf/spf_macro.h"
#include "policy/spf/spf_record.h"

static const struct {
    const char *record;
    bool good;
} records[] = {
    { "v=spf1", true },
    { "v=spf1 ", true },
    { "v=spf1  -all  ", true },
    { "v=spf1 v=spf1 -all", true }, /* an unknown modifier */
    { "v=spf1 a mx ptr ip4:1.2.3.4 ip6:::1 exists:a.b include:a.b all", true },
    { "v=spf1 +a -mx ~ptr ?all", true },
    { "v=spf1 --all", false },
    { "v=spf1 -", false },
    { "v=spf1 all.", false },
    { "v=spf1 all:x.y", false },
    { "v=spf1 all/8", false },
    { "v=spf1 foo", false },
    { "v=spf1 1a", false },
    { "v=spf1 -redirect=a.b", false },
    { "v=spf1 redirect:a.b", false },
    { "v=spf1 redirect=a.b redirect=a.b", false },
    { "v=spf1 exp=a.b exp=a.b", false },
    { "v=spf1 exp=a.b redirect=a.b", true },
    { "v=spf1 exp=", false },
    { "v=spf1 x=", true },
    { "v=spf1 x.y-z_1=man:dog/cat", true },
    { "v=spf1 x=%{c}%{r}%{t}", true },
    { "v=spf1 x=%{z}", false },
    { "v=spf1 x=%", false },
    { "v=spf1 _x=y", false },
    { "v=spf1 include", false },
    { "v=spf1 include:", false },
    { "v=spf1 include:a.b/24", false },
    { "v=spf1 exists:a.b//64", false },
    { "v=spf1 a/0", true },
    { "v=spf1 a/32//128", true },
    { "v=spf1 a//0", true },
    { "v=spf1 a/33", false },
    { "v=spf1 a//129", false },
    { "v=spf1 a/24/64", false },
    { "v=spf1 a/", false },
    { "v=spf1 a//", false },
    { "v=spf1 a/024", false },
    { "v=spf1 a/00", false },
    { "v=spf1 a/4294967296", false },
    { "v=spf1 a/-1", false },
    { "v=spf1 a/+8", false },
    { "v=spf1 a:b.c/8", true },
    { "v=spf1 a:b/8.c", true },
    { "v=spf1 a:%{d}/8", true },
    { "v=spf1 a:%{d/}", true },
    { "v=spf1 ptr/8", false },
    { "v=spf1 ip4", false },
    { "v=spf1 ip4:", false },
    { "v=spf1 ip4:1.2.3", false },
    { "v=spf1 ip4:1.2.3.4.5", false },
    { "v=spf1 ip4:1.2.3.256", false },
    { "v=spf1 ip4:01.2.3.4", false },
    { "v=spf1 ip4:1.2.3.4/", false },
    { "v=spf1 ip4:1.2.3.4/8/8", false },
    { "v=spf1 ip4:1.2.3.4//8", false },
    { "v=spf1 ip4:1.2.3.4:25", false },
    { "v=spf1 ip4:::1", false },
    { "v=spf1 ip4:0x1.2.3.4", false },
    { "v=spf1 ip6:1.2.3.4", false },
    { "v=spf1 ip6:::1/128", true },
    { "v=spf1 ip6:::1/129", false },
    { "v=spf1 ip6:::1.2.3.4/96", true },
    { "v=spf1 ip6:fe80::1%eth0", false },
    { "v=spf1 ip6:1:2:3:4:5:6:7:8:9", false },
    { "v=spf1 ip6:::::", false },
    { "v=spf1 ip6:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111", false },
    { "v=spf1 a\tmx", false },
    { "v=spf1 a:b.c\x7f", false },
    { "v=spf1 a:b\xc3\xa4.c", false },
};

static void syntax_is_as_in_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        struct spf_summary sum;

        spf_record_check(slice_str(records[i].record), &sum);
        print_message("%s: %s\n", records[i].record, sum.problem != NULL ? sum.problem : "good");
        assert_int_equal(records[i].good, sum.problem == NULL);
    }
}

static void a_nul_does_not_end_a_record(void **state)
{
    struct spf_summary sum;

    (void)state;
    spf_record_check(SLICE("v=spf1 ip4:1.2.3.4\0"
                           " all"),
                     &sum);
    assert_non_null(sum.problem);
}

static void the_version_is_a_whole_word(void **state)
{
    (void)state;
    assert_true(spf_record_is(SLICE("v=spf1")));
    assert_true(spf_record_is(SLICE("V=SPF1 all")));
    assert_false(spf_record_is(SLICE("v=spf10")));
    assert_false(spf_record_is(SLICE("v=spf1\tall")));
    assert_false(spf_record_is(SLICE(" v=spf1")));
    assert_false(spf_record_is(SLICE("v=spf")));
    assert_false(spf_record_is(SLICE_NONE));
}

/* `count` times `word` behind the version. */
static struct slice repeat(struct buf *b, const char *word, size_t count)
{
    buf_init(b, 1 << 20);
    buf_put_str(b, "v=spf1");
    for (size_t i = 0; i < count; i++) {
        buf_put_str(b, word);
    }
    return buf_slice(b);
}

static void records_have_limits(void **state)
{
    struct spf_summary sum;
    struct buf b;

    (void)state;
    spf_record_check(repeat(&b, " a", 512), &sum);
    assert_null(sum.problem);
    assert_int_equal(512, sum.terms);
    buf_fini(&b);
    spf_record_check(repeat(&b, " a", 513), &sum);
    assert_non_null(sum.problem);
    buf_fini(&b);
    spf_record_check(repeat(&b, " ", 8192 - 6), &sum);
    assert_null(sum.problem);
    buf_fini(&b);
    spf_record_check(repeat(&b, " ", 8193 - 6), &sum);
    assert_non_null(sum.problem);
    buf_fini(&b);
}

static void terms_are_taken_apart(void **state)
{
    struct slice rest = spf_record_terms(SLICE("v=spf1  -mx:%{d}/24//64 ip6:2001:db8::/33  redirect=a.b"));
    const char *problem = NULL;
    struct spf_term t;

    (void)state;
    assert_int_equal(SPF_TERM_OK, spf_term_next(&rest, &t, &problem));
    assert_int_equal(SPF_MX, t.kind);
    assert_int_equal('-', t.qualifier);
    assert_true(slice_eq(t.text, SLICE("mx:%{d}/24//64")));
    assert_true(slice_eq(t.spec, SLICE("%{d}")));
    assert_int_equal(24, t.v4_bits);
    assert_int_equal(64, t.v6_bits);
    assert_int_equal(SPF_TERM_OK, spf_term_next(&rest, &t, &problem));
    assert_int_equal(SPF_IP6, t.kind);
    assert_int_equal(33, t.v6_bits);
    assert_memory_equal(t.ip, "\x20\x01\x0d\xb8", 4);
    assert_int_equal(SPF_TERM_OK, spf_term_next(&rest, &t, &problem));
    assert_int_equal(SPF_REDIRECT, t.kind);
    assert_int_equal(SPF_TERM_END, spf_term_next(&rest, &t, &problem));
}

static const struct {
    const char *text;
    bool domain; /* good as a domain-spec */
    bool any;    /* as the value of an unknown modifier */
    bool expl;   /* as an explanation */
} strings[] = {
    { "", false, true, true },
    { "a.b", true, true, true },
    { "a", false, true, true },
    { "a.b.", true, true, true },
    { "a.b..", false, true, true },
    { "a..b", true, true, true },
    { ".b", true, true, true },
    { "a.1", false, true, true },
    { "a.1-2", true, true, true },
    { "a.-b", false, true, true },
    { "a.b-", false, true, true },
    { "a.b_c", false, true, true },
    { "%{d}", true, true, true },
    { "%{D}", true, true, true },
    { "%{d}x", false, true, true },
    { "%{d}.x", true, true, true },
    { "%{d}.", false, true, true },
    { "%%", true, true, true },
    { "%_", true, true, true },
    { "%-", true, true, true },
    { "%", false, false, false },
    { "%a", false, false, false },
    { "%{", false, false, false },
    { "%{}", false, false, false },
    { "%{d", false, false, false },
    { "%{dd}", false, false, false },
    { "%{d1}", true, true, true },
    { "%{d0}", false, false, false },
    { "%{d00}", false, false, false },
    { "%{d01}", true, true, true },
    { "%{d4294967297}", true, true, true },
    { "%{d99999999999999999999999999}", true, true, true },
    { "%{d1r}", true, true, true },
    { "%{dR}", true, true, true },
    { "%{dr1}", false, false, false },
    { "%{d.-+,/_=}", true, true, true },
    { "%{d!}", false, false, false },
    { "%{c}", false, true, true },
    { "%{r}", false, true, true },
    { "%{t}", false, true, true },
    { "%{x}", false, false, false },
    { "%{p}", true, true, true },
    { "a b", false, false, true },
    { "a\tb", false, false, false },
    { "\xe4", false, false, false },
};

static void macro_strings_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        struct slice s = slice_str(strings[i].text);

        print_message("%s\n", strings[i].text);
        assert_int_equal(strings[i].domain, spf_macro_valid(s, SPF_MACRO_DOMAIN));
        assert_int_equal(strings[i].any, spf_macro_valid(s, SPF_MACRO_ANY));
        assert_int_equal(strings[i].expl, spf_macro_valid(s, SPF_MACRO_TEXT));
    }
}

static const struct {
    const char *text;
    const char *want;
} expansions[] = {
    /* the first group is that of RFC 7208 7.4 */
    { "%{s}", "strong-bad@email.example.com" },
    { "%{o}", "email.example.com" },
    { "%{d}", "email.example.com" },
    { "%{d4}", "email.example.com" },
    { "%{d3}", "email.example.com" },
    { "%{d2}", "example.com" },
    { "%{d1}", "com" },
    { "%{dr}", "com.example.email" },
    { "%{d2r}", "example.email" },
    { "%{l}", "strong-bad" },
    { "%{l-}", "strong.bad" },
    { "%{lr}", "strong-bad" },
    { "%{lr-}", "bad.strong" },
    { "%{l1r-}", "strong" },
    { "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com" },
    { "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com" },
    { "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com" },
    { "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com" },
    { "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net" },

    { "%{d4294967297}", "email.example.com" },
    { "%{d18446744073709551617}", "email.example.com" },
    { "a%%b%_c%-d", "a%b c%20d" },
    { "%{S}", "strong-bad%40email.example.com" },
    { "%{h}/%{p}/%{c}/%{r}/%{t}", "a b/unknown/192.0.2.3/mx.example/1" },
    { "%{H}", "a%20b" },
    { "%{d.-}", "email.example.com" },
    { "%{s@}", NULL },
};

static const struct spf_macro_values values = {
    .sender = SLICE_INIT("strong-bad@email.example.com"),
    .local = SLICE_INIT("strong-bad"),
    .origin = SLICE_INIT("email.example.com"),
    .domain = SLICE_INIT("email.example.com"),
    .ip = SLICE_INIT("192.0.2.3"),
    .readable = SLICE_INIT("192.0.2.3"),
    .validated = SLICE_INIT("unknown"),
    .version = SLICE_INIT("in-addr"),
    .helo = SLICE_INIT("a b"),
    .receiver = SLICE_INIT("mx.example"),
    .now = SLICE_INIT("1"),
};

static void macros_expand(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(expansions); i++) {
        struct slice text = slice_str(expansions[i].text);
        size_t budget = 10000;
        char mem[1024];
        struct buf b;

        if (expansions[i].want == NULL) {
            assert_false(spf_macro_valid(text, SPF_MACRO_TEXT));
            continue;
        }
        assert_true(spf_macro_valid(text, SPF_MACRO_TEXT));
        buf_init_fixed(&b, mem, sizeof(mem));
        assert_true(spf_macro_text(&b, text, &values, &budget));
        assert_string_equal(expansions[i].want, mem);
        buf_init_fixed(&b, mem, sizeof(mem));
        assert_true(spf_macro_name(&b, text, &values, &budget));
        assert_string_equal(expansions[i].want, mem);
    }
}

static void names_keep_their_end_and_texts_their_start(void **state)
{
    struct slice text = SLICE("%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}.end");
    size_t budget = 10000;
    char mem[101];
    struct buf b;

    (void)state;
    buf_init_fixed(&b, mem, sizeof(mem));
    assert_true(spf_macro_name(&b, text, &values, &budget));
    assert_true(b.len >= 50);
    assert_true(slice_ends_nocase(buf_slice(&b), SLICE("email.example.com.end")));
    buf_init_fixed(&b, mem, sizeof(mem));
    assert_true(spf_macro_text(&b, text, &values, &budget));
    assert_int_equal(100, strlen(mem));
    assert_true(slice_starts(slice_str(mem), SLICE("email.example.comemail")));
}

static void expansion_stops_when_the_budget_is_used_up(void **state)
{
    size_t budget = 100;
    char mem[1024];
    struct buf b;

    (void)state;
    buf_init_fixed(&b, mem, sizeof(mem));
    assert_false(spf_macro_name(&b, SLICE("%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}"), &values, &budget));
    assert_int_equal(0, budget);
}

static void use_of_p_is_seen(void **state)
{
    (void)state;
    assert_true(spf_macro_uses_p(SLICE("a%{p}")));
    assert_true(spf_macro_uses_p(SLICE("%{P1r.}")));
    assert_false(spf_macro_uses_p(SLICE("%%{p}")));
    assert_false(spf_macro_uses_p(SLICE("%{d}p")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syntax_is_as_in_the_table),
        cmocka_unit_test(a_nul_does_not_end_a_record),
        cmocka_unit_test(the_version_is_a_whole_word),
        cmocka_unit_test(records_have_limits),
        cmocka_unit_test(terms_are_taken_apart),
        cmocka_unit_test(macro_strings_are_checked),
        cmocka_unit_test(macros_expand),
        cmocka_unit_test(names_keep_their_end_and_texts_their_start),
        cmocka_unit_test(expansion_stops_when_the_budget_is_used_up),
        cmocka_unit_test(use_of_p_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
