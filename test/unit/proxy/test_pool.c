/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pool.c - leases: given back, repeated, reused, replaced, shared, waited for; failover, health,
 * keywords.
 */
#include "core/timers.h"
#include "proxy/upstream/upstream.h"
#include "state/servers.h"
#include "state/slots.h"
#include "test/unit/proxy/relay_world.h"

#define SAY(event, reply)                                                                                    \
    (struct fake_rule)                                                                                       \
    {                                                                                                        \
        event, reply, DO_SAY, 0, NULL, 0                                                                     \
    }
#define ACT(event, what)                                                                                     \
    (struct fake_rule)                                                                                       \
    {                                                                                                        \
        event, NULL, what, 0, NULL, 0                                                                        \
    }

static void start(struct world *w, size_t servers)
{
    world_init(w, servers);
    world_go(w);
}

#define MANY 8

static const char *const clients[MANY] = { "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4",
                                           "192.0.2.5", "192.0.2.6", "192.0.2.7", "192.0.2.8" };

/* ---- hold ---- */

static void held_too_long_the_connection_goes_back_and_the_envelope_is_repeated(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->hold_ms = 30;
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    run_ms(&w, 80);
    assert_int_equal(rcpt(&m, "b@corp.test"), 250);
    run_ms(&w, 80);
    assert_int_equal(message(&m, BODY), 250);
    assert_string_equal(w.fake[0].lines.ptr,
                        "1:EHLO mx.test\n"
                        "1:MAIL FROM:<sender@example.org>\n1:RCPT TO:<a@corp.test>\n1:RSET\n"
                        "1:MAIL FROM:<sender@example.org>\n1:RCPT TO:<b@corp.test>\n1:RSET\n"
                        "1:MAIL FROM:<sender@example.org> SIZE=43\n"
                        "1:RCPT TO:<a@corp.test>\n1:RCPT TO:<b@corp.test>\n1:DATA\n");
    assert_int_equal(w.fake[0].messages, 1);
    mail_fini(&m);
    world_fini(&w);
}

static void a_silent_client_makes_room_for_others(uint64_t hold_ms)
{
    struct world w;
    struct mail silent, m;

    world_init(&w, 1);
    world_up(&w)->connections = 2; /* one of them for envelopes */
    world_up(&w)->hold_ms = hold_ms;
    world_go(&w);
    mail_init(&silent, &w, "192.0.2.1");
    mail_init(&m, &w, "192.0.2.2");
    assert_int_equal(rcpt(&silent, "a@corp.test"), 250);
    run_ms(&w, 200);
    assert_int_equal(count_lines(&w.fake[0], "RSET"), 0); /* nobody else wants it */
    assert_int_equal(rcpt(&m, "b@corp.test"), 250);
    assert_int_equal(message(&m, BODY), 250);
    assert_int_equal(message(&silent, BODY), 250);
    assert_int_equal(w.fake[0].messages, 2);
    mail_fini(&silent);
    mail_fini(&m);
    world_fini(&w);
}

/* A crowd of clients that stop after RCPT must not make others wait for `hold` each. */
static void while_others_wait_a_silent_client_loses_the_connection_at_once(void **state)
{
    (void)state;
    a_silent_client_makes_room_for_others(60000); /* queue_wait is 2 s */
}

static void without_an_end_of_hold_it_does_so_too(void **state)
{
    (void)state;
    a_silent_client_makes_room_for_others(CONFIG_OFF);
}

static void silence_starts_no_clocks(uint64_t hold_ms)
{
    struct world w;
    struct mail m[6];
    uint32_t started;

    world_init(&w, 1);
    world_up(&w)->hold_ms = hold_ms;
    world_go(&w);
    for (size_t i = 0; i < ARRAY_LEN(m); i++) {
        mail_init(&m[i], &w, clients[i]);
        assert_int_equal(rcpt(&m[i], "a@corp.test"), 250);
    }
    started = loop_timers(w.loop)->next_order;
    run_ms(&w, 600);
    assert_in_range(loop_timers(w.loop)->next_order - started, 2, 8); /* the test's own, and one in 100 ms */
    assert_int_equal(count_lines(&w.fake[0], "RSET"), 0);
    for (size_t i = 0; i < ARRAY_LEN(m); i++) {
        mail_fini(&m[i]);
    }
    world_fini(&w);
}

/* Nobody waits: the clients' silence costs the poll of the pool, not a clock for each. */
static void silence_costs_no_clock_for_each(void **state)
{
    (void)state;
    silence_starts_no_clocks(60000);
    silence_starts_no_clocks(CONFIG_OFF);
}

/* One waits, so one loses its connection: who was silent longest. */
static void the_longest_silent_makes_room(void **state)
{
    struct world w;
    struct mail first, second, m;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->connections = 4; /* two of them for envelopes */
    world_up(&w)->hold_ms = 60000;
    world_go(&w);
    mail_init(&first, &w, "192.0.2.1");
    mail_init(&second, &w, "192.0.2.2");
    mail_init(&m, &w, "192.0.2.3");
    assert_int_equal(rcpt(&first, "a@corp.test"), 250);
    assert_int_equal(rcpt(&second, "b@corp.test"), 250);
    run_ms(&w, 30);
    assert_int_equal(rcpt(&m, "c@corp.test"), 250);
    run_ms(&w, 30);
    assert_int_equal(count_lines(&w.fake[0], "RSET"), 1);
    assert_int_equal(message(&second, BODY), 250);
    assert_int_equal(count_lines(&w.fake[0], "RCPT TO:<b@corp.test>"), 1); /* its transaction lived on */
    assert_int_equal(message(&first, BODY), 250);
    assert_int_equal(count_lines(&w.fake[0], "RCPT TO:<a@corp.test>"), 2);
    mail_fini(&first);
    mail_fini(&second);
    mail_fini(&m);
    world_fini(&w);
}

