/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_names.h - servers that are configured by name get their addresses here.
 *
 * Each name is asked for A and AAAA at start, again when the shorter TTL is over, and soon after a failure.
 * All addresses are servers of the upstream (pool_servers.c).
 */
#ifndef PROXY_UPSTREAM_UPSTREAM_NAMES_H
#define PROXY_UPSTREAM_UPSTREAM_NAMES_H

#include "proxy/upstream/pool.h"

struct resolver;
struct upstream_names;

/* Begins to ask, if any server is a name.  Both are borrowed until upstream_names_free.  Never NULL. */
struct upstream_names *upstream_names_new(struct upstreams *ups, struct resolver *resolver) MUST_USE;
void upstream_names_free(struct upstream_names **n); /* NULL is allowed */

#endif
