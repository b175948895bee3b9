/*
 * test_lists_show.c - `glacis lists` while another process has the record of a list.
 */
#include "test/unit/policy/judge_world.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "policy/guard.h"
#include "policy/policy_priv.h"
#include "state/tables.h"

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

/* ---- C2: a record into which a hostile process wrote arbitrary values ---- */

static const uint64_t extremes[] = { UINT64_MAX, UINT64_C(0x8000000080000000), UINT64_C(0x1b5b324a1b5b324a),
                                     1 };

/* As workers do. */
static void judge_it(struct memory_list *l, const struct guard_settings *s, unsigned round)
{
    const struct guard_list list = { .allows = round % 2 == 0, .probe = true };
    const struct guard_witness w = { .listed = true,
                                     .established = true,
                                     .owner = round,
                                     .ip = { .family = ADDR_V4, .ip = { 192, 0, 2, (uint8_t)round } },
                                     .who = SLICE("example.com") };
    const struct guard_canaries c = { .asked = 4, .listed = 3, .enough = 1, .who = SLICE("a canary") };
    int64_t now = wall_now_s() + round;

    (void)guard_answer(l, s, GUARD_YES, 1000, now);
    (void)guard_answer(l, s, GUARD_TIMEOUT, 1000, now);
    (void)guard_witness(l, s, &list, &w, now);
    (void)guard_probed(l, &list, GUARD_NO, GUARD_YES, now);
    (void)guard_canaries(l, &list, &c, now);
    (void)guard_tick(l, s, &list, now + 7200);
    (void)guard_may_ask(l, now);
    (void)guard_mode(l, LIST_ENFORCE, now);
}

static void is_fit_for_people(void)
{
    for (size_t i = 0; i < said.len; i++)
        assert_true((unsigned char)said.ptr[i] >= ' ' || said.ptr[i] == '\n');
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
            if (word % 16 != 0)
                continue;
            ask("json");
            is_fit_for_people();
            ask("");
            is_fit_for_people();
            ask("set one monitor");
            buf_reset(&trouble);
            assert_true(policy_list_trouble(world.policy, shared, 0, &trouble));
        }
    }
    assert_false(policy_list_trouble(world.policy, shared, 2, &trouble));
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
        { "C2: a record may hold anything", a_record_may_hold_anything, NULL, NULL, NULL },
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
