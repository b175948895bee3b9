/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice.c - compare, cut and parse text by pointer and length.
 *
 * ASCII only, no locale.  Only slice_dup allocates.  No function reads behind the length: a slice of a peer's
 * octets may hold NUL like any other octet.
 */
#include "core/slice.h"

/* memcmp must not see NULL, not even with length 0. */
static int compare(const char *a, const char *b, size_t len)
{
    return len ? memcmp(a, b, len) : 0;
}

static bool same_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (ascii_lower(a[i]) != ascii_lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && same_nocase(a.ptr, b.ptr, a.len);
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && compare(s.ptr, prefix.ptr, prefix.len) == 0;
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && same_nocase(s.ptr, prefix.ptr, prefix.len);
}

bool slice_ends_nocase(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_eq_nocase(slice_skip(s, s.len - suffix.len), suffix);
}

size_t slice_plain(struct slice s)
{
    size_t n = 0;

    while (n < s.len && ascii_is_print(s.ptr[n])) {
        n++;
    }
    return n;
}

size_t slice_find(struct slice s, char c)
{
    const char *hit = s.len ? memchr(s.ptr, c, s.len) : NULL;

    return hit ? (size_t)(hit - s.ptr) : s.len;
}

size_t slice_rfind(struct slice s, char c)
{
    const char *hit = s.len ? memrchr(s.ptr, c, s.len) : NULL;

    return hit ? (size_t)(hit - s.ptr) : s.len;
}

struct slice slice_cut(struct slice *s, char c)
{
    size_t at = slice_find(*s, c);
    struct slice before = slice_take(*s, at);

    *s = at < s->len ? slice_skip(*s, at + 1) : slice_skip(*s, s->len);
    return before;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.len && is_blank(s.ptr[0])) {
        s = slice_skip(s, 1);
    }
    while (s.len && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

struct slice slice_token(struct slice *s)
{
    struct slice rest = *s;
    size_t len = 0;

    while (rest.len && is_blank(rest.ptr[0])) {
        rest = slice_skip(rest, 1);
    }
    while (len < rest.len && !is_blank(rest.ptr[len])) {
        len++;
    }
    *s = slice_skip(rest, len);
    return slice_take(rest, len);
}

bool slice_has_word(struct slice text, struct slice word)
{
    while (!slice_empty(text)) {
        struct slice line = slice_cut(&text, '\n');
        struct slice w;

        line = slice_take(line, slice_find(line, '\r'));
        for (w = slice_token(&line); !slice_empty(w); w = slice_token(&line)) {
            if (slice_eq_nocase(w, word)) {
                return true;
            }
        }
    }
    return false;
}

bool slice_to_u64(struct slice s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    *out = 0;
    if (s.len == 0) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)s.ptr[i] - '0';

        if (!ascii_is_digit(s.ptr[i]) || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    if (value > max) {
        return false;
    }
    *out = value;
    return true;
}

static bool label_valid(struct slice label)
{
    if (label.len < 1 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];

        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

bool hostname_valid(struct slice s)
{
    if (s.len < 1 || s.len > 253 || s.ptr[s.len - 1] == '.') {
        return false;
    }
    while (s.len) {
        if (!label_valid(slice_cut(&s, '.'))) {
            return false;
        }
    }
    return true;
}

char *slice_dup(struct slice s)
{
    char *copy = xmalloc(s.len + 1);

    if (s.len) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return copy;
}
