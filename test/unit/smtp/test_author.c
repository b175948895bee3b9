/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_author.c - who a message says it is from.
 *
 * Each row is a header section; what is read is written as "local|domain" for each address, "!" for one that cannot
 * be read, and behind each its display name in parentheses, if it has one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/author.h"

struct row {
    const char *label;
    struct slice in; /* of one From field without its name, if it does not begin with a field */
    const char *want;
};

#define S(text) SLICE_INIT(text)

static const struct row rows[] = {
    { "a bare address", S("joe@a.test"), "joe|a.test" },
    { "an address in brackets", S("<joe@a.test>"), "joe|a.test" },
    { "a display name", S("Joe Doe <joe@a.test>"), "joe|a.test(Joe Doe)" },
    { "nothing between name and bracket", S("Joe<joe@a.test>"), "joe|a.test(Joe)" },
    { "a quoted name", S("\"Doe, Joe\" <joe@a.test>"), "joe|a.test(Doe, Joe)" },
    { "quoted pairs in a name", S("\"Joe \\\"J\\\" \\\\ <x@b.test>\" <joe@a.test>"),
      "joe|a.test(Joe \"J\" \\ <x@b.test>)" },
    { "words and quoted strings", S("Joe \"J\" Doe <joe@a.test>"), "joe|a.test(Joe J Doe)" },
    { "a dot in the name", S("Joe Q. Doe <joe@a.test>"), "joe|a.test(Joe Q. Doe)" },
    { "a folded field", S("Joe\r\n Doe\r\n\t<joe@a.test>\r\n"), "joe|a.test(Joe Doe)" },
    { "a comment for a name", S("joe@a.test (Joe Doe)"), "joe|a.test(Joe Doe)" },
    { "comments everywhere", S("(a) joe (b (c)) @ (d) a.test (e)"), "joe|a.test(a)" },
    { "an address in a comment", S("joe@a.test (x@b.test, <y@c.test>)"), "joe|a.test(x@b.test, <y@c.test>)" },
    { "quotes in a comment", S("(it's \"x) <joe@a.test>"), "joe|a.test(it's \"x)" },
    { "a parenthesis quoted in a comment", S("(a \\) b) <joe@a.test>"), "joe|a.test(a \\) b)" },
    { "blanks around dots and @", S("joe . doe @ a . test"), "joe.doe|a.test" },
    { "a fold within an address", S("joe@\r\n a.test"), "joe|a.test" },
    { "blanks in brackets", S("< joe @ a.test >"), "joe|a.test" },
    { "a comment within a domain", S("joe@a(c).test"), "joe|a.test" },
    { "a quoted local part", S("\"joe doe\"@a.test"), "joe doe|a.test" },
    { "quoted with brackets", S("<\"joe@b.test\"@a.test>"), "joe@b.test|a.test" },
    { "quoted words with dots", S("<joe.\"d oe\".x@a.test>"), "joe.d oe.x|a.test" },
    { "consecutive and final dots, as some carriers have", S("<joe..doe.@a.test>"), "joe..doe.|a.test" },
    { "a route", S("<@b.test,@c.test:joe@a.test>"), "joe|a.test" },
    { "a literal", S("joe@[192.0.2.1]"), "joe|[192.0.2.1]" },
    { "a final dot", S("joe@a.test."), "joe|a.test" },
    { "UTF-8", S("J\xc3\xb6 <j\xc3\xb6@\xc3\xa4.test>"), "j\xc3\xb6|\xc3\xa4.test(J\xc3\xb6)" },
    { "octets that are no UTF-8 in a name", S("J\xf6 <joe@a.test>"), "joe|a.test(J\xf6)" },
    { "all of atext", S("!#$%&'*+-/=?^_`{|}~x@a.test"), "!#$%&'*+-/=?^_`{|}~x|a.test" },
    { "two addresses", S("joe@a.test, Doe <doe@b.test>"), "joe|a.test doe|b.test(Doe)" },
    { "empty places in a list", S(", ,joe@a.test,,"), "joe|a.test" },
    { "semicolons between", S("joe@a.test; doe@b.test"), "joe|a.test doe|b.test" },
    { "a group", S("Team: joe@a.test, Doe <doe@b.test>;"), "joe|a.test doe|b.test(Doe)" },
    { "an empty group", S("Undisclosed recipients:;"), "" },
    { "groups and addresses", S("A:x@a.test;, y@b.test, \"B C\": z@c.test;"), "x|a.test y|b.test z|c.test" },
    { "a group without an end", S("Re: Joe <joe@a.test>"), "joe|a.test(Joe)" },
    { "an encoded name", S("=?utf-8?Q?J=C3=B6?= <joe@a.test>"), "joe|a.test(=?utf-8?Q?J=C3=B6?=)" },
    { "an address in an encoded name", S("=?utf-8?Q?x=40b.test?= <joe@a.test>"),
      "joe|a.test(=?utf-8?Q?x=40b.test?=)" },
    { "a raw address in an encoded name", S("=?utf-8?Q?x@b.test?= <joe@a.test>"),
      "joe|a.test(=?utf-8?Q?x@b.test?=)" },
    { "nonsense before an address", S("x@@b@ <joe@a.test>"), "! joe|a.test(b@)" },
    { "an address for a name", S("x@b.test <joe@a.test>"), "joe|a.test(x@b.test)" },
    { "a quoted address for a name", S("\"x@b.test\" <joe@a.test>"), "joe|a.test(x@b.test)" },
    { "an unquoted comma in the name", S("Doe, Joe <joe@a.test>"), "joe|a.test(Joe)" },
    { "brackets in the name", S("[EXT] Joe <joe@a.test>"), "joe|a.test([EXT] Joe)" },
    { "words and a bare address", S("Joe Doe joe@a.test"), "joe|a.test" },
    { "words behind", S("<joe@a.test> Joe Doe"), "joe|a.test" },
    { "no closing bracket", S("Joe <joe@a.test"), "joe|a.test(Joe)" },
    { "one bracket too many", S("Joe <joe@a.test>>"), "joe|a.test(Joe)" },
    { "no comma between two", S("joe@a.test doe@b.test"), "joe|a.test doe|b.test" },
    { "no comma between brackets", S("<joe@a.test> <doe@b.test>"), "joe|a.test doe|b.test" },
    { "no comma, and a name", S("<joe@a.test> Doe <doe@b.test>"), "joe|a.test doe|b.test" },
    { "no comma behind brackets", S("<joe@a.test> doe@b.test"), "joe|a.test doe|b.test" },
    { "empty", S(""), "" },
    { "only a name", S("Joe Doe"), "" },
    { "only a comment", S("(joe@a.test)"), "" },
    { "only an encoded address", S("=?utf-8?Q?joe=40a.test?="), "" },
    { "an encoded word that looks like an address", S("=?utf-8?Q?joe@a.test?="), "!" },
    { "an encoded local part", S("=?utf-8?Q?x=40b.test?=@a.test"), "!" },
    { "an encoded word within", S("<joe.=?utf-8?Q?x?=@a.test>"), "!" },
    { "two @", S("joe@a.test@b.test"), "! a.test|b.test" },
    { "two @ in brackets", S("<joe@a.test@b.test>"), "!" },
    { "no domain", S("<joe>"), "!" },
    { "nothing in brackets", S("<>"), "!" },
    { "no local part", S("@a.test"), "!" },
    { "an empty local part", S("\"\"@a.test"), "!" },
    { "an empty label", S("joe@a..test"), "!" },
    { "a comment in the place of a dot", S("joe@a(.)test"), "!" },
    { "a quoted domain", S("joe@\"a.test\""), "!" },
    { "a literal with a tail", S("joe@[192.0.2.1].a.test"), "!" },
    { "a blank in a local part in brackets", S("<joe doe@a.test>"), "!" },
    { "an odd octet in the domain", S("joe@a.test/b.test"), "!" },
    { "a control in the local part", S("<j\x01oe@a.test>"), "!" },
    { "an open comment", S("joe@a.test (x"), "!" },
    { "an open quote", S("\"Joe <joe@a.test>"), "!" },
    { "an open literal", S("joe@[192.0.2.1"), "!" },
    { "something unreadable among others", S("a@a.test, <b>, c@c.test"), "a|a.test ! c|c.test" },
};

