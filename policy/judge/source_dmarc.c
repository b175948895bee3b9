/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_dmarc.c - DMARC of the message and of the sender: dmarc, dmarc.*, message.from_aligned,
 * message.signed_by_author; sender.dmarc (source.h, checks/dmarc_check.h).
 *
 *     judge_head --> start      looks up the record of the author's domain, in parallel with the DKIM keys
 *     SPF and DKIM settled --> derive      gives their domains to the evaluation
 *     on_done                   sets the facts
 *
 * SPF         is that of MAIL FROM, for the null sender that of HELO (RFC 9989 5.3.3).  A weak pass counts as neutral
 *             (spf.weak_pass), so it authenticates nothing.
 * Verified    with dmarc.verify, if DKIM is verified: without DKIM, DMARC would fail signed mail.
 * Author      without a single author domain the result is permerror, without any lookup.
 */
#include "core/metrics.h"
#include "policy/judge/engine_priv.h"

#ifdef GLACIS_HAVE_LIBPSL
#include "policy/dmarc/psl.h"
#endif

struct dmarc_state {
    struct dmarc_check *check; /* NULL: not evaluated */
    bool fed;                  /* it has the domains of SPF and DKIM */
};

static void count_dmarc(enum dmarc_result result)
{
    static const enum metric metrics[DMARC_RESULT_COUNT] = {
        [DMARC_NONE] = M_DMARC_NONE,           [DMARC_PASS] = M_DMARC_PASS,
        [DMARC_FAIL] = M_DMARC_FAIL,           [DMARC_TEMPERROR] = M_DMARC_TEMPERROR,
        [DMARC_PERMERROR] = M_DMARC_PERMERROR,
    };

    count(metrics[result]);
}

struct dmarc_check *source_dmarc_start(struct judge *j, struct slice author, unsigned want, dmarc_check_cb cb)
{
    struct dmarc_check_setup setup = {
        .loop = j->pw->loop,
        .who = source_asker(j),
        .in = { .author = author, .want = want },
    };

#ifdef GLACIS_HAVE_LIBPSL
    if (j->pw->policy->psl != NULL) {
        setup.in.org = dmarc_psl_org;
        setup.in.org_arg = j->pw->policy->psl;
    }
#endif
    return dmarc_check_start(&setup, cb, j);
}

/* ---- authenticated domains ---- */

/* Adds SPF.  A check that exceeded the budget has no verdict, and might have passed for the sender's domain. */
static void add_spf(const struct judge *j, struct dmarc_check *c)
{
    const struct spf_verdict *v = source_spf_verdict(j, SPF_MAILFROM);
    const struct fact_value *spf = &j->facts.v[FACT_ID_SPF];

    if (v == NULL && (spf->state == FACT_UNKNOWN || spf->word == fact_temperror(FACT_ID_SPF))) {
        enum fact_id domain = j->sender_null ? FACT_ID_HELO_NAME : FACT_ID_SENDER_DOMAIN;

        dmarc_check_add(c, DMARC_BY_SPF, source_text(j, domain), false);
    } else if (v != NULL && (v->result == SPF_TEMPERROR || (v->result == SPF_PASS && !v->weak))) {
        dmarc_check_add(c, DMARC_BY_SPF, slice_str(v->domain), v->result == SPF_PASS);
    }
}

void source_dmarc_feed(const struct judge *j, struct dmarc_check *c)
{
    bool verified;
    const struct dkim *d = source_dkim_results(j, &verified);

    add_spf(j, c);
    for (size_t i = 0; d != NULL && i < dkim_count(d); i++) {
        const struct dkim_verdict *v = dkim_verdict_at(d, i);

        if (v->result == DKIM_PASS || v->result == DKIM_TEMPERROR) {
            dmarc_check_add(c, DMARC_BY_DKIM, v->domain, v->result == DKIM_PASS);
        }
    }
    dmarc_check_end_domains(c);
}

/* ---- message.signed_by_author ---- */

static bool lies_under(struct slice inner, struct slice outer)
{
    return slice_ends_nocase(inner, outer) &&
           (inner.len == outer.len || inner.ptr[inner.len - outer.len - 1] == '.');
}

