/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bad week on a virtual clock (bad_week.h): lists that lie in every way we know of, and attackers who
 * want a good list demoted.  Prints the tables of docs/list-guard.md; GLACIS_TABLE names a file that gets
 * them alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/unit/policy/bad_week.h"

static FILE *table;

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void put(const char *format, ...)
{
    va_list ap, copy;

    va_start(ap, format);
    va_copy(copy, ap);
    (void)vprintf(format, ap);
    if (table != NULL) {
        (void)vfprintf(table, format, copy);
    }
    va_end(copy);
    va_end(ap);
}

struct site {
    unsigned step_s;
    bool probes_off;
    int64_t within_min; /* demoted */
    unsigned wronged;   /* at most so many correspondents delayed before */
};

/* Twelve hours of lies, twelve hours of truth; once with and once without the guard. */
static void bad_day(struct world *w[2], const struct site *site, uint64_t seed)
{
    for (int g = 0; g < 2; g++) {
        w[g] = new_world(g == 1);
        w[g]->random = seed;
        w[g]->step_s = site->step_s;
        w[g]->probes_off = site->probes_off;
        warm_up(w[g], WARM_UP + 2 * MINUTE); /* not with a probe */
        w[g]->answer = lists_the_providers;
        run(w[g], 12 * HOUR);
        w[g]->answer = tells_the_truth;
        run(w[g], 12 * HOUR);
    }
}

static void put_bad_day(struct world *const w[2], const struct site *site)
{
    static const char *const groups[] = { "ten largest providers", "other correspondents", "strangers",
                                          "spam" };
    int64_t began = START + WARM_UP + 2 * MINUTE;

    put("\n%d connections that day%s; delayed of them:\n\n", DAY / (int)site->step_s,
        site->probes_off ? ", no probes and no canaries" : "");
    put("| who | connections | by lists alone | with good standing | and with the guard |\n");
    put("| --- | ---: | ---: | ---: | ---: |\n");
    for (int i = PROVIDER; i <= SPAMMER; i++) {
        put("| %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " |\n", groups[i],
            w[1]->connections[i], w[0]->delayed_bare[i], w[0]->delayed[i], w[1]->delayed[i]);
    }
    put("\nDemoted %" PRId64
        " min after the first lie, when %u of the correspondents had been delayed; restored %" PRId64
        " min after the last one; demotions: %u.\n",
        (w[1]->demoted_at - began) / MINUTE, count_wronged(w[1]),
        (w[1]->restored_at - began - 12 * HOUR) / MINUTE, w[1]->demotions);
}

static void check_bad_day(struct world *const w[2], const struct site *site)
{
    int64_t began = START + WARM_UP + 2 * MINUTE;

    assert_true(w[1]->demoted_at > 0 && w[1]->demoted_at - began <= site->within_min * MINUTE);
    assert_in_range(count_wronged(w[1]), 0, site->wronged);
    assert_int_equal(w[1]->demotions, 1); /* it did not come back while it lied */
    assert_true(w[1]->restored_at > began + 12 * HOUR && w[1]->list[0]->demoted_s == 0);
    assert_int_equal(w[1]->happened[1] & GUARD_DEMOTED, 0);
    assert_int_equal(w[1]->happened[2] & GUARD_DEMOTED, 0);
    assert_true(w[1]->delayed[PROVIDER] * 5 < w[0]->delayed[PROVIDER]);
    assert_true(w[1]->delayed[SPAMMER] * 2 > w[0]->delayed[SPAMMER]); /* the other two still work */
}

/* Caught before the sixth correspondent is delayed; without canaries that depends on who comes. */
static void one_list_names_the_ten_largest_providers(void **st)
{
    static const struct site sites[] = { { BUSY, false, 5, 5 },
                                         { BUSY, true, 20, 9 },
                                         { QUIET, false, 5, 5 } };
    static const uint64_t seeds[] = { SEED, 7 };

    (void)st;
    put("\n### The bad day\n");
    for (size_t i = 0; i < ARRAY_LEN(sites); i++) {
        for (size_t k = 0; k < ARRAY_LEN(seeds); k++) {
            struct world *w[2];

            bad_day(w, &sites[i], seeds[k]);
            if (k == 0) {
                put_bad_day(w, &sites[i]);
            }
            check_bad_day(w, &sites[i]);
            end_world(w[0]);
            end_world(w[1]);
        }
    }
}

/*
 * The other direction: six relays of hosters, in good standing but without SPF, and the spam of their neighbours.  Two
 * lists name all of it, and are right.  Neither is demoted, the relays are heard, and no neighbour hides behind them.
 */
