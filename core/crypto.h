/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto.h - random numbers, SHA-256, session ids.  The only place beside tls/ that sees OpenSSL.
 */
#ifndef CORE_CRYPTO_H
#define CORE_CRYPTO_H

#include "core/slice.h"

#define SHA256_LEN 32
#define ULID_LEN 26

/* Cryptographically strong.  Buffered, so most calls need no system call.  A forked child must call
 * crypto_after_fork(), which drops the buffer.  Aborts if the system has no randomness. */
void random_bytes(void *out, size_t len);
uint64_t random_u64(void);
uint64_t random_below(uint64_t limit); /* uniform, limit > 0 */
void crypto_after_fork(void);

struct sha256; /* a running hash */
struct sha256 *sha256_new(void);
void sha256_update(struct sha256 *h, const void *data, size_t len);
void sha256_final(struct sha256 *h, uint8_t out[SHA256_LEN]); /* frees h */
void sha256_free(struct sha256 *h);                           /* without a result; NULL is allowed */
void sha256_of(const void *data, size_t len, uint8_t out[SHA256_LEN]);

/* HMAC-SHA256 (RFC 2104): without the key, an attacker cannot test guessed texts against it. */
void hmac_sha256(struct slice key, struct slice text, uint8_t out[SHA256_LEN]);

/* Compares secrets (tokens) in time that does not depend on where they differ. */
bool secret_eq(struct slice a, struct slice b);

/* A ULID: 48 bits of wall-clock milliseconds, 80 random bits, 26 characters, NUL-terminated. */
void ulid_make(char out[ULID_LEN + 1]);

#endif
