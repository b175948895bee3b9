/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap_trim.h - what malloc keeps of freed memory is given back to the system, a little in each turn.
 *
 * malloc_trim() gives all of it back in one call: 5 ms for 50 MiB, and more with more.  So most of it is taken from
 * malloc in pieces first, whose pages are dropped in steps; then the heap is shortened in steps; and when all pieces
 * have gone back, what is left for malloc_trim() is little.
 */
#ifndef CORE_HEAP_TRIM_H
#define CORE_HEAP_TRIM_H

#include "core/loop.h"

struct trim_piece;

struct heap_trim {
    struct timer step;
    struct trim_piece *pieces; /* taken, and without their pages */
    size_t left;               /* pieces to be taken */
    size_t end, keep;          /* octets at the end of the heap: not given back so far, and never */
};

void heap_trim_init(struct heap_trim *t, struct loop *l);

/* Begins; `keep` octets at the end of the heap may stay.  Nothing if it goes on already. */
void heap_trim_start(struct heap_trim *t, size_t keep);

/* Ends it where it stands: memory is wanted again, or the loop ends.  Idempotent. */
void heap_trim_stop(struct heap_trim *t);

#endif
