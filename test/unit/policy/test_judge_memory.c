/* SPDX-License-Identifier: Apache-2.0 */
/* A judgement with a memory: standing, suspicion, greylisting, and a list that is caught lying, in virtual
 * time. */
#include "test/unit/policy/judge_world.h"

#include "policy/judge/engine_priv.h"
#include "state/memory.h"
#include "state/tables_priv.h"

#define DAY_MS ((uint64_t)86400000)

static struct state *shared;

static void init(struct world *w, const char *yaml)
{
    world_init(w, yaml);
    policy_worker_free(&w->pw);
    shared = state_new(0);
    shared->tables->h->history_s = wall_now_s() - 30 * 86400;
    w->pw = policy_worker_new(w->policy, w->loop, w->dns, shared);
}

static void fini(struct world *w)
{
    world_fini(w);
    state_free(shared);
}

static void play(struct world *w, const char *ip, const char *from)
{
    world_play(w, ip, "mail.partner.example", from);
}

static void end(struct world *w, bool accepted)
{
    if (accepted) {
        judge_recipient_taken(w->j);
    }
    judge_outcome(w->j, accepted);
    judge_free(&w->j);
}

static void a_triplet_waits_and_then_passes(void **state)
{
    struct world w;

    (void)state;
    init(
        &w,
        "policy: {rules: [{name: g, when: {spf: [none, pass]}, then: greylist}, {name: a, then: accept}]}\n");
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "g");
    assert_int_equal(w.action, VERDICT_DEFER);
    assert_int_equal(w.code, 451);
    end(&w, false);
    sim_advance(w.loop, 60000);
    play(&w, "198.51.100.99", "alice@partner.example"); /* the same network, too early */
    assert_string_equal(w.rule, "g");
    end(&w, false);
    sim_advance(w.loop, 300000);
    play(&w, "198.51.100.99", "alice@partner.example");
    assert_string_equal(w.rule, "a");
    end(&w, true);
    play(&w, "203.0.113.99", "alice@partner.example");
    assert_string_equal(w.rule, "g");
    fini(&w);
}

static void while_the_memory_is_being_read_nobody_waits(void **state)
{
    struct world w;

    (void)state;
    init(&w, "policy: {rules: [{name: g, then: greylist, reply: \"451 4.7.1 come in {greylist.wait}\"}]}\n");
    shared->tables->h->history_s = 0;
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_int_equal(w.action, VERDICT_ACCEPT);
    end(&w, true);
    shared->tables->h->history_s = wall_now_s();
    play(&w, "203.0.113.7", "alice@partner.example");
    assert_int_equal(w.action, VERDICT_DEFER);
    assert_string_equal(w.text, "come in 5m");
    end(&w, false);
    fini(&w);
}

/* The host 198.51.NET.HOST has this name, and the name leads back to it. */
static void give_name(struct world *w, int net, int host, const char *name)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "%d.%d.51.198.in-addr.arpa", host, net);
    fake_dns_add(w->dns, text, DNS_TYPE_PTR, name, 0);
    (void)snprintf(text, sizeof(text), "198.51.%d.%d", net, host);
    fake_dns_add(w->dns, name, DNS_TYPE_A, text, 0);
}

static const char good_rules[] =
    "policy: {rules: [{name: good, when: {client.known_good: true}, then: accept},"
    " {name: bad, then: defer}]}\n";

/* Two messages on each of two days. */
static void earn(struct world *w, const char *ip, const char *from)
{
    for (int day = 0; day < 2; day++) {
        for (int i = 0; i < 2; i++) {
            play(w, ip, from);
            end(w, true);
        }
        sim_advance(w->loop, DAY_MS);
    }
}

static void good_standing_is_earned_and_lost(void **state)
{
    struct world w;

    (void)state;
    init(&w, good_rules);
    give_name(&w, 100, 7, "mail.partner.example");
    for (int day = 0; day < 2; day++) {
        for (int i = 0; i < 2; i++) {
            play(&w, "198.51.100.7", "alice@partner.example");
            assert_string_equal(w.rule, day == 1 && i == 1 ? "good" : "bad"); /* three on two days */
            end(&w, true);
        }
        sim_advance(w.loop, DAY_MS);
    }
    play(&w, "198.51.100.7", "someone@else.example"); /* it is the client's, whoever the sender is */
    assert_string_equal(w.rule, "good");
    assert_true(policy_client_known_good(w.pw, &w.j->ip));
    assert_true(judge_known_good(w.j));
    judge_outcome(w.j, false); /* the second filter refused it for good */
    judge_free(&w.j);
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "bad");
    assert_false(policy_client_known_good(w.pw, &w.j->ip));
    fini(&w);
}

