/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tls.c - streams under TLS, with OpenSSL on both sides.
 *
 * a is the server's stream.  Its peer is b, a stream under tls/client.c, or a plain SSL object that is turned
 * by hand (`raw`) where the test wants what our own client never does.  A relay between the two passes one
 * octet a turn, so that every record is cut everywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/unit/core/stream_owner.h"
#include "test/unit/tls/pairs.h"
#include "tls/tls_priv.h"

#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>

#define DAY 86400L
#define MIB ((size_t)1024 * 1024)

static const struct pair_spec specs[] = {
    { "rsa", "DNS:mx.example,DNS:*.wild.example", false, -DAY, 90 * DAY },
    { "ec", "DNS:mx.example,DNS:*.wild.example", true, -DAY, 90 * DAY },
    { "two", "DNS:two.example", true, -DAY, 90 * DAY },
};

static struct pair_paths paths[ARRAY_LEN(specs)];
static struct config *conf;
static struct tls_material *material;
static struct tls_server *server;
static struct tls_client *client;
static struct config_upstream upstream;
static _Alignas(64) unsigned char share[TLS_TICKET_SHARE];

/* ---- the two sides ---- */

static struct tls_server *make_server(int min_version)
{
    struct config_errors errs = { 0 };
    struct tls_server *t;

    conf->tls.min_version = min_version;
    t = tls_server_new(conf, material, share, &errs);
    assert_non_null(t);
    config_errors_fini(&errs);
    return t;
}

static struct tls_server *make_strong_server(void)
{
    struct tls_server *t;

    conf->tls.ciphers = "strong";
    t = make_server(TLS1_2_VERSION);
    conf->tls.ciphers = "";
    return t;
}

static bool both_open(void)
{
    for (int i = 0; i < 4000 && (a.opens == 0 || b.opens == 0) && a.errors + b.errors == 0; i++) {
        (void)run_for(1);
    }
    return a.opens == 1 && b.opens == 1;
}

static void close_both(void)
{
    stream_close(&b.s);
    stream_close(&a.s);
    (void)run_for(1);
    reset_owners();
}

/* ---- a relay of one octet a turn ---- */

struct relay {
    struct watch in[2];
    int fd[2]; /* towards a, towards b */
};

static struct relay relay;

static void pass(int from, int to)
{
    char c;

    if (recv(from, &c, 1, MSG_PEEK) == 1 && send(to, &c, 1, MSG_NOSIGNAL) == 1) {
        assert_int_equal(read(from, &c, 1), 1); /* not before it went on: the other side may be full */
    }
}

static void on_relay_a(unsigned ready UNUSED, void *arg UNUSED)
{
    pass(relay.fd[0], relay.fd[1]);
}

static void on_relay_b(unsigned ready UNUSED, void *arg UNUSED)
{
    pass(relay.fd[1], relay.fd[0]);
}

static void two_streams_relayed(void)
{
    int x[2], y[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, x), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, y), 0);
    a.s = stream_new(loop, x[0], &events, &a);
    b.s = stream_new(loop, y[0], &events, &b);
    relay.fd[0] = x[1];
    relay.fd[1] = y[1];
    watch_init(&relay.in[0], loop, x[1], on_relay_a, NULL);
    watch_init(&relay.in[1], loop, y[1], on_relay_b, NULL);
    watch_set(&relay.in[0], WATCH_READ);
    watch_set(&relay.in[1], WATCH_READ);
}

static void end_relay(void)
{
    for (int i = 0; i < 2; i++) {
        watch_stop(&relay.in[i]);
        close(relay.fd[i]);
    }
}

/* ---- a client of plain OpenSSL ---- */

struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static struct raw raw_on(int fd)
{
    struct raw r = { SSL_CTX_new(TLS_client_method()), NULL, fd };

    r.ssl = SSL_new(r.ctx);
    SSL_set_fd(r.ssl, r.fd);
    SSL_set_connect_state(r.ssl);
    return r;
}

static struct raw raw_new(void)
{
    return raw_on(one_stream());
}

static bool raw_handshake(struct raw *r, struct tls_server *t)
{
    tls_accept(t, a.s);
    for (int i = 0; i < 2000; i++) {
        int n = SSL_do_handshake(r->ssl);

        if (n == 1 && a.opens == 1) {
            return true;
        }
        if (a.errors > 0 || (n != 1 && SSL_get_error(r->ssl, n) != SSL_ERROR_WANT_READ)) {
            (void)run_for(20);
            return false;
        }
        (void)run_for(1);
    }
    return false;
}

