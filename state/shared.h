/*
 * shared.h - the layout of the memory that processes share; private to state/.
 *
 * There are three mappings, which differ in who may write:
 *
 *     owned           The supervisor writes the process table.  The process in a slot writes the slot and its log
 *                     ring; the supervisor resets them.  All processes read all of it (owned.c).
 *     shared          All processes write: servers, rules, duplicates, clients, and for each slot a page-aligned
 *                     array of its connections.
 *     memory tables   All processes write: tables.h.
 *
 * Hostile   A compromised worker can write anything into the last two mappings and into its own slot, at any
 *           moment.  So every index, length, divisor and text is read once (READ_ONCE, or an atomic load) and
 *           bounded by its constant where it is read.  Names, seeds and sizes are not in shared memory: they lie
 *           in struct state, which each process inherits by fork.
 * Killed    A process may die between any two instructions.  So each datum is one atomic word, or is published by
 *           one, or is cleared with its shard by the process that finds the lock of the dead owner.
 */
#ifndef STATE_SHARED_H
#define STATE_SHARED_H

#include <stdatomic.h>

#include "state/state.h"

#define STATE_MAGIC 0x676c6163u /* "glac" */
#define STATE_LAYOUT 4u

#define RING_SIZE (256u * 1024u) /* a power of two, whole pages */
#define SERVER_TEXT_MAX 272      /* a host name, brackets and a port */
#define LOCK_TRIES 400           /* some ten microseconds */

#define CLIENT_SHARDS 256
#define CLIENT_WAYS 8
#define POINT_BUCKETS 8

#define DUP_SHARDS 16
#define DUP_WAYS 8
#define DUP_SETS 512 /* x DUP_WAYS entries */

/* ---- owned ---- */

struct process {
    _Atomic uint32_t role; /* enum state_role; written last when taken, first when released */
    _Atomic uint32_t generation, index;
    _Atomic int32_t pid;
    _Atomic uint64_t start; /* number of this start, unique in the life of the supervisor; 0: the slot is free */
};

#define FACTS_WORDS ((sizeof(struct state_facts) + 7) / 8)

struct process_table {
    _Atomic uint64_t taken;      /* one bit a slot */
    _Atomic uint32_t generation; /* of the configuration in force */
    struct process slot[STATE_SLOTS];
    _Atomic uint64_t version; /* facts[version % 2] is whole; the other half is the next one */
    _Atomic uint64_t facts[2][FACTS_WORDS];
};

#define SUPERVISOR_SLOT 0
#define RECORDER_SLOT 1
#define WORKER_SLOTS (~(uint64_t)3) /* as bits */

struct slot {
    _Atomic uint32_t draining;
    _Atomic uint64_t heartbeat_ms;

    /* Edges of log rings, in octets ever written to and ever read from them. */
    _Alignas(64) _Atomic uint64_t head;              /* of the ring of this slot */
    _Alignas(64) _Atomic uint64_t tail[STATE_SLOTS]; /* of all rings; used in the recorder's slot only */

    _Alignas(64) _Atomic uint64_t metrics[METRIC_COUNT];
};

struct owned {
    struct process_table processes;
    _Alignas(4096) struct {
        struct slot slot;
        _Alignas(4096) char ring[RING_SIZE];
    } of[STATE_SLOTS];
};

_Static_assert(sizeof(struct owned) % 4096 == 0, "each slot has pages of its own");

/* owned.c: makes both mappings.  False with errno. */
bool owned_map(struct state *s) MUST_USE;
void owned_unmap(struct state *s);
/* In a child: from now on the process can write only this slot. */
void owned_confine(struct state *s, int slot);

/* ---- shared ---- */

struct server {
    _Atomic uint32_t widest;                /* largest cap ever asked for: no ticket lies behind it */
    _Atomic uint32_t ticket[STATE_TICKETS]; /* 0 free; else slot + 1, and TICKET_IDLE */
    _Atomic uint64_t waiting[STATE_SLOTS];  /* ms of the oldest waiter of each process */
    _Atomic uint64_t keywords;              /* KEYWORD_ bits */
    _Atomic uint64_t keywords_size, keywords_at_ms;
    _Atomic uint64_t health; /* down << 63 | failures << 32 | successes */
    _Atomic uint64_t changed_ms, next_probe_ms;
    _Atomic uint64_t rate_tat_us; /* theoretical arrival time of the next one (GCRA) */
};

