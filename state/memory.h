/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - records of clients and senders: first seen, good standing, greylist triplets, bursts, rates.
 *
 * One contract, two backends.  The tables in the shared mapping (embedded.c over tables.c) always work and
 * cost a microsecond.  With state.backend: redis (redis.c), proxies share first-seen times, standing, greylist
 * and demoted lists through Redis.  If Redis misses its timeout, the answer is the tables' alone.
 *
 * Not shared  rates and bursts.  A rate is looked up at connect, where nothing may wait for another machine.  A
 *             wave reaches every proxy behind the MX, so each sees it without three Redis sets per message.
 * Questions   memory_ask() takes up to MEMORY_ASK_MAX questions of any kind.  One callback delivers all the
 *             answers.  The loop runs it, never memory_ask() itself, and not at all after memory_cancel().
 *             SEEN, GREYLIST, BURST and RATE write their record at once; memory_cancel() does not undo that.
 * Notes       memory_note() only writes and has no handle.
 * Failure     `known` false means that the lookup failed.  Treat it as "nothing is known", never as guilt.
 *             No call waits for a lock: after a bounded number of tries the lookup fails and is counted.
 * Bounds      Tables have a fixed size (tables.c, docs/memory.md).  A full set of eight drops its least
 *             valuable entry.  Entries hold only hashes: 128 bits of SHA-256, equal on all proxies and after
 *             restarts.
 * Clock       The caller passes seconds since 1970, because records outlive processes and machines.  A record's
 *             time in the future counts as now.
 */
#ifndef STATE_MEMORY_H
#define STATE_MEMORY_H

#include "config/config.h"
#include "core/addr.h"
#include "core/buf.h"
#include "core/loop.h"

struct state;
struct memory;    /* of a process */
struct memory_op; /* handle of one memory_ask() */

/* ---- keys ---- */

struct memory_key {
    uint8_t octets[16];
};

/* The same text of two kinds is two keys. */
enum memory_kind {
    MEMORY_CLIENT = 'c',  /* a network in text, or the octets of an address */
    MEMORY_DOMAIN = 'd',  /* an SPF-pass domain, for standing */
    MEMORY_HOST = 'i',    /* an address with its verified name, for standing; or the address alone */
    MEMORY_SENDER = 's',  /* a domain as it appears in MAIL, for first_seen and bursts */
    MEMORY_ADDRESS = 'a', /* a sender's address, for bursts */
    MEMORY_HELO = 'h',
    MEMORY_TRIPLET = 't',
};

/* ASCII case is ignored. */
struct memory_key memory_key(enum memory_kind kind, struct slice text);

/* ---- questions ---- */

enum memory_what {
    MEMORY_SEEN = 0, /* time first seen; a new key starts now; kept keep_s after the last question */
    MEMORY_STANDING, /* days on which mail of this key was accepted; read-only */
    MEMORY_GREYLIST, /* time first tried, and whether it passed; a new triplet starts now; kept keep_s */
    MEMORY_BURST,    /* how many different `member`s within keep_s, this one included */
    MEMORY_RATE,     /* how many times within a minute, this one included */
};

struct memory_question {
    enum memory_what what;
    struct memory_key key;
    uint32_t member; /* BURST: hash of a network */
    uint32_t keep_s; /* SEEN, GREYLIST, BURST; STANDING: for records copied from the shared backend */
};

#define MEMORY_DAYS 8
#define MEMORY_BURST_MAX 16 /* more members than this are not told apart */

struct memory_standing {
    uint32_t since_s;            /* first acceptance after the last refusal; 0: none */
    uint16_t day[MEMORY_DAYS];   /* since 1970, the newest ones; 0: free */
    uint16_t count[MEMORY_DAYS]; /* messages accepted on that day */
};

