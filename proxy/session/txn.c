/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.c - creates and frees the transaction; see txn.h.
 */
#include "proxy/session/txn.h"

#include "policy/policy.h"
#include "proxy/session/session_priv.h"

struct txn *txn_new(struct session *s)
{
    struct txn *t = xcalloc(1, sizeof(*t));

    t->session = s;
    t->number = s->messages + 1;
    t->started = loop_now(s->worker->loop);
    arena_init_counted(&t->arena, TXN_ARENA_MAX);
    buf_init(&t->head, SIZE_MAX / 2);
    buf_init(&t->section_copy, SIZE_MAX / 2);
    session_policy_txn(t);
    t->env.client = s->peer;
    t->env.local = s->local;
    t->env.helo = slice_str(s->helo);
    t->env.rdns = judge_rdns(session_judge(s));
    t->env.esmtp = s->esmtp;
    t->env.client_exempt = s->exempt;
    t->env.session_id = s->id;
    return t;
}

void txn_free(struct txn **tp)
{
    struct txn *t = *tp;

    if (t == NULL) {
        return;
    }
    *tp = NULL;
    timer_stop(&t->tarpit);
    relay_free(&t->relay); /* first, because it could still call back */
    spool_free(&t->spool);
    sha256_free(t->hash);
    buf_fini(&t->head);
    buf_fini(&t->section_copy);
    free(t->env.rcpt);
    arena_fini(&t->arena);
    free(t);
}

void txn_add_recipient(struct txn *t, struct recipient *rcpt)
{
    if (t->env.rcpt_count == t->rcpt_room) { /* the caller has checked limits.recipients */
        t->rcpt_room = t->rcpt_room == 0 ? 4 : t->rcpt_room * 2;
        t->env.rcpt = xrealloc(t->env.rcpt, t->rcpt_room * sizeof(struct recipient *));
    }
    t->env.rcpt[t->env.rcpt_count++] = rcpt;
}
