/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_verdict.c - what follows from which facts: the preset row by row, and the language's own rules.
 */
#include "rules_fixture.h"

struct row {
    const char *label;
    const char *facts; /* over the ordinary ones */
    const char *want;
};

static void run_rows(const char *yaml, const struct row *rows, size_t count)
{
    struct fixture f;
    char got[200];
    size_t failed = 0;

    fixture_load(&f, yaml);
    for (size_t i = 0; i < f.errs.count; i++) {
        if (!f.errs.list[i].warning) {
            print_error("%d:%d %s\n", f.errs.list[i].line, f.errs.list[i].column, f.errs.list[i].text);
        }
    }
    assert_non_null(f.p);
    for (size_t i = 0; i < count; i++) {
        fixture_ordinary(&f);
        fixture_facts(&f, rows[i].facts);
        fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
        if (strcmp(fixture_outcome(&f, got), rows[i].want) != 0) {
            print_error("%s: got `%s`, wanted `%s`\n", rows[i].label, got, rows[i].want);
            failed++;
        }
    }
    fixture_free(&f);
    assert_int_equal(failed, 0);
}

#define LISTED "reputation.listed=true; reputation.lists=zen; "

static const char groups_yaml[] =
    "groups:\n"
    "  allow_clients: [198.51.100.0/24, \"2001:db8:1::/48\", .friend.example, exact.example]\n"
    "  allow_senders: [boss@partner.example, \"@allowed.example\", listed-domain.example]\n"
    "  forwarders: [203.0.113.7, .forward.example]\n"
    "  block_clients: [203.0.113.66, .bad.example, \"203.0.113.67 until=2026-11-02\",\n"
    "                  \"203.0.113.68 until=2099-01-01\"]\n"
    "  block_senders: [spam@evil.example, \"@evil2.example\", .evil3.example]\n";

