/*
 * header.h - the fields of one message, found from the bottom by their names (RFC 6376 5.4.2).
 *
 * Owns copies of the fields, with a maximum.  An index by name is made in steps when the first signature needs it:
 * picking a field then costs one look into a hash table, however many fields and names a peer sends.
 */
#ifndef POLICY_DKIM_HEADER_H
#define POLICY_DKIM_HEADER_H

#include "core/arena.h"
#include "core/table.h"

#define DKIM_INDEX_STEP 512 /* fields: about 50 us */

struct dkim_field {
    struct dkim_field *below; /* the next one of the message */
    struct dkim_field *above; /* the next one of the same name, upwards; set by the index */
    size_t name_len;          /* octets before the colon */
    struct slice text;        /* name, colon and value; without the final CRLF */
};

struct dkim_header {
    struct arena arena;
    struct dkim_field *bottom; /* the last one that was put */
    struct dkim_field *next;   /* the first one that is not in the index */
    struct table names;
    unsigned round; /* counts the selections: see struct name */
    bool full;      /* the maximum was reached: a field is missing */
};

void dkim_header_init(struct dkim_header *h, size_t max_bytes);
void dkim_header_fini(struct dkim_header *h); /* idempotent */

/* Copies one field, from the top; NULL if it has no colon or there is no room. */
const struct dkim_field *dkim_header_put(struct dkim_header *h, struct slice field);

/* The name, without white space before the colon. */
struct slice dkim_field_name(const struct dkim_field *f);
struct slice dkim_field_value(const struct dkim_field *f);

/* Puts some more fields into the index; true when all are there. */
bool dkim_header_index(struct dkim_header *h) MUST_USE;

/*
 * A selection: each call for a name gives its next field, from the bottom up; NULL when none is left.  The index must
 * be complete.
 */
void dkim_header_select(struct dkim_header *h);
const struct dkim_field *dkim_header_pick(struct dkim_header *h, struct slice name);

#endif
