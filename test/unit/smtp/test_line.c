/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_line.c - command lines, and message octets cut at every place.
 *
 * Every input of the tables is fed whole, octet by octet, and in two pieces cut at each octet; output, counts
 * and end must be the same each time.  A slow and simple model of the contract checks random inputs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"
#include "smtp/line.h"
#include "smtp/scan.h"

#define REQUIRE(cond, label)                                                                                 \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fail_msg("%s: %s", label, #cond);                                                                \
        }                                                                                                    \
    } while (0)

/* ---- command lines ---- */

struct line_row {
    const char *label;
    struct slice in;
    enum line_status want;
    struct slice line;
    size_t used;
};

static const struct line_row line_rows[] = {
    { "a line and more", SLICE_INIT("NOOP\r\nRSET\r\n"), LINE_READY, SLICE_INIT("NOOP"), 6 },
    { "an empty line", SLICE_INIT("\r\n"), LINE_READY, SLICE_INIT(""), 2 },
    { "half a line", SLICE_INIT("NOO"), LINE_MORE, SLICE_INIT(""), 0 },
    { "only the CR is there", SLICE_INIT("NOOP\r"), LINE_MORE, SLICE_INIT(""), 0 },
    { "nothing", SLICE_INIT(""), LINE_MORE, SLICE_INIT(""), 0 },
    { "a bare LF", SLICE_INIT("NOOP\nNOOP\r\n"), LINE_BARE_LF, SLICE_INIT(""), 5 },
    { "a bare LF first", SLICE_INIT("\nNOOP\r\n"), LINE_BARE_LF, SLICE_INIT(""), 1 },
    { "a bare CR within", SLICE_INIT("MAIL\rRCPT\r\n"), LINE_BAD_OCTET, SLICE_INIT("MAIL\rRCPT"), 11 },
    { "two CR", SLICE_INIT("NOOP\r\r\n"), LINE_BAD_OCTET, SLICE_INIT("NOOP\r"), 7 },
    { "NUL within", SLICE_INIT("NO\0OP\r\n"), LINE_BAD_OCTET, SLICE_INIT("NO\0OP"), 7 },
};

static void command_lines_end_with_crlf_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(line_rows); i++) {
        const struct line_row *row = &line_rows[i];
        bool skipping = false;
        struct slice line;
        size_t used;

        REQUIRE(line_next(row->in, &skipping, &line, &used) == row->want, row->label);
        REQUIRE(used == row->used, row->label);
        REQUIRE(slice_eq(line, row->line), row->label);
        REQUIRE(!skipping, row->label);
    }
}

/* Feeds `text` with at most `step` new octets a time; statuses as letters, lines in parentheses. */
static void play_lines(struct slice text, size_t step, struct buf *out)
{
    static const char letter[] = "MRTLB";
    struct buf in;
    bool skipping = false;

    buf_init(&in, 1 << 20);
    for (size_t at = 0; at < text.len; at += step) {
        struct slice line;
        enum line_status status;
        size_t used;

        buf_put_slice(&in, slice_take(slice_skip(text, at), step));
        do {
            status = line_next(buf_slice(&in), &skipping, &line, &used);
            if (status != LINE_MORE) {
                buf_put_char(out, letter[status]);
            }
            if (status == LINE_READY || status == LINE_BAD_OCTET) {
                buf_putf(out, "(" SLICE_FMT ")", SLICE_ARG(line));
            }
            buf_drop(&in, used);
        } while (status != LINE_MORE || (used > 0 && in.len > 0));
    }
    buf_put_str(out, in.len > 0 ? "+" : "");
    buf_fini(&in);
}

