/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_rcpt.c - MAIL and RCPT: from the command's argument to the reply, from any source.
 *
 * This file replies to MAIL; the upstream gets it with the first good recipient (lazy lease).  This file also
 * writes each reply to RCPT.  A recipient passes, in this order:
 *
 *     cmd_rcpt      limits, syntax, relay control (smtp/recipient.h)
 *     on_decision   the rules (session_policy.c), then the transaction's class and the message rate
 *     on_rcpt_answer   the upstream's reply, which becomes ours
 *
 * Class      a transaction has one upstream, one divert, and the message rules either on or off.  The first
 *            accepted recipient sets its class; one of another class gets 452 4.5.3.
 * drop       replies to this recipient and to the commands in the input buffer, then closes the connection.  A
 *            transaction with an accepted recipient is finished first.
 * RFC        5321 4.1.1.2, 4.1.1.3
 */
#include "policy/policy.h"
#include "proxy/session/session_priv.h"
#include "smtp/recipient.h"
#include "state/clients.h"

#define DROPPED_MAX 1000 /* buffered commands that still get a reply after a drop */
#define ASKED_TIMES 50U  /* RCPT commands between two messages, as a multiple of the two limits */

/* ---- MAIL ---- */

static enum reply_id open_transaction(struct session *s, struct slice arg)
{
    struct txn *t = s->txn;
    enum reply_id bad = reply_of_parse(smtp_parse_mail(arg, &s->offer, &t->arena, &t->env));

    if (bad != REPLY_OK) {
        return bad;
    }
    if (t->env.size_given && s->offer.size_max != 0 && t->env.size > s->offer.size_max) {
        count(M_LIMIT_SIZE);
        return REPLY_TOO_BIG;
    }
    if (!spool_room(s->worker->state, s->worker->conf, t->env.size)) {
        return REPLY_NO_MEMORY;
    }
    return REPLY_SENDER_OK;
}

enum cmd_result cmd_mail(struct session *s, struct slice arg)
{
    enum reply_id said;

    if (s->phase == PHASE_HELO) {
        return session_say(s, REPLY_SAY_HELLO);
    }
    if (s->phase == PHASE_ENVELOPE) {
        return session_say(s, REPLY_NESTED_MAIL);
    }
    if (s->draining && !session_may_begin(s)) {
        return session_end(s, REPLY_SHUTDOWN, REASON_SHUTDOWN);
    }
    if (s->messages >= s->worker->conf->limits.messages_per_session) {
        count(M_LIMIT_MESSAGES);
        return session_end(s, REPLY_TOO_MANY_MESSAGES, REASON_LIMIT);
    }
    s->txn = txn_new(s);
    said = open_transaction(s, arg);
    if (said != REPLY_SENDER_OK) {
        txn_free(&s->txn);
        return session_fault(s, said);
    }
    s->messages++;
    session_policy_mail(s);
    session_enter(s, PHASE_ENVELOPE);
    return judge_wants_early(session_judge(s)) ? session_early_mail(s) : session_say(s, said);
}

/* ---- drop ---- */

/* Replies to one buffered command after a drop: RCPT gets the same text, BDAT loses its octets, all else gets 503. */
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

/* ---- refusals of recipients ---- */

/*
 * Call after any refusal of a recipient, because a dictionary attack has only refusals.  Permanent refusals keep
 * counting in the next transaction; a temporary one (greylisting) may be one for each message.
 */
static enum cmd_result count_refused(struct session *s, bool for_good)
{
    unsigned most = s->worker->conf->limits.refused_recipients;

    s->txn->refused++;
    s->refused_rcpt += for_good ? 1 : 0;
    if (s->txn->env.rcpt_count == 0 && (s->txn->refused >= most || s->refused_rcpt >= most)) {
        session_abuse(s, ABUSE_JUNK);
        return session_end(s, REPLY_TOO_MANY_REFUSED, REASON_ERRORS);
    }
    return CMD_REPLIED;
}

/* Logs and counts a refusal; sends nothing yet. */
static void note_refused(struct session *s, const struct recipient *rcpt, struct slice said,
                         const struct reply *r)
{
    session_log_rcpt(s, rcpt, said, r, "glacis");
    count(reply_is(r, 5) ? M_RCPT_REJECTED : M_RCPT_DEFERRED);
}

/* For a refusal before the rules: a fault in the command also counts for limits.errors. */
static enum cmd_result refuse_command(struct session *s, const struct recipient *rcpt, struct slice said,
                                      enum reply_id id)
{
    const struct reply *r = &reply_table[id];

