/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_lists.h - what suspicion of the first day sees of the lists.  Private to source_lists.c, source_zero_day.c.
 */
#ifndef POLICY_JUDGE_SOURCE_LISTS_H
#define POLICY_JUDGE_SOURCE_LISTS_H

#include "policy/judge/engine_priv.h"

struct lists_seen { /* what derive() looked at last */
    bool valid;
    bool asked, late_asked, reason_asked;
    unsigned out;
    uint32_t overruled, version;
};

struct lists_state { /* of SOURCE_LISTS, beside struct judge.run */
    bool asked;      /* of the session */
    bool late_asked, reason_asked;
    bool from_set, dkim_set; /* of the message: SUBJECT_FROM, SUBJECT_DKIM */
    struct lists_seen seen;
    uint32_t turn; /* another number whenever the facts were derived anew */
    bool zero_day; /* see struct reputation_sum */
    enum list_outlook zero_day_outlook;
    struct buf text, monitored; /* of the facts reputation.lists and .monitored */
};

/* How well a fact is known that follows from all lists. */
enum fact_state lists_outlook_state(const struct lists_state *lists, enum list_outlook outlook);
/* A rule with a final action needs the late lists too, even while early ones are out.  False: they were asked. */
bool lists_want_late(struct judge *j);
void lists_give_up(struct judge *j, void *state);

#endif
