/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_secret.c - passwords in URLs and query keys in zones: what is shown of a value.
 */
#include "helper.h"

#include "config/secret.h"

static void urls_show_no_login(void **state)
{
    static const struct {
        const char *url, *shown;
    } rows[] = {
        { "redis://:secret@127.0.0.1:6379/1", "redis://***@127.0.0.1:6379/1" },
        { "redis://glacis:secret@127.0.0.1", "redis://***@127.0.0.1" },
        { "redis://secret@127.0.0.1", "redis://***@127.0.0.1" },
        { "redis://u:p@ss/w@rd@127.0.0.1/2", "redis://***@127.0.0.1/2" },
        { "postgresql://user:pass@db.example/glacis", "postgresql://***@db.example/glacis" },
        { "https://user:pass@hooks.example/x?to=a@b.example", "https://***@hooks.example/x?to=a@b.example" },
        { "https://mail.example/why?to=a@b.example", "https://mail.example/why?to=a@b.example" },
        { "HTTPS://u:p@h", "HTTPS://***@h" },
        { "redis://127.0.0.1:6379/1", "redis://127.0.0.1:6379/1" },
        { "unix:/run/redis.sock", "unix:/run/redis.sock" },
        { "see https://x.example or mail a@b.example", "see https://x.example or mail a@b.example" },
        { "mailto:a@b.example", "mailto:a@b.example" },
        { "://a@b", "://***@b" },
        { "x://@", "x://@" },
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b;

        buf_init(&b, 1000);
        buf_put_str(&b, "");
        secret_put_url(&b, slice_str(rows[i].url));
        assert_string_equal(b.len > 0 ? b.ptr : "", rows[i].shown);
        buf_fini(&b);
    }
    assert_true(secret_is_masked(secret_of_url(SLICE("redis://***@127.0.0.1"))));
    assert_true(secret_is_masked(secret_of_url(SLICE("redis://:***@127.0.0.1"))));
    assert_false(secret_is_masked(secret_of_url(SLICE("redis://127.0.0.1/***"))));
}

#define KEY "abcdefghij0123456789abcdef"

static void zones_show_no_key_wherever_it_stands(void **state)
{
    static const struct {
        const char *zone, *shown;
    } rows[] = {
        { KEY ".zen.dq.example", "***.zen.dq.example" },
        { "zen." KEY ".dq.example", "zen.***.dq.example" },
        { "a." KEY "." KEY ".dq.example", "a.***.***.dq.example" },
        { KEY ".example", KEY ".example" }, /* a registered domain */
        { "combined.mail.abusix.zone", "combined.mail.abusix.zone" },
        { "${KEY}.zen.dq.example", "${KEY}.zen.dq.example" },
        { "${KEY:-with.dots.in.it}.zen.dq.example", "${KEY:-with.dots.in.it}.zen.dq.example" },
        { KEY ".${ZONE}", "***.${ZONE}" },
        { "${KEY:-" KEY "}.list.example", "***.list.example" },
        { "${KEY:-}.list.example", "${KEY:-}.list.example" },
        { "x-" KEY "${MORE}.list.example", "***.list.example" },
        { "list.example.", "list.example." },
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice zone = slice_str(rows[i].zone);
        struct buf b;

        buf_init(&b, 1000);
        secret_put_zone(&b, zone, secret_zone_tail(zone));
        if (!slice_eq(buf_slice(&b), slice_str(rows[i].shown))) {
            fail_msg("%s: want %s, got " SLICE_FMT, rows[i].zone, rows[i].shown, SLICE_ARG(buf_slice(&b)));
        }
        buf_fini(&b);
    }
}

static void a_text_that_repeats_a_key_is_known(void **state)
{
    const struct slice zone = SLICE("zen." KEY ".dq.example"), shown = SLICE("zen.***.dq.example");

    (void)state;
    assert_true(secret_repeated(zone, shown, SLICE("your key " KEY " is blocked")));
    assert_true(secret_repeated(zone, shown, SLICE("ABCDEFGHIJ0123456789ABCDEF")));
    assert_false(secret_repeated(zone, shown, SLICE("see https://zen.example")));
    assert_true(secret_repeated(SLICE("k3y.dq.example"), SLICE("***.dq.example"), SLICE("k3y")));
    assert_false(secret_repeated(SLICE("zen.example"), SLICE("zen.example"), SLICE("zen")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "C7: urls show no login", urls_show_no_login, NULL, NULL, NULL },
        { "C7: zones show no key wherever it stands", zones_show_no_key_wherever_it_stands, NULL, NULL,
          NULL },
        { "C7: a text that repeats a key is known", a_text_that_repeats_a_key_is_known, NULL, NULL, NULL },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