static void a_too_long_line_is_one_event_and_its_tail_no_command(void **state)
{
    struct buf text, want, got;

    (void)state;
    buf_init(&text, 1 << 20);
    buf_init(&want, 1 << 20);
    buf_init(&got, 1 << 20);
    for (size_t n = LINE_MAX_OCTETS - 3; n < LINE_MAX_OCTETS + 3; n++) {
        buf_reset(&text);
        for (size_t i = 0; i < n; i++) {
            buf_put_char(&text, 'a');
        }
        buf_put_str(&text, "\r\nRCPT\nb\rc\r\nNOOP\r\nHA");
        buf_reset(&want);
        play_lines(buf_slice(&text), text.len, &want);
        if (n + 2 > LINE_MAX_OCTETS) {
            assert_int_equal(want.ptr[0], 'T');
            assert_int_equal(want.ptr[1], 'L');
        }
        for (size_t step = 1; step < 80; step++) {
            buf_reset(&got);
            play_lines(buf_slice(&text), step, &got);
            assert_string_equal(got.ptr, want.ptr);
        }
    }
    buf_reset(&text);
    for (size_t i = 0; i < 100000; i++) {
        buf_put_char(&text, i % 997 == 0 ? '\n' : i % 991 == 0 ? '\r' : i < 3000 ? 'x' : 'Q');
    }
    memset(text.ptr, 'x', 3000);
    buf_put_str(&text, "\r\nNOOP\r\n");
    buf_reset(&got);
    play_lines(buf_slice(&text), 1460, &got);
    assert_string_equal(got.ptr, "TR(NOOP)");
    buf_fini(&text);
    buf_fini(&want);
    buf_fini(&got);
}

/* ---- message octets ---- */

struct result {
    struct buf out;
    struct body_reader r;
    bool ended;
    size_t used;
};

static bool on_put(void *arg, const void *data, size_t len)
{
    struct result *res = arg;

    buf_put(&res->out, data, len);
    return true;
}

static void result_init(struct result *res, enum body_mode mode, bool normalize)
{
    *res = (struct result){ 0 };
    buf_init(&res->out, 4 << 20);
    buf_put(&res->out, "", 0);
    body_reader_init(&res->r, mode, normalize);
}

/* A copy of its own for each piece, so that the sanitizer sees reads over its ends. */
static void feed_piece(struct result *res, struct slice piece)
{
    char *mem = slice_dup(piece);
    char *exact = xmalloc(piece.len + (piece.len == 0));
    size_t used;

    memcpy(exact, mem, piece.len);
    free(mem);
    body_reader_feed(&res->r, slice_of(exact, piece.len), on_put, res, &used, &res->ended);
    res->used += used;
    free(exact);
}

static void feed_cut(struct result *res, struct slice in, size_t cut)
{
    feed_piece(res, slice_take(in, cut));
    if (!res->ended) {
        feed_piece(res, slice_skip(in, cut));
    }
    if (res->r.mode == BODY_BDAT) {
        body_reader_finish(&res->r, on_put, res);
    }
}

static void feed_octets(struct result *res, struct slice in)
{
    for (size_t i = 0; i < in.len && !res->ended; i++) {
        feed_piece(res, slice_of(in.ptr + i, 1));
    }
    if (res->r.mode == BODY_BDAT) {
        body_reader_finish(&res->r, on_put, res);
    }
}

static bool same(const struct result *a, const struct result *b)
{
    const struct body_counts *x = &a->r.n, *y = &b->r.n;

    return slice_eq(buf_slice(&a->out), buf_slice(&b->out)) && a->ended == b->ended && a->used == b->used &&
           x->taken == y->taken && x->octets == y->octets && x->bare_lf == y->bare_lf &&
           x->bare_cr == y->bare_cr && x->nul == y->nul && x->smuggling == y->smuggling &&
           x->eight_bit == y->eight_bit && a->r.head.eight_bit == b->r.head.eight_bit &&
           a->r.head.ended == b->r.head.ended && a->r.head.octets == b->r.head.octets &&
           a->r.head.received == b->r.head.received;
}

static bool only_crlf(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\n' && (i == 0 || s.ptr[i - 1] != '\r')) {
            return false;
        }
        if (s.ptr[i] == '\r' && (i + 1 == s.len || s.ptr[i + 1] != '\n')) {
            return false;
        }
    }
    return true;
}

/* All cuts give what the whole gives; that is left in *whole. */
static void feed_every_cut(struct slice in, enum body_mode mode, bool normalize, const char *label,
                           struct result *whole)
{
    result_init(whole, mode, normalize);
    feed_cut(whole, in, in.len);
    REQUIRE(!normalize || only_crlf(buf_slice(&whole->out)), label);
    REQUIRE(whole->r.n.octets == whole->out.len, label);
    for (size_t cut = 0; cut < in.len; cut++) {
        struct result part;

        result_init(&part, mode, normalize);
        feed_cut(&part, in, cut);
        REQUIRE(same(whole, &part), label);
        buf_fini(&part.out);
    }
    struct result single;
    result_init(&single, mode, normalize);
    feed_octets(&single, in);
    REQUIRE(same(whole, &single), label);
    buf_fini(&single.out);
}

