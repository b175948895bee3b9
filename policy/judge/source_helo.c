/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_helo.c - the name in HELO as facts: helo.resolves, .matches, .impersonates (source.h, checks/helo.c).
 *
 *     resolves       the name has an address
 *     matches        the name resolves to the client's address, or is the client's verified name
 *     impersonates   the name is this server's, or a domain whose mail it takes, and nothing authorises the client
 */
#include "policy/judge/engine_priv.h"

struct helo_state {
    struct helo_check *check; /* NULL: no lookup is pending */
    bool is_client;           /* the name has the client's address */
    bool unsure;              /* is_client may be wrong: the lookup failed */
    bool names_us;
};

/* ---- helo.resolves ---- */

/* Our own name, or a domain whose mail we take. */
static bool is_our_name(const struct config *c, struct slice name)
{
    return slice_eq_nocase(name, slice_str(c->server.hostname)) || config_route(c, name) != NULL;
}

/* Is it the local address of the connection, or a configured listener's? */
static bool is_our_address(const struct judge *j, const struct addr *ip)
{
    static const uint8_t any[sizeof(ip->ip)];
    const struct config_server_section *s = &j->pw->policy->conf->server;
    bool ours = addr_same_ip(ip, &j->local);

    for (size_t i = 0; i < s->listen_count && !ours; i++) {
        ours = addr_same_ip(ip, &s->listen[i].address);
    }
    return ours && memcmp(ip->ip, any, sizeof(any)) != 0;
}

/* A new HELO: sets the facts that follow from its text alone. */
static void on_fact(struct judge *j, void *state, enum fact_id fact)
{
    struct slice name = source_text(j, FACT_ID_HELO_NAME);
    struct helo_state *st = state;
    struct addr literal;
    enum helo_kind kind;

    if (fact != FACT_ID_HELO_NAME) {
        return;
    }
    kind = helo_kind(name, &literal);
    st->names_us = (kind == HELO_FQDN && is_our_name(j->pw->policy->conf, name)) ||
                   (kind == HELO_LITERAL && is_our_address(j, &literal));
    if (kind != HELO_FQDN) {
        facts_set_word(j, FACT_ID_HELO_RESOLVES, "none");
        fact_set_flag(&j->facts, FACT_ID_HELO_MATCHES,
                      kind == HELO_LITERAL && addr_same_ip(&literal, &j->ip));
    }
}

static void on_helo(const struct helo_result *res, void *arg)
{
    struct judge *j = arg;
    struct helo_state *st = source_state(j, SOURCE_HELO);

    st->check = NULL;
    st->is_client = res->is_client;
    st->unsure = res->unsure;
    j->origin[SOURCE_HELO] = res->origin;
    facts_set_word(j, FACT_ID_HELO_RESOLVES, res->resolves);
    engine_changed(j);
}

static bool start(struct judge *j, void *state)
{
    struct slice name = source_text(j, FACT_ID_HELO_NAME);
    struct dns_asker who = source_asker(j);
    struct helo_state *st = state;

    if (slice_empty(name)) { /* no EHLO yet */
        facts_set_word(j, FACT_ID_HELO_RESOLVES, "none");
        return false;
    }
    st->check = helo_start(&who, name, &j->ip, on_helo, j);
    return true;
}

static void give_up(struct judge *j, void *state)
{
    struct helo_state *st = state;

    helo_cancel(&st->check);
    st->unsure = true;
    source_set_unknown(j, &source_helo);
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct helo_state *st = state;

    (void)j;
    (void)scope;
    helo_cancel(&st->check);
    *st = (struct helo_state){ .check = NULL };
}

static bool busy(const struct judge *j, const void *state)
{
    const struct helo_state *st = state;

    (void)j;
    return st->check != NULL;
}

static void pack(const struct judge *j, const void *state, struct buf *out)
{
    const struct helo_state *st = state;

    (void)j;
    buf_put_char(out, (char)(st->is_client | st->unsure << 1 | st->names_us << 2));
}

static void unpack(struct judge *j, void *state, struct slice *in)
{
    struct helo_state *st = state;
    uint8_t bits;

    (void)j;
    source_take(in, &bits, sizeof(bits));
    st->is_client = (bits & 1) != 0;
    st->unsure = (bits & 2) != 0;
    st->names_us = (bits & 4) != 0;
}

