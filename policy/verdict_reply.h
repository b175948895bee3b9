/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict_reply.h - what a verdict of policy/ means to a client: refused or not, and by which reply.
 *
 * Pure.  For the session, and for `glacis explain`, which must say the same.
 */
#ifndef POLICY_VERDICT_REPLY_H
#define POLICY_VERDICT_REPLY_H

#include "policy/policy.h"
#include "smtp/smtp_reply.h"

/* Is the client refused?  With mode: monitor no client is, whatever the verdict says. */
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

/* In place of the banner (RFC 5321 3.1): 554, or 421 for a refusal that is only for now. */
static inline struct reply verdict_reply_at_banner(const struct verdict *v)
{
    return (struct reply){ v->code >= 500 ? 554 : 421, v->enhanced, v->text };
}

#endif
