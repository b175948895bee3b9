/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_judge.c - the engine: what is asked when, what is waited for, lifetimes, budgets, cancelling.
 */
#include "test/unit/policy/judge_world.h"

#define LISTS                                                                                                \
    "reputation:\n  lists:\n"                                                                                \
    "    - {name: early, zone: early.test}\n"                                                                \
    "    - {name: late, zone: late.test, ask: late}\n"                                                       \
    "    - {name: watch, zone: watch.test, mode: monitor}\n"                                                 \
    "    - {name: back, zone: back.test, ask: background}\n"

static void add_spf(struct world *w, const char *domain, const char *record)
{
    fake_dns_add(w->dns, domain, DNS_TYPE_TXT, record, 0);
    fake_dns_add(w->dns, domain, DNS_TYPE_MX, "10 mx.elsewhere.test", 0);
}

static void list_ip(struct world *w, const char *reversed, const char *zone, const char *answer)
{
    char mem[200];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_putf(&b, "%s.%s", reversed, zone);
    fake_dns_add(w->dns, mem, DNS_TYPE_A, answer, 0);
}

static void the_preset_judges_as_written(void **state)
{
    static const struct {
        const char *label, *ip, *helo, *from;
        enum verdict_action action;
        const char *rule;
        unsigned code;
    } rows[] = {
        { "pass", "203.0.113.5", "a.pass.test", "x@pass.test", VERDICT_ACCEPT, "spf-pass", 0 },
        { "pass though listed", "203.0.113.9", "a.pass.test", "x@pass.test", VERDICT_ACCEPT, "spf-pass", 0 },
        { "fail", "198.51.100.1", "a.pass.test", "x@pass.test", VERDICT_DROP, "spf-fail", 550 },
        { "none, not listed", "198.51.100.1", "a.pass.test", "x@none.test", VERDICT_ACCEPT, "default", 0 },
        { "none and listed", "203.0.113.9", "a.pass.test", "x@none.test", VERDICT_DROP, "reputation", 451 },
        { "softfail and listed", "203.0.113.9", "a.pass.test", "x@soft.test", VERDICT_DROP, "reputation",
          451 },
        { "no such domain", "198.51.100.1", "a.pass.test", "x@gone.test", VERDICT_DEFER, "sender-unknown",
          450 },
        { "null MX", "198.51.100.1", "a.pass.test", "x@null.test", VERDICT_REJECT, "sender-null-mx", 550 },
        { "our name", "198.51.100.1", "mx1.example.com", "x@none.test", VERDICT_REJECT, "helo-impersonation",
          550 },
        { "a domain of ours", "198.51.100.1", "example.com", "x@none.test", VERDICT_REJECT,
          "helo-impersonation", 550 },
        { "DNS out: spf", "198.51.100.1", "a.pass.test", "x@broken.test", VERDICT_ACCEPT, "default", 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        world_init(&w, LISTS);
        add_spf(&w, "pass.test", "v=spf1 ip4:203.0.113.0/24 -all");
        add_spf(&w, "soft.test", "v=spf1 ~all");
        fake_dns_add(w.dns, "none.test", DNS_TYPE_MX, "10 mx.none.test", 0);
        fake_dns_add(w.dns, "null.test", DNS_TYPE_MX, "0 .", 0);
        fake_dns_add(w.dns, "broken.test", DNS_TYPE_TXT, "SERVFAIL", 0);
        fake_dns_add(w.dns, "broken.test", DNS_TYPE_MX, "SERVFAIL", 0);
        list_ip(&w, "9.113.0.203", "early.test", "127.0.0.2");
        world_play(&w, rows[i].ip, rows[i].helo, rows[i].from);
        want_verdict(&w, rows[i].label, rows[i].action, rows[i].rule);
        assert_int_equal(w.code, rows[i].code);
        assert_int_equal(w.called, 1);
        assert_int_equal(fake_dns_out(w.dns), 0);
        world_fini(&w);
    }
}

static void lists_are_asked_when_their_time_has_come(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, LISTS);
    add_spf(&w, "pass.test", "v=spf1 ip4:203.0.113.0/24 -all");
    add_spf(&w, "soft.test", "v=spf1 ~all");
    world_connect(&w, "203.0.113.9");
    assert_int_equal(fake_dns_asked(w.dns, "9.113.0.203.early.test", DNS_TYPE_A), 1);
    assert_int_equal(fake_dns_asked(w.dns, "9.113.0.203.watch.test", DNS_TYPE_A), 1);
    assert_int_equal(fake_dns_asked(w.dns, "9.113.0.203.back.test", DNS_TYPE_A), 1);
    assert_int_equal(fake_dns_asked_below(w.dns, "late.test"), 0);
    assert_int_equal(fake_dns_asked_below(w.dns, "arpa"), 0); /* no rule needs the name */
    judge_helo(w.j, SLICE("a.pass.test"));
    world_mail(&w, "x@pass.test");
    world_ask(&w, "bob@example.com");
    sim_settle(w.loop);
    want_verdict(&w, "pass", VERDICT_ACCEPT, "spf-pass");
    assert_int_equal(fake_dns_asked_below(w.dns, "late.test"), 0);

    world_mail(&w, "x@soft.test"); /* the second message needs the late one, and asks nothing again */
    world_ask(&w, "bob@example.com");
    sim_settle(w.loop);
    want_verdict(&w, "softfail", VERDICT_ACCEPT, "default");
    assert_int_equal(fake_dns_asked(w.dns, "9.113.0.203.late.test", DNS_TYPE_A), 1);
    assert_int_equal(fake_dns_asked(w.dns, "9.113.0.203.early.test", DNS_TYPE_A), 1);
    assert_int_equal(fake_dns_asked(w.dns, "9.113.0.203.watch.test", DNS_TYPE_A), 1);
    world_fini(&w);
}

