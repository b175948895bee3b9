/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c - TLS towards upstreams: verification and resumption.
 *
 * `opportunistic` and `required` encrypt without verification (RFC 7435: a server in the same network, often with a
 * self-signed certificate).  `verify` requires a chain to tls_ca and the server's name in the certificate.  We keep the
 * last session ticket of each server and resume it only with that server and under that name.  A resumed session
 * counts as verified without a certificate, so one server of an upstream must not pass for another.
 */
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls/tls_priv.h"

struct tls_client {
    unsigned refs;
    SSL_CTX *ctx;
    char *name; /* tls_name, or NULL: the server's own */
    bool verify;
};

struct tls_resume {
    SSL_SESSION *session; /* of the last connection that gave one; or NULL */
    char *name;           /* the name verified in it */
    unsigned names;       /* number of name changes */
};

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *t = SSL_get_app_data(ssl);

    if (t == NULL || t->resume == NULL || t->resume_names != t->resume->names) {
        return 0; /* a late ticket of a connection under the previous name is not valid for this one */
    }
    SSL_SESSION_free(t->resume->session);
    t->resume->session = session;
    return 1; /* the reference is ours now */
}

static bool load_ca(SSL_CTX *ctx, const char *ca)
{
    struct stat st;

    if (slice_eq(slice_str(ca), SLICE("system"))) {
        return SSL_CTX_set_default_verify_paths(ctx) == 1;
    }
    return stat(ca, &st) == 0 && S_ISREG(st.st_mode) && /* opening a pipe could block for ever */
           SSL_CTX_load_verify_file(ctx, ca) == 1;
}

struct tls_client *tls_client_new(const struct config_upstream *up, struct config_errors *errs)
{
    struct tls_client *t = xcalloc(1, sizeof(*t));

    t->refs = 1;
    t->ctx = SSL_CTX_new(TLS_client_method());
    BUG_ON(t->ctx == NULL);
    t->verify = up->tls == UP_TLS_VERIFY;
    SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(t->ctx, 1);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_ciphersuites(t->ctx, TLS13_SUITES);
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(t->ctx, on_new_session);
    if (t->verify) {
        SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
        SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
        if (!load_ca(t->ctx, up->tls_ca)) {
            size_t before = errs->fatal;

            config_errors_material(errs, MATERIAL_ANCHORS, up->line, 1,
                                   "upstream %s: the certificates of tls_ca (%s) cannot be loaded", up->name,
                                   up->tls_ca);
            ERR_clear_error();
            if (errs->fatal > before) {
                tls_client_free(t);
                return NULL;
            }
        }
    } else {
        SSL_CTX_set_min_proto_version(t->ctx,
                                      TLS1_VERSION); /* old TLS to an old server is better than clear text */
        SSL_CTX_set_cipher_list(t->ctx, "DEFAULT:@SECLEVEL=0");
        SSL_CTX_set_verify(t->ctx, SSL_VERIFY_NONE, NULL);
    }
    if (up->tls_name != NULL && up->tls_name[0] != '\0') {
        t->name = xstrdup(up->tls_name);
    }
    return t;
}

struct tls_client *tls_client_ref(struct tls_client *t)
{
    if (t != NULL) {
        t->refs++;
    }
    return t;
}

void tls_client_free(struct tls_client *t)
{
    if (t == NULL || --t->refs > 0) {
        return;
    }
    SSL_CTX_free(t->ctx);
    free(t->name);
    free(t);
}

struct tls_resume *tls_resume_new(void)
{
    return xcalloc(1, sizeof(struct tls_resume));
}

void tls_resume_free(struct tls_resume *r)
{
    if (r == NULL) {
        return;
    }
    SSL_SESSION_free(r->session);
    free(r->name);
    free(r);
}

static const char *name_for(const struct tls_client *t, const char *server)
{
    return t->name != NULL ? t->name : server;
}

/* Sets SNI and the name to verify; an address has no SNI (RFC 6066 3). */
static void set_name(struct tls_client *t, SSL *ssl, const char *name)
{
    struct addr ip;

    if (addr_parse_ip(slice_str(name), &ip)) {
        if (t->verify) {
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
        }
        return;
    }
    SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)name); /* OpenSSL's macro takes no const, and copies */
    if (t->verify) {
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        SSL_set1_host(ssl, name);
    }
}

/* Drops a session kept under another name; resumes the remaining one, if any. */
static void use_session(struct tls_resume *r, SSL *ssl, const char *name)
{
    if (r->name != NULL && strcmp(r->name, name) != 0) {
        SSL_SESSION_free(r->session);
        r->session = NULL;
        free(r->name);
        r->name = NULL;
        r->names++;
    }
    if (r->name == NULL) {
        r->name = xstrdup(name);
    }
    if (r->session != NULL) {
        SSL_set_session(ssl, r->session);
    }
}

void tls_connect(struct tls_client *t, struct stream *s, const char *server, struct tls_resume *resume)
{
    SSL *ssl = SSL_new(t->ctx);
    struct tls_session *session;

    BUG_ON(ssl == NULL);
    SSL_set_connect_state(ssl);
    set_name(t, ssl, name_for(t, server));
    if (resume != NULL) {
        use_session(resume, ssl, name_for(t, server));
    }
    session = tls_session_new(ssl);
    session->client = t;
    session->resume = resume;
    session->resume_names = resume != NULL ? resume->names : 0;
    stream_start_transport(s, &tls_transport, session);
}
