/*
 * health.h - do workers accept, and is an upstream server up?  For the health pages, metrics and status.
 */
#ifndef ADMIN_RECORDER_HEALTH_H
#define ADMIN_RECORDER_HEALTH_H

#include "config/config.h"
#include "state/state.h"

struct workers_seen { /* of the generation in force */
    unsigned fresh, stale, accepting;
    unsigned starting; /* have not beaten yet */
};

/* Judged by heartbeats alone. */
struct workers_seen health_workers(const struct state *st, uint64_t now_ms);

/* True unless the server is marked down.  Without health checks no server ever is. */
bool health_server_up(const struct state *st, const struct config_upstream *u, const char *server);
bool health_upstream_up(const struct state *st, const struct config_upstream *u); /* one of its servers is */
bool health_any_upstream_up(const struct state *st, const struct config *conf);

#endif