/* It goes on behind the others, and none of its recipients is lost. */
static void an_envelope_of_many_recipients_lets_others_take_their_turn(void **state)
{
    struct world w;
    struct mail many, m;
    char name[TXN_RCPTS][16];
    unsigned before;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->connections = 2; /* one of them for envelopes */
    world_go(&w);
    mail_init(&many, &w, "192.0.2.1");
    mail_init(&m, &w, "192.0.2.2");
    assert_int_equal(rcpt(&many, "r0@corp.test"), 250);
    before = m.answers;
    begin_rcpt_as(&m, "other@corp.test", VALIDATE_LIVE);
    for (unsigned i = 1; i < 30; i++) {
        (void)snprintf(name[i], sizeof(name[i]), "r%u@corp.test", i);
        assert_int_equal(rcpt(&many, name[i]), 250);
    }
    assert_int_equal(m.answers, before + 1);
    assert_int_equal(m.code, 250);
    assert_int_equal(message(&many, BODY), 250);
    assert_int_equal(count_lines(&w.fake[0], "RCPT TO:<r0@corp.test>"), 2);
    assert_int_equal(count_lines(&w.fake[0], "RCPT TO:<r29@corp.test>"), 2);
    mail_fini(&many);
    mail_fini(&m);
    world_fini(&w);
}

static void a_partial_transaction_is_reset_and_repeated_on_the_same_connection(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->hold_ms = 30;
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    run_ms(&w, 80);
    assert_int_equal(rcpt(&m, "b@corp.test"), 250);
    assert_int_equal(message(&m, BODY), 250);
    assert_int_equal(count_lines(&w.fake[0], "RSET"), 2);
    assert_int_equal(count_lines(&w.fake[0], "RCPT TO:<a@corp.test>\n1:RCPT TO:<b@corp.test>\n1:DATA\n"), 1);
    assert_int_equal(w.fake[0].accepted, 1);
    mail_fini(&m);
    world_fini(&w);
}

static void an_accepted_recipient_that_was_not_kept_gets_no_mail(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    start(&w, 1);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    assert_int_equal(rcpt(&m, "b@corp.test"), 250);
    m.env.rcpt_count = 1;
    assert_int_equal(message(&m, BODY), 250);
    assert_int_equal(count_lines(&w.fake[0], "RCPT TO:<a@corp.test>\n1:DATA\n"), 1);
    mail_fini(&m);
    world_fini(&w);
}

struct repeat_row {
    const char *label;
    struct fake_rule rule;
    unsigned code;
    const char *enhanced;
};

static void at_the_repeat_refused_recipients_are_451_and_a_refused_sender_is_relayed(void **state)
{
    static const struct repeat_row rows[] = {
        { "one recipient", { "RCPT", "550 5.1.1 gone\r\n", DO_SAY, 4, NULL, 0 }, 451, "4.3.0" },
        { "sender 550", { "MAIL", "550 5.7.1 no\r\n", DO_SAY, 2, NULL, 0 }, 550, "5.7.1" },
        { "sender about us", { "MAIL", "530 5.7.1 no\r\n", DO_SAY, 2, NULL, 0 }, 451, "4.3.5" },
        { "recipient about us", { "RCPT", "530 5.7.1 no\r\n", DO_SAY, 4, NULL, 0 }, 451, "4.3.5" },
        { "recipient 421", { "RCPT", "421 down\r\n", DO_SAY_CLOSE, 4, NULL, 0 }, 451, "4.3.2" },
        { "recipient dropped", { "RCPT", NULL, DO_CLOSE, 4, NULL, 0 }, 451, "4.4.2" },
        { "recipient nonsense", { "RCPT", "354 x\r\n", DO_SAY, 4, NULL, 0 }, 451, "4.3.0" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        struct mail m;

        world_init(&w, 1);
        world_up(&w)->hold_ms = 10;
        fake_rule_add(&w.fake[0], rows[i].rule);
        world_go(&w);
        mail_init(&m, &w, "192.0.2.1");
        assert_int_equal(rcpt(&m, "a@corp.test"), 250);
        assert_int_equal(rcpt(&m, "b@corp.test"), 250);
        run_ms(&w, 50);
        if (message(&m, BODY) != rows[i].code || strcmp(m.enhanced, rows[i].enhanced) != 0) {
            fail_msg("%s: %u %s", rows[i].label, m.code, m.enhanced);
        }
        assert_int_equal(count_lines(&w.fake[0], "DATA"), 0);
        mail_fini(&m);
        world_fini(&w);
    }
}

static void all_live_recipients_refused_at_the_repeat_are_451_too(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->hold_ms = 10;
    fake_rule_add(&w.fake[0], (struct fake_rule){ "RCPT", "550 5.1.1 gone\r\n", DO_SAY, 2, NULL, 0 });
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    run_ms(&w, 50);
    assert_int_equal(message(&m, BODY), 451);
    assert_string_equal(m.enhanced, "4.3.0");
    mail_fini(&m);
    world_fini(&w);
}

/* ---- never asked at RCPT; remembered refusals ---- */

static void unasked_recipients_all_refused_alike_get_that_refusal_and_it_is_remembered(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    fake_rule_add(&w.fake[0], SAY("RCPT", "550 5.1.1 no such user\r\n"));
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt_as(&m, "a@corp.test", VALIDATE_NONE), 250);
    assert_int_equal(rcpt_as(&m, "b@corp.test", VALIDATE_FILE), 250);
    assert_int_equal(w.fake[0].accepted, 0);
    assert_int_equal(message(&m, BODY), 550);
    assert_string_equal(m.text.ptr, "no such user");
    mail_fini(&m);
    w.fake[0].rules = 0;
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt_as(&m, "a@corp.test", VALIDATE_NONE), 550);
    assert_int_equal(rcpt_as(&m, "b@corp.test", VALIDATE_LIVE), 550);
    assert_string_equal(m.enhanced, "5.1.1");
    assert_string_equal(m.text.ptr, "no such user");
    assert_int_equal(rcpt_as(&m, "c@corp.test", VALIDATE_LIVE), 250);
    mail_fini(&m);
    world_fini(&w);
}

static void unasked_recipients_of_whom_one_is_refused_are_451(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    fake_rule_add(&w.fake[0], (struct fake_rule){ "RCPT", "550 5.1.1 no\r\n", DO_SAY, 0, "b@", 0 });
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt_as(&m, "a@corp.test", VALIDATE_NONE), 250);
    assert_int_equal(rcpt_as(&m, "b@corp.test", VALIDATE_NONE), 250);
    assert_int_equal(message(&m, BODY), 451);
    assert_string_equal(m.enhanced, "4.3.0");
    assert_int_equal(count_lines(&w.fake[0], "DATA"), 0);
    mail_fini(&m);
    world_fini(&w);
}

