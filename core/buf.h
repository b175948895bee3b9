/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h - growable text with a maximum and a sticky failure.
 *
 * Callers may put any amount and check buf_ok() once at the end.  After the first put that does not fit, the buf
 * adds nothing more and buf_ok() is false.  A NUL that does not count always follows the content.
 */
#ifndef CORE_BUF_H
#define CORE_BUF_H

#include "core/slice.h"

struct buf {
    char *ptr;
    size_t len;
    size_t cap;  /* allocated, or the size of the fixed memory */
    size_t max;  /* len never exceeds it */
    bool failed; /* a put did not fit */
    bool fixed;  /* ptr is the caller's memory: never reallocated, never freed */
};

/* Grows on the heap up to max octets; nothing is allocated before the first put. */
void buf_init(struct buf *b, size_t max);

/* Writes into the caller's memory of `size` octets, NUL included. */
void buf_init_fixed(struct buf *b, char *mem, size_t size);

void buf_fini(struct buf *b);  /* frees; the buf may be used again after buf_init */
void buf_reset(struct buf *b); /* empty again and not failed; keeps the memory */

void buf_put_grow(struct buf *b, const void *data, size_t len); /* the slow path of buf_put */
void buf_put_u64(struct buf *b, uint64_t value);
void buf_put_i64(struct buf *b, int64_t value);
void buf_put_digits(struct buf *b, uint64_t value, unsigned digits); /* with leading zeros, at most 20 */

static inline void buf_put(struct buf *b, const void *data, size_t len)
{
    if (len == 0 || b->failed || len > b->max - b->len || len >= b->cap - b->len) {
        buf_put_grow(b, data, len);
        return;
    }
    memcpy(b->ptr + b->len, data, len);
    b->len += len;
    b->ptr[b->len] = '\0';
}

static inline void buf_put_char(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

static inline void buf_put_slice(struct buf *b, struct slice s)
{
    buf_put(b, s.ptr, s.len);
}

static inline void buf_put_str(struct buf *b, const char *text) /* NUL-terminated, never from a peer */
{
    buf_put(b, text, strlen(text));
}

void buf_putf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vputf(struct buf *b, const char *fmt, va_list ap) PRINTF(2, 0);

/* Drops the first n octets (n <= len); the rest moves to the front. */
void buf_drop(struct buf *b, size_t n);
void buf_truncate(struct buf *b, size_t len); /* len <= b->len */

static inline bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->ptr, b->len);
}

/*
 * Escapes text from a peer for a log line, a page or a reply (S7).  Printable ASCII except `"` and `\` stays;
 * every other octet becomes \xNN.  Input longer than max octets is cut and ends in "...".
 */
void buf_put_quoted(struct buf *b, struct slice s, size_t max);

/* The same for a JSON string, quotation marks included; valid UTF-8 is written as \uXXXX. */
void buf_put_json(struct buf *b, struct slice s, size_t max);

#endif
