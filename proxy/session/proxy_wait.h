/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wait.h - connections from a trusted balancer, until their PROXY header is complete.
 *
 * They are not sessions yet: we send nothing and cannot charge the connection to a client until the header
 * names one.  The list worker.announced owns them; each ends in listener_admit() or is closed.
 */
#ifndef PROXY_SESSION_PROXY_WAIT_H
#define PROXY_SESSION_PROXY_WAIT_H

#include "proxy/session/listener.h"
#include "proxy/session/session.h"

/* Waits for the header, then passes the connection to listener_admit().  Takes the descriptor. */
void proxy_wait_start(struct listener *l, int fd, const struct session_client *socket);

/* Closes all connections that still wait, at a drain or the end of the process.  Idempotent. */
void proxy_wait_close_all(struct worker *w);

#endif
