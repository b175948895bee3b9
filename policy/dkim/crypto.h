/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto.h - the two operations of DKIM that need OpenSSL: verifying one signature, and a hash that can be read while
 * it runs.  Only crypto.c sees OpenSSL.
 */
#ifndef POLICY_DKIM_CRYPTO_H
#define POLICY_DKIM_CRYPTO_H

#include "policy/dkim/key.h"
#include "policy/dkim/signature.h"

enum dkim_crypto {
    DKIM_CRYPTO_GOOD = 0,
    DKIM_CRYPTO_BAD,    /* this key did not sign this hash */
    DKIM_CRYPTO_UNABLE, /* out of memory, or OpenSSL lacks the algorithm; the signature may be good */
};

/*
 * Does the key verify this signature of this SHA-256?  RSA: PKCS #1 v1.5 (RFC 6376 3.3.2).  Ed25519 signs the hash
 * as its message (RFC 8463 3).  The key must come from dkim_key_read with data == DKIM_VERIFIED.  Clears OpenSSL's
 * error queue, because the TLS code reads it too.
 */
enum dkim_crypto dkim_crypto_verify(const struct dkim_key *key, const uint8_t hash[DKIM_HASH_LEN],
                                    struct slice signature) MUST_USE;

struct dkim_hash; /* a running SHA-256 */

struct dkim_hash *dkim_hash_new(void) MUST_USE;
void dkim_hash_free(struct dkim_hash *h); /* NULL is allowed */
void dkim_hash_put(struct dkim_hash *h, const void *data, size_t len);

/* The hash of everything put so far; it goes on. */
void dkim_hash_read(const struct dkim_hash *h, uint8_t out[DKIM_HASH_LEN]);

#endif
