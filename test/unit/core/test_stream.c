/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stream.c - streams over socket pairs and loopback TCP.
 *
 * Two owners, a and b, note what they see; each can be told to close its stream in a callback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/unit/core/stream_owner.h"

static int setup(void **state)
{
    (void)state;
    owners_setup();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    owners_teardown();
    return 0;
}

static void an_exchange_goes_out_at_the_end_of_the_turn(void **state)
{
    (void)state;
    two_streams();
    b.reply = "250 ok\r\n";
    a.stop_after = 8;
    stream_write(a.s, SLICE("NO"));
    stream_write(a.s, SLICE("OP\r\n"));
    assert_int_equal(stream_queued(a.s), 6);
    assert_true(run_for(1000));
    assert_got(&b, "NOOP\r\n", 6);
    assert_int_equal(b.inputs, 1); /* one write, one read */
    assert_got(&a, "250 ok\r\n", 8);
    assert_int_equal(a.flushes, 1);
    assert_int_equal(stream_queued(a.s), 0);
}

static void what_is_not_consumed_is_kept_and_reading_goes_behind_it(void **state)
{
    static const size_t leaves[] = { 1, 100, 5000, 60000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(leaves); i++) {
        int fd = one_stream();
        size_t sent = 0;

        a.leave = leaves[i];
        buf_reset(&a.got);
        while (sent < 300000) {
            ssize_t n = write(fd, big + sent, min_size(300000 - sent, 7001));

            sent += n > 0 ? (size_t)n : 0;
            (void)run_for(0);
        }
        (void)run_for(5);
        assert_got(&a, big, 300000 - leaves[i]);
        assert_int_equal(stream_input(a.s).len, leaves[i]);
        assert_memory_equal(stream_input(a.s).ptr, big + 300000 - leaves[i], leaves[i]);
        a.leave = 0;
        on_input(&a);
        (void)run_for(1);
        assert_got(&a, big, 300000);
        stream_close(&a.s);
        close(fd);
    }
}

static void reading_stops_when_full_and_starts_with_room(void **state)
{
    int fd = one_stream();

    (void)state;
    stream_set_input_max(a.s, 1000);
    a.leave = SIZE_MAX;
    assert_int_equal(write(fd, big, 5000), 5000);
    (void)run_for(20);
    assert_int_equal(stream_input(a.s).len, 1000);
    assert_int_equal(a.inputs, 1); /* full: not called again and again */
    assert_memory_equal(stream_input(a.s).ptr, big, 1000);
    a.leave = 0;
    stream_consume(a.s, 10);
    a.stop_after = 4990;
    assert_true(run_for(1000));
    assert_got(&a, big + 10, 4990);
    assert_int_equal(a.largest, 1000);
    close(fd);
}

static void a_larger_maximum_wakes_a_full_stream_up(void **state)
{
    int fd = one_stream();

    (void)state;
    stream_set_input_max(a.s, 10);
    a.leave = SIZE_MAX;
    assert_int_equal(write(fd, big, 50000), 50000);
    (void)run_for(5);
    assert_int_equal(stream_input(a.s).len, 10);
    stream_set_input_max(a.s, 1024 * 1024);
    (void)run_for(5);
    assert_int_equal(stream_input(a.s).len, 50000);
    close(fd);
    (void)run_for(5);
    assert_int_equal(a.eofs, 1); /* seen although nothing was consumed */
}

static void a_paused_stream_reads_nothing(void **state)
{
    int fd = one_stream();

    (void)state;
    stream_pause(a.s);
    assert_int_equal(write(fd, "abc", 3), 3);
    close(fd);
    (void)run_for(10);
    assert_int_equal(a.inputs + a.eofs + a.errors, 0);
    stream_resume(a.s);
    assert_true(run_for(1000));
    assert_got(&a, "abc", 3);
    assert_int_equal(a.eofs, 1);
}