static void only_unknown_users_are_remembered_and_not_for_ever(void **state)
{
    static const struct {
        const char *reply;
        bool kept;
    } rows[] = {
        { "550 5.1.1 a\r\n", true },  { "550 5.1.10 a\r\n", true }, { "550 5.7.1 a\r\n", false },
        { "450 4.1.1 a\r\n", false }, { "550 a\r\n", false },       { "551 5.1.1 a\r\n", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        struct mail m;

        world_init(&w, 1);
        world_up(&w)->remember_unknown_ms = 150;
        fake_rule_add(&w.fake[0], (struct fake_rule){ "RCPT", rows[i].reply, DO_SAY, 1, NULL, 0 });
        world_go(&w);
        mail_init(&m, &w, "192.0.2.1");
        assert_true(rcpt(&m, "a@corp.test") / 100 != 2);
        if ((rcpt(&m, "a@corp.test") / 100 != 2) != rows[i].kept) {
            fail_msg("%s", rows[i].reply);
        }
        run_ms(&w, 200);
        assert_int_equal(rcpt(&m, "a@corp.test"), 250);
        mail_fini(&m);
        world_fini(&w);
    }
}

/* ---- reuse ---- */

static void a_connection_serves_many_messages_without_rset(void **state)
{
    struct world w;

    (void)state;
    start(&w, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    }
    assert_int_equal(w.fake[0].accepted, 1);
    assert_int_equal(w.fake[0].messages, 5);
    assert_int_equal(count_lines(&w.fake[0], "RSET"), 0);
    world_fini(&w);
    assert_int_equal(w.fake[0].quits, 1);
}

static void idle_says(struct world *w, const char *text, bool close_it, uint64_t wait_ms)
{
    struct fake_conn *c = &w->fake[0].conn[0];

    if (text) {
        stream_write(c->s, slice_str(text));
        stream_flush(c->s);
    }
    if (close_it) {
        fake_gone(c);
    }
    if (wait_ms) {
        run_ms(w, wait_ms);
    }
}

static void a_dead_idle_connection_is_replaced_unseen(void **state)
{
    static const struct {
        const char *label, *text;
        bool close_it;
        uint64_t wait_ms; /* 0: the loop has had no chance to notice */
    } rows[] = {
        { "closed", NULL, true, 20 },
        { "closed just now", NULL, true, 0 },
        { "421", "421 4.4.2 idle\r\n", true, 20 },
        { "421 just now", "421 4.4.2 idle\r\n", true, 0 },
        { "junk", "250 hello\r\n", false, 20 },
        { "junk just now", "250 hello\r\n", false, 0 },
        { "half a line", "250", false, 20 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        start(&w, 1);
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        run_ms(&w, 10);
        idle_says(&w, rows[i].text, rows[i].close_it, rows[i].wait_ms);
        if (deliver_one(&w, "192.0.2.1") != 250 || w.fake[0].accepted != 2 || w.fake[0].messages != 2) {
            fail_msg("%s", rows[i].label);
        }
        world_fini(&w);
    }
}

static void the_first_command_on_a_reused_connection_may_fail_once(void **state)
{
    static const struct fake_rule rules[] = {
        { "MAIL", NULL, DO_CLOSE, 2, NULL, 0 },
        { "MAIL", NULL, DO_RESET, 2, NULL, 0 },
        { "MAIL", "421 4.4.2 too late\r\n", DO_SAY_CLOSE, 2, NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct world w;
        struct mail m;

        world_init(&w, 1);
        fake_rule_add(&w.fake[0], rules[i]);
        world_go(&w);
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        mail_init(&m, &w, "192.0.2.1");
        assert_int_equal(rcpt(&m, "a@corp.test"), 250);
        assert_int_equal(relay_attempts(m.relay), 2);
        mail_fini(&m);
        w.fake[0].rule[0].nth = 0; /* always: the replacement fails as well */
        run_ms(&w, 20);
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
        world_fini(&w);
    }
}

static void connections_end_by_count_age_and_idleness(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->max_messages = 2;
    world_go(&w);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    }
    assert_int_equal(w.fake[0].accepted, 3);
    world_fini(&w);

    world_init(&w, 1);
    world_up(&w)->max_age_ms = 60;
    world_go(&w);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    run_ms(&w, 80);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    assert_int_equal(w.fake[0].accepted, 2);
    world_fini(&w);

    world_init(&w, 1);
    world_up(&w)->idle_timeout_ms = 50;
    world_go(&w);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    run_ms(&w, 300);
    assert_int_equal(w.fake[0].open, 0);
    assert_int_equal(w.fake[0].quits, 1);
    world_fini(&w);

    world_init(&w, 1);
    world_up(&w)->keep_idle = 0;
    world_go(&w);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    run_ms(&w, 20);
    assert_int_equal(w.fake[0].open, 0);
    world_fini(&w);
}

/* ---- shares and waiting ---- */

/* A lease without a relay: it keeps its connection, whoever waits. */
struct holder {
    struct lease lease;
    struct envelope env;
    struct holder *others; /* what the one that is told first does to the second and the third */
    unsigned told;
};

static void on_leased(void *arg, enum lease_status status)
{
    (void)arg;
    assert_int_equal(status, LEASE_OK);
}

static void holder_lease(struct holder *h, struct world *w, const char *client)
{
    static const struct upstream_events none = { .on_rcpt = NULL };
    struct lease_wish wish = { LEASE_ENVELOPE, &h->env, false };

    assert_true(addr_parse_ip(slice_str(client), &h->env.client));
    lease_init(&h->lease, w->ups, on_leased, &none, h);
    pool_lease(&w->ups->pool[0], &h->lease, &wish);
}

static unsigned held(const struct holder *h, size_t count)
{
    unsigned n = 0;

    for (size_t i = 0; i < count; i++) {
        n += h[i].lease.held;
    }
    return n;
}

static void release_all(struct holder *h, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pool_release(&h[i].lease);
    }
}

struct crowd {
    struct world w;
    struct mail m[MANY];
    unsigned done;
};

static void crowd_start(struct crowd *c, unsigned connections, uint64_t hold_ms)
{
    world_init(&c->w, 1);
    world_up(&c->w)->connections = connections;
    world_up(&c->w)->hold_ms = hold_ms;
    world_up(&c->w)->timeouts.command_ms = 3000;
    world_up(&c->w)->timeouts.final_reply_ms = 3000;
    world_go(&c->w);
}

static void crowd_mail(struct crowd *c, size_t i, const char *client)
{
    mail_init(&c->m[i], &c->w, client);
    c->m[i].stop = false;
}

static size_t answered(const struct crowd *c, unsigned answers)
{
    size_t n = 0;

    for (size_t i = 0; i < MANY; i++) {
        n += c->m[i].answers >= answers ? 1 : 0;
    }
    return n;
}

static void crowd_end(struct crowd *c)
{
    for (size_t i = 0; i < MANY; i++) {
        mail_fini(&c->m[i]);
    }
    world_fini(&c->w);
}

static void bodies_never_exceed_the_connections_of_a_server(void **state)
{
    struct crowd c = { 0 };

    (void)state;
    crowd_start(&c, 2, 1000);
    for (size_t i = 0; i < MANY; i++) {
        crowd_mail(&c, i, clients[i]);
        begin_rcpt_as(&c.m[i], "a@corp.test", VALIDATE_NONE);
    }
    run_ms(&c.w, 20);
    for (size_t i = 0; i < MANY; i++) {
        accept_last(&c.m[i]);
        begin_message(&c.m[i], BODY);
    }
    run_ms(&c.w, 300);
    assert_int_equal(answered(&c, 2), MANY);
    assert_int_equal(c.w.fake[0].messages, MANY);
    assert_int_equal(c.w.fake[0].most_open, 2);
    crowd_end(&c);
}

static void envelopes_get_half_of_the_connections(void **state)
{
    struct holder h[MANY] = { 0 };
    struct world w;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->connections = 6;
    world_go(&w);
    for (size_t i = 0; i < MANY; i++) {
        holder_lease(&h[i], &w, clients[i]);
    }
    run_ms(&w, 100);
    assert_int_equal(held(h, MANY), 3);
    assert_int_equal(w.fake[0].most_open, 3);
    for (size_t i = 0; i < 3; i++) { /* they go on to DATA: no envelopes any more */
        assert_true(pool_promote(&h[i].lease));
    }
    run_ms(&w, 100);
    assert_int_equal(held(h, MANY), 6);
    assert_int_equal(w.fake[0].most_open, 6);
    release_all(h, MANY);
    world_fini(&w);
}

static void a_client_has_two_envelopes_unless_it_is_exempt(void **state)
{
    struct holder h[MANY] = { 0 };
    struct world w;

    (void)state;
    world_init(&w, 1);
    world_go(&w);
    for (size_t i = 0; i < MANY; i++) {
        h[i].env.client_exempt = i >= 4;
        holder_lease(&h[i], &w, "192.0.2.1");
    }
    run_ms(&w, 100);
    assert_int_equal(held(h, 2), 2);
    assert_int_equal(held(&h[2], 2), 0);
    assert_int_equal(held(&h[4], 4), 4);
    release_all(h, MANY);
    world_fini(&w);
}

/* Which of them has a connection: released for the next one. */
static char release_the_held(struct holder *h, size_t count, const char *names)
{
    for (size_t i = 0; i < count; i++) {
        if (h[i].lease.held) {
            pool_release(&h[i].lease);
            return names[i];
        }
    }
    return '-';
}

static void good_standing_has_three_of_four_turns(void **state)
{
    static const char names[] = "abcdEFGH"; /* small: strangers, who came first */
    struct holder first = { .told = 0 }, h[MANY] = { 0 };
    char order[MANY + 1] = "";
    struct world w;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->connections = 1;
    world_go(&w);
    holder_lease(&first, &w, "192.0.2.9");
    run_ms(&w, 30);
    for (size_t i = 0; i < MANY; i++) {
        h[i].env.client_good = i >= 4;
        holder_lease(&h[i], &w, i == 4 ? clients[0] : clients[i]); /* one address is both */
    }
    run_ms(&w, 10);
    pool_release(&first.lease);
    for (size_t i = 0; i < MANY; i++) {
        run_ms(&w, 30);
        order[i] = release_the_held(h, MANY, names);
    }
    assert_string_equal(order, "EFGaHbcd");
    world_fini(&w);
}

/* Who has its two envelopes lets others go on, whatever its standing. */
static void good_standing_is_no_larger_share(void **state)
{
    struct holder h[4] = { 0 };
    struct world w;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->connections = 6;
    world_go(&w);
    for (size_t i = 0; i < ARRAY_LEN(h); i++) {
        h[i].env.client_good = i < 3;
        holder_lease(&h[i], &w, clients[0]);
    }
    run_ms(&w, 100);
    assert_int_equal(held(h, 2), 2);
    assert_false(h[2].lease.held);
    assert_true(h[3].lease.held);
    release_all(h, ARRAY_LEN(h));
    world_fini(&w);
}

static void complete_bodies_come_first_and_clients_take_turns(void **state)
{
    struct holder first = { .told = 0 };
    struct crowd c = { 0 };

    (void)state;
    crowd_start(&c, 1, CONFIG_OFF);
    crowd_mail(&c, 0, "192.0.2.9");
    holder_lease(&first, &c.w, "192.0.2.9"); /* takes the only connection */
    run_ms(&c.w, 50);
    for (size_t i = 1; i < MANY; i++) {
        static const char *const who[] = { "",          "192.0.2.1", "192.0.2.1", "192.0.2.1",
                                           "192.0.2.2", "192.0.2.1", "192.0.2.2", "192.0.2.3" };
        static const char *const rcpts[] = { "", "a1@x", "a2@x", "a3@x", "b1@x", "live@x", "b2@x", "c1@x" };

        crowd_mail(&c, i, who[i]);
        begin_rcpt_as(&c.m[i], rcpts[i], i == 5 ? VALIDATE_LIVE : VALIDATE_NONE);
        run_ms(&c.w, 3);
        if (i != 5) {
            accept_last(&c.m[i]);
            begin_message(&c.m[i], BODY);
        }
    }
    run_ms(&c.w, 30);
    assert_int_equal(c.w.fake[0].messages, 0);
    buf_reset(&c.w.fake[0].lines);
    pool_release(&first.lease);
    run_ms(&c.w, 200);
    assert_int_equal(c.w.fake[0].messages, 6);
    {
        static const char *const order[] = { "a1@x", "b1@x", "c1@x", "a2@x", "b2@x", "a3@x", "live@x" };
        const char *at = c.w.fake[0].lines.ptr;

        for (size_t i = 0; i < ARRAY_LEN(order); i++) {
            at = strstr(at, order[i]);
            if (at == NULL) {
                fail_msg("%s is not in its place: %s", order[i], c.w.fake[0].lines.ptr);
            }
        }
    }
    assert_int_equal(c.w.fake[0].accepted, 1);
    crowd_end(&c);
}

static void who_waits_too_long_is_told_so(void **state)
{
    struct holder first = { .told = 0 };
    struct world w;
    struct mail m;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->connections = 1;
    world_up(&w)->queue_wait_ms = 80;
    world_go(&w);
    holder_lease(&first, &w, "192.0.2.1");
    mail_init(&m, &w, "192.0.2.2");
    assert_int_equal(rcpt(&m, "a@corp.test"), 451);
    assert_string_equal(m.enhanced, "4.3.2");
    pool_release(&first.lease);
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    mail_fini(&m);
    world_fini(&w);
}

static void a_rate_spreads_messages(void **state)
{
    struct world w;
    uint64_t before;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->rate.count = 2;
    world_up(&w)->rate.per_ms = 400;
    world_up(&w)->timeouts.final_reply_ms = 5000; /* the wait is within the client's patience */
    world_go(&w);
    before = loop_now_us() / 1000;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    }
    assert_in_range(loop_now_us() / 1000 - before, 380, 900);
    world_fini(&w);
}

