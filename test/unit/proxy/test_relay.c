/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_relay.c - relay, pool and upstream against fake servers: what the client is told, row by row (protocol
 * 1.10, 1.11), and what the servers see.  Leases, waiting and health are in test_pool.c.
 */
#include "state/servers.h"
#include "test/unit/proxy/relay_world.h"

/* ---- the plain case ---- */

static void one_message_goes_through_in_few_writes(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 1);
    world_go(&w);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    assert_string_equal(w.fake[0].lines.ptr, "1:EHLO mx.test\n"
                                             "1:MAIL FROM:<sender@example.org>\n"
                                             "1:RCPT TO:<user@corp.test>\n"
                                             "1:DATA\n");
    assert_string_equal(w.fake[0].content.ptr, HEAD "Subject: hi\r\n\r\nbody\r\n.\r\n");
    world_fini(&w);
}

static void final_reply_is_relayed_as_it_is(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "user@corp.test"), 250);
    assert_string_equal(m.text.ptr, "rcpt fine");
    assert_true(m.from_upstream);
    assert_int_equal(message(&m, BODY), 250);
    assert_string_equal(m.enhanced, "2.0.0");
    assert_string_equal(m.text.ptr, "queued as 42");
    assert_int_equal(relay_attempts(m.relay), 1);
    assert_true(slice_eq(relay_server(m.relay), slice_str(w.text[0])));
    mail_fini(&m);
    world_fini(&w);
}

/* ---- rows ---- */

enum stage { AT_RCPT = 0, AT_END };

struct row {
    const char *label;
    struct fake_rule rule;
    enum stage stage; /* which answer is looked at; those before are 250 */
    unsigned code;
    const char *enhanced;
    const char *text; /* in the answer; NULL: any */
    bool no_pipelining;
};

#define SAY(event, reply)                                                                                    \
    {                                                                                                        \
        event, reply, DO_SAY, 0, NULL, 0                                                                     \
    }
#define SAY_CLOSE(event, reply)                                                                              \
    {                                                                                                        \
        event, reply, DO_SAY_CLOSE, 0, NULL, 0                                                               \
    }
#define CLOSES(event)                                                                                        \
    {                                                                                                        \
        event, NULL, DO_CLOSE, 0, NULL, 0                                                                    \
    }
#define RESETS(event)                                                                                        \
    {                                                                                                        \
        event, NULL, DO_RESET, 0, NULL, 0                                                                    \
    }
#define MUTE(event)                                                                                          \
    {                                                                                                        \
        event, NULL, DO_MUTE, 0, NULL, 0                                                                     \
    }

