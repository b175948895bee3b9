/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - keeps DNS answers until their TTL expires.
 *
 * Bounded by entries and by octets; evicts the least recently used first.  An entry holds one reference to its
 * answer, so other holders may keep reading it after eviction.  Uses no clock: the caller passes the time.
 * Private to dns/.
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
    size_t max_entries; /* 0: no caching */
    size_t max_bytes;
    uint64_t evicted; /* entries removed before they expired */
};

void cache_init(struct cache *c, size_t max_entries, size_t max_bytes);
void cache_fini(struct cache *c);

/* Make keys with table_key(&c->table, ...): a lookup and the following put then share one hash. */

/* The answer is borrowed; NULL if there is none or it has expired. */
struct dns_answer *cache_get(struct cache *c, const struct table_key *key, uint64_t now_ms);

/* Takes its own reference; replaces an older entry.  ans->expires_ms must be set. */
void cache_put(struct cache *c, const struct table_key *key, struct dns_answer *ans, uint64_t now_ms);

/* The same, but first sets the answer's TTL and expiry from the settings. */
void cache_keep(struct cache *c, const struct dns_settings *s, const struct table_key *key,
                struct dns_answer *ans, uint64_t now_ms);

size_t cache_len(const struct cache *c);

/* How long to keep this answer, from its own TTL (ans->ttl_s) and the settings. */
uint32_t cache_ttl_s(const struct dns_settings *s, const struct dns_answer *ans);

#endif
