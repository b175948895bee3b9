/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict.c - the evaluation of a block (verdict.h).
 *
 * Each condition has two values, computed in one walk:
 *
 *   loose     as the language defines it: `temperror` is a word like others
 *   strict    as if every failed lookup, including `temperror`, were unknown
 *
 * A condition that is loosely true but not strictly true depends on an outage.  The same holds for a refusal below an
 * acceptance that is not strictly false.  Either makes the refusal temporary.  The score is kept as a number (loose)
 * and as the range of values it could have if all lookups had answered (strict).
 *
 * An unreadable file of a group is such an outage: a value not in the loaded part may be in the rest.
 *
 * Pure: no clock; uses only its arguments and the caller's memory.
 */
#include "policy/rules/verdict.h"

#include "policy/rules/match.h"

#define RAMP_KEY_0 0x676c616369732d72ull /* fixed: a client is on the same side of a ramp everywhere */
#define RAMP_KEY_1 0x616d702d6b657931ull

struct walk {
    const struct rules *r;
    const struct eval_input *in;
    struct eval_result *out;
    int32_t today;
    bool early;
    bool final; /* the current rule ends the block: SOFT values are not enough */
    int64_t score, score_low, score_high;
    bool score_open; /* early: a rule above may still score */
    bool doubt;      /* a rule above would have accepted, but for an outage */
};

struct answer {
    enum truth loose, strict;
    const struct cond *term; /* the one that decided `loose` */
    bool negated;
    bool outage;   /* a lookup failed for some term */
    unsigned open; /* first fact that can be looked up now; RULE_NO_FACT: none */
};

/* ---- one term ---- */

/* Can a DNS outage hide this fact?  True for each single list. */
static bool is_lookup(unsigned fact)
{
    return fact >= FACT_COUNT || (fact_table[fact].traits & FROM_DNS) != 0;
}

static bool is_temperror(unsigned fact, const struct fact_value *v)
{
    return fact < FACT_COUNT && fact_table[fact].type == FACT_WORD &&
           v->word == fact_temperror((enum fact_id)fact);
}

/* Can no value ever match?  Then the fact is not looked up. */
static bool is_void(const struct cond *c, enum fact_type type)
{
    for (size_t i = 0; i < c->group_count; i++) {
        if (!group_is_empty(c->groups[i], type)) {
            return false;
        }
    }
    return set_is_empty(c->set, type);
}

static struct answer both(const struct cond *c, enum truth t)
{
    return (struct answer){ .loose = t, .strict = t, .term = c, .open = RULE_NO_FACT };
}

static struct answer ask_score(const struct walk *w, const struct cond *c)
{
    struct answer a = both(c, w->score_open ? TRUTH_OPEN : TRUTH_FALSE);
    bool partly;

    if (!w->score_open) {
        a.loose = set_has_range(c->set, w->score, w->score, &partly) ? TRUTH_TRUE : TRUTH_FALSE;
        a.strict = set_has_range(c->set, w->score_low, w->score_high, &partly) ? TRUTH_TRUE
                   : partly                                                    ? TRUTH_UNKNOWN
                                                                               : TRUTH_FALSE;
        a.outage = a.strict == TRUTH_UNKNOWN;
    }
    return a;
}

static enum truth match_all(const struct walk *w, const struct cond *c, enum fact_type type,
                            const struct fact_value *v)
{
    enum truth found = set_match(c->set, type, v, w->today);

    for (size_t i = 0; i < c->group_count && found != TRUTH_TRUE; i++) {
        enum truth here = set_match(&c->groups[i]->set, type, v, w->today);

        found = here != TRUTH_FALSE ? here : found;
    }
    return found;
}

bool rules_fact_is_of_lists(unsigned fact)
{
    return fact < FACT_COUNT ? (fact_table[fact].traits & OF_LISTS) != 0 : fact != RULE_NO_FACT;
}

static bool gives_up(const struct walk *w, unsigned fact)
{
    return w->in->hurry && !w->final && rules_fact_is_of_lists(fact);
}

