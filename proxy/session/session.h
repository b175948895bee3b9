/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - one client connection: the interface for the listener and the worker.
 *
 * session_accept() starts a session, and the session ends itself: session_close() unlinks it from worker.sessions,
 * then calls worker_session_gone().  Its memory stays valid to the end of that loop turn.  Other files only see it as
 * a link of worker.sessions and tell it to drain.
 *
 * Ownership  the worker owns sessions; a session owns its stream and its transaction (txn.h).
 * Next       session_priv.h: the phases, struct session, and the interface between its files.
 */
#ifndef PROXY_SESSION_SESSION_H
#define PROXY_SESSION_SESSION_H

#include "core/addr.h"
#include "proxy/worker.h"

struct session;

struct session_client {
    struct addr peer;  /* the client, as sessions, logs and rules see it */
    struct addr local; /* our end of the connection */
    struct addr via;   /* the balancer that named the client; family NONE: no balancer */
    bool counted;      /* state_client_enter counted it */
    bool exempt;       /* a private client: no limit by address applies */
    bool trusted;      /* a trusted peer that has not named a client: PROXY LOCAL, or before XCLIENT */
};

/* Takes an accepted, non-blocking descriptor. */
void session_accept(struct worker *w, const struct config_listener *lc, int fd,
                    const struct session_client *c);

/* At a stop or reload: an idle session gets 421 4.3.2 now, any other as soon as it is idle. */
void session_drain(struct session *s);

/* The drain timeout: ends it now, except when it waits for the final reply. */
void session_expire(struct session *s);

/* Makes worker.session_slab; slab_fini() frees it once all sessions have ended.  Up to `kept` free ones stay. */
void session_slab_init(struct slab *slab, size_t kept);

/* Calls f for each session of the worker; f may close it. */
void session_each(struct worker *w, void (*f)(struct session *s));

/* A limit that the session's timer depends on has changed: the timer is set again. */
void session_rearm(struct session *s);

#endif
