/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_early.c - verdicts before RCPT, with policy.reject_at: earliest.
 *
 * At the banner and at MAIL it evaluates the envelope rules with the facts known so far.  If no later fact can
 * change a refusal, it replies at once: 554 or 421 instead of the banner (RFC 5321 3.1), or the rule's own reply
 * to MAIL.  Otherwise it sends nothing, and recipients are judged as usual.
 *
 * drop       at MAIL it also replies to the commands in the input buffer and closes; reject and defer end only the
 *            transaction.  At the banner all three close, because the session has nothing left to do.
 */
#include "policy/policy.h"
#include "policy/verdict_reply.h"
#include "proxy/session/session_priv.h"

static void on_banner_verdict(void *arg, const struct verdict *v)
{
    struct session *s = session_of(arg);
    struct reply r = verdict_reply_at_banner(v);

    s->waits &= ~(unsigned)WAIT_POLICY;
    if (!verdict_refuses(v)) {
        session_say_banner(s);
        return;
    }
    session_log_refused(s, &r);
    session_reply(s, &r, true);
    session_finish(s, REASON_POLICY);
}

bool session_early_banner(struct session *s)
{
    if (!judge_wants_early(session_judge(s))) {
        return false;
    }
    s->waits |= WAIT_POLICY;
    judge_early(session_judge(s), STAGE_CONNECT, on_banner_verdict, s);
    session_rearm(s);
    return true;
}

static void on_mail_verdict(void *arg, const struct verdict *v)
{
    struct session *s = session_of(arg);
    struct reply r = verdict_reply(v);
    bool closes = v->action == VERDICT_DROP;

    s->waits &= ~(unsigned)WAIT_POLICY;
    if (!verdict_refuses(v)) {
        session_say(s, REPLY_SENDER_OK);
        session_pump(s);
        return;
    }
    session_log_refused(s, &r);
    session_reply(s, &r, true);
    if (closes) {
        session_drop(s, &r); /* before the transaction is freed: its judge owns the text */
        return;
    }
    session_reset(s);
    session_pump(s);
}

enum cmd_result session_early_mail(struct session *s)
{
    s->waits |= WAIT_POLICY;
    judge_early(session_judge(s), STAGE_MAIL, on_mail_verdict, s);
    return CMD_WAITING;
}
