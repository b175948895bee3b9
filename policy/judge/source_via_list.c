/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_via_list.c - did a mailing list send the message, as its List-Id says?  The fact message.via_list (source.h).
 *
 * A List-Id alone proves nothing.  It counts if SPF or DKIM authenticated its domain: a name that passed equals the
 * list's, is above it, or has the same organisational domain.  The last is the relaxed alignment of DMARC, so
 * a second evaluation answers it, with the list in place of the author.
 *
 * Outage  who writes a List-Id may choose whose servers are asked.  If they do not answer it is no list, in doubt: what is
 *         refused for that is refused for now, and never let through.
 * RFC     2919 (List-Id), 9989 4.4 (alignment)
 */
#include "policy/judge/engine_priv.h"
#include "smtp/list_id.h"

struct via_list_state {
    struct dmarc_check *check; /* NULL: no evaluation */
    bool fed;
};

/* An authenticated domain may speak for the names below it. */
static bool speaks_for(struct slice domain, struct slice list)
{
    return slice_find(domain, '.') < domain.len && slice_ends_nocase(list, domain) &&
           (list.len == domain.len || list.ptr[list.len - domain.len - 1] == '.');
}

static bool is_vouched_for(const struct judge *j)
{
    const struct spf_verdict *spf = source_spf_verdict(j, SPF_MAILFROM);
    struct slice names = source_text(j, FACT_ID_DKIM_DOMAINS);

    if (spf != NULL && spf->result == SPF_PASS && !spf->weak &&
        speaks_for(slice_str(spf->domain), j->list_id)) {
        return true;
    }
    while (!slice_empty(names)) {
        if (speaks_for(slice_cut(&names, ','), j->list_id)) {
            return true;
        }
    }
    return false;
}

/* It would be vouched for by a name whose look-up failed, had that passed. */
static bool is_in_doubt(const struct judge *j)
{
    bool verified;
    const struct spf_verdict *spf = source_spf_verdict(j, SPF_MAILFROM);
    const struct dkim *d = source_dkim_results(j, &verified);

    if (spf != NULL && spf->result == SPF_TEMPERROR && speaks_for(slice_str(spf->domain), j->list_id)) {
        return true;
    }
    for (size_t i = 0; d != NULL && i < dkim_count(d); i++) {
        const struct dkim_verdict *v = dkim_verdict_at(d, i);

        if (v->result == DKIM_TEMPERROR && speaks_for(v->domain, j->list_id)) {
            return true;
        }
    }
    return spf == NULL && judge_state(j, FACT_ID_SPF) == FACT_UNKNOWN &&
           speaks_for(source_text(j, FACT_ID_SENDER_DOMAIN), j->list_id);
}

static void set_fact(struct judge *j, const struct dmarc_check *check)
{
    const struct dmarc_outcome *o = dmarc_outcome(dmarc_check_results(check));

    j->origin[SOURCE_VIA_LIST] = *dmarc_check_origin(check);
    if (is_vouched_for(j) || o->relaxed == DMARC_YES) {
        fact_set_flag(&j->facts, FACT_ID_MESSAGE_VIA_LIST, true);
    } else {
        fact_set_flag(&j->facts, FACT_ID_MESSAGE_VIA_LIST, false);
        j->facts.v[FACT_ID_MESSAGE_VIA_LIST].doubt = o->relaxed == DMARC_UNKNOWN || is_in_doubt(j);
    }
}

static void on_done(void *arg)
{
    struct judge *j = arg;
    const struct via_list_state *st = source_state(j, SOURCE_VIA_LIST);

    set_fact(j, st->check);
    engine_changed(j);
}

static bool start(struct judge *j, void *state)
{
    struct via_list_state *st = state;

    if (slice_empty(j->list_id) || !source_authenticates(j)) {
        fact_set_flag(&j->facts, FACT_ID_MESSAGE_VIA_LIST, false);
        return false;
    }
    st->check = source_dmarc_start(j, j->list_id, DMARC_WANT_RELAXED, on_done);
    return true;
}

static void derive(struct judge *j, void *state)
{
    struct via_list_state *st = state;

    if (st->check != NULL && !st->fed) {
        st->fed = true;
        source_dmarc_feed(j, st->check);
    }
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct via_list_state *st = state;

    (void)j;
    (void)scope;
    dmarc_check_cancel(&st->check);
    st->fed = false;
}

static void give_up(struct judge *j, void *state)
{
    struct via_list_state *st = state;

    if (st->check == NULL) {
        source_set_unknown(j, &source_via_list);
        return;
    }
    derive(j, st);
    dmarc_check_abandon(st->check);
    set_fact(j, st->check);
}

static bool busy(const struct judge *j, const void *state)
{
    const struct via_list_state *st = state;

    (void)j;
    return st->check != NULL && dmarc_check_busy(st->check);
}

static const uint8_t facts[] = { FACT_ID_MESSAGE_VIA_LIST, FACT_END };
static const uint8_t needs[] = { SOURCE_SPF, SOURCE_DKIM, SOURCE_NONE };

const struct source source_via_list = {
    .facts = facts,
    .needs = needs,
    .state_size = sizeof(struct via_list_state),
    .scope = SCOPE_TXN,
    .start = start,
    .derive = derive,
    .give_up = give_up,
    .drop = drop,
    .busy = busy,
};
