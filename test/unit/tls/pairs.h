/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pairs.h - certificates made on the spot, in a directory of the test's own.
 */
#ifndef TEST_UNIT_TLS_PAIRS_H
#define TEST_UNIT_TLS_PAIRS_H

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "core/buf.h"

#define PAIR_PATH 300

struct pair_spec {
    const char *name; /* of the files: NAME.pem, NAME.key */
    const char *sans; /* "DNS:a.example,DNS:*.b.example" */
    bool ec;
    long from_s, until_s; /* relative to now */
};

struct pair_paths {
    char certificate[PAIR_PATH], key[PAIR_PATH];
};

static char pairs_dir[64];

static inline void pairs_setup(void)
{
    (void)snprintf(pairs_dir, sizeof(pairs_dir), "/tmp/glacis-tls-XXXXXX");
    assert_non_null(mkdtemp(pairs_dir));
}

static inline void pair_paths(struct pair_paths *p, const char *name)
{
    (void)snprintf(p->certificate, sizeof(p->certificate), "%s/%s.pem", pairs_dir, name);
    (void)snprintf(p->key, sizeof(p->key), "%s/%s.key", pairs_dir, name);
}

static inline void pair_remove(const char *name)
{
    struct pair_paths p;

    pair_paths(&p, name);
    (void)unlink(p.certificate);
    (void)unlink(p.key);
}

static inline X509 *pair_certificate(const struct pair_spec *spec, EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, spec->sans);

    assert_non_null(san);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), spec->from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), spec->until_s);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)spec->name, -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, key);
    X509_add_ext(x, san, -1);
    X509_EXTENSION_free(san);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

/* Writes NAME.pem and NAME.key, self-signed. */
static inline void pair_make(const struct pair_spec *spec, struct pair_paths *p)
{
    EVP_PKEY *key = spec->ec ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
    X509 *x = pair_certificate(spec, key);
    FILE *f;

    pair_paths(p, spec->name);
    f = fopen(p->certificate, "w");
    assert_non_null(f);
    PEM_write_X509(f, x);
    fclose(f);
    f = fopen(p->key, "w");
    assert_non_null(f);
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline void pairs_teardown(void)
{
    assert_int_equal(rmdir(pairs_dir), 0);
}

#endif
