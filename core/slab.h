/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slab.h - a counted allocator for objects of one size, in pages of their own.
 *
 * For objects allocated and freed with every connection.  A chunk holds objects of one slab only, and an empty chunk
 * returns to the kernel.  So objects that live as long as a connection never pin the pages of short-lived ones.
 * Freed objects are poisoned for the sanitizer.  In the pass-through build each object is a separate malloc.
 */
#ifndef CORE_SLAB_H
#define CORE_SLAB_H

#include "core/list.h"

struct slab {
    const char *name;
    size_t size;             /* octets of one object */
    size_t in_use;           /* objects handed out */
    size_t per_chunk;        /* objects; 0: each is a separate malloc */
    size_t max_kept;         /* empty chunks to keep: more return to the kernel */
    size_t empty;            /* chunks with no object in use */
    struct list_node chunks; /* those with room, by link: the empty ones last */
};

/* `keep`: free objects to keep for later allocations, in whole chunks: 0 none, 1 one chunk. */
void slab_init(struct slab *sl, const char *name, size_t object_size, size_t keep);
void slab_fini(struct slab *sl);            /* in_use must be 0 */
void *slab_alloc(struct slab *sl) MUST_USE; /* zeroed; never NULL */
void *slab_take(struct slab *sl) MUST_USE;  /* the same, not zeroed; NULL: out of memory */
void slab_release(struct slab *sl, void *object);

#endif
