/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_header.c - stripping, rewriting, Received, dates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/header.h"
#include "smtp/line.h"

#define REQUIRE(cond, label)                                                                                 \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fail_msg("%s: %s", label, #cond);                                                                \
        }                                                                                                    \
    } while (0)

#define S(text) SLICE_INIT(text)

static const struct config_headers conf = {
    .authserv_id = "mx.example.test",
    .strip_authserv_ids = { "inner.example.test" },
    .strip_authserv_count = 1,
    .strip = { "X-Spam-*", "X-Exact" },
    .strip_count = 2,
};
static const struct header_rules rules = { &conf, "host.example.test", NULL, NULL };

/* ---- one field ---- */

struct strip_row {
    const char *label;
    struct slice field;
    bool want;
};

#define AR "Authentication-Results"

static const struct strip_row strip_rows[] = {
    { "ours", S(AR ": mx.example.test; spf=pass\r\n"), true },
    { "in another case", S("AUTHENTICATION-results: MX.Example.TEST; spf=pass\r\n"), true },
    { "with a version", S(AR ": mx.example.test 1; spf=pass\r\n"), true },
    { "without results", S(AR ": mx.example.test\r\n"), true },
    { "right behind the colon", S(AR ":mx.example.test;none\r\n"), true },
    { "blanks before the colon", S(AR " \t: mx.example.test; none\r\n"), true },
    { "folded", S(AR ":\r\n mx.example.test;\r\n\tspf=pass\r\n"), true },
    { "a comment before", S(AR ": (a (nested \\) one)) mx.example.test; none\r\n"), true },
    { "a folded comment before", S(AR ": (a\r\n b)\r\n\tmx.example.test; none\r\n"), true },
    { "a comment right behind", S(AR ": mx.example.test(c); none\r\n"), true },
    { "quoted", S(AR ": \"mx.example.test\"; none\r\n"), true },
    { "quoted with quoted pairs", S(AR ": \"m\\x.exam\\ple.test\" 1; none\r\n"), true },
    { "C9: quoted with a fold", S(AR ": \"mx.exa\r\n mple.test\"; none\r\n"), true },
    { "C9: an encoded word", S(AR ": =?utf-8?Q?mx=2Eexample.test?=; none\r\n"), true },
    { "C9: in Base64", S(AR ": =?us-ascii?B?bXguZXhhbXBsZS50ZXN0?= 1; none\r\n"), true },
    { "C9: in UTF-16",
      S(AR ": =?utf-16be?Q?=00m=00x=00.=00e=00x=00a=00m=00p=00l=00e=00.=00t=00e=00s=00t?=;\r\n"), true },
    { "C9: two encoded words", S(AR ": =?x?q?mx.exam?=\r\n =?x?q?ple.test?=; none\r\n"), true },
    { "C9: a part encoded", S(AR ": mx.=?x?q?example?=.test; none\r\n"), true },
    { "C9: encoded and quoted", S(AR ": \"=?x?q?mx.example.test?=\"; none\r\n"), true },
    { "C9: a quote encoded", S(AR ": =?x?q?=22mx.example.test=22?=; none\r\n"), true },
    { "C9: an encoded word behind", S(AR ": mx.example.test=?x?q?x?=; none\r\n"), true },
    { "C9: all encoded", S(AR ": =?x?q?mx.example.test;_spf=3Dpass?=\r\n"), true },
    { "C9: odd octets behind", S(AR ": mx.example.test\x80; none\r\n"), true },
    { "C9: a letter above 127 behind", S(AR ": mx.example.test\xc3\xb6; none\r\n"), true },
    { "C9: a control behind", S(AR ": mx.example.test\x01; none\r\n"), true },
    { "C9: NUL behind", S(AR ": mx.example.test\0; none\r\n"), true },
    { "C9: a slash, a comma, an equals sign behind", S(AR ": mx.example.test/1, x=y; none\r\n"), true },
    { "C9: odd octets in front", S(AR ": \xef\xbb\xbf\x01\xc2\xa0mx.example.test; none\r\n"), true },
    { "C9: odd octets within", S(AR ": mx.exa\x01mple.\x7ftest; none\r\n"), true },
    { "C9: a soft hyphen within", S(AR ": mx.exa\xc2\xadmple.test; none\r\n"), true },
    { "C9: wide letters", S(AR ": \xef\xbd\x8dx.example.test; none\r\n"), true },
    { "C9: a zero width space and a version", S(AR ": mx.example\xe2\x80\x8b.test 1; none\r\n"), true },
    { "C9: blanks within", S(AR ": mx . example.\r\n test 1; none\r\n"), true },
    { "C9: comments within", S(AR ": mx(a).(b(c))example.test(d) 1(e); none\r\n"), true },
    { "C9: quotes around a part", S(AR ": mx.\"example\".test; none\r\n"), true },
    { "C9: other brackets", S(AR ": <mx.example.test>; none\r\n"), true },
    { "C9: apostrophes", S(AR ": 'mx.example.test'; none\r\n"), true },
    { "C9: no semicolon", S(AR ": mx.example.test spf=pass\r\n"), true },
    { "C9: dots around", S(AR ": .mx.example.test.. 1; none\r\n"), true },
    { "C9: blanks in quotes", S(AR ": \" mx.example.test \"; none\r\n"), true },
    { "C9: a version in quotes", S(AR ": \"mx.example.test 1\"; none\r\n"), true },
    { "C9: odd octets in the name", S("Authentication-\x01Results\x80: mx.example.test; none\r\n"), true },
    { "C9: NUL in the name", S("Authentication\0-Results : mx.example.test; none\r\n"), true },
    { "C9: odd octets in a tag of ours",
      S("X-Gl\xc2\xad"
        "acis-Verdict: accept\r\n"),
      true },
    { "C9: odd octets before a tag of ours", S("\xef\xbb\xbfX-Glacis-Verdict\t: accept\r\n"), true },
    { "C9: DEL in a stripped name",
      S("X-Ex\x7f"
        "act: 1\r\n"),
      true },
    { "C9: a foreign name with an umlaut", S(AR ": mx.ex\xc3\xa4mple.test; none\r\n"), false },
    { "C9: ours with an umlaut more",
      S(AR ": mx.ex\xc3\xa4"
           "ample.test; none\r\n"),
      false },
    { "C9: a foreign encoded one", S(AR ": =?utf-8?Q?mx.foreign.test?=; none\r\n"), false },
    { "C9: ours encoded later", S(AR ": mx.foreign.test; x==?x?q?mx.example.test?=\r\n"), false },
    { "C9: a longer foreign one", S(AR ": mx.example.test-2; none\r\n"), false },
    { "C9: a host below ours", S(AR ": a.mx.example.test; none\r\n"), false },
    { "C9: none, as a big provider writes it",
      S(AR ": spf=pass (sender IP is 192.0.2.1)\r\n smtp.mailfrom=mx.example.test; dkim=none\r\n"), false },
    { "C9: other odd names", S("X-Glaci\x80: 1\r\n"), false },
    { "a final dot", S(AR ": mx.example.test.; none\r\n"), true },
    { "the host name", S(AR ": host.example.test; none\r\n"), true },
    { "a host inside", S(AR ": inner.example.test; none\r\n"), true },
    { "a foreign id", S(AR ": mx.foreign.test; spf=pass\r\n"), false },
    { "a longer id", S(AR ": mx.example.test.foreign.test; none\r\n"), false },
    { "ours as a comment of a foreign id", S(AR ": (mx.example.test) foreign.test; none\r\n"), false },
    { "ours later in a foreign one", S(AR ": foreign.test; mx.example.test; none\r\n"), false },
    { "an open comment is nobody's", S(AR ": (mx.example.test; spf=pass\r\n"), true },
    { "an open quote is nobody's", S(AR ": \"mx.example.test; spf=pass\r\n"), true },
    { "empty is nobody's", S(AR ": ; spf=pass\r\n"), true },
    { "another field", S("Authentication-Results-Original: mx.example.test; none\r\n"), false },
    { "ARC sets are never broken", S("ARC-Authentication-Results: i=1; mx.example.test; none\r\n"), false },
    { "a prefix", S("x-spam-flag: NO\r\n"), true },
    { "the prefix alone", S("X-Spam-: NO\r\n"), true },
    { "less than the prefix", S("X-Spam: NO\r\n"), false },
    { "a name", S("x-exact : 1\r\n 2\r\n"), true },
    { "a longer name", S("X-Exactly: 1\r\n"), false },
    { "our own tags", S("x-glacis-Verdict: accept\r\n"), true },
    { "an attacker's idea", S("__proto__: ${jndi:ldap://x} %s%n\r\n"), false },
};

