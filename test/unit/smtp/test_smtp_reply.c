/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_smtp_reply.c - replies written, and the upstream's parsed, cut at every octet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"
#include "smtp/smtp_reply.h"

#define REQUIRE(cond, label)                                                                                 \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fail_msg("%s: %s", label, #cond);                                                                \
        }                                                                                                    \
    } while (0)

/* ---- writing ---- */

struct write_row {
    const char *label;
    struct reply reply;
    bool enhanced, utf8;
    struct slice suffix, want;
};

#define R(code, enhanced, text)                                                                              \
    {                                                                                                        \
        code, SLICE_INIT(enhanced), SLICE_INIT(text)                                                         \
    }
#define S(text) SLICE_INIT(text)

static const struct write_row write_rows[] = {
    { "one line", R(250, "2.0.0", "Ok"), true, false, S(""), S("250 2.0.0 Ok\r\n") },
    { "without an enhanced code", R(250, "2.0.0", "Ok"), false, false, S(""), S("250 Ok\r\n") },
    { "several lines", R(550, "5.1.1", "a\nb\nc"), true, false, S(""),
      S("550-5.1.1 a\r\n550-5.1.1 b\r\n550 5.1.1 c\r\n") },
    { "no enhanced code given", R(550, "", "no"), true, false, S(""), S("550 5.0.0 no\r\n") },
    { "an enhanced code of another class", R(550, "2.0.0", "no"), true, false, S(""), S("550 5.0.0 no\r\n") },
    { "354 never has one", R(354, "2.0.0", "go"), true, false, S(""), S("354 go\r\n") },
    { "no text", R(250, "", ""), false, false, S(""), S("250 Ok\r\n") },
    { "no text, refused", R(554, "5.7.1", ""), true, false, S(""), S("554 5.7.1 Refused\r\n") },
    { "controls and 8 bit",
      R(550, "",
        "a\rb\x1b\x07"
        "c\xc3\xa4\td\0e"),
      false, false, S(""), S("550 a?b??c?? d?e\r\n") },
    { "UTF-8 where it may be", R(550, "", "\xc3\xa4\xff\xe2\x82\xac"), false, true, S(""),
      S("550 \xc3\xa4?\xe2\x82\xac\r\n") },
    { "an id behind the last line", R(550, "5.7.1", "a\nb"), true, false, S(" [01J]"),
      S("550-5.7.1 a\r\n550 5.7.1 b [01J]\r\n") },
    { "an empty line among others", R(250, "", "a\n\nb"), false, false, S(""),
      S("250-a\r\n250-\r\n250 b\r\n") },
};

static void replies_are_written_with_codes_on_each_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(write_rows); i++) {
        const struct write_row *row = &write_rows[i];
        struct buf out;

        buf_init(&out, 4096);
        reply_write(&out, &row->reply, row->enhanced, row->utf8, row->suffix);
        REQUIRE(slice_eq(buf_slice(&out), row->want), row->label);
        buf_fini(&out);
    }
}

static void no_written_line_is_over_512_octets_and_no_reply_over_200_lines(void **state)
{
    struct buf text, out;
    struct slice rest;
    size_t lines = 0;

    (void)state;
    buf_init(&text, 1 << 20);
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < 300; i++) {
        for (size_t k = 0; k < 400; k++) {
            buf_put_str(&text, "\xe2\x82\xac");
        }
        buf_put_char(&text, '\n');
    }
    reply_write(&out, &(struct reply){ 550, SLICE("5.1.1"), buf_slice(&text) }, true, true, SLICE(" [ID]"));
    rest = buf_slice(&out);
    while (rest.len > 0) {
        struct slice line = slice_cut(&rest, '\n');

        assert_true(line.len + 1 <= REPLY_LINE_MAX);
        assert_true(slice_starts(line, rest.len > 0 ? SLICE("550-5.1.1 ") : SLICE("550 5.1.1 ")));
        assert_true(rest.len > 0 || slice_ends_nocase(line, SLICE(" [ID]\r")));
        lines++;
    }
    assert_int_equal(lines, REPLY_UPSTREAM_LINES);
    buf_fini(&text);
    buf_fini(&out);
}

