/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_io.h - the internals of a stream; private to stream.c, stream_io.c and stream_linger.c.
 *
 * stream_io.c moves octets (input buffer, output queue, system calls) and makes no callback.  stream.c decides when,
 * and makes the callbacks.  stream_linger.c owns lingering streams.
 */
#ifndef CORE_STREAM_IO_H
#define CORE_STREAM_IO_H

#include "core/stream.h"

#define STREAM_MAGIC 0x5354524dU
#define STREAM_DEAD 0xdead5354U

enum io_phase {
    IO_CONNECTING = 0, /* waits for WATCH_WRITE */
    IO_HANDSHAKING,    /* waits for what the transport wants */
    IO_OPEN,
    IO_FAILED, /* on_error is due or was called; no more input or output */
    IO_CLOSED, /* buried at the end of the turn */
};

/* Callbacks and work due later in this turn; on_soon() does them in this order. */
enum {
    DUE_OPEN = 1,
    DUE_READ = 2, /* a read that does not wait for the descriptor */
    DUE_FLUSHED = 4,
    DUE_WRITABLE = 8,
    DUE_ERROR = 16,
};

#define NAGLE_OFF 2

struct stream {
    uint32_t magic;
    enum io_phase phase;
    struct loop *loop;
    struct watch watch;
    const struct stream_events *ev;
    void *arg;
    const struct transport *transport; /* NULL: plain */
    void *state;                       /* of the transport */
    struct deferred soon;              /* on_soon() */
    struct deferred at_end;            /* flush; give back an empty input buffer */
    union {
        struct deferred shake; /* the next step of the handshake (loop_heavy) */
        struct grave grave;    /* once it is closed */
    };

    char *in; /* start of stream_input(): in the loop's buffer or in own */
    size_t in_len;
    size_t in_max;
    char *own; /* NULL while nothing is kept */
    size_t own_cap;

    char *out; /* queue: out_len octets from out_at; NULL when empty */
    size_t out_at, out_len, out_cap;

    int fd;
    int err;                 /* for on_error */
    unsigned due;            /* DUE_ bits */
    unsigned handshake_want; /* WATCH_ bits */
    uint8_t writes;          /* 0, 1, NAGLE_OFF */
    bool in_shared;          /* `in` points into the loop's buffer */
    bool paused;
    bool eof;
    bool read_more;     /* the last read stopped early: the transport still holds octets */
    bool read_on_write; /* the transport can read when the descriptor is writable */
    bool write_blocked; /* the send buffer is full: waits for the descriptor */
    bool write_on_read; /* ... to become readable (transport) */
    bool write_dead;    /* a write failed: write no more */
    bool last_words;    /* only our end of file follows the queue */
    bool want_writable; /* stream_send() was short */
};

/* The result of one read. */
struct io_result {
    size_t got;
    ssize_t end; /* 1: there may be more; 0: end of file; or STREAM_AGAIN_..., STREAM_BROKEN */
};

/* ---- stream_io.c ---- */

/* Reads once, appending to the kept input (a transport: until the buffer is full or it has no more). */
struct io_result io_fill(struct stream *s);

/* Moves unconsumed input to the stream's own buffer, or frees that buffer. */
void io_settle(struct stream *s);

void io_queue(struct stream *s, struct slice data);

/* Sends the queue and then the iov, as much as the kernel takes.  Returns octets of the iov. */
size_t io_send(struct stream *s, const struct iovec *iov, int count);

void io_drop_output(struct stream *s);
struct stream *io_new(void); /* zeroed */
void io_free(void *stream);  /* for loop_bury */

/* ---- stream.c, for stream_linger.c ---- */

void stream_update_watch(struct stream *s);
void stream_drop_transport(struct stream *s, bool alert);

#endif
