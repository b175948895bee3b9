/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_warn.c - warns of rules that load but cannot work as intended:
 *
 *   - a rule that is never reached: a rule above it always ends the block, or rules above it take all of its
 *     words;
 *   - a condition on `score` if no rule above it scores;
 *   - a condition whose terms exclude each other;
 *   - a score that no rule or text reads;
 *   - an exemption that the sender can write into the header section;
 *   - a list with subjects of the message, if no rule about the message uses the lists;
 *   - a condition on the subject of a client's certificate if glacis requests none.
 *
 * Only an enforced rule for all clients that is certain to match takes values away from the rules below it.
 */
#include "policy/rules/rules_priv.h"
#include "policy/rules/verdict.h"

/* For each fact of words or flags: the values that no lower rule can see, and the rule that took the last. */
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

/* The rule that leaves no values for this condition, or NULL. */
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
            return by; /* all: one child is enough; any: every child must be taken */
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

/* ---- conditions that never hold ---- */

/* The values of the fact that satisfy a term, as bits; false: it is no term on words or a flag. */
static bool bits_of(const struct cond *c, unsigned *fact, uint32_t *bits)
{
    const struct cond *term = c->kind == COND_NOT ? c->child : c;

    if (!is_finite(term)) {
        return false;
    }
    *fact = term->fact;
    *bits = c->kind == COND_NOT ? all_of(term->fact) & ~values_of(term) : values_of(term);
    return true;
}

/* Is one the exact opposite of the other? */
static bool is_opposite(const struct cond *a, const struct cond *b)
{
    const struct cond *negated = a->kind == COND_NOT ? a : b, *term = a->kind == COND_NOT ? b : a;

    return negated->kind == COND_NOT && term->kind == COND_TERM && negated->child->kind == COND_TERM &&
           negated->child->fact == term->fact && slice_eq(negated->child->wanted, term->wanted);
}

/* Reduces a list of one condition to that condition. */
static const struct cond *unwrap(const struct cond *c)
{
    while ((c->kind == COND_ALL || c->kind == COND_ANY) && c->child != NULL && c->child->next == NULL) {
        c = c->child;
    }
    return c;
}

/* Do two children of an `all` exclude each other? */
static bool exclude(const struct cond *a, const struct cond *b)
{
    unsigned fact_a, fact_b;
    uint32_t bits_a, bits_b;

    a = unwrap(a);
    b = unwrap(b);
    return is_opposite(a, b) || (bits_of(a, &fact_a, &bits_a) && bits_of(b, &fact_b, &bits_b) &&
                                 fact_a == fact_b && (bits_a & bits_b) == 0);
}

/* The term that makes the condition impossible, or NULL: it may hold. */
static const struct cond *why_never(const struct cond *c)
{
    const struct cond *why = NULL;

    for (const struct cond *a = c->child; a != NULL && c->kind != COND_NOT; a = a->next) {
        const struct cond *here = why_never(a);

        for (const struct cond *b = a->next; b != NULL && here == NULL && c->kind == COND_ALL; b = b->next) {
            here = exclude(a, b) ? unwrap(b) : NULL;
            here = here != NULL && here->kind == COND_NOT ? here->child : here;
        }
        if (c->kind == COND_ALL && here != NULL) {
            return here;
        }
        if (c->kind == COND_ANY && here == NULL) {
            return NULL;
        }
        why = here;
    }
    return why;
}

static void warn_never(struct rules_load *l, const struct rule *rule)
{
    const struct cond *why = rule->when != NULL && !rule->preset ? why_never(rule->when) : NULL;

    if (why != NULL) {
        config_errors_add(l->errs, true, why->line, why->column,
                          "rule %s never matches: its conditions on %s exclude each other", rule->name,
                          why->fact < FACT_COUNT ? fact_table[why->fact].name : "a list");
    }
}

static void warn_subject(struct rules_load *l, const struct cond *c, const struct rule *rule)
{
    if (c->kind == COND_TERM && c->fact == FACT_ID_TLS_CLIENT_SUBJECT) {
        config_errors_add(l->errs, true, c->line, c->column,
                          "rule %s: tls.client_subject: glacis requests a client certificate only with "
                          "tls.client_ca, so there is never one",
                          rule->name);
    }
    for (const struct cond *child = c->child; child != NULL; child = child->next) {
        warn_subject(l, child, rule);
    }
}

/* ---- facts that the sender controls ---- */

/* Does the sender alone control this fact of the header section? */
static bool is_senders_word(unsigned fact)
{
    return fact == FACT_ID_MESSAGE_IS_LIST || fact == FACT_ID_MESSAGE_BULK;
}