/* ---- other processes ---- */

/* Acts as the process of another slot for a moment. */
static void be(struct world *w, int slot)
{
    state_slot_enter(w->state, slot);
}

/* A worker of which we only see that it waits. */
static int other_waits(struct world *w, uint64_t since_ms)
{
    int mine = state_my_slot(w->state), other = state_slot_take(w->state, ROLE_WORKER, 1, 1);

    be(w, other);
    state_waiting_since(w->state, world_area(w), since_ms);
    be(w, mine);
    return other;
}

static void a_silent_client_makes_room_for_other_processes(void **state)
{
    struct world w;
    struct mail m;
    int other;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->hold_ms = 60000;
    world_go(&w);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    run_ms(&w, 250);
    assert_int_equal(count_lines(&w.fake[0], "RSET"), 0);
    other = other_waits(&w, 1);
    run_ms(&w, 250);
    assert_int_equal(count_lines(&w.fake[0], "RSET"), 1);
    mail_fini(&m);
    state_slot_release(w.state, other);
    world_fini(&w);
}

static void on_wanted(void *arg)
{
    struct holder *h = arg;

    h->told++;
    if (h->others) {
        pool_release(&h->others[0].lease);
        pool_unhold(&h->others[1].lease);
        pool_unhold(&h->others[1].lease);
        pool_hold(&h->lease, on_wanted);
        pool_hold(&h->lease, on_wanted);
    }
}

