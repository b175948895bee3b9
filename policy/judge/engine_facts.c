/*
 * engine_facts.c - checks of a session into facts, and facts that follow from others (engine.h).
 *
 * A check's callback writes its facts and says engine_changed(); nothing else happens inside it.  Facts that
 * follow from others are worked out in facts_derive(), which runs before each evaluation, so the order in
 * which answers come does not matter.
 *
 * Exempt      clients on private addresses: spf is none, no list, no reverse name.
 */
#include "core/idna.h"
#include "core/metrics.h"
#include "policy/judge/engine.h"
#include "policy/rules/match.h"
#include "state/clients.h"

struct slice facts_copy(struct judge *j, enum fact_scope scope, struct slice s)
{
    return arena_slice(&j->arena[scope], s);
}

struct slice facts_lower(struct judge *j, enum fact_scope scope, struct slice s)
{
    char *mem = arena_alloc(&j->arena[scope], s.len + 1);

    if (mem == NULL) {
        return SLICE_NONE;
    }
    for (size_t i = 0; i < s.len; i++) {
        mem[i] = ascii_lower(s.ptr[i]);
    }
    return slice_of(mem, s.len);
}

void facts_set_word(struct judge *j, enum fact_id id, const char *word)
{
    int index = fact_word_index(id, slice_str(word));

    BUG_ON(index < 0);
    fact_set_word(&j->facts, id, (unsigned)index);
}

static void set_pending(struct judge *j, const enum fact_id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fact_set_pending(&j->facts, ids[i]);
    }
}

static void set_unknown(struct judge *j, const enum fact_id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fact_set_unknown(&j->facts, ids[i]);
    }
}

static const enum fact_id rdns_facts[] = { FACT_ID_CLIENT_RDNS, FACT_ID_CLIENT_IPREV,
                                           FACT_ID_CLIENT_DYNAMIC };
static const enum fact_id spf_facts[] = { FACT_ID_SPF, FACT_ID_SPF_WEAK, FACT_ID_SPF_DOMAIN,
                                          FACT_ID_SPF_MECHANISM, FACT_ID_SPF_EXPLANATION };
static const enum fact_id spf_helo_facts[] = { FACT_ID_SPF_HELO };
static const enum fact_id helo_facts[] = { FACT_ID_HELO_RESOLVES };
static const enum fact_id sender_facts[] = { FACT_ID_SENDER_RESOLVES };

/* The client, by address or verified name, in allow_clients; unknown counts as no. */
static bool is_allowed(const struct judge *j)
{
    const struct group *g = rules_group(&j->pw->policy->rules, SLICE("allow_clients"));
    const struct fact_value *rdns = &j->facts.v[FACT_ID_CLIENT_RDNS];
    int64_t now = wall_now_s();

    return g != NULL &&
           (group_has_ip(g, &j->ip, now) || (rdns->state == FACT_KNOWN && rdns->len > 0 &&
                                             set_has_name(&g->set, fact_text(rdns), (int32_t)(now / 86400))));
}

/* What fails for it costs it nothing (dns.per_client). */
static bool is_forgiven(void *arg)
{
    const struct judge *j = arg;

    return j->mem.good || is_allowed(j) || policy_client_known_good(j->pw, &j->ip);
}

/* On whose account questions are: the client's, unless nothing by address applies to it. */
static struct dns_asker asker_of(struct judge *j)
{
    return (struct dns_asker){ .resolver = j->pw->resolver,
                               .network = j->exempt ? 0 : dns_network(&j->ip),
                               .forgives = is_forgiven,
                               .paced = judge_paced,
                               .arg = j };
}

/* ---- reverse name ---- */

static void set_rdns(struct judge *j, const char *iprev, struct slice name)
{
    struct slice text = facts_lower(j, SCOPE_SESSION, name);

    facts_set_word(j, FACT_ID_CLIENT_IPREV, iprev);
    fact_set_text(&j->facts, FACT_ID_CLIENT_RDNS, text);
    fact_set_flag(&j->facts, FACT_ID_CLIENT_DYNAMIC, rdns_is_generic(text, &j->ip));
    if (j->run != NULL) {
        reputation_set_subject(j->run, SUBJECT_RDNS, text);
    }
}

static void rdns_unknown(struct judge *j)
{
    set_unknown(j, rdns_facts, ARRAY_LEN(rdns_facts));
    if (j->run != NULL) { /* no name, no question */
        reputation_set_subject(j->run, SUBJECT_RDNS, SLICE_NONE);
    }
}

