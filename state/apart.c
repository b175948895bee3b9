/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apart.c - a memory for `glacis explain`, which must not change the records (memory.h).
 *
 * `glacis explain` judges like a worker.  It has small private tables that start empty: each client, domain and triplet
 * is new there, as in a fresh installation.  A source asks the running proxy, so each answer is the one that a worker
 * would get.  The private tables end with the process.
 *
 * Counterpart: memory_peek() reads the real tables and changes nothing in them.
 */
#include "state/memory_priv.h"

#define SHARE 256 /* divides the sizes of the tables */

struct memory *memory_new_apart(struct loop *loop, const struct memory_source *source)
{
    struct tables *t = tables_new(SHARE);
    struct memory *m;

    if (t == NULL) {
        return NULL;
    }
    t->h->history_s = source->history_s > 0 ? source->history_s : wall_now_s();
    m = xcalloc(1, sizeof(*m));
    m->tables = t;
    m->loop = loop;
    m->apart = true;
    m->source = *source;
    list_init(&m->ops);
    return m;
}

void memory_ask_source(struct memory *m, const struct memory_question *q, struct memory_record *r)
{
    struct memory_record theirs = { .known = false };

    if (m->source.peek != NULL && m->source.peek(m->source.arg, q, &theirs)) {
        *r = theirs;
    }
}

void memory_peek(struct memory *m, const struct memory_question *q, int64_t now_s, struct memory_record *out)
{
    tables_peek(m->tables, q, now_s, out);
}
