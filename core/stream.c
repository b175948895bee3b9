/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - when a stream reads, writes and calls back.
 *
 *     CONNECTING --> OPEN <--> HANDSHAKING          FAILED, CLOSED: from any
 *
 * Reading    the read watch stays armed while the owner wants input and the buffer has room, so an exchange costs no
 *            epoll_ctl.  A turn makes only a few reads; unread octets keep the descriptor ready.
 * Writing    the queue is sent at the end of the turn, or together with stream_send() in one call.  The write watch
 *            is armed only while the send buffer is full.
 * Handshake  each step is heavy work: it waits in loop_heavy() with the watch disarmed.
 * Callbacks  caused by a call of the owner are noted in `due`; on_soon(), a deferred call of the same turn, makes
 *            them.  It checks the phase after each one, because the owner may have closed the stream.  The memory then
 *            stays valid until the end of the turn.
 * Errors     of writing are delivered after a last read.  Otherwise a peer's "421 closing" would be lost because our
 *            next command could not be written.
 */
#include "core/stream_io.h"

#include <errno.h>

#define READS_A_TURN 4
#define INPUT_MAX_DEFAULT ((size_t)64 * 1024)
#define INPUT_MAX_LIMIT ((size_t)1024 * 1024)

static struct stream *stream_of(void *arg)
{
    struct stream *s = arg;

    BUG_ON(s->magic != STREAM_MAGIC);
    return s;
}

static bool may_read(const struct stream *s)
{
    return s->phase == IO_OPEN && !s->paused && !s->eof && s->in_len < s->in_max;
}

void stream_update_watch(struct stream *s)
{
    unsigned wanted = 0;

    if (s->phase == IO_CONNECTING) {
        wanted = WATCH_WRITE;
    } else if (s->phase == IO_HANDSHAKING) {
        wanted = s->handshake_want;
    } else if (s->phase == IO_OPEN) {
        if (may_read(s)) {
            wanted |= s->read_on_write ? WATCH_WRITE : WATCH_READ;
        }
        if (s->write_blocked && !s->write_dead) {
            wanted |= s->write_on_read ? WATCH_READ : WATCH_WRITE;
        }
    }
    watch_set(&s->watch, wanted);
}

/* Makes no callback itself, because it may run inside a call of the owner. */
static void owe(struct stream *s, unsigned due)
{
    s->due |= due;
    if (s->due) {
        loop_defer(s->loop, &s->soon);
    }
}

static void fail(struct stream *s, int err)
{
    s->phase = IO_FAILED;
    s->err = err;
    io_drop_output(s);
    stream_update_watch(s);
    owe(s, DUE_ERROR);
}

/* Handles the result of a write: callbacks, an error, a descriptor to wait for. */
static void after_write(struct stream *s)
{
    if (s->write_dead) {
        io_drop_output(s);
        s->due |= DUE_ERROR;
    } else if (s->want_writable && !s->write_blocked && s->out_len == 0) {
        s->due |= DUE_WRITABLE;
    }
    owe(s, 0);
    stream_update_watch(s);
}

static void flush_queue(struct stream *s)
{
    if (s->phase == IO_OPEN && !s->write_blocked && !s->write_dead) {
        io_send(s, NULL, 0);
        after_write(s);
    }
}

static void call_input(struct stream *s)
{
    s->ev->on_input(s->arg);
    if (s->phase != IO_CLOSED) {
        io_settle(s);
    }
}

/* Handles the end of a read after its input was delivered: end of file, an error, or a direction to wait for. */
static void end_of_reading(struct stream *s, ssize_t end)
{
    if (end == 0) {
        s->eof = true;
        s->ev->on_eof(s->arg);
    } else if (end == STREAM_BROKEN) {
        fail(s, s->err);
    } else {
        s->read_on_write = end == STREAM_AGAIN_WRITE;
    }
}

static void read_pass(struct stream *s)
{
    struct io_result r = { 0, 1 };

    s->read_more = false;
    s->read_on_write = false;
    for (int i = 0; i < READS_A_TURN && may_read(s) && r.end == 1; i++) {
        r = io_fill(s);
        if (r.got) {
            call_input(s);
        }
    }
    if (r.end != 1 && may_read(s)) {
        end_of_reading(s, r.end);
    } else if (r.end == 0 || r.end == STREAM_BROKEN) {
        s->read_more = true; /* paused or full: a later read gives the same result */
    }
    /* After a read until AGAIN, only the descriptor brings more, although half a record also counts as pending. */
    if (r.end == 1 && s->transport && may_read(s) && s->transport->pending(s->state)) {
        owe(s, DUE_READ);
    }
}

/* Reads again, because the buffer has room or the owner has resumed. */
static void restart_reading(struct stream *s)
{
    stream_update_watch(s);
    if (s->transport && may_read(s) && (s->read_more || s->transport->pending(s->state))) {
        owe(s, DUE_READ);
    }
}

