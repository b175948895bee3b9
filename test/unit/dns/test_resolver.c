/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_resolver.c - the resolver against servers on loopback that behave, and that do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/metrics.h"
#include "dns/dns.h"
#include "dns/resolver.h"
#include "test/unit/dns/server.h"

#define PATIENCE_MS 20000
#define MANY 5000

struct bench {
    struct loop *loop;
    struct test_server one, two;
    struct resolver *r;
    struct timer guard;
    unsigned done, wanted;
    bool late; /* the guard had to end a wait */
};

/* One question of a test, and what came of it. */
struct asked {
    struct bench *b;
    struct dns_req *req;
    struct dns_answer *ans;
    struct dns_had had;
    unsigned called;
    struct asked *cancels; /* in the callback */
    bool frees;            /* the resolver, in the callback */
    bool asks_again;
};

static void on_guard(void *arg)
{
    struct bench *b = arg;

    b->late = true;
    loop_stop(b->loop);
}

static void on_answer(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct asked *q = arg;
    struct bench *b = q->b;

    q->req = NULL;
    q->called += 1;
    dns_answer_unref(q->ans);
    q->ans = dns_answer_ref(ans);
    q->had = *had;
    if (q->cancels != NULL) {
        dns_cancel(&q->cancels->req);
    }
    if (q->frees) {
        resolver_free(b->r);
        b->r = NULL;
    }
    if (q->asks_again && b->r != NULL && q->called == 1) {
        q->req = dns_query(b->r, SLICE("again.test"), DNS_TYPE_A, on_answer, q);
    }
    b->done += 1;
    if (b->done == b->wanted) {
        loop_stop(b->loop);
    }
}

static void ask(struct bench *b, struct asked *q, struct slice name, enum dns_type type)
{
    unsigned before = b->done;

    q->b = b;
    q->req = dns_query(b->r, name, type, on_answer, q);
    assert_non_null(q->req);
    assert_int_equal(b->done, before); /* never from inside */
}

/* Until `more` further callbacks have run. */
static void wait_for(struct bench *b, unsigned more)
{
    b->wanted = b->done + more;
    b->late = false;
    timer_start(&b->guard, PATIENCE_MS);
    loop_run(b->loop);
    timer_stop(&b->guard);
    assert_false(b->late);
}

static void wait_ms(struct bench *b, unsigned ms)
{
    b->wanted = 0;
    timer_start(&b->guard, ms);
    loop_run(b->loop);
}

static void drop(struct asked *q)
{
    dns_cancel(&q->req);
    dns_answer_unref(q->ans);
    *q = (struct asked){ .b = NULL };
}

/* Asks and waits; q may be used again without drop(). */
static struct dns_answer *get(struct bench *b, struct asked *q, const char *name, enum dns_type type)
{
    ask(b, q, slice_str(name), type);
    wait_for(b, 1);
    return q->ans;
}

static void open_resolver(struct bench *b, size_t servers, void (*change)(struct dns_settings *))
{
    struct addr list[2] = { b->one.addr, b->two.addr };
    struct dns_settings s = dns_settings_default();

    s.servers = list;
    s.server_count = servers;
    s.timeout_ms = 150;
    s.cache_entries = 10000;
    if (change != NULL) {
        change(&s);
    }
    b->r = resolver_new(b->loop, &s);
}

static struct dns_stats stats(const struct bench *b)
{
    struct dns_stats st;

    resolver_stats(b->r, &st);
    return st;
}

static int set_up(void **state)
{
    struct bench *b = xcalloc(1, sizeof(*b));

    b->loop = loop_new();
    server_start(&b->one, b->loop);
    server_start(&b->two, b->loop);
    timer_init(&b->guard, b->loop, on_guard, b);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    resolver_free(b->r);
    timer_stop(&b->guard);
    server_stop(&b->one);
    server_stop(&b->two);
    loop_free(b->loop);
    free(b);
    return 0;
}

/* ---- the ordinary ---- */

