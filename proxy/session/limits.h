/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h - who may connect: the per-client limits in shared memory, in the mode that the file sets.
 *
 * The listener calls it for the socket's address; the session calls it again once a PROXY header or XCLIENT
 * has named another client.
 */
#ifndef PROXY_SESSION_LIMITS_H
#define PROXY_SESSION_LIMITS_H

#include "proxy/worker.h"
#include "state/clients.h"

struct limits_admission {
    enum admit result;
    bool counted; /* the caller owes limits_leave() */
    bool exempt;  /* a private client: no limit by address applies */
};

/*
 * Counts the client in, or returns the reason for a refusal.  Monitor mode only counts and logs bans and rates.
 * `announced`: a trusted peer named the address, so the limits apply even to a private one.
 */
struct limits_admission limits_admit(struct worker *w, const struct addr *client, bool announced);

/* Call when a client that was counted in has gone. */
void limits_leave(struct worker *w, const struct addr *client);

/* For a trusted peer that has not named a client (a health check, or before XCLIENT): not counted. */
struct limits_admission limits_admit_trusted(const struct worker *w, const struct addr *peer);

/*
 * Is the client exempt from rates and bans by its address alone: in allow_clients, or in good standing?  For a private
 * client only allow_clients counts.  The exemption by SPF comes later (judge_exempt_from_rates).
 */
bool limits_favours(const struct worker *w, const struct addr *client, bool exempt);

/* Has use of `limit` over all processes reached the stress level (limits.stress.at)? */
bool limits_short(const struct worker *w, enum metric used, uint64_t limit);

/* Connections of the whole machine: below the limit, over it (421), or far over it (close without a reply). */
enum limits_total { LIMITS_ROOM = 0, LIMITS_FULL, LIMITS_FLOOD };
enum limits_total limits_total(const struct worker *w);

/* How many sessions this process may hold, leaving descriptors for upstreams and spool files. */
size_t limits_session_max(const struct config *conf, size_t descriptors);

#endif
