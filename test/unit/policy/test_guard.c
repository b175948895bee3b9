/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard's decisions on one record: what demotes, what does not, what brings a list back, whose word wins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "policy/lists/guard_canary.h"
#include "state/memory.h"
#include "test/unit/policy/guard_settings.h"

#define NOW ((int64_t)1700000000)
#define HALF_HOUR 1800

static const struct guard_list blocks = { .allows = false, .probe = true };
static const struct guard_list silent = { .allows = false, .probe = false }; /* probe: off */

/* Each of a network of its own. */
static struct addr client(unsigned n)
{
    return (struct addr){ .family = ADDR_V4, .ip = { 198, (uint8_t)(n / 256), (uint8_t)n, 51 } };
}

static unsigned witness(struct memory_list *l, unsigned n, bool listed, struct guard_witness w)
{
    w.ip = client(n);
    w.listed = listed;
    w.who = SLICE("somebody");
    return guard_witness(l, &settings, &blocks, &w, NOW + n);
}

/* So many strangers in a row, all listed; returns the number of the one that demoted it, 0: none. */
static unsigned all_listed(struct memory_list *l, unsigned count, const struct guard_witness *w)
{
    for (unsigned n = 1; n <= count; n++) {
        if ((witness(l, n, true, *w) & GUARD_DEMOTED) != 0) {
            return n;
        }
    }
    return 0;
}

static void a_yes_to_nearly_everybody_demotes_by_itself(void **st)
{
    static const struct guard_witness stranger = { .bad = false };
    struct memory_list l = { .name = "l" };

    (void)st;
    assert_int_equal(all_listed(&l, 119, &stranger), 50);
    assert_int_equal(l.reason, GUARD_UNIVERSAL);
    assert_string_equal(l.why, "50 of 50 clients");
    assert_int_equal(guard_mode(&l, LIST_MODE_ENFORCE, NOW + 60), LIST_MODE_MONITOR);
}

static void one_client_that_comes_again_and_again_is_one(void **st)
{
    static const struct addr homes[] = { { ADDR_V4, 0, { 9 } },
                                         { ADDR_V6, 0, { 0x20, 1, 0x0d, 0xb8 } } }; /* a /24, a /48 */

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(homes); i++) {
        struct memory_list l = { .name = "l" };
        struct guard_witness w = { .who = SLICE("it"), .listed = true, .ip = homes[i] };

        for (unsigned n = 0; n < 5000; n++) { /* from all its addresses */
            w.ip.ip[w.ip.family == ADDR_V4 ? 3 : 7] = (uint8_t)n;
            assert_int_equal(guard_witness(&l, &settings, &blocks, &w, NOW + n / 10), 0);
        }
    }
}

static void a_wave_does_not(void **st)
{
    static const struct guard_witness confirmed = { .bad = true }, stranger = { .bad = false };
    static const struct guard_witness vouched = { .spf_pass = true };
    static const struct guard_canaries fine = { .asked = 4, .enough = 3 };
    struct memory_list others = { .name = "l" }, spf = { .name = "l" }, canaries = { .name = "l" };

    (void)st;
    assert_int_equal(all_listed(&others, 119, &confirmed), 0); /* by other lists */
    for (unsigned n = 200; n < 205; n++) {
        assert_int_equal(witness(&spf, n, false, vouched), 0);
    }
    for (unsigned n = 210; n < 250; n++) { /* the wave has SPF domains of its own here and there */
        assert_int_equal(witness(&spf, n, true, n % 10 == 0 ? vouched : stranger), 0);
    }
    assert_int_equal(guard_canaries(&canaries, &settings, &blocks, &fine, NOW), 0);
    assert_int_equal(all_listed(&canaries, 119, &stranger), 0);
}

