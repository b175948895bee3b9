/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_pack.c - packs the judge of an idle session to the data that later stages need (policy.h).
 *
 * Between transactions, with no lookup pending, a struct judge of some kilobytes holds little: a dozen facts, the
 * answers of the lists, the HELO.  judge_pack() writes this to a few hundred octets and frees the rest.
 * judge_unpack() restores the same judge without any lookup.
 *
 *     violations | paced | raw HELO | facts ... 0xff | the states of the sources, each as it packs itself (source.h)
 *     a fact: id, state and word and flag in one octet, then nothing, a number, or a text with its length
 *
 * Not kept     origins of answers (for explain, which never packs), and facts that depend on data too large to keep
 *              (source.ask_again): the next transaction looks them up again.
 *              Facts of a transaction follow from the others.
 * Owns         nothing: the caller owns the packed octets.
 */
#include "policy/judge/engine_priv.h"

#define REST_MAX 4096 /* a session with more data stays unpacked */
#define NO_MORE_FACTS 0xff
#define WORD_BITS 4 /* of the octet after the id: state 3, flag 1, word 4 */

_Static_assert(FACT_COUNT < NO_MORE_FACTS, "the id of a fact is an octet");

struct judge_packed {
    uint32_t len;
    char data[];
};

/* ---- packing ---- */

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

/* Facts that judge_make() sets itself, and those of a verdict that is not kept. */
static bool is_left_out(const struct judge *j, unsigned id)
{
    return fact_table[id].scope >= SCOPE_TXN || id == FACT_ID_CLIENT_IP || id == FACT_ID_SESSION_ID ||
           id == FACT_ID_CLIENT_PRIVATE || source_asks_again(j, (enum fact_id)id);
}

static bool may_rest(const struct judge *j)
{
    if (j->question.cb != NULL || list_linked(&j->run_later.node) || list_linked(&j->bypassed.node) ||
        j->txn.open || sources_busy(j, true)) {
        return false;
    }
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        if (!is_left_out(j, i) && j->facts.v[i].state == FACT_PENDING) {
            return false;
        }
    }
    return true;
}

static void put_all(const struct judge *j, struct buf *out)
{
    buf_put(out, &j->violations, sizeof(j->violations));
    buf_put_char(out, j->paced);
    put_text(out, j->helo_raw);
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        if (!is_left_out(j, i) && j->facts.v[i].state != FACT_IDLE) {
            put_fact(out, i, &j->facts.v[i]);
        }
    }
    buf_put_char(out, (char)NO_MORE_FACTS);
    sources_pack(j, out);
}

struct judge_packed *judge_pack(struct judge **judge)
{
    struct judge_packed *r;
    char mem[REST_MAX];
    struct buf out;

    if (!may_rest(*judge)) {
        return NULL;
    }
    buf_init_fixed(&out, mem, sizeof(mem));
    put_all(*judge, &out);
    if (!buf_ok(&out)) {
        return NULL;
    }
    r = xmalloc(sizeof(*r) + out.len);
    r->len = (uint32_t)out.len;
    memcpy(r->data, out.ptr, out.len);
    judge_free(judge);
    return r;
}

void judge_packed_free(struct judge_packed **r)
{
    free(*r);
    *r = NULL;
}

/* ---- unpacking; the data was written above, by this process ---- */

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
    uint8_t id;

    source_take(&in, &j->violations, sizeof(j->violations));
    source_take(&in, &j->paced, sizeof(j->paced));
    j->helo_raw = take_text(j, SCOPE_HELO, &in);
    for (source_take(&in, &id, sizeof(id)); id != NO_MORE_FACTS; source_take(&in, &id, sizeof(id))) {
        take_fact(j, id, &in);
    }
    sources_unpack(j, &in);
    BUG_ON(in.len != 0);
    sources_derive(j);
}

struct judge *judge_unpack(struct policy_worker *pw, const struct judge_client *client,
                           struct judge_packed **rest)
{
    struct judge *j = judge_make(pw, client);

    unfold(j, slice_of((*rest)->data, (*rest)->len));
    judge_packed_free(rest);
    return j;
}
