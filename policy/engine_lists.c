/*
 * engine_lists.c - what the reputation lists answered, as facts (engine.h).
 *
 * reputation.listed is exact: with answers missing it is true or false only if no answer could change that,
 * else unknown.  While late lists have not been asked, the facts are SOFT: good enough for rules that only
 * score, tag or tarpit.
 */
#include "policy/engine.h"

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
    bool background = ask == LIST_BACKGROUND || reputation_mode(j->run, i) == LIST_MONITOR;
    bool name_out = j->rdns != NULL && (list->subjects & (1u << SUBJECT_RDNS)) != 0; /* to be asked about */

    *v = (struct fact_value){ .state = FACT_KNOWN, .flag = state == LIST_LISTED };
    if (off || state == LIST_FAILED) {
        v->state = FACT_UNKNOWN;
    } else if (state == LIST_PENDING || (name_out && state != LIST_LISTED)) {
        v->state = background ? FACT_UNKNOWN : FACT_PENDING;
    } else if (state == LIST_UNASKED && ask == LIST_LATE && !j->late_asked) {
        v->state = FACT_SOFT;
    } else if (state == LIST_UNASKED && !j->lists_asked) {
        v->state = FACT_IDLE;
    }
}

static void set_state(struct judge *j, const enum fact_id *ids, size_t count, enum fact_state state)
{
    for (size_t i = 0; i < count; i++) {
        if (j->facts.v[ids[i]].state == FACT_KNOWN) {
            j->facts.v[ids[i]].state = (uint8_t)state;
        }
    }
}

/* For rules without a final action; what an early list left open, a late one may still decide for others. */
static void set_soft(struct judge *j, const enum fact_id *ids, size_t count, const struct reputation_sum *sum)
{
    set_state(j, ids, count, FACT_SOFT);
    for (size_t i = 0; i < count; i++) {
        if (j->facts.v[ids[i]].state == FACT_UNKNOWN) { /* listed or score: as if the silent ones said no */
            j->facts.v[ids[i]] =
                (struct fact_value){ .state = FACT_SOFT,
                                     .flag = sum->score >= j->pw->policy->reputation.threshold };
            if (ids[i] == FACT_ID_REPUTATION_SCORE) {
                j->facts.v[ids[i]].u.number = (uint64_t)sum->score;
            }
        }
    }
}

/* The values as far as the lists have answered. */
static void set_lists(struct judge *j, const struct reputation_sum *sum)
{
    struct facts *f = &j->facts;
    int64_t threshold = j->pw->policy->reputation.threshold;

    if (sum->low >= threshold || sum->high < threshold) {
        fact_set_flag(f, FACT_ID_REPUTATION_LISTED, sum->low >= threshold);
    } else {
        fact_set_unknown(f, FACT_ID_REPUTATION_LISTED);
    }
    if (sum->low == sum->high) {
        fact_set_number(f, FACT_ID_REPUTATION_SCORE, sum->score);
    } else {
        fact_set_unknown(f, FACT_ID_REPUTATION_SCORE);
    }
    fact_set_flag(f, FACT_ID_REPUTATION_INCOMPLETE, sum->incomplete);
    buf_reset(&j->lists_text);
    reputation_put_lists(j->run, false, &j->lists_text);
    fact_set_text(f, FACT_ID_REPUTATION_LISTS, buf_slice(&j->lists_text));
    buf_reset(&j->monitored_text);
    reputation_put_lists(j->run, true, &j->monitored_text);
    fact_set_text(f, FACT_ID_REPUTATION_MONITORED, buf_slice(&j->monitored_text));
}

static bool lists_waiting(const struct judge *j)
{
    return reputation_waiting(j->run, RUN_EARLY | (j->late_asked ? RUN_LATE : 0)) ||
           (j->rdns != NULL && reputation_looks_up(j->run, SUBJECT_RDNS));
}

static void derive_reason(struct judge *j, bool waiting)
{
    struct facts *f = &j->facts;

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

static void derive_zero_day(struct judge *j, const struct reputation_sum *sum, enum fact_state state)
{
    static const enum fact_id listed[] = { FACT_ID_ZERO_DAY_LISTED };
    enum fact_state memory = memory_zero_day_state(j);
    struct facts *f = &j->facts;
    const bool flags[] = { j->mem.zero.fresh_domain, j->mem.zero.fresh_client, j->mem.zero.burst };

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        fact_set_flag(f, zero_day_facts[i].id, memory == FACT_KNOWN && flags[i]);
        f->v[zero_day_facts[i].id].state = (uint8_t)memory;
    }
    if (!j->pw->zero_day_lists) {
        fact_set_flag(f, FACT_ID_ZERO_DAY_LISTED, false);
    } else if (state == FACT_IDLE || state == FACT_PENDING) {
        f->v[FACT_ID_ZERO_DAY_LISTED] = (struct fact_value){ .state = (uint8_t)state };
    } else if (sum->zero_day_known) {
        fact_set_flag(f, FACT_ID_ZERO_DAY_LISTED, sum->zero_day);
        set_state(j, listed, 1, state);
    } else {
        fact_set_unknown(f, FACT_ID_ZERO_DAY_LISTED);
    }
    derive_suspect(j);
}

static struct lists_seen look(const struct judge *j)
{
    return (struct lists_seen){
        .valid = true,
        .asked = j->lists_asked,
        .late_asked = j->late_asked,
        .reason_asked = j->reason_asked,
        .name_out = j->rdns != NULL,
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
    static const enum fact_id ids[] = { FACT_ID_REPUTATION_LISTED, FACT_ID_REPUTATION_SCORE,
                                        FACT_ID_REPUTATION_LISTS, FACT_ID_REPUTATION_INCOMPLETE };
    struct reputation_sum sum = { .zero_day_known = true };
    enum fact_state state = FACT_KNOWN;

    if (j->run == NULL) {
        set_no_lists(j);
        derive_zero_day(j, &sum, FACT_KNOWN);
        return;
    }
    if (!j->lists_asked) {
        state = FACT_IDLE;
    } else if (lists_waiting(j)) {
        state = FACT_PENDING;
    } else if (!j->late_asked && reputation_has_unasked_late(j->run)) {
        state = FACT_SOFT;
    }
    reputation_sum(j->run, &sum);
    set_lists(j, &sum);
    if (state == FACT_IDLE || state == FACT_PENDING) { /* also what would be unknown by now */
        for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
            j->facts.v[ids[i]] = (struct fact_value){ .state = (uint8_t)state };
        }
    }
    if (state == FACT_SOFT) {
        set_soft(j, ids, ARRAY_LEN(ids), &sum);
    }
    for (size_t i = 0; i < j->pw->policy->reputation.count; i++) {
        derive_list(j, i);
    }
    derive_reason(j, state == FACT_IDLE || state == FACT_PENDING);
    derive_zero_day(j, &sum, state);
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
    if (reputation_looks_up(j->run, SUBJECT_RDNS) && judge_state(j, FACT_ID_CLIENT_RDNS) == FACT_IDLE) {
        facts_start_rdns(j);
    }
    reputation_want(j->run, RUN_EARLY | RUN_BACKGROUND | (j->late_asked ? RUN_LATE : 0));
}