static void holders_may_be_released_while_they_are_told(void **state)
{
    struct world w;
    struct holder h[4] = { 0 };
    int other;

    (void)state;
    world_init(&w, 1);
    world_go(&w);
    for (size_t i = 0; i < ARRAY_LEN(h); i++) {
        holder_lease(&h[i], &w, clients[i]);
    }
    run_ms(&w, 100);
    other = other_waits(&w, 1);
    for (size_t i = 0; i < ARRAY_LEN(h); i++) {
        assert_true(h[i].lease.held);
        pool_hold(&h[i].lease, on_wanted);
        assert_int_equal(h[i].told, 0); /* never inside the call */
    }
    h[0].others = &h[1];
    assert_true(pool_poll_holders(&w.ups->pool[0])); /* the first holds again */
    assert_int_equal(h[0].told, 1);
    assert_int_equal(h[1].told, 0);
    assert_int_equal(h[2].told, 0);
    assert_int_equal(h[3].told, 1);
    release_all(h, ARRAY_LEN(h));
    assert_false(pool_poll_holders(&w.ups->pool[0]));
    assert_int_equal(h[0].told, 1);
    state_slot_release(w.state, other);
    world_fini(&w);
}

static void connections_of_other_processes_count_and_their_older_waiters_come_first(void **state)
{
    struct world w;
    struct mail m, n;
    int mine, other, server, ticket;

    (void)state;
    world_init(&w, 1);
    world_up(&w)->connections = 2;
    world_up(&w)->hold_ms = CONFIG_OFF;
    world_go(&w);
    mine = state_my_slot(w.state);
    other = state_slot_take(w.state, ROLE_WORKER, 1, 1);
    server = world_server(&w, 0);
    be(&w, other);
    ticket = state_ticket_take(w.state, server, 2);
    be(&w, mine);
    assert_true(ticket >= 0);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt_as(&m, "a@corp.test", VALIDATE_NONE), 250);
    assert_int_equal(message(&m, BODY), 250); /* the second connection, now idle */
    assert_int_equal(w.fake[0].open, 1);
    be(&w, other);
    state_waiting_since(w.state, world_area(&w), 1); /* a session there waits for a third */
    be(&w, mine);
    run_ms(&w, 250);
    assert_int_equal(w.fake[0].open, 0); /* so ours is given up */
    assert_int_equal(state_tickets_used(w.state, server), 1);
    be(&w, other);
    state_waiting_since(w.state, world_area(&w), 0);
    assert_true(state_ticket_take(w.state, server, 2) >= 0);
    be(&w, mine);
    mail_init(&n, &w, "192.0.2.2");
    n.stop = false;
    begin_rcpt_as(&n, "b@corp.test", VALIDATE_LIVE);
    run_ms(&w, 100);
    assert_int_equal(n.answers, 0);
    be(&w, other);
    assert_true(state_others_waiting_since(w.state, world_area(&w)) > 0);
    state_ticket_return(w.state, server, ticket);
    state_wake_waiter(w.state, world_area(&w));
    be(&w, mine);
    run_ms(&w, 30);
    assert_int_equal(n.answers, 1);
    assert_int_equal(n.code, 250);
    mail_fini(&m);
    mail_fini(&n);
    state_slot_release(w.state, other);
    world_fini(&w);
}

/* ---- what wears a connection out ---- */

