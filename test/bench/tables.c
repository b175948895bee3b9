/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.c - what the shared tables cost: an operation, a lock, memory.  Built by `ninja bench_tables`.
 *
 *     bench_tables ops KIND N       N operations of seen | standing | greylist | burst | rate | accept | key, one
 *                                   process, keys that are there: for callgrind, or by the clock without it
 *     bench_tables locks SECONDS P [pause]   P processes hammer all tables; how long each lock was held, and how often
 *                                   one was not to be had.  pause: microseconds of other work between operations
 *     bench_tables memory N         resident octets of each table: new, with N entries, after a snapshot's full pass
 *
 * Time on a lock is measured from having it to giving it back, clock included (the line `clock` says what that is).  A
 * process that the machine stops while it has the lock shows in the highest values: that is what trying, not waiting, is
 * for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/metrics.h"
#include "state/memory.h"
#include "state/tables_priv.h"

#define KEYS 100000u
#define SAMPLES (1u << 20)
#define NOW ((int64_t)1800000000)

static const struct {
    const char *name;
    enum memory_what what;
} kinds[] = { { "seen", MEMORY_SEEN },
              { "standing", MEMORY_STANDING },
              { "greylist", MEMORY_GREYLIST },
              { "burst", MEMORY_BURST },
              { "rate", MEMORY_RATE } };

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct memory_key key_of(unsigned n)
{
    char text[24];

    return memory_key(MEMORY_CLIENT, slice_of(text, (size_t)snprintf(text, sizeof(text), "192.%u.%u.%u",
                                                                     n >> 16, n >> 8 & 255, n & 255)));
}

static struct memory_key *make_keys(void)
{
    struct memory_key *keys = xcalloc(KEYS, sizeof(*keys));

    for (unsigned i = 0; i < KEYS; i++) {
        keys[i] = key_of(i);
    }
    return keys;
}

static bool ask(struct tables *t, enum memory_what what, const struct memory_key *key, unsigned n)
{
    struct memory_question q = { .what = what, .key = *key, .member = n % 8 + 1, .keep_s = 600 };
    struct memory_record r;

    tables_ask(t, &q, NOW, &r);
    return r.known;
}

/* ---- operations ---- */

static int bench_ops(const char *kind, unsigned n)
{
    struct tables *t = tables_new(1);
    struct memory_key *keys = make_keys();
    uint64_t begin;
    unsigned known = 0;
    size_t k = 0;

    while (k < ARRAY_LEN(kinds) && strcmp(kinds[k].name, kind) != 0) {
        k++;
    }
    for (unsigned i = 0; i < 1000; i++) { /* few keys: what is counted is the work, not the page faults */
        tables_note(t, MEMORY_ACCEPTED, &keys[i], 3600, NOW);
        if (k < ARRAY_LEN(kinds)) {
            (void)ask(t, kinds[k].what, &keys[i], i);
        }
    }
    begin = now_ns();
    for (unsigned i = 0; i < n; i++) {
        if (k < ARRAY_LEN(kinds)) {
            known += ask(t, kinds[k].what, &keys[i % 1000], i);
        } else if (strcmp(kind, "accept") == 0) {
            tables_note(t, MEMORY_ACCEPTED, &keys[i % 1000], 3600, NOW);
        } else {
            struct memory_key key = key_of(i);

            known += key.octets[0] & 1;
        }
    }
    printf("%-9s %u times, %.0f ns each (%u)\n", kind, n, (double)(now_ns() - begin) / n, known);
    free(keys);
    tables_free(t);
    return 0;
}

/* ---- locks ---- */

struct tally {
    uint64_t operations, refused;
    uint32_t count;
    uint32_t held_ns[SAMPLES];
};

static void work_a_while(uint64_t us)
{
    uint64_t end = now_ns() + us * 1000;

    while (us > 0 && now_ns() < end) {
        ;
    }
}

