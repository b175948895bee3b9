/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict.h - from facts and rules to an outcome: pure, three-valued, no clock, no waiting.
 *
 * rules_evaluate() walks a block from its top each time it is called.  A term over a fact that nobody has an
 * answer for yet (FACT_IDLE, FACT_PENDING) is undecided; the rule needs it only if the known terms do not
 * decide.  The first rule that needs something ends the walk with EVAL_NEEDS: whoever called asks for
 * the fact (or goes on waiting, if it is PENDING), sets it to KNOWN or UNKNOWN, and calls again.
 *
 * Facts       A fact that this version cannot have, or that is not asked for a client, must be set UNKNOWN
 *             by the engine (or it is needed for ever).  fact_set_unknown() turns a word that has
 *             `temperror` into it.
 * Monitored   rules (mode, the rest of a ramp) never make anybody wait: an undecided one is recorded as
 *             unknown, and `background` names a fact that may be asked without waiting for it.
 * Hurry       Such a rule waits for lists only a little longer than the rules with a final action need: with `hurry`
 *             what it lacks of lists is unknown.
 * Outages     A refusal for good needs every look-up it rests on.  It becomes 451 when the rule matched
 *             through `temperror`, or when a rule above that would have accepted could not be decided for
 *             want of a look-up; a listing that an allow-list
 *             might have outweighed, had it answered, is such an outage (fact_value.doubt).
 * Early       With STAGE_CONNECT..STAGE_MAIL the envelope block is asked for `reject_at: earliest`: the
 *             outcome is a refusal or EVAL_LATER, never an acceptance.
 */
#ifndef POLICY_RULES_VERDICT_H
#define POLICY_RULES_VERDICT_H

#include "policy/policy.h"
#include "policy/rules/rules.h"

enum eval_status {
    EVAL_DONE = 0, /* the outcome stands */
    EVAL_NEEDS,    /* `needs` is not known yet */
    EVAL_LATER,    /* early only: it takes facts of a later stage */
};

enum eval_grey { EVAL_GREY_UNASKED = 0, EVAL_GREY_PASSES, EVAL_GREY_WAITS };

#define RULE_NEEDS_TRIPLET (RULE_NO_FACT - 1) /* eval_result.needs: the triplet, not a fact */

struct eval_bounds { /* where a sum lies, whatever may still come or has failed; thousandths */
    bool known;
    int64_t low, high;
    int64_t low_if_answered; /* had no allow-list failed */
};

struct eval_input {
    const struct facts *facts;
    const struct fact_value *lists; /* reputation.NAME: rules.list_count of them; may be NULL if that is 0 */
    enum fact_stage stage;          /* where the session is: facts of later stages cannot be asked */
    int64_t now_s;                  /* wall clock: entries of groups end */
    enum eval_grey grey;            /* of this recipient; UNASKED: EVAL_NEEDS with RULE_NEEDS_TRIPLET */
    int64_t score;                  /* the message block: what the recipients brought, thousandths; else 0 */
    struct eval_bounds reputation;  /* reputation.score while it is not KNOWN */
    bool hurry;                     /* rules without a final action wait for no list any more */
};

/* What became of one rule. */
struct rule_trace {
    uint8_t outcome;         /* enum rule_outcome */
    bool negated;            /* the term stands inside `not` */
    const struct cond *term; /* that decided it; NULL: there is no condition, or it was not asked */
    int64_t score;           /* when it was asked */
};

struct eval_result {
    enum eval_status status;

    /* EVAL_NEEDS */
    unsigned needs;      /* fact, or FACT_COUNT + index of a list */
    bool needs_final;    /* for a rule with a final action: only then late lists are asked */
    unsigned background; /* a fact that a monitored rule would like to know; RULE_NO_FACT: none */

    /* EVAL_DONE */
    const struct rule *rule;    /* NULL: the default */
    enum verdict_action action; /* a reject that became temporary is a defer */
    const struct config_upstream *divert;
    struct rule_reply reply; /* refusing actions: template, see reply.h */
    uint64_t tarpit_ms;      /* the longest of the rules that matched */
    int64_t score;           /* thousandths, with what came in */
};

/*
 * Asks a block.  `trace` holds block->count entries and is filled from the start; with EVAL_NEEDS it says how
 * far the walk came.  With mode: monitor for the file the result is the same: the caller does not act on it.
 */
void rules_evaluate(const struct rules *r, enum rule_block block, const struct eval_input *in,
                    struct eval_result *out, struct rule_trace *trace);

/* Why, in words: "spf is pass: wanted fail".  Facts as they were at the evaluation. */
void rule_trace_why(const struct rules *r, const struct rule_trace *t, const struct eval_input *in,
                    struct buf *out);

/* Is the rule only recorded for this client now (mode, the rest of its ramp, watch.c)?  Not: mode of the whole file. */
bool rule_is_monitored(const struct rule *rule, const struct addr *client, int64_t now_s);

/* Does it come from lists?  For such a fact a rule without a final action waits only a little. */
bool rules_fact_is_of_lists(unsigned fact);

/* The i-th fact in words for people: "spf", "reputation.spamhaus-zen". */
void rules_put_fact_name(const struct rules *r, unsigned fact, struct buf *out);

#endif