struct memory_record {
    bool known;      /* false: the lookup failed, and all other fields are 0 */
    bool found;      /* the record existed before this question */
    bool passed;     /* GREYLIST: the triplet has waited long enough once */
    int64_t since_s; /* SEEN, GREYLIST: of the first time (now if new) */
    unsigned count;  /* BURST, RATE */
    struct memory_standing standing;
};

#define MEMORY_ASK_MAX 8

struct memory_answer {
    size_t count;
    const struct memory_record *record; /* in the order of the questions; borrowed */
    bool shared;                        /* the shared backend took part */
};
typedef void (*memory_cb)(void *arg, const struct memory_answer *a);

/* Copies the questions.  The caller owns the handle until the callback runs or memory_cancel() frees it. */
struct memory_op *memory_ask(struct memory *m, const struct memory_question *q, size_t count, int64_t now_s,
                             memory_cb cb, void *arg) MUST_USE;
void memory_cancel(struct memory_op **op); /* *op may be NULL */

/*
 * Returns at once the record that memory_ask() would give from the tables of this machine.  Changes nothing: it starts
 * no record and counts nothing.
 */
void memory_peek(struct memory *m, const struct memory_question *q, int64_t now_s, struct memory_record *out);

/* Reads MEMORY_STANDING from the tables of this machine, for decisions at connect. */
void memory_peek_standing(struct memory *m, const struct memory_key *key, int64_t now_s,
                          struct memory_record *out);

/* ---- notes ---- */

enum memory_event {
    MEMORY_ACCEPTED = 0, /* standing: one more message, today */
    MEMORY_REFUSED,      /* standing: starts again from nothing */
    MEMORY_PASSED,       /* greylist: passes from now on, kept keep_s after the last time */
};

void memory_note(struct memory *m, enum memory_event event, const struct memory_key *key, uint32_t keep_s,
                 int64_t now_s);

/* When recording started.  History shorter than the learning period proves nothing.  0: not known yet.
 */
int64_t memory_history_since(const struct memory *m);

/* ---- health of lists: one record per list and machine, judged by policy/lists/guard.c.  With a shared backend
 * proxies exchange standing and overrides (the newest wins), and evidence from clients and identities.  Latency,
 * failures, probes and totals stay local. ---- */

#define MEMORY_LISTS 64
#define MEMORY_LIST_NAME 48
#define MEMORY_LIST_MINUTES 64
#define MEMORY_EVIDENCE 6
#define MEMORY_GOOD_BITS 4096 /* identities asked about: told apart to some ten thousand */
#define MEMORY_HIT_BITS 1024  /* of them, listed */
#define MEMORY_LATENCIES 12   /* below 1 ms, 2 ms, 4 ms, ... */
#define MEMORY_LATELY 256     /* clients of the last minutes, told apart */
#define MEMORY_FAILED_BY 3    /* client networks whose questions failed, told apart */

struct memory_minute {
    uint32_t minute; /* since 1970; any other minute means that the element is empty */
    uint32_t answers, yes;
    uint32_t errors, timeouts;
    uint32_t voids;                /* about the question itself: neither an answer nor a failure */
    uint32_t clients, clients_yes; /* asked about, listed: each client once in a while */
    uint32_t vouched, vouched_yes; /* of these: with an SPF pass, or established */
    uint32_t bad, bad_yes;         /* of these: listed elsewhere, or SPF fail */
};

struct memory_good { /* distinct identities in good standing, in half of guard.known_good.within */
    uint32_t epoch;
    uint64_t asked[MEMORY_GOOD_BITS / 64];
    uint64_t domains[MEMORY_HIT_BITS / 64]; /* of those listed */
    uint64_t networks[MEMORY_HIT_BITS / 64];
};

struct memory_evidence {
    uint32_t at_s;
    struct addr ip; /* listed client, to look up again; ADDR_NONE: no address */
    char text[60];  /* for administrators: domain and network */
};

