/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.h - bounded cursor over binary input with a sticky error.
 *
 * The reader compares a length with the octets left and never adds it to a position (S4).  After the first
 * failure every read returns 0 or the empty slice, so a parser checks once at its end.
 */
#ifndef CORE_READER_H
#define CORE_READER_H

#include "core/slice.h"

struct reader {
    const uint8_t *ptr;
    size_t len; /* octets left */
    bool failed;
};

static inline struct reader reader_of(const void *data, size_t len)
{
    return (struct reader){ (const uint8_t *)data, len, false };
}

static inline bool reader_need(struct reader *r, size_t n)
{
    if (r->failed || n > r->len) {
        r->failed = true;
        return false;
    }
    return true;
}

static inline uint8_t reader_u8(struct reader *r)
{
    uint8_t v = 0;

    if (reader_need(r, 1)) {
        v = r->ptr[0];
        r->ptr += 1;
        r->len -= 1;
    }
    return v;
}

static inline uint16_t reader_u16(struct reader *r) /* network order */
{
    uint16_t v = 0;

    if (reader_need(r, 2)) {
        v = (uint16_t)((uint16_t)(r->ptr[0] << 8) | r->ptr[1]);
        r->ptr += 2;
        r->len -= 2;
    }
    return v;
}

static inline uint32_t reader_u32(struct reader *r) /* network order */
{
    uint32_t hi = reader_u16(r);

    return hi << 16 | reader_u16(r);
}

static inline struct slice reader_take(struct reader *r, size_t n)
{
    struct slice s = SLICE_NONE;

    if (reader_need(r, n)) {
        s = slice_of(r->ptr, n);
        r->ptr += n;
        r->len -= n;
    }
    return s;
}

#endif
