/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe.c - the negotiated parameters, or why the handshake failed, for facts, Received and logs.
 *
 * A client whose TLS shares nothing with ours always fails, and its mail is delayed each time.  So session_tls.c stops
 * offering it STARTTLS.  No other failure may push a client to clear text, so tls_note_mismatch() needs proof: our own
 * search found nothing, or the client's alert names the parameters (never the certificate).  A reset in place of an
 * answer to ServerHello also counts, because some clients do that instead of an alert.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "tls/tls_priv.h"

/* Puts the subject as one line, reduced to printable ASCII because it is from a peer. */
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

/* OpenSSL's "TLSv1.3" in the usual spelling, "TLS1.3". */
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

/* Did we request a certificate, and did an issuer that we trust sign it?  OpenSSL also reports OK for none. */
static bool is_verified(const struct tls_session *t)
{
    return (SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER) != 0 &&
           SSL_get0_peer_certificate(t->ssl) != NULL && SSL_get_verify_result(t->ssl) == X509_V_OK;
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
    out->verified = is_verified(t);
    out->subject[0] = '\0';
    if (t->client != NULL || out->verified) {
        put_subject(t->ssl, out->subject, sizeof(out->subject));
    }
    return true;
}

static bool names_parameters(int reason)
{
    switch (reason) {
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
        return true;
    default:
        return false;
    }
}

/* Has the client received our ServerHello and sent nothing since? */
static bool owes_answer(const SSL *ssl)
{
    OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);

    return state == TLS_ST_SW_SRVR_HELLO || state == TLS_ST_SW_SRVR_DONE || state == TLS_ST_EARLY_DATA;
}

void tls_note_mismatch(struct tls_session *t, int ssl_error, int err)
{
    unsigned long code = ERR_peek_last_error();

    if (!SSL_is_server(t->ssl) || SSL_is_init_finished(t->ssl)) {
        return;
    }
    t->mismatch = ssl_error == SSL_ERROR_SYSCALL
                      ? (err == ECONNRESET || err == EPIPE) && owes_answer(t->ssl)
                      : ERR_GET_LIB(code) == ERR_LIB_SSL && names_parameters(ERR_GET_REASON(code));
}

bool tls_mismatch(const struct stream *s)
{
    const struct tls_session *t = stream_transport_state(s);

    return t != NULL && t->mismatch;
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
