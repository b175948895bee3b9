/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.c - what ends a line, for commands and for message octets; leading dots.
 *
 * One definition for all later code (header firewall, facts, spool, writer): CR* CR LF and bare LF end a line and
 * become CRLF.  Any other CR becomes a blank, so it never begins, ends or empties a field.  The reader removes
 * leading dots from every line.  Only CRLF.CRLF ends DATA; a lone dot with other line ends around it is content.
 *
 * body_reader_feed() has two paths.  The fast one scans blocks of 64 octets (scan.h) while every CR is followed by
 * LF and every LF preceded by CR.  It puts many lines in one piece, up to a dot at the beginning of a line; it drops
 * the dot if text follows.  At anything else the slow path takes a few octets one by one through the states below.
 * Both give the same output however the input is split.
 *
 *   BOL     after CRLF or at the beginning         DOT     the front of a line, then '.' (held back)
 *   LF_BOL  after a bare LF: a line begins         DOT_CR  DOT, then CRs: after BOL and one CR, LF ends DATA
 *   TEXT    within a line                          END     DATA has ended
 *   CR      after CRs that may be part of a line end
 *   SOFT    after a bare CR, where only a lenient reader sees the beginning of a line; then SOFT_DOT
 *   ODD     after NUL at the beginning of a line, for readers that drop NUL; ODD_DOT: a lone dot, with NUL or blanks
 *
 * SOFT, ODD and their dots only count smuggling attempts and find the end of refused content; they drop nothing.
 * smtp/field.c finds the header section in the output, so neither path needs to know it.
 *
 * RFC: 5321 2.3.8, 4.1.1.4, 4.5.2; 3030.  Limits: LINE_MAX_OCTETS, CR_RUN_MAX.  Keeps no message content.
 */
#include "smtp/line.h"

#include "smtp/scan.h"

/* ---- command lines ---- */

/* Drops octets up to CRLF.  Keeps a CR at the very end, because its LF may follow.  True: reached the CRLF. */
static bool skip_line(struct slice in, size_t *used)
{
    size_t from = 0;

    while (from < in.len) {
        size_t lf = from + slice_find(slice_skip(in, from), '\n');

        if (lf == in.len) {
            break;
        }
        if (lf > 0 && in.ptr[lf - 1] == '\r') {
            *used = lf + 1;
            return true;
        }
        from = lf + 1;
    }
    *used = in.len > 0 && in.ptr[in.len - 1] == '\r' ? in.len - 1 : in.len;
    return false;
}

static bool has_bad_octet(struct slice line)
{
    return slice_find(line, '\0') < line.len || slice_find(line, '\r') < line.len;
}

enum line_status line_next(struct slice in, bool *skipping, struct slice *line, size_t *used)
{
    size_t skipped = 0;
    size_t window, lf;

    *line = SLICE_NONE;
    *used = 0;
    if (*skipping) {
        if (!skip_line(in, used)) {
            return LINE_MORE;
        }
        *skipping = false;
        skipped = *used;
        in = slice_skip(in, skipped);
    }
    window = min_size(in.len, LINE_MAX_OCTETS);
    lf = slice_find(slice_take(in, window), '\n');
    if (lf == window) {
        if (window < LINE_MAX_OCTETS) {
            return LINE_MORE;
        }
        *used = skipped + window - (in.ptr[window - 1] == '\r');
        *skipping = true;
        return LINE_TOO_LONG;
    }
    *used = skipped + lf + 1;
    if (lf == 0 || in.ptr[lf - 1] != '\r') {
        return LINE_BARE_LF;
    }
    *line = slice_take(in, lf - 1);
    return has_bad_octet(*line) ? LINE_BAD_OCTET : LINE_READY;
}

/* ---- message content ---- */

enum body_state {
    BODY_BOL = 0,
    BODY_LF_BOL,
    BODY_TEXT,
    BODY_CR,
    BODY_DOT,
    BODY_DOT_CR,
    BODY_SOFT,
    BODY_SOFT_DOT,
    BODY_ODD,
    BODY_ODD_DOT,
    BODY_END,
};

/* CRs to hold back for an LF; the first ones of a longer run become blanks. */
#define CR_RUN_MAX 1000