static void every_row_of_spf_first(void **state)
{
    static const struct row rows[] = {
        { "nothing special", "", "accept default" },
        /* 1 allowed-client */
        { "allowed by network", "client.ip=198.51.100.9; spf=fail", "bypass allowed-client" },
        { "allowed by IPv6 network", "client.ip=2001:db8:1::5; spf=fail", "bypass allowed-client" },
        { "allowed by name below", "client.rdns=mx.friend.example; spf=fail", "bypass allowed-client" },
        { "not by the domain itself", "client.rdns=friend.example", "accept default" },
        { "allowed by exact name", "client.rdns=exact.example", "bypass allowed-client" },
        { "allowed comes before pregreet", "client.ip=198.51.100.9; protocol.pregreet=true",
          "bypass allowed-client" },
        { "the address decides without rDNS", "client.ip=198.51.100.9; client.rdns=-",
          "bypass allowed-client" },
        { "else rDNS is needed", "client.rdns=-", "needs client.rdns" },
        { "rDNS unknown is not allowed", "client.rdns=?", "accept default" },
        { "no rDNS name", "client.rdns=", "accept default" },
        /* 2 blocked */
        { "blocked by address", "client.ip=203.0.113.66", "reject blocked 550 5.7.1" },
        { "blocked by name", "client.rdns=x.bad.example", "reject blocked 550 5.7.1" },
        { "blocked by sender", "sender.address=Spam@Evil.Example; sender.domain=evil.example",
          "reject blocked 550 5.7.1" },
        { "blocked by sender's domain", "sender.address=x@evil2.example; sender.domain=evil2.example",
          "reject blocked 550 5.7.1" },
        { "blocked by domain below", "sender.address=x@a.evil3.example; sender.domain=a.evil3.example",
          "reject blocked 550 5.7.1" },
        { "the last day counts", "client.ip=203.0.113.67", "reject blocked 550 5.7.1" },
        { "until a far day", "client.ip=203.0.113.68", "reject blocked 550 5.7.1" },
        { "blocked, and rDNS might have allowed", "client.ip=203.0.113.66; client.rdns=?",
          "defer blocked 451 4.7.1" },
        /* 3 postmaster */
        { "postmaster", "recipient.local=postmaster; spf=fail", "accept postmaster" },
        { "any case", "recipient.local=PostMaster; spf=fail", "accept postmaster" },
        { "abuse", "recipient.local=abuse; protocol.pregreet=true", "accept postmaster" },
        { "not a part of it", "recipient.local=postmaster2; spf=fail", "drop spf-fail 550 5.7.23" },
        { "blocked comes before postmaster", "recipient.local=postmaster; client.ip=203.0.113.66",
          "reject blocked 550 5.7.1" },
        /* 4 talks-first, 5 not-smtp */
        { "talked first", "protocol.pregreet=true", "drop talks-first 554 5.5.1" },
        { "talked first, rDNS unknown", "protocol.pregreet=true; client.rdns=?",
          "drop talks-first 451 4.5.1" },
        { "two violations", "protocol.violations=2", "accept default" },
        { "three violations", "protocol.violations=3", "drop not-smtp 421 4.7.0" },
        { "many violations", "protocol.violations=99", "drop not-smtp 421 4.7.0" },
        /* 6 helo-impersonation */
        { "impersonates", "helo.impersonates=true", "reject helo-impersonation 550 5.7.1" },
        { "impersonation unknown", "helo.impersonates=?", "accept default" },
        { "impersonation not asked yet", "helo.impersonates=-", "needs helo.impersonates" },
        /* 7 helo-odd only scores */
        { "bare HELO", "helo.kind=bare; helo.resolves=none", "accept default" },
        { "invalid HELO", "helo.kind=invalid; helo.resolves=none", "accept default" },
        { "HELO does not resolve", "helo.resolves=fail", "accept default" },
        { "HELO temperror", "helo.resolves=temperror", "accept default" },
        { "bare HELO decides without the DNS", "helo.kind=bare; helo.resolves=-; spf=pass",
          "accept spf-pass" },
        { "HELO needed", "helo.resolves=-", "needs helo.resolves" },
        /* 8 sender-null-mx, 9 sender-unknown */
        { "null MX", "sender.resolves=null_mx", "reject sender-null-mx 550 5.7.27" },
        { "null MX despite SPF pass", "sender.resolves=null_mx; spf=pass",
          "reject sender-null-mx 550 5.7.27" },
        { "sender unknown", "sender.resolves=fail", "defer sender-unknown 450 4.1.8" },
        { "sender temperror", "sender.resolves=temperror", "accept default" },
        { "null sender",
          "sender.resolves=none; sender.null=true; sender.address=; sender.domain=", "accept default" },
        { "sender not asked yet", "sender.resolves=-", "needs sender.resolves" },
        /* 10, 11 zero-day */
        { "zero-day tags and scores", "zero_day.suspect=true; zero_day.reasons=fresh_domain",
          "accept default" },
        { "zero-day with pass",
          "zero_day.suspect=true; spf=pass; zero_day.burst=false; zero_day.listed=false", "accept spf-pass" },
        /* 12 allowed-sender */
        { "allowed sender with pass", "sender.address=boss@partner.example; spf=pass",
          "accept allowed-sender" },
        { "allowed sender without pass", "sender.address=boss@partner.example; spf=softfail",
          "accept default" },
        { "allowed sender with fail", "sender.address=boss@partner.example; spf=fail",
          "drop spf-fail 550 5.7.23" },
        { "allowed domain with pass", "sender.address=x@allowed.example; spf=pass", "accept allowed-sender" },
        { "allowed by sender.domain", "sender.domain=listed-domain.example; spf=pass",
          "accept allowed-sender" },
        { "allowed sender, listed, no pass", LISTED "sender.address=boss@partner.example",
          "drop reputation 451 4.7.1" },
        /* 13, 14 spf-pass */
        { "pass", "spf=pass", "accept spf-pass" },
        { "pass and listed", LISTED "spf=pass", "accept spf-pass" },
        { "pass, lists unknown", "spf=pass; reputation.listed=?", "accept spf-pass" },
        { "SPF not asked yet", "spf=-", "needs spf" },
        /* 15 forwarder */
        { "forwarder by address", "spf=fail; client.ip=203.0.113.7", "accept forwarder" },
        { "forwarder by name", "spf=fail; client.rdns=a.forward.example", "accept forwarder" },
        { "forwarder without fail", LISTED "client.ip=203.0.113.7", "drop reputation 451 4.7.1" },
        { "a fail, rDNS might name a forwarder", "spf=fail; client.rdns=?", "drop spf-fail 451 4.7.23" },
        /* 16 spf-fail */
        { "fail", "spf=fail", "drop spf-fail 550 5.7.23" },
        { "fail and listed", LISTED "spf=fail", "drop spf-fail 550 5.7.23" },
        { "fail of a null sender's HELO", "spf=fail; sender.null=true", "accept default" },
        { "fail and known good", "spf=fail; client.known_good=true", "drop spf-fail 550 5.7.23" },
        { "fail, sender temperror", "spf=fail; sender.resolves=temperror", "drop spf-fail 550 5.7.23" },
        { "fail, HELO temperror", "spf=fail; helo.resolves=temperror", "drop spf-fail 550 5.7.23" },
        /* 17 reputation-known */
        { "listed and known good", LISTED "client.known_good=true", "accept reputation-known" },
        { "listed, softfail, known good", LISTED "spf=softfail; client.known_good=true",
          "accept reputation-known" },
        { "listed and not known good", LISTED "client.known_good=false", "drop reputation 451 4.7.1" },
        /* 18 reputation */
        { "listed, none", LISTED "spf=none", "drop reputation 451 4.7.1" },
        { "listed, neutral", LISTED "spf=neutral", "drop reputation 451 4.7.1" },
        { "listed, softfail", LISTED "spf=softfail", "drop reputation 451 4.7.1" },
        { "listed, permerror", LISTED "spf=permerror", "drop reputation 451 4.7.1" },
        { "listed, temperror", LISTED "spf=temperror", "drop reputation 451 4.7.1" },
        { "listed, fail of null sender", LISTED "spf=fail; sender.null=true", "drop reputation 451 4.7.1" },
        { "lists not asked yet", "reputation.listed=-", "needs reputation.listed" },
        { "lists unknown", "reputation.listed=?", "accept default" },
        { "nothing listed, neutral", "spf=neutral", "accept default" },
        { "nothing listed, softfail", "spf=softfail", "accept default" },
        { "nothing listed, permerror", "spf=permerror", "accept default" },
        { "nothing listed, temperror", "spf=temperror", "accept default" },
        { "lists are not asked for a fail", "spf=fail; reputation.listed=-", "drop spf-fail 550 5.7.23" },
        { "lists are asked before a pass, to score", "spf=pass; reputation.listed=-",
          "needs reputation.listed" },
        { "everything unknown",
          "client.rdns=?; helo.impersonates=?; helo.resolves=temperror; sender.resolves=temperror; "
          "spf=temperror; reputation.listed=?",
          "accept default" },
    };

    (void)state;
    run_rows(groups_yaml, rows, ARRAY_LEN(rows));
}