struct memory_trial {              /* counts that can restore a demoted list, since its newest evidence */
    uint32_t good, good_yes;       /* established ones */
    uint32_t clients, clients_yes; /* each once in a while */
    uint32_t bad, bad_yes;
};

enum memory_override { OVERRIDE_AUTO = 0, OVERRIDE_ENFORCE, OVERRIDE_MONITOR, OVERRIDE_OFF };

struct memory_list {
    char name[MEMORY_LIST_NAME]; /* empty: free */
    struct memory_minute minute[MEMORY_LIST_MINUTES];
    struct memory_good good[2];
    struct memory_minute other_minute[MEMORY_LIST_MINUTES]; /* sum of the counts of other proxies */
    struct memory_good other_good[2];
    uint32_t told_s; /* when we next send our counts to the other proxies */
    struct memory_evidence evidence[MEMORY_EVIDENCE];
    uint32_t evidence_next;
    uint32_t lately[MEMORY_LATELY];      /* hashes of clients that counted already */
    uint8_t vouched_bits, vouched_count; /* of the newest eight clients with an SPF pass: which were listed */
    struct memory_trial trial;
    uint64_t total_answers, total_yes, total_unique, total_overlap, total_good_yes;
    uint64_t total_errors, total_timeouts, total_voids;
    uint32_t latency[MEMORY_LATENCIES];
    uint32_t latency_us;   /* smoothed */
    uint32_t baseline_ppm; /* smoothed share of yes, over days */
    uint32_t baseline_weight, baseline_hour;
    uint32_t failures, successes;         /* of the newest questions: the breaker's window */
    uint32_t failed_by[MEMORY_FAILED_BY]; /* hashes of the networks behind these failures; 0: free */
    uint32_t broken_since_s, retry_at_s, retry_wait_s; /* breaker */
    uint32_t useless_s,
        useless_said_s;    /* when it lost its effect, and when we last logged that; 0: it has one */
    uint8_t useless;       /* enum guard_effect: why */
    uint8_t last_error[4]; /* the newest error answer; 0.0.0.0: it had no address */
    uint32_t probe_at_s;   /* when the next one is due */
    uint32_t probed_s;     /* newest one that was answered */
    uint32_t control_s;    /* newest answer about the control */
    uint32_t canary_s;     /* newest answers about canaries */
    uint32_t cleared_s;    /* newest time that a wrongly listed client was no longer listed */
    uint8_t canary_asked, canary_listed;
    uint8_t probe_listed;  /* test point that must be listed: 0 not known, 1 yes, 2 no */
    uint8_t probe_control; /* test point that must not be: 0 not known, 1 listed (bad), 2 not listed (good) */
    uint8_t probe_works;   /* the first one was listed once, so its absence means something */
    uint8_t probe_failures; /* consecutive probes without any answer */
    uint8_t reason;         /* enum guard_reason of the demotion in force */
    uint8_t against;        /* bits of enum guard_reason: all reasons found since */
    char why[96];           /* the demotion's numbers, for administrators */
    uint32_t demoted_s;     /* 0: it is not demoted */
    uint32_t evil_s;        /* newest evidence while demoted: good behaviour counts from here, */
    uint32_t heard_s; /* or from here, if another proxy found it and evil_s is by its clock; not shared */
    uint32_t demotions, last_restored_s;
    uint32_t surge_s, silent_s; /* alarms since; 0 none */
    uint8_t override;           /* enum memory_override */
    uint32_t override_until_s;  /* 0: for ever */
    uint64_t changed_ms;        /* the last change of standing or override: memory_list_changed() */
};

/*
 * Locks the record of a list, and makes it on first use.  Call memory_list_give() soon: make no other call and do not
 * wait while you hold it.  NULL: the lock is busy, or there are more than MEMORY_LISTS names.
 */
struct memory_list *memory_list_take(struct memory *m, struct slice name);
void memory_list_give(struct memory *m, struct memory_list *l);

