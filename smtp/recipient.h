/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipient.h - relay control: is this recipient ours, and where does its mail go?
 *
 * Pure: configuration and a parsed recipient in, an answer out.  The proxy and `glacis explain` call the same function.
 */
#ifndef SMTP_RECIPIENT_H
#define SMTP_RECIPIENT_H

#include "core/arena.h"
#include "smtp/envelope.h"
#include "smtp/smtp_reply.h"

/*
 * Decides by the final domain alone (RLY-01..11), then by the list of that domain (validate: file): fills rcpt->home, and
 * completes <postmaster> with the home domain (address from the arena).  REPLY_RCPT_OK; REPLY_UNKNOWN_USER: ours, but not
 * on the list; or another refusal, by which the recipient is not ours.  A postmaster is never unknown: every domain has
 * one, whatever a list says (RFC 5321 4.5.1).
 */
enum reply_id recipient_admit(const struct config *conf, struct arena *a, struct recipient *rcpt) MUST_USE;

/* How the upstream is to be asked about an admitted recipient.  A postmaster that is not on the list is asked live. */
enum config_validate recipient_validate(const struct recipient *rcpt);

#endif
