/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_record.c - policy records: the version, each tag, and errors that must not matter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/dmarc/record.h"

static struct dmarc_record read_text(const char *text)
{
    struct dmarc_record r;

    if (!dmarc_record_read(slice_str(text), &r)) {
        fail_msg("%s: is no record", text);
    }
    return r;
}

static void test_version(void **state)
{
    static const char *const yes[] = { "v=DMARC1",         "v=DMARC1;",
                                       "v=DMARC1; p=none", " v = DMARC1 ;p=none",
                                       "V=DMARC1;p=none",  "\tv=DMARC1\t;" };
    static const char *const no[] = { "",
                                      ";",
                                      "v",
                                      "v=",
                                      "v=DMARC",
                                      "v=DMARC1p=none",
                                      "v=DMARC1 p=none",
                                      "v=dmarc1; p=none",
                                      "v=DMARC2; p=none",
                                      "v=DMARC1.; p=none",
                                      "p=none; v=DMARC1",
                                      "; v=DMARC1",
                                      "v==DMARC1",
                                      "x=DMARC1",
                                      "vv=DMARC1",
                                      "v=spf1 -all",
                                      "v=DMARC1,p=none" };
    struct dmarc_record r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        assert_true(dmarc_record_read(slice_str(yes[i]), &r));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        if (dmarc_record_read(slice_str(no[i]), &r)) {
            fail_msg("%s: is a record", no[i]);
        }
    }
    assert_false(dmarc_record_read(SLICE_NONE, &r));
    assert_false(dmarc_record_read(SLICE("v=DMARC1\0; p=none"), &r));
}

