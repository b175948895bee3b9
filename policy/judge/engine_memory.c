/*
 * engine_memory.c - what is remembered, as facts: first seen, rate, good standing, first-day suspicion,
 * triplets; and what a session leaves behind: standing, witness for the guard (engine.h).
 *
 *     client     at connect: seen since, rate
 *     standing   when SPF and the verified name are settled: is an identity of the client in good standing?
 *     zero-day   after that, because good standing ties a client to its names
 *     triplet    when a rule with `greylist` matched
 *
 * Nothing is asked for exempt clients, and nothing is learned from them.  Memory that is not to be had makes
 * facts unknown, and triplets pass.
 */
#include "core/metrics.h"
#include "core/table.h"
#include "policy/judge/engine.h"

static bool usable(const struct judge *j)
{
    return j->pw->memory != NULL && !j->exempt;
}

static const struct remembered *settings(const struct judge *j)
{
    return &j->pw->policy->remembered;
}

static struct slice text_of(const struct judge *j, enum fact_id id)
{
    const struct fact_value *v = &j->facts.v[id];

    return v->state == FACT_KNOWN ? fact_text(v) : SLICE_NONE;
}

static bool has_spf_pass(const struct judge *j)
{
    const struct fact_value *v = &j->facts.v[FACT_ID_SPF];

    return v->state == FACT_KNOWN && slice_eq(fact_word(FACT_ID_SPF, v->word), SLICE("pass"));
}

static bool has_spf_fail(const struct judge *j)
{
    const struct fact_value *v = &j->facts.v[FACT_ID_SPF];

    return v->state == FACT_KNOWN && slice_eq(fact_word(FACT_ID_SPF, v->word), SLICE("fail"));
}

/* ---- the client ---- */

static void on_client(void *arg, const struct memory_answer *a)
{
    struct judge *j = arg;
    struct judge_memory *m = &j->mem;

    m->client_op = NULL;
    m->client_seen = a->record[0];
    m->client_done = true;
    if (a->record[0].known) {
        int64_t age = wall_now_s() - a->record[0].since_s;

        fact_set_duration(&j->facts, FACT_ID_CLIENT_FIRST_SEEN, (uint64_t)(age > 0 ? age : 0) * 1000);
    } else {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_FIRST_SEEN);
    }
    if (a->record[1].known) {
        fact_set_number(&j->facts, FACT_ID_CLIENT_RATE, (int64_t)a->record[1].count * 1000);
    } else {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_RATE);
    }
    engine_changed(j);
}

void memory_start_client(struct judge *j)
{
    struct addr client = addr_client(&j->ip);
    char mem[ADDR_TEXT_MAX];
    struct memory_question q[2];
    struct buf b;

    if (!usable(j)) {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_FIRST_SEEN);
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_RATE);
        j->mem.client_done = true;
        return;
    }
    if (j->mem.client_done || j->mem.client_op != NULL) {
        return;
    }
    buf_init_fixed(&b, mem, sizeof(mem));
    addr_put_ip(&b, &client);
    q[0] = (struct memory_question){ .what = MEMORY_SEEN,
                                     .key = memory_key(MEMORY_CLIENT, buf_slice(&b)),
                                     .keep_s = STANDING_SEEN_KEEP_S };
    q[1] = (struct memory_question){ .what = MEMORY_RATE, .key = q[0].key };
    fact_set_pending(&j->facts, FACT_ID_CLIENT_FIRST_SEEN);
    fact_set_pending(&j->facts, FACT_ID_CLIENT_RATE);
    j->mem.client_op = memory_ask(j->pw->memory, q, 2, wall_now_s(), on_client, j);
}

/* ---- standing ---- */

/* A generic name comes with the address, so each next customer has it too. */
static bool has_own_name(const struct judge *j)
{
    const struct fact_value *generic = &j->facts.v[FACT_ID_CLIENT_DYNAMIC];

    return !slice_empty(text_of(j, FACT_ID_CLIENT_RDNS)) && generic->state == FACT_KNOWN && !generic->flag;
}

/*
 * The client's identities (standing.h), that of the SPF pass first.  Keys are hashes: that of the host is made once a
 * session, that of the domain once a transaction.
 */
static size_t take_identities(struct judge *j, struct memory_key key[2])
{
    struct slice domain = text_of(j, FACT_ID_SPF_DOMAIN);
    struct judge_memory *m = &j->mem;
    size_t n = 0;

    if (has_spf_pass(j) && !slice_empty(domain)) {
        if (!m->domain_made) {
            m->domain = memory_key(MEMORY_DOMAIN, domain);
            m->domain_made = true;
        }
        key[n++] = m->domain;
    }
    if (has_own_name(j)) {
        if (!m->host_made) {
            m->host = identity_host(&j->ip, text_of(j, FACT_ID_CLIENT_RDNS));
            m->host_made = true;
        }
        key[n++] = m->host;
    }
    return n;
}