static void a7_messages_over_a_connection_depend_on_the_banner(void **state)
{
    static const struct {
        const char *label, *banner;
        unsigned max_messages, connections; /* for 12 messages */
    } cases[] = {
        { "auto", "220 mx ESMTP Postfix\r\n", 0, 1 },
        { "auto, Exim", "220 mx.test ESMTP Exim 4.96 Sat, 01 Jan 2022 00:00:00 +0000\r\n", 0, 2 },
        { "auto, Exim in the second line", "220-mx.test ESMTP Exim 4.96\r\n220 be nice\r\n", 0, 2 },
        { "auto, a host of that name", "220 exim.test ESMTP Postfix\r\n", 0, 1 },
        { "100, Exim", "220 mx.test ESMTP Exim 4.96\r\n", 100, 1 },
        { "5", "220 mx ESMTP\r\n", 5, 3 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;

        world_init(&w, 1);
        world_up(&w)->max_messages = cases[i].max_messages;
        fake_rule_add(&w.fake[0], SAY("GREETING", cases[i].banner));
        world_go(&w);
        for (int k = 0; k < 12; k++) {
            assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
            run_ms(&w, 5);
        }
        if (w.fake[0].accepted != cases[i].connections) {
            fail_msg("%s: %u connections", cases[i].label, w.fake[0].accepted);
        }
        world_fini(&w);
    }
}

/* Envelopes of one recipient each, all refused: how many does a connection carry? */
static unsigned refused_on_one(const char *reply, unsigned rcpts)
{
    struct world w;
    unsigned n = 0;

    world_init(&w, 1);
    world_up(&w)->remember_unknown_ms = CONFIG_OFF;
    fake_rule_add(&w.fake[0], (struct fake_rule){ "RCPT", reply, DO_SAY, 0, "bad", 0 });
    world_go(&w);
    while (w.fake[0].accepted < 2 && n < 100) {
        struct mail m;

        mail_init(&m, &w, "192.0.2.1");
        for (unsigned i = 0; i < rcpts; i++) {
            (void)rcpt(&m, "bad@corp.test");
        }
        mail_fini(&m);
        run_ms(&w, 5);
        n++;
    }
    assert_int_equal(deliver_one(&w, "192.0.2.2"), 250); /* the next has a fresh one, or soon will */
    world_fini(&w);
    return n - 1;
}

/* Postfix sleeps before every reply behind ten refusals: another client's mail would wait for it. */
static void a8_a_connection_that_carried_refusals_is_given_up(void **state)
{
    (void)state;
    assert_int_equal(refused_on_one("550 5.1.1 unknown\r\n", 1), 5);
    assert_int_equal(refused_on_one("450 4.2.1 later\r\n", 1), 5);
    assert_int_equal(refused_on_one("550 5.1.1 unknown\r\n", 6), 2);  /* ten refusals */
    assert_int_equal(refused_on_one("550 5.1.1 unknown\r\n", 20), 1); /* in one */
    assert_int_equal(refused_on_one("450 4.7.0 too many errors\r\n", 1), 1);
    assert_int_equal(refused_on_one("250 2.1.5 fine\r\n", 1), 50); /* and RSET counts as junk for it */
}

/* ---- several servers ---- */

/* A reload ends an older generation: what the younger one counts in must not be given to another upstream. */
static void areas_last_as_long_as_a_configuration_names_their_upstream(void **state)
{
    const struct config *younger[2] = { NULL, NULL };
    struct config *conf = xcalloc(1, sizeof(*conf));
    struct state *st = state_new(64);
    int own;

    (void)state;
    conf->upstream_count = 1;
    conf->upstreams[0].name = "corp";
    upstreams_register(st, conf);
    own = state_upstream_find(st, "corp");
    assert_true(own >= 0);
    younger[1] = conf;
    upstreams_sweep(st, younger, ARRAY_LEN(younger));
    assert_int_equal(state_upstream_find(st, "corp"), own);
    younger[1] = NULL;
    upstreams_sweep(st, younger, ARRAY_LEN(younger));
    assert_int_equal(state_upstream_find(st, "corp"), -1);
    state_free(st);
    free(conf);
}

static void the_next_server_takes_over_when_the_way_to_the_first_fails(void **state)
{
    static const struct fake_rule rules[] = {
        { "GREETING", "554 no\r\n", DO_SAY, 0, NULL, 0 },  { "GREETING", NULL, DO_MUTE, 0, NULL, 0 },
        { "GREETING", NULL, DO_RESET, 0, NULL, 0 },        { "EHLO", NULL, DO_CLOSE, 0, NULL, 0 },
        { "EHLO", "421 x\r\n", DO_SAY_CLOSE, 0, NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i <= ARRAY_LEN(rules); i++) {
        struct world w;

        world_init(&w, 2);
        if (i < ARRAY_LEN(rules)) {
            fake_rule_add(&w.fake[0], rules[i]);
        } else {
            fake_deaf(&w.fake[0]);
        }
        world_go(&w);
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        assert_int_equal(w.fake[1].messages, 1);
        world_fini(&w);
    }
}

static void an_answer_is_no_reason_to_ask_another_server(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 2);
    fake_rule_add(&w.fake[0], SAY("MAIL", "451 4.3.1 later\r\n"));
    world_go(&w);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
    assert_int_equal(w.fake[1].accepted, 0);
    world_fini(&w);
}

static void a_server_marked_down_is_skipped_and_comes_back(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 2);
    world_up(&w)->health.fall = 2;
    world_up(&w)->keep_idle = 0;
    fake_rule_add(&w.fake[0], SAY("GREETING", "421 no\r\n"));
    world_go(&w);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    }
    assert_int_equal(w.fake[0].accepted, 2);
    assert_int_equal(w.fake[1].messages, 5);
    fake_deaf(&w.fake[1]); /* the only one that is up: until it is down too */
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
    w.fake[0].rules = 0;
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250); /* at once, without a probe */
    world_fini(&w);
}

static void a_server_that_greets_and_then_fails_comes_last_for_a_while(void **state)
{
    static const struct fake_rule rules[] = {
        { "MAIL", NULL, DO_CLOSE, 0, NULL, 0 },      { "MAIL", "421 x\r\n", DO_SAY_CLOSE, 0, NULL, 0 },
        { "RCPT", "what?\r\n", DO_SAY, 0, NULL, 0 }, { "RCPT", NULL, DO_MUTE, 0, NULL, 0 },
        { "DATA", NULL, DO_RESET, 0, NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct world w;

        world_init(&w, 2);
        world_up(&w)->health.fall = 2;
        world_up(&w)->timeouts.command_ms = 50;
        fake_rule_add(&w.fake[0], rules[i]);
        world_go(&w);
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 451);
        for (int k = 0; k < 5; k++) {
            assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        }
        assert_int_equal(w.fake[1].messages, 5);
        fake_deaf(&w.fake[1]); /* better one that is doubtful than one that is not there */
        w.fake[0].rules = 0;
        fake_close_all(&w.fake[1]);
        assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        assert_int_equal(w.fake[0].messages, 1);
        world_fini(&w);
    }
}