#define TICKET_IDLE 0x80000000u

struct rule_count {
    _Atomic uint64_t matched[2]; /* enforced, monitored */
};

struct client {     /* one cache line, under its shard's lock */
    uint8_t ip[8];  /* an IPv4 address, or the first 64 bits of an IPv6 one */
    uint8_t family; /* ADDR_NONE: free */
    uint32_t epoch; /* number of the newest bucket of points */
    uint16_t points[POINT_BUCKETS];
    uint64_t used_ms;
    uint64_t ban_until_ms;
    uint64_t connect_tat_us, message_tat_us;
};

struct shard_lock {
    _Alignas(64) _Atomic uint64_t owner; /* 0 free; else locker.word of the owner */
};

struct duplicate {
    uint8_t hash[32];
    uint64_t until_ms; /* 0: free */
    uint32_t len;
    char reply[STATE_DUP_REPLY_MAX];
};

struct shared {
    uint32_t magic, layout;
    struct server server[STATE_SERVERS];
    struct rule_count rule[STATE_RULES];
    struct shard_lock dup_lock[DUP_SHARDS];
    struct duplicate dup[DUP_SETS][DUP_WAYS];
    struct shard_lock client_lock[CLIENT_SHARDS];
    _Alignas(64) unsigned char tls_share[STATE_TLS_SHARE];
};

/* ---- of a process ---- */

/* The identity with which a process takes locks. */
struct locker {
    const struct process_table *processes; /* NULL before state_slot_enter(): then no owner counts as dead */
    uint64_t word;                         /* start << 8 | slot + 1 */
};

#define LOCKER_NO_SLOT UINT64_MAX /* word of a process without a slot */

/* Names of records.  The supervisor makes them before the fork, so each process has a copy of its own. */
struct names {
    char (*server)[SERVER_TEXT_MAX]; /* STATE_SERVERS; "": free */
    char (*rule)[STATE_RULE_NAME_MAX + 1];
    int servers, rules; /* number of leading elements that may be in use */
};

struct tables; /* tables.h */

struct state {
    struct shared *sh;
    struct tables *tables;      /* what is remembered: a mapping of its own */
    const struct owned *owned;  /* read-only */
    struct owned *mine;         /* the same memory, writable: all of it in the supervisor, one slot elsewhere */
    const struct process_table *processes; /* &owned->processes */
    pid_t supervisor;
    uint64_t starts; /* supervisor: number of the last one */
    struct locker locker;
    struct names names;
    size_t mapped;
    uint64_t seed[2];   /* of the client table: peers must not choose their set */
    size_t client_sets; /* a multiple of CLIENT_SHARDS; each of CLIENT_WAYS entries */
    struct client *clients;
    char *connections; /* STATE_SLOTS arrays of uint16_t, connections_stride octets each */
    size_t connections_stride;
    uint64_t head; /* of our log ring; the copy in the slot is for the reader */
    int log_fd;
    int wake_fd[STATE_SLOTS];
    int my_slot;        /* -1 before state_slot_enter */
    unsigned next_ring; /* recorder: where the next round of reading starts */
};

_Static_assert(STATE_SLOTS == 64, "one bit each in `taken`");

/* Takes the lowest slot out of a set of bits. */
static inline int next_slot(uint64_t *set)
{
    int slot = __builtin_ctzll(*set);

    *set &= *set - 1;
    return slot;
}

static inline bool slot_valid(int slot)
{
    return slot >= 0 && slot < STATE_SLOTS;
}

/* servers.c: gives back what a dead process held. */
void servers_release_slot(struct state *s, int slot);

/* clients.c */
void clients_release_slot(struct state *s, int slot);

/* ring.c: continues the ring where the last process in this slot stopped. */
void ring_enter(struct state *s);

/*
 * Takes a shard's lock without waiting: false after LOCK_TRIES.  *owner_died: the last owner was killed
 * while it held the lock, so the caller must clear the shard before it uses it.  The supervisor must not call it.
 */
bool shard_lock(const struct locker *who, struct shard_lock *l, bool *owner_died) MUST_USE;
void shard_unlock(struct shard_lock *l);

/* Writes 1 to an eventfd; a full counter is fine, it is readable then anyway. */
void wake(int fd);

#endif
