/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_upstream_tls.c - TLS towards upstream servers (UTL-01 to UTL-08): who is spoken to how, what never
 * goes in clear, and what comes of servers that offer, refuse, inject or break it.
 */
#include "state/servers.h"
#include "test/unit/proxy/certificate.h"
#include "test/unit/proxy/relay_world.h"

#define EHLO_PLAIN "250-PIPELINING\r\n250-STARTTLS\r\n250-SIZE 1000000\r\n"
#define EHLO_TLS "250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 20000000\r\n"

/* ---- the servers' side ---- */

enum which { CERT_GOOD = 0, CERT_SELF, CERT_OTHER_NAME, CERT_EXPIRED, CERT_COUNT };

static struct certificate authority;
static struct certificate certs[CERT_COUNT];
static uint8_t tickets[TLS_TICKET_SHARE];

static int make_certificates(void **state)
{
    (void)state;
    certificate_make(&authority, NULL, NULL, 30);
    certificate_make(&certs[CERT_GOOD], &authority, "DNS:mail.corp.test,IP:127.0.0.1", 30);
    certificate_make(&certs[CERT_SELF], NULL, "DNS:mail.corp.test,IP:127.0.0.1", 30);
    certificate_make(&certs[CERT_OTHER_NAME], &authority, "DNS:www.corp.test,IP:192.0.2.1", 30);
    certificate_make(&certs[CERT_EXPIRED], &authority, "DNS:mail.corp.test,IP:127.0.0.1", -1);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    certificate_fini(&authority);
    for (size_t i = 0; i < CERT_COUNT; i++) {
        certificate_fini(&certs[i]);
    }
    return 0;
}

static void read_pem(const char *path, struct buf *out)
{
    char mem[8192];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(mem, 1, sizeof(mem), f) : 0;

    assert_non_null(f);
    fclose(f);
    buf_init(out, sizeof(mem));
    buf_put(out, mem, n);
}

static struct tls_server *server_with(const struct certificate *c)
{
    struct tls_material m = { .count = 1 };
    struct config *conf = xcalloc(1, sizeof(*conf));
    struct config_errors errs = { 0 };
    struct tls_server *t;

    conf->tls.ciphers = "";
    conf->tls.min_version = 0x0303;
    read_pem(c->path, &m.pair[0].certificate);
    read_pem(c->key_path, &m.pair[0].key);
    tls_tickets_prepare(tickets);
    t = tls_server_new(conf, &m, tickets, &errs);
    assert_non_null(t);
    buf_fini(&m.pair[0].certificate);
    buf_fini(&m.pair[0].key);
    config_errors_fini(&errs);
    free(conf);
    return t;
}

static void tls_world(struct world *w, enum config_up_tls tls, enum which cert)
{
    struct config_upstream *up;

    world_init(w, 1);
    up = world_up(w);
    up->tls = tls;
    up->tls_ca = authority.path;
    up->tls_name = "";
    up->server[0].host = "127.0.0.1";
    up->timeouts.command_ms = 400; /* a handshake under a sanitizer needs its time */
    w->fake[0].ehlo = EHLO_PLAIN;
    w->fake[0].ehlo_tls = EHLO_TLS;
    w->fake[0].tls = server_with(&certs[cert]);
}

static void tls_world_fini(struct world *w)
{
    struct tls_server *t = w->fake[0].tls;

    world_fini(w);
    tls_server_free(t);
}

/* ---- the plain case ---- */

