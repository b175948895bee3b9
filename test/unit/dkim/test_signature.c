/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_signature.c - tag lists, base64 and the tags of DKIM-Signature fields.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/dkim/signature.h"
#include "policy/dkim/tags.h"

#define BH "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define B64                                                                                                  \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==" /* 64 octets */

static struct arena arena;

static int fresh_arena(void **state)
{
    (void)state;
    arena_fini(&arena);
    arena_init(&arena, 1u << 20);
    return 0;
}

static void tag_lists(void **state)
{
    static const char *const names[] = { "a", "bh" };
    static const struct {
        const char *list, *a, *bh; /* NULL: absent */
        bool good;
    } rows[] = {
        { "a=1", "1", NULL, true },
        { "a=1;", "1", NULL, true },
        { " a = 1 ; bh\t=\r\n 2 3 ;\r\n ", "1", "2 3", true },
        { "a=;bh=", "", "", true },
        { "a=x=y;b=z", "x=y", NULL, true },
        { "A=1", NULL, NULL, true }, /* names are case-sensitive */
        { "a_1=x; q9=y", NULL, NULL, true },
        { "a=\xc3\xa4", "\xc3\xa4", NULL, true },
        { "", NULL, NULL, false },
        { " \r\n ", NULL, NULL, false },
        { ";", NULL, NULL, false },
        { "a=1;;bh=2", NULL, NULL, false },
        { "a=1; a=1", NULL, NULL, false },
        { "a=1; x=1; x=2", NULL, NULL, false }, /* twice, though no reader uses it */
        { "a", NULL, NULL, false },
        { "=1", NULL, NULL, false },
        { "1a=1", NULL, NULL, false },
        { "a-b=1", NULL, NULL, false },
        { "a b=1", NULL, NULL, false },
        { "a=1\x7f", NULL, NULL, false },
        { "a=1\x01", NULL, NULL, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dkim_tag tags[2];
        struct slice first;
        bool good = dkim_tags_read(slice_str(rows[i].list), names, tags, 2, &first);

        if (good != rows[i].good) {
            fail_msg("%s", rows[i].list);
        }
        if (good) {
            assert_int_equal(tags[0].present, rows[i].a != NULL);
            assert_true(slice_eq(tags[0].value, slice_str(rows[i].a)));
            assert_int_equal(tags[1].present, rows[i].bh != NULL);
            assert_true(slice_eq(tags[1].value, slice_str(rows[i].bh)));
        }
    }
}

static void a_list_has_64_tags_at_most(void **state)
{
    (void)state;
    for (unsigned count = 64; count <= 65; count++) {
        struct dkim_tag tag;
        struct slice first;
        struct buf b;
        static const char *const names[] = { "x1" };

        buf_init(&b, 4096);
        for (unsigned i = 0; i < count; i++) {
            buf_putf(&b, "x%u=1;", i);
        }
        assert_int_equal(dkim_tags_read(buf_slice(&b), names, &tag, 1, &first), count == 64);
        buf_fini(&b);
    }
}

static void base64(void **state)
{
    static const struct {
        const char *text, *octets; /* NULL: refused */
    } rows[] = {
        { "", "" },
        { "QQ==", "A" },
        { "QUI=", "AB" },
        { "QUJD", "ABC" },
        { "QUJDRA==", "ABCD" },
        { "QQ", "A" },
        { "QUI", "AB" },
        { " Q\r\n\tQ = = ", "A" },
        { "/+8=", "\xff\xef" },
        { "QQ=", NULL },
        { "Q", NULL },
        { "QUJDR", NULL },
        { "QQ===", NULL },
        { "QUJD=", NULL },
        { "QQ==QQ==", NULL },
        { "=", NULL },
        { "QU-_", NULL },
        { "QU\x01J", NULL },
        { "QQ\xc3\xa4", NULL },
        { "QUJDQUJDQUJDQUJD", NULL }, /* 12 > 8 */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice out;
        bool good = dkim_tags_base64(slice_str(rows[i].text), 8, &arena, &out);

        if (good != (rows[i].octets != NULL) || !slice_eq(out, slice_str(rows[i].octets))) {
            fail_msg("%s", rows[i].text);
        }
    }
}

/* A good signature with one tag changed or, with an empty value text, left out. */
static enum dkim_reason read_with(const char *tag, const char *value, struct dkim_signature *out)
{
    static const char *const tags[][2] = {
        { "v", "1" },    { "a", "ed25519-sha256" }, { "d", "example.org" },
        { "s", "mail" }, { "h", "from:to" },        { "bh", BH },
        { "b", B64 },
    };
    struct dkim_signature_rules rules = { .now_s = 1000, .arena = &arena };
    static char mem[70000];
    bool known = false;
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
        bool same = strcmp(tags[i][0], tag) == 0;

        known = known || same;
        if (!same || value != NULL) {
            buf_putf(&b, " %s=%s;", tags[i][0], same ? value : tags[i][1]);
        }
    }
    if (!known && value != NULL) {
        buf_putf(&b, "%s=%s;", tag, value);
    }
    assert_true(buf_ok(&b));
    return dkim_signature_read(buf_slice(&b), &rules, out);
}

