/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_reputation.c - lists that misbehave, and clients that make them: what is asked, what an answer is worth, how
 * long a session waits.  In virtual time, with the shared memory that the guard uses.
 */
#include "test/unit/policy/judge_world.h"

#include "policy/judge/engine_priv.h"
#include "state/memory.h"
#include "state/tables_priv.h"

#define DBL                                                                                                  \
    "reputation: {guard: {probe_interval: off}, lists: [{name: dbl, preset: spamhaus-dbl, zone: dbl.test},"  \
    " {name: zrd, preset: spamhaus-zrd, zone: zrd.test}]}\n"

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

static struct memory_list record(struct world *w, const char *name)
{
    struct memory_list *l = memory_list_take(w->pw->memory, slice_str(name)), copy;

    assert_non_null(l);
    copy = *l;
    memory_list_give(w->pw->memory, l);
    return copy;
}

/* From 203.0.NET.9: 256 networks of one host each. */
static void connect_from(struct world *w, unsigned net)
{
    char ip[32];

    (void)snprintf(ip, sizeof(ip), "203.0.%u.9", net);
    world_connect(w, ip);
    judge_helo(w->j, SLICE("helo.test"));
}

static void mail_and_settle(struct world *w, const char *from)
{
    world_mail(w, from);
    world_ask(w, "bob@example.com");
    sim_advance(w->loop, 30000);
}

/* ---- A4: what a client can make us ask ---- */