static void raw_free(struct raw *r)
{
    stream_close(&a.s);
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    close(r->fd);
    reset_owners();
}

/* ---- tests ---- */

static void both_sides_agree_and_say_on_what(void **state)
{
    struct tls_info info;

    (void)state;
    two_streams();
    assert_false(tls_info(a.s, &info));
    assert_string_equal(tls_error(a.s), "no TLS");
    tls_accept(server, a.s);
    tls_connect(client, b.s, "mx.example", NULL);
    assert_true(both_open());
    assert_true(tls_info(a.s, &info));
    assert_string_equal(info.version, "TLS1.3");
    assert_int_equal(strncmp(info.cipher, "TLS_", 4), 0);
    assert_string_equal(info.subject, "");
    stream_write(a.s, SLICE("220 hello\r\n"));
    stream_write(b.s, SLICE("EHLO a\r\n"));
    (void)run_for(50);
    assert_got(&a, "EHLO a\r\n", 8);
    assert_got(&b, "220 hello\r\n", 11);
    close_both();
}

static void records_cut_at_every_octet_arrive_unchanged(void **state)
{
    (void)state;
    two_streams_relayed();
    tls_accept(server, a.s);
    tls_connect(client, b.s, "mx.example", NULL);
    assert_true(both_open());
    for (size_t i = 0; i < 40; i++) { /* many small records and a few larger ones */
        stream_write(b.s, slice_of(big + i * 50, 50));
        stream_write(a.s, slice_of(big + i * 50, 50));
        (void)run_for(2);
    }
    stream_write(b.s, slice_of(big + 2000, 3000));
    for (int i = 0; i < 2000 && (a.got.len < 5000 || b.got.len < 2000); i++) {
        (void)run_for(2);
    }
    assert_got(&a, big, 5000);
    assert_got(&b, big, 2000);
    close_both();
    end_relay();
}

/* A reader that stops now and then, a kernel that is full soon: half writes and records that must wait. */
static void a_mebibyte_goes_both_ways_through_slow_readers(void **state)
{
    (void)state;
    two_streams();
    tls_accept(server, a.s);
    tls_connect(client, b.s, "mx.example", NULL);
    assert_true(both_open());
    stream_set_input_max(a.s, 3000);
    stream_set_input_max(b.s, 70000);
    a.body = b.body = big;
    a.body_len = b.body_len = MIB;
    send_body(&a);
    send_body(&b);
    for (int i = 0; i < 4000 && (a.got.len < MIB || b.got.len < MIB); i++) {
        stream_pause(i % 2 ? a.s : b.s);
        (void)run_for(1);
        stream_resume(i % 2 ? a.s : b.s);
        (void)run_for(1);
        stream_write(a.s, SLICE_NONE);
    }
    assert_got(&a, big, MIB);
    assert_got(&b, big, MIB);
    assert_true(a.writables > 0 && b.writables > 0);
    close_both();
}

/* Small queued writes between the pieces of a body keep their order while records wait. */
static void the_queue_and_the_body_keep_their_order(void **state)
{
    static char want[MIB];
    size_t len = 0, sent = 0;

    (void)state;
    two_streams();
    tls_accept(server, a.s);
    tls_connect(client, b.s, "mx.example", NULL);
    assert_true(both_open());
    for (int i = 0; len + 20000 < sizeof(want); i++) {
        struct slice small = slice_of(big + i, (size_t)i % 700);

        if (stream_queued(b.s) < 100000) {
            stream_write(b.s, small);
            memcpy(want + len, small.ptr, small.len);
            len += small.len;
        }
        if (stream_queued(b.s) == 0 || i % 3 == 0) {
            struct iovec iov = { big + i * 2, 9000 };
            size_t n = stream_send(b.s, &iov, 1);

            memcpy(want + len, iov.iov_base, n);
            len += n;
            sent += n;
        }
        if (i % 7 == 0) {
            (void)run_for(1);
        }
    }
    for (int i = 0; i < 4000 && a.got.len < len; i++) {
        (void)run_for(1);
    }
    assert_true(sent > 0);
    assert_got(&a, want, len);
    close_both();
}

static struct tls_resume *resume;

static bool resumes_as(struct tls_server *t, const char *name)
{
    struct tls_info info = { 0 };

    two_streams();
    tls_accept(t, a.s);
    tls_connect(client, b.s, name, resume);
    assert_true(both_open());
    stream_write(a.s, SLICE("x")); /* the ticket comes with it */
    (void)run_for(20);
    assert_true(tls_info(a.s, &info));
    close_both();
    return info.resumed;
}

