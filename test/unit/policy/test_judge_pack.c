/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_judge_pack.c - a folded judge: when it may be, that it comes back as it was, that nothing is asked
 * again.
 */
#include "test/unit/policy/judge_world.h"

#define LISTS                                                                                                \
    "reputation:\n  lists:\n"                                                                                \
    "    - {name: early, zone: early.test}\n"                                                                \
    "    - {name: names, zone: names.test, looks_up: [helo, sender, rdns]}\n"                                \
    "    - {name: late, zone: late.test, ask: late}\n"                                                       \
    "    - {name: watch, zone: watch.test, mode: monitor}\n"
#define RULES                                                                                                \
    "policy: {before: [{name: odd, when: {helo.matches: true, client.rdns: elsewhere.test}, then: reject},"  \
    " {name: dyn, when: {client.dynamic: true}, then: {score: 1}}]}\n"

static void client(struct judge_client *c, const char *ip)
{
    *c = (struct judge_client){ .session_id = "01TEST", .rdns = { NULL, 0 } };
    assert_true(addr_parse_ip(slice_str(ip), &c->ip));
}

/* Folds and unfolds; false: not now. */
static bool rest(struct world *w, const char *ip)
{
    struct judge_packed *r = judge_pack(&w->j);
    struct judge_client c;

    if (r == NULL) {
        assert_non_null(w->j);
        return false;
    }
    assert_null(w->j);
    client(&c, ip);
    w->j = judge_unpack(w->pw, &c, &r);
    assert_null(r);
    return true;
}

static void setup(struct world *w)
{
    world_init(w, LISTS RULES);
    fake_dns_add(w->dns, "soft.test", DNS_TYPE_TXT, "v=spf1 ~all", 0);
    fake_dns_add(w->dns, "soft.test", DNS_TYPE_MX, "10 mx.elsewhere.test", 0);
    fake_dns_add(w->dns, "9.113.0.203.in-addr.arpa", DNS_TYPE_PTR, "mail.client.test", 0);
    fake_dns_add(w->dns, "mail.client.test", DNS_TYPE_A, "203.0.113.9", 0);
    fake_dns_add(w->dns, "9.113.0.203.early.test", DNS_TYPE_A, "127.0.0.2", 0);
    fake_dns_add(w->dns, "9.113.0.203.watch.test", DNS_TYPE_A, "127.0.0.2", 0);
}

static void facts_text(const struct world *w, struct buf *out)
{
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        struct buf one;

        buf_init(&one, 1000);
        buf_putf(out, "%s=%s\n", fact_table[i].name, world_fact(w, (enum fact_id)i, &one));
        buf_fini(&one);
    }
}

static void it_comes_back_as_it_was(void **state)
{
    struct buf before, after;
    struct world w;

    (void)state;
    setup(&w);
    buf_init(&before, 1u << 16);
    buf_init(&after, 1u << 16);
    world_connect(&w, "203.0.113.9");
    judge_tls(w.j, SLICE("TLSv1.3"), SLICE("CIPHER"), SLICE(""));
    judge_helo(w.j, SLICE("Mail.Client.test"));
    judge_violations(w.j, 3);
    sim_settle(w.loop);
    judge_reset(w.j);
    sim_settle(w.loop);
    assert_true(rest(&w, "203.0.113.9")); /* its facts of the connection's stage are all derived now */
    facts_text(&w, &before);
    assert_true(rest(&w, "203.0.113.9"));
    facts_text(&w, &after);
    assert_string_equal(before.ptr, after.ptr);
    want_fact(&w, FACT_ID_CLIENT_RDNS, "mail.client.test");
    want_fact(&w, FACT_ID_CLIENT_IPREV, "pass");
    want_fact(&w, FACT_ID_HELO_NAME, "mail.client.test");
    want_fact(&w, FACT_ID_HELO_KIND, "fqdn");
    want_fact(&w, FACT_ID_TLS_VERSION, "TLSv1.3");
    want_fact(&w, FACT_ID_SESSION_ID, "01TEST");
    want_fact(&w, FACT_ID_CLIENT_IP, "203.0.113.9");
    buf_fini(&before);
    buf_fini(&after);
    world_fini(&w);
}

/* One session with rests wherever there may be one, and one without: the same words, and as many questions.
 */
static void a_verdict_does_not_depend_on_it(void **state)
{
    static const char *const zones[] = { "early.test", "names.test", "late.test",
                                         "watch.test", "arpa",       "client.test" };
    size_t asked[2][ARRAY_LEN(zones)], rests = 0;
    char said[2][4096];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct world w;
        struct buf headers;

        setup(&w);
        buf_init(&headers, 1u << 16);
        world_connect(&w, "203.0.113.9");
        sim_settle(w.loop);
        rests += i == 1 && rest(&w, "203.0.113.9");
        judge_helo(w.j, SLICE("mail.client.test"));
        sim_settle(w.loop);
        rests += i == 1 && rest(&w, "203.0.113.9");
        for (unsigned message = 0; message < 2; message++) {
            world_mail(&w, "x@soft.test");
            assert_false(rest(&w, "203.0.113.9")); /* a transaction is open */
            world_ask(&w, "bob@example.com");
            sim_settle(w.loop);
            want_verdict(&w, "listed", VERDICT_DROP, "reputation");
            want_fact(&w, FACT_ID_REPUTATION_LISTS, "early");
            want_fact(&w, FACT_ID_REPUTATION_MONITORED, "watch");
            judge_headers(w.j, &headers);
            judge_reset(w.j);
            sim_settle(w.loop);
            rests += i == 1 && rest(&w, "203.0.113.9");
        }
        put_copy(said[i], sizeof(said[i]), buf_slice(&headers));
        for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
            asked[i][z] = fake_dns_asked_below(w.dns, zones[z]);
        }
        buf_fini(&headers);
        world_fini(&w);
    }
    assert_int_equal(rests, 4);
    assert_string_equal(said[0], said[1]);
    for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
        assert_int_equal(asked[0][z], asked[1][z]);
    }
}

static void not_while_something_is_asked(void **state)
{
    struct world w;

    (void)state;
    setup(&w);
    fake_dns_add(w.dns, "mail.client.test.names.test", DNS_TYPE_A, "127.0.0.2", 500);
    world_connect(&w, "203.0.113.9");
    assert_false(rest(&w, "203.0.113.9"));
    sim_advance(w.loop, 400);
    assert_false(rest(&w, "203.0.113.9"));
    sim_advance(w.loop, 4000);
    assert_true(rest(&w, "203.0.113.9"));
    judge_helo(w.j, SLICE("mail.client.test"));
    world_mail(&w, "x@soft.test");
    world_ask(&w, "bob@example.com");
    assert_false(rest(&w, "203.0.113.9"));
    world_fini(&w);
}

static void what_is_never_woken_is_freed(void **state)
{
    struct judge_packed *r;
    struct world w;

    (void)state;
    setup(&w);
    world_connect(&w, "203.0.113.9");
    sim_settle(w.loop);
    r = judge_pack(&w.j);
    assert_non_null(r);
    judge_packed_free(&r);
    assert_null(r);
    judge_packed_free(&r);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_as_it_was),
        cmocka_unit_test(a_verdict_does_not_depend_on_it),
        cmocka_unit_test(not_while_something_is_asked),
        cmocka_unit_test(what_is_never_woken_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