static void standing_covers_no_neighbour_and_silences_no_list(void **st)
{
    struct world *w = new_world(true);

    (void)st;
    w->relay_percent = 2;
    warm_up(w, WARM_UP);
    w->hosted_is_listed = true;
    w->hosted_percent = 10;
    run(w, DAY);
    put("\n### Hosters\n\nSix relays of six hosters, in good standing for a week, without SPF; then two "
        "lists name them "
        "and all machines beside them, rightly.\n\n| who | connections | by lists alone | delayed |\n| --- | "
        "---: | ---: | "
        "---: |\n");
    put("| the relays | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " |\n", w->connections[RELAY],
        w->delayed_bare[RELAY], w->delayed[RELAY]);
    put("| machines beside them, spam | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " |\n", w->connections[HOSTED],
        w->delayed_bare[HOSTED], w->delayed[HOSTED]);
    put("\nDemotions: %u.\n", w->demotions);
    assert_true(w->connections[RELAY] > 200 && w->connections[HOSTED] > 1000);
    for (size_t i = 0; i < LISTS; i++) {
        assert_int_equal(w->happened[i] & GUARD_DEMOTED, 0);
    }
    assert_int_equal(w->delayed[RELAY], 0);
    assert_int_equal(w->delayed[HOSTED], w->connections[HOSTED]);
    end_world(w);
}

struct scenario {
    const char *label;
    answer_fn usual, answer; /* of the first list; usual: NULL, it tells the truth */
    bool allow, alone, probes_off, new_site, test_entry_gone, wave_is_new;
    unsigned step_s; /* 0: BUSY */
    unsigned wave, attacker;
    unsigned want, want_not; /* GUARD_ bits of the first list */
};

#define STAYS GUARD_DEMOTED
#define QUIETLY (GUARD_DEMOTED | GUARD_BROKEN | GUARD_SILENT | GUARD_SURGE | GUARD_USELESS)

static const struct scenario rows[] = {
    { "it listed 5 %, now 95 % of all clients; its test entries are right", knows_a_little,
      says_yes_to_95_percent, .want = GUARD_DEMOTED },
    { "the same; no probes, no canaries", knows_a_little, says_yes_to_95_percent, .probes_off = true,
      .want = GUARD_DEMOTED },
    { "its domain expired: it answers for everything", NULL, says_yes, .want = GUARD_DEMOTED },
    { "the same; no probes, no canaries", NULL, says_yes, .probes_off = true, .want = GUARD_DEMOTED },
    { "the same; it is the only list, and glacis was installed today", NULL, says_yes, .probes_off = true,
      .alone = true, .new_site = true, .want = GUARD_DEMOTED },
    { "the same; 1,440 connections a day", NULL, says_yes, .probes_off = true, .alone = true,
      .new_site = true, .step_s = QUIET, .want = GUARD_DEMOTED },
    { "it does not answer", NULL, says_nothing, .want = GUARD_BROKEN | GUARD_USELESS, .want_not = STAYS },
    { "it answers 127.255.255.254 (refuses us)", NULL, refuses_us, .want = GUARD_BROKEN | GUARD_USELESS,
      .want_not = STAYS },
    { "it lists nothing any more", NULL, says_no, .want = GUARD_SILENT, .want_not = STAYS },
    { "the same; its test entry is gone as well", NULL, says_no, .test_entry_gone = true,
      .want = GUARD_SILENT, .want_not = STAYS },
    { "an allow-list vouches for everyone; no probes", NULL, says_yes, .allow = true, .probes_off = true,
      .want = GUARD_DEMOTED },
    { "attacker, 10 % of all, SPF domains of his own, listed after three good days", NULL, tells_the_truth,
      .attacker = 10, .want_not = STAYS },
    { "attacker, 90 % of all, all listed by this list", NULL, knows_all_spam, .attacker = 90,
      .want_not = STAYS },
    { "botnet wave, 95 % of all", NULL, tells_the_truth, .wave = 95, .want_not = STAYS },
    { "the same; no other list knows it", NULL, tells_the_truth, .wave = 95, .wave_is_new = true,
      .want_not = STAYS },
    { "the same; it is the only list; no probes, no canaries", NULL, knows_all_spam, .alone = true,
      .probes_off = true, .wave = 95, .wave_is_new = true, .want_not = STAYS },
    { "nothing is wrong", NULL, tells_the_truth, .want_not = QUIETLY },
    { "nothing is wrong; only list, no probes, knows all spam, 1,440 a day", knows_all_spam, knows_all_spam,
      .alone = true, .probes_off = true, .step_s = QUIET, .want_not = QUIETLY },
};

static struct world *set_up(const struct scenario *s)
{
    struct world *w = new_world(true);