static void those_in_good_standing_must_be_different_ones(void **st)
{
    struct guard_witness w = { .spf_pass = true, .established = true, .owner = 1, .network = 1 };
    struct memory_list l = { .name = "l" };

    (void)st;
    for (unsigned n = 1; n < 100; n++) { /* an attacker: many domains, three networks */
        w.owner = n * 0x9e3779b97f4a7c15ULL;
        w.network = n % 3;
        assert_int_equal(witness(&l, n % 3, n % 10 == 0, w), 0);
    }
    w.network = 100;
    for (unsigned n = 100; (witness(&l, n, true, w) & GUARD_DEMOTED) == 0; n++) {
        assert_true(n < 110);
        w.owner = (n + 1) * 0x9e3779b97f4a7c15ULL;
        w.network = n + 1;
    }
    assert_int_equal(l.reason, GUARD_KNOWN_GOOD);
}

/* Time alone does not bring it back. */
static void it_returns_with_proof_only(void **st)
{
    static const struct guard_canaries still = { .asked = 3, .listed = 2, .enough = 1 };
    static const struct guard_canaries clean = { .asked = 3, .listed = 0, .enough = 1 };
    static const struct guard_witness stranger = { .bad = false };
    struct memory_list l = { .name = "l" };
    int64_t now = NOW + 50;

    (void)st;
    assert_int_equal(all_listed(&l, 50, &stranger), 50);
    now += HALF_HOUR;
    assert_int_equal(guard_tick(&l, &settings, &blocks, now), 0);
    assert_non_null(guard_wants(&l, &settings, &blocks));
    assert_int_equal(guard_tick(&l, &settings, &blocks, now + 5 * 86400), 0);
    for (unsigned n = 1000; n < 1060; n++) { /* a sample of the traffic */
        assert_int_equal(witness(&l, n, n % 2 == 0, stranger), 0);
    }
    assert_null(guard_wants(&l, &settings, &blocks));
    assert_int_equal(guard_canaries(&l, &settings, &blocks, &still, now),
                     0); /* but whom it wronged is still listed */
    assert_int_equal(guard_tick(&l, &settings, &blocks, now + 1), 0);
    assert_int_equal(guard_probed(&l, &blocks, GUARD_YES, GUARD_NO, now + 10), 0);
    assert_int_equal(guard_canaries(&l, &settings, &blocks, &clean, now + 10), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, now + HALF_HOUR - 1), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, now + HALF_HOUR), GUARD_RESTORED);
    assert_int_equal(guard_mode(&l, LIST_MODE_ENFORCE, now + HALF_HOUR), LIST_MODE_ENFORCE);
}

/* That the largest correspondents are not listed says nothing of those who were. */
static void other_canaries_are_no_proof(void **st)
{
    struct guard_canaries clean = { .asked = 4, .listed = 0, .enough = 3 };
    struct memory_list l = { .name = "l",
                             .demoted_s = (uint32_t)NOW,
                             .evil_s = (uint32_t)NOW,
                             .demotions = 1,
                             .reason = GUARD_KNOWN_GOOD };

    (void)st;
    assert_int_equal(guard_canaries(&l, &settings, &blocks, &clean, NOW + 10), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 86400), 0);
    clean.wronged = true;
    assert_int_equal(guard_canaries(&l, &settings, &blocks, &clean, NOW + 86400), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 86401), GUARD_RESTORED);
}

/* The proxy that found it has a clock an hour slow: what was seen here before it was heard of is no proof. */
static void what_was_seen_before_a_demotion_was_heard_of_is_no_proof(void **st)
{
    static const struct guard_canaries clean = { .asked = 3, .listed = 0, .enough = 1 };
    struct memory_list l = { .name = "l", .demotions = 1, .reason = GUARD_UNIVERSAL };

    (void)st;
    assert_int_equal(guard_probed(&l, &blocks, GUARD_YES, GUARD_NO, NOW - 60), 0);
    assert_int_equal(guard_canaries(&l, &settings, &blocks, &clean, NOW - 60), 0);
    l.demoted_s = l.evil_s = (uint32_t)NOW - 3600;
    l.heard_s = (uint32_t)NOW;
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 1), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + HALF_HOUR), 0);
    assert_int_equal(guard_probed(&l, &blocks, GUARD_YES, GUARD_NO, NOW + 240), 0);
    assert_int_equal(guard_canaries(&l, &settings, &blocks, &clean, NOW + 240), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + HALF_HOUR - 1), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + HALF_HOUR), GUARD_RESTORED);
}

