/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_standing.c - is an identity of the client in good standing?  The fact client.known_good.  Also adds the
 * outcome of a session to its standing (source.h, standing/standing.h).
 *
 * Looks up the memory once SPF and the verified name are settled, because they make the identities.  Exempt clients are
 * neither looked up nor remembered.  A failed lookup makes the fact unknown.
 */
#include "policy/judge/engine_priv.h"

struct standing_state {
    struct memory_op *op;
    struct memory_key host, domain; /* of the client with its name; of an SPF pass */
    bool host_made;                 /* of the session */
    bool witnessed;
    struct memory_key signer;                               /* of an aligned signature */
    bool domain_made, signer_made, done, good, established; /* of the transaction */
};

static struct standing_state *state_of(const struct judge *j)
{
    return source_state(j, SOURCE_STANDING);
}

static bool has_spf_pass(const struct judge *j)
{
    return source_is_word(j, FACT_ID_SPF, "pass");
}

/* A generic name belongs to the address: the next customer there gets it too. */
static bool has_own_name(const struct judge *j)
{
    const struct fact_value *generic = &j->facts.v[FACT_ID_CLIENT_DYNAMIC];

    return !slice_empty(source_text(j, FACT_ID_CLIENT_RDNS)) && generic->state == FACT_KNOWN &&
           !generic->flag;
}

static bool is_below(struct slice name, struct slice domain)
{
    return !slice_empty(domain) && name.len > domain.len && name.ptr[name.len - domain.len - 1] == '.' &&
           slice_eq(slice_skip(name, name.len - domain.len), domain);
}

/* A signing domain of the message that is the author's or of the same organisation.  Empty: there is none, or its SPF
 * pass already makes it an identity. */
static struct slice aligned_signer(const struct judge *j)
{
    const struct fact_value *aligned = &j->facts.v[FACT_ID_MESSAGE_FROM_ALIGNED];
    struct slice rest = source_text(j, FACT_ID_DKIM_DOMAINS),
                 organisation = source_text(j, FACT_ID_DMARC_DOMAIN);
    bool known = aligned->state == FACT_KNOWN && aligned->flag;

    while (known && !slice_empty(rest)) {
        struct slice domain = slice_cut(&rest, ',');

        if (slice_eq(domain, source_text(j, FACT_ID_MESSAGE_FROM_DOMAIN)) || slice_eq(domain, organisation) ||
            is_below(domain, organisation)) {
            return has_spf_pass(j) && slice_eq(domain, source_text(j, FACT_ID_SPF_DOMAIN)) ? SLICE_NONE
                                                                                           : domain;
        }
    }
    return SLICE_NONE;
}

/* False: no aligned signature passes, according to known results. */
static bool take_signer(struct judge *j, struct memory_key *key)
{
    struct standing_state *st = source_state(j, SOURCE_STANDING);
    struct slice domain = st->signer_made ? SLICE_NONE : aligned_signer(j);

    if (!slice_empty(domain)) {
        st->signer = memory_key(MEMORY_DOMAIN, domain);
        st->signer_made = true;
    }
    *key = st->signer;
    return st->signer_made;
}

#define IDENTITIES_MAX 3

/*
 * The client's identities (standing.h), that of the SPF pass first.  Keys are hashes: that of the host is computed once
 * a session, those of the domains once a transaction.
 */
static size_t take_identities(struct judge *j, struct memory_key key[IDENTITIES_MAX])
{
    struct slice domain = source_text(j, FACT_ID_SPF_DOMAIN);
    struct standing_state *st = source_state(j, SOURCE_STANDING);
    size_t n = 0;

    if (has_spf_pass(j) && !slice_empty(domain)) {
        if (!st->domain_made) {
            st->domain = memory_key(MEMORY_DOMAIN, domain);
            st->domain_made = true;
        }
        key[n++] = st->domain;
    }
    if (has_own_name(j)) {
        if (!st->host_made) {
            st->host = standing_key_host(&j->ip, source_text(j, FACT_ID_CLIENT_RDNS));
            st->host_made = true;
        }
        key[n++] = st->host;
    }
    n += take_signer(j, &key[n]) ? 1 : 0;
    return n;
}

/* If the rDNS lookup failed, a negative result is unknown: the client's name may have earned standing. */
static void set_known_good(struct judge *j, bool good)
{
    if (good || judge_state(j, FACT_ID_CLIENT_RDNS) != FACT_UNKNOWN) {
        fact_set_flag(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD, good);
    } else {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
    }
}

static void on_standing(void *arg, const struct memory_answer *a)
{
    struct judge *j = arg;
    struct standing_state *st = state_of(j);
    const struct config_known_good *s = &j->pw->policy->remembered.known_good;
    int64_t now_s = wall_now_s(), history = memory_history_since(j->pw->memory);
    bool known = false;

    st->op = NULL;
    st->done = true;
    for (size_t i = 0; i < a->count; i++) {
        known = known || a->record[i].known;
        st->good = st->good || known_good_is(s, &a->record[i], now_s);
    }
    st->established =
        has_spf_pass(j) && st->domain_made && known_good_is_established(s, &a->record[0], history, now_s);
    if (known) {
        set_known_good(j, st->good);
    } else {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
    }
    engine_changed(j);
}