/*
 * Copies a record, to show, send or store it after memory_list_give().  The copy is safe even if a hostile process
 * wrote the record: every text ends within its field and every enumeration has a valid value.
 */
void memory_list_copy(struct memory_list *out, const struct memory_list *l);

/* Locks the n-th record for reading and writing.  NULL: no such record, or the lock is busy. */
struct memory_list *memory_list_at(struct memory *m, size_t n);

/* True for one caller of all processes once now_s reaches *due_s; *due_s then moves on by interval_s. */
bool memory_list_claim(struct memory_list *l, uint32_t *due_s, int64_t now_s, uint32_t interval_s) MUST_USE;

/* Clears the evidence (clients and identities, other proxies' too) once it was used or is void. */
void memory_list_forget(struct memory_list *l);

/*
 * Stamps a change of standing or override.  The stamp is newer than every change this proxy knows of.  So the last
 * change wins even if clocks differ or two changes fall into one second.
 */
void memory_list_changed(struct memory_list *l, uint64_t now_ms);

/* Adds the client counts of one minute to another, but not its answers and failures. */
void memory_minute_add_clients(struct memory_minute *to, const struct memory_minute *m);

/* Packs this proxy's counts for the other proxies.  Returns the number of octets. */
#define MEMORY_LIST_PACKED 8192
#define MEMORY_LIST_PACKED_S 86400 /* older counts come from a proxy that is gone */
size_t memory_list_pack(const struct memory_list *l, int64_t now_s, char out[MEMORY_LIST_PACKED]);

/* Sums the other proxies' counts: call begin, then add for each.  False: too old, or an unknown format. */
void memory_list_others_begin(struct memory_list *l);
bool memory_list_others_add(struct memory_list *l, struct slice packed, int64_t now_s);

/* ---- of a process ---- */

/*
 * Never fails, never blocks.  With loop NULL (supervisor, recorder) only notes and lists work.  If the Redis url is not
 * usable, this logs it and the tables serve alone.
 */
struct memory *memory_new(struct state *st, struct loop *loop, const struct config_redis *redis) MUST_USE;

/*
 * A separate memory (apart.c), for a process that judges messages and must not change the records.  memory_ask() takes
 * each record from `peek`, which may block; with peek NULL all records are empty.  Returns NULL without memory.
 */
struct memory_source {
    bool (*peek)(void *arg, const struct memory_question *q, struct memory_record *out);
    void *arg;
    int64_t history_s; /* when the source started to record; 0: now */
};
struct memory *memory_new_apart(struct loop *loop, const struct memory_source *source) MUST_USE;

void memory_free(struct memory **m); /* drops operations in flight without an answer */

/* Can this url of state.redis be used? */
bool memory_redis_url_valid(const char *url);

/* Is the shared backend answering? (embedded: true) */
bool memory_shared_up(const struct memory *m);

/* ---- the snapshot on disk: the recorder's, in a thread of its own ---- */

struct snapshot;

/*
 * Reads state_dir/memory.db into the tables, unless that was done since they were made.  Then writes the changes each
 * minute.  Renames an unreadable database to memory.db.broken-TIME and starts a new one.  Retries failed writes each
 * minute.  No process waits for any of this.
 */
struct snapshot *snapshot_start(struct state *st, const char *state_dir) MUST_USE; /* NULL: no thread */

/* The thread does not log, because its process's ring has one writer.  The main thread fetches its messages here.
 */
bool snapshot_message(struct snapshot *s, enum log_level *level, struct buf *out) MUST_USE;

/*
 * Makes the thread write once more and end.  True: it has ended; fetch its last messages and call snapshot_free().
 * False after timeout_ms: the thread still runs, and the process may leave with _exit.
 */
bool snapshot_stop(struct snapshot *s, unsigned timeout_ms) MUST_USE;
void snapshot_free(struct snapshot **s); /* only after snapshot_stop() returned true; *s may be NULL */

#endif
