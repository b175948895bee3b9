/*
 * signature.h - one DKIM-Signature field, read and checked (RFC 6376 3.5, 6.1.1).
 *
 * Pure.  Everything that can be judged without a key is judged here.
 */
#ifndef POLICY_DKIM_SIGNATURE_H
#define POLICY_DKIM_SIGNATURE_H

#include "core/arena.h"
#include "policy/dkim/dkim.h"

#define DKIM_HASH_LEN 32 /* SHA-256, the only one */

struct dkim_signature {
    enum dkim_algorithm algorithm;
    enum dkim_canon header_canon, body_canon;
    struct slice domain;         /* A-labels, lower case, in the arena */
    struct slice selector;       /* likewise */
    struct slice key_name;       /* selector._domainkey.domain, in the arena */
    struct slice identity;       /* as in struct dkim_verdict, in the arena */
    bool identity_is_domain;     /* the domain of i= is d= itself, or i= is absent */
    struct slice names;          /* h= as it stands in the field: dkim_signature_name reads it */
    struct slice body_hash;      /* DKIM_HASH_LEN octets if the signature is read without an error; in the arena */
    struct slice signature;      /* octets of b=, in the arena */
    struct slice signature_text; /* b= as it stands in the field, with white space: left out of the hash */
    bool has_length;
    uint64_t length; /* l= */
    int64_t signed_s;
    int64_t expires_s;
};

struct dkim_signature_rules {
    int64_t now_s;
    bool utf8;
    struct arena *arena;
};

/*
 * Reads the value of a field (what follows the colon).  Slices point into it or into the arena.  DKIM_VERIFIED: the
 * signature is worth its key.  Otherwise what was legal is set all the same, for the report.
 */
enum dkim_reason dkim_signature_read(struct slice value, const struct dkim_signature_rules *rules,
                                     struct dkim_signature *out) MUST_USE;

/* The next name of h=, trimmed; false at the end.  Start with rest = names, *done = false. */
bool dkim_signature_name(struct slice *rest, bool *done, struct slice *name) MUST_USE;

#endif
