/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_memory.c - arena, slab, table and base: lifetimes, limits, collisions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/base.h"
#include "core/metrics.h"
#include "core/slab.h"
#include "core/table.h"

static void an_arena_hands_out_zeroed_aligned_memory_up_to_its_maximum(void **state)
{
    struct arena a;
    size_t got = 0;

    (void)state;
    arena_init(&a, 100000);
    for (size_t size = 0;; size = (size * 7 + 13) % 5000) {
        unsigned char *p = arena_alloc(&a, size);

        if (p == NULL) {
            break;
        }
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(p[i], 0);
        }
        memset(p, 0xff, size);
        got += size;
    }
    assert_true(got > 80000 && got <= 100000);
    assert_true(a.used <= a.max);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX / 2 - 3));
    arena_fini(&a);
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 90000));
    arena_fini(&a);
}

/* Objects of all sizes before and behind a mark: those before stay as they are, the others leave nothing. */
static void an_arena_forgets_what_came_after_a_mark(void **state)
{
    static const size_t sizes[] = { 16, 300, 3000, 100, 40000, 70000, 8 };
    uint64_t held = metric_get(M_MEMORY_HELD);
    struct arena_mark mark;
    struct arena a;
    uint64_t before;

    (void)state;
    arena_init_counted(&a, 1 << 20);
    mark = arena_mark(&a);
    assert_non_null(arena_alloc(&a, 5000));
    arena_rewind(&a, &mark); /* to nothing at all */
    assert_int_equal(metric_get(M_MEMORY_HELD), held);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct slice kept = arena_slice(&a, SLICE("what is kept"));

        assert_non_null(arena_alloc(&a, sizes[i]));
        before = metric_get(M_MEMORY_HELD);
        assert_true(before > held);
        mark = arena_mark(&a);
        for (int round = 0; round < 1000; round++) {
            for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
                assert_non_null(memset(arena_alloc(&a, sizes[k]), 0x55, sizes[k]));
            }
            arena_rewind(&a, &mark);
            assert_int_equal(a.used, mark.used);
        }
        assert_true(slice_eq(kept, SLICE("what is kept")));
        assert_int_equal(metric_get(M_MEMORY_HELD), before);
    }
    arena_fini(&a);
    assert_int_equal(metric_get(M_MEMORY_HELD), held);
}

static void an_arena_copies_text_with_an_end(void **state)
{
    struct arena a;
    struct slice s;

    (void)state;
    arena_init(&a, 64);
    s = arena_slice(&a, SLICE("hello"));
    assert_string_equal(s.ptr, "hello");
    s = arena_slice(&a, SLICE_NONE);
    assert_non_null(s.ptr);
    assert_int_equal(s.len, 0);
    s = arena_slice(&a, SLICE("this text is longer than what is left of it, so it does not fit"));
    assert_null(s.ptr);
    assert_int_equal(s.len, 0);
    arena_fini(&a);
}

static void a_slab_counts_and_zeroes(void **state)
{
    struct slab sl;
    unsigned char *obj[5];

    (void)state;
    slab_init(&sl, "test", 24, 3);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 5; i++) {
            obj[i] = slab_alloc(&sl);
            for (size_t k = 0; k < 24; k++) {
                assert_int_equal(obj[i][k], 0);
            }
            memset(obj[i], 0xff, 24);
        }
        assert_int_equal(sl.in_use, 5);
        for (size_t i = 0; i < 5; i++) {
            slab_release(&sl, obj[i]);
        }
        assert_int_equal(sl.in_use, 0);
        assert_int_equal(sl.empty,
                         sl.per_chunk == 0 ? 0 : 1); /* stays: the next object is not to fetch it anew */
    }
    slab_release(&sl, NULL);
    slab_fini(&sl);
}

/* Objects do not overlap, whichever way they come back, and chunks that nobody needs are not kept. */
static void a_slab_gives_chunks_back(void **state)
{
    enum { COUNT = 500, SIZE = 1000 };
    static unsigned char *obj[COUNT];
    struct slab sl;

    (void)state;
    slab_init(&sl, "test", SIZE, 100);
    for (unsigned round = 0; round < 4; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            if (obj[i] == NULL) {
                obj[i] = slab_alloc(&sl);
                memset(obj[i], (int)(i % 251), SIZE);
            }
        }
        for (size_t i = 0; i < COUNT; i++) {
            size_t k = (i * 37) % COUNT; /* out of order; every other one in the first rounds */

            assert_int_equal(obj[k][0], k % 251);
            assert_int_equal(obj[k][SIZE - 1], k % 251);
            if (round == 3 || k % 2 == round % 2) {
                slab_release(&sl, obj[k]);
                obj[k] = NULL;
            }
        }
    }
    assert_int_equal(sl.in_use, 0);
    assert_true(sl.empty <= sl.max_kept);
    assert_true(sl.per_chunk == 0 || sl.max_kept * sl.per_chunk < 100 + sl.per_chunk);
    slab_fini(&sl);
}

/* The first vectors of the reference implementation: key 00..0f, input 00, 01, ... */
static void siphash_matches_its_vectors(void **state)
{
    static const uint64_t want[] = { 0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a,
                                     0x85676696d7fb7e2d };
    const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
    unsigned char in[16];

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++) {
        in[i] = (unsigned char)i;
    }
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(siphash(key, in, i) == want[i]);
    }
    assert_true(siphash(key, in, 15) == 0xa129ca6149be45e5);
}

struct thing {
    struct table_entry e;
    char name[16];
};

static void a_table_finds_what_is_in_it_and_nothing_else(void **state)
{
    static struct thing things[1000];
    struct table t;

    (void)state;
    table_init(&t);
    assert_null(table_find(&t, SLICE("0")));
    for (size_t i = 0; i < ARRAY_LEN(things); i++) {
        (void)snprintf(things[i].name, sizeof(things[i].name), "%zu", i);
        table_insert(&t, &things[i].e, slice_str(things[i].name));
    }
    assert_int_equal(t.len, 1000);
    for (size_t i = 0; i < ARRAY_LEN(things); i += 2) {
        table_remove(&t, &things[i].e);
    }
    for (size_t i = 0; i < ARRAY_LEN(things); i++) {
        struct table_entry *e = table_find(&t, slice_str(things[i].name));

        assert_ptr_equal(e, i % 2 ? &things[i].e : NULL);
    }
    assert_int_equal(t.len, 500);
    table_fini(&t);
    assert_null(table_find(&t, SLICE("1")));
}

static void products_that_overflow_are_seen(void **state)
{
    size_t product;
    char *copy;

    (void)state;
    assert_true(mul_overflows(SIZE_MAX, 2, &product));
    assert_false(mul_overflows(3, 4, &product));
    assert_int_equal(product, 12);
    copy = xstrdup("text");
    copy = xrealloc(copy, 100);
    assert_string_equal(copy, "text");
    free(copy);
    free(xmalloc(0));
    free(xcalloc(0, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_hands_out_zeroed_aligned_memory_up_to_its_maximum),
        { "C3: an arena forgets what came after a mark, and its blocks are counted",
          an_arena_forgets_what_came_after_a_mark, NULL, NULL, NULL },
        cmocka_unit_test(an_arena_copies_text_with_an_end),
        cmocka_unit_test(a_slab_counts_and_zeroes),
        cmocka_unit_test(a_slab_gives_chunks_back),
        cmocka_unit_test(siphash_matches_its_vectors),
        cmocka_unit_test(a_table_finds_what_is_in_it_and_nothing_else),
        cmocka_unit_test(products_that_overflow_are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