/* A message whose author is a@news.partner.example, with these domains of passing signatures. */
static void play_signed(struct world *w, const char *ip, bool aligned, const char *signers)
{
    struct judge_content c = { .size = 1, .head = SLICE("From: a@news.partner.example\r\n\r\n") };
    struct facts *f;

    play(w, ip, "x@bulk.test");
    judge_recipient_taken(w->j);
    f = &w->j->facts; /* as the sources have them once the signatures are verified */
    facts_set_word(w->j, FACT_ID_DKIM, "pass");
    facts_set_word(w->j, FACT_ID_DMARC, "none");
    fact_set_text(f, FACT_ID_DKIM_DOMAINS, slice_str(signers));
    fact_set_text(f, FACT_ID_DMARC_DOMAIN, SLICE("partner.example"));
    fact_set_flag(f, FACT_ID_MESSAGE_FROM_ALIGNED, aligned);
    judge_message(w->j, &c, on_verdict, w);
    sim_settle(w->loop);
}

static const char signed_rules[] = "policy: {rules: [{name: e, when: {client.known_good: true}, then: "
                                   "{score: 1}}], message_rules: [{name: good, when: "
                                   "{client.known_good: true}, then: accept}, {name: bad, then: defer}]}\n";

/* A mail service sends for many, from any address: the domain that signs earns the standing. */
static void an_aligned_signature_is_an_identity(void **state)
{
    static const struct {
        const char *label, *signers, *rule;
        bool aligned;
    } rows[] = {
        { "the same signer", "x.test,partner.example", "good", true },
        { "not aligned", "partner.example", "bad", false },
        { "another signer", "bulk.test", "bad", true },
        { "none", "", "bad", true },
        { "a part of the name", "notpartner.example", "bad", true },
        { "another name of the organisation", "mail.partner.example", "bad", true },
    };
    struct world w;

    (void)state;
    init(&w, signed_rules);
    for (int day = 0; day < 2; day++) {
        for (int i = 0; i < 2; i++) {
            play_signed(&w, "198.51.100.7", true, "partner.example");
            judge_outcome(w.j, true);
            judge_free(&w.j);
        }
        sim_advance(w.loop, DAY_MS);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        play_signed(&w, "203.0.113.9", rows[i].aligned, rows[i].signers);
        want_verdict(&w, rows[i].label, rows[i].rule[0] == 'g' ? VERDICT_ACCEPT : VERDICT_DEFER,
                     rows[i].rule);
        judge_free(&w.j);
    }
    fini(&w);
}

/* Neither to the neighbours, nor to other machines of the owner, nor to the next customer of the address. */
static void standing_does_not_spread(void **state)
{
    static const struct {
        const char *label, *ip, *rule;
        bool address, at_once;
    } rows[] = {
        { "itself", "198.51.100.7", "good", true, true },
        { "a neighbour without a name", "198.51.100.8", "bad", false, true },
        { "a neighbour of the same owner", "198.51.100.9", "bad", false, true },
        { "another machine of the owner", "198.51.101.7", "bad", false, false },
    };
    struct addr ip;
    struct world w;

    (void)state;
    init(&w, good_rules);
    give_name(&w, 100, 7, "mail.hoster.test");
    give_name(&w, 100, 9, "mail2.hoster.test");
    give_name(&w, 101, 7, "mail3.hoster.test");
    earn(&w, "198.51.100.7", "alice@partner.example");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(addr_parse_ip(slice_str(rows[i].ip), &ip));
        assert_int_equal(policy_client_known_good(w.pw, &ip), rows[i].address);
        assert_int_equal(policy_greets_at_once(w.pw, &ip),
                         rows[i].at_once); /* the network is good for that */
        play(&w, rows[i].ip, "alice@partner.example");
        want_verdict(&w, rows[i].label, rows[i].rule[0] == 'g' ? VERDICT_ACCEPT : VERDICT_DEFER,
                     rows[i].rule);
        judge_free(&w.j);
    }
    fini(&w);

    init(&w, good_rules); /* another name: another customer has the address */
    give_name(&w, 100, 7, "mail.hoster.test");
    earn(&w, "198.51.100.7", "alice@partner.example");
    fake_dns_clear(w.dns);
    give_name(&w, 100, 7, "new.hoster.test");
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "bad");
    fini(&w);
}

