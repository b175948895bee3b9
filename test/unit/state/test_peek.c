/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_peek.c - memory_peek() says what memory_ask() would say, and leaves no trace; a memory apart with a source.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/crypto.h"
#include "state/memory.h"
#include "state/tables_priv.h"

#define NOW INT64_C(1790000000)
#define DAY 86400

static uint64_t next(uint64_t *seed) /* splitmix64 */
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static struct memory_question random_question(uint64_t *seed)
{
    static const uint32_t keeps[] = { 60, 600, DAY, 36 * DAY };
    char name[24];

    (void)snprintf(name, sizeof(name), "key-%u", (unsigned)(next(seed) % 5));
    return (struct memory_question){ .what = (enum memory_what)(next(seed) % 5),
                                     .key = memory_key(MEMORY_CLIENT, slice_str(name)),
                                     .member = (uint32_t)(next(seed) % 40),
                                     .keep_s = keeps[next(seed) % ARRAY_LEN(keeps)] };
}

static void assert_same(const struct memory_record *a, const struct memory_record *b, unsigned step)
{
    if (a->known != b->known || a->found != b->found || a->passed != b->passed || a->since_s != b->since_s ||
        a->count != b->count || memcmp(&a->standing, &b->standing, sizeof(a->standing)) != 0) {
        fail_msg("step %u: known %d/%d found %d/%d passed %d/%d since %" PRId64 "/%" PRId64 " count %u/%u",
                 step, a->known, b->known, a->found, b->found, a->passed, b->passed, a->since_s, b->since_s,
                 a->count, b->count);
    }
}

static void a_peek_is_the_answer_without_its_trace(void **state)
{
    struct tables *t = tables_new(64);
    uint64_t seed = 20261121;
    int64_t now = NOW;

    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        struct memory_question q = random_question(&seed);
        struct memory_record once, twice, asked;

        now += (int64_t)(next(&seed) % 90);
        if (next(&seed) % 8 == 0) {
            tables_note(t, (enum memory_event)(next(&seed) % 3), &q.key, q.keep_s, now);
        }
        tables_peek(t, &q, now, &once);
        tables_peek(t, &q, now, &twice);
        assert_same(&once, &twice, step);
        if (next(&seed) % 2 == 0) {
            tables_ask(t, &q, now, &asked);
            assert_same(&once, &asked, step);
        }
    }
    tables_free(t);
}

/* ---- apart ---- */

static struct memory_record record; /* the answer */
static bool answered;

static void on_answer(void *arg, const struct memory_answer *a)
{
    record = a->record[0];
    answered = true;
    loop_stop(arg);
}

static struct memory_record ask(struct memory *m, struct loop *loop, enum memory_what what)
{
    struct memory_question q = { .what = what, .key = memory_key(MEMORY_CLIENT, SLICE("x")), .keep_s = DAY };
    struct memory_op *op = memory_ask(m, &q, 1, NOW, on_answer, loop);

    assert_non_null(op);
    answered = false;
    loop_run(loop);
    assert_true(answered);
    return record;
}

static bool say(void *arg, const struct memory_question *q, struct memory_record *out)
{
    unsigned *asked = arg;

    (*asked)++;
    *out = (struct memory_record){ .known = true, .found = true, .since_s = NOW - 1000, .count = 7 };
    return q->what != MEMORY_GREYLIST;
}

static void a_memory_apart_is_empty_or_says_what_its_source_says(void **state)
{
    unsigned asked = 0;
    struct loop *loop = loop_new();
    struct memory *m = memory_new_apart(loop, &(struct memory_source){ .peek = NULL });

    (void)state;
    assert_true(memory_history_since(m) > 0); /* it is not being read: a triplet waits */
    assert_false(ask(m, loop, MEMORY_SEEN).found);
    assert_int_equal(ask(m, loop, MEMORY_GREYLIST).since_s, NOW);
    assert_int_equal(ask(m, loop, MEMORY_RATE).count, 1);
    memory_free(&m);

    m = memory_new_apart(loop, &(struct memory_source){ say, &asked, NOW - 30 * DAY });
    assert_int_equal(memory_history_since(m), NOW - 30 * DAY);
    assert_int_equal(ask(m, loop, MEMORY_SEEN).since_s, NOW - 1000);
    assert_int_equal(ask(m, loop, MEMORY_RATE).count, 7);
    assert_false(ask(m, loop, MEMORY_GREYLIST).found); /* the source had no answer */
    assert_int_equal(asked, 3);
    memory_free(&m);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "B1: a peek is the answer without its trace", a_peek_is_the_answer_without_its_trace, NULL, NULL,
          NULL },
        { "B1: a memory apart is empty, or says what its source says",
          a_memory_apart_is_empty_or_says_what_its_source_says, NULL, NULL, NULL },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