static void on_rdns(const struct rdns_result *res, void *arg)
{
    struct judge *j = arg;

    j->rdns = NULL;
    j->origin[SOURCE_RDNS] = res->origin;
    if (strcmp(res->iprev, "temperror") == 0) {
        rdns_unknown(j);
    } else {
        set_rdns(j, res->iprev, slice_str(res->name));
    }
    engine_changed(j);
}

void facts_start_rdns(struct judge *j)
{
    struct dns_asker who = asker_of(j);

    if (j->exempt && !j->rdns_given) {
        set_rdns(j, "none", SLICE_NONE);
        return;
    }
    set_pending(j, rdns_facts, ARRAY_LEN(rdns_facts));
    j->rdns = rdns_start(&who, &j->ip, on_rdns, j);
}

void facts_init(struct judge *j)
{
    fact_set_ip(&j->facts, FACT_ID_CLIENT_IP, &j->ip);
    fact_set_flag(&j->facts, FACT_ID_PROTOCOL_PREGREET, false);
    fact_set_text(&j->facts, FACT_ID_TLS_VERSION, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_TLS_CIPHER, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_TLS_CLIENT_SUBJECT, SLICE_NONE);
}

/* ---- HELO ---- */

static void on_helo(const struct helo_result *res, void *arg)
{
    struct judge *j = arg;

    j->helo = NULL;
    j->helo_done = true;
    j->helo_is_client = res->is_client;
    j->helo_unsure = res->unsure;
    j->origin[SOURCE_HELO] = res->origin;
    facts_set_word(j, FACT_ID_HELO_RESOLVES, res->resolves);
    engine_changed(j);
}

static void start_helo(struct judge *j)
{
    const struct fact_value *name = &j->facts.v[FACT_ID_HELO_NAME];
    struct dns_asker who = asker_of(j);

    if (name->state != FACT_KNOWN || slice_empty(fact_text(name))) {
        facts_set_word(j, FACT_ID_HELO_RESOLVES, "none"); /* EHLO has not come */
        j->helo_done = true;
        return;
    }
    set_pending(j, helo_facts, ARRAY_LEN(helo_facts));
    j->helo = helo_start(&who, fact_text(name), &j->ip, on_helo, j);
}

/* helo.matches, once it was asked; true: it is settled. */
static bool derive_matches(struct judge *j)
{
    struct facts *f = &j->facts;
    const struct fact_value *rdns = &f->v[FACT_ID_CLIENT_RDNS];

    if (judge_state(j, FACT_ID_HELO_MATCHES) == FACT_KNOWN ||
        judge_state(j, FACT_ID_HELO_MATCHES) == FACT_UNKNOWN) {
        return true;
    }
    if (judge_state(j, FACT_ID_HELO_RESOLVES) == FACT_IDLE) {
        facts_start(j, SOURCE_HELO);
    }
    if (!j->helo_done) {
        return false;
    }
    if (!j->helo_is_client && rdns->state == FACT_IDLE) {
        facts_start(j, SOURCE_RDNS);
    }
    if (j->helo_is_client || (rdns->state == FACT_KNOWN && rdns->len > 0 &&
                              slice_eq(fact_text(rdns), fact_text(&f->v[FACT_ID_HELO_NAME])))) {
        fact_set_flag(f, FACT_ID_HELO_MATCHES, true);
    } else if (rdns->state == FACT_PENDING) {
        return false;
    } else if (j->helo_unsure || rdns->state == FACT_UNKNOWN) {
        fact_set_unknown(f, FACT_ID_HELO_MATCHES);
    } else {
        fact_set_flag(f, FACT_ID_HELO_MATCHES, false);
    }
    return true;
}

