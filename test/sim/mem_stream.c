/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem_stream.c - core/stream.h in memory: the other end is a struct sim_conn that a script holds.
 *
 * The rules of the real stream hold: callbacks only from the loop, octets kept up to input_max, nothing
 * after close.  What stream_send may take at once is the connection's window, so that short sends are tried.
 */
#include <errno.h>

#include "test/sim/sim.h"

#define FIRST_FD 1000

struct stream {
    struct sim_conn *conn; /* NULL after close */
    struct loop *loop;
    const struct stream_events *ev;
    void *arg;
    struct buf in;      /* arrived, not consumed */
    struct buf backlog; /* arrived beyond input_max: still "in the network" */
    size_t in_max;
    size_t queued; /* octets not yet "in the kernel" */
    bool paused, eof_sent, eof_told, open_due, input_due, writable_due, flushed_due, dead;
    int error; /* to be told; -1 none */
    struct deferred soon;
    struct grave grave;
};

static struct list_node conns = { &conns, &conns };
static struct list_node connects = { &connects, &connects }; /* not yet handed to the script */
static int conn_count;

struct pending { /* a connect the script has not seen */
    struct list_node link;
    struct sim_conn *conn;
};

static struct sim_conn *conn_new(void)
{
    struct sim_conn *c = xcalloc(1, sizeof(*c));

    buf_init(&c->out, SIZE_MAX / 2);
    buf_init(&c->all, SIZE_MAX / 2);
    c->number = conn_count++;
    c->window = SIZE_MAX;
    list_node_init(&c->link);
    list_push_back(&conns, &c->link);
    return c;
}

static void top_up(struct stream *s)
{
    size_t room = s->in_max > s->in.len ? s->in_max - s->in.len : 0;
    size_t n = min_size(room, s->backlog.len);

    if (s->paused || n == 0) {
        return;
    }
    buf_put(&s->in, s->backlog.ptr, n);
    buf_drop(&s->backlog, n);
    s->input_due = true;
    loop_defer(s->loop, &s->soon);
}

static void on_soon(void *arg)
{
    struct stream *s = arg;

    if (!s->dead && s->open_due) {
        s->open_due = false;
        s->ev->on_open(s->arg);
    }
    if (!s->dead && s->error >= 0) {
        int err = s->error;

        s->error = -1;
        s->dead = true;
        s->ev->on_error(s->arg, err);
        return;
    }
    if (!s->dead && s->flushed_due) {
        s->flushed_due = false;
        if (s->queued == 0 && s->ev->on_flushed != NULL) {
            s->ev->on_flushed(s->arg);
        }
    }
    if (!s->dead && s->writable_due && s->conn->window > 0) {
        s->writable_due = false;
        s->ev->on_writable(s->arg);
    }
    if (!s->dead && s->input_due && !s->paused) {
        s->input_due = false;
        if (s->in.len > 0) {
            s->ev->on_input(s->arg);
        }
    }
    if (!s->dead) {
        top_up(s);
    }
    if (!s->dead && s->eof_sent && !s->eof_told && s->backlog.len == 0 && !s->paused && !s->input_due) {
        s->eof_told = true;
        s->ev->on_eof(s->arg);
    }
}

static struct stream *make(struct loop *l, struct sim_conn *c, const struct stream_events *ev, void *arg)
{
    struct stream *s = xcalloc(1, sizeof(*s));

    s->conn = c;
    c->stream = s;
    s->loop = l;
    s->ev = ev;
    s->arg = arg;
    s->in_max = 65536;
    s->error = -1;
    buf_init(&s->in, SIZE_MAX / 2);
    buf_init(&s->backlog, SIZE_MAX / 2);
    deferred_init(&s->soon, on_soon, s);
    return s;
}

struct sim_conn *sim_client(int *fd)
{
    struct sim_conn *c = conn_new();

    *fd = FIRST_FD + c->number;
    return c;
}

struct stream *stream_new(struct loop *l, int fd, const struct stream_events *ev, void *arg)
{
    struct list_node *n, *tmp;

    LIST_EACH(&conns, n, tmp)
    {
        struct sim_conn *c = container_of(n, struct sim_conn, link);

        if (c->number == fd - FIRST_FD) {
            return make(l, c, ev, arg);
        }
    }
    BUG_ON(true);
}

struct stream *stream_connect(struct loop *l, const struct addr *to, const struct stream_events *ev,
                              void *arg)
{
    struct sim_conn *c = conn_new();
    struct pending *p = xcalloc(1, sizeof(*p));

    c->connecting = true;
    c->peer = *to;
    p->conn = c;
    list_node_init(&p->link);
    list_push_back(&connects, &p->link);
    return make(l, c, ev, arg);
}

struct sim_conn *sim_next_connect(void)
{
    struct list_node *n = list_pop(&connects);
    struct pending *p;
    struct sim_conn *c;

    if (n == NULL) {
        return NULL;
    }
    p = container_of(n, struct pending, link);
    c = p->conn;
    free(p);
    return c;
}