/* Without its name a client may still be the one whose name earned it. */
static void set_known_good(struct judge *j)
{
    if (j->mem.good || j->facts.v[FACT_ID_CLIENT_RDNS].state != FACT_UNKNOWN) {
        fact_set_flag(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD, j->mem.good);
    } else {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
    }
}

static void on_standing(void *arg, const struct memory_answer *a)
{
    struct judge *j = arg;
    struct judge_memory *m = &j->mem;
    int64_t now_s = wall_now_s(), history = memory_history_since(j->pw->memory);
    bool known = false;

    m->standing_op = NULL;
    m->standing_done = true;
    for (size_t i = 0; i < a->count; i++) {
        known = known || a->record[i].known;
        m->good = m->good || known_good_is(&settings(j)->known_good, &a->record[i], now_s);
    }
    m->established = has_spf_pass(j) && m->domain_made &&
                     known_good_is_established(&settings(j)->known_good, &a->record[0], history, now_s);
    if (known) {
        set_known_good(j);
    } else {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
    }
    engine_changed(j);
}

void memory_start_standing(struct judge *j)
{
    if (!usable(j)) {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
        return;
    }
    j->mem.standing_wanted = true;
    fact_set_pending(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
    engine_ask(j, FACT_ID_SPF, false);
    engine_ask(j, FACT_ID_CLIENT_RDNS, false);
}

static bool is_pending(const struct judge *j, enum fact_id id)
{
    return j->facts.v[id].state == FACT_PENDING;
}

/* The guard wants to know too, but for it nothing is looked up. */
static void derive_standing(struct judge *j)
{
    struct judge_memory *m = &j->mem;
    struct memory_key key[2];
    struct memory_question q[2];
    size_t n;

    if ((!m->standing_wanted && (j->pw->guard == NULL || j->run == NULL)) || !j->txn.open ||
        m->standing_done || m->standing_op != NULL || is_pending(j, FACT_ID_SPF) ||
        is_pending(j, FACT_ID_CLIENT_RDNS)) {
        return;
    }
    n = take_identities(j, key);
    for (size_t i = 0; i < n; i++) {
        q[i] = (struct memory_question){ .what = MEMORY_STANDING,
                                         .key = key[i],
                                         .keep_s = settings(j)->known_good.within_s };
    }
    if (n == 0) { /* no identity that could have earned it */
        m->standing_done = true;
        set_known_good(j);
        return;
    }
    m->standing_op = memory_ask(j->pw->memory, q, n, wall_now_s(), on_standing, j);
    if (j->run != NULL && j->pw->guard != NULL && has_spf_pass(j) && guard_run_samples(j->pw->guard)) {
        reputation_sample(j->run);
    }
}

/* ---- first-day suspicion ---- */

enum fact_state memory_zero_day_state(const struct judge *j)
{
    return !usable(j) || j->mem.zero_failed ? FACT_UNKNOWN
           : j->mem.zero_done               ? FACT_KNOWN
           : j->mem.zero_wanted             ? FACT_PENDING
                                            : FACT_IDLE;
}

static void on_zero_day(void *arg, const struct memory_answer *a)
{
    struct judge *j = arg;
    struct judge_memory *m = &j->mem;
    struct zero_day_seen seen = { .client = &m->client_seen,
                                  .history_s = memory_history_since(j->pw->memory) };

    m->zero_op = NULL;
    m->zero_done = true;
    for (size_t i = 0; i < a->count; i++) {
        if (m->zero_which[i] == ZERO_DAY_DOMAIN) {
            seen.domain = &a->record[i];
        } else {
            seen.burst[m->zero_which[i]] = &a->record[i];
        }
    }
    m->zero = zero_day_decide(&settings(j)->zero_day, &seen, wall_now_s());
    engine_changed(j);
}

void memory_start_zero_day(struct judge *j)
{
    if (!usable(j) || j->mem.zero_wanted) {
        return;
    }
    j->mem.zero_wanted = true;
    memory_start_client(j);
    if (j->facts.v[FACT_ID_CLIENT_KNOWN_GOOD].state == FACT_IDLE) {
        memory_start_standing(j);
    }
}

static void derive_zero_day(struct judge *j)
{
    struct judge_memory *m = &j->mem;
    const struct fact_value *helo = &j->facts.v[FACT_ID_SPF_HELO];
    struct slice domain = text_of(j, FACT_ID_SENDER_DOMAIN);
    struct memory_question q[4];
    struct burst_ask ask;
    size_t n;

    if (!m->zero_wanted || m->zero_done || m->zero_failed || m->zero_op != NULL || !m->standing_done ||
        !m->client_done) {
        return;
    }
    ask = (struct burst_ask){
        .spf_pass = has_spf_pass(j),
        .helo_spf_pass =
            helo->state == FACT_KNOWN && slice_eq(fact_word(FACT_ID_SPF_HELO, helo->word), SLICE("pass")),
        .known_good = m->good,
        .domain = domain,
        .helo = text_of(j, FACT_ID_HELO_NAME),
        .sender = text_of(j, FACT_ID_SENDER_ADDRESS),
        .rdns = text_of(j, FACT_ID_CLIENT_RDNS),
    };
    n = zero_day_burst_questions(&settings(j)->zero_day, &ask, &j->ip, q, m->zero_which);
    if (!slice_empty(domain)) {
        q[n] = (struct memory_question){ .what = MEMORY_SEEN,
                                         .key = memory_key(MEMORY_SENDER, domain),
                                         .keep_s = STANDING_SEEN_KEEP_S };
        m->zero_which[n++] = ZERO_DAY_DOMAIN;
    }
    m->zero_op = memory_ask(j->pw->memory, q, n, wall_now_s(), on_zero_day, j);
}

void memory_derive(struct judge *j)
{
    if (usable(j)) {
        derive_standing(j);
        derive_zero_day(j);
    }
}

void memory_give_up(struct judge *j, bool standing)
{
    struct judge_memory *m = &j->mem;

    if (standing && !m->standing_done) {
        memory_cancel(&m->standing_op);
        m->standing_done = true;
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
    }
    if (!standing && !m->zero_done) {
        memory_cancel(&m->zero_op);
        m->zero_failed = true;
    }
}

/* ---- triplets ---- */

static void on_triplet(void *arg, const struct memory_answer *a)
{
    struct judge *j = arg;
    struct judge_memory *m = &j->mem;
    const struct greylist_settings *s = &settings(j)->greylist;
    int64_t now_s = wall_now_s();
    struct memory_record r = a->record[0];
    bool learn, waits;

    m->grey_op = NULL;
    r.known =
        r.known && (r.found || memory_history_since(j->pw->memory) > 0); /* else it is still being read */
    waits = greylist_decide(s, &r, now_s, &learn, &m->grey_wait_s) == GREY_WAITS;
    m->grey = waits ? EVAL_GREY_WAITS : EVAL_GREY_PASSES;
    if (learn) {
        memory_note(j->pw->memory, MEMORY_PASSED, &m->grey_key, s->remember_s, now_s);
    }
    count(m->grey == EVAL_GREY_WAITS ? M_GREYLISTED : M_GREYLIST_PASSED);
    engine_changed(j);
}

bool memory_ask_triplet(struct judge *j, bool expired)
{
    struct judge_memory *m = &j->mem;
    const struct greylist_settings *s = &settings(j)->greylist;
    struct greylist_who who = { .ip = &j->ip,
                                .sender = text_of(j, FACT_ID_SENDER_ADDRESS),
                                .recipient = text_of(j, FACT_ID_RECIPIENT_ADDRESS) };
    struct memory_question q;

    if (!usable(j) || j->pw->policy->conf->mode == MODE_MONITOR || expired) {
        memory_cancel(&m->grey_op);
        m->grey = EVAL_GREY_PASSES;
        return true;
    }
    engine_ask(j, FACT_ID_SPF, false);
    if (m->grey_op != NULL || is_pending(j, FACT_ID_SPF)) {
        return false;
    }
    if (has_spf_pass(j)) {
        who.spf_domain = text_of(j, FACT_ID_SPF_DOMAIN);
    }
    m->grey_key = greylist_key(s, &who);
    q = (struct memory_question){ .what = MEMORY_GREYLIST, .key = m->grey_key, .keep_s = s->retry_within_s };
    m->grey_op = memory_ask(j->pw->memory, &q, 1, wall_now_s(), on_triplet, j);
    return false;
}

/* ---- what a session leaves behind ---- */

static uint64_t hash_of(struct slice s)
{
    static const uint64_t fixed[2] = { 0x676c61636973ULL, 0x6f776e6572ULL };

    return siphash(fixed, s.ptr, s.len);
}

static bool is_hit(const struct judge *j, size_t list)
{
    int64_t weight;

    return reputation_list_state(j->run, list, &weight) == LIST_LISTED;
}

/* Does another list that counts against clients have it? */
static bool listed_elsewhere(const struct judge *j, size_t list)
{
    const struct reputation *rep = &j->pw->policy->reputation;

    for (size_t i = 0; i < rep->count; i++) {
        if (i != list && rep->list[i].weight_max > 0 && guard_run_mode(j->pw->guard, i) == LIST_ENFORCE &&
            is_hit(j, i)) {
            return true;
        }
    }
    return false;
}

static void bear_witness(const struct judge *j)
{
    const struct reputation *rep = &j->pw->policy->reputation;
    struct slice owner = has_spf_pass(j) ? identity_owner(text_of(j, FACT_ID_SPF_DOMAIN)) : SLICE_NONE;
    struct slice name = text_of(j, FACT_ID_CLIENT_RDNS);
    struct addr net = addr_network(&j->ip, 24, 48);
    struct guard_witness w = { .spf_pass = has_spf_pass(j),
                               .established = j->mem.established,
                               .owner = hash_of(owner),
                               .ip = j->ip,
                               .network = identity_network_hash(&j->ip) };
    char mem[DNS_NAME_MAX + ADDR_TEXT_MAX + 2];
    struct buf who;

    if (w.established) { /* a provider's many customers are one correspondent */
        guard_run_canary(j->pw->guard, &j->ip, slice_empty(name) ? w.owner : hash_of(identity_owner(name)));
    }
    buf_init_fixed(&who, mem, sizeof(mem));
    addr_put_ip(&who, &net);
    buf_put_char(&who, ' ');
    buf_put_slice(&who, owner);
    w.who = buf_slice(&who);
    for (size_t i = 0; i < rep->count; i++) {
        int64_t weight;
        enum list_state state = reputation_list_state_raw(j->run, i, &weight);

        if (state != LIST_LISTED && state != LIST_NOT_LISTED) {
            continue;
        }
        w.listed = state == LIST_LISTED;
        w.overlap = listed_elsewhere(j, i);
        w.unique = !w.overlap;
        w.bad = w.overlap || has_spf_fail(j);
        guard_run_witness(j->pw->guard, i, &w);
    }
}

void memory_drop(struct judge *j, enum fact_scope scope)
{
    struct judge_memory *m = &j->mem;

    memory_cancel(&m->grey_op);
    m->grey = EVAL_GREY_UNASKED;
    if (scope > SCOPE_TXN) {
        return;
    }
    if (j->run != NULL && j->pw->guard != NULL && m->standing_done && !m->witnessed) {
        bear_witness(j);
        m->witnessed = true; /* once a session: a thousand messages are one witness */
    }
    memory_cancel(&m->standing_op);
    memory_cancel(&m->zero_op);
    m->standing_wanted = m->standing_done = m->good = m->established = m->domain_made = false;
    m->zero_wanted = m->zero_done = m->zero_failed = false;
    if (scope == SCOPE_SESSION) {
        memory_cancel(&m->client_op);
    }
}

void judge_outcome(struct judge *j, bool accepted)
{
    struct memory_key key[4];
    size_t n;

    if (j == NULL || !usable(j) || !j->txn.open) {
        return;
    }
    n = take_identities(j, key);
    if (has_own_name(j)) {
        key[n++] = identity_address(&j->ip);
    }
    key[n++] = identity_network(&j->ip);
    for (size_t i = 0; i < n; i++) {
        memory_note(j->pw->memory, accepted ? MEMORY_ACCEPTED : MEMORY_REFUSED, &key[i],
                    settings(j)->known_good.within_s, wall_now_s());
    }
}

bool judge_exempt_from_rates(const struct judge *j)
{
    const struct group *allowed = rules_group(&j->pw->policy->rules, SLICE("allow_clients"));

    return has_spf_pass(j) || j->mem.good || group_has_name(allowed, judge_rdns(j), wall_now_s());
}

bool judge_known_good(const struct judge *j)
{
    return j->mem.good;
}

static bool peek(const struct policy_worker *pw, struct memory_key key)
{
    struct memory_record r;

    if (pw->memory == NULL) {
        return false;
    }
    memory_peek_standing(pw->memory, &key, wall_now_s(), &r);
    return known_good_is(&pw->policy->remembered.known_good, &r, wall_now_s());
}

bool policy_client_known_good(const struct policy_worker *pw, const struct addr *ip)
{
    return peek(pw, identity_address(ip));
}

bool policy_greets_at_once(const struct policy_worker *pw, const struct addr *ip)
{
    return peek(pw, identity_network(ip)) || policy_client_known_good(pw, ip);
}
