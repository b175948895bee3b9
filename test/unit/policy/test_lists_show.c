/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lists_show.c - `glacis lists` while another process has the record of a list.
 */
#include "test/unit/policy/judge_world.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "policy/lists/guard.h"
#include "policy/rules/compiled.h"
#include "state/memory.h"
#include "state/tables_priv.h"

#define LISTS "reputation: {lists: [{name: one, zone: one.test}, {name: two, zone: two.test}]}\n"

static struct world world;
static struct state *shared;
static struct buf said;

static void ask(const char *words)
{
    buf_reset(&said);
    policy_lists_command(world.policy, shared, slice_str(words), 1234, &said);
}

static bool says(const char *text)
{
    return memmem(said.ptr, said.len, text, strlen(text)) != NULL;
}

static void a_record_that_is_never_free_is_named_as_busy(void **state)
{
    struct memory_list *l = tables_list_take(shared->tables, SLICE("one"));

    (void)state;
    assert_non_null(l);
    ask("json");
    assert_true(says("[{\"name\":\"one\",\"busy\":true},{\"name\":\"two\",\"mode\":\"enforce\""));
    ask("");
    assert_true(says("one  is busy: ask again"));
    ask("set one off");
    assert_true(says("error\nThe list's record is busy; try again.\n"));
    tables_list_give(shared->tables, l);
    ask("json");
    assert_true(says("[{\"name\":\"one\",\"mode\":\"enforce\""));
}

static sem_t taken;

static void *keep_it_a_moment(void *arg UNUSED)
{
    const struct timespec moment = { 0, 5000000 };
    struct memory_list *l = tables_list_take(shared->tables, SLICE("two"));

    (void)sem_post(&taken);
    (void)nanosleep(&moment, NULL);
    tables_list_give(shared->tables, l);
    return NULL;
}

static void one_that_is_busy_for_a_moment_is_waited_for(void **state)
{
    pthread_t other;

    (void)state;
    assert_int_equal(sem_init(&taken, 0, 0), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pthread_create(&other, NULL, keep_it_a_moment, NULL), 0);
        assert_int_equal(sem_wait(&taken), 0);
        ask("set two monitor");
        assert_true(says("two is set to monitor; the file says enforce"));
        assert_int_equal(pthread_join(other, NULL), 0);
    }
    (void)sem_destroy(&taken);
}

static void set_list(const char *name, void (*change)(struct memory_list *l))
{
    struct memory_list *l = tables_list_take(shared->tables, slice_str(name));

    assert_non_null(l);
    change(l);
    tables_list_give(shared->tables, l);
}

static void refuse_us(struct memory_list *l)
{
    l->useless_s = (uint32_t)wall_now_s() - 600;
    l->useless = EFFECT_REFUSED;
    memcpy(l->last_error, "\x7f\xff\xff\xfe", 4);
    l->total_errors = 17;
    l->total_timeouts = 4;
}

static void demote(struct memory_list *l)
{
    l->demoted_s = (uint32_t)wall_now_s() - 60;
    l->reason = GUARD_CANARY;
}

/* Words of a worker that was taken over: no index and no text of it is trusted. */
static void write_nonsense(struct memory_list *l)
{
    l->useless = l->reason = l->override = 255;
    l->evidence_next = UINT32_MAX;
    memset(l->why, 'x', sizeof(l->why));
    for (size_t i = 0; i < MEMORY_EVIDENCE; i++) {
        memset(l->evidence[i].text, 'x', sizeof(l->evidence[i].text));
        l->evidence[i].at_s = (uint32_t)wall_now_s();
    }
}

static void a_list_without_effect_is_shouted_about(void **state)
{
    (void)state;
    buf_reset(&said);
    assert_int_equal(policy_lists_degraded(world.policy, shared, &said), 0);
    assert_int_equal(said.len, 0);
    set_list("one", refuse_us);
    set_list("two", demote);
    assert_int_equal(policy_lists_degraded(world.policy, shared, &said), 2);
    assert_string_equal(said.ptr, "list one has no effect: it refuses our resolver as a public or open one "
                                  "(127.255.255.254)\nlist two is demoted: it lists canaries\n");
    ask("");
    assert_true(
        says("  NO EFFECT for 10 min: it refuses our resolver as a public or open one (127.255.255.254)\n"));
    ask("json");
    assert_true(says("\"no_effect\":\"it refuses our resolver as a public or open "
                     "one\",\"last_error\":\"127.255.255.254\""));
    assert_true(says("\"timeouts\":4,\"errors\":17,"));
    buf_reset(&said);
    policy_lists_metrics(world.policy, shared, &said);
    assert_true(says("glacis_list_no_effect{list=\"one\"} 1\n"));
    assert_true(says("glacis_list_no_effect{list=\"two\"} 0\n"));
    assert_true(says("glacis_list_errors_total{list=\"one\"} 17\n"));
    assert_true(says("glacis_list_timeouts_total{list=\"one\"} 4\n"));
    ask("set one off"); /* it is not asked any more, as the operator wants */
    buf_reset(&said);
    assert_int_equal(policy_lists_degraded(world.policy, shared, &said), 1);
    ask("set one auto");
    set_list("one", write_nonsense);
    ask("");
    ask("json");
    buf_reset(&said);
    assert_int_equal(policy_lists_degraded(world.policy, shared, &said), 2);
}

