/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_zero_day.c - zero-day suspicion as facts: zero_day.* (source.h, standing/standing.h).
 *
 *     fresh      the memory: first times, bursts.  Looked up after standing, which ties a client to its names
 *     zero_day   combines fresh and the lists
 *
 * Exempt clients are not looked up.  A failed lookup makes the facts unknown.
 */
#include "policy/judge/source_lists.h"

#define DOMAIN_QUESTION 3 /* beside the three of zero_day_burst_questions() */

struct fresh_state {
    struct memory_op *op;
    unsigned which[4]; /* subjects of the lookups of op */
};

struct zero_day_state { /* the last values that derive_zero_day() used */
    uint32_t turn, fresh;
};

/* ---- fresh ---- */

static void on_fresh(void *arg, const struct memory_answer *a)
{
    struct judge *j = arg;
    struct fresh_state *st = source_state(j, SOURCE_FRESH);
    struct zero_day_seen seen = { .client = source_client_seen(j),
                                  .history_s = memory_history_since(j->pw->memory) };
    struct zero_day found;

    st->op = NULL;
    for (size_t i = 0; i < a->count; i++) {
        if (st->which[i] == DOMAIN_QUESTION) {
            seen.domain = &a->record[i];
        } else {
            seen.burst[st->which[i]] = &a->record[i];
        }
    }
    found = zero_day_decide(&j->pw->policy->remembered.zero_day, &seen, wall_now_s());
    fact_set_flag(&j->facts, FACT_ID_ZERO_DAY_FRESH_DOMAIN, found.fresh_domain);
    fact_set_flag(&j->facts, FACT_ID_ZERO_DAY_FRESH_CLIENT, found.fresh_client);
    fact_set_flag(&j->facts, FACT_ID_ZERO_DAY_BURST, found.burst);
    engine_changed(j);
}

static bool start_fresh(struct judge *j, void *state)
{
    (void)state;
    if (!source_remembers(j)) {
        source_set_unknown(j, &source_fresh);
    }
    return source_remembers(j);
}

static void derive_fresh(struct judge *j, void *state)
{
    struct fresh_state *st = state;
    const struct config_zero_day *s = &j->pw->policy->remembered.zero_day;
    enum fact_state now = judge_state(j, FACT_ID_ZERO_DAY_FRESH_DOMAIN);
    struct slice domain = source_text(j, FACT_ID_SENDER_DOMAIN);
    struct memory_question q[4];
    struct burst_ask ask;
    size_t n;

    if (now == FACT_IDLE && !source_remembers(j)) {
        source_set_unknown(j, &source_fresh);
    }
    if (now != FACT_PENDING || st->op != NULL) {
        return;
    }
    ask = (struct burst_ask){
        .spf_pass = source_is_word(j, FACT_ID_SPF, "pass"),
        .helo_spf_pass = source_is_word(j, FACT_ID_SPF_HELO, "pass"),
        .known_good = judge_known_good(j),
        .domain = domain,
        .helo = source_text(j, FACT_ID_HELO_NAME),
        .sender = source_text(j, FACT_ID_SENDER_ADDRESS),
        .rdns = source_text(j, FACT_ID_CLIENT_RDNS),
    };
    n = zero_day_burst_questions(s, &ask, &j->ip, q, st->which);
    if (!slice_empty(domain)) {
        q[n] = (struct memory_question){ .what = MEMORY_SEEN,
                                         .key = memory_key(MEMORY_SENDER, domain),
                                         .keep_s = STANDING_SEEN_KEEP_S };
        st->which[n++] = DOMAIN_QUESTION;
    }
    st->op = memory_ask(j->pw->memory, q, n, wall_now_s(), on_fresh, j);
}

static void drop_fresh(struct judge *j, void *state, enum fact_scope scope)
{
    struct fresh_state *st = state;

    (void)j;
    (void)scope;
    memory_cancel(&st->op);
}

static void give_up_fresh(struct judge *j, void *state)
{
    drop_fresh(j, state, SCOPE_TXN);
    source_set_unknown(j, &source_fresh);
}