static void feed_all_ways(struct slice in, enum body_mode mode, const char *label, struct result *whole)
{
    feed_every_cut(in, mode, true, label, whole);
}

struct body_row {
    const char *label;
    enum body_mode mode;
    struct slice in, want;
    bool ended;
    unsigned bare_lf, bare_cr, nul, smuggling;
};

#define S(text) SLICE_INIT(text) /* a row stays readable */

static const struct body_row body_rows[] = {
    { "a clean message", BODY_DATA, S("A: b\r\n\r\nx\r\n.\r\nQUIT\r\n"), S("A: b\r\n\r\nx\r\n"), true, 0, 0,
      0, 0 },
    { "the end right at the beginning", BODY_DATA, S(".\r\nNOOP\r\n"), S(""), true, 0, 0, 0, 0 },
    { "dots are taken from the front of lines", BODY_DATA, S("..\r\n...\r\n..x\r\nx.\r\n.\r\n"),
      S(".\r\n..\r\n.x\r\nx.\r\n"), true, 0, 0, 0, 0 },
    { "one dot before text is dropped", BODY_DATA, S(".x\r\n.\r\n"), S("x\r\n"), true, 0, 0, 0, 0 },
    { "dots stay in BDAT", BODY_BDAT, S("..\r\n.\r\nx\r\n"), S("..\r\n.\r\nx\r\n"), false, 0, 0, 0, 0 },
    { "BDAT without a final line end", BODY_BDAT, S("a\r\nb"), S("a\r\nb\r\n"), false, 0, 0, 0, 0 },
    { "BDAT that ends with CR", BODY_BDAT, S("a\r\nb\r"), S("a\r\nb\r\n"), false, 0, 1, 0, 0 },
    { "BDAT that ends with CRs", BODY_BDAT, S("a\r\nb\r\r"), S("a\r\nb\r\n"), false, 0, 2, 0, 0 },
    { "BDAT that ends with a CR on its own line", BODY_BDAT, S("a\r\n\r"), S("a\r\n\r\n"), false, 0, 1, 0,
      0 },
    { "BDAT with an end of data in it", BODY_BDAT, S("a\r\n.\r\nMAIL\r\n"), S("a\r\n.\r\nMAIL\r\n"), false, 0,
      0, 0, 0 },
    { "BDAT with bare LF", BODY_BDAT, S("a\nb\n.\nc"), S("a\r\nb\r\n.\r\nc\r\n"), false, 3, 0, 0, 0 },
    { "BDAT that ends with a bare LF", BODY_BDAT, S("a\n"), S("a\r\n"), false, 1, 0, 0, 0 },
    { "BDAT keeps dots behind every line end", BODY_BDAT, S("a\n.b\r\r\n.c\r.d\r\n"),
      S("a\r\n.b\r\n.c .d\r\n"), false, 1, 2, 0, 0 },
    { "an empty BDAT", BODY_BDAT, S(""), S(""), false, 0, 0, 0, 0 },
    { "an open message", BODY_DATA, S("a\r\n."), S("a\r\n"), false, 0, 0, 0, 0 },
    { "A1: CR CR LF is one line end", BODY_BDAT, S("Subject: a\r\r\nFrom: b@b.test\r\n\r\nbody\r\n"),
      S("Subject: a\r\nFrom: b@b.test\r\n\r\nbody\r\n"), false, 0, 1, 0, 0 },
    { "A1: so are more CRs", BODY_DATA, S("a\r\r\r\r\nb\r\n.\r\n"), S("a\r\nb\r\n"), true, 0, 3, 0, 0 },
    { "A1: CR CR LF CR LF is a line end and an empty line", BODY_DATA, S("a\r\r\n\r\nb\r\n.\r\n"),
      S("a\r\n\r\nb\r\n"), true, 0, 1, 0, 0 },
    { "A1: every line ends with CR CR LF, the empty one too", BODY_BDAT, S("a: b\r\r\n\r\r\nc\r\r\n"),
      S("a: b\r\n\r\nc\r\n"), false, 0, 3, 0, 0 },
    { "A1: another CR is a blank", BODY_DATA, S("a\rb\r\r\rc\r\n\rd\r \r\n.\r\n"), S("a b   c\r\n d  \r\n"),
      true, 0, 6, 0, 0 },
    { "A1: a CR before the empty line is a blank or part of a line end", BODY_DATA,
      S("a: b\r \r\n\r\nc\r\n.\r\n"), S("a: b  \r\n\r\nc\r\n"), true, 0, 1, 0, 0 },
    { "A1: a CR before the final dot", BODY_DATA, S("a\r\r\n.\r\n"), S("a\r\n"), true, 0, 1, 0, 0 },
    { "A1: a CR in front of the final dot makes it content", BODY_DATA, S("a\r\n\r.\r\nb\r\n.\r\n"),
      S("a\r\n .\r\nb\r\n"), true, 0, 1, 0, 1 },
    { "A23: a dot behind a bare LF is dropped", BODY_DATA, S("a\n.b\n..\n..c\r\n.\r\n"),
      S("a\r\nb\r\n.\r\n.c\r\n"), true, 3, 0, 0, 0 },
    { "A23: a dot behind CR CR LF is dropped", BODY_DATA, S("a\r\r\n..b\r\r\n.c\r\n.\r\n"),
      S("a\r\n.b\r\nc\r\n"), true, 0, 2, 0, 0 },
    { "A23: a dot behind a bare CR is text", BODY_DATA, S("a\r..b\r\n.\r\n"), S("a ..b\r\n"), true, 0, 1, 0,
      0 },
    { "a lone dot that ends nothing is content", BODY_DATA, S("a\n.\nb\r\n.\nc\n.\r\nd\r\n.\r\r\ne\r\n.\r\n"),
      S("a\r\n.\r\nb\r\n.\r\nc\r\n.\r\nd\r\n.\r\ne\r\n"), true, 4, 1, 0, 4 },
    { "DAT-10", BODY_DATA, S("a\n.\nMAIL\r\n.\r\n"), S("a\r\n.\r\nMAIL\r\n"), true, 2, 0, 0, 1 },
    { "DAT-11", BODY_DATA, S("a\n.\r\nMAIL\r\n.\r\n"), S("a\r\n.\r\nMAIL\r\n"), true, 1, 0, 0, 1 },
    { "DAT-12", BODY_DATA, S("a\r\n.\nMAIL\r\n.\r\n"), S("a\r\n.\r\nMAIL\r\n"), true, 1, 0, 0, 1 },
    { "DAT-13", BODY_DATA, S("a\r.\rMAIL\r\n.\r\n"), S("a . MAIL\r\n"), true, 0, 2, 0, 1 },
    { "DAT-14", BODY_DATA, S("a\r.\r\nMAIL\r\n.\r\n"), S("a .\r\nMAIL\r\n"), true, 0, 1, 0, 1 },
    { "DAT-15", BODY_DATA, S("a\r.\nMAIL\r\n.\r\n"), S("a .\r\nMAIL\r\n"), true, 1, 1, 0, 1 },
    { "DAT-16", BODY_DATA, S("a\n.\rMAIL\r\n.\r\n"), S("a\r\n MAIL\r\n"), true, 1, 1, 0, 1 },
    { "DAT-17", BODY_DATA, S("a\r\n.\rMAIL\r\n.\r\n"), S("a\r\n MAIL\r\n"), true, 0, 1, 0, 1 },
    { "DAT-18", BODY_DATA, S("a\r\n\0.\r\nMAIL\r\n.\r\n"), S("a\r\n\0.\r\nMAIL\r\n"), true, 0, 0, 1, 1 },
    { "DAT-19", BODY_DATA, S("a\r\n.\0\r\nMAIL\r\n.\r\n"), S("a\r\n\0\r\nMAIL\r\n"), true, 0, 0, 1, 1 },
    { "DAT-20", BODY_DATA, S("a\r\r\n.\r\r\nMAIL\r\n.\r\n"), S("a\r\n.\r\nMAIL\r\n"), true, 0, 2, 0, 1 },
    { "DAT-21", BODY_DATA, S("a\r\n.\r\r\nMAIL\r\n.\r\n"), S("a\r\n.\r\nMAIL\r\n"), true, 0, 1, 0, 1 },
    { "DAT-22", BODY_DATA, S("a\r\n. \r\nMAIL\r\n.\r\n"), S("a\r\n \r\nMAIL\r\n"), true, 0, 0, 0, 1 },
    { "DAT-23 with LF", BODY_DATA, S("a\n\n.\n\nMAIL\r\n.\r\n"), S("a\r\n\r\n.\r\n\r\nMAIL\r\n"), true, 4, 0,
      0, 1 },
    { "DAT-23 with CR", BODY_DATA, S("a\r\r.\r\rMAIL\r\n.\r\n"), S("a  .  MAIL\r\n"), true, 0, 4, 0, 1 },
    { "DAT-24 NEL", BODY_DATA, S("a\x85.\x85MAIL\r\n.\x85\r\n.\r\n"), S("a\x85.\x85MAIL\r\n\x85\r\n"), true,
      0, 0, 0, 0 },
    { "DAT-24 VT and FF", BODY_DATA, S("a\v.\vb\f.\fc\r\n.\r\n"), S("a\v.\vb\f.\fc\r\n"), true, 0, 0, 0, 0 },
    { "DAT-25: a dot, a CR and CRLF", BODY_DATA, S(".\r\r\n.\r\n"), S(".\r\n"), true, 0, 1, 0, 1 },
    { "an end behind a bare LF is none", BODY_DATA, S("\n.\r\n.\r\n"), S("\r\n.\r\n"), true, 1, 0, 0, 1 },
    { "an end behind a bare CR is none", BODY_DATA, S("x\r.\r\n.\r\n"), S("x .\r\n"), true, 0, 1, 0, 1 },
    { "a stuffed dot line is no attempt", BODY_DATA, S("..\r\n.\r\n"), S(".\r\n"), true, 0, 0, 0, 0 },
    { "NUL within a line", BODY_DATA, S("a\0b\r\n.\r\n"), S("a\0b\r\n"), true, 0, 0, 1, 0 },
    { "text behind a dot and NUL", BODY_DATA, S(".\0x\r\n.\r\n"), S("\0x\r\n"), true, 0, 0, 1, 0 },
};