static void forged_fields_are_known_in_any_disguise(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strip_rows); i++) {
        struct slice rest = strip_rows[i].field;
        struct header_field f;

        REQUIRE(header_next(&rest, &f), strip_rows[i].label);
        REQUIRE(rest.len == 0, strip_rows[i].label);
        REQUIRE(header_stripped(&f, &rules) == strip_rows[i].want, strip_rows[i].label);
    }
}

/* What nobody reads as an id takes linear time all the same, for many ids. */
static void c9_long_fields_are_read_once(void **state)
{
    static const char *const texts[] = { "(", "x (", "\x80", "=?x?q?", "\"", " ", "a", ";" };
    struct config_headers many = conf;
    struct header_rules of_many = rules;

    (void)state;
    of_many.conf = &many;
    many.strip_authserv_count = CONFIG_MAX_HEADERS;
    for (size_t i = 0; i < CONFIG_MAX_HEADERS; i++) {
        many.strip_authserv_ids[i] = "inner.example.test";
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct header_field f;
        struct slice rest;
        struct buf in;

        buf_init(&in, 1 << 20);
        buf_put_str(&in, AR ": foreign.test ");
        while (in.len < 256 * 1024) {
            buf_put_str(&in, texts[i]);
        }
        buf_put_str(&in, "\r\n");
        rest = buf_slice(&in);
        assert_true(header_next(&rest, &f));
        assert_false(header_stripped(&f, &of_many));
        buf_fini(&in);
    }
}