static bool resumes_at(struct tls_server *t)
{
    return resumes_as(t, "mx.example");
}

static void sessions_are_resumed_at_any_worker(void **state)
{
    struct tls_server *other = make_server(TLS1_2_VERSION);
    struct tls_client *fresh = tls_client_new(&upstream, NULL), *kept = client;

    (void)state;
    client = fresh;
    resume = tls_resume_new();
    assert_false(resumes_at(server));
    assert_true(resumes_at(server));
    assert_true(resumes_at(other)); /* the keys are in the shared memory */
    memset(share, 0, sizeof(share));
    tls_tickets_prepare(share);
    assert_false(resumes_at(other)); /* other keys: a whole handshake, not an error */
    assert_true(resumes_at(server));
    assert_false(resumes_as(server, "mx2.example")); /* C12: no certificate was seen for this name */
    assert_true(resumes_as(server, "mx2.example"));
    assert_false(resumes_at(server));
    tls_resume_free(resume);
    client = kept;
    tls_client_free(fresh);
    tls_server_free(other);
}

static int key_type_at(struct tls_server *t, const char *ciphers, const char *name)
{
    struct raw r = raw_new();
    X509 *x;
    int type = 0;

    SSL_set_max_proto_version(r.ssl, TLS1_2_VERSION);
    assert_int_equal(SSL_set_cipher_list(r.ssl, ciphers), 1);
    SSL_set_tlsext_host_name(r.ssl, (void *)(uintptr_t)name);
    if (raw_handshake(&r, t)) {
        x = SSL_get1_peer_certificate(r.ssl);
        type = EVP_PKEY_get_base_id(X509_get0_pubkey(x));
        X509_free(x);
    }
    raw_free(&r);
    return type;
}

static int key_type_for(const char *ciphers, const char *name)
{
    return key_type_at(server, ciphers, name);
}

static void a_client_gets_the_key_type_it_can_use(void **state)
{
    (void)state;
    assert_int_equal(key_type_for("ECDHE-RSA-AES128-GCM-SHA256", "mx.example"), EVP_PKEY_RSA);
    assert_int_equal(key_type_for("ECDHE-ECDSA-AES128-GCM-SHA256", "mx.example"), EVP_PKEY_EC);
    assert_int_equal(key_type_for("ECDHE-RSA-AES256-SHA384", "mx.example"), EVP_PKEY_RSA);
    assert_int_equal(key_type_for("ADH-AES128-GCM-SHA256:@SECLEVEL=0", "mx.example"), 0);
    assert_int_equal(key_type_for("NULL-SHA256:@SECLEVEL=0", "mx.example"), 0);
}

/* What each client of TLS 1.2 offers alone: taken by default, and by `strong`? */
static void old_ciphers_are_taken_by_default_and_not_by_strong(void **state)
{
    static const struct {
        const char *ciphers;
        bool strong;
    } rows[] = {
        { "AES128-SHA", false },
        { "AES256-GCM-SHA384", false },
        { "ECDHE-RSA-AES128-SHA", false },
        { "DHE-RSA-AES256-SHA", false },
        { "ECDHE-RSA-AES256-SHA384", false },
        { "DHE-RSA-AES128-GCM-SHA256", true },
        { "ECDHE-RSA-AES256-GCM-SHA384", true },
    };
    struct tls_server *strong = make_strong_server();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (key_type_for(rows[i].ciphers, "mx.example") != EVP_PKEY_RSA) {
            fail_msg("%s: not taken by default", rows[i].ciphers);
        }
        if ((key_type_at(strong, rows[i].ciphers, "mx.example") != 0) != rows[i].strong) {
            fail_msg("%s: %staken by strong", rows[i].ciphers, rows[i].strong ? "not " : "");
        }
    }
    tls_server_free(strong);
}

static bool group_works_at(struct tls_server *t, int version, const char *group)
{
    struct raw r = raw_new();
    bool ok;

    SSL_set_max_proto_version(r.ssl, version);
    assert_int_equal(SSL_set1_groups_list(r.ssl, (char *)(uintptr_t)group), 1);
    ok = raw_handshake(&r, t);
    raw_free(&r);
    return ok;
}