static void mail_is_encrypted_where_starttls_is_offered(void **state)
{
    struct state_keywords k;
    struct world w;
    struct mail m;
    uint64_t before;

    (void)state;
    tls_world(&w, UP_TLS_OPPORTUNISTIC, CERT_SELF);
    before = metric_get(M_UP_TLS_OK);
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "user@corp.test"), 250);
    assert_int_equal(message(&m, BODY), 250);
    assert_true(slice_starts(slice_str(relay_tls(m.relay)), SLICE("TLS1.3 TLS_")));
    assert_string_equal(w.fake[0].lines.ptr, "1:EHLO mx.test\n"
                                             "1:STARTTLS\n"
                                             "1*EHLO mx.test\n"
                                             "1*MAIL FROM:<sender@example.org>\n"
                                             "1*RCPT TO:<user@corp.test>\n"
                                             "1*DATA\n");
    assert_string_equal(w.fake[0].content.ptr, HEAD "Subject: hi\r\n\r\nbody\r\n.\r\n");
    assert_int_equal(metric_get(M_UP_TLS_OK), before + 1);
    state_keywords_get(w.state, world_server(&w, 0), &k);
    assert_true(k.known && k.eightbitmime && !k.starttls); /* of the EHLO inside */
    assert_int_equal(k.size, 20000000);
    assert_string_equal(w.fake[0].sni, "");
    mail_fini(&m);
    tls_world_fini(&w);
}

static void without_tls_nothing_is_asked_for(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    tls_world(&w, UP_TLS_OFF, CERT_SELF);
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "user@corp.test"), 250);
    assert_string_equal(relay_tls(m.relay), "");
    assert_int_equal(count_lines(&w.fake[0], "EHLO"), 1);
    assert_int_equal(count_lines(&w.fake[0], "STARTTLS"), 0);
    mail_fini(&m);
    tls_world_fini(&w);
}

static void encrypted_connections_are_kept_and_used_again(void **state)
{
    struct world w;

    (void)state;
    tls_world(&w, UP_TLS_VERIFY, CERT_GOOD);
    world_go(&w);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        run_ms(&w, 5);
    }
    assert_int_equal(w.fake[0].accepted, 1);
    assert_int_equal(w.fake[0].handshakes, 1);
    assert_int_equal(w.fake[0].messages, 5);
    tls_world_fini(&w);
}

static void sessions_are_resumed(void **state)
{
    struct world w;

    (void)state;
    tls_world(&w, UP_TLS_VERIFY, CERT_GOOD);
    world_up(&w)->keep_idle = 0;
    world_go(&w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        run_ms(&w, 20);
    }
    assert_int_equal(w.fake[0].handshakes, 3);
    assert_int_equal(w.fake[0].resumed, 2);
    tls_world_fini(&w);
}

/* Both have the same ticket keys: a session of the good one must not open the door to the other. */
static void c12_a_session_is_never_tried_with_another_server(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 2);
    world_up(&w)->tls = UP_TLS_VERIFY;
    world_up(&w)->tls_ca = authority.path;
    world_up(&w)->tls_name = "mail.corp.test";
    world_up(&w)->timeouts.command_ms = 400;
    world_up(&w)->balance = BALANCE_ROUND_ROBIN;
    world_up(&w)->keep_idle = 0;
    for (size_t i = 0; i < 2; i++) {
        world_up(&w)->server[i].host = "127.0.0.1";
        w.fake[i].ehlo = EHLO_PLAIN;
        w.fake[i].tls = server_with(&certs[i == 0 ? CERT_GOOD : CERT_OTHER_NAME]);
    }
    world_go(&w);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        run_ms(&w, 20);
    }
    assert_true(w.fake[1].accepted > 0);
    assert_int_equal(w.fake[1].messages, 0);
    assert_int_equal(w.fake[1].resumed, 0);
    assert_int_equal(w.fake[0].messages, 4);
    assert_int_equal(w.fake[0].resumed, 3);
    for (size_t i = 0; i < 2; i++) {
        struct tls_server *t = w.fake[i].tls;

        fake_close_all(&w.fake[i]);
        w.fake[i].tls = NULL;
        tls_server_free(t);
    }
    world_fini(&w);
}

