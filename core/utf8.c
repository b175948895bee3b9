/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.c - strict UTF-8 (RFC 3629 4).
 *
 * The first octet determines the length and the range of the second octet.  The narrower of these ranges exclude
 * overlong forms, surrogates and code points above U+10FFFF.
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

static bool word_has_8bit(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return (word & UINT64_C(0x8080808080808080)) != 0;
}

bool utf8_has_8bit(struct slice s)
{
    const size_t word = sizeof(uint64_t);
    unsigned all = 0;

    if (s.len >= word) {
        for (size_t i = 0; i + word < s.len; i += word) {
            if (word_has_8bit(s.ptr + i)) {
                return true;
            }
        }
        return word_has_8bit(s.ptr + s.len - word); /* overlaps the word before */
    }
    for (size_t i = 0; i < s.len; i++) {
        all |= octet(s, i);
    }
    return all >= 0x80;
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