static enum truth truth_within(const struct set *set, int64_t low, int64_t high)
{
    bool partly;

    return set_has_range(set, low, high, &partly) ? TRUTH_TRUE : partly ? TRUTH_OPEN : TRUTH_FALSE;
}

/* Decides reputation.score before the last list has answered; false: the bounds leave it open. */
static bool ask_bounds(const struct walk *w, const struct cond *c, struct answer *a)
{
    const struct eval_bounds *b = &w->in->reputation;

    a->loose = b->known ? truth_within(c->set, b->low, b->high) : TRUTH_OPEN;
    if (a->loose == TRUTH_OPEN) {
        return false;
    }
    a->outage = truth_within(c->set, b->low_if_answered, b->high) != a->loose;
    a->strict = a->outage ? TRUTH_UNKNOWN : a->loose;
    return true;
}

/* Does the term name a group with an unreadable file, which may hold the value? */
static bool names_unread(const struct cond *c)
{
    for (size_t i = 0; i < c->group_count; i++) {
        if (c->groups[i]->unread) {
            return true;
        }
    }
    return false;
}

static struct answer ask_term(const struct walk *w, const struct cond *c)
{
    bool in_table = c->fact < FACT_COUNT;
    enum fact_type type = in_table ? fact_table[c->fact].type : FACT_FLAG;
    enum fact_stage stage = in_table ? fact_table[c->fact].stage : STAGE_CONNECT;
    struct answer a = both(c, TRUTH_FALSE);
    const struct fact_value *v;

    if (c->fact == FACT_ID_SCORE) {
        return ask_score(w, c);
    }
    if (is_void(c, type)) {
        return a;
    }
    v = in_table               ? &w->in->facts->v[c->fact]
        : w->in->lists != NULL ? &w->in->lists[c->fact - FACT_COUNT]
                               : NULL;
    if (c->fact == FACT_ID_REPUTATION_SCORE && v->state != FACT_KNOWN && ask_bounds(w, c, &a)) {
        return a;
    }
    if (v != NULL && v->state == FACT_PENDING && c->fact == FACT_ID_REPUTATION_LISTS &&
        match_all(w, c, type, v) == TRUTH_TRUE) {
        return both(c, TRUTH_TRUE); /* more lists may be added, none removed */
    }
    if (v == NULL || v->state == FACT_UNKNOWN || (gives_up(w, c->fact) && v->state == FACT_PENDING)) {
        a = both(c, TRUTH_UNKNOWN);
        a.outage = is_lookup(c->fact);
    } else if (v->state != FACT_KNOWN && (w->final || v->state != FACT_SOFT)) {
        a = both(c, TRUTH_OPEN);
        a.open = stage <= w->in->stage ? c->fact : RULE_NO_FACT;
    } else {
        a.loose = a.strict = match_all(w, c, type, v);
        if (a.loose == TRUTH_FALSE && names_unread(c)) {
            a = both(c, TRUTH_UNKNOWN);
            a.outage = true;
        }
        if (is_temperror(c->fact, v) || v->doubt) {
            a.strict = TRUTH_UNKNOWN;
            a.outage = true;
        }
    }
    return a;
}

/* ---- conditions ---- */

static enum truth inverse(enum truth t)
{
    return t == TRUTH_TRUE ? TRUTH_FALSE : t == TRUTH_FALSE ? TRUTH_TRUE : t;
}

/*
 * Rank of a value among the children: the highest gives the result.  False decides `all`, true decides `any`;
 * next come children that can still be looked up, then unknown ones.
 */
static unsigned strength(enum truth t, enum cond_kind kind)
{
    switch (t) {
    case TRUTH_FALSE:
        return kind == COND_ALL ? 3 : 0;
    case TRUTH_TRUE:
        return kind == COND_ALL ? 0 : 3;
    case TRUTH_OPEN:
        return 2;
    case TRUTH_UNKNOWN:
        return 1;
    }
    return 0;
}

static struct answer ask(const struct walk *w, const struct cond *c);

static struct answer ask_children(const struct walk *w, const struct cond *c)
{
    struct answer all = ask(w, c->child);