static void every_tag_and_its_grammar(void **state)
{
    static const struct {
        const char *tag, *value;
        enum dkim_reason want;
    } rows[] = {
        { "n", "unknown tags do not matter", DKIM_VERIFIED },
        { "v", NULL, DKIM_TAG_MISSING },
        { "v", "2", DKIM_BAD_VERSION },
        { "v", "1.0", DKIM_BAD_VERSION },
        { "v", "", DKIM_BAD_VERSION },
        { "a", NULL, DKIM_TAG_MISSING },
        { "a", "rsa-sha256", DKIM_VERIFIED },
        { "a", "RSA-SHA256", DKIM_BAD_ALGORITHM },
        { "a", "rsa-sha512", DKIM_BAD_ALGORITHM },
        { "a", "rsa-\r\n sha256", DKIM_BAD_ALGORITHM },
        { "a", "rsa-sha1", DKIM_BAD_BODY_HASH }, /* 32 octets */
        { "a", "", DKIM_BAD_ALGORITHM },
        { "b", NULL, DKIM_TAG_MISSING },
        { "b", "", DKIM_BAD_SIGNATURE },
        { "b", "AAAA", DKIM_BAD_SIGNATURE }, /* not of Ed25519's length */
        { "b", "A*AA", DKIM_BAD_SIGNATURE },
        { "b", " " B64, DKIM_VERIFIED },
        { "bh", NULL, DKIM_TAG_MISSING },
        { "bh", "", DKIM_BAD_BODY_HASH },
        { "bh", "47DEQpj8HBSa+/TImW+5\r\n JCeuQeRkm5NMpJWZG3hSuFU =", DKIM_VERIFIED },
        { "c", "simple", DKIM_VERIFIED },
        { "c", "relaxed/relaxed", DKIM_VERIFIED },
        { "c", "", DKIM_BAD_CANON },
        { "c", "relaxed/", DKIM_BAD_CANON },
        { "c", "/relaxed", DKIM_BAD_CANON },
        { "c", "nowsp", DKIM_BAD_CANON },
        { "c", "Relaxed", DKIM_BAD_CANON },
        { "c", "relaxed/simple/simple", DKIM_BAD_CANON },
        { "c", "relaxed / simple", DKIM_BAD_CANON },
        { "d", NULL, DKIM_TAG_MISSING },
        { "d", "EXAMPLE.org", DKIM_VERIFIED },
        { "d", "org", DKIM_BAD_DOMAIN },
        { "d", "", DKIM_BAD_DOMAIN },
        { "d", "example.org.", DKIM_BAD_DOMAIN },
        { "d", ".example.org", DKIM_BAD_DOMAIN },
        { "d", "exa mple.org", DKIM_BAD_DOMAIN },
        { "d", "exa\r\n mple.org", DKIM_BAD_DOMAIN },
        { "d", "example.org/x", DKIM_BAD_DOMAIN },
        { "d", "example.org(x)", DKIM_BAD_DOMAIN },
        { "d", "example.org\" x=\"", DKIM_BAD_DOMAIN },
        { "d",
          "b\xc3\xbc"
          "cher.example",
          DKIM_BAD_DOMAIN },
        { "d", "xn--bcher-kva.example", DKIM_VERIFIED },
        { "d", "-x.example.org", DKIM_BAD_DOMAIN },
        { "h", NULL, DKIM_TAG_MISSING },
        { "h", "", DKIM_BAD_NAMES },
        { "h", "from:", DKIM_BAD_NAMES },
        { "h", "from::to", DKIM_BAD_NAMES },
        { "h", " From \r\n : to ", DKIM_VERIFIED },
        { "h", "from:to cc", DKIM_BAD_NAMES },
        { "h", "from:t\xc3\xb6", DKIM_BAD_NAMES },
        { "h", "to", DKIM_FROM_UNSIGNED },
        { "i", "@example.org", DKIM_VERIFIED },
        { "i", "joe@a.b.EXAMPLE.org", DKIM_VERIFIED },
        { "i", "joe=40x@example.org", DKIM_VERIFIED },
        { "i", "joe", DKIM_BAD_IDENTITY },
        { "i", "", DKIM_BAD_IDENTITY },
        { "i", "example.org", DKIM_BAD_IDENTITY },
        { "i", "joe@org", DKIM_BAD_IDENTITY },
        { "i", "joe@xexample.org", DKIM_BAD_IDENTITY },
        { "i", "joe@example.org.example.net", DKIM_BAD_IDENTITY },
        { "i", "joe@", DKIM_BAD_IDENTITY },
        { "i", "joe=4@example.org", DKIM_BAD_IDENTITY },
        { "i", "joe=4g@example.org", DKIM_BAD_IDENTITY },
        { "i", "joe=2b@example.org", DKIM_BAD_IDENTITY }, /* capitals only */
        { "q", "dns/txt", DKIM_VERIFIED },
        { "q", "http : dns/txt", DKIM_VERIFIED },
        { "q", "dns", DKIM_BAD_QUERY },
        { "q", "", DKIM_BAD_QUERY },
        { "s", NULL, DKIM_TAG_MISSING },
        { "s", "", DKIM_BAD_SELECTOR },
        { "s", "a.b_c-1", DKIM_VERIFIED },
        { "s", "a..b", DKIM_BAD_SELECTOR },
        { "s", "a b", DKIM_BAD_SELECTOR },
        { "s", "a\\b", DKIM_BAD_SELECTOR },
        { "s", "a*", DKIM_BAD_SELECTOR },
        { "t", "999", DKIM_VERIFIED },
        { "t", "9999999999999", DKIM_VERIFIED }, /* the future, forever */
        { "t", "", DKIM_BAD_TIME },
        { "t", "-1", DKIM_BAD_TIME },
        { "t", "99999999999999x", DKIM_BAD_TIME },
        { "x", "1000", DKIM_VERIFIED },
        { "x", "999", DKIM_EXPIRED },
        { "x", "0", DKIM_EXPIRED },
        { "x", "9999999999999999999999999", DKIM_VERIFIED },
        { "x", "1e9", DKIM_BAD_TIME },
        { "x", "2000; t=2000", DKIM_EXPIRES_BEFORE },
        { "x", "2000; t=1999", DKIM_VERIFIED },
        { "x", "500; t=600", DKIM_EXPIRES_BEFORE },
        { "l", "5", DKIM_VERIFIED },
        { "l", "0x5", DKIM_BAD_LENGTH },
        { "l", "5 5", DKIM_BAD_LENGTH },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dkim_signature sig;
        enum dkim_reason got;

        (void)fresh_arena(state);
        got = read_with(rows[i].tag, rows[i].value, &sig);
        if (got != rows[i].want) {
            fail_msg("%s=%s: %s", rows[i].tag, rows[i].value ? rows[i].value : "(absent)",
                     dkim_reason_text(got));
        }
    }
}

