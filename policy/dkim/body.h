/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.h - all hashes of one body: one running SHA-256 for each canonicalisation, read wherever an l= ends.
 *
 * The hash up to l= covers the first octets of the same canonical text, so one pass serves every value of l=.  A
 * canonicalisation that no signature uses costs nothing, and hashing stops when no signature waits for it.
 */
#ifndef POLICY_DKIM_BODY_H
#define POLICY_DKIM_BODY_H

#include "policy/dkim/signature.h"

/* One hash that signatures wait for; owned by struct dkim_bodies. */
struct dkim_body_hash {
    bool has_length;
    uint64_t length; /* l=: how many canonical octets to hash */
    bool reached;    /* after dkim_bodies_end: the body has at least that many */
    bool longer;     /* after dkim_bodies_end: the body has more */
    uint8_t hash[DKIM_HASH_LEN];
};

struct dkim_body; /* one canonicalisation */

struct dkim_bodies {
    struct dkim_body *of[DKIM_CANON_COUNT]; /* NULL: unused */
};

void dkim_bodies_init(struct dkim_bodies *b);
void dkim_bodies_fini(struct dkim_bodies *b);

/*
 * Registers a signature before the first dkim_bodies_put.  The hash lives as long as the bodies; signatures with equal
 * c= and l= share one.  Call it at most DKIM_FIELDS_MAX times.
 */
struct dkim_body_hash *dkim_bodies_want(struct dkim_bodies *b, const struct dkim_signature *sig);

/* The signature is settled and no longer waits.  Call it once for each dkim_bodies_want. */
void dkim_bodies_leave(struct dkim_bodies *b, const struct dkim_signature *sig);

bool dkim_bodies_wanted(const struct dkim_bodies *b); /* does any signature wait? */
void dkim_bodies_put(struct dkim_bodies *b, struct slice chunk);
void dkim_bodies_end(struct dkim_bodies *b);

#endif