/* ---- C2: a record into which a hostile process wrote arbitrary values ---- */

static const uint64_t extremes[] = { UINT64_MAX, UINT64_C(0x8000000080000000), UINT64_C(0x1b5b324a1b5b324a),
                                     1 };

/* As workers do. */
static void judge_it(struct memory_list *l, const struct config_guard *s, unsigned round)
{
    const struct guard_list list = { .allows = round % 2 == 0, .probe = true };
    const struct guard_witness w = { .listed = true,
                                     .spf_pass = true,
                                     .established = true,
                                     .owner = round,
                                     .network = round,
                                     .ip = { .family = ADDR_V4, .ip = { 192, 0, 2, (uint8_t)round } },
                                     .who = SLICE("example.com") };
    const struct guard_canaries c = { .asked = 4, .listed = 3, .enough = 1, .who = SLICE("a canary") };
    const struct guard_news answers[] = {
        { .outcome = GUARD_YES, .answered = true, .answer = { 127, 0, 0, 2 }, .took_us = 1000, .from = w.ip },
        { .outcome = GUARD_TIMEOUT, .took_us = 1000, .from = w.ip },
    };
    int64_t now = wall_now_s() + round;

    (void)guard_answer(l, s, &answers[0], now);
    (void)guard_answer(l, s, &answers[1], now);
    (void)guard_witness(l, s, &list, &w, now);
    (void)guard_probed(l, &list, GUARD_NO, GUARD_YES, now);
    (void)guard_probe_over(l, &answers[0]);
    (void)guard_canaries(l, s, &list, &c, now);
    (void)guard_tick(l, s, &list, now + 7200);
    (void)guard_may_ask(l, now);
    (void)guard_mode(l, LIST_MODE_ENFORCE, now);
}

static void is_fit_for_people(void)
{
    for (size_t i = 0; i < said.len; i++) {
        assert_true((unsigned char)said.ptr[i] >= ' ' || said.ptr[i] == '\n');
    }
}

static void a_record_may_hold_anything(void **state)
{
    struct memory_list *l = tables_list_take(shared->tables, SLICE("one"));
    struct buf trouble;
    size_t end = sizeof(*l) / sizeof(uint64_t);

    (void)state;
    assert_non_null(l);
    tables_list_give(shared->tables, l);
    buf_init(&trouble, 4096);
    for (size_t e = 0; e < ARRAY_LEN(extremes); e++) {
        for (size_t word = MEMORY_LIST_NAME / 8; word < end; word++) {
            memcpy((char *)l + word * 8, &extremes[e], sizeof(extremes[e]));
            judge_it(l, &world.policy->remembered.guard, (unsigned)word);
            memcpy((char *)l + word * 8, &extremes[e], sizeof(extremes[e]));
            if (word % 16 != 0) {
                continue;
            }
            ask("json");
            is_fit_for_people();
            ask("");
            is_fit_for_people();
            ask("set one monitor");
            buf_reset(&trouble);
            (void)policy_lists_degraded(world.policy, shared, &trouble);
        }
    }
    buf_reset(&said);
    policy_lists_metrics(world.policy, shared, &said);
    is_fit_for_people();
    buf_fini(&trouble);
}

static int setup(void **state)
{
    (void)state;
    world_init(&world, LISTS);
    shared = state_new(0);
    buf_init(&said, 1u << 16);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&said);
    world_fini(&world);
    state_free(shared);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_that_is_never_free_is_named_as_busy),
        cmocka_unit_test(one_that_is_busy_for_a_moment_is_waited_for),
        { .name = "A5, B3: a list without effect is shouted about, errors and time-outs are counted",
          .test_func = a_list_without_effect_is_shouted_about },
        { "C2: a record may hold anything", a_record_may_hold_anything, NULL, NULL, NULL },
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
