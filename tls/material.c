/* SPDX-License-Identifier: Apache-2.0 */
/*
 * material.c - certificates and keys as octets, read and checked by the supervisor.
 *
 * Workers may not read keys after they drop privileges, and a renewed pair must be checked before it takes effect.
 * So the supervisor reads files here, once, and contexts are made from memory.  Changes are detected by content, not
 * by time stamp, so a redirected symbolic link counts.
 *
 * An expired pair is still served: most clients do not check, and clear text would be worse.  An unusable pair is an
 * error.  If that is not fatal, the previous contents of the same files stay in use; without previous contents, the
 * pair is left out.  The same applies to tls.client_ca.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/loop.h"
#include "tls/tls_priv.h"

#define FILE_MAX (1u << 20)
#define SOON_S (14 * 86400)

/* Opens regular files only: opening a pipe could block the supervisor for ever. */
static FILE *open_plain(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    FILE *f = NULL;

    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    } else {
        f = fdopen(fd, "rb");
    }
    if (f == NULL) {
        close(fd);
    }
    return f;
}

static bool read_file(const char *path, struct buf *out)
{
    char mem[4096];
    size_t n;
    int err;
    FILE *f = open_plain(path);

    buf_init(out, FILE_MAX);
    if (f == NULL) {
        return false;
    }
    while ((n = fread(mem, 1, sizeof(mem), f)) > 0) {
        buf_put(out, mem, n);
    }
    if (ferror(f) == 0) {
        errno = !buf_ok(out) ? EFBIG : ENODATA; /* used only if the file is refused below */
    }
    err = errno;
    n = ferror(f) == 0 && buf_ok(out) && out->len > 0;
    fclose(f);
    errno = err;
    return n != 0;
}

static void digest_of(const struct buf *a, const struct buf *b, uint8_t out[SHA256_LEN])
{
    struct sha256 *h = sha256_new();

    sha256_update(h, a->ptr, a->len);
    sha256_update(h, "|", 1);
    sha256_update(h, b->ptr, b->len);
    sha256_final(h, out);
}