static void empty_groups_ask_nothing(void **state)
{
    static const struct row rows[] = {
        { "rDNS is not needed", "client.rdns=-; spf=pass", "accept spf-pass" },
        { "a fail with rDNS unknown", "client.rdns=?; spf=fail", "drop spf-fail 550 5.7.23" },
        { "a fail with rDNS not asked", "client.rdns=-; spf=fail", "drop spf-fail 550 5.7.23" },
        { "pregreet before any look-up",
          "client.rdns=-; protocol.pregreet=true; spf=-; helo.impersonates=-; sender.resolves=-",
          "drop talks-first 554 5.5.1" },
    };

    (void)state;
    run_rows("policy: {}", rows, ARRAY_LEN(rows));
}

static void three_values(void **state)
{
    static const char yaml[] =
        "policy:\n"
        "  rules:\n"
        "    - {name: a, when: {client.rdns: a.example, recipient.local: x}, then: defer}\n"
        "    - {name: b, when: {any: [{recipient.local: b}, {client.rdns: b.example}]}, then: defer}\n"
        "    - {name: c, when: {not: {client.rdns: c.example}, recipient.local: c}, then: defer}\n"
        "    - {name: d, when: {not: {any: [{client.rdns: d.example}, {recipient.local: [c, d]}]}}, then: "
        "bypass}\n"
        "    - {name: e, when: {all: [{recipient.count: 5}, {any: [{spf: pass}, {score: \"> 1\"}]}]}, "
        "then: reject}\n";
    static const struct row rows[] = {
        { "a is false without the DNS, b needs it", "recipient.local=d; client.rdns=-; recipient.count=1",
          "needs client.rdns" },
        { "all true", "client.rdns=a.example; recipient.local=x", "defer a 451 4.7.1" },
        { "all: unknown", "client.rdns=?; recipient.local=x", "accept default" },
        { "all: in file order", "client.rdns=-; recipient.local=x", "needs client.rdns" },
        { "any: a true term decides", "client.rdns=-; recipient.local=b", "defer b 451 4.7.1" },
        { "any: true beside unknown", "client.rdns=?; recipient.local=b", "defer b 451 4.7.1" },
        { "not: true", "client.rdns=z.example; recipient.local=c", "defer c 451 4.7.1" },
        { "not of unknown is unknown", "client.rdns=?; recipient.local=c", "accept default" },
        { "not any: a true one makes it false", "client.rdns=?; recipient.local=d", "accept default" },
        { "not any: unknown stays unknown", "client.rdns=?; recipient.local=q", "accept default" },
        { "not any: all false", "client.rdns=z.example; recipient.local=q", "bypass d" },
        { "nested", "recipient.local=d; recipient.count=5; spf=pass", "reject e 550 5.7.1" },
        { "nested, none true", "recipient.local=d; recipient.count=5; spf=fail", "accept default" },
        { "nested, waits", "recipient.local=d; recipient.count=5; spf=-", "needs spf" },
    };

    (void)state;
    run_rows(yaml, rows, ARRAY_LEN(rows));
}

