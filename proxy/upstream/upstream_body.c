/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_body.c - the only writer of message octets: head, spool, dots, the final dot (S6).
 *
 * It fills a window of pieces and passes it to the kernel in one call.  A small message leaves as head, body and
 * final dot in one writev.  Nothing is copied.  To double the dot at the start of a line, it sends the
 * octet twice: one piece ends with it, the next begins with it.
 *
 *      head | spool ...\r\n.  | .hidden dot ...  | \r\n.\r\n
 *      piece 0    piece 1       piece 2            the end
 *
 * Octets from the spool are valid until its next read, so a window holds at most one read.  Content is
 * canonical (line.h), so a line begins after an LF.  A last line without an end gets one.
 *
 * RFC: 5321 4.5.2, 4.1.1.4.
 */
#include "proxy/upstream/upstream.h"

#define SPOOL_STEP ((size_t)256 * 1024)

void body_writer_begin(struct body_writer *b, const struct relay_message *msg)
{
    *b = (struct body_writer){ .msg = msg, .offset = msg->skip, .last = { '\r', '\n' } };
}

static void place(struct body_writer *b, struct slice piece)
{
    b->iov[b->count].iov_base = (void *)(uintptr_t)piece.ptr;
    b->iov[b->count].iov_len = piece.len;
    b->count++;
}

/* Finds the first line after the front of s that begins with a dot, or s.len.  It searches for dots, not line ends,
 * because most bodies have few dots: base64 has none. */
static size_t find_dot_line(struct slice s)
{
    size_t at = 1;

    while (at < s.len) {
        const char *dot = memchr(s.ptr + at, '.', s.len - at);

        if (dot == NULL) {
            return s.len;
        }
        if (dot[-1] == '\n') {
            return (size_t)(dot - s.ptr);
        }
        at = (size_t)(dot - s.ptr) + 1;
    }
    return s.len;
}

static void remember_end(struct body_writer *b, struct slice s)
{
    if (s.len >= 2) {
        b->last[0] = s.ptr[s.len - 2];
        b->last[1] = s.ptr[s.len - 1];
    } else if (s.len == 1) {
        b->last[0] = b->last[1];
        b->last[1] = s.ptr[0];
    }
}

/* Puts as much of the chunk into the window as the pieces allow; two pieces stay free for the end. */
static void place_chunk(struct body_writer *b)
{
    while (b->chunk.len && b->count < BODY_WRITER_IOVS - 2) {
        size_t dot;

        if (b->chunk.ptr[0] == '.' && b->last[1] == '\n') {
            place(b, slice_take(b->chunk, 1)); /* front of a chunk; the loop below handles others */
            b->last[1] = '.';
            continue;
        }
        dot = find_dot_line(b->chunk);
        if (dot == b->chunk.len) {
            place(b, b->chunk);
            remember_end(b, b->chunk);
            b->chunk = SLICE_NONE;
        } else {
            place(b, slice_take(b->chunk, dot + 1));
            b->chunk = slice_skip(b->chunk, dot);
            b->last[1] = '.'; /* first copy sent; the line itself follows */
        }
    }
}

/* Gets the next chunk.  False at the end of the message, or if the window must leave first. */
static bool next_chunk(struct body_writer *b, enum spool_status *status)
{
    if (!b->head_taken) {
        b->head_taken = true;
        b->chunk = b->msg->head;
        return true;
    }
    if (b->chunk_lent || b->offset >= spool_size(b->msg->spool)) {
        return false;
    }
    b->chunk = spool_read(b->msg->spool, b->offset, SPOOL_STEP, status);
    if (b->chunk.len == 0 && *status == SPOOL_OK) {
        *status = SPOOL_IO; /* shorter than its declared size */
    }
    b->offset += b->chunk.len;
    b->chunk_lent = true;
    return *status == SPOOL_OK;
}

static bool at_end(const struct body_writer *b)
{
    return b->head_taken && b->chunk.len == 0 && b->offset >= spool_size(b->msg->spool);
}

/* Fills an empty window. */
static enum spool_status fill(struct body_writer *b)
{
    enum spool_status status = SPOOL_OK;

    b->first = b->count = 0;
    b->chunk_lent = b->chunk.len > 0 && b->offset > b->msg->skip;
    do {
        place_chunk(b);
    } while (b->chunk.len == 0 && b->count < BODY_WRITER_IOVS - 2 && next_chunk(b, &status));
    if (status == SPOOL_OK && at_end(b)) {
        bool ended = b->last[0] == '\r' && b->last[1] == '\n';

        place(b, ended ? SLICE(".\r\n") : SLICE("\r\n.\r\n"));
        b->dot_placed = true;
    }
    return status;
}

static void advance(struct body_writer *b, size_t sent)
{
    while (b->first < b->count && sent >= b->iov[b->first].iov_len) {
        sent -= b->iov[b->first].iov_len;
        b->first++;
    }
    if (b->first < b->count) {
        b->iov[b->first].iov_base = (char *)b->iov[b->first].iov_base + sent;
        b->iov[b->first].iov_len -= sent;
    }
}

enum body_writer_status body_writer_send(struct body_writer *b, struct stream *s)
{
    for (;;) {
        if (b->first == b->count) {
            if (b->dot_placed) {
                return BODY_WRITER_SENT;
            }
            if (fill(b) != SPOOL_OK) {
                return BODY_WRITER_UNREADABLE;
            }
        }
        advance(b, stream_send(s, b->iov + b->first, b->count - b->first));
        if (b->first < b->count) {
            return BODY_WRITER_WAIT;
        }
    }
}