static void sni_is_the_name_of_the_server_or_the_configured_one(void **state)
{
    static const char *const rows[][3] = {
        { "mail.corp.test", "", "mail.corp.test" },
        { "mail.corp.test", "other.corp.test", "other.corp.test" },
        { "127.0.0.1", "mail.corp.test", "mail.corp.test" },
        { "127.0.0.1", "", "" },
        { "::1", "", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        tls_world(&w, UP_TLS_REQUIRED, CERT_GOOD);
        world_up(&w)->server[0].host = rows[i][0];
        world_up(&w)->tls_name = rows[i][1];
        world_go(&w);
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        assert_string_equal(w.fake[0].sni, rows[i][2]);
        tls_world_fini(&w);
    }
}

static void a_long_message_arrives_as_it_is(void **state)
{
    const size_t len = (size_t)3 * 1024 * 1024;
    struct buf content;
    struct world w;
    struct mail m;

    (void)state;
    tls_world(&w, UP_TLS_REQUIRED, CERT_SELF);
    world_up(&w)->timeouts.final_reply_ms = 20000;
    world_go(&w);
    buf_init(&content, len * 2);
    buf_put_str(&content, "Subject: long\r\n\r\n");
    for (unsigned i = 0; content.len < len; i++) {
        buf_putf(&content, "line %u of a message that needs many records and blocks the socket\r\n", i);
    }
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "user@corp.test"), 250);
    assert_int_equal(message(&m, buf_slice(&content)), 250);
    assert_int_equal(w.fake[0].content.len, sizeof(HEAD) - 1 + content.len + 3);
    assert_memory_equal(w.fake[0].content.ptr + sizeof(HEAD) - 1, content.ptr, content.len);
    mail_fini(&m);
    buf_fini(&content);
    tls_world_fini(&w);
}

/* ---- rows: what the server does, what is wanted, what comes of it ---- */

struct row {
    const char *label;
    enum config_up_tls tls;
    struct fake_rule rule; /* event NULL: none */
    unsigned code;
    const char *enhanced;
    unsigned connections;
    bool clear; /* mail went in clear */
    enum which cert;
    bool garbage, not_offered;
};

#define STARTTLS_SAYS(text)                                                                                  \
    {                                                                                                        \
        .event = "STARTTLS", .reply = (text), .act = DO_SAY                                                  \
    }
#define STARTTLS_DOES(what)                                                                                  \
    {                                                                                                        \
        .event = "STARTTLS", .reply = "", .act = (what)                                                      \
    }
#define EHLO_SAYS(text)                                                                                      \
    {                                                                                                        \
        .event = "EHLO", .reply = (text), .act = DO_SAY                                                      \
    }
#define NO_RULE                                                                                              \
    {                                                                                                        \
        .event = NULL                                                                                        \
    }

#define OPP UP_TLS_OPPORTUNISTIC
#define REQ UP_TLS_REQUIRED
#define VER UP_TLS_VERIFY

