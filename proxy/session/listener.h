/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.h - accepts clients on one listening socket of this worker.
 *
 * When a limit is reached it replies 421 in a way that lets the client read it; other clients go to
 * session_accept().  It pauses when descriptors run out.  Embedded in an array that the worker owns.
 */
#ifndef PROXY_SESSION_LISTENER_H
#define PROXY_SESSION_LISTENER_H

#include "proxy/worker.h"

struct session_client;

struct listener {
    struct worker *worker;
    const struct config_listener *conf;
    int fd;
    bool any;          /* bound to a wildcard address */
    struct addr local; /* the bound address */
    unsigned alone;    /* turns left in which to skip a second accept() */
    int reserve;       /* spare descriptor to close when no others are left; -1: none */
    struct watch watch;
    struct timer pause;   /* resumes accepting after descriptors ran out */
    struct timer closing; /* closes fd after the poll has dropped it */
    struct log_limit log;
};

/* Admits a client whose address is known: checks the limits, then starts a session or sends a refusal.  Takes fd. */
void listener_admit(struct listener *l, int fd, const struct session_client *client);

/* Starts accepting.  Takes the descriptor. */
void listener_open(struct listener *l, struct worker *w, const struct worker_socket *socket);

/*
 * Stops accepting.  The supervisor shares the descriptor, so the poll must drop it before it is closed; that takes one
 * turn.  Idempotent.
 */
void listener_close(struct listener *l);

/* Call at the end of the process, after the loop has ended. */
void listener_fini(struct listener *l);

#endif