static int64_t to_seconds(const ASN1_TIME *t)
{
    struct tm tm = { 0 };

    return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* A service cannot use a password-protected key: never prompt on a terminal. */
static int no_password(char *mem UNUSED, int size UNUSED, int rw UNUSED, void *arg UNUSED)
{
    return -1;
}

static void check_dates(const X509 *x, struct tls_pair *p, int line, struct config_errors *errs)
{
    int64_t now = wall_now_s();

    p->not_after_s = to_seconds(X509_get0_notAfter(x));
    if (p->not_after_s < now) {
        config_errors_add(errs, true, line, 1, "the certificate %s has expired; it is still served: renew it",
                          p->certificate_path);
    } else if (p->not_after_s < now + SOON_S) {
        config_errors_add(errs, true, line, 1, "the certificate %s expires in %d days", p->certificate_path,
                          (int)((p->not_after_s - now) / 86400));
    }
    if (to_seconds(X509_get0_notBefore(x)) > now) {
        config_errors_add(errs, true, line, 1, "the certificate %s is not valid yet", p->certificate_path);
    }
}

static bool check_pair(struct tls_pair *p, int line, struct config_errors *errs)
{
    BIO *cb = BIO_new_mem_buf(p->certificate.ptr, (int)p->certificate.len);
    BIO *kb = BIO_new_mem_buf(p->key.ptr, (int)p->key.len);
    X509 *x = PEM_read_bio_X509(cb, NULL, no_password, NULL);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(kb, NULL, no_password, NULL);
    bool ok = x != NULL && k != NULL && X509_check_private_key(x, k) == 1;

    if (x == NULL) {
        config_errors_material(errs, MATERIAL_TLS, line, 1, "%s holds no PEM certificate",
                               p->certificate_path);
    } else {
        check_dates(x, p, line, errs);
    }
    if (k == NULL) {
        config_errors_material(errs, MATERIAL_TLS, line, 1,
                               "%s holds no PEM private key that can be read without a password",
                               p->key_path);
    }
    if (x != NULL && k != NULL && !ok) {
        config_errors_material(errs, MATERIAL_TLS, line, 1,
                               "the private key %s does not belong to the certificate %s", p->key_path,
                               p->certificate_path);
    }
    EVP_PKEY_free(k);
    X509_free(x);
    BIO_free(kb);
    BIO_free(cb);
    ERR_clear_error();
    return ok;
}

static bool load_pair(struct tls_pair *p, const struct config_keypair *kp, struct config_errors *errs)
{
    int certificate_errno, key_errno;
    bool certificate, key;

    p->certificate_path = xstrdup(kp->certificate);
    p->key_path = xstrdup(kp->private_key);
    certificate = read_file(kp->certificate, &p->certificate);
    certificate_errno = errno;
    key = read_file(kp->private_key, &p->key);
    key_errno = errno;
    if (!certificate) {
        config_errors_material(errs, MATERIAL_TLS, kp->line, 1, "the certificate %s cannot be read: %s",
                               kp->certificate, strerror(certificate_errno));
    }
    if (!key) {
        config_errors_material(errs, MATERIAL_TLS, kp->line, 1, "the private key %s cannot be read: %s",
                               kp->private_key, strerror(key_errno));
    }
    if (!certificate || !key) {
        return false;
    }
    digest_of(&p->certificate, &p->key, p->digest);
    return check_pair(p, kp->line, errs);
}

static bool holds_certificate(const struct buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
    X509 *x = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    bool ok = x != NULL;

    X509_free(x);
    BIO_free(bio);
    ERR_clear_error();
    return ok;
}

static bool read_client_ca(struct tls_material *m, const struct config_tls_section *tls,
                           struct config_errors *errs)
{
    if (!read_file(tls->client_ca, &m->client_ca)) {
        config_errors_material(errs, MATERIAL_TLS, tls->client_ca_line, 1,
                               "tls.client_ca: %s cannot be read: %s", tls->client_ca, strerror(errno));
        return false;
    }
    if (!holds_certificate(&m->client_ca)) {
        config_errors_material(errs, MATERIAL_TLS, tls->client_ca_line, 1,
                               "tls.client_ca: %s holds no PEM certificate", tls->client_ca);
        return false;
    }
    return true;
}

static void load_client_ca(struct tls_material *m, const struct config_tls_section *tls,
                           struct config_errors *errs)
{
    const struct tls_material *old = errs->previous != NULL ? errs->previous->tls_material : NULL;

    if (slice_empty(slice_str(tls->client_ca))) {
        return;
    }
    m->client_ca_path = xstrdup(tls->client_ca);
    if (!read_client_ca(m, tls, errs)) {
        buf_reset(&m->client_ca);
        if (old != NULL && slice_eq(slice_str(old->client_ca_path), slice_str(tls->client_ca))) {
            buf_put_slice(&m->client_ca, buf_slice(&old->client_ca));
        }
    }
    sha256_of(m->client_ca.ptr, m->client_ca.len, m->client_ca_digest);
}

/* The pair now in use from the same two files, or NULL. */
static const struct tls_pair *pair_before(const struct config_keypair *kp, const struct config *previous)
{
    const struct tls_material *old = previous != NULL ? previous->tls_material : NULL;

    for (size_t i = 0; old != NULL && i < old->count; i++) {
        const struct tls_pair *q = &old->pair[i];

        if (slice_eq(slice_str(q->certificate_path), slice_str(kp->certificate)) &&
            slice_eq(slice_str(q->key_path), slice_str(kp->private_key))) {
            return q;
        }
    }
    return NULL;
}

/* Would this expired certificate replace one that is still valid? */
static bool is_step_back(const struct tls_pair *p, const struct config_keypair *kp,
                         struct config_errors *errs)
{
    const struct tls_pair *before = pair_before(kp, errs->previous);
    int64_t now = wall_now_s();

    if (before == NULL || p->not_after_s >= now || before->not_after_s < now) {
        return false;
    }
    config_errors_material(errs, MATERIAL_TLS, kp->line, 1,
                           "the certificate %s has expired; the one that serves now has not",
                           kp->certificate);
    return true;
}

static bool keep_pair(struct tls_pair *p, const struct config_keypair *kp, const struct tls_pair *before)
{
    if (before == NULL) {
        return false;
    }
    *p = *before;
    buf_init(&p->certificate, FILE_MAX);
    buf_init(&p->key, FILE_MAX);
    buf_put_slice(&p->certificate, buf_slice(&before->certificate));
    buf_put_slice(&p->key, buf_slice(&before->key));
    p->certificate_path = xstrdup(kp->certificate);
    p->key_path = xstrdup(kp->private_key);
    return true;
}

/* Can a worker make its contexts from this pair?  Tried here, so that check and reload report errors. */
static bool try_context(const struct config *conf, const struct tls_material *m, size_t pair,
                        struct config_errors *errs)
{
    _Alignas(64) unsigned char share[TLS_TICKET_SHARE] = { 0 };
    struct tls_material one = { .count = 1, .client_ca = m->client_ca };
    struct tls_server *t;

    one.pair[0] = m->pair[pair];
    t = tls_server_new(conf, &one, share, errs);
    tls_server_free(t);
    OPENSSL_cleanse(share, sizeof(share));
    return t != NULL;
}

static void wipe(struct buf *b)
{
    if (b->ptr != NULL) {
        OPENSSL_cleanse(b->ptr, b->len);
    }
    buf_fini(b);
}

static void free_pair(struct tls_pair *p)
{
    buf_fini(&p->certificate);
    wipe(&p->key);
    free(p->certificate_path);
    free(p->key_path);
    *p = (struct tls_pair){ .certificate_path = NULL };
}

struct tls_material *tls_material_load(const struct config *conf, struct config_errors *errs)
{
    struct tls_material *m = xcalloc(1, sizeof(*m));
    size_t before = errs->fatal;

    m->refs = 1;
    load_client_ca(m, &conf->tls, errs);
    for (size_t i = 0; i < conf->tls.pair_count; i++) {
        const struct config_keypair *kp = &conf->tls.pair[i];
        struct tls_pair *p = &m->pair[m->count];
        bool good = load_pair(p, kp, errs) && !is_step_back(p, kp, errs) && errs->fatal == before &&
                    try_context(conf, m, m->count, errs);

        if (!good) {
            free_pair(p);
            good = keep_pair(p, kp, pair_before(kp, errs->previous));
        }
        m->count += good ? 1 : 0;
    }
    if (errs->fatal > before || m->count == 0) {
        tls_material_free(m);
        return NULL;
    }
    return m;
}

struct tls_material *tls_material_ref(struct tls_material *m)
{
    if (m != NULL) {
        m->refs++;
    }
    return m;
}

void tls_material_free(struct tls_material *m)
{
    if (m == NULL || --m->refs > 0) {
        return;
    }
    for (size_t i = 0; i < m->count; i++) {
        free_pair(&m->pair[i]);
    }
    buf_fini(&m->client_ca);
    free(m->client_ca_path);
    free(m);
}

static bool pair_changed(const struct tls_pair *p)
{
    struct buf certificate, key;
    uint8_t digest[SHA256_LEN];
    bool have = read_file(p->certificate_path, &certificate);

    have = read_file(p->key_path, &key) && have;
    if (have) {
        digest_of(&certificate, &key, digest);
    }
    buf_fini(&certificate);
    wipe(&key);
    return !have || memcmp(digest, p->digest, sizeof(digest)) != 0;
}

static bool client_ca_changed(const struct tls_material *m)
{
    uint8_t digest[SHA256_LEN];
    struct buf pem;
    bool have;

    if (m->client_ca_path == NULL) {
        return false;
    }
    have = read_file(m->client_ca_path, &pem);
    if (have) {
        sha256_of(pem.ptr, pem.len, digest);
    }
    buf_fini(&pem);
    return !have || memcmp(digest, m->client_ca_digest, sizeof(digest)) != 0;
}

bool tls_material_changed(const struct tls_material *m)
{
    bool changed = client_ca_changed(m);

    for (size_t i = 0; i < m->count && !changed; i++) {
        changed = pair_changed(&m->pair[i]);
    }
    return changed;
}

bool tls_material_same(const struct tls_material *a, const struct tls_material *b)
{
    bool same = a != NULL && b != NULL && a->count == b->count &&
                memcmp(a->client_ca_digest, b->client_ca_digest, SHA256_LEN) == 0;

    for (size_t i = 0; same && i < a->count; i++) {
        same = memcmp(a->pair[i].digest, b->pair[i].digest, SHA256_LEN) == 0;
    }
    return same;
}

size_t tls_material_expiry(const struct tls_material *m, struct tls_expiry *out, size_t max)
{
    size_t n = min_size(m->count, max);

    for (size_t i = 0; i < n; i++) {
        out[i] = (struct tls_expiry){ m->pair[i].certificate_path, m->pair[i].not_after_s };
    }
    return n;
}
