/*
 * server_status.h - the servers of all upstreams, each address by itself: for metrics, status and health.
 */
#ifndef ADMIN_SERVER_STATUS_H
#define ADMIN_SERVER_STATUS_H

#include "config/config.h"
#include "core/buf.h"
#include "state/state.h"

struct servers_seen { /* addresses; a name without any counts as one that is down */
    unsigned up, down;
};
struct servers_seen servers_look(const struct config *c, const struct state *st);

void servers_put_metrics(const struct config *c, const struct state *st, struct buf *out);
void servers_put_json(const struct config *c, const struct state *st, struct buf *out); /* an array */
void servers_put_text(const struct config *c, const struct state *st, struct buf *out); /* one line each */

#endif
