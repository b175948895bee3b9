/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h - who may connect: the per-client limits over the shared memory, as the mode of the file says.
 *
 * Asked by the listener for the address of the socket, and by the session once a PROXY header or XCLIENT
 * has named another one.
 */
#ifndef PROXY_SESSION_LIMITS_H
#define PROXY_SESSION_LIMITS_H

#include "proxy/worker.h"
#include "state/clients.h"

struct limits_admission {
    enum admit result;
    bool counted; /* limits_leave() is owed */
    bool exempt;  /* a private client: nothing by address applies */
};

/*
 * Counts the client in, or says why not.  In monitor mode bans and rates are counted and logged only.
 * `announced`: the address came from a trusted peer, so it is judged even if it is a private one.
 */
struct limits_admission limits_admit(struct worker *w, const struct addr *client, bool announced);

/* A client that was counted in is gone. */
void limits_leave(struct worker *w, const struct addr *client);

/* A trusted peer on its own behalf (a health check, or before it has named a client): not counted. */
struct limits_admission limits_admit_trusted(const struct worker *w, const struct addr *peer);

/*
 * Is it exempt from rates and bans by its address alone: in allow_clients, or in good standing?  For an exempt
 * client only allow_clients counts.  What SPF says of its senders comes later (judge_exempt_from_rates).
 */
bool limits_favours(const struct worker *w, const struct addr *client, bool exempt);

/* Is so much of `limit` used, over all processes, that it is stress (limits.stress.at)? */
bool limits_short(const struct worker *w, enum metric used, uint64_t limit);

/* The whole machine's connections: below the limit, over it (421), or far over it (close without a word). */
enum limits_total { LIMITS_ROOM = 0, LIMITS_FULL, LIMITS_FLOOD };
enum limits_total limits_total(const struct worker *w);

/* How many sessions this process may hold so that descriptors are left for upstreams and spool files. */
size_t limits_session_max(const struct config *conf, size_t descriptors);

#endif