static void answers_come_from_the_network_and_then_from_the_cache(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };

    open_resolver(b, 1, NULL);
    get(b, &q, "Host.Test.", DNS_TYPE_A);
    assert_int_equal(q.ans->status, DNS_OK);
    assert_int_equal(q.ans->ttl_s, 60);
    assert_true(addr_same_ip(&q.ans->server, &b->one.addr));
    assert_true(q.ans->network_us > 0);
    assert_false(q.had.cached);
    get(b, &q, "hOST.test", DNS_TYPE_A);
    assert_true(q.had.cached);
    assert_int_equal(b->one.udp_queries, 1);
    get(b, &q, "host.test", DNS_TYPE_TXT); /* another type is another question */
    assert_int_equal(b->one.udp_queries, 2);
    assert_int_equal(b->one.with_opt, 2);
    assert_int_equal(stats(b).cache_hits, 1);
    assert_int_equal(stats(b).requests, 0);
    assert_int_equal(stats(b).cache_entries, 2);
    drop(&q);
}

struct answer_row {
    const char *name;
    enum dns_type type;
    enum dns_status want;
    enum dns_why why;
    uint32_t ttl_s;
};

static const struct answer_row answer_rows[] = {
    { "alias.test", DNS_TYPE_A, DNS_OK, DNS_WHY_NONE, 30 },
    { "nx.test", DNS_TYPE_A, DNS_NXDOMAIN, DNS_WHY_NONE, 30 },
    { "nodata.test", DNS_TYPE_A, DNS_NODATA, DNS_WHY_NONE, 30 },
    { "other.test", DNS_TYPE_A, DNS_TEMPFAIL, DNS_WHY_GARBAGE, 5 },
    { "k900.test", DNS_TYPE_TXT, DNS_OK, DNS_WHY_NONE, 60 },
    { "big.test", DNS_TYPE_TXT, DNS_OK, DNS_WHY_NONE, 60 },
    { "servfail.test", DNS_TYPE_A, DNS_TEMPFAIL, DNS_WHY_SERVFAIL, 5 },
    { "refused.test", DNS_TYPE_A, DNS_TEMPFAIL, DNS_WHY_REFUSED, 5 },
    { "half.test", DNS_TYPE_A, DNS_TEMPFAIL, DNS_WHY_GARBAGE, 5 },
    { "silent.test", DNS_TYPE_A, DNS_TEMPFAIL, DNS_WHY_TIMEOUT, 5 },
    { "garbage.test", DNS_TYPE_A, DNS_TEMPFAIL, DNS_WHY_TIMEOUT, 5 },
    { "poison.test", DNS_TYPE_A, DNS_OK, DNS_WHY_NONE, 60 },
    { "noopt.test", DNS_TYPE_A, DNS_OK, DNS_WHY_NONE, 60 },
};

static void each_kind_of_answer_is_understood_and_remembered(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };

    open_resolver(b, 1, NULL);
    for (size_t i = 0; i < ARRAY_LEN(answer_rows); i++) {
        const struct answer_row *row = &answer_rows[i];
        unsigned sent;

        get(b, &q, row->name, row->type);
        if (q.ans->status != row->want || q.ans->why != row->why || q.ans->ttl_s != row->ttl_s) {
            fail_msg("%s: %s %s %u", row->name, dns_status_text(q.ans->status), dns_why_text(q.ans->why),
                     q.ans->ttl_s);
        }
        if (row->want == DNS_OK && row->type == DNS_TYPE_A) {
            assert_int_equal(dns_record_addr(&q.ans->records[0]).ip[0], 192);
        }
        sent = b->one.udp_queries;
        get(b, &q, row->name, row->type);
        assert_true(q.had.cached);
        assert_int_equal(q.ans->status, row->want);
        assert_int_equal(b->one.udp_queries, sent);
    }
    assert_int_equal(stats(b).timeouts, 4); /* two names, two attempts each */
    drop(&q);
}

static void a_truncated_answer_is_fetched_over_tcp(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };

    open_resolver(b, 1, NULL);
    get(b, &q, "big.test", DNS_TYPE_TXT);
    assert_int_equal(q.ans->records[0].data.len, 9000);
    assert_int_equal(b->one.tcp_queries, 1);
    get(b, &q, "k900.test", DNS_TYPE_TXT);
    assert_int_equal(q.ans->records[0].data.len, 900);
    assert_int_equal(b->one.tcp_queries, 1); /* EDNS: fits UDP */
    drop(&q);
}

