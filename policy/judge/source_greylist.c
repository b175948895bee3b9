/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_greylist.c - must this triplet wait?  Looked up when a rule with `greylist` matched (source.h,
 * standing/standing.h).
 *
 * The answer is no fact but struct judge.triplet.  A triplet passes if its lookup fails.
 */
#include "core/metrics.h"
#include "policy/judge/engine_priv.h"

struct greylist_state {
    struct memory_op *op;
    struct memory_key key;
};

/* wait_s: seconds until it would pass; 0: it passes. */
static void decide(struct judge *j, bool waits, uint32_t wait_s)
{
    j->triplet = (struct fact_value){ .state = FACT_KNOWN, .flag = waits, .u.number = wait_s };
}

static void on_triplet(void *arg, const struct memory_answer *a)
{
    struct judge *j = arg;
    struct greylist_state *st = source_state(j, SOURCE_GREYLIST);
    const struct config_greylist *s = &j->pw->policy->remembered.greylist;
    int64_t now_s = wall_now_s();
    struct memory_record r = a->record[0];
    uint32_t wait_s = 0;
    bool learn, waits;

    st->op = NULL;
    r.known =
        r.known && (r.found || memory_history_since(j->pw->memory) > 0); /* else the memory is loading */
    waits = greylist_decide(s, &r, now_s, &learn, &wait_s) == GREY_WAITS;
    decide(j, waits, wait_s);
    if (learn) {
        memory_note(j->pw->memory, MEMORY_PASSED, &st->key, s->remember_s, now_s);
    }
    count(waits ? M_GREYLISTED : M_GREYLIST_PASSED);
    engine_changed(j);
}

/* Does nothing once the budget is used up, because a lookup would start the triplet's delay. */
static bool start(struct judge *j, void *state)
{
    bool asks = source_remembers(j) && j->pw->policy->conf->mode != MODE_MONITOR && !j->question.expired;

    (void)state;
    if (!asks) {
        decide(j, false, 0);
    }
    return asks;
}

/* Needs a settled SPF: a domain that passed is part of the key. */
static void derive(struct judge *j, void *state)
{
    struct greylist_state *st = state;
    const struct config_greylist *s = &j->pw->policy->remembered.greylist;
    struct greylist_who who = { .ip = &j->ip };
    struct memory_question q;

    if (st->op != NULL) {
        return;
    }
    who.sender = source_text(j, FACT_ID_SENDER_ADDRESS);
    who.recipient = source_text(j, FACT_ID_RECIPIENT_ADDRESS);
    if (source_is_word(j, FACT_ID_SPF, "pass")) {
        who.spf_domain = source_text(j, FACT_ID_SPF_DOMAIN);
    }
    st->key = greylist_key(s, &who);
    q = (struct memory_question){ .what = MEMORY_GREYLIST, .key = st->key, .keep_s = s->retry_within_s };
    st->op = memory_ask(j->pw->memory, &q, 1, wall_now_s(), on_triplet, j);
}

static void give_up(struct judge *j, void *state)
{
    struct greylist_state *st = state;

    memory_cancel(&st->op);
    decide(j, false, 0);
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct greylist_state *st = state;

    (void)scope;
    memory_cancel(&st->op);
    j->triplet = (struct fact_value){ .state = FACT_IDLE };
}

static bool busy(const struct judge *j, const void *state)
{
    const struct greylist_state *st = state;

    (void)j;
    return st->op != NULL;
}

static const uint8_t facts[] = { FACT_TRIPLET, FACT_END };
static const uint8_t needs[] = { SOURCE_SPF, SOURCE_NONE };

const struct source source_greylist = {
    .facts = facts,
    .needs = needs,
    .state_size = sizeof(struct greylist_state),
    .scope = SCOPE_RECIPIENT,
    .remembered = true,
    .start = start,
    .derive = derive,
    .give_up = give_up,
    .drop = drop,
    .busy = busy,
};