    note_refused(s, rcpt, said, r);
    if (session_say(s, id) == CMD_CLOSED) {
        return CMD_CLOSED;
    }
    return count_refused(s, reply_is(r, 5));
}

static enum cmd_result refuse(struct session *s, const struct recipient *rcpt, const struct reply *r)
{
    note_refused(s, rcpt, rcpt->address, r);
    session_reply(s, r, true);
    return count_refused(s, reply_is(r, 5));
}

/* ---- relay control ---- */

static bool already_accepted(const struct txn *t, const struct recipient *rcpt)
{
    for (size_t i = 0; i < t->env.rcpt_count; i++) {
        if (slice_eq(t->env.rcpt[i]->address, rcpt->address)) {
            return true;
        }
    }
    return false;
}

/* The checks that need neither rules nor upstream. */
static enum reply_id judge_here(struct session *s, struct recipient *rcpt)
{
    struct txn *t = s->txn;
    enum reply_id id = recipient_admit(s->worker->conf, &t->arena, rcpt);

    if (id == REPLY_RELAY_DENIED || id == REPLY_ROUTED_LOCAL) {
        count(M_RCPT_RELAY_DENIED);
        session_abuse(s, ABUSE_RELAY);
        return id;
    }
    if (id != REPLY_NO_MEMORY && t->env.rcpt_count > 0 && t->upstream != rcpt->home->upstream) {
        count(M_RCPT_SECOND_ROUTE);
        return REPLY_SECOND_ROUTE;
    }
    return id;
}

/* ---- the upstream's answer ---- */

static void on_rcpt_answer(void *arg, const struct relay_answer *a)
{
    struct session *s = session_of(arg);
    struct txn *t = s->txn;
    struct recipient *rcpt = t->asking;
    bool for_good = a->outcome == RELAY_REJECTED;

    t->asking = NULL;
    s->waits &= ~(unsigned)WAIT_UPSTREAM;
    session_reply(s, &a->reply, !a->from_upstream);
    if (a->outcome == RELAY_ACCEPTED) {
        txn_add_recipient(t, rcpt);
        judge_recipient_taken(session_judge(s));
        t->upstream = rcpt->home->upstream;
        count(M_RCPT_ACCEPTED);
    } else {
        count(a->remembered ? M_RCPT_REMEMBERED : for_good ? M_RCPT_REJECTED : M_RCPT_DEFERRED);
        session_log_rcpt(s, rcpt, rcpt->address, &a->reply, a->from_upstream ? "upstream" : "glacis");
        if (count_refused(s, for_good) == CMD_CLOSED) {
            return;
        }
    }
    session_pump(s);
}

static void ask_upstream(struct session *s, struct recipient *rcpt)
{
    struct txn *t = s->txn;

    if (t->relay != NULL && t->upstream != rcpt->home->upstream) {
        relay_free(&t->relay); /* all earlier recipients were refused: the class is still open */
    }
    if (t->relay == NULL) {
        t->env.rdns = judge_rdns(session_judge(s)); /* may have arrived since MAIL */
        t->upstream = rcpt->home->upstream;
        t->relay = relay_new(s->worker->upstreams, t->upstream, &t->env);
    }
    t->env.client_good = judge_known_good(session_judge(s));
    t->asking = rcpt;
    s->waits |= WAIT_UPSTREAM;
    relay_rcpt(t->relay, rcpt, recipient_validate(rcpt), on_rcpt_answer, s);
}

/* ---- the decision of the rules ---- */

/* Counts one message towards the client's rate, once a transaction.  Called after the verdict, because SPF and good
 * standing exempt from it.  Monitor mode only counts. */
static bool over_message_rate(struct session *s)
{
    const struct config *conf = s->worker->conf;

    if (s->txn->rate_counted || s->exempt || s->known || conf->limits.message_rate.count == 0 ||
        judge_exempt_from_rates(session_judge(s))) {
        return false;
    }
    if (state_client_message(s->worker->state, &s->peer, &conf->limits, loop_now(s->worker->loop))) {
        s->txn->rate_counted = true;
        return false;
    }
    return conf->mode == MODE_ENFORCE;
}

static bool same_class(const struct txn *t, const struct decision *d)
{
    return t->env.rcpt_count == 0 || (t->divert == d->divert && t->bypass == d->bypass && !d->alone);
}

static void refuse_for_now(struct session *s, struct recipient *rcpt, enum reply_id id)
{
    if (refuse(s, rcpt, &reply_table[id]) != CMD_CLOSED) {
        session_pump(s);
    }
}

