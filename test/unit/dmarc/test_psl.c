/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_psl.c - organisational domains by a small public suffix list, and an evaluation with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/dmarc/psl.h"
#include "test/unit/dmarc/zone.h"

static struct dmarc_psl *load(const char *text)
{
    char path[] = "/tmp/glacis-psl-XXXXXX";
    int fd = mkstemp(path);
    struct dmarc_psl *list;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    list = dmarc_psl_load(path);
    (void)unlink(path);
    return list;
}

static void test_org(void **state)
{
    struct dmarc_psl *list =
        load("// ===BEGIN ICANN DOMAINS===\ncom\nuk\nco.uk\n*.ck\n!www.ck\n// ===END ICANN DOMAINS===\n");
    static const struct {
        const char *domain;
        size_t labels;
    } cases[] = {
        { "com", 0 },
        { "example.com", 2 },
        { "a.b.example.com", 2 },
        { "co.uk", 0 },
        { "example.co.uk", 3 },
        { "a.example.co.uk", 3 },
        { "x.ck", 0 },
        { "a.x.ck", 3 },
        { "b.www.ck", 2 },
        { "example.unlisted", 2 },
        { "unlisted", 0 },
        { "xn--a.com", 2 },
    };

    (void)state;
    assert_non_null(list);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (dmarc_psl_org(list, slice_str(cases[i].domain)) != cases[i].labels) {
            fail_msg("%s: %zu", cases[i].domain, dmarc_psl_org(list, slice_str(cases[i].domain)));
        }
    }
    dmarc_psl_free(list);
}

static void test_evaluation(void **state)
{
    struct dmarc_psl *list = load("co.uk\n");
    struct zone_run run = { .zone = SLICE("_dmarc.example.co.uk\tv=DMARC1; p=reject; sp=quarantine") };
    struct dmarc_settings settings = {
        .author = SLICE("news.example.co.uk"), .want = DMARC_WANT_ORG, .org = dmarc_psl_org, .org_arg = list
    };
    struct dmarc *d = dmarc_new(&settings);

    (void)state;
    dmarc_add(d, DMARC_BY_DKIM, SLICE("mail.example.co.uk"));
    dmarc_end_domains(d);
    zone_ask(&run, d);
    assert_true(dmarc_done(d));
    assert_int_equal(dmarc_outcome(d)->result, DMARC_PASS);
    assert_int_equal(dmarc_outcome(d)->policy, DMARC_POLICY_QUARANTINE);
    assert_true(slice_eq(dmarc_outcome(d)->domain, SLICE("example.co.uk")));
    assert_int_equal(run.asked, 2);
    dmarc_free(d);
    dmarc_psl_free(list);
}

static void test_load(void **state)
{
    struct dmarc_psl *list;

    (void)state;
    assert_null(dmarc_psl_load("/nonexistent/list"));
    assert_null(load("// nothing\n"));
    dmarc_psl_free(NULL);
    list = dmarc_psl_load(NULL); /* a libpsl without a list gives none */
    assert_true(list == NULL || dmarc_psl_org(list, SLICE("a.example.com")) == 2);
    dmarc_psl_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_org),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
