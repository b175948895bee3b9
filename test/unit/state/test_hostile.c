/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hostile.c - C1, C2: a compromised worker writes arbitrary values into shared memory.
 *
 * The tests overwrite each field in turn with extreme values and then do once everything that supervisor, recorder and
 * workers do.  Results may be wrong, but the sanitizers must find no bad access.  In another test two processes work
 * while a third one writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "core/crypto.h"
#include "state/clients.h"
#include "state/duplicates.h"
#include "state/facts.h"
#include "state/handshakes.h"
#include "state/log_ring.h"
#include "state/memory.h"
#include "state/rule_counts.h"
#include "state/servers.h"
#include "state/slots.h"
#include "state/tables_priv.h"
#include "test/unit/state/kill_midway.h"

#define NOW_MS UINT64_C(5000000)
#define NOW_S ((int64_t)20000 * 86400)
#define STORM_MS 400

static const uint64_t extremes[] = {
    0,
    1,
    UINT64_MAX,
    UINT64_C(0x7fffffff7fffffff),
    UINT64_C(0x8000000080000000),
    UINT64_C(0x4141414141414141), /* a text without NUL */
    UINT64_C(0x0000003f0000003f),
};

static const struct config_limits limits = { .connections_per_client = 20,
                                             .connection_rate = { 100, 60000 },
                                             .message_rate = { 100, 60000 },
                                             .ban_points = 50,
                                             .ban_within_ms = 60000,
                                             .ban_for_ms = 1000 };

struct world {
    struct state *s;
    int upstream, server, rule;
    struct buf out;
};

static const struct addr server_address = { .family = ADDR_V4, .ip = { 192, 0, 2, 25 }, .port = 25 };

static bool wants_a(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "a") == 0;
}

/* ---- everything that processes do with shared memory ---- */

static void use_clients(struct world *w, unsigned round)
{
    struct addr a = { .family = ADDR_V4, .ip = { 192, 0, 2, (uint8_t)round } };
    bool counted;

    (void)state_client_enter(w->s, &a, &limits, NOW_MS + round, &counted);
    (void)!state_client_message(w->s, &a, &limits, NOW_MS + round);
    (void)!state_client_abuse(w->s, &a, 1, &limits, NOW_MS + round);
    (void)state_client_connections(w->s, &a);
    if (counted) {
        state_client_leave(w->s, &a);
    }
    (void)!state_handshake_failed(w->s, &a, NOW_MS + round);
    (void)!state_handshakes_fail(w->s, &a, NOW_MS + round);
    state_handshake_worked(w->s, &a);
}

static void use_servers(struct world *w)
{
    struct state_keywords k;
    struct state_health h;
    struct state_server_info info;
    int envelope, ticket;

    state_server_leave(w->s, w->server);
    w->server = state_server_join(w->s, w->upstream, &server_address);
    (void)!state_server_find(w->s, w->upstream, &server_address);
    for (size_t i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        (void)!state_server_info(w->s, w->upstream, i, &info);
    }
    envelope = state_envelope_take(w->s, w->server, 5);
    ticket = state_ticket_take(w->s, w->server, 5);
    if (ticket >= 0 && state_ticket_idle(w->s, w->server, ticket, 3)) {
        state_ticket_busy(w->s, w->server, ticket);
    }
    (void)state_tickets_used(w->s, w->server);
    state_waiting_since(w->s, w->upstream, NOW_MS);
    (void)state_others_waiting_since(w->s, w->upstream);
    state_wake_waiter(w->s, w->upstream);
    state_wake_drain(w->s);
    state_ticket_return(w->s, w->server, ticket);
    state_envelope_return(w->s, w->server, envelope);
    state_keywords_get(w->s, w->server, &k);
    state_keywords_set(w->s, w->server, &k);
    state_health_get(w->s, w->server, &h);
    (void)!state_health_report(w->s, w->server, false, 3, 2, NOW_MS);
    (void)!state_probe_claim(w->s, w->server, NOW_MS, 30000);
    state_probe_hasten(w->s, w->server, NOW_MS + 1000);
    (void)state_server_rate(w->s, w->server, 2, 1000, NOW_MS);
    state_rule_count(w->s, w->rule, true);
    (void)state_rule_counted(w->s, w->rule, true);
}

