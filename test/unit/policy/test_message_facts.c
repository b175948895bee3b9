/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_message_facts.c - the facts message.* of the header section, as rules see them; lists that are asked about the
 * author's domain.
 */
#include "judge_world.h"

#include "policy/judge/engine_priv.h"

#define RULES                                                                                                \
    "policy: {rules: [{name: e, when: {client.private: true}, then: accept}], message_rules: [{name: m, "    \
    "when: "                                                                                                 \
    "{message.from_count: 99}, then: reject}]}\n"

static void judge(struct world *w, struct slice head)
{
    struct judge_content c = { .size = 2000, .head = head };
    size_t before = w->called;

    world_play(w, "203.0.113.9", "h.test", "x@a.test");
    judge_recipient_taken(w->j);
    judge_message(w->j, &c, on_verdict, w);
    sim_advance(w->loop, 60000);
    assert_true(w->called > before + 1);
}

static void facts_follow_the_header_section(void **state)
{
    static const struct {
        struct slice head;
        enum fact_id fact;
        const char *want;
    } rows[] = {
        { SLICE_INIT("From: a@b.test\r\nFrom: c@d.test\r\n\r\n"), FACT_ID_MESSAGE_FROM_COUNT, "2" },
        { SLICE_INIT("From: a@b.test\r\nFrom: c@D.test, e@b.test\r\n\r\n"), FACT_ID_MESSAGE_FROM_DOMAINS,
          "b.test, d.test" },
        { SLICE_INIT("From: a@b.test, <x>\r\n\r\n"), FACT_ID_MESSAGE_AUTHOR_DOMAINS, "2" },
        { SLICE_INIT("\r\n"), FACT_ID_MESSAGE_AUTHOR_DOMAINS, "0" },
        { SLICE_INIT("From: Joe <Joe@B.test>\r\n\r\n"), FACT_ID_MESSAGE_FROM_DOMAIN, "b.test" },
        { SLICE_INIT("From: Joe <Joe@B.test>\r\n\r\n"), FACT_ID_MESSAGE_FROM_LOCAL, "Joe" },
        { SLICE_INIT("From: a@b.test\r\n\r\n"), FACT_ID_MESSAGE_FROM_OURS, "false" },
        { SLICE_INIT("From: a@b.test, c@Example.Com\r\n\r\n"), FACT_ID_MESSAGE_FROM_OURS, "true" },
        { SLICE_INIT("From: a@mail.example.net\r\n\r\n"), FACT_ID_MESSAGE_FROM_OURS, "true" },
        { SLICE_INIT("From: a@b.test\r\nFrom: c@example.com\r\n\r\n"), FACT_ID_MESSAGE_FROM_OURS, "true" },
        { SLICE_INIT("From: a@example.com.b.test\r\n\r\n"), FACT_ID_MESSAGE_FROM_OURS, "false" },
        { SLICE_INIT("From: \"ceo@example.com\" <a@b.test>\r\n\r\n"), FACT_ID_MESSAGE_NAME_ADDRESS,
          "example.com" },
        { SLICE_INIT("From: \"ceo@example.com\" <a@b.test>\r\n\r\n"), FACT_ID_MESSAGE_NAME_OURS, "true" },
        { SLICE_INIT("From: \"ceo@example.com\" <a@example.com>\r\n\r\n"), FACT_ID_MESSAGE_NAME_OURS,
          "false" },
        { SLICE_INIT("From: \"x@c.test ceo@example.com\" <a@b.test>\r\n\r\n"), FACT_ID_MESSAGE_NAME_OURS,
          "true" },
        { SLICE_INIT("List-Id: x\r\n\r\n"), FACT_ID_MESSAGE_IS_LIST, "true" },
        { SLICE_INIT("From: a@b.test\r\nTo: x\r\n\r\n"), FACT_ID_MESSAGE_MISSING,
          "date, message-id, sender, reply-to, cc, subject, mime-version, content-type" },
        { SLICE_INIT("To: x\r\nSubject: a\r\nTo: y\r\nsubject: b\r\n\r\n"), FACT_ID_MESSAGE_DUPLICATE,
          "to, subject" },
        { SLICE_INIT("Date: x\r\n\r\n"), FACT_ID_MESSAGE_DATE_SKEW, "unknown" },
        { SLICE_INIT("Message-ID: <a@b.test>\r\n\r\n"), FACT_ID_MESSAGE_ID, "a@b.test" },
        { SLICE_INIT("Precedence: list\r\n\r\n"), FACT_ID_MESSAGE_BULK, "true" },
        { SLICE_INIT("Received: a\r\nReceived: b\r\n\r\n"), FACT_ID_MESSAGE_RECEIVED, "2" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        world_init(&w, RULES);
        judge(&w, rows[i].head);
        want_fact(&w, rows[i].fact, rows[i].want);
        world_fini(&w);
    }
}

static void a_date_is_compared_with_now(void **state)
{
    static const int64_t skews[] = { 0, 90000, -90000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(skews); i++) {
        time_t at = (time_t)(wall_now_s() + skews[i]);
        char mem[100];
        struct world w;
        struct tm tm;

        assert_non_null(gmtime_r(&at, &tm));
        assert_true(strftime(mem, sizeof(mem), "Date: %d %b %Y %H:%M:%S +0000\r\n\r\n", &tm) > 0);
        world_init(
            &w, "policy: {message_rules: [{name: m, when: {message.date_skew: \"> 24h\"}, then: reject}]}\n");
        judge(&w, slice_str(mem));
        want_verdict(&w, mem, skews[i] != 0 ? VERDICT_REJECT : VERDICT_ACCEPT,
                     skews[i] != 0 ? "m" : "default");
        world_fini(&w);
    }
}

/* Nothing of a message is left for the next one, nor for rules about recipients. */
static void facts_end_with_the_message(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, RULES);
    judge(&w, SLICE("From: a@b.test\r\n\r\n"));
    want_fact(&w, FACT_ID_MESSAGE_FROM_DOMAIN, "b.test");
    judge_reset(w.j);
    want_fact(&w, FACT_ID_MESSAGE_FROM_DOMAIN, "idle");
    world_fini(&w);
}

