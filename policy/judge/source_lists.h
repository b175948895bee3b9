/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_lists.h - list results for zero-day suspicion.  Private to source_lists.c, source_zero_day.c.
 */
#ifndef POLICY_JUDGE_SOURCE_LISTS_H
#define POLICY_JUDGE_SOURCE_LISTS_H

#include "policy/judge/engine_priv.h"

struct lists_seen { /* the last values that derive() used */
    bool valid;
    bool asked, late_asked, reason_asked;
    unsigned out;
    uint32_t overruled, version;
};

struct lists_state { /* of SOURCE_LISTS, beside struct judge.run */
    bool asked;      /* in this session */
    bool late_asked, reason_asked;
    bool from_set, dkim_set; /* of the message: SUBJECT_FROM, SUBJECT_DKIM */
    struct lists_seen seen;
    uint32_t turn; /* changes whenever the facts were derived anew */
    bool zero_day; /* see struct reputation_sum */
    enum list_outlook zero_day_outlook;
    struct buf text, monitored; /* of the facts reputation.lists and .monitored */
};

/* The state of a fact that depends on all lists. */
enum fact_state lists_outlook_state(const struct lists_state *lists, enum list_outlook outlook);
/* A rule with a final action needs the late lists, even while early ones are pending.  False: already queried. */
bool lists_want_late(struct judge *j);
void lists_give_up(struct judge *j, void *state);

#endif
