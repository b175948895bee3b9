/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair_queue.h - the questions that wait for a place on the wire, and whose turn it is.
 *
 * A stranger decides what is asked: the domain of a sender, with as many names below it as he likes, and name
 * servers that never answer.  So the sites take turns and not the questions: one question of each, the oldest first.
 * A site is a name of two labels (spamhaus.net, example.com), or three below the usual registries of a country
 * (example.co.uk), a /16 of reverse names, a /32 of those of IPv6.
 *
 * Limits  who uses many domains has as many turns; all below an unusual registry (waw.pl) are one site.
 */
#ifndef DNS_FAIR_QUEUE_H
#define DNS_FAIR_QUEUE_H

#include "core/list.h"
#include "core/table.h"
#include "dns/wire.h"

struct site;

struct fair_queue {
    struct table sites;     /* those with a question that waits */
    struct list_node order; /* struct site.order: the next one in front */
    size_t len;             /* questions */
};

struct fair_turn {         /* embedded in its owner; all zero: does not wait */
    struct list_node node; /* site.waiting */
    struct site *site;     /* NULL: does not wait */
};

void fair_queue_init(struct fair_queue *q);
void fair_queue_fini(struct fair_queue *q); /* must be empty */

/* Waits from here on; `first`: before all others, because it has waited already. */
void fair_queue_add(struct fair_queue *q, struct fair_turn *t, const struct wire_name *name, bool first);

/* Takes the next one out; NULL if none waits. */
struct fair_turn *fair_queue_next(struct fair_queue *q);

/* Takes this one out; nothing if it does not wait. */
void fair_queue_drop(struct fair_queue *q, struct fair_turn *t);

#endif
