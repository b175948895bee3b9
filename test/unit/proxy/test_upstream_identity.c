/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_upstream_identity.c - what a server is told about the client: XCLIENT, XFORWARD, PROXY (XCL-02 to
 * XCL-08, PXY-14), and that it is never told of one client in the name of another.
 */
#include "proxy/upstream/upstream_identity.h"
#include "smtp/proxy_header.h"
#include "smtp/proxy_put.h"
#include "test/unit/proxy/relay_world.h"

#define XCLIENT_ALL "250-PIPELINING\r\n250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"
#define XFORWARD_ALL "250-PIPELINING\r\n250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n"

static const struct addr nowhere = { .family = ADDR_NONE };

static struct addr endpoint(const char *text)
{
    struct addr a;

    assert_true(addr_parse_endpoint(slice_str(text), &a));
    return a;
}

/* ---- commands ---- */

static void commands_say_what_is_offered_and_known(void **state)
{
    static const struct {
        const char *keyword, *client, *local, *rdns, *helo;
        bool esmtp;
        const char *want;
    } rows[] = {
        { "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT", "192.0.2.1:4711", "198.51.100.2:25",
          "mail.example.org", "mail.example.org", true,
          "XCLIENT PROTO=ESMTP HELO=mail.example.org DESTADDR=198.51.100.2 DESTPORT=25 PORT=4711 "
          "NAME=mail.example.org ADDR=192.0.2.1\r\n" },
        { "XCLIENT NAME ADDR PORT DESTADDR", "[2001:db8::1]:4711", "[2001:db8::25]:25", "", "x", true,
          "XCLIENT DESTADDR=IPV6:2001:db8::25 PORT=4711 NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1\r\n" },
        { "xclient addr proto", "192.0.2.1:1", "192.0.2.2:25", "", "", false,
          "XCLIENT PROTO=SMTP ADDR=192.0.2.1\r\n" },
        { "XCLIENT HELO", "192.0.2.1:1", "192.0.2.2:25", "", "a+b=c d", true,
          "XCLIENT HELO=a+2Bb+3Dc+20d\r\n" },
        { "XCLIENT HELO ADDR", NULL, NULL, "", "", true,
          "XCLIENT HELO=[UNAVAILABLE] ADDR=[UNAVAILABLE]\r\n" },
        { "XCLIENT LOGIN", "192.0.2.1:1", "192.0.2.2:25", "", "x", true, "" },
        { "XCLIENT", "192.0.2.1:1", "192.0.2.2:25", "", "x", true, "" },
        { "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE", "192.0.2.1:4711", "198.51.100.2:25", "a.test",
          "b.test", true,
          "XFORWARD PROTO=ESMTP HELO=b.test IDENT=01TEST SOURCE=REMOTE PORT=4711 NAME=a.test "
          "ADDR=192.0.2.1\r\n" },
        { "XFORWARD NAME ADDR", "[2001:db8::1]:4711", NULL, "", "", true,
          "XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1\r\n" },
        { "XFORWARD DESTADDR LOGIN", "192.0.2.1:1", NULL, "", "", true, "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct envelope env = {
            .client = rows[i].client ? endpoint(rows[i].client) : nowhere,
            .local = rows[i].local ? endpoint(rows[i].local) : nowhere,
            .rdns = slice_str(rows[i].rdns),
            .helo = slice_str(rows[i].helo),
            .esmtp = rows[i].esmtp,
            .session_id = "01TEST",
        };
        struct identity_offer offer;
        struct buf text, out;

        buf_init(&text, 1000);
        buf_init(&out, IDENTITY_MAX);
        buf_putf(&text, "name greets\nSIZE 1\n%s\nHELP", rows[i].keyword);
        identity_learn(buf_slice(&text), &offer);
        buf_put_str(&out, "");
        identity_put_xclient(&out, &env, offer.xclient);
        identity_put_xforward(&out, &env, offer.xforward);
        assert_string_equal(out.len ? out.ptr : "", rows[i].want);
        buf_fini(&text);
        buf_fini(&out);
    }
}

static void fill(char *text, size_t len, char c)
{
    memset(text, c, len);
    text[len] = '\0';
}

