/*
 * recipient.h - relay control: is this recipient ours, and where does its mail go?
 */
#ifndef PROXY_RECIPIENT_H
#define PROXY_RECIPIENT_H

#include "core/arena.h"
#include "proxy/envelope.h"
#include "proxy/smtp_reply.h"

/*
 * Decides by the final domain alone (RLY-01..11): fills rcpt->home, and completes <postmaster> with the home
 * domain (address from the arena).  REPLY_RCPT_OK, or the refusal that the client gets.
 */
enum reply_id recipient_route(const struct config *conf, struct arena *a, struct recipient *rcpt) MUST_USE;

#endif
