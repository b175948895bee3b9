/*
 * networks.h - how many connections of this process come from each network.
 *
 * limits.connections_per_client counts IPv4 addresses and /64s; whoever rents a /24 or a /48 has enough of them to
 * fill the house.  While it is nearly full (limits.stress.at) a network beyond its share gets no more connections.
 *
 * Memory  one small entry a network that has a connection.
 */
#ifndef PROXY_NETWORKS_H
#define PROXY_NETWORKS_H

#include "core/addr.h"
#include "core/list.h"
#include "core/table.h"

struct networks {
    struct table table;
    struct list_node all; /* the same entries */
};

void networks_init(struct networks *n);
void networks_fini(struct networks *n); /* whoever is still in is forgotten */

/* Counts the client in; false: its network (/24, /48) has `most` or more, and it is not counted. */
bool networks_enter(struct networks *n, const struct addr *client, size_t most) MUST_USE;

/* Once for each networks_enter() that was true. */
void networks_leave(struct networks *n, const struct addr *client);

#endif