static void the_name_of_the_key_has_at_most_253_octets(void **state)
{
    char selector[300];
    struct dkim_signature sig;

    (void)state;
    for (size_t len = 230; len <= 231; len++) { /* and "._domainkey.example.org": 253, 254 */
        struct buf b;

        buf_init_fixed(&b, selector, sizeof(selector));
        for (size_t i = 0; i < len; i++) {
            buf_put_char(&b, i % 10 == 5 ? '.' : 'a');
        }
        assert_int_equal(read_with("s", selector, &sig), len == 231 ? DKIM_BAD_SELECTOR : DKIM_VERIFIED);
    }
}

static void identities(void **state)
{
    static const struct {
        const char *i, *want;
        bool is_domain;
    } rows[] = {
        { NULL, "", true },
        { "@example.org", "@example.org", true },
        { "Joe@EXAMPLE.org", "Joe@example.org", true },
        { "joe@a.example.org", "joe@a.example.org", false },
        { "j=6Fe=2Ex@example.org", "joe.x@example.org", true },
        { "jo \r\n e@example.org", "joe@example.org", true },  /* white space of quoted-printable is none */
        { "=22joe=22@example.org", "@example.org", true },     /* not a dot-string: left out */
        { "joe=0D=0AX=3A@example.org", "@example.org", true }, /* trap: a line of its own */
        { "joe=3B x=3Dy@example.org", "@example.org", true },  /* trap: another result */
        { "=28joe@example.org", "@example.org", true },        /* trap: a comment */
        { "joe=00@example.org", "@example.org", true },
        { "a@b@example.org", "@example.org", true },
        { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.org", "@example.org",
          true }, /* 65 */
        { "j\xc3\xb6@example.org", "@example.org", true },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dkim_signature sig;

        (void)fresh_arena(state);
        assert_int_equal(read_with("i", rows[i].i, &sig), DKIM_VERIFIED);
        if (!slice_eq(sig.identity, slice_str(rows[i].want))) {
            fail_msg("%s: " SLICE_FMT, rows[i].i, SLICE_ARG(sig.identity));
        }
        assert_int_equal(sig.identity_is_domain, rows[i].is_domain);
    }
}