static const struct row rows[] = {
    { "mute after accept", MUTE("GREETING"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "greeting 421", SAY_CLOSE("GREETING", "421 busy\r\n"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "greeting 450", SAY("GREETING", "450 later\r\n"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "greeting 554", SAY("GREETING", "554 no\r\n"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "A13: greeting 521 is about us", SAY("GREETING", "521 no mail\r\n"), AT_RCPT, 451, "4.3.5", NULL,
      false },
    { "A17: greeting 250", SAY("GREETING", "250 hi\r\n"), AT_END, 250, "2.0.0", NULL, false },
    { "A17: greeting of two lines", SAY("GREETING", "220-hi\r\n220 there\r\n"), AT_END, 250, "2.0.0", NULL,
      false },
    { "greeting garbage", SAY("GREETING", "hello there\r\n"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "greeting and more", SAY("GREETING", "220 hi\r\n250 early\r\n"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "close before the greeting", CLOSES("GREETING"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "reset before the greeting", RESETS("GREETING"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "EHLO 421", SAY_CLOSE("EHLO", "421 no\r\n"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "A13: EHLO 521 is about us", SAY("EHLO", "521 no mail\r\n"), AT_RCPT, 451, "4.3.5", NULL, false },
    { "A17: EHLO 251", SAY("EHLO", "251-hi\r\n251 PIPELINING\r\n"), AT_END, 250, "2.0.0", NULL, false },
    { "EHLO 220 is a second greeting", SAY("EHLO", "220 hi\r\n"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "EHLO dropped", CLOSES("EHLO"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "EHLO mute", MUTE("EHLO"), AT_RCPT, 451, "4.4.1", NULL, false },
    { "MAIL 550", SAY("MAIL", "550 5.7.1 sender denied\r\n"), AT_RCPT, 550, "5.7.1", "sender denied", false },
    { "MAIL 550 without pipelining", SAY("MAIL", "550 5.7.1 denied\r\n"), AT_RCPT, 550, "5.7.1", "denied",
      true },
    { "MAIL 452", SAY("MAIL", "452 4.3.1 Insufficient system resources\r\n"), AT_RCPT, 452, "4.3.1", NULL,
      false },
    { "MAIL 552", SAY("MAIL", "552 5.3.4 too big\r\n"), AT_RCPT, 552, "5.3.4", NULL, false },
    { "MAIL 530 is about us", SAY("MAIL", "530 5.7.1 authenticate\r\n"), AT_RCPT, 451, "4.3.5", NULL, false },
    { "MAIL 5.7.57 is about us", SAY("MAIL", "550 5.7.57 not anonymous\r\n"), AT_RCPT, 451, "4.3.5", NULL,
      false },
    { "MAIL 521 is about us", SAY("MAIL", "521 5.3.2 takes no mail\r\n"), AT_RCPT, 451, "4.3.5", NULL,
      false },
    { "A13: MAIL 5.5.1 is about us", SAY("MAIL", "550 5.5.1 what\r\n"), AT_RCPT, 451, "4.3.5", NULL, false },
    { "MAIL 503 is about us", SAY("MAIL", "503 bad sequence\r\n"), AT_RCPT, 451, "4.3.5", NULL, false },
    { "MAIL dropped", CLOSES("MAIL"), AT_RCPT, 451, "4.4.2", NULL, false },
    { "MAIL mute", MUTE("MAIL"), AT_RCPT, 451, "4.4.2", NULL, true },
    { "MAIL 421", SAY_CLOSE("MAIL", "421 4.3.2 going down\r\n"), AT_RCPT, 451, "4.3.2", "going down", false },
    { "MAIL 354", SAY("MAIL", "354 go\r\n"), AT_RCPT, 451, "4.3.0", NULL, false },
    { "MAIL 220", SAY("MAIL", "220 hi\r\n"), AT_RCPT, 451, "4.3.0", NULL, false },
    { "MAIL garbage", SAY("MAIL", "this is no reply\r\n"), AT_RCPT, 451, "4.3.0", NULL, false },
    { "RCPT 550", SAY("RCPT", "550 5.1.1 unknown\r\n"), AT_RCPT, 550, "5.1.1", "unknown", false },
    { "RCPT 450", SAY("RCPT", "450 4.2.0 greylisted\r\n"), AT_RCPT, 450, "4.2.0", NULL, false },
    { "RCPT 452", SAY("RCPT", "452 4.5.3 too many\r\n"), AT_RCPT, 452, "4.5.3", NULL, false },
    { "RCPT 551", SAY("RCPT", "551 5.1.6 moved\r\n"), AT_RCPT, 551, "5.1.6", NULL, false },
    { "RCPT 251 accepts", SAY("RCPT", "251 will forward\r\n"), AT_END, 250, "2.0.0", NULL, false },
    { "RCPT 252 accepts", SAY("RCPT", "252 will try\r\n"), AT_END, 250, "2.0.0", NULL, false },
    { "RCPT 5.7.54 is about us", SAY("RCPT", "550 5.7.54 no relay\r\n"), AT_RCPT, 451, "4.3.5", NULL, false },
    { "A13: RCPT 550 5.5.1", SAY("RCPT", "550 5.5.1 User unknown\r\n"), AT_RCPT, 550, "5.5.1", "unknown",
      false },
    { "A13: RCPT 553 5.5.1", SAY("RCPT", "553 5.5.1 no such user\r\n"), AT_RCPT, 553, "5.5.1", NULL, false },
    { "A13: RCPT 521 5.5.1", SAY("RCPT", "521 5.5.1 unknown\r\n"), AT_RCPT, 521, "5.5.1", NULL, false },
    { "A13: RCPT 521 5.2.1", SAY("RCPT", "521 5.2.1 disabled\r\n"), AT_RCPT, 521, "5.2.1", NULL, false },
    { "RCPT 503 5.5.1 is about us", SAY("RCPT", "503 5.5.1 MAIL first\r\n"), AT_RCPT, 451, "4.3.5", NULL,
      false },
    { "RCPT 530 is about us", SAY("RCPT", "530 5.7.0 authenticate\r\n"), AT_RCPT, 451, "4.3.5", NULL, false },
    { "RCPT dropped", CLOSES("RCPT"), AT_RCPT, 451, "4.4.2", NULL, false },
    { "RCPT reset", RESETS("RCPT"), AT_RCPT, 451, "4.4.2", NULL, true },
    { "RCPT mute", MUTE("RCPT"), AT_RCPT, 451, "4.4.2", NULL, false },
    { "RCPT 421", SAY_CLOSE("RCPT", "421 bye\r\n"), AT_RCPT, 451, "4.3.2", "bye", false },
    { "RCPT 354", SAY("RCPT", "354 go\r\n"), AT_RCPT, 451, "4.3.0", NULL, false },
    { "RCPT 220", SAY("RCPT", "220 hm\r\n"), AT_RCPT, 451, "4.3.0", NULL, false },
    { "RCPT 25", SAY("RCPT", "25 ok\r\n"), AT_RCPT, 451, "4.3.0", NULL, false },
    { "RCPT 600", SAY("RCPT", "600 x\r\n"), AT_RCPT, 451, "4.3.0", NULL, false },
    { "RCPT 250-550", SAY("RCPT", "250-yes\r\n550 no\r\n"), AT_RCPT, 451, "4.3.0", NULL, false },
    { "RCPT several lines", SAY("RCPT", "550-5.1.1 one\r\n550 5.1.1 two\r\n"), AT_RCPT, 550, "5.1.1",
      "one\ntwo", false },
    { "RCPT answered twice", SAY("RCPT", "250 ok\r\n250 and again\r\n"), AT_END, 451, "4.3.0", NULL, false },
    { "DATA 554", SAY("DATA", "554 5.7.1 no\r\n"), AT_END, 554, "5.7.1", NULL, false },
    { "DATA 451", SAY("DATA", "451 4.7.1 later\r\n"), AT_END, 451, "4.7.1", "later", false },
    { "DATA 503 is not about us", SAY("DATA", "503 5.5.1 no\r\n"), AT_END, 503, "5.5.1", NULL, false },
    { "DATA 250", SAY("DATA", "250 ok\r\n"), AT_END, 451, "4.3.0", NULL, false },
    { "DATA 350", SAY("DATA", "350 go\r\n"), AT_END, 451, "4.3.0", NULL, false },
    { "DATA 354 and 250", SAY("DATA", "354 go\r\n250 early\r\n"), AT_END, 451, "4.3.0", NULL, false },
    { "DATA dropped", CLOSES("DATA"), AT_END, 451, "4.4.2", NULL, false },
    { "DATA mute", MUTE("DATA"), AT_END, 451, "4.4.2", NULL, false },
    { "DATA 421", SAY_CLOSE("DATA", "421 down\r\n"), AT_END, 451, "4.3.2", "down", false },
    { "final 554", SAY(".", "554 5.6.0 bad\r\n"), AT_END, 554, "5.6.0", "bad", false },
    { "final 452", SAY(".", "452 4.3.1 full\r\n"), AT_END, 452, "4.3.1", NULL, false },
    { "final 550", SAY(".", "550 5.7.1 Message rejected as spam\r\n"), AT_END, 550, "5.7.1", "spam", false },
    { "final 5.7.57 is about the message", SAY(".", "550 5.7.57 x\r\n"), AT_END, 550, "5.7.57", NULL, false },
    { "final 421", SAY_CLOSE(".", "421 4.3.2 down\r\n"), AT_END, 451, "4.3.2", "down", false },
    { "final 354", SAY(".", "354 go\r\n"), AT_END, 451, "4.3.0", NULL, false },
    { "final dropped", CLOSES("."), AT_END, 451, "4.4.2", "did not confirm", false },
    { "final reset", RESETS("."), AT_END, 451, "4.4.2", "did not confirm", false },
    { "final mute", MUTE("."), AT_END, 451, "4.4.2", "did not confirm", false },
    { "final garbage", SAY(".", "2x0 fine\r\n"), AT_END, 451, "4.3.0", NULL, false },
    { "final with one more", SAY(".", "250 2.0.0 ok\r\n421 bye\r\n"), AT_END, 250, "2.0.0", "ok", false },
};

static void check_row(const struct row *row)
{
    struct world w;
    struct mail m;
    unsigned code;

    world_init(&w, 1);
    if (row->no_pipelining) {
        w.fake[0].ehlo = "250-SIZE\r\n";
    }
    fake_rule_add(&w.fake[0], row->rule);
    world_up(&w)->remember_unknown_ms = CONFIG_OFF;
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    code = rcpt(&m, "user@corp.test");
    if (row->stage == AT_END) {
        assert_int_equal(code / 100, 2);
        code = message(&m, BODY);
    }
    if (code != row->code || strcmp(m.enhanced, row->enhanced) != 0 ||
        (row->text && strstr(m.text.ptr ? m.text.ptr : "", row->text) == NULL)) {
        fail_msg("%s: %u %s %s", row->label, code, m.enhanced, m.text.ptr ? m.text.ptr : "");
    }
    mail_fini(&m);
    w.fake[0].rules = 0;
    if (deliver_one(&w, "192.0.2.1") != 250) { /* recovers, and nothing is shifted onto the next */
        fail_msg("%s: the next message failed", row->label);
    }
    world_fini(&w);
}

static void upstream_events_become_the_replies_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct row row = rows[i];

        check_row(&row);
    }
}

static void refused_connect_is_4_4_1_and_recovers(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 1);
    fake_deaf(&w.fake[0]);
    world_go(&w);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
    fake_listen(&w.fake[0]);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    world_fini(&w);
}

static void ehlo_refused_means_helo_without_parameters(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    fake_rule_add(&w.fake[0], (struct fake_rule)SAY("EHLO", "502 no\r\n"));
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    m.env.size_given = true;
    m.env.size = 100;
    m.env.body = BODY_8BITMIME;
    m.env.ret = RET_FULL;
    assert_int_equal(rcpt(&m, "user@corp.test"), 250);
    assert_int_equal(message(&m, BODY), 250);
    assert_int_equal(count_lines(&w.fake[0], "1:HELO mx.test\n"), 1);
    assert_int_equal(count_lines(&w.fake[0], "1:MAIL FROM:<sender@example.org>\n"), 1);
    mail_fini(&m);
    world_fini(&w);
}

static void ehlo_and_helo_refused_is_about_us(void **state)
{
    struct world w;
    struct mail m;
    uint64_t before = 0;

    (void)state;
    world_init(&w, 1);
    before = metric_get(M_UP_REFUSES_US);
    fake_rule_add(&w.fake[0], (struct fake_rule)SAY("EHLO", "550 5.7.1 no\r\n"));
    fake_rule_add(&w.fake[0], (struct fake_rule)SAY("HELO", "550 5.7.1 no\r\n"));
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "user@corp.test"), 451);
    assert_string_equal(m.enhanced, "4.3.5");
    assert_int_equal(metric_get(M_UP_REFUSES_US), before + 1);
    mail_fini(&m);
    world_fini(&w);
}

static void mail_that_demands_tls_never_goes_in_clear(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->tls = UP_TLS_REQUIRED;
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 451);
    assert_string_equal(m.enhanced, "4.7.0");
    assert_int_equal(count_lines(&w.fake[0], "MAIL"), 0);
    mail_fini(&m);
    world_fini(&w);
}

static void refusal_of_mail_answers_all_recipients(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    fake_rule_add(&w.fake[0], (struct fake_rule)SAY("MAIL", "550 5.1.8 bad sender\r\n"));
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 550);
    assert_int_equal(rcpt(&m, "b@corp.test"), 550);
    assert_string_equal(m.enhanced, "5.1.8");
    assert_int_equal(count_lines(&w.fake[0], "MAIL"), 1);
    mail_fini(&m);
    world_fini(&w);
}

static void refusal_of_mail_survives_the_connection(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    fake_rule_add(&w.fake[0], (struct fake_rule)SAY_CLOSE("MAIL", "554 5.7.1 go away\r\n"));
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 554);
    assert_string_equal(m.text.ptr, "go away");
    mail_fini(&m);
    world_fini(&w);
}

/* ---- the lost final reply, early refusals ---- */

static void lost_final_reply_is_unknown_and_logged(void **state)
{
    struct world w;
    struct mail m;
    struct buf log;

    (void)state;
    world_init(&w, 1);
    buf_init(&log, 65536);
    log_set_sink(quiet, &log);
    fake_rule_add(&w.fake[0], (struct fake_rule)CLOSES("."));
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "user@corp.test"), 250);
    assert_false(relay_committed(m.relay));
    assert_int_equal(message(&m, BODY), 451);
    assert_int_equal(m.outcome, RELAY_UNKNOWN);
    assert_false(m.from_upstream);
    assert_non_null(strstr(log.ptr, "outcome_unknown"));
    assert_int_equal(w.fake[0].accepted, 1); /* never sent again by us */
    mail_fini(&m);
    log_set_sink(quiet, NULL);
    buf_fini(&log);
    world_fini(&w);
}

static void is_committed_once_the_dot_is_out(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    fake_rule_add(&w.fake[0], (struct fake_rule)MUTE("."));
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "user@corp.test"), 250);
    begin_message(&m, BODY);
    run_ms(&w, 40);
    assert_true(relay_committed(m.relay));
    await_answer(&m, 1);
    assert_false(relay_committed(m.relay));
    mail_fini(&m);
    world_fini(&w);
}

