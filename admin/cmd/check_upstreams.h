/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_upstreams.h - one server of an upstream is asked, for glacis check --online.
 */
#ifndef ADMIN_CMD_CHECK_UPSTREAMS_H
#define ADMIN_CMD_CHECK_UPSTREAMS_H

#include "config/config.h"
#include "core/loop.h"
#include "dns/dns.h"

/*
 * Asks the server, which is looked up first if it is given by name, and prints one line about it; false if mail
 * cannot go there.  Runs the loop meanwhile; ends within its deadlines.
 */
bool check_upstream(const struct config *c, const struct config_upstream *u, size_t server, struct loop *loop,
                    struct resolver *r);

#endif