static void no_outage_refuses_for_good(void **state)
{
    static const char yaml[] =
        "policy:\n"
        "  rules:\n"
        "    - {name: odd, when: {helo.resolves: fail}, then: [{score: 2}]}\n"
        "    - {name: good, when: {client.iprev: pass}, then: [{score: -1}]}\n"
        "    - {name: word, when: {spf: [fail, temperror], recipient.local: word}, then: reject}\n"
        "    - {name: no-pass, when: {not: {spf: pass}, recipient.local: nopass}, then: reject}\n"
        "    - {name: vouched, when: {spf: pass, recipient.domain: v.example}, then: accept}\n"
        "    - {name: scored, when: {score: \">= 1\", recipient.local: s}, then: drop, reply: \"554 5.7.1 "
        "no\"}\n"
        "    - {name: rest, when: {recipient.local: rest}, then: reject, reply: \"554 5.6.0 no\"}\n"
        "    - {name: rest-drop, when: {recipient.local: drop}, then: drop, reply: \"554 5.7.9 no\"}\n";
    static const struct row rows[] = {
        { "by a word", "spf=fail; recipient.local=word", "reject word 550 5.7.1" },
        { "by the word temperror", "spf=temperror; recipient.local=word", "defer word 451 4.7.1" },
        { "not pass", "spf=none; recipient.local=nopass", "reject no-pass 550 5.7.1" },
        { "not pass, by temperror", "spf=temperror; recipient.local=nopass", "defer no-pass 451 4.7.1" },
        { "an acceptance above is certainly false", "recipient.local=rest", "reject rest 554 5.6.0" },
        { "an acceptance above hangs on an outage",
          "recipient.local=rest; spf=temperror; recipient.domain=v.example", "defer rest 451 4.6.0" },
        { "it does not, for another domain", "recipient.local=rest; spf=temperror", "reject rest 554 5.6.0" },
        { "a drop stays a drop", "recipient.local=drop; spf=temperror; recipient.domain=v.example",
          "drop rest-drop 451 4.7.9" },
        { "score known", "helo.resolves=fail; recipient.local=s", "drop scored 554 5.7.1" },
        { "score too low", "recipient.local=s", "accept default" },
        { "score: the good part is missing", "helo.resolves=fail; client.iprev=temperror; recipient.local=s",
          "drop scored 554 5.7.1" },
        { "score: the bad part is missing", "helo.resolves=temperror; recipient.local=s", "accept default" },
    };

    (void)state;
    run_rows(yaml, rows, ARRAY_LEN(rows));
}

