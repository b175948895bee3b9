/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.h - certificates made for a test: one that signs itself, or one that another has signed.
 */
#ifndef TEST_UNIT_PROXY_CERTIFICATE_H
#define TEST_UNIT_PROXY_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/base.h"

struct certificate {
    X509 *x;
    EVP_PKEY *key;
    char path[64], key_path[64]; /* PEM files, removed by certificate_fini */
};

static inline void certificate_extension(struct certificate *c, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx(&ctx, issuer, c->x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    BUG_ON(e == NULL || X509_add_ext(c->x, e, -1) != 1);
    X509_EXTENSION_free(e);
}

static inline FILE *certificate_file(char path[64], const char *what)
{
    int fd;
    FILE *f;

    snprintf(path, 64, "/tmp/glacis-%s-XXXXXX", what);
    fd = mkstemp(path);
    f = fd >= 0 ? fdopen(fd, "w") : NULL;
    BUG_ON(f == NULL);
    return f;
}

/* names: "DNS:a.test,IP:127.0.0.1", or NULL for one that signs others.  days: from yesterday on; may be
 * negative. */
static inline void certificate_make(struct certificate *c, const struct certificate *by, const char *names,
                                    long days)
{
    static long serial = 1;
    X509_NAME *subject;
    FILE *f;

    c->key = EVP_EC_gen("P-256");
    c->x = X509_new();
    BUG_ON(c->key == NULL || c->x == NULL);
    X509_set_version(c->x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c->x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c->x), -86400 * 20L);
    X509_gmtime_adj(X509_getm_notAfter(c->x), 86400 * days);
    X509_set_pubkey(c->x, c->key);
    subject = X509_get_subject_name(c->x);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               (const unsigned char *)(names ? "server" : "authority"), -1, -1, 0);
    X509_set_issuer_name(c->x, X509_get_subject_name(by ? by->x : c->x));
    certificate_extension(c, by ? by->x : c->x, NID_basic_constraints,
                          names ? "CA:FALSE" : "critical,CA:TRUE");
    if (names) {
        certificate_extension(c, by ? by->x : c->x, NID_subject_alt_name, names);
    }
    BUG_ON(X509_sign(c->x, by ? by->key : c->key, EVP_sha256()) == 0);
    f = certificate_file(c->path, "cert");
    BUG_ON(PEM_write_X509(f, c->x) != 1);
    fclose(f);
    f = certificate_file(c->key_path, "key");
    BUG_ON(PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL) != 1);
    fclose(f);
}

static inline void certificate_fini(struct certificate *c)
{
    unlink(c->path);
    unlink(c->key_path);
    X509_free(c->x);
    EVP_PKEY_free(c->key);
}

#endif
