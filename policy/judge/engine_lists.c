/*
 * engine_lists.c - what the reputation lists answered, as facts (engine.h).
 *
 * Exact       reputation.listed is true or false as soon as no answer that may still come could change that, and
 *             unknown if only an answer that failed could tell.  reputation.score is decided the same way where a rule
 *             compares it: the bounds in which it lies go to the evaluator (struct eval_bounds).
 * Doubt       an allow-list that failed vouches for nothing.  A listing that it might have outweighed is marked, so
 *             that an outage refuses no client for good.
 * So far      lists, subject and monitored have the texts of what has answered, while they are PENDING too: a reply
 *             that is due names these.
 * Late        while late lists have not been asked and could change something, the facts are SOFT: good enough for
 *             rules that only score, tag or tarpit.
 */
#include "policy/judge/engine.h"
#include "policy/rules/verdict.h"

static void set_no_lists(struct judge *j)
{
    struct facts *f = &j->facts;
    const struct reputation *rep = &j->pw->policy->reputation;

    fact_set_flag(f, FACT_ID_REPUTATION_LISTED, false);
    fact_set_number(f, FACT_ID_REPUTATION_SCORE, 0);
    fact_set_text(f, FACT_ID_REPUTATION_LISTS, SLICE_NONE);
    fact_set_text(f, FACT_ID_REPUTATION_MONITORED, SLICE_NONE);
    fact_set_flag(f, FACT_ID_REPUTATION_INCOMPLETE, false);
    fact_set_text(f, FACT_ID_REPUTATION_REASON, SLICE_NONE);
    fact_set_text(f, FACT_ID_REPUTATION_SUBJECT, SLICE_NONE);
    j->score_bounds = (struct eval_bounds){ .known = false };
    for (size_t i = 0; i < rep->count; i++) {
        j->lists[i] =
            (struct fact_value){ .state = rep->list[i].mode == LIST_OFF ? FACT_UNKNOWN : FACT_KNOWN };
    }
}

static void derive_list(struct judge *j, size_t i)
{
    const struct reputation_list *list = &j->pw->policy->reputation.list[i];
    struct fact_value *v = &j->lists[i];
    int64_t weight;
    enum list_state state = reputation_list_state(j->run, i, &weight);
    bool off = reputation_mode(j->run, i) == LIST_OFF;
    enum list_ask ask = reputation_ask(j->run, i);
    bool name_out = judge_state(j, FACT_ID_CLIENT_RDNS) == FACT_PENDING &&
                    (list->subjects & (1u << SUBJECT_RDNS)) != 0; /* to be asked about */
    bool awaited = reputation_list_awaited(j->run, i) || (name_out && ask != LIST_BACKGROUND);

    *v = (struct fact_value){ .state = FACT_KNOWN, .flag = state == LIST_LISTED };
    if (off || state == LIST_FAILED) {
        v->state = FACT_UNKNOWN;
    } else if (state == LIST_PENDING || (name_out && state != LIST_LISTED)) {
        v->state = awaited ? FACT_PENDING : FACT_UNKNOWN;
    } else if (state == LIST_UNASKED && ask == LIST_LATE && !j->late_asked) {
        v->state = FACT_SOFT;
    } else if (state == LIST_UNASKED && !j->lists_asked) {
        v->state = FACT_IDLE;
    }
}

/* ---- the sum ---- */

/* How well the facts are known that follow from all lists. */
static enum fact_state state_of(const struct judge *j, enum list_outlook outlook)
{
    if (!j->lists_asked) {
        return FACT_IDLE;
    }
    return outlook == OUTLOOK_AWAITED ? FACT_PENDING : outlook == OUTLOOK_LATE ? FACT_SOFT : FACT_KNOWN;
}

static void set_listed(struct judge *j, const struct reputation_sum *sum, enum fact_state state)
{
    int64_t threshold = j->pw->policy->reputation.threshold;
    struct fact_value *v = &j->facts.v[FACT_ID_REPUTATION_LISTED];

    *v = (struct fact_value){ .state = (uint8_t)state, .flag = sum->score >= threshold };
    if (state != FACT_IDLE && (sum->low >= threshold || sum->high < threshold)) {
        v->state = FACT_KNOWN;
        v->flag = sum->low >= threshold;
        v->doubt = v->flag && sum->low_if_answered < threshold;
    } else if (state == FACT_KNOWN) {
        v->state = FACT_UNKNOWN;
    }
}