static void a_server_without_edns_answers_every_question(void **state)
{
    struct bench *b = *state;
    struct asked q[20];
    char name[32];

    open_resolver(b, 1, NULL);
    b->one.opt = SERVER_OPT_FORMERR;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_LEN(q); i++) {
            size_t len = (size_t)snprintf(name, sizeof(name), "a%d-%zu.test", round, i);

            q[i] = (struct asked){ .b = b };
            ask(b, &q[i], slice_of(name, len), DNS_TYPE_A);
        }
        wait_for(b, ARRAY_LEN(q));
        for (size_t i = 0; i < ARRAY_LEN(q); i++) {
            assert_int_equal(q[i].ans->status, DNS_OK);
            drop(&q[i]);
        }
    }
    assert_true(b->one.udp_queries <= 80); /* only those that were out at first were sent twice */
    assert_true(stats(b).servers[0].up);
    get(b, &q[0], "big.test", DNS_TYPE_TXT);
    assert_int_equal(q[0].ans->records[0].data.len, 9000);
    drop(&q[0]);
}

static void a_server_that_drops_edns_is_used_from_the_second_attempt_on(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };

    open_resolver(b, 1, NULL);
    b->one.opt = SERVER_OPT_SILENT;
    assert_int_equal(get(b, &q, "a.test", DNS_TYPE_A)->status, DNS_OK);
    wait_ms(b, 200);
    for (int i = 0; i < 5; i++) {
        char name[32];

        snprintf(name, sizeof(name), "b%d.test", i);
        assert_int_equal(get(b, &q, name, DNS_TYPE_A)->status, DNS_OK);
        assert_true(q.ans->network_us < 100000);
    }
    drop(&q);
}

static void any_octet_reaches_the_server(void **state)
{
    static const uint8_t want[] = { 7, 'a', 0, '\\', '.' ^ 1, 0xff, ' ', '"', 4, 't', 'e', 's', 't', 0 };
    struct bench *b = *state;
    struct asked q = { .b = b };

    open_resolver(b, 1, NULL);
    ask(b, &q, SLICE("a\0\\/\xff \".test"), DNS_TYPE_A);
    wait_for(b, 1);
    assert_memory_equal(b->one.last_name, want, sizeof(want));
    drop(&q);
}

static void an_illegal_name_is_nxdomain_without_a_question(void **state)
{
    static const struct slice names[] = { SLICE_INIT(""), SLICE_INIT("."), SLICE_INIT("a..b"),
                                          SLICE_INIT(".a") };
    struct bench *b = *state;
    struct asked q = { .b = b };

    open_resolver(b, 1, NULL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        ask(b, &q, names[i], DNS_TYPE_A);
        wait_for(b, 1);
        assert_int_equal(q.ans->status, DNS_NXDOMAIN);
        assert_int_equal(q.ans->why, DNS_WHY_ILLEGAL);
    }
    assert_int_equal(b->one.udp_queries, 0);
    assert_int_equal(stats(b).illegal, ARRAY_LEN(names));
    drop(&q);
}

/* ---- many ---- */

static void equal_questions_share_one_flight(void **state)
{
    struct bench *b = *state;
    struct asked q[50];

    open_resolver(b, 1, NULL);
    b->one.delay_ms = 20;
    for (size_t i = 0; i < ARRAY_LEN(q); i++) {
        q[i] = (struct asked){ .b = b };
        ask(b, &q[i], SLICE("same.test"), DNS_TYPE_A);
    }
    wait_for(b, ARRAY_LEN(q));
    assert_int_equal(b->one.udp_queries, 1);
    assert_int_equal(stats(b).merged, ARRAY_LEN(q) - 1);
    for (size_t i = 0; i < ARRAY_LEN(q); i++) {
        assert_int_equal(q[i].called, 1);
        assert_int_equal(q[i].had.merged, i > 0);
        assert_ptr_equal(q[i].ans, q[0].ans);
    }
    for (size_t i = 0; i < ARRAY_LEN(q); i++) {
        drop(&q[i]);
    }
}

static void generous(struct dns_settings *s)
{
    s->timeout_ms = 3000;
    s->cache_entries = 1000;
    s->cache_bytes = 300000;
}

