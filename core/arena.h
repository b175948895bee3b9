/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - memory with one lifetime.
 *
 * Plain data only: nothing with a descriptor, timer, reference or callback (M2).  Nothing is freed
 * singly.  An arena has a maximum, because peers decide how much is put into one; beyond it
 * arena_alloc returns NULL and the caller answers 452.  In the sanitizer build every object is a
 * malloc of its own (GLACIS_POOL_PASSTHROUGH).
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

/* The same for what a connection fills: it counts in limits.memory. */
void arena_init_counted(struct arena *a, size_t max_bytes);
void arena_fini(struct arena *a); /* frees all; the arena is empty and usable again */

/* Aligned for any type, zeroed.  NULL when the maximum is reached. */
void *arena_alloc(struct arena *a, size_t size) MUST_USE;

/* Where an arena stands, to take back what is put into it from here on. */
struct arena_mark {
    struct arena_block *newest, *second;
    size_t newest_used, used;
};
struct arena_mark arena_mark(const struct arena *a);
/* Nothing that was allocated since the mark may be used any more.  Marks taken since are void. */
void arena_rewind(struct arena *a, const struct arena_mark *mark);

/* A copy; ptr is NULL (and len 0) when the maximum is reached.  A NUL follows the text. */
struct slice arena_slice(struct arena *a, struct slice s) MUST_USE;

#endif