/* helo.impersonates, once it was asked. */
static void derive_impersonates(struct judge *j)
{
    struct facts *f = &j->facts;
    const struct fact_value *matches = &f->v[FACT_ID_HELO_MATCHES], *spf = &f->v[FACT_ID_SPF_HELO];

    if (judge_state(j, FACT_ID_HELO_IMPERSONATES) != FACT_PENDING || !derive_matches(j)) {
        return;
    }
    if ((matches->state == FACT_KNOWN && matches->flag) || is_allowed(j)) {
        fact_set_flag(f, FACT_ID_HELO_IMPERSONATES, false);
        return;
    }
    if (spf->state == FACT_IDLE) {
        facts_start(j, SOURCE_SPF_HELO);
    }
    if (spf->state == FACT_PENDING) {
        return;
    }
    if (spf->state == FACT_KNOWN && slice_eq(fact_word(FACT_ID_SPF_HELO, spf->word), SLICE("pass"))) {
        fact_set_flag(f, FACT_ID_HELO_IMPERSONATES, false);
    } else if (spf->state == FACT_UNKNOWN || matches->state == FACT_UNKNOWN ||
               slice_eq(fact_word(FACT_ID_SPF_HELO, spf->word), SLICE("temperror"))) {
        fact_set_unknown(f, FACT_ID_HELO_IMPERSONATES);
    } else {
        fact_set_flag(f, FACT_ID_HELO_IMPERSONATES, true);
    }
}

/* ---- SPF ---- */

static void count_spf(enum spf_result result)
{
    static const enum metric metrics[SPF_RESULT_COUNT] = {
        [SPF_NONE] = M_SPF_NONE,           [SPF_NEUTRAL] = M_SPF_NEUTRAL,   [SPF_PASS] = M_SPF_PASS,
        [SPF_FAIL] = M_SPF_FAIL,           [SPF_SOFTFAIL] = M_SPF_SOFTFAIL, [SPF_TEMPERROR] = M_SPF_TEMPERROR,
        [SPF_PERMERROR] = M_SPF_PERMERROR,
    };

    count(metrics[result]);
}

/* A copy of what outlives the callback; NULL when the scope has no room left. */
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

