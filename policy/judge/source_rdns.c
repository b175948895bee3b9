/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_rdns.c - the client's reverse name as facts: client.rdns, .iprev, .dynamic (source.h, checks/rdns.c).
 *
 * Exempt clients are not looked up: they have no name.  A name from XCLIENT counts as verified.
 */
#include "policy/judge/engine_priv.h"

struct rdns_state {
    struct rdns_check *check; /* NULL: no lookup is pending */
};

static void set_name(struct judge *j, const char *iprev, struct slice name)
{
    struct slice text = facts_lower(j, SCOPE_SESSION, name);

    facts_set_word(j, FACT_ID_CLIENT_IPREV, iprev);
    fact_set_text(&j->facts, FACT_ID_CLIENT_RDNS, text);
    fact_set_flag(&j->facts, FACT_ID_CLIENT_DYNAMIC, rdns_is_generic(text, &j->ip));
    sources_tell(j, FACT_ID_CLIENT_RDNS);
}

static void set_no_answer(struct judge *j)
{
    source_set_unknown(j, &source_rdns);
    sources_tell(j, FACT_ID_CLIENT_RDNS);
}

void source_rdns_given(struct judge *j, struct slice name)
{
    set_name(j, slice_empty(name) ? "permerror" : "pass", slice_take(name, DNS_NAME_MAX));
}

static void on_rdns(const struct rdns_result *res, void *arg)
{
    struct judge *j = arg;
    struct rdns_state *st = source_state(j, SOURCE_RDNS);

    st->check = NULL;
    j->origin[SOURCE_RDNS] = res->origin;
    if (strcmp(res->iprev, "temperror") == 0) {
        set_no_answer(j);
    } else {
        set_name(j, res->iprev, slice_str(res->name));
    }
    engine_changed(j);
}

static bool start(struct judge *j, void *state)
{
    struct rdns_state *st = state;
    struct dns_asker who = source_asker(j);

    if (j->exempt && !j->rdns_given) {
        set_name(j, "none", SLICE_NONE);
        return false;
    }
    st->check = rdns_start(&who, &j->ip, on_rdns, j);
    return true;
}

static void give_up(struct judge *j, void *state)
{
    struct rdns_state *st = state;

    rdns_cancel(&st->check);
    set_no_answer(j);
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct rdns_state *st = state;

    (void)j;
    (void)scope;
    rdns_cancel(&st->check);
}

static bool busy(const struct judge *j, const void *state)
{
    const struct rdns_state *st = state;

    (void)j;
    return st->check != NULL;
}

static const uint8_t facts[] = { FACT_ID_CLIENT_RDNS, FACT_ID_CLIENT_IPREV, FACT_ID_CLIENT_DYNAMIC,
                                 FACT_END };

const struct source source_rdns = {
    .facts = facts,
    .state_size = sizeof(struct rdns_state),
    .scope = SCOPE_SESSION,
    .ahead = true, /* in parallel with the greeting delay */
    .start = start,
    .give_up = give_up,
    .drop = drop,
    .busy = busy,
};
