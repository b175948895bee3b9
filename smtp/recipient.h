/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipient.h - relay control: do we accept this recipient, and which domain entry routes its mail?
 *
 * Pure: configuration and a parsed recipient in, a reply out.  The proxy and `glacis explain` call the same function.
 */
#ifndef SMTP_RECIPIENT_H
#define SMTP_RECIPIENT_H

#include "core/arena.h"
#include "smtp/envelope.h"
#include "smtp/smtp_reply.h"

/*
 * Decides by the final domain alone (RLY-01..11), then by the list of that domain (validate: file).  Fills rcpt->home,
 * and completes <postmaster> with the home domain (address from the arena).  Returns REPLY_RCPT_OK; REPLY_UNKNOWN_USER
 * if the domain is ours but its list lacks the recipient; another refusal if the recipient is not ours.  A postmaster
 * is never unknown, because every domain has one (RFC 5321 4.5.1).
 */
enum reply_id recipient_admit(const struct config *conf, struct arena *a, struct recipient *rcpt) MUST_USE;

/* How to validate an admitted recipient.  A postmaster missing from the list is validated live. */
enum config_validate recipient_validate(const struct recipient *rcpt);

#endif
