/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_linger.c - close so that the peer can read the last reply.
 *
 * A close() with unread input makes the kernel reset the connection, and a reset can overtake the reply (RFC 1122
 * 4.2.2.13).  So we send the queue, end our half, drop input until the peer ends its half, and close.  A peer
 * gets drain_ms for each of the two steps and one MiB in all.
 *
 * Owns       the lingering streams; each has a struct lingerer, whose only other reference is the loop's timer.
 *            One counter per process holds their number, because it is a gauge of the process.
 */
#include "core/stream_io.h"

#define DROP_MAX ((size_t)1024 * 1024)

struct lingerer {
    struct stream *stream;
    struct timer deadline;
    uint64_t drain_ms;
    size_t dropped;
    bool shut; /* our half is ended */
};

static size_t lingering;

size_t stream_lingering(void)
{
    return lingering;
}

static void finish(struct lingerer *g)
{
    timer_stop(&g->deadline);
    stream_close(&g->stream);
    free(g);
    lingering--;
}

/* The queue is sent. */
static void end_our_half(struct lingerer *g)
{
    struct stream *s = g->stream;

    if (g->shut) {
        return;
    }
    g->shut = true;
    stream_drop_transport(s, true);
    s->last_words = false; /* this is their end */
    if (shutdown(s->fd, SHUT_WR) != 0 || stream_at_eof(s)) {
        finish(g);
        return;
    }
    timer_start(&g->deadline, g->drain_ms);
    stream_update_watch(s); /* without the transport, only the descriptor signals input */
}

static void on_linger_input(void *arg)
{
    struct lingerer *g = arg;
    size_t n = stream_input(g->stream).len;

    stream_consume(g->stream, n);
    g->dropped += n;
    if (g->dropped > DROP_MAX) {
        finish(g);
    }
}

static void on_linger_eof(void *arg)
{
    struct lingerer *g = arg;

    if (g->shut) {
        finish(g);
    }
}

static void on_linger_error(void *arg, int err)
{
    (void)err;
    finish(arg);
}

static void on_linger_flushed(void *arg)
{
    end_our_half(arg);
}

static void on_linger_deadline(void *arg)
{
    finish(arg);
}

static void on_linger_writable(void *arg)
{
    (void)arg;
}

static const struct stream_events linger_events = {
    .on_input = on_linger_input,
    .on_eof = on_linger_eof,
    .on_error = on_linger_error,
    .on_writable = on_linger_writable,
    .on_flushed = on_linger_flushed,
};

void stream_linger(struct stream **stream, uint64_t drain_ms)
{
    struct stream *s = *stream;
    struct lingerer *g;

    if (s == NULL) {
        return;
    }
    if (s->phase != IO_OPEN || s->write_dead) {
        stream_close(stream);
        return;
    }
    *stream = NULL;
    g = xcalloc(1, sizeof(*g));
    g->stream = s;
    g->drain_ms = drain_ms;
    lingering++;
    timer_init(&g->deadline, s->loop, on_linger_deadline, g);
    timer_start(&g->deadline, drain_ms);
    stream_set_events(s, &linger_events, g);
    stream_consume(s, s->in_len);
    stream_flush_last(s);
    stream_resume(s);
    if (s->out_len == 0 && !s->write_dead) {
        end_our_half(g);
    }
}