/* Half of them are asked twice. */
static void five_thousand_at_once_stay_under_the_cap(void **state)
{
    struct bench *b = *state;
    struct asked *q = xcalloc(MANY, sizeof(*q));
    struct dns_stats st;
    char name[32];

    open_resolver(b, 1, generous);
    b->one.delay_ms = 2;
    for (unsigned i = 0; i < MANY; i++) {
        size_t len = (size_t)snprintf(name, sizeof(name), "n%u.test", i % (MANY / 2));

        ask(b, &q[i], slice_of(name, len), DNS_TYPE_A);
    }
    st = stats(b);
    assert_int_equal(st.requests, MANY);
    assert_int_equal(st.in_flight, 128);
    assert_int_equal(st.queued, MANY / 2 - 128);
    wait_for(b, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(q[i].called, 1);
        assert_int_equal(q[i].ans->status, DNS_OK);
        drop(&q[i]);
    }
    st = stats(b);
    assert_int_equal(b->one.udp_queries, MANY / 2);
    assert_true(b->one.most_pending <= 128);
    assert_true(st.cache_entries <= 1000 && st.cache_bytes <= 300000);
    assert_int_equal(st.requests + st.in_flight + st.queued, 0);
    assert_int_equal(metric_get(M_DNS_QUEUED) + metric_get(M_DNS_IN_FLIGHT), 0);
    assert_true(metric_get(M_DNS_SENT) >= st.sent);
    free(q);
}

static void narrow(struct dns_settings *s)
{
    s->in_flight = 1;
    s->queue_max = 2;
}

static void a_full_queue_answers_overload_at_once(void **state)
{
    struct bench *b = *state;
    struct asked q[4] = { 0 };

    open_resolver(b, 1, narrow);
    b->one.delay_ms = 20;
    ask(b, &q[0], SLICE("a0.test"), DNS_TYPE_A);
    ask(b, &q[1], SLICE("a1.test"), DNS_TYPE_A);
    ask(b, &q[2], SLICE("a2.test"), DNS_TYPE_A);
    ask(b, &q[3], SLICE("a3.test"), DNS_TYPE_A);
    wait_for(b, 1);
    assert_int_equal(q[3].ans->status, DNS_TEMPFAIL);
    assert_int_equal(q[3].ans->why, DNS_WHY_OVERLOAD);
    wait_for(b, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(q[i].ans->status, DNS_OK);
    }
    get(b, &q[3], "a3.test", DNS_TYPE_A); /* was not remembered */
    assert_int_equal(q[3].ans->status, DNS_OK);
    for (size_t i = 0; i < 4; i++) {
        drop(&q[i]);
    }
}

static void who_waits_too_long_in_the_queue_is_told(void **state)
{
    struct bench *b = *state;
    struct asked q[3] = { 0 };

    open_resolver(b, 1, narrow);
    b->one.mode = SERVER_SILENT;
    ask(b, &q[0], SLICE("a0.test"), DNS_TYPE_A);
    ask(b, &q[1], SLICE("a1.test"), DNS_TYPE_A);
    ask(b, &q[2], SLICE("a2.test"), DNS_TYPE_A);
    wait_for(b, 3);
    assert_int_equal(q[0].ans->why, DNS_WHY_TIMEOUT);
    assert_int_equal(q[2].ans->why, DNS_WHY_OVERLOAD);
    for (size_t i = 0; i < 3; i++) {
        drop(&q[i]);
    }
}

static void narrow_and_patient(struct dns_settings *s)
{
    s->in_flight = 1;
    s->queue_max = 100;
    s->timeout_ms = 20000;
}

/* Somebody's name servers do not answer: that takes no place from others for long, and has a bound too. */
static void a_slow_question_leaves_its_place_to_others(void **state)
{
    struct bench *b = *state;
    struct asked slow[20] = { 0 }, good = { 0 };
    char name[32];

    open_resolver(b, 1, narrow_and_patient);
    for (unsigned i = 0; i < 20; i++) {
        size_t len = (size_t)snprintf(name, sizeof(name), "silent.n%u.site%u.test", i, i % 4);

        ask(b, &slow[i], slice_of(name, len), DNS_TYPE_A);
    }
    wait_ms(b, 10);
    assert_int_equal(stats(b).in_flight, 1);
    ask(b, &good, SLICE("good.test"), DNS_TYPE_A);
    wait_for(b, 1);
    assert_int_equal(good.called, 1);
    assert_int_equal(good.ans->status, DNS_OK);
    assert_true(stats(b).in_flight >= 2 && stats(b).queued >= 10);
    wait_ms(b, 3000);
    assert_int_equal(stats(b).in_flight, 8); /* and no more */
    for (unsigned i = 0; i < 20; i++) {
        drop(&slow[i]);
    }
    drop(&good);
}

