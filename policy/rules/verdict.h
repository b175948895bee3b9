/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict.h - from facts and rules to an outcome: pure, three-valued, no clock, no waiting.
 *
 * rules_evaluate() walks a block from its top each time it is called.  A term on a fact without an answer
 * (FACT_IDLE, FACT_PENDING) is undecided; the rule needs it only if the known terms do not decide.  The first rule
 * that needs a fact ends the walk with EVAL_NEEDS.  The caller then looks the fact up (or keeps waiting, if it is
 * PENDING), sets it to KNOWN or UNKNOWN, and calls again.
 *
 * Facts       The engine must set a fact UNKNOWN if this version has no source for it, or if it is not looked up for
 *             this client.  Otherwise rules would need it for ever.  For a word with `temperror`, fact_set_unknown()
 *             sets that word.
 * Monitored   rules (mode, the rest of a ramp) never delay a verdict: an undecided one is recorded as unknown, and
 *             `background` names a fact that may be looked up without waiting for it.
 * Hurry       Such a rule waits for lists only a little longer than the rules with a final action need.  With `hurry`
 *             its missing list facts are unknown.
 * Outages     A permanent refusal needs every lookup that it depends on.  It becomes 451 if the rule matched through
 *             `temperror`, or if a failed lookup left an accepting rule above it undecided.  A listing that a failed
 *             allow-list might have outweighed is such an outage (fact_value.doubt).
 * Early       With STAGE_CONNECT..STAGE_MAIL it evaluates the envelope block for `reject_at: earliest`: the outcome is
 *             a refusal or EVAL_LATER, never an acceptance.
 */
#ifndef POLICY_RULES_VERDICT_H
#define POLICY_RULES_VERDICT_H

#include "policy/policy.h"
#include "policy/rules/rules.h"

enum eval_status {
    EVAL_DONE = 0, /* the outcome is final */
    EVAL_NEEDS,    /* `needs` is not known yet */
    EVAL_LATER,    /* early only: needs facts of a later stage */
};

enum eval_grey { EVAL_GREY_UNASKED = 0, EVAL_GREY_PASSES, EVAL_GREY_WAITS };

#define RULE_NEEDS_TRIPLET (RULE_NO_FACT - 1) /* eval_result.needs: the triplet, not a fact */

struct eval_bounds { /* bounds of a sum, over pending and failed answers; thousandths */
    bool known;
    int64_t low, high;
    int64_t low_if_answered; /* `low` without allow-list failures */
};

struct eval_input {
    const struct facts *facts;
    const struct fact_value *lists; /* reputation.NAME: rules.list_count of them; may be NULL if that is 0 */
    enum fact_stage stage;          /* of the session: facts of later stages are not available */
    int64_t now_s;                  /* wall clock: entries of groups expire */
    enum eval_grey grey;            /* of this recipient; UNASKED: EVAL_NEEDS with RULE_NEEDS_TRIPLET */
    int64_t score;                  /* the message block: the score of the recipients, thousandths; else 0 */
    struct eval_bounds reputation;  /* reputation.score while it is not KNOWN */
    bool hurry;                     /* rules without a final action no longer wait for lists */
};

/* The result of one rule. */
struct rule_trace {
    uint8_t outcome;         /* enum rule_outcome */
    bool negated;            /* the term is inside `not` */
    const struct cond *term; /* the deciding term; NULL: no condition, or not evaluated */
    int64_t score;           /* at its evaluation */
};

struct eval_result {
    enum eval_status status;

    /* EVAL_NEEDS */
    unsigned needs;      /* fact, or FACT_COUNT + index of a list */
    bool needs_final;    /* for a rule with a final action: only such rules query late lists */
    unsigned background; /* a fact that a monitored rule could use; RULE_NO_FACT: none */

    /* EVAL_DONE */
    const struct rule *rule;    /* NULL: the default */
    enum verdict_action action; /* a reject that became temporary is a defer */
    const struct config_upstream *divert;
    struct rule_reply reply; /* refusing actions: template, see reply.h */
    uint64_t tarpit_ms;      /* the longest of the rules that matched */
    int64_t score;           /* thousandths, including eval_input.score */
};

/*
 * Evaluates a block.  Fills `trace`, which holds block->count entries, from the start; after EVAL_NEEDS it shows how
 * far the walk went.  With mode: monitor in the file the result is the same: the caller does not act on it.
 */
void rules_evaluate(const struct rules *r, enum rule_block block, const struct eval_input *in,
                    struct eval_result *out, struct rule_trace *trace);

/* The reason as a phrase: "spf is pass: wanted fail".  Pass the facts as they were at the evaluation. */
void rule_trace_why(const struct rules *r, const struct rule_trace *t, const struct eval_input *in,
                    struct buf *out);

/* Is the rule only recorded for this client now (mode, rest of its ramp, watch.c)?  Ignores the mode of the file. */
bool rule_is_monitored(const struct rule *rule, const struct addr *client, int64_t now_s);

/* Does the fact come from lists?  A rule without a final action waits only briefly for such facts. */
bool rules_fact_is_of_lists(unsigned fact);

/* The name of the i-th fact for people: "spf", "reputation.spamhaus-zen". */
void rules_put_fact_name(const struct rules *r, unsigned fact, struct buf *out);

#endif