static void received_spf_is_ours_where_we_write_it(void **state)
{
    struct config_headers with = conf;
    struct header_rules writes = rules;
    struct slice rest = S("received-SPF : pass (forged)\r\n");
    struct header_field f;

    (void)state;
    with.received_spf = true;
    writes.conf = &with;
    assert_true(header_next(&rest, &f));
    assert_true(header_stripped(&f, &writes));
    assert_false(header_stripped(&f, &rules)); /* another server's trace */
}

/* ---- the section ---- */

struct rewrite_row {
    const char *label;
    struct slice in, want; /* whole messages */
};

#define OWN "Received: us\r\n"

static const struct rewrite_row rewrite_rows[] = {
    { "what stays keeps its octets", S("A:b\r\nc : d \r\n\te\r\n\r\nX-Exact: body\r\n"),
      S(OWN "A:b\r\nc : d \r\n\te\r\n\r\nX-Exact: body\r\n") },
    { "first, middle, last are stripped",
      S("X-Exact: 1\r\n 2\r\nA: b\r\nx-exact: 1\r\nB: c\r\nX-EXACT: 9\r\n\r\nx\r\n"),
      S(OWN "A: b\r\nB: c\r\n\r\nx\r\n") },
    { "the only one is stripped", S("X-Exact: 1\r\n\r\nx\r\n"), S(OWN "\r\nx\r\n") },
    { "HDR-08: an empty line first", S("\r\nX-Exact: body\r\n"), S(OWN "\r\nX-Exact: body\r\n") },
    { "HDR-09: no empty line", S("A: b\r\nX-Exact: 1\r\n"), S(OWN "A: b\r\n") },
    { "DAT-05: no content", S(""), S(OWN) },
    { "HDR-10: the first line is no field", S("Hello\r\nX-Exact: body\r\n"),
      S(OWN "\r\nHello\r\nX-Exact: body\r\n") },
    { "a later line is no field", S("A: b\r\nHello\r\nX-Exact: 1\r\n"),
      S(OWN "A: b\r\n\r\nHello\r\nX-Exact: 1\r\n") },
    { "HDR-11: a mailbox line", S("From x Mon Jan 1 00:00:00\r\nA: b\r\n\r\nx\r\n"),
      S(OWN "A: b\r\n\r\nx\r\n") },
    { "HDR-11: a quoted mailbox line", S(">From x Mon\r\nA: b\r\n\r\nx\r\n"), S(OWN "A: b\r\n\r\nx\r\n") },
    { "a mailbox line and nothing else", S("From x Mon\r\n"), S(OWN) },
    { "From with a blank is a field", S("From : x\r\n\r\n"), S(OWN "From : x\r\n\r\n") },
    { "HDR-12: the first line begins with a blank", S(" by evil\r\nA: b\r\n\r\n"),
      S(OWN "\r\n by evil\r\nA: b\r\n\r\n") },
    { "HDR-12: the first line begins with a tab", S("\tby evil\r\n"), S(OWN "\r\n\tby evil\r\n") },
    { "HDR-14: odd names hide nothing", S("\x80\x01: x\r\n: y\r\nX-Exact: 1\r\n\r\n"),
      S(OWN "\x80\x01: x\r\n: y\r\n\r\n") },
    { "HDR-14: NUL in a name hides nothing", S("A\0B: x\r\nX-Exact: 1\r\n\r\n"), S(OWN "A\0B: x\r\n\r\n") },
    { "HDR-20: a fold within a name", S("A: b\r\nX-Ex\r\n act: 1\r\n\r\n"),
      S(OWN "A: b\r\n\r\nX-Ex\r\n act: 1\r\n\r\n") },
    { "a blank within a name", S("A: b\r\nX- Exact: 1\r\nB: c\r\n\r\n"),
      S(OWN "A: b\r\n\r\nX- Exact: 1\r\nB: c\r\n\r\n") },
    { "a continuation of blanks", S("A: b\r\n \r\nX-Exact: 1\r\n\r\n"), S(OWN "A: b\r\n \r\n\r\n") },
    { "trailing blanks and case stay", S("sUbJeCt:  x \t\r\n\r\n"), S(OWN "sUbJeCt:  x \t\r\n\r\n") },
};

