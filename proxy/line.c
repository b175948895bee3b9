/*
 * line.c - what ends a line, for commands and for message octets; leading dots.
 *
 * body_feed() has two gears.  The fast one looks at blocks of 64 octets (scan.h) and goes on as long as
 * every CR is followed by LF and every LF preceded by CR; what it passes is put in one piece, many lines at
 * once, up to a dot at the beginning of a line, which it leaves out if text follows.  At anything else the
 * slow one takes a few octets one by one through the states below.  Both give the same for every cut.
 *
 *   BOL     behind CRLF or at the beginning        DOT     BOL, then '.' (dropped)
 *   TEXT    within a line                          DOT_CR  BOL, '.', CR: only LF here ends DATA
 *   CR      behind a CR that may be part of CRLF   END     DATA has ended
 *   SOFT    behind a bare CR or LF, where only a lenient reader sees the beginning of a line
 *   SOFT_DOT  a line of a dot alone, with NUL or blanks, as a lenient reader would see it
 *
 * SOFT and SOFT_DOT exist for counting attempts at smuggling; they never end anything and drop nothing.
 * Header lines are followed in what is given out, so that the two gears need not know of them.
 *
 * RFC: 5321 2.3.8, 4.1.1.4, 4.5.2; 3030.  Limits: LINE_MAX_OCTETS; nothing of a message is kept here.
 */
#include "proxy/line.h"

#include "core/utf8.h"
#include "proxy/scan.h"

/* ---- command lines ---- */

/* Drops octets up to CRLF; a CR at the very end stays, as its LF may come.  True: it is through. */
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

/* ---- the header section, as it is given out ---- */