static void set_spf(struct judge *j, const struct spf_verdict *v)
{
    struct facts *f = &j->facts;

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

/* Not asked: the identity is switched off, or the client is exempt. */
static void set_spf_none(struct judge *j)
{
    facts_set_word(j, FACT_ID_SPF, "none");
    fact_set_flag(&j->facts, FACT_ID_SPF_WEAK, false);
    fact_set_text(&j->facts, FACT_ID_SPF_DOMAIN, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_SPF_MECHANISM, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_SPF_EXPLANATION, SLICE_NONE);
}

static void note_spf(struct origin *o, const struct spf_verdict *v, uint64_t started_us)
{
    *o = (struct origin){ .asked = true, .network = v->lookups > 0, .us = loop_now_us() - started_us };
}

static void on_spf(const struct spf_verdict *v, void *arg)
{
    struct judge *j = arg;

    j->spf = NULL;
    j->spf_verdict = keep_verdict(j, SCOPE_TXN, v);
    note_spf(&j->origin[SOURCE_SPF], v, j->spf_started_us);
    count_spf(v->result);
    if (j->spf_verdict != NULL) {
        set_spf(j, j->spf_verdict);
    } else {
        set_unknown(j, spf_facts, ARRAY_LEN(spf_facts));
    }
    engine_changed(j);
}

static void on_spf_helo(const struct spf_verdict *v, void *arg)
{
    struct judge *j = arg;

    j->spf_helo = NULL;
    j->spf_helo_verdict = keep_verdict(j, SCOPE_HELO, v);
    note_spf(&j->origin[SOURCE_SPF_HELO], v, j->spf_helo_started_us);
    count_spf(v->result);
    facts_set_word(j, FACT_ID_SPF_HELO, spf_result_text(v->result));
    engine_changed(j);
}

static struct spf_check_setup spf_setup(struct judge *j, enum spf_identity identity)
{
    const struct config *c = j->pw->policy->conf;
    const struct rules *r = &j->pw->policy->rules;
    struct spf_check_setup s = {
        .loop = j->pw->loop,
        .who = asker_of(j),
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

    return s;
}

static void start_spf_helo(struct judge *j)
{
    struct spf_check_setup setup = spf_setup(j, SPF_HELO);

    if (j->exempt || !j->pw->policy->conf->spf.helo) {
        facts_set_word(j, FACT_ID_SPF_HELO, "none");
        return;
    }
    set_pending(j, spf_helo_facts, ARRAY_LEN(spf_helo_facts));
    j->spf_helo_started_us = loop_now_us();
    j->spf_helo = spf_check_start(&setup, on_spf_helo, j);
}

static void start_spf(struct judge *j)
{
    const struct config_spf *conf = &j->pw->policy->conf->spf;
    struct spf_check_setup setup = spf_setup(j, SPF_MAILFROM);

    if (j->exempt || !(j->sender_null ? conf->helo : conf->mailfrom)) {
        set_spf_none(j);
        return;
    }
    set_pending(j, spf_facts, ARRAY_LEN(spf_facts));
    if (j->sender_null) { /* is that of HELO: derive_spf() */
        if (judge_state(j, FACT_ID_SPF_HELO) == FACT_IDLE) {
            start_spf_helo(j);
        }
        return;
    }
    j->spf_started_us = loop_now_us();
    j->spf = spf_check_start(&setup, on_spf, j);
}

/* The null sender's spf is that of HELO (RFC 7208 2.4). */
static void derive_spf(struct judge *j)
{
    if (!j->sender_null || judge_state(j, FACT_ID_SPF) != FACT_PENDING ||
        judge_state(j, FACT_ID_SPF_HELO) != FACT_KNOWN) {
        return;
    }
    j->origin[SOURCE_SPF] = j->origin[SOURCE_SPF_HELO];
    if (j->spf_helo_verdict != NULL) {
        j->spf_verdict = j->spf_helo_verdict;
        set_spf(j, j->spf_verdict);
    } else {
        set_unknown(j, spf_facts, ARRAY_LEN(spf_facts));
    }
}

/* ---- the sender's domain ---- */

static void on_sender(const struct sender_result *res, void *arg)
{
    struct judge *j = arg;

    j->sender_check = NULL;
    j->origin[SOURCE_SENDER] = res->origin;
    facts_set_word(j, FACT_ID_SENDER_RESOLVES, res->resolves);
    engine_changed(j);
}

static void start_sender(struct judge *j)
{
    const struct fact_value *domain = &j->facts.v[FACT_ID_SENDER_DOMAIN];
    struct dns_asker who = asker_of(j);
    struct addr literal;

    if (domain->state != FACT_KNOWN || j->sender_null) {
        facts_set_word(j, FACT_ID_SENDER_RESOLVES, "none");
    } else if (helo_kind(fact_text(domain), &literal) == HELO_LITERAL) {
        facts_set_word(j, FACT_ID_SENDER_RESOLVES, "pass"); /* an address needs no name */
    } else {
        set_pending(j, sender_facts, ARRAY_LEN(sender_facts));
        j->sender_check = sender_start(&who, fact_text(domain), on_sender, j);
    }
}

/* ---- all of them ---- */

void facts_derive(struct judge *j)
{
    lists_derive(j);
    derive_spf(j);
    memory_derive(j);
    if (j->matches_asked) {
        derive_matches(j);
    }
    if (j->impersonates_asked) {
        derive_impersonates(j);
    }
}

static void start_state(struct judge *j)
{
    struct facts *f = &j->facts;

    if (j->pw->state != NULL && !j->exempt) {
        struct addr client = addr_client(&j->ip);

        fact_set_number(f, FACT_ID_CLIENT_CONNECTIONS,
                        (int64_t)state_client_connections(j->pw->state, &client) * 1000);
    } else if (j->pw->connections > 0 && !j->exempt) {
        fact_set_number(f, FACT_ID_CLIENT_CONNECTIONS, (int64_t)j->pw->connections * 1000);
    } else {
        fact_set_unknown(f, FACT_ID_CLIENT_CONNECTIONS);
    }
}

void facts_start(struct judge *j, enum source source)
{
    switch (source) {
    case SOURCE_RDNS:
        facts_start_rdns(j);
        break;
    case SOURCE_HELO:
        start_helo(j);
        break;
    case SOURCE_MATCHES:
        j->matches_asked = true;
        fact_set_pending(&j->facts, FACT_ID_HELO_MATCHES);
        break;
    case SOURCE_IMPERSONATES:
        j->impersonates_asked = true;
        if (j->names_us) {
            fact_set_pending(&j->facts, FACT_ID_HELO_IMPERSONATES);
        } else {
            fact_set_flag(&j->facts, FACT_ID_HELO_IMPERSONATES, false);
        }
        break;
    case SOURCE_SPF_HELO:
        start_spf_helo(j);
        break;
    case SOURCE_SPF:
        start_spf(j);
        break;
    case SOURCE_SENDER:
        start_sender(j);
        break;
    case SOURCE_LISTS:
        lists_start(j);
        break;
    case SOURCE_ZERO_DAY:
        lists_start(j);
        memory_start_zero_day(j);
        break;
    case SOURCE_FRESH:
        memory_start_zero_day(j);
        break;
    case SOURCE_CLIENT:
        memory_start_client(j);
        break;
    case SOURCE_STANDING:
        memory_start_standing(j);
        break;
    case SOURCE_REASON:
        lists_start(j);
        j->reason_asked = true;
        break;
    case SOURCE_STATE:
        start_state(j);
        break;
    case SOURCE_GIVEN:
    case SOURCE_NEVER:
    case SOURCE_COUNT:
        break;
    }
    facts_derive(j);
}

void facts_give_up(struct judge *j, enum source source)
{
    switch (source) { /* flat: one case a source */
    case SOURCE_RDNS:
        rdns_cancel(&j->rdns);
        rdns_unknown(j);
        break;
    case SOURCE_HELO:
        helo_cancel(&j->helo);
        j->helo_done = j->helo_unsure = true;
        set_unknown(j, helo_facts, ARRAY_LEN(helo_facts));
        break;
    case SOURCE_MATCHES:
        fact_set_unknown(&j->facts, FACT_ID_HELO_MATCHES);
        break;
    case SOURCE_IMPERSONATES:
        fact_set_unknown(&j->facts, FACT_ID_HELO_IMPERSONATES);
        break;
    case SOURCE_SPF:
        spf_check_cancel(&j->spf);
        set_unknown(j, spf_facts, ARRAY_LEN(spf_facts));
        break;
    case SOURCE_SPF_HELO:
        spf_check_cancel(&j->spf_helo);
        set_unknown(j, spf_helo_facts, ARRAY_LEN(spf_helo_facts));
        break;
    case SOURCE_SENDER:
        sender_cancel(&j->sender_check);
        set_unknown(j, sender_facts, ARRAY_LEN(sender_facts));
        break;
    case SOURCE_STANDING:
        memory_give_up(j, true);
        break;
    case SOURCE_FRESH:
        memory_give_up(j, false);
        break;
    case SOURCE_CLIENT:
        memory_cancel(&j->mem.client_op);
        j->mem.client_done = true;
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_FIRST_SEEN);
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_RATE);
        break;
    case SOURCE_LISTS:
    case SOURCE_REASON:
    case SOURCE_ZERO_DAY:
        if (source == SOURCE_ZERO_DAY) {
            memory_give_up(j, false);
        }
        rdns_cancel(&j->rdns);
        if (judge_state(j, FACT_ID_CLIENT_RDNS) == FACT_PENDING) {
            rdns_unknown(j);
        }
        j->late_asked = true; /* what nobody asked in time has no answer either */
        lists_start(j);
        if (j->run != NULL) {
            reputation_expire(j->run);
        }
        break;
    case SOURCE_GIVEN:
    case SOURCE_STATE:
    case SOURCE_NEVER:
    case SOURCE_COUNT:
        break;
    }
    facts_derive(j);
}

