/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport.c - the stream's transport table over one SSL object.
 *
 * OpenSSL requires that a write that would block is repeated with the same octets.  A stream repeats octets that were
 * not taken.  So we keep a copy of the record until it is sent, and only then count it as taken.  If the repeated
 * octets differ, we break the connection rather than send garbled data.
 *
 * One call reads the descriptor at most READS_A_CALL times, then returns "would block".  OpenSSL itself continues while
 * records arrive that hold no data for us, such as key updates (RFC 8446 4.6.3).  A peer that sends them faster than
 * OpenSSL processes them would block the loop for ever (L13).
 *
 * A TCP close without close_notify is an error and not an end of file (TLS-16): only its end mark makes a message
 * complete, and a message that an attacker cut off must not look complete.
 */
#include <errno.h>
#include <openssl/err.h>

#include "tls/tls_priv.h"

#define READS_A_CALL 3 /* a record of full size takes two */

struct tls_session *tls_session_new(SSL *ssl)
{
    struct tls_session *t = xcalloc(1, sizeof(*t));

    t->ssl = ssl;
    SSL_set_app_data(ssl, t);
    return t;
}

void tls_reason(char *mem, size_t size, const char *fallback)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;
    struct buf b;

    ERR_clear_error();
    buf_init_fixed(&b, mem, size);
    buf_put_str(&b, text != NULL ? text : fallback);
}

/* Maps the result of SSL_get_error() to a transport result; 0 for a clean end. */
static int status_of(struct tls_session *t, int result)
{
    int err = errno;
    int why = SSL_get_error(t->ssl, result);

    switch (why) {
    case SSL_ERROR_WANT_READ:
        return STREAM_AGAIN_READ;
    case SSL_ERROR_WANT_WRITE:
        return STREAM_AGAIN_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        tls_note_mismatch(t, why, err);
        tls_reason(t->error, sizeof(t->error), "the peer closed the connection");
        break;
    default:
        tls_note_mismatch(t, why, err);
        tls_reason(t->error, sizeof(t->error), "TLS error");
        break;
    }
    t->broken = true;
    return STREAM_BROKEN;
}

/* OpenSSL calls this around each read and write of the descriptor; it defines the parameters. */
/* NOLINTNEXTLINE(readability-function-size) */
static long on_descriptor(BIO *bio, int what, const char *mem UNUSED, size_t len UNUSED, int i UNUSED,
                          long l UNUSED, int result, size_t *done UNUSED)
{
    struct tls_session *t = (struct tls_session *)(void *)BIO_get_callback_arg(bio);

    if (what != BIO_CB_READ) {
        return result;
    }
    if (t->reads == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    t->reads--;
    return result;
}

static ssize_t tls_read(void *state, int fd UNUSED, void *mem, size_t len)
{
    struct tls_session *t = state;
    size_t n = 0;
    int r;

    if (t->broken) {
        return STREAM_BROKEN;
    }
    ERR_clear_error();
    t->reads = READS_A_CALL;
    r = SSL_read_ex(t->ssl, mem, len, &n);
    return r == 1 ? (ssize_t)n : status_of(t, r);
}

/* Writes one record; returns the octets taken, or a status. */
static ssize_t write_record(struct tls_session *t, const char *data, size_t len)
{
    size_t n = 0;
    int r;

    ERR_clear_error();
    r = SSL_write_ex(t->ssl, data, len, &n);
    return r == 1 ? (ssize_t)n : status_of(t, r);
}

/* Copies up to `room` octets of the vector into mem, without the first `skip`. */
static size_t gather(const struct iovec *iov, int count, size_t skip, char *mem, size_t room)
{
    size_t len = 0;

    for (int i = 0; i < count && len < room; i++) {
        size_t from = min_size(skip, iov[i].iov_len);
        size_t n = min_size(iov[i].iov_len - from, room - len);

        memcpy(mem + len, (const char *)iov[i].iov_base + from, n);
        len += n;
        skip -= from;
    }
    return len;
}

/* Repeats the record that blocked last time; > 0: sent, with this many octets of the vector. */
static ssize_t repeat_held(struct tls_session *t, const struct iovec *iov, int count)
{
    char again[TLS_RECORD_MAX];
    size_t len = gather(iov, count, 0, again, t->held_len);
    ssize_t n;

    if (len < t->held_len || memcmp(again, t->held, len) != 0) {
        t->broken = true;
        return STREAM_BROKEN;
    }
    n = write_record(t, t->held, t->held_len);
    if (n > 0) {
        free(t->held);
        t->held = NULL;
        t->held_len = 0;
    }
    return n;
}

static ssize_t tls_writev(void *state, int fd UNUSED, const struct iovec *iov, int count)
{
    struct tls_session *t = state;
    char record[TLS_RECORD_MAX];
    size_t taken = 0, len;
    ssize_t n = 1;

    if (t->broken) {
        return STREAM_BROKEN;
    }
    if (t->held != NULL) {
        n = repeat_held(t, iov, count);
        taken = n > 0 ? (size_t)n : 0;
    }
    while (n > 0 && (len = gather(iov, count, taken, record, sizeof(record))) > 0) {
        n = write_record(t, record, len);
        if (n == STREAM_AGAIN_WRITE || n == STREAM_AGAIN_READ) {
            t->held = xmalloc(len);
            t->held_len = len;
            memcpy(t->held, record, len);
        } else if (n > 0) {
            taken += (size_t)n;
        }
    }
    return taken > 0 ? (ssize_t)taken : n;
}

static bool set_descriptor(struct tls_session *t, int fd)
{
    if (SSL_set_fd(t->ssl, fd) != 1) {
        return false;
    }
    BIO_set_callback_ex(SSL_get_rbio(t->ssl), on_descriptor);
    BIO_set_callback_arg(SSL_get_rbio(t->ssl), (char *)t);
    return true;
}

static int tls_handshake(void *state, int fd)
{
    struct tls_session *t = state;
    int r;

    if (t->broken) {
        return STREAM_BROKEN;
    }
    if (SSL_get_fd(t->ssl) != fd && !set_descriptor(t, fd)) {
        t->broken = true;
        return STREAM_BROKEN;
    }
    ERR_clear_error();
    t->reads = READS_A_CALL;
    r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        return 1;
    }
    r = status_of(t, r);
    return r == 0 ? STREAM_BROKEN : r;
}

static bool tls_pending(const void *state)
{
    const struct tls_session *t = state;

    return !t->broken && SSL_has_pending(t->ssl) == 1;
}

static void tls_close(void *state, int fd)
{
    struct tls_session *t = state;

    if (fd >= 0 && !t->broken && t->held == NULL && SSL_is_init_finished(t->ssl)) {
        ERR_clear_error();
        SSL_shutdown(t->ssl); /* one try: send the alert now or never */
    }
    ERR_clear_error();
    SSL_free(t->ssl);
    free(t->held);
    free(t);
}

const struct transport tls_transport = {
    .read = tls_read,
    .writev = tls_writev,
    .handshake = tls_handshake,
    .pending = tls_pending,
    .close = tls_close,
};