static void a_pause_in_on_input_holds_back_the_end(void **state)
{
    int fd = one_stream();

    (void)state;
    a.pause = true;
    assert_int_equal(write(fd, "abc", 3), 3);
    close(fd);
    (void)run_for(10);
    assert_int_equal(a.inputs, 1);
    assert_int_equal(a.eofs, 0);
    stream_resume(a.s);
    assert_true(run_for(1000));
    assert_int_equal(a.eofs, 1);
}

static void a_lingering_close_delivers_all_and_then_the_end(void **state)
{
    (void)state;
    two_streams();
    stream_write(a.s, slice_of(big, BIG));
    stream_write(b.s, SLICE("octets that nobody reads"));
    stream_flush(b.s);
    stream_linger(&a.s, 1000);
    assert_null(a.s);
    assert_int_equal(stream_lingering(), 1);
    assert_true(run_for(5000));
    assert_int_equal(b.eofs, 1);
    assert_int_equal(b.errors, 0);
    assert_int_equal(b.got_at_eof, BIG);
    assert_got(&b, big, BIG);
    assert_true(stream_at_eof(b.s));
    assert_int_equal(stream_lingering(), 1); /* until b closes */
    stream_write(b.s, SLICE("half closed is not closed"));
    stream_linger(&b.s, 1000);
    (void)run_for(50);
    assert_int_equal(stream_lingering(), 0);
}

static void a_lingering_close_ends_by_its_deadline_or_its_maximum(void **state)
{
    (void)state;
    two_streams();
    stream_linger(&a.s, 1000);
    (void)run_for(10);
    assert_int_equal(stream_lingering(), 1);
    (void)run_for(1500);
    assert_int_equal(stream_lingering(), 0);
    stream_close(&b.s);

    two_streams(); /* a peer that reads nothing: the queue never goes out */
    stream_pause(b.s);
    for (int i = 0; i < 4; i++) {
        stream_write(a.s, slice_of(big, BIG));
    }
    stream_linger(&a.s, 30);
    (void)run_for(100);
    assert_int_equal(stream_lingering(), 0);
    stream_close(&b.s);

    two_streams(); /* a peer that never stops */
    b.body = big;
    b.body_len = BIG;
    stream_linger(&a.s, 5000);
    send_body(&b);
    assert_true(run_for(1000)); /* our end of file */
    assert_true(run_for(1000)); /* the reset */
    assert_int_equal(stream_lingering(), 0);
    assert_int_equal(b.errors, 1);
}

static void a_body_goes_out_as_fast_as_a_slow_reader_takes_it(void **state)
{
    (void)state;
    two_streams();
    stream_pause(b.s);
    a.body = big;
    a.body_len = BIG;
    stream_write(a.s, SLICE("DATA\r\n"));
    send_body(&a);
    assert_true(a.body_sent > 0 && a.body_sent < BIG);
    assert_int_equal(stream_queued(a.s), 0); /* nothing of the body is queued */
    (void)run_for(20);
    assert_true(a.body_sent < BIG);
    stream_resume(b.s);
    b.stop_after = BIG + 6;
    assert_true(run_for(5000));
    assert_int_equal(a.body_sent, BIG);
    assert_true(a.writables > 0);
    assert_memory_equal(b.got.ptr, "DATA\r\n", 6);
    buf_drop(&b.got, 6);
    assert_got(&b, big, BIG);
    assert_int_equal(a.flushes, 1);
}

static void a_queue_behind_a_full_kernel_is_flushed_later(void **state)
{
    (void)state;
    two_streams();
    stream_pause(b.s);
    for (int i = 0; i < 3; i++) {
        stream_write(a.s, slice_of(big, BIG));
        stream_flush(a.s);
    }
    assert_true(stream_queued(a.s) > 0);
    assert_int_equal(a.flushes, 0);
    a.body = "end";
    a.body_len = 3;
    send_body(&a); /* not past the queue */
    assert_int_equal(a.body_sent, 0);
    stream_resume(b.s);
    b.stop_after = 3 * BIG + 3;
    assert_true(run_for(10000));
    assert_int_equal(stream_queued(a.s), 0);
    assert_int_equal(a.flushes, 1);
    assert_true(a.writables > 0); /* once more where the queue left no room in the kernel */
    assert_int_equal(a.needless, 0);
    assert_memory_equal(b.got.ptr + 2 * BIG, big, BIG);
    assert_memory_equal(b.got.ptr + 3 * BIG, "end", 3);
}