static void message_octets_come_out_with_crlf_only_and_are_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(body_rows); i++) {
        const struct body_row *row = &body_rows[i];
        struct result res;

        feed_all_ways(row->in, row->mode, row->label, &res);
        REQUIRE(slice_eq(buf_slice(&res.out), row->want), row->label);
        REQUIRE(res.ended == row->ended, row->label);
        REQUIRE(res.r.n.bare_lf == row->bare_lf, row->label);
        REQUIRE(res.r.n.bare_cr == row->bare_cr, row->label);
        REQUIRE(res.r.n.nul == row->nul, row->label);
        REQUIRE(res.r.n.smuggling == row->smuggling, row->label);
        if (row->ended) {
            REQUIRE(slice_ends_nocase(slice_take(row->in, res.used), SLICE(".\r\n")), row->label);
        }
        buf_fini(&res.out);
    }
}

struct refused_row {
    const char *label;
    enum body_mode mode;
    struct slice in, want; /* what was put before the first bare newline */
    size_t used;           /* where the content ends */
    bool ended, lenient;
};

static const struct refused_row refused_rows[] = {
    { "A14: CRLF.CRLF", BODY_DATA, S("a\r\nb\nc\r\n.\r\nQUIT\r\n"), S("a\r\nb"), 11, true, false },
    { "A14: LF.LF", BODY_DATA, S("a\nb\n.\nMAIL\r\n"), S("a"), 6, true, true },
    { "A14: LF.CRLF", BODY_DATA, S("a\nb\n.\r\nMAIL\r\n"), S("a"), 7, true, true },
    { "A14: CRLF.LF, the first LF of all", BODY_DATA, S("a\r\nb\r\n.\nMAIL\r\n"), S("a\r\nb\r\n."), 8, true,
      true },
    { "A14: CR.CR", BODY_DATA, S("a\rb\r.\rMAIL\r\n"), S("a"), 6, true, true },
    { "A14: CRLF.CR", BODY_DATA, S("a\r\n.\rMAIL\r\n"), S("a\r\n"), 6, true, true },
    { "A14: CRLF.CRCRLF", BODY_DATA, S("a\r\n.\r\r\nMAIL\r\n"), S("a\r\n."), 7, true, true },
    { "A14: a stuffed dot is none", BODY_DATA, S("a\n..\nb\n.c\n"), S("a"), 10, false, false },
    { "A14: a dot and a blank is none", BODY_DATA, S("a\n. \nb\n"), S("a"), 7, false, false },
    { "A14: nothing ends BDAT", BODY_BDAT, S("a\n.\nb\r\n.\r\nc"), S("a"), 11, false, false },
};

