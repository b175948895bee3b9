/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.h - connections, rates, abuse points and bans of each client address, over all processes.
 *
 * A fixed-size table in shards.  A lock is tried a few times and then done without: the client is let in, uncounted.
 * A full shard does the same.  Nothing here waits.
 *
 * Times  monotonic ms, the same in all processes.
 * File   clients.c.
 */
#ifndef STATE_CLIENTS_H
#define STATE_CLIENTS_H

#include "config/config.h"
#include "core/addr.h"
#include "state/state.h"

enum admit {
    ADMIT_OK = 0,
    ADMIT_PER_CLIENT, /* connections_per_client */
    ADMIT_PER_NETWORK, /* only from proxy/session/limits.c: its network has too many, and connections are nearly used up */
    ADMIT_RATE,
    ADMIT_BANNED,
};

/* Counts one more connection of this client (addr_client), or says why not; then nothing is counted.
 * If the table's shard cannot be locked or is full of live entries: ADMIT_OK, uncounted (*counted false). */
enum admit state_client_enter(struct state *s, const struct addr *client, const struct config_limits *lim,
                              uint64_t now_ms, bool *counted);
void state_client_leave(struct state *s, const struct addr *client);

/* One more message of the client; false: over limits.message_rate. */
bool state_client_message(struct state *s, const struct addr *client, const struct config_limits *lim,
                          uint64_t now_ms) MUST_USE;

/* Adds abuse points; true if this made a ban begin. */
bool state_client_abuse(struct state *s, const struct addr *client, unsigned points,
                        const struct config_limits *lim, uint64_t now_ms) MUST_USE;

unsigned state_client_connections(struct state *s, const struct addr *client);

#endif
