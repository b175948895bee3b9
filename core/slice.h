/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice.h - text as pointer and length.
 *
 * A slice does not own its text and is not NUL-terminated.  Pass it by value.  ASCII only: no locale, no
 * <ctype.h>.  An empty slice has len 0, and its ptr may be anything or NULL.
 */
#ifndef CORE_SLICE_H
#define CORE_SLICE_H

#include "core/base.h"

struct slice {
    const char *ptr;
    size_t len; /* octets */
};

#define SLICE(lit) ((struct slice){ "" lit, sizeof(lit) - 1 })
#define SLICE_INIT(lit)                                                                                      \
    {                                                                                                        \
        "" lit, sizeof(lit) - 1                                                                              \
    } /* in constant tables */
#define SLICE_NONE ((struct slice){ NULL, 0 })
#define SLICE_FMT "%.*s"
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const void *ptr, size_t len)
{
    return (struct slice){ (const char *)ptr, len };
}

/* For NUL-terminated text of ours, never from a peer; NULL gives the empty slice. */
static inline struct slice slice_str(const char *text)
{
    return slice_of(text, text ? strlen(text) : 0);
}

static inline bool slice_empty(struct slice s)
{
    return s.len == 0;
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool ascii_is_print(char c) /* 0x20..0x7e */
{
    return c >= 0x20 && c < 0x7f;
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    /* memcmp must not see NULL, not even with length 0 */
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool slice_eq_nocase(struct slice a, struct slice b); /* ASCII case is ignored */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends_nocase(struct slice s, struct slice suffix);

/* Without the first n octets; the empty slice if there are fewer. */
static inline struct slice slice_skip(struct slice s, size_t n)
{
    size_t skipped = min_size(n, s.len);

    return skipped == 0 ? s : slice_of(s.ptr + skipped, s.len - skipped); /* ptr may be NULL */
}

static inline struct slice slice_take(struct slice s, size_t n) /* at most the first n octets */
{
    return slice_of(s.ptr, min_size(s.len, n));
}

/* Number of printable ASCII octets at the front. */
size_t slice_plain(struct slice s);

/* Position of the octet, or s.len. */
size_t slice_find(struct slice s, char c);
size_t slice_rfind(struct slice s, char c); /* the last such octet, or s.len */

/*
 * Returns the part of *s before the first `c` and moves *s behind that `c`.  Without a `c`, returns all of *s
 * and makes *s empty.
 */
struct slice slice_cut(struct slice *s, char c);

struct slice slice_trim(struct slice s); /* blanks and tabs at both ends */

/* Returns the next word between blanks and tabs and moves *s behind it; empty if none is left. */
struct slice slice_token(struct slice *s);

/* Does the text contain the word?  Words end at blanks, tabs and line ends; ASCII case is ignored. */
bool slice_has_word(struct slice text, struct slice word);

/* Decimal digits only, the whole slice, value <= max.  *out is 0 on failure. */
bool slice_to_u64(struct slice s, uint64_t max, uint64_t *out) MUST_USE;

/*
 * A host name of LDH labels (and '_', seen in practice): each 1..63 octets, no hyphen at either end,
 * 1..253 octets in all, no final dot (RFC 1035 2.3.1, RFC 5321 2.3.5).
 */
bool hostname_valid(struct slice s);

/* A new NUL-terminated copy; free() it. */
char *slice_dup(struct slice s) MUST_USE;

#endif
