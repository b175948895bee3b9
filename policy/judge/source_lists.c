/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_lists.c - results of the reputation lists as facts: reputation.* (source.h, lists/reputation.h).
 *
 * Exact       reputation.listed is known as soon as no pending answer can change it, and unknown if only a failed
 *             answer could decide it.  The same holds for reputation.score where a rule compares it: the evaluator
 *             gets its bounds (struct eval_bounds).
 * Doubt       an allow-list that failed vouches for nothing.  A listing that it might have outweighed is marked, so
 *             that an outage causes no permanent refusal.
 * So far      lists, subject and monitored hold the texts of the answers so far, even while PENDING, for a reply
 *             sent before the end.
 * Late        while late lists are not queried and could change a fact, the facts are SOFT: good enough for
 *             rules that only score, tag or tarpit.
 */
#include "policy/judge/source_lists.h"

#define NAMES_MAX 8192

/* Subjects that some list looks up and that are not known yet, as bits. */
static unsigned subjects_out(const struct judge *j)
{
    return (judge_state(j, FACT_ID_CLIENT_RDNS) == FACT_PENDING ? 1u << SUBJECT_RDNS : 0) |
           (judge_state(j, FACT_ID_DKIM_DOMAINS) == FACT_PENDING ? SUBJECTS_OF_DKIM : 0);
}

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
            (struct fact_value){ .state = rep->list[i].mode == LIST_MODE_OFF ? FACT_UNKNOWN : FACT_KNOWN };
    }
}

static void derive_list(struct judge *j, const struct lists_state *lists, size_t i)
{
    const struct reputation_list *list = &j->pw->policy->reputation.list[i];
    struct fact_value *v = &j->lists[i];
    int64_t weight;
    enum list_state state = reputation_list_state(j->run, i, &weight);
    bool off = reputation_mode(j->run, i) == LIST_MODE_OFF;
    enum list_ask ask = reputation_ask(j->run, i);
    bool later = (subjects_out(j) & list->subjects) != 0; /* its subject is not known yet */
    bool awaited = reputation_list_awaited(j->run, i) || (later && ask != LIST_ASK_BACKGROUND);

    *v = (struct fact_value){ .state = FACT_KNOWN, .flag = state == LIST_STATE_LISTED };
    if (off || state == LIST_STATE_FAILED) {
        v->state = FACT_UNKNOWN;
    } else if (state == LIST_STATE_PENDING || (later && state != LIST_STATE_LISTED)) {
        v->state = awaited ? FACT_PENDING : FACT_UNKNOWN;
    } else if (state == LIST_STATE_UNASKED && ask == LIST_ASK_LATE && !lists->late_asked) {
        v->state = FACT_SOFT;
    } else if (state == LIST_STATE_UNASKED && !lists->asked) {
        v->state = FACT_IDLE;
    }
}

/* ---- the sum ---- */

