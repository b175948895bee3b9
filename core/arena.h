/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - memory with one lifetime.
 *
 * Plain data only: nothing with a descriptor, timer, reference or callback (M2).  Objects cannot be freed one by
 * one.  An arena has a maximum, because peers decide how much it holds.  Beyond the maximum arena_alloc returns
 * NULL and the caller replies 452.  In the sanitizer build each object is a separate malloc (GLACIS_POOL_PASSTHROUGH).
 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include "core/slice.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* octets handed out */
    size_t max;
    bool counted; /* its blocks are part of M_MEMORY_HELD */
};

void arena_init(struct arena *a, size_t max_bytes); /* allocates nothing yet */

/* The same for an arena that a connection fills: it counts in limits.memory. */
void arena_init_counted(struct arena *a, size_t max_bytes);
void arena_fini(struct arena *a); /* frees all; the arena is empty and usable again */

/* Aligned for any type, zeroed.  NULL when the maximum is reached. */
void *arena_alloc(struct arena *a, size_t size) MUST_USE;

/* The fill level of an arena; arena_rewind() drops later allocations. */
struct arena_mark {
    struct arena_block *newest, *second;
    size_t newest_used, used;
};
struct arena_mark arena_mark(const struct arena *a);
/* Drops all allocations made since the mark, and invalidates later marks. */
void arena_rewind(struct arena *a, const struct arena_mark *mark);

/* A copy; ptr is NULL (and len 0) when the maximum is reached.  A NUL follows the text. */
struct slice arena_slice(struct arena *a, struct slice s) MUST_USE;

#endif