static void a_late_list_decides_for_a_final_rule(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, LISTS);
    add_spf(&w, "soft.test", "v=spf1 ~all");
    list_ip(&w, "9.113.0.203", "late.test", "127.0.0.2");
    world_play(&w, "203.0.113.9", "a.soft.test", "x@soft.test");
    want_verdict(&w, "late", VERDICT_DROP, "reputation");
    want_fact(&w, FACT_ID_REPUTATION_LISTS, "late");
    world_fini(&w);

    world_init(&w, LISTS); /* needed while the early one is still out */
    add_spf(&w, "soft.test", "v=spf1 ~all");
    list_ip(&w, "9.113.0.203", "late.test", "127.0.0.2");
    fake_dns_add(w.dns, "9.113.0.203.early.test", DNS_TYPE_A, "NXDOMAIN", 500);
    world_play(&w, "203.0.113.9", "a.soft.test", "x@soft.test");
    want_verdict(&w, "late, early is slow", VERDICT_DROP, "reputation");
    world_fini(&w);

    world_init(&w,
               LISTS "policy: {before: [{name: s, when: {reputation.listed: true}, then: {score: 1}}]}\n");
    add_spf(&w, "soft.test", "v=spf1 ~all"); /* a scoring rule asked first, and the early one failed */
    list_ip(&w, "9.113.0.203", "early.test", "SERVFAIL");
    list_ip(&w, "9.113.0.203", "late.test", "127.0.0.2");
    world_play(&w, "203.0.113.9", "a.soft.test", "x@soft.test");
    want_verdict(&w, "late, early has failed", VERDICT_DROP, "reputation");
    world_fini(&w);
}

static void nothing_is_asked_that_no_rule_needs(void **state)
{
    struct world w;

    (void)state;
    world_init(
        &w, "policy: {rules: [{name: all, then: accept}]}\nreputation: {lists: [{name: x, zone: x.test}]}\n");
    world_play(&w, "203.0.113.9", "a.soft.test", "x@soft.test");
    want_verdict(&w, "all", VERDICT_ACCEPT, "all");
    assert_int_equal(fake_dns_total(w.dns), 0);
    world_fini(&w);
}

static void nobody_waits_for_monitoring_and_background_lists(void **state)
{
    struct world w;
    struct buf out;

    (void)state;
    world_init(&w, LISTS);
    add_spf(&w, "soft.test", "v=spf1 ~all");
    fake_dns_add(w.dns, "9.113.0.203.watch.test", DNS_TYPE_A, "TIMEOUT", 0);
    fake_dns_add(w.dns, "9.113.0.203.back.test", DNS_TYPE_A, "TIMEOUT", 0);
    world_connect(&w, "203.0.113.9");
    judge_helo(w.j, SLICE("a.soft.test"));
    world_mail(&w, "x@soft.test");
    world_ask(&w, "bob@example.com");
    sim_settle(w.loop);
    assert_int_equal(w.called, 1);
    want_verdict(&w, "no wait", VERDICT_ACCEPT, "default");
    world_fini(&w);

    world_init(&w, LISTS);
    add_spf(&w, "soft.test", "v=spf1 ~all");
    list_ip(&w, "9.113.0.203", "watch.test", "127.0.0.2");
    list_ip(&w, "9.113.0.203", "back.test", "127.0.0.2");
    world_connect(&w, "203.0.113.9");
    sim_advance(w.loop, 2000); /* the greet delay */
    judge_helo(w.j, SLICE("a.soft.test"));
    world_mail(&w, "x@soft.test");
    world_ask(&w, "bob@example.com");
    sim_settle(w.loop);
    want_verdict(&w, "background, in time", VERDICT_DROP, "reputation");
    want_fact(&w, FACT_ID_REPUTATION_LISTS, "back");
    want_fact(&w, FACT_ID_REPUTATION_MONITORED, "watch");
    judge_recipient_taken(w.j);
    buf_init(&out, 10000);
    judge_headers(w.j, &out);
    assert_non_null(strstr(out.ptr, " REPUTATION_LISTED, LIST_back,"));
    assert_non_null(strstr(out.ptr, "X-Glacis-Monitor: LIST_watch,\r\n"));
    buf_fini(&out);
    world_fini(&w);
}

static void a_silent_list_is_incomplete_after_its_own_timeout(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "reputation: {lists: [{name: x, zone: x.test, timeout: 1s}]}\n");
    add_spf(&w, "soft.test", "v=spf1 ~all");
    fake_dns_add(w.dns, "9.113.0.203.x.test", DNS_TYPE_A, "TIMEOUT", 0);
    world_connect(&w, "203.0.113.9");
    judge_helo(w.j, SLICE("a.soft.test"));
    world_mail(&w, "x@soft.test");
    world_ask(&w, "bob@example.com");
    sim_advance(w.loop, 900);
    assert_int_equal(w.called, 0);
    sim_advance(w.loop, 200);
    assert_int_equal(w.called, 1);
    want_verdict(&w, "silent", VERDICT_ACCEPT, "default");
    want_fact(&w, FACT_ID_REPUTATION_LISTED, "unknown");
    want_fact(&w, FACT_ID_REPUTATION_INCOMPLETE, "true");
    world_fini(&w);
}