/* The state of a fact that depends on all lists. */
enum fact_state lists_outlook_state(const struct lists_state *lists, enum list_outlook outlook)
{
    if (!lists->asked) {
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

static void set_lists(struct judge *j, struct lists_state *lists, const struct reputation_sum *sum)
{
    enum fact_state state = lists_outlook_state(lists, sum->outlook);

    set_listed(j, sum, state);
    set_score(j, sum, state);
    fact_set_flag(&j->facts, FACT_ID_REPUTATION_INCOMPLETE, sum->incomplete);
    j->facts.v[FACT_ID_REPUTATION_INCOMPLETE].state = (uint8_t)state;
    buf_reset(&lists->text);
    reputation_put_lists(j->run, false, &lists->text);
    set_text(j, FACT_ID_REPUTATION_LISTS, buf_slice(&lists->text), state);
    set_text(j, FACT_ID_REPUTATION_SUBJECT, reputation_subject(j->run), state);
    buf_reset(&lists->monitored);
    reputation_put_lists(j->run, true, &lists->monitored);
    fact_set_text(&j->facts, FACT_ID_REPUTATION_MONITORED, buf_slice(&lists->monitored));
}

/* Looked up once a listing is certain: pending answers do not change which list is first. */
static void derive_reason(struct judge *j, const struct lists_state *lists)
{
    struct facts *f = &j->facts;
    const struct fact_value *listed = &f->v[FACT_ID_REPUTATION_LISTED];
    bool waiting = listed->state == FACT_IDLE || listed->state == FACT_PENDING;

    if (!lists->reason_asked) {
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

/* ---- the hooks ---- */

static struct lists_seen look(const struct judge *j, const struct lists_state *lists)
{
    return (struct lists_seen){
        .valid = true,
        .asked = lists->asked,
        .late_asked = lists->late_asked,
        .reason_asked = lists->reason_asked,
        .out = subjects_out(j),
        .overruled = j->overruled,
        .version = j->run != NULL ? reputation_version(j->run) : 0,
    };
}

/* Compares field by field, because of the padding. */
static bool seen_already(const struct lists_seen *a, const struct lists_seen *b)
{
    return a->valid && a->version == b->version && a->overruled == b->overruled && a->asked == b->asked &&
           a->late_asked == b->late_asked && a->reason_asked == b->reason_asked && a->out == b->out;
}

/* ---- subjects of the message ---- */

static void set_signers(struct judge *j)
{
    struct slice domains = source_text(j, FACT_ID_DKIM_DOMAINS);

    for (unsigned i = 0; i < LIST_SIGNERS; i++) {
        reputation_set_subject(j->run, (enum list_subject)(SUBJECT_DKIM + i), slice_cut(&domains, ','));
    }
}

/* Starts the source of a fact that a list looks up.  True: the fact is settled. */
static bool settled(struct judge *j, enum fact_id fact)
{
    enum fact_state state;

    source_need(j, fact);
    state = judge_state(j, fact);
    return state == FACT_KNOWN || state == FACT_UNKNOWN;
}

/* Takes the author's domain and the signing domains, once the message is there and one of its rules uses the lists. */
static void take_message(struct judge *j, struct lists_state *lists)
{
    if (j->run == NULL || !j->has_section || !lists->asked || !j->pw->message_lists) {
        return;
    }
    if (!lists->from_set && reputation_looks_up(j->run, SUBJECT_FROM) &&
        settled(j, FACT_ID_MESSAGE_FROM_DOMAIN)) {
        lists->from_set = true;
        reputation_set_subject(j->run, SUBJECT_FROM, source_text(j, FACT_ID_MESSAGE_FROM_DOMAIN));
    }
    if (!lists->dkim_set && reputation_looks_up(j->run, SUBJECT_DKIM) && settled(j, FACT_ID_DKIM_DOMAINS)) {
        lists->dkim_set = true;
        set_signers(j);
    }
}

static void drop_message(struct judge *j, struct lists_state *lists)
{
    for (unsigned s = SUBJECT_FROM; s < SUBJECT_COUNT && (lists->from_set || lists->dkim_set); s++) {
        reputation_drop_subject(j->run, (enum list_subject)s);
    }
    lists->from_set = lists->dkim_set = false;
}

/* Does nothing if nothing has changed since the last run. */
static void derive(struct judge *j, void *state)
{
    struct lists_state *lists = state;
    struct lists_seen now;
    struct reputation_open open = { .late = !lists->late_asked };
    struct reputation_sum sum = { .outlook = OUTLOOK_SETTLED };

    take_message(j, lists);
    now = look(j, lists);
    open.subjects = now.out;
    if (seen_already(&lists->seen, &now)) {
        return;
    }
    lists->seen = now; /* its own changes show at the next run */
    lists->turn++;
    if (j->run == NULL) {
        set_no_lists(j);
    } else {
        reputation_sum(j->run, open, &sum);
        set_lists(j, lists, &sum);
        for (size_t i = 0; i < j->pw->policy->reputation.count; i++) {
            derive_list(j, lists, i);
        }
        derive_reason(j, lists);
    }
    lists->zero_day = sum.zero_day;
    lists->zero_day_outlook = sum.zero_day_outlook;
}

/* Queries the lists; late ones only if a rule with a final action needs them. */
static void ask(struct judge *j, struct lists_state *lists)
{
    lists->asked = true;
    if (j->run == NULL) {
        return;
    }
    if (reputation_looks_up(j->run, SUBJECT_RDNS)) {
        source_need(j, FACT_ID_CLIENT_RDNS);
    }
    reputation_want(j->run, RUN_EARLY | RUN_BACKGROUND | (lists->late_asked ? RUN_LATE : 0));
}

static bool start(struct judge *j, void *state)
{
    ask(j, state);
    return false;
}

static bool start_reason(struct judge *j, void *state)
{
    struct lists_state *lists = source_state(j, SOURCE_LISTS);

    (void)state;
    ask(j, lists);
    lists->reason_asked = true;
    return false;
}

bool lists_want_late(struct judge *j)
{
    struct lists_state *lists = source_state(j, SOURCE_LISTS);

    if (lists->late_asked) {
        return false;
    }
    lists->late_asked = true;
    ask(j, lists);
    return true;
}

void lists_give_up(struct judge *j, void *state)
{
    struct lists_state *lists = source_state(j, SOURCE_LISTS);

    (void)state;
    if (judge_state(j, FACT_ID_CLIENT_RDNS) == FACT_PENDING) {
        source_give_up(j, SOURCE_RDNS);
    }
    if (judge_state(j, FACT_ID_DKIM_DOMAINS) == FACT_PENDING) {
        source_give_up(j, source_of(j->pw, FACT_ID_DKIM_DOMAINS));
    }
    lists->late_asked = true; /* a late list that was not queried in time has no answer either */
    ask(j, lists);
    if (j->run != NULL) {
        reputation_expire(j->run);
    }
}

static bool in_reply(const struct judge *j)
{
    const struct lists_state *lists = source_state(j, SOURCE_LISTS);

    return j->run != NULL && lists->asked;
}

static void on_change(void *arg)
{
    engine_changed(arg);
}

static struct reputation_setup setup_of(struct judge *j)
{
    struct dns_asker who = source_asker(j);

    who.failures_free = true;
    who.forgives = NULL; /* there is nothing to forgive */
    return (struct reputation_setup){
        .rep = &j->pw->policy->reputation,
        .loop = j->pw->loop,
        .who = who,
        .wanted = j->pw->lists_wanted,
        .guard = j->pw->guard,
        .slab = &j->pw->run_slab,
    };
}

/* Takes the client's run, new or unpacked. */
static void take_run(struct judge *j, struct lists_state *lists, struct reputation_run *run)
{
    j->run = run;
    buf_init(&lists->text, NAMES_MAX);
    buf_init(&lists->monitored, NAMES_MAX);
}

static void begin_run(struct judge *j, struct lists_state *lists)
{
    struct policy_worker *pw = j->pw;
    struct reputation_setup setup = setup_of(j);

    if ((pw->any_list || (pw->guard != NULL && guard_run_awake(pw->guard))) && !j->exempt) {
        take_run(j, lists, reputation_run_new(&setup, on_change, j));
        reputation_set_client(j->run, &j->ip);
        reputation_want(j->run, RUN_BACKGROUND);
    }
}

/* Sets the subjects of queries; an empty name means no query. */
static void on_fact(struct judge *j, void *state, enum fact_id fact)
{
    if (fact == FACT_ID_CLIENT_IP) {
        begin_run(j, state);
    } else if (j->run == NULL) {
        return;
    } else if (fact == FACT_ID_CLIENT_RDNS) {
        reputation_set_subject(j->run, SUBJECT_RDNS, source_text(j, fact));
    } else if (fact == FACT_ID_HELO_NAME) {
        reputation_set_subject(j->run, SUBJECT_HELO, source_text(j, fact));
    } else if (fact == FACT_ID_SENDER_DOMAIN) {
        reputation_set_subject(j->run, SUBJECT_SENDER, source_text(j, fact));
    }
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct lists_state *lists = state;

    if (j->run != NULL && scope == SCOPE_SESSION) {
        reputation_run_free(&j->run);
        buf_fini(&lists->text);
        buf_fini(&lists->monitored);
    }
    if (j->run != NULL) {
        if (scope == SCOPE_HELO) {
            reputation_drop_subject(j->run, SUBJECT_HELO);
        }
        reputation_drop_subject(j->run, SUBJECT_SENDER);
        drop_message(j, lists);
        reputation_unwant(j->run, RUN_LATE);
    }
    lists->late_asked = lists->reason_asked = false;
}

static bool busy(const struct judge *j, const void *state)
{
    (void)state;
    return j->run != NULL && reputation_busy(j->run);
}

static void pack(const struct judge *j, const void *state, struct buf *out)
{
    const struct lists_state *lists = state;

    buf_put_char(out, (char)(lists->asked | lists->late_asked << 1 | lists->reason_asked << 2 |
                             (j->run != NULL) << 3));
    if (j->run != NULL) {
        run_pack(j->run, out);
    }
}

/* Restores the original run: a new one might have other lists by now. */
static void unpack(struct judge *j, void *state, struct slice *in)
{
    struct reputation_setup setup = setup_of(j);
    struct lists_state *lists = state;
    uint8_t bits;

    source_take(in, &bits, sizeof(bits));
    lists->asked = (bits & 1) != 0;
    lists->late_asked = (bits & 2) != 0;
    lists->reason_asked = (bits & 4) != 0;
    if ((bits & 8) != 0) {
        take_run(j, lists, run_unpack(&setup, on_change, j, &j->ip, in));
    }
}

/* Explain: the answer that took longest. */
static bool origin_of(const struct judge *j, struct buf *from, uint64_t *us)
{
    char mem[100], slowest_mem[100];
    struct buf one, slowest;
    uint64_t here;
    bool any = false;

    buf_init_fixed(&slowest, slowest_mem, sizeof(slowest_mem));
    *us = 0;
    for (size_t i = 0; j->run != NULL && i < j->pw->policy->reputation.count; i++) {
        buf_init_fixed(&one, mem, sizeof(mem));
        if (reputation_list_source(j->run, i, &one, &here) && (!any || here > *us)) {
            any = true;
            *us = here;
            buf_reset(&slowest);
            buf_put_slice(&slowest, buf_slice(&one));
        }
    }
    buf_put_slice(from, buf_slice(&slowest));
    return any;
}

/* Notes which lists can matter to a rule. */
static void prepare(struct policy_worker *pw)
{
    const struct reputation *rep = &pw->policy->reputation;
    bool sum = pw->used[FACT_ID_REPUTATION_LISTED] || pw->used[FACT_ID_REPUTATION_SCORE] ||
               pw->used[FACT_ID_REPUTATION_LISTS] || pw->used[FACT_ID_REPUTATION_INCOMPLETE] ||
               pw->used[FACT_ID_REPUTATION_REASON] || pw->used[FACT_ID_REPUTATION_SUBJECT];
    bool zero_day = pw->used[FACT_ID_ZERO_DAY_LISTED] || pw->used[FACT_ID_ZERO_DAY_SUSPECT] ||
                    pw->used[FACT_ID_ZERO_DAY_REASONS];

    pw->message_lists = rules_ask_lists(&pw->policy->rules.block[BLOCK_MESSAGE]);
    for (size_t i = 0; i < rep->count; i++) {
        const struct reputation_list *list = &rep->list[i];
        bool enforce = list->mode == LIST_MODE_ENFORCE;

        /* includes lists that are off: the operator may override that */
        pw->zero_day_lists = pw->zero_day_lists || (list->mode != LIST_MODE_MONITOR && list->zero_day);
        pw->lists_wanted[i] = !enforce || sum || pw->used[FACT_COUNT + i] || (zero_day && list->zero_day);
        pw->any_list = pw->any_list || (list->mode != LIST_MODE_OFF && pw->lists_wanted[i]);
    }
}

static const uint8_t facts[] = { FACT_ID_REPUTATION_LISTED,
                                 FACT_ID_REPUTATION_SCORE,
                                 FACT_ID_REPUTATION_LISTS,
                                 FACT_ID_REPUTATION_MONITORED,
                                 FACT_ID_REPUTATION_INCOMPLETE,
                                 FACT_ID_REPUTATION_SUBJECT,
                                 FACT_ANY_LIST,
                                 FACT_END };
static const uint8_t reason_facts[] = { FACT_ID_REPUTATION_REASON, FACT_END };

const struct source source_lists = {
    .facts = facts,
    .state_size = sizeof(struct lists_state),
    .scope = SCOPE_TXN,
    .derived = true,
    .prepare = prepare,
    .start = start,
    .ask_final = lists_want_late,
    .derive = derive,
    .give_up = lists_give_up,
    .on_fact = on_fact,
    .drop = drop,
    .busy = busy,
    .pack = pack,
    .unpack = unpack,
    .origin_of = origin_of,
};

const struct source source_reason = {
    .facts = reason_facts,
    .scope = SCOPE_TXN,
    .derived = true,
    .credit = SOURCE_LISTS,
    .start = start_reason,
    .ask_final = lists_want_late,
    .give_up = lists_give_up,
    .in_reply = in_reply,
};
