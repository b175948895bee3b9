/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cares.h - questions to one server by TCP, through c-ares on our loop.
 *
 * Takes questions, gives back octets.  Who asks is exchange.c, which knows when TCP is needed.
 *
 * Callbacks  exactly once for each cares_send, from a deferred call, never from inside cares_send and never
 *            from inside c-ares.  There is no cancel: c-ares cannot take one question back, so `arg`
 *            must stay valid until the callback or cares_free.
 */
#ifndef DNS_CARES_H
#define DNS_CARES_H

#include "core/loop.h"
#include "dns/wire.h"

enum cares_status {
    CARES_ANSWER = 0, /* a message with our id and question came back, with any RCODE; a header at least */
    CARES_TIMEOUT,
    CARES_NETWORK, /* nothing could be sent, or the connection broke */
};

struct cares_settings {
    struct addr server;  /* with its port */
    uint32_t timeout_ms; /* of one question, connecting included */
};

/* `packet` is the callback's, to change as well, until it returns; empty unless CARES_ANSWER. */
typedef void (*cares_cb)(enum cares_status status, struct slice packet, void *arg);

struct cares;

struct cares *cares_new(struct loop *l, const struct cares_settings *settings) MUST_USE; /* never NULL */

/* No callback runs afterwards.  Allowed in a callback; the memory goes at the end of the turn.  NULL is allowed. */
void cares_free(struct cares *c);

/* Sends the question under a fresh random id, which it puts into q->id.  q is not kept. */
void cares_send(struct cares *c, struct wire_question *q, cares_cb cb, void *arg);

#endif
