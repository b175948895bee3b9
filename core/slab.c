/*
 * slab.c - objects of one size behind a free list.
 *
 * A free object holds the link to the next one in its first octets; the rest is poisoned for the
 * sanitizer.  With GLACIS_POOL_PASSTHROUGH there is no free list.
 */
#include "core/slab.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(ptr, size) ASAN_POISON_MEMORY_REGION(ptr, size)
#define UNPOISON(ptr, size) ASAN_UNPOISON_MEMORY_REGION(ptr, size)
#else
#define POISON(ptr, size) ((void)(ptr), (void)(size))
#define UNPOISON(ptr, size) ((void)(ptr), (void)(size))
#endif

#ifdef GLACIS_POOL_PASSTHROUGH
#define KEEPS false
#else
#define KEEPS true
#endif

void slab_init(struct slab *sl, const char *name, size_t object_size, size_t max_kept)
{
    *sl = (struct slab){
        .name = name,
        .size = max_size(object_size, sizeof(void *)),
        .max_kept = KEEPS ? max_kept : 0,
    };
}

/* First object of the free list; the caller knows that there is one. */
static void *take_kept(struct slab *sl)
{
    void *object = sl->free_list;

    UNPOISON(object, sl->size);
    sl->free_list = *(void **)object;
    sl->kept--;
    return object;
}

void slab_fini(struct slab *sl)
{
    BUG_ON(sl->in_use != 0);
    while (sl->kept) {
        free(take_kept(sl));
    }
}

void *slab_alloc(struct slab *sl)
{
    sl->in_use++;
    if (sl->kept) {
        return memset(take_kept(sl), 0, sl->size);
    }
    return xcalloc(1, sl->size);
}

void slab_release(struct slab *sl, void *object)
{
    if (object == NULL) {
        return;
    }
    BUG_ON(sl->in_use == 0);
    sl->in_use--;
    if (sl->kept >= sl->max_kept) {
        free(object);
        return;
    }
    *(void **)object = sl->free_list;
    sl->free_list = object;
    sl->kept++;
    POISON(object, sl->size);
}
