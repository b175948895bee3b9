/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.h - accepts clients on one listening socket of this worker.
 *
 * Says 421 where a limit is reached, so that the reply is read, and hands the rest to session_accept().
 * Out of descriptors it pauses.  Embedded in an array of the worker, which owns it.
 */
#ifndef PROXY_SESSION_LISTENER_H
#define PROXY_SESSION_LISTENER_H

#include "proxy/worker.h"

struct session_client;

struct listener {
    struct worker *worker;
    const struct config_listener *conf;
    int fd;
    bool any;          /* bound to no address in particular */
    struct addr local; /* what it is bound to */
    unsigned alone;    /* turns in which one is accepted and no second one asked for */
    int reserve;       /* a descriptor to let go when there are no more; -1: none */
    struct watch watch;
    struct timer pause;   /* accepting again after running out of descriptors */
    struct timer closing; /* closes fd once the poll has forgotten it */
    struct log_limit log;
};

/* Whose address is known now: asks the limits and makes the session, or refuses readably.  Takes the descriptor. */
void listener_admit(struct listener *l, int fd, const struct session_client *client);

/* Starts accepting.  Takes the descriptor. */
void listener_open(struct listener *l, struct worker *w, const struct worker_socket *socket);

/*
 * Accepts no more.  The descriptor is shared with the supervisor, so the poll must forget it before it is
 * closed; that takes one turn.  Idempotent.
 */
void listener_close(struct listener *l);

/* At the end of the process, after the loop has ended. */
void listener_fini(struct listener *l);

#endif
