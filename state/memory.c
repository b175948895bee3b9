/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c - implements memory.h: keys, handles, dispatch to the tables and the shared backend.
 */
#include "state/memory.h"

#include "core/crypto.h"
#include "state/memory_priv.h"
#include "state/shared_priv.h"

#define KEY_TEXT_MAX 1024 /* truncates longer texts; the longest triplet is shorter */

struct memory_key memory_key(enum memory_kind kind, struct slice text)
{
    uint8_t hash[SHA256_LEN];
    char mem[KEY_TEXT_MAX + 1];
    struct memory_key key;

    text = slice_take(text, KEY_TEXT_MAX);
    mem[0] = (char)kind;
    for (size_t i = 0; i < text.len; i++) {
        mem[i + 1] = ascii_lower(text.ptr[i]);
    }
    sha256_of(mem, text.len + 1, hash);
    memcpy(key.octets, hash, sizeof(key.octets));
    return key;
}

struct memory *memory_new(struct state *st, struct loop *loop, const struct config_redis *redis)
{
    struct memory *m = xcalloc(1, sizeof(*m));

    m->tables = st->tables;
    m->loop = loop;
    list_init(&m->ops);
    if (loop != NULL && redis != NULL && redis->url != NULL && redis->url[0] != '\0') {
        m->redis = redis_new(m, redis);
    }
    return m;
}

static void op_free(struct memory_op *op)
{
    if (op->m->redis != NULL) {
        redis_forget(op);
    }
    timer_stop(&op->timeout);
    deferred_cancel(&op->ready);
    list_remove(&op->link);
    free(op);
}

void memory_free(struct memory **mp)
{
    struct memory *m = *mp;

    if (m == NULL) {
        return;
    }
    *mp = NULL;
    while (!list_empty(&m->ops)) {
        op_free(container_of(m->ops.next, struct memory_op, link));
    }
    redis_free(&m->redis);
    if (m->apart) {
        tables_free(m->tables);
    }
    free(m);
}

void memory_op_done(struct memory_op *op)
{
    struct memory_answer a = { .count = op->count, .record = op->record, .shared = op->shared };
    struct memory_op copy = *op; /* the records live in it until the callback returns */

    a.record = copy.record;
    op_free(op);
    copy.cb(copy.arg, &a);
}

static void on_ready(void *arg)
{
    memory_op_done(arg);
}

/* Ends with the tables' answer, because the shared backend did not reply in time. */
static void on_timeout(void *arg)
{
    struct memory_op *op = arg;

    count(M_SHARED_LATE);
    memory_op_done(op);
}

struct memory_op *memory_ask(struct memory *m, const struct memory_question *q, size_t count, int64_t now_s,
                             memory_cb cb, void *arg)
{
    struct memory_op *op = xcalloc(1, sizeof(*op));

    BUG_ON(m->loop == NULL || count > MEMORY_ASK_MAX);
    op->m = m;
    op->cb = cb;
    op->arg = arg;
    op->now_s = now_s;
    op->count = count;
    list_node_init(&op->link);
    list_init(&op->asked);
    list_push_back(&m->ops, &op->link);
    deferred_init(&op->ready, on_ready, op);
    timer_init(&op->timeout, m->loop, on_timeout, op);
    for (size_t i = 0; i < count; i++) {
        op->q[i] = q[i];
        tables_ask(m->tables, &q[i], now_s, &op->record[i]);
        if (m->apart) {
            memory_ask_source(m, &q[i], &op->record[i]);
        }
    }
    if (m->redis == NULL || !redis_ask(m->redis, op)) {
        loop_defer(m->loop, &op->ready);
    }
    return op;
}

void memory_peek_standing(struct memory *m, const struct memory_key *key, int64_t now_s,
                          struct memory_record *out)
{
    struct memory_question q = { .what = MEMORY_STANDING, .key = *key };

    tables_ask(m->tables, &q, now_s, out);
}

void memory_cancel(struct memory_op **op)
{
    if (*op != NULL) {
        op_free(*op);
    }
    *op = NULL;
}

void memory_note(struct memory *m, enum memory_event event, const struct memory_key *key, uint32_t keep_s,
                 int64_t now_s)
{
    tables_note(m->tables, event, key, keep_s, now_s);
    if (m->redis != NULL) {
        redis_note(m->redis, event, key, keep_s, now_s);
    }
}

int64_t memory_history_since(const struct memory *m)
{
    int64_t since_s = m->tables->h->history_s, now_s = wall_now_s();

    return since_s < 0 ? 0 : since_s < now_s ? since_s : now_s; /* forged, or the clock went back */
}

bool memory_shared_up(const struct memory *m)
{
    return m->redis == NULL || redis_up(m->redis);
}

struct memory_list *memory_list_take(struct memory *m, struct slice name)
{
    return tables_list_take(m->tables, name);
}

struct memory_list *memory_list_at(struct memory *m, size_t n)
{
    return tables_list_at(m->tables, n);
}

void memory_list_give(struct memory *m, struct memory_list *l)
{
    tables_list_give(m->tables, l);
}

void memory_list_copy(struct memory_list *out, const struct memory_list *l)
{
    memcpy(out, l, sizeof(*out));
    out->name[sizeof(out->name) - 1] = '\0';
    out->why[sizeof(out->why) - 1] = '\0';
    for (size_t i = 0; i < MEMORY_EVIDENCE; i++) {
        out->evidence[i].text[sizeof(out->evidence[i].text) - 1] = '\0';
    }
    out->evidence_next %= MEMORY_EVIDENCE;
    out->override = out->override <= OVERRIDE_OFF ? out->override : OVERRIDE_AUTO;
}

bool memory_list_claim(struct memory_list *l, uint32_t *due_s, int64_t now_s, uint32_t interval_s)
{
    (void)l; /* the caller holds the lock, so there is only one */
    if (now_s < (int64_t)*due_s && (int64_t)*due_s - now_s <= (int64_t)interval_s) {
        return false;
    }
    *due_s = (uint32_t)(now_s + (int64_t)interval_s);
    return true;
}
