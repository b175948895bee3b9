/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.c - runs the table of sources: start, derive, give up, forget; shared helpers of sources (source.h).
 *
 * Derive      a source may start another one while it derives.  Then all are derived again, so that the order of
 *             answers does not matter.  This ends, because a source starts only once a scope.
 */
#include "policy/judge/engine_priv.h"

const struct source *const source_table[SOURCE_COUNT] = {
#define X(id, name) [SOURCE_##id] = &source_##name,
    SOURCE_LIST(X)
#undef X
};

/* ---- a worker ---- */

static bool is_used(const struct policy_worker *pw, const struct source *s)
{
    for (const uint8_t *f = s->facts; *f != FACT_END; f++) {
        if (*f < FACT_COUNT && pw->used[*f]) {
            return true;
        }
    }
    return false;
}

/* From the bottom up, because a source is listed below those that it needs. */
static void note_needs(struct policy_worker *pw)
{
    bool wanted[SOURCE_COUNT] = { false };

    for (size_t id = SOURCE_COUNT - 1; id > SOURCE_NONE; id--) {
        const struct source *s = source_table[id];

        if ((!wanted[id] && !is_used(pw, s)) || (s->remembered && pw->memory == NULL)) {
            continue;
        }
        for (const uint8_t *n = s->needs; n != NULL && *n != SOURCE_NONE; n++) {
            wanted[*n] = true;
            pw->ahead[*n] = source_table[*n]->ahead;
        }
    }
}

/* Notes which sources have a hook: hooks are called dozens of times a message. */
static void note_hooks(struct source_hooks *h)
{
    size_t derive = 0, on_fact = 0, drop = 0;

    for (size_t id = SOURCE_NONE + 1; id < SOURCE_COUNT; id++) {
        if (source_table[id]->derive != NULL) {
            h->derive[derive++] = (uint8_t)id;
        }
        if (source_table[id]->on_fact != NULL) {
            h->on_fact[on_fact++] = (uint8_t)id;
        }
    }
    for (size_t id = SOURCE_COUNT - 1; id > SOURCE_NONE; id--) {
        if (source_table[id]->drop != NULL) {
            h->drop[drop++] = (uint8_t)id;
        }
    }
}

void sources_prepare(struct policy_worker *pw)
{
    for (size_t id = SOURCE_NONE + 1; id < SOURCE_COUNT; id++) {
        const struct source *s = source_table[id];

        for (const uint8_t *f = s->facts; *f != FACT_END; f++) {
            pw->source_of[*f] = (uint8_t)id;
        }
        pw->state_at[id] = pw->states_size;
        pw->states_size += (s->state_size + sizeof(uint64_t) - 1) / sizeof(uint64_t) * sizeof(uint64_t);
    }
    for (size_t id = SOURCE_NONE + 1; id < SOURCE_COUNT; id++) {
        if (source_table[id]->prepare != NULL) {
            source_table[id]->prepare(pw);
        }
    }
    note_needs(pw);
    note_hooks(&pw->hooks);
}

/* ---- a session ---- */

static struct fact_value *value_in(struct judge *j, uint8_t slot)
{
    return slot == FACT_TRIPLET ? &j->triplet : &j->facts.v[slot];
}

void source_need(struct judge *j, enum fact_id fact)
{
    if (judge_state(j, fact) == FACT_IDLE && source_of(j->pw, fact) != SOURCE_NONE) {
        source_start(j, source_of(j->pw, fact));
    }
}

void source_start(struct judge *j, enum source_id id)
{
    const struct source *s = source_table[id];

    j->derive_again = true;
    if (!s->start(j, source_state(j, id))) {
        return;
    }
    for (const uint8_t *f = s->facts; *f != FACT_END && !s->derived; f++) {
        *value_in(j, *f) = (struct fact_value){ .state = FACT_PENDING };
    }
    for (const uint8_t *n = s->needs; n != NULL && *n != SOURCE_NONE; n++) {
        source_need(j, (enum fact_id)source_table[*n]->facts[0]);
    }
}

void sources_start_ahead(struct judge *j, enum fact_stage stage)
{
    for (size_t id = SOURCE_NONE + 1; id < SOURCE_COUNT && !j->exempt; id++) {
        if (j->pw->ahead[id] && fact_table[source_table[id]->facts[0]].stage == stage) {
            source_need(j, (enum fact_id)source_table[id]->facts[0]);
        }
    }
}

/* Can it settle a fact now? */
static bool may_derive(struct judge *j, const struct source *s)
{
    if (s->derived) {
        return true;
    }
    if (!s->derives_unasked && value_in(j, s->facts[0])->state != FACT_PENDING) {
        return false;
    }
    for (const uint8_t *n = s->needs; n != NULL && *n != SOURCE_NONE; n++) {
        if (j->facts.v[source_table[*n]->facts[0]].state == FACT_PENDING) {
            return false;
        }
    }
    return true;
}

