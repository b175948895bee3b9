/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.h - questions to one recursive server, in the form it supports: UDP, TCP, with and without EDNS.
 *
 * Takes questions and returns octets.  It does not cache, retry or choose servers: one struct exchange is one server.
 * One exchange_send is one attempt, which may take several packets:
 *
 *     UDP, letters mixed, OPT -+- answer ----------------------------------------------> callback
 *                              +- truncated ------------> the same by TCP
 *                              +- FORMERR, NOTIMP ------> without OPT      (quirk.h: then for an hour)
 *                              +- other letters --------> in lower case    (quirk.h: then for an hour)
 *                              '- silence --------------> callback: timeout; the next question is sent both with and
 *                                                         without OPT, to test whether OPT is the cause
 *
 * Letters    are mixed if the server is not on loopback, because forgers may exist there.  An answer must repeat them
 *            (draft-vixie-dnsext-dns0x20).  All known servers do; any other costs one extra packet.
 * Callbacks  exactly once for each exchange_send, from the loop, never from inside it.  There is no cancel, because the
 *            TCP library cannot withdraw one question.  So `arg` must stay valid until the callback or exchange_free.
 */
#ifndef DNS_EXCHANGE_H
#define DNS_EXCHANGE_H

#include "core/loop.h"
#include "dns/wire.h"

enum exchange_status {
    EXCHANGE_ANSWER = 0, /* a message with our id and question, with any RCODE */
    EXCHANGE_TIMEOUT,
    EXCHANGE_NETWORK, /* sending failed, or the connection broke */
};

struct exchange_settings {
    struct addr server;  /* with its port */
    uint32_t timeout_ms; /* for one packet and its answer */
    bool forgers;        /* the server is not on loopback: ports change and letters are mixed */
    bool tcp;            /* TCP only: for the self-test */
};

/* `packet` is borrowed until the callback returns; empty unless EXCHANGE_ANSWER. */
typedef void (*exchange_cb)(enum exchange_status status, struct slice packet, void *arg);

struct exchange;

struct exchange *exchange_new(struct loop *l,
                              const struct exchange_settings *settings) MUST_USE; /* never NULL */

/* No callback runs afterwards.  Allowed in a callback; frees at the end of the turn. */
void exchange_free(struct exchange *x);

/* Sends the question, without OPT if q->plain, with a new random id, stored in q->id.  Does not keep q. */
void exchange_send(struct exchange *x, struct wire_question *q, exchange_cb cb, void *arg);

bool exchange_is_plain(const struct exchange *x); /* the server has proved not to support OPT */

#endif
