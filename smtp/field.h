/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.h - header fields: the only reader of header sections, and a writer for our own fields.
 *
 * Pure.  Reading: one state machine, header_line_put(), decides what a line of the section is.  It has two callers:
 * header_next() for a section in memory (header firewall, own hops, author, Message-ID, DKIM), and
 * header_section_put() for a section still being received (line.c).  So all code sees the same fields and the same end
 * of the section.  The text is canonical (line.h): each line ends with CRLF and has no other CR or LF.
 * Writing: a peer's text cannot break out of its field, because no CR, LF, NUL or other control reaches the field.
 *
 * RFC     5322 2.2, 2.2.3 (folding), 2047 2 and 4.2 (encoded words)
 */
#ifndef SMTP_FIELD_H
#define SMTP_FIELD_H

#include "core/buf.h"

/* ---- what a line is ---- */

enum header_line_kind {
    HEADER_LINE_UNKNOWN = 0,  /* undecided: needs more octets */
    HEADER_LINE_FIELD,        /* a name, perhaps blanks, and a colon */
    HEADER_LINE_CONTINUATION, /* begins with a blank */
    HEADER_LINE_MBOX,         /* "From " or ">From " of the mbox format (HDR-11) */
    HEADER_LINE_EMPTY,
    HEADER_LINE_OTHER, /* not a field: the body begins here (HDR-10) */
};

#define HEADER_NAME_KEPT 12 /* octets: longer than each name that the state machine must know */

struct header_line { /* zeroed for each line */
    enum header_line_kind kind;
    int place;       /* field.c */
    size_t name_len; /* octets of the name, odd ones included */
    bool keeps_name; /* fill `name`; without it no line is HEADER_LINE_MBOX */
    unsigned char kept;
    char name[HEADER_NAME_KEPT]; /* the first printable octets of the name */
};

/* Takes the next octets of the line until its kind is known.  Returns the number taken.  The last one is the octet that
 * decided; for a field, the colon. */
size_t header_line_put(struct header_line *l, struct slice s);

/* ---- reading a section in memory ---- */

struct header_field {
    struct slice whole; /* with continuation lines and the last CRLF */
    struct slice name;  /* without the colon and blanks before it */
    struct slice value; /* after the colon, with folds, without the last CRLF */
};

/* Skips leading "From " and ">From " lines of the mbox format (HDR-11).  They are not fields and end nothing. */
void header_skip_mbox(struct slice *rest);

/* Takes the next field from *rest.  False at the end of the section.  *rest then begins at the empty line or at
 * the first line that is not a field (HDR-10), or *rest is empty (HDR-09). */
bool header_next(struct slice *rest, struct header_field *out);

/*
 * Could any mail reader see this name?  Ignores case, and octets that are not printable ASCII, because some readers
 * drop them.  header_name_starts(): could the name begin with `want`?
 */
bool header_name_is(struct slice name, struct slice want);
bool header_name_starts(struct slice name, struct slice want);

/* Finds the only field of this name.  False: the section has none, or several. */
bool header_only(struct slice head, struct slice name, struct header_field *out) MUST_USE;

/* ---- reading a section while it is received ---- */

struct header_section { /* zeroed at first */
    bool ended;
    uint64_t octets;   /* so far; of an ended section: with the empty line, or up to the first line that is
                          not a field (HDR-10) */
    unsigned received; /* Received fields */
    bool eight_bit;    /* a line of the section has an octet above 127 */
    /* the line being received */
    struct header_line line;
    uint64_t line_octets;
    bool line_eight_bit;
    bool any_field; /* a continuation line is valid now, an mbox line is not */
};

/* Takes the next octets of the message, in pieces of any size.  Does nothing once the section has ended. */
void header_section_put(struct header_section *h, struct slice s);

/* ---- writing ---- */

/*
 * Writes "Name: value" with its CRLF.  Folds at 78 octets where possible; no line exceeds 998.  Controls and folds in
 * the value become one blank; octets that are not UTF-8 become `?`.  Encodes non-ASCII text by RFC 2047 unless `utf8`.
 * Does not check the name: it must be one of ours.
 */
void field_put(struct buf *out, struct slice name, struct slice value, bool utf8);

#endif
