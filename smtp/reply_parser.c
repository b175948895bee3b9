/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply_parser.c - a strict parser for the replies of an upstream.
 *
 * The parser takes all octets of a reply as they arrive.  It keeps an incomplete line at the end of p->text, after
 * the texts of earlier lines, and reduces it to its text in place once its LF has arrived.  Lines may end with LF
 * alone (RPL-06), because nothing depends on the line end.  Codes must be exact: three digits, the first 2..5, the
 * same in all lines, followed by nothing, a blank or a hyphen (RPL-05, RPL-10).  Anything else is not a reply, and
 * never an acceptance.
 *
 * Owns: the text.  Limits: REPLY_UPSTREAM_LINE, _LINES and _BYTES (RPL-09).  RFC: 5321 4.2, 3463 2.
 */
#include "smtp/smtp_reply.h"

#define CODE_LEN 3

void reply_parser_init(struct reply_parser *p)
{
    *p = (struct reply_parser){ 0 };
    buf_init(&p->text, REPLY_UPSTREAM_BYTES + 1);
}

void reply_parser_fini(struct reply_parser *p)
{
    buf_fini(&p->text);
}

void reply_parser_reset(struct reply_parser *p)
{
    buf_reset(&p->text);
    p->line_start = 0;
    p->code = 0;
    p->lines = 0;
    p->bytes = 0;
    p->enhanced[0] = '\0';
    p->bad = false;
    p->over = false;
}

/* 200..599, or 0. */
static unsigned code_of(struct slice line)
{
    if (line.len < CODE_LEN || line.ptr[0] < '2' || line.ptr[0] > '5' || !ascii_is_digit(line.ptr[1]) ||
        !ascii_is_digit(line.ptr[2])) {
        return 0;
    }
    if (line.len > CODE_LEN && line.ptr[CODE_LEN] != ' ' && line.ptr[CODE_LEN] != '-') {
        return 0;
    }
    return (unsigned)(line.ptr[0] - '0') * 100 + (unsigned)(line.ptr[1] - '0') * 10 +
           (unsigned)(line.ptr[2] - '0');
}

/* The number of digits at position `at`, 1..3, or 0. */
static size_t number_at(struct slice s, size_t at)
{
    size_t n = 0;

    while (at + n < s.len && n < 4 && ascii_is_digit(s.ptr[at + n])) {
        n++;
    }
    return n <= 3 ? n : 0;
}

/* Length of a leading enhanced code that a blank or nothing follows; 0: none. */
static size_t enhanced_len(struct slice s)
{
    size_t a, b, end;

    if (s.len < 5 || (s.ptr[0] != '2' && s.ptr[0] != '4' && s.ptr[0] != '5') || s.ptr[1] != '.') {
        return 0;
    }
    a = number_at(s, 2);
    if (a == 0 || 2 + a >= s.len || s.ptr[2 + a] != '.') {
        return 0;
    }
    b = number_at(s, 3 + a);
    end = 3 + a + b;
    return b > 0 && (end == s.len || s.ptr[end] == ' ') ? end : 0;
}

/* Removes the enhanced code from the text, and stores the first one. */
static struct slice take_enhanced(struct reply_parser *p, struct slice text)
{
    size_t n = enhanced_len(text);

    if (n == 0 || n >= sizeof(p->enhanced)) {
        return text;
    }
    if (p->enhanced[0] == '\0') {
        memcpy(p->enhanced, text.ptr, n);
        p->enhanced[n] = '\0';
    }
    text = slice_skip(text, n);
    return text.len > 0 ? slice_skip(text, 1) : text;
}

/* Replaces control characters: some client could take a raw CR for the end of the reply (RPL-07). */
static char clean(char c)
{
    if (c == '\r' || c == '\t') {
        return ' ';
    }
    return (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
}

/* Replaces a line by its text, which is shorter by at least the code. */
static void keep_text(struct reply_parser *p, struct slice text)
{
    char *to = p->text.ptr + p->line_start;

    if (p->lines > 0) {
        *to++ = '\n';
    }
    for (size_t i = 0; i < text.len; i++) {
        to[i] = clean(text.ptr[i]);
    }
    buf_truncate(&p->text, (size_t)(to + text.len - p->text.ptr));
    p->line_start = p->text.len;
    p->lines++;
}

static enum reply_status finish(struct reply_parser *p, enum reply_status status, struct reply *out)
{
    p->over = true;
    if (status == REPLY_DONE) {
        out->code = p->code;
        out->enhanced = slice_str(p->enhanced);
        out->text = buf_slice(&p->text);
    }
    return status;
}

/* Takes the complete line at line_start. */
static enum reply_status take_line(struct reply_parser *p, struct reply *out)
{
    struct slice line = slice_skip(buf_slice(&p->text), p->line_start);
    unsigned code;
    bool more;

    while (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    code = code_of(line);
    if (code == 0) {
        return finish(p, REPLY_BAD, out);
    }
    if (p->code == 0) {
        p->code = code;
    }
    p->bad |= code != p->code;
    more = line.len > CODE_LEN && line.ptr[CODE_LEN] == '-';
    keep_text(p, take_enhanced(p, slice_skip(line, CODE_LEN + 1)));
    if (more && p->lines < REPLY_UPSTREAM_LINES) {
        return REPLY_MORE;
    }
    return finish(p, more || p->bad ? REPLY_BAD : REPLY_DONE, out);
}

enum reply_status reply_parser_feed(struct reply_parser *p, struct slice in, size_t *used, struct reply *out)
{
    *used = 0;
    if (p->over) { /* the last reply was returned; this is a new one */
        reply_parser_reset(p);
    }
    while (in.len > 0) {
        size_t lf = slice_find(in, '\n');
        enum reply_status status;

        p->bytes += min_size(lf + 1, in.len);
        if (p->text.len - p->line_start + lf > REPLY_UPSTREAM_LINE - 1 || p->bytes > REPLY_UPSTREAM_BYTES) {
            return finish(p, REPLY_BAD, out);
        }
        buf_put(&p->text, in.ptr, lf);
        if (lf == in.len) {
            *used += lf;
            return REPLY_MORE;
        }
        *used += lf + 1;
        in = slice_skip(in, lf + 1);
        status = take_line(p, out);
        if (status != REPLY_MORE) {
            return status;
        }
    }
    return REPLY_MORE;
}
