/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto.c - RSA and Ed25519 verification and a readable SHA-256, on OpenSSL's EVP.
 *
 * Each verification makes its key anew from the numbers that key.c read.  EVP_PKEY_fromdata costs 3 us and the
 * Montgomery form 5 us, where d2i_PUBKEY costs 120 to 300 us (OpenSSL 3.0), so a cache of keys would not pay.
 *
 * Errors     Without memory for a hash the process aborts (core/base.h).  A failed verification and one that this
 *            system cannot do are different results.
 */
#include "policy/dkim/crypto.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#define MODULUS_OCTETS_MAX (DKIM_RSA_BITS_MAX / 8)

static const EVP_MD *sha256(void)
{
    static EVP_MD *digest; /* fetched once, as in core/crypto.c: a fetch costs more than hashing a field */

    if (digest == NULL) {
        digest = EVP_MD_fetch(NULL, "SHA256", NULL);
        BUG_ON(digest == NULL);
    }
    return digest;
}

/* OSSL_PARAM wants numbers in host byte order; DER has the most significant octet first. */
static OSSL_PARAM number_param(const char *name, struct slice number, unsigned char mem[MODULUS_OCTETS_MAX])
{
    BUG_ON(number.len > MODULUS_OCTETS_MAX);
    for (size_t i = 0; i < number.len; i++) {
        size_t at = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? i : number.len - 1 - i;

        mem[at] = (unsigned char)number.ptr[i];
    }
    return OSSL_PARAM_construct_BN(name, mem, number.len);
}

/* Returns NULL if OpenSSL cannot make the key. */
static EVP_PKEY *rsa_key(const struct dkim_key *key)
{
    unsigned char modulus[MODULUS_OCTETS_MAX], exponent[MODULUS_OCTETS_MAX];
    OSSL_PARAM params[] = {
        number_param(OSSL_PKEY_PARAM_RSA_N, key->modulus, modulus),
        number_param(OSSL_PKEY_PARAM_RSA_E, key->exponent, exponent),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *pkey = NULL;

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static enum dkim_crypto verify_rsa(const struct dkim_key *key, const uint8_t *hash, struct slice signature)
{
    EVP_PKEY *pkey = rsa_key(key);
    EVP_PKEY_CTX *ctx = pkey == NULL ? NULL : EVP_PKEY_CTX_new(pkey, NULL);
    enum dkim_crypto outcome = DKIM_CRYPTO_UNABLE;

    if (ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
        EVP_PKEY_CTX_set_signature_md(ctx, sha256()) == 1) {
        const unsigned char *octets = (const unsigned char *)signature.ptr;
        bool good = EVP_PKEY_verify(ctx, octets, signature.len, hash, DKIM_HASH_LEN) == 1;

        outcome = good ? DKIM_CRYPTO_GOOD : DKIM_CRYPTO_BAD;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return outcome;
}

static enum dkim_crypto verify_ed25519(const struct dkim_key *key, const uint8_t *hash,
                                       struct slice signature)
{
    const unsigned char *point = (const unsigned char *)key->point.ptr;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point, key->point.len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    enum dkim_crypto outcome = DKIM_CRYPTO_UNABLE;

    if (pkey != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1) {
        const unsigned char *octets = (const unsigned char *)signature.ptr;
        bool good = EVP_DigestVerify(ctx, octets, signature.len, hash, DKIM_HASH_LEN) == 1;

        outcome = good ? DKIM_CRYPTO_GOOD : DKIM_CRYPTO_BAD;
    }
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return outcome;
}

enum dkim_crypto dkim_crypto_verify(const struct dkim_key *key, const uint8_t hash[DKIM_HASH_LEN],
                                    struct slice signature)
{
    enum dkim_crypto outcome =
        key->type == DKIM_KEY_RSA ? verify_rsa(key, hash, signature) : verify_ed25519(key, hash, signature);

    ERR_clear_error();
    return outcome;
}

struct dkim_hash {
    EVP_MD_CTX *running;
    EVP_MD_CTX *copy; /* scratch for dkim_hash_read */
};

struct dkim_hash *dkim_hash_new(void)
{
    struct dkim_hash *h = xcalloc(1, sizeof(*h));

    h->running = EVP_MD_CTX_new();
    h->copy = EVP_MD_CTX_new();
    BUG_ON(h->running == NULL || h->copy == NULL || EVP_DigestInit_ex(h->running, sha256(), NULL) != 1);
    return h;
}

void dkim_hash_free(struct dkim_hash *h)
{
    if (h) {
        EVP_MD_CTX_free(h->running);
        EVP_MD_CTX_free(h->copy);
        free(h);
    }
}

void dkim_hash_put(struct dkim_hash *h, const void *data, size_t len)
{
    BUG_ON(EVP_DigestUpdate(h->running, data, len) != 1);
}

void dkim_hash_read(const struct dkim_hash *h, uint8_t out[DKIM_HASH_LEN])
{
    BUG_ON(EVP_MD_CTX_copy_ex(h->copy, h->running) != 1 || EVP_DigestFinal_ex(h->copy, out, NULL) != 1);
}
