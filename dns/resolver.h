/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.h - what the files of dns/ know of struct resolver.  Private to dns/.
 */
#ifndef DNS_RESOLVER_H
#define DNS_RESOLVER_H

#include "core/slab.h"
#include "dns/cache.h"
#include "dns/exchange.h"
#include "dns/fair_queue.h"
#include "dns/pace.h"
#include "dns/servers.h"
#include "dns/wire.h"

struct resolver {
    struct loop *loop;
    struct dns_settings settings; /* defaults filled in; servers and resolv_conf are not kept */
    struct servers servers;
    struct cache cache;
    struct table flights;    /* struct flight.entry: all that may still be joined */
    struct list_node flying; /* struct flight.node: a try is out */
    struct fair_queue queue; /* struct flight.turn: waiting for a place */
    struct list_node tries;  /* struct attempt.node, the oldest first */
    struct list_node slow;   /* struct attempt.node: out for SLOW_MS, they take no place any more */
    struct timer aging;      /* active while a caller waits for the next one to be slow */
    struct list_node ready;  /* struct dns_req.node: answered, to be called back */
    struct list_node round;  /* those being called back now */
    struct slab flight_slab; /* what each question takes and gives back */
    struct slab try_slab;
    struct deferred deliver;
    struct grave grave;
    size_t on_wire;              /* length of tries and slow */
    size_t slow_count;           /* length of slow */
    size_t requests;             /* handles that are out */
    bool closed;                 /* resolver_free() was called; the memory goes at the end of the turn */
    struct pace_rates rates;     /* of settings */
    struct log_limit pace_limit; /* for its log line */
    struct dns_stats stats;      /* the counters; the rest is filled in by resolver_stats() */
};

/* ---- numbers.c ---- */

void resolver_show_load(const struct resolver *r); /* to the metrics; called wherever it has changed */
void resolver_count_failure(struct resolver *r, enum dns_why why);

/* ---- account.c ---- */

/* May this client cause one more question?  *network: whom a failure is charged to, until resolver_give_back(). */
bool resolver_keeps_pace(struct resolver *r, const struct dns_asker *who, uint64_t *network) MUST_USE;
void resolver_give_back(struct resolver *r, uint64_t network); /* 0: nothing was charged */

/* ---- settings.c ---- */

/* The settings with defaults for what is 0; the lists of servers are not copied (settings.c). */
struct dns_settings settings_fill(const struct dns_settings *in);

/* Can another host forge this server's answers?  Not on loopback. */
bool settings_forgers(const struct addr *server);

/* Fills r->servers and opens one connection to each; r->settings must be set.  May read resolv.conf. */
void settings_open_servers(struct resolver *r, const struct dns_settings *in);

#endif
