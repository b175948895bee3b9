/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered, on the tables: every kind of question, full sets, writers killed in the middle, costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "core/crypto.h"
#include "state/memory.h"
#include "state/slots.h"
#include "state/tables_priv.h"
#include "test/unit/state/kill_midway.h"

#define DAY 86400
#define NOW ((int64_t)20000 * DAY + 1000)

static struct memory_key key_of(unsigned n)
{
    char text[32];

    return memory_key(MEMORY_DOMAIN, slice_of(text, (size_t)snprintf(text, sizeof(text), "d%u.example", n)));
}

static struct memory_record ask(struct tables *t, enum memory_what what, unsigned n, uint32_t keep_s,
                                int64_t now)
{
    struct memory_question q = { .what = what, .key = key_of(n), .keep_s = keep_s };
    struct memory_record r;

    tables_ask(t, &q, now, &r);
    assert_true(r.known);
    return r;
}

static void keys_ignore_case_and_know_their_kind(void **st)
{
    struct memory_key a = memory_key(MEMORY_DOMAIN, SLICE("Example.COM")),
                      b = memory_key(MEMORY_DOMAIN, SLICE("example.com")),
                      c = memory_key(MEMORY_HOST, SLICE("example.com"));

    (void)st;
    assert_memory_equal(&a, &b, sizeof(a));
    assert_memory_not_equal(&a, &c, sizeof(a));
}

static void first_seen_is_kept_until_it_expires(void **st)
{
    struct tables *t = tables_new(64);
    struct memory_record r = ask(t, MEMORY_SEEN, 1, 100, NOW);

    (void)st;
    assert_false(r.found);
    assert_int_equal(r.since_s, NOW);
    r = ask(t, MEMORY_SEEN, 1, 100, NOW + 99);
    assert_true(r.found);
    assert_int_equal(r.since_s, NOW);
    r = ask(t, MEMORY_SEEN, 1, 100, NOW + 99 + 100); /* kept from the last time */
    assert_false(r.found);
    r = ask(t, MEMORY_SEEN, 1, 100, NOW - 5000); /* the clock went back: never a time in the future */
    assert_int_equal(r.since_s, NOW - 5000);
    tables_free(t);
}

static void standing_counts_days_and_a_refusal_ends_it(void **st)
{
    struct tables *t = tables_new(64);
    struct memory_key k = key_of(1);
    struct memory_record r;

    (void)st;
    assert_false(ask(t, MEMORY_STANDING, 1, 0, NOW).found);
    tables_note(t, MEMORY_REFUSED, &k, 36 * DAY, NOW);
    assert_false(ask(t, MEMORY_STANDING, 1, 0, NOW).found); /* a refusal alone makes no record */
    for (int i = 0; i < 12; i++) {
        tables_note(t, MEMORY_ACCEPTED, &k, 36 * DAY, NOW + i * DAY / 2);
    }
    r = ask(t, MEMORY_STANDING, 1, 0, NOW + 6 * DAY);
    assert_int_equal(r.standing.since_s, NOW);
    assert_int_equal(r.standing.day[0], NOW / DAY);
    assert_int_equal(r.standing.count[0], 2);
    for (int i = 0; i < 30; i++) {
        tables_note(t, MEMORY_ACCEPTED, &k, 36 * DAY, NOW + (10 + i) * DAY);
    }
    r = ask(t, MEMORY_STANDING, 1, 0, NOW + 40 * DAY);
    for (int i = 0; i < MEMORY_DAYS; i++) { /* the newest days are kept */
        assert_in_range(r.standing.day[i], NOW / DAY + 32, NOW / DAY + 39);
    }
    tables_note(t, MEMORY_REFUSED, &k, 36 * DAY, NOW + 40 * DAY);
    r = ask(t, MEMORY_STANDING, 1, 0, NOW + 40 * DAY);
    assert_int_equal(r.standing.since_s, 0);
    assert_int_equal(r.standing.day[0], 0);
    tables_free(t);
}

static void a_triplet_waits_and_passes(void **st)
{
    struct tables *t = tables_new(64);
    struct memory_key k = key_of(7);
    struct memory_record r = ask(t, MEMORY_GREYLIST, 7, 2 * DAY, NOW);

    (void)st;
    assert_false(r.found);
    r = ask(t, MEMORY_GREYLIST, 7, 2 * DAY, NOW + 400);
    assert_true(r.found && !r.passed);
    assert_int_equal(r.since_s, NOW);
    r = ask(t, MEMORY_GREYLIST, 7, 2 * DAY, NOW + 2 * DAY); /* too late: it begins again */
    assert_false(r.found);
    assert_int_equal(r.since_s, NOW + 2 * DAY);
    tables_note(t, MEMORY_PASSED, &k, 36 * DAY, NOW + 2 * DAY + 400);
    r = ask(t, MEMORY_GREYLIST, 7, 2 * DAY, NOW + 30 * DAY);
    assert_true(r.found && r.passed);
    tables_free(t);
}

