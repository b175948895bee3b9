/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.c - connections, rates, abuse points and bans of each client address.
 *
 * A table of fixed size: a seeded hash selects a set of eight entries, and each shard of sets has one lock.
 * No call waits for a lock.  After a bounded number of tries the caller proceeds without the table and counts that.
 * A process that finds the lock of a dead owner clears the shard, because its entries may be half written.
 *
 * Connections have counts of their own: one array for each slot, indexed like the entries, with one writer.
 * So dropping the array of a killed worker drops its connections, and leaving needs no lock.  An entry with
 * connections is never reused, so the entry with our key and a count of ours is the right one even if its
 * neighbours change meanwhile.
 *
 * Limits  A full set reuses the longest unused entry that has neither connections nor a ban.  So a flood from
 *         very many addresses evicts the oldest rates and points.
 */
#include "state/shared_priv.h"

#include <sys/mman.h>

#include "core/table.h"
#include "state/clients.h"

struct place { /* of one client in the table */
    struct client key;
    struct shard_lock *lock;
    size_t shard;
    size_t first; /* entry: first of its set */
};

static _Atomic uint16_t *count_of(const struct state *s, int slot, size_t entry)
{
    char *array = s->connections + (size_t)slot * s->connections_stride;

    return (_Atomic uint16_t *)(void *)array + entry;
}

static struct place place_of(const struct state *s, const struct addr *client)
{
    struct addr a = addr_client(client);
    struct place p;
    size_t set, per_shard = s->client_sets / CLIENT_SHARDS;
    uint64_t hash;

    memset(&p, 0, sizeof(p));
    memcpy(p.key.ip, a.ip, sizeof(p.key.ip));
    p.key.family = a.family;
    hash = siphash(s->seed, a.ip, sizeof(p.key.ip)) ^ a.family;
    p.shard = (size_t)(hash % CLIENT_SHARDS);
    set = p.shard * per_shard + (size_t)(hash / CLIENT_SHARDS % per_shard);
    p.first = set * CLIENT_WAYS;
    p.lock = &s->sh->client_lock[p.shard];
    return p;
}

