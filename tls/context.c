/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.c - the server's contexts: certificates by key type and by SNI, versions, ciphers, tickets.
 *
 * Pairs with the same certificate names and different key types share a context, so that OpenSSL picks RSA or ECDSA
 * by what the client supports.  Every other pair has its own context, chosen by SNI.  An unknown name gets the first
 * context and never an alert, because clients send arbitrary names (TLS-12).
 *
 * RFC 8996 (no TLS 1.0, 1.1 by default), RFC 7919, RFC 9325 (no renegotiation, no compression, forward
 * secrecy).
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/tls_priv.h"

#define NAMES_MAX 100 /* in one certificate */
#define NAME_MAX_LEN 254

/*
 * Forward secrecy and AEAD.  AES-128 comes first, as in RFC 9325 4.2: processors have instructions for its SHA-256,
 * and SHA-384 makes a handshake an eighth more expensive.
 */
#define BEST "ECDHE+AES128+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:"
#define NEVER "!aNULL:!eNULL:!PSK:!SRP"

static const char strong_ciphers[] = BEST NEVER;
/* Opportunistic: an old cipher is better than none, because the client would send in clear text or not at all.  The
 * order is ours; the set is OpenSSL's default. */
static const char default_ciphers[] = BEST "ECDHE:DHE:ALL:!COMPLEMENTOFDEFAULT:" NEVER;

/* The same for groups, except those of 4096 bits and more: each handshake would cost us 6 ms of processor time. */
#define STRONG_GROUPS "X25519:P-256:P-384"
#define DEFAULT_GROUPS STRONG_GROUPS ":X448:P-521:ffdhe2048:ffdhe3072"
#define HYBRID_GROUP "X25519MLKEM768:" /* OpenSSL 3.5 and later */

struct tls_site { /* one context and the names that choose it */
    SSL_CTX *ctx;
    char (*name)[NAME_MAX_LEN];
    size_t name_count;
    int key_types[CONFIG_MAX_KEYPAIRS];
    size_t key_count;
};

struct tls_source { /* the inputs for contexts */
    const struct config *conf;
    const struct tls_material *material;
    void *ticket_share;
};

struct tls_server {
    struct tls_site site[CONFIG_MAX_KEYPAIRS]; /* [0] answers for unknown names */
    size_t count;
};

static struct slice name_of(const struct tls_site *s, size_t i)
{
    return slice_str(s->name[i]);
}

static void add_name(struct tls_site *s, struct slice name)
{
    if (s->name_count < NAMES_MAX && name.len > 0 && name.len < NAME_MAX_LEN) {
        memcpy(s->name[s->name_count], name.ptr, name.len);
        s->name[s->name_count++][name.len] = '\0';
    }
}

static void read_names(struct tls_site *s, X509 *x)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

    s->name = xcalloc(NAMES_MAX, NAME_MAX_LEN);
    for (int i = 0; all != NULL && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);

        if (g->type == GEN_DNS) {
            add_name(s,
                     slice_of(ASN1_STRING_get0_data(g->d.dNSName), (size_t)ASN1_STRING_length(g->d.dNSName)));
        }
    }
    GENERAL_NAMES_free(all);
}

static bool name_matches(struct slice pattern, struct slice name)
{
    size_t dot = slice_find(name, '.');

    if (slice_starts(pattern, SLICE("*."))) {
        return dot > 0 && dot < name.len && slice_eq_nocase(slice_skip(pattern, 1), slice_skip(name, dot));
    }
    return slice_eq_nocase(pattern, name);
}

static bool same_names(const struct tls_site *a, const struct tls_site *b)
{
    bool same = a->name_count == b->name_count;

    for (size_t i = 0; same && i < a->name_count; i++) {
        same = slice_eq_nocase(name_of(a, i), name_of(b, i));
    }
    return same;
}

static bool has_key_type(const struct tls_site *s, int type)
{
    for (size_t i = 0; i < s->key_count; i++) {
        if (s->key_types[i] == type) {
            return true;
        }
    }
    return false;
}

