/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature.h - parses and checks one DKIM-Signature field (RFC 6376 3.5, 6.1.1).
 *
 * Pure.  Applies every check that needs no key, so that a broken signature costs no DNS lookup.
 */
#ifndef POLICY_DKIM_SIGNATURE_H
#define POLICY_DKIM_SIGNATURE_H

#include "core/arena.h"
#include "policy/dkim/dkim.h"

#define DKIM_HASH_LEN 32 /* SHA-256, the only one */

struct dkim_signature {
    enum dkim_algorithm algorithm;
    enum dkim_canon header_canon, body_canon;
    struct slice domain;     /* A-labels, lower case, in the arena */
    struct slice selector;   /* likewise */
    struct slice key_name;   /* selector._domainkey.domain, in the arena */
    struct slice identity;   /* as in struct dkim_verdict, in the arena */
    bool identity_is_domain; /* the domain of i= equals d=, or i= is absent */
    struct slice names;      /* h= as written in the field; dkim_signature_name splits it */
    struct slice body_hash; /* bh= decoded, in the arena; DKIM_HASH_LEN octets in a signature without error */
    struct slice signature; /* b= decoded, in the arena */
    struct slice signature_text; /* b= as written, with the white space around it: the header hash omits it */
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
 * Reads the value of a field (the text after the colon).  Slices in *out point into it or into the arena.  Returns
 * DKIM_VERIFIED if the key should be looked up, else the reason why not; *out then still has the legal parts, for the
 * report.
 */
enum dkim_reason dkim_signature_read(struct slice value, const struct dkim_signature_rules *rules,
                                     struct dkim_signature *out) MUST_USE;

/* Takes the next name of h=, trimmed; returns false at the end.  Start with *rest = names, *done = false. */
bool dkim_signature_name(struct slice *rest, bool *done, struct slice *name) MUST_USE;

#endif