static void the_budget_ends_every_wait(void **state)
{
    struct world w;
    uint64_t before = metric_get(M_BUDGET_TIMEOUTS);
    struct buf out;

    (void)state;
    world_init(&w, "policy: {budget: {mail: 3s, message: 3s}}\nreputation: {lists: [{name: x, zone: x.test, "
                   "timeout: 30s, ask: late}]}\n");
    fake_dns_add(w.dns, "slow.test", DNS_TYPE_TXT, "TIMEOUT", 0);
    fake_dns_add(w.dns, "slow.test", DNS_TYPE_MX, "TIMEOUT", 0);
    fake_dns_add(w.dns, "9.113.0.203.x.test", DNS_TYPE_A, "TIMEOUT", 0);
    world_connect(&w, "203.0.113.9");
    judge_helo(w.j, SLICE("mx1.example.com")); /* impersonates, or not: its SPF is silent too */
    fake_dns_add(w.dns, "mx1.example.com", DNS_TYPE_TXT, "TIMEOUT", 0);
    fake_dns_add(w.dns, "9.113.0.203.in-addr.arpa", DNS_TYPE_PTR, "TIMEOUT", 0);
    world_mail(&w, "x@slow.test");
    world_ask(&w, "bob@example.com");
    sim_advance(w.loop, 2900);
    assert_int_equal(w.called, 0);
    sim_advance(w.loop, 200);
    assert_int_equal(w.called, 1);
    want_verdict(&w, "budget", VERDICT_ACCEPT, "default");
    want_fact(&w, FACT_ID_SPF, "temperror");
    want_fact(&w, FACT_ID_SENDER_RESOLVES, "temperror");
    want_fact(&w, FACT_ID_HELO_IMPERSONATES, "unknown");
    assert_int_equal(metric_get(M_BUDGET_TIMEOUTS), before + 1);
    buf_init(&out, 10000);
    judge_headers(w.j, &out);
    assert_non_null(strstr(out.ptr, " spf=temperror smtp.mailfrom=x@slow.test"));
    buf_fini(&out);

    world_ask(&w, "carol@example.com"); /* what is known not to answer is not awaited again */
    sim_settle(w.loop);
    assert_int_equal(w.called, 2);
    assert_int_equal(metric_get(M_BUDGET_TIMEOUTS), before + 1);
    world_fini(&w);
}

static void facts_die_with_their_scope(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "");
    add_spf(&w, "a.test", "v=spf1 ip4:203.0.113.0/24 -all");
    add_spf(&w, "b.test", "v=spf1 -all");
    world_play(&w, "203.0.113.9", "h.a.test", "x@a.test");
    want_fact(&w, FACT_ID_SPF, "pass");
    want_fact(&w, FACT_ID_SENDER_DOMAIN, "a.test");
    judge_reset(w.j);
    want_fact(&w, FACT_ID_SPF, "idle");
    want_fact(&w, FACT_ID_SENDER_DOMAIN, "idle");
    want_fact(&w, FACT_ID_RECIPIENT_ADDRESS, "idle");
    want_fact(&w, FACT_ID_HELO_NAME, "h.a.test");
    world_mail(&w, "x@b.test");
    world_ask(&w, "bob@example.com");
    sim_settle(w.loop);
    want_verdict(&w, "second message", VERDICT_DROP, "spf-fail");
    judge_helo(w.j, SLICE("other.test"));
    want_fact(&w, FACT_ID_HELO_NAME, "other.test");
    want_fact(&w, FACT_ID_SENDER_ADDRESS, "idle");
    want_fact(&w, FACT_ID_CLIENT_IP, "203.0.113.9");
    world_fini(&w);
}

/* Each question says on whose account it is, and what is forgiven to whom. */
static void questions_are_on_the_account_of_the_client(void **state)
{
    static const struct {
        const char *name;
        enum dns_type type;
        bool list;
    } asked[] = {
        { "1.113.0.203.in-addr.arpa", DNS_TYPE_PTR, false },
        { "mail.sender.test", DNS_TYPE_A, false },
        { "sender.test", DNS_TYPE_TXT, false },
        { "sender.test", DNS_TYPE_MX, false },
        { "1.113.0.203.bl.test", DNS_TYPE_A, true },
    };
    static const struct {
        const char *group;
        bool forgiven;
    } rows[] = { { "", false }, { "203.0.113.0/28", true }, { "198.51.100.0/24", false } };

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        struct world w;
        struct addr ip;
        struct buf conf;

        buf_init(&conf, 4096);
        buf_putf(&conf,
                 "groups: {allow_clients: [%s%s%s]}\n"
                 "reputation: {lists: [{name: bl, zone: bl.test}]}\n"
                 "policy: {preset: none, rules: [{name: r, when: {client.iprev: fail, helo.resolves: fail, "
                 "spf: fail, "
                 "sender.resolves: fail, reputation.listed: true}, then: reject}, {name: s, when: {spf: "
                 "fail}, then: "
                 "reject}, {name: t, when: {sender.resolves: fail}, then: reject}, {name: u, when: "
                 "{helo.resolves: "
                 "fail}, then: reject}, {name: v, when: {client.iprev: fail}, then: reject}, {name: x, when: "
                 "{reputation.listed: true}, then: reject}, {name: y, when: {client.ip: "
                 "\"group:allow_clients\", helo.kind: "
                 "invalid}, then: reject}]}\n",
                 rows[k].group[0] != '\0' ? "\"" : "", rows[k].group, rows[k].group[0] != '\0' ? "\"" : "");
        world_init(&w, conf.ptr);
        buf_fini(&conf);
        world_play(&w, "203.0.113.1", "mail.sender.test", "a@sender.test");
        assert_true(addr_parse_ip(SLICE("203.0.113.77"), &ip)); /* of the same network */
        for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
            const struct dns_asker *who = fake_dns_asker(w.dns, asked[i].name, asked[i].type);

            if (who == NULL) {
                fail_msg("%s was not asked", asked[i].name);
                return;
            }
            assert_true(who->network != 0 && who->network == dns_network(&ip));
            assert_int_equal(who->failures_free, asked[i].list);
            assert_int_equal(who->forgives != NULL && who->forgives(who->arg),
                             !asked[i].list && rows[k].forgiven);
        }
        world_fini(&w);
    }
}