static bool same_client(const struct client *a, const struct client *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* Connections over all processes. */
static unsigned connections(const struct state *s, size_t entry)
{
    uint64_t slots = s->processes->taken & WORKER_SLOTS;
    unsigned n = 0;

    while (slots != 0) {
        n += *count_of(s, next_slot(&slots), entry);
    }
    return n;
}

static void clear_shard(struct state *s, size_t shard)
{
    size_t n = s->client_sets / CLIENT_SHARDS * CLIENT_WAYS;
    uint64_t slots = s->processes->taken & WORKER_SLOTS;

    memset(&s->clients[shard * n], 0, n * sizeof(struct client));
    while (slots != 0) {
        int slot = next_slot(&slots);

        for (size_t e = 0; e < n; e++) {
            *count_of(s, slot, shard * n + e) = 0;
        }
    }
}

static bool lock_place(struct state *s, const struct place *p)
{
    bool died;

    if (!shard_lock(&s->locker, p->lock, &died)) {
        count(M_LIMIT_TABLE_FULL);
        return false;
    }
    if (died) {
        clear_shard(s, p->shard);
    }
    return true;
}

/* The client's entry, or NULL. */
static struct client *find(struct state *s, const struct place *p, size_t *entry)
{
    for (size_t i = 0; i < CLIENT_WAYS; i++) {
        *entry = p->first + i;
        if (same_client(&s->clients[*entry], &p->key)) {
            return &s->clients[*entry];
        }
    }
    return NULL;
}

/* Finds or makes the client's entry; NULL if all entries of its set are in use. */
static struct client *find_or_make(struct state *s, const struct place *p, uint64_t now_ms, size_t *entry)
{
    struct client *c = find(s, p, entry);
    size_t oldest = SIZE_MAX;

    if (c != NULL) {
        c->used_ms = now_ms;
        return c;
    }
    for (size_t e = p->first; e < p->first + CLIENT_WAYS; e++) {
        c = &s->clients[e];
        if (c->family == ADDR_NONE) {
            oldest = e;
            break;
        }
        if (c->ban_until_ms > now_ms || connections(s, e) > 0) {
            continue;
        }
        if (oldest == SIZE_MAX || c->used_ms < s->clients[oldest].used_ms) {
            oldest = e;
        }
    }
    if (oldest == SIZE_MAX) {
        count(M_LIMIT_TABLE_FULL);
        return NULL;
    }
    c = &s->clients[oldest];
    *c = p->key;
    c->used_ms = now_ms;
    *entry = oldest;
    return c;
}

/*
 * GCRA: allows `count` at once, then one each per/count.  A time left by a slower rate, from before a reload, costs no
 * more than the whole allowance of this rate.
 */
static bool rate_allows(uint64_t *tat_us, const struct config_rate *rate, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000, step_us, tat;

    if (rate->count == 0 || rate->per_ms == 0 || rate->per_ms > UINT64_MAX / 2000) {
        return true;
    }
    step_us = rate->per_ms * 1000 / rate->count;
    tat = *tat_us > now_us ? *tat_us : now_us;
    *tat_us = min_u64(tat, now_us + rate->per_ms * 1000);
    if (*tat_us - now_us > step_us * (rate->count - 1)) {
        return false;
    }
    *tat_us += step_us;
    return true;
}

static uint64_t ban_end(const struct config_limits *lim, uint64_t now_ms)
{
    return lim->ban_for_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + lim->ban_for_ms;
}

/* Caps a ban at the length of a new one: a reload may have shortened bans, or the value may be forged. */
static bool is_banned(struct client *c, const struct config_limits *lim, uint64_t now_ms)
{
    c->ban_until_ms = min_u64(c->ban_until_ms, ban_end(lim, now_ms));
    return c->ban_until_ms > now_ms;
}

enum admit state_client_enter(struct state *s, const struct addr *client, const struct config_limits *lim,
                              uint64_t now_ms, bool *counted)
{
    struct place p = place_of(s, client);
    struct client *c;
    enum admit result = ADMIT_OK;
    size_t entry;

    *counted = false;
    if (s->my_slot < 0 || !lock_place(s, &p)) {
        return ADMIT_OK;
    }
    c = find_or_make(s, &p, now_ms, &entry);
    if (c == NULL) {
        goto out;
    }
    if (lim->ban_points > 0 && is_banned(c, lim, now_ms)) {
        result = ADMIT_BANNED;
    } else if (connections(s, entry) >= lim->connections_per_client ||
               *count_of(s, s->my_slot, entry) == UINT16_MAX) {
        result = ADMIT_PER_CLIENT;
    } else if (!rate_allows(&c->connect_tat_us, &lim->connection_rate, now_ms)) {
        result = ADMIT_RATE;
    }
    if (result == ADMIT_OK) {
        *count_of(s, s->my_slot, entry) += 1;
        *counted = true;
    }
out:
    shard_unlock(p.lock);
    return result;
}

/* Never goes below zero, because another process may clear the shard at any moment. */
static void count_down(_Atomic uint16_t *n)
{
    uint16_t seen = *n;

    while (seen > 0 && !atomic_compare_exchange_weak(n, &seen, (uint16_t)(seen - 1))) {
    }
}

void state_client_leave(struct state *s, const struct addr *client)
{
    struct place p = place_of(s, client);

    if (s->my_slot < 0) {
        return;
    }
    for (size_t e = p.first; e < p.first + CLIENT_WAYS; e++) {
        _Atomic uint16_t *mine = count_of(s, s->my_slot, e);

        if (*mine > 0 && same_client(&s->clients[e], &p.key)) {
            count_down(mine);
            return;
        }
    }
}

bool state_client_message(struct state *s, const struct addr *client, const struct config_limits *lim,
                          uint64_t now_ms)
{
    struct place p;
    struct client *c;
    size_t entry;
    bool ok = true;

    if (lim->message_rate.count == 0) {
        return true;
    }
    p = place_of(s, client);
    if (!lock_place(s, &p)) {
        return true;
    }
    c = find_or_make(s, &p, now_ms, &entry);
    if (c != NULL) {
        ok = rate_allows(&c->message_tat_us, &lim->message_rate, now_ms);
    }
    shard_unlock(p.lock);
    return ok;
}

/*
 * Eight buckets hold points, each for a seventh of the window.  Points within the window always count; points older
 * than eight sevenths of it never do.
 */
static unsigned add_points(struct client *c, unsigned points, uint64_t within_ms, uint64_t now_ms)
{
    uint64_t width = within_ms / (POINT_BUCKETS - 1);
    uint32_t epoch = (uint32_t)(now_ms / (width > 0 ? width : 1));
    uint32_t gone = epoch - c->epoch;
    size_t sum;

    for (uint32_t i = 0; i < gone && i < POINT_BUCKETS; i++) {
        c->points[(epoch - i) % POINT_BUCKETS] = 0;
    }
    c->epoch = epoch;
    sum = c->points[epoch % POINT_BUCKETS] + min_size(points, UINT16_MAX);
    c->points[epoch % POINT_BUCKETS] = (uint16_t)min_size(sum, UINT16_MAX);
    sum = 0;
    for (size_t i = 0; i < POINT_BUCKETS; i++) {
        sum += c->points[i];
    }
    return (unsigned)sum;
}

bool state_client_abuse(struct state *s, const struct addr *client, unsigned points,
                        const struct config_limits *lim, uint64_t now_ms)
{
    struct place p;
    struct client *c;
    size_t entry;
    bool begins = false;

    if (lim->ban_points == 0 || points == 0) {
        return false;
    }
    p = place_of(s, client);
    if (!lock_place(s, &p)) {
        return false;
    }
    c = find_or_make(s, &p, now_ms, &entry);
    if (c != NULL && !is_banned(c, lim, now_ms) &&
        add_points(c, points, lim->ban_within_ms, now_ms) >= lim->ban_points) {
        c->ban_until_ms = ban_end(lim, now_ms);
        memset(c->points, 0, sizeof(c->points));
        begins = true;
    }
    shard_unlock(p.lock);
    return begins;
}

unsigned state_client_connections(struct state *s, const struct addr *client)
{
    struct place p = place_of(s, client);
    unsigned n = 0;
    size_t entry;

    if (!lock_place(s, &p)) {
        return 0;
    }
    if (find(s, &p, &entry) != NULL) {
        n = connections(s, entry);
    }
    shard_unlock(p.lock);
    return n;
}

void clients_release_slot(struct state *s, int slot)
{
    char *array = s->connections + (size_t)slot * s->connections_stride;

    /* Does not allocate pages that were never written. */
    if (madvise(array, s->connections_stride, MADV_REMOVE) != 0) {
        memset(array, 0, s->connections_stride);
    }
}