/* Octets to take singly before the fast path tries the next block. */
#define SLOW_OCTETS 16

struct feed { /* one call of body_reader_feed */
    struct body_reader *r;
    body_put put;
    void *arg;
    const char *start, *end; /* input still to be put unchanged */
};

void body_reader_init(struct body_reader *r, enum body_mode mode, bool normalize)
{
    *r = (struct body_reader){ 0 };
    r->mode = mode;
    r->normalize = normalize;
    r->state = BODY_BOL;
}

bool body_reader_refused(const struct body_reader *r)
{
    return !r->normalize && r->n.bare_lf + r->n.bare_cr > 0;
}

static void give(struct feed *f, const char *data, size_t len)
{
    struct body_reader *r = f->r;

    if (len == 0 || body_reader_refused(r)) {
        return;
    }
    r->n.octets += len;
    if (!r->head.ended) {
        header_section_put(&r->head, slice_of(data, len));
    }
    if (!r->full && !f->put(f->arg, data, len)) {
        r->full = true;
    }
}

static void flush(struct feed *f)
{
    give(f, f->start, (size_t)(f->end - f->start));
    f->start = f->end;
}

/* Puts the octet at p unchanged. */
static void keep(struct feed *f, const char *p)
{
    if (f->end != p) {
        flush(f);
        f->start = p;
    }
    f->end = p + 1;
    f->r->line_begun = true;
    if ((unsigned char)*p > 0x7f) {
        f->r->n.eight_bit = true;
    }
}

/* Ends a line with CRLF, whatever line end the input has. */
static void put_crlf(struct feed *f)
{
    flush(f);
    give(f, "\r\n", 2);
    f->r->line_begun = false;
}

/* Takes the LF of a CRLF at p.  Its CR may be in this input or in an earlier one. */
static void keep_crlf(struct feed *f, const char *p, const char *begin)
{
    if (p == begin) {
        put_crlf(f);
        return;
    }
    if (f->end != p - 1) {
        flush(f);
        f->start = p - 1;
    }
    f->end = p + 1;
    f->r->line_begun = false;
}

/* Puts a blank for each held-back CR: no LF followed, and as a line end the CR could begin or end a field. */
static void put_bare_crs(struct feed *f)
{
    static const char blanks[] = "                ";
    struct body_reader *r = f->r;

    flush(f);
    r->n.bare_cr += r->crs;
    while (r->crs > 0) {
        size_t n = min_size(r->crs, sizeof(blanks) - 1);

        give(f, blanks, n);
        r->crs -= (unsigned)n;
    }
    r->line_begun = true;
    r->state = BODY_SOFT;
}

/* Ends a line that violates RFC 5321: with a bare LF, or with several CRs before the LF. */
static void wrong_line_end(struct feed *f, int next)
{
    struct body_reader *r = f->r;

    flush(f);
    if (next == BODY_LF_BOL) {
        r->n.bare_lf++;
    } else {
        r->n.bare_cr += r->crs - 1;
    }
    put_crlf(f);
    r->state = next;
}

static int behind_nul(int state)
{
    switch ((enum body_state)state) {
    case BODY_BOL:
    case BODY_LF_BOL:
    case BODY_SOFT:
    case BODY_ODD:
        return BODY_ODD;
    case BODY_DOT:
    case BODY_SOFT_DOT:
    case BODY_ODD_DOT:
        return BODY_ODD_DOT;
    case BODY_TEXT:
    case BODY_CR:
    case BODY_DOT_CR:
    case BODY_END:
        break;
    }
    return BODY_TEXT;
}

/* Holds back a dot at the front of a line of DATA, and puts any other.  Returns the next state. */
static int plain_dot(struct feed *f, const char *p)
{
    struct body_reader *r = f->r;
    int state = r->state;

    if (r->mode == BODY_DATA && (state == BODY_BOL || state == BODY_LF_BOL)) {
        r->behind_crlf = state == BODY_BOL;
        return BODY_DOT;
    }
    keep(f, p);
    return state == BODY_SOFT ? BODY_SOFT_DOT : state == BODY_ODD ? BODY_ODD_DOT : BODY_TEXT;
}

