/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict_reply.h - what a verdict of policy/ means to a client: whether it is refused, and with which reply.
 *
 * Pure.  The session and `glacis explain` both use it, so that they agree.
 */
#ifndef POLICY_VERDICT_REPLY_H
#define POLICY_VERDICT_REPLY_H

#include "policy/policy.h"
#include "smtp/smtp_reply.h"

/* Is the client refused?  Never with mode: monitor. */
static inline bool verdict_refuses(const struct verdict *v)
{
    return !v->monitored &&
           (v->action == VERDICT_REJECT || v->action == VERDICT_DEFER || v->action == VERDICT_DROP);
}

/* The reply to RCPT, MAIL or the message; borrowed from the verdict. */
static inline struct reply verdict_reply(const struct verdict *v)
{
    return (struct reply){ v->code, v->enhanced, v->text };
}

/* In place of the banner (RFC 5321 3.1): 554, or 421 for a temporary refusal. */
static inline struct reply verdict_reply_at_banner(const struct verdict *v)
{
    return (struct reply){ v->code >= 500 ? 554 : 421, v->enhanced, v->text };
}

#endif
