/*
 * judge_rest.c - the judgement of a silent session, folded to what later stages need (policy.h).
 *
 * Between transactions, with every answer in, a struct judge of some kilobytes says little: a dozen facts,
 * what the lists answered, who said HELO.  judge_rest() writes that down in some hundred octets and frees the
 * rest; judge_wake() makes the same judge of it again, and asks nobody.
 *
 *     flags | violations | client_seen, if known | raw HELO | facts ... 0xff
 *     | is there a run of the lists? then it (reputation_fold.c)
 *     a fact: id, state and word and flag in one octet, then nothing, a number, or a text with its length
 *
 * Not kept     where answers came from (explain, which never rests), and the verdict on the HELO's SPF, which
 *              is two kilobytes: its fact is forgotten with it and asked again by the next transaction.
 *              Facts of a transaction follow from the others.
 * Owns         nothing: what is written is the caller's.
 */
#include "policy/judge/engine.h"

#define REST_MAX 4096 /* a session that said more stays as it is */
#define NO_MORE_FACTS 0xff
#define WORD_BITS 4 /* of the octet behind the id: state 3, flag 1, word 4 */

_Static_assert(FACT_COUNT < NO_MORE_FACTS, "the id of a fact is an octet");

struct judge_rest {
    uint32_t len;
    char data[];
};

static const size_t flags[] = {
    offsetof(struct judge, lists_asked),   offsetof(struct judge, late_asked),
    offsetof(struct judge, reason_asked),  offsetof(struct judge, mem.client_done),
    offsetof(struct judge, mem.witnessed),
};

/* ---- folding ---- */

static void put_text(struct buf *out, struct slice text)
{
    uint16_t len = (uint16_t)text.len;

    if (text.len > REST_MAX) {
        out->failed = true;
        return;
    }
    buf_put(out, &len, sizeof(len));
    buf_put_slice(out, text);
}

static bool has_text(enum fact_type type)
{
    return type == FACT_WORDS || type == FACT_NAME || type == FACT_ADDRESS || type == FACT_TEXT;
}

static void put_fact(struct buf *out, unsigned id, const struct fact_value *v)
{
    enum fact_type type = fact_table[id].type;

    buf_put_char(out, (char)id);
    buf_put_char(out, (char)(v->state << (WORD_BITS + 1) | (v->flag ? 1 << WORD_BITS : 0) | v->word));
    if (v->state != FACT_KNOWN) {
        return;
    }
    if (has_text(type)) {
        put_text(out, fact_text(v));
    } else if (type == FACT_NUMBER || type == FACT_DURATION) {
        buf_put(out, &v->u.number, sizeof(v->u.number));
    }
}

/* What judge_make() sets itself, and what goes with a verdict that is not kept. */
static bool is_left_out(const struct judge *j, unsigned id)
{
    return fact_table[id].scope >= SCOPE_TXN || id == FACT_ID_CLIENT_IP || id == FACT_ID_SESSION_ID ||
           id == FACT_ID_CLIENT_PRIVATE ||
           (id == FACT_ID_SPF_HELO && source_spf_verdict(j, SPF_HELO) != NULL);
}

static bool is_out(const struct judge *j)
{
    const struct judge_memory *m = &j->mem;

    return sources_busy(j) || m->client_op != NULL || m->standing_op != NULL || m->zero_op != NULL ||
           m->grey_op != NULL || (j->run != NULL && reputation_busy(j->run));
}

static bool may_rest(const struct judge *j)
{
    const struct judge_memory *m = &j->mem;

    if (j->question.cb != NULL || list_linked(&j->run_later.node) || list_linked(&j->bypassed.node) ||
        j->txn.open || m->standing_wanted || m->standing_done || m->zero_wanted || is_out(j)) {
        return false;
    }
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        if (!is_left_out(j, i) && j->facts.v[i].state == FACT_PENDING) {
            return false;
        }
    }
    return true;
}

