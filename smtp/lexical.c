/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lexical.c - the small parts of structured header fields (lexical.h).
 *
 * Mail readers differ in what they tolerate.  Where it matters the callers try several readings.  The functions
 * here follow RFC 5322, with its obsolete syntax.
 */
#include "smtp/lexical.h"

/* ---- comments and quoted strings ---- */

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Octets of the comment at the front, with nested ones; 0: it has no end. */
static size_t comment_len(struct slice s)
{
    size_t depth = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\') {
            i++;
        } else if (s.ptr[i] == '(') {
            depth++;
        } else if (s.ptr[i] == ')' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

bool lex_skip_cfws(struct slice *s, struct slice *comment)
{
    while (s->len > 0 && (is_white(s->ptr[0]) || s->ptr[0] == '(')) {
        size_t n = 1;

        if (s->ptr[0] == '(') {
            n = comment_len(*s);
        }
        if (n == 0) {
            return false;
        }
        if (n > 2 && comment != NULL && slice_empty(*comment)) {
            *comment = slice_of(s->ptr + 1, n - 2);
        }
        *s = slice_skip(*s, n);
    }
    return true;
}

bool lex_quoted(struct slice *s, struct buf *out)
{
    for (size_t i = 1; i < s->len; i++) {
        char c = s->ptr[i];

        if (c == '"') {
            *s = slice_skip(*s, i + 1);
            return true;
        }
        if (c == '\\' && i + 1 < s->len) {
            c = s->ptr[++i];
        }
        if (out != NULL && c != '\r' && c != '\n') {
            buf_put_char(out, c);
        }
    }
    return false;
}

bool lex_is_atext(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || (unsigned char)c > 0x7f ||
           slice_find(SLICE("!#$%&'*+-/=?^_`{|}~"), c) < 19;
}

/* ---- encoded words ---- */

#define ENCODED_MAX 500 /* RFC 2047 allows 75; bounds how often we read an octet */

struct encoded_word {
    struct slice text;
    bool base64;
};

static int hex_value(char c)
{
    char lower = ascii_lower(c);

    if (ascii_is_digit(c)) {
        return c - '0';
    }
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (ascii_is_digit(c)) {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void put_base64(struct buf *out, struct slice s)
{
    uint32_t bits = 0;
    unsigned have = 0;

    for (size_t i = 0; i < s.len; i++) {
        int v = base64_value(s.ptr[i]);

        if (v < 0) {
            continue; /* padding, or an octet that readers skip */
        }
        bits = (bits << 6 | (uint32_t)v) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_put_char(out, (char)(bits >> have & 0xff));
        }
    }
}

static void put_q(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '=' && i + 2 < s.len && hex_value(s.ptr[i + 1]) >= 0 && hex_value(s.ptr[i + 2]) >= 0) {
            c = (char)(hex_value(s.ptr[i + 1]) << 4 | hex_value(s.ptr[i + 2]));
            i += 2;
        }
        buf_put_char(out, c == '_' ? ' ' : c);
    }
}

/* Takes an encoded word "=?charset?Q?text?=" from the front, if there is one.  A charset has no blank and no '?'. */
static bool take_encoded(struct slice *s, struct encoded_word *word)
{
    struct slice rest = slice_skip(*s, 2);
    size_t charset = 0;
    const char *end;

    if (!slice_starts(*s, SLICE("=?"))) {
        return false;
    }
    while (charset < rest.len && charset < 64 && rest.ptr[charset] != '?' && !is_white(rest.ptr[charset])) {
        charset++;
    }
    rest = slice_skip(rest, charset);
    if (rest.len < 3 || rest.ptr[0] != '?' || rest.ptr[2] != '?' ||
        (ascii_lower(rest.ptr[1]) != 'q' && ascii_lower(rest.ptr[1]) != 'b')) {
        return false;
    }
    word->base64 = ascii_lower(rest.ptr[1]) == 'b';
    rest = slice_skip(rest, 3);
    end = memmem(rest.ptr, min_size(rest.len, ENCODED_MAX), "?=", 2);
    if (end == NULL) {
        return false;
    }
    word->text = slice_take(rest, (size_t)(end - rest.ptr));
    *s = slice_skip(rest, word->text.len + 2);
    return true;
}

void lex_put_decoded(struct buf *out, struct slice s)
{
    struct encoded_word word;

    while (s.len > 0) {
        struct slice behind;

        if (!take_encoded(&s, &word)) {
            size_t n = slice_find(slice_skip(s, 1), '=') + 1;

            buf_put_slice(out, slice_take(s, n));
            s = slice_skip(s, n);
            continue;
        }
        if (word.base64) {
            put_base64(out, word.text);
        } else {
            put_q(out, word.text);
        }
        behind = s;
        while (behind.len > 0 && is_white(behind.ptr[0])) {
            behind = slice_skip(behind, 1);
        }
        s = slice_starts(behind, SLICE("=?")) ? behind : s;
    }
}
