/*
 * shared.h - the layout of the shared memory; private to state/.
 *
 *     +--------+-------+-----------+-------+------------+-------------+---------------+-----------+
 *     | header | slots | upstreams | rules | duplicates | client locks| client entries| log rings |
 *     +--------+-------+-----------+-------+------------+-------------+---------------+-----------+
 *                                                               connections: one page-aligned array a slot
 *
 * Everything that more than one process writes is an atomic, or lies under a robust lock that is tried
 * a bounded number of times.  A layout version leads, so that a foreign mapping is never taken for ours.
 * A process may die between any two instructions: each datum is either one atomic word, or published by
 * one, or cleared together with its shard by whoever finds the dead owner's lock.
 */
#ifndef STATE_SHARED_H
#define STATE_SHARED_H

#include <pthread.h>
#include <stdatomic.h>

#include "state/state.h"

#define STATE_MAGIC 0x676c6163u /* "glac" */
#define STATE_LAYOUT 4u

#define RING_SIZE (256u * 1024u) /* a power of two */
#define LOCK_TRIES 400           /* some ten microseconds */

#define CLIENT_SHARDS 256
#define CLIENT_WAYS 8
#define POINT_BUCKETS 8

#define DUP_SHARDS 16
#define DUP_WAYS 8
#define DUP_SETS 512 /* x DUP_WAYS entries */

#define HANDSHAKE_SETS 2048
#define HANDSHAKE_WAYS 8

struct slot {
    _Atomic uint32_t role; /* enum state_role; written last when taken, first when released */
    _Atomic uint32_t generation, index;
    _Atomic int32_t pid;
    _Atomic uint32_t draining;
    _Atomic uint64_t heartbeat_ms;

    /* The log ring's edges, in octets ever written and ever read; the octets lie in ring_of(). */
    _Alignas(64) _Atomic uint64_t head; /* by the slot's process only */
    _Alignas(64) _Atomic uint64_t tail; /* by the recorder only */

    _Alignas(64) _Atomic uint64_t metrics[METRIC_COUNT];
};

struct tickets {
    _Atomic uint32_t widest;               /* largest cap ever asked for: no ticket lies behind it */
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

/* The last keywords of an address, as the file had them at the start: keywords_file.c. */
struct recalled {
    struct addr address; /* family NONE: not in use */
    uint64_t bits, size;
    int64_t at_s; /* when the server last offered them */
};

struct upstream_name { /* of an area; only the supervisor changes it, children have a copy */
    char name[STATE_UPSTREAM_NAME_MAX + 1]; /* "": the area is free */
};

struct rule_count {
    char name[STATE_RULE_NAME_MAX + 1]; /* written before `rules` counts it */
    _Atomic uint64_t matched[2];        /* enforced, monitored */
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
    _Alignas(64) pthread_mutex_t mutex;
};

struct duplicate {
    uint8_t hash[32];
    uint64_t until_ms; /* 0: free */
    uint32_t len;
    char reply[STATE_DUP_REPLY_MAX];
};

struct shared {
    uint32_t magic, layout;
    _Atomic uint64_t taken; /* one bit a slot */
    uint64_t seed[2];       /* of the client table: peers must not choose their set */
    struct slot slot[STATE_SLOTS];
    struct upstream_area upstream[STATE_UPSTREAMS];
    _Atomic uint32_t rules; /* records of `rule` in use */
    struct rule_count rule[STATE_RULES];
    struct shard_lock dup_lock[DUP_SHARDS];
    struct duplicate dup[DUP_SETS][DUP_WAYS];
    struct shard_lock client_lock[CLIENT_SHARDS];
    _Alignas(64) unsigned char tls_share[STATE_TLS_SHARE];
    _Atomic uint64_t handshake[HANDSHAKE_SETS][HANDSHAKE_WAYS]; /* handshakes.c */
};

struct tables; /* tables.h */

struct state {
    struct shared *sh;
    struct tables *tables; /* what is remembered: a mapping of its own */
    size_t mapped;
    size_t client_sets; /* a multiple of CLIENT_SHARDS; each of CLIENT_WAYS entries */
    struct client *clients;
    char *connections; /* STATE_SLOTS arrays of uint16_t, connections_stride octets each */
    size_t connections_stride;
    char *rings;
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
struct server *server_at(const struct state *s, int server); /* NULL: there is no such number */
void servers_release_slot(struct state *s, int slot);        /* gives back what a dead process held */

/* server_health.c */
void keywords_unpack(uint64_t bits, struct state_keywords *out);

/* keywords_file.c: a record that is new has the keywords that its address had before the restart. */
void keywords_recall(const struct state *s, int upstream, struct server *sv, const struct addr *a);

/* clients.c */
void clients_release_slot(struct state *s, int slot);

/*
 * Takes a shard's lock without waiting: false after LOCK_TRIES.  *owner_died: the last owner was killed
 * while it held the lock, so the caller must clear the shard before it uses it.
 */
bool shard_lock(struct shard_lock *l, bool *owner_died) MUST_USE;
void shard_unlock(struct shard_lock *l);
void shard_lock_init(struct shard_lock *l);

/* Writes 1 to an eventfd; a full counter is fine, it is readable then anyway. */
void wake(int fd);

#endif