static const struct row section_rows[] = {
    { "C5: the section ends at the empty line", S("A: b\r\n\r\nFrom: x@b.test\r\n"), "0:" },
    { "C5: and at a line that is no field", S("A: b\r\nHello\r\nFrom: x@b.test\r\n"), "0:" },
    { "C5: a continuation of nothing ends it", S(" x\r\nFrom: x@b.test\r\n\r\n"), "0:" },
    { "no field", S("\r\nbody\r\n"), "0:" },
    { "other fields", S("X-From: x@b.test\r\nFrom : joe@a.test\r\nSender: y@c.test\r\n\r\n"),
      "1: joe|a.test" },
    { "in another case, without a body", S("fROM:joe@a.test\r\n"), "1: joe|a.test" },
    { "a mailbox line is no field", S("From x@b.test Mon\r\nFrom: joe@a.test\r\n\r\n"), "1: joe|a.test" },
    { "two fields", S("From: joe@a.test\r\nTo: x\r\nFrom: <doe@b.test>\r\n\r\n"),
      "2: joe|a.test doe|b.test" },
    { "the second is empty", S("From: joe@a.test\r\nFrom:\r\n\r\n"), "2: joe|a.test" },
    { "From in a folded field", S("Subject: a\r\n From: x@b.test\r\nFrom: joe@a.test\r\n\r\n"),
      "1: joe|a.test" },
};

