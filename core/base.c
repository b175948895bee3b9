/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.c - the abort message and memory that is never NULL.
 *
 * A peer never decides the size of an allocation here; such memory has a cap and returns an error (buf.c, arena.c).
 * Owns nothing.
 */
#include "core/base.h"

/*
 * Largest size in malloc()'s per-thread cache.  calloc() of glibc before 2.41 never takes from that cache, although
 * free() fills it, so each object would take the slow path both ways.
 */
#define CACHED_MAX 1032

void bug(const char *file, int line, const char *cond)
{
    fprintf(stderr, "glacis: bug at %s:%d: %s\n", file, line, cond);
    fflush(stderr);
    abort();
}

void out_of_memory(size_t size)
{
    fprintf(stderr, "glacis: out of memory: %zu octets could not be had\n", size);
    fflush(stderr);
    abort();
}

void *xmalloc(size_t size)
{
    void *ptr = malloc(size ? size : 1);

    if (ptr == NULL) {
        out_of_memory(size);
    }
    return ptr;
}

void *xcalloc(size_t count, size_t size)
{
    size_t total;
    void *ptr;

    if (mul_overflows(count, size, &total)) {
        out_of_memory(SIZE_MAX);
    }
    if (total <= CACHED_MAX) {
        return memset(xmalloc(total), 0, total);
    }
    ptr = calloc(1, total);
    if (ptr == NULL) {
        out_of_memory(total);
    }
    return ptr;
}

void *xrealloc(void *ptr, size_t size)
{
    void *bigger = realloc(ptr, size ? size : 1);

    if (bigger == NULL) {
        out_of_memory(size);
    }
    return bigger;
}

char *xstrdup(const char *text)
{
    size_t len = strlen(text);
    char *copy = xmalloc(len + 1);

    memcpy(copy, text, len + 1);
    return copy;
}