static const struct row rows[] = {
    { "opportunistic: not offered", OPP, NO_RULE, 250, "2.0.0", 1, true, 0, false, true },
    { "opportunistic: 454", OPP, STARTTLS_SAYS("454 4.7.0 not now\r\n"), 250, "2.0.0", 1, true, 0, false,
      false },
    { "opportunistic: 502", OPP, STARTTLS_SAYS("502 5.5.1 what\r\n"), 250, "2.0.0", 1, true, 0, false,
      false },
    { "opportunistic: EHLO refused", OPP, EHLO_SAYS("502 what\r\n"), 250, "2.0.0", 1, true, 0, false, false },
    { "opportunistic: 220 and silence", OPP, STARTTLS_SAYS("220 go\r\n"), 250, "2.0.0", 2, true, 0, false,
      false },
    { "opportunistic: garbage", OPP, NO_RULE, 250, "2.0.0", 2, true, 0, true, false },
    { "opportunistic: closed", OPP, STARTTLS_DOES(DO_CLOSE), 250, "2.0.0", 2, true, 0, false, false },
    { "opportunistic: reset", OPP, STARTTLS_DOES(DO_RESET), 250, "2.0.0", 2, true, 0, false, false },
    { "opportunistic: 220, then closed",
      OPP,
      { "STARTTLS", "220 go\r\n", DO_SAY_CLOSE, 0, NULL, 0 },
      250,
      "2.0.0",
      2,
      true,
      0,
      false,
      false },
    { "A17: opportunistic: injection", OPP, STARTTLS_SAYS("220 go\r\n250-evil\r\n250 SIZE 1\r\n"), 250,
      "2.0.0", 2, true, 0, false, false },
    { "A17: opportunistic: injection of a part", OPP, STARTTLS_SAYS("220 go\r\n2"), 250, "2.0.0", 2, true, 0,
      false, false },
    { "A17: opportunistic: two lines", OPP, STARTTLS_SAYS("220-go\r\n220 go\r\n"), 250, "2.0.0", 2, true, 0,
      false, false },
    { "A17: opportunistic: 250", OPP, STARTTLS_SAYS("250 go\r\n"), 250, "2.0.0", 2, true, 0, false, false },
    { "A17: opportunistic: 354", OPP, STARTTLS_SAYS("354 go\r\n"), 250, "2.0.0", 2, true, 0, false, false },
    { "A17: opportunistic: no reply", OPP, STARTTLS_SAYS("what?\r\n"), 250, "2.0.0", 2, true, 0, false,
      false },
    { "A17: opportunistic: 421",
      OPP,
      { "STARTTLS", "421 bye\r\n", DO_SAY_CLOSE, 0, NULL, 0 },
      250,
      "2.0.0",
      2,
      true,
      0,
      false,
      false },
    { "A17: opportunistic: no answer", OPP, STARTTLS_DOES(DO_MUTE), 250, "2.0.0", 2, true, 0, false, false },
    { "A17: opportunistic: EHLO in TLS refused",
      OPP,
      { "EHLO", "450 4.3.0 later\r\n", DO_SAY, 2, NULL, 0 },
      250,
      "2.0.0",
      2,
      true,
      0,
      false,
      false },
    { "A17: opportunistic: EHLO in TLS not answered",
      OPP,
      { "EHLO", "", DO_MUTE, 2, NULL, 0 },
      250,
      "2.0.0",
      2,
      true,
      0,
      false,
      false },
    { "opportunistic: expired certificate", OPP, NO_RULE, 250, "2.0.0", 1, false, CERT_EXPIRED, false,
      false },

    { "required: any certificate", REQ, NO_RULE, 250, "2.0.0", 1, false, CERT_SELF, false, false },
    { "required: stripped", REQ, NO_RULE, 451, "4.7.0", 1, false, 0, false, true },
    { "required: EHLO refused", REQ, EHLO_SAYS("502 what\r\n"), 451, "4.7.0", 1, false, 0, false, false },
    { "required: 454", REQ, STARTTLS_SAYS("454 4.7.0 not now\r\n"), 451, "4.7.0", 1, false, 0, false, false },
    { "required: 502 is about us", REQ, STARTTLS_SAYS("502 5.5.1 what\r\n"), 451, "4.3.5", 1, false, 0, false,
      false },
    { "required: garbage", REQ, NO_RULE, 451, "4.7.0", 1, false, 0, true, false },
    { "required: 220 and silence", REQ, STARTTLS_SAYS("220 go\r\n"), 451, "4.7.0", 1, false, 0, false,
      false },
    { "required: two lines", REQ, STARTTLS_SAYS("220-go\r\n220 go\r\n"), 451, "4.4.1", 1, false, 0, false,
      false },
    { "required: 250 and no handshake", REQ, STARTTLS_SAYS("250 go\r\n"), 451, "4.7.0", 1, false, 0, false,
      false },
    { "required: closed", REQ, STARTTLS_DOES(DO_CLOSE), 451, "4.7.0", 1, false, 0, false, false },
    { "required: injection", REQ, STARTTLS_SAYS("220 go\r\n250 evil\r\n"), 451, "4.4.1", 1, false, 0, false,
      false },

    { "verify: good", VER, NO_RULE, 250, "2.0.0", 1, false, CERT_GOOD, false, false },
    { "verify: self-signed", VER, NO_RULE, 451, "4.7.5", 1, false, CERT_SELF, false, false },
    { "verify: another name", VER, NO_RULE, 451, "4.7.5", 1, false, CERT_OTHER_NAME, false, false },
    { "verify: expired", VER, NO_RULE, 451, "4.7.5", 1, false, CERT_EXPIRED, false, false },
    { "verify: stripped", VER, NO_RULE, 451, "4.7.0", 1, false, 0, false, true },
    { "verify: garbage", VER, NO_RULE, 451, "4.7.0", 1, false, 0, true, false },
    { "verify: 502 is about us", VER, STARTTLS_SAYS("502 no\r\n"), 451, "4.3.5", 1, false, 0, false, false },
};