static void on_signer(void *arg, const struct memory_answer *a)
{
    struct judge *j = arg;
    struct standing_state *st = state_of(j);

    st->op = NULL;
    st->good = known_good_is(&j->pw->policy->remembered.known_good, &a->record[0], wall_now_s());
    if (a->record[0].known) {
        set_known_good(j, st->good);
    } else {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
    }
    engine_changed(j);
}

/* The lookup at MAIL found no standing, and the message adds an identity. */
static void ask_signer(struct judge *j, struct standing_state *st)
{
    struct memory_question q = { .what = MEMORY_STANDING,
                                 .keep_s = j->pw->policy->remembered.known_good.within_s };
    bool asked = st->signer_made;

    if (!j->has_section || !st->done || st->good || st->op != NULL || asked || !j->txn.open ||
        !source_remembers(j) || judge_state(j, FACT_ID_CLIENT_KNOWN_GOOD) == FACT_IDLE ||
        !take_signer(j, &q.key)) {
        return;
    }
    fact_set_pending(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
    st->op = memory_ask(j->pw->memory, &q, 1, wall_now_s(), on_signer, j);
}

static bool start(struct judge *j, void *state)
{
    (void)state;
    if (!source_remembers(j)) {
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
    }
    return source_remembers(j);
}

/* The guard uses the result too, but it causes no lookup. */
static void derive(struct judge *j, void *state)
{
    struct standing_state *st = state;
    bool wanted =
        judge_state(j, FACT_ID_CLIENT_KNOWN_GOOD) == FACT_PENDING || (j->pw->guard != NULL && j->run != NULL);
    struct memory_key key[IDENTITIES_MAX];
    struct memory_question q[IDENTITIES_MAX];
    size_t n;

    ask_signer(j, st);
    if (!wanted || st->done || st->op != NULL || !j->txn.open || !source_remembers(j)) {
        return;
    }
    n = take_identities(j, key);
    for (size_t i = 0; i < n; i++) {
        q[i] = (struct memory_question){ .what = MEMORY_STANDING,
                                         .key = key[i],
                                         .keep_s = j->pw->policy->remembered.known_good.within_s };
    }
    if (n == 0) { /* no identity that could have standing */
        st->done = true;
        set_known_good(j, st->good);
        return;
    }
    st->op = memory_ask(j->pw->memory, q, n, wall_now_s(), on_standing, j);
    if (j->run != NULL && j->pw->guard != NULL && has_spf_pass(j) && guard_run_samples(j->pw->guard)) {
        reputation_sample(j->run);
    }
}

static void give_up(struct judge *j, void *state)
{
    struct standing_state *st = state;

    memory_cancel(&st->op);
    st->done = true;
    fact_set_unknown(&j->facts, FACT_ID_CLIENT_KNOWN_GOOD);
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct standing_state *st = state;

    (void)scope;
    if (j->run != NULL && j->pw->guard != NULL && st->done && !st->witnessed) {
        judge_bear_witness(j, st->established);
        st->witnessed = true; /* once a session: a thousand messages make one witness */
    }
    memory_cancel(&st->op);
    st->domain_made = st->signer_made = st->done = st->good = st->established = false;
}

static bool busy(const struct judge *j, const void *state)
{
    const struct standing_state *st = state;

    (void)j;
    return st->op != NULL;
}

static void pack(const struct judge *j, const void *state, struct buf *out)
{
    const struct standing_state *st = state;

    (void)j;
    buf_put_char(out, st->witnessed);
}

static void unpack(struct judge *j, void *state, struct slice *in)
{
    struct standing_state *st = state;

    (void)j;
    source_take(in, &st->witnessed, sizeof(st->witnessed));
}

static const uint8_t facts[] = { FACT_ID_CLIENT_KNOWN_GOOD, FACT_END };
static const uint8_t needs[] = { SOURCE_SPF, SOURCE_RDNS, SOURCE_NONE };

const struct source source_standing = {
    .facts = facts,
    .needs = needs,
    .state_size = sizeof(struct standing_state),
    .scope = SCOPE_TXN,
    .remembered = true,
    .derives_unasked = true,
    .start = start,
    .derive = derive,
    .give_up = give_up,
    .drop = drop,
    .busy = busy,
    .pack = pack,
    .unpack = unpack,
};

/* ---- for the session (policy.h) ---- */

void judge_outcome(struct judge *j, bool accepted)
{
    struct memory_key key[IDENTITIES_MAX + 2];
    size_t n;

    if (j == NULL || !source_remembers(j) || !j->txn.open) {
        return;
    }
    n = take_identities(j, key);
    if (has_own_name(j)) {
        key[n++] = standing_key_address(&j->ip);
    }
    key[n++] = standing_key_network(&j->ip);
    for (size_t i = 0; i < n; i++) {
        memory_note(j->pw->memory, accepted ? MEMORY_ACCEPTED : MEMORY_REFUSED, &key[i],
                    j->pw->policy->remembered.known_good.within_s, wall_now_s());
    }
}

bool judge_exempt_from_rates(const struct judge *j)
{
    const struct group *allowed = rules_group(&j->pw->policy->rules, SLICE("allow_clients"));

    return has_spf_pass(j) || judge_known_good(j) || group_has_name(allowed, judge_rdns(j), wall_now_s());
}

bool judge_known_good(const struct judge *j)
{
    return state_of(j)->good;
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
    return peek(pw, standing_key_address(ip));
}

bool policy_greets_at_once(const struct policy_worker *pw, const struct addr *ip)
{
    return peek(pw, standing_key_network(ip)) || policy_client_known_good(pw, ip);
}
