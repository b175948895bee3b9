/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handshakes.h - clients whose TLS handshakes find no shared version, cipher or group.
 *
 * One word for each client (addr_client), without a lock.  After two failures within an hour we stop offering STARTTLS
 * to the client.  One success clears its failures.
 * File   handshakes.c.
 */
#ifndef STATE_HANDSHAKES_H
#define STATE_HANDSHAKES_H

#include "core/addr.h"
#include "state/state.h"

/* Counts a failure.  True: this failure made state_handshakes_fail() true. */
bool state_handshake_failed(struct state *s, const struct addr *client, uint64_t now_ms);
/* Clears the client's failures after a successful handshake. */
void state_handshake_worked(struct state *s, const struct addr *client);
/* Has the client failed twice, the last time less than an hour ago? */
bool state_handshakes_fail(const struct state *s, const struct addr *client, uint64_t now_ms);

#endif