/* A network must gain nothing by using up its questions: what would have refused its mail was not looked up. */
static void what_was_not_looked_up_for_want_of_questions_is_put_off(void **state)
{
    static const struct {
        const char *label, *asked, *rule, *to;
        enum dns_type type;
        enum verdict_action action;
    } rows[] = {
        { "SPF", "sender.test", "dns-pace", "bob@example.com", DNS_TYPE_TXT, VERDICT_DEFER },
        { "a list", "1.113.0.203.bl.test", "dns-pace", "bob@example.com", DNS_TYPE_A, VERDICT_DEFER },
        { "nothing that was asked", "other.test", "default", "bob@example.com", DNS_TYPE_TXT,
          VERDICT_ACCEPT },
        { "who is accepted whatever is found", "sender.test", "postmaster", "postmaster@example.com",
          DNS_TYPE_TXT, VERDICT_ACCEPT },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        world_init(
            &w,
            "reputation: {lists: [{name: bl, zone: bl.test}]}\n"
            "policy: {preset: none, rules: [{name: postmaster, when: {recipient.local: postmaster}, then: "
            "accept}, {name: f, when: {spf: fail}, then: reject}, {name: l, when: {reputation.listed: "
            "true}, then: reject}]}\n");
        fake_dns_add(w.dns, rows[i].asked, rows[i].type, "PACE", 0);
        world_connect(&w, "203.0.113.1");
        judge_helo(w.j, SLICE("mail.sender.test"));
        world_mail(&w, "a@sender.test");
        world_ask(&w, rows[i].to);
        sim_advance(w.loop, 60000);
        want_verdict(&w, rows[i].label, rows[i].action, rows[i].rule);
        if (rows[i].action == VERDICT_DEFER) {
            assert_int_equal(w.code, 451);
        }
        world_fini(&w);
    }
}

/* C11: the same where a rule without a condition accepts the rest, and where the session was silent in between. */
static void mail_of_a_paced_client_is_put_off_by_whatever_rule_accepts_it(void **state)
{
    static const char *const rests[] = { "", ", {name: rest, then: accept}" };

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(rests); i++) {
        struct judge_packed *folded;
        struct judge_client c;
        struct world w;
        struct buf conf;

        buf_init(&conf, 2000);
        buf_putf(&conf,
                 "policy: {preset: none, rules: [{name: r, when: {client.iprev: fail}, then: reject}, "
                 "{name: f, when: {spf: fail}, then: reject}%s]}\n",
                 rests[i % 2]);
        world_init(&w, conf.ptr);
        buf_fini(&conf);
        fake_dns_add(w.dns, "1.113.0.203.in-addr.arpa", DNS_TYPE_PTR, "PACE", 0);
        world_connect(&w, "203.0.113.1");
        sim_advance(w.loop, 1000);
        judge_helo(w.j, SLICE("mail.sender.test"));
        sim_advance(w.loop, 1000);
        folded = i >= ARRAY_LEN(rests) ? judge_pack(&w.j) : NULL;
        if (folded != NULL) {
            c = (struct judge_client){ .session_id = "01TEST" };
            assert_true(addr_parse_ip(SLICE("203.0.113.1"), &c.ip));
            w.j = judge_unpack(w.pw, &c, &folded);
        }
        world_mail(&w, "a@sender.test");
        world_ask(&w, "bob@example.com");
        sim_advance(w.loop, 60000);
        want_verdict(&w, rests[i % 2], VERDICT_DEFER, "dns-pace");
        world_fini(&w);
    }
}

static void an_exempt_client_causes_questions_on_nobodys_account(void **state)
{
    struct world w;

    (void)state;
    world_init(&w,
               "policy: {preset: none, rules: [{name: s, when: {sender.resolves: fail}, then: reject}]}\n");
    world_play(&w, "10.0.0.1", "mail.sender.test", "a@sender.test");
    assert_non_null(fake_dns_asker(w.dns, "sender.test", DNS_TYPE_MX));
    assert_int_equal(fake_dns_asker(w.dns, "sender.test", DNS_TYPE_MX)->network, 0);
    world_fini(&w);
}

static void an_exempt_client_is_not_judged_by_address(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, LISTS
               "policy: {before: [{name: r, when: {client.iprev: pass}, then: {tag: {X-R: \"1\"}}}]}\n");
    add_spf(&w, "b.test", "v=spf1 -all");
    world_play(&w, "10.1.2.3", "h.b.test", "x@b.test");
    want_verdict(&w, "exempt", VERDICT_ACCEPT, "default");
    want_fact(&w, FACT_ID_SPF, "none");
    want_fact(&w, FACT_ID_CLIENT_IPREV, "none");
    want_fact(&w, FACT_ID_REPUTATION_LISTED, "false");
    assert_int_equal(fake_dns_asked(w.dns, "b.test", DNS_TYPE_TXT), 0);
    assert_int_equal(fake_dns_asked_below(w.dns, "arpa"), 0);
    assert_int_equal(fake_dns_asked_below(w.dns, "early.test"), 0);
    world_fini(&w);
}

