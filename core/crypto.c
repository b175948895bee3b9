/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto.c - random numbers, SHA-256 and session ids over OpenSSL's EVP and RAND.
 *
 * Random octets are drawn 4 KiB at a time, because each call of the generator checks for a fork with a system call.
 * Each process has one such store, an exception to "no globals": sharing it is what makes it cheap.  Octets are wiped
 * as they are handed out.  The digest is fetched once, and a context for short texts is made once, because either
 * costs more than hashing a line.
 *
 * Errors     no randomness or no SHA-256 means a broken system: the process aborts.
 */
#include "core/crypto.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#define STORE_SIZE 4096

static struct {
    uint8_t octets[STORE_SIZE];
    size_t left; /* unused octets, at the end of the array */
} store;

struct sha256 {
    EVP_MD_CTX *ctx;
};

void random_bytes(void *out, size_t len)
{
    uint8_t *to = out;

    if (len > STORE_SIZE / 4) {
        BUG_ON(len > INT_MAX || RAND_bytes(to, (int)len) != 1);
        return;
    }
    if (store.left < len) {
        BUG_ON(RAND_bytes(store.octets, STORE_SIZE) != 1);
        store.left = STORE_SIZE;
    }
    memcpy(to, store.octets + STORE_SIZE - store.left, len);
    memset(store.octets + STORE_SIZE - store.left, 0, len);
    store.left -= len;
}

uint64_t random_u64(void)
{
    uint64_t value;

    random_bytes(&value, sizeof(value));
    return value;
}

uint64_t random_below(uint64_t limit)
{
    uint64_t uneven, value;

    BUG_ON(limit == 0);
    uneven = (0 - limit) % limit; /* 2^64 mod limit: values below it would make low results likelier */
    do {
        value = random_u64();
    } while (value < uneven);
    return value % limit;
}

void crypto_after_fork(void)
{
    OPENSSL_cleanse(&store, sizeof(store));
}

static const EVP_MD *sha256_digest(void)
{
    static EVP_MD *digest;

    if (digest == NULL) {
        digest = EVP_MD_fetch(NULL, "SHA256", NULL);
        BUG_ON(digest == NULL);
    }
    return digest;
}

struct sha256 *sha256_new(void)
{
    struct sha256 *h = xmalloc(sizeof(*h));

    h->ctx = EVP_MD_CTX_new();
    BUG_ON(h->ctx == NULL || EVP_DigestInit_ex(h->ctx, sha256_digest(), NULL) != 1);
    return h;
}

void sha256_update(struct sha256 *h, const void *data, size_t len)
{
    BUG_ON(EVP_DigestUpdate(h->ctx, data, len) != 1);
}

void sha256_final(struct sha256 *h, uint8_t out[SHA256_LEN])
{
    BUG_ON(EVP_DigestFinal_ex(h->ctx, out, NULL) != 1);
    sha256_free(h);
}

void sha256_free(struct sha256 *h)
{
    if (h) {
        EVP_MD_CTX_free(h->ctx);
        free(h);
    }
}

void sha256_of(const void *data, size_t len, uint8_t out[SHA256_LEN])
{
    static _Thread_local EVP_MD_CTX *ctx; /* finished between calls, so it holds no text */

    if (ctx == NULL) {
        ctx = EVP_MD_CTX_new();
        BUG_ON(ctx == NULL);
    }
    BUG_ON(EVP_DigestInit_ex(ctx, sha256_digest(), NULL) != 1 || EVP_DigestUpdate(ctx, data, len) != 1 ||
           EVP_DigestFinal_ex(ctx, out, NULL) != 1);
}

void hmac_sha256(struct slice key, struct slice text, uint8_t out[SHA256_LEN])
{
    unsigned len = SHA256_LEN;

    BUG_ON(key.len > INT_MAX || HMAC(sha256_digest(), key.ptr, (int)key.len, (const unsigned char *)text.ptr,
                                     text.len, out, &len) == NULL);
}

bool secret_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* `count` digits of base 32 (Crockford's alphabet: no I, L, O, U), most significant first. */
static void put_base32(char *out, unsigned count, uint64_t value)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    while (count--) {
        out[count] = digits[value & 31];
        value >>= 5;
    }
}

void ulid_make(char out[ULID_LEN + 1])
{
    struct timespec ts;
    uint64_t random[2];

    clock_gettime(CLOCK_REALTIME, &ts);
    random_bytes(random, sizeof(random));
    put_base32(out, 10, (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000);
    put_base32(out + 10, 8, random[0]);
    put_base32(out + 18, 8, random[1]);
    out[ULID_LEN] = '\0';
}