static void set_score(struct judge *j, const struct reputation_sum *sum, enum fact_state state)
{
    struct fact_value *v = &j->facts.v[FACT_ID_REPUTATION_SCORE];

    *v = (struct fact_value){ .state = (uint8_t)state, .u.number = (uint64_t)sum->score };
    if (state == FACT_KNOWN) {
        v->state = sum->low == sum->high ? FACT_KNOWN : FACT_UNKNOWN;
        v->doubt = sum->low_if_answered < sum->low;
    }
    j->score_bounds = (struct eval_bounds){ .known = state != FACT_IDLE,
                                            .low = sum->low,
                                            .high = sum->high,
                                            .low_if_answered = sum->low_if_answered };
}

static void set_text(struct judge *j, enum fact_id id, struct slice text, enum fact_state state)
{
    fact_set_text(&j->facts, id, text);
    j->facts.v[id].state = (uint8_t)state;
}

static void set_lists(struct judge *j, const struct reputation_sum *sum)
{
    enum fact_state state = state_of(j, sum->outlook);

    set_listed(j, sum, state);
    set_score(j, sum, state);
    fact_set_flag(&j->facts, FACT_ID_REPUTATION_INCOMPLETE, sum->incomplete);
    j->facts.v[FACT_ID_REPUTATION_INCOMPLETE].state = (uint8_t)state;
    buf_reset(&j->lists_text);
    reputation_put_lists(j->run, false, &j->lists_text);
    set_text(j, FACT_ID_REPUTATION_LISTS, buf_slice(&j->lists_text), state);
    set_text(j, FACT_ID_REPUTATION_SUBJECT, reputation_subject(j->run), state);
    buf_reset(&j->monitored_text);
    reputation_put_lists(j->run, true, &j->monitored_text);
    fact_set_text(&j->facts, FACT_ID_REPUTATION_MONITORED, buf_slice(&j->monitored_text));
}

/* Asked once a listing is certain: what else may come says nothing about the first list that has it. */
static void derive_reason(struct judge *j)
{
    struct facts *f = &j->facts;
    const struct fact_value *listed = &f->v[FACT_ID_REPUTATION_LISTED];
    bool waiting = listed->state == FACT_IDLE || listed->state == FACT_PENDING;

    if (!j->reason_asked) {
        f->v[FACT_ID_REPUTATION_REASON] = (struct fact_value){ .state = FACT_IDLE };
        return;
    }
    if (!waiting && reputation_ask_reason(j->run) && reputation_reason_pending(j->run)) {
        waiting = true;
    }
    if (waiting) {
        fact_set_pending(f, FACT_ID_REPUTATION_REASON);
    } else {
        fact_set_text(f, FACT_ID_REPUTATION_REASON, reputation_reason(j->run));
    }
}

/* ---- suspicion ---- */

static const struct {
    enum fact_id id;
    const char *reason;
} zero_day_facts[] = {
    { FACT_ID_ZERO_DAY_FRESH_DOMAIN, "fresh_domain" },
    { FACT_ID_ZERO_DAY_FRESH_CLIENT, "fresh_client" },
    { FACT_ID_ZERO_DAY_BURST, "burst" },
    { FACT_ID_ZERO_DAY_LISTED, "listed" },
};

/* Any of the four makes a suspect; to be none, all of them must be known. */
static void derive_suspect(struct judge *j)
{
    static const unsigned rank[] = {
        [FACT_KNOWN] = 0, [FACT_UNKNOWN] = 1, [FACT_SOFT] = 2, [FACT_IDLE] = 3, [FACT_PENDING] = 4
    };
    struct facts *f = &j->facts;
    enum fact_state worst = FACT_KNOWN;
    struct buf reasons;
    char mem[64];

    buf_init_fixed(&reasons, mem, sizeof(mem));
    for (size_t i = 0; i < ARRAY_LEN(zero_day_facts); i++) {
        const struct fact_value *v = &f->v[zero_day_facts[i].id];

        if (rank[v->state] > rank[worst]) {
            worst = (enum fact_state)v->state;
        }
        if (v->state == FACT_KNOWN && v->flag) {
            buf_put_str(&reasons, reasons.len > 0 ? "," : "");
            buf_put_str(&reasons, zero_day_facts[i].reason);
        }
    }
    if (reasons.len > 0 && worst != FACT_PENDING && worst != FACT_IDLE) {
        worst = FACT_KNOWN;
    }
    if (worst == FACT_KNOWN) {
        fact_set_flag(f, FACT_ID_ZERO_DAY_SUSPECT, reasons.len > 0);
        fact_set_text(f, FACT_ID_ZERO_DAY_REASONS, facts_copy(j, SCOPE_TXN, buf_slice(&reasons)));
        return;
    }
    f->v[FACT_ID_ZERO_DAY_SUSPECT] = (struct fact_value){ .state = (uint8_t)worst };
    f->v[FACT_ID_ZERO_DAY_REASONS] = (struct fact_value){ .state = (uint8_t)worst };
}

