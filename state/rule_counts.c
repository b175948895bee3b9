/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_counts.c - how often each rule of the policy matched, over all processes and generations.
 *
 * The supervisor makes one record for each name before the fork.  The names are in the memory of each process
 * (struct names); the counts are shared.  Records are never freed, so that a counter continues when a rule
 * leaves the file and returns.
 *
 * Limits  STATE_RULES names in the life of a supervisor; further ones are not counted.
 */
#include "state/rule_counts.h"
#include "state/shared_priv.h"

int state_rule_find(const struct state *s, const char *name)
{
    for (int i = 0; i < s->names.rules; i++) {
        if (strcmp(s->names.rule[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

int state_rule(struct state *s, const char *name)
{
    size_t len = strlen(name);
    int found = state_rule_find(s, name);

    if (found >= 0 || s->names.rules == STATE_RULES || len > STATE_RULE_NAME_MAX) {
        return found;
    }
    memcpy(s->names.rule[s->names.rules], name, len + 1);
    return s->names.rules++;
}

void state_rule_count(struct state *s, int rule, bool monitored)
{
    if (rule >= 0) {
        atomic_fetch_add_explicit(&s->sh->rule[rule].matched[monitored], 1, memory_order_relaxed);
    }
}

uint64_t state_rule_counted(const struct state *s, int rule, bool monitored)
{
    return rule < 0 ? 0 : atomic_load_explicit(&s->sh->rule[rule].matched[monitored], memory_order_relaxed);
}
