/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_spf_hostile.c - records published to hurt: each engine must live, be right and be quick.
 *
 * The first group is what libspf2 1.2.10 dies or hangs of, or gets wrong, when it is given the records as
 * they are; the second aims at limits of ours.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "policy/spf/spf.h"
#include "test/unit/policy/spf_fixture.h"

enum {
    STEP_MAX_US = 200 * 1000, /* one step, even under sanitizers on a busy machine */
    PIECES = 600,
};

/* Texts live until the test ends. */
struct lab {
    struct zone zone;
    struct buf text[PIECES];
    size_t used;
};

static struct buf *new_text(struct lab *l)
{
    assert_true(l->used < PIECES);
    buf_init(&l->text[l->used], 1 << 20);
    return &l->text[l->used++];
}

static void repeat(struct buf *b, const char *word, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_put_str(b, word);
    }
}

static void add(struct lab *l, const char *name, int type, struct slice data)
{
    zone_put(&l->zone, (struct zone_entry){ .name = slice_str(name), .type = type, .data = data });
}

static void add_txt(struct lab *l, const char *name, const char *text)
{
    add(l, name, SPF_TYPE_TXT, slice_str(text));
}

/* The name "<prefix><n>.test". */
static const char *numbered(struct lab *l, const char *prefix, unsigned n)
{
    struct buf *b = new_text(l);

    buf_putf(b, "%s%u.test", prefix, n);
    return b->ptr;
}

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Plays one evaluation and measures its longest step. */
static struct spf *play(struct lab *l, const struct spf_input *in)
{
    struct spf *e = spf_new(in);
    const struct spf_want *wants;
    uint64_t longest = 0;
    uint64_t sum = 0;

    for (;;) {
        uint64_t start = now_us();
        size_t n = spf_step(e, &wants);
        uint64_t took = now_us() - start;

        longest = took > longest ? took : longest;
        sum += took;
        if (n == 0) {
            break;
        }
        for (size_t i = 0; i < n; i++) {
            zone_feed(&l->zone, e, &wants[i]);
        }
    }
    print_message("  engine %d: %s, %u lookups, %u steps, longest %u us, sum %u us; %s\n", (int)in->engine,
                  spf_result_text(spf_verdict(e)->result), spf_verdict(e)->lookups, spf_verdict(e)->steps,
                  (unsigned)longest, (unsigned)sum, spf_verdict(e)->problem);
    assert_true(longest < STEP_MAX_US);
    assert_true(spf_verdict(e)->lookups <= SPF_QUERIES_MAX);
    return e;
}

/* The verdict on a@h.test from 192.0.2.1 with every engine. */
static void expect(struct lab *l, enum spf_result want, const char *explanation)
{
    for (int i = 0; i < SPF_ENGINE_COUNT; i++) {
        struct spf_input in = {
            .client = zone_addr("192.0.2.1"),
            .sender = SLICE("a@h.test"),
            .helo = SLICE("helo.test"),
            .engine = (enum spf_engine)i,
            .explain = true,
        };
        struct spf *e;

        if (!spf_engine_built(in.engine)) {
            continue;
        }
        e = play(l, &in);
        assert_string_equal(spf_result_text(want), spf_result_text(spf_verdict(e)->result));
        if (explanation != NULL) {
            assert_string_equal(explanation, spf_verdict(e)->explanation);
        }
        spf_free(e);
    }
}

static int set_up(void **state)
{
    *state = xcalloc(1, sizeof(struct lab));
    return 0;
}

static int tear_down(void **state)
{
    struct lab *l = *state;

    for (size_t i = 0; i < l->used; i++) {
        buf_fini(&l->text[i]);
    }
    free(l);
    return 0;
}