static void refused_content_ends_leniently(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused_rows); i++) {
        const struct refused_row *row = &refused_rows[i];
        struct result res;

        feed_every_cut(row->in, row->mode, false, row->label, &res);
        REQUIRE(body_reader_refused(&res.r), row->label);
        REQUIRE(res.ended == row->ended && res.used == row->used, row->label);
        REQUIRE(res.r.lenient_end == row->lenient, row->label);
        REQUIRE(slice_eq(buf_slice(&res.out), row->want), row->label);
        buf_fini(&res.out);
    }
}

/* CRs are held back until it is clear what they are: not without end. */
static void a_long_run_of_cr_is_not_held_back(void **state)
{
    char mem[3000];
    struct result res;
    size_t blanks;

    (void)state;
    memset(mem, '\r', sizeof(mem));
    result_init(&res, BODY_DATA, true);
    feed_piece(&res, slice_of(mem, sizeof(mem)));
    blanks = res.out.len;
    assert_true(blanks >= 2000 && blanks < 3000);
    feed_piece(&res, SLICE("\n.\r\n"));
    assert_true(res.ended);
    assert_int_equal(res.out.len, blanks + 2);
    assert_int_equal(res.r.n.bare_cr, sizeof(mem) - 1);
    buf_fini(&res.out);
}

