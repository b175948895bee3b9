/*
 * field.c - header fields taken from a section, and written from a value of any origin (field.h).
 *
 * Reading: a field is a line with a name, perhaps blanks, and a colon, and the lines behind it that begin
 * with a blank.  A name is anything without blanks, line ends and colons, even nothing at all or octets above
 * 127: what a lenient reader behind us might take for a field must not hide a forged one (HDR-14).
 *
 * Writing: the value is reduced to one unfolded text, which is then folded anew or, if it is not ASCII and
 * may not stay so, RFC 2047-encoded.
 *
 * Limits     FOLD_AT wished, HARD_MAX at most, without CRLF.
 */
#include "smtp/field.h"

#include "core/utf8.h"

#define FOLD_AT 78
#define HARD_MAX 990 /* below 998, with room for the blank of a fold and a character */
#define WORD_MAX 75  /* of an encoded word: RFC 2047 2 */

/* ---- reading ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Octets of the line in front, LF included; all of it if there is no LF. */
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

/* Octets of a name in front; *colon is where its colon is, or where there should be one. */
static size_t name_len(struct slice line, size_t *colon)
{
    size_t n = 0;

    while (n < line.len && line.ptr[n] != ':' && line.ptr[n] != '\r' && !is_blank(line.ptr[n])) {
        n++;
    }
    *colon = n;
    while (*colon < line.len && is_blank(line.ptr[*colon])) {
        ++*colon;
    }
    return n;
}

bool header_next(struct slice *rest, struct header_field *out)
{
    struct slice s = *rest;
    size_t len = line_len(s);
    size_t colon;
    size_t name = name_len(slice_take(s, len), &colon);

    if (s.len == 0 || is_blank(s.ptr[0]) || colon >= len || s.ptr[colon] != ':') {
        return false;
    }
    while (len < s.len && is_blank(s.ptr[len])) {
        len += line_len(slice_skip(s, len));
    }
    out->whole = slice_take(s, len);
    out->name = slice_take(s, name);
    out->value = without_crlf(slice_skip(out->whole, colon + 1));
    *rest = slice_skip(s, len);
    return true;
}

/* Octets of a mailbox's "From " or ">From " line in front (HDR-11); 0: there is none. */
static size_t mbox_line(struct slice s)
{
    size_t len = line_len(s);
    size_t colon;
    size_t name = name_len(slice_take(s, len), &colon);

    if (!slice_eq(slice_take(s, name), SLICE("From")) && !slice_eq(slice_take(s, name), SLICE(">From"))) {
        return 0;
    }
    /* "From : x" is a field */
    return colon > name && colon < len && s.ptr[colon] != ':' ? len : 0;
}

void header_skip_mbox(struct slice *rest)
{
    size_t n;

    while ((n = mbox_line(*rest)) > 0) {
        *rest = slice_skip(*rest, n);
    }
}

/* How many octets of the wanted name are there in order; *left becomes true if the name goes on. */
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

bool header_name_is(struct slice name, struct slice want)
{
    bool left;

    return name_match(name, want, &left) == want.len && !left;
}

bool header_name_starts(struct slice name, struct slice want)
{
    bool left;

    return name_match(name, want, &left) == want.len;
}

/* ---- writing ---- */

/* One line of printable text: controls and folds become one blank, octets that are not UTF-8 '?'. */
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

/* A line of the field: what is on it, to know when to fold. */
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

/* A word, cut only where a line would pass the hard limit. */
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
 * Folds before blanks only, so that unfolding gives the same text (RFC 5322 2.2.3).  Words of one line are
 * written together.
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
    bool plain = slice_plain(value) == value.len; /* nearly always: then it is clean as it is */
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
