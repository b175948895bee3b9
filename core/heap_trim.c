/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap_trim.c - return freed memory in pieces; see heap_trim.h.
 *
 * First the holes: malloc places a piece in the smallest hole that fits, and at the end of the heap last.  If the
 * holes are too small for all pieces, the heap grows, but each new piece keeps only its first page.  Then the end of
 * the heap: malloc_trim() shortens it in steps.  It finds no holes to trim, because the pieces fill them.
 *
 * Owns    the pieces, until the trim ends.
 * Limits  malloc_trim() handles holes smaller than PIECE.  A step drops STEP octets, in about 1 ms.
 */
#include "core/heap_trim.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)
#define STEP (8 * PIECE)
#define STEP_MS 20

struct trim_piece {
    struct trim_piece *next;
};

/* Drops the whole pages behind the header of the piece. */
static void drop_pages(struct trim_piece *p)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)(p + 1) + page - 1) & ~(uintptr_t)(page - 1);
    uintptr_t to = ((uintptr_t)p + PIECE) & ~(uintptr_t)(page - 1);

    (void)madvise((char *)p + (from - (uintptr_t)p), to - from, MADV_DONTNEED);
}

static void take_pieces(struct heap_trim *t)
{
    for (size_t i = 0; i < STEP / PIECE && t->left > 0; i++, t->left--) {
        struct trim_piece *p = malloc(PIECE);

        if (p == NULL) {
            t->left = 0;
            return;
        }
        p->next = t->pieces;
        t->pieces = p;
        drop_pages(p);
    }
}

static void on_step(void *arg)
{
    struct heap_trim *t = arg;

    if (t->left > 0) {
        take_pieces(t);
    } else if (t->end > t->keep) {
        t->end -= min_size(t->end - t->keep, STEP);
        (void)malloc_trim(t->end);
    } else {
        heap_trim_stop(t);
        (void)malloc_trim(t->keep);
        return;
    }
    timer_start(&t->step, STEP_MS);
}

void heap_trim_init(struct heap_trim *t, struct loop *l)
{
    *t = (struct heap_trim){ .left = 0 };
    timer_init(&t->step, l, on_step, t);
}

void heap_trim_start(struct heap_trim *t, size_t keep)
{
    struct mallinfo2 have;

    if (!timer_active(&t->step)) {
        have = mallinfo2();
        t->keep = keep;
        t->end = have.keepcost;
        t->left = (have.fordblks - have.keepcost) / PIECE;
        timer_start(&t->step, STEP_MS);
    }
}

void heap_trim_stop(struct heap_trim *t)
{
    timer_stop(&t->step);
    while (t->pieces != NULL) {
        struct trim_piece *p = t->pieces;

        t->pieces = p->next;
        free(p);
    }
}