static void what_follows_the_end_is_left(void **state)
{
    struct slice in = SLICE("x\r\n.\r\nQUIT\r\n");
    struct result res;

    (void)state;
    result_init(&res, BODY_DATA, true);
    feed_piece(&res, in);
    assert_int_equal(res.used, 6);
    assert_true(res.ended);
    feed_piece(&res, slice_skip(in, 6));
    assert_int_equal(res.used, 6);
    assert_true(res.ended);
    buf_fini(&res.out);
}

struct header_row {
    const char *label;
    struct slice in;
    uint64_t octets;
    unsigned received;
    bool in_headers, high;
};

static const struct header_row header_rows[] = {
    { "a plain section", S("A: b\r\nReceived: x\r\n\r\nReceived: y\r\n"), 21, 1, false, false },
    { "names in any case, blanks before the colon", S("RECEIVED : x\r\nreceived\t: y\r\n\r\n"), 30, 2, false,
      false },
    { "continuations are no fields", S("A: b\r\n Received: x\r\n\r\n"), 22, 0, false, false },
    { "longer and shorter names are others", S("Received-SPF: x\r\nReceive: y\r\nReceivedx: z\r\n\r\n"), 45,
      0, false, false },
    { "an empty line first", S("\r\nReceived: x\r\n"), 2, 0, false, false },
    { "a first line that is no field", S("Hello all\r\nReceived: x\r\n"), 0, 0, false, false },
    { "a first line that begins with a blank", S(" Received: x\r\nA: b\r\n"), 0, 0, false, false },
    { "a later line that is no field", S("A: b\r\nHello\r\nReceived: x\r\n"), 6, 0, false, false },
    { "blanks within a name", S("A: b\r\nHello all: x\r\nReceived: x\r\n"), 6, 0, false, false },
    { "a mailbox line", S("From x Mon Jan 1\r\nReceived: x\r\n\r\n"), 33, 1, false, false },
    { "a quoted mailbox line", S(">From x Mon Jan 1\r\nReceived: x\r\n\r\n"), 34, 1, false, false },
    { "From with a blank before the colon", S("From : x\r\n y\r\n\r\n"), 16, 0, false, false },
    { "no end yet", S("A: b\r\nReceived: x\r\n"), 19, 1, true, false },
    { "a name that is 5000 octets long is a name", S("A: b\r\nReceived:x\r\n"), 18, 1, true, false },
    { "8 bit in a field", S("A: \xc3\xa4\r\n\r\n"), 9, 0, false, true },
    { "8 bit in the body", S("A: a\r\n\r\n\xc3\xa4\r\n"), 8, 0, false, false },
    { "an empty name hides nothing", S(": x\r\nReceived: x\r\n\r\n"), 20, 1, false, false },
    { "readers that drop odd octets see Received",
      S("Rec\x80"
        "ei\x01ved: x\r\n\r\n"),
      17, 1, false, true },
    { "8 bit in a line that is body", S("A: a\r\n\x80\x80 x\r\n\r\n"), 6, 0, false, false },
    { "a mailbox line behind a field", S("A: a\r\nFrom x Mon Jan 1\r\nReceived: x\r\n"), 6, 0, false, false },
    { "odd octets in a name hide nothing", S("X\x80\x01: x\r\nReceived: x\r\n\r\n"), 23, 1, false, true },
};

