/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.h - the only code that decides what ends a line, and the only one that removes leading dots (S6).
 *
 * Commands: line_next() takes one CRLF-ended line out of a buffer.  Message octets: body_reader_feed() takes
 * what DATA or BDAT brought and gives canonical content: every line ended by CRLF, dots of DATA
 * removed.  Everything behind it sees these lines and no others: header firewall, facts, spool, writer.
 *
 *      CR* CR LF, LF    end a line and come out as CRLF    (all but CRLF counts as bare)
 *      any other CR     comes out as a blank: it begins, ends or empties no field
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
    LINE_TOO_LONG,  /* over the maximum: *used drops what is there; the rest up to CRLF must be dropped too */
    LINE_BARE_LF,   /* a bare LF was found first (CMD-17) */
    LINE_BAD_OCTET, /* complete, but holds NUL or a bare CR (CMD-18, -19) */
};

#define LINE_MAX_OCTETS 2048 /* of a command line, CRLF included (CMD-15) */

/* One command line from the front of `in`; *used says how many octets it took.  `skipping` (owned by the
 * caller, false at first) remembers that the tail of a too long line is still to come: then octets up to
 * CRLF are consumed and LINE_MORE or, behind it, the next line's status is given. */
enum line_status line_next(struct slice in, bool *skipping, struct slice *line, size_t *used) MUST_USE;

/* ---- message content ---- */

enum body_mode { BODY_DATA = 0, BODY_BDAT };

struct body_counts { /* what was met: for refusals, points and statistics */
    uint64_t taken;  /* of the client's octets */
    uint64_t octets; /* given out, canonical */
    uint64_t bare_lf, bare_cr, nul;
    uint64_t smuggling; /* dot lines with a wrong end nearby: DAT-10..23; counted in DATA only */
    bool eight_bit;     /* any octet above 127 */
};

struct body_reader {
    enum body_mode mode;
    bool
        normalize; /* a bare CR or LF is made whole; else the first one refuses the content: body_reader_refused */
    int state;
    unsigned crs;     /* CRs held back */
    bool behind_crlf; /* the line of the dot that is held back began behind CRLF */
    bool lenient_end; /* refused content of DATA has ended, by what only a lenient reader takes for its end */
    struct body_counts n;
    struct header_section head; /* as it passes */
    bool line_begun;            /* octets of a line were given out, not its CRLF */
    bool full;                  /* put said no: nothing more is put */
};

/* Where canonical octets go.  False: not taken (budget); feeding goes on but nothing more is put. */
typedef bool (*body_put)(void *arg, const void *data, size_t len);

void body_reader_init(struct body_reader *r, enum body_mode mode, bool normalize);

/*
 * Takes octets of the message.  DATA: *ended becomes true at CRLF.CRLF and *used stops behind it; what
 * follows is the next command.  BDAT: all octets are taken; the caller counts chunks and calls body_reader_finish
 * at LAST.  Whatever comes in, only CRLF line ends are put.  Large stretches of clean lines are put in one
 * piece: this is the path that every octet takes.
 *
 * Without `normalize` nothing is put from the first bare CR or LF on, and in DATA any dot alone on a line,
 * whatever ends are around it, ends what is left (`lenient_end`, DAT-26): a client that ends its lines with
 * LF never sends the real end.  The caller refuses, closes, and reads no command behind such an end.
 */
void body_reader_feed(struct body_reader *r, struct slice in, body_put put, void *arg, size_t *used,
                      bool *ended);

/* Has a bare CR or LF refused the content? */
bool body_reader_refused(const struct body_reader *r);

/* BDAT LAST: ends the last line with CRLF if it has none (BDT-06); CRs at the very end are part of it. */
void body_reader_finish(struct body_reader *r, body_put put, void *arg);

#endif
