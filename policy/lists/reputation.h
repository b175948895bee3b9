/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reputation.h - reputation lists (DNSBL, DNSWL, domain lists): compiled, and asked for one session.
 *
 * Compiled    policy_compile() makes struct reputation from config.reputation (lists_load.c); immutable.
 * A run       one session's questions (reputation.c).  A list has one slot for each subject it looks up; a slot
 *             is asked once its subject is known, and is forgotten with it:
 *
 *     reputation_run_new -> reputation_set_subject, reputation_want ... -> on_change -> reputation_sum
 *                                   ^-- new HELO, new sender: reputation_drop_subject
 *
 *             What one answer means is in reputation_answer.c, what follows from all of them in reputation_sum.c, the
 *             list's own text in reputation_reason.c.
 * Late        lists with `ask: late` are asked only after reputation_want(RUN_LATE).
 * Awaited     are enforcing lists that are not `ask: background`; all others are asked and not waited for, and so is
 *             the one question that tries a list whose breaker is open.
 * Domains     a domain list is asked about host names of two labels or more, never about an address; of a long name
 *             about its last LIST_LABELS_MAX labels, which are what such lists know.
 * Errors      an answer outside 127/8, in 127.255.255.0/24 or in error_answers is no listing: the whole
 *             answer is an error, like a timeout.
 * Void        an answer about the question itself (127.255.255.252; of a preset also 127.0.1.255, 127.0.2.255): not
 *             listed, and no failure: a client that chooses the name would choose the answer.
 * Vouchers    an allow-list that failed vouches for nothing, but see reputation_sum.low_if_answered.
 * Keys        zone is what is asked; shown is what people may see of it.
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
    struct slice zone;  /* as asked: may hold a key */
    struct slice shown; /* as shown */
    unsigned subjects;  /* bit n: enum list_subject n */
    struct list_range *answers, *errors, *voids;
    size_t answer_count, error_count, void_count;
    int64_t weight_min, weight_max; /* what a hit may bring, 0 included */
    bool ipv4, ipv6;
    enum list_mode mode;
    enum list_ask ask;
    uint64_t timeout_ms;
    bool reason;   /* its text goes into replies */
    bool zero_day; /* a hit is zero_day.listed */
    bool probe;    /* it has the test entries of RFC 5782 */
    size_t slot;   /* of its first subject; the others follow */
    int line, column;
};

struct reputation {
    int64_t threshold; /* thousandths */
    struct reputation_list *list;
    size_t count; /* in the order of the file: fact FACT_COUNT + i */
    size_t slot_count;
};

enum list_result { LIST_NO = 0, LIST_HIT, LIST_ERROR, LIST_VOID };

struct list_finding { /* what one answer of a list means */
    enum list_result result;
    int64_t weight; /* LIST_HIT: the largest of the answers that are in a range */
    bool answered;  /* there was an address: `answer`, the one that decided */
    uint8_t answer[4];
    bool
        ours; /* LIST_ERROR: not asked: too many of our own questions were out, or the client caused too many */
};

/* Pure. */
struct list_finding reputation_judge(const struct reputation_list *list, const struct dns_answer *ans);

/* May a domain list be asked about it?  Pure. */
bool reputation_is_host(struct slice name);

/* The question about a host name, cut to its last labels; false: there is none that fits.  Pure. */
bool reputation_put_host(struct buf *out, struct slice name, struct slice zone) MUST_USE;

/* ---- a run ---- */

struct reputation_run;
struct guard_run; /* guard_run.h */

enum { RUN_EARLY = 1, RUN_LATE = 2, RUN_BACKGROUND = 4 };

struct reputation_setup {
    const struct reputation *rep;
    struct loop *loop;
    struct dns_asker who;    /* failures_free: "not listed" is no failure */
    struct guard_run *guard; /* NULL: the modes of the file, and nobody hears of the answers */
    struct slab *slab;       /* of reputation_run_size() */
    const bool *wanted;      /* rep->count of them: is the list worth asking at all?  borrowed */
};

size_t reputation_run_size(const struct reputation *rep);

/* `on_change` comes from the loop after an answer or a time-out, once for several of one turn. */
struct reputation_run *reputation_run_new(const struct reputation_setup *setup, void (*on_change)(void *arg),
                                          void *arg) MUST_USE;
void reputation_run_free(struct reputation_run **run); /* cancels everything; NULL inside is allowed */