static void explanation_of_127_macros_and_more(void **state)
{
    static const size_t more[] = { 0, 1, 3000 };

    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        struct lab *l = *state;
        struct buf *exp = new_text(l);
        struct buf *want = new_text(l);

        l->zone.count = 0;
        repeat(exp, "%{d}", 127);
        repeat(exp, "A", more[i]);
        repeat(want, "h.test", 127);
        repeat(want, "A", min_size(more[i], SPF_EXPLANATION_MAX - 127 * 6));
        add_txt(l, "h.test", "v=spf1 -all exp=e.test");
        add(l, "e.test", SPF_TYPE_TXT, buf_slice(exp));
        expect(l, SPF_FAIL, want->ptr);
    }
}

static void long_term_of_127_macros(void **state)
{
    static const struct {
        const char *start;
        const char *end;
        enum spf_result want;
    } cases[] = {
        { "v=spf1 exists:", ".x -all", SPF_FAIL },       { "v=spf1 redirect=", ".x", SPF_PERMERROR },
        { "v=spf1 -all exp=", ".x", SPF_FAIL },          { "v=spf1 -all foo=", "", SPF_FAIL },
        { "v=spf1 include:", ".x -all", SPF_PERMERROR }, { "v=spf1 mx:", ".x/24 -all", SPF_FAIL },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct lab *l = *state;
        struct buf *b = new_text(l);

        l->zone.count = 0;
        buf_put_str(b, cases[i].start);
        repeat(b, "%{d}", 127);
        repeat(b, "A", 4500);
        buf_put_str(b, cases[i].end);
        add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
        expect(l, cases[i].want, "");
    }
}

static void tree_of_includes(void **state)
{
    struct lab *l = *state;

    add_txt(l, "h.test", "v=spf1 include:n0.test -all");
    for (unsigned level = 0; level < 7; level++) {
        for (unsigned i = 0; i < 10; i++) {
            struct buf *b = new_text(l);

            buf_put_str(b, "v=spf1");
            for (unsigned k = 0; k < 10; k++) {
                buf_putf(b, " include:n%u.test", (level + 1) * 10 + k);
            }
            add(l, numbered(l, "n", level * 10 + i), SPF_TYPE_TXT, buf_slice(b));
        }
    }
    for (unsigned i = 0; i < 10; i++) {
        add_txt(l, numbered(l, "n", 70 + i), "v=spf1 -all");
    }
    expect(l, SPF_PERMERROR, NULL);
}

static void term_257_of_260(void **state)
{
    struct lab *l = *state;
    struct buf *b = new_text(l);

    buf_put_str(b, "v=spf1");
    repeat(b, " ip4:203.0.113.1", 256);
    buf_put_str(b, " -ip4:192.0.2.1");
    repeat(b, " ip4:192.0.2.1", 3);
    add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
    expect(l, SPF_FAIL, NULL);
}

static void numbers_beyond_their_type(void **state)
{
    static const struct {
        const char *record;
        enum spf_result want;
    } cases[] = {
        { "v=spf1 ip4:1.2.3.4/4294967096 -all", SPF_PERMERROR },
        { "v=spf1 ip4:1.2.3.4/18446744073709551616 -all", SPF_PERMERROR },
        { "v=spf1 a:ok.test/4294967320 -all", SPF_PERMERROR },
        { "v=spf1 a:ok.test//4294967296 -all", SPF_PERMERROR },
        { "v=spf1 exists:%{d4294967297}.ok.test ?all", SPF_PASS },
        { "v=spf1 exists:%{d2147483648r}.ok.test ?all", SPF_NEUTRAL },
        { "v=spf1 ip4:0.0.0.0/0 -all", SPF_PASS },
        { "v=spf1 -a:ok.test/0 all", SPF_FAIL },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct lab *l = *state;

        l->zone.count = 0;
        add_txt(l, "h.test", cases[i].record);
        add(l, "ok.test", SPF_TYPE_A, SLICE("\x01\x02\x03\x04"));
        add(l, "h.test.ok.test", SPF_TYPE_A, SLICE("\x7f\x00\x00\x02"));
        expect(l, cases[i].want, NULL);
    }
}