static void many_pieces_are_one_body(void **state)
{
    struct iovec iov[300];

    (void)state;
    two_streams();
    for (size_t i = 0; i < ARRAY_LEN(iov); i++) {
        iov[i] = (struct iovec){ big + i * 10, i % 3 ? 10 : 0 };
    }
    assert_int_equal(stream_send(a.s, iov, (int)ARRAY_LEN(iov)), 2000);
    b.stop_after = 2000;
    assert_true(run_for(1000));
    assert_memory_equal(b.got.ptr, big + 10, 20);
    assert_memory_equal(b.got.ptr + 1980, big + 2980, 20);
}

static void closing_in_any_callback_is_safe(void **state)
{
    (void)state;
    for (const char *where = "iwferoW"; *where; where++) {
        two_streams();
        a.close_in = *where;
        a.leave = 1;
        if (*where == 'w') {
            a.body = big;
            a.body_len = BIG;
            send_body(&a);
        }
        stream_write(a.s, SLICE("x"));
        stream_write(b.s, slice_of(big, 100000));
        if (*where == 'e' || *where == 'o') {
            stream_linger(&b.s, 10);
        } else if (*where == 'r') {
            stream_pause(a.s);
            (void)run_for(5);
            stream_abort(&b.s);
            stream_resume(a.s);
            (void)run_for(5);
        }
        (void)run_for(50);
        if (strchr("iwfer", *where)) {
            assert_null(a.s);
        }
        stream_close(&a.s);
        stream_close(&b.s);
        (void)run_for(30);
        reset_owners();
    }
}

static void lingering_in_a_callback_is_safe(void **state)
{
    (void)state;
    two_streams();
    b.linger = true; /* answers and goes */
    b.reply = "421 bye\r\n";
    stream_write(a.s, slice_of(big, 500000));
    a.stop_after = 0;
    assert_true(run_for(2000));
    assert_int_equal(a.eofs, 1);
    assert_int_equal(a.errors, 0);
    assert_got(&a, "421 bye\r\n", 9);
    stream_close(&a.s);
    (void)run_for(20);
}

static void a_reset_is_an_error_and_comes_once(void **state)
{
    (void)state;
    two_streams();
    stream_abort(&a.s);
    assert_null(a.s);
    assert_true(run_for(1000));
    assert_int_equal(b.errors, 1);
    assert_int_equal(b.err, ECONNRESET);
    assert_int_equal(b.eofs, 0);
    stream_write(b.s, SLICE("x"));
    stream_flush(b.s);
    assert_int_equal(stream_queued(b.s), 0);
    (void)run_for(5);
    assert_int_equal(b.errors, 1);
    assert_int_equal(b.inputs, 0);
    stream_linger(&b.s, 10);
    assert_int_equal(stream_lingering(), 0);
}

static void last_words_are_read_before_a_write_error(void **state)
{
    int fd = one_stream();

    (void)state;
    stream_pause(a.s);
    assert_int_equal(write(fd, "421 closing\r\n", 13), 13);
    close(fd);
    stream_resume(a.s);
    stream_write(a.s, SLICE("MAIL FROM:<>\r\n"));
    stream_flush(a.s); /* EPIPE, noticed before anything was read */
    assert_int_equal(a.errors, 0);
    assert_true(run_for(1000));
    (void)run_for(5);
    assert_got(&a, "421 closing\r\n", 13);
    assert_int_equal(a.errors, 1);
    assert_int_equal(a.err, EPIPE);
}