/* Does it sign for the author: for its organisational domain, its own, or one above or below it? */
static bool signs_for(const struct judge *j, const struct dmarc_outcome *o, struct slice domain)
{
    return !slice_empty(domain) && !slice_empty(j->author) &&
           (lies_under(domain, j->author) || lies_under(j->author, domain) ||
            (!slice_empty(o->domain) && lies_under(domain, o->domain)));
}

/* The key exists, and the message differs from the one it signed. */
static bool was_changed(const struct dkim_verdict *v)
{
    return v->reason == DKIM_HEADER_CHANGED || v->reason == DKIM_BODY_CHANGED ||
           v->reason == DKIM_BODY_SHORTER || v->reason == DKIM_BODY_LONGER;
}

static const char *signed_by_author(const struct judge *j, const struct dmarc_outcome *o)
{
    bool verified, broken = false;
    const struct dkim *d = source_dkim_results(j, &verified);

    for (size_t i = 0; d != NULL && i < dkim_count(d); i++) {
        const struct dkim_verdict *v = dkim_verdict_at(d, i);

        if (v->result == DKIM_PASS && signs_for(j, o, v->domain)) {
            return "pass";
        }
        broken = broken || (was_changed(v) && signs_for(j, o, v->domain));
    }
    return broken ? "broken" : "none";
}

/* ---- the facts ---- */

/* Nobody looks: the client is exempt, verifying is off, or there is no header section. */
static void set_none(struct judge *j)
{
    struct facts *f = &j->facts;

    facts_set_word(j, FACT_ID_DMARC, "none");
    facts_set_word(j, FACT_ID_DMARC_POLICY, "none");
    fact_set_text(f, FACT_ID_DMARC_DOMAIN, SLICE_NONE);
    fact_set_text(f, FACT_ID_DMARC_BY, SLICE_NONE);
    fact_set_unknown(f, FACT_ID_MESSAGE_FROM_ALIGNED); /* not judged is not forged */
    facts_set_word(j, FACT_ID_MESSAGE_SIGNED_BY_AUTHOR, "none");
}

static void set_policy(struct judge *j, const struct dmarc_outcome *o)
{
    if (!o->policy_known && o->result == DMARC_TEMPERROR) {
        fact_set_unknown(&j->facts, FACT_ID_DMARC_POLICY);
    } else {
        facts_set_word(j, FACT_ID_DMARC_POLICY, dmarc_policy_text(o->policy));
    }
}

static void set_facts(struct judge *j, const struct dmarc_check *check)
{
    const struct dmarc_outcome *o = dmarc_outcome(dmarc_check_results(check));
    struct facts *f = &j->facts;

    facts_set_word(j, FACT_ID_DMARC, dmarc_result_text(o->result));
    set_policy(j, o);
    fact_set_text(f, FACT_ID_DMARC_DOMAIN, o->domain);
    fact_set_text(f, FACT_ID_DMARC_BY,
                  o->spf && o->dkim ? SLICE("spf,dkim")
                  : o->spf          ? SLICE("spf")
                  : o->dkim         ? SLICE("dkim")
                                    : SLICE_NONE);
    if (o->relaxed == DMARC_UNKNOWN) {
        fact_set_unknown(f, FACT_ID_MESSAGE_FROM_ALIGNED);
    } else {
        fact_set_flag(f, FACT_ID_MESSAGE_FROM_ALIGNED, o->relaxed == DMARC_YES);
    }
    facts_set_word(j, FACT_ID_MESSAGE_SIGNED_BY_AUTHOR, signed_by_author(j, o));
    j->origin[SOURCE_DMARC] = *dmarc_check_origin(check);
    count_dmarc(o->result);
}

static void on_done(void *arg)
{
    struct judge *j = arg;
    struct dmarc_state *st = source_state(j, SOURCE_DMARC);

    set_facts(j, st->check);
    engine_changed(j);
}

/* Results needed by rules, texts and standing beyond the plain result; they may cost more queries. */
static unsigned wanted(const struct judge *j)
{
    const uint8_t *use = j->pw->policy->rules.use;
    bool standing = use[FACT_ID_CLIENT_KNOWN_GOOD] != 0;
    bool org = standing || use[FACT_ID_DMARC_DOMAIN] != 0 || use[FACT_ID_MESSAGE_SIGNED_BY_AUTHOR] != 0;
    bool relaxed = standing || use[FACT_ID_MESSAGE_FROM_ALIGNED] != 0 || use[FACT_ID_DMARC_BY] != 0;

    return (org ? DMARC_WANT_ORG : 0u) | (relaxed ? DMARC_WANT_RELAXED : 0u);
}

