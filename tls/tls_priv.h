/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_priv.h - shared by the files of tls/; only they include it.
 */
#ifndef TLS_TLS_PRIV_H
#define TLS_TLS_PRIV_H

#include <openssl/ssl.h>

#include "core/crypto.h"
#include "tls/tls.h"

#define TLS_RECORD_MAX 16384 /* plain octets of one record (RFC 8446 5.1) */

/* Our preference, to clients and servers; the order is that of RFC 9325 4.2, and the cheapest. */
#define TLS13_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* One pair as the supervisor read it. */
struct tls_pair {
    struct buf certificate;            /* PEM: leaf first, then its chain */
    struct buf key;                    /* PEM */
    char *certificate_path, *key_path; /* own copies: a later snapshot may keep the material */
    uint8_t digest[SHA256_LEN];        /* of both files' octets */
    int64_t not_after_s;
};

struct tls_material {
    unsigned refs;
    struct tls_pair pair[CONFIG_MAX_KEYPAIRS];
    size_t count;
    struct buf client_ca; /* PEM: issuers of clients' certificates; empty: we request none */
    uint8_t client_ca_digest[SHA256_LEN];
    char *client_ca_path; /* NULL: not configured */
};

/* The state behind a stream (transport.c). */
struct tls_session {
    SSL *ssl;
    struct tls_client *client; /* outbound; else NULL */
    struct tls_resume *resume; /* outbound: store for the session to resume; or NULL */
    unsigned resume_names;     /* resume->names at the start */
    char *held;                /* plain octets of a record that must be repeated; NULL: none */
    size_t held_len;
    unsigned reads; /* reads of the descriptor still allowed in this call */
    char error[160];
    bool broken;
    bool mismatch; /* the two sides seem to share no version, cipher or group */
};

extern const struct transport tls_transport;

struct tls_session *tls_session_new(SSL *ssl);

/* Text of OpenSSL's last error, without line breaks; clears its error queue. */
void tls_reason(char *mem, size_t size, const char *fallback);

/* Call after a failed handshake, before OpenSSL's error queue changes: ssl_error is SSL_get_error() (describe.c). */
void tls_note_mismatch(struct tls_session *t, int ssl_error, int err);

/* Pieces of this thread's region that OpenSSL now uses (buffers.c); for tests. */
size_t tls_buffers_in_use(void);

/* Session tickets with keys in shared memory (tickets.c). */
void tls_tickets_use(SSL_CTX *ctx, void *share);

#endif
