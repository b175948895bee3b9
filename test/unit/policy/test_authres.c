/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authres.c - Authentication-Results and Received-SPF: what they look like, and what cannot get into
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/judge/authres.h"

static const struct addr v4 = { .family = ADDR_V4, .ip = { 192, 0, 2, 1 } };
static const struct addr v6 = { .family = ADDR_V6, .ip = { 0x20, 1, 0x0d, 0xb8, [15] = 1 } };

static struct spf_verdict verdict(enum spf_result result, enum spf_identity id, const char *domain)
{
    struct spf_verdict v = { .result = result, .identity = id, .problem = "" };
    struct buf b;

    buf_init_fixed(&b, v.domain, sizeof(v.domain));
    buf_put_str(&b, domain);
    return v;
}

static void expect(const struct authres *a, const char *want)
{
    struct buf b;

    buf_init(&b, 8192);
    authres_put(&b, a);
    buf_put_str(&b, "");
    assert_string_equal(want, b.ptr);
    buf_fini(&b);
}

static void results_are_listed_in_order(void **state)
{
    struct spf_verdict m = verdict(SPF_PASS, SPF_MAILFROM, "example.org");
    struct spf_verdict h = verdict(SPF_NONE, SPF_HELO, "mail.example.org");
    struct authres a = {
        .authserv_id = SLICE("mx.example.com"),
        .client = v4,
        .sender = SLICE("joe.x+y@example.org"),
        .helo = SLICE("mail.example.org"),
        .spf = &m,
        .spf_helo = &h,
        .iprev = SLICE("pass"),
        .rdns = SLICE("mail.example.org"),
    };

    (void)state;
    expect(&a, "Authentication-Results: mx.example.com;\r\n"
               " spf=pass smtp.mailfrom=joe.x+y@example.org;\r\n"
               " spf=none smtp.helo=mail.example.org;\r\n"
               " iprev=pass policy.iprev=192.0.2.1 (mail.example.org)\r\n");
}

static void nothing_asked_is_none(void **state)
{
    struct authres a = { .authserv_id = SLICE("mx.example.com"), .client = v4 };

    (void)state;
    expect(&a, "Authentication-Results: mx.example.com; none\r\n");
}

static void the_null_sender_has_the_result_of_helo_once(void **state)
{
    struct spf_verdict h = verdict(SPF_FAIL, SPF_HELO, "mail.example.org");
    struct authres a = {
        .authserv_id = SLICE("mx.example.com"),
        .client = v6,
        .helo = SLICE("[IPv6:2001:db8::1]"),
        .spf = &h,
        .spf_helo = &h,
        .iprev = SLICE("none"),
    };

    (void)state;
    expect(&a, "Authentication-Results: mx.example.com;\r\n"
               " spf=fail smtp.helo=\"[IPv6:2001:db8::1]\";\r\n"
               " iprev=fail policy.iprev=\"2001:db8::1\"\r\n");
}

static void a_weak_pass_says_so(void **state)
{
    struct spf_verdict m = verdict(SPF_NEUTRAL, SPF_MAILFROM, "example.org");
    struct authres a = {
        .authserv_id = SLICE("mx.example.com"),
        .client = v4,
        .sender = SLICE("joe@example.org"),
        .spf = &m,
    };

    (void)state;
    m.weak = true;
    expect(&a, "Authentication-Results: mx.example.com;\r\n"
               " spf=neutral reason=\"weak pass\" smtp.mailfrom=joe@example.org\r\n");
}

static const struct {
    const char *sender;
    const char *want; /* behind the result */
} senders[] = {
    { "joe@example.org", " smtp.mailfrom=joe@example.org" },
    { "joe@EXAMPLE.org", " smtp.mailfrom=joe@EXAMPLE.org" },
    { "example.org", " smtp.mailfrom=example.org" },
    { "\"a b\"@example.org", " smtp.mailfrom=example.org" },
    { "\"a@evil.test; spf=pass\"@example.org", " smtp.mailfrom=example.org" },
    { "a;spf=pass@example.org", " smtp.mailfrom=example.org" },
    { "a(x)@example.org", " smtp.mailfrom=example.org" },
    { "a\r\nX: y@example.org", " smtp.mailfrom=example.org" },
    { ".a@example.org", " smtp.mailfrom=example.org" },
    { "a..b@example.org", " smtp.mailfrom=example.org" },
    { "joe@example.org;dkim=pass", " smtp.mailfrom=checked.test" },
    { "joe@exa mple.org", " smtp.mailfrom=checked.test" },
    { "joe@example.org\r\n", " smtp.mailfrom=checked.test" },
    { "joe@[192.0.2.1]", " smtp.mailfrom=checked.test" },
    { "joe@b\xc3\xbcro.test", " smtp.mailfrom=checked.test" },
    { "j\xc3\xb6@example.org", " smtp.mailfrom=example.org" },
    { "joe@", " smtp.mailfrom=checked.test" },
    { "@example.org", " smtp.mailfrom=example.org" },
    { "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@example.org",
      " smtp.mailfrom=example.org" },
};

