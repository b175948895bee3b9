/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_policy.c - calls policy/ and turns a verdict into a decision.
 *
 *     session_rcpt.c, session_data.c --ask--> judge --verdict--> decide() --decision--> the calling file acts
 *                                                                   | hold
 *                                                                   +--> tarpit timer --> decide() once more
 *
 * This file writes no reply and changes no phase.  Each call names the function that acts on the decision: only
 * session_rcpt.c replies to RCPT, only session_data.c ends a message.  session_early.c has the verdicts before RCPT.
 *
 * With mode: monitor the verdict is recorded, and the decision is to go on.
 */
#include "policy/policy.h"
#include "policy/verdict_reply.h"
#include "proxy/session/limits.h"
#include "proxy/session/session_priv.h"

/* ---- decisions ---- */

static enum decision_kind kind_of(const struct verdict *v)
{
    if (v->tarpit_ms > 0 && !v->monitored) {
        return DECISION_HOLD;
    }
    if (!verdict_refuses(v)) {
        return DECISION_GO_ON;
    }
    return v->action == VERDICT_DROP ? DECISION_DROP : DECISION_REFUSE;
}

static struct decision decide(struct session *s, const struct verdict *v)
{
    return (struct decision){
        .kind = kind_of(v),
        .reply = verdict_reply(v),
        .divert = v->monitored ? NULL : v->divert,
        .bypass = judge_bypasses(session_judge(s)),
        .alone = judge_single_recipient(session_judge(s)),
    };
}

static void act(struct session *s, const struct decision *d)
{
    s->waits &= ~(unsigned)WAIT_POLICY;
    s->txn->act(s, d);
}

/* The tarpit is over: decides the delayed verdict now. */
static void on_tarpit(void *arg)
{
    struct txn *t = arg;
    struct decision d = decide(t->session, t->held);

    act(t->session, &d);
}

/* Keeps a copy of the verdict until its time; false: no memory for one. */
static bool hold_back(struct txn *t, const struct verdict *v)
{
    struct verdict *held = arena_alloc(&t->arena, sizeof(*held));

    if (held == NULL) {
        return false;
    }
    *held = *v;
    held->tarpit_ms = 0;
    held->enhanced = arena_slice(&t->arena, v->enhanced);
    held->text = arena_slice(&t->arena, v->text);
    t->held = held;
    timer_start(&t->tarpit, v->tarpit_ms);
    return true;
}

static void on_verdict(void *arg, const struct verdict *v)
{
    struct session *s = session_of(arg);
    struct decision d = decide(s, v);

    if (d.kind == DECISION_HOLD) {
        struct verdict now = *v;

        if (hold_back(s->txn, v)) {
            return;
        }
        now.tarpit_ms = 0;
        d = decide(s, &now);
    }
    act(s, &d);
}

/* ---- for the other files ---- */

/* The client as rules and logs see it.  It is constant for the judge's life: XCLIENT makes a new judge. */
static struct judge_client client_of(const struct session *s)
{
    return (struct judge_client){
        .ip = s->peer,
        .local = s->local,
        .exempt = s->exempt,
        .is_private = addr_is_private(&s->peer) && s->via.family == ADDR_NONE,
        .rdns = !s->rdns_given              ? SLICE_NONE
                : s->announced_name != NULL ? slice_str(s->announced_name)
                                            : SLICE(""),
        .session_id = s->id,
    };
}

void session_policy_open(struct session *s)
{
    struct judge_client c = client_of(s);

    s->judge = judge_new(s->worker->judges, &c);
    s->known = limits_favours(s->worker, &s->peer, s->exempt);
    if (s->pregreet) {
        judge_pregreet(s->judge);
    }
}

void session_policy_close(struct session *s)
{
    judge_free(&s->judge);
    judge_packed_free(&s->resting);
}

struct judge *session_judge(struct session *s)
{
    struct judge_client c;

    if (s->resting != NULL) {
        c = client_of(s);
        s->judge = judge_unpack(s->worker->judges, &c, &s->resting);
    }
    return s->judge;
}

void session_policy_rest(struct session *s)
{
    s->rest_tried = loop_now(s->worker->loop);
    if (s->judge != NULL) {
        s->resting = judge_pack(&s->judge);
    }
}

void session_policy_mail(struct session *s)
{
    const struct envelope *env = &s->txn->env;
    struct judge_sender from = { env->sender, env->sender_local, env->sender_domain, env->sender_null };

    judge_mail(session_judge(s), &from);
}

void session_policy_txn(struct txn *t)
{
    timer_init(&t->tarpit, t->session->worker->loop, on_tarpit, t);
}

void session_policy_rcpt(struct session *s, struct recipient *rcpt, session_act act_on)
{
    struct judge_recipient r = {
        .address = rcpt->address,
        .local = rcpt->local,
        .domain = rcpt->domain,
        .original = rcpt->address,
        .count = (unsigned)s->txn->env.rcpt_count,
    };

    rcpt->judged = true;
    s->txn->act = act_on;
    s->waits |= WAIT_POLICY;
    judge_violations(session_judge(s), s->violations);
    judge_rcpt(session_judge(s), &r, on_verdict, s);
}

void session_policy_message(struct session *s, session_act act_on)
{
    struct judge_content c = { .size = spool_size(s->txn->spool),
                               .head = s->txn->section,
                               .utf8 = s->txn->env.smtputf8 };

    s->txn->act = act_on;
    s->waits |= WAIT_POLICY;
    judge_message(session_judge(s), &c, on_verdict, s);
}
