/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loop.c - timers, watches, deferred calls and burial over the real loop; stalls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/timers.h"
#include "test/unit/jump_clock.h"

static struct loop *loop;
static unsigned calls;

static int setup(void **state)
{
    (void)state;
    loop = loop_new();
    calls = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void on_stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void run_for(uint64_t ms)
{
    struct timer t;

    timer_init(&t, loop, on_stop, NULL);
    timer_start(&t, ms);
    loop_run(loop);
}

static int order[64];
static void note(void *arg)
{
    order[calls++] = *(int *)arg;
}

static void timers_run_in_the_order_they_are_due(void **state)
{
    static int ids[] = { 0, 1, 2, 3, 4 };
    struct timer t[5];

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        timer_init(&t[i], loop, note, &ids[i]);
    }
    timer_start(&t[0], 20);
    timer_start(&t[1], 5);
    timer_start(&t[2], 5); /* the same time: the order of starting */
    timer_start(&t[3], 1);
    timer_start(&t[4], 2);
    timer_start(&t[3], 10); /* restarted later */
    timer_stop(&t[4]);
    timer_stop(&t[4]);
    assert_false(timer_active(&t[4]));
    run_for(40);
    assert_int_equal(calls, 4);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 2);
    assert_int_equal(order[2], 3);
    assert_int_equal(order[3], 0);
    assert_false(timer_active(&t[0]));
}

static void the_heap_holds_against_a_plain_model(void **state)
{
    static struct timer t[200];
    struct timers *ts = loop_timers(loop);
    uint64_t seed = 12345;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        timer_init(&t[i], loop, note, NULL);
    }
    for (int step = 0; step < 20000; step++) {
        struct timer *one;
        uint64_t earliest = TIMERS_NONE;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        one = &t[(seed >> 33) % ARRAY_LEN(t)];
        if ((seed >> 20) % 3 == 0) {
            timer_stop(one);
        } else {
            timer_start_at(one, (seed >> 40) % 1000);
        }
        for (size_t i = 0; i < ARRAY_LEN(t); i++) {
            earliest = timer_active(&t[i]) ? min_u64(earliest, t[i].due) : earliest;
        }
        assert_true(timers_next(ts) == earliest);
    }
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        timer_stop(&t[i]);
    }
    assert_true(timers_next(ts) == TIMERS_NONE);
}

struct pile {
    struct timer t[1000];
    struct deferred each_turn;
    unsigned turns, run, most;
};

static void on_pile(void *arg)
{
    struct pile *p = arg;

    p->run++;
    calls++;
}

static void on_turn_of_pile(void *arg)
{
    struct pile *p = arg;

    p->turns++;
    p->most = p->run > p->most ? p->run : p->most;
    p->run = 0;
    if (calls == ARRAY_LEN(p->t)) {
        loop_stop(loop);
    }
}

static void on_ready_in_pile(unsigned ready, void *arg)
{
    (void)ready;
    loop_at_end(loop, &((struct pile *)arg)->each_turn); /* the descriptor stays ready: once a turn */
}

/* Sessions that came together end together; a turn stays short (L13). */
static void timers_that_are_due_together_are_spread_over_turns(void **state)
{
    static struct pile p;
    struct watch w;
    int fd[2];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(p.t); i++) {
        timer_init(&p.t[i], loop, on_pile, &p);
        timer_start(&p.t[i], 1);
    }
    deferred_init(&p.each_turn, on_turn_of_pile, &p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    assert_int_equal(send(fd[1], "x", 1, 0), 1);
    watch_init(&w, loop, fd[0], on_ready_in_pile, &p);
    watch_set(&w, WATCH_READ);
    loop_run(loop);
    watch_stop(&w);
    deferred_cancel(&p.each_turn);
    close(fd[0]);
    close(fd[1]);
    assert_int_equal(calls, ARRAY_LEN(p.t));
    assert_true(p.most <= 64);
    assert_true(p.turns >= ARRAY_LEN(p.t) / 64);
}

static struct timer again;
static void on_again(void *arg)
{
    (void)arg;
    calls++;
    timer_start(&again, 0);
}

static void a_timer_that_starts_itself_does_not_stop_the_loop(void **state)
{
    (void)state;
    timer_init(&again, loop, on_again, NULL);
    timer_start(&again, 0);
    run_for(5);
    assert_true(calls > 2);
    timer_stop(&again);
}

static int pair[2];
static struct watch watch;
static char seen[16];
static struct watch *victim;

static void on_readable(unsigned ready, void *arg)
{
    (void)arg;
    assert_int_equal(ready, WATCH_READ);
    calls++;
    assert_int_equal(read(pair[0], seen, 1), 1);
}

