/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.c - reads header fields from a section, and writes fields from a value of any origin (field.h).
 *
 * Reading: a field is a line with a name, perhaps blanks, and a colon, plus the next lines that begin with a
 * blank.  A name is any text without blanks, line ends and colons, even empty or with octets above 127.
 * Otherwise a line that only a lenient downstream reader takes for a field could hide a forged one (HDR-14).
 *
 * Writing: unfolds and cleans the value, then folds it anew.  Encodes it by RFC 2047 if it is not ASCII and
 * `utf8` is false.
 *
 * Limits     Lines have FOLD_AT octets where possible, HARD_MAX at most, without CRLF.
 */
#include "smtp/field.h"

#include "core/utf8.h"

#define FOLD_AT 78
#define HARD_MAX 990 /* below 998, with room for the blank of a fold and a character */
#define WORD_MAX 75  /* of an encoded word: RFC 2047 2 */

/* ---- what a line is ---- */

enum place {
    PLACE_START = 0,
    PLACE_NAME,
    PLACE_BLANK, /* after a name, before the colon */
    PLACE_CR,    /* the line began with CR */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool ends_name(char c)
{
    return c == ':' || c == '\r' || c == '\n' || is_blank(c);
}

/* Skips odd octets, as header_name_is() does. */
static void keep_name(struct header_line *l, struct slice part)
{
    for (size_t i = 0; i < part.len && l->kept < HEADER_NAME_KEPT; i++) {
        if (ascii_is_print(part.ptr[i])) {
            l->name[l->kept++] = part.ptr[i];
        }
    }
}

/* Takes the part of the name that `s` has. */
static size_t take_name(struct header_line *l, struct slice s)
{
    size_t n = 0;

    while (n < s.len && !ends_name(s.ptr[n])) {
        n++;
    }
    if (l->keeps_name) {
        keep_name(l, slice_take(s, n));
    }
    l->name_len += n;
    return n;
}

/* Is the name exactly one that the mbox format puts before a message?  Only a blank and other text may follow it. */
static bool is_mbox_name(const struct header_line *l)
{
    struct slice name = slice_of(l->name, l->kept);

    return l->keeps_name && l->kept == l->name_len &&
           (slice_eq(name, SLICE("From")) || slice_eq(name, SLICE(">From")));
}

static void at_start(struct header_line *l, char c)
{
    if (is_blank(c)) {
        l->kind = HEADER_LINE_CONTINUATION;
    } else if (c == ':') { /* an empty name hides nothing (HDR-14) */
        l->kind = HEADER_LINE_FIELD;
    } else {
        l->place = c == '\r' ? PLACE_CR : PLACE_NAME;
    }
}

static void behind_name(struct header_line *l, char c)
{
    if (c == ':') {
        l->kind = HEADER_LINE_FIELD;
    } else if (is_blank(c)) {
        l->place = PLACE_BLANK;
    } else {
        l->kind = l->place == PLACE_BLANK && is_mbox_name(l) ? HEADER_LINE_MBOX : HEADER_LINE_OTHER;
    }
}

size_t header_line_put(struct header_line *l, struct slice s)
{
    size_t n = 0;

    while (l->kind == HEADER_LINE_UNKNOWN && n < s.len) {
        switch ((enum place)l->place) {
        case PLACE_START:
            at_start(l, s.ptr[n]);
            n += l->place == PLACE_NAME ? 0 : 1; /* the name takes it */
            break;
        case PLACE_NAME:
            n += take_name(l, slice_skip(s, n));
            if (n < s.len) {
                behind_name(l, s.ptr[n++]);
            }
            break;
        case PLACE_BLANK:
            behind_name(l, s.ptr[n++]);
            break;
        case PLACE_CR: /* its LF */
            l->kind = HEADER_LINE_EMPTY;
            n++;
            break;
        }
    }
    return n;
}

/* ---- a section in memory ---- */

/* Octets of the first line, with its LF; all of `s` if it has no LF. */
static size_t line_len(struct slice s)
{
    return min_size(slice_find(s, '\n') + 1, s.len);
}

static struct slice without_crlf(struct slice s)
{
    if (s.len > 0 && s.ptr[s.len - 1] == '\n') {
        s.len--;
    }
    if (s.len > 0 && s.ptr[s.len - 1] == '\r') {
        s.len--;
    }
    return s;
}

bool header_next(struct slice *rest, struct header_field *out)
{
    struct slice s = *rest;
    struct header_line l = { .keeps_name = false };
    size_t behind_colon = header_line_put(&l, s);
    size_t len;

    if (l.kind != HEADER_LINE_FIELD) {
        return false;
    }
    len = behind_colon + line_len(slice_skip(s, behind_colon));
    while (len < s.len && is_blank(s.ptr[len])) {
        len += line_len(slice_skip(s, len));
    }
    out->whole = slice_take(s, len);
    out->name = slice_take(s, l.name_len);
    out->value = without_crlf(slice_skip(out->whole, behind_colon));
    *rest = slice_skip(s, len);
    return true;
}

void header_skip_mbox(struct slice *rest)
{
    for (;;) {
        struct header_line l = { .keeps_name = true };

        (void)header_line_put(&l, *rest);
        if (l.kind != HEADER_LINE_MBOX) {
            return;
        }
        *rest = slice_skip(*rest, line_len(*rest));
    }
}

bool header_only(struct slice head, struct slice name, struct header_field *out)
{
    struct header_field f;
    unsigned fields = 0;

    header_skip_mbox(&head);
    while (header_next(&head, &f)) {
        if (header_name_is(f.name, name)) {
            *out = f;
            fields++;
        }
    }
    return fields == 1;
}

/* Counts the octets of the wanted name that match in order.  Sets *left if the name is longer. */
static size_t name_match(struct slice name, struct slice want, bool *left)
{
    size_t n = 0;

    *left = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!ascii_is_print(c)) {
            continue;
        }
        if (n == want.len || ascii_lower(c) != ascii_lower(want.ptr[n])) {
            *left = true;
            break;
        }
        n++;
    }
    return n;
}

