/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - non-blocking octets over one descriptor, plain or through a transport (TLS).
 *
 * Reading    the loop has one large buffer that all streams read into; what the owner does not
 *            consume during on_input is kept in a buffer of the stream's own, at most input_max
 *            octets, and reading stops by itself while that is full.  So an idle stream owns no
 *            buffer at all.  Octets are read even while the owner waits for something else, which is
 *            how an end of file is noticed early.
 *
 *                 kept from before | just read            stream_input() is both, contiguous
 *                 ^ consume() moves this edge
 *
 * Writing    stream_write() queues small things (replies, commands) and the end of the turn sends
 *            them in one call.  stream_send() is for message bodies: it gives the kernel what it
 *            takes now and queues nothing of it.
 * Callbacks  come from the loop only, never from inside a call of the owner's.  In any of them the
 *            owner may call stream_close().  At most one of on_error / on_eof each comes once.
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
    void (*on_writable)(void *arg); /* after a short stream_send(): room again, and the queue is empty */
    void (*on_flushed)(void *arg);  /* the queue went out completely; may be NULL */
    void (*on_open)(void *arg);     /* connect done; or handshake done; may be NULL */
};

/* Four functions between a stream and its descriptor; results as of read(2): > 0 octets, 0 end of
 * file, STREAM_AGAIN_READ / STREAM_AGAIN_WRITE: would block until the descriptor is so, STREAM_BROKEN.
 *
 * writev     what it returns is taken for good.  After AGAIN nothing is taken, and the next call begins with the
 *            same octets: who got less than all from stream_send() sends the rest before anything else.
 * read       after AGAIN nothing is to be had before the descriptor is ready again, whatever pending says.
 * pending    also true for octets that were received and are not decoded yet (read-ahead), half a record included.
 * close      fd is -1 when no alert may be sent (reset, broken connection): state is freed and nothing else.
 */
enum {
    STREAM_AGAIN_READ = -1,
    STREAM_AGAIN_WRITE = -2,
    STREAM_BROKEN = -3,
};

struct transport {
    ssize_t (*read)(void *state, int fd, void *mem, size_t len);
    ssize_t (*writev)(void *state, int fd, const struct iovec *iov, int count);
    int (*handshake)(void *state, int fd); /* 1 done, or one of the above */
    bool (*pending)(const void *state);    /* octets decoded and not yet read (TLS-20) */
    void (*close)(void *state, int fd);    /* sends a close alert if it can at once; frees state */
};

/* Over an accepted or already connected, non-blocking descriptor; TCP_NODELAY is its maker's business: what is
 * accepted inherits it from the listening socket.  Never NULL. */
struct stream *stream_new(struct loop *l, int fd, const struct stream_events *ev, void *arg);

/* Starts a connect; on_open or on_error follows from the loop.  NULL with errno if it fails at once. */
struct stream *stream_connect(struct loop *l, const struct addr *to, const struct stream_events *ev,
                              void *arg) MUST_USE;

/* Replaces callbacks and their argument (an upstream connection changes hands). */
void stream_set_events(struct stream *s, const struct stream_events *ev, void *arg);

/*
 * Puts a transport under the stream and starts its handshake; on_open or on_error follows.  There
 * must be no input (check stream_input() first: TLS-03) and no unsent output.  Takes `state`.
 */
void stream_start_transport(struct stream *s, const struct transport *t, void *state);
void *stream_transport_state(const struct stream *s); /* NULL while plain */

struct slice stream_input(const struct stream *s);       /* valid until consume or the return to the loop */
void stream_consume(struct stream *s, size_t n);         /* n <= stream_input().len */
void stream_set_input_max(struct stream *s, size_t max); /* default 64 KiB, up to 1 MiB */
void stream_pause(struct stream *s);                     /* no reading at all until stream_resume */
void stream_resume(struct stream *s);
bool stream_at_eof(const struct stream *s);

void stream_write(struct stream *s, struct slice data); /* queued whole, never fails; see stream_queued */
size_t stream_queued(const struct stream *s);           /* octets accepted and not yet in the kernel */
void stream_flush(struct stream *s);                    /* now instead of at the end of the turn */

/*
 * As stream_flush(), for the last octets before our end of file: they may leave together with it, in one packet
 * instead of two.  If all of them are in the kernel (stream_queued is 0), the caller ends our half at once, by
 * stream_close() or in stream_linger().
 */
void stream_flush_last(struct stream *s);

/*
 * Gives the queue and then these octets to the kernel; returns how many of *these* it took.  Fewer than
 * all: on_writable follows when there is room again, and the rest comes before any stream_write().  Errors
 * come through on_error, with 0 here.
 */
size_t stream_send(struct stream *s, const struct iovec *iov, int count);

int stream_fd(const struct stream *s); /* for getsockopt and the like; -1 in the sim */

/*
 * Closes at once, dropping unsent output; no callback follows.  *s is cleared; NULL is allowed.
 * The memory lives until the end of the turn.
 */
void stream_close(struct stream **s);

/*
 * Closes so that the last reply is read (LIM-13): sends the queue, shuts down writing, reads and drops
 * for at most drain_ms, closes.  The stream is on its own from here: no callback follows; *s is cleared.
 */
void stream_linger(struct stream **s, uint64_t drain_ms);

/* Resets the connection (RST): the other side must not take it for a clean end. */
void stream_abort(struct stream **s);

/* Lingering streams still alive (a gauge), and the one that must be 0 before loop_free. */
size_t stream_lingering(void);

#endif
