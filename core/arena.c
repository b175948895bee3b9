/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - memory with one lifetime, in a small block and then blocks that double from 4 KiB to 64 KiB.
 *
 *     blocks -> [ newest | data ... free ] -> [ older | data ] -> ...
 *
 * Objects come from the newest block.  An object larger than half a block gets its own block behind the newest, so
 * that the free rest of the newest is not lost.  `used` counts aligned object sizes, not blocks, because the maximum
 * limits what peers cause.
 *
 * The first block is small, because most sessions put only a few words in their arenas.  These blocks are in pages of
 * their own, which return to the kernel after a peak (slab.h).  A few blocks of 4 KiB are kept for the next arena,
 * because malloc() is slow for that size.  Both stores belong to the thread, an exception to "no globals": any arena
 * may use them.
 */
#include "core/arena.h"

#include "core/metrics.h"
#include "core/slab.h"

#define FIRST_BLOCK ((size_t)512)
#define SECOND_BLOCK ((size_t)4096)
#define LARGEST_BLOCK ((size_t)65536)

#ifdef GLACIS_POOL_PASSTHROUGH
#define SHARES_BLOCKS false /* each object is a separate malloc, so the sanitizer sees its bounds */
#else
#define SHARES_BLOCKS true
#endif
#define KEPT_MOST 16
#define FIRST_KEPT 400 /* free first blocks to keep */

struct arena_block {
    struct arena_block *next;
    size_t size; /* octets of data */
    size_t used;
    _Alignas(max_align_t) char data[];
};

static _Thread_local struct {
    struct arena_block *first;
    unsigned count;
} kept;

static _Thread_local struct slab first_blocks; /* name NULL: not initialised yet */

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){ .max = max_bytes };
}

void arena_init_counted(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){ .max = max_bytes, .counted = true };
}

static void count_block(const struct arena *a, const struct arena_block *block, int sign)
{
    if (a->counted) {
        gauge_add(M_MEMORY_HELD, sign * (int64_t)(sizeof(*block) + block->size));
    }
}

static void drop_block(struct arena_block *block)
{
    if (SHARES_BLOCKS && block->size == FIRST_BLOCK) {
        slab_release(&first_blocks, block);
        return;
    }
    if (!SHARES_BLOCKS || block->size != SECOND_BLOCK || kept.count >= KEPT_MOST) {
        free(block);
        return;
    }
    block->next = kept.first;
    kept.first = block;
    kept.count++;
}

/* Frees the blocks from *from up to `end`, and sets *from to `end`. */
static void drop_blocks(struct arena *a, struct arena_block **from, struct arena_block *end)
{
    while (*from != end) {
        struct arena_block *block = *from;

        *from = block->next;
        count_block(a, block, -1);
        drop_block(block);
    }
}

void arena_fini(struct arena *a)
{
    drop_blocks(a, &a->blocks, NULL);
    a->used = 0;
}

struct arena_mark arena_mark(const struct arena *a)
{
    struct arena_block *newest = a->blocks;

    return (struct arena_mark){ .newest = newest,
                                .second = newest != NULL ? newest->next : NULL,
                                .newest_used = newest != NULL ? newest->used : 0,
                                .used = a->used };
}

/* Blocks added since the mark are before its newest block, or directly behind it if large. */
void arena_rewind(struct arena *a, const struct arena_mark *mark)
{
    drop_blocks(a, &a->blocks, mark->newest);
    if (mark->newest != NULL) {
        drop_blocks(a, &mark->newest->next, mark->second);
        mark->newest->used = mark->newest_used;
    }
    a->used = mark->used;
}

static struct arena_block *new_first_block(void)
{
    if (first_blocks.name == NULL) {
        slab_init(&first_blocks, "arena", sizeof(struct arena_block) + FIRST_BLOCK, FIRST_KEPT);
    }
    return slab_take(&first_blocks);
}

/* Returns NULL when out of memory and does not abort, because a peer decides the amount. */
static struct arena_block *new_block(size_t size)
{
    struct arena_block *block = kept.first;

    if (size == SECOND_BLOCK && block != NULL) {
        kept.first = block->next;
        kept.count--;
    } else if (SHARES_BLOCKS && size == FIRST_BLOCK) {
        block = new_first_block();
    } else {
        block = malloc(sizeof(*block) + size);
    }
    if (block) {
        block->next = NULL;
        block->size = size;
        block->used = 0;
    }
    return block;
}

static void push_block(struct arena *a, struct arena_block *block)
{
    count_block(a, block, 1);
    block->next = a->blocks;
    a->blocks = block;
}

static void push_block_second(struct arena *a, struct arena_block *block)
{
    if (a->blocks == NULL) {
        push_block(a, block);
        return;
    }
    count_block(a, block, 1);
    block->next = a->blocks->next;
    a->blocks->next = block;
}

/* A block with room for size octets, or NULL. */
static struct arena_block *block_for(struct arena *a, size_t size)
{
    struct arena_block *newest = a->blocks;
    struct arena_block *block;
    size_t regular;

    if (newest && size <= newest->size - newest->used) {
        return newest;
    }
    regular = newest ? min_size(max_size(newest->size * 2, SECOND_BLOCK), LARGEST_BLOCK) : FIRST_BLOCK;
    if (size > regular / 2 || !SHARES_BLOCKS) {
        block = new_block(size);
        if (block) {
            push_block_second(a, block);
        }
        return block;
    }
    block = new_block(regular);
    if (block) {
        push_block(a, block);
    }
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    struct arena_block *block;
    void *object;

    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size = (max_size(size, 1) + align - 1) / align * align;
    if (size > a->max - a->used) {
        return NULL;
    }
    block = block_for(a, size);
    if (block == NULL) {
        return NULL;
    }
    object = block->data + block->used;
    block->used += size;
    a->used += size;
    return memset(object, 0, size);
}

struct slice arena_slice(struct arena *a, struct slice s)
{
    char *copy = s.len < SIZE_MAX / 2 ? arena_alloc(a, s.len + 1) : NULL;

    if (copy == NULL) {
        return SLICE_NONE;
    }
    if (s.len) {
        memcpy(copy, s.ptr, s.len);
    }
    return slice_of(copy, s.len);
}