static void the_control_counts_only_where_it_is_asked_for(void **st)
{
    struct memory_list l = { .name = "l" };

    (void)st;
    assert_int_equal(guard_probed(&l, &silent, GUARD_YES, GUARD_YES, NOW), 0);
    assert_int_equal(guard_probed(&l, &blocks, GUARD_YES, GUARD_YES, NOW), GUARD_DEMOTED);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 86400), 0); /* no answer since */
    assert_int_equal(guard_probed(&l, &blocks, GUARD_YES, GUARD_NO, NOW + 86400), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 86400), GUARD_RESTORED);
}

#define PACKED_AT 16 /* where its time lies: behind mark, size and standing */

/* Two proxies with half of the traffic each. */
static void what_others_counted_counts(void **st)
{
    static const struct guard_witness stranger = { .bad = false };
    static char packed[MEMORY_LIST_PACKED];
    struct memory_list a = { .name = "l" }, b = { .name = "l" };
    struct guard_witness good = { .spf_pass = true, .established = true };
    size_t len;

    (void)st;
    assert_int_equal(all_listed(&a, 30, &stranger), 0);
    len = memory_list_pack(&a, NOW + 30, packed);
    memory_list_others_begin(&b);
    assert_true(memory_list_others_add(&b, slice_of(packed, len), NOW + 31));
    assert_int_equal(all_listed(&b, 30, &stranger), 20);
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    for (unsigned n = 1; n <= 6; n++) { /* three witnesses in good standing each */
        good.owner = good.network = n * 0x9e3779b97f4a7c15ULL;
        if (n == 4) {
            len = memory_list_pack(&a, NOW + n, packed);
            memory_list_others_begin(&b);
            assert_true(memory_list_others_add(&b, slice_of(packed, len), NOW + n));
        }
        assert_int_equal(witness(n < 4 ? &a : &b, n, true, good) & GUARD_DEMOTED, n == 5 ? GUARD_DEMOTED : 0);
    }
    memory_list_others_begin(&b); /* it was demoted since: what was counted before that is used up */
    assert_true(memory_list_others_add(&b, slice_of(packed, len), NOW + 10));
    assert_int_equal(guard_good_listed(&b, &settings, NOW + 10), 1);
    assert_false(
        memory_list_others_add(&b, slice_of(packed, len), NOW + 2 * 86400)); /* of one that is gone */
    assert_false(memory_list_others_add(&b, slice_of(packed, len - 1), NOW));
    memcpy(packed + PACKED_AT, &(int64_t){ INT64_MIN }, sizeof(int64_t));
    assert_false(memory_list_others_add(&b, slice_of(packed, len), NOW));
    memcpy(packed + PACKED_AT, &(int64_t){ NOW + 10 }, sizeof(int64_t));
    packed[0] ^= 1;
    assert_false(memory_list_others_add(&b, slice_of(packed, len), NOW));
}

/* Over the file and over the guard, both ways; then the file's mode again. */
static void the_operators_word_wins(void **st)
{
    static const enum list_mode files[] = { LIST_MODE_ENFORCE, LIST_MODE_MONITOR, LIST_MODE_OFF };
    static const struct {
        enum memory_override word;
        enum list_mode mode;
    } words[] = { { OVERRIDE_ENFORCE, LIST_MODE_ENFORCE },
                  { OVERRIDE_MONITOR, LIST_MODE_MONITOR },
                  { OVERRIDE_OFF, LIST_MODE_OFF } };

    (void)st;
    for (size_t f = 0; f < ARRAY_LEN(files); f++) {
        for (size_t o = 0; o < ARRAY_LEN(words); o++) {
            struct memory_list l = { .name = "l" };

            guard_override(&l, words[o].word, NOW + 3600, NOW * 1000);
            assert_int_equal(guard_mode(&l, files[f], NOW + 3599), words[o].mode);
            assert_int_equal(guard_mode(&l, files[f], NOW + 3600), files[f]);
            assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 3600), GUARD_OVERRIDE_ENDED);
            assert_int_equal(guard_mode(&l, files[f], NOW + 3601), files[f]);
            guard_override(&l, words[o].word, 0, NOW * 1000);
            assert_int_equal(guard_mode(&l, files[f], NOW + 400 * 86400), words[o].mode);
        }
    }
}

