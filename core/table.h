/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - hash table from a slice to a pointer, seeded against collisions.
 *
 * Intrusive: the entry is part of the caller's object, which also holds the key.  The key must not change or move
 * while linked.  The table grows by doubling, never shrinks, and owns only its buckets.
 */
#ifndef CORE_TABLE_H
#define CORE_TABLE_H

#include "core/slice.h"

struct table_entry {
    struct table_entry *next;
    struct slice key; /* borrowed from the object around it */
    uint64_t hash;
};

struct table_key { /* hashed once for several calls */
    struct slice text;
    uint64_t hash;
};

struct table {
    struct table_entry **buckets;
    size_t bucket_count; /* a power of two, 0 before the first insert */
    size_t len;
    uint64_t seed[2];
};

void table_init(struct table *t);                                 /* takes a random seed */
void table_init_like(struct table *t, const struct table *other); /* takes its seed: keys serve both */
void table_fini(struct table *t);                                 /* frees the buckets, not the entries */

struct table_entry *table_find(const struct table *t, struct slice key);

/* The key must not be in the table yet; e->key is set from `key`. */
void table_insert(struct table *t, struct table_entry *e, struct slice key);

/* The same with a ready key, made by this table or one with the same seed. */
struct table_key table_key(const struct table *t, struct slice text);
struct table_entry *table_find_key(const struct table *t, const struct table_key *key);
void table_insert_key(struct table *t, struct table_entry *e, const struct table_key *key);

void table_remove(struct table *t, struct table_entry *e); /* must be in the table */

/* SipHash-2-4 of data under a 128-bit key: for every table whose keys a peer can choose. */
uint64_t siphash(const uint64_t key[2], const void *data, size_t len);

#endif