/* Compares the first octets without bit 5, the case of a letter: most names differ there. */
static bool differs_at_once(struct slice name, struct slice want)
{
    return name.len > 0 && want.len > 0 && ascii_is_print(name.ptr[0]) &&
           ((name.ptr[0] ^ want.ptr[0]) & ~0x20) != 0;
}

bool header_name_is(struct slice name, struct slice want)
{
    bool left;

    return !differs_at_once(name, want) && name_match(name, want, &left) == want.len && !left;
}

bool header_name_starts(struct slice name, struct slice want)
{
    bool left;

    return !differs_at_once(name, want) && name_match(name, want, &left) == want.len;
}

/* ---- a section while it is received ---- */

/* Call once the kind of the line is known. */
static void on_line_kind(struct header_section *h)
{
    switch (h->line.kind) {
    case HEADER_LINE_FIELD:
        h->any_field = true;
        h->received += slice_eq_nocase(slice_of(h->line.name, h->line.kept), SLICE("Received"));
        break;
    case HEADER_LINE_EMPTY:
        h->ended = true;
        break;
    case HEADER_LINE_CONTINUATION:
        h->ended = !h->any_field;
        break;
    case HEADER_LINE_MBOX:
        h->ended = h->any_field;
        break;
    case HEADER_LINE_OTHER:
        h->ended = true;
        break;
    case HEADER_LINE_UNKNOWN:
        break;
    }
    if (h->ended && h->line.kind != HEADER_LINE_EMPTY) {
        h->octets -= h->line_octets; /* this line belongs to the body */
    }
}

/* Takes the octets at the front of `s` that belong to the line, and returns their number. */
static size_t take_piece(struct header_section *h, struct slice s)
{
    return h->line.kind == HEADER_LINE_UNKNOWN ? header_line_put(&h->line, s) : line_len(s);
}

void header_section_put(struct header_section *h, struct slice s)
{
    while (!h->ended && s.len > 0) {
        bool known = h->line.kind != HEADER_LINE_UNKNOWN;
        size_t n;

        h->line.keeps_name = true;
        n = take_piece(h, s);
        h->octets += n;
        h->line_octets += n;
        h->line_eight_bit = h->line_eight_bit || utf8_has_8bit(slice_take(s, n));
        if (!known) {
            on_line_kind(h);
        }
        if (h->line.kind != HEADER_LINE_UNKNOWN && !h->ended) {
            h->eight_bit = h->eight_bit || h->line_eight_bit;
        }
        if (known && s.ptr[n - 1] == '\n') {
            h->line = (struct header_line){ .kind = HEADER_LINE_UNKNOWN };
            h->line_octets = 0;
            h->line_eight_bit = false;
        }
        s = slice_skip(s, n);
    }
}

/* ---- writing ---- */

/* Puts one line of printable text.  Controls and folds become one blank, octets that are not UTF-8 become '?'. */
static void put_clean(struct buf *out, struct slice value)
{
    while (value.len > 0) {
        size_t n = utf8_char(value);
        unsigned char c = (unsigned char)value.ptr[0];

        if (n == 0) {
            buf_put_char(out, '?');
            n = 1;
        } else if (c >= ' ' && c != 0x7f) {
            buf_put(out, value.ptr, n);
        } else if (out->len > 0 && out->ptr[out->len - 1] != ' ') {
            buf_put_char(out, ' ');
        }
        value = slice_skip(value, n);
    }
}

