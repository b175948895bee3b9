/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_dkim_key.c - any key record: read without a fault; a key that is accepted is within its limits, OpenSSL can make
 * it, and OpenSSL's own decoder reads the same numbers.
 *
 * The input is a record.  If it begins with an octet below 4, the rest are the octets of p=, so that DER is reached
 * without guessing base64: 0 and 1 RSA, 2 and 3 Ed25519.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "policy/dkim/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OCTETS_MAX = 4096 };

static void put_record(struct buf *out, const uint8_t *data, size_t size)
{
    static unsigned char text[OCTETS_MAX * 2];

    if (size == 0 || data[0] >= 4) {
        buf_put(out, data, size);
        return;
    }
    buf_put_str(out, data[0] < 2 ? "v=DKIM1; p=" : "v=DKIM1; k=ed25519; p=");
    size = min_size(size - 1, OCTETS_MAX);
    buf_put(out, text, (size_t)EVP_EncodeBlock(text, data + 1, (int)size));
}

static void must_equal(EVP_PKEY *key, const char *name, struct slice number)
{
    BIGNUM *theirs = NULL, *ours = BN_bin2bn((const unsigned char *)number.ptr, (int)number.len, NULL);

    BUG_ON(EVP_PKEY_get_bn_param(key, name, &theirs) != 1 || BN_cmp(theirs, ours) != 0);
    BN_free(theirs);
    BN_free(ours);
}

/* DER of ours is DER of OpenSSL: what we accept, it accepts, and reads alike. */
static void must_agree(const uint8_t *der, size_t len, const struct dkim_key *key)
{
    const unsigned char *p = der;
    EVP_PKEY *theirs = d2i_PUBKEY(NULL, &p, (long)len);

    if (theirs == NULL) {
        p = der;
        theirs = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)len);
    }
    BUG_ON(theirs == NULL || p != der + len);
    must_equal(theirs, OSSL_PKEY_PARAM_RSA_N, key->modulus);
    must_equal(theirs, OSSL_PKEY_PARAM_RSA_E, key->exponent);
    EVP_PKEY_free(theirs);
    ERR_clear_error();
}

static void must_be_sound(const struct dkim_key *key)
{
    static const uint8_t hash[DKIM_HASH_LEN] = { 1 };
    char signature[DKIM_RSA_BITS_MAX / 8] = { 1 };
    size_t len = key->type == DKIM_KEY_RSA ? key->modulus.len : 64;

    if (key->type == DKIM_KEY_RSA) {
        BUG_ON(key->bits < DKIM_RSA_BITS_MIN || key->bits > DKIM_RSA_BITS_MAX);
        BUG_ON(key->modulus.len != (key->bits + 7) / 8 || key->exponent.len > 4);
    } else {
        BUG_ON(key->point.len != 32);
    }
    BUG_ON(dkim_crypto_verify(key, hash, slice_of(signature, len)) == DKIM_CRYPTO_UNABLE);
    BUG_ON(ERR_peek_error() != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dkim_key key;
    struct arena arena;
    struct buf record;
    enum dkim_reason reason;

    arena_init(&arena, 64u << 10);
    buf_init(&record, 64u << 10);
    put_record(&record, data, size);
    if (buf_ok(&record)) {
        reason = dkim_key_read(buf_slice(&record), &arena, &key);
        BUG_ON(reason != DKIM_VERIFIED && dkim_reason_result(reason) != DKIM_PERMERROR);
        if (reason == DKIM_VERIFIED && key.data == DKIM_VERIFIED) {
            must_be_sound(&key);
            if (size > 0 && data[0] < 2) {
                must_agree(data + 1, size - 1, &key);
            }
        }
    }
    buf_fini(&record);
    arena_fini(&arena);
    return 0;
}
