/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reputation.h - reputation lists (DNSBL, DNSWL, domain lists): compiled, and looked up for one session.
 *
 * Compiled    policy_compile() makes struct reputation from config.reputation (lists_load.c); immutable.
 * A run       the queries of one session (reputation.c).  A list has one slot for each kind of subject it looks up.
 *             A slot is queried once its subject is known, and cleared together with it:
 *
 *     reputation_run_new -> reputation_set_subject, reputation_want ... -> on_change -> reputation_sum
 *                                   ^-- new HELO, new sender: reputation_drop_subject
 *
 *             reputation_answer.c interprets one answer, reputation_sum.c combines them all, reputation_reason.c
 *             fetches the list's own text.
 * Late        lists with `ask: late` are queried only after reputation_want(RUN_LATE).
 * Awaited     rules wait for enforcing lists without `ask: background`.  They wait neither for other lists nor for the
 *             trial query of an open breaker.
 * Domains     a domain list is queried for host names of two labels or more, never for an address.  Only the last
 *             LIST_LABELS_MAX labels of a long name are used, because such lists know no more.
 * Errors      an answer outside 127/8, in 127.255.255.0/24 or in error_answers is no listing: the whole
 *             answer is an error, like a timeout.
 * Void        an answer about the query itself (127.255.255.252; for a preset also 127.0.1.255, 127.0.2.255) is neither
 *             a listing nor a failure.  Otherwise a client that chooses the name would choose the answer.
 * Vouchers    an allow-list that failed vouches for nothing; but see reputation_sum.low_if_answered.
 * Keys        `zone` is the queried zone and may hold a key; `shown` is safe to display.
 *
 * RFC         5782
 */
#ifndef POLICY_LISTS_REPUTATION_H
#define POLICY_LISTS_REPUTATION_H

#include "config/config.h"
#include "core/arena.h"
#include "core/loop.h"
#include "core/slab.h"
#include "dns/dns.h"

#define REPUTATION_REASON_MAX 200 /* octets of a list's own text */
#define LIST_LABELS_MAX 8

struct reputation_list { /* a struct config_list, and what follows from it */
    struct slice name;
    struct slice zone;  /* as queried: may hold a key */
    struct slice shown; /* as shown */
    unsigned subjects;  /* bit n: enum list_subject n */
    struct list_range *answers, *errors, *voids;
    size_t answer_count, error_count, void_count;
    int64_t weight_min, weight_max; /* bounds of the weight of a hit, 0 included */
    bool ipv4, ipv6;
    enum list_mode mode;
    enum list_ask ask;
    uint64_t timeout_ms;
    bool reason;   /* a reply may quote its text */
    bool zero_day; /* a hit sets zero_day.listed */
    bool probe;    /* it has the test entries of RFC 5782 */
    size_t slot;   /* of its first subject; the others follow it */
    int line, column;
};

struct reputation {
    int64_t threshold; /* thousandths */
    struct reputation_list *list;
    size_t count; /* in the order of the file: fact FACT_COUNT + i */
    size_t slot_count;
};

enum list_result { LIST_RESULT_NO = 0, LIST_RESULT_HIT, LIST_RESULT_ERROR, LIST_RESULT_VOID };

struct list_finding { /* the meaning of one answer of a list */
    enum list_result result;
    int64_t weight; /* LIST_RESULT_HIT: the largest of the answers that are in a range */
    bool answered;  /* the answer held an address: `answer`, the one that decided */
    uint8_t answer[4];
    bool ours; /* LIST_RESULT_ERROR: not sent, because of our own query limit or the client's */
};

/* Pure. */
struct list_finding reputation_judge(const struct reputation_list *list, const struct dns_answer *ans);

/* May a domain list be queried for this name?  Pure. */
bool reputation_is_host(struct slice name);

/* The query name for a host name, cut to its last labels; false: no form of it fits.  Pure. */
bool reputation_put_host(struct buf *out, struct slice name, struct slice zone) MUST_USE;

/* ---- a run ---- */

struct reputation_run;
struct guard_run; /* guard_run.h */

enum { RUN_EARLY = 1, RUN_LATE = 2, RUN_BACKGROUND = 4 };

struct reputation_setup {
    const struct reputation *rep;
    struct loop *loop;
    struct dns_asker who;    /* failures_free: "not listed" is no failure */
    struct guard_run *guard; /* NULL: use the modes of the file, report no answers */
    struct slab *slab;       /* of reputation_run_size() */
    const bool *wanted;      /* rep->count of them: does any rule need the list?  borrowed */
};

size_t reputation_run_size(const struct reputation *rep);

/* The loop calls `on_change` after an answer or a timeout, once for all of one turn. */
struct reputation_run *reputation_run_new(const struct reputation_setup *setup, void (*on_change)(void *arg),
                                          void *arg) MUST_USE;