static void a_burst_counts_different_networks_within_its_window(void **st)
{
    struct tables *t = tables_new(64);
    struct memory_question q = { .what = MEMORY_BURST, .key = key_of(3), .keep_s = 600 };
    struct memory_record r;

    (void)st;
    for (uint32_t i = 0; i < 30; i++) {
        q.member = i % 10; /* ten networks, three times each */
        tables_ask(t, &q, NOW + i, &r);
    }
    assert_int_equal(r.count, 10);
    q.member = 99;
    tables_ask(t, &q, NOW + 625, &r); /* those of the seconds 25..29 and this one */
    assert_int_equal(r.count, 6);
    for (uint32_t i = 0; i < 50; i++) {
        q.member = 1000 + i;
        tables_ask(t, &q, NOW + 700, &r);
    }
    assert_int_equal(r.count, MEMORY_BURST_MAX);
    tables_free(t);
}

static void a_rate_is_per_minute(void **st)
{
    struct tables *t = tables_new(64);
    int64_t minute = NOW / 60 * 60;
    struct memory_record r = { 0 };

    (void)st;
    for (int i = 0; i < 30; i++) {
        r = ask(t, MEMORY_RATE, 1, 0, minute + 10);
    }
    assert_int_equal(r.count, 30);
    r = ask(t, MEMORY_RATE, 1, 0, minute + 90); /* half of the last minute lies within sixty seconds */
    assert_int_equal(r.count, 16);
    r = ask(t, MEMORY_RATE, 1, 0, minute + 300);
    assert_int_equal(r.count, 1);
    tables_free(t);
}

/* A flood of keys seen once must not push out those of good standing or an old acquaintance. */
static void a_flood_pushes_out_what_is_worth_least(void **st)
{
    struct tables *t = tables_new(1u << 20); /* one set a shard */
    unsigned kept = 0;

    (void)st;
    for (unsigned i = 0; i < 200; i++) {
        (void)ask(t, MEMORY_SEEN, i, 30 * DAY, NOW);
    }
    for (unsigned i = 0; i < 200; i++) {
        (void)ask(t, MEMORY_SEEN, i, 30 * DAY, NOW + 3 * DAY);
    }
    for (unsigned i = 0; i < 100000; i++) {
        (void)ask(t, MEMORY_SEEN, 1000 + i, 30 * DAY, NOW + 3 * DAY + i / 1000);
    }
    for (unsigned i = 0; i < 200; i++) {
        kept += ask(t, MEMORY_SEEN, i, 30 * DAY, NOW + 4 * DAY).since_s == NOW;
    }
    assert_int_equal(kept, 200);
    tables_free(t);
}

static void write_for_ever(struct state *s, unsigned round)
{
    struct memory_key k = key_of(round % 3000);
    struct memory_question q = { .what = MEMORY_BURST, .key = k, .keep_s = 600, .member = round };
    struct memory_record r;
    struct memory_list *l = tables_list_take(s->tables, SLICE("a-list"));

    if (l != NULL) {
        l->total_answers++;
    }
    tables_list_give(s->tables, l);
    tables_ask(s->tables, &q, NOW, &r);
    tables_note(s->tables, MEMORY_ACCEPTED, &k, 36 * DAY, NOW);
    q.what = MEMORY_SEEN;
    tables_ask(s->tables, &q, NOW, &r);
    count(M_SESSIONS);
}

/* However busy the machine is, some rounds have been worked when the process is killed. */
static void let_work(const struct state *s, int slot, uint64_t before, unsigned rounds)
{
    for (unsigned i = 0; i < 100000 && state_slot_metric(s, slot, M_SESSIONS) < before + rounds; i++) {
        pause_us(100);
    }
}

