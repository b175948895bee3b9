/* SPDX-License-Identifier: Apache-2.0 */
/* Slots: who is there, what a killed process leaves behind, sums over all processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "state/slots.h"
#include "test/unit/state/kill_midway.h"

static void count_and_work(struct state *s, unsigned round)
{
    (void)s;
    (void)round;
    count(M_SESSIONS);
    gauge_add(M_SESSIONS_NOW, 1);
}

static void a_killed_process_leaves_its_counters_and_not_its_gauges(void **st)
{
    struct state *s = state_new(0);
    struct state_slot_info info;
    uint64_t sums[METRIC_COUNT], before;
    pid_t pid;
    int slot;

    (void)st;
    slot = fork_busy(s, count_and_work, &pid);
    assert_true(slot >= 2);
    while (state_gauge_sum(s, M_SESSIONS_NOW) < 1000) {
        pause_us(100);
    }
    assert_true(state_slot_info(s, slot, &info));
    assert_int_equal(info.role, ROLE_WORKER);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    state_metrics_sum(s, sums);
    before = sums[M_SESSIONS];
    state_slot_release(s, slot);
    state_metrics_sum(s, sums);
    assert_int_equal(sums[M_SESSIONS], before);
    assert_int_equal(sums[M_SESSIONS_NOW], 0);
    assert_false(state_slot_info(s, slot, &info));
    state_free(s);
}

static void slots_run_out_and_come_back(void **st)
{
    struct state *s = state_new(0);
    int last = -1, n = 0, slot;

    (void)st;
    assert_int_equal(state_slot_take(s, ROLE_SUPERVISOR, 0, 0), 0);
    assert_int_equal(state_slot_take(s, ROLE_SUPERVISOR, 0, 0), -1);
    assert_int_equal(state_slot_take(s, ROLE_RECORDER, 0, 0), 1);
    while ((slot = state_slot_take(s, ROLE_WORKER, 1, (unsigned)n)) >= 0) {
        last = slot;
        n++;
    }
    assert_int_equal(n, STATE_SLOTS - 2);
    state_slot_release(s, last);
    assert_int_equal(state_slot_take(s, ROLE_WORKER, 2, 0), last);
    state_free(s);
}

static void stress_is_the_largest_of_all_not_the_sum(void **st)
{
    struct state *s = state_new(0);

    (void)st;
    for (int i = 0; i < 3; i++) {
        state_slot_enter(s, state_slot_take(s, ROLE_WORKER, 1, 0));
        gauge_set(M_STRESS, 1);
        gauge_set(M_SESSIONS_NOW, 2);
    }
    assert_int_equal(state_gauge_sum(s, M_STRESS), 1);
    assert_int_equal(state_gauge_sum(s, M_SESSIONS_NOW), 6);
    state_free(s);
}

static void heartbeats_and_draining_are_seen_by_others(void **st)
{
    struct state *s = state_new(0);
    struct state_slot_info info;
    int slot = state_slot_take(s, ROLE_WORKER, 7, 3);

    (void)st;
    state_slot_pid(s, slot, 1234);
    assert_true(state_slot_info(s, slot, &info));
    assert_int_equal(info.heartbeat_ms, 0);
    assert_int_equal(info.pid, 1234);
    state_slot_pid(s, slot, getpid());
    state_slot_enter(s, slot);
    state_heartbeat(s, 99);
    state_set_draining(s, slot);
    assert_true(state_slot_info(s, slot, &info));
    assert_int_equal(info.heartbeat_ms, 99);
    assert_int_equal(info.generation, 7);
    assert_int_equal(info.index, 3);
    assert_int_equal(info.pid, getpid());
    assert_true(info.draining);
    state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_process_leaves_its_counters_and_not_its_gauges),
        cmocka_unit_test(slots_run_out_and_come_back),
        cmocka_unit_test(stress_is_the_largest_of_all_not_the_sum),
        cmocka_unit_test(heartbeats_and_draining_are_seen_by_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