static char *make_body(size_t len)
{
    char *body = xmalloc(len + 1);

    for (size_t i = 0; i < len; i++) {
        size_t col = i % 78;

        body[i] = col == 76 ? '\r' : col == 77 ? '\n' : (char)('a' + (i / 78) % 26);
    }
    memcpy(body + len - 2, "\r\n", 2);
    body[len - 3] = 'x';
    body[len] = '\0';
    return body;
}

struct early_row {
    const char *label;
    struct fake_rule rule;
    unsigned code;
    const char *enhanced;
};

static void inside_content_an_early_refusal_counts_and_an_early_acceptance_does_not(void **state)
{
    static const struct early_row early[] = {
        { "554", SAY_CLOSE("BODY", "554 5.3.4 too much\r\n"), 554, "5.3.4" },
        { "452", SAY("BODY", "452 4.3.1 full\r\n"), 452, "4.3.1" },
        { "421", SAY_CLOSE("BODY", "421 down\r\n"), 451, "4.3.2" },
        { "250", SAY("BODY", "250 2.0.0 done\r\n"), 451, "4.3.0" },
        { "close", CLOSES("BODY"), 451, "4.4.2" },
        { "reset", RESETS("BODY"), 451, "4.4.2" },
    };
    size_t len = (size_t)8 * 1024 * 1024;
    char *body = make_body(len);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(early); i++) {
        struct world w;
        struct mail m;

        world_init(&w, 1);
        fake_rule_add(&w.fake[0], early[i].rule);
        world_go(&w);
        mail_init(&m, &w, "192.0.2.1");
        assert_int_equal(rcpt(&m, "user@corp.test"), 250);
        if (message(&m, slice_of(body, len)) != early[i].code || strcmp(m.enhanced, early[i].enhanced) != 0) {
            fail_msg("%s: %u %s %s", early[i].label, m.code, m.enhanced, m.text.ptr);
        }
        assert_int_not_equal(m.outcome, RELAY_UNKNOWN);
        mail_fini(&m);
        world_fini(&w);
    }
    free(body);
}

