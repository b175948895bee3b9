/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_map.h - what an upstream's reply means, and the reply that the client gets (protocol 1.10, RPL-15).
 *
 * Pure, and the only place that reads codes and enhanced codes of an upstream's answers to MAIL, RCPT, DATA and the
 * dot.  upstream.c maps each reply once and passes the result on as a value (struct up_answer); the relay makes the
 * client's answer of it.  The first digit of an answer about the mail is never changed; answers about us, about the
 * connection, and nonsense become 451.
 */
#ifndef PROXY_UPSTREAM_RELAY_MAP_H
#define PROXY_UPSTREAM_RELAY_MAP_H

#include "proxy/upstream/upstream.h"

/* state: UP_STATE_MAIL, UP_STATE_RCPT, UP_STATE_DATA or UP_STATE_FINAL.  The answer borrows the reply. */
struct up_answer map_reply(enum up_state state, const struct reply *reply);

/* The reply that the client gets.  The texts are borrowed from the upstream's reply, or static. */
struct relay_answer map_answer(const struct up_answer *answer);
struct relay_answer map_failure(const struct upstream_failure *f);
struct relay_answer map_ours(const struct reply *reply); /* a reply of our own */

#endif
