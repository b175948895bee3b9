/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_results.c - the text for Authentication-Results, and the choice of the best signature.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/unit/dkim/letters.h"

#define BH "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define BH1 "bh=2jmj7l5rSw0yVb/vlWAYkK/YBwk="
#define LETTER "From: joe@example.org\r\n\r\n"

static struct dkim *judge(const char *fields)
{
    struct letter_how how = { .settings.now_s = 1000 };
    struct buf b;
    struct dkim *d;

    buf_init(&b, LETTER_MAX);
    buf_put_str(&b, fields);
    buf_put_str(&b, LETTER);
    d = letter_judge(buf_slice(&b), &how);
    buf_fini(&b);
    return d;
}

static void results_as_rfc_8601_writes_them(void **state)
{
    static const struct {
        const char *field, *want;
    } rows[] = {
        { "v=1; a=rsa-sha256; d=example.org; s=mail; h=from; " BH "; b=AbC\r\n dEfGhIjK",
          "dkim=permerror reason=\"there is no key\" header.d=example.org header.s=mail header.a=rsa-sha256 "
          "header.b=AbCdEfGh" },
        { "v=1; a=rsa-sha1; d=Example.ORG; s=Mail; i=joe+x@sub.example.org; h=from; " BH1 "; b=A/C=",
          "dkim=policy reason=\"SHA-1 is not accepted\" header.d=example.org header.i=joe+x@sub.example.org "
          "header.s=mail header.a=rsa-sha1 header.b=\"A/C=\"" },
        { "v=1; a=rsa-sha256; d=example.org; s=mail; i=@example.org; x=1; h=from; " BH "; b=+A==",
          "dkim=fail reason=\"the signature has expired\" header.d=example.org header.i=@example.org "
          "header.s=mail "
          "header.a=rsa-sha256 header.b=\"+A==\"" },
        /* traps: what does not keep to its grammar is left out */
        { "v=1; a=x-sha256; d=example.org header.d=bank.example; s=a b; i=joe@example.org; h=from; " BH
          "; b=A\"BC",
          "dkim=permerror reason=\"d= is not a domain name\"" },
        { "v=1; a=rsa-sha256; d=example.org(; s=m\"; i=\"a\"@example.org(; h=from; " BH "; b=AAAA",
          "dkim=permerror reason=\"d= is not a domain name\" header.a=rsa-sha256 header.b=AAAA" },
        { "v=1; a=rsa-sha256; d=example.org; s=mail; i=joe=0D=0A=20dkim=3Dpass@example.org; h=from; " BH
          "; b=AAAA",
          "dkim=permerror reason=\"there is no key\" header.d=example.org header.i=@example.org "
          "header.s=mail "
          "header.a=rsa-sha256 header.b=AAAA" },
        { "v=1; a=rsa-sha256; d=example.org; s=mail; i=joe=22=3B=20dkim=3Dpass@example.org; h=from; " BH
          "; b=AAAA",
          "dkim=permerror reason=\"there is no key\" header.d=example.org header.i=@example.org "
          "header.s=mail "
          "header.a=rsa-sha256 header.b=AAAA" },
        { "d=example.org", "dkim=permerror reason=\"a required tag is missing\" header.d=example.org" },
        { "nonsense", "dkim=permerror reason=\"the field is not a list of tags\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf field, text;
        struct dkim *d;

        buf_init(&field, 4096);
        buf_init(&text, 4096);
        buf_putf(&field, "DKIM-Signature: %s\r\n", rows[i].field);
        d = judge(field.ptr);
        assert_int_equal(dkim_count(d), 1);
        dkim_put_resinfo(&text, dkim_verdict_at(d, 0));
        assert_string_equal(text.ptr, rows[i].want);
        dkim_free(d);
        buf_fini(&field);
        buf_fini(&text);
    }
}

static void the_longest_result_stays_below_900_octets(void **state)
{
    struct buf field, text;
    struct dkim *d;

    (void)state;
    buf_init(&field, 4096);
    buf_init(&text, 4096);
    buf_put_str(&field, "DKIM-Signature: v=1; a=ed25519-sha256; s=");
    for (int i = 0; i < 110; i++) {
        buf_put_char(&field, i % 50 == 49 ? '.' : 's');
    }
    buf_put_str(&field, "; d=d.");
    for (int i = 0; i < 110; i++) {
        buf_put_char(&field, i % 50 == 49 ? '.' : 'd');
    }
    buf_put_str(&field, "; i=");
    for (int i = 0; i < 64; i++) {
        buf_put_char(&field, 'i');
    }
    buf_put_str(&field, "@d.");
    for (int i = 0; i < 110; i++) {
        buf_put_char(&field, i % 50 == 49 ? '.' : 'd');
    }
    buf_put_str(&field, "; h=to; " BH "; b=AAAAAAAAAAAA\r\n");
    d = judge(field.ptr);
    dkim_put_resinfo(&text, dkim_verdict_at(d, 0));
    assert_in_range(text.len, 400, 900);
    assert_int_equal(slice_plain(buf_slice(&text)), text.len);
    dkim_free(d);
    buf_fini(&field);
    buf_fini(&text);
}

static void every_reason_has_a_text_that_can_be_quoted(void **state)
{
    (void)state;
    for (enum dkim_reason r = DKIM_VERIFIED; r < DKIM_REASON_COUNT; r++) {
        struct slice text = slice_str(dkim_reason_text(r));

        assert_in_range(text.len, 1, 80);
        assert_int_equal(slice_plain(text), text.len);
        assert_int_equal(slice_find(text, '"'), text.len);
        assert_int_equal(slice_find(text, '\\'), text.len);
        assert_int_equal(dkim_reason_result(r) == DKIM_PASS, r == DKIM_VERIFIED);
        assert_int_not_equal(dkim_reason_result(r), DKIM_NONE);
    }
}

static bool is_aligned(void *arg, struct slice domain)
{
    return slice_eq(domain, slice_str(arg));
}

static void the_best_is_a_pass_then_what_might_have_been_one(void **state)
{
    /* the two permerrors differ in d= only; the expired one is a fail */
    static const char fields[] =
        "DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=mail; h=to; " BH "; b=AAAA\r\n"
        "DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=mail; h=to; " BH "; b=AAAA\r\n";
    static const char expired[] =
        "DKIM-Signature: v=1; a=rsa-sha256; d=c.example; s=mail; x=1; h=from; " BH "; b=AAAA\r\n";
    static const char sha1[] =
        "DKIM-Signature: v=1; a=rsa-sha1; d=d.example; s=mail; h=from; " BH1 "; b=AAAA\r\n";
    char b_example[] = "b.example", other[] = "other.example";
    struct buf text;
    struct dkim *d = judge(fields);

    (void)state;
    assert_true(slice_eq(dkim_best(d, NULL, NULL)->domain, SLICE("a.example")));
    assert_true(slice_eq(dkim_best(d, is_aligned, other)->domain, SLICE("a.example")));
    assert_true(slice_eq(dkim_best(d, is_aligned, b_example)->domain, SLICE("b.example")));
    dkim_free(d);
    buf_init(&text, 4096);
    buf_putf(&text, "%s%s", fields, expired);
    d = judge(text.ptr);
    assert_int_equal(dkim_best(d, is_aligned, b_example)->result, DKIM_FAIL);
    dkim_free(d);
    buf_putf(&text, "%s", sha1);
    d = judge(text.ptr);
    assert_int_equal(dkim_best(d, is_aligned, b_example)->result, DKIM_POLICY);
    dkim_free(d);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_as_rfc_8601_writes_them),
        cmocka_unit_test(the_longest_result_stays_below_900_octets),
        cmocka_unit_test(every_reason_has_a_text_that_can_be_quoted),
        cmocka_unit_test(the_best_is_a_pass_then_what_might_have_been_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