/* The connect or the handshake is done. */
static void enter_open(struct stream *s)
{
    s->phase = IO_OPEN;
    if (s->out_len || s->want_writable) {
        loop_at_end(s->loop, &s->at_end);
    }
    if (s->ev->on_open) {
        s->ev->on_open(s->arg);
    }
    if (s->phase == IO_OPEN) {
        restart_reading(s);
    }
}

static void finish_connect(struct stream *s)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) {
        err = errno;
    }
    if (err) {
        fail(s, err);
    } else {
        enter_open(s);
    }
}

static void step_handshake(struct stream *s)
{
    int r = s->transport->handshake(s->state, s->fd);

    if (r == 1) {
        enter_open(s);
    } else if (r == STREAM_AGAIN_READ || r == STREAM_AGAIN_WRITE) {
        s->handshake_want = r == STREAM_AGAIN_READ ? WATCH_READ : WATCH_WRITE;
    } else {
        fail(s, 0);
    }
}

static void on_shake(void *arg)
{
    struct stream *s = stream_of(arg);

    if (s->phase == IO_HANDSHAKING) {
        step_handshake(s);
    }
    if (s->phase != IO_CLOSED) {
        stream_update_watch(s);
    }
}

/* Lets other work run first: a flood of handshakes must not make a turn long. */
static void queue_handshake(struct stream *s)
{
    s->handshake_want = 0;
    loop_heavy(s->loop, &s->shake);
}

static void on_ready_open(struct stream *s, unsigned ready)
{
    if (s->write_blocked && (ready & (s->write_on_read ? WATCH_READ : WATCH_WRITE))) {
        s->write_blocked = false;
        flush_queue(s);
    }
    if (may_read(s) && (ready & (s->read_on_write ? WATCH_WRITE : WATCH_READ))) {
        read_pass(s);
    }
}

static void on_ready(unsigned ready, void *arg)
{
    struct stream *s = stream_of(arg);

    switch (s->phase) {
    case IO_CONNECTING:
        finish_connect(s);
        break;
    case IO_HANDSHAKING:
        queue_handshake(s);
        break;
    case IO_OPEN:
        on_ready_open(s, ready);
        break;
    case IO_FAILED:
    case IO_CLOSED:
        break;
    }
    if (s->phase != IO_CLOSED) {
        stream_update_watch(s);
    }
}

/* Reads once more first: the peer's last reply may have crossed the failed write. */
static void deliver_error(struct stream *s)
{
    int err = s->err;

    if (s->phase == IO_OPEN) {
        read_pass(s);
    }
    if (s->phase == IO_CLOSED) {
        return;
    }
    s->phase = IO_FAILED;
    s->due = 0;
    deferred_cancel(&s->soon);
    stream_update_watch(s);
    s->ev->on_error(s->arg, err);
}

static void deliver_output(struct stream *s, unsigned due)
{
    if ((due & DUE_FLUSHED) && s->phase == IO_OPEN && s->out_len == 0 && s->ev->on_flushed) {
        s->ev->on_flushed(s->arg);
    }
    if ((due & DUE_WRITABLE) && s->phase == IO_OPEN && s->out_len == 0 && s->want_writable &&
        !s->write_blocked) {
        s->want_writable = false;
        s->ev->on_writable(s->arg);
    }
}

static void on_soon(void *arg)
{
    struct stream *s = stream_of(arg);
    unsigned due = s->due;

    s->due = 0;
    if ((due & DUE_OPEN) && s->phase == IO_CONNECTING) {
        enter_open(s);
    }
    if ((due & DUE_READ) && may_read(s)) {
        read_pass(s);
    }
    deliver_output(s, due);
    if ((due & DUE_ERROR) && s->phase != IO_CLOSED) {
        deliver_error(s);
    }
    if (s->phase != IO_CLOSED) {
        stream_update_watch(s);
    }
}

static void on_end_of_turn(void *arg)
{
    struct stream *s = stream_of(arg);

    flush_queue(s);
    if (s->in_len == 0) {
        io_settle(s);
    }
}

static struct stream *new_stream(struct loop *l, int fd, const struct stream_events *ev, void *arg)
{
    struct stream *s = io_new();

    s->magic = STREAM_MAGIC;
    s->loop = l;
    s->ev = ev;
    s->arg = arg;
    s->fd = fd;
    s->in_max = INPUT_MAX_DEFAULT;
    watch_init(&s->watch, l, fd, on_ready, s);
    deferred_init(&s->soon, on_soon, s);
    deferred_init(&s->at_end, on_end_of_turn, s);
    deferred_init(&s->shake, on_shake, s);
    return s;
}

struct stream *stream_new(struct loop *l, int fd, const struct stream_events *ev, void *arg)
{
    struct stream *s = new_stream(l, fd, ev, arg);

    s->phase = IO_OPEN;
    s->writes = NAGLE_OFF; /* inherited from the listening socket */
    stream_update_watch(s);
    return s;
}