static void watches_are_level_triggered_and_stay(void **state)
{
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    watch_init(&watch, loop, pair[0], on_readable, NULL);
    watch_set(&watch, WATCH_READ);
    assert_int_equal(write(pair[1], "abc", 3), 3);
    run_for(10);
    assert_int_equal(calls, 3);
    watch_set(&watch, 0);
    assert_int_equal(write(pair[1], "d", 1), 1);
    run_for(10);
    assert_int_equal(calls, 3);
    watch_set(&watch, WATCH_READ);
    run_for(10);
    assert_int_equal(calls, 4);
    watch_stop(&watch);
    watch_stop(&watch);
    close(pair[0]);
    close(pair[1]);
}

static void on_writable_kill(unsigned ready, void *arg)
{
    (void)arg;
    assert_int_equal(ready, WATCH_WRITE);
    calls++;
    watch_stop(victim);
    watch_stop(&watch);
}

static void a_watch_stopped_while_ready_does_not_run(void **state)
{
    struct watch other;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    watch_init(&watch, loop, pair[0], on_writable_kill, NULL);
    watch_init(&other, loop, pair[1], on_writable_kill, NULL);
    victim = &other;
    watch_set(&watch, WATCH_WRITE);
    watch_set(&other, WATCH_WRITE);
    run_for(10);
    assert_int_equal(calls, 1);
    close(pair[0]);
    close(pair[1]);
}

static struct deferred d1, d2, d3;

/* Thousands may be ready at once; the others of the loop have their turn in between. */
#define READY 400
#define READY_A_TURN 64

static struct {
    struct watch w[READY];
    int fd[READY][2];
    struct deferred turn;
    unsigned in_turn, most, ran, twice, turns;
    bool seen[READY];
    int last;
    bool in_order;
} rush;

static void on_turn_of_rush(void *arg)
{
    (void)arg;
    rush.most = rush.in_turn > rush.most ? rush.in_turn : rush.most;
    rush.in_turn = 0;
    rush.turns++;
    if (rush.ran + 2 >= READY) { /* two are stopped by the first */
        loop_stop(loop);
    }
}

static void on_rush(unsigned ready, void *arg)
{
    int i = (int)((struct watch *)arg - rush.w);

    (void)ready;
    rush.twice += rush.seen[i];
    rush.seen[i] = true;
    rush.in_turn++;
    rush.in_order = rush.in_order && i > rush.last;
    rush.last = i;
    watch_stop(&rush.w[i]);
    if (rush.ran++ == 0) { /* one that has its turn now, one that waits for a later one */
        watch_stop(&rush.w[1]);
        watch_stop(&rush.w[READY - 1]);
    }
    loop_defer(loop, &rush.turn);
}

static void watches_that_are_ready_together_are_spread_over_turns(void **state)
{
    struct timer due;

    (void)state;
    memset(&rush, 0, sizeof(rush));
    rush.last = -1;
    rush.in_order = true;
    deferred_init(&rush.turn, on_turn_of_rush, NULL);
    timer_init(&due, loop, on_stop, NULL); /* the limit of the test */
    for (int i = 0; i < READY; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, rush.fd[i]), 0);
        assert_int_equal(write(rush.fd[i][1], "x", 1), 1);
        watch_init(&rush.w[i], loop, rush.fd[i][0], on_rush, &rush.w[i]);
        watch_set(&rush.w[i], WATCH_READ);
    }
    timer_start(&due, 10000);
    loop_run(loop);
    timer_stop(&due);
    assert_int_equal(rush.ran, READY - 2);
    assert_int_equal(rush.twice, 0);
    assert_true(rush.in_order);
    assert_true(rush.most <= READY_A_TURN);
    assert_true(rush.turns >= READY / READY_A_TURN);
    assert_false(rush.seen[1] || rush.seen[READY - 1]);
    for (int i = 0; i < READY; i++) {
        watch_stop(&rush.w[i]);
        close(rush.fd[i][0]);
        close(rush.fd[i][1]);
    }
}

static void on_chain(void *arg)
{
    note(arg);
    if (calls < 20) {
        loop_defer(loop, &d1);
    }
}

static void on_cancel_next(void *arg)
{
    note(arg);
    deferred_cancel(&d2);
    deferred_cancel(&d2);
}

static void deferred_calls_run_once_and_can_be_cancelled(void **state)
{
    static int one = 1, two = 2, three = 3;

    (void)state;
    deferred_init(&d1, on_cancel_next, &one);
    deferred_init(&d2, note, &two);
    deferred_init(&d3, note, &three);
    loop_at_end(loop, &d3);
    loop_defer(loop, &d1);
    loop_defer(loop, &d1);
    loop_defer(loop, &d2);
    assert_int_equal(calls, 0);
    run_for(2);
    assert_int_equal(calls, 2);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 3);
    calls = 0;
    deferred_init(&d1, on_chain, &one);
    loop_defer(loop, &d1);
    run_for(5);
    assert_int_equal(calls, 20);
}

