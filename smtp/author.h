/* SPDX-License-Identifier: Apache-2.0 */
/*
 * author.h - the addresses in a message's From fields.
 *
 * Pure.  Reads only the header section, with the field reader of smtp/field.h.  Parses From by RFC 5322: comments,
 * folds, quoted strings, groups, routes and other obsolete syntax.  Also takes common illegal syntax if all mail
 * readers agree about the domain.  Reports an address as unreadable if it does not parse or mail readers would
 * disagree about it.  A rule must not treat such an address as an identity.
 *
 *     author_begin(&r, head);
 *     while (author_next(&r, &a)) ...      addresses from the top
 *     r.fields                             From fields, after author_next() returned false
 *     author_end(&r);
 *
 * RFC     5322 3.4, 3.6.2, 4.4; 6532; 6854 (groups in From); 2047 5 (no encoded word in an address)
 */
#ifndef SMTP_AUTHOR_H
#define SMTP_AUTHOR_H

#include "core/buf.h"

#define AUTHOR_PART_MAX 1000 /* octets of a local part, of a domain */

struct author {    /* valid until the next author_next or author_end */
    bool readable; /* else local and domain are empty */
    struct slice
        name; /* display name, or else the first comment; unquoted, unfolded, encoded words as they are */
    struct slice local; /* unquoted */
    struct slice
        domain; /* without blanks, comments and a final dot: a name, perhaps with UTF-8, or "[literal]" */
};

struct author_reader {
    struct slice head; /* rest of the section */
    struct slice body; /* rest of the From field */
    unsigned fields;   /* From fields so far */
    struct buf name, local, domain;
};

void author_begin(struct author_reader *r, struct slice head);
/* Reads the value of one From field instead of a section; r->fields stays 0. */
void author_begin_field(struct author_reader *r, struct slice value);
bool author_next(struct author_reader *r, struct author *out) MUST_USE;
void author_end(struct author_reader *r);

/* Finds the author if there is exactly one and it is readable.  The domain is in A-labels if it is a name. */
bool author_only(struct slice head, struct buf *local, struct buf *domain) MUST_USE;

#endif
