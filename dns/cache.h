/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - what was learned, for as long as it may be believed.
 *
 * Bounded by entries and by octets; the least recently used goes first.  An entry holds one
 * reference of its answer, so whoever holds another keeps reading what he has while the cache moves on.
 * Knows no clock: the caller says what time it is.  Private to dns/.
 *
 * RFC     2308 5, 7 (negative answers), 9520 3.2 (failures)
 */
#ifndef DNS_CACHE_H
#define DNS_CACHE_H

#include "core/list.h"
#include "core/table.h"
#include "dns/dns.h"

struct cache {
    struct table table;
    struct list_node lru; /* struct cache_entry.lru; the most recently used comes first */
    size_t bytes;
    size_t max_entries; /* 0: nothing is kept */
    size_t max_bytes;
    uint64_t evicted; /* entries that had to go before their time */
};

void cache_init(struct cache *c, size_t max_entries, size_t max_bytes);
void cache_fini(struct cache *c);

/* Keys are made by table_key(&c->table, ...), since whoever looks a name up usually puts it, too. */

/* Borrowed; NULL if there is none or it has expired. */
struct dns_answer *cache_get(struct cache *c, const struct table_key *key, uint64_t now_ms);

/* Takes a reference of its own; replaces what was there.  ans->expires_ms must be set. */
void cache_put(struct cache *c, const struct table_key *key, struct dns_answer *ans, uint64_t now_ms);

/* The same for as long as the settings say, which is set in the answer first. */
void cache_keep(struct cache *c, const struct dns_settings *s, const struct table_key *key,
                struct dns_answer *ans, uint64_t now_ms);

size_t cache_len(const struct cache *c);

/* How long this answer is to be kept, given what it says itself (ans->ttl_s) and the settings. */
uint32_t cache_ttl_s(const struct dns_settings *s, const struct dns_answer *ans);

#endif