static void put_author(struct buf *out, const struct author *a)
{
    buf_put_str(out, out->len > 0 && out->ptr[out->len - 1] != '\0' ? " " : "");
    if (!a->readable) {
        buf_put_char(out, '!');
        return;
    }
    buf_put_slice(out, a->local);
    buf_put_char(out, '|');
    buf_put_slice(out, a->domain);
    if (!slice_empty(a->name)) {
        buf_putf(out, "(" SLICE_FMT ")", SLICE_ARG(a->name));
    }
}

static unsigned read_section(struct slice head, struct buf *out)
{
    struct author_reader r;
    struct author a;

    author_begin(&r, head);
    while (author_next(&r, &a)) {
        put_author(out, &a);
    }
    author_end(&r);
    return r.fields;
}

static void c5_author_fields_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf head, out;

        buf_init(&head, 10000);
        buf_init(&out, 10000);
        buf_put_str(&head, "From: ");
        buf_put_slice(&head, rows[i].in);
        buf_put_str(&head, "\r\n\r\nbody\r\n");
        buf_put_str(&out, "");
        assert_int_equal(read_section(buf_slice(&head), &out), 1);
        if (!slice_eq(buf_slice(&out), slice_str(rows[i].want))) {
            fail_msg("%s: \"" SLICE_FMT "\", not \"%s\"", rows[i].label, SLICE_ARG(buf_slice(&out)),
                     rows[i].want);
        }
        buf_fini(&head);
        buf_fini(&out);
    }
}

static void c5_only_the_header_section_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(section_rows); i++) {
        struct buf out, all;
        unsigned fields;

        buf_init(&out, 10000);
        buf_init(&all, 10000);
        fields = read_section(section_rows[i].in, &out);
        buf_putf(&all, "%u:%s" SLICE_FMT, fields, out.len > 0 ? " " : "", SLICE_ARG(buf_slice(&out)));
        if (!slice_eq(buf_slice(&all), slice_str(section_rows[i].want))) {
            fail_msg("%s: \"%s\", not \"%s\"", section_rows[i].label, all.ptr, section_rows[i].want);
        }
        buf_fini(&out);
        buf_fini(&all);
    }
}

static void c5_ten_thousand_addresses_take_linear_time(void **state)
{
    static const char *const texts[] = { "a@b.test,", "a@b.test ", "<",  "(",           "a.",
                                         "a@",        "\"",        "\\", "<a@b.test> ", "[" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct author_reader r;
        struct author a;
        struct buf head;
        size_t n = 0;

        buf_init(&head, 4 << 20);
        buf_put_str(&head, "From: ");
        while (head.len < 1 << 20) {
            buf_put_str(&head, texts[i]);
        }
        buf_put_str(&head, "\r\n\r\n");
        author_begin(&r, buf_slice(&head));
        while (author_next(&r, &a)) {
            n++;
        }
        assert_true(n <= head.len / 2);
        author_end(&r);
        buf_fini(&head);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c5_author_fields_are_read),
        cmocka_unit_test(c5_only_the_header_section_is_read),
        cmocka_unit_test(c5_ten_thousand_addresses_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
