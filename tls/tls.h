/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.h - TLS on a stream, in both directions; only this folder uses SSL_*.
 *
 *   contexts   of a configuration: certificates (several, by key type and SNI), versions, ciphers, ticket keys.
 *              Created once per process from files that the supervisor has read and checked; immutable.
 *   transport  a struct transport for core/stream.h over one SSL object.
 *   describe   the negotiated parameters, for facts, Received and logs.
 *
 * Keys       the supervisor reads certificates and keys before the fork, because workers may not read them after they
 *            drop privileges.  tls_material holds their octets, and a digest to detect changes at run time.
 * Tickets    keys rotate; the workers share them in the shared memory passed to tls_server_new.
 * RFC        3207, 8446, 8996, 8314; RFC 7435 (opportunistic).
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "config/config.h"
#include "core/stream.h"

/*
 * Puts OpenSSL's record buffers into a separate region (buffers.c), for this process and its children.  Call it
 * before any use of OpenSSL; later it does nothing.
 */
void tls_use_buffers(void);

/* ---- material: read by the supervisor ---- */

struct tls_material; /* octets of all pairs, checked to match */

/*
 * Reads and checks every pair of conf->tls, and tls.client_ca: readable, key matches certificate, and OpenSSL can make
 * a context (chain, tls.ciphers).  A certificate that has expired, or will within 14 days, gives a warning.  Returns
 * NULL with errors (positions from the configuration).  With MATERIAL_TLS in errs->lenient, an unusable file keeps its
 * contents from errs->previous, or is left out; then NULL only if no pair is left.  Blocking.
 */
struct tls_material *tls_material_load(const struct config *conf, struct config_errors *errs) MUST_USE;
struct tls_material *tls_material_ref(struct tls_material *m); /* adds a reference; NULL is allowed */
void tls_material_free(struct tls_material *m);                /* drops a reference; NULL is allowed */

/* Do both hold the same pairs and client_ca?  False if either is NULL. */
bool tls_material_same(const struct tls_material *a, const struct tls_material *b);

/* Do the files differ from this material?  Compares contents, to detect symlink swaps.  Blocking. */
bool tls_material_changed(const struct tls_material *m);

struct tls_expiry {
    const char *path;
    int64_t not_after_s; /* wall clock */
};
size_t tls_material_expiry(const struct tls_material *m, struct tls_expiry *out, size_t max);

/* Does one of the certificates match this host name (RFC 6125: its alternative names)? */
bool tls_material_has_host(const struct tls_material *m, const char *host);

/* ---- inbound ---- */

#define TLS_TICKET_SHARE 256 /* octets of shared memory for the ticket keys, zeroed before first use */

struct tls_server;

/* Creates the first ticket keys if there are none.  The supervisor calls it before the first fork. */
void tls_tickets_prepare(void *ticket_share);

/* `ticket_share`: TLS_TICKET_SHARE octets that all workers map.  NULL with errors if OpenSSL refuses the input. */
struct tls_server *tls_server_new(const struct config *conf, const struct tls_material *m, void *ticket_share,
                                  struct config_errors *errs) MUST_USE;
void tls_server_free(struct tls_server *t);

/* Starts the server side on a stream (stream_start_transport); on_open or on_error follows. */
void tls_accept(struct tls_server *t, struct stream *s);

/* ---- outbound ---- */

struct tls_client; /* one per upstream of the configuration: CA, name */
struct tls_resume; /* the last session with one server, for the next connection to it */

/*
 * Returns NULL with an error if tls_ca cannot be read.  With MATERIAL_ANCHORS in errs->lenient, returns a client that
 * trusts no issuer instead.  errs may be NULL only if nothing can fail (tls is not `verify`).
 */
struct tls_client *tls_client_new(const struct config_upstream *up, struct config_errors *errs) MUST_USE;
struct tls_client *tls_client_ref(struct tls_client *t); /* adds a reference; NULL is allowed */
void tls_client_free(struct tls_client *t);              /* drops a reference; NULL is allowed */

struct tls_resume *tls_resume_new(void) MUST_USE;
void tls_resume_free(struct tls_resume *r); /* only after all streams started with it are closed */

/*
 * Starts the client side.  `server`: its name or address text, for SNI and verification (tls_name overrides it).  A
 * session of `resume` (NULL: none) is resumed only under the name for which it was verified, because a resumed
 * handshake shows no certificate.
 */
void tls_connect(struct tls_client *t, struct stream *s, const char *server, struct tls_resume *resume);

/* ---- results ---- */

struct tls_info {
    const char *version; /* "TLS1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    char subject[256]; /* of the peer's certificate, escaped; "" without one, inbound also if not verified */
    bool resumed;
    bool verified; /* outbound: chain and name are valid; inbound: signed by one of tls.client_ca */
};
bool tls_info(const struct stream *s, struct tls_info *out); /* false: the stream is plain */

/* A sentence about the last failed handshake of this stream, for the log; never NULL. */
const char *tls_error(const struct stream *s);

/*
 * Inbound: did the handshake fail because both sides share no version, cipher or group?  False for timeouts,
 * certificate alerts and octets that are not TLS.
 */
bool tls_mismatch(const struct stream *s);

/* Outbound: did the handshake fail because of the server's certificate (`verify`)? */
bool tls_untrusted(const struct stream *s);

#endif