static void go_on(struct session *s, struct recipient *rcpt, const struct decision *d)
{
    struct txn *t = s->txn;

    if (!same_class(t, d)) {
        count(M_RCPT_SECOND_ROUTE);
        refuse_for_now(s, rcpt, REPLY_SECOND_ROUTE);
        return;
    }
    if (over_message_rate(s)) {
        refuse_for_now(s, rcpt, REPLY_MESSAGE_RATE);
        return;
    }
    t->divert = d->divert;
    t->bypass = d->bypass;
    ask_upstream(s, rcpt);
}

static void refuse_or_drop(struct session *s, struct recipient *rcpt, const struct decision *d)
{
    struct reply r = d->reply;
    bool closes = d->kind == DECISION_DROP;

    if (closes && s->txn->env.rcpt_count > 0 && r.code == 421) {
        r.code = 451; /* acts as defer: 421 would announce that the connection ends here */
    }
    if (refuse(s, rcpt, &r) == CMD_CLOSED) {
        return;
    }
    if (closes && s->txn->env.rcpt_count == 0) {
        session_drop(s, &r);
        return;
    }
    s->txn->close_after = s->txn->close_after || closes;
    session_pump(s);
}

static void on_decision(struct session *s, const struct decision *d)
{
    struct recipient *rcpt = s->txn->asking;

    if (d->kind == DECISION_GO_ON) {
        go_on(s, rcpt, d);
    } else {
        refuse_or_drop(s, rcpt, d);
    }
}

/* ---- RCPT ---- */

/*
 * No more recipients for this message: it has reached the limit, or too many refusals since the last message for a
 * list of old addresses.  The accepted recipient may then only hide a dictionary attack.
 */
static bool is_full(const struct session *s)
{
    const struct config_limits *lim = &s->worker->conf->limits;

    return s->txn->env.rcpt_count >= lim->recipients ||
           s->refused_rcpt >= (uint64_t)lim->refused_recipients + lim->recipients;
}

/* Too many RCPT commands, whatever the replies: repeated recipients and those over the limit also cost work. */
static bool is_endless(struct session *s)
{
    const struct config_limits *lim = &s->worker->conf->limits;

    return ++s->asked_rcpt > ASKED_TIMES * ((uint64_t)lim->refused_recipients + lim->recipients);
}

/* Replies at once, or sets *out to a recipient for the rules to judge. */
static enum cmd_result take_rcpt(struct session *s, struct slice arg, struct recipient **out)
{
    struct txn *t = s->txn;
    struct recipient *rcpt = arena_alloc(&t->arena, sizeof(*rcpt));
    enum reply_id id;

    if (rcpt == NULL) {
        return session_say(s, REPLY_NO_MEMORY);
    }
    id = reply_of_parse(smtp_parse_rcpt(arg, &s->offer, t->env.smtputf8, &t->arena, rcpt));
    if (id != REPLY_OK) {
        return refuse_command(s, NULL, arg, id);
    }
    id = judge_here(s, rcpt);
    if (id != REPLY_RCPT_OK) {
        return refuse_command(s, rcpt, arg, id);
    }
    if (already_accepted(t, rcpt)) {
        return session_say(s, REPLY_RCPT_OK);
    }
    *out = rcpt;
    return CMD_REPLIED;
}

enum cmd_result cmd_rcpt(struct session *s, struct slice arg)
{
    struct txn *t = s->txn;
    struct recipient *rcpt = NULL;
    struct arena_mark mark;
    enum cmd_result said;

    if (s->phase != PHASE_ENVELOPE) {
        return session_say(s, s->phase == PHASE_HELO ? REPLY_SAY_HELLO : REPLY_MAIL_FIRST);
    }
    if (t->content != CONTENT_NONE) {
        return session_say(s, REPLY_OUT_OF_ORDER);
    }
    if (is_endless(s)) {
        session_abuse(s, ABUSE_JUNK);
        return session_end(s, REPLY_TOO_MANY_IDLE_COMMANDS, REASON_LIMIT);
    }
    if (is_full(s)) {
        count(M_LIMIT_RECIPIENTS);
        return session_say(s, REPLY_TOO_MANY_RECIPIENTS);
    }
    mark = arena_mark(&t->arena);
    said = take_rcpt(s, arg, &rcpt);
    if (said == CMD_REPLIED && rcpt == NULL) { /* repeated or refused: free its memory */
        arena_rewind(&t->arena, &mark);
    }
    if (rcpt == NULL) {
        return said;
    }
    t->asking = rcpt;
    session_policy_rcpt(s, rcpt, on_decision);
    return CMD_WAITING;
}
