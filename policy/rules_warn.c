/*
 * rules_warn.c - rules that load and yet cannot do what their writer thinks: warnings.
 *
 *   - a rule below one that always ends the block, or whose words are all taken by rules above it, is never
 *     reached;
 *   - a condition on `score` where nothing above it scores.
 *
 * Only enforced rules for all clients take anything away; a rule that is not certain to match takes nothing.
 */
#include "policy/rules_parts.h"

/* For each fact of words or flags: the values that no rule lower down can see, and who took the last. */
struct taken {
    uint32_t words[FACT_COUNT];
    const struct rule *by[FACT_COUNT];
};

/* All values of the fact, as bits. */
static uint32_t all_of(unsigned fact)
{
    struct slice rest = slice_str(fact_table[fact].words);
    uint32_t bits = 0;

    if (fact_table[fact].type == FACT_FLAG) {
        return 3;
    }
    for (unsigned i = 0; !slice_empty(rest); i++) {
        (void)slice_token(&rest);
        bits |= 1u << i;
    }
    return bits;
}

static bool is_finite(const struct cond *c)
{
    return c->kind == COND_TERM && c->fact < FACT_COUNT &&
           (fact_table[c->fact].type == FACT_WORD || fact_table[c->fact].type == FACT_FLAG);
}

static uint32_t values_of(const struct cond *c)
{
    return fact_table[c->fact].type == FACT_FLAG ? c->set->flags : c->set->words;
}

/* The rule that leaves nothing to a rule with this condition, or NULL. */
static const struct rule *taken_by(const struct taken *t, const struct cond *c)
{
    const struct cond *child;
    const struct rule *by = NULL;

    if (is_finite(c)) {
        return t->by[c->fact] != NULL && (values_of(c) & ~t->words[c->fact]) == 0 ? t->by[c->fact] : NULL;
    }
    if (c->kind == COND_NOT && is_finite(c->child)) {
        uint32_t rest = all_of(c->child->fact) & ~values_of(c->child);

        return t->by[c->child->fact] != NULL && (rest & ~t->words[c->child->fact]) == 0
                   ? t->by[c->child->fact]
                   : NULL;
    }
    if (c->kind != COND_ALL && c->kind != COND_ANY) {
        return NULL;
    }
    for (child = c->child; child != NULL; child = child->next) {
        by = taken_by(t, child);
        if ((by != NULL) == (c->kind == COND_ALL)) {
            return by; /* all: one is enough; any: one that is left is enough */
        }
    }
    return by;
}

static void take(struct taken *t, const struct rule *rule, const struct cond *c)
{
    const struct cond *child;

    if (is_finite(c)) {
        t->words[c->fact] |= values_of(c);
        t->by[c->fact] = rule;
    } else if (c->kind == COND_NOT && is_finite(c->child)) {
        t->words[c->child->fact] |= all_of(c->child->fact) & ~values_of(c->child);
        t->by[c->child->fact] = rule;
    } else if (c->kind == COND_ANY) {
        for (child = c->child; child != NULL; child = child->next) {
            take(t, rule, child);
        }
    }
}

static bool is_certain(const struct rule *rule)
{
    return rule->final != ACTION_NONE && rule->final != ACTION_GREYLIST && !rule->monitor &&
           rule->share == 100;
}

static void warn_unreachable(struct rules_load *l, const struct block *block)
{
    struct taken *t = xcalloc(1, sizeof(*t));
    const struct rule *end = NULL;

    for (size_t i = 0; i < block->count; i++) {
        const struct rule *rule = &block->rule[i];
        const struct rule *by = end != NULL ? end : rule->when != NULL ? taken_by(t, rule->when) : NULL;

        if (by != NULL) {
            config_errors_add(l->errs, true, rule->line, rule->column,
                              "rule %s can never be reached: rule %s above it ends every case", rule->name,
                              by->name);
            continue;
        }
        if (is_certain(rule) && rule->when == NULL) {
            end = rule;
        } else if (is_certain(rule)) {
            take(t, rule, rule->when);
        }
    }
    free(t);
}

static void warn_score(struct rules_load *l, const struct cond *c, const struct rule *rule)
{
    const struct cond *child;

    if (c->kind == COND_TERM && c->fact == FACT_ID_SCORE) {
        config_errors_add(l->errs, true, c->line, c->column,
                          "rule %s: score: no rule above it has the action score", rule->name);
    }
    for (child = c->child; child != NULL; child = child->next) {
        warn_score(l, child, rule);
    }
}

void rules_warn(struct rules_load *l)
{
    bool scorer = false; /* the message block goes on with the envelope's score */

    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        const struct block *block = &l->r->block[b];

        warn_unreachable(l, block);
        for (size_t i = 0; i < block->count; i++) {
            if (block->rule[i].when != NULL && !scorer) {
                warn_score(l, block->rule[i].when, &block->rule[i]);
            }
            scorer = scorer || block->rule[i].scores;
        }
    }
}
