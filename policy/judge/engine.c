/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c - looks up the facts that rules need, as early as possible, and evaluates the rules until they
 * decide.
 *
 *     engine_start -> evaluate --> done ---------------------------> reason of a list? -> verdict -> callback
 *                        ^   `--> needs a fact: look up, wait --.          ^
 *                        +---- engine_changed (a check) <-------+---- budget: missing facts become unknown
 *
 * Waiting     only for facts that rules_evaluate() names.  It looks up a fact for a monitored rule without waiting for
 *             it.  A rule without a final action waits for lists PATIENCE_MS longer than the rules with one, once a
 *             transaction.
 * Callbacks   always from the loop (run_later).  Touches nothing after delivering the verdict, because the callback may
 *             free the judge.
 */
#include "policy/judge/engine_priv.h"

#include "core/metrics.h"
#include "policy/rules/match.h"
#include "policy/rules/text.h"

#define JUDGES_KEPT 200
#define STEPS_MAX 1000 /* evaluations in one turn; each one settles a fact */
#define PATIENCE_MS 500

/* ---- facts that rules can need ---- */

/* Can the term ever match?  Otherwise its fact is not looked up (empty groups of the preset). */
static bool can_match(const struct cond *c)
{
    enum fact_type type = c->fact < FACT_COUNT ? fact_table[c->fact].type : FACT_FLAG;

    for (size_t i = 0; i < c->group_count; i++) {
        if (!group_is_empty(c->groups[i], type)) {
            return true;
        }
    }
    return !set_is_empty(c->set, type);
}

/* False: an `all` has a term that never matches, so its other facts are not looked up. */
static bool can_hold(const struct cond *c)
{
    for (const struct cond *child = c->kind == COND_ALL ? c->child : NULL; child != NULL;
         child = child->next) {
        if (child->kind == COND_TERM && !can_match(child)) {
            return false;
        }
    }
    return true;
}

/* Recursion depth is limited by that of the file's tree. */
static void note_uses(struct policy_worker *pw, const struct cond *c)
{
    if (!can_hold(c)) {
        return;
    }
    if (c->kind == COND_TERM && can_match(c)) {
        pw->used[c->fact] = true;
    }
    for (const struct cond *child = c->child; child != NULL; child = child->next) {
        note_uses(pw, child);
    }
}

static void open_memory(struct policy_worker *pw, const struct policy_apart *apart)
{
    const struct policy *p = pw->policy;
    struct guard_run_setup setup = {
        .loop = pw->loop, .resolver = pw->resolver, .rep = &p->reputation, .settings = &p->remembered.guard
    };

    if (apart != NULL) {
        pw->memory = apart->memory;
        pw->origin = apart->origin;
        pw->connections = apart->connections;
    }
    if (pw->state == NULL) {
        return;
    }
    pw->memory = memory_new(pw->state, pw->loop, &p->remembered.redis);
    setup.memory = pw->memory;
    if (p->reputation.count > 0) {
        pw->guard = guard_run_new(&setup);
    }
}

static struct policy_worker *new_worker(const struct policy *p, struct loop *loop, struct resolver *r,
                                        struct state *st, const struct policy_apart *apart)
{
    struct policy_worker *pw = xcalloc(1, sizeof(*pw));

    pw->policy = p;
    pw->loop = loop;
    pw->resolver = r;
    pw->state = st;
    pw->rule_count = st != NULL ? rules_count_places(p, st) : NULL;
    pw->lists_wanted = xcalloc(p->reputation.count + 1, sizeof(bool));
    pw->used = xcalloc(FACT_COUNT + p->reputation.count + 1, sizeof(bool));
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        for (size_t i = 0; i < p->rules.block[b].count; i++) {
            if (p->rules.block[b].rule[i].when != NULL) {
                note_uses(pw, p->rules.block[b].rule[i].when);
            }
        }
    }
    open_memory(pw, apart);
    sources_prepare(pw);
    slab_init(&pw->judge_slab, "judge",
              sizeof(struct judge) + p->reputation.count * sizeof(struct fact_value) + pw->states_size,
              JUDGES_KEPT);
    slab_init(&pw->run_slab, "run", reputation_run_size(&p->reputation), JUDGES_KEPT);
    return pw;
}

struct policy_worker *policy_worker_new(const struct policy *p, struct loop *loop, struct resolver *r,
                                        struct state *st)
{
    return new_worker(p, loop, r, st, NULL);
}

struct policy_worker *policy_worker_new_apart(const struct policy *p, struct loop *loop, struct resolver *r,
                                              const struct policy_apart *apart)
{
    return new_worker(p, loop, r, NULL, apart);
}

void policy_worker_free(struct policy_worker **worker)
{
    struct policy_worker *pw = *worker;

    if (pw != NULL) {
        *worker = NULL;
        guard_run_free(&pw->guard);
        memory_free(&pw->memory);
        slab_fini(&pw->judge_slab);
        slab_fini(&pw->run_slab);
        free(pw->lists_wanted);
        free(pw->used);
        free(pw->rule_count);
        free(pw);
    }
}

/* ---- lookups ---- */

static struct fact_value *value_of(struct judge *j, unsigned fact)
{
    return fact < FACT_COUNT            ? &j->facts.v[fact]
           : fact == RULE_NEEDS_TRIPLET ? &j->triplet
                                        : &j->lists[fact - FACT_COUNT];
}

static void make_unknown(struct judge *j, unsigned fact)
{
    j->overruled++; /* a source that derives the fact sets it again at its next run */
    if (fact < FACT_COUNT) {
        fact_set_unknown(&j->facts, (enum fact_id)fact);
    } else {
        *value_of(j, fact) = (struct fact_value){ .state = FACT_UNKNOWN };
    }
}

void engine_ask(struct judge *j, unsigned fact, bool final)
{
    enum source_id id = source_of(j->pw, fact);
    const struct source *s = source_table[id];
    const struct fact_value *v = value_of(j, fact);

    if (id != SOURCE_NONE && s->ask_final != NULL && final && v->state != FACT_KNOWN &&
        v->state != FACT_UNKNOWN && s->ask_final(j)) {
        sources_derive(j);
    }
    if (v->state == FACT_IDLE && id != SOURCE_NONE) {
        source_start(j, id);
        sources_derive(j);
    }
    if (v->state == FACT_IDLE) { /* no source sets it */
        make_unknown(j, fact);
    }
}

/* Derives after each start, so that the needs of a source keep their place in the order of lookups. */
void engine_ask_early(struct judge *j, enum fact_stage stage)
{
    bool started[SOURCE_COUNT] = { [SOURCE_NONE] = true };

    for (unsigned i = 0; i < FACT_COUNT; i++) {
        enum source_id id = source_of(j->pw, i);

        if (j->pw->used[i] && !started[id] && fact_table[i].stage == stage &&
            j->facts.v[i].state == FACT_IDLE && source_table[id]->in_reply == NULL) {
            started[id] = true;
            source_start(j, id);
            sources_derive(j);
        }
    }
    sources_start_ahead(j, stage);
    for (size_t i = 0; stage == STAGE_CONNECT && i < j->pw->policy->reputation.count; i++) {
        enum source_id id = source_of(j->pw, FACT_COUNT + (unsigned)i);

        if (j->pw->used[FACT_COUNT + i] && j->lists[i].state == FACT_IDLE && !started[id]) {
            started[id] = true;
            source_start(j, id);
            sources_derive(j);
        }
    }
    sources_derive(j);
}

/* ---- the evaluation ---- */

static enum eval_grey triplet_of(const struct judge *j)
{
    return j->triplet.state != FACT_KNOWN && j->triplet.state != FACT_UNKNOWN ? EVAL_GREY_UNASKED
           : j->triplet.flag                                                  ? EVAL_GREY_WAITS
                                                                              : EVAL_GREY_PASSES;
}

struct text_facts engine_texts(const struct judge *j)
{
    return (struct text_facts){ .rules = &j->pw->policy->rules,
                                .facts = &j->facts,
                                .lists = j->lists,
                                .greylist_wait_s =
                                    triplet_of(j) == EVAL_GREY_WAITS ? (uint32_t)j->triplet.u.number : 0 };
}

struct eval_input engine_input(const struct judge *j, enum fact_stage stage)
{
    return (struct eval_input){
        .facts = &j->facts,
        .lists = j->lists,
        .stage = stage,
        .now_s = wall_now_s(),
        .grey = triplet_of(j),
        .score = stage == STAGE_MESSAGE ? j->txn.score : 0,
        .reputation = j->score_bounds,
        .hurry = j->txn.hurry,
    };
}

static bool refuses(enum verdict_action a)
{
    return a == VERDICT_REJECT || a == VERDICT_DEFER || a == VERDICT_DROP;
}

/* The delay: once a block, and no longer than the rest of the transaction's allowance. */
static uint64_t take_tarpit(struct judge *j)
{
    struct judge_txn *t = &j->txn;
    uint64_t ms =
        t->tarpit_done[j->question.block] || j->question.stage < STAGE_RCPT ? 0 : j->result.tarpit_ms;

    if (j->pw->policy->conf->mode == MODE_MONITOR || ms == 0) {
        return 0;
    }
    ms = min_u64(ms, t->tarpit_left_ms);
    t->tarpit_left_ms -= ms;
    t->tarpit_done[j->question.block] = true;
    return ms;
}

static void count_verdict(enum verdict_action action)
{
    static const enum metric metrics[] = {
        [VERDICT_ACCEPT] = M_JUDGED_ACCEPT, [VERDICT_BYPASS] = M_JUDGED_BYPASS,
        [VERDICT_REJECT] = M_JUDGED_REJECT, [VERDICT_DEFER] = M_JUDGED_DEFER,
        [VERDICT_DROP] = M_JUDGED_DROP,     [VERDICT_DIVERT] = M_JUDGED_DIVERT,
    };

    count(metrics[action]);
}

/* Does the deciding rule have a condition, and did facts from the session alone decide it? */
static bool needed_no_answer(const struct judge *j)
{
    const struct rule *rule = j->result.rule;
    const struct cond *term =
        rule == NULL ? NULL
                     : j->trace[BLOCK_ENVELOPE][rule - j->pw->policy->rules.block[BLOCK_ENVELOPE].rule].term;

    return term != NULL && source_of(j->pw, term->fact) == SOURCE_NONE;
}

/*
 * A client could exhaust its network's queries (dns.per_client) on purpose, so that no lookup can refuse its mail.
 * Such mail is deferred, not accepted.
 */
static bool holds_paced(const struct judge *j)
{
    return j->paced && j->result.status == EVAL_DONE && j->result.action == VERDICT_ACCEPT &&
           j->question.block == BLOCK_ENVELOPE && !needed_no_answer(j);
}

static void hold_paced(struct judge *j)
{
    j->result.action = VERDICT_DEFER;
    j->result.rule = NULL;
    j->result.reply = (struct rule_reply){
        .code = 451,
        .enhanced = SLICE("4.7.1"),
        .text =
            SLICE("Mail from your network has made this server ask too many DNS questions that lead nowhere, "
                  "please try again in some minutes"),
    };
}

static void deliver(struct judge *j)
{
    struct eval_result *r = &j->result;
    struct text_facts texts = engine_texts(j);
    judge_cb cb = j->question.cb;
    void *arg = j->question.arg;
    bool held;

    j->facts.v[FACT_ID_SCORE] = (struct fact_value){ .state = FACT_KNOWN, .u.number = (uint64_t)r->score };
    if (r->status != EVAL_DONE) { /* only with reject_at: earliest: no decision yet */
        r->action = VERDICT_ACCEPT;
    }
    held = holds_paced(j);
    if (held) {
        hold_paced(j);
    }
    j->verdict = (struct verdict){
        .action = r->action,
        .rule = held              ? "dns-pace"
                : r->rule != NULL ? r->rule->name
                                  : "default",
        .divert = r->divert,
        .tarpit_ms = take_tarpit(j),
        .monitored = j->pw->policy->conf->mode == MODE_MONITOR,
    };
    buf_reset(&j->text);
    if (refuses(r->action)) {
        texts.code = r->reply.code;
        text_reply(&texts, r->reply.text, &j->text);
        j->verdict.code = r->reply.code;
        j->verdict.enhanced = r->reply.enhanced;
        j->verdict.text = buf_slice(&j->text);
    }
    if (r->status == EVAL_DONE) {
        count_verdict(r->action);
        rules_count(j);
    }
    engine_cancel(j);
    cb(arg, &j->verdict);
}

/* Does the text of a reply contain "{NAME}" of this fact? */
static bool names_fact(struct slice text, enum fact_id fact)
{
    char mem[64];
    struct buf name;

    buf_init_fixed(&name, mem, sizeof(mem));
    buf_put_char(&name, '{');
    buf_put_str(&name, fact_table[fact].name);
    buf_put_char(&name, '}');
    return buf_ok(&name) && memmem(text.ptr, text.len, mem, name.len) != NULL;
}

/* Looks up a fact that is only for replies, and waits for it, if the refusal names it. */
static bool awaits_fact(struct judge *j, enum source_id id)
{
    const struct source *s = source_table[id];
    enum fact_id fact = (enum fact_id)s->facts[0];

    if (!s->in_reply(j) || !names_fact(j->result.reply.text, fact)) {
        return false;
    }
    if (judge_state(j, fact) == FACT_IDLE) {
        source_start(j, id);
        sources_derive(j);
    }
    return judge_state(j, fact) == FACT_PENDING;
}

static bool awaits_reply(struct judge *j)
{
    bool refused = j->result.status == EVAL_DONE && refuses(j->result.action) && !j->question.expired &&
                   j->result.reply.text.len > 0;

    for (size_t id = SOURCE_NONE + 1; id < SOURCE_COUNT && refused; id++) {
        if (source_table[id]->in_reply != NULL && awaits_fact(j, (enum source_id)id)) {
            return true;
        }
    }
    return false;
}

/* Have the rules decided to deliver the message? */
static bool takes_message(const struct judge *j)
{
    return j->question.block == BLOCK_MESSAGE && j->result.status == EVAL_DONE &&
           (!refuses(j->result.action) || j->pw->policy->conf->mode == MODE_MONITOR);
}

/* Waits until the results written into an accepted message are known, or the budget is used up. */
static bool awaits_results(struct judge *j)
{
    bool awaits = false;

    for (size_t id = SOURCE_NONE + 1; id < SOURCE_COUNT && takes_message(j); id++) {
        const struct source *s = source_table[id];

        if (!s->awaited || judge_state(j, (enum fact_id)s->facts[0]) != FACT_PENDING) {
            continue;
        }
        if (j->question.expired) {
            source_give_up(j, (enum source_id)id);
            sources_derive(j);
        } else {
            awaits = true;
        }
    }
    return awaits;
}

/* True if the fact is settled, so that another evaluation makes sense. */
static bool have(struct judge *j, unsigned fact, bool final)
{
    const struct fact_value *v = value_of(j, fact);

    engine_ask(j, fact, final);
    if (v->state == FACT_PENDING && j->question.expired) {
        source_give_up(j, source_of(j->pw, fact));
        sources_derive(j);
    }
    if (v->state == FACT_PENDING && !j->question.expired) {
        return false;
    }
    if (v->state == FACT_IDLE || v->state == FACT_PENDING || (v->state == FACT_SOFT && final)) {
        make_unknown(j, fact); /* no source sets it */
    }
    return true;
}

/* Evaluates and looks up facts in turn.  True: the rules have decided; false: a lookup is pending. */
static bool walk(struct judge *j, bool hurry)
{
    struct question *q = &j->question;

    for (unsigned steps = 0;; steps++) {
        struct eval_input in = engine_input(j, q->stage);

        BUG_ON(steps > STEPS_MAX);
        in.hurry = in.hurry || hurry;
        rules_evaluate(&j->pw->policy->rules, q->block, &in, &j->result, j->trace[q->block]);
        if (j->result.background != RULE_NO_FACT) {
            engine_ask(j, j->result.background, false);
        }
        if (j->result.status != EVAL_NEEDS) {
            return true;
        }
        if (!have(j, j->result.needs, j->result.needs_final)) {
            return false;
        }
    }
}

/* If only a rule without a final action waits, and for a list, limits that wait. */
static void limit_patience(struct judge *j)
{
    bool lists = j->result.needs != RULE_NEEDS_TRIPLET && rules_fact_is_of_lists(j->result.needs);

    if (j->result.needs_final || !lists || j->txn.hurry || timer_active(&j->question.patience)) {
        return;
    }
    if (walk(j, true)) { /* the other rules have their facts; walk() looked up any missing one */
        timer_start(&j->question.patience, PATIENCE_MS);
    }
}

static void on_run(void *arg)
{
    struct judge *j = arg;

    if (j->question.cb == NULL) {
        return;
    }
    sources_derive(j);
    if (!walk(j, false)) {
        limit_patience(j);
    } else if (!awaits_reply(j) && !awaits_results(j)) {
        deliver(j);
    }
}

static void on_patience(void *arg)
{
    struct judge *j = arg;

    j->txn.hurry = true;
    loop_defer(j->pw->loop, &j->run_later);
}

static void on_budget(void *arg)
{
    struct judge *j = arg;

    j->question.expired = true;
    count(M_BUDGET_TIMEOUTS);
    loop_defer(j->pw->loop, &j->run_later);
}

void engine_changed(struct judge *j)
{
    if (j->question.cb != NULL) {
        loop_defer(j->pw->loop, &j->run_later);
    } else {
        sources_derive(j); /* derived facts may need lookups */
    }
}

void engine_init(struct judge *j)
{
    deferred_init(&j->run_later, on_run, j);
    judge_bypass_init(j);
    timer_init(&j->question.budget, j->pw->loop, on_budget, j);
    timer_init(&j->question.patience, j->pw->loop, on_patience, j);
}

void engine_start(struct judge *j, enum rule_block block, enum fact_stage stage)
{
    const struct rules *r = &j->pw->policy->rules;

    j->question.block = block;
    j->question.stage = stage;
    j->question.expired = false;
    if (j->trace[block] == NULL) {
        j->trace[block] = xcalloc(r->block[block].count + 1, sizeof(struct rule_trace));
    }
    timer_start(&j->question.budget, block == BLOCK_MESSAGE ? r->budget_message_ms : r->budget_mail_ms);
    loop_defer(j->pw->loop, &j->run_later);
}

void engine_cancel(struct judge *j)
{
    j->question.cb = NULL;
    timer_stop(&j->question.budget);
    timer_stop(&j->question.patience);
    deferred_cancel(&j->run_later);
    deferred_cancel(&j->bypassed);
}
