/*
 * processes.c - the process table: who is in which slot, and what the supervisor alone knows.
 *
 * The memory is a sealed file, mapped twice.  The supervisor writes through a mapping that no child inherits
 * (MADV_DONTFORK); everybody reads through one that the kernel never makes writable again (F_SEAL_FUTURE_WRITE),
 * so a worker that was taken over cannot pretend that another process is dead, or is somebody else.
 *
 * Facts     Two copies in turn: the supervisor fills the one that is not in use and then moves the version.  A
 *           reader copies the other one and looks whether the version has moved meanwhile.
 * Limits    Kernels before 5.1 do not know the seal: there a process can make its mapping writable again.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "state/shared.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define READ_TRIES 8

static bool map_both(struct state *s, int fd)
{
    void *mem;

    if (ftruncate(fd, (off_t)sizeof(struct process_table)) != 0)
        return false;
    mem = mmap(NULL, sizeof(struct process_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED)
        return false;
    s->entries = mem;
    if (madvise(mem, sizeof(struct process_table), MADV_DONTFORK) != 0)
        return false;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0 &&
        errno != EINVAL)
        return false;
    mem = mmap(NULL, sizeof(struct process_table), PROT_READ, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED)
        return false;
    s->processes = mem;
    return true;
}

bool processes_map(struct state *s)
{
    int fd = memfd_create("glacis-processes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool ok = fd >= 0 && map_both(s, fd);
    int err = errno;

    if (fd >= 0)
        close(fd); /* a process that has no descriptor of it cannot map it once more */
    errno = err;
    return ok;
}

void processes_unmap(struct state *s)
{
    if (s->entries != NULL)
        munmap(s->entries, sizeof(*s->entries));
    if (s->processes != NULL)
        munmap((void *)(uintptr_t)s->processes, sizeof(*s->processes));
}

int state_slot_take(struct state *s, enum state_role role, unsigned generation, unsigned index)
{
    int first = role == ROLE_WORKER ? 2 : role == ROLE_RECORDER ? 1 : 0;
    int last = role == ROLE_WORKER ? STATE_SLOTS - 1 : first;

    for (int i = first; i <= last; i++) {
        struct process *p = &s->entries->slot[i];

        if (p->role != ROLE_FREE)
            continue;
        s->sh->slot[i].draining = 0;
        s->sh->slot[i].heartbeat_ms = 0;
        p->generation = generation;
        p->index = index;
        p->pid = 0;
        p->start = ++s->starts;
        p->role = (uint32_t)role;
        s->entries->taken |= 1ULL << i;
        return i;
    }
    return -1;
}

void state_slot_pid(struct state *s, int slot, pid_t pid)
{
    if (slot_valid(slot))
        s->entries->slot[slot].pid = pid;
}

void state_slot_release(struct state *s, int slot)
{
    struct slot *sl;

    if (!slot_valid(slot))
        return;
    sl = &s->sh->slot[slot];
    for (int m = 0; m < METRIC_COUNT; m++) {
        if (metric_table[m].kind == METRIC_GAUGE)
            sl->metrics[m] = 0;
    }
    clients_release_slot(s, slot);
    sl->heartbeat_ms = 0;
    s->entries->slot[slot].role = ROLE_FREE;
    s->entries->slot[slot].start = 0; /* from now on its locks are a dead owner's */
    s->entries->slot[slot].pid = 0;
    s->entries->taken &= ~(1ULL << slot);
    servers_release_slot(s, slot); /* last: it wakes those who wait for what was held */
}

void state_slot_enter(struct state *s, int slot)
{
    BUG_ON(!slot_valid(slot));
    s->my_slot = slot;
    s->locker.processes = s->processes;
    s->locker.word = s->processes->slot[slot].start << 8 | (uint64_t)(slot + 1);
    metrics_use(s->sh->slot[slot].metrics);
    ring_enter(s);
}

bool state_slot_info(const struct state *s, int slot, struct state_slot_info *out)
{
    const struct process *p;

    memset(out, 0, sizeof(*out));
    if (!slot_valid(slot))
        return false;
    p = &s->processes->slot[slot];
    out->role = (enum state_role)p->role;
    out->generation = p->generation;
    out->index = p->index;
    out->pid = p->pid;
    out->draining = s->sh->slot[slot].draining != 0;
    out->heartbeat_ms = s->sh->slot[slot].heartbeat_ms;
    return out->role != ROLE_FREE;
}

void state_generation_set(struct state *s, unsigned generation)
{
    s->entries->generation = generation;
}

unsigned state_generation(const struct state *s)
{
    return s->processes->generation;
}

/* ---- facts ---- */

void state_facts_set(struct state *s, const struct state_facts *facts)
{
    uint64_t words[FACTS_WORDS] = { 0 }, next = s->entries->version + 1;

    memcpy(words, facts, sizeof(*facts));
    atomic_thread_fence(
        memory_order_release); /* who sees a word of this copy sees that the last one is whole */
    for (size_t i = 0; i < FACTS_WORDS; i++)
        atomic_store_explicit(&s->entries->facts[next % 2][i], words[i], memory_order_relaxed);
    s->entries->version = next;
}

bool state_facts_get(const struct state *s, struct state_facts *out)
{
    uint64_t words[FACTS_WORDS], version;

    for (unsigned tries = 0; tries < READ_TRIES; tries++) {
        version = s->processes->version;
        for (size_t i = 0; i < FACTS_WORDS; i++)
            words[i] = atomic_load_explicit(&s->processes->facts[version % 2][i], memory_order_relaxed);
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

/* No process, or another one by now. */
static bool is_dead(const struct locker *who, uint64_t owner)
{
    uint64_t slot = (owner & 0xff) - 1;

    if (who->processes == NULL)
        return false;
    return slot >= STATE_SLOTS || owner >> 8 == 0 || who->processes->slot[slot].start != owner >> 8;
}

bool shard_lock(const struct locker *who, struct shard_lock *l, bool *owner_died)
{
    *owner_died = false;
    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        uint64_t owner = 0;

        if (atomic_compare_exchange_strong(&l->owner, &owner, who->word))
            return true;
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