/* ---- helo.matches ---- */

static bool start_matches(struct judge *j, void *state)
{
    (void)j;
    (void)state;
    return true;
}

static void derive_matches(struct judge *j, void *state)
{
    const struct helo_state *helo = source_state(j, SOURCE_HELO);
    const struct fact_value *rdns = &j->facts.v[FACT_ID_CLIENT_RDNS];
    struct facts *f = &j->facts;

    (void)state;
    if (!helo->is_client) {
        source_need(j, FACT_ID_CLIENT_RDNS);
    }
    if (helo->is_client || (rdns->state == FACT_KNOWN && rdns->len > 0 &&
                            slice_eq(fact_text(rdns), fact_text(&f->v[FACT_ID_HELO_NAME])))) {
        fact_set_flag(f, FACT_ID_HELO_MATCHES, true);
    } else if (rdns->state == FACT_PENDING) {
        return;
    } else if (helo->unsure || rdns->state == FACT_UNKNOWN) {
        fact_set_unknown(f, FACT_ID_HELO_MATCHES);
    } else {
        fact_set_flag(f, FACT_ID_HELO_MATCHES, false);
    }
}

/* ---- helo.impersonates ---- */

static bool start_impersonates(struct judge *j, void *state)
{
    const struct helo_state *helo = source_state(j, SOURCE_HELO);

    (void)state;
    if (!helo->names_us) {
        fact_set_flag(&j->facts, FACT_ID_HELO_IMPERSONATES, false);
    }
    return helo->names_us;
}

/* Looks up the SPF of HELO only if the name does not match. */
static void derive_impersonates(struct judge *j, void *state)
{
    struct facts *f = &j->facts;
    const struct fact_value *matches = &f->v[FACT_ID_HELO_MATCHES], *spf = &f->v[FACT_ID_SPF_HELO];

    (void)state;
    if ((matches->state == FACT_KNOWN && matches->flag) || source_client_allowed(j)) {
        fact_set_flag(f, FACT_ID_HELO_IMPERSONATES, false);
        return;
    }
    source_need(j, FACT_ID_SPF_HELO);
    if (spf->state == FACT_PENDING) {
        return;
    }
    if (source_is_word(j, FACT_ID_SPF_HELO, "pass")) {
        fact_set_flag(f, FACT_ID_HELO_IMPERSONATES, false);
    } else if (spf->state == FACT_UNKNOWN || matches->state == FACT_UNKNOWN ||
               source_is_word(j, FACT_ID_SPF_HELO, "temperror")) {
        fact_set_unknown(f, FACT_ID_HELO_IMPERSONATES);
    } else {
        fact_set_flag(f, FACT_ID_HELO_IMPERSONATES, true);
    }
}

static const uint8_t helo_facts[] = { FACT_ID_HELO_RESOLVES, FACT_END };
static const uint8_t matches_facts[] = { FACT_ID_HELO_MATCHES, FACT_END };
static const uint8_t matches_needs[] = { SOURCE_HELO, SOURCE_NONE };
static const uint8_t impersonates_facts[] = { FACT_ID_HELO_IMPERSONATES, FACT_END };
static const uint8_t impersonates_needs[] = { SOURCE_MATCHES, SOURCE_NONE };

const struct source source_helo = {
    .facts = helo_facts,
    .state_size = sizeof(struct helo_state),
    .scope = SCOPE_HELO,
    .start = start,
    .give_up = give_up,
    .on_fact = on_fact,
    .drop = drop,
    .busy = busy,
    .pack = pack,
    .unpack = unpack,
};

const struct source source_matches = {
    .facts = matches_facts,
    .needs = matches_needs,
    .scope = SCOPE_HELO,
    .credit = SOURCE_HELO,
    .start = start_matches,
    .derive = derive_matches,
};

const struct source source_impersonates = {
    .facts = impersonates_facts,
    .needs = impersonates_needs,
    .scope = SCOPE_HELO,
    .credit = SOURCE_HELO,
    .start = start_impersonates,
    .derive = derive_impersonates,
};
