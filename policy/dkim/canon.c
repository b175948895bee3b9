/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon.c - simple and relaxed canonicalisation.
 *
 * Body        One automaton takes octets one at a time (put_octet).  It holds back whatever may turn out not to count:
 *             line ends, white space, a CR.  No line end is written before something follows it, so the end of the
 *             body needs one rule only: append one CRLF.
 *             Only the edges of a chunk go through the automaton.  The rest (put_relaxed_bulk) ends in an octet that
 *             counts, so none of it is held back, and it is scanned eight octets at a time.  Relaxed form changes
 *             only tabs, white space next to white space, and white space before a line end.
 * Speed       Times of SHA-256 (with SHA instructions) over the same octets: simple 1.0; relaxed base64 and prose 1.3,
 *             markup indented at random 2.4, a tab between every two letters 6 (test/bench/dkim.c).
 * RFC         6376 3.4.1 to 3.4.4
 */
#include "policy/dkim/canon.h"

#include <endian.h>

#define STEP 8              /* octets in one word */
#define HELD_LINES_MAX 4096 /* hashing 8 KiB takes about 5 us */

/* ---- the sink ---- */

void dkim_sink_init(struct dkim_sink *s, void (*put)(void *arg, const void *data, size_t len), void *arg)
{
    s->put = put;
    s->arg = arg;
    s->used = 0;
}

void dkim_sink_flush(struct dkim_sink *s)
{
    if (s->used > 0) {
        s->put(s->arg, s->block, s->used);
        s->used = 0;
    }
}

void dkim_sink_put(struct dkim_sink *s, const void *data, size_t len)
{
    if (len > DKIM_BLOCK - s->used) {
        dkim_sink_flush(s);
    }
    if (len > DKIM_BLOCK / 2) { /* long enough to pass on without a copy */
        dkim_sink_flush(s);
        s->put(s->arg, data, len);
        return;
    }
    if (len > 0) {
        memcpy(s->block + s->used, data, len);
        s->used += len;
    }
}

