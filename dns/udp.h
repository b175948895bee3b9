/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp.h - questions to one server by UDP: ports, ids, timeouts, and matching of answers.
 *
 * A forger who cannot see our questions must guess the port, the id and the letter case of a pending one (exchange.h
 * mixes the case).  So (RFC 5452 4, 9.2):
 *
 *   id       random, and unique among pending questions
 *   port     chosen at random by the kernel.  For a server not on loopback, a new one after PORT_QUESTIONS questions or
 *            PORT_MS, whichever is first.  The old port stays open only until its pending answers are in
 *   answer   must come to the port of its question, with its id and the question as sent, octet for octet
 *
 * Anything else is dropped and counted, and the question stays pending.  One exception: an answer whose question
 * differs only in letter case is reported (UDP_LETTERS), because some servers do so.
 *
 * Callbacks  exactly once for each udp_send(), from the loop, never from inside it; none after udp_free().
 * Owns       sockets.  A query is part of its owner's memory, and is linked from udp_send to its callback.
 * Limits     GROUP datagrams per system call; PORTS_MAX ports; the caller limits pending questions.
 */
#ifndef DNS_UDP_H
#define DNS_UDP_H

#include "core/list.h"
#include "core/loop.h"
#include "dns/wire.h"

#define PORT_QUESTIONS 64
#define PORT_MS 1000
#define PORTS_MAX 64 /* open ports: at this number, the newest stays in use */

enum udp_status {
    UDP_ANSWER = 0, /* with any RCODE, truncated or not */
    UDP_LETTERS,    /* an answer that repeats our question in other letter case: not trustworthy */
    UDP_TIMEOUT,
    UDP_NETWORK, /* sending failed, or the port is closed */
};

struct udp_query;

/* `packet` is borrowed until the callback returns; its question is in lower case.  Empty unless UDP_ANSWER. */
typedef void (*udp_cb)(struct udp_query *q, enum udp_status status, uint8_t *packet, size_t len);

struct udp_query {           /* embedded in its owner */
    struct list_node link;   /* udp.waiting, or udp.failed */
    struct list_node bucket; /* of its id */
    struct udp_port *port;   /* NULL: sending failed */
    uint64_t due_ms;
    struct wire_question q; /* as sent */
};

struct udp_settings {
    struct addr server; /* with its port */
    uint32_t timeout_ms;
    bool one_port; /* loopback: no other host can forge answers, so one port is enough */
};

struct udp;

struct udp *udp_new(struct loop *l, const struct udp_settings *settings, udp_cb cb) MUST_USE; /* never NULL */
void udp_free(struct udp *u); /* allowed in a callback; NULL is allowed */

/* Sends q->q with a new id, stored in q->q.id. */
void udp_send(struct udp *u, struct udp_query *q);

size_t udp_ports(const struct udp *u); /* number of open ports: for tests */

#endif
