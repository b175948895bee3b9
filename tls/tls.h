/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.h - TLS on a stream, in both directions; the only folder that sees SSL_*.
 *
 *   contexts   of a configuration: certificates (several, by key type and SNI), versions, ciphers, ticket keys.
 *              Made once a process from files that the supervisor has read and checked; immutable.
 *   transport  a struct transport for core/stream.h over one SSL object.
 *   describe   what was negotiated, for facts, Received and logs.
 *
 * Keys       the supervisor reads certificates and keys before the fork (workers may not read them after the drop of
 *            privileges): tls_material holds their octets, and a digest to see a change (certificates live).
 * Tickets    keys rotate and are shared by the workers through the shared memory given to tls_server_new.
 * RFC        3207, 8446, 8996, 8314; RFC 7435 (opportunistic).
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "config/config.h"
#include "core/stream.h"

/*
 * For the whole process and those it forks, before OpenSSL is used: the buffers of its records come from a region
 * of their own (buffers.c).  Too late, it does nothing.
 */
void tls_use_buffers(void);

/* ---- material: read by the supervisor ---- */

struct tls_material; /* octets of all pairs, checked to match */

/*
 * Reads and checks every pair of conf->tls, and tls.client_ca: readable, key matches certificate, and OpenSSL makes
 * contexts of them (chain, tls.ciphers).  One that has expired, or will within 14 days, is a warning.  NULL with errors
 * (positions from the configuration).  With MATERIAL_TLS in errs->lenient, what cannot be used stays as errs->previous
 * has it, or is left out; NULL then if no pair is left.  Blocking.
 */
struct tls_material *tls_material_load(const struct config *conf, struct config_errors *errs) MUST_USE;
struct tls_material *tls_material_ref(struct tls_material *m); /* one more holder; NULL is allowed */
void tls_material_free(struct tls_material *m);                /* of one holder; NULL is allowed */

/* Would both serve the same?  NULL serves nothing. */
bool tls_material_same(const struct tls_material *a, const struct tls_material *b);

/* Do the files differ from what was read (contents, so that symlink swaps are seen)?  Blocking. */
bool tls_material_changed(const struct tls_material *m);

struct tls_expiry {
    const char *path;
    int64_t not_after_s; /* wall clock */
};
size_t tls_material_expiry(const struct tls_material *m, struct tls_expiry *out, size_t max);

/* Is one of the certificates for this host name (RFC 6125: its alternative names)? */
bool tls_material_has_host(const struct tls_material *m, const char *host);

/* ---- inbound ---- */

#define TLS_TICKET_SHARE 256 /* octets of shared memory for the ticket keys, zeroed before first use */

struct tls_server;

/* Makes the first ticket keys, if there are none: by the supervisor, before the first fork. */
void tls_tickets_prepare(void *ticket_share);

/* `ticket_share`: TLS_TICKET_SHARE octets that all workers map.  NULL with errors if OpenSSL refuses something. */
struct tls_server *tls_server_new(const struct config *conf, const struct tls_material *m, void *ticket_share,
                                  struct config_errors *errs) MUST_USE;
void tls_server_free(struct tls_server *t);

/* Starts the server side on a stream (stream_start_transport); on_open or on_error follows. */
void tls_accept(struct tls_server *t, struct stream *s);

/* ---- outbound ---- */

struct tls_client; /* one an upstream of the configuration: CA, name */
struct tls_resume; /* the last session with one server, for the next connection to it */

/*
 * NULL with an error if tls_ca cannot be read; with MATERIAL_ANCHORS in errs->lenient a client that trusts no issuer.
 * errs NULL: there is nothing that could fail.
 */
struct tls_client *tls_client_new(const struct config_upstream *up, struct config_errors *errs) MUST_USE;
struct tls_client *tls_client_ref(struct tls_client *t); /* one more holder; NULL is allowed */
void tls_client_free(struct tls_client *t);              /* of one holder; NULL is allowed */

struct tls_resume *tls_resume_new(void) MUST_USE;
void tls_resume_free(struct tls_resume *r); /* no stream that was started with it is left */

/*
 * Starts the client side.  `server`: its name or address text, for SNI and verification (tls_name wins).  A
 * session of `resume` (NULL: none is kept) is tried again only under the name that it was verified for: on
 * resumption no certificate is seen.
 */
void tls_connect(struct tls_client *t, struct stream *s, const char *server, struct tls_resume *resume);

/* ---- what came of it ---- */

struct tls_info {
    const char *version; /* "TLS1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    char subject[256]; /* of the peer's certificate, cleaned; "" without one, inbound also if not verified */
    bool resumed;
    bool verified; /* outbound: chain and name were good; inbound: signed by one of tls.client_ca */
};
bool tls_info(const struct stream *s, struct tls_info *out); /* false: the stream is plain */

/* A sentence about the last failed handshake of this stream, for the log; never NULL. */
const char *tls_error(const struct stream *s);

/*
 * Inbound: did the handshake fail because the two share no version, cipher or group?  Time-outs, certificate alerts and
 * octets that are no TLS are something else.
 */
bool tls_mismatch(const struct stream *s);

/* Outbound: did the handshake fail over the server's certificate (`verify`), and not over anything else? */
bool tls_untrusted(const struct stream *s);

#endif
