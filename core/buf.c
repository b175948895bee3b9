/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.c - growable text with a maximum, and the two ways to quote text from a peer.
 *
 * The size doubles from 64 octets to the maximum plus one for the NUL.  A text that does not fit is cut at the last
 * octet that does, and nothing is added afterwards: a cut text must not continue with another one.  A failed
 * allocation counts as "does not fit".
 */
#include "core/buf.h"

#include "core/utf8.h"

#define FIRST_CAP 64

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .max = min_size(max, SIZE_MAX - 1) };
}

void buf_init_fixed(struct buf *b, char *mem, size_t size)
{
    BUG_ON(size == 0);
    *b = (struct buf){ .ptr = mem, .cap = size, .max = size - 1, .fixed = true };
    mem[0] = '\0';
}

void buf_fini(struct buf *b)
{
    if (!b->fixed) {
        free(b->ptr);
    }
    *b = (struct buf){ .max = b->fixed ? 0 : b->max };
}

void buf_reset(struct buf *b)
{
    b->failed = false;
    buf_truncate(b, 0);
}

/* Makes room for n more octets and the NUL; the caller has compared n with max. */
static bool make_room(struct buf *b, size_t n)
{
    size_t need = b->len + n + 1;
    size_t cap = b->cap;
    char *ptr;

    if (need <= cap) {
        return true;
    }
    if (cap > (SIZE_MAX - 1) / 2) {
        return false;
    }
    cap = max_size(max_size(cap * 2, need), FIRST_CAP);
    cap = max_size(min_size(cap, b->max + 1), need);
    ptr = realloc(b->ptr, cap);
    if (ptr == NULL) {
        return false;
    }
    b->ptr = ptr;
    b->cap = cap;
    return true;
}

void buf_put_grow(struct buf *b, const void *data, size_t len)
{
    size_t fits = min_size(len, b->max - b->len);

    if (b->failed || len == 0) {
        return;
    }
    if (!make_room(b, fits)) {
        b->failed = true;
        return;
    }
    memcpy(b->ptr + b->len, data, fits);
    b->len += fits;
    b->ptr[b->len] = '\0';
    b->failed = fits < len;
}

#define DIGITS_MAX 20 /* of 2^64 - 1 */

void buf_put_digits(struct buf *b, uint64_t value, unsigned digits)
{
    char text[DIGITS_MAX];
    size_t at = sizeof(text), first = sizeof(text) - min_size(digits, sizeof(text));

    while (value != 0 || at > first) {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    }
    buf_put(b, text + at, sizeof(text) - at);
}

void buf_put_u64(struct buf *b, uint64_t value)
{
    buf_put_digits(b, value, 1);
}

void buf_put_i64(struct buf *b, int64_t value)
{
    if (value < 0) {
        buf_put_char(b, '-');
    }
    buf_put_u64(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vputf(b, fmt, ap);
    va_end(ap);
}

void buf_vputf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    size_t room = b->cap - b->len;
    int want;

    if (b->failed) {
        return;
    }
    va_copy(again, ap);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the caller has started it */
    want = vsnprintf(room ? b->ptr + b->len : NULL, room, fmt, ap);
    if (want < 0) {
        b->failed = true;
    } else if ((size_t)want < room && (size_t)want <= b->max - b->len) {
        b->len += (size_t)want;
    } else {
        size_t fits = min_size((size_t)want, b->max - b->len);

        b->failed = !make_room(b, fits);
        if (!b->failed) {
            (void)vsnprintf(b->ptr + b->len, fits + 1, fmt, again);
            b->len += fits;
            b->failed = fits < (size_t)want;
        } else if (room) {
            b->ptr[b->len] = '\0';
        }
    }
    va_end(again);
}

void buf_drop(struct buf *b, size_t n)
{
    BUG_ON(n > b->len);
    if (n == 0) {
        return;
    }
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
    b->ptr[b->len] = '\0';
}

void buf_truncate(struct buf *b, size_t len)
{
    BUG_ON(len > b->len);
    b->len = len;
    if (b->ptr) {
        b->ptr[len] = '\0';
    }
}

static void put_hex(struct buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    buf_put_char(b, hex[c >> 4]);
    buf_put_char(b, hex[c & 15]);
}

