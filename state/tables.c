/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.c - the tables: mapping, locks, lookup, eviction, repair, copies for the snapshot.
 *
 * Untouched pages of the mapping cost nothing (MAP_NORESERVE), so the tables are large.  SipHash of the 128-bit key
 * under a secret seed selects the set, so that an outsider cannot aim at one.
 */
#include "state/tables_priv.h"

#include <sys/mman.h>

#include "core/crypto.h"
#include "core/table.h"

const char *const table_names[TABLE_COUNT] = { "seen", "standing", "greylist", "burst", "rate" };

static const struct {
    size_t size, entries;
} shape[TABLE_COUNT] = {
    [TABLE_SEEN] = { sizeof(struct entry_seen), 1u << 20 },
    [TABLE_STANDING] = { sizeof(struct entry_standing), 1u << 18 },
    [TABLE_GREY] = { sizeof(struct entry_grey), 1u << 20 },
    [TABLE_BURST] = { sizeof(struct entry_burst), 1u << 15 },
    [TABLE_RATE] = { sizeof(struct entry_rate), 1u << 17 },
};

_Static_assert((1u << 20) / TABLE_WAYS / TABLE_SHARDS / TABLE_COLLECT_SETS <= 64, "a bit each in a shard");

#define PAGE ((size_t)4096)

static const struct locker no_slot = { NULL, LOCKER_NO_SLOT };

static size_t round_page(size_t n)
{
    return (n + PAGE - 1) / PAGE * PAGE;
}

struct tables *tables_new(unsigned share)
{
    struct tables *t = xcalloc(1, sizeof(*t));
    size_t at = round_page(sizeof(struct tables_header));
    char *mem;

    t->mapped = at;
    for (int i = 0; i < TABLE_COUNT; i++) {
        size_t entries = max_size(shape[i].entries / (share > 0 ? share : 1), TABLE_SHARDS * TABLE_WAYS);

        t->table[i].size = shape[i].size;
        t->table[i].sets = entries / TABLE_WAYS / TABLE_SHARDS * TABLE_SHARDS;
        t->mapped += round_page(t->table[i].sets * TABLE_WAYS * shape[i].size);
    }
    mem = mmap(NULL, t->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) {
        free(t);
        return NULL;
    }
    t->h = (struct tables_header *)(void *)mem;
    t->who = &no_slot;
    for (int i = 0; i < TABLE_COUNT; i++) {
        t->table[i].entries = mem + at;
        at += round_page(t->table[i].sets * TABLE_WAYS * t->table[i].size);
    }
    t->h->magic = TABLES_MAGIC;
    t->h->layout = TABLES_LAYOUT;
    random_bytes(t->seed, sizeof(t->seed));
    return t;
}

void tables_free(struct tables *t)
{
    if (t == NULL) {
        return;
    }
    munmap(t->h, t->mapped);
    free(t);
}

void tables_lock_as(struct tables *t, const struct locker *who)
{
    t->who = who;
}

static struct entry *entry_at(const struct tables *t, enum table_id id, size_t n)
{
    return (struct entry *)(void *)(t->table[id].entries + n * t->table[id].size);
}

static bool lock_shard(struct tables *t, enum table_id id, struct table_shard *shard)
{
    uint64_t writing;
    bool died;

    if (!shard_lock(t->who, &shard->lock, &died)) {
        count(M_MEMORY_BUSY);
        return false;
    }
    writing = shard->writing;
    if (died && writing != 0 && writing <= t->table[id].sets * TABLE_WAYS) {
        memset(entry_at(t, id, writing - 1), 0, t->table[id].size);
    }
    if (died) {
        shard->writing = 0;
    }
    return true;
}

bool place_lock(struct tables *t, enum table_id id, const struct memory_key *key, struct place *p)
{
    uint64_t hash = siphash(t->seed, key->octets, sizeof(key->octets));
    size_t shard = (size_t)(hash % TABLE_SHARDS), per_shard = t->table[id].sets / TABLE_SHARDS;

    p->t = t;
    p->id = id;
    p->shard = &t->h->shard[id][shard];
    p->first = (shard * per_shard + (size_t)(hash / TABLE_SHARDS % per_shard)) * TABLE_WAYS;
    return lock_shard(t, id, p->shard);
}

void place_unlock(struct place *p)
{
    shard_unlock(&p->shard->lock);
}

static bool is_key(const struct entry *e, const struct memory_key *key)
{
    return e->until_s != 0 && memcmp(e->key.octets, key->octets, sizeof(key->octets)) == 0;
}