/* ---- on the account of a client ---- */

static void paced(struct dns_settings *s)
{
    s->client_questions = (struct dns_rate){ 5, 600000 };
    s->client_failed = (struct dns_rate){ 2, 600000 };
    s->pace = dns_pace_new();
}

static const struct addr client = { .family = ADDR_V4, .ip = { 192, 0, 2, 1 } };

/* What came of a question for a client; `list`: failures are free. */
static struct dns_answer *get_for(struct bench *b, struct asked *q, const char *name, bool list)
{
    struct dns_asker who = { .resolver = b->r, .network = dns_network(&client), .failures_free = list };

    q->b = b;
    q->req = dns_query_for(&who, slice_str(name), DNS_TYPE_A, on_answer, q);
    wait_for(b, 1);
    return q->ans;
}

static void questions_of_a_client_end_at_its_pace(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };
    struct dns_pace *pace;
    char name[32];

    open_resolver(b, 1, paced);
    pace = b->r->settings.pace;
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "a%d.test", i);
        assert_int_equal(get_for(b, &q, name, false)->status, DNS_OK);
    }
    assert_int_equal(get_for(b, &q, "a5.test", false)->why, DNS_WHY_PACE);
    assert_int_equal(q.ans->status, DNS_TEMPFAIL);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(get_for(b, &q, "a0.test", false)->status, DNS_OK); /* the cache is free */
    }
    assert_int_equal(get(b, &q, "a5.test", DNS_TYPE_A)->status,
                     DNS_OK); /* nothing was remembered, and we may */
    assert_int_equal(b->one.udp_queries, 6);
    assert_int_equal(stats(b).paced, 1);
    drop(&q);
    resolver_free(b->r);
    b->r = NULL;
    dns_pace_free(pace);
}

static void failed_questions_of_a_client_end_sooner(void **state)
{
    static const char *const names[] = { "nx.a.test", "nodata.test", "silent.test", "servfail.test" };
    struct bench *b = *state;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct asked q = { .b = b };
        struct dns_pace *pace;
        char name[64];

        open_resolver(b, 1, paced);
        pace = b->r->settings.pace;
        snprintf(name, sizeof(name), "%s", names[i]);
        get_for(b, &q, name, true); /* a list that names nobody: free */
        for (unsigned k = 0; k < 2; k++) {
            snprintf(name, sizeof(name), "%.*s.k%u.test", (int)slice_find(slice_str(names[i]), '.'), names[i],
                     k);
            assert_int_not_equal(get_for(b, &q, name, false)->why, DNS_WHY_PACE);
        }
        assert_int_equal(get_for(b, &q, "fine.test", false)->why, DNS_WHY_PACE);
        assert_int_equal(get_for(b, &q, "listed.test", true)->status, DNS_OK);
        drop(&q);
        resolver_free(b->r);
        b->r = NULL;
        dns_pace_free(pace);
    }
}

/* ---- several servers ---- */

static void a_dead_server_is_left_and_taken_back(void **state)
{
    struct bench *b = *state;
    struct asked q[10] = { 0 };
    char name[32];
    unsigned asked_one;

    open_resolver(b, 2, NULL);
    b->one.mode = SERVER_SILENT;
    for (int i = 0; i < 10; i++) {
        size_t len = (size_t)snprintf(name, sizeof(name), "a%d.test", i);

        ask(b, &q[i], slice_of(name, len), DNS_TYPE_A);
    }
    wait_for(b, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(q[i].ans->status, DNS_OK);
        assert_int_equal(q[i].ans->server.port, b->two.addr.port);
        drop(&q[i]);
    }
    assert_false(stats(b).servers[0].up);
    asked_one = b->one.udp_queries;
    get(b, &q[0], "b1.test", DNS_TYPE_A);
    assert_true(q[0].ans->network_us < 100000); /* nobody pays for it any more */
    assert_int_equal(b->one.udp_queries, asked_one);

    b->one.mode = SERVER_GOOD;
    wait_ms(b, SERVER_BACKOFF_MIN_MS + 200);
    get(b, &q[0], "b2.test", DNS_TYPE_A); /* its copy is the probe */
    assert_int_equal(q[0].ans->server.port, b->two.addr.port);
    wait_ms(b, 50);
    assert_int_equal(b->one.udp_queries, asked_one + 2); /* with EDNS and without: it was never heard */
    assert_true(stats(b).servers[0].up);
    get(b, &q[0], "b3.test", DNS_TYPE_A);
    assert_int_equal(q[0].ans->server.port, b->one.addr.port);
    drop(&q[0]);
}

