/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.h - the only code that decides what ends a line, and the only one that removes leading dots (S6).
 *
 * Commands: line_next() takes one line that ends with CRLF out of a buffer.  Message octets: body_reader_feed()
 * turns the octets of DATA or BDAT into canonical content: every line ends with CRLF, the dots of DATA are
 * removed.  All later code sees only these lines: header firewall, facts, spool, writer.
 *
 *      CR* CR LF, LF    end a line and become CRLF         (all but CRLF counts as bare)
 *      any other CR     becomes a blank: it begins, ends or empties no field
 *      CRLF.CRLF        ends DATA (RFC 5321 4.1.1.4); nothing else, in any mode (DAT-08)
 *
 *      states of DATA:   BOL --'.'--> DOT --CR--> DOT_CR --LF--> end of data
 *                         ^ CRLF       |other (the dot is dropped)
 *                       TEXT --CR--> CR --LF--> BOL
 */
#ifndef SMTP_LINE_H
#define SMTP_LINE_H

#include "smtp/field.h"

enum line_status {
    LINE_MORE = 0,  /* no complete line yet */
    LINE_READY,     /* *line is it, without CRLF */
    LINE_TOO_LONG,  /* over the maximum: drop *used octets, and then the rest up to CRLF */
    LINE_BARE_LF,   /* a bare LF was found first (CMD-17) */
    LINE_BAD_OCTET, /* complete, but holds NUL or a bare CR (CMD-18, -19) */
};

#define LINE_MAX_OCTETS 2048 /* of a command line, CRLF included (CMD-15) */

/* Takes one command line from the front of `in`; *used is the number of octets taken.  The caller keeps *skipping
 * between calls, false at first.  It is true while the rest of a too long line is expected; then the call drops
 * octets up to CRLF and returns LINE_MORE or the status of the next line. */
enum line_status line_next(struct slice in, bool *skipping, struct slice *line, size_t *used) MUST_USE;

/* ---- message content ---- */

enum body_mode { BODY_DATA = 0, BODY_BDAT };

struct body_counts { /* for refusals, points and statistics */
    uint64_t taken;  /* of the client's octets */
    uint64_t octets; /* given out, canonical */
    uint64_t bare_lf, bare_cr, nul;
    uint64_t smuggling; /* dot lines with a wrong end nearby: DAT-10..23; counted in DATA only */
    bool eight_bit;     /* any octet above 127 */
};

struct body_reader {
    enum body_mode mode;
    bool normalize; /* repair bare CR and LF; else the first one refuses the content: body_reader_refused() */
    int state;
    unsigned crs;     /* CRs held back */
    bool behind_crlf; /* the line of the held-back dot began after CRLF */
    bool lenient_end; /* refused content of DATA ended in a way that only a lenient reader accepts */
    struct body_counts n;
    struct header_section head; /* as it passes */
    bool line_begun;            /* octets of a line were put, but not its CRLF */
    bool full;                  /* put() returned false: do not call it again */
};

/* Receives canonical octets.  False: not taken (budget); the reader goes on without calling it again. */
typedef bool (*body_put)(void *arg, const void *data, size_t len);

void body_reader_init(struct body_reader *r, enum body_mode mode, bool normalize);

/*
 * Takes octets of the message.  DATA: CRLF.CRLF sets *ended, and *used stops after it; the next command follows.
 * BDAT: takes all octets; the caller counts chunks and calls body_reader_finish() at LAST.  Puts only CRLF line ends,
 * for any input.  Puts long runs of clean lines in one piece, because every octet of a message takes this path.
 *
 * Without `normalize` it puts nothing after the first bare CR or LF.  In DATA a lone dot on a line then ends the
 * content, with any line ends around it (`lenient_end`, DAT-26), because a client that ends its lines with LF never
 * sends the real end.  The caller must refuse the message, close, and read no command after such an end.
 */
void body_reader_feed(struct body_reader *r, struct slice in, body_put put, void *arg, size_t *used,
                      bool *ended);

/* Did a bare CR or LF make the reader refuse the content? */
bool body_reader_refused(const struct body_reader *r);

/* Call at BDAT LAST: ends the last line with CRLF if it has none (BDT-06).  CRs at the very end are part of it. */
void body_reader_finish(struct body_reader *r, body_put put, void *arg);

#endif
