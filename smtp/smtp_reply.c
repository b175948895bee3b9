/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_reply.c - our own replies as a table, and the one function that writes any reply.
 *
 * Upstream replies pass through here too.  So this code keeps control characters, lines over 512 octets, and
 * enhanced codes that contradict the reply code from the client.  reply_parser.c parses the upstream's octets.
 *
 * RFC: 5321 4.2, 4.5.3.1.5; 2034 and 3463 (enhanced codes); 6531 3.7.4.1 (UTF-8 in replies).
 * Limits: REPLY_LINE_MAX octets a line, REPLY_UPSTREAM_LINES lines; longer text is truncated.
 */
#include "smtp/smtp_reply.h"

#include "core/utf8.h"

const struct reply reply_table[REPLY_COUNT] = {
#define X(name, code, enhanced, text) [REPLY_##name] = { code, SLICE_INIT(enhanced), SLICE_INIT(text) },
    REPLY_LIST(X)
#undef X
};

enum reply_id reply_of_parse(enum parse_status status)
{
    switch (status) {
    case PARSE_OK:
    case PARSE_SOURCE_ROUTE:
        return REPLY_OK;
    case PARSE_SYNTAX:
    case PARSE_BAD_PARAM:
        return REPLY_SYNTAX;
    case PARSE_BAD_SENDER:
        return REPLY_BAD_SENDER;
    case PARSE_BAD_RECIPIENT:
        return REPLY_BAD_RECIPIENT;
    case PARSE_UTF8_NEEDED:
        return REPLY_UTF8_NEEDED;
    case PARSE_BAD_UTF8:
        return REPLY_BAD_UTF8;
    case PARSE_UNKNOWN_PARAM:
        return REPLY_UNKNOWN_PARAM;
    case PARSE_NO_MEMORY:
        break;
    }
    return REPLY_NO_MEMORY;
}

void reply_put_suffix(struct buf *out, const char *session_id)
{
    buf_put_str(out, " [");
    buf_put_str(out, session_id);
    buf_put_char(out, ']');
}

struct reply *reply_copy(const struct reply *r)
{
    struct reply *copy = xmalloc(sizeof(*copy) + r->enhanced.len + r->text.len);
    char *tail = (char *)(copy + 1);

    copy->code = r->code;
    if (r->enhanced.len > 0) {
        memcpy(tail, r->enhanced.ptr, r->enhanced.len);
    }
    copy->enhanced = slice_of(tail, r->enhanced.len);
    tail += r->enhanced.len;
    if (r->text.len > 0) {
        memcpy(tail, r->text.ptr, r->text.len);
    }
    copy->text = slice_of(tail, r->text.len);
    return copy;
}

void reply_free(struct reply **r)
{
    free(*r);
    *r = NULL;
}

/* The class digit of an enhanced code, or 0 if `s` is not one. */
static unsigned enhanced_class(struct slice s)
{
    return s.len >= 5 && s.len <= 9 && s.ptr[1] == '.' ? (unsigned)(s.ptr[0] - '0') : 0;
}

/* Puts everything before the text: "550 5.1.1 " or "550-". */
static void put_start(struct buf *line, const struct reply *r, bool last, bool with_enhanced)
{
    unsigned class = r->code / 100;

    buf_put_u64(line, r->code);
    buf_put_char(line, last ? ' ' : '-');
    if (!with_enhanced || class == 3) { /* 3yz has no enhanced code: RFC 2034 4 */
        return;
    }
    if (enhanced_class(r->enhanced) == class) {
        buf_put_slice(line, r->enhanced);
    } else {
        buf_put_u64(line, class);
        buf_put_str(line, ".0.0");
    }
    buf_put_char(line, ' ');
}

/* Puts as much of the text as fits `room`, with octets unfit for a client replaced (RPL-13). */
static void put_text(struct buf *line, struct slice text, size_t room, bool utf8)
{
    while (text.len > 0) {
        size_t plain = slice_plain(slice_take(text, room)), n;
        bool good;

        buf_put(line, text.ptr, plain);
        room -= plain;
        text = slice_skip(text, plain);
        if (text.len == 0) {
            return;
        }
        n = utf8 ? utf8_char(text) : 1; /* 0: not UTF-8 */
        good = n > 1 || ascii_is_print(text.ptr[0]);
        n = max_size(n, 1);
        if (n > room) {
            return;
        }
        if (good) {
            buf_put(line, text.ptr, n);
        } else {
            buf_put_char(line, text.ptr[0] == '\t' ? ' ' : '?');
        }
        room -= n;
        text = slice_skip(text, n);
    }
}

/* RFC 5321 allows an empty text, but some clients do not. */
static struct slice text_of(const struct reply *r)
{
    if (r->text.len > 0) {
        return r->text;
    }
    switch (r->code / 100) {
    case 2:
        return SLICE("Ok");
    case 3:
        return SLICE("Go on");
    case 4:
        return SLICE("Temporary failure");
    default:
        return SLICE("Refused");
    }
}

void reply_write(struct buf *out, const struct reply *r, bool with_enhanced, bool utf8, struct slice suffix)
{
    struct slice rest = text_of(r);
    unsigned lines = 0;
    bool last;

    do {
        char mem[REPLY_LINE_MAX + 1];
        struct buf line;
        struct slice text = slice_cut(&rest, '\n');
        size_t tail;

        last = rest.len == 0 || ++lines == REPLY_UPSTREAM_LINES;
        tail = last ? min_size(suffix.len, REPLY_LINE_MAX / 2) : 0;
        buf_init_fixed(&line, mem, sizeof(mem));
        put_start(&line, r, last, with_enhanced);
        put_text(&line, text, REPLY_LINE_MAX - 2 - tail - line.len, utf8);
        buf_put(&line, suffix.ptr, tail);
        buf_put_str(&line, "\r\n");
        buf_put_slice(out, buf_slice(&line));
    } while (!last);
}
