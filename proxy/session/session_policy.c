/*
 * session_policy.c - the verdicts of policy/ carried out.
 *
 * A recipient that passed relay control waits here for its verdict; accepted, it goes on to its own
 * upstream's answer (session_rcpt.c); refused, the rule's words are the answer.  A message is judged when it
 * is complete.  With mode: monitor the verdict is recorded and the mail goes its way.
 *
 * Class      a transaction has one upstream, one divert and one answer to "are the message rules asked": the
 *            first accepted recipient decides, one of another class gets 452 4.5.3.
 * drop       answers this recipient and what is already in the input buffer, then the connection is closed; a
 *            transaction that has an accepted recipient is finished first.
 */
#include "policy/policy.h"
#include "policy/verdict_reply.h"
#include "proxy/session/limits.h"
#include "proxy/session/session.h"

#define DROPPED_MAX 1000 /* commands in the buffer that still get their answer */

struct held_verdict {       /* while a tarpit runs */
    struct recipient *rcpt; /* NULL: of the message */
    struct reply reply;
    struct verdict v;
};

/* ---- drop ---- */

/* One buffered command behind a drop: RCPT the same words, BDAT with its octets eaten, all else 503. */
static bool answer_dropped(struct session *s, const struct reply *r)
{
    bool skipping = false, last;
    uint64_t size;
    size_t used;
    struct slice line, arg, verb;

    if (line_next(stream_input(s->stream), &skipping, &line, &used) != LINE_READY) {
        return false;
    }
    verb = smtp_verb(line, &arg);
    if (slice_eq_nocase(verb, SLICE("RCPT"))) {
        session_reply(s, r, true);
    } else {
        session_reply(s, &reply_table[REPLY_OUT_OF_ORDER], true);
    }
    if (slice_eq_nocase(verb, SLICE("BDAT")) && smtp_parse_bdat(arg, &size, &last)) {
        used += (size_t)min_u64(size, stream_input(s->stream).len - used);
    }
    stream_consume(s->stream, used);
    return true;
}

void session_drop(struct session *s, const struct reply *r)
{
    unsigned n = 0;

    while (n++ < DROPPED_MAX && answer_dropped(s, r)) {
    }
    session_finish(s, REASON_POLICY);
}

/* ---- recipients ---- */

static void refuse(struct session *s, struct recipient *rcpt, const struct verdict *v)
{
    struct reply r = verdict_reply(v);
    bool closes = v->action == VERDICT_DROP;

    if (closes && s->txn->env.rcpt_count > 0 && r.code == 421) {
        r.code = 451; /* it acts as defer: 421 would say that the connection ends here */
    }
    if (session_refuse_rcpt(s, rcpt, &r) == CMD_CLOSED) {
        return;
    }
    if (closes && s->txn->env.rcpt_count == 0) {
        session_drop(s, &r);
        return;
    }
    s->txn->close_after = s->txn->close_after || closes;
    session_pump(s);
}

static bool same_class(const struct txn *t, const struct verdict *v, bool bypass)
{
    return t->env.rcpt_count == 0 || (t->divert == v->divert && t->bypass == bypass);
}

static void refuse_for_now(struct session *s, struct recipient *rcpt, enum reply_id id)
{
    if (session_refuse_rcpt(s, rcpt, &reply_table[id]) != CMD_CLOSED) {
        session_pump(s);
    }
}

static void go_on(struct session *s, struct recipient *rcpt, const struct verdict *v)
{
    struct txn *t = s->txn;
    bool bypass = judge_bypasses(session_judge(s));

    if (!same_class(t, v, bypass) || (t->env.rcpt_count > 0 && judge_single_recipient(session_judge(s)))) {
        count(M_RCPT_SECOND_ROUTE);
        refuse_for_now(s, rcpt, REPLY_SECOND_ROUTE);
        return;
    }
    if (session_over_message_rate(s)) {
        refuse_for_now(s, rcpt, REPLY_MESSAGE_RATE);
        return;
    }
    t->divert = v->divert;
    t->bypass = bypass;
    session_ask_upstream(s, rcpt);
}