struct failover_row {
    const char *label;
    enum server_mode mode;
    bool closed;
    unsigned most_us;
};

static const struct failover_row failover_rows[] = {
    { "SERVFAIL", SERVER_SERVFAIL, false, 100000 },
    { "REFUSED", SERVER_REFUSED, false, 100000 },
    { "silence", SERVER_SILENT, false, 400000 },
    { "closed port", SERVER_GOOD, true, 100000 },
};

static void the_next_server_is_asked_after_a_failure(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };

    for (size_t i = 0; i < ARRAY_LEN(failover_rows); i++) {
        const struct failover_row *row = &failover_rows[i];

        open_resolver(b, 2, NULL);
        b->one.mode = row->mode;
        if (row->closed) {
            server_stop(&b->one);
        }
        get(b, &q, "host.test", DNS_TYPE_A);
        if (q.ans->status != DNS_OK || q.ans->server.port != b->two.addr.port ||
            q.ans->network_us > row->most_us) {
            fail_msg("%s: %s after %u us", row->label, dns_status_text(q.ans->status), q.ans->network_us);
        }
        resolver_free(b->r);
        b->r = NULL;
        drop(&q);
    }
}

static void what_all_servers_say_is_believed(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };

    open_resolver(b, 2, NULL);
    get(b, &q, "servfail.test", DNS_TYPE_A);
    assert_int_equal(q.ans->why, DNS_WHY_SERVFAIL);
    assert_int_equal(b->one.udp_queries + b->two.udp_queries, 2);
    assert_true(stats(b).servers[0].up);
    drop(&q);
}

static void no_server_at_all_is_a_quick_failure(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };

    open_resolver(b, 2, NULL);
    server_stop(&b->one);
    server_stop(&b->two);
    get(b, &q, "host.test", DNS_TYPE_A);
    assert_int_equal(q.ans->status, DNS_TEMPFAIL);
    assert_int_equal(q.ans->why, DNS_WHY_NETWORK);
    drop(&q);
}

static void an_ipv6_server_is_spoken_to(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };
    struct dns_settings s = dns_settings_default();
    struct addr a = { .family = ADDR_V6, .port = b->one.addr.port, .ip = { [15] = 1 } };

    s.servers = &a;
    s.server_count = 1;
    s.timeout_ms = 150;
    b->r = resolver_new(b->loop, &s);
    get(b, &q, "host.test", DNS_TYPE_A); /* nobody listens there */
    assert_int_equal(q.ans->status, DNS_TEMPFAIL);
    assert_int_equal(q.ans->server.family, ADDR_V6);
    assert_int_equal(b->one.udp_queries, 0);
    drop(&q);
}

static void on_back_again(void *arg)
{
    struct test_server *s = arg;
    struct loop *l = s->loop;
    struct addr at = s->addr;

    server_start_at(s, l, at.port);
}

static void a_server_that_restarts_is_asked_again(void **state)
{
    struct bench *b = *state;
    struct asked q[3] = { 0 };
    struct timer back;

    open_resolver(b, 1, NULL);
    server_stop(&b->one);
    timer_init(&back, b->loop, on_back_again, &b->one);
    timer_start(&back, 40); /* within the pause, which is half the timeout */
    ask(b, &q[0], SLICE("host.test"), DNS_TYPE_A);
    wait_for(b, 1);
    assert_int_equal(q[0].ans->status, DNS_OK);
    drop(&q[0]);

    /* in the pause: cancelled, and freed */
    server_stop(&b->one);
    ask(b, &q[1], SLICE("b1.test"), DNS_TYPE_A);
    ask(b, &q[2], SLICE("b1.test"), DNS_TYPE_A);
    wait_ms(b, 30);
    dns_cancel(&q[1].req);
    dns_cancel(&q[2].req);
    ask(b, &q[1], SLICE("b2.test"), DNS_TYPE_A);
    wait_ms(b, 30);
    assert_int_equal(stats(b).in_flight, 0);
    resolver_free(b->r);
    b->r = NULL;
    drop(&q[1]);
}

