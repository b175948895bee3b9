/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_owner.h - an owner of a stream that notes what it sees and does what the test told it.
 *
 * Shared by the stream tests; each test program has its own loop and its own two owners, a and b.  Time is that of
 * jump_clock.h: all that can happen happens before a timer runs, on any machine.
 */
#ifndef TEST_UNIT_CORE_STREAM_OWNER_H
#define TEST_UNIT_CORE_STREAM_OWNER_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "core/stream.h"
#include "test/unit/jump_clock.h"

#define BIG ((size_t)3 * 1024 * 1024)

struct owner {
    struct stream *s;
    struct buf got;
    size_t leave;      /* octets it does not consume */
    size_t stop_after; /* stops the loop when so many have come; 0: never */
    size_t largest;    /* stream_input() ever seen */
    const char *reply; /* written for each on_input */
    char close_in;     /* 'i'nput, 'e'of, 'w'ritable, 'f'lushed, 'o'pen, e'r'ror: closes there */
    bool linger;       /* lingers in on_input */
    bool pause;        /* pauses in on_input */
    unsigned inputs, eofs, errors, writables, flushes, opens;
    int err;
    size_t got_at_eof;
    const char *body; /* sent with stream_send() */
    size_t body_len, body_sent;
    unsigned needless; /* on_writable, though all of it had gone */
};

static struct loop *loop;
static struct owner a, b;
static char big[BIG];

static inline void maybe_close(struct owner *o, char where)
{
    if (o->close_in == where) {
        stream_close(&o->s);
        loop_stop(loop);
    }
}

static inline void on_input(void *arg)
{
    struct owner *o = arg;
    struct slice in = stream_input(o->s);
    size_t take = in.len > o->leave ? in.len - o->leave : 0;

    o->inputs++;
    o->largest = max_size(o->largest, in.len);
    buf_put(&o->got, in.ptr, take);
    stream_consume(o->s, take);
    if (o->reply) {
        stream_write(o->s, slice_str(o->reply));
    }
    if (o->pause) {
        stream_pause(o->s);
    }
    if (o->stop_after && o->got.len >= o->stop_after) {
        loop_stop(loop);
    }
    if (o->linger) {
        stream_linger(&o->s, 200);
    }
    maybe_close(o, 'i');
}

static inline void on_eof(void *arg)
{
    struct owner *o = arg;

    o->eofs++;
    o->got_at_eof = o->got.len;
    maybe_close(o, 'e');
    loop_stop(loop);
}

static inline void on_error(void *arg, int err)
{
    struct owner *o = arg;

    o->errors++;
    o->err = err;
    maybe_close(o, 'r');
    loop_stop(loop);
}

static inline void send_body(struct owner *o)
{
    struct iovec iov[2];
    size_t left = o->body_len - o->body_sent;
    char *from = (char *)(uintptr_t)o->body + o->body_sent;

    iov[0] = (struct iovec){ from, left / 2 };
    iov[1] = (struct iovec){ from + left / 2, left - left / 2 };
    o->body_sent += stream_send(o->s, iov, 2);
}

static inline void on_writable(void *arg)
{
    struct owner *o = arg;

    o->writables++;
    assert_int_equal(stream_queued(o->s), 0);
    if (o->body) {
        o->needless += o->body_sent == o->body_len;
        send_body(o);
    }
    maybe_close(o, 'w');
}

static inline void on_flushed(void *arg)
{
    struct owner *o = arg;

    o->flushes++;
    maybe_close(o, 'f');
}

static inline void on_open(void *arg)
{
    struct owner *o = arg;

    o->opens++;
    maybe_close(o, 'o');
}

static const struct stream_events events = {
    .on_input = on_input,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_writable = on_writable,
    .on_flushed = on_flushed,
    .on_open = on_open,
};

static inline void init_owner(struct owner *o)
{
    *o = (struct owner){ .s = NULL };
    buf_init(&o->got, 4 * BIG);
}

static inline void reset_owner(struct owner *o)
{
    buf_fini(&o->got);
    init_owner(o);
}

static inline void reset_owners(void)
{
    reset_owner(&a);
    reset_owner(&b);
}

static inline void on_time_over(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

/* True if something stopped the loop before the time (jump_clock.h) was over. */
static inline bool run_for(uint64_t ms)
{
    struct timer t;

    timer_init(&t, loop, on_time_over, NULL);
    timer_start(&t, ms);
    loop_run(loop);
    if (!timer_active(&t)) {
        return false;
    }
    timer_stop(&t);
    return true;
}

static inline void owners_setup(void)
{
    loop = loop_new();
    init_owner(&a);
    init_owner(&b);
    for (size_t i = 0; i < BIG; i++) {
        big[i] = (char)(i * 7 + i / 251);
    }
}

static inline void owners_teardown(void)
{
    stream_close(&a.s);
    stream_close(&b.s);
    stream_close(&b.s);
    for (int i = 0; i < 100 && stream_lingering(); i++) {
        (void)run_for(10);
    }
    (void)run_for(1);
    assert_int_equal(stream_lingering(), 0);
    buf_fini(&a.got);
    buf_fini(&b.got);
    loop_free(loop);
}

static inline int listen_loopback(struct addr *at)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sa);
    int l = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(l, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *)&sa, &len), 0);
    *at = addr_from_sockaddr((struct sockaddr *)&sa);
    return l;
}

/* Two ends of one connection of loopback TCP. */
static inline void tcp_pair(int fd[2])
{
    struct sockaddr_storage sa;
    struct addr at;
    int l = listen_loopback(&at);
    socklen_t len;

    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    len = addr_to_sockaddr(&at, &sa);
    assert_int_equal(connect(fd[0], (struct sockaddr *)&sa, len), 0);
    fd[1] = accept(l, NULL, NULL);
    assert_true(fd[1] >= 0);
    close(l);
    for (int i = 0; i < 2; i++) {
        static const int on = 1;
        int small = 200000; /* a kernel that is full soon */

        /* as stream_new() wants it; a small write would wait for an ACK, which is later than a clock that jumps */
        assert_int_equal(setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
        assert_int_equal(setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
        assert_int_equal(setsockopt(fd[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
        assert_int_equal(fcntl(fd[i], F_SETFL, O_NONBLOCK), 0);
    }
}

static inline void two_streams(void)
{
    int fd[2];

    tcp_pair(fd);
    a.s = stream_new(loop, fd[0], &events, &a);
    b.s = stream_new(loop, fd[1], &events, &b);
}

/* a's peer is a plain descriptor, which is returned. */
static inline int one_stream(void)
{
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    a.s = stream_new(loop, fd[0], &events, &a);
    return fd[1];
}

static inline void assert_got(const struct owner *o, const char *want, size_t len)
{
    assert_int_equal(o->got.len, len);
    assert_memory_equal(o->got.ptr, want, len);
}

#endif