void buf_put_quoted(struct buf *b, struct slice s, size_t max)
{
    size_t len = min_size(s.len, max);
    size_t done = 0;

    while (done < len && !b->failed) {
        size_t plain = done;

        while (plain < len && ascii_is_print(s.ptr[plain]) && s.ptr[plain] != '"' && s.ptr[plain] != '\\') {
            plain++;
        }
        if (plain > done) {
            buf_put(b, s.ptr + done, plain - done);
        }
        if (plain < len) {
            buf_put(b, "\\x", 2);
            put_hex(b, (unsigned char)s.ptr[plain++]);
        }
        done = plain;
    }
    if (len < s.len) {
        buf_put(b, "...", 3);
    }
}

/* Escapes one octet that is not safe in JSON, on a terminal or for our log reader. */
static void put_json_escape(struct buf *b, unsigned char c)
{
    switch (c) {
    case '"':
        buf_put(b, "\\\"", 2);
        break;
    case '\\':
        buf_put(b, "\\\\", 2);
        break;
    case '\n':
        buf_put(b, "\\n", 2);
        break;
    case '\r':
        buf_put(b, "\\r", 2);
        break;
    case '\t':
        buf_put(b, "\\t", 2);
        break;
    default:
        buf_put(b, "\\u00", 4);
        put_hex(b, c);
        break;
    }
}

/* Four digits of one UTF-16 unit. */
static void put_json_unit(struct buf *b, uint32_t unit)
{
    buf_put(b, "\\u", 2);
    put_hex(b, (unsigned char)(unit >> 8));
    put_hex(b, (unsigned char)(unit & 0xff));
}

/* A character beyond ASCII: one unit, or a pair of surrogates (RFC 8259 7). */
static void put_json_beyond(struct buf *b, uint32_t point)
{
    if (point < 0x10000) {
        put_json_unit(b, point);
        return;
    }
    put_json_unit(b, 0xd800 + ((point - 0x10000) >> 10));
    put_json_unit(b, 0xdc00 + ((point - 0x10000) & 0x3ff));
}

/* Puts the first character of s; returns its length in octets. */
static size_t put_json_char(struct buf *b, struct slice s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t len = utf8_char(s);

    if (len == 0) {
        buf_put(b, "\\\\x", 3); /* not UTF-8: reads \xNN, as in buf_put_quoted */
        put_hex(b, c);
        return 1;
    }
    if (len == 1) {
        put_json_escape(b, c);
    } else {
        put_json_beyond(b, utf8_decode(s, &len)); /* C1 controls and override marks affect terminals */
    }
    return len;
}

#define EACH_OCTET(c) ((uint64_t)(c)*0x0101010101010101)

/* Is one of these eight octets not plain: above 0x7e, below 0x20, '"' or '\'?  May return true wrongly, but never
 * false wrongly. */
static bool has_special(const char *p)
{
    uint64_t word, quote, backslash;

    memcpy(&word, p, sizeof(word));
    quote = word ^ EACH_OCTET('"');
    backslash = word ^ EACH_OCTET('\\');
    return ((word | (word + EACH_OCTET(1)) | (word - EACH_OCTET(' ')) | (quote - EACH_OCTET(1)) |
             (backslash - EACH_OCTET(1))) &
            EACH_OCTET(0x80)) != 0;
}

/* Number of octets at the front that JSON needs no escape for; most octets of a log line. */
static size_t json_plain(struct slice s)
{
    size_t n = 0;

    while (n + 8 <= s.len && !has_special(s.ptr + n)) {
        n += 8;
    }
    while (n < s.len && ascii_is_print(s.ptr[n]) && s.ptr[n] != '"' && s.ptr[n] != '\\') {
        n++;
    }
    return n;
}

void buf_put_json(struct buf *b, struct slice s, size_t max)
{
    size_t most = min_size(s.len, max), done = 0;

    buf_put_char(b, '"');
    while (done < s.len && !b->failed) {
        size_t plain = done < most ? json_plain(slice_of(s.ptr + done, most - done)) : 0;

        if (plain > 0) {
            buf_put(b, s.ptr + done, plain);
            done += plain;
        } else if (utf8_char(slice_skip(s, done)) > max - done || done >= max) {
            break; /* never half a character */
        } else {
            done += put_json_char(b, slice_skip(s, done));
        }
    }
    if (done < s.len) {
        buf_put(b, "...", 3);
    }
    buf_put_char(b, '"');
}
