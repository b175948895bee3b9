/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.h - stores the fields of one message and finds them by name, from the bottom up (RFC 6376 5.4.2).
 *
 * Owns copies of the fields, up to a maximum.  The first verification builds an index by name, in steps.  After that,
 * picking a field costs one table lookup, however many fields and names a peer sends.
 */
#ifndef POLICY_DKIM_HEADER_H
#define POLICY_DKIM_HEADER_H

#include "core/arena.h"
#include "core/table.h"

#define DKIM_INDEX_STEP 512 /* fields: about 50 us */

struct dkim_field {
    struct dkim_field *below; /* next field of the message */
    struct dkim_field *above; /* next field of the same name, upwards; the index sets it */
    size_t name_len;          /* octets before the colon */
    struct slice text;        /* name, colon and value; without the final CRLF */
};

struct dkim_header {
    struct arena arena;
    struct dkim_field *bottom; /* the last field */
    struct dkim_field *next;   /* the first field that is not in the index yet */
    struct table names;        /* of struct name (header.c) */
    unsigned round;            /* number of the current selection */
    bool full;                 /* a field is missing: the arena is full */
};

void dkim_header_init(struct dkim_header *h, size_t max_bytes);
void dkim_header_fini(struct dkim_header *h); /* idempotent */

/* Copies the next field; returns NULL if it is none (smtp/field.h), or if the arena is full (then sets h->full). */
const struct dkim_field *dkim_header_put(struct dkim_header *h, struct slice field);

/* The name without white space before the colon, and the text after the colon. */
struct slice dkim_field_name(const struct dkim_field *f);
struct slice dkim_field_value(const struct dkim_field *f);

/* Adds at most DKIM_INDEX_STEP fields to the index; returns true when it is complete. */
bool dkim_header_index(struct dkim_header *h) MUST_USE;

/*
 * Starts a selection.  In it, each dkim_header_pick of a name returns its next field, from the bottom up, and NULL when
 * none is left.  The index must be complete.
 */
void dkim_header_select(struct dkim_header *h);
const struct dkim_field *dkim_header_pick(struct dkim_header *h, struct slice name);

#endif