/* ---- content ---- */

struct content_row {
    const char *label;
    const char *head, *body;
    uint64_t skip;
    const char *wire;
};

static void content_arrives_octet_for_octet_with_dots_doubled(void **state)
{
    static const struct content_row contents[] = {
        { "plain", "A: b\r\n", "\r\nx\r\n", 0, "A: b\r\n\r\nx\r\n.\r\n" },
        { "nothing", "", "", 0, ".\r\n" },
        { "only a head", "A: b\r\n", "", 0, "A: b\r\n.\r\n" },
        { "a dot at the start", "", ".x\r\n", 0, "..x\r\n.\r\n" },
        { "a dot behind the head", "A: b\r\n", ".x\r\n", 0, "A: b\r\n..x\r\n.\r\n" },
        { "a dot in the head", ".A: b\r\n", "x\r\n", 0, "..A: b\r\nx\r\n.\r\n" },
        { "lines of dots", "", ".\r\n..\r\n...\r\n", 0, "..\r\n...\r\n....\r\n.\r\n" },
        { "dots within lines", "", "a.b..c.\r\n.d.\r\n", 0, "a.b..c.\r\n..d.\r\n.\r\n" },
        { "skipped octets", "New: 1\r\n", "Old: 1\r\n.x\r\n", 8, "New: 1\r\n..x\r\n.\r\n" },
        { "all skipped", "New: 1\r\n", "Old: 1\r\n", 8, "New: 1\r\n.\r\n" },
        { "without a last line end", "", "abc", 0, "abc\r\n.\r\n" },
        { "a single dot", "", ".", 0, "..\r\n.\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        const struct content_row *row = &contents[i];
        struct world w;
        struct mail m;

        world_init(&w, 1);
        world_go(&w);
        mail_init(&m, &w, "192.0.2.1");
        assert_int_equal(rcpt(&m, "user@corp.test"), 250);
        m.spool = spool_new(w.state, w.conf);
        assert_int_equal(spool_put(m.spool, row->body, strlen(row->body)), SPOOL_OK);
        m.msg = (struct relay_message){ .head = slice_str(row->head), .skip = row->skip, .spool = m.spool };
        relay_message(m.relay, &m.msg, on_answer, &m);
        await_answer(&m, 1);
        if (m.code != 250 || strcmp(w.fake[0].content.ptr, row->wire) != 0) {
            fail_msg("%s: %u %s", row->label, m.code, w.fake[0].content.ptr);
        }
        mail_fini(&m);
        world_fini(&w);
    }
}

/* The receiver's view: dots removed, the end taken off. */
static void unstuff(struct buf *b)
{
    char *out = b->ptr;
    size_t n = 0;

    for (size_t i = 0; i + 3 < b->len + 1; i++) {
        bool bol = i == 0 || b->ptr[i - 1] == '\n';

        if (bol && b->ptr[i] == '.') {
            if (i + 3 == b->len) {
                break;
            }
            i++;
        }
        out[n++] = b->ptr[i];
    }
    buf_truncate(b, n);
}

static void large_content_is_the_same_from_memory_and_file(void **state)
{
    static const size_t sizes[] = { 100000, 262144 - sizeof(HEAD), 262144, 1048576, 3500001 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (int dots = 0; dots < 3; dots++) { /* none, many, at the edges of blocks */
            char *body = make_body(sizes[i]);
            struct world w;
            struct mail m;

            for (size_t k = 0; dots == 1 && k + 78 < sizes[i]; k += 78) {
                body[k] = '.';
            }
            for (size_t k = 262144; dots == 2 && k + 8 < sizes[i]; k += 262144) {
                memcpy(body + k - 2, "\r\n..", 4);
                memcpy(body + k + 4, "\r\n.", 3);
            }
            world_init(&w, 1);
            world_up(&w)->timeouts.final_reply_ms = 5000;
            world_go(&w);
            mail_init(&m, &w, "192.0.2.1");
            assert_int_equal(rcpt(&m, "user@corp.test"), 250);
            assert_int_equal(message(&m, slice_of(body, sizes[i])), 250);
            unstuff(&w.fake[0].content);
            assert_true(w.fake[0].content.len == sizes[i] + sizeof(HEAD) - 1);
            assert_memory_equal(w.fake[0].content.ptr, HEAD, sizeof(HEAD) - 1);
            assert_memory_equal(w.fake[0].content.ptr + sizeof(HEAD) - 1, body, sizes[i]);
            assert_int_equal(w.fake[0].messages, 1);
            mail_fini(&m);
            world_fini(&w);
            free(body);
        }
    }
}

/* ---- parameters ---- */

static void parameters_go_only_where_they_were_offered(void **state)
{
    static const struct {
        const char *label, *ehlo, *mail, *rcpt;
    } offers[] = {
        { "all", "250-PIPELINING\r\n250-8bitmime\r\n250-DSN\r\n250-SIZE 0\r\n250-smtputf8\r\n",
          "MAIL FROM:<> SIZE=5096 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e+2Bx\n",
          "RCPT TO:<a@corp.test> NOTIFY=NEVER ORCPT=rfc822;x\n" },
        { "none", "250-AUTH=LOGIN\r\n", "MAIL FROM:<>\n", "RCPT TO:<a@corp.test>\n" },
        { "size", "250-SIZE\r\n", "MAIL FROM:<> SIZE=5096\n", "RCPT TO:<a@corp.test>\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
        struct world w;
        struct mail m;

        world_init(&w, 1);
        w.fake[0].ehlo = offers[i].ehlo;
        world_go(&w);
        mail_init(&m, &w, "192.0.2.1");
        m.env.sender_null = true;
        m.env.sender = SLICE_NONE;
        m.env.size_given = true;
        m.env.size = 1000;
        m.env.body = BODY_8BITMIME;
        m.env.smtputf8 = true;
        m.env.ret = RET_HDRS;
        m.env.envid = SLICE("e+2Bx");
        m.rcpt[0].notify = SLICE("NEVER");
        m.rcpt[0].orcpt = SLICE("rfc822;x");
        assert_int_equal(rcpt(&m, "a@corp.test"), 250);
        if (count_lines(&w.fake[0], offers[i].mail) != 1 || count_lines(&w.fake[0], offers[i].rcpt) != 1) {
            fail_msg("%s: %s", offers[i].label, w.fake[0].lines.ptr);
        }
        mail_fini(&m);
        world_fini(&w);
    }
}

static void a22_what_a_server_cannot_take_is_refused_here_and_8_bit_is_passed(void **state)
{
    static const struct {
        const char *label;
        bool rcpt_utf8, sender_utf8, headers_utf8, eight_bit;
        bool elsewhere; /* another server takes SMTPUTF8 */
        enum config_validate validate;
        unsigned code;
        const char *enhanced;
    } cases[] = {
        { "recipient", true, false, false, false, false, VALIDATE_LIVE, 555, "5.6.7" },
        { "recipient, another could", true, false, false, false, true, VALIDATE_LIVE, 452, "4.3.3" },
        { "sender", false, true, false, false, false, VALIDATE_LIVE, 555, "5.6.7" },
        { "sender, another could", false, true, false, false, true, VALIDATE_LIVE, 452, "4.3.3" },
        { "sender, not asked at RCPT", false, true, false, false, false, VALIDATE_NONE, 554, "5.6.7" },
        { "the same, another could", false, true, false, false, true, VALIDATE_NONE, 451, "4.3.3" },
        { "headers", false, false, true, false, false, VALIDATE_LIVE, 554, "5.6.9" },
        { "8 bit", false, false, false, true, false, VALIDATE_LIVE, 250, "2.0.0" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct mail m;
        struct state_keywords k = { .known = true, .at_ms = 1 };
        uint64_t passed;

        world_init(&w, 2);
        w.fake[0].ehlo = "250-PIPELINING\r\n";
        world_go(&w);
        k.smtputf8 = cases[i].elsewhere;
        state_keywords_set(w.state, world_server(&w, 1), &k);
        mail_init(&m, &w, "192.0.2.1");
        m.env.smtputf8 = true;
        m.env.sender_utf8 = cases[i].sender_utf8;
        m.rcpt[0].utf8 = cases[i].rcpt_utf8;
        m.msg.utf8_headers = cases[i].headers_utf8;
        m.msg.eight_bit = cases[i].eight_bit;
        passed = metric_get(M_UP_EIGHT_BIT);
        if (rcpt_as(&m, "a@corp.test", cases[i].validate) == 250) {
            message(&m, BODY);
        }
        assert_int_equal(metric_get(M_UP_EIGHT_BIT) - passed, cases[i].eight_bit);
        if (m.code != cases[i].code || strcmp(m.enhanced, cases[i].enhanced) != 0) {
            fail_msg("%s: %u %s", cases[i].label, m.code, m.enhanced);
        }
        mail_fini(&m);
        world_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_message_goes_through_in_few_writes),
        cmocka_unit_test(final_reply_is_relayed_as_it_is),
        cmocka_unit_test(upstream_events_become_the_replies_of_the_table),
        cmocka_unit_test(refused_connect_is_4_4_1_and_recovers),
        cmocka_unit_test(ehlo_refused_means_helo_without_parameters),
        cmocka_unit_test(ehlo_and_helo_refused_is_about_us),
        cmocka_unit_test(mail_that_demands_tls_never_goes_in_clear),
        cmocka_unit_test(refusal_of_mail_answers_all_recipients),
        cmocka_unit_test(refusal_of_mail_survives_the_connection),
        cmocka_unit_test(lost_final_reply_is_unknown_and_logged),
        cmocka_unit_test(is_committed_once_the_dot_is_out),
        cmocka_unit_test(inside_content_an_early_refusal_counts_and_an_early_acceptance_does_not),
        cmocka_unit_test(content_arrives_octet_for_octet_with_dots_doubled),
        cmocka_unit_test(large_content_is_the_same_from_memory_and_file),
        cmocka_unit_test(parameters_go_only_where_they_were_offered),
        cmocka_unit_test(a22_what_a_server_cannot_take_is_refused_here_and_8_bit_is_passed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