static void what_is_legal_is_reported_of_a_broken_signature(void **state)
{
    struct dkim_signature sig;

    (void)state;
    assert_int_equal(read_with("v", "2", &sig), DKIM_BAD_VERSION);
    assert_true(slice_eq(sig.domain, SLICE("example.org")));
    assert_true(slice_eq(sig.selector, SLICE("mail")));
    assert_int_equal(sig.algorithm, DKIM_ED25519_SHA256);
    assert_int_equal(read_with("d", "a;b", &sig), DKIM_BAD_TAGS);
    assert_true(slice_empty(sig.domain));
    assert_int_equal(read_with("d", "x..y", &sig), DKIM_BAD_DOMAIN);
    assert_true(slice_empty(sig.domain));
    assert_true(slice_eq(sig.selector, SLICE("mail")));
}

static void a_full_arena_is_an_error_and_no_fault(void **state)
{
    (void)state;
    for (size_t max = 0; max < 600; max += 16) {
        struct dkim_signature sig;

        arena_fini(&arena);
        arena_init(&arena, max);
        if (read_with("i", "joe@example.org", &sig) == DKIM_VERIFIED) {
            assert_true(max > 200);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(tag_lists, fresh_arena),
        cmocka_unit_test_setup(a_list_has_64_tags_at_most, fresh_arena),
        cmocka_unit_test_setup(base64, fresh_arena),
        cmocka_unit_test_setup(every_tag_and_its_grammar, fresh_arena),
        cmocka_unit_test_setup(the_name_of_the_key_has_at_most_253_octets, fresh_arena),
        cmocka_unit_test_setup(identities, fresh_arena),
        cmocka_unit_test_setup(what_is_legal_is_reported_of_a_broken_signature, fresh_arena),
        cmocka_unit_test_setup(a_full_arena_is_an_error_and_no_fault, fresh_arena),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    arena_fini(&arena);
    return failed;
}
