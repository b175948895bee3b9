/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared_priv.h - the layout of the memory that processes share; private to state/.
 *
 * The three mappings differ in their writers:
 *
 *     owned           The supervisor writes the process table.  The process in a slot writes the slot and its log
 *                     ring; the supervisor resets them.  All processes read all of it (owned.c).
 *     shared          All processes write: servers, rules, duplicates, clients, and for each slot a page-aligned
 *                     array of its connections.
 *     memory tables   All processes write: tables_priv.h.
 *
 * Hostile   A compromised worker can write anything into the last two mappings and into its own slot, at any
 *           moment.  So every index, length, divisor and text is read once (READ_ONCE, or an atomic load) and
 *           bounded by its constant where it is read.  Names, seeds and sizes are not in shared memory but in
 *           struct state, which each process inherits by fork.
 * Killed    A process may die between any two instructions.  So each datum is one atomic word, or is published by
 *           one, or is cleared with its shard by the process that finds the lock of the dead owner.
 */
#ifndef STATE_SHARED_PRIV_H
#define STATE_SHARED_PRIV_H

#include <stdatomic.h>

#include "state/duplicates.h"
#include "state/facts.h"
#include "state/servers.h"
#include "state/slots.h"
#include "state/state.h"

#define STATE_MAGIC 0x676c6163u /* "glac" */
#define STATE_LAYOUT 4u

#define RING_SIZE (256u * 1024u) /* a power of two, whole pages */
#define LOCK_TRIES 400           /* some ten microseconds */

#define CLIENT_SHARDS 256
#define CLIENT_WAYS 8
#define POINT_BUCKETS 8

#define DUP_SHARDS 16
#define DUP_WAYS 8
#define DUP_SETS 512 /* x DUP_WAYS entries */

#define HANDSHAKE_SETS 2048
#define HANDSHAKE_WAYS 8

/* ---- owned ---- */

struct process {
    _Atomic uint32_t role; /* enum state_role; written last when taken, first when released */
    _Atomic uint32_t generation, index;
    _Atomic int32_t pid;
    _Atomic uint64_t
        start; /* number of this start, unique in the life of the supervisor; 0: the slot is free */
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

struct tickets {
    _Atomic uint32_t widest;               /* largest cap ever requested: all tickets are below it */
    _Atomic uint8_t ticket[STATE_TICKETS]; /* 0 free; else slot + 1, and TICKET_IDLE */
};

#define TICKET_IDLE 0x80u

struct server {                   /* one address of an upstream; all zeros while its place is free */
    _Atomic uint64_t ip[2];       /* each process that joins writes the same address */
    _Atomic uint32_t family_port; /* enum addr_family << 16 | port */
    _Atomic uint64_t label[STATE_SERVER_LABELS]; /* state_server_label(); 0: none */
    struct tickets connections, envelopes;
    _Atomic uint64_t keywords; /* KEYWORD_ bits */
    _Atomic uint64_t keywords_size, keywords_at_ms;
    _Atomic uint64_t health; /* down << 63 | failures << 32 | successes */
    _Atomic uint64_t changed_ms, next_probe_ms;
    _Atomic uint64_t rate_tat_us; /* theoretical arrival time of the next one (GCRA) */
};

/* Kept apart from the records, so that a search touches no page of a free record. */
struct server_place {
    _Atomic uint64_t key;   /* PLACE_FREE, PLACE_EMPTYING + slot, or a digest of the address */
    _Atomic uint64_t users; /* one bit a slot: the processes that use the record */
};

struct upstream_area {
    struct server_place place[STATE_UPSTREAM_SERVERS];
    _Atomic uint64_t waiting[STATE_SLOTS]; /* ms of the oldest waiter of each process */
    struct server server[STATE_UPSTREAM_SERVERS];
};

enum { /* bits of server.keywords */
       KEYWORD_KNOWN = 1,
       KEYWORD_PIPELINING = 2,
       KEYWORD_8BITMIME = 4,
       KEYWORD_SMTPUTF8 = 8,
       KEYWORD_DSN = 16,
       KEYWORD_SIZE = 32,
       KEYWORD_STARTTLS = 64,
       KEYWORD_CHUNKING = 128,
       KEYWORD_XCLIENT = 256,
       KEYWORD_XFORWARD = 512,
       KEYWORD_ENHANCED = 1024,
};

/* The last keywords of an address, as the file had them when the generation started: keywords_file.c. */
struct recalled {
    struct addr address; /* family NONE: not in use */
    uint64_t bits, size;
    int64_t at_s; /* when the server last offered them */
};

struct upstream_name { /* of an area; only the supervisor changes it, children have a copy */
    char name[STATE_UPSTREAM_NAME_MAX + 1]; /* "": the area is free */
};

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
    struct upstream_area upstream[STATE_UPSTREAMS];
    struct rule_count rule[STATE_RULES];
    struct shard_lock dup_lock[DUP_SHARDS];
    struct duplicate dup[DUP_SETS][DUP_WAYS];
    struct shard_lock client_lock[CLIENT_SHARDS];
    _Alignas(64) unsigned char tls_share[STATE_TLS_SHARE];
    _Atomic uint64_t handshake[HANDSHAKE_SETS][HANDSHAKE_WAYS]; /* handshakes.c */
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
    char (*rule)[STATE_RULE_NAME_MAX + 1];
    int rules; /* number of records that may be in use, from the first */
};