static bool start(struct judge *j, void *state)
{
    struct dmarc_state *st = state;

    if (slice_empty(j->head) || !source_authenticates(j) || !j->pw->policy->conf->dmarc.verify) {
        set_none(j);
        return false;
    }
    st->check = source_dmarc_start(j, j->author, wanted(j), on_done);
    return true;
}

static void derive(struct judge *j, void *state)
{
    struct dmarc_state *st = state;

    if (st->check != NULL && !st->fed) {
        st->fed = true;
        source_dmarc_feed(j, st->check);
    }
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct dmarc_state *st = state;

    (void)j;
    (void)scope;
    dmarc_check_cancel(&st->check);
    st->fed = false;
}

/* First gives up the sources that it needs, because they share one budget. */
static void give_up(struct judge *j, void *state)
{
    struct dmarc_state *st = state;

    if (st->check == NULL) {
        source_set_unknown(j, &source_dmarc);
        return;
    }
    if (judge_state(j, FACT_ID_DKIM) == FACT_PENDING) {
        source_give_up(j, SOURCE_DKIM);
    }
    if (judge_state(j, FACT_ID_SPF) == FACT_PENDING) {
        source_give_up(j, SOURCE_SPF);
    }
    derive(j, st);
    dmarc_check_abandon(st->check);
    set_facts(j, st->check);
}

static bool busy(const struct judge *j, const void *state)
{
    const struct dmarc_state *st = state;

    (void)j;
    return st->check != NULL && dmarc_check_busy(st->check);
}

const struct dmarc_outcome *source_dmarc_outcome(const struct judge *j)
{
    const struct dmarc_state *st = source_state(j, SOURCE_DMARC);

    return st->check != NULL ? dmarc_outcome(dmarc_check_results(st->check)) : NULL;
}

/* ---- sender.dmarc ---- */

static void on_published(void *arg)
{
    struct judge *j = arg;
    const struct dmarc_state *st = source_state(j, SOURCE_SENDER_DMARC);

    j->origin[SOURCE_SENDER_DMARC] = *dmarc_check_origin(st->check);
    facts_set_word(j, FACT_ID_SENDER_DMARC,
                   dmarc_published_text(dmarc_published(dmarc_check_results(st->check))));
    engine_changed(j);
}

static bool start_sender(struct judge *j, void *state)
{
    struct dmarc_state *st = state;

    if (j->sender_null || j->exempt || slice_empty(source_text(j, FACT_ID_SENDER_DOMAIN))) {
        facts_set_word(j, FACT_ID_SENDER_DMARC, "none");
        return false;
    }
    st->check = source_dmarc_start(j, source_text(j, FACT_ID_SENDER_DOMAIN), 0, on_published);
    dmarc_check_end_domains(st->check);
    return true;
}

static void give_up_sender(struct judge *j, void *state)
{
    struct dmarc_state *st = state;

    dmarc_check_cancel(&st->check);
    facts_set_word(j, FACT_ID_SENDER_DMARC, "temperror");
}

static const uint8_t facts[] = {
    FACT_ID_DMARC,    FACT_ID_DMARC_POLICY,         FACT_ID_DMARC_DOMAIN,
    FACT_ID_DMARC_BY, FACT_ID_MESSAGE_FROM_ALIGNED, FACT_ID_MESSAGE_SIGNED_BY_AUTHOR,
    FACT_END
};
static const uint8_t needs[] = { SOURCE_SPF, SOURCE_DKIM, SOURCE_NONE };
static const uint8_t sender_facts[] = { FACT_ID_SENDER_DMARC, FACT_END };

const struct source source_dmarc = {
    .facts = facts,
    .needs = needs,
    .state_size = sizeof(struct dmarc_state),
    .scope = SCOPE_TXN,
    .awaited = true,
    .start = start,
    .derive = derive,
    .give_up = give_up,
    .drop = drop,
    .busy = busy,
};

const struct source source_sender_dmarc = {
    .facts = sender_facts,
    .state_size = sizeof(struct dmarc_state),
    .scope = SCOPE_TXN,
    .start = start_sender,
    .give_up = give_up_sender,
    .drop = drop,
    .busy = busy,
};
