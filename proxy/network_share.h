/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_share.h - how many connections of this process come from each network.
 *
 * limits.connections_per_client counts IPv4 addresses and /64s.  One /24 or /48 has enough addresses to use up
 * limits.connections, so near the limit (limits.stress.at) a network beyond its share gets no more connections.
 *
 * Memory  one small entry for each network that has a connection.
 */
#ifndef PROXY_NETWORK_SHARE_H
#define PROXY_NETWORK_SHARE_H

#include "core/addr.h"
#include "core/list.h"
#include "core/table.h"

struct network_share {
    struct table table;
    struct list_node all; /* the same entries */
};

void network_share_init(struct network_share *n);
void network_share_fini(struct network_share *n); /* drops the clients that are still counted */

/* Counts the client in.  False: its network (/24, /48) already has `most` connections, so it is not counted. */
bool network_share_enter(struct network_share *n, const struct addr *client, size_t most) MUST_USE;

/* Call once for each network_share_enter() that returned true. */
void network_share_leave(struct network_share *n, const struct addr *client);

#endif
