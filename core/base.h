/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h - what every file starts from: attributes, checks, memory, forbidden names.
 *
 * Out of memory in a small fixed allocation aborts with a message: glacis never owns mail, so a
 * crash costs a retry and never a message.  Anything whose size a peer influences has a cap and
 * fails softly instead (see buf.h, arena.h, spool.h).
 */
#ifndef CORE_BASE_H
#define CORE_BASE_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

/* Reads a non-atomic field of shared memory exactly once, because another process may change it at any moment. */
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Says where and why, then aborts.  The supervisor replaces the process. */
NORETURN void bug(const char *file, int line, const char *cond);

/* "We are wrong."  No octet from outside may ever reach one of these (E5). */
#define BUG_ON(cond)                                                                                         \
    do {                                                                                                     \
        if (__builtin_expect(!!(cond), 0))                                                                   \
            bug(__FILE__, __LINE__, #cond);                                                                  \
    } while (0)

NORETURN void out_of_memory(size_t wanted); /* says so and aborts */

/* Never NULL: they abort with a message when there is no memory.  Released with free(). */
void *xmalloc(size_t size) MUST_USE;
void *xcalloc(size_t count, size_t size) MUST_USE;
void *xrealloc(void *ptr, size_t size) MUST_USE;
char *xstrdup(const char *text) MUST_USE;

/* True if a * b does not fit a size_t; otherwise the product is in *out. */
static inline bool mul_overflows(size_t a, size_t b, size_t *out)
{
    return __builtin_mul_overflow(a, b, out);
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/*
 * Names that must not be used: text is built in struct buf, parsed from struct slice.  The few that
 * libevent's macros need are watched by test/lint/banned.sh instead.
 */
#undef sprintf
#undef vsprintf
#undef strncpy
#pragma GCC poison strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets strtok strtok_r
#pragma GCC poison atoi atol strtol strtoul sscanf gmtime localtime ctime asctime

#endif