static void last_words_survive_what_the_peer_sends_in_the_last_moment(void **state)
{
    char got[32];
    struct addr to;
    int l = listen_loopback(&to), fd, peer;
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&to, &sa);

    (void)state;
    peer = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&sa, len), 0);
    fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
    a.s = stream_new(loop, fd, &events, &a);
    a.stop_after = 6;
    assert_int_equal(write(peer, "QUIT\r\n", 6), 6);
    assert_true(run_for(1000));
    stream_write(a.s, SLICE("221 bye\r\n"));
    stream_flush_last(a.s);
    assert_int_equal(stream_queued(a.s), 0);
    assert_int_equal(write(peer, "junk\r\n", 6), 6); /* nobody reads this any more */
    stream_close(&a.s);
    assert_int_equal(recv(peer, got, sizeof(got), MSG_WAITALL), 9);
    assert_memory_equal(got, "221 bye\r\n", 9);
    close(peer);
    close(l);
}

static void a_connect_opens_or_fails_from_the_loop(void **state)
{
    struct addr to;
    int l = listen_loopback(&to);
    int fd;

    (void)state;
    a.s = stream_connect(loop, &to, &events, &a);
    assert_non_null(a.s);
    stream_write(a.s, SLICE("early"));
    assert_int_equal(a.opens + a.errors, 0);
    (void)run_for(20);
    assert_int_equal(a.opens, 1);
    fd = accept(l, NULL, NULL);
    b.s = stream_new(loop, fd, &events, &b);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    b.stop_after = 5;
    assert_true(run_for(1000));
    assert_got(&b, "early", 5);
    stream_close(&a.s);
    close(l);

    reset_owner(&a);
    a.s = stream_connect(loop, &to, &events, &a); /* nobody listens any more */
    if (a.s) {
        (void)run_for(200);
        assert_int_equal(a.errors, 1);
        assert_int_equal(a.err, ECONNREFUSED);
        assert_int_equal(a.opens, 0);
    } else {
        assert_int_equal(errno, ECONNREFUSED);
    }
    stream_close(&a.s);
    a.s = stream_connect(loop, &(struct addr){ .family = ADDR_NONE }, &events, &a);
    assert_null(a.s);
}

static void a_stream_can_change_hands(void **state)
{
    struct owner c;
    int fd = one_stream();

    (void)state;
    init_owner(&c);
    c.s = a.s;
    c.stop_after = 2;
    stream_set_events(a.s, &events, &c);
    a.s = NULL;
    assert_int_equal(write(fd, "hi", 2), 2);
    assert_true(run_for(1000));
    assert_got(&c, "hi", 2);
    assert_int_equal(a.inputs, 0);
    stream_close(&c.s);
    buf_fini(&c.got);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_exchange_goes_out_at_the_end_of_the_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_consumed_is_kept_and_reading_goes_behind_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(reading_stops_when_full_and_starts_with_room, setup, teardown),
        cmocka_unit_test_setup_teardown(a_larger_maximum_wakes_a_full_stream_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_paused_stream_reads_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pause_in_on_input_holds_back_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lingering_close_delivers_all_and_then_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lingering_close_ends_by_its_deadline_or_its_maximum, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_body_goes_out_as_fast_as_a_slow_reader_takes_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_queue_behind_a_full_kernel_is_flushed_later, setup, teardown),
        cmocka_unit_test_setup_teardown(many_pieces_are_one_body, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_in_any_callback_is_safe, setup, teardown),
        cmocka_unit_test_setup_teardown(lingering_in_a_callback_is_safe, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_is_an_error_and_comes_once, setup, teardown),
        cmocka_unit_test_setup_teardown(last_words_are_read_before_a_write_error, setup, teardown),
        cmocka_unit_test_setup_teardown(last_words_survive_what_the_peer_sends_in_the_last_moment, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_connect_opens_or_fails_from_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_can_change_hands, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
