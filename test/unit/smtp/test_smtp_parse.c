/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_smtp_parse.c - verbs, paths and parameters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"
#include "smtp/smtp_parse.h"

#define REQUIRE(cond, label)                                                                                 \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fail_msg("%s: %s", label, #cond);                                                                \
        }                                                                                                    \
    } while (0)

#define S(text) SLICE_INIT(text)
#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16
#define L63 A16 A16 A16 "aaaaaaaaaaaaaaa"

#define A500 A64 A64 A64 A64 A64 A64 A64 A16 A16 A16 "aaaa"

static const struct smtp_offer offer_all = { true, true, true, true, true, true, 0 };
static const struct smtp_offer offer_stranger = { true, true, true, true, true, false, 0 };
static const struct smtp_offer offer_helo = { false, true, true, true, true, true, 0 };
static const struct smtp_offer offer_bare = { true, true, false, false, false, false, 0 };

/* ---- MAIL: paths ---- */

struct path_row {
    const char *label;
    struct slice arg;
    enum parse_status want;
    struct slice sender, domain; /* as expected with PARSE_OK */
};

static const struct path_row sender_rows[] = {
    { "an address", S("FROM:<a@b.test>"), PARSE_OK, S("a@b.test"), S("b.test") },
    { "the null sender", S("FROM:<>"), PARSE_OK, S(""), S("") },
    { "a blank behind the colon", S("FROM: <a@b.test>"), PARSE_OK, S("a@b.test"), S("b.test") },
    { "the keyword in any case", S("fRoM:<A@B.Test>"), PARSE_OK, S("A@b.test"), S("b.test") },
    { "a final dot is removed", S("FROM:<a@b.test.>"), PARSE_OK, S("a@b.test"), S("b.test") },
    { "two final dots are not", S("FROM:<a@b.test..>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a single label", S("FROM:<root@localhost>"), PARSE_OK, S("root@localhost"), S("localhost") },
    { "an underscore in the domain", S("FROM:<a@b_c.test>"), PARSE_OK, S("a@b_c.test"), S("b_c.test") },
    { "numbers as a domain", S("FROM:<a@127.0.0.1>"), PARSE_OK, S("a@127.0.0.1"), S("127.0.0.1") },
    { "a literal", S("FROM:<a@[192.0.2.1]>"), PARSE_OK, S("a@[192.0.2.1]"), S("[192.0.2.1]") },
    { "an IPv6 literal in another spelling", S("FROM:<a@[ipv6:2001:DB8:0::0:1]>"), PARSE_OK,
      S("a@[IPv6:2001:db8::1]"), S("[IPv6:2001:db8::1]") },
    { "IPv6 without its tag", S("FROM:<a@[2001:db8::1]>"), PARSE_BAD_SENDER, S(""), S("") },
    { "an empty literal", S("FROM:<a@[]>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a literal of another kind", S("FROM:<a@[X400:c=de]>"), PARSE_BAD_SENDER, S(""), S("") },
    { "all atext", S("FROM:<!#$%&'*+-/=?^_`{|}~.x@b.test>"), PARSE_OK, S("!#$%&'*+-/=?^_`{|}~.x@b.test"),
      S("b.test") },
    { "dots as some carriers gave them out", S("FROM:<.a..b.@b.test>"), PARSE_OK, S(".a..b.@b.test"),
      S("b.test") },
    { "64 octets", S("FROM:<" A64 "@b.test>"), PARSE_OK, S(A64 "@b.test"), S("b.test") },
    { "a tagged bounce of 80 octets", S("FROM:<prvs=0123456789=" A64 "@b.test>"), PARSE_OK,
      S("prvs=0123456789=" A64 "@b.test"), S("b.test") },
    { "A12: as long as the line", S("FROM:<" A500 A500 A500 "@b.test>"), PARSE_OK,
      S(A500 A500 A500 "@b.test"), S("b.test") },
    { "A12: a tab behind the colon", S("FROM:\t<a@b.test>"), PARSE_OK, S("a@b.test"), S("b.test") },
    { "A12: tabs around parameters", S("FROM: \t<a@b.test>\tSIZE=1\t"), PARSE_OK, S("a@b.test"),
      S("b.test") },
    { "a tab in the path", S("FROM:<a\t@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a tab at the end of the path", S("FROM:<a@b.test\t>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a label of 63", S("FROM:<a@" L63 ".test>"), PARSE_OK, S("a@" L63 ".test"), S(L63 ".test") },
    { "a label of 64", S("FROM:<a@" A64 ".test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a domain of 255", S("FROM:<a@" L63 "." L63 "." L63 "." L63 ">"), PARSE_BAD_SENDER, S(""), S("") },
    { "quotes stay", S("FROM:<\"a b\"@b.test>"), PARSE_OK, S("\"a b\"@b.test"), S("b.test") },
    { "needless quotes stay", S("FROM:<\"a\"@b.test>"), PARSE_OK, S("\"a\"@b.test"), S("b.test") },
    { "a quoted pair stays", S("FROM:<\"a\\\"b\"@b.test>"), PARSE_OK, S("\"a\\\"b\"@b.test"), S("b.test") },
    { "brackets within quotes", S("FROM:<\"> SIZE=1 <\"@b.test>"), PARSE_OK, S("\"> SIZE=1 <\"@b.test"),
      S("b.test") },
    { "a shell's idea of an address", S("FROM:<;sleep${IFS}5;@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "an expansion", S("FROM:<${run{x}}@b.test>"), PARSE_OK, S("${run{x}}@b.test"), S("b.test") },
    { "a source route is stripped", S("FROM:<@x.test,@y.test:a@b.test>"), PARSE_OK, S("a@b.test"),
      S("b.test") },
    { "a route without a mailbox", S("FROM:<@x.test:>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a route without a colon", S("FROM:<@x.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "an empty route", S("FROM:<@:a@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "no brackets", S("FROM:a@b.test"), PARSE_BAD_SENDER, S(""), S("") },
    { "no closing bracket", S("FROM:<a@b.test"), PARSE_BAD_SENDER, S(""), S("") },
    { "no opening bracket", S("FROM:a@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "two closing brackets", S("FROM:<a@b.test>>"), PARSE_BAD_SENDER, S(""), S("") },
    { "two opening brackets", S("FROM:<<a@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "something right behind", S("FROM:<a@b.test>SIZE=1"), PARSE_BAD_SENDER, S(""), S("") },
    { "blanks within", S("FROM:<a @b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a blank in front", S("FROM:< a@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a blank at the end", S("FROM:<a@b.test >"), PARSE_BAD_SENDER, S(""), S("") },
    { "a blank alone", S("FROM:< >"), PARSE_BAD_SENDER, S(""), S("") },
    { "two @", S("FROM:<a@b@c.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "no local part", S("FROM:<@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "no domain", S("FROM:<a@>"), PARSE_BAD_SENDER, S(""), S("") },
    { "no domain at all", S("FROM:<a>"), PARSE_BAD_SENDER, S(""), S("") },
    { "postmaster is no sender alone", S("FROM:<postmaster>"), PARSE_BAD_SENDER, S(""), S("") },
    { "an empty label", S("FROM:<a@b..test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a dot as a domain", S("FROM:<a@.>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a label with a hyphen in front", S("FROM:<a@-b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a comma", S("FROM:<a,b@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a comment", S("FROM:<a(x)@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "an open quote", S("FROM:<\"a@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "a quote that ends with a backslash", S("FROM:<\"a\\"), PARSE_BAD_SENDER, S(""), S("") },
    { "text behind a quote", S("FROM:<\"a\"b@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "nothing behind the colon", S("FROM:"), PARSE_BAD_SENDER, S(""), S("") },
    { "no colon", S("FROM"), PARSE_SYNTAX, S(""), S("") },
    { "no keyword", S("<a@b.test>"), PARSE_SYNTAX, S(""), S("") },
    { "the other keyword", S("TO:<a@b.test>"), PARSE_SYNTAX, S(""), S("") },
    { "nothing", S(""), PARSE_SYNTAX, S(""), S("") },
    { "a blank before the colon", S("FROM :<a@b.test>"), PARSE_SYNTAX, S(""), S("") },
    { "CR", S("FROM:<a\r@b.test>"), PARSE_SYNTAX, S(""), S("") },
    { "CR within quotes", S("FROM:<\"a\r\"@b.test>"), PARSE_SYNTAX, S(""), S("") },
    { "NUL", S("FROM:<a\0@b.test>"), PARSE_SYNTAX, S(""), S("") },
    { "a tab within quotes", S("FROM:<\"a\tb\"@b.test>"), PARSE_BAD_SENDER, S(""), S("") },
    { "DEL", S("FROM:<a\x7f@b.test>"), PARSE_SYNTAX, S(""), S("") },
    { "8 bit without SMTPUTF8", S("FROM:<\xc3\xa4@b.test>"), PARSE_UTF8_NEEDED, S(""), S("") },
    { "8 bit in the domain without SMTPUTF8", S("FROM:<a@b\xc3\xa4.test>"), PARSE_UTF8_NEEDED, S(""), S("") },
    { "latin-1 without SMTPUTF8", S("FROM:<a\xe4@b.test>"), PARSE_UTF8_NEEDED, S(""), S("") },
    { "UTF-8", S("FROM:<\xc3\xa4@b\xc3\xa4.test> SMTPUTF8"), PARSE_OK, S("\xc3\xa4@xn--b-0fa.test"),
      S("xn--b-0fa.test") },
    { "a decomposed local part is not touched", S("FROM:<a\xcc\x88@b.test> SMTPUTF8"), PARSE_OK,
      S("a\xcc\x88@b.test"), S("b.test") },
    { "UTF-8 within quotes", S("FROM:<\"\xc3\xa4 b\"@b.test> SMTPUTF8"), PARSE_OK, S("\"\xc3\xa4 b\"@b.test"),
      S("b.test") },
    { "not UTF-8", S("FROM:<\xff@b.test> SMTPUTF8"), PARSE_BAD_UTF8, S(""), S("") },
    { "overlong", S("FROM:<a\xc0\xaf@b.test> SMTPUTF8"), PARSE_BAD_UTF8, S(""), S("") },
    { "a surrogate", S("FROM:<a\xed\xa0\x80@b.test> SMTPUTF8"), PARSE_BAD_UTF8, S(""), S("") },
    { "truncated", S("FROM:<a\xe2\x82@b.test> SMTPUTF8"), PARSE_BAD_UTF8, S(""), S("") },
    { "a C1 control", S("FROM:<a\xc2\x85@b.test> SMTPUTF8"), PARSE_BAD_UTF8, S(""), S("") },
    { "a domain that is not UTF-8", S("FROM:<a@\xe4.test> SMTPUTF8"), PARSE_BAD_UTF8, S(""), S("") },
    { "a domain that IDNA refuses", S("FROM:<a@b\xe2\x80\xae.test> SMTPUTF8"), PARSE_BAD_UTF8, S(""), S("") },
    { "a full-width domain", S("FROM:<a@\xef\xbd\x82.test> SMTPUTF8"), PARSE_OK, S("a@b.test"), S("b.test") },
};

static void senders_are_read_by_grammar_and_written_anew(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sender_rows); i++) {
        const struct path_row *row = &sender_rows[i];
        struct envelope env = { 0 };
        struct arena a;
        enum parse_status got;

        arena_init(&a, 1 << 16);
        got = smtp_parse_mail(row->arg, &offer_all, &a, &env);
        if (got != row->want) {
            fail_msg("%s: status %d, not %d", row->label, (int)got, (int)row->want);
        }
        if (got == PARSE_OK) {
            REQUIRE(slice_eq(env.sender, row->sender), row->label);
            REQUIRE(slice_eq(env.sender_domain, row->domain), row->label);
            REQUIRE(env.sender_null == (row->sender.len == 0), row->label);
            REQUIRE(env.sender_null || slice_starts(env.sender, env.sender_local), row->label);
        }
        arena_fini(&a);
    }
}

/* ---- MAIL: parameters ---- */

struct mail_row {
    const char *label;
    const struct smtp_offer *offer;
    struct slice params;
    enum parse_status want;
};

static const struct mail_row mail_rows[] = {
    { "none", &offer_all, S(""), PARSE_OK },
    { "all of them", &offer_all, S(" SIZE=1 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>"), PARSE_OK },
    { "in lower case, with blanks", &offer_all, S("  size=1   body=7bit  smtputf8 ret=full "), PARSE_OK },
    { "SIZE of 0", &offer_all, S(" SIZE=0"), PARSE_OK },
    { "SIZE of 2^64-1", &offer_all, S(" SIZE=18446744073709551615"), PARSE_OK },
    { "SIZE of 2^64", &offer_all, S(" SIZE=18446744073709551616"), PARSE_BAD_PARAM },
    { "SIZE of 26 digits", &offer_all, S(" SIZE=00000000000000000000000001"), PARSE_BAD_PARAM },
    { "SIZE below 0", &offer_all, S(" SIZE=-1"), PARSE_BAD_PARAM },
    { "SIZE with a sign", &offer_all, S(" SIZE=+1"), PARSE_BAD_PARAM },
    { "SIZE in hexadecimal", &offer_all, S(" SIZE=0x10"), PARSE_BAD_PARAM },
    { "SIZE with a point", &offer_all, S(" SIZE=1.5"), PARSE_BAD_PARAM },
    { "SIZE of letters", &offer_all, S(" SIZE=abc"), PARSE_BAD_PARAM },
    { "SIZE of nothing", &offer_all, S(" SIZE="), PARSE_BAD_PARAM },
    { "SIZE without a value", &offer_all, S(" SIZE"), PARSE_BAD_PARAM },
    { "SIZE twice", &offer_all, S(" SIZE=1 SIZE=1"), PARSE_BAD_PARAM },
    { "SIZE twice in two cases", &offer_all, S(" SIZE=1 size=2"), PARSE_BAD_PARAM },
    { "BODY=BINARYMIME", &offer_all, S(" BODY=BINARYMIME"), PARSE_BAD_PARAM },
    { "BODY not offered", &offer_bare, S(" BODY=8BITMIME"), PARSE_UNKNOWN_PARAM },
    { "SMTPUTF8 not offered", &offer_bare, S(" SMTPUTF8"), PARSE_UNKNOWN_PARAM },
    { "SMTPUTF8 with a value", &offer_all, S(" SMTPUTF8=yes"), PARSE_BAD_PARAM },
    { "RET of something else", &offer_all, S(" RET=SOME"), PARSE_BAD_PARAM },
    { "AUTH of somebody", &offer_bare, S(" AUTH=a+40b.test"), PARSE_OK },
    { "an unknown one", &offer_all, S(" FOO=1"), PARSE_UNKNOWN_PARAM },
    { "an unknown one without a value", &offer_all, S(" REQUIRETLS"), PARSE_UNKNOWN_PARAM },
    { "one of RCPT", &offer_all, S(" NOTIFY=NEVER"), PARSE_UNKNOWN_PARAM },
    { "a longer keyword", &offer_all, S(" SIZEX=1"), PARSE_UNKNOWN_PARAM },
    { "RET twice", &offer_all, S(" RET=FULL RET=HDRS"), PARSE_BAD_PARAM },
    { "8 bit in a value", &offer_all, S(" BODY=\xc3\xa4"), PARSE_UTF8_NEEDED },
    { "8 bit in a keyword", &offer_all, S(" S\xc3\xa4=1"), PARSE_UTF8_NEEDED },
    { "two equal signs", &offer_all, S(" SIZE=1=1"), PARSE_BAD_PARAM },
    { "a keyword with an odd character", &offer_all, S(" SI_ZE=1"), PARSE_BAD_PARAM },
    { "a keyword that begins with a hyphen", &offer_all, S(" -SIZE=1"), PARSE_BAD_PARAM },
    { "no keyword", &offer_all, S(" =1"), PARSE_BAD_PARAM },
    { "any after HELO", &offer_helo, S(" SIZE=1"), PARSE_UNKNOWN_PARAM },
    { "AUTH after HELO", &offer_helo, S(" AUTH=<>"), PARSE_UNKNOWN_PARAM },
};

static void parameters_of_mail_are_known_offered_good_and_given_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mail_rows); i++) {
        const struct mail_row *row = &mail_rows[i];
        struct envelope env = { 0 };
        struct arena a;
        struct buf arg;
        enum parse_status got;

        arena_init(&a, 1 << 16);
        buf_init(&arg, 4096);
        buf_put_str(&arg, "FROM:<a@b.test>");
        buf_put_slice(&arg, row->params);
        got = smtp_parse_mail(buf_slice(&arg), row->offer, &a, &env);
        if (got != row->want) {
            fail_msg("%s: status %d, not %d", row->label, (int)got, (int)row->want);
        }
        buf_fini(&arg);
        arena_fini(&a);
    }
}

static void parameters_of_mail_end_up_in_the_envelope(void **state)
{
    struct envelope env = { 0 };
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 16);
    assert_int_equal(
        smtp_parse_mail(SLICE("FROM:<> SIZE=123 BODY=8bitmime RET=hdrs ENVID=x+2By"), &offer_all, &a, &env),
        PARSE_OK);
    assert_true(env.size_given);
    assert_int_equal(env.size, 123);
    assert_int_equal(env.body, BODY_8BITMIME);
    assert_int_equal(env.ret, RET_HDRS);
    assert_true(slice_eq(env.envid, SLICE("x+2By")));
    assert_false(env.smtputf8);
    arena_fini(&a);
}

static void a_full_arena_is_told(void **state)
{
    struct envelope env = { 0 };
    struct recipient to;
    struct arena a;

    (void)state;
    arena_init(&a, 4);
    assert_int_equal(smtp_parse_mail(SLICE("FROM:<abcdef@b.test>"), &offer_all, &a, &env), PARSE_NO_MEMORY);
    assert_int_equal(smtp_parse_rcpt(SLICE("TO:<abcdef@b.test>"), &offer_all, false, &a, &to),
                     PARSE_NO_MEMORY);
    arena_fini(&a);
}

/* ---- RCPT ---- */

struct rcpt_row {
    const char *label;
    struct slice arg;
    bool utf8;
    enum parse_status want;
    struct slice address, notify, orcpt;
};

#define BAD(label, arg)                                                                                      \
    {                                                                                                        \
        label, S(arg), false, PARSE_BAD_RECIPIENT, S(""), S(""), S("")                                       \
    }
#define BAD_PARAM(label, arg)                                                                                \
    {                                                                                                        \
        label, S("TO:<a@b.test> " arg), false, PARSE_BAD_PARAM, S(""), S(""), S("")                          \
    }
#define GOOD(label, arg, address)                                                                            \
    {                                                                                                        \
        label, S(arg), false, PARSE_OK, S(address), S(""), S("")                                             \
    }

static const struct rcpt_row rcpt_rows[] = {
    GOOD("an address", "TO:<a@B.test>", "a@b.test"),
    GOOD("a blank behind the colon", "to: <a@b.test>", "a@b.test"),
    GOOD("postmaster alone", "TO:<Postmaster>", "Postmaster"),
    GOOD("a source route", "TO:<@x.test,@y.test:bob@b.test>", "bob@b.test"),
    GOOD("RLY-04: the final domain is what counts", "TO:<@b.test:user@victim.test>", "user@victim.test"),
    GOOD("percent", "TO:<user%victim.test@b.test>", "user%victim.test@b.test"),
    GOOD("a literal", "TO:<user@[127.0.0.1]>", "user@[127.0.0.1]"),
    BAD("two @", "TO:<user@victim.test@b.test>"),
    BAD("nobody", "TO:<>"),
    BAD("no domain", "TO:<bob>"),
    BAD("an @ alone", "TO:<@>"),
    BAD("an empty domain", "TO:<bob@>"),
    BAD("a dot", "TO:<bob@.>"),
    BAD("an empty label", "TO:<bob@a..b>"),
    BAD("two @ side by side", "TO:<bob@@b.test>"),
    BAD("an empty literal", "TO:<user@[]>"),
    BAD("postmaster behind a route", "TO:<@x.test:postmaster>"),
    BAD("no brackets", "TO:a@b.test"),
    BAD("a parameter in the path", "TO:<a@b.test NOTIFY=NEVER>"),
    { "no colon", S("TO <a@b.test>"), false, PARSE_SYNTAX, S(""), S(""), S("") },
    { "8 bit", S("TO:<\xc3\xa4@b.test>"), false, PARSE_UTF8_NEEDED, S(""), S(""), S("") },
    { "8 bit with SMTPUTF8", S("TO:<\xc3\xa4@b.test>"), true, PARSE_OK, S("\xc3\xa4@b.test"), S(""), S("") },
    { "latin-1 with SMTPUTF8", S("TO:<\xe4@b.test>"), true, PARSE_BAD_UTF8, S(""), S(""), S("") },
    { "NOTIFY=NEVER", S("TO:<a@b.test> notify=never"), false, PARSE_OK, S("a@b.test"), S("NEVER"), S("") },
    { "NOTIFY of three", S("TO:<a@b.test> NOTIFY=Success,FAILURE,delay"), false, PARSE_OK, S("a@b.test"),
      S("SUCCESS,FAILURE,DELAY"), S("") },
    { "ORCPT", S("TO:<a@b.test> ORCPT=rfc822;A+2Bb@B.test"), false, PARSE_OK, S("a@b.test"), S(""),
      S("rfc822;A+2Bb@B.test") },
    { "ORCPT in UTF-8 as xtext", S("TO:<a@b.test> ORCPT=utf-8;\\x{E4}@b.test"), false, PARSE_OK,
      S("a@b.test"), S(""), S("utf-8;\\x{E4}@b.test") },
    { "ORCPT in raw UTF-8", S("TO:<a@b.test> ORCPT=utf-8;\xc3\xa4@b.test"), true, PARSE_OK, S("a@b.test"),
      S(""), S("utf-8;\xc3\xa4@b.test") },
    { "one of MAIL", S("TO:<a@b.test> SIZE=1"), false, PARSE_UNKNOWN_PARAM, S(""), S(""), S("") },
    { "an unknown one", S("TO:<a@b.test> RRVS=x"), false, PARSE_UNKNOWN_PARAM, S(""), S(""), S("") },
    BAD_PARAM("NEVER with another", "NOTIFY=NEVER,SUCCESS"),
    BAD_PARAM("an unknown word", "NOTIFY=SOMETIMES"),
    BAD_PARAM("ORCPT without a type", "ORCPT=a@b.test"),
    BAD_PARAM("NOTIFY twice", "NOTIFY=NEVER NOTIFY=NEVER"),
};

static void recipients_are_read_like_senders(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rcpt_rows); i++) {
        const struct rcpt_row *row = &rcpt_rows[i];
        struct recipient to;
        struct arena a;
        enum parse_status got;

        arena_init(&a, 1 << 16);
        got = smtp_parse_rcpt(row->arg, &offer_all, row->utf8, &a, &to);
        if (got != row->want) {
            fail_msg("%s: status %d, not %d", row->label, (int)got, (int)row->want);
        }
        if (got == PARSE_OK) {
            REQUIRE(slice_eq(to.address, row->address), row->label);
            REQUIRE(slice_eq(to.notify, row->notify), row->label);
            REQUIRE(slice_eq(to.orcpt, row->orcpt), row->label);
            REQUIRE(to.local.len + to.domain.len + (to.domain.len > 0) == to.address.len, row->label);
            REQUIRE(to.routed == (slice_find(row->arg, '@') == 4), row->label);
        }
        arena_fini(&a);
    }
}

/* ---- notifications: what is passed on of an odd one ---- */

struct odd_row {
    const char *label;
    const struct smtp_offer *offer;
    struct slice params;
    struct slice want; /* the values that are kept, with blanks between */
};

static const struct odd_row odd_mail_rows[] = {
    { "AUTH= of nothing", &offer_all, S("AUTH="), S("") },
    { "AUTH without a value", &offer_all, S("AUTH"), S("") },
    { "AUTH with an equal sign", &offer_all, S("AUTH=<a=b@c.test>"), S("") },
    { "ENVID as it must be", &offer_all, S("ENVID=QQ314159+2Bx"), S("QQ314159+2Bx") },
    { "ENVID of lower-case xtext", &offer_all, S("ENVID=a+2bc+C3+a4"), S("a+2Bc+C3+A4") },
    { "ENVID with an equal sign", &offer_all, S("ENVID=<id=1@b.test>"), S("<id+3D1@b.test>") },
    { "ENVID of 100", &offer_all, S("ENVID=" A64 A16 A16 "aaaa"), S(A64 A16 A16 "aaaa") },
    { "ENVID of 101", &offer_all, S("ENVID=" A64 A16 A16 "aaaaa"), S("") },
    { "ENVID of 98 with an equal sign", &offer_all, S("ENVID=" A64 A16 A16 "aa="), S("") },
    { "ENVID of bad xtext", &offer_all, S("ENVID=a+2"), S("") },
    { "ENVID of an 8-bit octet", &offer_all, S("ENVID=\xc3\xa4"), S("") },
    { "ENVID of nothing", &offer_all, S("ENVID="), S("") },
    { "ENVID that stands for a control", &offer_all, S("ENVID=a+0D+0AX"), S("") },
    { "ENVID that stands for DEL", &offer_all, S("ENVID=a+7f"), S("") },
    { "RET without a value", &offer_all, S("RET"), S("") },
    { "RET", &offer_all, S("RET=hdrs"), S("HDRS") },
    { "not offered", &offer_bare, S("RET=FULL ENVID=x"), S("") },
    { "not offered, after HELO", &offer_helo, S("RET=FULL ENVID=x"), S("") },
};

static const struct odd_row odd_rcpt_rows[] = {
    { "NOTIFY of nothing", &offer_all, S("NOTIFY="), S("") },
    { "NOTIFY without a value", &offer_all, S("NOTIFY"), S("") },
    { "a word twice", &offer_all, S("NOTIFY=success,SUCCESS"), S("SUCCESS") },
    { "commas at the ends", &offer_all, S("NOTIFY=,DELAY,"), S("DELAY") },
    { "ORCPT with an equal sign", &offer_all, S("ORCPT=rfc822;a=b@c.test"), S("rfc822;a+3Db@c.test") },
    { "ORCPT of lower-case xtext", &offer_all, S("ORCPT=rfc822;a+2bb@c.test"), S("rfc822;a+2Bb@c.test") },
    { "ORCPT with an empty type", &offer_all, S("ORCPT=;a@b.test"), S("") },
    { "ORCPT with an empty address", &offer_all, S("ORCPT=rfc822;"), S("") },
    { "ORCPT with bad xtext", &offer_all, S("ORCPT=rfc822;a+zz@b.test"), S("") },
    { "ORCPT with a bad type", &offer_all, S("ORCPT=rfc_822;a@b.test"), S("") },
    { "ORCPT of 500", &offer_all, S("ORCPT=x;" A64 A64 A64 A64 A64 A64 A64 A16 A16 A16 "aa"),
      S("x;" A64 A64 A64 A64 A64 A64 A64 A16 A16 A16 "aa") },
    { "ORCPT of 501", &offer_all, S("ORCPT=x;" A64 A64 A64 A64 A64 A64 A64 A16 A16 A16 "aaa"), S("") },
    { "ORCPT in raw UTF-8 of another type", &offer_all, S("ORCPT=rfc822;\xc3\xa4@b.test"), S("") },
    { "ORCPT in raw UTF-8", &offer_all, S("ORCPT=utf-8;\xc3\xa4@b.test"), S("utf-8;\xc3\xa4@b.test") },
    { "ORCPT of octets that are not UTF-8", &offer_all, S("ORCPT=utf-8;\xe4@b.test"), S("") },
    { "ORCPT of a C1 control", &offer_all, S("ORCPT=utf-8;\xc2\x85@b.test"), S("") },
    { "C6: ORCPT that stands for controls", &offer_all, S("ORCPT=rfc822;a+0D+0AX-Evil:+20yes"), S("") },
    { "C6: NUL", &offer_all, S("ORCPT=rfc822;a+00@b.test"), S("") },
    { "C6: SUCCESS of a stranger", &offer_stranger, S("NOTIFY=SUCCESS"), S("") },
    { "C6: SUCCESS of a stranger, with others", &offer_stranger, S("NOTIFY=DELAY,SUCCESS,FAILURE"),
      S("DELAY,FAILURE") },
    { "C6: NEVER of a stranger", &offer_stranger, S("NOTIFY=NEVER"), S("NEVER") },
    { "C6: not offered", &offer_bare, S("NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@b.test"), S("") },
};

static void put_words(struct buf *b, struct slice word)
{
    buf_put_str(b, b->len > 0 && word.len > 0 ? " " : "");
    buf_put_slice(b, word);
}

static void an_odd_notification_never_costs_the_mail(void **state)
{
    size_t mails = ARRAY_LEN(odd_mail_rows), all = mails + ARRAY_LEN(odd_rcpt_rows);

    (void)state;
    for (size_t i = 0; i < all; i++) {
        const struct odd_row *row = i < mails ? &odd_mail_rows[i] : &odd_rcpt_rows[i - mails];
        struct envelope env = { 0 };
        struct recipient to = { .utf8 = false };
        enum parse_status got;
        struct arena a;
        struct buf arg, kept;

        arena_init(&a, 1 << 16);
        buf_init(&arg, 4096);
        buf_init(&kept, 4096);
        buf_put_str(&arg, i < mails ? "FROM:<a@b.test> " : "TO:<a@b.test> ");
        buf_put_slice(&arg, row->params);
        got = i < mails ? smtp_parse_mail(buf_slice(&arg), row->offer, &a, &env)
                        : smtp_parse_rcpt(buf_slice(&arg), row->offer, true, &a, &to);
        put_words(&kept, env.ret == RET_FULL   ? SLICE("FULL")
                         : env.ret == RET_HDRS ? SLICE("HDRS")
                                               : SLICE(""));
        put_words(&kept, env.envid);
        put_words(&kept, to.notify);
        put_words(&kept, to.orcpt);
        if (got != PARSE_OK || !slice_eq(buf_slice(&kept), row->want)) {
            fail_msg("%s: status %d, kept `" SLICE_FMT "`", row->label, (int)got,
                     SLICE_ARG(buf_slice(&kept)));
        }
        buf_fini(&kept);
        buf_fini(&arg);
        arena_fini(&a);
    }
}

/* ---- the rest ---- */

static void verbs_are_the_first_word(void **state)
{
    struct slice arg;

    (void)state;
    assert_true(slice_eq(smtp_verb(SLICE("RCPT  TO:<x@y>  "), &arg), SLICE("RCPT")));
    assert_true(slice_eq(arg, SLICE("TO:<x@y>")));
    assert_true(slice_eq(smtp_verb(SLICE(" noop"), &arg), SLICE("noop")));
    assert_int_equal(arg.len, 0);
    assert_int_equal(smtp_verb(SLICE(""), &arg).len, 0);
    assert_int_equal(smtp_verb(SLICE(" \t "), &arg).len, 0);
}

static void helo_takes_one_word(void **state)
{
    bool junk;

    (void)state;
    assert_true(slice_eq(smtp_parse_helo(SLICE("a.test"), &junk), SLICE("a.test")));
    assert_false(junk);
    assert_true(slice_eq(smtp_parse_helo(SLICE("a.test x"), &junk), SLICE("a.test")));
    assert_true(junk);
    assert_int_equal(smtp_parse_helo(SLICE(""), &junk).len, 0);
    assert_false(junk);
}

struct bdat_row {
    struct slice arg;
    bool good, last;
    uint64_t count;
};

static const struct bdat_row bdat_rows[] = {
    { S("5"), true, false, 5 },         { S("5 LAST"), true, true, 5 },
    { S("5  last"), true, true, 5 },    { S("0 LAST"), true, true, 0 },
    { S("0"), true, false, 0 },         { S("18446744073709551615"), true, false, UINT64_MAX },
    { S(""), false, false, 0 },         { S("-1"), false, false, 0 },
    { S("+5"), false, false, 0 },       { S("0x10"), false, false, 0 },
    { S("1e3"), false, false, 0 },      { S("18446744073709551616"), false, false, 0 },
    { S("10 FIRST"), false, false, 0 }, { S("10 LAST LAST"), false, false, 0 },
    { S("LAST"), false, false, 0 },     { S("00000000000000000000000001"), false, false, 0 },
    { S("5LAST"), false, false, 0 },    { S("4294967296"), true, false, UINT64_C(1) << 32 },
};

static void bdat_counts_are_known_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bdat_rows); i++) {
        const struct bdat_row *row = &bdat_rows[i];
        uint64_t count;
        bool last, good = smtp_parse_bdat(row->arg, &count, &last);

        REQUIRE(good == row->good, row->arg.ptr);
        REQUIRE(!good || (count == row->count && last == row->last), row->arg.ptr);
    }
}

static void xtext_comes_back(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1024);
    for (int c = 0; c < 256; c++) {
        char octet = (char)c;

        buf_put_char(&b, 'x');
        xtext_put(&b, slice_of(&octet, 1));
    }
    assert_true(xtext_valid(buf_slice(&b)));
    buf_reset(&b);
    xtext_put(&b, SLICE("a+b=c d\xc3"));
    assert_true(slice_eq(buf_slice(&b), SLICE("a+2Bb+3Dc+20d+C3")));
    assert_true(xtext_valid(SLICE("")));
    assert_false(xtext_valid(SLICE("a+")));
    assert_false(xtext_valid(SLICE("a+4")));
    assert_false(xtext_valid(SLICE("a b")));
    assert_false(xtext_valid(SLICE("a=b")));
    buf_fini(&b);
}

static void local_parts_that_route_are_known(void **state)
{
    static const struct slice routes[] = { S("a%b.test"), S("b.test!a"),    S("|sh"),
                                           S("a|b"),      S("/etc/passwd"), S("\"a@b.test\""),
                                           S("\"/x\""),   S("\"\\/x\""),    S("\"|sh\"") };
    static const struct slice harmless[] = { S("a+b"),     S("o'brien"), S("x=y"), S("a/b"),
                                             S("\"a b\""), S(""),        S("\"") };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        REQUIRE(local_part_routes(routes[i]), routes[i].ptr);
    }
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
        REQUIRE(!local_part_routes(harmless[i]), harmless[i].ptr);
    }
}

static void local_parts_that_hold_an_address_are_known(void **state)
{
    static const struct slice inside[] = {
        S("IMCEASMTP-user+40evil+2Etest"),
        S("imceasmtp-x"),
        S("\"IMCEASMTP-x y\""),
        S("\"\\IMCEA\\SMTP-x\""),
        S("a\xef\xbc\xa0"
          "b.test"), /* U+FF20, a wide @ */
        S("a\xef\xbc\x85"
          "b.test"), /* U+FF05, a wide % */
        S("a\xef\xb9\xab"
          "b.test"), /* U+FE6B, a small @ */
        S("a\xef\xbd\x9c"
          "b"), /* U+FF5C, a wide | */
    };
    static const struct slice harmless[] = { S("IMCEAEX-_o=Org_ou=x_cn=Recipients_cn=bob"),
                                             S("IMCEASMTP"),
                                             S("x-IMCEASMTP-y"),
                                             S(""),
                                             S("\xc3\xa4"),
                                             S("\"IMCEAEX-x\""),
                                             S("bounce+user=evil.test"),
                                             S("\"") };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
        REQUIRE(local_part_encapsulates(inside[i]), inside[i].ptr);
    }
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
        REQUIRE(!local_part_encapsulates(harmless[i]), harmless[i].ptr);
    }
}

static void web_requests_are_no_mail(void **state)
{
    (void)state;
    assert_true(smtp_forbidden_verb(SLICE("GET")));
    assert_true(smtp_forbidden_verb(SLICE("post")));
    assert_true(smtp_forbidden_verb(SLICE("CONNECT")));
    assert_false(smtp_forbidden_verb(SLICE("EHLO")));
    assert_false(smtp_forbidden_verb(SLICE("")));
    assert_false(smtp_forbidden_verb(SLICE("GETS")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senders_are_read_by_grammar_and_written_anew),
        cmocka_unit_test(parameters_of_mail_are_known_offered_good_and_given_once),
        cmocka_unit_test(parameters_of_mail_end_up_in_the_envelope),
        cmocka_unit_test(a_full_arena_is_told),
        cmocka_unit_test(recipients_are_read_like_senders),
        { "A12, C6: an odd notification never costs the mail", an_odd_notification_never_costs_the_mail, NULL,
          NULL, NULL },
        cmocka_unit_test(verbs_are_the_first_word),
        cmocka_unit_test(helo_takes_one_word),
        cmocka_unit_test(bdat_counts_are_known_or_refused),
        cmocka_unit_test(xtext_comes_back),
        cmocka_unit_test(local_parts_that_route_are_known),
        { "C8: local parts that hold an address are known", local_parts_that_hold_an_address_are_known, NULL,
          NULL, NULL },
        cmocka_unit_test(web_requests_are_no_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
