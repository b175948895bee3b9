/*
 * recipient.h - relay control: is this recipient ours, and where does its mail go?
 */
#ifndef SMTP_RECIPIENT_H
#define SMTP_RECIPIENT_H

#include "core/arena.h"
#include "smtp/envelope.h"
#include "smtp/smtp_reply.h"

/*
 * Decides by the final domain alone (RLY-01..11): fills rcpt->home, and completes <postmaster> with the home
 * domain (address from the arena).  REPLY_RCPT_OK, or the refusal that the client gets.
 */
enum reply_id recipient_route(const struct config *conf, struct arena *a, struct recipient *rcpt) MUST_USE;

/*
 * Is it missing in the list of its domain (validate: file)?  Then REPLY_UNKNOWN_USER.  Never true of a postmaster: every
 * domain has one, whatever a list says (RFC 5321 4.5.1).  After recipient_route() said REPLY_RCPT_OK.
 */
bool recipient_unlisted(const struct recipient *rcpt);

#endif