static void an_uncertain_score_is_no_certain_refusal(void **state)
{
    static const char yaml[] = "policy:\n"
                               "  rules:\n"
                               "    - {name: odd, when: {recipient.count: \"> 3\"}, then: [{score: 2}]}\n"
                               "    - {name: good, when: {client.iprev: pass}, then: [{score: -1}]}\n"
                               "    - {name: nopass, when: {not: {spf: pass}}, then: [{score: 2}]}\n"
                               "    - {name: scored, when: {score: \">= 2\"}, then: reject}\n";
    static const struct row rows[] = {
        { "certain", "recipient.count=4; spf=fail", "reject scored 550 5.7.1" },
        { "below", "spf=fail", "accept default" },
        { "without the good part it is just there", "recipient.count=4; spf=pass; client.iprev=temperror",
          "defer scored 451 4.7.1" },
        { "by a score that rests on temperror", "client.iprev=fail; spf=temperror",
          "defer scored 451 4.7.1" },
        { "enough without it", "client.iprev=fail; recipient.count=4; spf=temperror",
          "reject scored 550 5.7.1" },
    };

    (void)state;
    run_rows(yaml, rows, ARRAY_LEN(rows));
}

static void monitored_rules_change_nothing(void **state)
{
    static const char yaml[] =
        "policy:\n"
        "  override: {spf-fail: {mode: monitor}, helo-odd: {mode: monitor}}\n"
        "  before:\n"
        "    - {name: late, when: {client.iprev: fail}, then: [{tarpit: 5s}, reject], mode: monitor}\n"
        "    - {name: none-of-them, when: {spf: softfail}, then: reject, enforce_share: 0%}\n";
    struct fixture f;
    char got[200];

    (void)state;
    fixture_load(&f, yaml);
    assert_non_null(f.p);
    fixture_ordinary(&f);
    fixture_facts(&f, "spf=fail; client.iprev=fail; helo.kind=bare");
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
    assert_string_equal(fixture_outcome(&f, got), "accept default");
    assert_int_equal(f.result.score, 0);
    assert_int_equal(f.result.tarpit_ms, 0);
    assert_int_equal(f.trace[0].outcome, RULE_MONITORED);
    assert_int_equal(f.trace[1].outcome, RULE_NOT);
    assert_int_equal(f.trace[2 + 6].outcome, RULE_MONITORED);
    assert_int_equal(f.trace[2 + 15].outcome, RULE_MONITORED);
    fixture_facts(&f, "client.iprev=-; spf=softfail; helo.kind=fqdn"); /* nobody waits for a monitored rule */
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
    assert_string_equal(fixture_outcome(&f, got), "accept default");
    assert_int_equal(f.trace[0].outcome, RULE_UNKNOWN);
    assert_int_equal(f.trace[1].outcome, RULE_MONITORED);
    assert_int_equal(f.result.background, FACT_ID_CLIENT_IPREV);
    fixture_free(&f);
}

static void a_ramp_takes_its_share_of_clients(void **state)
{
    struct rule rule = { .name = "ramp", .share = 25 }, other = { .name = "ramp2", .share = 25 };
    unsigned enforced = 0, both = 0;
    struct addr a = { .family = ADDR_V4 }, b = { .family = ADDR_V6, .ip = { 0x20, 0x01, 0x0d, 0xb8 } }, c = b;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        a.ip[0] = 10;
        a.ip[2] = (uint8_t)(i >> 8);
        a.ip[3] = (uint8_t)i;
        enforced += !rule_is_monitored(&rule, &a, NOON_2026);
        both += !rule_is_monitored(&rule, &a, NOON_2026) && !rule_is_monitored(&other, &a, NOON_2026);
        assert_int_equal(rule_is_monitored(&rule, &a, NOON_2026), rule_is_monitored(&rule, &a, NOON_2026));
    }
    assert_in_range(enforced, 4500, 5500); /* a quarter */
    assert_in_range(both, 1000, 1500);     /* rules choose independently */
    for (unsigned i = 0; i < 64; i++) {    /* a /64 is one client */
        b.ip[15] = (uint8_t)i;
        assert_int_equal(rule_is_monitored(&rule, &b, NOON_2026), rule_is_monitored(&rule, &c, NOON_2026));
    }
    rule.share = 100;
    assert_false(rule_is_monitored(&rule, &a, NOON_2026));
    rule.share = 0;
    assert_true(rule_is_monitored(&rule, &a, NOON_2026));
}

static void a_wider_ramp_keeps_who_was_in_it(void **state)
{
    struct rule rule = { .name = "ramp", .share = 20 }, wider = { .name = "ramp", .share = 60 };
    struct addr a = { .family = ADDR_V4, .ip = { 192, 0, 2, 0 } };

    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        a.ip[3] = (uint8_t)i;
        assert_true(rule_is_monitored(&rule, &a, NOON_2026) || !rule_is_monitored(&wider, &a, NOON_2026));
    }
}