static void rewrite(struct slice message, struct buf *out)
{
    struct slice added = SLICE(OWN);
    size_t n = header_rewrite(message, added, &rules, out);

    buf_put_slice(out, slice_skip(message, n));
}

static void sections_are_rewritten_without_touching_the_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rewrite_rows); i++) {
        struct buf out;

        buf_init(&out, 1 << 16);
        rewrite(rewrite_rows[i].in, &out);
        REQUIRE(slice_eq(buf_slice(&out), rewrite_rows[i].want), rewrite_rows[i].label);
        buf_fini(&out);
    }
}

static void a_name_of_5000_octets_hides_nothing(void **state)
{
    struct buf in, out;

    (void)state;
    buf_init(&in, 1 << 16);
    buf_init(&out, 1 << 16);
    for (int i = 0; i < 5000; i++) {
        buf_put_char(&in, 'N');
    }
    buf_put_str(&in, ": x\r\nX-Exact: 1\r\n\r\n");
    rewrite(buf_slice(&in), &out);
    assert_int_equal(out.len, in.len - 12 + sizeof(OWN) - 1);
    buf_fini(&in);
    buf_fini(&out);
}

static bool drop(void *arg, const void *data, size_t len)
{
    (void)arg;
    (void)data;
    (void)len;
    return true;
}