/* The term by which a header field of the sender forces the condition to `wanted`, whatever else holds; or NULL. */
static const struct cond *forced_by_sender(const struct cond *c, bool wanted)
{
    const struct cond *by = NULL;

    if (c->kind == COND_TERM) {
        bool with = (c->set->flags & 2) != 0, without = (c->set->flags & 1) != 0;

        return is_senders_word(c->fact) && with == wanted && without != wanted ? c : NULL;
    }
    if (c->kind == COND_NOT) {
        return forced_by_sender(c->child, !wanted);
    }
    for (const struct cond *child = c->child; child != NULL; child = child->next) {
        by = forced_by_sender(child, wanted);
        if ((by != NULL) == ((c->kind == COND_ANY) == wanted)) {
            return by; /* one child decides; else all of them must be forced */
        }
    }
    return by;
}

static void warn_exemption(struct rules_load *l, const struct rule *rule)
{
    bool passes =
        rule->final == ACTION_ACCEPT || rule->final == ACTION_BYPASS || rule->final == ACTION_DIVERT;
    const struct cond *by =
        rule->when != NULL && rule->final != ACTION_NONE ? forced_by_sender(rule->when, passes) : NULL;

    if (by != NULL) {
        config_errors_add(l->errs, true, by->line, by->column,
                          "rule %s: %s alone exempts a message, and the sender writes it: any forger can; "
                          "message.via_list with client.known_good cannot be written",
                          rule->name, fact_table[by->fact].name);
    }
}

/* ---- scores ---- */

static bool asks_score(const struct cond *c)
{
    bool found = c->kind == COND_TERM && c->fact == FACT_ID_SCORE;

    for (const struct cond *child = c->child; child != NULL && !found; child = child->next) {
        found = asks_score(child);
    }
    return found;
}

/* Does a text or a header field show the score? */
static bool shows_score(const struct rules_load *l)
{
    const struct config_headers *h = &l->conf->headers;
    static const struct slice name = SLICE_INIT("{score}");
    bool found = h->verdict || (l->r->use[FACT_ID_SCORE] & USE_TEXT) != 0;

    for (size_t i = 0; i < h->add_count && !found; i++) {
        const char *text = h->add[i].value;

        found = memmem(text, strlen(text), name.ptr, name.len) != NULL;
    }
    return found;
}

/* Warns of the last rule that scores, unless a later rule or a text reads the score. */
static void warn_unread_score(struct rules_load *l)
{
    const struct rule *unread = NULL;

    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        for (size_t i = 0; i < l->r->block[b].count; i++) {
            const struct rule *rule = &l->r->block[b].rule[i];

            if (rule->when != NULL && asks_score(rule->when)) {
                unread = NULL;
            }
            unread = rule->scores ? rule : unread;
        }
    }
    if (unread != NULL && !shows_score(l)) {
        config_errors_add(l->errs, true, unread->line, unread->column,
                          "rule %s gives a score that nothing reads: headers.verdict is off, and no rule "
                          "below it and no text names score",
                          unread->name);
    }
}

/* ---- lists ---- */

static bool asks_lists(const struct cond *c)
{
    bool found = c->kind == COND_TERM && rules_fact_is_of_lists(c->fact);

    for (const struct cond *child = c->child; child != NULL && !found; child = child->next) {
        found = asks_lists(child);
    }
    return found;
}

bool rules_ask_lists(const struct block *b)
{
    bool found = false;

    for (size_t i = 0; i < b->count && !found; i++) {
        found = b->rule[i].when != NULL && asks_lists(b->rule[i].when);
    }
    return found;
}

static void warn_message_lists(struct rules_load *l)
{
    const struct config_reputation *rep = &l->conf->reputation;

    for (size_t i = 0; i < rep->list_count && !rules_ask_lists(&l->r->block[BLOCK_MESSAGE]); i++) {
        if ((rep->list[i].subjects & (1u << SUBJECT_FROM | SUBJECTS_OF_DKIM)) != 0) {
            config_errors_add(
                l->errs, true, rep->list[i].line, rep->list[i].column,
                "reputation.lists %s: from and dkim of looks_up are never asked: no rule about the "
                "message (policy.message_before) names reputation",
                rep->list[i].name);
        }
    }
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
    bool requests = !slice_empty(slice_str(l->conf->tls.client_ca));
    bool scorer = false; /* the message block continues with the envelope's score */

    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        const struct block *block = &l->r->block[b];

        warn_unreachable(l, block);
        for (size_t i = 0; i < block->count; i++) {
            if (block->rule[i].when != NULL && !scorer) {
                warn_score(l, block->rule[i].when, &block->rule[i]);
            }
            warn_never(l, &block->rule[i]);
            warn_exemption(l, &block->rule[i]);
            if (block->rule[i].when != NULL && !requests) {
                warn_subject(l, block->rule[i].when, &block->rule[i]);
            }
            scorer = scorer || block->rule[i].scores;
        }
    }
    warn_unread_score(l);
    warn_message_lists(l);
}
