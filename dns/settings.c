/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.c - from the settings to a resolver: defaults, servers.
 */
#include "config/config.h"
#include "dns/resolver.h"

enum {
    DEFAULT_TIMEOUT_MS = 2000,
    DEFAULT_ATTEMPTS = 2,
    DEFAULT_IN_FLIGHT = 128, /* more overruns socket buffers: in tests, 256 cost resends and seconds */
    DEFAULT_QUEUE = 20000,
    DEFAULT_CACHE = 200000,
    IN_FLIGHT_MAX = 4096, /* of 65536 ids */
    BYTES_PER_ENTRY = 512,
};

struct dns_settings dns_settings_default(void)
{
    return (struct dns_settings){
        .timeout_ms = DEFAULT_TIMEOUT_MS,
        .attempts = DEFAULT_ATTEMPTS,
        .in_flight = DEFAULT_IN_FLIGHT,
        .queue_max = DEFAULT_QUEUE,
        .cache_entries = DEFAULT_CACHE,
        .min_ttl_s = 1,
        .max_ttl_s = 3600,
        .negative_ttl_s = 300,
        .failure_ttl_s = 5,
    };
}

struct dns_settings dns_settings_of(const struct config_dns *c)
{
    struct dns_settings s = dns_settings_default();

    s.servers = c->servers;
    s.server_count = c->server_count;
    s.timeout_ms = (uint32_t)min_u64(c->timeout_ms, UINT32_MAX);
    s.attempts = c->attempts;
    s.in_flight = c->in_flight;
    s.cache_entries = c->cache_entries;
    s.cache_bytes = (size_t)min_u64(c->cache_memory, SIZE_MAX);
    s.min_ttl_s = (uint32_t)(c->cache_min_ttl_ms / 1000);
    s.max_ttl_s = (uint32_t)(c->cache_max_ttl_ms / 1000);
    s.negative_ttl_s = (uint32_t)(c->cache_negative_ttl_ms / 1000);
    s.failure_ttl_s = (uint32_t)(c->cache_failure_ttl_ms / 1000);
    s.client_questions = (struct dns_rate){ c->client_questions.count, c->client_questions.per_ms };
    s.client_failed = (struct dns_rate){ c->client_failed.count, c->client_failed.per_ms };
    return s;
}

struct dns_settings settings_fill(const struct dns_settings *in)
{
    struct dns_settings s = *in;

    if (s.timeout_ms == 0) {
        s.timeout_ms = DEFAULT_TIMEOUT_MS;
    }
    if (s.attempts == 0) {
        s.attempts = DEFAULT_ATTEMPTS;
    }
    if (s.in_flight == 0) {
        s.in_flight = DEFAULT_IN_FLIGHT;
    }
    s.in_flight = (uint32_t)min_size(s.in_flight, IN_FLIGHT_MAX);
    if (s.queue_max == 0) {
        s.queue_max = DEFAULT_QUEUE;
    }
    if (s.cache_bytes == 0 && mul_overflows(s.cache_entries, BYTES_PER_ENTRY, &s.cache_bytes)) {
        s.cache_bytes = SIZE_MAX;
    }
    s.servers = NULL;
    s.server_count = 0;
    s.resolv_conf = NULL;
    return s;
}

bool settings_forgers(const struct addr *server)
{
    static const uint8_t one[16] = { [15] = 1 };

    return server->family == ADDR_V4 ? server->ip[0] != 127 : memcmp(server->ip, one, sizeof(one)) != 0;
}

void settings_open_servers(struct resolver *r, const struct dns_settings *in)
{
    struct addr found[DNS_SERVERS_MAX];
    const struct addr *list = in->servers;
    size_t count = min_size(in->server_count, DNS_SERVERS_MAX);
    struct exchange_settings xs = { .timeout_ms = r->settings.timeout_ms };

    if (count == 0) {
        list = found;
        count = servers_read_resolv_conf(in->resolv_conf ? in->resolv_conf : "/etc/resolv.conf", found,
                                         DNS_SERVERS_MAX);
    }
    if (count == 0) {
        count = 1;
        found[0] = (struct addr){ .family = ADDR_V4, .ip = { 127, 0, 0, 1 } };
    }
    for (size_t i = 0; i < count; i++) {
        struct server *s = &r->servers.list[i];

        server_init(s, &list[i]);
        if (s->addr.port == 0) {
            s->addr.port = s->stats.addr.port = 53;
        }
        xs.server = s->addr;
        xs.forgers = settings_forgers(&s->addr);
        s->exchange = exchange_new(r->loop, &xs);
    }
    r->servers.count = count;
}
