/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_dkim.c - DKIM of the message: the facts dkim and dkim.domains (source.h, checks/dkim_check.h).
 *
 *     judge_head --> source_dkim_head     the header section is complete: start() parses it and looks up the keys
 *     judge_body --> source_dkim_body     hashes the body while lookups are pending
 *     judge_message --> source_dkim_end   sets the facts after the last answer
 *
 * Verified    with dkim.verify every message that is not bypassed, even if no rule needs it, for Authentication-Results
 *             (source.awaited).  Exempt clients are not verified: their dkim is none, like their spf.
 * Results     stay with the check until the transaction ends, for the header field and for DMARC.
 */
#include "core/metrics.h"
#include "policy/judge/engine_priv.h"

#define DOMAINS_MAX 2600 /* ten names */

struct dkim_state {
    struct dkim_check *check; /* NULL: no signature, not verified, or not begun */
    bool verified;            /* the message was checked, even if it has no signature */
};

static void count_dkim(enum dkim_result result)
{
    static const enum metric metrics[DKIM_RESULT_COUNT] = {
        [DKIM_NONE] = M_DKIM_NONE,           [DKIM_PASS] = M_DKIM_PASS,
        [DKIM_FAIL] = M_DKIM_FAIL,           [DKIM_POLICY] = M_DKIM_POLICY,
        [DKIM_NEUTRAL] = M_DKIM_NEUTRAL,     [DKIM_TEMPERROR] = M_DKIM_TEMPERROR,
        [DKIM_PERMERROR] = M_DKIM_PERMERROR,
    };

    count(metrics[result]);
}

static void set_none(struct judge *j)
{
    facts_set_word(j, FACT_ID_DKIM, "none");
    fact_set_text(&j->facts, FACT_ID_DKIM_DOMAINS, SLICE_NONE);
}

static bool has_name(struct slice names, struct slice name)
{
    while (!slice_empty(names)) {
        if (slice_eq(slice_cut(&names, ','), name)) {
            return true;
        }
    }
    return false;
}

/* The domains of passing signatures, without duplicates. */
static void set_domains(struct judge *j, const struct dkim *d)
{
    char mem[DOMAINS_MAX];
    struct buf names;

    buf_init_fixed(&names, mem, sizeof(mem));
    for (size_t i = 0; i < dkim_count(d); i++) {
        const struct dkim_verdict *v = dkim_verdict_at(d, i);

        if (v->result == DKIM_PASS && !has_name(buf_slice(&names), v->domain) &&
            names.len + v->domain.len + 1 < DOMAINS_MAX) {
            buf_put_str(&names, names.len > 0 ? "," : "");
            buf_put_slice(&names, v->domain);
        }
    }
    fact_set_text(&j->facts, FACT_ID_DKIM_DOMAINS, facts_copy(j, SCOPE_TXN, buf_slice(&names)));
}

static void set_facts(struct judge *j, const struct dkim_check *check)
{
    const struct dkim *d = dkim_check_results(check);
    const struct dkim_verdict *best = dkim_best(d, NULL, NULL);
    enum dkim_result result = best != NULL ? best->result : DKIM_NONE;

    facts_set_word(j, FACT_ID_DKIM, dkim_result_text(result));
    set_domains(j, d);
    j->origin[SOURCE_DKIM] = *dkim_check_origin(check);
    count_dkim(result);
}

static void on_done(void *arg)
{
    struct judge *j = arg;
    struct dkim_state *st = source_state(j, SOURCE_DKIM);

    set_facts(j, st->check);
    engine_changed(j);
}

static bool start(struct judge *j, void *state)
{
    const struct config_dkim *conf = &j->pw->policy->conf->dkim;
    struct dkim_state *st = state;
    struct dkim_check_setup setup = {
        .loop = j->pw->loop,
        .who = source_asker(j),
        .in = { .now_s = wall_now_s(), .max_signatures = conf->max_signatures, .utf8 = j->head_utf8 },
        .section = j->head,
        .author = j->author,
    };

    st->verified = !slice_empty(j->head) && source_authenticates(j);
    st->check = st->verified ? dkim_check_start(&setup, on_done, j) : NULL;
    if (st->verified && st->check == NULL) {
        count_dkim(DKIM_NONE);
    }
    if (st->check == NULL) {
        set_none(j);
    }
    return st->check != NULL;
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct dkim_state *st = state;

    (void)j;
    (void)scope;
    dkim_check_cancel(&st->check);
    st->verified = false;
}

static void give_up(struct judge *j, void *state)
{
    struct dkim_state *st = state;

    if (st->check == NULL) {
        source_set_unknown(j, &source_dkim);
        return;
    }
    dkim_check_abandon(st->check);
    set_facts(j, st->check);
}

static bool busy(const struct judge *j, const void *state)
{
    const struct dkim_state *st = state;

    (void)j;
    return st->check != NULL && dkim_check_busy(st->check);
}

/* ---- the message ---- */

bool source_authenticates(const struct judge *j)
{
    return j->pw->policy->conf->dkim.verify && !j->exempt && !j->txn.bypass;
}

void source_dkim_body(struct judge *j, struct slice chunk)
{
    const struct dkim_state *st = source_state(j, SOURCE_DKIM);

    if (st->check != NULL) {
        dkim_check_put_body(st->check, chunk);
    }
}

void source_dkim_end(struct judge *j)
{
    const struct dkim_state *st = source_state(j, SOURCE_DKIM);

    if (st->check != NULL) {
        dkim_check_end_body(st->check);
    }
}

const struct dkim *source_dkim_results(const struct judge *j, bool *verified)
{
    const struct dkim_state *st = source_state(j, SOURCE_DKIM);

    *verified = st->verified;
    return st->check != NULL ? dkim_check_results(st->check) : NULL;
}

static const uint8_t facts[] = { FACT_ID_DKIM, FACT_ID_DKIM_DOMAINS, FACT_END };

const struct source source_dkim = {
    .facts = facts,
    .state_size = sizeof(struct dkim_state),
    .scope = SCOPE_TXN,
    .awaited = true,
    .start = start,
    .give_up = give_up,
    .drop = drop,
    .busy = busy,
};
