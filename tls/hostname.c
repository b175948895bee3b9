/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostname.c - does a certificate match a host name?  `check` warns if none does.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/tls_priv.h"

static bool is_for(const struct buf *pem, const char *host)
{
    BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
    X509 *x = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    bool ok = x != NULL && X509_check_host(x, host, 0, 0, NULL) == 1;

    X509_free(x);
    BIO_free(bio);
    ERR_clear_error();
    return ok;
}

bool tls_material_has_host(const struct tls_material *m, const char *host)
{
    for (size_t i = 0; i < m->count; i++) {
        if (is_for(&m->pair[i].certificate, host)) {
            return true;
        }
    }
    return false;
}
