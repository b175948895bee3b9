/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stream_transport.c - streams over a transport that is often not ready.
 *
 * The transport XORs every octet, reads more from the descriptor than it gives out at once, and says
 * "would block" in odd places: in the middle of what it has, for the other direction, without a reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/unit/core/stream_owner.h"

#define KEY 0x55

struct xor_state {
    char ahead[5000]; /* received, given out from `at` on */
    size_t at, len;
    size_t record; /* nothing is given out before so many octets have come; 0: at once */
    unsigned reads, writes;
    int steps;      /* of the handshake */
    bool odd;       /* refuses now and then */
    bool need_read; /* the next write wants the descriptor to be readable first */
    bool fail_handshake;
};

static unsigned closes, alerts;

static ssize_t result_of(ssize_t n, int again)
{
    return n >= 0 ? n : errno == EAGAIN ? again : STREAM_BROKEN;
}

static ssize_t xor_read(void *state, int fd, void *mem, size_t len)
{
    struct xor_state *x = state;
    size_t n;

    x->reads++;
    if (x->odd && x->reads % 3 == 0) {
        return x->reads % 2 && x->at == x->len ? STREAM_AGAIN_READ : STREAM_AGAIN_WRITE;
    }
    if (x->at == x->len) {
        x->at = x->len = 0;
    }
    if (x->at == 0 && x->len < max_size(x->record, 1)) {
        ssize_t got = recv(fd, x->ahead + x->len, sizeof(x->ahead) - x->len, 0);

        if (got <= 0) {
            return result_of(got, STREAM_AGAIN_READ);
        }
        x->len += (size_t)got;
        if (x->len < x->record) {
            return STREAM_AGAIN_READ;
        }
    }
    n = min_size(min_size(len, x->len - x->at), x->odd ? 137 : 4096);
    for (size_t i = 0; i < n; i++) {
        ((char *)mem)[i] = x->ahead[x->at++] ^ KEY;
    }
    return (ssize_t)n;
}

static ssize_t xor_writev(void *state, int fd, const struct iovec *iov, int count)
{
    struct xor_state *x = state;
    char out[997];
    size_t n = 0;

    x->writes++;
    if (x->need_read) {
        x->need_read = false;
        return STREAM_AGAIN_READ;
    }
    if (x->odd && x->writes % 4 == 0) {
        return STREAM_AGAIN_WRITE;
    }
    for (int i = 0; i < count; i++) {
        for (size_t k = 0; k < iov[i].iov_len && n < sizeof(out); k++) {
            out[n++] = ((const char *)iov[i].iov_base)[k] ^ KEY;
        }
    }
    return result_of(send(fd, out, n, MSG_NOSIGNAL), STREAM_AGAIN_WRITE);
}

/* Each side sends an H and waits for the other's. */
static int xor_handshake(void *state, int fd)
{
    struct xor_state *x = state;
    char h = 'H';

    if (x->fail_handshake) {
        return STREAM_BROKEN;
    }
    if (x->steps == 0) {
        x->steps++;
        return STREAM_AGAIN_WRITE;
    }
    if (x->steps == 1) {
        assert_int_equal(send(fd, &h, 1, MSG_NOSIGNAL), 1);
        x->steps++;
    }
    if (recv(fd, &h, 1, 0) != 1) {
        return errno == EAGAIN ? STREAM_AGAIN_READ : STREAM_BROKEN;
    }
    return h == 'H' ? 1 : STREAM_BROKEN;
}

static bool xor_pending(const void *state)
{
    const struct xor_state *x = state;

    return x->at < x->len;
}

static void xor_close(void *state, int fd)
{
    closes++;
    alerts += fd >= 0;
    free(state);
}

static const struct transport xor_transport = {
    .read = xor_read,
    .writev = xor_writev,
    .handshake = xor_handshake,
    .pending = xor_pending,
    .close = xor_close,
};

static struct xor_state *start(struct owner *o, bool odd)
{
    struct xor_state *x = xcalloc(1, sizeof(*x));

    x->odd = odd;
    stream_start_transport(o->s, &xor_transport, x);
    assert_int_equal(o->opens, 0);
    assert_ptr_equal(stream_transport_state(o->s), x);
    return x;
}

static int setup(void **state)
{
    (void)state;
    owners_setup();
    closes = alerts = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    owners_teardown();
    return 0;
}