/* Takes the octet at p while no CR is held back.  Drops a held-back dot, because text follows it (RFC 5321
 * 4.5.2). */
static void plain_octet(struct feed *f, const char *p)
{
    struct body_reader *r = f->r;
    bool behind_dot = r->state == BODY_DOT || r->state == BODY_SOFT_DOT || r->state == BODY_ODD_DOT;

    switch (*p) {
    case '\r':
        r->crs = 1;
        r->state = BODY_CR;
        return;
    case '\n':
        wrong_line_end(f, BODY_LF_BOL);
        return;
    case '\0': /* a reader that drops NUL sees the next octet instead: DAT-18, DAT-19 */
        r->n.nul++;
        keep(f, p);
        r->state = behind_nul(r->state);
        return;
    case ' ':
    case '\t':
        keep(f, p);
        r->state = behind_dot ? BODY_ODD_DOT : BODY_TEXT;
        return;
    case '.':
        r->state = plain_dot(f, p);
        return;
    default:
        keep(f, p);
        r->state = BODY_TEXT;
        return;
    }
}

static void count_smuggling(struct body_reader *r)
{
    if (r->mode == BODY_DATA) {
        r->n.smuggling++;
    }
}

/* A lenient reader sees the end of data here: a dot alone on a line.  It ends refused content. */
static void lenient_end(struct body_reader *r)
{
    count_smuggling(r);
    r->lenient_end = r->mode == BODY_DATA && !r->normalize;
}

/* Puts the held-back dot: it is alone on its line, so it is content and not dot-stuffing. */
static void put_lone_dot(struct feed *f)
{
    lenient_end(f->r);
    flush(f);
    give(f, ".", 1);
}

/* Takes the octet at p while CRs are held back.  False: the CRs were no line end, and it did not take the octet. */
static bool behind_crs(struct feed *f, const char *p, const char *begin)
{
    struct body_reader *r = f->r;
    bool dot = r->state == BODY_DOT_CR;

    if (*p == '\r' && r->crs < CR_RUN_MAX) {
        r->crs++;
        return true;
    }
    if (*p != '\n') {
        if (dot) {
            lenient_end(r);
        }
        put_bare_crs(f);
        return false;
    }
    if (dot && r->crs == 1 && r->behind_crlf) {
        r->state = BODY_END;
        return true;
    }
    if (dot) {
        put_lone_dot(f);
    }
    if (dot || r->crs > 1) {
        wrong_line_end(f, BODY_BOL);
    } else {
        keep_crlf(f, p, begin);
        r->state = BODY_BOL;
    }
    return true;
}

/* Takes one octet through the states. */
static void slow_octet(struct feed *f, const char *p, const char *begin)
{
    struct body_reader *r = f->r;
    bool line_end = *p == '\r' || *p == '\n';

    switch ((enum body_state)r->state) {
    case BODY_CR:
    case BODY_DOT_CR:
        if (behind_crs(f, p, begin)) {
            return;
        }
        break;
    case BODY_DOT:
        if (*p == '\r') {
            r->crs = 1;
            r->state = BODY_DOT_CR;
            return;
        }
        if (*p == '\n') {
            put_lone_dot(f);
        }
        break;
    case BODY_SOFT_DOT:
        if (line_end) {
            lenient_end(r);
        }
        break;
    case BODY_ODD_DOT:
        if (line_end) {
            count_smuggling(r);
        }
        break;
    case BODY_BOL:
    case BODY_LF_BOL:
    case BODY_TEXT:
    case BODY_SOFT:
    case BODY_ODD:
    case BODY_END:
        break;
    }
    plain_octet(f, p);
}

/* Does the octet after a leading dot show that the reader only has to drop the dot? */
static bool behind_dot_is_text(char c)
{
    return c != '\r' && c != '\n' && c != '\0' && c != ' ' && c != '\t';
}

/* Puts the input before the dot at p, and drops the dot. */
static const char *drop_dot(struct feed *f, const char *p)
{
    f->end = p;
    flush(f);
    f->start = f->end = p + 1;
    return p + 1;
}