static void no_command_is_longer_than_512_octets(void **state)
{
    char helo[300], rdns[300];
    struct identity_offer all = { ~0U, ~0U };

    (void)state;
    for (size_t len = 0; len < 256; len++) {
        for (int plus = 0; plus < 2; plus++) {
            struct envelope env = { .client = endpoint("[2001:db8:1111:2222:3333:4444:5555:6666]:65535"),
                                    .local = endpoint("[2001:db8:1111:2222:3333:4444:5555:7777]:65535"),
                                    .session_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV" };
            struct slice rest;
            struct buf out;
            size_t values = 0;

            fill(helo, len, plus ? '+' : 'h');
            fill(rdns, len, 'n');
            env.helo = slice_str(helo);
            env.rdns = slice_str(rdns);
            buf_init(&out, IDENTITY_MAX);
            identity_put_xclient(&out, &env, all.xclient);
            identity_put_xforward(&out, &env, all.xforward);
            assert_true(buf_ok(&out));
            rest = buf_slice(&out);
            while (!slice_empty(rest)) {
                struct slice line = slice_cut(&rest, '\n');

                assert_true(line.len + 1 <= IDENTITY_COMMAND_MAX);
                assert_true(slice_starts(line, SLICE("XCLIENT ")) || slice_starts(line, SLICE("XFORWARD ")));
                for (size_t i = 0; i < line.len; i++) {
                    values += line.ptr[i] == '=' ? 1 : 0;
                }
            }
            assert_int_equal(values, 7 + 7);
            buf_fini(&out);
        }
    }
}

static void hello_names_are_only_those_a_server_takes(void **state)
{
    static const struct {
        const char *helo;
        bool ok;
    } rows[] = {
        { "mail.example.org", true },   { "localhost", true },  { "[192.0.2.1]", true },
        { "[IPv6:2001:db8::1]", true }, { "", false },          { "a b", false },
        { "[192.0.2.1", false },        { "[x]", false },       { "-x.test", false },
        { "a\r\nMAIL", false },         { "user's pc", false }, { "[]", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(identity_helo_usable(slice_str(rows[i].helo)), rows[i].ok);
    }
}

/* ---- PROXY ---- */

static void headers_of_version_1_are_exact(void **state)
{
    static const char *const rows[][3] = {
        { "192.0.2.1:4711", "198.51.100.2:25", "PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n" },
        { "[2001:db8::1]:4711", "[2001:db8::2]:25", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n" },
        { "192.0.2.1:4711", "[2001:db8::2]:25", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 4711 25\r\n" },
        { "192.0.2.1:4711", NULL, "PROXY TCP4 192.0.2.1 0.0.0.0 4711 0\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr client = endpoint(rows[i][0]);
        struct addr local = rows[i][1] ? endpoint(rows[i][1]) : nowhere;
        struct buf out;

        buf_init(&out, 512);
        proxy_put(&out, 1, &client, &local);
        assert_string_equal(out.ptr, rows[i][2]);
        buf_fini(&out);
    }
}

static void headers_of_both_versions_can_be_read(void **state)
{
    static const char *const rows[][2] = {
        { "192.0.2.1:4711", "198.51.100.2:25" },
        { "[2001:db8::1]:4711", "[2001:db8::2]:25" },
        { "1.2.3.4:65535", "255.255.255.254:1" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
        struct addr client = endpoint(rows[i / 2][0]), local = endpoint(rows[i / 2][1]);
        struct proxy_header h;
        struct buf out;
        size_t used = 0;

        buf_init(&out, 512);
        proxy_put(&out, i % 2 ? 2 : 1, &client, &local);
        assert_int_equal(proxy_header_parse(buf_slice(&out), &h, &used), PROXY_DONE);
        assert_int_equal(used, out.len);
        assert_true(h.announced && addr_same_ip(&h.source, &client) && addr_same_ip(&h.destination, &local));
        assert_int_equal(h.source.port, client.port);
        assert_int_equal(h.destination.port, local.port);
        buf_fini(&out);
    }
}

/* ---- with servers ---- */

static void identity_world(struct world *w, enum config_identity how, const char *ehlo)
{
    world_init(w, 1);
    world_up(w)->identity = how;
    w->fake[0].ehlo = ehlo;
}

static void client_init(struct mail *m, struct world *w, const char *client, const char *helo)
{
    mail_init(m, w, "192.0.2.9");
    m->env.client = endpoint(client);
    m->env.local = endpoint("198.51.100.2:25");
    m->env.helo = slice_str(helo);
    m->env.client_exempt = addr_is_private(&m->env.client);
}

static unsigned deliver_from(struct world *w, const char *client, const char *helo)
{
    struct mail m;
    unsigned code;

    client_init(&m, w, client, helo);
    code = rcpt(&m, "user@corp.test");
    if (code == 250) {
        code = message(&m, BODY);
    }
    mail_fini(&m);
    return code;
}

static void xclient_is_said_for_each_client_of_a_connection(void **state)
{
    struct world w;

    (void)state;
    identity_world(&w, IDENTITY_XCLIENT, "250-PIPELINING\r\n250-XCLIENT NAME ADDR PORT\r\n");
    world_go(&w);
    assert_int_equal(deliver_from(&w, "192.0.2.1:1001", "a.test"), 250);
    run_ms(&w, 5);
    assert_int_equal(deliver_from(&w, "[2001:db8::1]:1002", "strange name"), 250);
    run_ms(&w, 5);
    assert_int_equal(deliver_from(&w, "10.0.0.1:1003", "c.test"), 250); /* private clients too */
    run_ms(&w, 5);
    assert_int_equal(deliver_from(&w, "10.0.0.1:1003", "c.test"), 250); /* the same session again */
    assert_string_equal(w.fake[0].lines.ptr,
                        "1:EHLO mx.test\n"
                        "1:XCLIENT PORT=1001 NAME=[UNAVAILABLE] ADDR=192.0.2.1\n1:EHLO a.test\n"
                        "1:MAIL FROM:<sender@example.org>\n1:RCPT TO:<user@corp.test>\n1:DATA\n"
                        "1:XCLIENT PORT=1002 NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1\n1:EHLO mx.test\n"
                        "1:MAIL FROM:<sender@example.org>\n1:RCPT TO:<user@corp.test>\n1:DATA\n"
                        "1:XCLIENT PORT=1003 NAME=[UNAVAILABLE] ADDR=10.0.0.1\n1:EHLO c.test\n"
                        "1:MAIL FROM:<sender@example.org>\n1:RCPT TO:<user@corp.test>\n1:DATA\n"
                        "1:MAIL FROM:<sender@example.org>\n1:RCPT TO:<user@corp.test>\n1:DATA\n");
    world_fini(&w);
}

/* Two clients on one connection: envelope of one, then of the other, then the bodies. */
static void interleaved_clients_are_not_mixed_up(void **state)
{
    static const enum config_identity how[] = { IDENTITY_XCLIENT, IDENTITY_XFORWARD };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(how); i++) {
        struct world w;
        struct mail a, b;
        const char *at;

        identity_world(&w, how[i], "250-PIPELINING\r\n250-XCLIENT ADDR\r\n250-XFORWARD ADDR\r\n");
        world_up(&w)->connections = 1;
        world_up(&w)->hold_ms = 20;
        world_go(&w);
        client_init(&a, &w, "192.0.2.1:1", "a.test");
        client_init(&b, &w, "192.0.2.2:2", "b.test");
        a.env.sender = SLICE("a@a.test");
        b.env.sender = SLICE("b@b.test");
        assert_int_equal(rcpt(&a, "user@corp.test"), 250);
        assert_int_equal(rcpt(&b, "user@corp.test"), 250);
        assert_int_equal(message(&a, BODY), 250);
        assert_int_equal(message(&b, BODY), 250);
        assert_int_equal(w.fake[0].accepted, 1);
        for (at = w.fake[0].lines.ptr; (at = strstr(at, "MAIL FROM:")) != NULL; at++) {
            const char *want = at[11] == 'a' ? "ADDR=192.0.2.1\n" : "ADDR=192.0.2.2\n";
            const char *last = NULL;

            for (const char *p = w.fake[0].lines.ptr; (p = strstr(p, "ADDR=")) != NULL && p < at; p++) {
                last = p;
            }
            assert_non_null(last);
            assert_memory_equal(last, want, strlen(want));
        }
        assert_true(count_lines(&w.fake[0], "MAIL FROM:") >= 3);
        mail_fini(&a);
        mail_fini(&b);
        world_fini(&w);
    }
}

static void a_long_identity_takes_two_commands(void **state)
{
    char helo[256], rdns[254];
    struct world w;
    struct mail m;

    (void)state;
    fill(helo, 250, 'h');
    fill(rdns, 250, 'n');
    for (size_t i = 50; i < 250; i += 50) {
        rdns[i] = '.';
    }
    identity_world(&w, IDENTITY_XCLIENT, XCLIENT_ALL);
    world_go(&w);
    for (int i = 0; i < 2; i++) {
        client_init(&m, &w, i ? "192.0.2.1:1" : "192.0.2.2:2", helo);
        m.env.rdns = slice_str(rdns);
        assert_int_equal(rcpt(&m, "user@corp.test"), 250);
        assert_int_equal(message(&m, BODY), 250);
        mail_fini(&m);
        run_ms(&w, 5);
    }
    assert_int_equal(count_lines(&w.fake[0], "XCLIENT "), 4);
    assert_int_equal(count_lines(&w.fake[0], "EHLO "), 5);
    assert_int_equal(w.fake[0].accepted, 1);
    world_fini(&w);
}

struct row {
    const char *label;
    enum config_identity how;
    struct fake_rule rule;
    unsigned code;
    const char *enhanced;
    bool mail; /* MAIL was said */
    bool no_pipelining;
};

#define SAYS(event, text)                                                                                    \
    {                                                                                                        \
        (event), (text), DO_SAY, 0, NULL, 0                                                                  \
    }
#define CLOSES(event)                                                                                        \
    {                                                                                                        \
        (event), "", DO_CLOSE, 0, NULL, 0                                                                    \
    }
#define SECOND_EHLO(text)                                                                                    \
    {                                                                                                        \
        "EHLO", (text), DO_SAY, 2, NULL, 0                                                                   \
    }
#define XC IDENTITY_XCLIENT
#define XF IDENTITY_XFORWARD

static const struct row rows[] = {
    { "XCLIENT 550", XC, SAYS("XCLIENT", "550 5.7.0 no\r\n"), 451, "4.3.5", false, false },
    { "XCLIENT 451", XC, SAYS("XCLIENT", "451 4.3.0 no\r\n"), 451, "4.3.5", false, false },
    { "XCLIENT 421", XC, { "XCLIENT", "421 bye\r\n", DO_SAY_CLOSE, 0, NULL, 0 }, 451, "4.3.2", false, false },
    { "A17: XCLIENT 250", XC, SAYS("XCLIENT", "250 ok\r\n"), 250, "2.0.0", true, false },
    { "A17: XCLIENT of two lines", XC, SAYS("XCLIENT", "220-hi\r\n220 there\r\n"), 250, "2.0.0", true,
      false },
    { "XCLIENT 354", XC, SAYS("XCLIENT", "354 go\r\n"), 451, "4.3.0", false, false },
    { "XCLIENT 220 and more", XC, SAYS("XCLIENT", "220 hi\r\n250 evil\r\n"), 451, "4.3.0", false, false },
    { "XCLIENT closed", XC, CLOSES("XCLIENT"), 451, "4.4.2", false, false },
    { "XCLIENT mute", XC, { "XCLIENT", "", DO_MUTE, 0, NULL, 0 }, 451, "4.4.2", false, false },
    { "EHLO after it 550", XC, SECOND_EHLO("550 5.7.1 no\r\n"), 451, "4.3.5", false, false },
    { "EHLO after it 450", XC, SECOND_EHLO("450 later\r\n"), 451, "4.4.1", false, false },
    { "EHLO after it 421", XC, SECOND_EHLO("421 bye\r\n"), 451, "4.3.2", false, false },
    { "XFORWARD 250", XF, SAYS("XFORWARD", "250 ok\r\n"), 250, "2.0.0", true, false },
    { "XFORWARD 250 without pipelining", XF, SAYS("XFORWARD", "250 ok\r\n"), 250, "2.0.0", true, true },
    { "XFORWARD 550", XF, SAYS("XFORWARD", "550 5.7.0 no\r\n"), 250, "2.0.0", true, false },
    { "XFORWARD 550 without pipelining", XF, SAYS("XFORWARD", "550 5.7.0 no\r\n"), 250, "2.0.0", true, true },
    { "XFORWARD 421",
      XF,
      { "XFORWARD", "421 bye\r\n", DO_SAY_CLOSE, 0, NULL, 0 },
      451,
      "4.3.2",
      true,
      false },
    { "A17: XFORWARD 220", XF, SAYS("XFORWARD", "220 ok\r\n"), 250, "2.0.0", true, false },
    { "XFORWARD 354", XF, SAYS("XFORWARD", "354 what\r\n"), 451, "4.3.0", true, false },
    { "XFORWARD closed", XF, CLOSES("XFORWARD"), 451, "4.4.2", false, false },
};

static void check_row(const struct row *row)
{
    struct world w;
    struct mail m;
    unsigned code;

    identity_world(&w, row->how, row->how == XC ? XCLIENT_ALL : XFORWARD_ALL);
    if (row->no_pipelining) {
        w.fake[0].ehlo = "250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n";
    }
    fake_rule_add(&w.fake[0], row->rule);
    world_go(&w);
    client_init(&m, &w, "192.0.2.1:1", "a.test");
    code = rcpt(&m, "user@corp.test");
    if (code == 250) {
        code = message(&m, BODY);
    }
    if (code != row->code || strcmp(m.enhanced, row->enhanced) != 0 ||
        (row->mail && count_lines(&w.fake[0], "MAIL") == 0 && code == 250) ||
        (!row->mail && count_lines(&w.fake[0], ":MAIL") > 0)) {
        fail_msg("%s: %u %s\n%s", row->label, code, m.enhanced, w.fake[0].lines.ptr);
    }
    mail_fini(&m);
    world_fini(&w);
}

static void refusals_of_an_identity(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_row(&rows[i]);
    }
}

static void a_refused_xclient_is_an_error_that_is_seen(void **state)
{
    struct world w;
    struct buf log;
    uint64_t before;

    (void)state;
    buf_init(&log, 65536);
    identity_world(&w, IDENTITY_XCLIENT, XCLIENT_ALL);
    fake_rule_add(&w.fake[0], (struct fake_rule)SAYS("XCLIENT", "550 5.7.0 insufficient authorization\r\n"));
    before = metric_get(M_UP_REFUSES_US);
    log_set_sink(quiet, &log);
    world_go(&w);
    assert_int_equal(deliver_from(&w, "192.0.2.1:1", "a.test"), 451);
    log_set_sink(quiet, NULL);
    assert_int_equal(metric_get(M_UP_REFUSES_US), before + 1);
    assert_non_null(strstr(log.ptr, "upstream_identity"));
    assert_non_null(strstr(log.ptr, "insufficient authorization"));
    buf_fini(&log);
    world_fini(&w);
}

static void mail_goes_on_where_identity_is_not_offered(void **state)
{
    static const enum config_identity how[] = { IDENTITY_XCLIENT, IDENTITY_XFORWARD };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(how); i++) {
        struct world w;
        struct buf log;
        const char *at;

        buf_init(&log, 65536);
        identity_world(&w, how[i], "250-PIPELINING\r\n");
        world_up(&w)->keep_idle = 0;
        log_set_sink(quiet, &log);
        world_go(&w);
        assert_int_equal(deliver_from(&w, "192.0.2.1:1", "a.test"), 250);
        assert_int_equal(deliver_from(&w, "192.0.2.1:1", "a.test"), 250);
        log_set_sink(quiet, NULL);
        at = strstr(log.ptr, "upstream_identity");
        assert_non_null(at);
        assert_null(strstr(at + 1, "upstream_identity"));
        assert_int_equal(count_lines(&w.fake[0], "XCLIENT") + count_lines(&w.fake[0], "XFORWARD"), 0);
        buf_fini(&log);
        world_fini(&w);
    }
}

static void a_server_that_cannot_be_told_again_is_not_kept(void **state)
{
    struct world w;

    (void)state;
    identity_world(&w, IDENTITY_XCLIENT, XCLIENT_ALL);
    fake_rule_add(&w.fake[0], (struct fake_rule){ "EHLO", "250-x\r\n250-PIPELINING\r\n250 HELP\r\n", DO_SAY,
                                                  0, "a.test", 0 });
    world_go(&w);
    assert_int_equal(deliver_from(&w, "192.0.2.1:1", "a.test"), 250);
    run_ms(&w, 10);
    assert_int_equal(deliver_from(&w, "192.0.2.2:2", "b.test"), 250);
    assert_int_equal(w.fake[0].accepted, 2);
    world_fini(&w);
}

static void an_idle_connection_that_died_is_replaced(void **state)
{
    struct world w;

    (void)state;
    identity_world(&w, IDENTITY_XCLIENT, XCLIENT_ALL);
    fake_rule_add(&w.fake[0], (struct fake_rule){ "XCLIENT", "", DO_CLOSE, 2, NULL, 0 });
    world_go(&w);
    assert_int_equal(deliver_from(&w, "192.0.2.1:1", "a.test"), 250);
    run_ms(&w, 5);
    assert_int_equal(deliver_from(&w, "192.0.2.2:2", "b.test"), 250);
    assert_int_equal(w.fake[0].accepted, 2);
    world_fini(&w);
}

/* A refused MAIL leaves what XFORWARD said: RSET comes before the next client's. */
static void xforward_does_not_outlive_a_refused_mail(void **state)
{
    struct world w;

    (void)state;
    identity_world(&w, IDENTITY_XFORWARD, "250-PIPELINING\r\n250-XFORWARD ADDR\r\n");
    fake_rule_add(&w.fake[0], (struct fake_rule){ "MAIL", "550 5.1.8 no\r\n", DO_SAY, 1, NULL, 0 });
    world_go(&w);
    assert_int_equal(deliver_from(&w, "192.0.2.1:1", "a.test"), 550);
    run_ms(&w, 5);
    assert_int_equal(deliver_from(&w, "192.0.2.2:2", "b.test"), 250);
    run_ms(&w, 5);
    assert_int_equal(deliver_from(&w, "192.0.2.3:3", "c.test"), 250);
    assert_string_equal(
        w.fake[0].lines.ptr,
        "1:EHLO mx.test\n"
        "1:XFORWARD ADDR=192.0.2.1\n1:MAIL FROM:<sender@example.org>\n1:RCPT TO:<user@corp.test>\n"
        "1:RSET\n1:XFORWARD ADDR=192.0.2.2\n1:MAIL FROM:<sender@example.org>\n"
        "1:RCPT TO:<user@corp.test>\n1:DATA\n"
        "1:XFORWARD ADDR=192.0.2.3\n1:MAIL FROM:<sender@example.org>\n"
        "1:RCPT TO:<user@corp.test>\n1:DATA\n");
    world_fini(&w);
}

static void proxy_headers_lead_and_connections_are_not_shared(void **state)
{
    struct world w;

    (void)state;
    identity_world(&w, IDENTITY_PROXY_V1, "250-PIPELINING\r\n");
    world_go(&w);
    assert_int_equal(deliver_from(&w, "192.0.2.1:1001", "a.test"), 250);
    run_ms(&w, 20);
    assert_int_equal(deliver_from(&w, "192.0.2.2:1002", "a.test"), 250);
    run_ms(&w, 20);
    assert_int_equal(w.fake[0].accepted, 2);
    assert_int_equal(w.fake[0].quits, 2);
    assert_non_null(strstr(w.fake[0].lines.ptr, "1:PROXY TCP4 192.0.2.1 198.51.100.2 1001 25\n1:EHLO"));
    assert_non_null(strstr(w.fake[0].lines.ptr, "2:PROXY TCP4 192.0.2.2 198.51.100.2 1002 25\n2:EHLO"));
    world_fini(&w);
}

static void proxy_version_2_is_binary(void **state)
{
    struct world w;

    (void)state;
    identity_world(&w, IDENTITY_PROXY_V2, "250-PIPELINING\r\n");
    w.fake[0].header_v2 = true;
    world_go(&w);
    assert_int_equal(deliver_from(&w, "192.0.2.1:4711", "a.test"), 250);
    assert_true(slice_starts(buf_slice(&w.fake[0].lines),
                             SLICE("1:0d0a0d0a000d0a515549540a2111000cc0000201c633640212670019\n1:EHLO")));
    world_fini(&w);
}

/* Postfix and Haraka refuse UNKNOWN and LOCAL. */
static void a21_probes_announce_our_own_address(void **state)
{
    static const enum config_identity how[] = { IDENTITY_PROXY_V1, IDENTITY_PROXY_V2 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(how); i++) {
        struct world w;
        char want[200];
        const char *at;

        identity_world(&w, how[i], XCLIENT_ALL);
        w.fake[0].header_v2 = how[i] == IDENTITY_PROXY_V2;
        w.probes = true;
        world_go(&w);
        run_ms(&w, 60);
        if (how[i] == IDENTITY_PROXY_V1) {
            snprintf(want, sizeof(want), " %u\n1:EHLO", w.fake[0].addr.port);
            assert_true(
                slice_starts(buf_slice(&w.fake[0].lines), SLICE("1:PROXY TCP4 127.0.0.1 127.0.0.1 ")));
        } else {
            snprintf(want, sizeof(want), "%04x\n1:EHLO", w.fake[0].addr.port);
            assert_true(slice_starts(buf_slice(&w.fake[0].lines),
                                     SLICE("1:0d0a0d0a000d0a515549540a2111000c7f0000017f000001")));
        }
        at = strstr(w.fake[0].lines.ptr, want);
        assert_non_null(at);
        assert_null(strstr(w.fake[0].lines.ptr, " 0 ")); /* our own port is said too */
        world_fini(&w);
    }
}

/* ---- EHLO ---- */

static const struct {
    const char *label;
    enum config_ehlo ehlo;
    enum config_identity identity;
    const char *helo[2]; /* of two clients */
    const char *said[2]; /* in the EHLO before the mail of each; "": none was needed */
} hello_rows[] = {
    { "A18: auto", EHLO_AUTO, IDENTITY_NONE, { "a.test", "b.test" }, { "mx.test", "" } },
    { "A18: auto, PROXY", EHLO_AUTO, IDENTITY_PROXY_V1, { "a.test", "b.test" }, { "a.test", "b.test" } },
    { "A18: auto, PROXY, a literal",
      EHLO_AUTO,
      IDENTITY_PROXY_V2,
      { "[192.0.2.1]", "x" },
      { "[192.0.2.1]", "x" } },
    { "A18: auto, PROXY, an illegal name",
      EHLO_AUTO,
      IDENTITY_PROXY_V1,
      { "a b", "" },
      { "mx.test", "mx.test" } },
    { "A18: auto, XCLIENT", EHLO_AUTO, IDENTITY_XCLIENT, { "a.test", "b.test" }, { "a.test", "b.test" } },
    { "A18: ours, PROXY", EHLO_OURS, IDENTITY_PROXY_V1, { "a.test", "b.test" }, { "mx.test", "mx.test" } },
    { "A18: ours, XCLIENT", EHLO_OURS, IDENTITY_XCLIENT, { "a.test", "b.test" }, { "mx.test", "mx.test" } },
    { "A18: client", EHLO_CLIENT, IDENTITY_NONE, { "a.test", "b.test" }, { "a.test", "b.test" } },
    { "A18: client, the same name", EHLO_CLIENT, IDENTITY_NONE, { "a.test", "a.test" }, { "a.test", "" } },
    { "A18: client, an illegal name",
      EHLO_CLIENT,
      IDENTITY_NONE,
      { "a.test", "a b" },
      { "a.test", "mx.test" } },
    { "A18: client, XFORWARD",
      EHLO_CLIENT,
      IDENTITY_XFORWARD,
      { "a.test", "b.test" },
      { "a.test", "b.test" } },
    { "A18: client, XCLIENT", EHLO_CLIENT, IDENTITY_XCLIENT, { "a.test", "b.test" }, { "a.test", "b.test" } },
};

/* The name in the last EHLO behind the offset; "" if there was none. */
static const char *last_hello(const struct fake *f, size_t from)
{
    static char name[300];
    const char *at = f->lines.ptr + from, *found = NULL;

    while ((at = strstr(at, ":EHLO ")) != NULL) {
        found = at + 6;
        at++;
    }
    snprintf(name, sizeof(name), "%.*s", found ? (int)strcspn(found, "\n") : 0, found ? found : "");
    return name;
}

static void a18_ehlo_has_the_name_that_is_configured(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hello_rows); i++) {
        struct world w;

        identity_world(&w, hello_rows[i].identity,
                       "250-PIPELINING\r\n250-XCLIENT ADDR\r\n250-XFORWARD ADDR\r\n");
        world_up(&w)->ehlo = hello_rows[i].ehlo;
        w.fake[0].header_v2 = hello_rows[i].identity == IDENTITY_PROXY_V2;
        world_go(&w);
        for (size_t k = 0; k < 2; k++) {
            size_t before = w.fake[0].lines.len;
            const char *said;

            assert_int_equal(deliver_from(&w, k ? "192.0.2.2:2" : "192.0.2.1:1", hello_rows[i].helo[k]), 250);
            run_ms(&w, 20);
            said = last_hello(&w.fake[0], before);
            if (strcmp(said, hello_rows[i].said[k]) != 0) {
                fail_msg("%s: client %zu: %s\n%s", hello_rows[i].label, k, said, w.fake[0].lines.ptr);
            }
        }
        world_fini(&w);
    }
}

/* It could not be asked for EHLO again: a connection for each client. */
static void a18_a_server_that_knows_only_helo_is_not_kept(void **state)
{
    struct world w;

    (void)state;
    identity_world(&w, IDENTITY_NONE, "");
    world_up(&w)->ehlo = EHLO_CLIENT;
    fake_rule_add(&w.fake[0], (struct fake_rule)SAYS("EHLO", "502 what\r\n"));
    world_go(&w);
    assert_int_equal(deliver_from(&w, "192.0.2.1:1", "a.test"), 250);
    run_ms(&w, 20);
    assert_int_equal(deliver_from(&w, "192.0.2.2:2", "b.test"), 250);
    assert_int_equal(w.fake[0].accepted, 2);
    assert_int_equal(count_lines(&w.fake[0], "1:HELO a.test"), 1);
    assert_int_equal(count_lines(&w.fake[0], "2:HELO b.test"), 1);
    world_fini(&w);
}

/* With `client` the EHLO of the next one stands between RSET and its MAIL. */
static void a18_clients_on_one_connection_are_not_mixed_up(void **state)
{
    struct world w;
    struct mail a, b;

    (void)state;
    identity_world(&w, IDENTITY_NONE, "250-PIPELINING\r\n");
    world_up(&w)->ehlo = EHLO_CLIENT;
    world_up(&w)->connections = 1;
    world_up(&w)->hold_ms = 20;
    world_go(&w);
    client_init(&a, &w, "192.0.2.1:1", "a.test");
    client_init(&b, &w, "192.0.2.2:2", "b.test");
    a.env.sender = SLICE("a@a.test");
    b.env.sender = SLICE("b@b.test");
    assert_int_equal(rcpt(&a, "user@corp.test"), 250);
    assert_int_equal(rcpt(&b, "user@corp.test"), 250);
    assert_int_equal(message(&a, BODY), 250);
    assert_int_equal(message(&b, BODY), 250);
    assert_string_equal(w.fake[0].lines.ptr,
                        "1:EHLO a.test\n1:MAIL FROM:<a@a.test>\n1:RCPT TO:<user@corp.test>\n1:RSET\n"
                        "1:EHLO b.test\n1:MAIL FROM:<b@b.test>\n1:RCPT TO:<user@corp.test>\n1:RSET\n"
                        "1:EHLO a.test\n1:MAIL FROM:<a@a.test>\n1:RCPT TO:<user@corp.test>\n1:DATA\n"
                        "1:EHLO b.test\n1:MAIL FROM:<b@b.test>\n1:RCPT TO:<user@corp.test>\n1:DATA\n");
    mail_fini(&a);
    mail_fini(&b);
    world_fini(&w);
}

/* ---- the client leaves, at any moment; the next one is not taken for it ---- */

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static void run_turns(struct world *w, int turns)
{
    struct timer t;

    timer_init(&t, w->loop, stop_loop, w->loop);
    for (int i = 0; i < turns; i++) {
        timer_start(&t, 0);
        loop_run(w->loop);
    }
    timer_stop(&t);
}

static void the_client_may_leave_at_any_turn(void **state)
{
    static const char *const ehlo[] = { XCLIENT_ALL, XFORWARD_ALL, "250-XFORWARD NAME ADDR PORT\r\n",
                                        "250-X\r\n" };
    static const enum config_identity how[] = { XC, XF, XF, IDENTITY_PROXY_V1 };

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct world w;
        struct mail m;
        const char *last = NULL;

        identity_world(&w, how[i % 4], ehlo[i % 4]);
        world_go(&w);
        client_init(&m, &w, "192.0.2.1:1", "a.test");
        begin_rcpt_as(&m, "user@corp.test", VALIDATE_LIVE);
        m.stop = false;
        run_turns(&w, i / 4);
        mail_fini(&m);
        assert_int_equal(deliver_from(&w, "192.0.2.77:2", "b.test"), 250);
        for (const char *p = w.fake[0].lines.ptr; (p = strstr(p, "192.0.2.")) != NULL; p++) {
            last = p;
        }
        assert_true(how[i % 4] == IDENTITY_NONE || (last && strncmp(last, "192.0.2.77", 10) == 0));
        world_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_say_what_is_offered_and_known),
        cmocka_unit_test(no_command_is_longer_than_512_octets),
        cmocka_unit_test(hello_names_are_only_those_a_server_takes),
        cmocka_unit_test(headers_of_version_1_are_exact),
        cmocka_unit_test(headers_of_both_versions_can_be_read),
        cmocka_unit_test(xclient_is_said_for_each_client_of_a_connection),
        cmocka_unit_test(interleaved_clients_are_not_mixed_up),
        cmocka_unit_test(a_long_identity_takes_two_commands),
        cmocka_unit_test(refusals_of_an_identity),
        cmocka_unit_test(a_refused_xclient_is_an_error_that_is_seen),
        cmocka_unit_test(mail_goes_on_where_identity_is_not_offered),
        cmocka_unit_test(a_server_that_cannot_be_told_again_is_not_kept),
        cmocka_unit_test(an_idle_connection_that_died_is_replaced),
        cmocka_unit_test(xforward_does_not_outlive_a_refused_mail),
        cmocka_unit_test(proxy_headers_lead_and_connections_are_not_shared),
        cmocka_unit_test(proxy_version_2_is_binary),
        cmocka_unit_test(a21_probes_announce_our_own_address),
        cmocka_unit_test(a18_ehlo_has_the_name_that_is_configured),
        cmocka_unit_test(a18_clients_on_one_connection_are_not_mixed_up),
        cmocka_unit_test(a18_a_server_that_knows_only_helo_is_not_kept),
        cmocka_unit_test(the_client_may_leave_at_any_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
