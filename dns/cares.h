/*
 * cares.h - one recursive server, spoken to through c-ares on our loop.
 *
 * Takes questions, gives back octets.  Knows neither caching nor retrying nor which server is better:
 * one struct cares is one server, one attempt is one question.
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
    CARES_ANSWER = 0, /* a message with our id and question came back, with any RCODE */
    CARES_TIMEOUT,
    CARES_NETWORK, /* nothing could be sent, or the connection broke */
};

struct cares_settings {
    struct addr server;  /* port 0: 53 */
    uint32_t timeout_ms; /* of one question; it may double when a truncated answer is asked again by TCP */
    uint32_t renew_ms;   /* a new channel, so a new source port, after this time; 0: never */
    bool tcp;            /* TCP only: for the self-test */
};

/* `packet` is borrowed until the callback returns; empty unless CARES_ANSWER. */
typedef void (*cares_cb)(enum cares_status status, struct slice packet, void *arg);

struct cares;

struct cares *cares_new(struct loop *l, const struct cares_settings *settings) MUST_USE; /* never NULL */

/* No callback runs afterwards.  Allowed in a callback; the memory goes at the end of the turn. */
void cares_free(struct cares *c);

/* Sends the question under a fresh random id, which it puts into q->id.  q is not kept. */
void cares_send(struct cares *c, struct wire_question *q, cares_cb cb, void *arg);

/*
 * An answer came without OPT.  After one such FORMERR c-ares drops EDNS for the whole channel and would take
 * every UDP answer above 512 octets for truncated, so a new channel is opened, once in a while.
 */
void cares_saw_no_edns(struct cares *c);

size_t cares_channels(const struct cares *c); /* open ones, draining ones included: for tests */

#endif