struct entry *place_find(struct place *p, const struct memory_key *key, int64_t now_s)
{
    for (size_t i = 0; i < TABLE_WAYS; i++) {
        struct entry *e = entry_at(p->t, p->id, p->first + i);

        if (is_key(e, key)) {
            return (int64_t)e->until_s > now_s ? e : NULL;
        }
    }
    return NULL;
}

/* Should the set drop `a` rather than `b`? */
static bool gives_way(const struct entry *a, const struct entry *b, int64_t now_s)
{
    bool dead_a = (int64_t)a->until_s <= now_s, dead_b = (int64_t)b->until_s <= now_s;

    if (dead_a != dead_b) {
        return dead_a;
    }
    if (!dead_a && a->worth != b->worth) {
        return a->worth < b->worth;
    }
    return a->used_s < b->used_s;
}

struct entry *place_make(struct place *p, const struct memory_key *key, int64_t now_s, bool *made)
{
    struct entry *e = place_find(p, key, now_s), *victim = entry_at(p->t, p->id, p->first);

    *made = e == NULL;
    if (e != NULL) {
        return e;
    }
    for (size_t i = 0; i < TABLE_WAYS; i++) {
        e = entry_at(p->t, p->id, p->first + i);
        if (is_key(e, key)) { /* expired; reuse it, so that a key never has two entries */
            victim = e;
            break;
        }
        if (gives_way(e, victim, now_s)) {
            victim = e;
        }
    }
    if (victim->until_s != 0 && (int64_t)victim->until_s > now_s) {
        count(M_MEMORY_EVICTED);
    }
    place_write_begin(p, victim);
    memset(victim, 0, p->t->table[p->id].size);
    victim->key = *key;
    return victim;
}

/* The bit of the sets that tables_collect() takes together. */
static uint64_t bit_of(const struct tables *t, enum table_id id, size_t set)
{
    return UINT64_C(1) << set % (t->table[id].sets / TABLE_SHARDS) / TABLE_COLLECT_SETS;
}

void place_write_begin(struct place *p, struct entry *e)
{
    size_t n = (size_t)((char *)e - p->t->table[p->id].entries) / p->t->table[p->id].size;
    uint64_t bit = bit_of(p->t, p->id, n / TABLE_WAYS);

    atomic_store_explicit(&p->shard->used, p->shard->used | bit, memory_order_relaxed);
    atomic_store_explicit(&p->shard->changed, p->shard->changed | bit, memory_order_relaxed);
    atomic_store_explicit(&p->shard->writing, n + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

void place_write_end(struct place *p)
{
    atomic_store_explicit(&p->shard->writing, 0, memory_order_release);
}

size_t tables_collect_end(const struct tables *t, enum table_id id, size_t set)
{
    size_t per_shard = t->table[id].sets / TABLE_SHARDS;

    return min_size(set + TABLE_COLLECT_SETS, (set / per_shard + 1) * per_shard);
}

size_t tables_collect(struct tables *t, enum table_id id, size_t *set, bool all, int64_t now_s, char *out)
{
    size_t per_shard = t->table[id].sets / TABLE_SHARDS, shard = *set / per_shard, n = 0;
    size_t end = tables_collect_end(t, id, *set);
    struct table_shard *s = &t->h->shard[id][shard];
    uint64_t bit = bit_of(t, id, *set);

    if (((all ? s->used : s->changed) & bit) == 0) {
        *set = end;
        return 0;
    }
    if (!lock_shard(t, id, s)) {
        return 0; /* the same sets again in the next call */
    }
    s->changed &= ~bit;
    for (size_t i = *set * TABLE_WAYS; i < end * TABLE_WAYS; i++) {
        struct entry *e = entry_at(t, id, i);

        if (e->until_s == 0 || (int64_t)e->until_s <= now_s || (!all && !e->dirty)) {
            continue;
        }
        e->dirty = 0;
        memcpy(out + n++ * t->table[id].size, e, t->table[id].size);
    }
    shard_unlock(&s->lock);
    *set = end;
    return n;
}

void tables_restore(struct tables *t, enum table_id id, const struct entry *stored, int64_t now_s)
{
    struct place p;
    struct entry *e;
    bool made;

    if ((int64_t)stored->until_s <= now_s || !place_lock(t, id, &stored->key, &p)) {
        return;
    }
    e = place_make(&p, &stored->key, now_s, &made);
    if (made) {
        memcpy(e, stored, t->table[id].size);
        e->dirty = 0;
    } else if (id == TABLE_SEEN || id == TABLE_GREY) { /* `first_s` is at one place in both */
        struct entry_seen *now = (struct entry_seen *)e;
        const struct entry_seen *then = (const struct entry_seen *)stored;

        if (then->first_s < now->first_s) {
            now->first_s = then->first_s;
        }
    }
    place_write_end(&p);
    place_unlock(&p);
}
