/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slab.c - objects of one size in chunks of 64 KiB (slab.h).
 *
 *     chunk   [ head | object | free -> | object | free -> NULL |  never used ... ]
 *
 * A chunk's address is a multiple of its size, so an object's address identifies its chunk.  A free object holds the
 * link to the next free one in its first octets; the rest is poisoned for the sanitizer.  Objects come from the chunk
 * at the front of the list, the one that was full most recently, so that the others can become empty.
 *
 * If the slab may keep objects, it keeps at least one empty chunk.  Otherwise the last object of each lull would free
 * the chunk and the next one would allocate it again.  Unused pages cost nothing: objects are linked only when freed.
 * With GLACIS_POOL_PASSTHROUGH, and for objects so large that a chunk holds few, there are no chunks.
 */
#include "core/slab.h"

#include <sys/mman.h>

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
#define HAS_CHUNKS false
#else
#define HAS_CHUNKS true
#endif

#define CHUNK_SIZE ((size_t)64 * 1024)
#define CHUNK_OBJECTS_MIN 8

struct chunk {
    struct list_node link; /* on slab.chunks while it has room */
    size_t in_use;
    size_t touched;  /* objects ever handed out */
    void *free_list; /* of those, linked through their first octets */
    _Alignas(max_align_t) char objects[];
};

static size_t object_size(const struct slab *sl)
{
    const size_t align = _Alignof(max_align_t);

    return (sl->size + align - 1) / align * align;
}

void slab_init(struct slab *sl, const char *name, size_t size, size_t keep)
{
    *sl = (struct slab){ .name = name, .size = max_size(size, sizeof(void *)) };
    list_init(&sl->chunks);
    if (HAS_CHUNKS && object_size(sl) <= (CHUNK_SIZE - sizeof(struct chunk)) / CHUNK_OBJECTS_MIN) {
        sl->per_chunk = (CHUNK_SIZE - sizeof(struct chunk)) / object_size(sl);
        sl->max_kept = (keep + sl->per_chunk - 1) / sl->per_chunk;
    }
}

static void drop_chunk(struct slab *sl, struct chunk *c)
{
    list_remove(&c->link);
    sl->empty--;
    UNPOISON(c, CHUNK_SIZE);
    (void)munmap(c, CHUNK_SIZE);
}

void slab_fini(struct slab *sl)
{
    BUG_ON(sl->in_use != 0);
    while (!list_empty(&sl->chunks)) {
        drop_chunk(sl, container_of(sl->chunks.next, struct chunk, link));
    }
}

static void *map(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED) {
        return NULL;
    }
    return at;
}

/* Maps a chunk at a multiple of its size: directly (usual beside the last chunk), or cut from a larger mapping. */
static struct chunk *new_chunk(void)
{
    char *at = map(CHUNK_SIZE);
    size_t before;

    if (at == NULL || (uintptr_t)at % CHUNK_SIZE == 0) {
        return (struct chunk *)(void *)at;
    }
    (void)munmap(at, CHUNK_SIZE);
    at = map(2 * CHUNK_SIZE);
    if (at == NULL) {
        return NULL;
    }
    before = CHUNK_SIZE - (uintptr_t)at % CHUNK_SIZE;
    (void)munmap(at, before);
    if (before < CHUNK_SIZE) {
        (void)munmap(at + before + CHUNK_SIZE, CHUNK_SIZE - before);
    }
    return (struct chunk *)(void *)(at + before);
}

static struct chunk *chunk_with_room(struct slab *sl)
{
    struct chunk *c;

    if (!list_empty(&sl->chunks)) {
        return container_of(sl->chunks.next, struct chunk, link);
    }
    c = new_chunk();
    if (c == NULL) {
        return NULL;
    }
    list_node_init(&c->link);
    list_push_front(&sl->chunks, &c->link);
    sl->empty++;
    return c;
}

static void *take_from(struct slab *sl, struct chunk *c)
{
    void *object = c->free_list;

    if (object != NULL) {
        UNPOISON(object, sl->size);
        c->free_list = *(void **)object;
    } else {
        object = c->objects + c->touched * object_size(sl);
        c->touched++;
    }
    sl->empty -= c->in_use == 0 ? 1 : 0;
    c->in_use++;
    if (c->in_use == sl->per_chunk) {
        list_remove(&c->link);
    }
    return object;
}

void *slab_take(struct slab *sl)
{
    struct chunk *c;
    void *object;

    if (sl->per_chunk == 0) {
        object = malloc(sl->size);
    } else {
        c = chunk_with_room(sl);
        object = c != NULL ? take_from(sl, c) : NULL;
    }
    sl->in_use += object != NULL ? 1 : 0;
    return object;
}

void *slab_alloc(struct slab *sl)
{
    void *object = slab_take(sl);

    if (object == NULL) {
        out_of_memory(sl->size);
    }
    memset(object, 0, sl->size);
    return object;
}

static void put_back(struct slab *sl, void *object)
{
    uintptr_t within = (uintptr_t)object % CHUNK_SIZE;
    struct chunk *c = (struct chunk *)(void *)((char *)object - within);

    *(void **)object = c->free_list;
    c->free_list = object;
    POISON(object, sl->size);
    if (c->in_use == sl->per_chunk) {
        list_push_front(&sl->chunks, &c->link);
    }
    c->in_use--;
    if (c->in_use > 0) {
        return;
    }
    sl->empty++;
    list_remove(&c->link);
    list_push_back(&sl->chunks, &c->link);
    if (sl->empty > sl->max_kept) {
        drop_chunk(sl, c);
    }
}

void slab_release(struct slab *sl, void *object)
{
    if (object == NULL) {
        return;
    }
    BUG_ON(sl->in_use == 0);
    sl->in_use--;
    if (sl->per_chunk == 0) {
        free(object);
    } else {
        put_back(sl, object);
    }
}
