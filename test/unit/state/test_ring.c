/* SPDX-License-Identifier: Apache-2.0 */
/* Log rings: order, wrapping, dropping by class, wake-ups, writers and readers killed in the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>

#include "state/log_ring.h"
#include "state/slots.h"
#include "test/unit/state/kill_midway.h"

static struct state *state_of_one(void)
{
    struct state *s = state_new(0);

    state_slot_enter(s, state_slot_take(s, ROLE_WORKER, 1, 0));
    return s;
}

static bool is_readable(int fd)
{
    struct pollfd p = { fd, POLLIN, 0 };

    return poll(&p, 1, 0) == 1;
}

static void lines_come_out_as_they_went_in_over_many_wraps(void **st)
{
    struct state *s = state_of_one();
    struct buf in, out;

    (void)st;
    buf_init(&in, LOG_LINE_MAX);
    buf_init(&out, LOG_LINE_MAX);
    for (unsigned i = 0; i < 3000; i++) {
        buf_reset(&in);
        for (unsigned k = 0; k < 1 + i % 900; k++) {
            buf_putf(&in, "%u,", i % 10);
        }
        buf_put_char(&in, '\n');
        state_log(s, LOG_CLASS_NORMAL, buf_slice(&in));
        buf_reset(&out);
        assert_true(state_log_read(s, &out));
        assert_true(slice_eq(buf_slice(&in), buf_slice(&out)));
        assert_false(state_log_read(s, &out));
    }
    assert_int_equal(metric_get(M_LOG_DROPPED), 0);
    buf_fini(&in);
    buf_fini(&out);
    state_free(s);
}

static size_t fill(struct state *s, enum log_class cls)
{
    char line[1000];
    size_t n = 0;
    uint64_t dropped = metric_get(M_LOG_DROPPED);

    memset(line, 'x', sizeof(line));
    while (metric_get(M_LOG_DROPPED) == dropped) {
        state_log(s, cls, slice_of(line, sizeof(line)));
        n++;
    }
    return n - 1;
}

static void accepted_lines_are_dropped_first_and_all_are_counted(void **st)
{
    struct state *s = state_of_one();
    size_t accepted = fill(s, LOG_CLASS_ACCEPTED), rest = fill(s, LOG_CLASS_NORMAL), n = 0;
    struct buf out;

    (void)st;
    assert_in_range(accepted, 190, 196); /* three quarters of 256 KiB */
    assert_in_range(accepted + rest, 258, 262);
    assert_int_equal(metric_get(M_LOG_DROPPED), 2);
    buf_init(&out, LOG_LINE_MAX);
    while (state_log_read(s, &out)) {
        assert_int_equal(out.len, 1000);
        buf_reset(&out);
        n++;
    }
    assert_int_equal(n, accepted + rest);
    buf_fini(&out);
    state_free(s);
}

static void the_reader_is_woken_once_for_an_empty_ring(void **st)
{
    struct state *s = state_of_one();
    struct buf out;
    uint64_t n = 0;

    (void)st;
    buf_init(&out, 65536);
    assert_false(is_readable(state_log_fd(s)));
    state_log(s, LOG_CLASS_NORMAL, SLICE("one\n"));
    state_log(s, LOG_CLASS_NORMAL, SLICE("two\n"));
    assert_true(is_readable(state_log_fd(s)));
    assert_int_equal(read(state_log_fd(s), &n, sizeof(n)), sizeof(n));
    assert_int_equal(n, 1);
    while (state_log_read(s, &out)) {
        ;
    }
    assert_true(slice_eq(buf_slice(&out), SLICE("one\ntwo\n")));
    state_log(s, LOG_CLASS_NORMAL, SLICE("three\n"));
    assert_true(is_readable(state_log_fd(s)));
    buf_fini(&out);
    state_free(s);
}

static void log_numbered(struct state *s, unsigned round)
{
    char mem[512];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_putf(&b, "%u ", round);
    while (b.len < 20 + round % 400) {
        buf_put_char(&b, (char)('a' + round % 26));
    }
    buf_put_char(&b, '\n');
    state_log(s, LOG_CLASS_NORMAL, buf_slice(&b));
}

/* The line is whole: its number says its length and its letter. */
static uint64_t check_numbered(struct slice line)
{
    struct slice number = slice_cut(&line, ' ');
    uint64_t round = 0;
    size_t want;

    assert_true(slice_to_u64(number, UINT32_MAX, &round));
    want = 20 + round % 400 - number.len - 1 + 1;
    assert_int_equal(line.len, want);
    for (size_t i = 0; i + 1 < line.len; i++) {
        assert_int_equal(line.ptr[i], (char)('a' + round % 26));
    }
    assert_int_equal(line.ptr[line.len - 1], '\n');
    return round;
}

static void a_killed_writer_leaves_whole_lines_only(void **st)
{
    struct state *s = state_new(0);
    struct buf out;
    size_t lines = 0;

    (void)st;
    buf_init(&out, LOG_LINE_MAX);
    for (int i = 0; i < 60; i++) {
        pid_t pid;
        int slot = fork_busy(s, log_numbered, &pid);
        uint64_t next = 0;

        for (long turns = 0; turns < 20 + i * 7;) {
            if (!state_log_read(s, &out)) {
                pause_us(10);
                turns++;
                continue;
            }
            assert_true(check_numbered(buf_slice(&out)) >= next);
            buf_reset(&out);
            lines++;
            turns += lines % 50 == 0;
        }
        kill_and_reap(s, pid, slot);
        while (state_log_read(s, &out)) { /* what was complete is still there, nothing else */
            (void)check_numbered(buf_slice(&out));
            buf_reset(&out);
        }
    }
    assert_true(lines > 1000);
    buf_fini(&out);
    state_free(s);
}

static void read_all(struct state *s, unsigned round)
{
    char mem[LOG_LINE_MAX + 1];
    struct buf out;

    (void)round;
    buf_init_fixed(&out, mem, sizeof(mem));
    if (state_log_read(s, &out) && check_numbered(buf_slice(&out)) > UINT32_MAX) {
        abort();
    }
}

static void a_killed_reader_is_followed_by_another(void **st)
{
    struct state *s = state_new(0);
    struct buf out;
    pid_t writer, reader;
    int wslot = fork_busy(s, log_numbered, &writer), rslot;

    (void)st;
    for (int i = 0; i < 40; i++) {
        rslot = fork_busy_as(s, ROLE_RECORDER, read_all, &reader);
        pause_us(200 + i * 50);
        kill_and_reap(s, reader, rslot);
    }
    kill_and_reap(s, writer, wslot);
    buf_init(&out, LOG_LINE_MAX);
    while (state_log_read(s, &out)) {
        (void)check_numbered(buf_slice(&out));
        buf_reset(&out);
    }
    buf_fini(&out);
    state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_as_they_went_in_over_many_wraps),
        cmocka_unit_test(accepted_lines_are_dropped_first_and_all_are_counted),
        cmocka_unit_test(the_reader_is_woken_once_for_an_empty_ring),
        cmocka_unit_test(a_killed_writer_leaves_whole_lines_only),
        cmocka_unit_test(a_killed_reader_is_followed_by_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
