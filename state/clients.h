/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.h - connections, rates, abuse points and bans of each client address, over all processes.
 *
 * A fixed-size table in shards.  No call waits.  If a shard's lock stays busy after a few tries, or the shard is full,
 * the client is admitted and not counted.
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
    ADMIT_PER_CLIENT,  /* connections_per_client */
    ADMIT_PER_NETWORK, /* only proxy/session/limits.c: its network has too many near limits.connections */
    ADMIT_RATE,
    ADMIT_BANNED,
};

/* Counts one more connection of this client (addr_client), or returns the reason to refuse it and counts nothing.
 * If the table's shard cannot be locked or is full of live entries: ADMIT_OK, uncounted (*counted false). */
enum admit state_client_enter(struct state *s, const struct addr *client, const struct config_limits *lim,
                              uint64_t now_ms, bool *counted);
void state_client_leave(struct state *s, const struct addr *client);

/* Counts one more message of the client.  False: the client is over limits.message_rate. */
bool state_client_message(struct state *s, const struct addr *client, const struct config_limits *lim,
                          uint64_t now_ms) MUST_USE;

/* Adds abuse points.  True: these points started a ban. */
bool state_client_abuse(struct state *s, const struct addr *client, unsigned points,
                        const struct config_limits *lim, uint64_t now_ms) MUST_USE;

unsigned state_client_connections(struct state *s, const struct addr *client);

#endif
