/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_macro.c - macro-strings: the same walk over the text checks it, finds %{p} and expands it.
 *
 * A macro is %{ letter digits r delimiters }.  Its value is split at the delimiters, reversed, reduced to the last
 * `digits` parts and joined with dots.  A capital letter then escapes characters that a URL must not hold.  A record
 * of 8 KiB can demand megabytes of expansion, so every octet processed is charged to the budget of the run.  Names
 * keep only their right end (RFC 7208 7.3).
 *
 * RFC        7208 7.1 to 7.3, 12
 */
#include "policy/spf/spf_macro.h"

enum {
    PARTS_MAX = 128, /* of a value; more than any legal use needs, the rest stays one part */
};

struct macro {
    char letter; /* lower case */
    bool escape; /* it was a capital */
    bool reverse;
    size_t parts;        /* rightmost parts kept; 0: all */
    struct slice delims; /* empty: the dot */
};

/* The kind of piece that the walk found. */
enum piece {
    PIECE_END = 0,
    PIECE_LITERAL, /* one octet in *literal */
    PIECE_ESCAPE,  /* %% %_ %-: their text in *fixed */
    PIECE_MACRO,
    PIECE_BAD,
};

struct walk {
    struct slice rest;
    char literal;
    const char *fixed;
    struct macro macro;
};

static bool is_delimiter(char c)
{
    return c == '.' || c == '-' || c == '+' || c == ',' || c == '/' || c == '_' || c == '=';
}

/* Parses the part between "%{" and "}"; moves *s past the brace. */
static bool parse_macro(struct slice *s, struct macro *m)
{
    size_t i = 1;
    size_t digits_at = 1;

    if (s->len < 2 || !ascii_is_alpha(s->ptr[0])) {
        return false;
    }
    *m = (struct macro){ .letter = ascii_lower(s->ptr[0]) };
    m->escape = m->letter != s->ptr[0];
    for (; i < s->len && ascii_is_digit(s->ptr[i]); i++) {
        m->parts = min_size(m->parts * 10 + (size_t)(s->ptr[i] - '0'), PARTS_MAX);
    }
    if (i > digits_at && m->parts == 0) {
        return false; /* "%{d0}": RFC 7208 7.1 */
    }
    if (i < s->len && ascii_lower(s->ptr[i]) == 'r') {
        m->reverse = true;
        i++;
    }
    m->delims = slice_of(s->ptr + i, 0);
    for (; i < s->len && is_delimiter(s->ptr[i]); i++) {
        m->delims.len++;
    }
    if (i == s->len || s->ptr[i] != '}') {
        return false;
    }
    *s = slice_skip(*s, i + 1);
    return true;
}

static enum piece next_piece(struct walk *w)
{
    char c;

    if (slice_empty(w->rest)) {
        return PIECE_END;
    }
    c = w->rest.ptr[0];
    w->rest = slice_skip(w->rest, 1);
    if (c != '%') {
        w->literal = c;
        return PIECE_LITERAL;
    }
    if (slice_empty(w->rest)) {
        return PIECE_BAD;
    }
    c = w->rest.ptr[0];
    w->rest = slice_skip(w->rest, 1);
    if (c == '{') {
        return parse_macro(&w->rest, &w->macro) ? PIECE_MACRO : PIECE_BAD;
    }
    w->fixed = c == '%' ? "%" : c == '_' ? " " : c == '-' ? "%20" : NULL;
    return w->fixed != NULL ? PIECE_ESCAPE : PIECE_BAD;
}

