/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_count.c - counts the matches of each rule, as metrics.
 *
 * Counts a match when a verdict is given: once for each recipient and each message judged, whether or not the
 * rule decided it.  Matches that a rule, a ramp or the whole file only records count as mode="monitor".
 * The labels are names of the configuration, or `default` if no rule decided.
 */
#include "policy/judge/engine_priv.h"

#include "state/rule_counts.h"

static const char fallback[] = "default";

/* Positions in policy_worker.rule_count: the envelope block, the message block, the default. */
static size_t place_of(const struct rules *r, enum rule_block b)
{
    return b == BLOCK_ENVELOPE ? 0 : r->block[BLOCK_ENVELOPE].count;
}

void policy_rules_register(const struct policy *p, struct state *st)
{
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        for (size_t i = 0; i < p->rules.block[b].count; i++) {
            (void)state_rule(st, p->rules.block[b].rule[i].name);
        }
    }
    (void)state_rule(st, fallback);
}

int *rules_count_places(const struct policy *p, const struct state *st)
{
    const struct rules *r = &p->rules;
    size_t n = r->block[BLOCK_ENVELOPE].count + r->block[BLOCK_MESSAGE].count;
    int *places = xcalloc(n + 1, sizeof(*places));

    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        for (size_t i = 0; i < r->block[b].count; i++) {
            places[place_of(r, (enum rule_block)b) + i] = state_rule_find(st, r->block[b].rule[i].name);
        }
    }
    places[n] = state_rule_find(st, fallback);
    return places;
}

void rules_count(const struct judge *j)
{
    const struct policy_worker *pw = j->pw;
    const struct rules *r = &pw->policy->rules;
    enum rule_block b = j->question.block;
    const struct rule_trace *trace = j->trace[b];
    bool whole_file = pw->policy->conf->mode == MODE_MONITOR;
    const int *places;

    if (pw->rule_count == NULL) {
        return;
    }
    places = pw->rule_count + place_of(r, b);
    for (size_t i = 0; trace != NULL && i < r->block[b].count; i++) {
        if (trace[i].outcome == RULE_MATCHED || trace[i].outcome == RULE_MONITORED) {
            state_rule_count(pw->state, places[i], whole_file || trace[i].outcome == RULE_MONITORED);
        }
    }
    if (j->result.rule == NULL && b == BLOCK_ENVELOPE) {
        places = pw->rule_count + place_of(r, BLOCK_MESSAGE) + r->block[BLOCK_MESSAGE].count;
        state_rule_count(pw->state, *places, whole_file);
    }
}

uint64_t policy_watched_count(const struct state *st, const char *rule)
{
    return state_rule_counted(st, state_rule_find(st, rule), true);
}

static void put_rule(const struct state *st, const char *name, struct buf *out)
{
    static const char *const modes[] = { "enforce", "monitor" };
    int rule = state_rule_find(st, name);

    for (size_t m = 0; m < ARRAY_LEN(modes) && rule >= 0; m++) {
        buf_putf(out, "glacis_rule_matches_total{rule=\"%s\",mode=\"%s\"} %" PRIu64 "\n", name, modes[m],
                 state_rule_counted(st, rule, m == 1));
    }
}

void policy_rules_metrics(const struct policy *p, const struct state *st, struct buf *out)
{
    buf_put_str(out, "# HELP glacis_rule_matches_total Recipients and messages that a rule matched\n"
                     "# TYPE glacis_rule_matches_total counter\n");
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        for (size_t i = 0; i < p->rules.block[b].count; i++) {
            put_rule(st, p->rules.block[b].rule[i].name, out);
        }
    }
    put_rule(st, fallback, out);
}
