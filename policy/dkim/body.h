/*
 * body.h - all hashes of one body: one running SHA-256 for each canonicalisation, read where an l= ends.
 *
 * The hash of a body up to l= is the hash of the first octets of its canonical form, so one pass serves every value of
 * l=.  Nothing is made for a canonicalisation that no signature uses, and what no signature waits for any more is not
 * hashed.
 */
#ifndef POLICY_DKIM_BODY_H
#define POLICY_DKIM_BODY_H

#include "policy/dkim/signature.h"

/* One hash that signatures wait for.  Belongs to the bodies. */
struct dkim_body_hash {
    bool has_length;
    uint64_t length; /* l=: canonical octets that are hashed */
    bool reached;    /* after dkim_bodies_end: the body has that many */
    bool longer;     /* after dkim_bodies_end: it has more */
    uint8_t hash[DKIM_HASH_LEN];
};

struct dkim_body; /* one canonicalisation */

struct dkim_bodies {
    struct dkim_body *of[DKIM_CANON_COUNT]; /* NULL: nobody uses it */
};

void dkim_bodies_init(struct dkim_bodies *b);
void dkim_bodies_fini(struct dkim_bodies *b);

/*
 * A signature needs the hash of the body in this form up to this length; before the first dkim_bodies_put.  Equal
 * wishes share one.  At most DKIM_FIELDS_MAX wishes.
 */
struct dkim_body_hash *dkim_bodies_want(struct dkim_bodies *b, const struct dkim_signature *sig);

/* It does not need it any more.  Once for each want. */
void dkim_bodies_leave(struct dkim_bodies *b, const struct dkim_signature *sig);

bool dkim_bodies_wanted(const struct dkim_bodies *b); /* is any needed? */
void dkim_bodies_put(struct dkim_bodies *b, struct slice chunk);
void dkim_bodies_end(struct dkim_bodies *b);

#endif