void sim_accept(struct sim_conn *c)
{
    c->connecting = false;
    if (c->stream != NULL) {
        c->stream->open_due = true;
        loop_defer(c->stream->loop, &c->stream->soon);
    }
}

static void fail(struct sim_conn *c, int err)
{
    if (c->stream != NULL && !c->stream->dead) {
        c->stream->error = err;
        loop_defer(c->stream->loop, &c->stream->soon);
    }
}

void sim_refuse(struct sim_conn *c)
{
    c->connecting = false;
    fail(c, ECONNREFUSED);
}

void sim_reset(struct sim_conn *c)
{
    fail(c, ECONNRESET);
}

void sim_send(struct sim_conn *c, struct slice data)
{
    struct stream *s = c->stream;

    if (s == NULL || s->dead || s->eof_sent) {
        return;
    }
    buf_put_slice(&s->backlog, data);
    top_up(s);
    loop_defer(s->loop, &s->soon);
}

void sim_eof(struct sim_conn *c)
{
    if (c->stream != NULL && !c->stream->dead) {
        c->stream->eof_sent = true;
        loop_defer(c->stream->loop, &c->stream->soon);
    }
}

void sim_window(struct sim_conn *c, size_t octets)
{
    c->window = octets;
    if (c->stream != NULL && !c->stream->dead) {
        loop_defer(c->stream->loop, &c->stream->soon);
    }
}

void sim_clear(void)
{
    struct list_node *n;
    struct sim_conn *c;

    while (sim_next_connect() != NULL) {
    }
    while ((n = list_pop(&conns)) != NULL) {
        c = container_of(n, struct sim_conn, link);
        BUG_ON(c->stream != NULL);
        buf_fini(&c->out);
        buf_fini(&c->all);
        free(c);
    }
    conn_count = 0;
}

void stream_set_events(struct stream *s, const struct stream_events *ev, void *arg)
{
    s->ev = ev;
    s->arg = arg;
}

void stream_start_transport(struct stream *s UNUSED, const struct transport *t UNUSED, void *state UNUSED)
{
    BUG_ON(true); /* no TLS in the sim */
}

void *stream_transport_state(const struct stream *s UNUSED)
{
    return NULL;
}

struct slice stream_input(const struct stream *s)
{
    return buf_slice(&s->in);
}

void stream_consume(struct stream *s, size_t n)
{
    BUG_ON(n > s->in.len);
    buf_drop(&s->in, n);
    if (!s->dead && s->backlog.len > 0) {
        loop_defer(s->loop, &s->soon);
    }
}

void stream_set_input_max(struct stream *s, size_t max)
{
    s->in_max = max;
    loop_defer(s->loop, &s->soon);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
}

void stream_resume(struct stream *s)
{
    s->paused = false;
    loop_defer(s->loop, &s->soon);
}

bool stream_at_eof(const struct stream *s)
{
    return s->eof_told;
}

static void deliver(struct stream *s, const void *data, size_t len)
{
    buf_put(&s->conn->out, data, len);
    buf_put(&s->conn->all, data, len);
}

void stream_write(struct stream *s, struct slice data)
{
    if (s->dead) {
        return;
    }
    deliver(s, data.ptr, data.len);
    s->flushed_due = true;
    loop_defer(s->loop, &s->soon);
}

size_t stream_queued(const struct stream *s)
{
    return s->queued;
}

void stream_flush(struct stream *s UNUSED)
{
}

void stream_flush_last(struct stream *s UNUSED)
{
}

size_t stream_send(struct stream *s, const struct iovec *iov, int count)
{
    size_t taken = 0;

    for (int i = 0; i < count && !s->dead; i++) {
        size_t n = min_size(iov[i].iov_len, s->conn->window);

        deliver(s, iov[i].iov_base, n);
        if (s->conn->window != SIZE_MAX) {
            s->conn->window -= n;
        }
        taken += n;
        if (n < iov[i].iov_len) {
            s->writable_due = true;
            break;
        }
    }
    return taken;
}

int stream_fd(const struct stream *s UNUSED)
{
    return -1;
}

static void release(void *obj)
{
    struct stream *s = obj;

    buf_fini(&s->in);
    buf_fini(&s->backlog);
    free(s);
}

void stream_close(struct stream **sp)
{
    struct stream *s = *sp;

    if (s == NULL) {
        return;
    }
    *sp = NULL;
    s->dead = true;
    s->conn->shut = true;
    s->conn->stream = NULL;
    deferred_cancel(&s->soon);
    loop_bury(s->loop, &s->grave, release, s);
}

void stream_linger(struct stream **sp, uint64_t drain_ms UNUSED)
{
    stream_close(sp);
}

void stream_abort(struct stream **sp)
{
    if (*sp != NULL) {
        (*sp)->conn->reset = true;
    }
    stream_close(sp);
}

size_t stream_lingering(void)
{
    return 0;
}
