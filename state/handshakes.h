/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handshakes.h - clients whose TLS handshakes find no shared version, cipher or group.
 *
 * One word for each client (addr_client), without a lock.  A client with two failures within an hour is no longer offered
 * STARTTLS; one success forgets them.
 * File   handshakes.c.
 */
#ifndef STATE_HANDSHAKES_H
#define STATE_HANDSHAKES_H

#include "core/addr.h"
#include "state/state.h"

/* Counts a failure; true if state_handshakes_fail() becomes true by it. */
bool state_handshake_failed(struct state *s, const struct addr *client, uint64_t now_ms);
/* A handshake succeeded: forgets the client's failures. */
void state_handshake_worked(struct state *s, const struct addr *client);
/* Two failures, the last less than an hour ago. */
bool state_handshakes_fail(const struct state *s, const struct addr *client, uint64_t now_ms);

#endif
