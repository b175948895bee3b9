/*
 * canon.h - canonical forms of header fields and of the body (RFC 6376 3.4), streaming.
 *
 * Pure.  What comes out is gathered in blocks of 4 KiB, so that a hash sees few and long pieces.
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
void dkim_sink_flush(struct dkim_sink *s); /* hands over what was gathered */

/*
 * One field without its final CRLF; none is written behind it.  name_len: octets before the colon.  hole: a part of
 * the value that is left out (b= of a signature, RFC 6376 3.7); empty: none.
 */
void dkim_canon_field(struct dkim_sink *s, enum dkim_canon canon, struct slice field, size_t name_len,
                      struct slice hole);

/*
 * A body on its way.  Line ends are CRLF alone; a bare CR or LF is an octet like any other.
 *
 * Line ends that nothing follows do not count (RFC 6376 3.4.3), so they are held back.  More than a few thousand are
 * written all the same, for whoever sends millions must not have them all hashed in one call: `fork` is then called
 * where the canonical body ends if nothing follows, and `forked` says whether that came true.
 */
struct dkim_canon_body {
    struct dkim_sink *sink;
    void (*fork)(void *arg); /* called with the argument of the sink, after everything before was put there */
    enum dkim_canon canon;
    size_t lines; /* line ends that are held back */
    bool blank;   /* relaxed: white space is held back, behind them */
    bool cr;      /* a CR is held back, behind both */
    bool started; /* something counted */
    bool forked;  /* after dkim_canon_body_end: the body ended at the last fork */
};

void dkim_canon_body_init(struct dkim_canon_body *b, enum dkim_canon canon, struct dkim_sink *sink,
                          void (*fork)(void *arg));
void dkim_canon_body_put(struct dkim_canon_body *b, struct slice chunk);
void dkim_canon_body_end(struct dkim_canon_body *b); /* flushes the sink */

#endif