static void tables_survive_killed_writers(void **st)
{
    struct state *s = state_new(0);
    unsigned known = 0, full = 0;
    struct memory_list *l;

    (void)st;
    state_slot_enter(s, state_slot_take(s, ROLE_SUPERVISOR, 0, 0));
    for (int round = 0; round < 120; round++) {
        pid_t pid[2];
        int slot[2];
        uint64_t before[2];

        for (int i = 0; i < 2; i++) {
            slot[i] = fork_busy(s, write_for_ever, &pid[i]);
            before[i] = state_slot_metric(s, slot[i], M_SESSIONS);
        }
        pause_us(2000 + round * 37);
        for (int i = 0; i < 2; i++) {
            let_work(s, slot[i], before[i], 150);
        }
        for (int i = 0; i < 2; i++) {
            kill_and_reap(s, pid[i], slot[i]);
        }
    }
    for (unsigned i = 0; i < 3000; i++) {
        struct memory_question q = { .what = MEMORY_STANDING, .key = key_of(i) };
        struct memory_record r;

        q.keep_s = 600;
        for (q.what = MEMORY_SEEN; q.what <= MEMORY_BURST; q.what++) {
            tables_ask(s->tables, &q, NOW, &r); /* whoever asks next repairs what the dead have left */
        }
        q.what = MEMORY_STANDING;
        tables_ask(s->tables, &q, NOW, &r);
        known += r.known;
        full += r.found && r.standing.day[0] == NOW / DAY && r.standing.since_s == NOW;
        assert_true(!r.found || r.standing.day[0] == NOW / DAY || r.standing.day[0] == 0);
        assert_int_equal(r.standing.day[1], 0);
    }
    assert_int_equal(known, 3000); /* no lock stays behind */
    assert_true(full > 100);
    for (int i = 0; i < TABLE_COUNT; i++) {
        for (int k = 0; k < TABLE_SHARDS; k++) {
            assert_int_equal(s->tables->h->shard[i][k].writing, 0);
        }
    }
    l = tables_list_take(s->tables, SLICE("a-list"));
    assert_non_null(l);
    assert_true(l->total_answers > 0);
    tables_list_give(s->tables, l);
    state_free(s);
}

static void lists_are_found_by_name(void **st)
{
    struct tables *t = tables_new(64);
    struct memory_list *a = tables_list_take(t, SLICE("one")), *b = tables_list_take(t, SLICE("two"));
    char name[16];

    (void)st;
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    assert_null(tables_list_take(t, SLICE("one"))); /* taken */
    tables_list_give(t, a);
    tables_list_give(t, b);
    assert_ptr_equal(tables_list_take(t, SLICE("one")), a);
    tables_list_give(t, a);
    for (unsigned i = 2; i < MEMORY_LISTS; i++) {
        tables_list_give(t, tables_list_take(t, slice_of(name, (size_t)snprintf(name, 16, "l%u", i))));
    }
    assert_null(tables_list_take(t, SLICE("one-too-many")));
    assert_null(tables_list_at(t, MEMORY_LISTS));
    tables_free(t);
}

static size_t resident_pages(const struct tables *t)
{
    size_t pages = (t->mapped + 4095) / 4096, n = 0;
    unsigned char *in = xcalloc(pages, 1);

    assert_int_equal(mincore(t->h, t->mapped, in), 0);
    for (size_t i = 0; i < pages; i++) {
        n += in[i] & 1;
    }
    free(in);
    return n;
}

/* A full pass makes no pages of what was never written. */
static void a_snapshot_takes_no_memory_of_its_own(void **st)
{
    struct tables *t = tables_new(1);
    size_t before = resident_pages(t);

    (void)st;
    for (unsigned i = 0; i < 20; i++) {
        (void)ask(t, MEMORY_SEEN, i, 600, NOW);
    }
    for (int id = 0; id < TABLE_COUNT; id++) {
        char *out = xmalloc(TABLE_COLLECT_SETS * TABLE_WAYS * t->table[id].size);
        size_t n = 0;

        for (size_t set = 0; set < t->table[id].sets;) {
            n += tables_collect(t, (enum table_id)id, &set, true, NOW, out);
        }
        assert_int_equal(n, id == TABLE_SEEN ? 20 : 0);
        free(out);
    }
    assert_true(resident_pages(t) - before < 200);
    tables_free(t);
}

static uint64_t us_now(void)
{
    return loop_now_us();
}

