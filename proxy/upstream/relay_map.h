/*
 * relay_map.h - what the client is told when an upstream says this, or nothing (protocol 1.10, RPL-15).
 *
 * Pure.  The first digit of an answer about the mail is never changed; answers about us, about the
 * connection, and nonsense become 451.
 */
#ifndef PROXY_UPSTREAM_RELAY_MAP_H
#define PROXY_UPSTREAM_RELAY_MAP_H

#include "proxy/upstream/upstream.h"

enum map_result {
    MAP_ACCEPTED = 0,
    MAP_REFUSED,    /* the upstream's own 4xx or 5xx, as it is */
    MAP_REFUSES_US, /* someone must act; *out is 451 4.3.5 */
    MAP_GOES_AWAY,  /* 421: 451 4.3.2 with its text; the connection is of no more use */
    MAP_NONSENSE,   /* not a reply to this command: 451 4.3.0, and the connection must be closed */
};

/* A reply to MAIL, RCPT, DATA or the final dot (`state`: UP_MAIL, UP_RCPT, UP_DATA, UP_FINAL).  *out borrows
 * from *in. */
enum map_result map_reply(enum up_state state, const struct reply *in, struct reply *out);

/* What a failed connection means for the client. */
void map_failure(const struct upstream_failure *f, struct reply *out);

#endif