/* A section that comes in and one in memory end at the same place, and have the same fields. */
static void both_readers_agree_where_the_section_ends(void **state)
{
    static const char *const pieces[] = { "A",    "From", ">From", ":",        " ",    "\t",
                                          "\r\n", "\r\n", "x",     "Received", "\x80", "\r\n\r\n" };
    uint64_t seed = 12345;

    (void)state;
    for (unsigned round = 0; round < 50000; round++) {
        struct body_reader r;
        struct buf in, out;
        struct header_field f;
        struct slice rest;
        size_t used, end;
        unsigned received = 0;
        bool ended;

        buf_init(&in, 4096);
        buf_init(&out, 8192);
        for (unsigned i = 0; i < 1 + round % 14; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            buf_put_str(&in, pieces[(seed >> 33) % ARRAY_LEN(pieces)]);
        }
        buf_put_str(&in, "\r\n");
        body_reader_init(&r, BODY_BDAT, true);
        body_reader_feed(&r, buf_slice(&in), drop, NULL, &used, &ended);
        end = header_rewrite(buf_slice(&in), SLICE_NONE, &rules, &out);
        rest = slice_skip(buf_slice(&in), end);
        end += slice_starts(rest, SLICE("\r\n")) ? 2 : 0;
        if (end != r.head.octets) {
            fail_msg("%s: %zu, not %zu", in.ptr, (size_t)r.head.octets, end);
        }
        rest = buf_slice(&in);
        header_skip_mbox(&rest);
        while (header_next(&rest, &f)) {
            received += header_name_is(f.name, SLICE("Received"));
        }
        assert_int_equal(r.head.received, received);
        buf_fini(&in);
        buf_fini(&out);
    }
}

static void own_hops_are_counted(void **state)
{
    struct slice host = SLICE("mx.example.test");

    (void)state;
    assert_int_equal(
        header_own_hops(SLICE("Received: from a (b [192.0.2.1])\r\n\tby MX.example.test with ESMTP id 1;\r\n"
                              "\tSat\r\nReceived: from x by other.test id 2; Sat\r\n"
                              "received : from y\r\n by mx.example.test\r\n id 3; Sat\r\n\r\n"
                              "Received: by mx.example.test id 4; body\r\n"),
                        host),
        2);
    assert_int_equal(header_own_hops(SLICE("Received: by mx.example.test.evil id 1; Sat\r\n"), host), 0);
    assert_int_equal(header_own_hops(SLICE("Received: by mx.example.test; Sat\r\n"), host), 0);
    assert_int_equal(header_own_hops(SLICE(""), host), 0);
    assert_int_equal(header_own_hops(SLICE("Rec\x80"
                                           "eived: by mx.example.test id 1; Sat\r\n"),
                                     host),
                     1); /* HDR-14 */
}

/* ---- what we write ---- */

static struct addr address(struct slice text)
{
    struct addr a = { 0 };

    assert_true(addr_parse_ip(text, &a));
    return a;
}

static void check_received(const struct received *r, struct slice want)
{
    struct buf out;

    buf_init(&out, 4096);
    header_put_received(&out, r);
    if (!slice_eq(buf_slice(&out), want)) {
        fail_msg("%s", out.ptr);
    }
    buf_fini(&out);
}