/* ---- cancelling and freeing ---- */

static void a_cancelled_question_is_not_delivered_in_any_state(void **state)
{
    struct bench *b = *state;
    struct asked flying = { 0 }, queued = { 0 }, ready = { 0 }, cached = { 0 }, last = { 0 };

    open_resolver(b, 1, narrow);
    get(b, &cached, "cached.test", DNS_TYPE_A);
    b->one.delay_ms = 30;
    ask(b, &flying, SLICE("flying.test"), DNS_TYPE_A);
    ask(b, &queued, SLICE("queued.test"), DNS_TYPE_A);
    ask(b, &ready, SLICE("cached.test"), DNS_TYPE_A);
    dns_cancel(&flying.req);
    dns_cancel(&queued.req);
    dns_cancel(&ready.req);
    assert_null(flying.req);
    dns_cancel(&flying.req); /* again: nothing */
    assert_int_equal(stats(b).queued, 0);
    assert_int_equal(stats(b).requests, 0);
    ask(b, &last, SLICE("last.test"), DNS_TYPE_A);
    wait_for(b, 1);
    assert_int_equal(flying.called + queued.called + ready.called, 0);
    assert_int_equal(b->one.udp_queries, 3); /* the queued one never left */
    /* the one on the wire flew on */
    get(b, &flying, "flying.test", DNS_TYPE_A);
    assert_true(flying.had.cached);
    drop(&flying);
    drop(&cached);
    drop(&last);
}

static void a_callback_may_cancel_another_and_ask_again(void **state)
{
    struct bench *b = *state;
    struct asked q[3] = { 0 };

    open_resolver(b, 1, NULL);
    q[0].cancels = &q[1];
    q[0].asks_again = true;
    for (size_t i = 0; i < 3; i++) {
        ask(b, &q[i], SLICE("same.test"), DNS_TYPE_A);
    }
    wait_for(b, 3); /* the first twice, the third */
    assert_int_equal(q[0].called, 2);
    assert_int_equal(q[1].called, 0);
    assert_int_equal(q[2].called, 1);
    for (size_t i = 0; i < 3; i++) {
        drop(&q[i]);
    }
}

static void the_resolver_may_be_freed_with_everything_out(void **state)
{
    struct bench *b = *state;
    struct asked q[6] = { 0 };

    open_resolver(b, 2, narrow);
    get(b, &q[0], "cached.test", DNS_TYPE_A);
    ask(b, &q[0], SLICE("silent.test"), DNS_TYPE_A);
    ask(b, &q[1], SLICE("silent.test"), DNS_TYPE_A);
    ask(b, &q[2], SLICE("a1.test"), DNS_TYPE_A);
    ask(b, &q[3], SLICE("cached.test"), DNS_TYPE_A);
    ask(b, &q[4], SLICE("a..b"), DNS_TYPE_A);
    resolver_free(b->r);
    b->r = NULL;
    wait_ms(b, 50);
    for (size_t i = 1; i < 5; i++) {
        assert_int_equal(q[i].called, 0);
    }
    for (size_t i = 0; i < 6; i++) {
        drop(&q[i]);
    }
}

static void a_callback_may_free_the_resolver(void **state)
{
    struct bench *b = *state;
    struct asked q[4] = { 0 };

    open_resolver(b, 1, NULL);
    b->one.delay_ms = 10;
    q[1].frees = true;
    for (size_t i = 0; i < 4; i++) {
        ask(b, &q[i], i < 3 ? SLICE("same.test") : SLICE("other.test"), DNS_TYPE_A);
    }
    wait_for(b, 2);
    wait_ms(b, 50);
    assert_int_equal(q[0].called + q[1].called, 2);
    assert_int_equal(q[2].called + q[3].called, 0);
    for (size_t i = 0; i < 4; i++) {
        drop(&q[i]);
    }
}