static void actions_add_up(void **state)
{
    static const char yaml[] =
        "policy:\n"
        "  default: defer\n"
        "  rules:\n"
        "    - {name: a, then: [{score: 1.25}, {tarpit: 2s}, {tag: {X-A: \"{spf}\"}}]}\n"
        "    - {name: b, then: [{score: -0.5}, {tarpit: 7s}]}\n"
        "    - {name: c, when: {score: 0.75}, then: [{score: 3}, {tarpit: 1s}]}\n"
        "    - {name: d, when: {recipient.local: q}, then: {divert: quarantine}}\n";
    struct fixture f;
    char got[200];

    (void)state;
    fixture_load(&f, yaml);
    assert_non_null(f.p);
    fixture_ordinary(&f);
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
    assert_string_equal(fixture_outcome(&f, got), "defer default 451 4.7.1");
    assert_int_equal(f.result.score, 3750);
    assert_int_equal(f.result.tarpit_ms, 7000);
    fixture_facts(&f, "recipient.local=q");
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
    assert_string_equal(fixture_outcome(&f, got), "divert d");
    assert_string_equal(f.result.divert->name, "quarantine");
    fixture_free(&f);
}

static void earliest_refuses_when_all_above_is_false(void **state)
{
    static const char yaml[] =
        "policy:\n"
        "  reject_at: earliest\n"
        "  rules:\n"
        "    - {name: pre, when: {protocol.pregreet: true}, then: drop, reply: \"554 5.5.1 no\"}\n"
        "    - {name: tagged, when: {recipient.local: x}, then: [{tag: {X-A: b}}]}\n"
        "    - {name: open, when: {recipient.local: postmaster, client.ip: 192.0.2.0/24}, then: accept}\n"
        "    - {name: fail, when: {spf: fail}, then: reject}\n"
        "    - {name: scorer, when: {recipient.domain: a.example}, then: [{score: 1}]}\n"
        "    - {name: late, when: {score: \"> 0\"}, then: reject}\n";
    struct fixture f;
    char got[200];

    (void)state;
    fixture_load(&f, yaml);
    assert_non_null(f.p);
    fixture_ordinary(&f);
    fixture_facts(&f, "recipient.local=-; recipient.domain=-; protocol.pregreet=true; spf=-");
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_CONNECT);
    assert_string_equal(fixture_outcome(&f, got), "drop pre 554 5.5.1");
    fixture_facts(&f, "protocol.pregreet=false; spf=fail");
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_MAIL);
    assert_string_equal(fixture_outcome(&f, got), "later"); /* a postmaster may come */
    fixture_facts(&f, "client.ip=198.51.100.1");
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_MAIL);
    assert_string_equal(fixture_outcome(&f, got), "reject fail 550 5.7.1");
    fixture_facts(&f, "spf=-");
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_HELO);
    assert_string_equal(fixture_outcome(&f, got), "later"); /* SPF cannot be asked yet */
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_MAIL);
    assert_string_equal(fixture_outcome(&f, got), "needs spf");
    fixture_facts(&f, "spf=none");
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_MAIL);
    assert_string_equal(fixture_outcome(&f, got),
                        "later"); /* the score is open, and nothing is accepted early */
    fixture_free(&f);
}

static void message_rules_go_on_with_the_score(void **state)
{
    static const char yaml[] = "policy:\n"
                               "  rules: [{name: a, then: [{score: 1}]}]\n"
                               "  message_rules:\n"
                               "    - {name: big, when: {message.size: \"> 1000\"}, then: [{score: 2}]}\n"
                               "    - {name: much, when: {score: \">= 3\"}, then: reject}\n";
    struct fixture f;
    struct eval_input in;
    char got[200];

    (void)state;
    fixture_load(&f, yaml);
    assert_non_null(f.p);
    fixture_ordinary(&f);
    fixture_facts(&f, "message.size=1001");
    in = fixture_input(&f, STAGE_MESSAGE);
    in.score = 1000;
    rules_evaluate(&f.p->rules, BLOCK_MESSAGE, &in, &f.result, f.trace);
    assert_string_equal(fixture_outcome(&f, got), "reject much 550 5.7.1");
    assert_int_equal(f.result.score, 3000);
    fixture_facts(&f, "message.size=1000");
    rules_evaluate(&f.p->rules, BLOCK_MESSAGE, &in, &f.result, f.trace);
    assert_string_equal(fixture_outcome(&f, got), "accept default");
    fixture_free(&f);
}

