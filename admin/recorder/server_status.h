/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_status.h - every address of every upstream server, for metrics, status and health.
 */
#ifndef ADMIN_RECORDER_SERVER_STATUS_H
#define ADMIN_RECORDER_SERVER_STATUS_H

#include "config/config.h"
#include "core/buf.h"
#include "state/state.h"

struct server_seen {
    const struct config_upstream *u;
    const struct config_upstream_server *server;
    struct addr address; /* family NONE: its name has no address */
    bool up;
    unsigned connections;
    uint64_t changed_ms; /* when it last went up or down */
};
typedef void (*server_seen_fn)(void *arg, const struct server_seen *s);

/* Calls fn for each address of each server, in configuration order, and once for a name without addresses. */
void servers_each(const struct config *c, const struct state *st, server_seen_fn fn, void *arg);

struct servers_seen { /* counts addresses; a name without any counts as one that is down */
    unsigned up, down;
};
struct servers_seen servers_look(const struct config *c, const struct state *st);

void servers_put_metrics(const struct config *c, const struct state *st, struct buf *out);
void servers_put_json(const struct config *c, const struct state *st, struct buf *out); /* an array */
void servers_put_text(const struct config *c, const struct state *st, struct buf *out); /* one line each */

#endif
