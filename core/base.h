/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h - the basis of every file: attributes, checks, memory, forbidden names.
 *
 * A small fixed allocation that fails aborts with a message.  glacis never owns mail, so a crash costs a retry and
 * never a message.  Allocations whose size a peer influences have a cap and return an error instead (see buf.h,
 * arena.h, spool.h).
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

/* Logs the place and the condition, then aborts.  The supervisor restarts the process. */
NORETURN void bug(const char *file, int line, const char *cond);

/* For our own bugs only: no input from outside may ever trigger one (E5). */
#define BUG_ON(cond)                                                                                         \
    do {                                                                                                     \
        if (__builtin_expect(!!(cond), 0))                                                                   \
            bug(__FILE__, __LINE__, #cond);                                                                  \
    } while (0)

NORETURN void out_of_memory(size_t wanted); /* logs it and aborts */

/* Never NULL: they abort with a message when memory runs out.  Release with free(). */
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
 * Forbidden names: build text in struct buf and parse it from struct slice.  libevent's macros need a few
 * others, so test/lint/banned.sh checks those.
 */
#undef sprintf
#undef vsprintf
#undef strncpy
#pragma GCC poison strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets strtok strtok_r
#pragma GCC poison atoi atol strtol strtoul sscanf gmtime localtime ctime asctime

#endif
