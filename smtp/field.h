/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.h - header fields: the one reader of a header section, and a writer of fields of our own.
 *
 * Pure.  Reading: one state machine, header_line_put(), decides what a line of the section is.  It has two callers:
 * header_next() for a section in memory (header firewall, own hops, author, Message-ID, DKIM), and
 * header_section_put() for a section that is still coming in (line.c).  So all see the same fields and the same end of
 * the section.  The text is canonical (line.h): each line ends with CRLF, and there is no other CR or LF.
 * Writing: nothing a peer said gets out of its place; no CR, LF, NUL or other control reaches the field.
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
    HEADER_LINE_MBOX,         /* "From " or ">From " of a mailbox (HDR-11) */
    HEADER_LINE_EMPTY,
    HEADER_LINE_OTHER, /* no field: the body begins with it (HDR-10) */
};

#define HEADER_NAME_KEPT 12 /* octets: longer than each name that the machine must know */

struct header_line { /* zeroed for each line */
    enum header_line_kind kind;
    int place;       /* field.c */
    size_t name_len; /* octets of the name, odd ones included */
    bool keeps_name; /* fill `name`; without it no line is HEADER_LINE_MBOX */
    unsigned char kept;
    char name[HEADER_NAME_KEPT]; /* the first printable octets of the name */
};

/* Takes the next octets of the line until its kind is known.  Returns how many it took; the octet that decides is the
 * last of them (of a field, the colon). */
size_t header_line_put(struct header_line *l, struct slice s);

/* ---- reading a section in memory ---- */

struct header_field {
    struct slice whole; /* with continuation lines and the last CRLF */
    struct slice name;  /* without the colon and blanks before it */
    struct slice value; /* behind the colon, folds included, without the last CRLF */
};

/* Skips "From " and ">From " lines of a mailbox in front (HDR-11): they are no fields, and end nothing. */
void header_skip_mbox(struct slice *rest);

/* Takes the next field from *rest.  False at the end of the section; *rest then begins at the empty line,
 * at the first line that is no field (HDR-10), or is empty (HDR-09). */
bool header_next(struct slice *rest, struct header_field *out);

/*
 * Is the field called so, for any reader?  Case does not matter, nor do octets that are no printable ASCII:
 * there are readers that drop them.  header_name_starts: begins the name so?
 */
bool header_name_is(struct slice name, struct slice want);
bool header_name_starts(struct slice name, struct slice want);

/* The only field of this name; false: there is none, or there are several. */
bool header_only(struct slice head, struct slice name, struct header_field *out) MUST_USE;

/* ---- reading a section that is coming in ---- */

struct header_section { /* zeroed at first */
    bool ended;
    uint64_t
        octets; /* so far; once it has ended: up to and including the empty line, or up to the first line that is
                          no field (HDR-10) */
    unsigned received; /* Received fields */
    bool eight_bit;    /* a line of the section has an octet above 127 */
    /* the line that is coming in */
    struct header_line line;
    uint64_t line_octets;
    bool line_eight_bit;
    bool any_field; /* a continuation continues something, and no mailbox line may follow */
};

/* Takes the next octets of the message, in pieces of any size.  Does nothing once the section has ended. */
void header_section_put(struct header_section *h, struct slice s);

/* ---- writing ---- */

/*
 * "Name: value" with its CRLF, folded at 78 where it can be, never over 998 octets a line.  Controls and folds
 * in the value become one blank, octets that are not UTF-8 `?`; what is not ASCII is RFC 2047-encoded unless
 * `utf8`.  The name is ours.
 */
void field_put(struct buf *out, struct slice name, struct slice value, bool utf8);

#endif
