/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duplicates.c - hashes of messages whose 250 was lost, with the lost reply (RFC 1047).
 *
 * A small table: sets of eight, one lock per shard.  A full set drops the entry that would expire first.  A failed
 * store or lookup causes a duplicate delivery, never a lost message.
 */
#include "state/duplicates.h"
#include "state/shared_priv.h"

static struct duplicate *lock_set(struct state *s, const uint8_t hash[32], struct shard_lock **lock)
{
    uint32_t set = ((uint32_t)hash[0] << 8 | hash[1]) % DUP_SETS;
    bool died;

    *lock = &s->sh->dup_lock[set % DUP_SHARDS];
    if (!shard_lock(&s->locker, *lock, &died)) {
        count(M_LIMIT_TABLE_FULL);
        return NULL;
    }
    for (uint32_t i = set % DUP_SHARDS; died && i < DUP_SETS; i += DUP_SHARDS) {
        memset(s->sh->dup[i], 0, sizeof(s->sh->dup[i]));
    }
    return s->sh->dup[set];
}

void state_dup_remember(struct state *s, const uint8_t hash[32], struct slice reply, uint64_t until_ms)
{
    struct shard_lock *lock;
    struct duplicate *set = lock_set(s, hash, &lock), *d;

    if (set == NULL) {
        return;
    }
    d = &set[0];
    for (size_t i = 0; i < DUP_WAYS; i++) {
        if (memcmp(set[i].hash, hash, 32) == 0) {
            d = &set[i];
            break;
        }
        if (set[i].until_ms < d->until_ms) {
            d = &set[i];
        }
    }
    memcpy(d->hash, hash, 32);
    d->until_ms = until_ms;
    d->len = (uint32_t)min_size(reply.len, STATE_DUP_REPLY_MAX);
    if (d->len > 0) {
        memcpy(d->reply, reply.ptr, d->len);
    }
    shard_unlock(lock);
}

bool state_dup_find(struct state *s, const uint8_t hash[32], uint64_t now_ms, struct buf *reply)
{
    struct shard_lock *lock;
    struct duplicate *set = lock_set(s, hash, &lock);
    bool found = false;

    if (set == NULL) {
        return false;
    }
    for (size_t i = 0; i < DUP_WAYS && !found; i++) {
        if (set[i].until_ms <= now_ms || memcmp(set[i].hash, hash, 32) != 0) {
            continue;
        }
        buf_put(reply, set[i].reply, min_size(READ_ONCE(set[i].len), STATE_DUP_REPLY_MAX));
        found = true;
    }
    shard_unlock(lock);
    return found;
}