static void hammer(struct tables *t, const struct memory_key *keys, struct tally *out, uint64_t end_ns,
                   unsigned pause_us)
{
    unsigned n = (unsigned)getpid() * 2654435761u;

    while (now_ns() < end_ns) {
        enum table_id id = (enum table_id)(n % TABLE_COUNT);
        const struct memory_key *key = &keys[(n >> 8) % KEYS];
        struct place p;
        struct entry *e;
        uint64_t from;
        bool made;

        n = n * 1664525u + 1013904223u;
        out->operations++;
        if (!place_lock(t, id, key, &p)) {
            out->refused++;
            continue;
        }
        from = now_ns();
        e = place_make(&p, key, NOW, &made);
        place_write_begin(&p, e);
        e->until_s = (uint32_t)NOW + 3600;
        place_write_end(&p);
        place_unlock(&p);
        out->held_ns[out->count++ % SAMPLES] = (uint32_t)min_u64(now_ns() - from, UINT32_MAX);
        work_a_while(pause_us);
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void print_tally(struct tally *a)
{
    size_t n = min_size(a->count, SAMPLES);

    if (n == 0) {
        printf("nothing was done\n");
        return;
    }
    qsort(a->held_ns, n, sizeof(a->held_ns[0]), by_size);
    printf("held ns   p50 %u  p99 %u  p99.9 %u  max %u; operations %llu, not to be had %llu (%.4f %%)\n",
           a->held_ns[n / 2], a->held_ns[n / 100 * 99], a->held_ns[n / 1000 * 999], a->held_ns[n - 1],
           (unsigned long long)a->operations, (unsigned long long)a->refused,
           100.0 * (double)a->refused / (double)a->operations);
}

static int bench_locks(unsigned seconds, unsigned processes, unsigned pause_us)
{
    struct tables *t = tables_new(1);
    struct memory_key *keys = make_keys();
    uint64_t begin = now_ns(), end = begin + seconds * 1000000000ULL;
    struct tally *tally = xcalloc(1, sizeof(*tally));

    for (unsigned i = 0; i < 1000; i++) {
        (void)now_ns();
    }
    printf("clock     %.0f ns\n", (double)(now_ns() - begin) / 1000);
    fflush(stdout);
    for (unsigned i = 0; i < processes; i++) {
        if (fork() == 0) {
            hammer(t, keys, tally, end, pause_us);
            print_tally(tally);
            fflush(stdout);
            _exit(0);
        }
    }
    while (wait(NULL) > 0) {
        ;
    }
    free(tally);
    free(keys);
    tables_free(t);
    return 0;
}

/* ---- memory ---- */

static size_t resident(void)
{
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    char line[200];
    uint64_t kib = 0;

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        struct slice rest = slice_str(line), name = slice_cut(&rest, ':');

        rest = slice_trim(rest);
        if (slice_eq(name, SLICE("Pss_Shmem"))) {
            (void)!slice_to_u64(slice_cut(&rest, ' '), UINT64_MAX, &kib);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return (size_t)kib;
}

static void full_pass(struct tables *t)
{
    for (int id = 0; id < TABLE_COUNT; id++) {
        char *out = xmalloc(TABLE_COLLECT_SETS * TABLE_WAYS * t->table[id].size);
        size_t set = 0;

        while (set < t->table[id].sets) {
            (void)tables_collect(t, (enum table_id)id, &set, true, NOW, out);
        }
        free(out);
    }
}

static int bench_memory(unsigned n)
{
    struct tables *t = tables_new(1);
    size_t before = resident(), made;

    for (int id = 0; id < TABLE_COUNT; id++) {
        printf("%-9s %8zu entries x %2zu octets = %zu KiB\n", table_names[id], t->table[id].sets * TABLE_WAYS,
               t->table[id].size, t->table[id].sets * TABLE_WAYS * t->table[id].size / 1024);
    }
    printf("mapped    %zu KiB; resident when new %zu KiB\n", t->mapped / 1024, before);
    for (unsigned i = 0; i < n; i++) {
        struct memory_key key = key_of(i);

        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            (void)ask(t, kinds[k].what, &key, i);
        }
        tables_note(t, MEMORY_ACCEPTED, &key, 3600, NOW);
    }
    made = resident();
    full_pass(t);
    printf("resident  with %u keys in each %zu KiB, after a full pass of the snapshot %zu KiB\n", n, made,
           resident());
    tables_free(t);
    return 0;
}

static unsigned number(const char *text)
{
    uint64_t n;

    return slice_to_u64(slice_str(text), UINT32_MAX, &n) ? (unsigned)n : 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "ops") == 0) {
        return bench_ops(argv[2], number(argv[3]));
    }
    if ((argc == 4 || argc == 5) && strcmp(argv[1], "locks") == 0) {
        return bench_locks(number(argv[2]), number(argv[3]), argc == 5 ? number(argv[4]) : 0);
    }
    if (argc == 3 && strcmp(argv[1], "memory") == 0) {
        return bench_memory(number(argv[2]));
    }
    fputs("usage: bench_tables ops KIND N | locks SECONDS PROCESSES [PAUSE_US] | memory N\n", stderr);
    return 2;
}