/* However far things have come when the client vanishes, nothing is left and nobody is called. */
static void a_client_may_vanish_at_any_time(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < 60; at++) {
        struct world w;

        world_init(&w, LISTS "policy: {before: [{name: r, when: {client.iprev: pass}, then: {score: 1}}]}\n");
        for (unsigned t = 0; t < 2; t++) {
            fake_dns_add(w.dns, "s.test", DNS_TYPE_TXT, "v=spf1 a:h.s.test mx ~all", 3);
            fake_dns_add(w.dns, "h.s.test", DNS_TYPE_A, "198.51.100.1", 5);
            fake_dns_add(w.dns, "s.test", DNS_TYPE_MX, "10 h.s.test", 7);
        }
        fake_dns_add(w.dns, "9.113.0.203.in-addr.arpa", DNS_TYPE_PTR, "h.s.test", 11);
        fake_dns_add(w.dns, "9.113.0.203.early.test", DNS_TYPE_A, "127.0.0.2", 13);
        fake_dns_add(w.dns, "9.113.0.203.early.test", DNS_TYPE_TXT, "listed", 17);
        fake_dns_add(w.dns, "9.113.0.203.late.test", DNS_TYPE_A, "TIMEOUT", 0);
        world_connect(&w, "203.0.113.9");
        sim_advance(w.loop, at / 4);
        judge_helo(w.j, SLICE("example.com"));
        sim_advance(w.loop, at / 3);
        world_mail(&w, "x@s.test");
        sim_advance(w.loop, at / 2);
        world_ask(&w, "bob@example.com");
        sim_advance(w.loop, at);
        w.called = 0;
        if (at % 3 == 0) {
            judge_reset(w.j);
            judge_reset(w.j);
            sim_advance(w.loop, 60000);
        } else if (at % 3 == 1) {
            judge_helo(w.j, SLICE("again.test"));
            sim_advance(w.loop, 60000);
        }
        judge_free(&w.j);
        judge_free(&w.j);
        assert_int_equal(fake_dns_out(w.dns), 0);
        sim_advance(w.loop, 60000);
        assert_int_equal(w.called, 0);
        world_fini(&w);
    }
}

static void the_reply_names_lists_and_their_reason(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "reputation: {lists: [{name: x, zone: x.test}]}\npolicy: {rules: [{name: r, when: "
                   "{reputation.listed: true}, then: reject, reply: \"550 5.7.1 {reputation.lists}: "
                   "{reputation.reason}\"}]}\n");
    list_ip(&w, "9.113.0.203", "x.test", "127.0.0.2");
    fake_dns_add(w.dns, "9.113.0.203.x.test", DNS_TYPE_TXT, "see\thttps://x.test/\r\n203.0.113.9 \xff", 500);
    world_play(&w, "203.0.113.9", "h.test", "x@s.test");
    want_verdict(&w, "reason", VERDICT_REJECT, "r");
    assert_string_equal(w.text, "x: see https://x.test/ 203.0.113.9 ?");
    assert_string_equal(w.enhanced, "5.7.1");
    world_connect(&w, "203.0.113.10"); /* not listed: nobody asks for a reason */
    world_mail(&w, "x@s.test");
    world_ask(&w, "bob@example.com");
    sim_settle(w.loop);
    assert_int_equal(fake_dns_asked(w.dns, "10.113.0.203.x.test", DNS_TYPE_TXT), 0);
    world_fini(&w);
}

static void a_monitoring_file_delivers_and_says_what_would_have_been(void **state)
{
    struct world w;
    struct buf out;

    (void)state;
    world_init(&w, "mode: monitor\n");
    add_spf(&w, "b.test", "v=spf1 -all");
    world_play(&w, "203.0.113.9", "h.b.test", "x@b.test");
    want_verdict(&w, "monitor", VERDICT_DROP, "spf-fail");
    assert_true(w.monitored);
    judge_recipient_taken(w.j);
    buf_init(&out, 10000);
    judge_headers(w.j, &out);
    assert_non_null(strstr(out.ptr, "X-Glacis-Verdict: drop; rule=spf-fail; mode=monitor\r\n"));
    buf_fini(&out);
    world_fini(&w);
}

static void headers_tell_what_was_found(void **state)
{
    struct world w;
    struct buf out;

    (void)state;
    world_init(
        &w,
        LISTS "policy:\n  before:\n"
              "    - {name: t1, when: {client.iprev: pass}, then: [{score: 2.5}, {tag: {X-Note: "
              "\"{client.rdns} {spf}\"}}]}\n"
              "    - {name: m1, mode: monitor, when: {spf: pass}, then: reject}\n"
              "    - {name: r1, when: {recipient.local: bob}, then: {tag: {X-To: \"{recipient.address}\"}}}\n"
              "headers: {add: {X-Client: \"{client.ip} {client.rdns} {spf} {policy.contact}\"}}\n");
    add_spf(&w, "a.test", "v=spf1 ip4:203.0.113.0/24 -all");
    fake_dns_add(w.dns, "9.113.0.203.in-addr.arpa", DNS_TYPE_PTR, "H.a.test", 0);
    fake_dns_add(w.dns, "h.a.test", DNS_TYPE_A, "203.0.113.9", 0);
    list_ip(&w, "9.113.0.203", "early.test", "127.0.0.2");
    world_play(&w, "203.0.113.9", "h.a.test", "x@a.test");
    want_verdict(&w, "tags", VERDICT_ACCEPT, "spf-pass");
    assert_true(judge_single_recipient(w.j));
    judge_recipient_taken(w.j);
    world_ask(&w, "carol@example.com");
    sim_settle(w.loop);
    assert_true(judge_single_recipient(w.j)); /* bob was taken, and a tag names him */
    judge_recipient_taken(w.j);
    buf_init(&out, 10000);
    judge_headers(w.j, &out);
    assert_string_equal(out.ptr,
                        "Authentication-Results: mx1.example.com;\r\n spf=pass smtp.mailfrom=x@a.test;\r\n"
                        " iprev=pass policy.iprev=203.0.113.9 (h.a.test)\r\n"
                        "X-Glacis-Verdict: accept; rule=spf-pass; mode=enforce\r\n"
                        "X-Glacis-Score: 5.5\r\nX-Glacis-Level: *****\r\n"
                        "X-Glacis-Tests: SPF_PASS, IPREV_PASS, HELO_FQDN, HELO_RESOLVES_PASS,\r\n"
                        " SENDER_RESOLVES_PASS, REPUTATION_LISTED, LIST_early, RULE_t1, RULE_r1,\r\n"
                        " RULE_vouched-but-listed,\r\n"
                        "X-Glacis-Monitor: RULE_m1,\r\n"
                        "X-Note: h.a.test pass\r\nX-To: bob@example.com\r\n");
    buf_reset(&out);
    judge_added_headers(w.j, &out);
    assert_string_equal(out.ptr, "X-Client: 203.0.113.9 h.a.test pass postmaster@example.com\r\n");
    buf_fini(&out);
    world_fini(&w);
}