static void received_says_who_where_and_how(void **state)
{
    struct received r = {
        .helo = SLICE("client.test"),
        .rdns = SLICE("rdns.test"),
        .client = address(SLICE("192.0.2.1")),
        .hostname = SLICE("mx.example.test"),
        .id = SLICE("01J.1"),
        .single_rcpt = SLICE("bob@example.test"),
        .esmtp = true,
        .date_s = 1795296900,
    };

    (void)state;
    check_received(
        &r,
        SLICE("Received: from client.test (rdns.test [192.0.2.1])\r\n\tby mx.example.test with ESMTP id 01J.1"
              "\r\n\tfor <bob@example.test>;\r\n\tSat, 21 Nov 2026 21:35:00 +0000\r\n"));
    r.tls = true;
    r.tls_clause = SLICE("TLS1.3 TLS_AES_256_GCM_SHA384");
    r.client = address(SLICE("2001:db8::1"));
    r.rdns = SLICE_NONE;
    r.helo = SLICE("[ipv6:2001:DB8::0:1]");
    r.single_rcpt = SLICE_NONE;
    check_received(
        &r,
        SLICE("Received: from [IPv6:2001:db8::1] (unknown [IPv6:2001:db8::1])\r\n\tby mx.example.test with "
              "ESMTPS id 01J.1\r\n\ttls TLS_AES_256_GCM_SHA384 (TLS1.3);\r\n\t"
              "Sat, 21 Nov 2026 21:35:00 +0000\r\n"));
    r.tls_clause = SLICE("TLS1.2 ECDHE-RSA(x)\r\nEvil: y");
    r.utf8 = true;
    r.helo = SLICE("a) by evil (\r\nX: \xc3\xa4");
    check_received(
        &r,
        SLICE("Received: from a__by_evil____X:___ (unknown [IPv6:2001:db8::1])\r\n\tby mx.example.test with "
              "UTF8SMTPS id 01J.1\r\n\t(TLS1.2 ECDHE-RSA_x___Evil: y);\r\n\t"
              "Sat, 21 Nov 2026 21:35:00 +0000\r\n"));
}

static void received_names_no_recipient_that_could_confuse(void **state)
{
    static const struct slice bad[] = { S("\"a b\"@b.test"), S("a;b@b.test"), S("\xc3\xa4@b.test"),
                                        S("a>b@b.test") };
    struct received r = { .hostname = SLICE("mx.test"), .id = SLICE("1"), .client = { .family = ADDR_V4 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        r.single_rcpt = bad[i];
        check_received(
            &r, SLICE("Received: from unknown (unknown [0.0.0.0])\r\n\tby mx.test with SMTP id 1;\r\n\t"
                      "Thu, 1 Jan 1970 00:00:00 +0000\r\n"));
    }
}

struct date_row {
    int64_t date_s;
    struct slice want;
};

static const struct date_row date_rows[] = {
    { 0, S("Thu, 1 Jan 1970 00:00:00 +0000") },
    { -5, S("Thu, 1 Jan 1970 00:00:00 +0000") },
    { 951782400, S("Tue, 29 Feb 2000 00:00:00 +0000") },
    { 951868799, S("Tue, 29 Feb 2000 23:59:59 +0000") },
    { 951868800, S("Wed, 1 Mar 2000 00:00:00 +0000") },
    { 1709164800, S("Thu, 29 Feb 2024 00:00:00 +0000") },
    { 1735689599, S("Tue, 31 Dec 2024 23:59:59 +0000") },
    { 1735689600, S("Wed, 1 Jan 2025 00:00:00 +0000") },
    { 4107542400, S("Mon, 1 Mar 2100 00:00:00 +0000") },
    { INT64_MAX, S("Fri, 31 Dec 9999 23:59:59 +0000") },
};

static void dates_follow_the_calendar(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(date_rows); i++) {
        char mem[64];
        struct buf out;

        buf_init_fixed(&out, mem, sizeof(mem));
        header_put_date(&out, date_rows[i].date_s);
        REQUIRE(slice_eq(buf_slice(&out), date_rows[i].want), mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forged_fields_are_known_in_any_disguise),
        cmocka_unit_test(sections_are_rewritten_without_touching_the_body),
        cmocka_unit_test(a_name_of_5000_octets_hides_nothing),
        cmocka_unit_test(both_readers_agree_where_the_section_ends),
        cmocka_unit_test(c9_long_fields_are_read_once),
        cmocka_unit_test(received_spf_is_ours_where_we_write_it),
        cmocka_unit_test(own_hops_are_counted),
        cmocka_unit_test(received_says_who_where_and_how),
        cmocka_unit_test(received_names_no_recipient_that_could_confuse),
        cmocka_unit_test(dates_follow_the_calendar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
