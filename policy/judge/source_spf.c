/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_spf.c - SPF of the sender and of HELO as facts: spf, spf.* and spf.helo (source.h, spf/spf_check.h).
 *
 * Null sender   its spf is that of HELO (RFC 7208 2.4).
 * Exempt        clients are not looked up: their spf is none.
 * Verdicts      are kept for the header fields, for the life of the scope.
 */
#include "core/metrics.h"
#include "policy/judge/engine_priv.h"

struct spf_state {
    struct spf_check *check; /* NULL: no lookup is pending */
    uint64_t started_us;
    const struct spf_verdict *verdict; /* NULL: not known */
};

static void count_spf(enum spf_result result)
{
    static const enum metric metrics[SPF_RESULT_COUNT] = {
        [SPF_NONE] = M_SPF_NONE,           [SPF_NEUTRAL] = M_SPF_NEUTRAL,   [SPF_PASS] = M_SPF_PASS,
        [SPF_FAIL] = M_SPF_FAIL,           [SPF_SOFTFAIL] = M_SPF_SOFTFAIL, [SPF_TEMPERROR] = M_SPF_TEMPERROR,
        [SPF_PERMERROR] = M_SPF_PERMERROR,
    };

    count(metrics[result]);
}

/* Copies the verdict beyond the callback; NULL if the scope's memory is full. */
static const struct spf_verdict *keep_verdict(struct judge *j, enum fact_scope scope,
                                              const struct spf_verdict *v)
{
    struct spf_verdict *copy = arena_alloc(&j->arena[scope], sizeof(*copy));

    if (copy != NULL) {
        *copy = *v;
        copy->problem = "";
    }
    return copy;
}

/* NULL: the scope's memory was full. */
static void set_spf(struct judge *j, const struct spf_verdict *v)
{
    struct facts *f = &j->facts;

    if (v == NULL) {
        source_set_unknown(j, &source_spf);
        return;
    }
    facts_set_word(j, FACT_ID_SPF, spf_result_text(v->result));
    if (v->result == SPF_TEMPERROR) {
        fact_set_unknown(f, FACT_ID_SPF_WEAK);
    } else {
        fact_set_flag(f, FACT_ID_SPF_WEAK, v->weak);
    }
    fact_set_text(f, FACT_ID_SPF_DOMAIN, slice_str(v->domain));
    fact_set_text(f, FACT_ID_SPF_MECHANISM, slice_str(v->mechanism));
    fact_set_text(f, FACT_ID_SPF_EXPLANATION, slice_str(v->explanation));
}

/* Not looked up: the identity is switched off, or the client is exempt. */
static void set_spf_none(struct judge *j)
{
    facts_set_word(j, FACT_ID_SPF, "none");
    fact_set_flag(&j->facts, FACT_ID_SPF_WEAK, false);
    fact_set_text(&j->facts, FACT_ID_SPF_DOMAIN, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_SPF_MECHANISM, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_SPF_EXPLANATION, SLICE_NONE);
}

static struct spf_state *state_of(const struct judge *j, enum spf_identity identity)
{
    return source_state(j, identity == SPF_HELO ? SOURCE_SPF_HELO : SOURCE_SPF);
}

const struct spf_verdict *source_spf_verdict(const struct judge *j, enum spf_identity identity)
{
    return state_of(j, identity)->verdict;
}

/* Keeps the verdict. */
static void take_verdict(struct judge *j, enum spf_identity identity, const struct spf_verdict *v)
{
    struct spf_state *st = state_of(j, identity);

    st->check = NULL;
    st->verdict = keep_verdict(j, identity == SPF_HELO ? SCOPE_HELO : SCOPE_TXN, v);
    j->origin[identity == SPF_HELO ? SOURCE_SPF_HELO : SOURCE_SPF] =
        (struct origin){ .asked = true, .network = v->lookups > 0, .us = loop_now_us() - st->started_us };
    count_spf(v->result);
}

static void on_spf(const struct spf_verdict *v, void *arg)
{
    struct judge *j = arg;

    take_verdict(j, SPF_MAILFROM, v);
    set_spf(j, state_of(j, SPF_MAILFROM)->verdict);
    engine_changed(j);
}

static void on_spf_helo(const struct spf_verdict *v, void *arg)
{
    struct judge *j = arg;

    take_verdict(j, SPF_HELO, v);
    facts_set_word(j, FACT_ID_SPF_HELO, spf_result_text(v->result));
    engine_changed(j);
}

