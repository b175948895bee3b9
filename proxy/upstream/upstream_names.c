/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_names.c - for each configured name: looks up A and AAAA, waits for the TTL, looks them up again.
 *
 * Order    IPv4 before IPv6, each by its octets.  DNS servers rotate records, but failover must mean the same
 *          server to all workers at all times.
 * Kept     If one lookup fails (timeout, SERVFAIL), its last addresses stay.  If both types are empty or the name
 *          does not exist, all last addresses stay: a mistake in a zone must not stop mail, and probes find a
 *          server that is really gone.
 * Routes   An address without a route from this machine is left out while another one has a route.  Otherwise a host
 *          without IPv6 would have a server that is always down.  connect() on a UDP socket finds the route and
 *          sends no packet.
 *
 * Owns its lookups and timers.  Limits: POOL_NAME_ADDRESSES of a name; at least 10 s and at most 5 minutes
 * between two lookups, 5 s after a failure.
 */
#include "proxy/upstream/upstream_names.h"

#include <unistd.h>

#include "dns/dns.h"

#define AGAIN_LEAST_S 10U
#define AGAIN_MOST_S 300U
#define RETRY_MS 5000U
#define LOG_INTERVAL_S 300U
#define NO_ROUTE_LOG_S 86400U

struct question {
    struct name *name;
    enum dns_type type;
    struct dns_req *req;
    enum dns_status status; /* of the last reply */
    enum dns_why why;
    uint32_t ttl_s;
    struct addr address[POOL_NAME_ADDRESSES]; /* the last addresses, in order */
    size_t count;
    bool cut; /* there were more */
};

enum { Q_A = 0, Q_AAAA, Q_COUNT };

struct name {
    struct upstream_names *all;
    struct pool *pool;
    size_t which; /* in pool->conf->server */
    struct question q[Q_COUNT];
    unsigned open; /* pending lookups */
    bool answered; /* at least once */
    struct timer again;
    struct log_limit log, cut_log, route_log;
};

struct upstream_names {
    struct upstreams *ups;
    struct resolver *resolver;
    struct name *name;
    size_t count;
};

static const struct config_upstream_server *server_of(const struct name *n)
{
    return &n->pool->conf->server[n->which];
}

/* ---- log lines ---- */

static bool begin_log(struct name *n, struct log_limit *limit, uint32_t interval_s, enum log_level level,
                      struct log_line *l)
{
    uint32_t suppressed;

    if (!log_allowed(limit, loop_now(n->all->ups->loop), interval_s, &suppressed) ||
        !log_begin(l, level, "upstream_name")) {
        return false;
    }
    log_text(l, "upstream", n->pool->conf->name);
    log_text(l, "server", server_of(n)->text);
    return true;
}

static void log_failure(struct name *n, const struct question *q)
{
    struct log_line l;

    if (begin_log(n, &n->log, LOG_INTERVAL_S, LOG_LEVEL_WARN, &l)) {
        log_text(&l, "type", q->type == DNS_TYPE_A ? "A" : "AAAA");
        log_text(&l, "status", dns_status_text(q->status));
        log_text(&l, "why", dns_why_text(q->why));
        log_end(&l);
    }
}

static void log_why(struct name *n, struct log_limit *limit, uint32_t interval_s, const char *why,
                    const struct addr *a)
{
    struct log_line l;

    if (begin_log(n, limit, interval_s, LOG_LEVEL_WARN, &l)) {
        log_ip(&l, "address", a);
        log_text(&l, "why", why);
        log_end(&l);
    }
}

/* ---- the list ---- */

static bool has_route(const struct addr *a)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(a, &to);
    int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && connect(fd, (const struct sockaddr *)&to, len) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return has;
}

static size_t add_all(struct name *n, const struct question *q, struct addr *list, size_t count)
{
    size_t i = 0;

    while (i < q->count && count < POOL_NAME_ADDRESSES) {
        list[count++] = q->address[i++];
    }
    if (count > 0 && (q->cut || i < q->count)) {
        log_why(n, &n->cut_log, LOG_INTERVAL_S,
                "the name has too many addresses; this is the last one in use", &list[count - 1]);
    }
    return count;
}

/* Drops addresses without a route, unless all would go. */
static size_t drop_unroutable(struct name *n, struct addr *list, size_t count)
{
    struct addr kept[POOL_NAME_ADDRESSES];
    size_t left = 0;

    for (size_t i = 0; i < count; i++) {
        struct addr a = list[i];

        a.port = server_of(n)->address.port;
        if (has_route(&a)) {
            kept[left++] = list[i];
        } else {
            log_why(n, &n->route_log, NO_ROUTE_LOG_S, "there is no route to it", &a);
        }
    }
    if (left == 0) {
        return count;
    }
    memcpy(list, kept, left * sizeof(*list));
    return left;
}

