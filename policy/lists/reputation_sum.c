/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reputation_sum.c - combines the answers of a run: states, the score and its possible range, names
 * (reputation.h).
 *
 *     awaited     its answer may still move the score up or down
 *     late        the same, once the list is queried
 *     failed      a blocklist might have had a hit: `high`.  An allow-list vouches for nothing; the score that it
 *                 might have made possible is `low_if_answered`
 */
#include "policy/lists/reputation_run.h"

static enum list_state state_of(const struct reputation_run *run, size_t list, bool with_samples,
                                int64_t *weight)
{
    /* of several subjects the strongest one counts: LISTED, then PENDING, FAILED, NOT_LISTED, UNASKED */
    static const unsigned rank[] = {
        [LIST_STATE_UNASKED] = 0, [LIST_STATE_NOT_LISTED] = 1, [LIST_STATE_FAILED] = 2,
        [LIST_STATE_PENDING] = 3, [LIST_STATE_LISTED] = 4,
    };
    enum list_state state = LIST_STATE_UNASKED;

    *weight = 0;
    for (size_t i = run->force[list].first; i < run->count && run->slot[i].index == list; i++) {
        const struct slot *s = &run->slot[i];

        if (s->sampled && !with_samples) {
            continue;
        }
        if (s->state == LIST_STATE_LISTED && (state != LIST_STATE_LISTED || s->found.weight > *weight)) {
            *weight = s->found.weight;
        }
        state = rank[s->state] > rank[state] ? s->state : state;
    }
    return state;
}

enum list_state reputation_list_state(const struct reputation_run *run, size_t list, int64_t *weight)
{
    return state_of(run, list, false, weight);
}

enum list_state reputation_list_state_raw(const struct reputation_run *run, size_t list, int64_t *weight)
{
    return state_of(run, list, true, weight);
}

bool reputation_list_awaited(const struct reputation_run *run, size_t list)
{
    for (size_t i = run->force[list].first; i < run->count && run->slot[i].index == list; i++) {
        if (run_awaits(&run->slot[i])) {
            return true;
        }
    }
    return false;
}

/* ---- the score ---- */

static bool is_absent(const struct slot *s)
{
    const struct subject *subject = &s->run->subject[s->subject];

    return s->subject != SUBJECT_CLIENT && subject->known && subject->name == NULL;
}

static enum list_outlook slot_outlook(const struct slot *s, struct reputation_open open)
{
    bool unasked = s->state == LIST_STATE_UNASKED || s->sampled,
         background = s->run->force[s->index].ask == LIST_ASK_BACKGROUND;

    if (unasked && !is_absent(s) && s->run->setup.wanted[s->index]) {
        if (open.late && run_kind_of(s) == RUN_LATE) {
            return OUTLOOK_LATE;
        }
        return (open.subjects >> s->subject & 1) != 0 && !background ? OUTLOOK_AWAITED : OUTLOOK_SETTLED;
    }
    if (run_awaits(s)) {
        return OUTLOOK_AWAITED;
    }
    return !s->sampled && (s->state == LIST_STATE_FAILED || (s->state == LIST_STATE_PENDING && s->trial))
               ? OUTLOOK_FAILED
               : OUTLOOK_SETTLED;
}

static enum list_outlook outlook_of(const struct reputation_run *run, size_t list, bool hit,
                                    struct reputation_open open)
{
    enum list_outlook outlook = OUTLOOK_SETTLED;

    for (size_t i = run->force[list].first; i < run->count && run->slot[i].index == list; i++) {
        enum list_outlook here = slot_outlook(&run->slot[i], open);

        outlook = here > outlook ? here : outlook;
    }
    return hit && outlook == OUTLOOK_FAILED ? OUTLOOK_SETTLED
                                            : outlook; /* one hit over all subjects is enough */
}

static void add_list(const struct reputation_run *run, size_t i, struct reputation_open open,
                     struct reputation_sum *sum)
{
    const struct reputation_list *list = &run->setup.rep->list[i];
    int64_t weight;
    bool hit = reputation_list_state(run, i, &weight) == LIST_STATE_LISTED;
    enum list_outlook outlook = outlook_of(run, i, hit, open);
    bool comes = outlook == OUTLOOK_AWAITED || outlook == OUTLOOK_LATE;

    sum->score += weight;
    sum->low += comes && !hit ? list->weight_min : weight;
    sum->low_if_answered += outlook != OUTLOOK_SETTLED && !hit ? list->weight_min : weight;
    sum->high += outlook != OUTLOOK_SETTLED && list->weight_max > weight ? list->weight_max : weight;
    sum->incomplete = sum->incomplete || outlook == OUTLOOK_FAILED;
    sum->outlook = outlook > sum->outlook ? outlook : sum->outlook;
    if (list->zero_day) {
        sum->zero_day = sum->zero_day || hit;
        outlook = hit ? OUTLOOK_SETTLED : outlook;
        sum->zero_day_outlook = outlook > sum->zero_day_outlook ? outlook : sum->zero_day_outlook;
    }
}

void reputation_sum(const struct reputation_run *run, struct reputation_open open, struct reputation_sum *out)
{
    *out = (struct reputation_sum){ .outlook = OUTLOOK_SETTLED };
    for (size_t i = 0; i < run->setup.rep->count; i++) {
        if (run->force[i].mode == LIST_MODE_ENFORCE) {
            add_list(run, i, open, out);
        }
    }
}

/* ---- names ---- */

void reputation_put_lists(const struct reputation_run *run, bool monitored, struct buf *out)
{
    const struct reputation *rep = run->setup.rep;
    int64_t weight;

    for (size_t i = 0; i < rep->count; i++) {
        enum list_mode mode = run->force[i].mode;

        if (mode == (monitored ? LIST_MODE_MONITOR : LIST_MODE_ENFORCE) &&
            reputation_list_state(run, i, &weight) == LIST_STATE_LISTED && weight > 0) {
            buf_put_str(out, out->len > 0 ? "," : "");
            buf_put_slice(out, rep->list[i].name);
        }
    }
}

/* The most relevant slot of a list: the heaviest hit, else a failure, else any other answer; NULL: none. */
static const struct slot *telling_slot(const struct reputation_run *run, size_t list)
{
    const struct slot *best = NULL;
    unsigned most = 0;

    for (size_t i = run->force[list].first; i < run->count && run->slot[i].index == list; i++) {
        const struct slot *s = &run->slot[i];
        unsigned rank = s->state == LIST_STATE_LISTED   ? 3
                        : s->state == LIST_STATE_FAILED ? 2
                                                        : s->found.answered;

        if (rank > most || (rank == 3 && most == 3 && s->found.weight > best->found.weight)) {
            best = s;
            most = rank;
        }
    }
    return best;
}

void reputation_put_answers(const struct reputation_run *run, struct buf *out)
{
    static const char *const failures[] = { [FAILURE_NONE] = "",
                                            [FAILURE_TIMEOUT] = "timeout",
                                            [FAILURE_ERROR] = "error",
                                            [FAILURE_SKIPPED] = "skipped" };
    const struct reputation *rep = run->setup.rep;

    for (size_t i = 0; i < rep->count; i++) {
        const struct slot *s = telling_slot(run, i);

        if (s == NULL) {
            continue;
        }
        buf_put_str(out, out->len > 0 ? "," : "");
        buf_put_slice(out, rep->list[i].name);
        buf_put_char(out, '=');
        if (s->found.answered) {
            const uint8_t *a = s->found.answer;

            buf_putf(out, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
        } else {
            buf_put_str(out, failures[s->failure]);
        }
    }
}