static void octets_pass_whatever_the_transport_waits_for(void **state)
{
    (void)state;
    for (int odd = 0; odd < 2; odd++) {
        two_streams();
        (void)start(&a, odd);
        (void)start(&b, odd);
        stream_write(a.s, SLICE("queued during the handshake"));
        b.stop_after = 27;
        assert_true(run_for(2000));
        assert_int_equal(a.opens, 1);
        assert_int_equal(b.opens, 1);
        assert_got(&b, "queued during the handshake", 27);
        buf_reset(&b.got);
        a.body = big;
        a.body_len = 1000000;
        send_body(&a);
        b.stop_after = 1000000;
        assert_true(run_for(20000));
        assert_got(&b, big, 1000000);
        stream_close(&a.s);
        stream_close(&b.s);
        (void)run_for(1);
        reset_owners();
    }
    assert_int_equal(closes, 4);
}

/* Everything is decoded already, the descriptor stays silent: pending() must bring it (TLS-20). */
static void what_is_pending_needs_no_descriptor(void **state)
{
    (void)state;
    two_streams();
    (void)start(&a, false);
    (void)start(&b, true);
    (void)run_for(30);
    stream_set_input_max(b.s, 50);
    b.leave = SIZE_MAX;
    stream_write(a.s, slice_of(big, 900));
    (void)run_for(30);
    assert_int_equal(stream_input(b.s).len, 50);
    b.leave = 0;
    stream_consume(b.s, 10);
    b.stop_after = 890;
    assert_true(run_for(1000));
    assert_got(&b, big + 10, 890);
}

static void a_transport_that_has_no_more_is_not_asked(void **state)
{
    struct xor_state *x;
    unsigned before;

    (void)state;
    two_streams();
    (void)start(&a, false);
    x = start(&b, false);
    (void)run_for(30);
    before = x->reads;
    stream_write(a.s, SLICE("hello"));
    b.stop_after = 5;
    assert_true(run_for(1000));
    (void)run_for(10);
    assert_int_equal(x->reads - before, 1);
}

/* Half a record is pending too, but only the descriptor can bring the rest of it. */
static void half_a_record_waits_for_the_descriptor(void **state)
{
    struct xor_state *x;
    unsigned before;

    (void)state;
    two_streams();
    (void)start(&a, false);
    x = start(&b, false);
    (void)run_for(30);
    x->record = 5;
    before = x->reads;
    stream_write(a.s, SLICE("hel"));
    (void)run_for(30);
    assert_int_equal(b.inputs, 0);
    assert_in_range(x->reads - before, 1, 3);
    stream_write(a.s, SLICE("lo"));
    b.stop_after = 5;
    assert_true(run_for(1000));
    assert_got(&b, "hello", 5);
}

static void a_write_may_wait_for_reading(void **state)
{
    struct xor_state *x;

    (void)state;
    two_streams();
    x = start(&a, false);
    (void)start(&b, false);
    (void)run_for(30);
    x->need_read = true;
    stream_pause(a.s); /* not reading does not mean not looking */
    stream_write(a.s, SLICE("hello"));
    (void)run_for(20);
    assert_int_equal(b.got.len, 0);
    stream_write(b.s, SLICE("!"));
    b.stop_after = 5;
    assert_true(run_for(1000));
    assert_got(&b, "hello", 5);
    assert_int_equal(a.inputs, 0);
}

static void a_paused_reader_hears_the_end_later(void **state)
{
    (void)state;
    two_streams();
    (void)start(&a, false);
    (void)start(&b, false);
    (void)run_for(30);
    b.pause = true;
    stream_write(a.s, slice_of(big, 3000));
    stream_linger(&a.s, 100);
    (void)run_for(30);
    assert_true(b.inputs >= 1);
    assert_int_equal(b.eofs, 0);
    b.pause = false;
    stream_resume(b.s);
    assert_true(run_for(1000));
    assert_int_equal(b.eofs, 1);
    assert_got(&b, big, 3000);
    assert_int_equal(alerts, 1);
}

static void a_failed_handshake_is_one_error(void **state)
{
    (void)state;
    two_streams();
    start(&a, false)->fail_handshake = true;
    assert_int_equal(a.errors, 0);
    assert_true(run_for(1000));
    assert_int_equal(a.errors, 1);
    assert_int_equal(a.err, 0);
    assert_int_equal(a.opens, 0);
    stream_close(&a.s);
    assert_int_equal(closes, 1);
    assert_int_equal(alerts, 0);
}

static void octets_from_before_never_pass_for_protected_ones(void **state)
{
    int fd = one_stream();
    struct xor_state *x = xcalloc(1, sizeof(*x));

    (void)state;
    a.leave = SIZE_MAX;
    assert_int_equal(write(fd, "EHLO injected\r\n", 15), 15);
    (void)run_for(5);
    stream_start_transport(a.s, &xor_transport, x);
    assert_true(run_for(1000));
    assert_int_equal(a.errors, 1);
    assert_int_equal(a.opens, 0);
    stream_close(&a.s);
    assert_int_equal(closes, 1);
    close(fd);
}