static void senders_are_written_only_if_they_are_plain(void **state)
{
    struct spf_verdict m = verdict(SPF_PASS, SPF_MAILFROM, "checked.test");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
        struct authres a = {
            .authserv_id = SLICE("mx.example.com"),
            .sender = slice_str(senders[i].sender),
            .spf = &m,
        };
        struct buf want;

        buf_init(&want, 1000);
        buf_put_str(&want, "Authentication-Results: mx.example.com;\r\n spf=pass");
        buf_put_str(&want, senders[i].want);
        buf_put_str(&want, "\r\n");
        expect(&a, want.ptr);
        buf_fini(&want);
    }
}

static void hostile_names_are_left_out(void **state)
{
    static const char *const helos[] = { "a b", "x;spf=pass", "x)",   "a\r\nb", "[not an address]", "[", "[]",
                                         "",    "\"x\"",      "a\\b", "\xff" };
    struct spf_verdict h = verdict(SPF_NONE, SPF_HELO, "");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(helos); i++) {
        struct authres a = {
            .authserv_id = SLICE("mx.example.com"),
            .client = v4,
            .helo = slice_str(helos[i]),
            .spf_helo = &h,
            .iprev = SLICE("fail"),
            .rdns = slice_str(helos[i]),
        };

        expect(&a, "Authentication-Results: mx.example.com;\r\n"
                   " iprev=fail policy.iprev=192.0.2.1\r\n");
    }
}

/* No bare spf=none, whichever identity it is that cannot be written. */
static void a_result_without_an_identity_is_left_out(void **state)
{
    struct spf_verdict m = verdict(SPF_NONE, SPF_MAILFROM, ""), h = verdict(SPF_NONE, SPF_HELO, "");
    struct authres a = {
        .authserv_id = SLICE("mx.example.com"),
        .sender = SLICE("joe@[192.0.2.1]"),
        .helo = SLICE("-bad-"),
        .spf = &m,
        .spf_helo = &h,
    };

    (void)state;
    expect(&a, "Authentication-Results: mx.example.com; none\r\n");
    a.spf = &h; /* the null sender's */
    expect(&a, "Authentication-Results: mx.example.com; none\r\n");
    a.helo = SLICE("mail.example.org");
    expect(&a, "Authentication-Results: mx.example.com;\r\n spf=none smtp.helo=mail.example.org\r\n");
}

static void an_odd_id_is_quoted(void **state)
{
    struct authres a = { .authserv_id = SLICE("a b\"c\\d\r\n") };

    (void)state;
    expect(&a, "Authentication-Results: \"a b\\\"c\\\\d\"; none\r\n");
}

static void received_spf_has_keys_and_values(void **state)
{
    struct spf_verdict m = verdict(SPF_PASS, SPF_MAILFROM, "example.org");
    struct authres a = {
        .authserv_id = SLICE("mx.example.com"),
        .client = v6,
        .sender = SLICE("joe@example.org"),
        .helo = SLICE("mail.example.org"),
        .spf = &m,
    };
    struct buf b;

    (void)state;
    buf_init_fixed(&b, m.mechanism, sizeof(m.mechanism));
    buf_put_str(&b, "exists:%{i}\"\\.example.org");
    buf_init(&b, 4096);
    authres_put_received_spf(&b, &a);
    assert_string_equal("Received-SPF: pass (mx.example.com: authorised by example.org)\r\n"
                        " identity=mailfrom;\r\n"
                        " client-ip=\"2001:db8::1\";\r\n"
                        " envelope-from=\"joe@example.org\";\r\n"
                        " helo=mail.example.org;\r\n"
                        " receiver=mx.example.com;\r\n"
                        " mechanism=\"exists:%{i}\\\"\\\\.example.org\"\r\n",
                        b.ptr);
    buf_fini(&b);
}

static void received_spf_names_the_problem(void **state)
{
    struct spf_verdict h = verdict(SPF_PERMERROR, SPF_HELO, "mail.example.org");
    struct authres a = {
        .authserv_id = SLICE("mx.example.com"),
        .client = v4,
        .sender = SLICE("a;b@example.org"),
        .helo = SLICE("x y"),
        .spf_helo = &h,
    };
    struct buf b;

    (void)state;
    h.problem = "several records";
    buf_init(&b, 4096);
    authres_put_received_spf(&b, &a);
    assert_string_equal("Received-SPF: permerror (mx.example.com: unusable record of mail.example.org)\r\n"
                        " identity=helo;\r\n"
                        " client-ip=192.0.2.1;\r\n"
                        " receiver=mx.example.com;\r\n"
                        " problem=\"several records\"\r\n",
                        b.ptr);
    buf_reset(&b);
    a.spf_helo = NULL;
    authres_put_received_spf(&b, &a);
    assert_int_equal(0, b.len);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_listed_in_order),
        cmocka_unit_test(nothing_asked_is_none),
        cmocka_unit_test(the_null_sender_has_the_result_of_helo_once),
        cmocka_unit_test(a_weak_pass_says_so),
        cmocka_unit_test(senders_are_written_only_if_they_are_plain),
        cmocka_unit_test(hostile_names_are_left_out),
        { .name = "B8: a result that cannot name its identity is left out",
          .test_func = a_result_without_an_identity_is_left_out },
        cmocka_unit_test(an_odd_id_is_quoted),
        cmocka_unit_test(received_spf_has_keys_and_values),
        cmocka_unit_test(received_spf_names_the_problem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
