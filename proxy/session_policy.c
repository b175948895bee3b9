/*
 * session_policy.c - the verdicts of policy/ carried out.
 */
#include "proxy/session.h"

static void on_tarpit(void *arg UNUSED)
{
}

void session_policy_txn(struct txn *t)
{
    timer_init(&t->tarpit, t->session->worker->loop, on_tarpit, t);
}

enum cmd_result session_judge_rcpt(struct session *s, struct recipient *rcpt)
{
    session_ask_upstream(s, rcpt);
    return CMD_WAITING;
}

void session_judge_message(struct session *s)
{
    session_send_message(s);
}
