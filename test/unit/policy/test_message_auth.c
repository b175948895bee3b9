/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_message_auth.c - DKIM and DMARC in a judgement: which facts follow, what is asked, and who waits for it.
 *
 * The verifier and the evaluator have tests of their own (test/unit/dkim, test/unit/dmarc).  Here a message is told as a
 * session tells it: header section, body in pieces, end; the resolver is a table (judge_world.h).
 */
#include "test/unit/dkim/letters.h"
#include "test/unit/policy/judge_world.h"

#include "core/metrics.h"

#define RULES                                                                                                \
    "policy: {preset: none, budget: {message: 5s}, message_rules: ["                                         \
    "{name: big, when: {message.size: \"> 1000000\"}, then: reject}, "                                       \
    "{name: all, when: {any: [{dkim: pass}, {dkim.domains: x.test}, {dmarc: fail}, {dmarc.policy: none}, "   \
    "{dmarc.domain: x.test}, {dmarc.by: spf}, {message.from_aligned: true}, {message.via_list: true}, "      \
    "{message.signed_by_author: pass}]}, then: {score: 1}}]}\n"
#define QUIET "policy: {preset: none, rules: [], message_rules: []}\n"
#define BODY "Hello,\r\n\r\nthis is the body.\r\n"

static const char head[] = "From: Alice <alice@signed.test>\r\nTo: bob@example.com\r\nSubject: x\r\n";

/* head and more fields, and the body; kept. */
static struct slice message_of(const char *first, const char *more)
{
    struct buf b;

    buf_init(&b, 100000);
    buf_put_str(&b, first);
    buf_put_str(&b, more);
    buf_put_str(&b, "\r\n" BODY);
    return letter_keep(&b);
}

static struct slice signed_by(const char *d, const char *more)
{
    return letter_sign(message_of(head, more), (struct letter_signature){ .d = d, .h = "from:subject" });
}

static void put_zone(struct world *w)
{
    struct slice key = letter_record("v=DKIM1; ", LETTER_RSA_2048);
    static const char *const signers[] = { "signed.test", "mail.signed.test", "other.test", "lists.test" };

    for (size_t i = 0; i < ARRAY_LEN(signers); i++) {
        char name[100];

        (void)snprintf(name, sizeof(name), "mail._domainkey.%s", signers[i]);
        fake_dns_add(w->dns, name, DNS_TYPE_TXT, key.ptr, 0);
    }
    fake_dns_add(w->dns, "mail._domainkey.broken.test", DNS_TYPE_TXT, "SERVFAIL", 0);
    fake_dns_add(w->dns, "_dmarc.signed.test", DNS_TYPE_TXT, "v=DMARC1; p=reject", 0);
    fake_dns_add(w->dns, "_dmarc.late.test", DNS_TYPE_TXT, "SERVFAIL", 0);
    fake_dns_add(w->dns, "_dmarc.lists.test", DNS_TYPE_TXT, "v=DMARC1; p=none", 0);
    fake_dns_add(w->dns, "signed.test", DNS_TYPE_TXT, "v=spf1 ip4:203.0.113.9 -all", 0);
    fake_dns_add(w->dns, "weak.test", DNS_TYPE_TXT, "v=spf1 ip4:0.0.0.0/0 -all", 0);
    fake_dns_add(w->dns, "_dmarc.weak.test", DNS_TYPE_TXT, "v=DMARC1; p=quarantine", 0);
}

/* An envelope with its recipient; the message comes next. */
static void open_with(struct world *w, const char *yaml, const char *sender)
{
    world_init(w, yaml);
    put_zone(w);
    world_play(w, "203.0.113.9", "signed.test", sender);
    judge_recipient_taken(w->j);
    w->called = 0;
}

static struct judge_content tell(struct world *w, struct slice message, size_t piece)
{
    const char *end = memmem(message.ptr, message.len, "\r\n\r\n", 4);
    size_t section = (size_t)(end - message.ptr) + 4;
    struct slice body = slice_skip(message, section);