static void put_char(struct dkim_sink *s, char c)
{
    if (s->used == DKIM_BLOCK) {
        dkim_sink_flush(s);
    }
    s->block[s->used++] = c;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- header fields ---- */

/* RFC 6376 3.4.2: unfold, turn white space into one SP, drop it at both ends.  The flags carry over between pieces. */
static void put_relaxed_value(struct dkim_sink *s, struct slice value, bool *blank, bool *started)
{
    for (size_t i = 0, n; i < value.len; i += n) {
        const char *p = value.ptr + i;

        n = 1;
        if (is_blank(*p)) {
            *blank = true;
            continue;
        }
        if (*p == '\r' && value.len - i > 1 && p[1] == '\n') {
            n = 2; /* of a fold */
            continue;
        }
        while (n < value.len - i && !is_blank(p[n]) && p[n] != '\r') {
            n++;
        }
        if (*blank && *started) {
            put_char(s, ' ');
        }
        dkim_sink_put(s, p, n);
        *blank = false;
        *started = true;
    }
}

static void put_relaxed_name(struct dkim_sink *s, struct slice name)
{
    name = slice_trim(name);
    for (size_t i = 0; i < name.len; i++) {
        put_char(s, ascii_lower(name.ptr[i]));
    }
    put_char(s, ':');
}

void dkim_canon_field(struct dkim_sink *s, enum dkim_canon canon, struct slice field, size_t name_len,
                      struct slice hole)
{
    size_t before = hole.ptr == NULL ? field.len : (size_t)(hole.ptr - field.ptr);
    struct slice front = slice_take(field, before), back = slice_skip(field, before + hole.len);
    bool blank = false, started = false;

    if (canon == DKIM_SIMPLE) {
        dkim_sink_put(s, front.ptr, front.len);
        dkim_sink_put(s, back.ptr, back.len);
        return;
    }
    put_relaxed_name(s, slice_take(field, name_len));
    put_relaxed_value(s, slice_skip(front, name_len + 1), &blank, &started);
    put_relaxed_value(s, back, &blank, &started);
}

/* ---- the body, octet by octet ---- */

void dkim_canon_body_init(struct dkim_canon_body *b, enum dkim_canon canon, struct dkim_sink *sink,
                          void (*fork)(void *arg))
{
    *b = (struct dkim_canon_body){ .sink = sink, .canon = canon, .fork = fork };
}

static void write_lines(struct dkim_canon_body *b)
{
    for (; b->lines > 0; b->lines--) {
        dkim_sink_put(b->sink, "\r\n", 2);
    }
}

/* Ends the body: one CRLF, also for an empty simple body (RFC 6376 3.4.3) but not for an empty relaxed one (3.4.4). */
static bool write_last_line(struct dkim_canon_body *b)
{
    bool ends = b->started || b->canon == DKIM_SIMPLE;

    if (ends) {
        dkim_sink_put(b->sink, "\r\n", 2);
    }
    dkim_sink_flush(b->sink);
    return ends;
}

/* Writes the line ends held back, after marking where the body ends if nothing follows. */
static void write_ahead(struct dkim_canon_body *b)
{
    if (!b->forked) {
        b->lines -= write_last_line(b);
        b->fork(b->sink->arg);
        b->forked = true;
    }
    write_lines(b);
}

/* Something follows: everything held back counts. */
static void release(struct dkim_canon_body *b)
{
    write_lines(b);
    if (b->blank) {
        put_char(b->sink, ' ');
        b->blank = false;
    }
    if (b->cr) {
        put_char(b->sink, '\r');
        b->cr = false;
    }
    b->started = true;
    b->forked = false;
}

static void put_octet(struct dkim_canon_body *b, char c)
{
    if (b->cr && c == '\n') { /* a line end; it drops the white space before it */
        b->cr = false;
        b->blank = false;
        if (++b->lines > HELD_LINES_MAX) {
            write_ahead(b);
        }
        return;
    }
    if (b->cr) {
        release(b);
    }
    if (c == '\r') {
        b->cr = true;
    } else if (b->canon == DKIM_RELAXED && is_blank(c)) {
        b->blank = true;
    } else {
        release(b);
        put_char(b->sink, c);
    }
}

static bool holds_back(const struct dkim_canon_body *b)
{
    return b->lines > 0 || b->blank || b->cr || b->forked;
}

/* ---- the body, eight octets at a time ---- */

#define EACH(octet) (UINT64_C(0x0101010101010101) * (octet))

/* Loads eight octets; the first one is the least significant on every machine. */
static uint64_t load(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

/* Has 0x80 in each octet that is zero in `word`. */
static uint64_t zeros(uint64_t word)
{
    return ~(((word & EACH(0x7f)) + EACH(0x7f)) | word | EACH(0x7f));
}

/* Has 0x80 in each octet that is at most SP in `word`. */
static uint64_t blanks_or_controls(uint64_t word)
{
    return ~(((word & EACH(0x7f)) + EACH(0x7f - ' ')) | word) & EACH(0x80);
}

/* Has 0x80 where relaxed form may differ: a tab, or an SP before white space, CR or another control. */
static uint64_t changes(const char *p)
{
    uint64_t word = load(p);

    return (zeros(word ^ EACH(' ')) & blanks_or_controls(load(p + 1))) | zeros(word ^ EACH('\t'));
}

/* The number of blanks in front, at most eight. */
static size_t blanks_in_front(const char *p)
{
    uint64_t word = load(p);
    uint64_t other = ~(zeros(word ^ EACH(' ')) | zeros(word ^ EACH('\t'))) & EACH(0x80);

    return other == 0 ? STEP : (size_t)__builtin_ctzll(other) / 8;
}

/*
 * Copies words while the bulk has more than two and the block has room for one.  Drops a run of white space before
 * CRLF and turns any other run into one SP.
 */
static const char *put_words(struct dkim_sink *s, const char *p, const char *end)
{
    char *to = s->block + s->used, *full = s->block + DKIM_BLOCK - STEP - 1;

    while (to <= full && end - p > 2 * STEP) {
        uint64_t found = changes(p);
        size_t n = found == 0 ? STEP : (size_t)__builtin_ctzll(found) / 8;

        memcpy(to, p, STEP);
        to += n;
        p += n;
        if (found == 0) {
            continue;
        }
        p++;
        while (is_blank(*p)) { /* the bulk does not end in a blank, so this ends in time */
            p += end - p > STEP ? blanks_in_front(p) : 1;
        }
        *to = ' ';
        to += p[0] != '\r' || p[1] != '\n';
    }
    s->used = (size_t)(to - s->block);
    return p;
}

/* The same for one run of white space near the end of the bulk, octet by octet. */
static const char *put_blanks(struct dkim_sink *s, const char *p)
{
    while (is_blank(*p)) {
        p++;
    }
    if (p[0] != '\r' || p[1] != '\n') {
        put_char(s, ' ');
    }
    return p;
}

/* Requires that nothing is held back, and that the last octet of the bulk is neither white space nor CR nor LF. */
static void put_relaxed_bulk(struct dkim_sink *s, struct slice bulk)
{
    const char *p = bulk.ptr, *end = bulk.ptr + bulk.len;

    while (end - p > 2 * STEP) {
        if (DKIM_BLOCK - s->used <= STEP) {
            dkim_sink_flush(s);
        }
        p = put_words(s, p, end);
    }
    while (p < end) {
        if (is_blank(*p)) {
            p = put_blanks(s, p);
        } else {
            put_char(s, *p++);
        }
    }
}

static bool counts(enum dkim_canon canon, char c)
{
    return c != '\r' && c != '\n' && !(canon == DKIM_RELAXED && is_blank(c));
}

void dkim_canon_body_put(struct dkim_canon_body *b, struct slice chunk)
{
    size_t i = 0, end = chunk.len;

    while (i < chunk.len && (i == 0 || holds_back(b))) {
        put_octet(b, chunk.ptr[i++]);
    }
    while (end > i && !counts(b->canon, chunk.ptr[end - 1])) {
        end--;
    }
    if (end > i) {
        struct slice bulk = slice_of(chunk.ptr + i, end - i);

        if (b->canon == DKIM_SIMPLE) {
            dkim_sink_put(b->sink, bulk.ptr, bulk.len);
        } else {
            put_relaxed_bulk(b->sink, bulk);
        }
    }
    for (i = end; i < chunk.len; i++) {
        put_octet(b, chunk.ptr[i]);
    }
}

void dkim_canon_body_end(struct dkim_canon_body *b)
{
    if (b->cr) { /* no LF follows, so this CR is an ordinary octet */
        release(b);
    }
    if (!b->forked) {
        (void)write_last_line(b);
    }
}