static void header_sections_are_followed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(header_rows); i++) {
        const struct header_row *row = &header_rows[i];
        struct result res;

        feed_all_ways(row->in, BODY_BDAT, row->label, &res);
        REQUIRE(res.r.head.octets == row->octets, row->label);
        REQUIRE(res.r.head.received == row->received, row->label);
        REQUIRE(res.r.head.ended != row->in_headers, row->label);
        REQUIRE(res.r.head.eight_bit == row->high, row->label);
        buf_fini(&res.out);
    }
}

/* ---- random inputs against a model that knows no blocks ---- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void random_text(struct buf *b, size_t len, unsigned oddness, uint64_t *seed)
{
    static const char odd[] = { '\r', '\n', '.', '\0', '\x85', ' ', 'x' };

    buf_reset(b);
    while (b->len < len) {
        uint64_t v = next_random(seed);

        if (v % 100 < oddness) {
            buf_put_char(b, odd[v / 100 % sizeof(odd)]);
        } else if (v % 100 < 96) {
            buf_put(b, "Lorem ipsum: dolor. sit", 1 + v / 100 % 23);
        } else if (v % 100 < 97) {
            buf_put_str(b, "\r\n..\r\n");
        } else {
            buf_put_str(b, "\r\n");
        }
    }
}

/* Octets of the line end in front, or 0. */
static size_t line_end(struct slice s)
{
    size_t crs = 0;

    while (crs < s.len && s.ptr[crs] == '\r') {
        crs++;
    }
    return crs < s.len && s.ptr[crs] == '\n' ? crs + 1 : 0;
}

/* The contract once more, as simply as can be: line by line of the whole input. */
static bool model(struct slice in, struct buf *out)
{
    bool behind_crlf = true;

    while (in.len > 0 && in.ptr[in.len - 1] == '\r') {
        in.len--; /* held back until it is clear what they are */
    }
    while (in.len > 0) {
        size_t end = 0;

        if (behind_crlf && slice_starts(in, SLICE(".\r\n"))) {
            return true;
        }
        if (in.ptr[0] == '.' && (in.len == 1 || line_end(slice_skip(in, 1)) == 0)) {
            in = slice_skip(in, 1);
        }
        while (in.len > 0 && (end = line_end(in)) == 0) {
            buf_put_char(out, in.ptr[0] == '\r' ? ' ' : in.ptr[0]);
            in = slice_skip(in, 1);
        }
        buf_put_str(out, end > 0 ? "\r\n" : "");
        behind_crlf = end > 1;
        in = slice_skip(in, end);
    }
    return false;
}

static void random_inputs_agree_with_the_model_for_every_cut(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15;
    struct buf text, want;

    (void)state;
    buf_init(&text, 1 << 20);
    buf_init(&want, 1 << 20);
    for (unsigned round = 0; round < 600; round++) {
        struct result whole;
        bool end;

        random_text(&text, 1 + round, round % 3 == 0 ? 1 : round % 40, &seed);
        buf_reset(&want);
        buf_put(&want, "", 0);
        end = model(buf_slice(&text), &want);
        feed_all_ways(buf_slice(&text), BODY_DATA, "random", &whole);
        assert_int_equal(whole.ended, end);
        assert_true(slice_eq(buf_slice(&whole.out), buf_slice(&want)));
        buf_fini(&whole.out);
    }
    buf_fini(&text);
    buf_fini(&want);
}

