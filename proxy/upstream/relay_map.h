/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_map.h - what an upstream's reply means, and the reply that the client gets (protocol 1.10, RPL-15).
 *
 * Pure.  Only this file reads codes and enhanced codes of an upstream's replies to MAIL, RCPT, DATA and the dot.
 * upstream.c maps each reply once and passes the result on as a value (struct up_answer).  The relay makes the client's
 * reply from it.  The first digit of a reply about the mail never changes.  Replies about us, about the connection,
 * and malformed ones become 451.
 */
#ifndef PROXY_UPSTREAM_RELAY_MAP_H
#define PROXY_UPSTREAM_RELAY_MAP_H

#include "proxy/upstream/upstream.h"

/* state: UP_STATE_MAIL, UP_STATE_RCPT, UP_STATE_DATA or UP_STATE_FINAL.  The answer borrows the reply. */
struct up_answer map_reply(enum up_state state, const struct reply *reply);

/* The reply for the client.  The texts are borrowed from the upstream's reply, or static. */
struct relay_answer map_answer(const struct up_answer *answer);
struct relay_answer map_failure(const struct upstream_failure *f);
struct relay_answer map_ours(const struct reply *reply); /* a reply of our own */

#endif
