/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wait.h - connections from a trusted balancer, until their PROXY header is complete.
 *
 * They are not sessions yet: nothing is said to them, and nobody knows whom to count.  Owned by the worker's
 * list, worker.announced; each ends as a session (listener_admit) or closed.
 */
#ifndef PROXY_SESSION_PROXY_WAIT_H
#define PROXY_SESSION_PROXY_WAIT_H

#include "proxy/session/listener.h"
#include "proxy/session/session.h"

/* Waits for the header and hands the connection to listener_admit().  Takes the descriptor. */
void proxy_wait_start(struct listener *l, int fd, const struct session_client *socket);

/* Closes all that still wait: a drain, or the end of the process.  Idempotent. */
void proxy_wait_close_all(struct worker *w);

#endif