static int on_servername(SSL *ssl, int *alert UNUSED, void *arg)
{
    const struct tls_server *t = arg;
    const char *text = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct slice name = slice_str(text);

    for (size_t i = 0; text != NULL && i < t->count; i++) {
        for (size_t k = 0; k < t->site[i].name_count; k++) {
            if (name_matches(name_of(&t->site[i], k), name)) {
                SSL_set_SSL_CTX(ssl, t->site[i].ctx);
                return SSL_TLSEXT_ERR_OK;
            }
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* ALPN (RFC 7301): confirm `smtp`, ignore the rest.  There is no registered name, and clients send invented ones. */
static int on_alpn(SSL *ssl UNUSED, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg UNUSED)
{
    static const unsigned char smtp[] = { 4, 's', 'm', 't', 'p' };
    unsigned char *chosen = NULL;

    if (SSL_select_next_proto(&chosen, out_len, smtp, sizeof(smtp), in, in_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool is_strong(const struct config *conf)
{
    return slice_eq(slice_str(conf->tls.ciphers), SLICE("strong"));
}

static void set_ciphers(SSL_CTX *ctx, const struct config *conf, struct config_errors *errs)
{
    struct slice own = slice_str(conf->tls.ciphers);
    char mem[2048], why[160];
    struct buf list;

    buf_init_fixed(&list, mem, sizeof(mem));
    buf_put_str(&list, slice_empty(own)  ? default_ciphers
                       : is_strong(conf) ? strong_ciphers
                                         : conf->tls.ciphers);
    if (conf->tls.min_version < TLS1_2_VERSION) {
        buf_put_str(&list, ":@SECLEVEL=0"); /* the old versions sign with SHA-1 */
    }
    SSL_CTX_set_ciphersuites(ctx, TLS13_SUITES);
    if (!buf_ok(&list) || SSL_CTX_set_cipher_list(ctx, mem) != 1) {
        tls_reason(why, sizeof(why), "no cipher matches");
        config_errors_add(errs, false, 0, 0, "tls.ciphers: OpenSSL refuses the list: %s", why);
    }
}

static void set_groups(SSL_CTX *ctx, const struct config *conf)
{
    char strong[] = STRONG_GROUPS, common[] = DEFAULT_GROUPS, hybrid[] = HYBRID_GROUP DEFAULT_GROUPS;

    if (is_strong(conf)) {
        SSL_CTX_set1_groups_list(ctx, strong);
    } else if (SSL_CTX_set1_groups_list(ctx, hybrid) != 1) {
        SSL_CTX_set1_groups_list(ctx, common);
    }
    SSL_CTX_set_dh_auto(ctx, 1);
    ERR_clear_error();
}

/* A bad client certificate never ends the session; it then has no tls.client_subject (TLS-24). */
static int on_client_certificate(int good UNUSED, X509_STORE_CTX *chain UNUSED)
{
    return 1;
}

/*
 * Requests client certificates and verifies them against tls.client_ca.  Ignores their purpose, because certificates of
 * mail servers are often for servers only.  Refuses tickets made under another client_ca: they carry its verdict.
 */
static void ask_for_certificates(SSL_CTX *ctx, const struct tls_material *m)
{
    BIO *bio = BIO_new_mem_buf(m->client_ca.ptr, (int)m->client_ca.len);
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509 *x;

    while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        (void)X509_STORE_add_cert(store, x);
        (void)SSL_CTX_add_client_CA(ctx, x);
        X509_free(x);
    }
    BIO_free(bio);
    ERR_clear_error();
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_client_certificate);
    SSL_CTX_set_session_id_context(ctx, m->client_ca_digest, sizeof(m->client_ca_digest));
}

static SSL_CTX *make_context(const struct config *conf, const struct tls_material *m, void *share,
                             struct config_errors *errs)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    BUG_ON(ctx == NULL);
    SSL_CTX_set_min_proto_version(ctx, conf->tls.min_version);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets carry the sessions */
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"glacis", 6);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    tls_tickets_use(ctx, share);
    set_ciphers(ctx, conf, errs);
    set_groups(ctx, conf);
    if (m->client_ca.len > 0) {
        ask_for_certificates(ctx, m);
    }
    return ctx;
}

static bool use_chain(SSL_CTX *ctx, const struct tls_pair *p, X509 *leaf, EVP_PKEY *key)
{
    BIO *bio = BIO_new_mem_buf(p->certificate.ptr, (int)p->certificate.len);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL); /* the leaf again */
    bool ok = SSL_CTX_use_certificate(ctx, leaf) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;

    X509_free(x);
    while (ok && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        ok = SSL_CTX_add1_chain_cert(ctx, x) == 1;
        X509_free(x);
    }
    BIO_free(bio);
    ERR_clear_error();
    return ok;
}

/* Returns the site of an earlier pair that this pair joins, or a new one. */
static struct tls_site *place(struct tls_server *t, struct tls_site *fresh, int key_type)
{
    for (size_t i = 0; i < t->count; i++) {
        if (same_names(&t->site[i], fresh) && !has_key_type(&t->site[i], key_type)) {
            free(fresh->name);
            return &t->site[i];
        }
    }
    t->site[t->count] = *fresh;
    return &t->site[t->count++];
}

/* Adds the n-th pair of the material. */
static void add_pair(struct tls_server *t, const struct tls_source *from, size_t n,
                     struct config_errors *errs)
{
    const struct tls_pair *p = &from->material->pair[n];

    BIO *cb = BIO_new_mem_buf(p->certificate.ptr, (int)p->certificate.len);
    BIO *kb = BIO_new_mem_buf(p->key.ptr, (int)p->key.len);
    X509 *x = PEM_read_bio_X509(cb, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(kb, NULL, NULL, NULL);
    struct tls_site fresh = { 0 };
    struct tls_site *site;

    if (x != NULL && key != NULL) {
        read_names(&fresh, x);
        site = place(t, &fresh, EVP_PKEY_get_base_id(key));
        if (site->ctx == NULL) {
            site->ctx = make_context(from->conf, from->material, from->ticket_share, errs);
        }
        site->key_types[site->key_count++] = EVP_PKEY_get_base_id(key);
        if (!use_chain(site->ctx, p, x, key)) {
            char why[160];

            tls_reason(why, sizeof(why), "not usable");
            config_errors_material(errs, MATERIAL_TLS, 0, 0, "OpenSSL refuses %s: %s", p->certificate_path,
                                   why);
        }
    }
    EVP_PKEY_free(key);
    X509_free(x);
    BIO_free(kb);
    BIO_free(cb);
}

struct tls_server *tls_server_new(const struct config *conf, const struct tls_material *m, void *ticket_share,
                                  struct config_errors *errs)
{
    struct tls_server *t = xcalloc(1, sizeof(*t));
    const struct tls_source from = { conf, m, ticket_share };
    size_t before = errs->fatal + errs->missing[MATERIAL_TLS];

    for (size_t i = 0; i < m->count; i++) {
        add_pair(t, &from, i, errs);
    }
    if (errs->fatal + errs->missing[MATERIAL_TLS] > before || t->count == 0) {
        tls_server_free(t);
        return NULL;
    }
    SSL_CTX_set_tlsext_servername_callback(t->site[0].ctx, on_servername);
    SSL_CTX_set_tlsext_servername_arg(t->site[0].ctx, t);
    return t;
}

void tls_server_free(struct tls_server *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->count; i++) {
        SSL_CTX_free(t->site[i].ctx);
        free(t->site[i].name);
    }
    free(t);
}

void tls_accept(struct tls_server *t, struct stream *s)
{
    SSL *ssl = SSL_new(t->site[0].ctx);

    BUG_ON(ssl == NULL);
    SSL_set_accept_state(ssl);
    stream_start_transport(s, &tls_transport, tls_session_new(ssl));
}
