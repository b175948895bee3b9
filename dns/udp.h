/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp.h - questions to one server by UDP: ports, ids, time-outs, and what counts as an answer.
 *
 * A forger who does not see our questions has to guess the port and the id of one that is out, and the letters of its
 * name (exchange.h mixes them).  So (RFC 5452 4, 9.2):
 *
 *   id       random, and that of no other question that is out
 *   port     the kernel's choice, at random; to a server that is not on loopback a new one after PORT_QUESTIONS questions
 *            or PORT_MS, whichever is first; the old one stays open for the answers it is owed, and no longer
 *   answer   on the port of its question, with its id, and with the question as it was sent, octet for octet
 *
 * Anything else is dropped and counted, and the question stays out.  One exception: the right question in other letters
 * is told (UDP_LETTERS), because there are servers that do so.
 *
 * Callbacks  exactly once for each udp_send(), from the loop, never from inside it; udp_free() ends all of them.
 * Owns       sockets.  A query is its owner's, in whose memory it lies; it is linked from udp_send to its callback.
 * Limits     GROUP datagrams a system call; PORTS_MAX ports; who asks bounds what is out.
 */
#ifndef DNS_UDP_H
#define DNS_UDP_H

#include "core/list.h"
#include "core/loop.h"
#include "dns/wire.h"

#define PORT_QUESTIONS 64
#define PORT_MS 1000
#define PORTS_MAX 64 /* open ones: with so many, the newest is kept */

enum udp_status {
    UDP_ANSWER = 0, /* with any RCODE, truncated or not */
    UDP_LETTERS,    /* an answer that repeats our question in other letters: not to be trusted */
    UDP_TIMEOUT,
    UDP_NETWORK, /* nothing could be sent, or the port is closed */
};

struct udp_query;

/* `packet` is borrowed until the callback returns; its question is in lower case.  Empty unless UDP_ANSWER. */
typedef void (*udp_cb)(struct udp_query *q, enum udp_status status, uint8_t *packet, size_t len);

struct udp_query {           /* embedded in its owner */
    struct list_node link;   /* udp.waiting, or udp.failed */
    struct list_node bucket; /* of its id */
    struct udp_port *port;   /* NULL: could not be sent */
    uint64_t due_ms;
    struct wire_question q; /* as sent */
};

struct udp_settings {
    struct addr server; /* with its port */
    uint32_t timeout_ms;
    bool one_port; /* loopback: no other host can forge, so one port is enough */
};

struct udp;

struct udp *udp_new(struct loop *l, const struct udp_settings *settings, udp_cb cb) MUST_USE; /* never NULL */
void udp_free(struct udp *u); /* allowed in a callback; NULL is allowed */

/* Sends q->q under an id that it puts there. */
void udp_send(struct udp *u, struct udp_query *q);

size_t udp_ports(const struct udp *u); /* open ones: for tests */

#endif
