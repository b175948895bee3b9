/*
 * check_upstreams.h - one question to one server of an upstream, for glacis check --online.
 */
#ifndef ADMIN_CHECK_UPSTREAMS_H
#define ADMIN_CHECK_UPSTREAMS_H

#include "config/config.h"

/* Asks the server and prints one line about it; false if mail cannot go there.  Blocking, with deadlines. */
bool check_upstream(const struct config *c, const struct config_upstream *u, size_t server);

#endif