static uint64_t next_ms(const struct name *n)
{
    uint32_t ttl_s = AGAIN_MOST_S;

    for (size_t i = 0; i < Q_COUNT; i++) {
        if (n->q[i].status == DNS_TEMPFAIL) {
            return RETRY_MS;
        }
        ttl_s = (uint32_t)min_size(ttl_s, n->q[i].ttl_s);
    }
    return 1000 * max_size(ttl_s, AGAIN_LEAST_S);
}

/* Both lookups have finished. */
static void settle(struct name *n)
{
    struct addr list[POOL_NAME_ADDRESSES];
    size_t count = 0;

    for (size_t i = 0; i < Q_COUNT; i++) {
        count = add_all(n, &n->q[i], list, count);
        if (n->q[i].status == DNS_TEMPFAIL) {
            log_failure(n, &n->q[i]);
        }
    }
    if (count > 0) {
        count = drop_unroutable(n, list, count);
        pool_resolved(n->pool, n->which, list, count);
    } else if (n->q[Q_A].status != DNS_TEMPFAIL && n->q[Q_AAAA].status != DNS_TEMPFAIL) {
        log_failure(n, &n->q[Q_A]);
    }
    if (!n->answered) {
        n->answered = true;
        n->pool->resolving--;
        pool_wake(n->pool);
    }
    timer_start(&n->again, count > 0 ? next_ms(n) : RETRY_MS);
}

/* ---- answers ---- */

static size_t insert_sorted(struct addr *list, size_t count, const struct addr *a)
{
    size_t at = count;

    for (size_t i = 0; i < count; i++) {
        if (addr_same_ip(&list[i], a)) {
            return count;
        }
    }
    while (at > 0 && memcmp(list[at - 1].ip, a->ip, sizeof(a->ip)) > 0) {
        at--;
    }
    if (at == POOL_NAME_ADDRESSES) {
        return count;
    }
    count = min_size(count, POOL_NAME_ADDRESSES - 1);
    memmove(&list[at + 1], &list[at], (count - at) * sizeof(*list));
    list[at] = *a;
    return count + 1;
}

static void take_answer(struct question *q, const struct dns_answer *ans)
{
    q->status = (enum dns_status)ans->status;
    q->why = (enum dns_why)ans->why;
    q->ttl_s = ans->ttl_s;
    if (q->status == DNS_TEMPFAIL) {
        return;
    }
    q->count = 0;
    q->cut = ans->count > POOL_NAME_ADDRESSES;
    for (size_t i = 0; i < ans->count; i++) {
        struct addr a = dns_record_addr(&ans->records[i]);

        if (a.family != ADDR_NONE) {
            q->count = insert_sorted(q->address, q->count, &a);
        }
    }
}

static void on_answer(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct question *q = arg;

    (void)had;
    q->req = NULL;
    take_answer(q, ans);
    if (--q->name->open == 0) {
        settle(q->name);
    }
}

static void ask(struct name *n)
{
    n->open = Q_COUNT;
    for (size_t i = 0; i < Q_COUNT; i++) {
        n->q[i].req =
            dns_query(n->all->resolver, slice_str(server_of(n)->host), n->q[i].type, on_answer, &n->q[i]);
    }
}

static void on_again(void *arg)
{
    ask(arg);
}

/* ---- the whole ---- */

static size_t count_names(const struct config *conf)
{
    size_t n = 0;

    for (size_t i = 0; i < conf->upstream_count; i++) {
        for (size_t k = 0; k < conf->upstreams[i].server_count; k++) {
            n += conf->upstreams[i].server[k].is_name ? 1 : 0;
        }
    }
    return n;
}

static void begin(struct upstream_names *all, struct pool *pool, size_t which)
{
    struct name *n = &all->name[all->count++];

    n->all = all;
    n->pool = pool;
    n->which = which;
    n->q[Q_A] = (struct question){ .name = n, .type = DNS_TYPE_A };
    n->q[Q_AAAA] = (struct question){ .name = n, .type = DNS_TYPE_AAAA };
    pool->resolving++;
    timer_init(&n->again, all->ups->loop, on_again, n);
    ask(n);
}

struct upstream_names *upstream_names_new(struct upstreams *ups, struct resolver *resolver)
{
    struct upstream_names *all = xcalloc(1, sizeof(*all));

    all->ups = ups;
    all->resolver = resolver;
    all->name = xcalloc(max_size(count_names(ups->conf), 1), sizeof(*all->name));
    for (size_t i = 0; i < ups->pool_count; i++) {
        const struct config_upstream *conf = ups->pool[i].conf;

        for (size_t k = 0; k < conf->server_count; k++) {
            if (conf->server[k].is_name) {
                begin(all, &ups->pool[i], k);
            }
        }
    }
    return all;
}

void upstream_names_free(struct upstream_names **n)
{
    struct upstream_names *all = *n;

    if (all == NULL) {
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        for (size_t k = 0; k < Q_COUNT; k++) {
            dns_cancel(&all->name[i].q[k].req);
        }
        timer_stop(&all->name[i].again);
    }
    free(all->name);
    free(all);
    *n = NULL;
}