static bool busy_fresh(const struct judge *j, const void *state)
{
    const struct fresh_state *st = state;

    (void)j;
    return st->op != NULL;
}

/* ---- zero_day ---- */

static const struct {
    enum fact_id id;
    const char *reason;
} zero_day_facts[] = {
    { FACT_ID_ZERO_DAY_FRESH_DOMAIN, "fresh_domain" },
    { FACT_ID_ZERO_DAY_FRESH_CLIENT, "fresh_client" },
    { FACT_ID_ZERO_DAY_BURST, "burst" },
    { FACT_ID_ZERO_DAY_LISTED, "listed" },
};

/* Any of the four makes a suspect; a client is no suspect only if all four are known. */
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

static void set_listed(struct judge *j, const struct lists_state *lists)
{
    struct fact_value *v = &j->facts.v[FACT_ID_ZERO_DAY_LISTED];

    *v = (struct fact_value){ .state = FACT_KNOWN, .flag = lists->zero_day };
    if (j->pw->zero_day_lists && j->run != NULL && !lists->zero_day) {
        v->state = lists->zero_day_outlook == OUTLOOK_FAILED
                       ? FACT_UNKNOWN
                       : (uint8_t)lists_outlook_state(lists, lists->zero_day_outlook);
    }
}

/* State and value of the facts of `fresh`, as a non-zero number. */
static uint32_t look_at_fresh(const struct judge *j)
{
    uint32_t look = 1;

    for (const uint8_t *f = source_fresh.facts; *f != FACT_END; f++) {
        look = look << 4 | (uint32_t)j->facts.v[*f].state << 1 | (j->facts.v[*f].flag ? 1u : 0u);
    }
    return look;
}

/* Does nothing if nothing has changed since the last run. */
static void derive_zero_day(struct judge *j, void *state)
{
    const struct lists_state *lists = source_state(j, SOURCE_LISTS);
    struct zero_day_state now = { .turn = lists->turn, .fresh = look_at_fresh(j) }, *st = state;

    if (st->turn != now.turn || st->fresh != now.fresh) {
        *st = now;
        set_listed(j, lists);
        derive_suspect(j);
    }
}

static bool start_zero_day(struct judge *j, void *state)
{
    (void)j;
    (void)state;
    return true;
}

static void give_up_zero_day(struct judge *j, void *state)
{
    if (judge_state(j, FACT_ID_ZERO_DAY_FRESH_DOMAIN) == FACT_PENDING) {
        source_give_up(j, SOURCE_FRESH);
    }
    lists_give_up(j, state);
}

static const uint8_t fresh_facts[] = { FACT_ID_ZERO_DAY_FRESH_DOMAIN, FACT_ID_ZERO_DAY_FRESH_CLIENT,
                                       FACT_ID_ZERO_DAY_BURST, FACT_END };
static const uint8_t fresh_needs[] = { SOURCE_CLIENT, SOURCE_STANDING, SOURCE_NONE };
static const uint8_t facts[] = { FACT_ID_ZERO_DAY_SUSPECT, FACT_ID_ZERO_DAY_LISTED, FACT_ID_ZERO_DAY_REASONS,
                                 FACT_END };
static const uint8_t needs[] = { SOURCE_LISTS, SOURCE_FRESH, SOURCE_NONE };

const struct source source_fresh = {
    .facts = fresh_facts,
    .needs = fresh_needs,
    .state_size = sizeof(struct fresh_state),
    .scope = SCOPE_TXN,
    .remembered = true,
    .derives_unasked = true, /* without a memory its facts are unknown, not IDLE */
    .start = start_fresh,
    .derive = derive_fresh,
    .give_up = give_up_fresh,
    .drop = drop_fresh,
    .busy = busy_fresh,
};

const struct source source_zero_day = {
    .facts = facts,
    .needs = needs,
    .state_size = sizeof(struct zero_day_state),
    .scope = SCOPE_TXN,
    .derived = true,
    .credit = SOURCE_LISTS,
    .start = start_zero_day,
    .ask_final = lists_want_late,
    .derive = derive_zero_day,
    .give_up = give_up_zero_day,
};