static void fold(const struct judge *j, struct buf *out)
{
    uint16_t set = 0;

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        set = (uint16_t)(set | (*((const bool *)(const void *)((const char *)j + flags[i])) ? 1u << i : 0));
    }
    buf_put(out, &set, sizeof(set));
    buf_put(out, &j->violations, sizeof(j->violations));
    if (j->mem.client_done) {
        buf_put(out, &j->mem.client_seen, sizeof(j->mem.client_seen));
    }
    put_text(out, j->helo_raw);
    sources_pack(j, out);
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        if (!is_left_out(j, i) && j->facts.v[i].state != FACT_IDLE) {
            put_fact(out, i, &j->facts.v[i]);
        }
    }
    buf_put_char(out, (char)NO_MORE_FACTS);
    buf_put_char(out, j->run != NULL);
    if (j->run != NULL) {
        reputation_fold(j->run, out);
    }
}

struct judge_rest *judge_rest(struct judge **judge)
{
    struct judge_rest *r;
    char mem[REST_MAX];
    struct buf out;

    if (!may_rest(*judge)) {
        return NULL;
    }
    buf_init_fixed(&out, mem, sizeof(mem));
    fold(*judge, &out);
    if (!buf_ok(&out)) {
        return NULL;
    }
    r = xmalloc(sizeof(*r) + out.len);
    r->len = (uint32_t)out.len;
    memcpy(r->data, out.ptr, out.len);
    judge_free(judge);
    return r;
}

void judge_rest_free(struct judge_rest **r)
{
    free(*r);
    *r = NULL;
}

/* ---- unfolding; what is read was written above, by this process ---- */

static struct slice take_text(struct judge *j, enum fact_scope scope, struct slice *in)
{
    struct slice text;
    uint16_t len;

    source_take(in, &len, sizeof(len));
    BUG_ON(in->len < len);
    text = slice_take(*in, len);
    *in = slice_skip(*in, len);
    return len > 0 ? facts_copy(j, scope, text) : SLICE_NONE;
}

static void take_fact(struct judge *j, uint8_t id, struct slice *in)
{
    struct fact_value *v = &j->facts.v[id];
    enum fact_type type = fact_table[id].type;
    uint8_t bits;

    source_take(in, &bits, sizeof(bits));
    *v = (struct fact_value){ .state = (uint8_t)(bits >> (WORD_BITS + 1)),
                              .flag = (bits & 1 << WORD_BITS) != 0,
                              .word = bits & ((1 << WORD_BITS) - 1) };
    if (v->state != FACT_KNOWN) {
        return;
    }
    if (has_text(type)) {
        fact_set_text(&j->facts, (enum fact_id)id, take_text(j, fact_table[id].scope, in));
    } else if (type == FACT_NUMBER || type == FACT_DURATION) {
        source_take(in, &v->u.number, sizeof(v->u.number));
    }
}

static void unfold(struct judge *j, struct slice in)
{
    struct reputation_setup lists = judge_lists_setup(j);
    bool has_run;
    uint16_t set;
    uint8_t id;

    source_take(&in, &set, sizeof(set));
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        *((bool *)(void *)((char *)j + flags[i])) = (set & 1u << i) != 0;
    }
    source_take(&in, &j->violations, sizeof(j->violations));
    if (j->mem.client_done) {
        source_take(&in, &j->mem.client_seen, sizeof(j->mem.client_seen));
    }
    j->helo_raw = take_text(j, SCOPE_HELO, &in);
    sources_unpack(j, &in);
    for (source_take(&in, &id, sizeof(id)); id != NO_MORE_FACTS; source_take(&in, &id, sizeof(id))) {
        take_fact(j, id, &in);
    }
    source_take(&in, &has_run, sizeof(has_run));
    if (has_run) { /* as it was begun: another one might have other lists by now */
        j->run = reputation_unfold(&lists, judge_lists_changed, j, &j->ip, &in);
    }
    BUG_ON(in.len != 0);
    facts_derive(j);
}

struct judge *judge_wake(struct policy_worker *pw, const struct judge_client *client,
                         struct judge_rest **rest)
{
    struct judge *j = judge_make(pw, client);

    unfold(j, slice_of((*rest)->data, (*rest)->len));
    judge_rest_free(rest);
    return j;
}
