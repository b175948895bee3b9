/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_io.c - moves octets between a descriptor, the loop's buffer and a stream's own buffers.
 *
 * Input      with little kept input, the stream copies it to the front of the loop's large buffer and reads behind it.
 *            So a body is read in large pieces although each piece ends in half a line.  With much kept input, the
 *            stream reads behind it in its own buffer.
 *
 *                loop's buffer   [ kept, copied | just read            |            ]
 *                own buffer      [ consumed | kept | just read | room ]
 *
 * Output     one queue in one piece of memory.  A partial write moves its front, and an empty queue is freed.  The last
 *            octets before our end of file wait for it (MSG_MORE): one packet less, and the peer wakes up once.
 *            shutdown() then pushes them out, see push_last_words().
 *
 * Own buffers have a few sizes, so that a slow sender costs a few copies and not one per octet.
 */
#include "core/stream_io.h"
#include "core/slab.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define KEPT_COPIED ((size_t)4096) /* most kept octets to copy to the front of the loop's buffer */
#define ROOM_WANTED ((size_t)4096) /* behind the kept octets */
#define TRANSPORT_READS 16         /* records per fill */
#define IOV_BATCH 64
#define QUEUE_FIRST ((size_t)512)
#define STREAMS_KEPT 1024

/* ---- the stream itself: it lasts as long as a connection, so it is kept apart from short-lived memory ----
 */

/* One per thread, an exception to "no globals": a lingering stream has no other owner.  Name NULL: not
 * initialised yet. */
static _Thread_local struct slab streams;

struct stream *io_new(void)
{
    if (streams.name == NULL) {
        slab_init(&streams, "stream", sizeof(struct stream), STREAMS_KEPT);
    }
    return slab_alloc(&streams);
}

/* ---- input ---- */

static size_t size_class(size_t need)
{
    static const size_t sizes[] = { 4096, 16384, 65536, 262144 };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        if (need <= sizes[i]) {
            return sizes[i];
        }
    }
    return 1048576;
}

static void drop_own(struct stream *s)
{
    free(s->own);
    s->own = NULL;
    s->own_cap = 0;
}

/* Makes room behind the kept octets in the own buffer; returns its start. */
static char *own_room(struct stream *s, size_t *room)
{
    size_t wanted = min_size(s->in_max - s->in_len, ROOM_WANTED);
    size_t behind = s->own_cap - (size_t)(s->in - s->own) - s->in_len;

    if (behind < wanted && s->own_cap - s->in_len >= wanted) {
        memmove(s->own, s->in, s->in_len);
        s->in = s->own;
    } else if (behind < wanted) {
        size_t cap = size_class(s->in_len + wanted);
        char *bigger = xmalloc(cap);

        memcpy(bigger, s->in, s->in_len);
        drop_own(s);
        s->own = s->in = bigger;
        s->own_cap = cap;
    }
    behind = s->own_cap - (size_t)(s->in - s->own) - s->in_len;
    *room = min_size(behind, s->in_max - s->in_len);
    return s->in + s->in_len;
}

static struct io_result fill_plain(struct stream *s, char *at, size_t room)
{
    ssize_t n;

    do {
        n = recv(s->fd, at, room, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        /* a short read: the next call would only give EAGAIN */
        return (struct io_result){ (size_t)n, (size_t)n == room ? 1 : STREAM_AGAIN_READ };
    }
    if (n == 0) {
        return (struct io_result){ 0, 0 };
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return (struct io_result){ 0, STREAM_AGAIN_READ };
    }
    s->err = errno;
    return (struct io_result){ 0, STREAM_BROKEN };
}

static struct io_result fill_transport(struct stream *s, char *at, size_t room)
{
    struct io_result r = { 0, 1 };

    for (int i = 0; i < TRANSPORT_READS && r.got < room; i++) {
        ssize_t n = s->transport->read(s->state, s->fd, at + r.got, room - r.got);

        if (n <= 0) {
            r.end = n;
            break;
        }
        r.got += (size_t)n;
        if (!s->transport->pending(s->state)) {
            r.end = STREAM_AGAIN_READ; /* new input makes the descriptor ready */
            break;
        }
    }
    if (r.end == STREAM_BROKEN) {
        s->err = 0;
    }
    return r;
}

struct io_result io_fill(struct stream *s)
{
    bool through_loop = s->in_len <= KEPT_COPIED;
    char *shared = through_loop ? loop_read_buffer(s->loop) : NULL;
    char *at;
    size_t room;
    struct io_result r;