/* The names are an interface: who adds or changes one does so in the manual too. */
static void the_manual_page_has_every_test_and_no_other(void **state)
{
    static char page[256 * 1024];
    FILE *f = fopen("policy/glacis-headers.5", "r");
    struct buf names, items;
    char *section, *end;

    (void)state;
    assert_non_null(f);
    page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
    (void)fclose(f);
    section = strstr(page, ".Sh MARKS\n");
    assert_non_null(section);
    end = strstr(section, ".It LIST_ Ns");
    assert_non_null(end);
    buf_init(&items, 8192);
    for (char *p = strstr(section, ".It "); p < end; p = strstr(p, ".It ")) {
        struct slice line = slice_of(p, (size_t)(strchr(p, '\n') - p)), word;

        for (p += 4; !slice_empty(word = slice_token(&line));) {
            if (!slice_eq(word, SLICE(".It")) && !slice_eq(word, SLICE(","))) {
                buf_put_slice(&items, word);
                buf_put_char(&items, '\n');
            }
        }
    }
    buf_init(&names, 8192);
    judge_put_mark_names(&names);
    buf_put_char(&names, '\0');
    buf_put_char(&items, '\0');
    assert_string_equal(names.ptr, items.ptr);
    buf_fini(&names);
    buf_fini(&items);
}

static void nothing_asked_gives_no_results(void **state)
{
    struct world w;
    struct buf out;

    (void)state;
    world_init(&w, "policy: {rules: [{name: all, then: accept}]}\n");
    world_play(&w, "203.0.113.9", "h.a.test", "x@a.test");
    judge_recipient_taken(w.j);
    buf_init(&out, 10000);
    judge_headers(w.j, &out);
    assert_non_null(strstr(out.ptr, "Authentication-Results: mx1.example.com; none\r\n"));
    buf_fini(&out);
    world_fini(&w);
}

static void the_null_sender_is_judged_by_its_helo(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "");
    add_spf(&w, "h.test", "v=spf1 ip4:203.0.113.0/24 -all");
    world_play(&w, "203.0.113.9", "h.test", "");
    want_fact(&w, FACT_ID_SPF, "pass");
    want_fact(&w, FACT_ID_SPF_HELO, "pass");
    want_fact(&w, FACT_ID_SENDER_RESOLVES, "none");
    assert_int_equal(fake_dns_asked(w.dns, "h.test", DNS_TYPE_TXT), 1);
    world_fini(&w);

    world_init(&w, "spf: {identities: [mailfrom]}\n");
    add_spf(&w, "h.test", "v=spf1 ip4:203.0.113.0/24 -all");
    world_play(&w, "203.0.113.9", "h.test", "");
    want_fact(&w, FACT_ID_SPF, "none");
    world_fini(&w);

    world_init(&w, "");
    add_spf(&w, "weak.test", "v=spf1 +all");
    world_play(&w, "203.0.113.9", "h.test", "x@weak.test");
    want_fact(&w, FACT_ID_SPF, "neutral");
    want_fact(&w, FACT_ID_SPF_WEAK, "true");
    world_fini(&w);
}