struct corpse {
    struct grave grave;
    bool *freed;
};

static void free_corpse(void *obj)
{
    struct corpse *c = obj;

    *c->freed = true;
    free(c);
}

static void on_bury(void *arg)
{
    struct corpse *c = xcalloc(1, sizeof(*c));

    c->freed = arg;
    loop_bury(loop, &c->grave, free_corpse, c);
    assert_false(*(bool *)arg);
}

static void the_dead_are_buried_at_the_end_of_the_turn(void **state)
{
    bool freed = false;

    (void)state;
    deferred_init(&d1, on_bury, &freed);
    loop_defer(loop, &d1);
    run_for(1);
    assert_true(freed);
}

static void on_busy(void *arg)
{
    (void)arg;
    jump_clock_pass(20);
}

/* ---- the process stood still ---- */

#define OTHERS 200 /* descriptors that are ready before the answer is: more than a turn takes */

static struct {
    struct timer stall, limit;
    struct deferred handle;
    struct watch w[OTHERS];
    int fd[OTHERS][2];
    size_t count;
    bool for_ever; /* those of the others stay ready */
    bool answered, missed;
} asked;

/* Meanwhile all of them speak, the answer comes last, and the time for it passes. */
static void on_stall(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < asked.count; i++) {
        assert_int_equal(write(asked.fd[i][1], "x", 1), 1);
    }
    jump_clock_pass(1000);
}

static void on_others(unsigned ready, void *arg)
{
    struct watch *w = arg;

    (void)ready;
    if (w == &asked.w[asked.count - 1]) {
        loop_defer(loop, &asked.handle);
    }
    if (!asked.for_ever) {
        watch_stop(w);
    }
}

static void on_handle(void *arg)
{
    (void)arg;
    asked.answered = true;
    if (!asked.for_ever) {
        timer_stop(&asked.limit);
        loop_stop(loop);
    }
}

static void on_missed(void *arg)
{
    (void)arg;
    asked.missed = true;
    loop_stop(loop);
}

static void stall_with(size_t count, bool for_ever)
{
    memset(&asked, 0, sizeof(asked));
    asked.count = count;
    asked.for_ever = for_ever;
    deferred_init(&asked.handle, on_handle, NULL);
    timer_init(&asked.stall, loop, on_stall, NULL);
    timer_init(&asked.limit, loop, on_missed, NULL);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, asked.fd[i]), 0);
        watch_init(&asked.w[i], loop, asked.fd[i][0], on_others, &asked.w[i]);
        watch_set(&asked.w[i], WATCH_READ);
    }
    timer_start(&asked.stall, 10);
    timer_start(&asked.limit, 500);
    loop_run(loop);
    for (size_t i = 0; i < count; i++) {
        watch_stop(&asked.w[i]);
        close(asked.fd[i][0]);
        close(asked.fd[i][1]);
    }
    deferred_cancel(&asked.handle);
}

/* What arrived in time is not found missing because nobody looked in time. */
static void what_came_during_a_stall_was_in_time(void **state)
{
    static const size_t ready[] = { 1, 63, 64, 65, OTHERS };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ready); i++) {
        stall_with(ready[i], false);
        assert_true(asked.answered);
        assert_false(asked.missed);
    }
}

static void timers_come_though_there_is_always_more_to_do(void **state)
{
    (void)state;
    stall_with(OTHERS, true);
    assert_true(asked.answered);
    assert_true(asked.missed);
}

static void the_longest_turn_is_known(void **state)
{
    (void)state;
    deferred_init(&d1, on_busy, NULL);
    loop_defer(loop, &d1);
    run_for(1);
    assert_true(loop_longest_turn_us(loop) >= 20000);
    assert_int_equal(loop_longest_turn_us(loop), 0);
    assert_true(wall_now_s() > 1700000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_run_in_the_order_they_are_due, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_that_are_due_together_are_spread_over_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(the_heap_holds_against_a_plain_model, setup, teardown),
        cmocka_unit_test_setup_teardown(a_timer_that_starts_itself_does_not_stop_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(watches_are_level_triggered_and_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_watch_stopped_while_ready_does_not_run, setup, teardown),
        cmocka_unit_test_setup_teardown(watches_that_are_ready_together_are_spread_over_turns, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(deferred_calls_run_once_and_can_be_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(the_dead_are_buried_at_the_end_of_the_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(what_came_during_a_stall_was_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_come_though_there_is_always_more_to_do, setup, teardown),
        cmocka_unit_test_setup_teardown(the_longest_turn_is_known, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