    for (const struct cond *child = c->child->next; child != NULL; child = child->next) {
        struct answer a;

        if (strength(all.loose, c->kind) == 3 && strength(all.strict, c->kind) == 3) {
            break;
        }
        a = ask(w, child);
        if (strength(a.loose, c->kind) > strength(all.loose, c->kind)) {
            all.loose = a.loose;
            all.term = a.term;
            all.negated = a.negated;
        }
        if (strength(a.strict, c->kind) > strength(all.strict, c->kind)) {
            all.strict = a.strict;
        }
        all.outage = all.outage || a.outage;
        all.open = all.open != RULE_NO_FACT ? all.open : a.open;
    }
    return all;
}

/* Recursion depth is limited by that of the file's tree. */
static struct answer ask(const struct walk *w, const struct cond *c)
{
    struct answer a;

    switch (c->kind) {
    case COND_ALL:
    case COND_ANY:
        return ask_children(w, c);
    case COND_NOT:
        a = ask(w, c->child);
        a.loose = inverse(a.loose);
        a.strict = inverse(a.strict);
        a.negated = !a.negated;
        return a;
    case COND_TERM:
        return ask_term(w, c);
    }
    return both(c, TRUTH_UNKNOWN);
}

/* ---- rules ---- */

bool rule_is_monitored(const struct rule *rule, const struct addr *client, int64_t now_s)
{
    static const uint64_t key[2] = { RAMP_KEY_0, RAMP_KEY_1 };
    struct addr net;
    char mem[128];
    struct buf text;

    if (rule->monitor || rule->share == 0 || rule->watch_until_s > now_s) {
        return true;
    }
    if (rule->share >= 100) {
        return false;
    }
    net = client != NULL ? addr_client(client) : (struct addr){ .family = ADDR_NONE };
    buf_init_fixed(&text, mem, sizeof(mem));
    buf_put_str(&text, rule->name); /* at most 64 octets */
    buf_put_char(&text, '\n');
    buf_put(&text, net.ip, sizeof(net.ip));
    return siphash(key, text.ptr, text.len) % 100 >= rule->share;
}

static bool is_passing(enum action a)
{
    return a == ACTION_ACCEPT || a == ACTION_BYPASS || a == ACTION_DIVERT;
}

static const struct rule_reply *choose_reply(const struct walk *w, const struct rule *rule)
{
    const struct reply_choice *c = &rule->reply;
    const struct fact_value *v = c->by < FACT_COUNT ? &w->in->facts->v[c->by] : NULL;

    if (v != NULL && v->state == FACT_KNOWN && v->word < ARRAY_LEN(c->word) && c->word[v->word] != NULL) {
        return c->word[v->word];
    }
    return &c->any;
}

/* Turns 5xx into 451, with the matching enhanced code. */
static void soften(struct eval_result *out)
{
    out->reply.code = 451;
    out->reply.enhanced = out->reply.soft;
    if (out->action == VERDICT_REJECT) {
        out->action = VERDICT_DEFER;
    }
}

static void finish(struct walk *w, const struct rule *rule, enum action action, bool certain)
{
    static const enum verdict_action actions[] = {
        [ACTION_NONE] = VERDICT_ACCEPT,   [ACTION_ACCEPT] = VERDICT_ACCEPT,  [ACTION_BYPASS] = VERDICT_BYPASS,
        [ACTION_REJECT] = VERDICT_REJECT, [ACTION_DEFER] = VERDICT_DEFER,    [ACTION_DROP] = VERDICT_DROP,
        [ACTION_DIVERT] = VERDICT_DIVERT, [ACTION_GREYLIST] = VERDICT_DEFER,
    };
    struct eval_result *out = w->out;
    bool refuses = action == ACTION_REJECT || action == ACTION_DEFER || action == ACTION_DROP ||
                   action == ACTION_GREYLIST;

    out->status = w->early && !refuses ? EVAL_LATER : EVAL_DONE;
    out->rule = rule;
    out->action = actions[action];
    out->divert = rule != NULL ? rule->divert : NULL;
    out->score = w->score;
    if (refuses) {
        out->reply = rule != NULL ? *choose_reply(w, rule) : text_default(action);
        if (out->reply.code >= 500 && (!certain || w->doubt)) {
            soften(out);
        }
    }
}

