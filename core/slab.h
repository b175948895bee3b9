/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slab.h - objects of one size, counted, in pages of their own.
 *
 * For what comes and goes with every connection.  Objects lie in chunks that hold nothing else, and a chunk that
 * holds none any more is given back to the system; so what lives as long as a connection never keeps the pages
 * of what was needed for its first second.  Freed objects are poisoned for the sanitizer; in the pass-through
 * build each one is malloc and free.
 */
#ifndef CORE_SLAB_H
#define CORE_SLAB_H

#include "core/list.h"

struct slab {
    const char *name;
    size_t size;             /* of one object */
    size_t in_use;           /* objects handed out */
    size_t per_chunk;        /* objects; 0: they come from malloc */
    size_t max_kept;         /* empty chunks: more go back to the system */
    size_t empty;            /* chunks with no object in use */
    struct list_node chunks; /* with room, by link: the empty ones last */
};

/* `keep`: so many free objects may stay for the next ones, in whole chunks: 0 none, 1 one chunk. */
void slab_init(struct slab *sl, const char *name, size_t object_size, size_t keep);
void slab_fini(struct slab *sl);            /* in_use must be 0 */
void *slab_alloc(struct slab *sl) MUST_USE; /* zeroed; never NULL */
void *slab_take(struct slab *sl) MUST_USE;  /* the same, with anything in it; NULL: there is no memory */
void slab_release(struct slab *sl, void *object);

#endif