static void every_look_up_there_can_be(void **state)
{
    struct lab *l = *state;
    struct buf *b = new_text(l);

    buf_put_str(b, "v=spf1");
    repeat(b, " ip4:1.2.3.4/32", 480);
    for (unsigned i = 0; i < 10; i++) {
        buf_putf(b, " mx:%%{p}.m%u.test", i);
        for (unsigned k = 0; k < 10; k++) {
            const char *host = numbered(l, "h", i * 10 + k);
            struct buf *name = new_text(l);

            buf_putf(name, "unknown.m%u.test", i);
            add(l, name->ptr, SPF_TYPE_MX, slice_str(host));
            add(l, host, SPF_TYPE_A, SLICE("\xcb\x00\x71\x02"));
        }
    }
    buf_put_str(b, " -all exp=%{p}.why.test");
    add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
    for (unsigned i = 0; i < 40; i++) {
        add(l, "1.2.0.192.in-addr.arpa", SPF_TYPE_PTR, slice_str(numbered(l, "p", i)));
    }
    add_txt(l, "unknown.why.test", "because");
    expect(l, SPF_FAIL, "because");
}

static void megabytes_of_macros(void **state)
{
    struct lab *l = *state;
    struct buf *b = new_text(l);

    buf_put_str(b, "v=spf1 exists:");
    repeat(b, "%{i}", 2000);
    buf_put_str(b, " -all");
    add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
    expect(l, SPF_FAIL, NULL);
    l->zone.count = 0;
    b = new_text(l);
    buf_put_str(b, "v=spf1");
    for (int i = 0; i < 9; i++) {
        buf_put_str(b, " exists:");
        repeat(b, "%{ir}%{S1r-}", 70);
    }
    buf_put_str(b, " -all");
    add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
    expect(l, SPF_PERMERROR, NULL); /* voids or budget, whichever is first */
}

static void records_at_and_over_their_limits(void **state)
{
    static const struct {
        const char *word;
        size_t count;
        enum spf_result want;
    } cases[] = {
        { " x=", 512, SPF_NEUTRAL },   { " x=", 513, SPF_PERMERROR },
        { " ", 8186, SPF_NEUTRAL },    { " ", 8187, SPF_PERMERROR },
        { " ", 60000, SPF_PERMERROR }, { " ip6:2001:db8::/32", 454, SPF_NEUTRAL },
        { "x", 60000, SPF_NONE },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct lab *l = *state;
        struct buf *b = new_text(l);

        l->zone.count = 0;
        buf_put_str(b, "v=spf1");
        repeat(b, cases[i].word, cases[i].count);
        add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
        expect(l, cases[i].want, NULL);
    }
}

static void large_answers(void **state)
{
    struct lab *l = *state;

    add_txt(l, "h.test", "v=spf1 a -all");
    for (int i = 0; i < 500; i++) {
        add(l, "h.test", SPF_TYPE_A, SLICE("\xcb\x00\x71\x02"));
    }
    expect(l, SPF_FAIL, NULL);
}

