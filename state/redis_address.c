/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_address.c - parses state.redis.url (memory_priv.h).
 *
 * Does not look up names: a lookup would block, and an outage of the DNS would also cut off Redis.
 */
#include "core/addr.h"
#include "state/memory_priv.h"

#define DEFAULT_PORT SLICE("6379")
#define DB_MAX 1023

static char *address_of(struct slice host)
{
    struct addr ip;

    if (slice_eq(host, SLICE("localhost"))) {
        return xstrdup("127.0.0.1");
    }
    return addr_parse_ip(host, &ip) ? slice_dup(host) : NULL;
}

/* Takes the port off "[::1]:6379", "192.0.2.1:6379" or "192.0.2.1". */
static struct slice take_port(struct slice *host)
{
    struct slice port = DEFAULT_PORT;
    size_t colon = slice_rfind(*host, ':'), bracket = slice_find(*host, ']');

    if (host->len > 0 && host->ptr[0] == '[') {
        port = slice_skip(*host, bracket + 2);
        *host = slice_skip(slice_take(*host, bracket), 1);
    } else if (colon < host->len) {
        port = slice_skip(*host, colon + 1);
        *host = slice_take(*host, colon);
    }
    return port.len > 0 ? port : DEFAULT_PORT;
}

/* Takes "user:password" or ":password"; a user without a password could not log in. */
static bool take_login(struct redis_address *a, struct slice login)
{
    size_t colon = slice_find(login, ':');

    if (colon + 1 >= login.len) {
        return false;
    }
    a->user = colon > 0 ? slice_dup(slice_take(login, colon)) : NULL;
    a->password = slice_dup(slice_skip(login, colon + 1));
    return true;
}

bool redis_address_parse(struct redis_address *a, struct slice url)
{
    struct slice host, port;
    uint64_t n;
    size_t at;

    if (slice_starts(url, SLICE("unix:/"))) {
        a->path = slice_dup(slice_skip(url, 5));
        return true;
    }
    if (!slice_starts(url, SLICE("redis://"))) {
        return false;
    }
    url = slice_skip(url, 8);
    at = slice_rfind(url, '@');
    if (at < url.len) {
        if (!take_login(a, slice_take(url, at))) {
            return false;
        }
        url = slice_skip(url, at + 1);
    }
    host = slice_cut(&url, '/');
    if (url.len > 0 && !slice_to_u64(url, DB_MAX, &n)) {
        return false;
    }
    a->db = url.len > 0 ? (unsigned)n : 0;
    port = take_port(&host);
    if (!slice_to_u64(port, 65535, &n) || n == 0) {
        return false;
    }
    a->port = (uint16_t)n;
    a->host = address_of(host);
    return a->host != NULL;
}

void redis_address_fini(struct redis_address *a)
{
    free(a->host);
    free(a->path);
    free(a->user);
    free(a->password);
    *a = (struct redis_address){ NULL, NULL, NULL, NULL, 0, 0 };
}

bool memory_redis_url_valid(const char *url)
{
    struct redis_address a = { .host = NULL };
    bool ok = redis_address_parse(&a, slice_str(url));

    redis_address_fini(&a);
    return ok;
}