/* Adds the action `score` to the number and to its range. */
static void add_score(struct walk *w, const struct rule *rule, const struct answer *a)
{
    bool may = a->strict != TRUTH_FALSE, must = a->strict == TRUTH_TRUE;

    if (a->loose == TRUTH_TRUE) {
        w->score += rule->score;
    }
    if (a->loose == TRUTH_TRUE || (may && a->outage)) {
        w->score_low += must || rule->score < 0 ? rule->score : 0;
        w->score_high += must || rule->score > 0 ? rule->score : 0;
    }
}

static void note_background(struct walk *w, const struct answer *a)
{
    if (w->out->background == RULE_NO_FACT) {
        w->out->background = a->open;
    }
}

/* Records a monitored rule. */
static void record(struct walk *w, const struct answer *a, struct rule_trace *t)
{
    if (a->loose == TRUTH_OPEN) {
        note_background(w, a);
    }
    t->outcome = a->loose == TRUTH_TRUE ? RULE_MONITORED : a->loose == TRUTH_FALSE ? RULE_NOT : RULE_UNKNOWN;
}

/* True: the walk ends here, because the rule is not decided yet. */
static bool wait_for(struct walk *w, const struct rule *rule, const struct answer *a)
{
    if (w->early && rule->final == ACTION_NONE) {
        w->score_open = w->score_open || rule->scores;
        return false; /* tags and delays are applied at the recipient */
    }
    w->out->status = a->open != RULE_NO_FACT ? EVAL_NEEDS : EVAL_LATER;
    w->out->needs = a->open;
    w->out->needs_final = rule->final != ACTION_NONE;
    return true;
}

/* The rule matched: it ends the block if the triplet is greylisted.  True: the walk ends here. */
static bool apply_greylist(struct walk *w, const struct rule *rule)
{
    if (w->early || w->in->grey == EVAL_GREY_PASSES) {
        return false; /* before RCPT there is no triplet */
    }
    if (w->in->grey == EVAL_GREY_WAITS) {
        finish(w, rule, ACTION_GREYLIST, true);
        return true;
    }
    w->out->status = EVAL_NEEDS;
    w->out->needs = RULE_NEEDS_TRIPLET;
    w->out->needs_final = true;
    return true;
}

/* True: the walk ends here. */
static bool apply(struct walk *w, const struct rule *rule, struct rule_trace *t)
{
    const struct fact_value *ip = &w->in->facts->v[FACT_ID_CLIENT_IP];
    bool monitored = rule_is_monitored(rule, ip->state == FACT_KNOWN ? ip->u.ip : NULL, w->in->now_s);
    struct answer a;

    w->final = rule->final != ACTION_NONE;
    a = rule->when != NULL ? ask(w, rule->when) : both(NULL, TRUTH_TRUE);
    *t = (struct rule_trace){ .term = a.term, .negated = a.negated, .score = w->score };
    if (monitored) {
        record(w, &a, t);
        return false;
    }
    if (a.loose == TRUTH_OPEN) {
        return wait_for(w, rule, &a);
    }
    t->outcome = a.loose == TRUTH_TRUE ? RULE_MATCHED : a.loose == TRUTH_FALSE ? RULE_NOT : RULE_UNKNOWN;
    if (rule->scores) {
        add_score(w, rule, &a);
    }
    if (a.loose != TRUTH_TRUE) {
        w->doubt = w->doubt || (is_passing(rule->final) && a.strict != TRUTH_FALSE && a.outage);
        return false;
    }
    if (rule->tarpit_ms > w->out->tarpit_ms) {
        w->out->tarpit_ms = rule->tarpit_ms;
    }
    if (rule->final == ACTION_GREYLIST) {
        return apply_greylist(w, rule);
    }
    if (rule->final != ACTION_NONE) {
        finish(w, rule, rule->final, a.strict == TRUTH_TRUE);
    }
    return rule->final != ACTION_NONE;
}

