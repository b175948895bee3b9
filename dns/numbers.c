/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numbers.c - the counters of a resolver, for metrics and dns_stats.
 */
#include "core/metrics.h"
#include "dns/resolver.h"

void resolver_show_load(const struct resolver *r)
{
    size_t down = 0;

    for (size_t i = 0; i < r->servers.count; i++) {
        down += r->servers.list[i].down;
    }
    gauge_set(M_DNS_IN_FLIGHT, r->on_wire);
    gauge_set(M_DNS_QUEUED, r->queue.len);
    gauge_set(M_DNS_SERVERS_DOWN, down);
}

void resolver_count_failure(struct resolver *r, enum dns_why why)
{
    const struct {
        uint64_t *number;
        enum metric metric;
    } of[DNS_WHY_COUNT] = {
        [DNS_WHY_TIMEOUT] = { &r->stats.timeouts, M_DNS_TIMEOUTS },
        [DNS_WHY_SERVFAIL] = { &r->stats.servfail, M_DNS_SERVFAIL },
        [DNS_WHY_REFUSED] = { &r->stats.refused, M_DNS_REFUSED },
        [DNS_WHY_GARBAGE] = { &r->stats.garbage, M_DNS_GARBAGE },
        [DNS_WHY_NETWORK] = { &r->stats.network, M_DNS_NETWORK },
        [DNS_WHY_OVERLOAD] = { &r->stats.overload, M_DNS_OVERLOAD },
        [DNS_WHY_PACE] = { &r->stats.paced, M_DNS_PACED },
    };

    if (of[why].number != NULL) {
        *of[why].number += 1;
        count(of[why].metric);
    }
}

void resolver_stats(const struct resolver *r, struct dns_stats *out)
{
    *out = r->stats;
    out->in_flight = r->on_wire;
    out->queued = r->queue.len;
    out->requests = r->requests;
    out->cache_entries = cache_len(&r->cache);
    out->cache_bytes = r->cache.bytes;
    out->server_count = r->servers.count;
    for (size_t i = 0; i < r->servers.count; i++) {
        out->servers[i] = r->servers.list[i].stats;
    }
}