static void ask(struct judge *j, struct spf_state *st, enum spf_identity identity)
{
    const struct config *c = j->pw->policy->conf;
    const struct rules *r = &j->pw->policy->rules;
    struct spf_check_setup s = {
        .loop = j->pw->loop,
        .who = source_asker(j),
        .timeout_ms = c->spf.timeout_ms,
        .in = {
            .client = j->ip,
            .identity = identity,
            .sender = j->sender,
            .helo = j->helo_raw,
            .receiver = slice_str(c->server.hostname),
            .now_s = wall_now_s(),
            .engine = c->spf.engine == CONFIG_SPF_LIBSPF2 ? SPF_ENGINE_LIBSPF2 : SPF_ENGINE_NATIVE,
            .weak_v4_bits = (uint8_t)c->spf.weak_pass_bits,
            .weak_v6_bits = c->spf.weak_pass_bits > 0 ? spf_weak_v6_bits((uint8_t)c->spf.weak_pass_bits) : 0,
            .explain = r->use[FACT_ID_SPF_EXPLANATION] != 0,
        },
    };

    st->started_us = loop_now_us();
    st->check = spf_check_start(&s, identity == SPF_HELO ? on_spf_helo : on_spf, j);
}

/* ---- spf.helo ---- */

static bool start_helo(struct judge *j, void *state)
{
    if (j->exempt || !j->pw->policy->conf->spf.helo) {
        facts_set_word(j, FACT_ID_SPF_HELO, "none");
        return false;
    }
    ask(j, state, SPF_HELO);
    return true;
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct spf_state *st = state;

    (void)j;
    (void)scope;
    spf_check_cancel(&st->check);
    st->verdict = NULL;
}

static void give_up_helo(struct judge *j, void *state)
{
    struct spf_state *st = state;

    spf_check_cancel(&st->check);
    source_set_unknown(j, &source_spf_helo);
}

static bool busy(const struct judge *j, const void *state)
{
    const struct spf_state *st = state;

    (void)j;
    return st->check != NULL;
}

/* A verdict has two kilobytes: too large to pack. */
static bool ask_again(const struct judge *j, const void *state)
{
    const struct spf_state *st = state;

    (void)j;
    return st->verdict != NULL;
}

/* ---- spf ---- */

static bool start(struct judge *j, void *state)
{
    const struct config_spf *conf = &j->pw->policy->conf->spf;

    if (j->exempt || !(j->sender_null ? conf->helo : conf->mailfrom)) {
        set_spf_none(j);
        return false;
    }
    if (j->sender_null) {
        source_need(j, FACT_ID_SPF_HELO);
    } else {
        ask(j, state, SPF_MAILFROM);
    }
    return true;
}

static void derive(struct judge *j, void *state)
{
    struct spf_state *st = state;

    if (!j->sender_null || judge_state(j, FACT_ID_SPF_HELO) != FACT_KNOWN) {
        return;
    }
    j->origin[SOURCE_SPF] = j->origin[SOURCE_SPF_HELO];
    st->verdict = source_spf_verdict(j, SPF_HELO);
    set_spf(j, st->verdict);
}

static void give_up(struct judge *j, void *state)
{
    struct spf_state *st = state;

    spf_check_cancel(&st->check);
    source_set_unknown(j, &source_spf);
}

static const uint8_t helo_facts[] = { FACT_ID_SPF_HELO, FACT_END };
static const uint8_t facts[] = { FACT_ID_SPF,           FACT_ID_SPF_WEAK,        FACT_ID_SPF_DOMAIN,
                                 FACT_ID_SPF_MECHANISM, FACT_ID_SPF_EXPLANATION, FACT_END };

const struct source source_spf_helo = {
    .facts = helo_facts,
    .state_size = sizeof(struct spf_state),
    .scope = SCOPE_HELO,
    .start = start_helo,
    .give_up = give_up_helo,
    .drop = drop,
    .busy = busy,
    .ask_again = ask_again,
};

const struct source source_spf = {
    .facts = facts,
    .state_size = sizeof(struct spf_state),
    .scope = SCOPE_TXN,
    .start = start,
    .derive = derive,
    .give_up = give_up,
    .drop = drop,
    .busy = busy,
};