/* Other proxies take the newest: what is decided later must be newer, be it in the same second. */
static void a_later_decision_is_a_newer_one(void **st)
{
    struct memory_list l = { .name = "l" };
    uint64_t before;

    (void)st;
    guard_override(&l, OVERRIDE_AUTO, 0, NOW * 1000 + 900);
    before = l.changed_ms;
    assert_int_equal(guard_probed(&l, &blocks, GUARD_YES, GUARD_YES, NOW), GUARD_DEMOTED);
    assert_true(l.changed_ms > before);
    before = l.changed_ms;
    guard_override(&l, OVERRIDE_AUTO, 0, NOW * 1000 + 900);
    assert_int_equal(l.demoted_s, 0);
    assert_true(l.changed_ms > before);
    before = l.changed_ms;
    guard_override(&l, OVERRIDE_MONITOR, (uint32_t)NOW - 5,
                   (NOW - 60) * 1000); /* a clock that was set back */
    assert_true(l.changed_ms > before);
    before = l.changed_ms;
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW), GUARD_OVERRIDE_ENDED);
    assert_true(l.changed_ms > before);
}

static void the_most_frequent_are_canaries(void **st)
{
    struct canaries c = { .faded_s = NOW };
    struct addr pick[4], ip;

    (void)st;
    for (unsigned n = 0; n < 4000;
         n++) { /* two large ones among many; one with a hundred networks of his own */
        ip = client((n * 97 % 250) * 256);
        canary_note(&c, &ip, 1000 + n % 777, NOW);
        ip = (struct addr){ .family = ADDR_V4, .ip = { 20, (uint8_t)(n % 2), (uint8_t)n, 1 } };
        canary_note(&c, &ip, 1 + n % 2, NOW);
        ip = (struct addr){ .family = ADDR_V4, .ip = { 45, 1, (uint8_t)(n % 100), 1 } };
        canary_note(&c, &ip, 3, NOW);
    }
    assert_int_equal(canary_pick(&c, pick, 3), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(pick[i].ip[0] == 20 || pick[i].ip[0] == 45);
        for (size_t k = 0; k < i; k++) {
            assert_false(addr_same_ip(&pick[i], &pick[k]));
        }
    }
}

/* ---- the breaker ---- */

static struct guard_news news(enum guard_outcome outcome, unsigned network)
{
    return (struct guard_news){ .outcome = outcome, .from = client(network) };
}

/* `failed` of each ten questions fail, from three networks and more; returns after how many it opens, 0: never. */
static unsigned opens_after(unsigned failed, unsigned before, unsigned count)
{
    struct memory_list l = { .name = "l" };
    struct guard_news good = news(GUARD_NO, 1);

    for (unsigned n = 0; n < before; n++) {
        assert_int_equal(guard_answer(&l, &settings, &good, NOW), 0);
    }
    for (unsigned n = 0; n < count; n++) {
        struct guard_news w = news(n * 7 % 10 < failed ? GUARD_TIMEOUT : GUARD_YES, n);

        if ((guard_answer(&l, &settings, &w, NOW + n) & GUARD_BROKEN) != 0) {
            return n + 1;
        }
    }
    return 0;
}

static void it_opens_by_the_share_of_failures(void **st)
{
    (void)st;
    assert_int_equal(opens_after(10, 0, 1000), 20); /* breaker.failures */
    assert_in_range(opens_after(10, 100000, 1000), 20, 40);
    assert_in_range(opens_after(7, 0, 1000), 20, 40);
    assert_in_range(opens_after(6, 0, 1000), 30, 120); /* never twenty in a row */
    assert_int_equal(opens_after(4, 0, 10000), 0);
    assert_int_equal(opens_after(1, 0, 10000), 0);
}

static void one_network_alone_opens_nothing(void **st)
{
    struct memory_list l = { .name = "l" };
    struct guard_news w;

    (void)st;
    for (unsigned n = 0; n < 1000; n++) {
        w = news(GUARD_ERROR, n % 2);
        assert_int_equal(guard_answer(&l, &settings, &w, NOW + n), 0);
    }
    w = news(GUARD_TIMEOUT, 0);
    assert_int_equal(guard_probe_over(&l, &w), 0); /* but our own questions fail too: it is the list */
    assert_int_equal(guard_answer(&l, &settings, &w, NOW + 1000), GUARD_BROKEN);
}