static void balance_says_which_server_is_next(void **state)
{
    static const struct {
        enum config_balance balance;
        unsigned messages[3];
    } rows[] = {
        { BALANCE_FAILOVER, { 6, 0, 0 } },
        { BALANCE_ROUND_ROBIN, { 2, 2, 2 } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        world_init(&w, 3);
        world_up(&w)->balance = rows[i].balance;
        world_go(&w);
        for (int k = 0; k < 6; k++) {
            assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
        }
        for (size_t k = 0; k < 3; k++) {
            assert_int_equal(w.fake[k].messages, rows[i].messages[k]);
        }
        world_fini(&w);
    }
}

static void least_sessions_spreads_what_is_open_at_once(void **state)
{
    struct world w;
    struct mail m[3];

    (void)state;
    world_init(&w, 3);
    world_up(&w)->balance = BALANCE_LEAST_SESSIONS;
    world_up(&w)->hold_ms = CONFIG_OFF;
    world_go(&w);
    for (size_t i = 0; i < 3; i++) {
        mail_init(&m[i], &w, clients[i]);
        assert_int_equal(rcpt(&m[i], "a@corp.test"), 250);
        assert_int_equal(w.fake[i].open, 1);
    }
    for (size_t i = 0; i < 3; i++) {
        mail_fini(&m[i]);
    }
    world_fini(&w);
}

/* ---- health and keywords ---- */

static void probes_learn_keywords_and_only_what_all_have_is_offered(void **state)
{
    struct world w;
    struct relay_keywords k;

    (void)state;
    world_init(&w, 2);
    w.probes = true;
    w.fake[0].ehlo = "250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250-SIZE 1000000\r\n250-SMTPUTF8\r\n";
    w.fake[1].ehlo = "250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 2000000\r\n";
    world_up(&w)->health.interval_ms = CONFIG_OFF; /* learned all the same */
    world_go(&w);
    upstreams_keywords(w.ups, &k);
    assert_false(k.eightbitmime || k.dsn || k.smtputf8);
    assert_int_equal(k.size, 50000000);
    run_ms(&w, 1100);
    assert_int_equal(w.fake[0].quits, 1);
    assert_int_equal(w.fake[1].quits, 1);
    upstreams_keywords(w.ups, &k);
    assert_true(k.eightbitmime);
    assert_false(k.dsn || k.smtputf8);
    assert_int_equal(k.size, 1000000 - 4096);
    world_fini(&w);
}

/* One upstream that never answered took 8BITMIME, SMTPUTF8 and DSN from the domains of all others. */
static void a22_a_server_that_was_never_heard_has_no_vote(void **state)
{
    struct state_keywords heard = { .known = true, .eightbitmime = true, .dsn = true, .at_ms = 1 };
    struct state_keywords recalled = { .known = true, .eightbitmime = true };
    struct relay_keywords k;
    struct world w;

    (void)state;
    world_init(&w, 2);
    w.conf->upstreams[1] = w.conf->upstreams[0];
    w.conf->upstreams[1].name = "silent";
    w.conf->upstreams[1].index = 1;
    w.conf->upstreams[1].server_count = 1;
    w.conf->upstreams[1].server[0].address.port = 1;
    w.conf->upstream_count = 2;
    world_go(&w);
    upstreams_keywords(w.ups, &k);
    assert_false(k.eightbitmime || k.dsn || k.smtputf8); /* none ever answered */
    state_keywords_set(w.state, world_server(&w, 0), &heard);
    run_ms(&w, 1100);
    upstreams_keywords(w.ups, &k);
    assert_true(k.eightbitmime && k.dsn && !k.smtputf8);
    state_keywords_set(w.state, world_server(&w, 1), &recalled); /* from before a restart: counts too */
    run_ms(&w, 1100);
    upstreams_keywords(w.ups, &k);
    assert_true(k.eightbitmime && !k.dsn && !k.smtputf8);
    world_fini(&w);
}

static void probes_mark_a_server_down_and_up_again(void **state)
{
    struct world w;
    struct state_health h;
    struct buf log;
    int server;

    (void)state;
    world_init(&w, 1);
    buf_init(&log, 65536);
    log_set_sink(quiet, &log);
    w.probes = true;
    world_up(&w)->health.interval_ms = 30;
    fake_rule_add(&w.fake[0], SAY("GREETING", "554 no\r\n"));
    world_go(&w);
    server = world_server(&w, 0);
    run_ms(&w, 250);
    state_health_get(w.state, server, &h);
    assert_true(h.down);
    assert_non_null(strstr(log.ptr, "upstream_down"));
    w.fake[0].rules = 0;
    run_ms(&w, 250);
    state_health_get(w.state, server, &h);
    assert_false(h.down);
    assert_non_null(strstr(log.ptr, "upstream_up"));
    log_set_sink(quiet, NULL);
    buf_fini(&log);
    world_fini(&w);
}

/* ---- the client vanishes ---- */

static void a_relay_may_be_freed_in_any_state(void **state)
{
    static const char *const events[] = {
        "GREETING", "EHLO", "MAIL", "RCPT", "RSET", "DATA", "BODY", ".", ""
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        for (int pipelining = 0; pipelining < 2; pipelining++) {
            struct world w;
            struct mail m;
            unsigned connections;

            world_init(&w, 1);
            if (!pipelining) {
                w.fake[0].ehlo = "";
            }
            fake_rule_add(&w.fake[0], (struct fake_rule){ events[i], NULL, DO_MUTE, 1, NULL, 0 });
            world_go(&w);
            mail_init(&m, &w, "192.0.2.1");
            m.stop = false;
            begin_rcpt_as(&m, "a@corp.test", VALIDATE_LIVE);
            run_ms(&w, 20);
            if (m.answers == 1) {
                accept_last(&m);
                begin_message(&m, BODY);
                run_ms(&w, 20);
            }
            relay_free(&m.relay);
            relay_free(&m.relay); /* idempotent */
            run_ms(&w, 20);
            connections = w.fake[0].accepted;
            assert_int_equal(connections, 1);
            assert_int_equal(deliver_one(&w, "192.0.2.2"), 250);
            run_ms(&w, 200); /* deadlines of what was left behind */
            mail_fini(&m);
            world_fini(&w);
        }
    }
}

static void a_vanished_client_in_an_envelope_leaves_a_clean_connection(void **state)
{
    struct world w;
    struct mail m;

    (void)state;
    start(&w, 1);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    mail_fini(&m);
    run_ms(&w, 10);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    assert_int_equal(w.fake[0].accepted, 1);
    assert_int_equal(count_lines(&w.fake[0], "RSET"), 1);
    world_fini(&w);
}

struct look {
    struct world *w;
    struct timer t;
};

/* Once a turn, until the server has the first of the content. */
static void on_look(void *arg)
{
    struct look *l = arg;

    if (l->w->fake[0].content.len > 0) {
        loop_stop(l->w->loop);
    } else {
        timer_start(&l->t, 0);
    }
}

static void run_until_content(struct world *w)
{
    struct look l = { .w = w };

    timer_init(&l.t, w->loop, on_look, &l);
    timer_start(&l.t, 0);
    loop_run(w->loop);
}

static void content_cut_short_is_never_ended_by_a_dot(void **state)
{
    struct world w;
    struct mail m;
    size_t len = (size_t)8 * 1024 * 1024;
    char *body = xmalloc(len);

    (void)state;
    memset(body, 'x', len);
    for (size_t i = 80; i < len; i += 80) {
        memcpy(body + i - 2, "\r\n", 2);
    }
    memcpy(body + len - 2, "\r\n", 2);
    start(&w, 1);
    mail_init(&m, &w, "192.0.2.1");
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    m.stop = false;
    begin_message(&m, slice_of(body, len));
    run_until_content(&w);
    assert_false(relay_committed(m.relay));
    mail_fini(&m);
    run_ms(&w, 50);
    assert_int_equal(w.fake[0].messages, 0);
    assert_int_equal(w.fake[0].open, 0);
    free(body);
    world_fini(&w);
}

static void a_draining_worker_keeps_nothing_idle(void **state)
{
    struct world w;

    (void)state;
    start(&w, 1);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    upstreams_drain(w.ups);
    run_ms(&w, 30);
    assert_int_equal(w.fake[0].open, 0);
    assert_int_equal(deliver_one(&w, "192.0.2.1"), 250);
    run_ms(&w, 30);
    assert_int_equal(w.fake[0].open, 0);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_too_long_the_connection_goes_back_and_the_envelope_is_repeated),
        cmocka_unit_test(while_others_wait_a_silent_client_loses_the_connection_at_once),
        cmocka_unit_test(without_an_end_of_hold_it_does_so_too),
        cmocka_unit_test(silence_costs_no_clock_for_each),
        cmocka_unit_test(the_longest_silent_makes_room),
        cmocka_unit_test(an_envelope_of_many_recipients_lets_others_take_their_turn),
        cmocka_unit_test(a_silent_client_makes_room_for_other_processes),
        cmocka_unit_test(holders_may_be_released_while_they_are_told),
        cmocka_unit_test(a_partial_transaction_is_reset_and_repeated_on_the_same_connection),
        cmocka_unit_test(an_accepted_recipient_that_was_not_kept_gets_no_mail),
        cmocka_unit_test(at_the_repeat_refused_recipients_are_451_and_a_refused_sender_is_relayed),
        cmocka_unit_test(all_live_recipients_refused_at_the_repeat_are_451_too),
        cmocka_unit_test(unasked_recipients_all_refused_alike_get_that_refusal_and_it_is_remembered),
        cmocka_unit_test(unasked_recipients_of_whom_one_is_refused_are_451),
        cmocka_unit_test(only_unknown_users_are_remembered_and_not_for_ever),
        cmocka_unit_test(a_connection_serves_many_messages_without_rset),
        cmocka_unit_test(a_dead_idle_connection_is_replaced_unseen),
        cmocka_unit_test(the_first_command_on_a_reused_connection_may_fail_once),
        cmocka_unit_test(connections_end_by_count_age_and_idleness),
        cmocka_unit_test(bodies_never_exceed_the_connections_of_a_server),
        cmocka_unit_test(envelopes_get_half_of_the_connections),
        cmocka_unit_test(a_client_has_two_envelopes_unless_it_is_exempt),
        cmocka_unit_test(good_standing_has_three_of_four_turns),
        cmocka_unit_test(good_standing_is_no_larger_share),
        cmocka_unit_test(complete_bodies_come_first_and_clients_take_turns),
        cmocka_unit_test(who_waits_too_long_is_told_so),
        cmocka_unit_test(a_rate_spreads_messages),
        cmocka_unit_test(connections_of_other_processes_count_and_their_older_waiters_come_first),
        cmocka_unit_test(a7_messages_over_a_connection_depend_on_the_banner),
        cmocka_unit_test(a8_a_connection_that_carried_refusals_is_given_up),
        cmocka_unit_test(areas_last_as_long_as_a_configuration_names_their_upstream),
        cmocka_unit_test(the_next_server_takes_over_when_the_way_to_the_first_fails),
        cmocka_unit_test(an_answer_is_no_reason_to_ask_another_server),
        cmocka_unit_test(a_server_marked_down_is_skipped_and_comes_back),
        cmocka_unit_test(a_server_that_greets_and_then_fails_comes_last_for_a_while),
        cmocka_unit_test(balance_says_which_server_is_next),
        cmocka_unit_test(least_sessions_spreads_what_is_open_at_once),
        cmocka_unit_test(probes_learn_keywords_and_only_what_all_have_is_offered),
        cmocka_unit_test(a22_a_server_that_was_never_heard_has_no_vote),
        cmocka_unit_test(probes_mark_a_server_down_and_up_again),
        cmocka_unit_test(a_relay_may_be_freed_in_any_state),
        cmocka_unit_test(a_vanished_client_in_an_envelope_leaves_a_clean_connection),
        cmocka_unit_test(content_cut_short_is_never_ended_by_a_dot),
        cmocka_unit_test(a_draining_worker_keeps_nothing_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