static void use_memory(struct world *w, unsigned round)
{
    static const enum memory_what what[] = { MEMORY_SEEN, MEMORY_STANDING, MEMORY_GREYLIST, MEMORY_BURST,
                                             MEMORY_RATE };
    struct memory_key key = memory_key(MEMORY_DOMAIN, SLICE("example.com"));
    struct memory *m = memory_new(w->s, NULL, NULL);
    struct memory_record r;

    for (size_t i = 0; i < ARRAY_LEN(what); i++) {
        struct memory_question q = { .what = what[i], .key = key, .member = round, .keep_s = 86400 };

        tables_ask(w->s->tables, &q, NOW_S, &r);
    }
    memory_note(m, MEMORY_ACCEPTED, &key, 86400, NOW_S);
    memory_note(m, MEMORY_PASSED, &key, 86400, NOW_S);
    assert_in_range(memory_history_since(m), 0, wall_now_s());
    memory_free(&m);
}

static void use_lists(struct world *w)
{
    struct memory_list *l = tables_list_take(w->s->tables, SLICE("a-list")), copy;
    char packed[MEMORY_LIST_PACKED];

    if (l == NULL) {
        return;
    }
    memory_list_copy(&copy, l);
    assert_true(strlen(copy.name) < sizeof(copy.name) && strlen(copy.why) < sizeof(copy.why));
    assert_true(copy.evidence_next < MEMORY_EVIDENCE && copy.override <= OVERRIDE_OFF);
    for (size_t i = 0; i < MEMORY_EVIDENCE; i++) {
        assert_true(strlen(copy.evidence[i].text) < sizeof(copy.evidence[i].text));
    }
    (void)!memory_list_claim(l, &l->told_s, NOW_S, 4);
    memory_list_changed(l, NOW_MS);
    memory_list_others_begin(l);
    (void)!memory_list_others_add(l, slice_of(packed, memory_list_pack(l, NOW_S, packed)), NOW_S);
    memory_list_forget(l);
    tables_list_give(w->s->tables, l);
}

static void use_snapshot(struct world *w)
{
    char out[TABLE_COLLECT_SETS * TABLE_WAYS * sizeof(struct entry_burst)];

    for (int id = 0; id < TABLE_COUNT; id++) {
        size_t set = 0;

        for (unsigned calls = 0; calls < 4 && set < w->s->tables->table[id].sets; calls++) {
            (void)tables_collect(w->s->tables, (enum table_id)id, &set, true, NOW_S, out);
        }
    }
}

static void use_log(struct world *w)
{
    struct state_facts facts;

    state_log(w->s, LOG_CLASS_NORMAL, SLICE("{\"event\":\"one\"}\n"));
    (void)!state_facts_get(w->s, &facts);
    assert_int_equal(state_generation(w->s), 7);
}

/* As the recorder does. */
static void read_log(struct world *w)
{
    for (unsigned i = 0; i < 200 && state_log_read(w->s, &w->out); i++) {
        buf_reset(&w->out);
    }
    buf_reset(&w->out);
}

/* As the supervisor does when a process dies and another one replaces it. */
static void supervise(struct world *w)
{
    uint64_t sums[METRIC_COUNT];
    int slot = state_slot_take(w->s, ROLE_WORKER, 1, 1);
    struct state_slot_info info;

    assert_true(slot >= 0);
    assert_true(state_slot_info(w->s, slot, &info));
    assert_int_equal(info.role, ROLE_WORKER);
    state_metrics_sum(w->s, sums);
    assert_int_equal(state_upstream(w->s, "a"), w->upstream);
    assert_true(state_upstream(w->s, "b") >= 0);
    state_upstreams_sweep(w->s, wants_a, NULL);
    assert_int_equal(state_upstream_find(w->s, "b"), -1);
    assert_int_equal(state_rule(w->s, "rule"), w->rule);
    state_slot_release(w->s, slot);
}

static void use_all(struct world *w, unsigned round)
{
    uint8_t hash[32];

    sha256_of(&round, sizeof(round), hash);
    use_clients(w, round);
    use_servers(w);
    use_memory(w, round);
    use_lists(w);
    use_log(w);
    state_dup_remember(w->s, hash, SLICE("2.0.0 Ok"), NOW_MS + 5);
    (void)state_dup_find(w->s, hash, NOW_MS, &w->out);
    buf_reset(&w->out);
}

