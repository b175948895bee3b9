/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - chained hash table under SipHash-2-4 with a random key.
 *
 * The number of buckets is a power of two and doubles at more than one entry per bucket.  Each entry stores its hash,
 * so growing reads no keys, and a lookup compares keys only if all 64 bits are equal.
 */
#include "core/table.h"

#include <endian.h>

#include "core/crypto.h"

#define FIRST_BUCKETS 16

static uint64_t rotl(uint64_t v, unsigned bits)
{
    return v << bits | v >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static inline void sip_two_rounds(uint64_t v[4])
{
    sip_round(v);
    sip_round(v);
}

/* Loads up to eight octets, the first one least significant. */
static uint64_t load_le(const unsigned char *p, size_t len)
{
    uint64_t word = 0;

    memcpy(&word, p, len);
    return le64toh(word);
}

uint64_t siphash(const uint64_t key[2], const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t last = (uint64_t)len << 56;
    uint64_t v[4] = {
        key[0] ^ 0x736f6d6570736575,
        key[1] ^ 0x646f72616e646f6d,
        key[0] ^ 0x6c7967656e657261,
        key[1] ^ 0x7465646279746573,
    };

    for (; len >= 8; len -= 8, p += 8) {
        uint64_t word = load_le(p, sizeof(word));

        v[3] ^= word;
        sip_two_rounds(v);
        v[0] ^= word;
    }
    last |= len > 0 ? load_le(p, len) : 0; /* memcpy must not see NULL */
    v[3] ^= last;
    sip_two_rounds(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_two_rounds(v);
    sip_two_rounds(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void table_init(struct table *t)
{
    *t = (struct table){ .seed = { random_u64(), random_u64() } };
}

void table_init_like(struct table *t, const struct table *other)
{
    *t = (struct table){ .seed = { other->seed[0], other->seed[1] } };
}

void table_fini(struct table *t)
{
    free(t->buckets);
    t->buckets = NULL;
    t->bucket_count = 0;
    t->len = 0;
}

static struct table_entry **bucket_of(const struct table *t, uint64_t hash)
{
    return &t->buckets[hash & (t->bucket_count - 1)];
}

struct table_key table_key(const struct table *t, struct slice text)
{
    return (struct table_key){ text, siphash(t->seed, text.ptr, text.len) };
}

struct table_entry *table_find_key(const struct table *t, const struct table_key *key)
{
    struct table_entry *e = t->len > 0 ? *bucket_of(t, key->hash) : NULL;

    while (e && (e->hash != key->hash || !slice_eq(e->key, key->text))) {
        e = e->next;
    }
    return e;
}

struct table_entry *table_find(const struct table *t, struct slice key)
{
    struct table_key k;

    if (t->len == 0) {
        return NULL;
    }
    k = table_key(t, key);
    return table_find_key(t, &k);
}

static void link_entry(struct table *t, struct table_entry *e)
{
    struct table_entry **bucket = bucket_of(t, e->hash);

    e->next = *bucket;
    *bucket = e;
}

static void grow(struct table *t)
{
    struct table_entry **old = t->buckets;
    size_t old_count = t->bucket_count;

    t->bucket_count = old_count ? old_count * 2 : FIRST_BUCKETS;
    t->buckets = xcalloc(t->bucket_count, sizeof(struct table_entry *));
    for (size_t i = 0; i < old_count; i++) {
        struct table_entry *e = old[i];

        while (e) {
            struct table_entry *next = e->next;

            link_entry(t, e);
            e = next;
        }
    }
    free(old);
}

void table_insert_key(struct table *t, struct table_entry *e, const struct table_key *key)
{
    if (t->len >= t->bucket_count) {
        grow(t);
    }
    e->key = key->text;
    e->hash = key->hash;
    link_entry(t, e);
    t->len++;
}

void table_insert(struct table *t, struct table_entry *e, struct slice key)
{
    struct table_key k = table_key(t, key);

    table_insert_key(t, e, &k);
}

void table_remove(struct table *t, struct table_entry *e)
{
    struct table_entry **at;

    BUG_ON(t->len == 0);
    for (at = bucket_of(t, e->hash); *at != e; at = &(*at)->next) {
        BUG_ON(*at == NULL);
    }
    *at = e->next;
    e->next = NULL;
    t->len--;
}