static void every_reply_of_ours_is_well_formed(void **state)
{
    (void)state;
    for (size_t i = 0; i < REPLY_COUNT; i++) {
        const struct reply *r = &reply_table[i];

        assert_in_range(r->code, 200, 599);
        assert_true(r->text.len > 0 && r->text.len < 200);
        assert_true(slice_find(r->text, '\n') == r->text.len);
        assert_true(r->code / 100 == 3
                        ? r->enhanced.len == 0
                        : r->enhanced.len >= 5 && r->enhanced.ptr[0] == (char)('0' + r->code / 100));
    }
}

static void a_copy_outlives_its_source(void **state)
{
    char text[] = "later";
    struct reply r = { 451, SLICE("4.3.0"), slice_str(text) };
    struct reply *copy = reply_copy(&r);

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(copy->code, 451);
    assert_true(slice_eq(copy->enhanced, SLICE("4.3.0")));
    assert_true(slice_eq(copy->text, SLICE("later")));
    assert_true(reply_is(copy, 4));
    reply_free(&copy);
    assert_null(copy);
    reply_free(&copy);
}

/* ---- parsing ---- */

struct parse_row {
    const char *label;
    struct slice in;
    enum reply_status want;
    unsigned code;
    struct slice enhanced, text;
    size_t used; /* of what REPLY_DONE takes */
};