/* ---- the hostile process ---- */

struct part {
    const char *label;
    char *at;
    size_t len;
};

/* The fields that the test overwrites, at the places that it uses. */
static size_t parts_of(struct world *w, struct part *out)
{
    struct shared *sh = w->s->sh;
    struct tables *t = w->s->tables;
    struct memory_key key = memory_key(MEMORY_DOMAIN, SLICE("example.com"));
    size_t n = 0;

    out[n++] = (struct part){ "header", (char *)sh, offsetof(struct shared, upstream) };
    out[n++] = (struct part){ "upstream", (char *)&sh->upstream[w->upstream],
                              offsetof(struct upstream_area, server[1]) };
    out[n++] = (struct part){ "rule", (char *)&sh->rule[w->rule], sizeof(struct rule_count) };
    out[n++] = (struct part){ "duplicates", (char *)sh->dup_lock, sizeof(sh->dup_lock) };
    out[n++] = (struct part){ "a duplicate", (char *)&sh->dup[0], sizeof(struct duplicate) * 2 };
    out[n++] = (struct part){ "client locks", (char *)sh->client_lock, sizeof(sh->client_lock) };
    out[n++] = (struct part){ "clients", (char *)w->s->clients, CLIENT_WAYS * sizeof(struct client) };
    out[n++] = (struct part){ "tables", (char *)t->h, offsetof(struct tables_header, shard) };
    out[n++] = (struct part){ "list lock", (char *)&t->h->list_lock[0], sizeof(struct table_shard) };
    out[n++] = (struct part){ "list", (char *)&t->h->list[0], sizeof(struct memory_list) };
    for (int id = 0; id < TABLE_COUNT; id++) {
        struct place p;

        assert_true(place_lock(t, (enum table_id)id, &key, &p));
        place_unlock(&p);
        out[n++] = (struct part){ table_names[id], t->table[id].entries + p.first * t->table[id].size,
                                  TABLE_WAYS * t->table[id].size };
        out[n++] = (struct part){ "shard", (char *)p.shard, sizeof(*p.shard) };
    }
    return n;
}

static void world_init(struct world *w)
{
    struct state_facts facts = { .phase = STATE_SERVING };

    memset(w, 0, sizeof(*w));
    w->s = state_new(0);
    assert_non_null(w->s);
    state_slot_enter(w->s, state_slot_take(w->s, ROLE_WORKER, 1, 0));
    w->upstream = state_upstream(w->s, "a");
    w->server = state_server_join(w->s, w->upstream, &server_address);
    w->rule = state_rule(w->s, "rule");
    state_generation_set(w->s, 7);
    state_facts_set(w->s, &facts);
    buf_init(&w->out, 1u << 20);
    use_all(w, 1);
}

static void world_fini(struct world *w)
{
    buf_fini(&w->out);
    state_free(w->s);
}

static void each_field_may_hold_anything(void **st)
{
    struct part part[40];
    struct world w;
    size_t parts, fields = 0;

    (void)st;
    world_init(&w);
    parts = parts_of(&w, part);
    part[parts++] =
        (struct part){ "my slot", (char *)&w.s->mine->of[w.s->my_slot].slot, sizeof(struct slot) };
    part[parts++] = (struct part){ "my ring", w.s->mine->of[w.s->my_slot].ring, 256 };
    for (size_t p = 0; p < parts; p++) {
        for (size_t at = 0; at + sizeof(uint64_t) <= part[p].len; at += sizeof(uint64_t)) {
            for (size_t e = 0; e < ARRAY_LEN(extremes); e++) {
                memcpy(part[p].at + at, &extremes[e], sizeof(extremes[e]));
                use_all(&w, (unsigned)(at / 8 + e));
                read_log(&w);
            }
            if (at % 512 == 0) {
                supervise(&w);
            }
            fields++;
        }
        use_snapshot(&w);
    }
    assert_true(fields > 3000);
    world_fini(&w);
}