/* The current line of the field, to know when to fold. */
struct fold {
    struct buf *out;
    size_t column;
};

static void new_line(struct fold *f)
{
    buf_put_str(f->out, "\r\n ");
    f->column = 1;
}

static void put_piece(struct fold *f, struct slice s)
{
    buf_put_slice(f->out, s);
    f->column += s.len;
}

/* Puts a word.  Cuts it only at the hard limit of a line. */
static void put_word(struct fold *f, struct slice word)
{
    while (word.len > 0) {
        size_t fits = f->column < HARD_MAX ? HARD_MAX - f->column : 0;
        size_t n = min_size(word.len, fits);

        while (n > 0 && n < word.len && ((unsigned char)word.ptr[n] & 0xc0) == 0x80) {
            n--; /* not within a character */
        }
        put_piece(f, slice_take(word, n));
        word = slice_skip(word, n);
        if (word.len > 0) {
            new_line(f);
        }
    }
}

/*
 * Folds only before blanks, so that unfolding restores the text (RFC 5322 2.2.3).  Writes the words of one line
 * together.
 */
static void put_folded(struct fold *f, struct slice text)
{
    size_t ready = 0; /* octets at the front of text that belong on this line */

    while (ready < text.len) {
        size_t blanks = 0, word;

        while (ready + blanks < text.len && text.ptr[ready + blanks] == ' ') {
            blanks++;
        }
        word = slice_find(slice_skip(text, ready + blanks), ' ');
        if (f->column + ready + blanks + word <= FOLD_AT) {
            ready += blanks + word;
            continue;
        }
        put_piece(f, slice_take(text, ready));
        text = slice_skip(text, ready);
        ready = 0;
        if (blanks > 0 && f->column > 1) {
            buf_put_str(f->out, "\r\n");
            f->column = 0;
        }
        put_word(f, slice_take(text, min_size(blanks, HARD_MAX / 2)));
        put_word(f, slice_take(slice_skip(text, blanks), word));
        text = slice_skip(text, blanks + word);
    }
    put_piece(f, text);
}

/* One character of an encoded word (RFC 2047 4.2, the set that is safe everywhere). */
static void put_q(struct buf *b, struct slice character)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < character.len; i++) {
        char c = character.ptr[i];
        unsigned char octet = (unsigned char)c;

        if (ascii_is_alpha(c) || ascii_is_digit(c) || slice_find(SLICE("!*+-/"), c) < 5) {
            buf_put_char(b, c);
        } else if (c == ' ') {
            buf_put_char(b, '_');
        } else {
            buf_put_char(b, '=');
            buf_put_char(b, hex[octet >> 4]);
            buf_put_char(b, hex[octet & 15]);
        }
    }
}

static void put_encoded(struct fold *f, struct slice text)
{
    static const struct slice begin = SLICE_INIT("=?utf-8?Q?"), end = SLICE_INIT("?=");

    buf_put_char(f->out, ' ');
    f->column++;
    while (text.len > 0) {
        char mem[WORD_MAX + 1];
        struct buf word;

        buf_init_fixed(&word, mem, sizeof(mem));
        buf_put_slice(&word, begin);
        /* 12: a character of four octets at most */
        while (text.len > 0 && word.len + 12 + end.len <= WORD_MAX) {
            size_t n = max_size(utf8_char(text), 1);

            put_q(&word, slice_take(text, n));
            text = slice_skip(text, n);
        }
        buf_put_slice(&word, end);
        if (f->column + word.len > FOLD_AT && f->column > 1) {
            new_line(f);
        }
        put_piece(f, buf_slice(&word));
        if (text.len > 0) {
            new_line(f);
        }
    }
}

void field_put(struct buf *out, struct slice name, struct slice value, bool utf8)
{
    struct fold f = { .out = out };
    bool plain = slice_plain(value) == value.len; /* the usual case: nothing to clean */
    struct buf clean;
    struct slice text = slice_trim(value);

    buf_init(&clean, value.len + 1);
    if (!plain) {
        put_clean(&clean, value);
        text = slice_trim(buf_slice(&clean));
    }
    put_piece(&f, name);
    put_piece(&f, SLICE(":"));
    if (text.len > 0 && (utf8 || !utf8_has_8bit(text))) {
        put_piece(&f, SLICE(" "));
        put_folded(&f, text);
    } else if (text.len > 0) {
        put_encoded(&f, text);
    }
    buf_put_str(out, "\r\n");
    buf_fini(&clean);
}