static void a_generic_name_earns_nothing(void **state)
{
    struct addr ip;
    struct world w;

    (void)state;
    init(&w, good_rules);
    give_name(&w, 100, 7, "static.7.100.51.198.clients.hoster.test");
    earn(&w, "198.51.100.7", "alice@partner.example");
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "bad");
    assert_true(addr_parse_ip(SLICE("198.51.100.7"), &ip));
    assert_false(policy_client_known_good(w.pw, &ip));
    fini(&w);

    init(&w, good_rules); /* no name at all */
    earn(&w, "198.51.100.7", "alice@partner.example");
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "bad");
    fake_dns_add(w.dns, "7.100.51.198.in-addr.arpa", DNS_TYPE_PTR, "SERVFAIL", 0); /* or we cannot know */
    play(&w, "198.51.100.7", "alice@partner.example");
    want_fact(&w, FACT_ID_CLIENT_KNOWN_GOOD, "unknown");
    fini(&w);
}

static void an_spf_domain_brings_its_standing_along(void **state)
{
    struct world w;

    (void)state;
    init(&w, good_rules);
    fake_dns_add(w.dns, "pass.test", DNS_TYPE_TXT, "v=spf1 ip4:198.51.0.0/16 -all", 0);
    earn(&w, "198.51.100.7", "alice@pass.test");
    play(&w, "198.51.7.7", "bob@pass.test");
    assert_string_equal(w.rule, "good");
    play(&w, "198.51.100.7", "bob@else.test"); /* without its pass the same address is a stranger */
    assert_string_equal(w.rule, "bad");
    fini(&w);
}

static void who_is_new_is_suspect_for_a_day(void **state)
{
    struct world w;

    (void)state;
    init(
        &w,
        "policy: {rules: [{name: new, when: {zero_day.fresh_domain: true, zero_day.suspect: true}, then: "
        "accept},"
        " {name: client, when: {client.first_seen: \">= 1h\"}, then: accept}, {name: rest, then: defer}]}\n");
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "new");
    sim_advance(w.loop, DAY_MS + 1000);
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "client");
    play(&w, "203.0.113.1", "alice@partner.example");
    assert_string_equal(w.rule, "rest");
    fini(&w);
}

static void a_burst_from_everywhere_is_seen(void **state)
{
    struct world w;
    char ip[32];

    (void)state;
    init(&w, "policy: {rules: [{name: burst, when: {zero_day.burst: true}, then: defer}, {name: a, then: "
             "accept}]}\n");
    for (int i = 0; i < 10; i++) {
        (void)snprintf(ip, sizeof(ip), "198.51.%d.7", i);
        play(&w, ip, "alice@forged.example");
        assert_string_equal(w.rule, i < 9 ? "a" : "burst");
    }
    fini(&w);
}

#define LIST "reputation: {lists: [{name: liar, zone: liar.test}], guard: {probe_interval: off}}\n"
#define LISTED                                                                                               \
    "policy: {rules: [{name: known, when: {client.known_good: true, reputation.listed: true}, then: "        \
    "accept},"                                                                                               \
    " {name: listed, when: {reputation.listed: true}, then: defer}, {name: a, then: accept}]}\n"

static void list_everything(struct world *w, int net)
{
    char name[64];

    for (int host = 1; host < 3; host++) {
        (void)snprintf(name, sizeof(name), "%d.%d.51.198.liar.test", host, net);
        fake_dns_add(w->dns, name, DNS_TYPE_A, "127.0.0.2", 0);
    }
}

/* A session of each of the six; without a message it only wants to be counted: EHLO, MAIL, RCPT, QUIT. */
static void come_by(struct world *w, const char *domain, bool with_message)
{
    for (int net = 0; net < 6; net++) {
        char ip[32], from[64];

        (void)snprintf(ip, sizeof(ip), "198.51.%d.1", net);
        (void)snprintf(from, sizeof(from), "alice@%s%d.example", domain, net);
        play(w, ip, from);
        if (with_message) {
            end(w, true);
        }
        judge_free(&w->j);
    }
}

