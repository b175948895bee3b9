/* SPDX-License-Identifier: Apache-2.0 */
/*
 * processes.c - the process table (which process is in which slot), the supervisor's facts, and locks by owner.
 *
 * Only the supervisor writes the table; the others can only read it (owned.c).  So a compromised worker cannot
 * declare another process dead.
 *
 * Facts     There are two copies.  The supervisor fills the one that is not in use and then increments the version.
 *           A reader copies the current one and repeats the copy if the version changed meanwhile.
 */
#include "state/facts.h"
#include "state/shared_priv.h"
#include "state/slots.h"

#define READ_TRIES 8

int state_slot_take(struct state *s, enum state_role role, unsigned generation, unsigned index)
{
    int first = role == ROLE_WORKER ? 2 : role == ROLE_RECORDER ? 1 : 0;
    int last = role == ROLE_WORKER ? STATE_SLOTS - 1 : first;

    for (int i = first; i <= last; i++) {
        struct process *p = &s->mine->processes.slot[i];

        if (p->role != ROLE_FREE) {
            continue;
        }
        clients_release_slot(s, i); /* a new process holds none; a hostile one may have forged some */
        servers_release_slot(s, i);
        s->mine->of[i].slot.draining = 0;
        s->mine->of[i].slot.heartbeat_ms = 0;
        p->generation = generation;
        p->index = index;
        p->pid = 0;
        p->start = ++s->starts;
        p->role = (uint32_t)role;
        s->mine->processes.taken |= 1ULL << i;
        return i;
    }
    return -1;
}

void state_slot_pid(struct state *s, int slot, pid_t pid)
{
    if (slot_valid(slot)) {
        s->mine->processes.slot[slot].pid = pid;
    }
}

void state_slot_release(struct state *s, int slot)
{
    struct slot *sl;

    if (!slot_valid(slot)) {
        return;
    }
    sl = &s->mine->of[slot].slot;
    for (int m = 0; m < METRIC_COUNT; m++) {
        if (metric_table[m].kind != METRIC_COUNTER) {
            sl->metrics[m] = 0;
        }
    }
    clients_release_slot(s, slot);
    sl->heartbeat_ms = 0;
    s->mine->processes.slot[slot].role = ROLE_FREE;
    s->mine->processes.slot[slot].start = 0; /* its locks now have a dead owner */
    s->mine->processes.slot[slot].pid = 0;
    s->mine->processes.taken &= ~(1ULL << slot);
    servers_release_slot(s, slot); /* last: it wakes a process that waits for a ticket */
}

void state_slot_enter(struct state *s, int slot)
{
    BUG_ON(!slot_valid(slot));
    s->my_slot = slot;
    s->locker.processes = s->processes;
    s->locker.word = s->processes->slot[slot].start << 8 | (uint64_t)(slot + 1);
    metrics_use(s->mine->of[slot].slot.metrics);
    if (s->supervisor != getpid()) {
        owned_confine(s, slot);
    }
    ring_enter(s);
}

bool state_slot_info(const struct state *s, int slot, struct state_slot_info *out)
{
    const struct process *p;

    memset(out, 0, sizeof(*out));
    if (!slot_valid(slot)) {
        return false;
    }
    p = &s->processes->slot[slot];
    out->role = (enum state_role)p->role;
    out->generation = p->generation;
    out->index = p->index;
    out->pid = p->pid;
    out->draining = s->owned->of[slot].slot.draining != 0;
    out->heartbeat_ms = s->owned->of[slot].slot.heartbeat_ms;
    return out->role != ROLE_FREE;
}

void state_generation_set(struct state *s, unsigned generation)
{
    s->mine->processes.generation = generation;
}

unsigned state_generation(const struct state *s)
{
    return s->processes->generation;
}

/* ---- facts ---- */

void state_facts_set(struct state *s, const struct state_facts *facts)
{
    uint64_t words[FACTS_WORDS] = { 0 }, next = s->mine->processes.version + 1;

    memcpy(words, facts, sizeof(*facts));
    /* A reader that sees a word of this copy also sees the version of the last one. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < FACTS_WORDS; i++) {
        atomic_store_explicit(&s->mine->processes.facts[next % 2][i], words[i], memory_order_relaxed);
    }
    s->mine->processes.version = next;
}

bool state_facts_get(const struct state *s, struct state_facts *out)
{
    uint64_t words[FACTS_WORDS], version;

    for (unsigned tries = 0; tries < READ_TRIES; tries++) {
        version = s->processes->version;
        for (size_t i = 0; i < FACTS_WORDS; i++) {
            words[i] = atomic_load_explicit(&s->processes->facts[version % 2][i], memory_order_relaxed);
        }
        atomic_thread_fence(memory_order_acquire);
        if (version != 0 && s->processes->version == version) {
            memcpy(out, words, sizeof(*out));
            return true;
        }
    }
    memset(out, 0, sizeof(*out));
    return false;
}

/* ---- locks ---- */

/* The owner's slot is free, or another process is in it. */
static bool is_dead(const struct locker *who, uint64_t owner)
{
    uint64_t slot = (owner & 0xff) - 1;

    if (who->processes == NULL) {
        return false;
    }
    return slot >= STATE_SLOTS || owner >> 8 == 0 || who->processes->slot[slot].start != owner >> 8;
}

bool shard_lock(const struct locker *who, struct shard_lock *l, bool *owner_died)
{
    *owner_died = false;
    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        uint64_t owner = 0;

        if (atomic_compare_exchange_strong(&l->owner, &owner, who->word)) {
            return true;
        }
        if (owner != 0 && is_dead(who, owner) &&
            atomic_compare_exchange_strong(&l->owner, &owner, who->word)) {
            *owner_died = true;
            return true;
        }
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    return false;
}

void shard_unlock(struct shard_lock *l)
{
    atomic_store_explicit(&l->owner, 0, memory_order_release);
}