/* What lives as long as a transaction. */
static void drop_transaction(struct judge *j)
{
    sender_cancel(&j->sender_check);
    spf_check_cancel(&j->spf);
    if (j->run != NULL) {
        reputation_drop_subject(j->run, SUBJECT_SENDER);
        reputation_unwant(j->run, RUN_LATE);
    }
    j->spf_verdict = NULL;
    j->late_asked = j->reason_asked = false;
    j->sender = SLICE_NONE;
    j->sender_null = false;
}

static void drop_helo(struct judge *j)
{
    helo_cancel(&j->helo);
    spf_check_cancel(&j->spf_helo);
    if (j->run != NULL) {
        reputation_drop_subject(j->run, SUBJECT_HELO);
    }
    j->spf_helo_verdict = NULL;
    j->helo_raw = SLICE_NONE;
    j->helo_done = j->helo_is_client = j->helo_unsure = false;
    j->matches_asked = j->impersonates_asked = j->names_us = false;
}

void facts_drop(struct judge *j, enum fact_scope scope)
{
    memory_drop(j, scope);
    if (scope <= SCOPE_SESSION) {
        rdns_cancel(&j->rdns);
        reputation_run_free(&j->run);
    }
    if (scope <= SCOPE_HELO) {
        drop_helo(j);
    }
    if (scope <= SCOPE_TXN) {
        drop_transaction(j);
    }
    facts_forget(&j->facts, scope);
    j->lists_seen.valid = false;
    for (size_t s = scope; s < SCOPE_COUNT; s++) {
        arena_fini(&j->arena[s]);
    }
}