void reputation_set_client(struct reputation_run *run, const struct addr *ip);
/* Empty: there is none, so no list can have it.  Copied. */
void reputation_set_subject(struct reputation_run *run, enum list_subject s, struct slice name);
/* It is another one from now on: answers about it are forgotten, questions dropped. */
void reputation_drop_subject(struct reputation_run *run, enum list_subject s);

/* Lists of these kinds are to be asked: RUN_ bits, added to those of before. */
void reputation_want(struct reputation_run *run, unsigned kinds);
void reputation_unwant(struct reputation_run *run, unsigned kinds); /* for subjects that come later */

/* Late lists that nobody asked are asked for the guard alone: no fact knows of it. */
void reputation_sample(struct reputation_run *run);

/*
 * What came of a run that is not busy, as octets behind those in `out`; and the same run made of them, taken off the
 * front of *in.  Nobody is asked.  Where answers came from is not kept.
 */
void run_pack(const struct reputation_run *run, struct buf *out);
struct reputation_run *run_unpack(const struct reputation_setup *setup, void (*on_change)(void *arg),
                                  void *arg, const struct addr *client, struct slice *in) MUST_USE;

/* The time is over: what is awaited ends without an answer. */
void reputation_expire(struct reputation_run *run);

/* Another number whenever anything that is asked of the run below may have changed. */
uint32_t reputation_version(const struct reputation_run *run);

/* Is any question out, also one that nobody waits for? */
bool reputation_busy(const struct reputation_run *run);

/* LIST_FAILED: no answer, an error, or not asked because its breaker is open. */
enum list_state { LIST_UNASKED = 0, LIST_PENDING, LIST_NOT_LISTED, LIST_LISTED, LIST_FAILED };

/* Of one list, over all its subjects. */
enum list_state reputation_list_state(const struct reputation_run *run, size_t list, int64_t *weight);

/* Is an answer of it out for which rules wait? */
bool reputation_list_awaited(const struct reputation_run *run, size_t list);

/* The same with what was asked for the guard alone. */
enum list_state reputation_list_state_raw(const struct reputation_run *run, size_t list, int64_t *weight);

/* In force for this run, whatever the file says. */
enum list_mode reputation_mode(const struct reputation_run *run, size_t list);
enum list_ask reputation_ask(const struct reputation_run *run, size_t list);

/* Does some list that is not off look it up? */
bool reputation_looks_up(const struct reputation_run *run, enum list_subject s);

/* How long it took, who said so; false: not asked. */
bool reputation_list_source(const struct reputation_run *run, size_t list, struct buf *from, uint64_t *us);

/* What may still come, beside the answers that are out. */
struct reputation_open {
    bool late;         /* late lists have not been asked */
    unsigned subjects; /* bit n: enum list_subject n is being looked up */
};

enum list_outlook {
    OUTLOOK_SETTLED = 0,
    OUTLOOK_FAILED,
    OUTLOOK_LATE,
    OUTLOOK_AWAITED
}; /* the strongest counts */

struct reputation_sum { /* over the enforcing lists; weights in thousandths */
    int64_t score;      /* of what answered */
    int64_t low,
        high; /* what it can become by answers that may still come, or that failed lists might have given */
    int64_t
        low_if_answered; /* the same, had no allow-list failed: a listing above `low` alone rests on an outage */
    bool incomplete;     /* a list that was asked gave no answer */
    enum list_outlook outlook;
    bool zero_day; /* a list with zero_day has it */
    enum list_outlook zero_day_outlook;
};
void reputation_sum(const struct reputation_run *run, struct reputation_open open,
                    struct reputation_sum *out);

/* Names of lists with a hit, joined by ',': enforcing ones with a positive weight, or monitoring ones. */
void reputation_put_lists(const struct reputation_run *run, bool monitored, struct buf *out);

/* "zen=127.0.0.4", "dbl=timeout", "wl=skipped", joined by ',': all lists that had something to say, or failed. */
void reputation_put_answers(const struct reputation_run *run, struct buf *out);

/* What the list of reputation_reason() names: the client's address or a name; empty: no list names anything. */
struct slice reputation_subject(const struct reputation_run *run);

/* Asks the TXT of the first enforcing list with a positive hit and `reason: txt`.  False: there is none. */
bool reputation_ask_reason(struct reputation_run *run);
bool reputation_reason_pending(const struct reputation_run *run);
/* Cleaned: printable ASCII, one line; empty if it was not asked or there is none. */
struct slice reputation_reason(const struct reputation_run *run);

#endif
