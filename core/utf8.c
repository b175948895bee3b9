/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.c - strict UTF-8 (RFC 3629 4).
 *
 * The first octet decides the length and which second octets are possible; the narrower ranges there are
 * what keeps overlong forms, surrogates and code points above U+10FFFF out.
 */
#include "core/utf8.h"

static unsigned octet(struct slice s, size_t i)
{
    return (unsigned char)s.ptr[i];
}

static bool in_range(unsigned c, unsigned low, unsigned high)
{
    return c >= low && c <= high;
}

/* Length announced by the first octet and the range of the second; 0: no first octet. */
static size_t announced(unsigned first, unsigned *low, unsigned *high)
{
    *low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    *high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0x80) {
        return 1;
    }
    if (in_range(first, 0xc2, 0xdf)) {
        return 2;
    }
    if (in_range(first, 0xe0, 0xef)) {
        return 3;
    }
    return in_range(first, 0xf0, 0xf4) ? 4 : 0;
}

size_t utf8_char(struct slice s)
{
    unsigned low, high;
    size_t n;

    if (s.len == 0) {
        return 0;
    }
    n = announced(octet(s, 0), &low, &high);
    if (n > s.len || (n > 1 && !in_range(octet(s, 1), low, high))) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if (!in_range(octet(s, i), 0x80, 0xbf)) {
            return 0;
        }
    }
    return n;
}

bool utf8_valid(struct slice s)
{
    while (s.len > 0) {
        size_t n = utf8_char(s);

        if (n == 0) {
            return false;
        }
        s = slice_skip(s, n);
    }
    return true;
}

bool utf8_has_8bit(struct slice s)
{
    size_t i = 0;

    for (uint64_t word; i + sizeof(word) <= s.len; i += sizeof(word)) {
        memcpy(&word, s.ptr + i, sizeof(word));
        if ((word & UINT64_C(0x8080808080808080)) != 0) {
            return true;
        }
    }
    for (; i < s.len; i++) {
        if (octet(s, i) >= 0x80) {
            return true;
        }
    }
    return false;
}

uint32_t utf8_decode(struct slice s, size_t *len)
{
    static const uint32_t mask[5] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t cp;

    *len = utf8_char(s);
    if (*len == 0) {
        return 0;
    }
    cp = octet(s, 0) & mask[*len];
    for (size_t i = 1; i < *len; i++) {
        cp = cp << 6 | (octet(s, i) & 0x3f);
    }
    return cp;
}
