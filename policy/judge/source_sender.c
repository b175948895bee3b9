/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_sender.c - does the sender's domain accept mail?  The fact sender.resolves (source.h, checks/sender.c).
 */
#include "policy/judge/engine_priv.h"

struct sender_state {
    struct sender_check *check; /* NULL: no lookup is pending */
};

static void on_sender(const struct sender_result *res, void *arg)
{
    struct judge *j = arg;
    struct sender_state *st = source_state(j, SOURCE_SENDER);

    st->check = NULL;
    j->origin[SOURCE_SENDER] = res->origin;
    facts_set_word(j, FACT_ID_SENDER_RESOLVES, res->resolves);
    engine_changed(j);
}

static bool start(struct judge *j, void *state)
{
    const struct fact_value *domain = &j->facts.v[FACT_ID_SENDER_DOMAIN];
    struct sender_state *st = state;
    struct dns_asker who = source_asker(j);
    struct addr literal;

    if (domain->state != FACT_KNOWN || j->sender_null) {
        facts_set_word(j, FACT_ID_SENDER_RESOLVES, "none");
        return false;
    }
    if (helo_kind(fact_text(domain), &literal) == HELO_LITERAL) {
        facts_set_word(j, FACT_ID_SENDER_RESOLVES, "pass"); /* an address needs no name */
        return false;
    }
    st->check = sender_start(&who, fact_text(domain), on_sender, j);
    return true;
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct sender_state *st = state;

    (void)j;
    (void)scope;
    sender_cancel(&st->check);
}

static void give_up(struct judge *j, void *state)
{
    drop(j, state, SCOPE_TXN);
    source_set_unknown(j, &source_sender);
}

static bool busy(const struct judge *j, const void *state)
{
    const struct sender_state *st = state;

    (void)j;
    return st->check != NULL;
}

static const uint8_t facts[] = { FACT_ID_SENDER_RESOLVES, FACT_END };

const struct source source_sender = {
    .facts = facts,
    .state_size = sizeof(struct sender_state),
    .scope = SCOPE_TXN,
    .start = start,
    .give_up = give_up,
    .drop = drop,
    .busy = busy,
};
