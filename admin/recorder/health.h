/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.h - do workers accept?  For the health pages and status.  Servers: admin/recorder/server_status.h.
 */
#ifndef ADMIN_RECORDER_HEALTH_H
#define ADMIN_RECORDER_HEALTH_H

#include "state/state.h"

struct workers_seen { /* of the generation in force */
    unsigned fresh, stale, accepting;
    unsigned starting; /* no heartbeat yet */
};

/* Judged by heartbeats alone. */
struct workers_seen health_workers(const struct state *st, uint64_t now_ms);

#endif
