/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.h - one recursive server, spoken to as it understands it: UDP, TCP, with and without EDNS.
 *
 * Takes questions, gives back octets.  Knows neither caching nor retrying nor which server is better: one struct
 * exchange is one server, one exchange_send is one attempt, although that may be several packets:
 *
 *     UDP, letters mixed, OPT -+- answer ----------------------------------------------> callback
 *                              +- truncated ------------> the same by TCP
 *                              +- FORMERR, NOTIMP ------> without OPT      (quirk.h: then for an hour)
 *                              +- other letters --------> in lower case    (quirk.h: then for an hour)
 *                              '- silence --------------> callback: time-out; the next question goes both ways, with
 *                                                         OPT and without, to see whether it is that
 *
 * Letters    are mixed for a server that is not on loopback, where there may be forgers: an answer must repeat them (as
 *            draft-vixie-dnsext-dns0x20 has it).  All servers that are known do; those that do not cost one packet more.
 * Callbacks  exactly once for each exchange_send, from the loop, never from inside it.  There is no cancel: the library
 *            for TCP cannot take one question back, so `arg` must stay valid until the callback or exchange_free.
 */
#ifndef DNS_EXCHANGE_H
#define DNS_EXCHANGE_H

#include "core/loop.h"
#include "dns/wire.h"

enum exchange_status {
    EXCHANGE_ANSWER = 0, /* a message with our id and question came back, with any RCODE */
    EXCHANGE_TIMEOUT,
    EXCHANGE_NETWORK, /* nothing could be sent, or the connection broke */
};

struct exchange_settings {
    struct addr server;  /* with its port */
    uint32_t timeout_ms; /* of one packet and its answer */
    bool forgers;        /* the server is not on loopback: ports change and letters are mixed */
    bool tcp;            /* TCP only: for the self-test */
};

/* `packet` is borrowed until the callback returns; empty unless EXCHANGE_ANSWER. */
typedef void (*exchange_cb)(enum exchange_status status, struct slice packet, void *arg);

struct exchange;

struct exchange *exchange_new(struct loop *l,
                              const struct exchange_settings *settings) MUST_USE; /* never NULL */

/* No callback runs afterwards.  Allowed in a callback; the memory goes at the end of the turn. */
void exchange_free(struct exchange *x);

/* Sends the question, without OPT if q->plain, under a fresh random id, which it puts into q->id.  q is not kept. */
void exchange_send(struct exchange *x, struct wire_question *q, exchange_cb cb, void *arg);

bool exchange_is_plain(const struct exchange *x); /* the server has shown that it does not bear OPT */

#endif