/* "." toplabel [ "." ], where `tail` follows the last macro. */
static bool ends_in_toplabel(struct slice tail)
{
    bool not_numeric = false;
    size_t dot;

    if (!slice_empty(tail) && tail.ptr[tail.len - 1] == '.') {
        tail.len--;
    }
    dot = slice_rfind(tail, '.');
    if (dot == tail.len) {
        return false;
    }
    tail = slice_skip(tail, dot + 1);
    if (slice_empty(tail) || tail.ptr[0] == '-' || tail.ptr[tail.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < tail.len; i++) {
        if (!ascii_is_alpha(tail.ptr[i]) && !ascii_is_digit(tail.ptr[i]) && tail.ptr[i] != '-') {
            return false;
        }
        not_numeric = not_numeric || !ascii_is_digit(tail.ptr[i]);
    }
    return not_numeric;
}

static bool letter_allowed(char letter, enum spf_macro_place place)
{
    switch (letter) {
    case 's':
    case 'l':
    case 'o':
    case 'd':
    case 'i':
    case 'p':
    case 'v':
    case 'h':
        return true;
    case 'c':
    case 'r':
    case 't':
        return place != SPF_MACRO_DOMAIN;
    default:
        return false;
    }
}

static struct slice value_of(char letter, const struct spf_macro_values *v)
{
    switch (letter) {
    case 's':
        return v->sender;
    case 'l':
        return v->local;
    case 'o':
        return v->origin;
    case 'd':
        return v->domain;
    case 'i':
        return v->ip;
    case 'c':
        return v->readable;
    case 'p':
        return v->validated;
    case 'v':
        return v->version;
    case 'h':
        return v->helo;
    case 'r':
        return v->receiver;
    default:
        return v->now;
    }
}

/* Destination of expanded octets. */
struct sink {
    struct buf *out;
    size_t keep; /* 0: stop when full; else drop from the left and keep at least so many */
    size_t *budget;
    bool dry; /* the budget is used up */
};

static void charge(struct sink *k, size_t n)
{
    k->dry = k->dry || n > *k->budget;
    *k->budget -= min_size(n, *k->budget);
}

static void put_octet(struct sink *k, char c)
{
    if (k->keep != 0 && k->out->len >= 2 * k->keep - 1) {
        buf_drop(k->out, k->out->len - k->keep);
    }
    buf_put_char(k->out, c);
}

/* Leaves RFC 3986 2.3 unreserved characters as they are. */
static void put_escaped(struct sink *k, char c)
{
    static const char hex[] = "0123456789ABCDEF";
    uint8_t octet = (uint8_t)c;

    if (ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~') {
        put_octet(k, c);
        return;
    }
    put_octet(k, '%');
    put_octet(k, hex[octet >> 4]);
    put_octet(k, hex[octet & 15]);
}

static void put_part(struct sink *k, struct slice part, bool escape)
{
    charge(k, part.len + 1);
    for (size_t i = 0; i < part.len && !k->dry; i++) {
        if (escape) {
            put_escaped(k, part.ptr[i]);
        } else {
            put_octet(k, part.ptr[i]);
        }
    }
}

static size_t split(struct slice value, struct slice delims, struct slice parts[PARTS_MAX])
{
    size_t count = 0;
    size_t start = 0;

    for (size_t i = 0; i < value.len && count < PARTS_MAX - 1; i++) {
        if (slice_find(delims, value.ptr[i]) != delims.len) {
            parts[count++] = slice_of(value.ptr + start, i - start);
            start = i + 1;
        }
    }
    parts[count++] = slice_skip(value, start);
    return count;
}

static void put_macro(struct sink *k, const struct macro *m, const struct spf_macro_values *v)
{
    struct slice parts[PARTS_MAX];
    struct slice value = value_of(m->letter, v);
    size_t count;
    size_t first;

    if (m->parts == 0 && !m->reverse && slice_empty(m->delims)) {
        put_part(k, value, m->escape);
        return;
    }
    charge(k, value.len);
    count = split(value, slice_empty(m->delims) ? SLICE(".") : m->delims, parts);
    first = m->parts != 0 && m->parts < count ? count - m->parts : 0;
    for (size_t i = first; i < count && !k->dry; i++) {
        if (i > first) {
            put_octet(k, '.');
        }
        put_part(k, parts[m->reverse ? count - 1 - i : i], m->escape);
    }
}

static bool expand(struct sink *k, struct slice text, const struct spf_macro_values *v)
{
    struct walk w = { .rest = text };

    for (;;) {
        if (k->dry || (k->keep == 0 && !buf_ok(k->out))) {
            return !k->dry;
        }
        charge(k, 1);
        switch (next_piece(&w)) {
        case PIECE_END:
        case PIECE_BAD: /* impossible after spf_macro_valid() */
            return !k->dry;
        case PIECE_LITERAL:
            put_octet(k, w.literal);
            break;
        case PIECE_ESCAPE:
            put_part(k, slice_str(w.fixed), false);
            break;
        case PIECE_MACRO:
            put_macro(k, &w.macro, v);
            break;
        }
    }
}

bool spf_macro_valid(struct slice text, enum spf_macro_place place)
{
    struct walk w = { .rest = text };
    struct slice tail = text; /* literals after the last macro */
    bool macro_last = false;

    for (;;) {
        enum piece p = next_piece(&w);

        if (p == PIECE_END) {
            return place != SPF_MACRO_DOMAIN || macro_last || ends_in_toplabel(tail);
        }
        if (p == PIECE_BAD || (p == PIECE_MACRO && !letter_allowed(w.macro.letter, place))) {
            return false;
        }
        if (p == PIECE_LITERAL &&
            (!ascii_is_print(w.literal) || (w.literal == ' ' && place != SPF_MACRO_TEXT))) {
            return false;
        }
        macro_last = p != PIECE_LITERAL;
        if (macro_last) {
            tail = w.rest;
        }
    }
}

bool spf_macro_uses_p(struct slice text)
{
    struct walk w = { .rest = text };

    for (;;) {
        enum piece p = next_piece(&w);

        if (p == PIECE_END || p == PIECE_BAD) {
            return false;
        }
        if (p == PIECE_MACRO && w.macro.letter == 'p') {
            return true;
        }
    }
}

bool spf_macro_name(struct buf *out, struct slice text, const struct spf_macro_values *v, size_t *budget)
{
    struct sink k = { .out = out, .keep = out->max / 2, .budget = budget };

    return expand(&k, text, v);
}

bool spf_macro_text(struct buf *out, struct slice text, const struct spf_macro_values *v, size_t *budget)
{
    struct sink k = { .out = out, .budget = budget };

    return expand(&k, text, v);
}
