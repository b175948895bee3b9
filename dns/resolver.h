/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.h - struct resolver and the functions on it shared by several files.  Private to dns/.
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
    struct table flights;    /* struct flight.entry: those that requests may still join */
    struct list_node flying; /* struct flight.node: an attempt is pending */
    struct fair_queue queue; /* struct flight.turn: waiting for a slot */
    struct list_node tries;  /* struct attempt.node, the oldest first */
    struct list_node slow;   /* struct attempt.node: pending for SLOW_MS, so they use no slot */
    struct timer aging;      /* active while a caller waits for the next one to be slow */
    struct list_node ready;  /* struct dns_req.node: answered, callback due */
    struct list_node round;  /* those whose callbacks run now */
    struct slab flight_slab; /* flights and attempts, allocated for each question */
    struct slab try_slab;
    struct deferred deliver;
    struct grave grave;
    size_t on_wire;              /* length of tries and slow */
    size_t slow_count;           /* length of slow */
    size_t requests;             /* pending handles */
    bool closed;                 /* resolver_free() was called; memory is freed at the end of the turn */
    struct pace_rates rates;     /* of settings */
    struct log_limit pace_limit; /* for its log line */
    struct dns_stats stats;      /* the counters; the rest is filled in by resolver_stats() */
};

/* ---- numbers.c ---- */

void resolver_show_load(const struct resolver *r); /* updates the metrics; call it after each change */
void resolver_count_failure(struct resolver *r, enum dns_why why);

/* ---- account.c ---- */

/* May this client cause one more question?  *network: charged with a failure until resolver_give_back(). */
bool resolver_keeps_pace(struct resolver *r, const struct dns_asker *who, uint64_t *network) MUST_USE;
void resolver_give_back(struct resolver *r, uint64_t network); /* 0: nothing was charged */

/* ---- settings.c ---- */

/* Returns the settings with defaults for fields that are 0; does not copy the lists of servers. */
struct dns_settings settings_fill(const struct dns_settings *in);

/* Can another host forge this server's answers?  False on loopback. */
bool settings_forgers(const struct addr *server);

/* Fills r->servers and opens one connection to each; r->settings must be set.  May read resolv.conf. */
void settings_open_servers(struct resolver *r, const struct dns_settings *in);

#endif
