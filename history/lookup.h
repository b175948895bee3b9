/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.h - what a record can be found by: 8-octet keyed hashes of a kind and a value.
 *
 * The hash is SipHash-2-4 under a key that is an HMAC of state.hash_key, so a stolen file does not tell who wrote to
 * whom by guessing addresses.  A hash is a hint: the reading side always compares the record itself.
 *
 * Values are made comparable first: ASCII lower case, addresses without their ports, networks /24 or /48.
 */
#ifndef HISTORY_LOOKUP_H
#define HISTORY_LOOKUP_H

#include "history/record.h"

enum lookup_kind {
    LOOKUP_ENDING =
        0, /* the last RECORD_ID_ENDING_MIN characters of the ULID: 30 bits find a whole id, too */
    LOOKUP_CLIENT,
    LOOKUP_NETWORK,
    LOOKUP_SENDER,
    LOOKUP_AUTHOR,
    LOOKUP_RECIPIENT, /* the address in force, and the original one */
    LOOKUP_DOMAIN,    /* of sender, author and recipients */
    LOOKUP_MESSAGE_ID,
    LOOKUP_KIND_COUNT,
};

struct lookup_key {
    uint64_t sip[2];
};

/* The hashes of one row, each once. */
#define LOOKUP_SET_MAX 2048 /* more recipients than this in one row are found by their other keys only */

struct lookup_set {
    size_t len;
    uint64_t hash[LOOKUP_SET_MAX];
};

void lookup_key_init(struct lookup_key *key, struct slice hash_key);
uint64_t lookup_hash(const struct lookup_key *key, enum lookup_kind kind, struct slice value);
uint64_t lookup_hash_ip(const struct lookup_key *key, enum lookup_kind kind, const struct addr *ip);

/* Adds what the record can be found by.  It is called before the record is reduced by hash, after it by domain. */
void lookup_add_record(struct lookup_set *set, const struct lookup_key *key, const struct record *r);

/* The domain of an address; empty without an `@`. */
struct slice lookup_domain(struct slice address);

#endif
