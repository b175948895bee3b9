/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - non-blocking octets over one descriptor, plain or through a transport (TLS).
 *
 * Reading    all streams read into one large buffer of the loop.  Input that the owner does not consume during
 *            on_input moves to the stream's own buffer of at most input_max octets.  While that buffer is full, the
 *            stream does not read.  So an idle stream owns no buffer.  The stream also reads while the owner waits
 *            for something else, and so notices an end of file early.
 *
 *                 kept from before | just read            stream_input() covers both, contiguous
 *                 ^ consume() moves this edge
 *
 * Writing    stream_write() queues small data (replies, commands), and the end of the turn sends the queue in one
 *            call.  stream_send() is for message bodies: it passes the kernel what fits now and queues nothing.
 * Callbacks  run from the loop only, never inside a call by the owner.  The owner may call stream_close() in any of
 *            them.  on_error and on_eof each run at most once.
 * Ownership  the stream owns the descriptor and the transport; the owner owns the stream.
 */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H

#include <sys/uio.h>

#include "core/addr.h"
#include "core/loop.h"

struct stream;

struct stream_events {
    void (*on_input)(void *arg); /* stream_input() has grown */
    void (*on_eof)(void *arg);   /* the peer ended its half; stream_input() may still hold octets */
    void (*on_error)(void *arg,
                     int err);      /* broken (errno value, or 0 for a transport error); nothing follows */
    void (*on_writable)(void *arg); /* after a short stream_send(): the kernel has room, the queue is empty */
    void (*on_flushed)(void *arg);  /* the whole queue is sent; may be NULL */
    void (*on_open)(void *arg);     /* connect or handshake done; may be NULL */
};

/* The functions between a stream and its descriptor.  Results are as for read(2): > 0 octets, 0 end of file, or
 * STREAM_BROKEN.  STREAM_AGAIN_READ / _WRITE: would block until the descriptor is readable / writable.
 *
 * writev     the returned octets are taken for good.  After AGAIN none are taken, and the next call must begin with the
 *            same octets: after a short stream_send(), the caller sends the rest before anything else.
 * read       after AGAIN no input is available until the descriptor is ready again, whatever pending returns.
 * pending    also true for octets received but not yet decoded (read-ahead), even half a record.
 * close      fd is -1 if it must not send an alert (reset, broken connection): it then only frees the state.
 */
enum {
    STREAM_AGAIN_READ = -1,
    STREAM_AGAIN_WRITE = -2,
    STREAM_BROKEN = -3,
};

struct transport {
    ssize_t (*read)(void *state, int fd, void *mem, size_t len);
    ssize_t (*writev)(void *state, int fd, const struct iovec *iov, int count);
    int (*handshake)(void *state, int fd); /* 1: done, or a STREAM_ value */
    bool (*pending)(const void *state);    /* octets decoded but not yet read (TLS-20) */
    void (*close)(void *state, int fd);    /* sends a close alert if that does not block; frees state */
};

/* Over an accepted or connected, non-blocking descriptor.  The caller sets TCP_NODELAY: accepted connections
 * inherit it from the listener.  Never NULL. */
struct stream *stream_new(struct loop *l, int fd, const struct stream_events *ev, void *arg);

/* Starts a connect; on_open or on_error follows from the loop.  NULL with errno if it fails at once. */
struct stream *stream_connect(struct loop *l, const struct addr *to, const struct stream_events *ev,
                              void *arg) MUST_USE;

/* Replaces callbacks and their argument (an upstream connection changes hands). */
void stream_set_events(struct stream *s, const struct stream_events *ev, void *arg);

/*
 * Puts a transport under the stream and starts its handshake; on_open or on_error follows.  Allowed only without
 * input (check stream_input() first: TLS-03) and without unsent output.  Takes ownership of `state`.
 */
void stream_start_transport(struct stream *s, const struct transport *t, void *state);
void *stream_transport_state(const struct stream *s); /* NULL while plain */

struct slice stream_input(const struct stream *s);       /* valid until consume or return to the loop */
void stream_consume(struct stream *s, size_t n);         /* n <= stream_input().len */
void stream_set_input_max(struct stream *s, size_t max); /* default 64 KiB, up to 1 MiB */
void stream_pause(struct stream *s);                     /* stops reading until stream_resume */
void stream_resume(struct stream *s);
bool stream_at_eof(const struct stream *s);

void stream_write(struct stream *s, struct slice data); /* queues all of it, never fails; see stream_queued */
size_t stream_queued(const struct stream *s);           /* octets queued and not yet in the kernel */
void stream_flush(struct stream *s);                    /* sends now instead of at the end of the turn */

/*
 * Like stream_flush(), for the last octets before our end of file.  They may leave in one packet with it instead of
 * two.  If the kernel takes all of them (stream_queued is 0), the caller must end our half at once, with
 * stream_close() or stream_linger().
 */
void stream_flush_last(struct stream *s);

/*
 * Gives the queue and then these octets to the kernel; returns how many of *these* it took.  After a short send,
 * on_writable follows once there is room, and the caller must send the rest before any stream_write().  On an
 * error it returns 0, and on_error follows.
 */
size_t stream_send(struct stream *s, const struct iovec *iov, int count);

int stream_fd(const struct stream *s); /* for getsockopt and the like; -1 in the sim */

/*
 * Closes at once and drops unsent output; no callback follows.  Clears *s; NULL is allowed.  The memory stays valid
 * until the end of the turn.
 */
void stream_close(struct stream **s);

/*
 * Closes so that the peer can read the last reply (LIM-13): sends the queue, shuts down writing, drops input for at
 * most drain_ms, closes.  The stream has no owner from here: no callback follows, and *s is cleared.
 */
void stream_linger(struct stream **s, uint64_t drain_ms);

/* Resets the connection (RST), so that the peer cannot take it for a clean end. */
void stream_abort(struct stream **s);

/* Number of streams still lingering (a gauge); must be 0 before loop_free. */
size_t stream_lingering(void);

#endif
