/*
 * material.c - certificates and keys as octets, read and checked by the supervisor.
 *
 * Workers may not read keys after they drop their privileges, and a renewed pair must be judged before
 * anything is changed for it; so files are read here, once, and contexts are made from memory.  Changes are
 * seen by content, not by time stamp, so a symbolic link that was turned around counts.
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

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    else
        f = fdopen(fd, "rb");
    if (f == NULL)
        close(fd);
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
        errno = !buf_ok(out) ? EFBIG : ENODATA; /* for the case that it is refused */
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

/* A password-protected key cannot be used by a service: never ask a terminal. */
static int no_password(char *mem UNUSED, int size UNUSED, int rw UNUSED, void *arg UNUSED)
{
    return -1;
}

static void check_dates(const X509 *x, struct tls_pair *p, int line, struct config_errors *errs)
{
    int64_t now = wall_now_s();

    p->not_after_s = to_seconds(X509_get0_notAfter(x));
    if (p->not_after_s < now) {
        config_errors_add(errs, false, line, 1, "the certificate %s has expired", p->certificate_path);
    } else if (p->not_after_s < now + SOON_S) {
        config_errors_add(errs, true, line, 1, "the certificate %s expires in %d days", p->certificate_path,
                          (int)((p->not_after_s - now) / 86400));
    }
    if (to_seconds(X509_get0_notBefore(x)) > now) {
        config_errors_add(errs, true, line, 1, "the certificate %s is not valid yet", p->certificate_path);
    }
}

static void check_pair(struct tls_pair *p, int line, struct config_errors *errs)
{
    BIO *cb = BIO_new_mem_buf(p->certificate.ptr, (int)p->certificate.len);
    BIO *kb = BIO_new_mem_buf(p->key.ptr, (int)p->key.len);
    X509 *x = PEM_read_bio_X509(cb, NULL, no_password, NULL);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(kb, NULL, no_password, NULL);

    if (x == NULL) {
        config_errors_add(errs, false, line, 1, "%s holds no PEM certificate", p->certificate_path);
    } else {
        check_dates(x, p, line, errs);
    }
    if (k == NULL) {
        config_errors_add(errs, false, line, 1,
                          "%s holds no PEM private key that can be read without a password", p->key_path);
    }
    if (x != NULL && k != NULL && X509_check_private_key(x, k) != 1) {
        config_errors_add(errs, false, line, 1, "the private key %s does not belong to the certificate %s",
                          p->key_path, p->certificate_path);
    }
    EVP_PKEY_free(k);
    X509_free(x);
    BIO_free(kb);
    BIO_free(cb);
    ERR_clear_error();
}

static void load_pair(struct tls_pair *p, const struct config_keypair *kp, struct config_errors *errs)
{
    int certificate_errno, key_errno;
    bool certificate, key;

    p->certificate_path = kp->certificate;
    p->key_path = kp->private_key;
    certificate = read_file(kp->certificate, &p->certificate);
    certificate_errno = errno;
    key = read_file(kp->private_key, &p->key);
    key_errno = errno;
    if (!certificate) {
        config_errors_add(errs, false, kp->line, 1, "the certificate %s cannot be read: %s", kp->certificate,
                          strerror(certificate_errno));
    }
    if (!key) {
        config_errors_add(errs, false, kp->line, 1, "the private key %s cannot be read: %s", kp->private_key,
                          strerror(key_errno));
    }
    if (certificate && key) {
        digest_of(&p->certificate, &p->key, p->digest);
        check_pair(p, kp->line, errs);
    }
}

/* Would a worker get its contexts?  Said here, where somebody hears of it. */
static void try_contexts(const struct config *conf, const struct tls_material *m, struct config_errors *errs)
{
    _Alignas(64) unsigned char share[TLS_TICKET_SHARE] = { 0 };

    tls_server_free(tls_server_new(conf, m, share, errs));
    OPENSSL_cleanse(share, sizeof(share));
}

struct tls_material *tls_material_load(const struct config *conf, struct config_errors *errs)
{
    struct tls_material *m = xcalloc(1, sizeof(*m));
    size_t before = errs->fatal;

    for (size_t i = 0; i < conf->tls.pair_count; i++) {
        load_pair(&m->pair[m->count++], &conf->tls.pair[i], errs);
    }
    if (errs->fatal == before) {
        try_contexts(conf, m, errs);
    }
    if (errs->fatal > before) {
        tls_material_free(m);
        return NULL;
    }
    return m;
}

static void wipe(struct buf *b)
{
    if (b->ptr != NULL) {
        OPENSSL_cleanse(b->ptr, b->len);
    }
    buf_fini(b);
}

void tls_material_free(struct tls_material *m)
{
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < m->count; i++) {
        buf_fini(&m->pair[i].certificate);
        wipe(&m->pair[i].key);
    }
    free(m);
}

bool tls_material_changed(const struct tls_material *m)
{
    bool changed = false;

    for (size_t i = 0; i < m->count && !changed; i++) {
        const struct tls_pair *p = &m->pair[i];
        struct buf certificate, key;
        uint8_t digest[SHA256_LEN];
        bool have = read_file(p->certificate_path, &certificate);

        have = read_file(p->key_path, &key) && have;
        changed = !have;
        if (have) {
            digest_of(&certificate, &key, digest);
            changed = memcmp(digest, p->digest, sizeof(digest)) != 0;
        }
        buf_fini(&certificate);
        wipe(&key);
    }
    return changed;
}

size_t tls_material_expiry(const struct tls_material *m, struct tls_expiry *out, size_t max)
{
    size_t n = min_size(m->count, max);

    for (size_t i = 0; i < n; i++) {
        out[i] = (struct tls_expiry){ m->pair[i].certificate_path, m->pair[i].not_after_s };
    }
    return n;
}