struct tables; /* tables_priv.h */

struct state {
    struct shared *sh;
    struct tables *tables;     /* of memory.h, in a mapping of their own */
    const struct owned *owned; /* read-only */
    struct owned *mine; /* the same memory, writable: all of it in the supervisor, one slot elsewhere */
    const struct process_table *processes; /* &owned->processes */
    pid_t supervisor;
    uint64_t starts; /* supervisor: number of the last one */
    struct locker locker;
    struct names names;
    size_t mapped;
    uint64_t seed[2];   /* of the client table: a peer must not be able to choose its set */
    size_t client_sets; /* a multiple of CLIENT_SHARDS; each of CLIENT_WAYS entries */
    struct client *clients;
    char *connections; /* STATE_SLOTS arrays of uint16_t, connections_stride octets each */
    size_t connections_stride;
    uint64_t head; /* of our log ring; the copy in the slot is for the reader */
    int log_fd;
    int wake_fd[STATE_SLOTS];
    int my_slot;                                    /* -1 before state_slot_enter */
    struct upstream_name upstream[STATE_UPSTREAMS]; /* names of the areas */
    struct recalled recalled[STATE_UPSTREAMS][STATE_UPSTREAM_SERVERS];
    bool recalled_changed; /* recorder: not in the file yet */
    unsigned next_ring;    /* recorder: where the next round of reading starts */
};

_Static_assert(STATE_SLOTS == 64, "one bit each in `taken`");

/* Takes the lowest slot out of a set of bits. */
static inline int next_slot(uint64_t *set)
{
    int slot = __builtin_ctzll(*set);

    *set &= *set - 1;
    return slot;
}

/* servers.c */
struct server *server_at(const struct state *s, int server); /* NULL: no such number */
void servers_release_slot(struct state *s, int slot);        /* frees all that no live worker holds */

static inline bool slot_valid(int slot)
{
    return slot >= 0 && slot < STATE_SLOTS;
}

/* server_health.c */
void keywords_unpack(uint64_t bits, struct state_keywords *out);

/* keywords_file.c: gives a new record the keywords that its address had before the restart. */
void keywords_recall(const struct state *s, int upstream, struct server *sv, const struct addr *a);

/* clients.c */
void clients_release_slot(struct state *s, int slot);

/* ring.c: continues the ring where the last process in this slot stopped. */
void ring_enter(struct state *s);

/*
 * Takes a shard's lock without waiting; false after LOCK_TRIES.  If *owner_died, the last owner was killed while it
 * held the lock, so the caller must clear the shard before using it.  The supervisor must not call this.
 */
bool shard_lock(const struct locker *who, struct shard_lock *l, bool *owner_died) MUST_USE;
void shard_unlock(struct shard_lock *l);

/* Writes 1 to an eventfd.  A full counter is no error: the eventfd is readable then. */
void ring_wake(int fd);

#endif
