/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon.h - canonical forms of header fields and of the body (RFC 6376 3.4), streaming.
 *
 * Pure.  A sink gathers the output in blocks of 4 KiB, so that the hash gets few, long pieces.
 */
#ifndef POLICY_DKIM_CANON_H
#define POLICY_DKIM_CANON_H

#include "core/slice.h"
#include "policy/dkim/dkim.h"

#define DKIM_BLOCK 4096

/* Where canonical octets go. */
struct dkim_sink {
    void (*put)(void *arg, const void *data, size_t len);
    void *arg;
    size_t used;
    char block[DKIM_BLOCK];
};

void dkim_sink_init(struct dkim_sink *s, void (*put)(void *arg, const void *data, size_t len), void *arg);
void dkim_sink_put(struct dkim_sink *s, const void *data, size_t len);
void dkim_sink_flush(struct dkim_sink *s); /* passes on the gathered octets */

/*
 * Writes one field without its final CRLF.  name_len: octets before the colon.  hole: a part of the value to omit
 * (b= of a signature, RFC 6376 3.7); SLICE_NONE omits nothing.
 */
void dkim_canon_field(struct dkim_sink *s, enum dkim_canon canon, struct slice field, size_t name_len,
                      struct slice hole);

/*
 * The state of one body.  Only CRLF ends a line; a bare CR or LF is an octet like any other.
 *
 * Empty lines at the end of the body do not count (RFC 6376 3.4.3), so the automaton holds line ends back until
 * something follows.  A body of millions of empty lines must not cause all that work in one call.  So beyond a few
 * thousand it writes them anyway, after it called `fork` at the place where the canonical body ends if nothing
 * follows.  `forked` says at the end whether nothing did.
 */
struct dkim_canon_body {
    struct dkim_sink *sink;
    void (*fork)(void *arg); /* gets the argument of the sink, which has all octets up to this place */
    enum dkim_canon canon;
    size_t lines; /* line ends held back */
    bool blank;   /* relaxed: white space held back, after those line ends */
    bool cr;      /* a CR held back, after both */
    bool started; /* the body has an octet that counts */
    bool forked;  /* after dkim_canon_body_end: the body ends at the last fork */
};

void dkim_canon_body_init(struct dkim_canon_body *b, enum dkim_canon canon, struct dkim_sink *sink,
                          void (*fork)(void *arg));
void dkim_canon_body_put(struct dkim_canon_body *b, struct slice chunk);
void dkim_canon_body_end(struct dkim_canon_body *b); /* flushes the sink */

#endif
