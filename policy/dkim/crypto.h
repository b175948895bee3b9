/*
 * crypto.h - the two operations of DKIM that need a library: verify one signature, and a hash that can be read on its
 * way.  The only file of the folder that sees OpenSSL is crypto.c.
 */
#ifndef POLICY_DKIM_CRYPTO_H
#define POLICY_DKIM_CRYPTO_H

#include "policy/dkim/key.h"
#include "policy/dkim/signature.h"

enum dkim_crypto {
    DKIM_CRYPTO_GOOD = 0,
    DKIM_CRYPTO_BAD,    /* the signature is not one of this hash by this key */
    DKIM_CRYPTO_UNABLE, /* no memory, or an algorithm that this system lacks: says nothing about the signature */
};

/*
 * Does the key verify this signature of this SHA-256?  RSA: PKCS #1 v1.5 (RFC 6376 3.3.2).  Ed25519 signs the hash
 * itself as its message (RFC 8463 3).  The key passed dkim_key_read.  Leaves no error in OpenSSL's queue, which TLS
 * reads too.
 */
enum dkim_crypto dkim_crypto_verify(const struct dkim_key *key, const uint8_t hash[DKIM_HASH_LEN],
                                    struct slice signature) MUST_USE;

struct dkim_hash; /* a running SHA-256 */

struct dkim_hash *dkim_hash_new(void) MUST_USE;
void dkim_hash_free(struct dkim_hash *h); /* NULL is allowed */
void dkim_hash_put(struct dkim_hash *h, const void *data, size_t len);
void dkim_hash_read(const struct dkim_hash *h, uint8_t out[DKIM_HASH_LEN]); /* of what was put so far; it goes on */

#endif