    w->allow[0] = s->allow;
    w->step_s = s->step_s != 0 ? s->step_s : BUSY;
    w->alone = s->alone;
    w->probes_off = s->probes_off;
    w->answer = s->usual != NULL ? s->usual : tells_the_truth;
    if (!s->new_site) {
        warm_up(w, WARM_UP / 2 + 2 * MINUTE);
    }
    if (s->attacker > 0) { /* three days of good behaviour first, and not listed yet */
        w->attacker_percent = 10;
        w->answer = tells_the_truth;
        w->attacker_is_listed = false;
        run(w, 3 * DAY);
        memset(w->happened, 0, sizeof(w->happened));
        w->silent_at = w->surge_at = 0;
        w->attacker_percent = s->attacker;
    }
    w->attacker_is_listed = true;
    w->answer = s->answer;
    w->test_entry_gone = s->test_entry_gone;
    w->wave_percent = s->wave;
    w->wave_is_new = s->wave_is_new;
    return w;
}

static void put_row(const struct world *w, const struct scenario *s, int64_t began)
{
    unsigned what = w->happened[0];
    int64_t at = w->demoted_at > 0 ? w->demoted_at : w->silent_at > 0 ? w->silent_at : w->surge_at;

    put("| %s | %s%s%s%s%s%s | ", s->label, (what & GUARD_DEMOTED) != 0 ? "**demoted** " : "",
        (what & GUARD_BROKEN) != 0 ? "skipped; " : "", (what & GUARD_USELESS) != 0 ? "alarm: no effect " : "",
        (what & GUARD_SURGE) != 0 ? "alarm: surge " : "", (what & GUARD_SILENT) != 0 ? "alarm: silent" : "",
        (what & QUIETLY) == 0 ? "nothing" : "");
    if (at > 0) {
        put("%" PRId64 " min", (at - began) / MINUTE);
    } else if ((what & GUARD_BROKEN) != 0) {
        put("after %u failures; %" PRIu64 " of %d connections waited for it", settings.breaker_failures,
            w->waits, 6 * HOUR / (int)w->step_s);
    }
    put(" | %s |\n", guard_reason_text((enum guard_reason)w->list[0]->reason));
}

static void every_way_to_fail(void **st)
{
    (void)st;
    put("\n### Every other way\n\n| the first list | what happens | after | because it |\n| --- | --- | --- "
        "| --- |\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct scenario *s = &rows[i];
        struct world *w = set_up(s);
        int64_t began = w->now;

        run(w, 6 * HOUR);
        put_row(w, s, began);
        if ((w->happened[0] & s->want) != s->want || (w->happened[0] & s->want_not) != 0) {
            fail_msg("%s: %x", s->label, w->happened[0]);
        }
        if (s->answer == says_nothing) {
            assert_true(w->waits < 150);
            w->answer = tells_the_truth;
            run(w, 30 * MINUTE);
            assert_true((w->happened[0] & (GUARD_MENDED | GUARD_USEFUL)) == (GUARD_MENDED | GUARD_USEFUL));
        }
        for (size_t k = 1; k < LISTS; k++) {
            assert_int_equal(w->happened[k] & (GUARD_DEMOTED | GUARD_BROKEN), 0);
        }
        end_world(w);
    }
}

static void it_returns_later_each_time(void **st)
{
    struct world *w = new_world(true);
    int64_t last = 0;

    (void)st;
    warm_up(w, WARM_UP);
    put("\n### And back\n\n| demotion | believed again, minutes after the last lie |\n| --- | ---: |\n");
    for (unsigned i = 0; i < 4; i++) {
        int64_t took;

        w->answer = lists_the_providers;
        while (w->list[0]->demoted_s == 0) {
            run(w, MINUTE);
        }
        run(w, 2 * HOUR);
        assert_int_equal(w->demotions, i + 1);
        w->answer = tells_the_truth;
        took = w->now;
        while (w->list[0]->demoted_s != 0) {
            run(w, MINUTE);
        }
        took = w->now - took;
        put("| %u | %" PRId64 " |\n", i + 1, took / MINUTE);
        assert_true(took > last + last / 2);
        last = took;
    }
    end_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "A3: one list names the ten largest providers",
          .test_func = one_list_names_the_ten_largest_providers },
        { .name = "A3: standing covers no neighbour and silences no list",
          .test_func = standing_covers_no_neighbour_and_silences_no_list },
        cmocka_unit_test(every_way_to_fail),
        cmocka_unit_test(it_returns_later_each_time),
    };
    const char *path = getenv("GLACIS_TABLE");
    int failed;

    table = path != NULL ? fopen(path, "w") : NULL;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (table != NULL) {
        (void)fclose(table);
    }
    return failed;
}
