/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key.h - parses and checks a key record (RFC 6376 3.6.1), down to the numbers of the key.
 *
 * Pure.  Our own DER reader extracts modulus and exponent, so no octet of a peer reaches a decoder of OpenSSL.
 */
#ifndef POLICY_DKIM_KEY_H
#define POLICY_DKIM_KEY_H

#include "core/arena.h"
#include "policy/dkim/dkim.h"

enum dkim_key_type {
    DKIM_KEY_RSA = 0,
    DKIM_KEY_ED25519,
};

struct dkim_key {
    enum dkim_key_type type;
    bool testing;          /* t=y */
    bool strict;           /* t=s: the domain of i= must equal d= */
    enum dkim_reason data; /* DKIM_VERIFIED, or why p= is not a usable key of this type */
    struct slice modulus;  /* RSA: big-endian, no leading zero */
    struct slice exponent; /* likewise */
    unsigned bits;         /* of the modulus */
    struct slice point;    /* Ed25519: 32 octets */
};

/*
 * Reads a record; slices in *out are in the arena.  Returns DKIM_VERIFIED, or the reason why the record serves no
 * signature at all.  To decide about a given signature, check type, strict and data, in this order.
 */
enum dkim_reason dkim_key_read(struct slice record, struct arena *arena, struct dkim_key *out) MUST_USE;

#endif