static void check_row(const struct row *row)
{
    struct world w;
    struct mail m;
    unsigned code;

    tls_world(&w, row->tls, row->cert);
    w.fake[0].garbage = row->garbage;
    if (row->not_offered) {
        w.fake[0].ehlo = "250-PIPELINING\r\n";
    }
    if (row->rule.event) {
        fake_rule_add(&w.fake[0], row->rule);
    }
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    code = rcpt(&m, "user@corp.test");
    if (code == 250) {
        code = message(&m, BODY);
    }
    if (code != row->code || strcmp(m.enhanced, row->enhanced) != 0 ||
        w.fake[0].accepted != row->connections || (count_lines(&w.fake[0], ":MAIL") > 0) != row->clear) {
        fail_msg("%s: %u %s, %u connections\n%s", row->label, code, m.enhanced, w.fake[0].accepted,
                 w.fake[0].lines.ptr);
    }
    mail_fini(&m);
    tls_world_fini(&w);
}

static void every_kind_of_server_is_met(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_row(&rows[i]);
    }
}

/* ---- what is remembered, probes, several servers ---- */

static void a_failed_handshake_is_remembered(void **state)
{
    struct world w;
    uint64_t clear, failed;

    (void)state;
    tls_world(&w, UP_TLS_OPPORTUNISTIC, CERT_SELF);
    world_up(&w)->keep_idle = 0;
    w.fake[0].garbage = true;
    world_go(&w);
    clear = metric_get(M_UP_TLS_CLEAR);
    failed = metric_get(M_UP_TLS_FAILED);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        run_ms(&w, 20);
    }
    assert_int_equal(count_lines(&w.fake[0], "STARTTLS"), 1);
    assert_int_equal(w.fake[0].accepted, 4);
    assert_int_equal(metric_get(M_UP_TLS_CLEAR), clear + 1);
    assert_int_equal(metric_get(M_UP_TLS_FAILED), failed + 1);
    assert_int_equal(state_tickets_used(w.state, world_server(&w, 0)), 0);
    tls_world_fini(&w);
}

static void a_failure_is_logged_with_its_reason_once(void **state)
{
    struct world w;
    struct buf log;

    (void)state;
    buf_init(&log, 65536);
    tls_world(&w, UP_TLS_VERIFY, CERT_SELF);
    log_set_sink(quiet, &log);
    world_go(&w);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
    log_set_sink(quiet, NULL);
    assert_non_null(strstr(log.ptr, "upstream_tls"));
    assert_non_null(strstr(log.ptr, "self-signed certificate"));
    assert_null(strstr(strstr(log.ptr, "self-signed certificate") + 1, "self-signed certificate"));
    buf_fini(&log);
    tls_world_fini(&w);
}

