/*
 * rule_counts.c - how often each rule of the policy matched, over all processes and generations.
 *
 * A record a name, made by the supervisor before the fork.  None is ever given back: what a counter has said
 * it goes on saying when a rule leaves the file and returns.
 *
 * Limits  STATE_RULES names in the life of a supervisor; further ones are not counted.
 */
#include "state/shared.h"

int state_rule_find(const struct state *s, const char *name)
{
    for (uint32_t i = 0; i < s->sh->rules; i++) {
        if (strcmp(s->sh->rule[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

int state_rule(struct state *s, const char *name)
{
    uint32_t next = s->sh->rules;
    size_t len = strlen(name);
    int found = state_rule_find(s, name);

    if (found >= 0 || next == STATE_RULES || len > STATE_RULE_NAME_MAX)
        return found;
    memcpy(s->sh->rule[next].name, name, len + 1);
    s->sh->rules = next + 1;
    return (int)next;
}

void state_rule_count(struct state *s, int rule, bool monitored)
{
    if (rule >= 0)
        atomic_fetch_add_explicit(&s->sh->rule[rule].matched[monitored], 1, memory_order_relaxed);
}

uint64_t state_rule_counted(const struct state *s, int rule, bool monitored)
{
    return rule < 0 ? 0 : atomic_load_explicit(&s->sh->rule[rule].matched[monitored], memory_order_relaxed);
}