    if (through_loop) {
        at = shared + s->in_len;
        room = min_size(s->in_max, LOOP_READ_SIZE) - s->in_len;
    } else {
        at = own_room(s, &room);
    }
    r = s->transport ? fill_transport(s, at, room) : fill_plain(s, at, room);
    if (r.got && through_loop) {
        if (s->in_len) {
            memcpy(shared, s->in, s->in_len);
        }
        s->in = shared;
        s->in_shared = true;
    }
    s->in_len += r.got;
    return r;
}

void io_settle(struct stream *s)
{
    if (s->in_len == 0) {
        drop_own(s);
        s->in = NULL;
    } else if (s->in_shared) {
        if (s->own_cap < s->in_len) {
            drop_own(s);
            s->own_cap = size_class(s->in_len);
            s->own = xmalloc(s->own_cap);
        }
        memcpy(s->own, s->in, s->in_len);
        s->in = s->own;
    }
    s->in_shared = false;
}

/* ---- output ---- */

void io_drop_output(struct stream *s)
{
    free(s->out);
    s->out = NULL;
    s->out_at = s->out_len = s->out_cap = 0;
}

void io_queue(struct stream *s, struct slice data)
{
    size_t need = s->out_len + data.len;

    if (data.len == 0) {
        return;
    }
    if (s->out_at && s->out_cap - s->out_at < need) {
        memmove(s->out, s->out + s->out_at, s->out_len);
        s->out_at = 0;
    }
    if (s->out_cap - s->out_at < need) {
        s->out_cap = max_size(max_size(s->out_cap * 2, need), QUEUE_FIRST);
        s->out = xrealloc(s->out, s->out_cap);
    }
    memcpy(s->out + s->out_at + s->out_len, data.ptr, data.len);
    s->out_len += data.len;
}

/* The first small write of a connection never waits for an ACK; with Nagle, later ones would. */
static void set_nodelay(struct stream *s)
{
    static const int on = 1;

    if (s->writes == 1) {
        (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* may fail if not TCP */
    }
    s->writes = s->writes < NAGLE_OFF ? (uint8_t)(s->writes + 1) : NAGLE_OFF;
}

static ssize_t write_plain(struct stream *s, struct iovec *iov, int count)
{
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)count };
    int flags = s->last_words ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL; /* our end of file pushes it out */
    ssize_t n;

    set_nodelay(s);
    do {
        n = sendmsg(s->fd, &msg, flags);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        return n;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return STREAM_AGAIN_WRITE;
    }
    s->err = errno;
    return STREAM_BROKEN;
}

/* Writes once and records in the stream what to wait for, if anything.  Returns octets taken. */
static size_t write_once(struct stream *s, struct iovec *iov, int count)
{
    ssize_t n;

    if (s->transport) {
        n = s->transport->writev(s->state, s->fd, iov, count);
    } else {
        n = write_plain(s, iov, count);
    }
    if (n > 0) {
        return (size_t)n;
    }
    if (n == STREAM_AGAIN_WRITE || n == STREAM_AGAIN_READ) {
        s->write_blocked = true;
        s->write_on_read = n == STREAM_AGAIN_READ;
        return 0;
    }
    s->write_dead = true;
    s->err = s->transport ? 0 : s->err;
    return 0;
}

/*
 * Fills `batch` with the queue and the iov from its octet `skip` on; *octets is their sum.  Returns the
 * number of pieces.
 */
static int gather(const struct stream *s, const struct iovec *iov, int count, size_t skip,
                  struct iovec batch[IOV_BATCH], size_t *octets)
{
    int used = 0;

    *octets = 0;
    if (s->out_len) {
        batch[used++] = (struct iovec){ s->out + s->out_at, s->out_len };
        *octets = s->out_len;
    }
    for (int i = 0; i < count && used < IOV_BATCH; i++) {
        size_t from = min_size(skip, iov[i].iov_len);

        skip -= from;
        if (iov[i].iov_len > from) {
            batch[used++] = (struct iovec){ (char *)iov[i].iov_base + from, iov[i].iov_len - from };
            *octets += iov[i].iov_len - from;
        }
    }
    return used;
}

/* Removes up to n octets from the queue; the rest belong to the iov. */
static size_t take_from_queue(struct stream *s, size_t n)
{
    size_t queued = min_size(n, s->out_len);

    s->out_at += queued;
    s->out_len -= queued;
    if (queued && s->out_len == 0) {
        io_drop_output(s);
        s->due |= s->ev->on_flushed ? DUE_FLUSHED : 0U;
    }
    return n - queued;
}

size_t io_send(struct stream *s, const struct iovec *iov, int count)
{
    struct iovec batch[IOV_BATCH];
    size_t taken = 0; /* of the iov */
    size_t octets;
    int used;

    while (!s->write_blocked && !s->write_dead) {
        size_t n;

        used = gather(s, iov, count, taken, batch, &octets);
        if (used == 0) {
            break;
        }
        n = write_once(s, batch, used);
        taken += take_from_queue(s, n);
        if (n > 0 && n < octets && s->transport == NULL) {
            s->write_blocked = true; /* the next call would only give EAGAIN */
            s->write_on_read = false;
        }
    }
    return taken;
}

void io_free(void *stream)
{
    struct stream *s = stream;

    drop_own(s);
    io_drop_output(s);
    s->magic = STREAM_DEAD;
    slab_release(&streams, s);
}