/* Six correspondents with a history of nine days: each has a network, a name, and with `spf` a domain that passes. */
static void six_correspondents(struct world *w, bool spf)
{
    char text[64];

    init(w, LIST LISTED);
    for (int net = 0; net < 6; net++) {
        (void)snprintf(text, sizeof(text), "mail.firm%d.example", net);
        give_name(w, net, 1, text);
        give_name(w, net, 2, text);
        (void)snprintf(text, sizeof(text), "firm%d.example", net);
        fake_dns_add(w->dns, text, DNS_TYPE_TXT, spf ? "v=spf1 ip4:198.51.0.0/20 -all" : "v=spf1 ?all", 0);
    }
    for (int day = 0; day < 9; day++) {
        come_by(w, "firm", true);
        sim_advance(w->loop, DAY_MS);
    }
    for (int net = 0; net < 200; net++) {
        list_everything(w, net);
    }
    sim_advance(w->loop, 2 * 3600000);
}

static uint32_t demoted(struct world *w)
{
    struct memory_list *l = memory_list_take(w->pw->memory, SLICE("liar"));
    uint32_t at = l->demoted_s;

    if (at != 0) {
        assert_int_equal(l->reason, GUARD_KNOWN_GOOD);
    }
    memory_list_give(w->pw->memory, l);
    return at;
}

static void a_list_that_names_good_correspondents_is_demoted(void **state)
{
    struct world w;

    (void)state;
    six_correspondents(&w, true);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_string_equal(w.rule, "listed");
    come_by(&w, "firm", false);
    assert_true(demoted(&w) != 0);
    play(&w, "198.51.101.2", "x@stranger.example"); /* and nobody is delayed by it any more */
    assert_string_equal(w.rule, "a");
    fini(&w);
}

/* The same machines, in the same standing, listed for good reasons: without an SPF pass they bear no witness. */
static void without_an_spf_pass_there_is_no_witness(void **state)
{
    struct world w;

    (void)state;
    six_correspondents(&w, true);
    come_by(&w, "stranger", false); /* they have a domain that passes, but not in this transaction */
    assert_int_equal(demoted(&w), 0);
    play(&w, "198.51.0.1", "x@stranger.example");
    assert_string_equal(w.rule, "known"); /* their standing saves themselves, */
    play(&w, "198.51.0.2", "x@stranger.example");
    assert_string_equal(w.rule, "listed"); /* not the machine beside them with the same name */
    fini(&w);

    six_correspondents(&w, false);
    come_by(&w, "firm", false);
    assert_int_equal(demoted(&w), 0);
    fini(&w);
}

static void set_by_hand(struct world *w, enum memory_override word, uint32_t seconds)
{
    struct memory_list *l = memory_list_take(w->pw->memory, SLICE("liar"));

    assert_non_null(l);
    guard_override(l, word, seconds > 0 ? (uint32_t)wall_now_s() + seconds : 0,
                   (uint64_t)wall_now_s() * 1000);
    memory_list_give(w->pw->memory, l);
    sim_advance(w->loop, 2000);
}

/* The file has it off; the operator's word wins, for its time. */
static void a_list_that_is_off_can_be_set_by_hand(void **state)
{
    static const char *const yaml = "reputation: {lists: [{name: liar, zone: liar.test, mode: off}],"
                                    " guard: {probe_interval: off}}\n" LISTED;
    struct world w;

    (void)state;
    init(&w, yaml);
    list_everything(&w, 100);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_string_equal(w.rule, "a");
    assert_null(w.j->run); /* costs nothing */
    set_by_hand(&w, OVERRIDE_ENFORCE, 3600);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_string_equal(w.rule, "listed");
    set_by_hand(&w, OVERRIDE_MONITOR, 3600);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_string_equal(w.rule, "a");
    assert_non_null(w.j->run);
    sim_advance(w.loop, 3600000);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_null(w.j->run);
    fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_triplet_waits_and_then_passes),
        cmocka_unit_test(while_the_memory_is_being_read_nobody_waits),
        cmocka_unit_test(good_standing_is_earned_and_lost),
        cmocka_unit_test(an_aligned_signature_is_an_identity),
        { .name = "A3: standing does not spread", .test_func = standing_does_not_spread },
        { .name = "A3: a generic name earns nothing", .test_func = a_generic_name_earns_nothing },
        { .name = "A3: an SPF domain brings its standing along",
          .test_func = an_spf_domain_brings_its_standing_along },
        cmocka_unit_test(who_is_new_is_suspect_for_a_day),
        cmocka_unit_test(a_burst_from_everywhere_is_seen),
        cmocka_unit_test(a_list_that_names_good_correspondents_is_demoted),
        { .name = "A3: without an SPF pass there is no witness",
          .test_func = without_an_spf_pass_there_is_no_witness },
        cmocka_unit_test(a_list_that_is_off_can_be_set_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
