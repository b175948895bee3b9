/*
 * slab.h - objects of one size, counted.
 *
 * A free list in front of malloc for what comes and goes with every connection.  Freed objects are
 * poisoned for the sanitizer; in the pass-through build each one is malloc and free.
 */
#ifndef CORE_SLAB_H
#define CORE_SLAB_H

#include "core/base.h"

struct slab {
    const char *name;
    size_t      size;     /* of one object */
    size_t      in_use;   /* objects handed out */
    size_t      kept;     /* objects on the free list */
    size_t      max_kept; /* more than these go back to malloc */
    void       *free_list;
};

void  slab_init(struct slab *sl, const char *name, size_t object_size, size_t max_kept);
void  slab_fini(struct slab *sl);           /* in_use must be 0 */
void *slab_alloc(struct slab *sl) MUST_USE; /* zeroed; never NULL */
void  slab_release(struct slab *sl, void *object);

#endif