void reputation_run_free(struct reputation_run **run); /* cancels all queries; NULL inside is allowed */

void reputation_set_client(struct reputation_run *run, const struct addr *ip);
/* Empty: there is none, so no list can have it.  Copied. */
void reputation_set_subject(struct reputation_run *run, enum list_subject s, struct slice name);
/* Ends a subject: forgets its answers, cancels its queries. */
void reputation_drop_subject(struct reputation_run *run, enum list_subject s);

/* Starts the queries of these kinds of lists: RUN_ bits, added to earlier ones. */
void reputation_want(struct reputation_run *run, unsigned kinds);
void reputation_unwant(struct reputation_run *run, unsigned kinds); /* for subjects set later */

/* Queries the late lists that no rule has needed, for the guard alone: it changes no fact. */
void reputation_sample(struct reputation_run *run);

/*
 * Appends the results of a run that is not busy to `out`; and restores the run from octets taken off the front of *in.
 * Sends no query.  Origins of answers are lost.
 */
void run_pack(const struct reputation_run *run, struct buf *out);
struct reputation_run *run_unpack(const struct reputation_setup *setup, void (*on_change)(void *arg),
                                  void *arg, const struct addr *client, struct slice *in) MUST_USE;

/* The time is up: ends all awaited queries without an answer. */
void reputation_expire(struct reputation_run *run);

/* A number that differs whenever any result of the functions below may have changed. */
uint32_t reputation_version(const struct reputation_run *run);

/* Is any query pending, even one that no rule waits for? */
bool reputation_busy(const struct reputation_run *run);

/* LIST_STATE_FAILED: no answer, an error, or not queried because its breaker is open. */
enum list_state {
    LIST_STATE_UNASKED = 0,
    LIST_STATE_PENDING,
    LIST_STATE_NOT_LISTED,
    LIST_STATE_LISTED,
    LIST_STATE_FAILED
};

/* The state of one list, over all its subjects. */
enum list_state reputation_list_state(const struct reputation_run *run, size_t list, int64_t *weight);

/* Is a query of this list pending that rules wait for? */
bool reputation_list_awaited(const struct reputation_run *run, size_t list);

/* The same, including queries for the guard alone. */
enum list_state reputation_list_state_raw(const struct reputation_run *run, size_t list, int64_t *weight);

/* The mode in force for this run, whatever the file has. */
enum list_mode reputation_mode(const struct reputation_run *run, size_t list);
enum list_ask reputation_ask(const struct reputation_run *run, size_t list);

/* Does any list that is not off look up this kind of subject? */
bool reputation_looks_up(const struct reputation_run *run, enum list_subject s);

/* Duration and origin of the answer; false: not queried. */
bool reputation_list_source(const struct reputation_run *run, size_t list, struct buf *from, uint64_t *us);

/* Answers that may still arrive, beside those of pending queries. */
struct reputation_open {
    bool late;         /* late lists are not queried yet */
    unsigned subjects; /* bit n: enum list_subject n is being looked up */
};

enum list_outlook {
    OUTLOOK_SETTLED = 0,
    OUTLOOK_FAILED,
    OUTLOOK_LATE,
    OUTLOOK_AWAITED
}; /* the strongest counts */

struct reputation_sum {      /* over the enforcing lists; weights in thousandths */
    int64_t score;           /* of the lists that answered */
    int64_t low, high;       /* the range that pending and failed lists leave open */
    int64_t low_if_answered; /* `low` if no allow-list had failed: a listing by `low` alone is in doubt */
    bool incomplete;         /* a queried list gave no answer */
    enum list_outlook outlook;
    bool zero_day; /* a list with zero_day has the subject */
    enum list_outlook zero_day_outlook;
};
void reputation_sum(const struct reputation_run *run, struct reputation_open open,
                    struct reputation_sum *out);

/* Names of lists with a hit, joined by ',': enforcing ones with a positive weight, or monitoring ones. */
void reputation_put_lists(const struct reputation_run *run, bool monitored, struct buf *out);

/* "zen=127.0.0.4", "dbl=timeout", "wl=skipped", joined by ',': all lists that had a hit or failed. */
void reputation_put_answers(const struct reputation_run *run, struct buf *out);

/* The subject named by the list of reputation_reason(): the client's address or a name; empty: no such list. */
struct slice reputation_subject(const struct reputation_run *run);

/* Queries the TXT of the first enforcing list with a positive hit and `reason: txt`.  False: there is none. */
bool reputation_ask_reason(struct reputation_run *run);
bool reputation_reason_pending(const struct reputation_run *run);
/* Cleaned: printable ASCII, one line; empty if not queried or absent. */
struct slice reputation_reason(const struct reputation_run *run);

#endif
