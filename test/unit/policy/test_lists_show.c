/*
 * test_lists_show.c - `glacis lists` while another process has the record of a list.
 */
#include "test/unit/policy/judge_world.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "state/tables.h"

#define LISTS "reputation: {lists: [{name: one, zone: one.test}, {name: two, zone: two.test}]}\n"

static struct world world;
static struct state *shared;
static struct buf said;

static void ask(const char *words)
{
    buf_reset(&said);
    policy_lists_command(world.policy, shared, slice_str(words), &said);
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
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
