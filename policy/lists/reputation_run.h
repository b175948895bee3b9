/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reputation_run.h - the inside of a run: the queries of one session to reputation lists.  Private to reputation*.c.
 */
#ifndef POLICY_LISTS_REPUTATION_RUN_H
#define POLICY_LISTS_REPUTATION_RUN_H

#include "policy/checks/check.h"
#include "policy/lists/reputation.h"

enum slot_failure { FAILURE_NONE = 0, FAILURE_TIMEOUT, FAILURE_ERROR, FAILURE_SKIPPED };

struct slot {
    struct reputation_run *run;
    const struct reputation_list *list;
    size_t index; /* of the list */
    enum list_subject subject;
    enum list_state state;
    struct dns_req *req;
    struct timer timeout;
    struct list_finding found; /* LIST_STATE_LISTED, LIST_STATE_FAILED */
    enum slot_failure failure; /* LIST_STATE_FAILED */
    uint64_t started_us;
    struct origin origin;
    bool sampled; /* queried for the guard alone */
    bool trial;   /* trial query of an open breaker: no rule waits for it */
};

struct force { /* settings as overridden by the guard and the operator */
    enum list_mode mode;
    enum list_ask ask;
    size_t first; /* slot of the list; its others follow */
};

struct subject {
    bool known;
    char *name; /* NULL: there is none; unused for SUBJECT_CLIENT */
};

enum reason_state { REASON_UNASKED = 0, REASON_PENDING, REASON_DONE };

struct reputation_run {
    struct reputation_setup setup;
    void (*on_change)(void *arg);
    void *arg;
    struct deferred changed;
    struct addr client;
    char client_text[ADDR_TEXT_MAX];
    struct subject subject[SUBJECT_COUNT];
    unsigned kinds; /* wanted RUN_ bits */
    bool sampling;
    struct force *force; /* rep->count of them, after the slots */

    enum reason_state reason_state;
    const struct slot *reason_slot;
    struct dns_req *reason_req;
    struct timer reason_timeout;
    char reason[REPUTATION_REASON_MAX + 1];
    size_t reason_len;

    uint32_t version; /* changes whenever a result of the run may have changed */
    size_t count;
    struct slot slot[]; /* in the order of the lists */
};

/* ---- reputation.c ---- */

/* A run with neither modes nor slots yet; then its slots, by the modes in run->force. */
struct reputation_run *run_make(const struct reputation_setup *setup, void (*on_change)(void *arg),
                                void *arg) MUST_USE;
void run_make_slots(struct reputation_run *run);
void run_set_client(struct reputation_run *run, const struct addr *ip);

void run_changed(struct reputation_run *run);                          /* schedules on_change, once a turn */
unsigned run_kind_of(const struct slot *s);                            /* RUN_ bit */
bool run_put_question(const struct slot *s, struct buf *out) MUST_USE; /* false: the list cannot have it */

/* Do rules wait for its answer? */
static inline bool run_awaits(const struct slot *s)
{
    return s->state == LIST_STATE_PENDING && s->run->force[s->index].ask != LIST_ASK_BACKGROUND &&
           !s->sampled && !s->trial;
}

/* ---- reputation_reason.c ---- */

void run_init_reason(struct reputation_run *run);
void run_expire_reason(struct reputation_run *run);
void run_forget_reason(struct reputation_run *run);

/* The first slot with a hit of positive weight of an enforcing list, preferably with `reason: txt`; NULL: none. */
const struct slot *run_named_slot(const struct reputation_run *run);

#endif