static void old_groups_are_taken_by_default_and_not_by_strong(void **state)
{
    static const struct {
        const char *group;
        bool usual, strong;
    } rows[] = {
        { "X25519", true, true },      { "P-256", true, true }, { "P-384", true, true },
        { "P-521", true, false },      { "X448", true, false }, { "ffdhe2048", true, false },
        { "ffdhe8192", false, false }, /* dear, and no client offers it alone */
    };
    struct tls_server *strong = make_strong_server();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (group_works_at(server, TLS1_3_VERSION, rows[i].group) != rows[i].usual ||
            group_works_at(strong, TLS1_3_VERSION, rows[i].group) != rows[i].strong) {
            fail_msg("%s", rows[i].group);
        }
    }
    assert_true(group_works_at(server, TLS1_2_VERSION, "P-521"));
    tls_server_free(strong);
}

static void aes_128_is_preferred_and_nothing_is_forced(void **state)
{
    static const struct {
        int version;
        const char *offered, *chosen;
    } rows[] = {
        { TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256" },
        { TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384" },
        { TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
          "TLS_CHACHA20_POLY1305_SHA256" }, /* who puts it first has no AES in the processor */
        { TLS1_2_VERSION, "ECDHE+AESGCM", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" },
        { TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw r = raw_new();
        struct tls_info info;

        SSL_set_max_proto_version(r.ssl, rows[i].version);
        assert_int_equal(rows[i].version == TLS1_3_VERSION ? SSL_set_ciphersuites(r.ssl, rows[i].offered)
                                                           : SSL_set_cipher_list(r.ssl, rows[i].offered),
                         1);
        assert_true(raw_handshake(&r, server));
        assert_true(tls_info(a.s, &info));
        assert_string_equal(info.cipher, rows[i].chosen);
        raw_free(&r);
    }
}

static void names_choose_certificates_and_unknown_ones_get_the_first(void **state)
{
    static const struct {
        const char *name, *common;
    } rows[] = {
        { "two.example", "two" },   { "TWO.Example", "two" }, { "mx.example", "mx" },
        { "a.wild.example", "mx" }, { "unknown.test", "mx" }, { "a.b.wild.example", "mx" },
        { "wild.example", "mx" },   { NULL, "mx" },           { "two.example.evil.test", "mx" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw r = raw_new();
        char cn[100] = "";
        X509 *x;

        if (rows[i].name != NULL) {
            SSL_set_tlsext_host_name(r.ssl, (void *)(uintptr_t)rows[i].name);
        }
        if (!raw_handshake(&r, server)) {
            fail_msg("%s: no handshake", rows[i].name);
        }
        x = SSL_get1_peer_certificate(r.ssl);
        X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof(cn));
        X509_free(x);
        if ((strcmp(cn, "two") == 0) != (strcmp(rows[i].common, "two") == 0)) {
            fail_msg("%s: got %s", rows[i].name, cn);
        }
        raw_free(&r);
    }
}

static void alpn_is_smtp_or_ignored(void **state)
{
    static const struct {
        struct slice offer, chosen;
    } rows[] = {
        { SLICE_INIT("\4smtp"), SLICE_INIT("smtp") },
        { SLICE_INIT("\2h2\4smtp"), SLICE_INIT("smtp") },
        { SLICE_INIT("\5esmtp"), SLICE_INIT("") },
        { SLICE_INIT("\2h2\10http/1.1"), SLICE_INIT("") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw r = raw_new();
        const unsigned char *chosen;
        unsigned len;

        SSL_set_alpn_protos(r.ssl, (const unsigned char *)rows[i].offer.ptr, (unsigned)rows[i].offer.len);
        assert_true(raw_handshake(&r, server));
        SSL_get0_alpn_selected(r.ssl, &chosen, &len);
        assert_true(slice_eq(slice_of(chosen, len), rows[i].chosen));
        raw_free(&r);
    }
}

/* ---- certificates of clients ---- */

/* What the server says of a client with this certificate (NULL: none); the session works in any case. */
static void assert_subject(struct tls_server *t, const struct pair_paths *own, int version, const char *want)
{
    struct raw r = raw_new();
    struct tls_info info;

    SSL_set_max_proto_version(r.ssl, version);
    if (own != NULL) {
        assert_int_equal(SSL_use_certificate_file(r.ssl, own->certificate, SSL_FILETYPE_PEM), 1);
        assert_int_equal(SSL_use_PrivateKey_file(r.ssl, own->key, SSL_FILETYPE_PEM), 1);
    }
    assert_true(raw_handshake(&r, t));
    assert_true(tls_info(a.s, &info));
    assert_string_equal(info.subject, want);
    assert_int_equal(info.verified, want[0] != '\0');
    raw_free(&r);
}

static void a_clients_subject_is_one_that_was_verified(void **state)
{
    struct config_errors errs = { 0 };
    const struct pair_spec late = { "late", "DNS:late", true, -90 * DAY, -DAY };
    struct pair_paths expired;
    struct tls_material *m;
    struct tls_server *t;

    (void)state;
    pair_make(&late, &expired);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_subject(server, &paths[2], version, ""); /* no certificate is requested */
        conf->tls.client_ca = paths[2].certificate;
        m = tls_material_load(conf, &errs);
        t = tls_server_new(conf, m, share, &errs);
        assert_subject(t, &paths[2], version, "/CN=two");
        assert_subject(t, &paths[1], version, ""); /* of another authority */
        assert_subject(t, NULL, version, "");
        tls_server_free(t);
        tls_material_free(m);
        conf->tls.client_ca = expired.certificate;
        m = tls_material_load(conf, &errs);
        t = tls_server_new(conf, m, share, &errs);
        assert_subject(t, &expired, version, "");
        tls_server_free(t);
        tls_material_free(m);
        conf->tls.client_ca = "";
    }
    pair_remove("late");
    config_errors_fini(&errs);
}

/* A ticket carries what was said of the certificate: one from before a change of tls.client_ca must not be believed. */
static void a_ticket_carries_no_subject_to_another_authority(void **state)
{
    struct config_errors errs = { 0 };
    const char *files[] = { paths[2].certificate, paths[1].certificate };
    const char *subjects[] = { "/CN=two", "" };
    SSL_SESSION *kept = NULL;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tls_material *m;
        struct tls_server *t;
        struct raw r = raw_new();
        struct tls_info info;

        conf->tls.client_ca = files[i / 2];
        m = tls_material_load(conf, &errs);
        t = tls_server_new(conf, m, share, &errs);
        SSL_set_max_proto_version(r.ssl, TLS1_2_VERSION);
        SSL_use_certificate_file(r.ssl, paths[2].certificate, SSL_FILETYPE_PEM);
        SSL_use_PrivateKey_file(r.ssl, paths[2].key, SSL_FILETYPE_PEM);
        assert_true(kept == NULL || SSL_set_session(r.ssl, kept) == 1);
        assert_true(raw_handshake(&r, t));
        assert_true(tls_info(a.s, &info));
        assert_string_equal(info.subject, subjects[i / 2]);
        assert_int_equal(info.resumed, i == 1);
        SSL_SESSION_free(kept);
        kept = SSL_get1_session(r.ssl);
        SSL_set_shutdown(r.ssl, SSL_SENT_SHUTDOWN); /* else OpenSSL takes the session for a bad one */
        raw_free(&r);
        tls_server_free(t);
        tls_material_free(m);
    }
    SSL_SESSION_free(kept);
    conf->tls.client_ca = "";
}

static bool works_with(int version, struct tls_server *t, const char **named)
{
    struct raw r = raw_new();
    struct tls_info info;
    bool ok;

    SSL_set_security_level(r.ssl, 0);
    SSL_set_min_proto_version(r.ssl, version);
    SSL_set_max_proto_version(r.ssl, version);
    ok = raw_handshake(&r, t);
    if (ok) {
        assert_true(tls_info(a.s, &info));
        *named = info.version;
    }
    raw_free(&r);
    return ok;
}

static void old_versions_are_spoken_only_where_asked_for(void **state)
{
    static const struct {
        int version;
        const char *name;
        bool by_default, old, new_only;
    } rows[] = {
        { TLS1_VERSION, "TLS1.0", false, true, false },
        { TLS1_1_VERSION, "TLS1.1", false, true, false },
        { TLS1_2_VERSION, "TLS1.2", true, true, false },
        { TLS1_3_VERSION, "TLS1.3", true, true, true },
    };
    struct tls_server *old = make_server(TLS1_VERSION), *new_only = make_server(TLS1_3_VERSION);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *name = rows[i].name;

        if (works_with(rows[i].version, server, &name) != rows[i].by_default ||
            works_with(rows[i].version, old, &name) != rows[i].old ||
            works_with(rows[i].version, new_only, &name) != rows[i].new_only ||
            strcmp(name, rows[i].name) != 0) {
            fail_msg("%s", rows[i].name);
        }
    }
    tls_server_free(old);
    tls_server_free(new_only);
}

/* ---- why a handshake failed ---- */

enum ending { GOES_ON = 0, DISTRUSTS, RESETS, CLOSES };

static int never_good(int good UNUSED, X509_STORE_CTX *chain UNUSED)
{
    return 0;
}

/* By TCP: a reset needs it. */
static int tcp_stream(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    a.s = stream_new(loop, accept4(listener, NULL, NULL, SOCK_NONBLOCK), &events, &a);
    close(listener);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void end_raw(struct raw *r, enum ending how)
{
    struct linger at_once = { 1, 0 };
    char mem[16384];

    if (how == RESETS) {
        assert_int_equal(setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    }
    while (recv(r->fd, mem, sizeof(mem), 0) > 0) { /* what is not read makes a reset of any close */
    }
    close(r->fd);
    r->fd = -1;
}

/* The client's first flight, our answer, and then the client's last act: was nothing in common? */
static bool is_mismatch_after(enum ending how, const char *ciphers, int version)
{
    struct raw r = raw_on(tcp_stream());
    bool mismatch;

    SSL_set_max_proto_version(r.ssl, version);
    SSL_set_security_level(r.ssl, 0);
    assert_int_equal(SSL_set_cipher_list(r.ssl, ciphers), 1);
    if (how == DISTRUSTS) {
        SSL_set_verify(r.ssl, SSL_VERIFY_PEER, never_good);
    }
    tls_accept(server, a.s);
    assert_int_equal(SSL_get_error(r.ssl, SSL_do_handshake(r.ssl)), SSL_ERROR_WANT_READ);
    (void)run_for(20);
    if (how == RESETS || how == CLOSES) {
        end_raw(&r, how);
    } else {
        (void)SSL_do_handshake(r.ssl);
    }
    (void)run_for(20);
    assert_int_equal(a.errors, 1);
    mismatch = tls_mismatch(a.s);
    raw_free(&r);
    return mismatch;
}

static void nothing_in_common_is_told_from_the_rest(void **state)
{
    (void)state;
    assert_true(is_mismatch_after(GOES_ON, "ADH-AES128-SHA256", TLS1_2_VERSION));
    assert_true(is_mismatch_after(GOES_ON, "ALL", TLS1_1_VERSION));
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_false(is_mismatch_after(DISTRUSTS, "ALL", version));
        assert_false(is_mismatch_after(CLOSES, "ALL", version));
        assert_true(is_mismatch_after(RESETS, "ALL", version));
    }
}

static void a_client_cannot_renegotiate(void **state)
{
    struct raw r = raw_new();
    char c;
    int n;

    (void)state;
    SSL_set_max_proto_version(r.ssl, TLS1_2_VERSION);
    assert_true(raw_handshake(&r, server));
    assert_int_equal(SSL_renegotiate(r.ssl), 1);
    n = SSL_do_handshake(r.ssl);
    for (int i = 0; i < 50 && n != 1 && SSL_get_error(r.ssl, n) == SSL_ERROR_WANT_READ; i++) {
        (void)run_for(1);
        n = SSL_do_handshake(r.ssl);
    }
    assert_int_not_equal(n, 1);
    assert_true(SSL_read(r.ssl, &c, 1) <= 0);
    raw_free(&r);
}

static unsigned bio_reads;
static BIO_callback_fn_ex own_callback; /* the transport's */

/* The parameters are those of OpenSSL. */
/* NOLINTNEXTLINE(readability-function-size) */
static long count_reads(BIO *bio, int what, const char *mem, size_t len, int i, long l, int result,
                        size_t *done)
{
    long allowed = own_callback(bio, what, mem, len, i, l, result, done);

    bio_reads += what == BIO_CB_READ && allowed > 0;
    return allowed;
}

static void count_reads_of(struct stream *s)
{
    struct tls_session *session = stream_transport_state(s);

    own_callback = BIO_get_callback_ex(SSL_get_rbio(session->ssl));
    BIO_set_callback_ex(SSL_get_rbio(session->ssl), count_reads);
    bio_reads = 0;
}

/* Whoever sends half a record and then nothing must not keep the loop busy. */
static void half_a_record_waits_for_its_rest(void **state)
{
    struct raw r = raw_new();
    char record[200];
    int len;

    (void)state;
    assert_true(raw_handshake(&r, server));
    SSL_set0_wbio(r.ssl, BIO_new(BIO_s_mem()));
    assert_int_equal(SSL_write(r.ssl, "NOOP", 4), 4);
    len = BIO_read(SSL_get_wbio(r.ssl), record, sizeof(record));
    assert_in_range(len, 5 + 4, sizeof(record) - 1);
    count_reads_of(a.s);
    assert_int_equal(write(r.fd, record, (size_t)len - 1), len - 1);
    (void)run_for(30);
    assert_int_equal(a.inputs, 0);
    assert_in_range(bio_reads, 1, 4);
    assert_int_equal(write(r.fd, record + len - 1, 1), 1);
    (void)run_for(30);
    assert_got(&a, "NOOP", 4);
    raw_free(&r);
}

/* What 20,000 idle connections would keep: nothing (buffers.c). */
static void an_idle_connection_has_no_buffer(void **state)
{
    (void)state;
    two_streams();
    tls_accept(server, a.s);
    tls_connect(client, b.s, "mx.example", NULL);
    assert_true(both_open());
    stream_write(a.s, SLICE("250 one\r\n"));
    stream_write(b.s, SLICE("NOOP\r\n"));
    (void)run_for(30);
    assert_got(&a, "NOOP\r\n", 6);
    assert_got(&b, "250 one\r\n", 9);
    assert_int_equal(tls_buffers_in_use(), 0);
    close_both();
}

static unsigned most_reads; /* of one turn */

static void on_next_turn(void *arg)
{
    most_reads = bio_reads > most_reads ? bio_reads : most_reads;
    bio_reads = 0;
    timer_start(arg, 0);
}

/* A new key for each 27 octets: whoever sends thousands of them takes his turn and no more (L13). */
static void a_flood_of_key_updates_leaves_turns_to_others(void **state)
{
    struct raw r = raw_new();
    struct timer turn;
    char *flood;
    long len, sent = 0;

    (void)state;
    assert_true(raw_handshake(&r, server));
    SSL_set0_wbio(r.ssl, BIO_new(BIO_s_mem()));
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(SSL_key_update(r.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(r.ssl), 1);
    }
    assert_int_equal(SSL_write(r.ssl, "NOOP", 4), 4);
    len = BIO_get_mem_data(SSL_get_wbio(r.ssl), &flood);
    count_reads_of(a.s);
    most_reads = 0;
    timer_init(&turn, loop, on_next_turn, &turn);
    timer_start(&turn, 0);
    while (sent < len) {
        ssize_t n = write(r.fd, flood + sent, (size_t)(len - sent));

        sent += n > 0 ? n : 0;
        (void)run_for(0);
    }
    (void)run_for(50);
    timer_stop(&turn);
    assert_int_equal(a.errors, 0);
    assert_got(&a, "NOOP", 4);
    assert_in_range(most_reads, 1, 6);
    raw_free(&r);
}

static void an_end_without_close_notify_is_an_error(void **state)
{
    struct raw r = raw_new();

    (void)state;
    assert_true(raw_handshake(&r, server));
    assert_int_equal(SSL_write(r.ssl, "DATA", 4), 4);
    shutdown(r.fd, SHUT_WR);
    (void)run_for(50);
    assert_got(&a, "DATA", 4);
    assert_int_equal(a.eofs, 0);
    assert_int_equal(a.errors, 1);
    raw_free(&r);

    r = raw_new();
    assert_true(raw_handshake(&r, server));
    assert_int_equal(SSL_write(r.ssl, "QUIT", 4), 4);
    (void)SSL_shutdown(r.ssl);
    (void)run_for(50);
    assert_got(&a, "QUIT", 4);
    assert_int_equal(a.eofs, 1);
    assert_int_equal(a.errors, 0);
    raw_free(&r);
}

static void what_is_no_client_hello_fails(void **state)
{
    static const struct slice rows[] = { SLICE_INIT("EHLO in.clear.example\r\nMAIL FROM:<>\r\n"),
                                         SLICE_INIT("\x16\x03\x01\xff\xff\x01"),
                                         SLICE_INIT("\x16\x03\x01\x00\x05\x02\0\0\1\0"),
                                         SLICE_INIT("GET / HTTP/1.1\r\n\r\n"),
                                         SLICE_INIT("\x80\x2e\x01\x00\x02\0\x15\0\0\0\x10") };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = one_stream();

        tls_accept(server, a.s);
        assert_int_equal(write(fd, rows[i].ptr, rows[i].len), rows[i].len);
        (void)run_for(30);
        if (a.opens > 0) {
            fail_msg("row %zu was taken for a handshake", i);
        }
        if (a.errors == 0) { /* it waits for more: then the end is the error */
            close(fd);
            fd = -1;
            (void)run_for(30);
        }
        assert_int_equal(a.errors, 1);
        assert_true(strlen(tls_error(a.s)) > 0);
        stream_close(&a.s);
        if (fd >= 0) {
            close(fd);
        }
        reset_owners();
    }
}

/* Octets that were read in clear must not pass for protected ones, nor be joined with them (TLS-03, -04). */
static void nothing_read_before_survives_the_switch(void **state)
{
    int fd = one_stream();

    (void)state;
    a.leave = 1000;
    assert_int_equal(write(fd, "EHLO inj.", 9), 9);
    (void)run_for(20);
    assert_int_equal(stream_input(a.s).len, 9);
    tls_accept(server, a.s);
    (void)run_for(20);
    assert_int_equal(a.errors, 1);
    assert_int_equal(a.opens, 0);
    stream_close(&a.s);
    close(fd);
    reset_owners();
}

static void a_stream_may_be_closed_at_any_step_of_the_handshake(void **state)
{
    (void)state;
    for (int steps = 0; steps < 8; steps++) {
        two_streams();
        tls_accept(server, a.s);
        tls_connect(client, b.s, "mx.example", NULL);
        for (int i = 0; i < steps; i++) {
            (void)run_for(0);
        }
        close_both();
    }
}

static int setup(void **state)
{
    struct config_errors errs = { 0 };

    (void)state;
    pairs_setup();
    conf = xcalloc(1, sizeof(*conf));
    conf->tls.enabled = true;
    conf->tls.ciphers = "";
    conf->tls.min_version = TLS1_2_VERSION;
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        pair_make(&specs[i], &paths[i]);
        conf->tls.pair[i] = (struct config_keypair){ paths[i].certificate, paths[i].key, 1 };
        conf->tls.pair_count++;
    }
    material = tls_material_load(conf, &errs);
    assert_non_null(material);
    server = make_server(TLS1_2_VERSION);
    upstream = (struct config_upstream){
        .name = "u", .tls = UP_TLS_OPPORTUNISTIC, .tls_ca = "system", .tls_name = ""
    };
    client = tls_client_new(&upstream, &errs);
    assert_non_null(client);
    owners_setup();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    owners_teardown();
    tls_client_free(client);
    tls_server_free(server);
    tls_material_free(material);
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        pair_remove(specs[i].name);
    }
    pairs_teardown();
    free(conf);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_agree_and_say_on_what),
        cmocka_unit_test(records_cut_at_every_octet_arrive_unchanged),
        cmocka_unit_test(a_mebibyte_goes_both_ways_through_slow_readers),
        cmocka_unit_test(the_queue_and_the_body_keep_their_order),
        { "TLS-17: sessions are resumed at any worker", sessions_are_resumed_at_any_worker, NULL, NULL,
          NULL },
        cmocka_unit_test(a_client_gets_the_key_type_it_can_use),
        cmocka_unit_test(aes_128_is_preferred_and_nothing_is_forced),
        { "A11: old ciphers are taken by default", old_ciphers_are_taken_by_default_and_not_by_strong, NULL,
          NULL, NULL },
        { "A11: old groups are taken by default", old_groups_are_taken_by_default_and_not_by_strong, NULL,
          NULL, NULL },
        { "TLS-12: names choose certificates, and unknown ones get the first",
          names_choose_certificates_and_unknown_ones_get_the_first, NULL, NULL, NULL },
        { "A20: ALPN is ignored unless it names smtp", alpn_is_smtp_or_ignored, NULL, NULL, NULL },
        { "A11: a failure for want of anything in common is told from the rest",
          nothing_in_common_is_told_from_the_rest, NULL, NULL, NULL },
        { "B6: a client's subject is one that was verified", a_clients_subject_is_one_that_was_verified, NULL,
          NULL, NULL },
        { "B6: a ticket carries no subject to another authority",
          a_ticket_carries_no_subject_to_another_authority, NULL, NULL, NULL },
        { "TLS-09: old versions are spoken only where asked for",
          old_versions_are_spoken_only_where_asked_for, NULL, NULL, NULL },
        { "TLS-10: a client cannot renegotiate", a_client_cannot_renegotiate, NULL, NULL, NULL },
        cmocka_unit_test(half_a_record_waits_for_its_rest),
        cmocka_unit_test(an_idle_connection_has_no_buffer),
        cmocka_unit_test(a_flood_of_key_updates_leaves_turns_to_others),
        cmocka_unit_test(an_end_without_close_notify_is_an_error),
        cmocka_unit_test(what_is_no_client_hello_fails),
        cmocka_unit_test(nothing_read_before_survives_the_switch),
        cmocka_unit_test(a_stream_may_be_closed_at_any_step_of_the_handshake),
    };

    tls_use_buffers();
    return cmocka_run_group_tests(tests, setup, teardown);
}
