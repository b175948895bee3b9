/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cares.h - questions to one server by TCP, through c-ares on our loop.
 *
 * Takes questions and returns octets.  The only caller is exchange.c, which knows when TCP is needed.
 *
 * Callbacks  exactly once for each cares_send, from a deferred call, never from inside cares_send or c-ares.  There
 *            is no cancel, because c-ares cannot withdraw one question.  So `arg` must stay valid until the callback
 *            or cares_free.
 */
#ifndef DNS_CARES_H
#define DNS_CARES_H

#include "core/loop.h"
#include "dns/wire.h"

enum cares_status {
    CARES_ANSWER = 0, /* a message with our id and question, with any RCODE; at least a header */
    CARES_TIMEOUT,
    CARES_NETWORK, /* sending failed, or the connection broke */
};

struct cares_settings {
    struct addr server;  /* with its port */
    uint32_t timeout_ms; /* for one question, including the connect */
};

/* The callback may read and change `packet` until it returns; empty unless CARES_ANSWER. */
typedef void (*cares_cb)(enum cares_status status, struct slice packet, void *arg);

struct cares;

struct cares *cares_new(struct loop *l, const struct cares_settings *settings) MUST_USE; /* never NULL */

/* No callback runs afterwards.  Allowed in a callback; frees at the end of the turn.  NULL is allowed. */
void cares_free(struct cares *c);

/* Sends the question with a new random id, stored in q->id.  Does not keep q. */
void cares_send(struct cares *c, struct wire_question *q, cares_cb cb, void *arg);

#endif