static void domain_lists_are_asked_about_host_names(void **state)
{
    static const struct {
        const char *from, *asked; /* below dbl.test; "": nothing */
    } rows[] = {
        { "a@evil.test", "evil.test.dbl.test" },
        { "a@Sub.Evil.test", "sub.evil.test.dbl.test" },
        { "a@foo_bar.evil.test", "foo_bar.evil.test.dbl.test" },
        { "a@[192.0.2.1]", "" },
        { "a@[IPv6:2001:db8::1]", "" },
        { "a@192.0.2.1", "" },
        { "a@x.192", "" },
        { "a@localhost", "" },
        { "", "" },
        { "a@1.2.3.4.5.6.7.8.9.10.evil.test", "5.6.7.8.9.10.evil.test.dbl.test" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        init(&w, DBL);
        world_connect(&w, "203.0.113.9");
        judge_helo(w.j, SLICE("[203.0.113.9]"));
        mail_and_settle(&w, rows[i].from);
        assert_int_equal(fake_dns_asked_below(w.dns, "dbl.test"), rows[i].asked[0] != '\0');
        if (rows[i].asked[0] != '\0') {
            assert_int_equal(fake_dns_asked(w.dns, rows[i].asked, DNS_TYPE_A), 1);
        }
        want_fact(&w, FACT_ID_REPUTATION_LISTED, "false");
        fini(&w);
    }
}

/* The list is asked about the last labels of a name that is too long with the zone behind it. */
static void a_long_name_hides_no_domain(void **state)
{
    char name[300], asked[300];
    struct buf b;
    struct world w;

    (void)state;
    buf_init_fixed(&b, name, sizeof(name));
    buf_put_str(&b, "a@");
    for (unsigned i = 0; i < 4; i++) {
        buf_putf(&b, "%u%059u.", i, 0);
    }
    buf_put_str(&b, "evil.test");
    (void)snprintf(asked, sizeof(asked), "%s.dbl.test", name + 2 + 61);
    init(&w, DBL);
    fake_dns_add(w.dns, asked, DNS_TYPE_A, "127.0.1.2", 0);
    connect_from(&w, 113);
    mail_and_settle(&w, name);
    want_fact(&w, FACT_ID_REPUTATION_LISTED, "true");
    fini(&w);
}

static void an_answer_about_the_question_is_not_listed_and_no_failure(void **state)
{
    static const struct {
        const char *list, *answer;
    } rows[] = { { "dbl", "127.0.1.255" },
                 { "zrd", "127.0.2.255" },
                 { "dbl", "127.255.255.252" },
                 { "zrd", "127.255.255.252" } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct memory_list l;
        struct world w;
        char name[64];

        init(&w, DBL);
        for (unsigned n = 0; n < 60; n++) {
            connect_from(&w, n);
            (void)snprintf(name, sizeof(name), "x%u.test.%s.test", n, rows[i].list);
            fake_dns_add(w.dns, name, DNS_TYPE_A, rows[i].answer, 0);
            (void)snprintf(name, sizeof(name), "a@x%u.test", n);
            mail_and_settle(&w, name);
            want_fact(&w, FACT_ID_REPUTATION_LISTED, "false");
            want_fact(&w, FACT_ID_REPUTATION_INCOMPLETE, "false");
        }
        l = record(&w, rows[i].list);
        assert_int_equal(l.broken_since_s, 0);
        assert_int_equal(l.failures, 0);
        assert_int_equal(l.total_voids, 60);
        fini(&w);
    }
}

#define ONE                                                                                                  \
    "reputation: {guard: {probe_interval: off}, lists: [{name: one, zone: one.test, looks_up: sender}]}\n"

/* Names that make the list fail, from as many sessions and names as they like; the list is fine for others. */
static void one_client_opens_no_breaker(void **state)
{
    struct world w;
    char text[64];

    (void)state;
    init(&w, ONE);
    for (unsigned n = 0; n < 300; n++) {
        (void)snprintf(text, sizeof(text), "203.0.113.%u", n % 256);
        world_connect(&w, text);
        (void)snprintf(text, sizeof(text), "x%u.test.one.test", n);
        fake_dns_add(w.dns, text, DNS_TYPE_A, "SERVFAIL", 0);
        (void)snprintf(text, sizeof(text), "a@x%u.test", n);
        mail_and_settle(&w, text);
    }
    assert_int_equal(record(&w, "one").total_errors, 300);
    assert_int_equal(record(&w, "one").broken_since_s, 0);
    for (unsigned n = 0; n < 40; n++) { /* but when others meet the same, it is the list */
        connect_from(&w, n);
        (void)snprintf(text, sizeof(text), "a@x%u.test", n);
        mail_and_settle(&w, text);
    }
    assert_true(record(&w, "one").broken_since_s != 0);
    fini(&w);
}

static void our_own_overload_is_no_failure_of_a_list(void **state)
{
    struct world w;
    char text[64];

    (void)state;
    init(&w, ONE);
    for (unsigned n = 0; n < 60; n++) {
        (void)snprintf(text, sizeof(text), "x%u.test.one.test", n);
        fake_dns_add(w.dns, text, DNS_TYPE_A, "OVERLOAD", 0);
        connect_from(&w, n);
        (void)snprintf(text, sizeof(text), "a@x%u.test", n);
        mail_and_settle(&w, text);
        want_fact(&w, FACT_ID_REPUTATION_INCOMPLETE, "true");
    }
    assert_int_equal(record(&w, "one").broken_since_s, 0);
    assert_int_equal(record(&w, "one").total_errors, 0);
    fini(&w);
}

/* ---- A5: a voucher that fails ---- */

#define VOUCHED(how)                                                                                         \
    "reputation: {guard: {probe_interval: off, breaker: {failures: 3, retry: 600s}}, lists: ["               \
    "{name: zen, zone: zen.test}, {name: wl, preset: dnswl, zone: wl.test" how "}]}\n"

static void a_failed_voucher_vouches_for_nothing(void **state)
{
    static const struct {
        const char *label, *yaml, *answer;
        const char *listed, *rule;
    } rows[] = {
        { "it vouches", VOUCHED(""), "127.0.5.3", "false", "default" },
        { "it knows nothing", VOUCHED(""), "NXDOMAIN", "true", "reputation" },
        { "over its limit", VOUCHED(""), "127.0.0.255", "true", "reputation" },
        { "over its limit, in disguise", VOUCHED(""), "127.0.10.3", "true", "reputation" },
        { "SERVFAIL", VOUCHED(""), "SERVFAIL", "true", "reputation" },
        { "silent", VOUCHED(""), "TIMEOUT", "true", "reputation" },
        { "late, and silent", VOUCHED(", ask: late"), "TIMEOUT", "true", "reputation" },
        { "late, and it vouches", VOUCHED(", ask: late"), "127.0.5.3", "false", "default" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        init(&w, rows[i].yaml);
        for (unsigned n = 0; n < 8; n++) { /* from the fourth network on its breaker is open */
            char name[64];

            (void)snprintf(name, sizeof(name), "9.%u.0.203.zen.test", n);
            fake_dns_add(w.dns, name, DNS_TYPE_A, "127.0.0.2", 0);
            (void)snprintf(name, sizeof(name), "9.%u.0.203.wl.test", n);
            fake_dns_add(w.dns, name, DNS_TYPE_A, rows[i].answer, 0);
            connect_from(&w, n);
            mail_and_settle(&w, "");
            want_verdict(&w, rows[i].label, rows[i].rule[0] == 'd' ? VERDICT_ACCEPT : VERDICT_DROP,
                         rows[i].rule);
            want_fact(&w, FACT_ID_REPUTATION_LISTED, rows[i].listed);
        }
        fini(&w);
    }
}

/* An outage never refuses for good, and a voucher's is one. */
static void a_listing_without_its_voucher_refuses_for_now(void **state)
{
    static const char *const answers[] = { "SERVFAIL", "NXDOMAIN" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct world w;

        init(&w, VOUCHED("") "policy: {override: {reputation: {then: reject}}}\n");
        fake_dns_add(w.dns, "9.113.0.203.zen.test", DNS_TYPE_A, "127.0.0.2", 0);
        fake_dns_add(w.dns, "9.113.0.203.wl.test", DNS_TYPE_A, answers[i], 0);
        connect_from(&w, 113);
        mail_and_settle(&w, "");
        assert_string_equal(w.rule, "reputation");
        assert_int_equal(w.code, i == 0 ? 451 : 550);
        assert_int_equal(strstr(w.text, "try again by itself") != NULL, i == 0);
        fini(&w);
    }
}

/* ---- A6: waiting ---- */

static uint64_t wait_for_verdict(struct world *w, const char *to)
{
    size_t before = w->called;
    uint64_t ms = 0;

    for (world_ask(w, to); w->called == before && ms < 60000; ms += 10) {
        sim_advance(w->loop, 10);
    }
    return ms;
}

static void no_session_waits_for_what_cannot_change_the_sum(void **state)
{
    static const struct {
        const char *label, *more, *fast, *rule;
        uint64_t most_ms, least_ms;
    } rows[] = {
        { "over the threshold already", "", "127.0.0.2", "r", 20, 0 },
        { "a voucher might save it", ", answers: {127.0.0.2: -5}", "127.0.0.2", "r", 3100, 2900 },
        { "it might still be listed", "", "NXDOMAIN", "default", 3100, 2900 },
        { "too light to matter", ", answers: {127.0.0.2: 0.5}", "NXDOMAIN", "default", 20, 0 },
        { "late, not needed any more", ", ask: late", "127.0.0.2", "r", 20, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        struct buf yaml;
        uint64_t ms;

        buf_init(&yaml, 2000);
        buf_putf(
            &yaml,
            "policy: {rules: [{name: r, when: {reputation.listed: true}, then: defer, reply: \"451 4.7.1 "
            "{reputation.subject} {reputation.lists}\"}]}\nreputation: {lists: [{name: fast, zone: "
            "fast.test}, {name: slow, zone: slow.test%s}]}\n",
            rows[i].more);
        world_init(&w, yaml.ptr);
        fake_dns_add(w.dns, "9.113.0.203.fast.test", DNS_TYPE_A, rows[i].fast, 0);
        fake_dns_add(w.dns, "9.113.0.203.slow.test", DNS_TYPE_A, "TIMEOUT", 0);
        connect_from(&w, 113);
        world_mail(&w, "x@s.test");
        ms = wait_for_verdict(&w, "bob@example.com");
        assert_string_equal(w.rule, rows[i].rule);
        if (ms < rows[i].least_ms || ms > rows[i].most_ms) {
            fail_msg("%s: after %" PRIu64 " ms", rows[i].label, ms);
        }
        if (rows[i].rule[0] == 'r') { /* what has answered is named */
            assert_string_equal(w.text, "203.0.113.9 fast");
        }
        world_fini(&w);
        buf_fini(&yaml);
    }
}

static void a_score_is_compared_as_soon_as_it_can_be(void **state)
{
    static const struct {
        const char *want, *rule;
        bool waits;
    } rows[] = { { ">= 2", "r", false }, { "< 2", "d", false }, { "< 8", "r", false },
                 { ">= 3", "d", true },  { "2", "r", true },    { ">= 8", "d", false } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        struct buf yaml;
        uint64_t ms;

        buf_init(&yaml, 2000);
        buf_putf(&yaml,
                 "policy: {rules: [{name: r, when: {reputation.score: \"%s\"}, then: defer}, {name: d, then: "
                 "accept}]}\nreputation: {lists: [{name: fast, zone: fast.test, answers: {127.0.0.2: 2}}, "
                 "{name: slow, zone: slow.test, answers: {127.0.0.2: 5}}]}\n",
                 rows[i].want);
        world_init(&w, yaml.ptr);
        fake_dns_add(w.dns, "9.113.0.203.fast.test", DNS_TYPE_A, "127.0.0.2", 0);
        fake_dns_add(w.dns, "9.113.0.203.slow.test", DNS_TYPE_A, "NXDOMAIN", 1000);
        connect_from(&w, 113);
        world_mail(&w, "x@s.test");
        ms = wait_for_verdict(&w, "bob@example.com");
        assert_string_equal(w.rule, rows[i].rule);
        assert_int_equal(ms >= 900, rows[i].waits);
        world_fini(&w);
        buf_fini(&yaml);
    }
}

static void a_list_that_is_named_already_decides(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "policy: {rules: [{name: r, when: {reputation.lists: fast}, then: defer}]}\n"
                   "reputation: {lists: [{name: fast, zone: fast.test}, {name: slow, zone: slow.test}]}\n");
    fake_dns_add(w.dns, "9.113.0.203.fast.test", DNS_TYPE_A, "127.0.0.2", 0);
    fake_dns_add(w.dns, "9.113.0.203.slow.test", DNS_TYPE_A, "TIMEOUT", 0);
    connect_from(&w, 113);
    world_mail(&w, "x@s.test");
    assert_in_range(wait_for_verdict(&w, "bob@example.com"), 0, 20);
    assert_string_equal(w.rule, "r");
    world_fini(&w);
}

static void listed_with_spf(struct world *w, const char *answer, uint64_t delay_ms)
{
    world_init(w, "reputation: {lists: [{name: slow, zone: slow.test}]}\n");
    fake_dns_add(w->dns, "pass.test", DNS_TYPE_TXT, "v=spf1 ip4:203.0.113.9 -all", 0);
    fake_dns_add(w->dns, "pass.test", DNS_TYPE_MX, "10 mx.pass.test", 0);
    fake_dns_add(w->dns, "none.test", DNS_TYPE_MX, "10 mx.none.test", 0);
    fake_dns_add(w->dns, "9.113.0.203.slow.test", DNS_TYPE_A, answer, delay_ms);
    connect_from(w, 113);
}

/* The rule that only scores comes first; what decides is the SPF pass below it. */
static void a_rule_that_only_scores_waits_half_a_second(void **state)
{
    struct world w;
    uint64_t sum = 0, ms;

    (void)state;
    listed_with_spf(&w, "TIMEOUT", 0);
    world_mail(&w, "x@pass.test");
    for (unsigned i = 0; i < 20; i++) {
        sum += wait_for_verdict(&w, "bob@example.com");
        want_verdict(&w, "silent", VERDICT_ACCEPT, "spf-pass");
    }
    assert_in_range(sum, 490, 900); /* once, for all twenty recipients */
    world_mail(&w, "x@none.test");  /* here it decides: its own time-out, from the connection on */
    ms = wait_for_verdict(&w, "bob@example.com");
    assert_in_range(ms, 1500, 2600);
    world_fini(&w);

    listed_with_spf(&w, "127.0.0.2", 400); /* in time */
    world_mail(&w, "x@pass.test");
    ms = wait_for_verdict(&w, "bob@example.com");
    assert_in_range(ms, 390, 450);
    want_verdict(&w, "in time", VERDICT_ACCEPT, "spf-pass");
    want_fact(&w, FACT_ID_SCORE, "4"); /* and helo-odd */
    world_fini(&w);
}

/* The half second begins when the others know all that they need. */
static void patience_begins_when_the_others_know(void **state)
{
    struct world w;
    uint64_t ms;

    (void)state;
    world_init(&w, "reputation: {lists: [{name: slow, zone: slow.test, timeout: 20s}]}\n");
    fake_dns_add(w.dns, "pass.test", DNS_TYPE_TXT, "v=spf1 ip4:203.0.113.9 -all", 1000);
    fake_dns_add(w.dns, "pass.test", DNS_TYPE_MX, "10 mx.pass.test", 0);
    fake_dns_add(w.dns, "9.113.0.203.slow.test", DNS_TYPE_A, "TIMEOUT", 0);
    connect_from(&w, 113);
    world_mail(&w, "x@pass.test");
    ms = wait_for_verdict(&w, "bob@example.com");
    assert_in_range(ms, 1490, 1600);
    want_verdict(&w, "silent", VERDICT_ACCEPT, "spf-pass");
    world_fini(&w);
}

/* An open breaker: no wait, and one question that is not awaited either. */
static void no_session_waits_for_a_trial(void **state)
{
    struct world w;
    char name[64];
    size_t asked;
    uint64_t ms;

    (void)state;
    init(&w,
         "policy: {rules: [{name: r, when: {reputation.listed: true}, then: defer}]}\n"
         "reputation: {guard: {probe_interval: off, breaker: {failures: 3, retry: 30s}}, lists: [{name: one, "
         "zone: one.test}]}\n");
    for (unsigned n = 0; n < 40; n++) {
        (void)snprintf(name, sizeof(name), "9.%u.0.203.one.test", n);
        fake_dns_add(w.dns, name, DNS_TYPE_A, n < 20 ? "TIMEOUT" : "127.0.0.2", n < 20 ? 0 : 100);
    }
    for (unsigned n = 0; n < 5; n++) {
        connect_from(&w, n);
        mail_and_settle(&w, "x@s.test");
    }
    assert_true(record(&w, "one").broken_since_s != 0);
    sim_advance(w.loop, 40000);
    asked = fake_dns_asked_below(w.dns, "one.test");
    connect_from(&w, 10);
    connect_from(&w, 11); /* the one before is still out: or it was, had it not left */
    world_mail(&w, "x@s.test");
    ms = wait_for_verdict(&w, "bob@example.com");
    assert_in_range(ms, 0, 20);
    assert_int_equal(fake_dns_asked_below(w.dns, "one.test") - asked, 1);
    sim_advance(w.loop, 60000);
    asked = fake_dns_asked_below(w.dns, "one.test");
    connect_from(&w, 30); /* this trial is answered */
    world_mail(&w, "x@s.test");
    ms = wait_for_verdict(&w, "bob@example.com");
    assert_in_range(ms, 0, 20);
    want_verdict(&w, "not waited for", VERDICT_ACCEPT, "default");
    sim_advance(w.loop, 1000);
    assert_int_equal(fake_dns_asked_below(w.dns, "one.test") - asked, 1);
    assert_int_equal(record(&w, "one").broken_since_s, 0);
    connect_from(&w, 31);
    mail_and_settle(&w, "x@s.test");
    want_verdict(&w, "believed again", VERDICT_DEFER, "r");
    fini(&w);
}

/* ---- B4, B3: what a list names, and its answer ---- */

static void the_subject_is_what_was_asked(void **state)
{
    static const struct {
        const char *looks_up, *listed, *subject;
    } rows[] = {
        { "client", "9.113.0.203.x.test", "203.0.113.9" }, { "helo", "helo.test.x.test", "helo.test" },
        { "sender", "s.test.x.test", "s.test" },           { "rdns", "r.test.x.test", "r.test" },
        { "[helo, sender]", "s.test.x.test", "s.test" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        struct buf yaml;

        buf_init(&yaml, 2000);
        buf_putf(&yaml, "reputation: {lists: [{name: x, zone: x.test, looks_up: %s}]}\n", rows[i].looks_up);
        world_init(&w, yaml.ptr);
        fake_dns_add(w.dns, rows[i].listed, DNS_TYPE_A, "127.0.0.2", 0);
        fake_dns_add(w.dns, rows[i].listed, DNS_TYPE_TXT, "why", 0);
        fake_dns_add(w.dns, "9.113.0.203.in-addr.arpa", DNS_TYPE_PTR, "r.test", 0);
        fake_dns_add(w.dns, "r.test", DNS_TYPE_A, "203.0.113.9", 0);
        fake_dns_add(w.dns, "s.test", DNS_TYPE_MX, "10 mx.s.test", 0);
        connect_from(&w, 113);
        mail_and_settle(&w, "x@s.test");
        want_verdict(&w, rows[i].looks_up, VERDICT_DROP, "reputation");
        want_fact(&w, FACT_ID_REPUTATION_SUBJECT, rows[i].subject);
        assert_int_equal(strncmp(w.text, rows[i].subject, strlen(rows[i].subject)), 0);
        assert_non_null(strstr(w.text, " is listed by x: why."));
        assert_non_null(strstr(w.text, "Contact: postmaster@example.com"));
        world_fini(&w);
        buf_fini(&yaml);
    }
}

static void each_lists_answer_is_told(void **state)
{
    struct world w;
    struct buf b;

    (void)state;
    init(&w,
         "reputation: {guard: {probe_interval: off}, lists: [{name: zen, preset: spamhaus-zen, zone: z.test},"
         " {name: wl, preset: dnswl, zone: wl.test}, {name: mon, zone: mon.test, mode: monitor},"
         " {name: clean, zone: clean.test}, {name: late, zone: late.test, timeout: 1s},"
         " {name: odd, zone: odd.test}, {name: out, zone: out.test}]}\n");
    fake_dns_add(w.dns, "9.113.0.203.z.test", DNS_TYPE_A, "127.0.0.10", 0);
    fake_dns_add(w.dns, "9.113.0.203.z.test", DNS_TYPE_A, "127.0.0.4", 0);
    fake_dns_add(w.dns, "9.113.0.203.wl.test", DNS_TYPE_A, "127.0.5.1", 0);
    fake_dns_add(w.dns, "9.113.0.203.mon.test", DNS_TYPE_A, "127.0.0.2", 0);
    fake_dns_add(w.dns, "9.113.0.203.late.test", DNS_TYPE_A, "TIMEOUT", 0);
    fake_dns_add(w.dns, "9.113.0.203.odd.test", DNS_TYPE_A, "127.255.255.254", 0);
    fake_dns_add(w.dns, "9.113.0.203.out.test", DNS_TYPE_A, "SERVFAIL", 0);
    connect_from(&w, 113);
    mail_and_settle(&w, "");
    buf_init(&b, 2000);
    reputation_put_answers(w.j->run, &b);
    assert_string_equal(
        b.ptr, "zen=127.0.0.4,wl=127.0.5.1,mon=127.0.0.2,late=timeout,odd=127.255.255.254,out=error");
    judge_reset(w.j);
    sim_settle(w.loop);
    {
        struct judge_packed *rest = judge_pack(&w.j); /* folded and back: the log still knows */
        struct judge_client c = { .session_id = "01TEST" };

        assert_non_null(rest);
        assert_true(addr_parse_ip(SLICE("203.0.113.9"), &c.ip));
        w.j = judge_unpack(w.pw, &c, &rest);
    }
    buf_reset(&b);
    reputation_put_answers(w.j->run, &b);
    assert_string_equal(
        b.ptr, "zen=127.0.0.4,wl=127.0.5.1,mon=127.0.0.2,late=timeout,odd=127.255.255.254,out=error");
    buf_fini(&b);
    fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "A4: domain lists are asked about host names only",
          .test_func = domain_lists_are_asked_about_host_names },
        { .name = "A4: a long name hides no domain", .test_func = a_long_name_hides_no_domain },
        { .name = "A4: an answer about the question is not listed, and no failure",
          .test_func = an_answer_about_the_question_is_not_listed_and_no_failure },
        { .name = "A4: one client opens no breaker", .test_func = one_client_opens_no_breaker },
        { .name = "A4: our own overload is no failure of a list",
          .test_func = our_own_overload_is_no_failure_of_a_list },
        { .name = "A5: a failed voucher vouches for nothing",
          .test_func = a_failed_voucher_vouches_for_nothing },
        { .name = "A5: a listing without its voucher refuses for now",
          .test_func = a_listing_without_its_voucher_refuses_for_now },
        { .name = "A6: no session waits for what cannot change the sum",
          .test_func = no_session_waits_for_what_cannot_change_the_sum },
        { .name = "A6: a score is compared as soon as it can be",
          .test_func = a_score_is_compared_as_soon_as_it_can_be },
        { .name = "A6: a list that is named already decides",
          .test_func = a_list_that_is_named_already_decides },
        { .name = "A6: a rule that only scores waits half a second, once a transaction",
          .test_func = a_rule_that_only_scores_waits_half_a_second },
        { .name = "A6: patience begins when the others know",
          .test_func = patience_begins_when_the_others_know },
        { .name = "A6: no session waits for a trial", .test_func = no_session_waits_for_a_trial },
        { .name = "B4: the subject is what was asked", .test_func = the_subject_is_what_was_asked },
        { .name = "B3: each list's answer is told", .test_func = each_lists_answer_is_told },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
