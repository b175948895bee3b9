/*
 * key.h - a key record (RFC 6376 3.6.1), read and checked.
 *
 * Pure.  The record says whether it may be used; the key itself is read out of DER here too, so that no octet of a
 * peer reaches a decoder of OpenSSL.
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
    bool strict;           /* t=s: the domain of i= must be d= itself */
    enum dkim_reason data; /* DKIM_VERIFIED, or why p= is no key of this type that may be used */
    struct slice modulus;  /* RSA: big-endian, no leading zero */
    struct slice exponent; /* likewise */
    unsigned bits;         /* of the modulus */
    struct slice point;    /* Ed25519: 32 octets */
};

/*
 * Reads a record.  Slices are in the arena.  DKIM_VERIFIED, or why this record is for no signature.  Whether it is for
 * a given one is said by type, strict and data, in this order.
 */
enum dkim_reason dkim_key_read(struct slice record, struct arena *arena, struct dkim_key *out) MUST_USE;

#endif
