/*
 * reputation_run.h - the inside of a run: one session's questions to reputation lists; private to reputation.c and
 * reputation_fold.c.
 */
#ifndef POLICY_REPUTATION_RUN_H
#define POLICY_REPUTATION_RUN_H

#include "policy/check.h"
#include "policy/reputation.h"

struct slot {
    struct reputation_run *run;
    const struct reputation_list *list;
    size_t index; /* of the list */
    enum list_subject subject;
    enum list_state state;
    struct dns_req *req;
    struct timer timeout;
    int64_t weight;
    uint64_t started_us;
    struct origin origin;
    bool sampled; /* asked for the guard alone */
};

struct force { /* what the guard and the operator make of the settings */
    enum list_mode mode;
    enum list_ask ask;
    size_t first; /* slot of the list; its others follow */
};

struct subject {
    bool known;
    char *name; /* NULL: there is none; not of SUBJECT_CLIENT */
};

enum reason_state { REASON_UNASKED = 0, REASON_PENDING, REASON_DONE };

struct reputation_run {
    struct reputation_setup setup;
    void (*on_change)(void *arg);
    void *arg;
    struct deferred changed;
    struct addr client;
    struct subject subject[SUBJECT_COUNT];
    unsigned kinds; /* RUN_ bits that are wanted */
    bool sampling;
    struct force *force; /* rep->count, behind the slots */

    enum reason_state reason_state;
    const struct slot *reason_slot;
    struct dns_req *reason_req;
    struct timer reason_timeout;
    char reason[REPUTATION_REASON_MAX + 1];
    size_t reason_len;

    uint32_t version; /* another one whenever what can be asked of the run may have changed */
    size_t count;
    struct slot slot[]; /* in the order of the lists */
};

/* A run that has neither modes nor slots yet; then the slots, by the modes in run->force.  reputation.c */
struct reputation_run *run_make(const struct reputation_setup *setup, void (*on_change)(void *arg), void *arg) MUST_USE;
void run_make_slots(struct reputation_run *run);

#endif
