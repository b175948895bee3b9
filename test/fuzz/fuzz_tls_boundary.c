/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_tls_boundary.c - the transport of tls/ against a client of OpenSSL's, whose octets arrive in any
 * pieces.
 *
 * Input      octet 0: how many octets a piece has (1..16); octets 1, 2: which octet of what the client sends
 * is damaged (0: none); the rest is the content. Undamaged, the content must come out whole and unchanged;
 *            damaged, what comes out must be a beginning of it, and nothing may crash or hang.
 */
#include <fcntl.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include "tls/tls_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUNDS_MAX 200000
#define CONTENT_MAX 4096

static SSL_CTX *server_ctx, *client_ctx; /* made once */

static X509 *self_signed(EVP_PKEY *key)
{
    X509 *x = X509_new();

    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"mx.test",
                               -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_sign(x, key, EVP_sha256());
    return x;
}

static void make_contexts(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = self_signed(key);

    server_ctx = SSL_CTX_new(TLS_server_method());
    client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate(server_ctx, x);
    SSL_CTX_use_PrivateKey(server_ctx, key);
    SSL_CTX_set_read_ahead(server_ctx, 1);
    SSL_CTX_set_mode(server_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    X509_free(x);
    EVP_PKEY_free(key);
}

struct wire {
    SSL *client;
    BIO *to_client, *from_client;
    int fd[2];    /* the server's end, ours */
    size_t piece; /* octets at a time */
    size_t sent, damaged_at;
    struct slice content;
    size_t written;
};

/* The client goes as far as it can; then one piece of what it said goes to the server, and all of what that
 * said back. */
static void pass(struct wire *w)
{
    char mem[16384];
    ssize_t n;
    int got;

    if (SSL_do_handshake(w->client) == 1 && w->written < w->content.len) {
        got = SSL_write(w->client, w->content.ptr + w->written, (int)(w->content.len - w->written));
        w->written += got > 0 ? (size_t)got : 0;
    }
    got = BIO_read(w->from_client, mem, (int)w->piece);
    for (int i = 0; i < got; i++) {
        if (++w->sent == w->damaged_at) {
            mem[i] = (char)(mem[i] ^ 0x55);
        }
    }
    if (got > 0) {
        n = send(w->fd[1], mem, (size_t)got, MSG_NOSIGNAL);
        BUG_ON(n != got);
    }
    while ((n = recv(w->fd[1], mem, sizeof(mem), MSG_DONTWAIT)) > 0) {
        BIO_write(w->to_client, mem, (int)n);
    }
}

static size_t serve(struct wire *w, struct tls_session *t, char *out, size_t max)
{
    size_t len = 0;
    bool open = false;

    for (unsigned round = 0; round < ROUNDS_MAX && len < w->content.len; round++) {
        int status;
        ssize_t n;

        pass(w);
        if (!open) {
            status = tls_transport.handshake(t, w->fd[0]);
            open = status == 1;
            if (status != 1 && status != STREAM_AGAIN_READ && status != STREAM_AGAIN_WRITE) {
                break;
            }
            continue;
        }
        n = tls_transport.read(t, w->fd[0], out + len, max - len);
        if (n > 0) {
            len += (size_t)n;
        } else if (n != STREAM_AGAIN_READ && n != STREAM_AGAIN_WRITE) {
            break;
        } else if (w->damaged_at != 0 && w->written == w->content.len && BIO_pending(w->from_client) == 0) {
            break; /* a damaged length may leave it waiting for ever: that is what deadlines are for */
        }
    }
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire w = { .piece = 16 };
    struct tls_session *t;
    char out[CONTENT_MAX];
    size_t len;

    if (size < 4 || size > CONTENT_MAX) {
        return 0;
    }
    if (server_ctx == NULL) {
        make_contexts();
    }
    w.piece = 1 + data[0] % 16u;
    w.damaged_at = (size_t)data[1] << 8 | data[2];
    w.content = slice_of(data + 3, size - 3);
    BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w.fd) != 0);
    w.client = SSL_new(client_ctx);
    w.to_client = BIO_new(BIO_s_mem());
    w.from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(w.client, w.to_client, w.from_client);
    SSL_set_connect_state(w.client);
    t = tls_session_new(SSL_new(server_ctx));
    SSL_set_accept_state(t->ssl);
    len = serve(&w, t, out, sizeof(out));
    BUG_ON(len > w.content.len || memcmp(out, w.content.ptr, len) != 0);
    BUG_ON(w.damaged_at == 0 && len != w.content.len);
    tls_transport.close(t, w.fd[0]);
    SSL_free(w.client);
    close(w.fd[0]);
    close(w.fd[1]);
    return 0;
}