struct stream *stream_connect(struct loop *l, const struct addr *to, const struct stream_events *ev,
                              void *arg)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct stream *s;
    int err = 0;

    if (fd < 0) {
        return NULL;
    }
    if (connect(fd, (struct sockaddr *)&sa, len) != 0) {
        err = errno;
    }
    if (err && err != EINPROGRESS && err != EINTR) {
        close(fd);
        errno = err;
        return NULL;
    }
    s = new_stream(l, fd, ev, arg);
    s->phase = IO_CONNECTING;
    if (err) {
        stream_update_watch(s);
    } else {
        owe(s, DUE_OPEN);
    }
    return s;
}

void stream_set_events(struct stream *s, const struct stream_events *ev, void *arg)
{
    s->ev = ev;
    s->arg = arg;
}

void stream_start_transport(struct stream *s, const struct transport *t, void *state)
{
    bool clean = s->phase == IO_OPEN && s->in_len == 0 && s->out_len == 0 && !s->write_dead;

    s->transport = t;
    s->state = state;
    if (!clean) {
        if (s->phase == IO_OPEN) {
            fail(s, EPROTO); /* clear-text input must not pass for protected input */
        }
        return;
    }
    s->phase = IO_HANDSHAKING;
    s->want_writable = false;
    queue_handshake(s);
    stream_update_watch(s);
}

void *stream_transport_state(const struct stream *s)
{
    return s->state;
}

struct slice stream_input(const struct stream *s)
{
    return slice_of(s->in, s->in_len);
}

void stream_consume(struct stream *s, size_t n)
{
    bool was_full = s->in_len >= s->in_max;

    BUG_ON(n > s->in_len);
    if (n == 0) {
        return;
    }
    s->in += n;
    s->in_len -= n;
    if (s->in_len == 0 && !s->in_shared) {
        loop_at_end(s->loop, &s->at_end); /* not now: the caller may still read a line in it */
    }
    if (was_full) {
        restart_reading(s);
    }
}

void stream_set_input_max(struct stream *s, size_t max)
{
    s->in_max = max_size(1, min_size(max, INPUT_MAX_LIMIT));
    restart_reading(s);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    stream_update_watch(s);
}

void stream_resume(struct stream *s)
{
    s->paused = false;
    restart_reading(s);
}

bool stream_at_eof(const struct stream *s)
{
    return s->eof;
}

static bool can_queue(const struct stream *s)
{
    return s->phase != IO_FAILED && s->phase != IO_CLOSED && !s->write_dead;
}

void stream_write(struct stream *s, struct slice data)
{
    if (!can_queue(s) || data.len == 0) {
        return;
    }
    io_queue(s, data);
    if (s->phase == IO_OPEN && !s->write_blocked) {
        loop_at_end(s->loop, &s->at_end);
    }
}

size_t stream_queued(const struct stream *s)
{
    return s->out_len;
}

void stream_flush(struct stream *s)
{
    flush_queue(s);
}

void stream_flush_last(struct stream *s)
{
    s->last_words = true;
    flush_queue(s);
}

size_t stream_send(struct stream *s, const struct iovec *iov, int count)
{
    size_t total = 0, taken = 0;

    if (!can_queue(s)) {
        return 0;
    }
    for (int i = 0; i < count; i++) {
        total += iov[i].iov_len;
    }
    if (s->phase == IO_OPEN && !s->write_blocked) {
        taken = io_send(s, iov, count);
    }
    s->want_writable = taken < total;
    if (s->phase == IO_OPEN) {
        after_write(s);
    }
    return s->write_dead ? 0 : taken;
}

int stream_fd(const struct stream *s)
{
    return s->fd;
}

void stream_drop_transport(struct stream *s, bool alert)
{
    if (s->transport) {
        s->transport->close(s->state, alert ? s->fd : -1);
        s->transport = NULL;
        s->state = NULL;
    }
}

/*
 * A close() with unread input resets the connection at once and drops the send queue, where MSG_MORE still holds the
 * last octets.  The peer may send input at any moment, so shutdown() must end our half before close().
 */
static void push_last_words(struct stream *s)
{
    if (s->last_words && s->transport == NULL) {
        s->last_words = false;
        (void)shutdown(s->fd, SHUT_WR);
    }
}

static void destroy(struct stream *s, bool alert)
{
    bool sound = s->phase == IO_OPEN && !s->write_dead;

    if (alert && sound) {
        push_last_words(s);
    }
    watch_stop(&s->watch);
    deferred_cancel(&s->soon);
    deferred_cancel(&s->at_end);
    deferred_cancel(&s->shake);
    stream_drop_transport(s, alert && sound);
    close(s->fd);
    s->phase = IO_CLOSED;
    loop_bury(s->loop, &s->grave, io_free, s);
}

void stream_close(struct stream **s)
{
    if (*s) {
        destroy(*s, true);
        *s = NULL;
    }
}

void stream_abort(struct stream **s)
{
    static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

    if (*s) {
        (void)setsockopt((*s)->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        destroy(*s, false);
        *s = NULL;
    }
}
