/* SPDX-License-Identifier: Apache-2.0 */
/*
 * author.h - who a message says it is from: the addresses of its From fields.
 *
 * Pure.  Reads the header section alone, by the field reader of smtp/field.h, and each From field as RFC 5322
 * says: comments, folds, quoted strings, groups, routes and the other obsolete syntax; and what is common
 * though illegal, where all readers agree about the domain.  An address that cannot be read, or that readers
 * would read differently, is given as such: a rule must not take it for somebody.
 *
 *     author_begin(&r, head);
 *     while (author_next(&r, &a)) ...      addresses from the top
 *     r.fields                             From fields, once author_next has said false
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
        domain; /* as written but without blanks, comments and a final dot: a name, perhaps with UTF-8, or "[literal]" */
};

struct author_reader {
    struct slice head; /* what is left of the section */
    struct slice body; /* what is left of the From field */
    unsigned fields;   /* From fields so far */
    struct buf name, local, domain;
};

void author_begin(struct author_reader *r, struct slice head);
/* The value of one From field; r->fields stays 0. */
void author_begin_field(struct author_reader *r, struct slice value);
bool author_next(struct author_reader *r, struct author *out) MUST_USE;
void author_end(struct author_reader *r);

/* The author, if there is only one, and one that can be read: its domain in A-labels where it is a name. */
bool author_only(struct slice head, struct buf *local, struct buf *domain) MUST_USE;

#endif