/* Printed, not judged: a machine that is busy with other things proves nothing. */
static void costs_are_measured(void **st)
{
    struct tables *t = tables_new(1);
    static const struct {
        const char *name;
        enum memory_what what;
    } rows[] = { { "seen", MEMORY_SEEN },
                 { "standing", MEMORY_STANDING },
                 { "greylist", MEMORY_GREYLIST },
                 { "burst", MEMORY_BURST },
                 { "rate", MEMORY_RATE } };
    struct memory_key *keys = xcalloc(100000, sizeof(*keys));
    uint64_t begin = us_now();
    struct place p;

    (void)st;
    for (unsigned i = 0; i < 100000; i++) {
        keys[i] = key_of(i);
    }
    print_message("a key: %.3f us\n", (double)(us_now() - begin) / 100000);
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        double us[2];

        for (int round = 0; round < 2; round++) {
            begin = us_now();
            for (unsigned i = 0; i < 100000; i++) {
                struct memory_question q = { rows[row].what, keys[i], i, 600 };
                struct memory_record r;

                tables_ask(t, &q, NOW, &r);
            }
            us[round] = (double)(us_now() - begin) / 100000;
        }
        print_message("%-9s first %.3f us, again %.3f us (the lock is held for less)\n", rows[row].name,
                      us[0], us[1]);
    }
    for (int id = 0; id < TABLE_COUNT; id++) {
        char *out = xmalloc(TABLE_COLLECT_SETS * TABLE_WAYS * t->table[id].size);
        size_t set = 0, n = 0;

        begin = us_now();
        while (set < t->table[id].sets) {
            n += tables_collect(t, (enum table_id)id, &set, true, NOW, out);
        }
        print_message("%-9s %zu entries of %zu octets (%zu MiB), snapshot reads %zu in %" PRIu64
                      " us, %.1f us a lock\n",
                      table_names[id], t->table[id].sets * TABLE_WAYS, t->table[id].size,
                      t->table[id].sets * TABLE_WAYS * t->table[id].size >> 20, n, us_now() - begin,
                      (double)(us_now() - begin) * TABLE_COLLECT_SETS / (double)t->table[id].sets);
        free(out);
    }
    assert_true(place_lock(t, TABLE_SEEN, &keys[0], &p));
    place_unlock(&p);
    free(keys);
    tables_free(t);
}

/* Pages of the table that have memory. */
static size_t resident(const struct tables *t, enum table_id id)
{
    size_t pages = t->table[id].sets * TABLE_WAYS * t->table[id].size / 4096, n = 0;
    unsigned char *in = xcalloc(pages, 1);

    assert_int_equal(mincore(t->table[id].entries, pages * 4096, in), 0);
    for (size_t i = 0; i < pages; i++) {
        n += in[i] & 1;
    }
    free(in);
    return n;
}

static size_t collect_all(struct tables *t, enum table_id id, bool all)
{
    char *out = xmalloc(TABLE_COLLECT_SETS * TABLE_WAYS * t->table[id].size);
    size_t set = 0, n = 0;

    while (set < t->table[id].sets) {
        n += tables_collect(t, id, &set, all, NOW, out);
    }
    free(out);
    return n;
}

static void a_snapshot_reads_only_what_was_written(void **st)
{
    struct tables *t = tables_new(1);
    struct memory_question q = { .what = MEMORY_SEEN, .keep_s = 600 };
    struct memory_record r;

    (void)st;
    assert_int_equal(collect_all(t, TABLE_SEEN, true), 0);
    assert_int_equal(resident(t, TABLE_SEEN), 0);
    q.key = memory_key(MEMORY_CLIENT, SLICE("192.0.2.1"));
    tables_ask(t, &q, NOW, &r);
    assert_int_equal(collect_all(t, TABLE_SEEN, false), 1);
    assert_in_range(resident(t, TABLE_SEEN), 1,
                    TABLE_COLLECT_SETS * TABLE_WAYS * t->table[TABLE_SEEN].size / 4096 + 1);
    assert_int_equal(collect_all(t, TABLE_SEEN, false), 0); /* nothing is new */
    assert_int_equal(collect_all(t, TABLE_SEEN, true), 1);
    q.key = memory_key(MEMORY_CLIENT, SLICE("192.0.2.2"));
    tables_ask(t, &q, NOW, &r);
    assert_int_equal(collect_all(t, TABLE_SEEN, false), 1);
    assert_int_equal(collect_all(t, TABLE_SEEN, true), 2);
    tables_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_ignore_case_and_know_their_kind),
        cmocka_unit_test(first_seen_is_kept_until_it_expires),
        cmocka_unit_test(standing_counts_days_and_a_refusal_ends_it),
        cmocka_unit_test(a_triplet_waits_and_passes),
        cmocka_unit_test(a_burst_counts_different_networks_within_its_window),
        cmocka_unit_test(a_rate_is_per_minute),
        cmocka_unit_test(a_snapshot_reads_only_what_was_written),
        cmocka_unit_test(a_flood_pushes_out_what_is_worth_least),
        cmocka_unit_test(tables_survive_killed_writers),
        cmocka_unit_test(lists_are_found_by_name),
        cmocka_unit_test(a_snapshot_takes_no_memory_of_its_own),
        cmocka_unit_test(costs_are_measured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