static void only_a_trial_or_a_probe_closes_it(void **st)
{
    struct memory_list l = { .name = "l" };
    struct guard_news late, trial;

    (void)st;
    for (unsigned n = 0; n < 20; n++) {
        late = news(GUARD_TIMEOUT, n);
        (void)guard_answer(&l, &settings, &late, NOW);
    }
    assert_int_equal(l.broken_since_s, NOW);
    for (unsigned n = 0; n < 50; n++) { /* what was out: neither way */
        late = news(n % 2 == 0 ? GUARD_TIMEOUT : GUARD_NO, n);
        assert_int_equal(guard_answer(&l, &settings, &late, NOW + 1), 0);
    }
    assert_int_equal(guard_may_ask(&l, NOW + 29), GUARD_ASK_NOT);
    assert_int_equal(guard_may_ask(&l, NOW + 30), GUARD_ASK_TRIAL);
    assert_int_equal(guard_may_ask(&l, NOW + 30), GUARD_ASK_NOT); /* one question */
    trial = news(GUARD_ERROR, 1);
    trial.trial = true;
    assert_int_equal(guard_answer(&l, &settings, &trial, NOW + 33), 0);
    assert_int_equal(guard_may_ask(&l, NOW + 92), GUARD_ASK_NOT); /* twice as long */
    assert_int_equal(guard_may_ask(&l, NOW + 93), GUARD_ASK_TRIAL);
    trial.outcome = GUARD_NO;
    assert_int_equal(guard_answer(&l, &settings, &trial, NOW + 94), GUARD_MENDED);
    assert_int_equal(guard_may_ask(&l, NOW + 94), GUARD_ASK);
    assert_int_equal(guard_answer(&l, &settings, &late, NOW + 94), 0); /* and it counts from nothing */
    for (unsigned n = 0; n < 20; n++) {
        late = news(GUARD_TIMEOUT, n);
        (void)guard_answer(&l, &settings, &late, NOW + 95);
    }
    assert_true(l.broken_since_s != 0);
    trial = news(GUARD_YES, 0);
    assert_int_equal(guard_probe_over(&l, &trial), GUARD_MENDED);
}

/* ---- lists without effect ---- */

static struct guard_news error_answer(uint8_t b, uint8_t c, uint8_t d)
{
    return (struct guard_news){
        .outcome = GUARD_ERROR, .answered = true, .answer = { 127, b, c, d }, .from = client(1)
    };
}

static void a_list_without_effect_is_found(void **st)
{
    static const struct guard_list voucher = { .allows = true };
    const struct {
        const char *label;
        struct guard_news n;
        const struct guard_list *list;
        enum guard_effect want;
    } rows[] = {
        { "silent", news(GUARD_TIMEOUT, 1), &silent, EFFECT_SILENT },
        { "SERVFAIL", news(GUARD_ERROR, 1), &silent, EFFECT_ERRORS },
        { "parked", error_answer(0, 0, 7), &silent, EFFECT_ERRORS },
        { "open resolver", error_answer(255, 255, 254), &silent, EFFECT_REFUSED },
        { "over the limit", error_answer(255, 255, 255), &silent, EFFECT_OVER },
        { "dnswl over the limit", error_answer(0, 0, 255), &voucher, EFFECT_OVER },
        { "and in disguise", error_answer(0, 10, 3), &voucher, EFFECT_OVER },
        { "zone misspelt", { .outcome = GUARD_VOID }, &silent, EFFECT_NO_ZONE },
        { "fine", news(GUARD_NO, 1), &silent, EFFECT_SOME },
    };

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_list list = *rows[i].list;
        struct memory_list l = { .name = "l" };
        struct guard_news good = news(GUARD_NO, 2);
        unsigned want = rows[i].want == EFFECT_SOME ? 0 : GUARD_USELESS;

        for (unsigned n = 0; n < 4; n++) {
            (void)guard_answer(&l, &settings, &rows[i].n, NOW);
        }
        assert_int_equal(guard_tick(&l, &settings, &list, NOW), 0); /* too few */
        (void)guard_answer(&l, &settings, &rows[i].n, NOW);
        if (guard_tick(&l, &settings, &list, NOW + 1) != want || l.useless != rows[i].want) {
            fail_msg("%s: %u", rows[i].label, l.useless);
        }
        assert_int_equal(l.broken_since_s, 0); /* all of one client: no reason to skip it */
        assert_int_equal(guard_tick(&l, &settings, &list, NOW + 2), 0); /* once, */
        if (want == 0) {
            continue;
        }
        for (unsigned n = 0; n < 6; n++) {
            (void)guard_answer(&l, &settings, &rows[i].n, NOW + 86401);
        }
        assert_int_equal(guard_tick(&l, &settings, &list, NOW + 86401), GUARD_USELESS); /* and once a day */
        assert_int_equal(l.useless_s, NOW + 1);
        list.off = true;
        assert_int_equal(guard_tick(&l, &settings, &list, NOW + 86402), 0);
        assert_int_equal(l.useless_s, 0);
        list.off = false;
        assert_int_equal(guard_tick(&l, &settings, &list, NOW + 86403), GUARD_USELESS);
        (void)guard_answer(&l, &settings, &good, NOW + 86404);
        assert_int_equal(guard_tick(&l, &settings, &list, NOW + 86405), GUARD_USEFUL);
        assert_int_equal(l.useless_s, 0);
    }
}

