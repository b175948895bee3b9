/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair_queue.h - the queue of questions that wait for a free slot, fair between sites.
 *
 * A hostile client controls the names we look up: a sender domain can have any number of names below it, and name
 * servers that never answer.  So sites take turns, not questions: one question of each site, the oldest first.
 * A site is a name of two labels (spamhaus.net, example.com), or of three below the usual country registries
 * (example.co.uk).  For reverse names it is a /16 of IPv4 or a /32 of IPv6.
 *
 * Limits  a client with many domains gets as many turns; all names below an unusual registry (waw.pl) are one site.
 */
#ifndef DNS_FAIR_QUEUE_H
#define DNS_FAIR_QUEUE_H

#include "core/list.h"
#include "core/table.h"
#include "dns/wire.h"

struct site;

struct fair_queue {
    struct table sites;     /* those with a waiting question */
    struct list_node order; /* struct site.order: the next one in front */
    size_t len;             /* questions */
};

struct fair_turn {         /* embedded in its owner; all zero: not queued */
    struct list_node node; /* site.waiting */
    struct site *site;     /* NULL: not queued */
};

void fair_queue_init(struct fair_queue *q);
void fair_queue_fini(struct fair_queue *q); /* must be empty */

/* Queues a question; `first`: before all others, because it has waited already. */
void fair_queue_add(struct fair_queue *q, struct fair_turn *t, const struct wire_name *name, bool first);

/* Removes and returns the next one; NULL if the queue is empty. */
struct fair_turn *fair_queue_next(struct fair_queue *q);

/* Removes this one; does nothing if it is not queued. */
void fair_queue_drop(struct fair_queue *q, struct fair_turn *t);

#endif
