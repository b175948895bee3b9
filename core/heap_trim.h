/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap_trim.h - return freed heap pages to the kernel in small steps, so that no loop turn pays a full malloc_trim().
 *
 * malloc_trim() returns all freed memory in one call, at 5 ms for 50 MiB.  So we first allocate most of the free memory
 * as pieces and drop their pages in steps.  Then we shorten the heap in steps.  Last we free the pieces, and
 * malloc_trim() has little left to do.
 */
#ifndef CORE_HEAP_TRIM_H
#define CORE_HEAP_TRIM_H

#include "core/loop.h"

struct trim_piece;

struct heap_trim {
    struct timer step;
    struct trim_piece *pieces; /* allocated, with their pages dropped */
    size_t left;               /* pieces still to allocate */
    size_t end, keep;          /* octets at the end of the heap: still to return, and to keep */
};

void heap_trim_init(struct heap_trim *t, struct loop *l);

/* Starts the trim; `keep` octets at the end of the heap may stay.  Does nothing if a trim is running. */
void heap_trim_start(struct heap_trim *t, size_t keep);

/* Stops the trim, because memory is needed again or the loop ends.  Idempotent. */
void heap_trim_stop(struct heap_trim *t);

#endif
