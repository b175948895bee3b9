/*
 * test_datagrams.c - groups of datagrams and a kernel that has no room, or not for all.
 *
 * sendmmsg() is ours: it does what the test's script says, one letter a call ('a'll go; a digit: so many go;
 * 'e': EAGAIN; 'b': ENOBUFS; 'r': ECONNREFUSED), the last letter for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test/unit/dns/cares_bench.h"

static const char *script;
static unsigned calls;

int sendmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags)
{
    char what = *script;

    calls++;
    script += script[1] != '\0';
    if (what == 'e' || what == 'b' || what == 'r') {
        errno = what == 'e' ? EAGAIN : what == 'b' ? ENOBUFS : ECONNREFUSED;
        return -1;
    }
    if (what != 'a')
        count = (unsigned)min_size(count, (size_t)(what - '0'));
    return (int)syscall(SYS_sendmmsg, fd, msg, count, flags);
}

static int set_up(void **state)
{
    struct cares_settings s = { .timeout_ms = 1500 };
    struct bench *b = bench_new();

    s.server = b->server.addr;
    b->c = cares_new(b->loop, &s);
    calls = 0;
    *state = b;
    return 0;
}

static void ask(struct bench *b, unsigned count, unsigned ms)
{
    for (unsigned i = 0; i < count; i++) {
        char name[] = "a00.test";

        name[1] = (char)('0' + i / 10);
        name[2] = (char)('0' + i % 10);
        (void)send_one(b, name);
    }
    run_ms(b, ms);
}

struct row {
    const char *label, *script;
    unsigned questions, answers, errors; /* the others wait for their timeout */
};

static const struct row rows[] = {
    { "all at once", "a", 10, 10, 0 },
    { "no room at first", "ea", 10, 10, 0 },
    { "no buffers for a while", "bbba", 10, 10, 0 },
    { "room for three, then for none, then for all", "3ea", 10, 10, 0 },
    { "room for one each time", "1e1e1e1e1e1e1e1e1ea", 10, 10, 0 },
    { "a closed port", "r", 10, 0, 10 },
    { "two groups, the second while there is no room", "eea", 40, 16, 0 },
};

static void a_full_kernel_is_waited_for(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct bench *b = *state;

        script = row->script;
        ask(b, row->questions, 300);
        if (b->answers != row->answers || b->errors != row->errors || b->timeouts != 0)
            fail_msg("%s: %u answers, %u errors, %u timeouts", row->label, b->answers, b->errors,
                     b->timeouts);
        tear_down(state);
        set_up(state);
    }
}

static void a_kernel_full_for_ever_is_tried_now_and_then_and_is_an_error_at_last(void **state)
{
    struct bench *b = *state;

    script = "e";
    ask(b, 5, 200);
    assert_int_equal(b->answers + b->errors + b->timeouts, 0);
    assert_true(calls >= 2 && calls <= 42); /* not in each turn */
    timer_start(&b->stop, 1800);
    loop_run(b->loop);
    assert_int_equal(b->errors + b->timeouts, 5);
    assert_true(calls <= 102);
}

static void it_may_be_freed_while_it_waits(void **state)
{
    struct bench *b = *state;

    script = "e";
    ask(b, 5, 20);
    cares_free(b->c);
    b->c = NULL;
    timer_start(&b->stop, 20);
    loop_run(b->loop);
    assert_int_equal(b->answers + b->errors + b->timeouts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_kernel_is_waited_for),
        TEST(a_kernel_full_for_ever_is_tried_now_and_then_and_is_an_error_at_last),
        TEST(it_may_be_freed_while_it_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