static void carry_out_rcpt(struct session *s, struct recipient *rcpt, const struct verdict *v)
{
    struct verdict deliver = { .action = VERDICT_ACCEPT, .rule = v->rule, .monitored = true };

    s->waits &= ~(unsigned)WAIT_POLICY;
    if (v->monitored) {
        go_on(s, rcpt, &deliver);
    } else if (verdict_refuses(v)) {
        refuse(s, rcpt, v);
    } else {
        go_on(s, rcpt, v);
    }
}

/* ---- the message ---- */

static void carry_out_message(struct session *s, const struct verdict *v)
{
    struct reply r = verdict_reply(v);

    s->waits &= ~(unsigned)WAIT_POLICY;
    if (!verdict_refuses(v)) {
        if (!v->monitored && v->action == VERDICT_DIVERT) {
            s->txn->divert = v->divert;
        }
        if (!session_send_message(s) && s->phase != PHASE_CLOSED) {
            session_pump(s);
        }
        return;
    }
    if (reply_is(&r, 5)) {
        judge_outcome(session_judge(s), false);
    }
    s->txn->close_after = s->txn->close_after || v->action == VERDICT_DROP;
    session_refuse_message(s, &r);
    if (s->phase != PHASE_CLOSED) {
        session_pump(s);
    }
}

/* ---- tarpit ---- */

static void on_tarpit(void *arg)
{
    struct txn *t = arg;
    struct session *s = t->session;
    struct held_verdict *h = t->held;

    if (h->rcpt != NULL) {
        carry_out_rcpt(s, h->rcpt, &h->v);
    } else {
        carry_out_message(s, &h->v);
    }
}

/* Keeps a copy of the verdict until its time; false: there is nothing to wait for (or no room to). */
static bool hold_back(struct session *s, struct recipient *rcpt, const struct verdict *v)
{
    struct txn *t = s->txn;
    struct held_verdict *h;

    if (v->tarpit_ms == 0 || v->monitored) {
        return false;
    }
    h = arena_alloc(&t->arena, sizeof(*h));
    if (h == NULL) {
        return false;
    }
    h->rcpt = rcpt;
    h->v = *v;
    h->v.enhanced = arena_slice(&t->arena, v->enhanced);
    h->v.text = arena_slice(&t->arena, v->text);
    t->held = h;
    timer_start(&t->tarpit, v->tarpit_ms);
    return true;
}

static void on_rcpt_verdict(void *arg, const struct verdict *v)
{
    struct session *s = session_of(arg);
    struct recipient *rcpt = s->txn->asking;

    if (!hold_back(s, rcpt, v)) {
        carry_out_rcpt(s, rcpt, v);
    }
}

static void on_message_verdict(void *arg, const struct verdict *v)
{
    struct session *s = session_of(arg);

    if (!hold_back(s, NULL, v)) {
        carry_out_message(s, v);
    }
}

/* ---- for the other files ---- */

/* As everybody sees it now; the same for as long as the judge lives: XCLIENT makes a new one. */
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
    judge_rest_free(&s->resting);
}

struct judge *session_judge(struct session *s)
{
    struct judge_client c;

    if (s->resting != NULL) {
        c = client_of(s);
        s->judge = judge_wake(s->worker->judges, &c, &s->resting);
    }
    return s->judge;
}

void session_policy_rest(struct session *s)
{
    s->rest_tried = loop_now(s->worker->loop);
    if (s->judge != NULL) {
        s->resting = judge_rest(&s->judge);
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

enum cmd_result session_judge_rcpt(struct session *s, struct recipient *rcpt)
{
    struct judge_recipient r = {
        .address = rcpt->address,
        .local = rcpt->local,
        .domain = rcpt->domain,
        .original = rcpt->address,
        .count = (unsigned)s->txn->env.rcpt_count,
    };

    rcpt->judged = true;
    s->txn->asking = rcpt;
    s->waits |= WAIT_POLICY;
    judge_violations(session_judge(s), s->violations);
    judge_rcpt(session_judge(s), &r, on_rcpt_verdict, s);
    return CMD_WAITING;
}

void session_judge_message(struct session *s)
{
    struct judge_content c = { .size = spool_size(s->txn->spool), .head = s->txn->section };

    if (s->txn->bypass) {
        (void)session_send_message(s);
        return;
    }
    s->waits |= WAIT_POLICY;
    judge_message(session_judge(s), &c, on_message_verdict, s);
}
