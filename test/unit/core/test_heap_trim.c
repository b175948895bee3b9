/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_heap_trim.c - freed memory goes back in steps, and all of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "core/heap_trim.h"

#define BLOCK ((size_t)256 << 10)
#define BLOCKS 256 /* 64 MiB */
#define MIB ((size_t)1 << 20)

struct watcher {
    struct loop *loop;
    struct timer tick;
    size_t last, most; /* octets resident; the largest fall between two looks */
};

static size_t resident(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    size_t size = 0, pages = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%zu %zu", &size, &pages), 2);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void on_tick(void *arg)
{
    struct watcher *w = arg;
    size_t now = resident();

    if (w->last > now && w->last - now > w->most) {
        w->most = w->last - now;
    }
    w->last = now;
    timer_start(&w->tick, 1);
}

static void on_end(void *arg)
{
    loop_stop(arg);
}

static void run_ms(struct loop *l, uint64_t ms)
{
    struct timer end;

    timer_init(&end, l, on_end, l);
    timer_start(&end, ms);
    loop_run(l);
}

/* Holes in the middle of the heap: small pieces between and behind them stay. */
static void make_holes(void *stays[3])
{
    static char *block[BLOCKS];

    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = memset(xmalloc(BLOCK), 1, BLOCK);
        if (i % 100 == 99) {
            stays[i / 100] = xmalloc(100);
        }
    }
    stays[2] = xmalloc(100);
    for (size_t i = 0; i < BLOCKS; i++) {
        free(block[i]);
    }
}

/* Is malloc the C library's, and not a sanitizer's? */
static bool malloc_counts(void)
{
    size_t before = mallinfo2().uordblks;
    char *p = xmalloc(MIB / 16);
    bool counted = mallinfo2().uordblks > before;

    p[0] = 1;
    free(p);
    return counted;
}

static void freed_memory_goes_back_in_steps(void **state UNUSED)
{
    struct watcher w = { .last = 0 };
    void *stays[3] = { NULL };
    struct heap_trim t;
    size_t before;

    if (!malloc_counts()) {
        skip();
    }
    w.loop = loop_new();
    (void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
    before = resident();
    make_holes(stays);
    assert_true(mallinfo2().fordblks >= BLOCK * BLOCKS);
    assert_true(resident() > before + 60 * MIB);
    heap_trim_init(&t, w.loop);
    timer_init(&w.tick, w.loop, on_tick, &w);
    w.last = resident();
    on_tick(&w);
    heap_trim_start(&t, 0);
    run_ms(w.loop, 100);
    assert_non_null(t.pieces);
    heap_trim_start(&t, 0); /* it goes on already */
    for (unsigned i = 0; i < 500 && timer_active(&t.step); i++) {
        run_ms(w.loop, 20);
    }
    assert_null(t.pieces);
    assert_in_range(resident(), 0, before + 4 * MIB);
    assert_in_range(w.most, 1, 17 * MIB);
    timer_stop(&w.tick);
    for (size_t i = 0; i < ARRAY_LEN(stays); i++) {
        free(stays[i]);
    }
    loop_free(w.loop);
}

static void it_may_be_ended_at_any_time(void **state UNUSED)
{
    struct loop *l = loop_new();
    void *stays[3] = { NULL };
    struct heap_trim t;

    make_holes(stays);
    heap_trim_init(&t, l);
    heap_trim_stop(&t);
    heap_trim_start(&t, 0);
    heap_trim_stop(&t);
    heap_trim_start(&t, 0);
    run_ms(l, 50);
    heap_trim_stop(&t);
    heap_trim_stop(&t);
    assert_null(t.pieces);
    for (size_t i = 0; i < ARRAY_LEN(stays); i++) {
        free(stays[i]);
    }
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_memory_goes_back_in_steps),
        cmocka_unit_test(it_may_be_ended_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