static void late_lists_are_asked_for_final_actions(void **state)
{
    static const char yaml[] = "policy: {}\n";
    struct fixture f;
    char got[200];

    (void)state;
    fixture_load(&f, yaml);
    fixture_ordinary(&f);
    fixture_facts(&f, "reputation.listed=-; spf=pass");
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
    assert_string_equal(fixture_outcome(&f, got), "needs reputation.listed");
    assert_false(f.result.needs_final);
    f.facts.v[FACT_ID_REPUTATION_LISTED] = (struct fact_value){ .state = FACT_SOFT };
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
    assert_string_equal(fixture_outcome(&f, got), "accept spf-pass");
    fixture_facts(&f, "spf=none; client.known_good=?");
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
    assert_string_equal(fixture_outcome(&f, got), "needs reputation.listed");
    assert_true(f.result.needs_final);
    fixture_free(&f);
}

static void every_outcome_has_its_reason(void **state)
{
    static const struct {
        const char *facts, *rule, *why;
    } rows[] = {
        { "spf=pass", "spf-fail", "not asked" },
        { "spf=none", "spf-fail", "spf is none: wanted fail" },
        { "spf=none", "spf-pass", "spf is none: wanted pass" },
        { "spf=fail", "spf-fail", "spf is fail" },
        { "spf=none", "not-smtp", "protocol.violations is 0: wanted >= 3" },
        { "spf=none", "allowed-client",
          "client.ip is 192.0.2.1: wanted group:allow_clients, which has no entry for it" },
        { "spf=none; reputation.listed=?", "reputation", "reputation.listed is unknown: wanted true" },
        { "spf=none; helo.impersonates=-", "helo-impersonation", "not asked" },
        { "spf=none; zero_day.suspect=true; zero_day.burst=false", "zero-day-score",
          "zero_day.suspect is true" },
        { "spf=pass; zero_day.suspect=true; zero_day.burst=false; zero_day.listed=false", "zero-day-score",
          "spf is pass: wanted not pass" },
        { "spf=none; helo.kind=literal; helo.resolves=none", "helo-odd",
          "helo.kind is literal: wanted bare or invalid" },
    };
    struct fixture f;

    (void)state;
    fixture_load(&f, "policy: {}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct block *b = &f.p->rules.block[BLOCK_ENVELOPE];
        struct eval_input in = fixture_input(&f, STAGE_RCPT);
        char mem[400];
        struct buf why;

        fixture_ordinary(&f);
        fixture_facts(&f, rows[i].facts);
        fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
        buf_init_fixed(&why, mem, sizeof(mem));
        for (size_t n = 0; n < b->count; n++) {
            if (strcmp(b->rule[n].name, rows[i].rule) == 0) {
                rule_trace_why(&f.p->rules, &f.trace[n], &in, &why);
            }
        }
        assert_string_equal(mem, rows[i].why);
    }
    fixture_free(&f);
}

static void temperror_is_where_the_table_has_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        int index = fact_word_index((enum fact_id)i, SLICE("temperror"));

        assert_int_equal(fact_temperror((enum fact_id)i), index >= 0 ? (unsigned)index : FACT_NO_WORD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_spf_first),
        cmocka_unit_test(empty_groups_ask_nothing),
        cmocka_unit_test(three_values),
        cmocka_unit_test(no_outage_refuses_for_good),
        cmocka_unit_test(an_uncertain_score_is_no_certain_refusal),
        cmocka_unit_test(monitored_rules_change_nothing),
        cmocka_unit_test(a_ramp_takes_its_share_of_clients),
        cmocka_unit_test(a_wider_ramp_keeps_who_was_in_it),
        cmocka_unit_test(actions_add_up),
        cmocka_unit_test(earliest_refuses_when_all_above_is_false),
        cmocka_unit_test(message_rules_go_on_with_the_score),
        cmocka_unit_test(late_lists_are_asked_for_final_actions),
        cmocka_unit_test(every_outcome_has_its_reason),
        cmocka_unit_test(temperror_is_where_the_table_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
