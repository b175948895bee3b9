/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_upstreams.h - tests one server of an upstream, for glacis check --online.
 */
#ifndef ADMIN_CMD_CHECK_UPSTREAMS_H
#define ADMIN_CMD_CHECK_UPSTREAMS_H

#include "config/config.h"
#include "core/loop.h"
#include "dns/dns.h"

/*
 * Connects to the server, after a lookup if it is configured by name, and prints one line about it.  False if mail
 * cannot reach it.  Runs the loop meanwhile; ends within its deadlines.
 */
bool check_upstream(const struct config *c, const struct config_upstream *u, size_t server, struct loop *loop,
                    struct resolver *r);

#endif
