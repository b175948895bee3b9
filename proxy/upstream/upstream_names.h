/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_names.h - looks up the addresses of servers that are configured by name.
 *
 * It looks up A and AAAA of each name at start, again when the shorter TTL has passed, and soon after a failure.
 * All addresses are servers of the upstream (pool_servers.c).
 */
#ifndef PROXY_UPSTREAM_UPSTREAM_NAMES_H
#define PROXY_UPSTREAM_UPSTREAM_NAMES_H

#include "proxy/upstream/pool.h"

struct resolver;
struct upstream_names;

/* Starts the lookups, if any server is a name.  Both are borrowed until upstream_names_free.  Never NULL. */
struct upstream_names *upstream_names_new(struct upstreams *ups, struct resolver *resolver) MUST_USE;
void upstream_names_free(struct upstream_names **n); /* NULL is allowed */

#endif
