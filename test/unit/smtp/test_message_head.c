/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_message_head.c - what a header section says of its message (smtp/message_head.h, smtp/date.h).
 *
 * A row is a header section and what is read of it, as one line: From fields, addresses, domains ("+?": one cannot be
 * read), local part and domain of the only author, domains within display names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "smtp/date.h"
#include "smtp/message_head.h"

#define S(text) SLICE_INIT(text)

struct row {
    const char *label;
    struct slice head;
    const char *want;
};

static const struct row author_rows[] = {
    { "one author", S("From: Joe <Joe@A.Test>\r\n\r\n"), "1 1 a.test Joe@a.test [] " },
    { "no From", S("To: x@a.test\r\n\r\n"), "0 0  @ [] " },
    { "an empty From", S("From:\r\n\r\n"), "1 0  @ [] " },
    { "an empty group", S("From: undisclosed:;\r\n\r\n"), "1 0  @ [] " },
    { "a From in the body", S("To: x\r\n\r\nFrom: joe@a.test\r\n"), "0 0  @ [] " },
    { "two of one domain", S("From: a@a.test, b@A.test\r\n\r\n"), "1 2 a.test @ [] " },
    { "two domains in one field", S("From: a@a.test, b@b.test\r\n\r\n"), "1 2 a.test,b.test @ [] " },
    { "two fields", S("From: a@a.test\r\nX: y\r\nfrom: b@b.test\r\n\r\n"), "2 2 a.test,b.test @ [] " },
    { "two fields of one author", S("From: a@a.test\r\nFrom: a@a.test\r\n\r\n"), "2 2 a.test @ [] " },
    { "a name with odd octets", S("Fr\x01om: a@a.test\r\nFrom: b@b.test\r\n\r\n"),
      "2 2 a.test,b.test @ [] " },
    { "a group", S("From: Team: a@a.test, b@b.test;\r\n\r\n"), "1 2 a.test,b.test @ [] " },
    { "comments and folds", S("From: (x@c.test)\r\n joe (y) @ (z)\r\n\ta . test\r\n\r\n"),
      "1 1 a.test joe@a.test [c.test] " },
    { "U-labels", S("From: j@\xc3\xa4.test, k@XN--4ca.test\r\n\r\n"), "1 2 xn--4ca.test @ [] " },
    { "a literal is no name", S("From: joe@[192.0.2.1]\r\n\r\n"), "1 1 +? @ [] " },
    { "unreadable", S("From: joe@a.test@b.test\r\n\r\n"), "1 2 b.test+? @ [] " },
    { "an open quote", S("From: \"Joe <joe@a.test>\r\n\r\n"), "1 1 +? @ [] " },
    { "an address in the name", S("From: \"ceo@ours.test\" <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [ours.test] " },
    { "the same, encoded, in two words",
      S("From: =?utf-8?B?Y2VvQG91?=\r\n =?UTF-8?Q?rs=2Etest?= <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [ours.test] " },
    { "in Latin-1", S("From: =?iso-8859-1?Q?J=F6_ceo=40Ours.test?= <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [ours.test] " },
    { "in a charset that no one has", S("From: =?x-odd?Q?ceo=40ours.test?= <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [ours.test] " },
    { "in brackets and quotes", S("From: \"<'ceo@ours.test'>\" <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [ours.test] " },
    { "behind typographic quotes",
      S("From: \"\xe2\x80\x98"
        "ceo@ours.test\xe2\x80\x99\" <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [ours.test] " },
    { "with a full-width @", S("From: \"ceo\xef\xbc\xa0ours.test\" <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [ours.test] " },
    { "with a final dot", S("From: \"Write to ceo@ours.test.\" <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [ours.test] " },
    { "two of them", S("From: \"a@b.test, c@ours.test a@b.test\" <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [b.test,ours.test] " },
    { "an @ that is no address", S("From: \"you @ home, @ours.test, x@local\" <x@a.test>\r\n\r\n"),
      "1 1 a.test x@a.test [] " },
};

static void put_authors(const struct message_head *h, struct buf *out)
{
    buf_putf(out, "%u %u ", h->fields[HEAD_FROM], h->authors);
    buf_put_slice(out, buf_slice(&h->domains));
    buf_put_str(out, h->unreadable ? "+? " : " ");
    buf_put_slice(out, buf_slice(&h->local));
    buf_put_char(out, '@');
    buf_put_slice(out, buf_slice(&h->domain));
    buf_put_str(out, " [");
    buf_put_slice(out, buf_slice(&h->name_domains));
    buf_put_str(out, "] ");
}

static void the_authors_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(author_rows); i++) {
        struct message_head h;
        struct buf out;

        buf_init(&out, 1u << 16);
        message_head_read(&h, author_rows[i].head);
        put_authors(&h, &out);
        if (strcmp(out.ptr, author_rows[i].want) != 0) {
            fail_msg("%s: want %s\ngot %s", author_rows[i].label, author_rows[i].want, out.ptr);
        }
        message_head_fini(&h);
        buf_fini(&out);
    }
}

/* "f" list, "b" bulk, the counts above 0, and the id. */
static const struct row field_rows[] = {
    { "all fields once",
      S("Date: x\r\nFrom: a@a.test\r\nSender: a\r\nReply-To: b\r\nTo: c\r\nCc: d\r\nMessage-ID: <i@a>\r\n"
        "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"),
      "from=1 date=1 message-id=1 sender=1 reply-to=1 to=1 cc=1 subject=1 mime-version=1 content-type=1 "
      "<i@a>" },
    { "several", S("TO: a\r\nto : b\r\nSubject: s\r\n x\r\nsubject: t\r\n\r\nTo: c\r\n"),
      "to=2 subject=2 <>" },
    { "list fields", S("List-Id: <l.a.test>\r\n\r\n"), "list <>" },
    { "a list's address", S("list-post: x\r\n\r\n"), "list <>" },
    { "a way out", S("List-Unsubscribe: x\r\n\r\n"), "list <>" },
    { "other list fields", S("List-Help: x\r\nX-List-Id: y\r\n\r\n"), "<>" },
    { "precedence", S("Precedence: (x) BULK\r\n\r\n"), "bulk <>" },
    { "another precedence", S("Precedence: first-class\r\n\r\n"), "<>" },
    { "made by a machine", S("Auto-Submitted: auto-replied; x=y\r\n\r\n"), "bulk <>" },
    { "made by a person", S("Auto-Submitted: No (really)\r\n\r\n"), "<>" },
    { "an empty mark", S("Auto-Submitted:\r\nPrecedence: (open\r\n\r\n"), "<>" },
    { "hops", S("Received: a\r\nReceived: b\r\n c\r\nX-Received: d\r\n\r\n"), "received=2 <>" },
    { "an odd Message-ID", S("Message-ID: \r\n <a b\r\n\t\x01@\xc3\xa4>\r\n\r\n"),
      "message-id=1 <ab@\xc3\xa4>" },
    { "the first Message-ID", S("Message-ID: a\r\nMessage-ID: b\r\n\r\n"), "message-id=2 <a>" },
};

static void put_fields(const struct message_head *h, struct buf *out)
{
    for (unsigned i = 0; i < HEAD_FIELDS; i++) {
        if (h->fields[i] > 0) {
            buf_putf(out, "%s=%u ", head_field_name((enum head_field)i), h->fields[i]);
        }
    }
    if (h->received > 0) {
        buf_putf(out, "received=%u ", h->received);
    }
    buf_put_str(out, h->list ? "list " : "");
    buf_put_str(out, h->bulk ? "bulk " : "");
    buf_putf(out, "<" SLICE_FMT ">", SLICE_ARG(buf_slice(&h->id)));
}

static void the_other_fields_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(field_rows); i++) {
        struct message_head h;
        struct buf out;

        buf_init(&out, 1u << 16);
        message_head_read(&h, field_rows[i].head);
        put_fields(&h, &out);
        if (strcmp(out.ptr, field_rows[i].want) != 0) {
            fail_msg("%s: want %s\ngot %s", field_rows[i].label, field_rows[i].want, out.ptr);
        }
        message_head_fini(&h);
        buf_fini(&out);
    }
}

/* -1: no date. */
static const struct {
    struct slice value;
    int64_t want;
} date_rows[] = {
    { S(" Mon, 1 Dec 2025 10:00:00 +0000"), 1764583200 },
    { S("1 Dec 2025 10:00 +0000"), 1764583200 },
    { S("Mon, 01 dec 2025 11:30:00 +0130 (CET)"), 1764583200 },
    { S("Mon,\r\n 1 Dec\r\n\t2025 05:00:00 -0500"), 1764583200 },
    { S("Mon (x) , 1 (y (z)) Dec 25 10:00:00 GMT"), 1764583200 },
    { S("Fri, 1 Dec 125 10:00:00 Z"), 1764583200 },
    { S("1 Dec 2025 02:00:00 PST"), 1764583200 },
    { S("Thu, 1 Jan 70 00:00:00 UT"), 0 },
    { S("31 Dec 2016 23:59:60 +0000"), 1483228799 },
    { S("29 Feb 2024 00:00:00 +0000"), 1709164800 },
    { S("29 Feb 2023 00:00:00 +0000"), -1 },
    { S("31 Apr 2023 00:00:00 +0000"), -1 },
    { S("0 Apr 2023 00:00:00 +0000"), -1 },
    { S("1 Dec 2025 24:00:00 +0000"), -1 },
    { S("1 Dec 2025 10:00:00"), -1 },
    { S("1 Dec 2025 10:00:00 +000"), -1 },
    { S("1 Dec 2025 10:00:00 +0060"), -1 },
    { S("1 Dec 2025 10:00:00 XYZ"), -1 },
    { S("1 Dec 2025 10:00:00 +0000 x"), -1 },
    { S("1 Dec 2025 10:00:00 +0000 (x"), -1 },
    { S("1 Dec 99999 10:00:00 +0000"), -1 },
    { S("1 Dec 2 10:00:00 +0000"), -1 },
    { S("99999999999999999999 Dec 2025 10:00:00 +0000"), -1 },
    { S("Mon, 1 December 2025 10:00:00 +0000"), -1 },
    { S("2025-12-01T10:00:00Z"), -1 },
    { S(""), -1 },
};

static void dates_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(date_rows); i++) {
        int64_t got = 0;

        if (!date_parse(date_rows[i].value, &got)) {
            got = -1;
        }
        if (got != date_rows[i].want) {
            fail_msg("%.*s: got %lld", SLICE_ARG(date_rows[i].value), (long long)got);
        }
    }
}

static void repeat(struct buf *out, const char *part, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        buf_put_str(out, part);
    }
}

/* Whatever is there, the answer has a size, and the time for 256 KiB is short. */
static void hostile_sections_have_a_price(void **state)
{
    static const struct {
        const char *before, *part, *behind;
        size_t times;
        unsigned fields, authors;
        bool unreadable;
    } rows[] = {
        { "", "From: a@a.test\r\n", "", 60, 60, 60, false },
        { "", "From: a@a.test\r\n", "", 16000, 16000, 100, true },
        { "From: ", "a@a.test, ", "b@b.test\r\n", 25000, 1, 100, true },
        { "From: \"", "x@b.test ", "\" <a@a.test>\r\n", 7000, 1, 1, false },
        { "From: ", "=?utf-8?Q?x=40b.test?= ", "<a@a.test>\r\n", 3000, 1, 1, false },
        { "From: ", "(", "a@a.test\r\n", 65000, 1, 1, true },
        { "From: ", "\"", "\r\n", 65001, 1, 1, true },
        { "From: ", "<", "\r\n", 65000, 1, 1, true },
        { "", "From: \"a@\xc3\xa4.test b@\xc3\xa4.test\" <x@\xc3\xbc.test>\r\n", "", 1500, 1500, 100, true },
        { "From: \"", "a@\xc3\xa4 ", "\" <a@a.test>\r\n", 12000, 1, 1, false },
        { "From: ", "@", "\r\n", 65000, 1, 1, true },
        { "From: ", "a:", ";\r\n", 65000, 1, 0, false },
        { "From: ", "\r\n ", "a@a.test\r\n", 65000, 1, 1, false },
        { "", "a:\r\n", "", 64000, 0, 0, false },
        { "Date: ", "(x) ", "\r\n", 16000, 0, 0, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct message_head h;
        struct buf head;
        clock_t before;

        buf_init(&head, 1u << 20);
        buf_put_str(&head, rows[i].before);
        repeat(&head, rows[i].part, rows[i].times);
        buf_put_str(&head, rows[i].behind);
        before = clock();
        message_head_read(&h, buf_slice(&head));
        if (h.fields[HEAD_FROM] != rows[i].fields || h.authors != rows[i].authors ||
            h.unreadable != rows[i].unreadable) {
            fail_msg("row %zu: %u fields, %u authors, %d", i, h.fields[HEAD_FROM], h.authors, h.unreadable);
        }
        assert_true(clock() - before <
                    CLOCKS_PER_SEC / 2); /* a bound that sanitizers and a busy machine keep */
        assert_true(h.name_domain_count <= HEAD_NAME_DOMAINS_MAX && h.id.len <= HEAD_ID_MAX);
        message_head_fini(&h);
        buf_fini(&head);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_authors_are_read),
        cmocka_unit_test(the_other_fields_are_read),
        cmocka_unit_test(dates_are_read),
        cmocka_unit_test(hostile_sections_have_a_price),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