static void helo_facts_follow_the_table(void **state)
{
    static const struct {
        const char *helo, *kind, *resolves, *matches, *impersonates;
    } rows[] = {
        { "h.a.test", "fqdn", "pass", "true", "false" },
        { "r.a.test", "fqdn", "pass", "true", "false" },
        { "x.a.test", "fqdn", "pass", "false", "false" },
        { "gone.test", "fqdn", "fail", "false", "false" },
        { "bad.test", "fqdn", "temperror", "unknown", "false" },
        { "[203.0.113.9]", "literal", "none", "true", "false" },
        { "[203.0.113.10]", "literal", "none", "false", "false" },
        { "[IPv6:2001:db8::1]", "literal", "none", "false", "false" },
        { "pc", "bare", "none", "false", "false" },
        { "203.0.113.9", "invalid", "none", "false", "false" },
        { "-x.test", "invalid", "none", "false", "false" },
        { "", "invalid", "none", "false", "false" },
        { "[x]", "invalid", "none", "false", "false" },
        { "example.com", "fqdn", "fail", "false", "true" },
        { "EXAMPLE.com", "fqdn", "fail", "false", "true" },
        { "a.example.net", "fqdn", "fail", "false", "true" },
        { "a.example.com", "fqdn", "fail", "false", "false" },
        { "spf.example.net", "fqdn", "fail", "false", "false" },
        { "bad.example.net", "fqdn", "fail", "false", "unknown" },
        { "own.example.net", "fqdn", "pass", "true", "false" },
        { "h.a.test.", "fqdn", "pass", "true", "false" },
        { "gone.test.", "fqdn", "fail", "false", "false" },
        { "mx1.example.com.", "fqdn", "fail", "false", "true" },
        { "gone.test..", "invalid", "none", "false", "false" },
        { ".", "invalid", "none", "false", "false" },
        { "[192.0.2.25]", "literal", "none", "false", "true" },
        { "[0.0.0.0]", "literal", "none", "false", "false" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        world_init(&w,
                   "policy: {rules: [{name: a, when: {any: [{helo.resolves: pass}, {helo.matches: true}, "
                   "{helo.impersonates: true}]}, then: {score: 1}}, {name: b, when: {helo.matches: true, "
                   "helo.resolves: temperror}, then: {score: 1}}, {name: c, when: {helo.impersonates: true}, "
                   "then: {score: 1}}, {name: d, when: {helo.matches: false}, then: {score: 1}}]}\n");
        fake_dns_add(w.dns, "h.a.test", DNS_TYPE_A, "203.0.113.9", 4);
        fake_dns_add(w.dns, "x.a.test", DNS_TYPE_AAAA, "2001:db8::9", 3);
        fake_dns_add(w.dns, "own.example.net", DNS_TYPE_A, "203.0.113.9", 1);
        fake_dns_add(w.dns, "9.113.0.203.in-addr.arpa", DNS_TYPE_PTR, "r.a.test", 7);
        fake_dns_add(w.dns, "r.a.test", DNS_TYPE_A, "203.0.113.9", 2);
        fake_dns_add(w.dns, "bad.test", DNS_TYPE_A, "SERVFAIL", 2);
        fake_dns_add(w.dns, "spf.example.net", DNS_TYPE_TXT, "v=spf1 ip4:203.0.113.9 -all", 2);
        fake_dns_add(w.dns, "bad.example.net", DNS_TYPE_TXT, "SERVFAIL", 2);
        world_play(&w, "203.0.113.9", rows[i].helo, "x@a.test");
        want_fact(&w, FACT_ID_HELO_KIND, rows[i].kind);
        want_fact(&w, FACT_ID_HELO_RESOLVES, rows[i].resolves);
        want_fact(&w, FACT_ID_HELO_MATCHES, rows[i].matches);
        want_fact(&w, FACT_ID_HELO_IMPERSONATES, rows[i].impersonates);
        world_fini(&w);
    }
}

static void message_rules_see_the_author_and_the_score(void **state)
{
    struct world w;
    struct judge_content c = { .size = 2000,
                               .head = SLICE_INIT("Received: x\r\nFrom: \"a@b.test\" (c@d.test)\r\n "
                                                  "<Joe@Author.Test>\r\nTo: x\r\n\r\n") };

    (void)state;
    world_init(
        &w,
        "policy: {rules: [{name: s, then: {score: 3}}], message_rules: [{name: m, when: "
        "{message.from_domain: author.test, score: \">= 3\", message.size: \"> 1000\"}, then: reject}]}\n");
    world_play(&w, "203.0.113.9", "h.test", "x@a.test");
    judge_recipient_taken(w.j);
    judge_message(w.j, &c, on_verdict, &w);
    assert_int_equal(w.called, 1);
    sim_settle(w.loop);
    want_verdict(&w, "message", VERDICT_REJECT, "m");
    assert_int_equal(w.code, 550);
    world_fini(&w);

    world_init(&w, "policy: {rules: [{name: s, then: bypass}], message_rules: [{name: m, then: reject}]}\n");
    world_play(&w, "203.0.113.9", "h.test", "x@a.test");
    assert_true(judge_bypasses(w.j));
    judge_recipient_taken(w.j);
    judge_message(w.j, &c, on_verdict, &w);
    sim_settle(w.loop);
    want_verdict(&w, "bypass", VERDICT_BYPASS, "s");
    world_fini(&w);
}

/* Several authors, none, or a From in the body: the facts are empty, and known. */
static void c5_only_one_author_of_the_header_section_counts(void **state)
{
    static const struct {
        struct slice head;
        enum verdict_action action;
    } rows[] = {
        { SLICE_INIT("From: (c) joe . doe @ author . test. (d)\r\n\r\n"), VERDICT_REJECT },
        { SLICE_INIT("From: Team: <@r.test:joe@AUTHOR.test>;\r\n\r\n"), VERDICT_REJECT },
        { SLICE_INIT("From: joe@author.test, doe@author.test\r\n\r\n"), VERDICT_DEFER },
        { SLICE_INIT("From: joe@author.test\r\nFrom: joe@author.test\r\n\r\n"), VERDICT_DEFER },
        { SLICE_INIT("Subject: x\r\n\r\nFrom: joe@author.test\r\n"), VERDICT_DEFER },
        { SLICE_INIT("Subject: x\r\nno field\r\nFrom: joe@author.test\r\n"), VERDICT_DEFER },
        { SLICE_INIT("From: =?x?Q?joe=40author.test?=\r\n\r\n"), VERDICT_DEFER },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judge_content c = { .size = 2000, .head = rows[i].head };
        struct world w;

        world_init(
            &w, "policy: {message_rules: [{name: a, when: {message.from_domain: author.test}, then: reject}, "
                "{name: n, when: {not: {message.from_domain: author.test}}, then: defer}]}\n");
        world_play(&w, "203.0.113.9", "h.test", "x@a.test");
        judge_recipient_taken(w.j);
        judge_message(w.j, &c, on_verdict, &w);
        sim_settle(w.loop);
        want_verdict(&w, "author", rows[i].action, rows[i].action == VERDICT_REJECT ? "a" : "n");
        world_fini(&w);
    }
}

static void earliest_refuses_before_the_recipient(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "policy: {reject_at: earliest, rules: [{name: l, when: {reputation.listed: true}, then: "
                   "reject}]}\nreputation: {lists: [{name: x, zone: x.test}]}\n");
    list_ip(&w, "9.113.0.203", "x.test", "127.0.0.2");
    world_connect(&w, "203.0.113.9");
    assert_true(judge_wants_early(w.j));
    judge_early(w.j, STAGE_CONNECT, on_verdict, &w);
    sim_settle(w.loop);
    want_verdict(&w, "earliest", VERDICT_REJECT, "l");
    world_fini(&w);
}