    judge_head(w->j, slice_take(message, section), false);
    while (!slice_empty(body)) {
        judge_body(w->j, slice_take(body, piece));
        body = slice_skip(body, min_size(piece, body.len));
    }
    return (struct judge_content){ .size = message.len, .head = slice_take(message, section) };
}

static void say(struct world *w, struct slice message)
{
    struct judge_content c = tell(w, message, 7);

    judge_message(w->j, &c, on_verdict, w);
    assert_int_equal(w->called, 0); /* never inside the call */
    sim_advance(w->loop, 10000);
    assert_int_equal(w->called, 1);
    assert_int_equal(fake_dns_out(w->dns), 0);
}

/* ---- facts ---- */

static void the_facts_follow_from_signatures_spf_and_records(void **state)
{
    static const struct {
        const char *label, *sender, *d, *from; /* d NULL: unsigned; from NULL: alice@signed.test */
        const char *dkim, *domains, *dmarc, *policy, *by, *aligned, *author;
    } rows[] = {
        { "signed", "a@x.test", "signed.test", NULL, "pass", "signed.test", "pass", "reject", "dkim", "true",
          "pass" },
        { "below", "a@x.test", "mail.signed.test", NULL, "pass", "mail.signed.test", "pass", "reject", "dkim",
          "true", "pass" },
        { "another", "a@x.test", "other.test", NULL, "pass", "other.test", "fail", "reject", "", "false",
          "none" },
        { "unsigned", "a@x.test", NULL, NULL, "none", "", "fail", "reject", "", "false", "none" },
        { "spf", "a@signed.test", NULL, NULL, "none", "", "pass", "reject", "spf", "true", "none" },
        { "null sender", "", NULL, NULL, "none", "", "pass", "reject", "spf", "true", "none" },
        { "both", "a@signed.test", "signed.test", NULL, "pass", "signed.test", "pass", "reject", "spf, dkim",
          "true", "pass" },
        { "no record", "a@x.test", NULL, "From: a@other.test\r\n", "none", "", "none", "none", "", "false",
          "none" },
        { "weak spf", "a@weak.test", NULL, "From: a@weak.test\r\n", "none", "", "fail", "quarantine", "",
          "false", "none" },
        { "two authors", "a@x.test", "signed.test", "From: a@signed.test\r\nFrom: b@other.test\r\n", "pass",
          "signed.test", "permerror", "none", "", "false", "none" },
        { "one domain twice", "a@x.test", "signed.test", "From: a@signed.test, B <b@SIGNED.Test>\r\n", "pass",
          "signed.test", "pass", "reject", "dkim", "true", "pass" },
        { "an author that cannot be read", "a@x.test", "signed.test",
          "From: a@signed.test, b@@signed.test\r\n", "pass", "signed.test", "permerror", "none", "", "false",
          "none" },
        { "no author", "a@signed.test", NULL, "From: nobody:;\r\n", "none", "", "permerror", "none", "",
          "false", "none" },
        { "key", "a@x.test", "broken.test", NULL, "temperror", "", "fail", "reject", "", "false", "none" },
        { "record", "a@x.test", NULL, "From: a@late.test\r\n", "none", "", "temperror", "unknown", "",
          "false", "none" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct letter_signature how = { .d = rows[i].d, .h = "from:subject" };
        struct slice m = message_of(rows[i].from != NULL ? rows[i].from : head, "");
        struct world w;

        open_with(&w, RULES, rows[i].sender);
        print_message("%s\n", rows[i].label);
        say(&w, rows[i].d != NULL ? letter_sign(m, how) : m);
        want_fact(&w, FACT_ID_DKIM, rows[i].dkim);
        want_fact(&w, FACT_ID_DKIM_DOMAINS, rows[i].domains);
        want_fact(&w, FACT_ID_DMARC, rows[i].dmarc);
        want_fact(&w, FACT_ID_DMARC_POLICY, rows[i].policy);
        want_fact(&w, FACT_ID_DMARC_BY, rows[i].by);
        want_fact(&w, FACT_ID_MESSAGE_FROM_ALIGNED, rows[i].aligned);
        want_fact(&w, FACT_ID_MESSAGE_SIGNED_BY_AUTHOR, rows[i].author);
        world_fini(&w);
    }
    letter_forget();
}

static void a_message_that_was_changed_on_the_way_is_known(void **state)
{
    struct slice m = signed_by("signed.test", ""), changed;
    struct world w;
    struct buf b;

    (void)state;
    buf_init(&b, 100000);
    buf_put_slice(&b, m);
    buf_put_str(&b, "-- \r\nfooter of the list\r\n");
    changed = letter_keep(&b);
    open_with(&w, RULES, "a@x.test");
    say(&w, changed);
    want_fact(&w, FACT_ID_DKIM, "fail");
    want_fact(&w, FACT_ID_MESSAGE_SIGNED_BY_AUTHOR, "broken");
    want_fact(&w, FACT_ID_DMARC, "fail");
    want_fact(&w, FACT_ID_DMARC_DOMAIN, "signed.test");
    world_fini(&w);
    letter_forget();
}

static void a_list_is_believed_only_if_it_is_authenticated(void **state)
{
    static const struct {
        const char *d, *list, *want;
        bool doubt;
    } rows[] = {
        { "lists.test", "List-Id: Dev <dev.lists.test>\r\n", "true", false },
        { "lists.test", "List-Id: <lists.test>\r\n", "true", false },
        { "lists.test", "List-Id: dev.LISTS.test\r\n", "true", false },
        { "lists.test", "List-Id: <dev.other.test>\r\n", "false", false },
        { "lists.test", "List-Id: <devlists.test>\r\n", "false", false },
        { "lists.test", "List-Id: <a.lists.test>\r\nList-Id: <b.lists.test>\r\n", "false", false },
        { "lists.test", "", "false", false },
        { "mail.signed.test", "List-Id: <news.signed.test>\r\n", "true", false }, /* one organisation */
        { NULL, "List-Id: <dev.lists.test>\r\n", "false", false },          /* the sender alone says so */
        { "broken.test", "List-Id: <dev.broken.test>\r\n", "false", true }, /* its key cannot be had */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        open_with(&w, RULES, "a@x.test");
        print_message("%s", rows[i].list);
        say(&w, rows[i].d != NULL ? signed_by(rows[i].d, rows[i].list) : message_of(head, rows[i].list));
        want_fact(&w, FACT_ID_MESSAGE_VIA_LIST, rows[i].want);
        assert_int_equal(judge_facts(w.j)->v[FACT_ID_MESSAGE_VIA_LIST].doubt, rows[i].doubt);
        world_fini(&w);
    }
    letter_forget();
}

static void the_policy_of_the_sender_is_asked_where_a_rule_names_it(void **state)
{
    static const char *const rows[][2] = {
        { "a@signed.test", "reject" },
        { "a@deep.below.signed.test", "reject" },
        { "a@weak.test", "quarantine" },
        { "a@lists.test", "none" },
        { "a@nobody.test", "none" },
        { "a@late.test", "temperror" },
        { "", "none" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        open_with(
            &w,
            "policy: {preset: none, rules: [{name: r, when: {sender.dmarc: reject}, then: {score: 1}}]}\n",
            rows[i][0]);
        want_fact(&w, FACT_ID_SENDER_DMARC, rows[i][1]);
        world_fini(&w);
        open_with(&w, QUIET, rows[i][0]);
        assert_int_equal(fake_dns_asked(w.dns, "_dmarc.signed.test", DNS_TYPE_TXT), 0);
        world_fini(&w);
    }
    letter_forget();
}

/* ---- who is asked, and who waits ---- */

static void keys_are_asked_for_before_the_body_and_the_end_waits_for_them(void **state)
{
    struct slice m = signed_by("slow.test", "");
    struct slice key = letter_record("v=DKIM1; ", LETTER_RSA_2048);
    struct judge_content c;
    struct world w;

    (void)state;
    open_with(&w, QUIET, "a@x.test");
    fake_dns_add(w.dns, "mail._domainkey.slow.test", DNS_TYPE_TXT, key.ptr, 2000);
    c = tell(&w, m, 1);
    assert_int_equal(fake_dns_asked(w.dns, "mail._domainkey.slow.test", DNS_TYPE_TXT), 1);
    assert_int_equal(fake_dns_asked(w.dns, "_dmarc.signed.test", DNS_TYPE_TXT), 1);
    assert_true(fake_dns_asker(w.dns, "mail._domainkey.slow.test", DNS_TYPE_TXT)->network != 0);
    judge_message(w.j, &c, on_verdict, &w);
    sim_advance(w.loop, 1900);
    assert_int_equal(w.called, 0);
    sim_advance(w.loop, 200);
    assert_int_equal(w.called, 1);
    want_fact(&w, FACT_ID_DKIM, "pass");
    world_fini(&w);
    letter_forget();
}

static void at_the_end_of_the_budget_what_is_missing_is_a_temperror(void **state)
{
    struct slice m = signed_by("silent.test", "");
    struct judge_content c;
    struct world w;

    (void)state;
    open_with(&w, RULES, "a@x.test");
    fake_dns_add(w.dns, "mail._domainkey.silent.test", DNS_TYPE_TXT, "TIMEOUT", 0);
    c = tell(&w, m, 4096);
    judge_message(w.j, &c, on_verdict, &w);
    sim_advance(w.loop, 4900);
    assert_int_equal(w.called, 0);
    sim_advance(w.loop, 200);
    assert_int_equal(w.called, 1);
    want_fact(&w, FACT_ID_DKIM, "temperror");
    want_fact(&w, FACT_ID_DMARC, "fail"); /* silent.test cannot be aligned with signed.test */
    assert_int_equal(fake_dns_out(w.dns), 0);
    world_fini(&w);
    letter_forget();
}

static void a_message_that_is_refused_waits_for_nothing(void **state)
{
    struct judge_content c;
    struct world w;

    (void)state;
    open_with(&w, RULES, "a@x.test");
    fake_dns_add(w.dns, "mail._domainkey.silent.test", DNS_TYPE_TXT, "TIMEOUT", 0);
    c = tell(&w, signed_by("silent.test", ""), 4096);
    c.size = 2000000;
    judge_message(w.j, &c, on_verdict, &w);
    sim_settle(w.loop);
    want_verdict(&w, "big", VERDICT_REJECT, "big");
    judge_reset(w.j);
    assert_int_equal(fake_dns_out(w.dns), 0);
    world_fini(&w);
    letter_forget();
}

static void a_reset_cancels_what_is_out_and_gives_the_memory_back(void **state)
{
    struct world w;
    uint64_t held;

    (void)state;
    open_with(&w, RULES, "a@x.test");
    fake_dns_add(w.dns, "mail._domainkey.silent.test", DNS_TYPE_TXT, "TIMEOUT", 0);
    judge_reset(w.j);
    held = metric_get(M_MEMORY_HELD);
    world_mail(&w, "a@x.test");
    (void)tell(&w, signed_by("silent.test", ""), 4096);
    assert_true(fake_dns_out(w.dns) > 0);
    assert_true(metric_get(M_MEMORY_HELD) > held);
    judge_reset(w.j);
    assert_int_equal(fake_dns_out(w.dns), 0);
    assert_int_equal(metric_get(M_MEMORY_HELD), held);
    sim_advance(w.loop, 60000); /* nothing comes back */
    world_fini(&w);
    letter_forget();
}

static void mail_that_is_not_verified_costs_no_question(void **state)
{
    static const char *const yaml[] = {
        "dkim: {verify: false}\n" QUIET,
        "policy: {preset: none, rules: [{name: past, then: bypass}], message_rules: []}\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(yaml); i++) {
        struct world w;

        open_with(&w, yaml[i], "a@x.test");
        say(&w, signed_by("signed.test", ""));
        assert_int_equal(fake_dns_asked_below(w.dns, "signed.test"), 0);
        world_fini(&w);
    }
    letter_forget();
}

static void an_exempt_client_is_not_verified(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, RULES);
    put_zone(&w);
    world_play(&w, "192.168.1.9", "signed.test", "a@x.test");
    judge_recipient_taken(w.j);
    w.called = 0;
    say(&w, signed_by("signed.test", ""));
    want_fact(&w, FACT_ID_DKIM, "none");
    want_fact(&w, FACT_ID_DMARC, "none");
    want_fact(&w, FACT_ID_MESSAGE_FROM_ALIGNED, "unknown");
    assert_int_equal(fake_dns_asked_below(w.dns, "signed.test"), 0);
    world_fini(&w);
    letter_forget();
}

/* A printer writes as one of ours, and nobody has looked whether it may. */
static void an_exempt_client_forges_nobody(void **state)
{
    static const struct {
        const char *ip, *aligned;
        bool forged;
    } rows[] = { { "192.168.1.9", "unknown", false }, { "203.0.113.9", "false", true } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        struct buf fields;

        world_init(&w, "policy: {rules: []}\n"); /* and the preset's message rules */
        put_zone(&w);
        world_play(&w, rows[i].ip, "signed.test", "scans@example.com");
        judge_recipient_taken(w.j);
        w.called = 0;
        say(&w, message_of("From: Scanner <scans@example.com>\r\nDate: x\r\n", ""));
        want_fact(&w, FACT_ID_MESSAGE_FROM_OURS, "true");
        want_fact(&w, FACT_ID_MESSAGE_FROM_ALIGNED, rows[i].aligned);
        buf_init(&fields, 100000);
        judge_message_taken(w.j);
        judge_headers(w.j, &fields);
        assert_int_equal(strstr(fields.ptr, "X-Glacis-Forged: own domain") != NULL, rows[i].forged);
        assert_int_equal(strstr(fields.ptr, "FROM_OURS_FORGED") != NULL, rows[i].forged);
        buf_fini(&fields);
        world_fini(&w);
    }
}

static void without_dmarc_the_signatures_are_verified(void **state)
{
    struct world w;

    (void)state;
    open_with(&w, "dmarc: {verify: false}\n" RULES, "a@x.test");
    say(&w, signed_by("signed.test", ""));
    want_fact(&w, FACT_ID_DKIM, "pass");
    want_fact(&w, FACT_ID_DMARC, "none");
    want_fact(&w, FACT_ID_MESSAGE_FROM_ALIGNED, "unknown");
    assert_int_equal(fake_dns_asked(w.dns, "_dmarc.signed.test", DNS_TYPE_TXT), 0);
    world_fini(&w);
    letter_forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_facts_follow_from_signatures_spf_and_records),
        cmocka_unit_test(a_message_that_was_changed_on_the_way_is_known),
        cmocka_unit_test(a_list_is_believed_only_if_it_is_authenticated),
        cmocka_unit_test(the_policy_of_the_sender_is_asked_where_a_rule_names_it),
        cmocka_unit_test(keys_are_asked_for_before_the_body_and_the_end_waits_for_them),
        cmocka_unit_test(at_the_end_of_the_budget_what_is_missing_is_a_temperror),
        cmocka_unit_test(a_message_that_is_refused_waits_for_nothing),
        cmocka_unit_test(a_reset_cancels_what_is_out_and_gives_the_memory_back),
        cmocka_unit_test(mail_that_is_not_verified_costs_no_question),
        cmocka_unit_test(an_exempt_client_is_not_verified),
        cmocka_unit_test(an_exempt_client_forges_nobody),
        cmocka_unit_test(without_dmarc_the_signatures_are_verified),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