static void probes_learn_the_keywords_inside_tls(void **state)
{
    for (int broken = 0; broken < 2; broken++) {
        struct state_keywords k;
        struct world w;

        (void)state;
        tls_world(&w, UP_TLS_OPPORTUNISTIC, CERT_SELF);
        w.probes = true;
        w.fake[0].garbage = broken != 0;
        world_go(&w);
        run_ms(&w, 400);
        state_keywords_get(w.state, world_server(&w, 0), &k);
        assert_true(k.known);
        assert_int_equal(k.eightbitmime, !broken); /* in clear it is not offered */
        assert_int_equal(w.fake[0].quits, 1);
        assert_int_equal(w.fake[0].accepted, broken ? 2 : 1);
        tls_world_fini(&w);
    }
}

static void missing_anchors_close_the_way(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    tls_world(&w, UP_TLS_VERIFY, CERT_GOOD);
    world_up(&w)->tls_ca = "/nonexistent/ca.pem";
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "user@corp.test"), 451);
    assert_string_equal(m.enhanced, "4.7.0");
    assert_int_equal(count_lines(&w.fake[0], "MAIL"), 0);
    mail_fini(&m);
    tls_world_fini(&w);
}

static void the_next_server_is_tried(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 2);
    world_up(&w)->tls = UP_TLS_VERIFY;
    world_up(&w)->tls_ca = authority.path;
    world_up(&w)->tls_name = "";
    world_up(&w)->timeouts.command_ms = 400;
    for (size_t i = 0; i < 2; i++) {
        world_up(&w)->server[i].host = "127.0.0.1";
        w.fake[i].ehlo = EHLO_PLAIN;
        w.fake[i].tls = server_with(&certs[i == 0 ? CERT_SELF : CERT_GOOD]);
    }
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "user@corp.test"), 250);
    assert_true(slice_eq(relay_server(m.relay), slice_str(w.text[1])));
    mail_fini(&m);
    for (size_t i = 0; i < 2; i++) {
        struct tls_server *t = w.fake[i].tls;

        fake_close_all(&w.fake[i]);
        w.fake[i].tls = NULL;
        tls_server_free(t);
    }
    world_fini(&w);
}

/* ---- the client leaves, at any moment ---- */

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static void the_client_may_leave_at_any_turn(void **state)
{
    (void)state;
    for (int turns = 0; turns < 40; turns++) {
        struct world w;
        struct mail m;

        tls_world(&w, UP_TLS_OPPORTUNISTIC, CERT_SELF);
        world_up(&w)->timeouts.command_ms = 100;
        w.fake[0].garbage = turns % 2 != 0;
        world_go(&w);
        mail_init(&m, &w, "192.0.2.1");
        begin_rcpt_as(&m, "user@corp.test", VALIDATE_LIVE);
        for (int i = 0; i < turns; i++) {
            struct timer t;

            timer_init(&t, w.loop, stop_loop, w.loop);
            timer_start(&t, 0);
            loop_run(w.loop);
            timer_stop(&t);
        }
        mail_fini(&m);
        run_ms(&w, turns % 4 == 0 ? 30 : 0);
        tls_world_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_is_encrypted_where_starttls_is_offered),
        cmocka_unit_test(without_tls_nothing_is_asked_for),
        cmocka_unit_test(encrypted_connections_are_kept_and_used_again),
        cmocka_unit_test(sessions_are_resumed),
        cmocka_unit_test(c12_a_session_is_never_tried_with_another_server),
        cmocka_unit_test(sni_is_the_name_of_the_server_or_the_configured_one),
        cmocka_unit_test(a_long_message_arrives_as_it_is),
        cmocka_unit_test(every_kind_of_server_is_met),
        cmocka_unit_test(a_failed_handshake_is_remembered),
        cmocka_unit_test(a_failure_is_logged_with_its_reason_once),
        cmocka_unit_test(probes_learn_the_keywords_inside_tls),
        cmocka_unit_test(missing_anchors_close_the_way),
        cmocka_unit_test(the_next_server_is_tried),
        cmocka_unit_test(the_client_may_leave_at_any_turn),
    };

    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