static void set_zero_day_listed(struct judge *j, const struct reputation_sum *sum)
{
    struct fact_value *v = &j->facts.v[FACT_ID_ZERO_DAY_LISTED];

    *v = (struct fact_value){ .state = FACT_KNOWN, .flag = sum->zero_day };
    if (j->pw->zero_day_lists && j->run != NULL && !sum->zero_day) {
        v->state = sum->zero_day_outlook == OUTLOOK_FAILED ? FACT_UNKNOWN
                                                           : (uint8_t)state_of(j, sum->zero_day_outlook);
    }
}

static void derive_zero_day(struct judge *j, const struct reputation_sum *sum)
{
    enum fact_state memory = memory_zero_day_state(j);
    const bool flags[] = { j->mem.zero.fresh_domain, j->mem.zero.fresh_client, j->mem.zero.burst };

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        fact_set_flag(&j->facts, zero_day_facts[i].id, memory == FACT_KNOWN && flags[i]);
        j->facts.v[zero_day_facts[i].id].state = (uint8_t)memory;
    }
    set_zero_day_listed(j, sum);
    derive_suspect(j);
}

/* ---- all of it ---- */

static struct lists_seen look(const struct judge *j)
{
    return (struct lists_seen){
        .valid = true,
        .asked = j->lists_asked,
        .late_asked = j->late_asked,
        .reason_asked = j->reason_asked,
        .name_out = judge_state(j, FACT_ID_CLIENT_RDNS) == FACT_PENDING,
        .fresh_domain = j->mem.zero.fresh_domain,
        .fresh_client = j->mem.zero.fresh_client,
        .burst = j->mem.zero.burst,
        .memory = (uint8_t)memory_zero_day_state(j),
        .version = j->run != NULL ? reputation_version(j->run) : 0,
    };
}

/* Field by field: there are gaps between them. */
static bool seen_already(const struct lists_seen *a, const struct lists_seen *b)
{
    return a->valid && a->version == b->version && a->memory == b->memory && a->asked == b->asked &&
           a->late_asked == b->late_asked && a->reason_asked == b->reason_asked &&
           a->name_out == b->name_out && a->fresh_domain == b->fresh_domain &&
           a->fresh_client == b->fresh_client && a->burst == b->burst;
}

static void derive_all(struct judge *j)
{
    struct reputation_open open = { .late = !j->late_asked,
                                    .name = judge_state(j, FACT_ID_CLIENT_RDNS) == FACT_PENDING };
    struct reputation_sum sum = { .outlook = OUTLOOK_SETTLED };

    if (j->run == NULL) {
        set_no_lists(j);
        derive_zero_day(j, &sum);
        return;
    }
    reputation_sum(j->run, open, &sum);
    set_lists(j, &sum);
    for (size_t i = 0; i < j->pw->policy->reputation.count; i++) {
        derive_list(j, i);
    }
    derive_reason(j);
    derive_zero_day(j, &sum);
}

void lists_derive(struct judge *j)
{
    struct lists_seen now = look(j);

    if (!seen_already(&j->lists_seen, &now)) {
        j->lists_seen = now; /* a change that this makes itself is seen the next time */
        derive_all(j);
    }
}

void lists_start(struct judge *j)
{
    j->lists_asked = true;
    if (j->run == NULL) {
        return;
    }
    if (reputation_looks_up(j->run, SUBJECT_RDNS)) {
        source_need(j, FACT_ID_CLIENT_RDNS);
    }
    reputation_want(j->run, RUN_EARLY | RUN_BACKGROUND | (j->late_asked ? RUN_LATE : 0));
}

void lists_hear_name(struct judge *j)
{
    if (j->run != NULL) { /* no name, no question */
        reputation_set_subject(j->run, SUBJECT_RDNS, source_text(j, FACT_ID_CLIENT_RDNS));
    }
}