/*
 * Scans blocks from p on while they are clean, except for leading dots of ordinary lines.  Returns where it
 * stopped.  Begins in BOL or TEXT, ends in BOL, TEXT or CR.  Adds the scanned input to f->start..f->end, without
 * a CR at its end.
 */
static inline __attribute__((always_inline)) const char *
clean_blocks(struct feed *f, const char *p, const char *limit,
             void (*scan)(const void *, struct scan_masks *))
{
    struct body_reader *r = f->r;
    uint64_t was_cr = 0, was_lf = r->state == BODY_BOL, high = 0;
    uint64_t dots = r->mode == BODY_DATA ? UINT64_MAX : 0;

    if (f->end != p) {
        flush(f);
        f->start = p;
    }
    while ((size_t)(limit - p) >= SCAN_BLOCK) {
        struct scan_masks m;
        uint64_t dot, bad;
        size_t clean;

        scan(p, &m);
        dot = m.dot & dots & (m.lf << 1 | was_lf);
        bad = ((m.cr << 1 | was_cr) ^ m.lf) | dot | m.nul;
        if (bad == 0) {
            high |= m.high;
            was_cr = m.cr >> (SCAN_BLOCK - 1);
            was_lf = m.lf >> (SCAN_BLOCK - 1);
            p += SCAN_BLOCK;
            continue;
        }
        clean = (size_t)__builtin_ctzll(bad);
        high |= m.high & ((UINT64_C(1) << clean) - 1);
        if ((dot >> clean & 1) && p + clean + 1 < limit && behind_dot_is_text(p[clean + 1])) {
            p = drop_dot(f, p + clean);
            was_cr = was_lf = 0;
            continue;
        }
        if (clean > 0) {
            was_cr = m.cr >> (clean - 1) & 1;
            was_lf = m.lf >> (clean - 1) & 1;
        }
        p += clean;
        break;
    }
    r->n.eight_bit |= high != 0;
    r->state = was_cr ? BODY_CR : was_lf ? BODY_BOL : BODY_TEXT;
    r->crs = 1; /* if it is CR */
    r->line_begun = !was_lf;
    f->end = p - was_cr;
    return p;
}

#ifdef SCAN_AVX2
SCAN_AVX2 static const char *clean_blocks_avx2(struct feed *f, const char *p, const char *limit)
{
    return clean_blocks(f, p, limit, scan_block_avx2);
}
#endif

static const char *fast_blocks(struct feed *f, const char *p, const char *limit)
{
#ifdef SCAN_AVX2
    if (scan_has_avx2()) {
        return clean_blocks_avx2(f, p, limit);
    }
#endif
    return clean_blocks(f, p, limit, scan_block);
}

void body_reader_feed(struct body_reader *r, struct slice in, body_put put, void *arg, size_t *used,
                      bool *ended)
{
    struct feed f = { .r = r, .put = put, .arg = arg, .start = in.ptr, .end = in.ptr };
    const char *p = in.ptr;
    const char *limit = in.len > 0 ? in.ptr + in.len : in.ptr;

    while (p < limit && r->state != BODY_END) {
        const char *until;

        if ((r->state == BODY_BOL || r->state == BODY_TEXT) && (size_t)(limit - p) >= SCAN_BLOCK) {
            p = fast_blocks(&f, p, limit);
        }
        until = p + min_size(SLOW_OCTETS, (size_t)(limit - p));
        for (; p < until && r->state != BODY_END; p++) {
            slow_octet(&f, p, in.ptr);
            r->state = r->lenient_end ? BODY_END : r->state;
        }
    }
    flush(&f);
    *used = in.len > 0 ? (size_t)(p - in.ptr) : 0;
    r->n.taken += *used;
    *ended = r->state == BODY_END;
}

void body_reader_finish(struct body_reader *r, body_put put, void *arg)
{
    struct feed f = { .r = r, .put = put, .arg = arg };

    if (r->state == BODY_CR) { /* a line end without its LF counts as one */
        r->n.bare_cr += r->crs;
        put_crlf(&f);
        r->state = BODY_BOL;
    } else if (r->line_begun) {
        put_crlf(&f);
        r->state = BODY_BOL;
    }
}