/* Octets that evaluations hold: blocks of malloc, and those of slabs. */
static size_t heap_now(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

/* What one evaluation of h.test holds at its end, beside what the first of them leaves in slabs. */
static size_t heap_of_one(struct lab *l, enum spf_result want)
{
    struct spf_input in = {
        .client = zone_addr("192.0.2.1"), .sender = SLICE("a@h.test"), .helo = SLICE("h"), .explain = true
    };
    size_t before, after;
    struct spf *e;

    spf_free(play(l, &in));
    before = heap_now();
    e = play(l, &in);
    after = heap_now();
    assert_string_equal(spf_result_text(want), spf_result_text(spf_verdict(e)->result));
    spf_free(e);
    print_message("  %zu octets\n", after - min_size(after, before));
    return after - min_size(after, before);
}

/* 20 TXT records of 60,000 octets beside the one of SPF: the domain pays for the latter only. */
static void other_txt_records_are_not_kept(void **state)
{
    struct lab *l = *state;
    struct buf *b = new_text(l);

    repeat(b, "x", 60000);
    for (int i = 0; i < 20; i++) {
        add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
        add(l, "e.test", SPF_TYPE_TXT, buf_slice(b));
    }
    add_txt(l, "h.test", "v=spf1 -all exp=e.test");
    expect(l, SPF_FAIL, "");
    assert_true(heap_of_one(l, SPF_FAIL) < 8 * 1024);
}

static void a_long_record_is_kept_as_far_as_it_may_be_long(void **state)
{
    struct lab *l = *state;
    struct buf *b = new_text(l);

    buf_put_str(b, "v=spf1");
    repeat(b, " ip4:203.0.113.1", 3700);
    add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
    expect(l, SPF_PERMERROR, NULL);
    assert_true(heap_of_one(l, SPF_PERMERROR) < 24 * 1024);
}

/* Eleven records of 8 KiB, ten MX with ten hosts, each with 500 addresses; and no more than the cap. */
static void all_that_one_evaluation_can_hold(void **state)
{
    struct lab *l = *state;

    for (unsigned i = 0; i < 10; i++) {
        struct buf *b = new_text(l);

        buf_putf(b, "v=spf1 include:n%u.test", i + 1);
        repeat(b, " ", 8192 - b->len);
        add(l, i == 0 ? "h.test" : numbered(l, "n", i), SPF_TYPE_TXT, buf_slice(b));
    }
    add_txt(l, "n10.test", "v=spf1 a -all");
    for (unsigned i = 0; i < 500; i++) {
        add(l, "n10.test", SPF_TYPE_A, SLICE("\xcb\x00\x71\x02"));
    }
    expect(l, SPF_PERMERROR, NULL);
    assert_true(heap_of_one(l, SPF_PERMERROR) < SPF_ARENA_MAX + 64 * 1024);
}

/* h.test with nine mx of ten hosts each, none of them in the zone; or all of them silent. */
static void add_mx_of_strangers(struct lab *l, bool silent)
{
    struct buf *b = new_text(l);

    l->zone.count = 0;
    buf_put_str(b, "v=spf1");
    for (unsigned i = 0; i < 9; i++) {
        const char *domain = numbered(l, "m", i);

        buf_putf(b, " mx:%s", domain);
        for (unsigned k = 0; k < 10; k++) {
            const char *host = numbered(l, "victim", 10 * i + k);

            add(l, domain, SPF_TYPE_MX, slice_str(host));
            if (silent) {
                add(l, host, ZONE_TIMEOUT, SLICE_NONE);
            }
        }
    }
    buf_put_str(b, " -all");
    add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
}

static unsigned lookups_of(struct lab *l, enum spf_engine engine)
{
    struct spf_input in = {
        .client = zone_addr("192.0.2.1"), .sender = SLICE("a@h.test"), .helo = SLICE("h"), .engine = engine
    };
    struct spf *e = play(l, &in);
    unsigned lookups = spf_verdict(e)->lookups;

    spf_free(e);
    return lookups;
}

static void hosts_of_an_mx_end_at_the_third_void(void **state)
{
    struct lab *l = *state;

    add_mx_of_strangers(l, false);
    expect(l, SPF_PERMERROR, NULL);
    for (int i = 0; i < SPF_ENGINE_COUNT; i++) {
        assert_int_equal(lookups_of(l, (enum spf_engine)i), 6); /* the record, one MX, four hosts */
    }
    add_mx_of_strangers(l, true);
    expect(l, SPF_TEMPERROR, NULL);
    for (int i = 0; i < SPF_ENGINE_COUNT; i++) {
        assert_int_equal(lookups_of(l, (enum spf_engine)i), 4); /* the record, one MX, two hosts */
    }
}

/* Hosts that exist, without an address of the client's family: void for A, not for AAAA. */
static void hosts_of_an_mx_without_an_address_are_void(void **state)
{
    struct lab *l = *state;
    struct spf_input v6 = { .client = zone_addr("2001:db8::1"),
                            .sender = SLICE("a@h.test"),
                            .helo = SLICE("h") };
    struct spf *e;

    add_mx_of_strangers(l, false);
    for (unsigned i = 0; i < 90; i++) {
        add_txt(l, numbered(l, "victim", i), "exists");
    }
    expect(l, SPF_PERMERROR, NULL);
    assert_int_equal(lookups_of(l, SPF_ENGINE_NATIVE), 6);
    e = play(l, &v6);
    assert_int_equal(spf_verdict(e)->result, SPF_FAIL);
    assert_int_equal(spf_verdict(e)->lookups, 100);
    spf_free(e);
}

static void hosts_of_an_mx_end_at_a_match(void **state)
{
    struct lab *l = *state;

    add_mx_of_strangers(l, true);
    add(l, "victim1.test", SPF_TYPE_A, SLICE("\xc0\x00\x02\x01"));
    expect(l, SPF_PASS, NULL);
    assert_int_equal(lookups_of(l, SPF_ENGINE_NATIVE), 4);
}

static void names_of_a_client_end_at_two_that_lead_nowhere(void **state)
{
    struct lab *l = *state;

    add_txt(l, "h.test", "v=spf1 ptr:c.test exists:%{p}.why.test -all");
    for (unsigned i = 0; i < 10; i++) {
        struct buf *name = new_text(l);

        buf_putf(name, "victim%u.c.test", i);
        add(l, "1.2.0.192.in-addr.arpa", SPF_TYPE_PTR, buf_slice(name));
    }
    expect(l, SPF_FAIL, NULL);
    for (int i = 0; i < SPF_ENGINE_COUNT; i++) {
        assert_int_equal(lookups_of(l, (enum spf_engine)i), 5); /* the record, PTR, two names, exists */
    }
}

static void names_of_our_own_in_an_mx(void **state)
{
    struct lab *l = *state;

    /* the stand-ins of spf_libspf2.c, published by somebody */
    add_txt(l, "h.test", "v=spf1 mx ptr:t.invalid a:h0.invalid include:t.invalid -all");
    add(l, "h.test", SPF_TYPE_MX, SLICE("h1.invalid"));
    add(l, "h.test", SPF_TYPE_MX, SLICE("t.invalid"));
    add(l, "h0.invalid", SPF_TYPE_A, SLICE("\xcb\x00\x71\x02"));
    add(l, "1.2.0.192.in-addr.arpa", SPF_TYPE_PTR, SLICE("h0.t.invalid"));
    add_txt(l, "t.invalid", "v=spf1 -all");
    expect(l, SPF_FAIL, NULL);
}

static void labels_that_cannot_be(void **state)
{
    struct lab *l = *state;
    struct buf *b = new_text(l);

    buf_put_str(b, "v=spf1 a:");
    repeat(b, "a", 64);
    buf_put_str(b, ".test exists:.test -all");
    add(l, "h.test", SPF_TYPE_TXT, buf_slice(b));
    expect(l, SPF_FAIL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(explanation_of_127_macros_and_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_term_of_127_macros, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tree_of_includes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(term_257_of_260, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_beyond_their_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_look_up_there_can_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(megabytes_of_macros, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records_at_and_over_their_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_answers, set_up, tear_down),
        { "C3: other TXT records of a name are not kept", other_txt_records_are_not_kept, set_up, tear_down,
          NULL },
        { "C3: a long record is kept as far as it may be long",
          a_long_record_is_kept_as_far_as_it_may_be_long, set_up, tear_down, NULL },
        { "C3: all that one evaluation can hold", all_that_one_evaluation_can_hold, set_up, tear_down, NULL },
        { "C11: hosts of an mx end at the third void", hosts_of_an_mx_end_at_the_third_void, set_up,
          tear_down, NULL },
        { "C11: hosts of an mx without an address are void", hosts_of_an_mx_without_an_address_are_void,
          set_up, tear_down, NULL },
        { "C11: hosts of an mx end at a match", hosts_of_an_mx_end_at_a_match, set_up, tear_down, NULL },
        { "C11: names of a client end at two that lead nowhere",
          names_of_a_client_end_at_two_that_lead_nowhere, set_up, tear_down, NULL },
        cmocka_unit_test_setup_teardown(names_of_our_own_in_an_mx, set_up, tear_down),
        cmocka_unit_test_setup_teardown(labels_that_cannot_be, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