/* A fact that only a tag names is there too. */
static void a_tag_alone_has_the_fact_read(void **state)
{
    struct world w;
    struct buf out;

    (void)state;
    world_init(&w, "policy: {message_rules: [{name: m, then: {tag: {X-Id: \"{message.id}\"}}}]}\n");
    judge(&w, SLICE("Message-ID: <i@b.test>\r\n\r\n"));
    judge_message_taken(w.j);
    buf_init(&out, 1u << 16);
    judge_headers(w.j, &out);
    assert_non_null(strstr(out.ptr, "X-Id: i@b.test\r\n"));
    buf_fini(&out);
    world_fini(&w);
}

/* ---- lists ---- */

#define LIST(rest) "reputation: {lists: [{name: d, zone: d.test, looks_up: [helo, from]" rest "}]}\n"
#define ASKS                                                                                                 \
    "policy: {rules: [], message_rules: [{name: m, when: {reputation.listed: true}, then: reject}]}\n"

static void a_list_is_asked_about_the_author(void **state)
{
    static const struct {
        const char *yaml;
        struct slice head;
        unsigned asked;
        const char *rule;
    } rows[] = {
        { LIST("") ASKS, SLICE_INIT("From: a@bad.test\r\n\r\n"), 1, "m" },
        { LIST("") ASKS, SLICE_INIT("From: a@good.test\r\n\r\n"), 0, "default" },
        { LIST("") ASKS, SLICE_INIT("From: a@bad.test, b@good.test\r\n\r\n"), 0, "default" },
        { LIST("") ASKS, SLICE_INIT("\r\n"), 0, "default" },
        { LIST(", ask: late") ASKS, SLICE_INIT("From: a@bad.test\r\n\r\n"), 1, "m" },
        { LIST("") "policy: {rules: [], message_rules: [{name: m, when: {reputation.d: true}, then: "
                   "reject}]}\n",
          SLICE_INIT("From: a@bad.test\r\n\r\n"), 1, "m" },
        /* no rule about the message asks the lists: no question */
        { LIST("") "policy: {rules: [{name: e, when: {reputation.listed: true}, then: defer}], "
                   "message_rules: []}\n",
          SLICE_INIT("From: a@bad.test\r\n\r\n"), 0, "default" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        world_init(&w, rows[i].yaml);
        fake_dns_add(w.dns, "bad.test.d.test", DNS_TYPE_A, "127.0.0.2", 40);
        judge(&w, rows[i].head);
        if (strcmp(w.rule, rows[i].rule) != 0 ||
            fake_dns_asked(w.dns, "bad.test.d.test", DNS_TYPE_A) != rows[i].asked) {
            fail_msg("row %zu: rule %s, asked %u times", i, w.rule,
                     (unsigned)fake_dns_asked(w.dns, "bad.test.d.test", DNS_TYPE_A));
        }
        world_fini(&w);
    }
}

/* Each of the first three domains that signed is asked about. */
static void a_list_is_asked_about_signers(void **state)
{
    static const struct {
        const char *signers, *rule;
    } rows[] = {
        { "bad.test", "m" },
        { "a.test,b.test,bad.test", "m" },
        { "a.test,b.test,c.test,bad.test", "default" },
        { "", "default" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judge_content c = { .size = 1, .head = SLICE("From: a@good.test\r\n\r\n") };
        struct world w;

        world_init(&w, "reputation: {lists: [{name: d, zone: d.test, looks_up: dkim}]}\n" ASKS);
        fake_dns_add(w.dns, "bad.test.d.test", DNS_TYPE_A, "127.0.0.2", 40);
        world_play(&w, "203.0.113.9", "h.test", "x@a.test");
        judge_recipient_taken(w.j);
        /* as source_dkim.c has them once the signatures are verified */
        facts_set_word(w.j, FACT_ID_DKIM, "pass");
        fact_set_text(&w.j->facts, FACT_ID_DKIM_DOMAINS, slice_str(rows[i].signers));
        judge_message(w.j, &c, on_verdict, &w);
        sim_advance(w.loop, 60000);
        want_verdict(&w, rows[i].signers, rows[i].rule[0] == 'm' ? VERDICT_REJECT : VERDICT_ACCEPT,
                     rows[i].rule);
        world_fini(&w);
    }
}

/* The next message of the session has another author. */
static void an_author_is_forgotten_with_the_message(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, LIST("") ASKS);
    fake_dns_add(w.dns, "bad.test.d.test", DNS_TYPE_A, "127.0.0.2", 40);
    judge(&w, SLICE("From: a@bad.test\r\n\r\n"));
    want_verdict(&w, "first", VERDICT_REJECT, "m");
    judge_reset(w.j);
    world_mail(&w, "x@a.test");
    world_ask(&w, "bob@example.com");
    sim_advance(w.loop, 60000);
    judge_recipient_taken(w.j);
    judge_message(w.j, &(struct judge_content){ .size = 1, .head = SLICE("From: a@good.test\r\n\r\n") },
                  on_verdict, &w);
    sim_advance(w.loop, 60000);
    want_verdict(&w, "second", VERDICT_ACCEPT, "default");
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_follow_the_header_section),
        cmocka_unit_test(a_date_is_compared_with_now),
        cmocka_unit_test(facts_end_with_the_message),
        cmocka_unit_test(a_tag_alone_has_the_fact_read),
        cmocka_unit_test(a_list_is_asked_about_the_author),
        cmocka_unit_test(a_list_is_asked_about_signers),
        cmocka_unit_test(an_author_is_forgotten_with_the_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
