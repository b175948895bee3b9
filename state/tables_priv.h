/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables_priv.h - fixed-size expiring hash tables in shared memory.  Private to state/ and its tests.
 *
 *     table    sets of TABLE_WAYS entries; a seeded hash of the key names the set; TABLE_SHARDS locks
 *     entry    struct entry (key, expiry, worth), then the payload of its table
 *
 * Killed      A writer puts the entry's number into shard.writing before it writes, and 0 after.  The process
 *             that finds a dead owner's lock clears that one entry, so a kill costs at most one record.
 * Full        A set drops an expired entry first, then the one of least worth, then the longest unused.
 * Locks       Callers try a bounded number of times and never wait (M_MEMORY_BUSY).  The snapshot locks a few
 *             sets at a time.
 */
#ifndef STATE_TABLES_PRIV_H
#define STATE_TABLES_PRIV_H

#include "state/memory.h"
#include "state/shared_priv.h"

#define TABLES_MAGIC 0x676d656du /* "gmem" */
#define TABLES_LAYOUT 1u
#define TABLE_WAYS 8
#define TABLE_SHARDS 256
#define TABLE_COLLECT_SETS 32 /* of one tables_collect(): its `out` holds TABLE_WAYS times as many entries */

enum table_id { TABLE_SEEN = 0, TABLE_STANDING, TABLE_GREY, TABLE_BURST, TABLE_RATE, TABLE_COUNT };

struct entry {
    struct memory_key key;
    uint32_t until_s; /* 0: free */
    uint32_t used_s;
    uint8_t worth;
    uint8_t dirty; /* changed since the last snapshot */
    uint16_t unused;
};

struct entry_seen {
    struct entry e;
    uint32_t first_s;
};

struct entry_standing {
    struct entry e;
    struct memory_standing s;
};

struct entry_grey {
    struct entry e;
    uint32_t first_s;
    uint32_t passed_s; /* 0: not yet */
};

struct entry_burst {
    struct entry e;
    struct {
        uint32_t member, at_s;
    } seen[MEMORY_BURST_MAX];
};

struct entry_rate {
    struct entry e;
    uint32_t minute;
    uint16_t now, before;
};

struct table_shard {
    struct shard_lock lock;
    _Atomic uint64_t writing; /* entry + 1 */
    /* Bit n: an entry in the n-th TABLE_COLLECT_SETS sets of this shard was written, ever or since the last
     * snapshot.  The snapshot skips sets never written, because reading them would allocate their pages. */
    _Atomic uint64_t used, changed;
};

struct tables_header {
    uint32_t magic, layout;
    _Atomic int64_t history_s; /* 0: not known yet */
    _Atomic uint32_t loaded;   /* the snapshot was read, or there is none */
    struct table_shard shard[TABLE_COUNT][TABLE_SHARDS];
    struct table_shard list_lock[MEMORY_LISTS];
    struct memory_list list[MEMORY_LISTS];
};

struct tables {
    struct tables_header *h;
    const struct locker *who; /* the identity that takes the locks: tables_lock_as() */
    uint64_t seed[2];
    size_t mapped;
    struct {
        size_t size; /* octets of an entry */
        size_t sets; /* a multiple of TABLE_SHARDS */
        char *entries;
    } table[TABLE_COUNT];
};

extern const char *const table_names[TABLE_COUNT];

/* `share` divides the sizes, for tests; production passes 1.  NULL with errno. */
struct tables *tables_new(unsigned share) MUST_USE;
void tables_free(struct tables *t);
/* Sets the identity for locks.  Before this call it is a process without a slot (tests). */
void tables_lock_as(struct tables *t, const struct locker *who);

struct place { /* an entry under its shard's lock */
    struct tables *t;
    enum table_id id;
    struct table_shard *shard;
    size_t first; /* entry: of its set */
};

/* Locks the key's set.  False: the lock is busy. */
bool place_lock(struct tables *t, enum table_id id, const struct memory_key *key, struct place *p) MUST_USE;
void place_unlock(struct place *p);

/* The live entry of the key, or NULL. */
struct entry *place_find(struct place *p, const struct memory_key *key, int64_t now_s);

/* Returns the key's entry.  If the key has none, clears the least valuable entry for it and sets *made. */
struct entry *place_make(struct place *p, const struct memory_key *key, int64_t now_s, bool *made);

/* Call these around every change of an entry. */
void place_write_begin(struct place *p, struct entry *e);
void place_write_end(struct place *p);

/*
 * Copies live dirty entries (`all`: clean ones too) to `out` and marks them clean.  Starts at set *set, reads a few
 * sets and advances *set.  Returns the number of entries.  *set == number of sets: done.
 */
size_t tables_collect(struct tables *t, enum table_id id, size_t *set, bool all, int64_t now_s, char *out);

/* The set at which tables_collect() continues after the group that holds this one. */
size_t tables_collect_end(const struct tables *t, enum table_id id, size_t set);

/* Puts a stored entry back unless the key has one; keeps the older first time of the two. */
void tables_restore(struct tables *t, enum table_id id, const struct entry *stored, int64_t now_s);

/* ---- embedded.c: the contract of memory.h on the tables, without a callback ---- */

void tables_ask(struct tables *t, const struct memory_question *q, int64_t now_s, struct memory_record *out);
void tables_note(struct tables *t, enum memory_event event, const struct memory_key *key, uint32_t keep_s,
                 int64_t now_s);

/* Gives the answer that tables_ask() would give, and changes nothing (peek.c). */
void tables_peek(struct tables *t, const struct memory_question *q, int64_t now_s, struct memory_record *out);

/* Merges another proxy's record: first time, days of standing, passed. */
void tables_learn(struct tables *t, const struct memory_question *q, const struct memory_record *r,
                  int64_t now_s);

/* Raises that day's count to n, if it is lower.  Keeps the newest MEMORY_DAYS. */
void standing_put_day(struct memory_standing *s, uint16_t day, uint64_t n);
/* Merges *other into *s. */
void standing_join(struct memory_standing *s, const struct memory_standing *other);

struct memory_list *tables_list_take(struct tables *t, struct slice name);
struct memory_list *tables_list_at(struct tables *t, size_t n);
void tables_list_give(struct tables *t, struct memory_list *l);

#endif