static void test_policies(void **state)
{
    static const struct {
        const char *text;
        enum dmarc_policy p, sp, np;
    } cases[] = {
        { "v=DMARC1;p=none", 0, 0, 0 },
        { "v=DMARC1;p=quarantine", 1, 1, 1 },
        { "v=DMARC1;p=reject", 2, 2, 2 },
        { "v=DMARC1; p = Reject ; sp=QUARANTINE", 2, 1, 1 }, /* np falls back to sp */
        { "v=DMARC1; p=reject; np=none", 2, 2, 0 },
        { "v=DMARC1; p=none; sp=quarantine; np=reject", 0, 1, 2 },
        { "v=DMARC1; np=reject; sp=none; p=quarantine;", 1, 0, 2 },   /* any order */
        { "v=DMARC1; pct=20; rf=afrf; ri=86400; p=reject", 2, 2, 2 }, /* removed tags */
        { "v=DMARC1; pct; =x; x; ;; \x01=\xff; p=reject", 2, 2, 2 },
        { "v=DMARC1; p=reject; p=none", 2, 2, 2 }, /* the first of two */
        { "v=DMARC1; P=reject; SP=none", 2, 0, 0 },
        { "v=DMARC1; pp=none; p=reject; xp=none", 2, 2, 2 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dmarc_record r = read_text(cases[i].text);

        if (r.p != cases[i].p || r.sp != cases[i].sp || r.np != cases[i].np || r.no_policy || r.substituted) {
            fail_msg("%s: p %d, sp %d, np %d", cases[i].text, (int)r.p, (int)r.sp, (int)r.np);
        }
    }
    assert_false(read_text("v=DMARC1; p=none").has_sp);
    assert_true(read_text("v=DMARC1; p=none; sp=none; np=none").has_sp);
    assert_true(read_text("v=DMARC1; p=none; sp=none; np=none").has_np);
}

static void test_invalid_policies(void **state)
{
    static const char *const tags[] = { "",
                                        "p=",
                                        "p=rejekt",
                                        "p=reject quarantine",
                                        "p=reject,none",
                                        "p=reject; sp=rejekt",
                                        "p=reject; np=",
                                        "p=reject; sp=none; np=all",
                                        "sp=reject",
                                        "p=re\x80ject" };
    char text[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
        struct dmarc_record r;

        (void)snprintf(text, sizeof(text), "v=DMARC1; %s; adkim=s", tags[i]);
        r = read_text(text);
        assert_true(r.no_policy && !r.substituted && r.strict_dkim);
        (void)snprintf(text, sizeof(text), "v=DMARC1; %s; rua=mailto:a@example.org; psd=n", tags[i]);
        r = read_text(text);
        assert_true(!r.no_policy && r.substituted && r.p == 0 && r.sp == 0 && r.np == 0 && !r.has_sp &&
                    !r.has_np);
        assert_int_equal(r.psd, DMARC_PSD_NO);
    }
}

static void test_flags(void **state)
{
    (void)state;
    assert_true(read_text("v=DMARC1;p=none;t=Y").testing);
    assert_false(read_text("v=DMARC1;p=none;t=n").testing);
    assert_false(read_text("v=DMARC1;p=none;t=yes").testing);
    assert_true(read_text("v=DMARC1;p=none;aspf=S").strict_spf);
    assert_false(read_text("v=DMARC1;p=none;aspf=s").strict_dkim);
    assert_true(read_text("v=DMARC1;p=none;adkim = s").strict_dkim);
    assert_false(read_text("v=DMARC1;p=none;adkim=strict").strict_dkim);
    assert_int_equal(read_text("v=DMARC1;p=none;psd=y").psd, DMARC_PSD_YES);
    assert_int_equal(read_text("v=DMARC1;p=none;psd=N").psd, DMARC_PSD_NO);
    assert_int_equal(read_text("v=DMARC1;p=none;psd=u").psd, DMARC_PSD_UNKNOWN);
    assert_int_equal(read_text("v=DMARC1;p=none;psd=x").psd, DMARC_PSD_UNKNOWN);
    assert_int_equal(read_text("v=DMARC1;p=none").psd, DMARC_PSD_UNKNOWN);
}

static void test_rua(void **state)
{
    static const char *const yes[] = { "mailto:a@example.org",        "mailto:a@example.org!10m",
                                       "mailto:a@example.org!5",      "x, mailto:a@example.org",
                                       "https://example.org/r?a=%2C", "MAILTO:a@b",
                                       "mailto:a@b , junk",           "a+b-c.d:x" };
    static const char *const no[] = { "",
                                      ",",
                                      "a@example.org",
                                      "mailto",
                                      ":a@example.org",
                                      "1x:a",
                                      "mailto:a b",
                                      "mailto:a%2",
                                      "mailto:a%zz",
                                      "mailto:a!b!c",
                                      "mailto:a!10x",
                                      "mailto:a!",
                                      "mail_to:a",
                                      "mailto:\xc3\xa4@b",
                                      "mailto:<a@b>" };
    char text[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        (void)snprintf(text, sizeof(text), "v=DMARC1; rua= %s ;p=none", yes[i]);
        if (!read_text(text).has_rua) {
            fail_msg("%s: has no URI", text);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        (void)snprintf(text, sizeof(text), "v=DMARC1; rua=%s;p=none", no[i]);
        if (read_text(text).has_rua) {
            fail_msg("%s: has a URI", text);
        }
    }
    assert_false(read_text("v=DMARC1; ruf=mailto:a@b").has_rua);
}

/* The examples of RFC 9989 appendix B.2. */
static void test_examples(void **state)
{
    struct dmarc_record r;

    (void)state;
    r = read_text("v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com");
    assert_true(r.p == DMARC_POLICY_NONE && r.has_rua && !r.testing);
    r = read_text(
        "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@example.com");
    assert_true(r.p == DMARC_POLICY_NONE && r.has_rua);
    r = read_text("v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,"
                  "mailto:example-tld-test@thirdparty.example.net; t=y");
    assert_true(r.p == DMARC_POLICY_QUARANTINE && r.has_rua && r.testing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_invalid_policies),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_rua),
        cmocka_unit_test(test_examples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
