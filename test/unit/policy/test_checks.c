/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_checks.c - reverse names, names that look generic, the sender's domain, one answer of a list.
 */
#include "test/unit/policy/judge_world.h"

#include "policy/checks/check.h"
#include "policy/lists/reputation.h"

struct got {
    size_t called;
    char word[32];
    char name[300];
};

static void on_rdns(const struct rdns_result *res, void *arg)
{
    struct got *g = arg;

    g->called++;
    put_copy(g->word, sizeof(g->word), slice_str(res->iprev));
    put_copy(g->name, sizeof(g->name), slice_str(res->name));
}

static void on_sender(const struct sender_result *res, void *arg)
{
    struct got *g = arg;

    g->called++;
    put_copy(g->word, sizeof(g->word), slice_str(res->resolves));
}

struct dns_row {
    const char *name;
    enum dns_type type;
    const char *value;
};

static void iprev_is_confirmed_forwards(void **state)
{
    static const struct {
        const char *label, *ip, *iprev, *name;
        struct dns_row dns[4];
    } rows[] = {
        { "pass",
          "192.0.2.1",
          "pass",
          "a.test",
          { { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "A.test" }, { "a.test", DNS_TYPE_A, "192.0.2.1" } } },
        { "the second name",
          "192.0.2.1",
          "pass",
          "b.test",
          { { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "a.test" },
            { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "b.test" },
            { "b.test", DNS_TYPE_A, "192.0.2.1" },
            { "a.test", DNS_TYPE_A, "192.0.2.2" } } },
        { "another address",
          "192.0.2.1",
          "fail",
          "",
          { { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "a.test" }, { "a.test", DNS_TYPE_A, "192.0.2.2" } } },
        { "no address", "192.0.2.1", "fail", "", { { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "a.test" } } },
        { "no name", "192.0.2.1", "permerror", "", { { NULL, DNS_TYPE_A, NULL } } },
        { "PTR out",
          "192.0.2.1",
          "temperror",
          "",
          { { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "SERVFAIL" } } },
        { "address out",
          "192.0.2.1",
          "temperror",
          "",
          { { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "a.test" }, { "a.test", DNS_TYPE_A, "SERVFAIL" } } },
        { "address out, another matches",
          "192.0.2.1",
          "pass",
          "b.test",
          { { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "a.test" },
            { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "b.test" },
            { "a.test", DNS_TYPE_A, "SERVFAIL" },
            { "b.test", DNS_TYPE_A, "192.0.2.1" } } },
        { "not a host name",
          "192.0.2.1",
          "permerror",
          "",
          { { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "a b.test" },
            { "a b.test", DNS_TYPE_A, "192.0.2.1" } } },
        { "IPv6",
          "2001:db8::1",
          "pass",
          "six.test",
          { { "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", DNS_TYPE_PTR,
              "six.test" },
            { "six.test", DNS_TYPE_AAAA, "2001:db8::1" } } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct loop *l = loop_new();
        struct resolver *r = resolver_new(l, NULL);
        struct dns_asker who = { .resolver = r };
        struct got got = { .called = 0 };
        struct rdns_check *c;
        struct addr ip;

        for (size_t n = 0; n < 4 && rows[i].dns[n].name != NULL; n++) {
            fake_dns_add(r, rows[i].dns[n].name, rows[i].dns[n].type, rows[i].dns[n].value, 1 + n);
        }
        assert_true(addr_parse_ip(slice_str(rows[i].ip), &ip));
        for (uint64_t cut = 0; cut < 5; cut++) { /* cancelled at every point: silence */
            c = rdns_start(&who, &ip, on_rdns, &got);
            sim_settle(l);
            if (got.called == 0) {
                sim_advance(l, cut > 0 ? cut - 1 : 0);
            }
            if (got.called == 0) {
                rdns_cancel(&c);
                assert_null(c);
                rdns_cancel(&c);
            }
            got.called = 0;
            assert_int_equal(fake_dns_out(r), 0);
        }
        c = rdns_start(&who, &ip, on_rdns, &got);
        assert_int_equal(got.called, 0);
        sim_advance(l, 100);
        if (got.called != 1 || strcmp(got.word, rows[i].iprev) != 0 || strcmp(got.name, rows[i].name) != 0) {
            fail_msg("%s: want %s %s, got %s %s", rows[i].label, rows[i].iprev, rows[i].name, got.word,
                     got.name);
        }
        resolver_free(r);
        loop_free(l);
    }
}

static void at_most_ten_names_are_confirmed(void **state)
{
    struct loop *l = loop_new();
    struct resolver *r = resolver_new(l, NULL);
    struct dns_asker who = { .resolver = r };
    struct got got = { .called = 0 };
    struct rdns_check *c;
    struct addr ip;

    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        char mem[40];
        struct buf b;

        buf_init_fixed(&b, mem, sizeof(mem));
        buf_putf(&b, "n%u.test", i);
        fake_dns_add(r, "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, mem, 0);
    }
    assert_true(addr_parse_ip(SLICE("192.0.2.1"), &ip));
    c = rdns_start(&who, &ip, on_rdns, &got);
    assert_non_null(c);
    sim_settle(l);
    assert_int_equal(got.called, 1);
    assert_int_equal(fake_dns_total(r), 11);
    resolver_free(r);
    loop_free(l);
}

static void generic_names_are_told_from_others(void **state)
{
    static const struct {
        const char *name, *ip;
        bool generic;
    } rows[] = {
        { "mail.example.org", "192.0.2.1", false },
        { "mx1.example.org", "192.0.2.1", false },
        { "mail-2.dc10.example.org", "192.0.2.1", false },
        { "", "192.0.2.1", false },
        { "example.org", "192.0.2.1", false },
        { "192-0-2-1.isp.example.org", "192.0.2.1", true },
        { "1.2.0.192.isp.example.org", "192.0.2.1", true },
        { "host-192.0.2.1.isp.example.org", "192.0.2.1", true },
        { "ip192-000-002-001.isp.example.org", "192.0.2.1", true },
        { "static.1.2.0.192.clients.example.org", "192.0.2.1", true },
        { "x192000002001.example.org", "192.0.2.1", true },
        { "c0000201.example.org", "192.0.2.1", true },
        { "IP-C0000201.Example.Org", "192.0.2.1", true },
        { "p4fdc1234.dip0.t-online.example", "198.51.100.7", true },
        { "dsl-77-12.example.org", "198.51.100.7", true },
        { "pool-5.example.org", "198.51.100.7", true },
        { "cpe12.cable.example.org", "198.51.100.7", true },
        { "dynamic.example.org", "198.51.100.7", false },
        { "mail7.hudsloe.example.org", "198.51.100.7", false },
        { "dsl.example.org", "198.51.100.7", false },
        { "2001-db8-1234-5678--1.isp.example.org", "2001:db8:1234:5678::1", true },
        { "mail.example.org", "2001:db8:1234:5678::1", false },
        { "6.example.org", "2001:db8::", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr ip;

        assert_true(addr_parse_ip(slice_str(rows[i].ip), &ip));
        if (rdns_is_generic(slice_str(rows[i].name), &ip) != rows[i].generic) {
            fail_msg("%s of %s: want %d", rows[i].name, rows[i].ip, rows[i].generic);
        }
    }
}

static void a_sender_domain_takes_mail_or_not(void **state)
{
    static const struct {
        const char *label, *want;
        struct dns_row dns[3];
    } rows[] = {
        { "MX", "pass", { { "d.test", DNS_TYPE_MX, "10 m.test" } } },
        { "null MX", "null_mx", { { "d.test", DNS_TYPE_MX, "0 ." } } },
        { "null MX beside another",
          "pass",
          { { "d.test", DNS_TYPE_MX, "0 ." }, { "d.test", DNS_TYPE_MX, "10 m.test" } } },
        { "A alone", "pass", { { "d.test", DNS_TYPE_A, "192.0.2.1" } } },
        { "AAAA alone", "pass", { { "d.test", DNS_TYPE_AAAA, "2001:db8::1" } } },
        { "AAAA, A out",
          "pass",
          { { "d.test", DNS_TYPE_AAAA, "2001:db8::1" }, { "d.test", DNS_TYPE_A, "SERVFAIL" } } },
        { "text alone", "fail", { { "d.test", DNS_TYPE_TXT, "x" } } },
        { "no such domain", "fail", { { NULL, DNS_TYPE_A, NULL } } },
        { "MX out", "temperror", { { "d.test", DNS_TYPE_MX, "SERVFAIL" } } },
        { "A out", "temperror", { { "d.test", DNS_TYPE_TXT, "x" }, { "d.test", DNS_TYPE_A, "SERVFAIL" } } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct loop *l = loop_new();
        struct resolver *r = resolver_new(l, NULL);
        struct dns_asker who = { .resolver = r };
        struct got got = { .called = 0 };
        struct sender_check *c;

        for (size_t n = 0; n < 3 && rows[i].dns[n].name != NULL; n++) {
            fake_dns_add(r, rows[i].dns[n].name, rows[i].dns[n].type, rows[i].dns[n].value, 0);
        }
        c = sender_start(&who, SLICE("d.test"), on_sender, &got);
        sender_cancel(&c);
        sender_cancel(&c);
        c = sender_start(&who, SLICE("d.test"), on_sender, &got);
        assert_int_equal(got.called, 0);
        sim_settle(l);
        if (got.called != 1 || strcmp(got.word, rows[i].want) != 0) {
            fail_msg("%s: want %s, got %s", rows[i].label, rows[i].want, got.word);
        }
        resolver_free(r);
        loop_free(l);
    }
}

/* ---- lists ---- */

static struct policy *compile(const char *yaml, struct config **conf, struct buf *said)
{
    struct config_errors errs = { .count = 0 };
    struct policy *p;
    struct buf text;

    buf_init(&text, 1u << 16);
    buf_put_str(&text, BASE);
    buf_put_str(&text, yaml);
    *conf = config_load_text("f", buf_slice(&text), &errs);
    p = *conf != NULL ? policy_compile(*conf, &errs) : NULL;
    config_errors_print(&errs, "f", said);
    config_errors_fini(&errs);
    buf_fini(&text);
    return p;
}

static void errors_in_lists_name_their_place(void **state)
{
    static const struct {
        const char *yaml, *want;
    } rows[] = {
        { "reputation: {lists: [{name: a, zone: z.test, anwers: {}}]}",
          "f:4:46: error: unknown key `anwers` in reputation list a; did you mean `answers`?\n" },
        { "reputation: {lists: [{name: listed, zone: z.test}]}",
          "f:4:29: error: reputation list listed: the name is that of a fact; choose another one\n" },
        { "reputation: {lists: [{name: a}]}",
          "f:4:22: error: reputation list a: zone is missing: the domain that is asked\n" },
        { "reputation: {lists: [{name: a, preset: spamhaus-zrd}]}",
          "f:4:22: error: reputation list a: zone is missing: the domain that is asked\n" },
        { "reputation: {lists: [{name: a, zone: z.test, looks_up: [client, helo]}]}",
          "f:4:56: error: reputation list a: looks_up: a list is of addresses (client) or of domains (helo, "
          "sender, rdns, from, dkim), not of both\n" },
        { "reputation: {lists: [{name: a, zone: z.test, answers: {192.0.2.1: 1}}]}",
          "f:4:56: error: reputation list a: answers: expected an address in 127.0.0.0/8 such as 127.0.0.2, "
          "127.0.0.4-7 or 127.0.1.0/24, found `192.0.2.1`\n" },
        { "reputation: {lists: [{name: a, zone: z.test, answers: {127.0.0.2: many}}]}",
          "f:4:67: error: reputation list a: answers: expected a weight of -1000 to 1000, such as 2 or -0.5, "
          "found `many`\n" },
        { "reputation: {lists: [{name: a, zone: z.test, ask: soon, timeout: 3}]}",
          "f:4:51: error: reputation list a: ask: expected early, late or background, found `soon`\n"
          "f:4:66: error: reputation list a: timeout: expected a duration such as 500ms, 5s, "
          "10m, 2h or 7d, found `3`\n" },
        { "reputation: {lists: [{name: zen, preset: spamhaus-zn}, {name: B, zone: b.test}]}",
          "f:4:42: error: reputation list zen: preset: expected spamhaus-zen, spamhaus-dbl, spamhaus-zrd, "
          "spamcop, barracuda or dnswl, found `spamhaus-zn`; did you mean `spamhaus-zen`?\n"
          "f:4:63: error: reputation list B: name: expected a name of [a-z0-9-], at most 63 characters, "
          "found "
          "`B`\n" },
        { "reputation: {lists: [{name: a, zone: z.test}, {name: a, zone: y.test}]}",
          "f:4:54: error: reputation list a: the name is taken by the list in line 4\n" },
        { "reputation: {threshold: 0}",
          "f:4:25: error: reputation.threshold: expected a number above 0, such as 1 or 2.5, found `0`\n" },
        { "reputation: {lists: [{zone: z.test}]}",
          "f:4:22: error: reputation.lists[].name is missing: letters, digits and hyphens\n" },
        { "reputation: {lists: [{name: a, zone: a..test}]}",
          "f:4:38: error: reputation list a: zone: expected a domain such as list.example.org\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *conf;
        struct policy *p;
        struct buf said;

        buf_init(&said, 1u << 16);
        p = compile(rows[i].yaml, &conf, &said);
        assert_null(p);
        if (strstr(said.ptr, rows[i].want) == NULL) {
            print_error("--- want\n%s--- said\n%s", rows[i].want, said.ptr);
            fail();
        }
        config_free(conf);
        buf_fini(&said);
    }
}

/* What one answer means, through the whole path: a fact of the list. */
static void answers_count_only_where_they_should(void **state)
{
    static const struct {
        const char *label, *list, *answer[3], *listed, *score, *incomplete;
    } rows[] = {
        { "default", "zone: z.test", { "127.0.0.2" }, "true", "1", "false" },
        { "not listed", "zone: z.test", { "NXDOMAIN" }, "false", "0", "false" },
        { "a code of no meaning", "zone: z.test", { "127.0.1.2" }, "false", "0", "false" },
        { "error code", "zone: z.test", { "127.255.255.254" }, "unknown", "unknown", "true" },
        { "outside 127/8", "zone: z.test", { "192.0.2.7" }, "unknown", "unknown", "true" },
        { "error beside a listing",
          "zone: z.test",
          { "127.0.0.2", "127.255.255.254" },
          "unknown",
          "unknown",
          "true" },
        { "an error code of its own",
          "zone: z.test, error_answers: [127.0.0.255, 127.0.0.4/30]",
          { "127.0.0.6" },
          "unknown",
          "unknown",
          "true" },
        { "an error code of its own, beside those of the preset",
          "preset: dnswl, zone: z.test, error_answers: [127.0.9.9]",
          { "127.0.10.3" },
          "false",
          "0",
          "true" },
        { "SERVFAIL", "zone: z.test", { "SERVFAIL" }, "unknown", "unknown", "true" },
        { "the largest weight once",
          "zone: z.test, answers: {127.0.0.2-3: 2.5, 127.0.0.4: 0.5, 127.0.0.9: 1}",
          { "127.0.0.4", "127.0.0.3", "127.0.0.9" },
          "true",
          "2.5",
          "false" },
        { "below the threshold",
          "zone: z.test, answers: {127.0.0.2: 0.5}",
          { "127.0.0.2" },
          "false",
          "0.5",
          "false" },
        { "allow-list",
          "zone: z.test, answers: {127.0.2-20.1-3: -2}",
          { "127.0.5.3" },
          "false",
          "-2",
          "false" },
        { "allow-list out", "zone: z.test, answers: {127.0.0.2: -2}", { "SERVFAIL" }, "false", "0", "true" },
        { "about the question", "zone: z.test", { "127.255.255.252" }, "false", "0", "false" },
        { "zen", "preset: spamhaus-zen, zone: z.test", { "127.0.0.4", "127.0.0.10" }, "true", "2", "false" },
        { "spamcop", "preset: spamcop, zone: z.test", { "127.0.0.2" }, "true", "2", "false" },
        { "barracuda", "preset: barracuda, zone: z.test", { "127.0.0.2" }, "true", "2", "false" },
        { "dnswl", "preset: dnswl, zone: z.test", { "127.0.5.3" }, "false", "-3", "false" },
        { "A5: dnswl over its limit",
          "preset: dnswl, zone: z.test",
          { "127.0.0.255" },
          "false",
          "0",
          "true" },
        { "A5: the same, believed as -3",
          "preset: dnswl, zone: z.test",
          { "127.0.10.3" },
          "false",
          "0",
          "true" },
        { "off", "zone: z.test, mode: off", { "127.0.0.2" }, "false", "0", "false" },
        { "monitor", "zone: z.test, mode: monitor", { "127.0.0.2" }, "false", "0", "false" },
        { "IPv6 only", "zone: z.test, families: [ipv6]", { "127.0.0.2" }, "false", "0", "false" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        struct buf yaml;

        buf_init(&yaml, 10000);
        buf_putf(&yaml,
                 "reputation: {lists: [{name: x, %s}]}\npolicy: {rules: [{name: a, when: "
                 "{reputation.listed: true, reputation.score: 5}, then: {score: 1}}]}\n",
                 rows[i].list);
        world_init(&w, yaml.ptr);
        for (size_t n = 0; n < 3 && rows[i].answer[n] != NULL; n++) {
            fake_dns_add(w.dns, "9.113.0.203.z.test", DNS_TYPE_A, rows[i].answer[n], 0);
        }
        world_play(&w, "203.0.113.9", "h.test", "x@a.test");
        want_fact(&w, FACT_ID_REPUTATION_LISTED, rows[i].listed);
        want_fact(&w, FACT_ID_REPUTATION_SCORE, rows[i].score);
        want_fact(&w, FACT_ID_REPUTATION_INCOMPLETE, rows[i].incomplete);
        world_fini(&w);
        buf_fini(&yaml);
    }
}

static void keys_in_zones_are_masked(void **state)
{
    static const struct {
        const char *list, *asked, *shown;
    } rows[] = {
        { "preset: spamhaus-zen, zone: \"${TEST_KEY}.zen.dq.spamhaus.net\"",
          "9.113.0.203.k3y.zen.dq.spamhaus.net", "***.zen.dq.spamhaus.net" },
        { "zone: \"abcdefghijklmnop.list.test\"", "9.113.0.203.abcdefghijklmnop.list.test", "***.list.test" },
        { "zone: \"zen.abcdefghijklmnop.list.test\"", "9.113.0.203.zen.abcdefghijklmnop.list.test",
          "zen.***.list.test" },
        { "zone: \"short.list.test\"", "9.113.0.203.short.list.test", "short.list.test" },
        { "preset: barracuda", "9.113.0.203.b.barracudacentral.org", "b.barracudacentral.org" },
        { "zone: \"x-${TEST_KEY}.list.test\"", "9.113.0.203.x-k3y.list.test", "x-***.list.test" },
    };

    (void)state;
    setenv("TEST_KEY", "k3y", 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judge_list_info info;
        struct world w;
        struct buf yaml;

        buf_init(&yaml, 10000);
        buf_putf(&yaml, "reputation: {lists: [{name: x, %s}]}\n", rows[i].list);
        world_init(&w, yaml.ptr);
        fake_dns_add(w.dns, rows[i].asked, DNS_TYPE_A, "127.0.0.2", 0);
        fake_dns_add(w.dns, rows[i].asked, DNS_TYPE_TXT, "your key is k3y", 0);
        world_play(&w, "203.0.113.9", "h.test", "x@a.test");
        assert_int_equal(fake_dns_asked(w.dns, rows[i].asked, DNS_TYPE_A), 1);
        assert_true(judge_list(w.j, 0, &info));
        if (!slice_eq(info.zone, slice_str(rows[i].shown))) {
            fail_msg("%s: want %s, got " SLICE_FMT, rows[i].list, rows[i].shown, SLICE_ARG(info.zone));
        }
        world_fini(&w);
        buf_fini(&yaml);
    }
}

static void domain_lists_hit_once_over_their_subjects(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "reputation: {lists: [{name: d, zone: d.test, looks_up: [helo, sender, rdns], answers: "
                   "{127.0.0.2: 2}}]}\n");
    fake_dns_add(w.dns, "9.113.0.203.in-addr.arpa", DNS_TYPE_PTR, "r.test", 5);
    fake_dns_add(w.dns, "r.test", DNS_TYPE_A, "203.0.113.9", 5);
    fake_dns_add(w.dns, "h.test.d.test", DNS_TYPE_A, "127.0.0.2", 0);
    fake_dns_add(w.dns, "s.test.d.test", DNS_TYPE_A, "127.0.0.2", 0);
    fake_dns_add(w.dns, "s.test", DNS_TYPE_MX, "10 m.test", 0);
    world_play(&w, "203.0.113.9", "h.test", "x@s.test");
    want_fact(&w, FACT_ID_REPUTATION_SCORE, "2");
    want_verdict(&w, "domain list", VERDICT_DROP, "reputation");
    assert_int_equal(fake_dns_asked(w.dns, "r.test.d.test", DNS_TYPE_A), 1);
    judge_helo(w.j, SLICE("clean.test"));
    world_mail(&w, "x@t.test");
    fake_dns_add(w.dns, "t.test", DNS_TYPE_MX, "10 m.test", 0);
    world_ask(&w, "bob@example.com");
    sim_settle(w.loop);
    want_fact(&w, FACT_ID_REPUTATION_LISTED, "false"); /* nothing of the first message is left */
    want_verdict(&w, "another sender", VERDICT_ACCEPT, "default");
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(iprev_is_confirmed_forwards),
        cmocka_unit_test(at_most_ten_names_are_confirmed),
        cmocka_unit_test(generic_names_are_told_from_others),
        cmocka_unit_test(a_sender_domain_takes_mail_or_not),
        cmocka_unit_test(errors_in_lists_name_their_place),
        cmocka_unit_test(answers_count_only_where_they_should),
        cmocka_unit_test(keys_in_zones_are_masked),
        cmocka_unit_test(domain_lists_hit_once_over_their_subjects),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