void rules_evaluate(const struct rules *r, enum rule_block block, const struct eval_input *in,
                    struct eval_result *out, struct rule_trace *trace)
{
    const struct block *b = &r->block[block];
    struct walk w = {
        .r = r,
        .in = in,
        .out = out,
        .today = (int32_t)(in->now_s / 86400),
        .early = block == BLOCK_ENVELOPE && in->stage < STAGE_RCPT,
        .score = in->score,
        .score_low = in->score,
        .score_high = in->score,
    };

    *out = (struct eval_result){ .needs = RULE_NO_FACT, .background = RULE_NO_FACT };
    for (size_t i = 0; i < b->count; i++) {
        trace[i] = (struct rule_trace){ .outcome = RULE_NOT_ASKED };
    }
    for (size_t i = 0; i < b->count; i++) {
        if (apply(&w, &b->rule[i], &trace[i])) {
            return;
        }
    }
    if (block == BLOCK_MESSAGE) {
        finish(&w, NULL, ACTION_ACCEPT, true); /* `default` applies only to recipients */
    } else if (w.early) {
        out->status = EVAL_LATER;
    } else {
        finish(&w, NULL, r->fallback, true);
    }
}

/* ---- phrases for people ---- */

void rules_put_fact_name(const struct rules *r, unsigned fact, struct buf *out)
{
    if (fact < FACT_COUNT) {
        buf_put_str(out, fact_table[fact].name);
    } else if (fact - FACT_COUNT < r->list_count) {
        buf_put_str(out, "reputation.");
        buf_put_slice(out, r->lists[fact - FACT_COUNT]);
    }
}

/* False if there is no value. */
static bool put_value(const struct rule_trace *t, const struct fact_value *v, struct buf *out)
{
    char mem[600];
    struct buf text;

    buf_init_fixed(&text, mem, sizeof(mem));
    if (t->term->fact == FACT_ID_SCORE) {
        struct fact_value score = { .state = FACT_KNOWN, .u.number = (uint64_t)t->score };

        fact_put(&text, FACT_ID_SCORE, &score);
    } else if (v == NULL || (v->state != FACT_KNOWN && v->state != FACT_SOFT)) {
        buf_put_str(out, v != NULL && v->state != FACT_UNKNOWN ? "not known yet" : "unknown");
        return false;
    } else if (t->term->fact < FACT_COUNT) {
        fact_put(&text, (enum fact_id)t->term->fact, v);
    } else {
        buf_put_str(&text, v->flag ? "true" : "false");
    }
    if (text.len == 0 && !text.failed) {
        buf_put_str(out, "empty");
    } else {
        buf_put_quoted(out, buf_slice(&text), 120);
    }
    return true;
}

void rule_trace_why(const struct rules *r, const struct rule_trace *t, const struct eval_input *in,
                    struct buf *out)
{
    const struct fact_value *v = NULL;
    enum fact_type type;

    if (t->outcome == RULE_NOT_ASKED || t->term == NULL) {
        buf_put_str(out, t->outcome == RULE_NOT_ASKED ? "not asked" : "always");
        return;
    }
    if (t->term->fact < FACT_COUNT) {
        v = &in->facts->v[t->term->fact];
    } else if (in->lists != NULL) {
        v = &in->lists[t->term->fact - FACT_COUNT];
    }
    type = t->term->fact < FACT_COUNT ? fact_table[t->term->fact].type : FACT_FLAG;
    rules_put_fact_name(r, t->term->fact, out);
    buf_put_str(out, " is ");
    (void)put_value(t, v, out);
    if (t->outcome == RULE_MATCHED || t->outcome == RULE_MONITORED) {
        return;
    }
    buf_putf(out, ": wanted %s" SLICE_FMT, t->negated ? "not " : "", SLICE_ARG(t->term->wanted));
    if (t->outcome == RULE_NOT && t->term->fact != FACT_ID_SCORE && is_void(t->term, type)) {
        buf_put_str(out, ", which has no entry for it");
    }
}