static void a_callback_may_free_the_resolver_on_failure(void **state)
{
    struct bench *b = *state;
    struct asked q[2] = { 0 };

    open_resolver(b, 1, NULL);
    q[0].frees = true;
    ask(b, &q[0], SLICE("silent.test"), DNS_TYPE_A);
    ask(b, &q[1], SLICE("silent.test"), DNS_TYPE_TXT);
    wait_for(b, 1);
    drop(&q[0]);
    drop(&q[1]);
}

static void a_late_answer_still_fills_the_cache(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };

    open_resolver(b, 1, NULL);
    b->one.delay_ms = 100;
    ask(b, &q, SLICE("late.test"), DNS_TYPE_A);
    dns_cancel(&q.req);
    wait_ms(b, 140);
    get(b, &q, "late.test", DNS_TYPE_A);
    assert_true(q.had.cached);
    assert_int_equal(q.ans->status, DNS_OK);
    drop(&q);
}

static void answers_stay_readable_while_they_are_held(void **state)
{
    struct bench *b = *state;
    struct asked q = { .b = b };
    struct dns_answer *held;

    open_resolver(b, 1, NULL);
    held = dns_answer_ref(get(b, &q, "host.test", DNS_TYPE_A));
    resolver_free(b->r);
    b->r = NULL;
    drop(&q);
    assert_int_equal(held->records[0].data.len, 4);
    dns_answer_unref(held);
}

static void resolv_conf_is_read_when_no_server_is_given(void **state)
{
    char path[] = "/tmp/glacis-resolv-XXXXXX";
    int fd = mkstemp(path);
    struct bench *b = *state;
    struct dns_settings s = dns_settings_default();

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "nameserver 192.0.2.7\nnameserver 2001:db8::7\n", 44), 44);
    close(fd);
    s.resolv_conf = path;
    b->r = resolver_new(b->loop, &s);
    unlink(path);
    assert_int_equal(stats(b).server_count, 2);
    assert_int_equal(stats(b).servers[0].addr.ip[3], 7);
    assert_int_equal(stats(b).servers[1].addr.port, 53);
    resolver_free(b->r);
    b->r = resolver_new(b->loop, &s); /* the file is gone */
    assert_int_equal(stats(b).server_count, 1);
    assert_int_equal(stats(b).servers[0].addr.ip[0], 127);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_come_from_the_network_and_then_from_the_cache),
        TEST(each_kind_of_answer_is_understood_and_remembered),
        TEST(a_truncated_answer_is_fetched_over_tcp),
        { "A16: a server without EDNS answers every question", a_server_without_edns_answers_every_question,
          set_up, tear_down, NULL },
        { "A16: a server that drops EDNS is used from the second attempt on",
          a_server_that_drops_edns_is_used_from_the_second_attempt_on, set_up, tear_down, NULL },
        TEST(any_octet_reaches_the_server),
        TEST(an_illegal_name_is_nxdomain_without_a_question),
        TEST(equal_questions_share_one_flight),
        TEST(five_thousand_at_once_stay_under_the_cap),
        TEST(a_full_queue_answers_overload_at_once),
        TEST(who_waits_too_long_in_the_queue_is_told),
        TEST(a_slow_question_leaves_its_place_to_others),
        { "C11: questions of a client end at its pace", questions_of_a_client_end_at_its_pace, set_up,
          tear_down, NULL },
        { "C11: failed questions of a client end sooner", failed_questions_of_a_client_end_sooner, set_up,
          tear_down, NULL },
        TEST(a_dead_server_is_left_and_taken_back),
        TEST(the_next_server_is_asked_after_a_failure),
        TEST(what_all_servers_say_is_believed),
        TEST(no_server_at_all_is_a_quick_failure),
        TEST(an_ipv6_server_is_spoken_to),
        TEST(a_server_that_restarts_is_asked_again),
        TEST(a_cancelled_question_is_not_delivered_in_any_state),
        TEST(a_callback_may_cancel_another_and_ask_again),
        TEST(the_resolver_may_be_freed_with_everything_out),
        TEST(a_callback_may_free_the_resolver),
        TEST(a_callback_may_free_the_resolver_on_failure),
        TEST(a_late_answer_still_fills_the_cache),
        TEST(answers_stay_readable_while_they_are_held),
        TEST(resolv_conf_is_read_when_no_server_is_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