static void a_reset_sends_no_alert(void **state)
{
    (void)state;
    two_streams();
    (void)start(&a, false);
    (void)start(&b, false);
    (void)run_for(30);
    stream_abort(&a.s);
    assert_int_equal(closes, 1);
    assert_int_equal(alerts, 0);
    assert_true(run_for(1000));
    assert_int_equal(b.errors, 1);
}

static void closing_in_callbacks_is_safe_over_a_transport(void **state)
{
    (void)state;
    for (const char *where = "oife"; *where; where++) {
        two_streams();
        (void)start(&a, true);
        (void)start(&b, true);
        a.close_in = *where;
        stream_write(a.s, SLICE("x"));
        stream_write(b.s, slice_of(big, 20000));
        (void)run_for(30);
        stream_linger(&b.s, 50);
        (void)run_for(30);
        assert_null(a.s);
        (void)run_for(30);
        reset_owners();
    }
}

/* ---- many handshakes at once (L13) ---- */

#define CROWD 100

struct crowd {
    unsigned turns, turns_with_echo;
    unsigned in_turn, most_in_turn, shaken;
    struct timer each_turn;
};

static struct crowd crowd;

static int crowd_handshake(void *state, int fd)
{
    (void)state;
    (void)fd;
    crowd.in_turn++;
    crowd.shaken++;
    crowd.most_in_turn = crowd.in_turn > crowd.most_in_turn ? crowd.in_turn : crowd.most_in_turn;
    return 1;
}

static void crowd_close(void *state, int fd)
{
    (void)state;
    (void)fd;
}

static const struct transport crowd_transport = {
    .read = xor_read,
    .writev = xor_writev,
    .handshake = crowd_handshake,
    .pending = xor_pending,
    .close = crowd_close,
};

/* Timers run once a turn: this one is due in each. */
static void on_each_turn(void *arg)
{
    struct crowd *c = arg;

    c->in_turn = 0;
    c->turns++;
    c->turns_with_echo += a.got.len > 0;
    if (c->shaken == CROWD) {
        loop_stop(loop);
    } else {
        timer_start(&c->each_turn, 0);
    }
}

static void handshakes_of_many_leave_turns_to_others(void **state)
{
    static struct owner owners[CROWD];
    static struct xor_state states[CROWD];
    static int fd[CROWD][2];
    int plain = one_stream();

    (void)state;
    crowd = (struct crowd){ .turns = 0 };
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd[i]), 0);
        init_owner(&owners[i]);
        owners[i].s = stream_new(loop, fd[i][0], &events, &owners[i]);
        stream_start_transport(owners[i].s, &crowd_transport, &states[i]);
    }
    assert_int_equal(write(plain, "hello", 5), 5);
    timer_init(&crowd.each_turn, loop, on_each_turn, &crowd);
    timer_start(&crowd.each_turn, 0);
    assert_true(run_for(5000));
    assert_int_equal(crowd.shaken, CROWD);
    assert_true(crowd.most_in_turn <= LOOP_HEAVY_A_TURN);
    assert_true(crowd.turns >= CROWD / LOOP_HEAVY_A_TURN);
    assert_true(crowd.turns_with_echo >
                CROWD / LOOP_HEAVY_A_TURN / 2); /* it was heard long before the last */
    for (size_t i = 0; i < CROWD; i++) {
        stream_close(&owners[i].s);
        close(fd[i][1]);
        buf_fini(&owners[i].got);
    }
    timer_stop(&crowd.each_turn);
    close(plain);
}

/* Closed while it waits for its turn. */
static void a_handshake_that_waits_can_be_closed(void **state)
{
    (void)state;
    two_streams();
    (void)start(&a, false);
    (void)start(&b, false);
    stream_close(&a.s);
    (void)run_for(5);
    assert_int_equal(closes, 1);
    assert_int_equal(a.opens + a.errors, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(octets_pass_whatever_the_transport_waits_for, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_pending_needs_no_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(a_transport_that_has_no_more_is_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(half_a_record_waits_for_the_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_may_wait_for_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(a_paused_reader_hears_the_end_later, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_handshake_is_one_error, setup, teardown),
        cmocka_unit_test_setup_teardown(octets_from_before_never_pass_for_protected_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_sends_no_alert, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_in_callbacks_is_safe_over_a_transport, setup, teardown),
        cmocka_unit_test_setup_teardown(handshakes_of_many_leave_turns_to_others, setup, teardown),
        cmocka_unit_test_setup_teardown(a_handshake_that_waits_can_be_closed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