/* The same for whole pages of all structures. */
static void whole_pages_may_hold_anything(void **st)
{
    struct world w;

    (void)st;
    world_init(&w);
    for (size_t e = 0; e < ARRAY_LEN(extremes); e++) {
        for (size_t at = 0; at + 4096 <= sizeof(struct shared); at += 4096) {
            uint64_t *page = (uint64_t *)(void *)((char *)w.s->sh + at);

            for (size_t i = 0; i < 4096 / sizeof(*page); i++) {
                page[i] = extremes[e];
            }
        }
        for (size_t at = 0; at + 4096 <= sizeof(struct tables_header); at += 4096) {
            memset((char *)w.s->tables->h + at, (int)(extremes[e] & 0xff), 4096);
        }
        use_all(&w, (unsigned)e);
        supervise(&w);
        use_snapshot(&w);
    }
    world_fini(&w);
}

/* ---- at the same time ---- */

static struct world shared_world;
static struct part storm[40];
static size_t storm_parts;

static void work(struct state *s, unsigned round)
{
    (void)s;
    use_all(&shared_world, round);
}

static void write_anything(struct state *s, unsigned round)
{
    const struct part *p = &storm[random_below((uint32_t)storm_parts)];
    size_t at = (size_t)random_below((uint32_t)(p->len / 8)) * 8;

    (void)s;
    if (round % 64 != 63) {
        memcpy(p->at + at, &extremes[random_below(ARRAY_LEN(extremes))], sizeof(uint64_t));
    } else {
        memset(p->at, (int)random_below(256), p->len);
    }
}

static void others_live_while_one_writes(void **st)
{
    struct world *w = &shared_world;
    pid_t pid[3];
    int slot[3];
    uint64_t end;

    (void)st;
    world_init(w);
    storm_parts = parts_of(w, storm);
    for (int i = 0; i < 2; i++) {
        slot[i] = fork_busy(w->s, work, &pid[i]);
    }
    slot[2] = fork_busy(w->s, write_anything, &pid[2]);
    end = loop_now_us() + STORM_MS * 1000;
    while (loop_now_us() < end) {
        supervise(w);
        read_log(w);
    }
    for (int i = 0; i < 3; i++) {
        int status = 0;

        assert_int_equal(waitpid(pid[i], &status, WNOHANG), 0); /* it lives */
        kill_and_reap(w->s, pid[i], slot[i]);
    }
    world_fini(w);
}

/* ---- what only the supervisor may write ---- */

static int slot_of_child;

static int tries_to_write(struct state *s)
{
    char *readable = (char *)(uintptr_t)s->owned;
    const struct {
        char *at;
        bool mapped;
    } pages[] = {
        { (char *)&s->mine->processes, false },
        { (char *)&s->mine->of[slot_of_child - 1], false },
        { (char *)&s->mine->of[slot_of_child], true },
        { s->mine->of[slot_of_child].ring, true },
        { (char *)&s->mine->of[slot_of_child + 1], false },
        { (char *)(s->mine + 1) - 4096, false },
    };

    state_slot_enter(s, slot_of_child);
    count(M_SESSIONS); /* its own: works */
    state_log(s, LOG_CLASS_NORMAL, SLICE("x\n"));
    if (mprotect(readable, sizeof(*s->owned), PROT_READ | PROT_WRITE) == 0) {
        return 1; /* the kernel gave it back */
    }
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        if ((madvise(pages[i].at, 4096, MADV_NORMAL) == 0) != pages[i].mapped) {
            return 10 + (int)i;
        }
    }
    return 0;
}

