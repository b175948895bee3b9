/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.h - finds CR, LF, dots, NUL and octets above 127 in a block of 64 octets: one bit per octet.
 *
 * Private to line.c and its test.  With SSE2 (every x86-64) a block costs about a hundred instructions; AVX2, if the
 * processor has it, halves that.  The plain version takes eight octets at a time in a 64-bit word and runs
 * everywhere.  All versions give the same masks.
 */
#ifndef SMTP_SCAN_H
#define SMTP_SCAN_H

#include <endian.h>

#include "core/base.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

#define SCAN_BLOCK 64

struct scan_masks { /* bit i is octet i */
    uint64_t cr, lf, dot, nul;
    uint64_t high; /* octets above 127 */
};

/* Returns 0x80 in each octet of the word that equals `c`, and 0 in all others. */
static inline uint64_t scan_equal(uint64_t word, unsigned char c)
{
    const uint64_t low7 = UINT64_C(0x7f7f7f7f7f7f7f7f);
    uint64_t x = word ^ (UINT64_C(0x0101010101010101) * c);

    return ~(((x & low7) + low7) | x | low7);
}

/* Packs the top bits of eight octets into eight bits, the first octet lowest. */
static inline uint64_t scan_gather(uint64_t tops)
{
    return ((tops >> 7) * UINT64_C(0x0102040810204080)) >> 56;
}

static inline void scan_block_plain(const void *block, struct scan_masks *m)
{
    *m = (struct scan_masks){ 0 };
    for (unsigned i = 0; i < SCAN_BLOCK; i += 8) {
        uint64_t word;

        memcpy(&word, (const char *)block + i, sizeof(word));
        word = le64toh(word);
        m->cr |= scan_gather(scan_equal(word, '\r')) << i;
        m->lf |= scan_gather(scan_equal(word, '\n')) << i;
        m->dot |= scan_gather(scan_equal(word, '.')) << i;
        m->nul |= scan_gather(scan_equal(word, 0)) << i;
        m->high |= scan_gather(word & UINT64_C(0x8080808080808080)) << i;
    }
}

#ifdef __SSE2__
static inline uint64_t scan_mask16(__m128i octets, char c)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(octets, _mm_set1_epi8(c)));
}

static inline void scan_block(const void *block, struct scan_masks *m)
{
    *m = (struct scan_masks){ 0 };
    for (unsigned i = 0; i < SCAN_BLOCK; i += 16) {
        __m128i octets = _mm_loadu_si128((const __m128i *)(const void *)((const char *)block + i));

        m->cr |= scan_mask16(octets, '\r') << i;
        m->lf |= scan_mask16(octets, '\n') << i;
        m->dot |= scan_mask16(octets, '.') << i;
        m->nul |= scan_mask16(octets, 0) << i;
        m->high |= (uint64_t)(unsigned)_mm_movemask_epi8(octets) << i;
    }
}

#define SCAN_AVX2 __attribute__((target("avx2")))

SCAN_AVX2 static inline uint64_t scan_equal64(__m256i low, __m256i high, char c)
{
    __m256i wanted = _mm256_set1_epi8(c);

    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted)) << 32;
}

SCAN_AVX2 static inline void scan_block_avx2(const void *block, struct scan_masks *m)
{
    __m256i low = _mm256_loadu_si256((const __m256i *)block);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)((const char *)block + 32));

    m->cr = scan_equal64(low, high, '\r');
    m->lf = scan_equal64(low, high, '\n');
    m->dot = scan_equal64(low, high, '.');
    m->nul = scan_equal64(low, high, 0);
    m->high = (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

static inline bool scan_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}
#else
static inline void scan_block(const void *block, struct scan_masks *m)
{
    scan_block_plain(block, m);
}
#endif

#endif