/* The fast way takes dots of ordinary lines in its stride: at every place of a block, whatever comes behind. */
static void a_dot_at_the_front_is_dropped_at_every_place_of_a_block(void **state)
{
    static const char behind[] = { 'x', '.', '\x85', ':', ' ', '\t', '\0', '\r', '\n' };
    char mem[200];

    (void)state;
    for (size_t i = 0; i < 70 * ARRAY_LEN(behind); i++) {
        struct result whole;
        struct buf text, want;

        buf_init_fixed(&text, mem, sizeof(mem));
        for (size_t k = 0; k < i / ARRAY_LEN(behind); k++) {
            buf_put_char(&text, 'x');
        }
        buf_put_str(&text, "\r\n.");
        buf_put_char(&text, behind[i % ARRAY_LEN(behind)]);
        for (size_t k = 0; k < 100; k++) {
            buf_put_char(&text, 'y');
        }
        buf_put_str(&text, "\r\n");
        buf_init(&want, sizeof(mem));
        (void)model(buf_slice(&text), &want);
        feed_all_ways(buf_slice(&text), BODY_DATA, "a dot", &whole);
        assert_true(slice_eq(buf_slice(&whole.out), buf_slice(&want)));
        assert_true(whole.r.n.eight_bit == (behind[i % ARRAY_LEN(behind)] == '\x85'));
        buf_fini(&whole.out);
        buf_fini(&want);
    }
}

static void all_ways_to_scan_a_block_agree(void **state)
{
    uint64_t seed = 42;
    uint8_t block[SCAN_BLOCK];

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct scan_masks a, b;

        for (size_t i = 0; i < sizeof(block); i++) {
            static const uint8_t near[] = {
                '\r', '\n', '.', 0, 0x80, 0xff, '\r' - 1, '\n' + 1, '.' ^ 0x80, 1
            };
            uint64_t v = next_random(&seed);

            block[i] = v % 3 == 0 ? near[v / 3 % sizeof(near)] : (uint8_t)(v >> 8);
        }
        scan_block(block, &a);
        scan_block_plain(block, &b);
        assert_memory_equal(&a, &b, sizeof(a));
#ifdef SCAN_AVX2
        if (scan_has_avx2()) {
            scan_block_avx2(block, &a);
            assert_memory_equal(&a, &b, sizeof(a));
        }
#endif
    }
}

static bool on_refused(void *arg, const void *data, size_t len)
{
    unsigned *calls = arg;

    (void)data;
    (void)len;
    ++*calls;
    return false;
}

static void after_a_refused_put_octets_are_only_counted(void **state)
{
    struct body_reader r;
    unsigned calls = 0;
    size_t used;
    bool ended;

    (void)state;
    body_reader_init(&r, BODY_DATA, false);
    body_reader_feed(&r, SLICE("one\r\n"), on_refused, &calls, &used, &ended);
    body_reader_feed(&r, SLICE("two\r\n.\r\n"), on_refused, &calls, &used, &ended);
    assert_int_equal(calls, 1);
    assert_int_equal(r.n.octets, 10);
    assert_true(ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_lines_end_with_crlf_only),
        cmocka_unit_test(a_too_long_line_is_one_event_and_its_tail_no_command),
        cmocka_unit_test(message_octets_come_out_with_crlf_only_and_are_counted),
        cmocka_unit_test(refused_content_ends_leniently),
        cmocka_unit_test(a_long_run_of_cr_is_not_held_back),
        cmocka_unit_test(what_follows_the_end_is_left),
        cmocka_unit_test(header_sections_are_followed),
        cmocka_unit_test(a_dot_at_the_front_is_dropped_at_every_place_of_a_block),
        cmocka_unit_test(random_inputs_agree_with_the_model_for_every_cut),
        cmocka_unit_test(all_ways_to_scan_a_block_agree),
        cmocka_unit_test(after_a_refused_put_octets_are_only_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
