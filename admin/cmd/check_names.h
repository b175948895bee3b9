/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_names.h - DNS records of the proxy's own name and of its domains, for glacis check --online.
 */
#ifndef ADMIN_CMD_CHECK_NAMES_H
#define ADMIN_CMD_CHECK_NAMES_H

#include "config/config.h"
#include "core/loop.h"
#include "dns/dns.h"

/* Looks them up and prints a line for each; runs the loop meanwhile. */
void check_names(const struct config *c, struct loop *loop, struct resolver *r);

#endif
