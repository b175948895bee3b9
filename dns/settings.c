/*
 * settings.c - the defaults of the resolver's settings.
 */
#include "dns/resolver.h"

enum {
    DEFAULT_TIMEOUT_MS = 2000,
    DEFAULT_ATTEMPTS = 2,
    DEFAULT_IN_FLIGHT = 128, /* more overruns socket buffers: measured, 256 costs resends and seconds */
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

struct dns_settings settings_fill(const struct dns_settings *in)
{
    struct dns_settings s = *in;

    if (s.timeout_ms == 0)
        s.timeout_ms = DEFAULT_TIMEOUT_MS;
    if (s.attempts == 0)
        s.attempts = DEFAULT_ATTEMPTS;
    if (s.in_flight == 0)
        s.in_flight = DEFAULT_IN_FLIGHT;
    s.in_flight = (uint32_t)min_size(s.in_flight, IN_FLIGHT_MAX);
    if (s.queue_max == 0)
        s.queue_max = DEFAULT_QUEUE;
    if (s.cache_bytes == 0 && mul_overflows(s.cache_entries, BYTES_PER_ENTRY, &s.cache_bytes))
        s.cache_bytes = SIZE_MAX;
    s.servers = NULL;
    s.server_count = 0;
    s.resolv_conf = NULL;
    return s;
}