/* A quiet site: no client comes, the probes fail; or the test entry was never there. */
static void probes_find_it_too(void **st)
{
    struct memory_list l = { .name = "l" };
    struct guard_news refused = error_answer(255, 255, 254), fine = news(GUARD_YES, 0);

    (void)st;
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 300 * n), 0);
        assert_int_equal(guard_probe_over(&l, &refused), 0);
    }
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 900), GUARD_USELESS);
    assert_int_equal(l.useless, EFFECT_REFUSED);
    assert_int_equal(guard_probe_over(&l, &fine), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 1200), GUARD_USEFUL);
    memset(&l, 0, sizeof(l));
    assert_int_equal(guard_probed(&l, &blocks, GUARD_NO, GUARD_NO, NOW), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW), GUARD_USELESS);
    assert_int_equal(l.useless, EFFECT_NO_ENTRY);
    assert_int_equal(guard_probed(&l, &blocks, GUARD_YES, GUARD_NO, NOW + 300), 0);
    assert_int_equal(guard_tick(&l, &settings, &blocks, NOW + 300), GUARD_USEFUL);
    for (unsigned e = 0; e < EFFECT_COUNT + 9;
         e++) { /* a number from memory that any worker may have written */
        assert_non_null(guard_effect_text((enum guard_effect)e));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_yes_to_nearly_everybody_demotes_by_itself),
        { .name = "A4: one client that comes again and again, from all its addresses, is one",
          .test_func = one_client_that_comes_again_and_again_is_one },
        cmocka_unit_test(a_wave_does_not),
        cmocka_unit_test(those_in_good_standing_must_be_different_ones),
        cmocka_unit_test(it_returns_with_proof_only),
        cmocka_unit_test(other_canaries_are_no_proof),
        cmocka_unit_test(what_was_seen_before_a_demotion_was_heard_of_is_no_proof),
        cmocka_unit_test(the_control_counts_only_where_it_is_asked_for),
        cmocka_unit_test(what_others_counted_counts),
        cmocka_unit_test(the_operators_word_wins),
        cmocka_unit_test(a_later_decision_is_a_newer_one),
        cmocka_unit_test(the_most_frequent_are_canaries),
        { .name = "A6: the breaker opens by the share of failures",
          .test_func = it_opens_by_the_share_of_failures },
        { .name = "A4: one network alone opens nothing", .test_func = one_network_alone_opens_nothing },
        { .name = "A6: only a trial or a probe closes it", .test_func = only_a_trial_or_a_probe_closes_it },
        { .name = "A5: a list without effect is found", .test_func = a_list_without_effect_is_found },
        { .name = "A5: probes find it too", .test_func = probes_find_it_too },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