static const struct parse_row parse_rows[] = {
    { "one line", S("250 Ok\r\n"), REPLY_DONE, 250, S(""), S("Ok"), 8 },
    { "no text", S("250\r\n"), REPLY_DONE, 250, S(""), S(""), 5 },
    { "a blank and no text", S("250 \r\n"), REPLY_DONE, 250, S(""), S(""), 6 },
    { "an enhanced code", S("550 5.1.1 no such user\r\n"), REPLY_DONE, 550, S("5.1.1"), S("no such user"),
      24 },
    { "only an enhanced code", S("250 2.0.0\r\n"), REPLY_DONE, 250, S("2.0.0"), S(""), 11 },
    { "an enhanced code of another class", S("550 2.0.0 x\r\n"), REPLY_DONE, 550, S("2.0.0"), S("x"), 13 },
    { "what only looks like one", S("250 2.0.0.1 x\r\n"), REPLY_DONE, 250, S(""), S("2.0.0.1 x"), 15 },
    { "a subject of four digits", S("250 2.1000.0 x\r\n"), REPLY_DONE, 250, S(""), S("2.1000.0 x"), 16 },
    { "several lines", S("550-5.1.1 a\r\n550-5.1.1 b\r\n550 5.1.1 c\r\n"), REPLY_DONE, 550, S("5.1.1"),
      S("a\nb\nc"), 39 },
    { "the next reply is left", S("354 go\r\n250 early\r\n"), REPLY_DONE, 354, S(""), S("go"), 8 },
    { "LF alone", S("250-a\n250 b\n"), REPLY_DONE, 250, S(""), S("a\nb"), 12 },
    { "lines without text", S("250-\r\n250-\r\n250\r\n"), REPLY_DONE, 250, S(""), S("\n\n"), 17 },
    { "RPL-07: a raw CR", S("550 no\r250 yes\r\n"), REPLY_DONE, 550, S(""), S("no 250 yes"), 16 },
    { "controls",
      S("550 a\0b\x1b"
        "c\td\x7f\r\n"),
      REPLY_DONE, 550, S(""), S("a?b?c d?"), 14 },
    { "8 bit stays for the writer to judge", S("550 \xc3\xa4\r\n"), REPLY_DONE, 550, S(""), S("\xc3\xa4"),
      8 },
    { "571 and 432 are replies", S("571 x\r\n"), REPLY_DONE, 571, S(""), S("x"), 7 },
    { "not complete", S("250-a\r\n250"), REPLY_MORE, 0, S(""), S(""), 10 },
    { "nothing", S(""), REPLY_MORE, 0, S(""), S(""), 0 },
    { "no reply", S("this is no reply\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "two digits", S("25 ok\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "600", S("600 x\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "150", S("150 x\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "four digits", S("2500\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "letters in the code", S("2x0 ok\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "an empty line", S("\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "a blank in front", S(" 250 ok\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "NUL in front",
      S("\0"
        "250 ok\r\n"),
      REPLY_BAD, 0, S(""), S(""), 0 },
    { "a tab behind the code", S("250\tok\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "RPL-10: different codes", S("250-a\r\n550 b\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "different codes in the middle", S("250-a\r\n550-b\r\n250 c\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
    { "garbage in the middle", S("250-a\r\nhello\r\n250 c\r\n"), REPLY_BAD, 0, S(""), S(""), 0 },
};

static enum reply_status feed(struct reply_parser *p, struct slice in, size_t step, size_t *used,
                              struct reply *out)
{
    enum reply_status status = REPLY_MORE;

    *used = 0;
    for (size_t at = 0; at < in.len && status == REPLY_MORE; at += step) {
        struct slice piece = slice_take(slice_skip(in, at), step);
        char *exact = xmalloc(piece.len);
        size_t n;

        memcpy(exact, piece.ptr, piece.len);
        status = reply_parser_feed(p, slice_of(exact, piece.len), &n, out);
        *used += n;
        free(exact);
    }
    return status;
}

static void upstream_replies_are_parsed_strictly_however_they_are_cut(void **state)
{
    struct reply_parser p;

    (void)state;
    reply_parser_init(&p);
    for (size_t i = 0; i < ARRAY_LEN(parse_rows); i++) {
        const struct parse_row *row = &parse_rows[i];

        for (size_t step = 1; step <= row->in.len + 1; step++) {
            struct reply r;
            size_t used;

            reply_parser_reset(&p);
            REQUIRE(feed(&p, row->in, step, &used, &r) == row->want, row->label);
            REQUIRE(row->want == REPLY_BAD || used == row->used, row->label);
            if (row->want == REPLY_DONE) {
                REQUIRE(r.code == row->code, row->label);
                REQUIRE(slice_eq(r.enhanced, row->enhanced), row->label);
                REQUIRE(slice_eq(r.text, row->text), row->label);
            }
        }
    }
    reply_parser_fini(&p);
}

static void the_next_feed_begins_another_reply(void **state)
{
    struct reply_parser p;
    struct reply r;
    size_t used;
    struct slice in = SLICE("250-2.1.0 a\r\n250 b\r\n550 c\r\n");

    (void)state;
    reply_parser_init(&p);
    assert_int_equal(reply_parser_feed(&p, in, &used, &r), REPLY_DONE);
    assert_int_equal(reply_parser_feed(&p, slice_skip(in, used), &used, &r), REPLY_DONE);
    assert_int_equal(r.code, 550);
    assert_int_equal(r.enhanced.len, 0);
    assert_true(slice_eq(r.text, SLICE("c")));
    reply_parser_fini(&p);
}

/* `line` again and again until the parser has had enough; how many octets it took. */
static size_t flood(struct slice line, enum reply_status *status)
{
    struct reply_parser p;
    struct reply r;
    size_t total = 0, used;

    reply_parser_init(&p);
    do {
        *status = reply_parser_feed(&p, line, &used, &r);
        total += line.len;
    } while (*status == REPLY_MORE && total < 10 << 20);
    reply_parser_fini(&p);
    return total;
}

static void floods_are_cut_off(void **state)
{
    enum reply_status status;
    char big[2000];
    size_t total;

    (void)state;
    total = flood(SLICE("250-x\r\n"), &status);
    assert_int_equal(status, REPLY_BAD);
    assert_int_equal(total, 7 * REPLY_UPSTREAM_LINES);
    total = flood(SLICE("250 endless line "), &status);
    assert_int_equal(status, REPLY_BAD);
    assert_in_range(total, REPLY_UPSTREAM_LINE - 20, REPLY_UPSTREAM_LINE + 20);
    memset(big, 'x', sizeof(big));
    memcpy(big, "250-", 4);
    memcpy(big + sizeof(big) - 2, "\r\n", 2);
    total = flood(slice_of(big, sizeof(big)), &status);
    assert_int_equal(status, REPLY_BAD);
    assert_in_range(total, REPLY_UPSTREAM_BYTES, REPLY_UPSTREAM_BYTES + sizeof(big));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_written_with_codes_on_each_line),
        cmocka_unit_test(no_written_line_is_over_512_octets_and_no_reply_over_200_lines),
        cmocka_unit_test(every_reply_of_ours_is_well_formed),
        cmocka_unit_test(a_copy_outlives_its_source),
        cmocka_unit_test(upstream_replies_are_parsed_strictly_however_they_are_cut),
        cmocka_unit_test(the_next_feed_begins_another_reply),
        cmocka_unit_test(floods_are_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
