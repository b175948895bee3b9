/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_share.h - how many connections of this process come from each network.
 *
 * limits.connections_per_client counts IPv4 addresses and /64s; whoever rents a /24 or a /48 has enough of them to
 * fill the house.  While it is nearly full (limits.stress.at) a network beyond its share gets no more connections.
 *
 * Memory  one small entry a network that has a connection.
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
void network_share_fini(struct network_share *n); /* whoever is still in is forgotten */

/* Counts the client in; false: its network (/24, /48) has `most` or more, and it is not counted. */
bool network_share_enter(struct network_share *n, const struct addr *client, size_t most) MUST_USE;

/* Once for each network_share_enter() that was true. */
void network_share_leave(struct network_share *n, const struct addr *client);

#endif