static void a_tarpit_holds_once_a_stage(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "policy: {rules: [{name: t, then: {tarpit: 5s}}]}\n");
    world_play(&w, "203.0.113.9", "h.test", "x@a.test");
    assert_int_equal(w.tarpit_ms, 5000);
    world_ask(&w, "carol@example.com");
    sim_settle(w.loop);
    assert_int_equal(w.tarpit_ms, 0);
    world_fini(&w);
}

/* The groups and rules know a mailbox by one spelling; SPF and lists see a HELO without its final dot. */
static void a_mailbox_has_one_spelling(void **state)
{
    static const struct {
        const char *from, *to, *rule;
    } rows[] = {
        { "x@good.test", "bob@example.com", "blocked" },
        { "\"x\"@good.test", "bob@example.com", "blocked" },
        { "\"\\x\"@GOOD.test", "bob@example.com", "blocked" },
        { "\"x y\"@good.test", "bob@example.com", "default" },
        { "\"y\"@good.test", "\"abuse\"@example.com", "postmaster" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        world_init(&w, "groups: {block_senders: [x@good.test]}\n");
        fake_dns_add(w.dns, "good.test", DNS_TYPE_MX, "10 mx.good.test", 0);
        world_connect(&w, "203.0.113.9");
        judge_helo(w.j, SLICE("h.test"));
        world_mail(&w, rows[i].from);
        world_ask(&w, rows[i].to);
        sim_advance(w.loop, 60000);
        assert_string_equal(w.rule, rows[i].rule);
        world_fini(&w);
    }
}

static void a_final_dot_of_the_helo_is_dropped(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "reputation: {lists: [{name: d, zone: d.test, looks_up: helo}]}\n");
    fake_dns_add(w.dns, "h.a.test", DNS_TYPE_TXT, "v=spf1 exists:%{h}.e.test -all", 0);
    fake_dns_add(w.dns, "h.a.test.e.test", DNS_TYPE_A, "127.0.0.2", 0);
    world_play(&w, "203.0.113.9", "h.a.test.", "");
    want_fact(&w, FACT_ID_HELO_NAME, "h.a.test");
    want_fact(&w, FACT_ID_SPF, "pass");
    assert_int_equal(fake_dns_asked(w.dns, "h.a.test.d.test", DNS_TYPE_A), 1);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(the_preset_judges_as_written),
        cmocka_unit_test(lists_are_asked_when_their_time_has_come),
        cmocka_unit_test(a_late_list_decides_for_a_final_rule),
        cmocka_unit_test(nothing_is_asked_that_no_rule_needs),
        cmocka_unit_test(nobody_waits_for_monitoring_and_background_lists),
        cmocka_unit_test(a_silent_list_is_incomplete_after_its_own_timeout),
        cmocka_unit_test(the_budget_ends_every_wait),
        cmocka_unit_test(facts_die_with_their_scope),
        { "C11: questions are on the account of the client", questions_are_on_the_account_of_the_client, NULL,
          NULL, NULL },
        { "C11: what was not looked up for want of questions is put off",
          what_was_not_looked_up_for_want_of_questions_is_put_off, NULL, NULL, NULL },
        { "C11: mail of a paced client is put off by whatever rule accepts it",
          mail_of_a_paced_client_is_put_off_by_whatever_rule_accepts_it, NULL, NULL, NULL },
        { "C11: an exempt client causes questions on nobody's account",
          an_exempt_client_causes_questions_on_nobodys_account, NULL, NULL, NULL },
        cmocka_unit_test(an_exempt_client_is_not_judged_by_address),
        cmocka_unit_test(a_client_may_vanish_at_any_time),
        cmocka_unit_test(the_reply_names_lists_and_their_reason),
        cmocka_unit_test(a_monitoring_file_delivers_and_says_what_would_have_been),
        cmocka_unit_test(headers_tell_what_was_found),
        cmocka_unit_test(the_manual_page_has_every_test_and_no_other),
        cmocka_unit_test(nothing_asked_gives_no_results),
        cmocka_unit_test(the_null_sender_is_judged_by_its_helo),
        { .name = "B8: facts of the HELO follow the table", .test_func = helo_facts_follow_the_table },
        { .name = "B8: a mailbox has one spelling", .test_func = a_mailbox_has_one_spelling },
        { .name = "B8: a final dot of the HELO is dropped", .test_func = a_final_dot_of_the_helo_is_dropped },
        cmocka_unit_test(message_rules_see_the_author_and_the_score),
        cmocka_unit_test(c5_only_one_author_of_the_header_section_counts),
        cmocka_unit_test(earliest_refuses_before_the_recipient),
        cmocka_unit_test(a_tarpit_holds_once_a_stage),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
