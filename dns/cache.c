/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.c - keeps DNS answers until their TTL expires.
 *
 * A lookup drops an expired entry, and a put evicts entries to make room.  There is no periodic sweep.
 *
 * Memory   the size of an entry is what malloc() takes for it and its answer, plus its part of the table.  The gauges
 *          include it, because limits.memory counts it.
 */
#include "dns/cache.h"

#include "core/metrics.h"

#define HEAP_STEP ((size_t)16) /* glibc: eight octets before each block, sizes in steps of sixteen */
#define TABLE_PART (2 * sizeof(void *))

struct cache_entry {
    struct table_entry entry;
    struct list_node lru;
    struct dns_answer *ans;
    size_t size; /* octets counted for this entry */
    char key[];
};

static size_t heap_of(size_t size)
{
    return (size + 8 + HEAP_STEP - 1) / HEAP_STEP * HEAP_STEP;
}

static void count_octets(struct cache *c, size_t size, bool more)
{
    int64_t change = more ? (int64_t)size : -(int64_t)size;

    c->bytes = more ? c->bytes + size : c->bytes - size;
    gauge_add(M_DNS_CACHE_BYTES, change);
    gauge_add(M_MEMORY_HELD, change);
}

void cache_init(struct cache *c, size_t max_entries, size_t max_bytes)
{
    *c = (struct cache){ .max_entries = max_entries, .max_bytes = max_bytes };
    table_init(&c->table);
    list_init(&c->lru);
}

static void drop_entry(struct cache *c, struct cache_entry *e)
{
    table_remove(&c->table, &e->entry);
    list_remove(&e->lru);
    count_octets(c, e->size, false);
    dns_answer_unref(e->ans);
    free(e);
}

void cache_fini(struct cache *c)
{
    while (!list_empty(&c->lru)) {
        drop_entry(c, container_of(c->lru.next, struct cache_entry, lru));
    }
    table_fini(&c->table);
}

static struct cache_entry *find_entry(const struct cache *c, const struct table_key *key)
{
    struct table_entry *te = table_find_key(&c->table, key);

    return te == NULL ? NULL : container_of(te, struct cache_entry, entry);
}

struct dns_answer *cache_get(struct cache *c, const struct table_key *key, uint64_t now_ms)
{
    struct cache_entry *e = find_entry(c, key);

    if (e == NULL) {
        return NULL;
    }
    if (e->ans->expires_ms <= now_ms) {
        drop_entry(c, e);
        return NULL;
    }
    list_remove(&e->lru);
    list_push_front(&c->lru, &e->lru);
    return e->ans;
}

void cache_put(struct cache *c, const struct table_key *key, struct dns_answer *ans, uint64_t now_ms)
{
    struct cache_entry *e = find_entry(c, key);
    size_t size = heap_of(sizeof(*e) + key->text.len) + heap_of(ans->size) + TABLE_PART;
    struct table_key own = { .hash = key->hash };

    if (e != NULL) {
        drop_entry(c, e);
    }
    if (c->max_entries == 0 || size > c->max_bytes || ans->expires_ms <= now_ms) {
        return;
    }
    while (c->table.len >= c->max_entries || c->bytes > c->max_bytes - size) {
        struct cache_entry *old = container_of(c->lru.prev, struct cache_entry, lru);

        if (old->ans->expires_ms > now_ms) {
            c->evicted += 1;
        }
        drop_entry(c, old);
    }
    e = xmalloc(sizeof(*e) + key->text.len);
    memcpy(e->key, key->text.ptr, key->text.len);
    own.text = slice_of(e->key, key->text.len);
    e->ans = dns_answer_ref(ans);
    e->size = size;
    count_octets(c, size, true);
    table_insert_key(&c->table, &e->entry, &own);
    list_node_init(&e->lru);
    list_push_front(&c->lru, &e->lru);
}

size_t cache_len(const struct cache *c)
{
    return c->table.len;
}

uint32_t cache_ttl_s(const struct dns_settings *s, const struct dns_answer *ans)
{
    uint32_t most = ans->status == DNS_OK ? s->max_ttl_s : s->negative_ttl_s;

    if (ans->why == DNS_WHY_OVERLOAD || ans->why == DNS_WHY_PACE || ans->why == DNS_WHY_ILLEGAL) {
        return 0;
    }
    if (ans->status == DNS_TEMPFAIL) {
        return s->failure_ttl_s;
    }
    return (uint32_t)min_u64(most, max_size(ans->ttl_s, s->min_ttl_s));
}

void cache_keep(struct cache *c, const struct dns_settings *s, const struct table_key *key,
                struct dns_answer *ans, uint64_t now_ms)
{
    ans->ttl_s = cache_ttl_s(s, ans);
    ans->expires_ms = now_ms + (uint64_t)ans->ttl_s * 1000;
    if (ans->ttl_s > 0) {
        cache_put(c, key, ans, now_ms);
    }
}
