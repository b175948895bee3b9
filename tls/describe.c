/*
 * describe.c - what was negotiated, for facts, Received and logs.
 */
#include <openssl/x509.h>

#include "tls/tls_priv.h"

/* The subject's one line, reduced to printable ASCII: it came from a peer. */
static void put_subject(SSL *ssl, char *mem, size_t size)
{
    X509 *x = SSL_get1_peer_certificate(ssl);
    char line[512] = "";
    struct buf b;

    mem[0] = '\0';
    if (x == NULL) {
        return;
    }
    X509_NAME_oneline(X509_get_subject_name(x), line, sizeof(line));
    buf_init_fixed(&b, mem, size);
    buf_put_quoted(&b, slice_str(line), size / 4);
    X509_free(x);
}

/* "TLSv1.3" as everybody else writes it: "TLS1.3". */
static const char *version_name(const SSL *ssl)
{
    switch (SSL_version(ssl)) {
    case TLS1_3_VERSION:
        return "TLS1.3";
    case TLS1_2_VERSION:
        return "TLS1.2";
    case TLS1_1_VERSION:
        return "TLS1.1";
    case TLS1_VERSION:
        return "TLS1.0";
    default:
        return "TLS";
    }
}

bool tls_info(const struct stream *s, struct tls_info *out)
{
    const struct tls_session *t = stream_transport_state(s);

    if (t == NULL) {
        return false;
    }
    out->version = version_name(t->ssl);
    out->cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(t->ssl));
    if (out->cipher == NULL) {
        out->cipher = "unknown";
    }
    out->resumed = SSL_session_reused(t->ssl) == 1;
    out->verified = t->client != NULL && SSL_get_verify_mode(t->ssl) == SSL_VERIFY_PEER &&
                    SSL_get_verify_result(t->ssl) == X509_V_OK;
    put_subject(t->ssl, out->subject, sizeof(out->subject));
    return true;
}

bool tls_untrusted(const struct stream *s)
{
    const struct tls_session *t = stream_transport_state(s);

    return t != NULL && t->client != NULL && SSL_get_verify_mode(t->ssl) == SSL_VERIFY_PEER &&
           SSL_get_verify_result(t->ssl) != X509_V_OK;
}

const char *tls_error(const struct stream *s)
{
    const struct tls_session *t = stream_transport_state(s);

    if (t == NULL) {
        return "no TLS";
    }
    if (tls_untrusted(s)) {
        return X509_verify_cert_error_string(SSL_get_verify_result(t->ssl));
    }
    return t->error[0] != '\0' ? t->error : "the handshake was not finished";
}