static void a_child_can_write_its_own_slot_alone(void **st)
{
    struct state *s = state_new(0);
    int status = -1;
    pid_t pid;

    (void)st;
    (void)state_slot_take(s, ROLE_WORKER, 1, 0);
    slot_of_child = state_slot_take(s, ROLE_WORKER, 1, 1);
    pid = fork();
    if (pid == 0) {
        _exit(tries_to_write(s));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(state_slot_metric(s, slot_of_child, M_SESSIONS), 1);
    state_free(s);
}

static void facts_are_read_whole(void **st)
{
    struct state *s = state_new(0);
    struct state_facts facts = { .phase = STATE_SERVING }, seen;
    pid_t pid;
    int status = -1;

    (void)st;
    assert_false(state_facts_get(s, &seen));
    memset(facts.config, 'x', sizeof(facts.config));
    state_facts_set(s, &facts);
    pid = fork();
    if (pid == 0) {
        for (unsigned i = 0; i < 20000; i++) {
            if (state_facts_get(s, &seen) && seen.config[0] != seen.config[sizeof(seen.config) - 1]) {
                _exit(1);
            }
        }
        _exit(0);
    }
    for (unsigned i = 0; waitpid(pid, &status, WNOHANG) == 0; i++) {
        memset(facts.config, 'a' + (int)(i % 26), sizeof(facts.config));
        state_facts_set(s, &facts);
    }
    assert_int_equal(status, 0);
    state_free(s);
}

/* The owner of a lock is alive, dead (its slot is free, or another process is in it), or invalid. */
static void a_lock_is_taken_from_the_dead_alone(void **st)
{
    struct state *s = state_new(0);
    struct shard_lock lock = { 0 };
    struct locker other;
    int slot;
    bool died;

    (void)st;
    state_slot_enter(s, state_slot_take(s, ROLE_WORKER, 1, 0));
    slot = state_slot_take(s, ROLE_WORKER, 1, 1);
    other = (struct locker){ s->processes, s->processes->slot[slot].start << 8 | (uint64_t)(slot + 1) };
    assert_true(shard_lock(&other, &lock, &died));
    assert_false(died);
    assert_false(shard_lock(&s->locker, &lock, &died)); /* it is alive */
    state_slot_release(s, slot);
    assert_int_equal(state_slot_take(s, ROLE_WORKER, 1, 1), slot);
    assert_true(shard_lock(&s->locker, &lock, &died)); /* another one is in its slot */
    assert_true(died);
    shard_unlock(&lock);
    assert_true(shard_lock(&s->locker, &lock, &died));
    assert_false(died);
    for (size_t e = 1; e < ARRAY_LEN(extremes); e++) {
        lock.owner = extremes[e];
        assert_true(shard_lock(&s->locker, &lock, &died));
        assert_true(died);
    }
    state_free(s);
}

/* Locks forged in the name of a live process: every operation returns without them and counts that. */
static void without_locks_everything_goes_on(void **st)
{
    struct world w;
    uint64_t word;
    int other;

    (void)st;
    world_init(&w);
    other = state_slot_take(w.s, ROLE_WORKER, 1, 1);
    word = w.s->processes->slot[other].start << 8 | (uint64_t)(other + 1);
    for (size_t i = 0; i < CLIENT_SHARDS; i++) {
        w.s->sh->client_lock[i].owner = word;
    }
    for (size_t i = 0; i < DUP_SHARDS; i++) {
        w.s->sh->dup_lock[i].owner = word;
    }
    for (size_t i = 0; i < (size_t)TABLE_COUNT * TABLE_SHARDS; i++) {
        w.s->tables->h->shard[i / TABLE_SHARDS][i % TABLE_SHARDS].lock.owner = word;
    }
    for (size_t i = 0; i < MEMORY_LISTS; i++) {
        w.s->tables->h->list_lock[i].lock.owner = word;
    }
    use_all(&w, 2);
    supervise(&w);
    assert_true(metric_get(M_MEMORY_BUSY) >= 8);
    assert_true(metric_get(M_LIMIT_TABLE_FULL) >= 4);
    state_slot_release(w.s, other); /* its locks are free again */
    use_all(&w, 3);
    assert_non_null(tables_list_take(w.s->tables, SLICE("a-list")));
    world_fini(&w);
}

#define TEST(title, f)                                                                                       \
    {                                                                                                        \
        title, f, NULL, NULL, NULL                                                                           \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("C1: a lock is taken from the dead alone", a_lock_is_taken_from_the_dead_alone),
        TEST("C1: with all locks taken for good everything goes on", without_locks_everything_goes_on),
        TEST("C1: a child can write its own slot alone", a_child_can_write_its_own_slot_alone),
        TEST("C1: the facts of the supervisor are read whole", facts_are_read_whole),
        TEST("C2: each field may hold anything", each_field_may_hold_anything),
        TEST("C2: whole pages may hold anything", whole_pages_may_hold_anything),
        TEST("C2: others live while one writes", others_live_while_one_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