void sources_derive(struct judge *j)
{
    const struct source_hooks *hooks = &j->pw->hooks;

    do {
        j->derive_again = false;
        for (size_t i = 0; hooks->derive[i] != SOURCE_NONE; i++) {
            enum source_id id = (enum source_id)hooks->derive[i];

            if (may_derive(j, source_table[id])) {
                source_table[id]->derive(j, source_state(j, id));
            }
        }
    } while (j->derive_again);
}

void source_set_unknown(struct judge *j, const struct source *s)
{
    for (size_t i = 0; s->facts[i] != FACT_END; i++) {
        fact_set_unknown(&j->facts, (enum fact_id)s->facts[i]);
    }
}

void source_give_up(struct judge *j, enum source_id id)
{
    const struct source *s = source_table[id];

    if (s->give_up != NULL) {
        s->give_up(j, source_state(j, id));
    } else {
        source_set_unknown(j, s);
    }
}

void sources_tell(struct judge *j, enum fact_id fact)
{
    const struct source_hooks *hooks = &j->pw->hooks;

    for (size_t i = 0; hooks->on_fact[i] != SOURCE_NONE; i++) {
        enum source_id id = (enum source_id)hooks->on_fact[i];

        source_table[id]->on_fact(j, source_state(j, id), fact);
    }
}

void sources_drop(struct judge *j, enum fact_scope scope)
{
    const struct source_hooks *hooks = &j->pw->hooks;

    for (size_t i = 0; hooks->drop[i] != SOURCE_NONE; i++) {
        enum source_id id = (enum source_id)hooks->drop[i];

        if (scope <= source_table[id]->scope) {
            source_table[id]->drop(j, source_state(j, id), scope);
        }
    }
}

bool sources_busy(const struct judge *j, bool remembered)
{
    for (size_t id = SOURCE_NONE + 1; id < SOURCE_COUNT; id++) {
        const struct source *s = source_table[id];

        if (s->busy != NULL && (remembered || !s->remembered) &&
            s->busy(j, source_state(j, (enum source_id)id))) {
            return true;
        }
    }
    return false;
}

bool source_asks_again(const struct judge *j, enum fact_id fact)
{
    enum source_id id = source_of(j->pw, fact);
    const struct source *s = source_table[id];

    return id != SOURCE_NONE && s->ask_again != NULL && s->ask_again(j, source_state(j, id));
}

void sources_pack(const struct judge *j, struct buf *out)
{
    for (size_t id = SOURCE_NONE + 1; id < SOURCE_COUNT; id++) {
        if (source_table[id]->pack != NULL) {
            source_table[id]->pack(j, source_state(j, (enum source_id)id), out);
        }
    }
}

void sources_unpack(struct judge *j, struct slice *in)
{
    for (size_t id = SOURCE_NONE + 1; id < SOURCE_COUNT; id++) {
        if (source_table[id]->unpack != NULL) {
            source_table[id]->unpack(j, source_state(j, (enum source_id)id), in);
        }
    }
}

void source_take(struct slice *in, void *out, size_t len)
{
    BUG_ON(in->len < len);
    memcpy(out, in->ptr, len);
    *in = slice_skip(*in, len);
}

/* ---- shared helpers of sources ---- */

struct slice source_text(const struct judge *j, enum fact_id id)
{
    const struct fact_value *v = &j->facts.v[id];

    return v->state == FACT_KNOWN ? fact_text(v) : SLICE_NONE;
}

bool source_is_word(const struct judge *j, enum fact_id id, const char *word)
{
    const struct fact_value *v = &j->facts.v[id];

    return v->state == FACT_KNOWN && slice_eq(fact_word(id, v->word), slice_str(word));
}

bool source_remembers(const struct judge *j)
{
    return j->pw->memory != NULL && !j->exempt;
}

bool source_client_allowed(const struct judge *j)
{
    const struct group *g = rules_group(&j->pw->policy->rules, SLICE("allow_clients"));
    struct slice name = source_text(j, FACT_ID_CLIENT_RDNS);
    int64_t now = wall_now_s();

    return g != NULL && (group_has_ip(g, &j->ip, now) || group_has_name(g, name, now));
}

/* Failed queries for this client do not count against its network (dns.per_client). */
static bool is_forgiven(void *arg)
{
    const struct judge *j = arg;

    return judge_known_good(j) || source_client_allowed(j) || policy_client_known_good(j->pw, &j->ip);
}

struct dns_asker source_asker(struct judge *j)
{
    return (struct dns_asker){ .resolver = j->pw->resolver,
                               .network = j->exempt ? 0 : dns_network(&j->ip),
                               .forgives = is_forgiven,
                               .paced = judge_paced,
                               .arg = j };
}

/* ---- texts ---- */

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