enum place {
    PLACE_START = 0, /* of a line */
    PLACE_NAME,
    PLACE_BLANK, /* behind a name, before the colon */
    PLACE_VALUE, /* the rest of the line does not matter */
    PLACE_EMPTY, /* the CR of the empty line */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool name_is(const struct body_reader *r, struct slice name)
{
    return slice_eq_nocase(slice_of(r->name, r->name_len), name);
}

static void end_of_headers(struct body_reader *r, bool with_line)
{
    r->in_headers = false;
    if (!with_line) {
        r->header_octets -= r->header_line; /* this line is body already */
    }
}

/* "From " or ">From " as the first line is an envelope of a mailbox, no field and no body (HDR-11). */
static bool is_mbox_line(const struct body_reader *r)
{
    return !r->any_field && (slice_eq(slice_of(r->name, r->name_len), SLICE("From")) ||
                             slice_eq(slice_of(r->name, r->name_len), SLICE(">From")));
}

static void field_found(struct body_reader *r)
{
    r->place = PLACE_VALUE;
    r->any_field = true;
    if (name_is(r, SLICE("received"))) {
        r->received++;
    }
}

static void at_line_start(struct body_reader *r, char c)
{
    r->name_len = 0;
    if (c == '\r') {
        r->place = PLACE_EMPTY;
    } else if (is_blank(c)) {
        r->place = PLACE_VALUE;
        if (!r->any_field) {
            end_of_headers(r, false);
        }
    } else if (c == ':') {
        field_found(r);
    } else {
        r->name[r->name_len++] = c;
        r->place = PLACE_NAME;
    }
}

static void in_name(struct body_reader *r, char c)
{
    if (c == ':') {
        field_found(r);
    } else if (is_blank(c)) {
        r->place = PLACE_BLANK;
    } else if (c == '\r') {
        end_of_headers(r, false);
    } else if (r->name_len < sizeof(r->name)) {
        r->name[r->name_len++] = c;
    }
}

static void header_octet(struct body_reader *r, char c)
{
    r->header_octets++;
    r->header_line++;
    switch ((enum place)r->place) {
    case PLACE_START:
        at_line_start(r, c);
        break;
    case PLACE_NAME:
        in_name(r, c);
        break;
    case PLACE_BLANK:
        if (c == ':') {
            field_found(r);
        } else if (!is_blank(c) && is_mbox_line(r)) {
            r->place = PLACE_VALUE;
        } else if (!is_blank(c)) {
            end_of_headers(r, false);
        }
        break;
    case PLACE_EMPTY:
        end_of_headers(r, true);
        break;
    case PLACE_VALUE:
        break;
    }
    if (r->in_headers && (unsigned char)c > 0x7f) {
        r->n.text_8bit_header = true;
    }
}

/* The rest of a line whose kind is known; how much of `s` it was. */
static size_t header_value(struct body_reader *r, struct slice s)
{
    size_t lf = slice_find(s, '\n');
    size_t len = min_size(lf + 1, s.len);

    r->header_octets += len;
    r->header_line += len;
    if (utf8_has_8bit(slice_take(s, len))) {
        r->n.text_8bit_header = true;
    }
    if (lf < s.len) {
        r->place = PLACE_START;
        r->header_line = 0;
    }
    return len;
}

static void track_headers(struct body_reader *r, struct slice s)
{
    while (r->in_headers && s.len > 0) {
        if (r->place == PLACE_VALUE) {
            s = slice_skip(s, header_value(r, s));
        } else {
            header_octet(r, s.ptr[0]);
            s = slice_skip(s, 1);
        }
    }
}

/* ---- message content ---- */

enum body_state {
    BODY_BOL = 0,
    BODY_TEXT,
    BODY_CR,
    BODY_DOT,
    BODY_DOT_CR,
    BODY_SOFT,
    BODY_SOFT_DOT,
    BODY_END,
};

/* After a surprise so many octets are taken singly before the next block is tried. */
#define SLOW_OCTETS 16

struct feed { /* one call of body_feed */
    struct body_reader *r;
    body_put put;
    void *arg;
    const char *start, *end; /* input to be put as it is, not put yet */
};

void body_init(struct body_reader *r, enum body_mode mode, bool normalize)
{
    *r = (struct body_reader){ 0 };
    r->mode = mode;
    r->normalize = normalize;
    r->state = BODY_BOL;
    r->in_headers = true;
}

static void give(struct feed *f, const char *data, size_t len)
{
    struct body_reader *r = f->r;

    if (len == 0) {
        return;
    }
    r->n.octets += len;
    if (r->in_headers) {
        track_headers(r, slice_of(data, len));
    }
    if (!r->refused && !f->put(f->arg, data, len)) {
        r->refused = true;
    }
}

static void flush(struct feed *f)
{
    give(f, f->start, (size_t)(f->end - f->start));
    f->start = f->end;
}

/* The octet at p goes out as it is. */
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

/* A line ends here with CRLF, whatever the input has there. */
static void put_crlf(struct feed *f)
{
    flush(f);
    give(f, "\r\n", 2);
    f->r->line_begun = false;
}

/* The LF of a CRLF at p; the CR before it may be in this input or in an earlier one. */
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

/* The octet at p, at the beginning of a line or within one. */
static int plain_octet(struct feed *f, const char *p)
{
    struct body_reader *r = f->r;
    bool begins = r->state != BODY_TEXT && r->state != BODY_SOFT_DOT && r->state != BODY_DOT;

    switch (*p) {
    case '\r':
        return BODY_CR;
    case '\n':
        r->n.bare_lf++;
        put_crlf(f);
        return BODY_SOFT;
    case '\0': /* for those who drop NUL, what comes next stands in its place: DAT-18, DAT-19 */
        r->n.nul++;
        keep(f, p);
        if (r->state == BODY_TEXT) {
            return BODY_TEXT;
        }
        return begins ? BODY_SOFT : BODY_SOFT_DOT;
    case ' ':
    case '\t':
        keep(f, p);
        return r->state == BODY_DOT || r->state == BODY_SOFT_DOT ? BODY_SOFT_DOT : BODY_TEXT;
    case '.':
        if (r->state == BODY_BOL && r->mode == BODY_DATA) {
            return BODY_DOT; /* RFC 5321 4.5.2: dropped, here and nowhere else */
        }
        keep(f, p);
        return r->state == BODY_SOFT ? BODY_SOFT_DOT : BODY_TEXT;
    default:
        keep(f, p);
        return BODY_TEXT;
    }
}

static void count_smuggling(struct body_reader *r)
{
    if (r->mode == BODY_DATA) {
        r->n.smuggling++;
    }
}

/* A CR turned out to be a bare one. */
static void bare_cr(struct feed *f)
{
    f->r->n.bare_cr++;
    put_crlf(f);
    f->r->state = BODY_SOFT;
}

/* One octet through the states. */
static void slow_octet(struct feed *f, const char *p, const char *begin)
{
    struct body_reader *r = f->r;
    bool line_end = *p == '\r' || *p == '\n';

    switch ((enum body_state)r->state) {
    case BODY_CR:
        if (*p == '\n') {
            keep_crlf(f, p, begin);
            r->state = BODY_BOL;
            return;
        }
        bare_cr(f);
        break;
    case BODY_DOT_CR:
        if (*p == '\n') {
            r->state = BODY_END;
            return;
        }
        count_smuggling(r);
        bare_cr(f);
        break;
    case BODY_DOT:
        if (*p == '\r') {
            r->state = BODY_DOT_CR;
            return;
        }
        if (*p == '\n') {
            count_smuggling(r);
        }
        break;
    case BODY_SOFT_DOT:
        if (line_end) {
            count_smuggling(r);
        }
        break;
    case BODY_BOL:
    case BODY_TEXT:
    case BODY_SOFT:
    case BODY_END:
        break;
    }
    r->state = plain_octet(f, p);
}

/* Does the octet behind a dot at the beginning of a line show that the dot is only to be dropped? */
static bool behind_dot_is_text(char c)
{
    return c != '\r' && c != '\n' && c != '\0' && !is_blank(c);
}

/* Gives what comes before the dot at p, and leaves the dot out. */
static const char *drop_dot(struct feed *f, const char *p)
{
    f->end = p;
    flush(f);
    f->start = f->end = p + 1;
    return p + 1;
}

/*
 * Blocks from p on while they are clean but for dots at the beginning of ordinary lines; returns where it
 * stopped.  Begun in BOL or TEXT, ends in BOL, TEXT or CR.  f->start..f->end grows by what was passed, but
 * for a CR at its end.
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

void body_feed(struct body_reader *r, struct slice in, body_put put, void *arg, size_t *used, bool *ended)
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
        }
    }
    flush(&f);
    *used = in.len > 0 ? (size_t)(p - in.ptr) : 0;
    *ended = r->state == BODY_END;
}

void body_finish(struct body_reader *r, body_put put, void *arg)
{
    struct feed f = { .r = r, .put = put, .arg = arg };

    if (r->state == BODY_CR) {
        bare_cr(&f);
    } else if (r->line_begun) {
        put_crlf(&f);
        r->state = BODY_BOL;
    }
}
