/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool_servers.c - the servers of an upstream: their addresses, their order, and their tickets.
 *
 *     configured address ------+
 *     name: A and AAAA --------+--> wanted, in the order of `servers`, each address once --> pool.order
 *     (upstream_names.c)       |
 *     no longer wanted --------+--> leaving: gets no lease, closes its idle connections, and frees its record
 *                                   with the last connection
 *
 * A server's index in pool.server is that of its record in the upstream's shared area.  It stays valid while this
 * worker uses the record.  An address under two names belongs to the name that is configured first: that name
 * is the one verified in TLS.
 *
 * Two upstreams may have a server at the same address.  Each keeps its own health and keywords, because TLS and
 * identity may differ.  But a ticket request counts the connections of both, because the server also counts them
 * together.
 *
 * Limits: STATE_UPSTREAM_SERVERS addresses an upstream; more are left out, with a log line.
 */
#include "proxy/upstream/pool.h"

#include "proxy/upstream/upstream.h"
#include "state/servers.h"
#include "tls/tls.h"

#define REFILL_MS 1000
#define FULL_LOG_S 600U

/* ---- areas in the shared state: the supervisor ---- */

void upstreams_register(struct state *st, const struct config *conf)
{
    for (size_t i = 0; i < conf->upstream_count; i++) {
        if (state_upstream(st, conf->upstreams[i].name) < 0) {
            log_msg(LOG_LEVEL_ERROR, "upstream_servers",
                    "There is no room in the shared memory for the upstream %s", conf->upstreams[i].name);
        }
    }
}

struct sweep {
    const struct config *const *confs;
    size_t count;
};

static bool is_wanted(void *arg, const char *name)
{
    const struct sweep *s = arg;

    for (size_t i = 0; i < s->count; i++) {
        const struct config *conf = s->confs[i];

        for (size_t k = 0; conf != NULL && k < conf->upstream_count; k++) {
            if (strcmp(conf->upstreams[k].name, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

void upstreams_sweep(struct state *st, const struct config *const *confs, size_t count)
{
    struct sweep s = { confs, count };

    state_upstreams_sweep(st, is_wanted, &s);
}

/* ---- logging ---- */

void pool_log_server(struct log_line *l, const struct pool_server *s)
{
    log_text(l, "upstream", s->pool->conf->name);
    log_text(l, "server", s->conf->text);
    if (s->conf->is_name) {
        log_ip(l, "address", &s->address);
    }
}

/* ---- the servers of a pool ---- */

struct wanted {
    const struct config_upstream_server *conf; /* the first with this address */
    struct addr address;
    uint64_t label[STATE_SERVER_LABELS]; /* labels of all entries with this address */
    size_t labels;
};

static bool same_endpoint(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port && addr_same_ip(a, b);
}

static size_t add_wanted(struct wanted *list, size_t n, const struct config_upstream_server *conf,
                         const struct addr *a)
{
    size_t i = 0;

    while (i < n && !same_endpoint(&list[i].address, a)) {
        i++;
    }
    if (i == STATE_UPSTREAM_SERVERS) {
        return n + 1;
    }
    if (i == n) {
        list[n++] = (struct wanted){ .conf = conf, .address = *a };
    }
    if (list[i].labels < STATE_SERVER_LABELS) {
        list[i].label[list[i].labels++] = state_server_label(conf->text);
    }
    return n;
}

/* Returns the number of addresses, which may exceed the list's size. */
static size_t collect(const struct pool *p, struct wanted *list)
{
    size_t n = 0;

    for (size_t i = 0; i < p->conf->server_count && n <= STATE_UPSTREAM_SERVERS; i++) {
        const struct config_upstream_server *conf = &p->conf->server[i];
        const struct pool_name *known = &p->known[i];

        if (!conf->is_name) {
            n = add_wanted(list, n, conf, &conf->address);
        }
        for (size_t k = 0; conf->is_name && k < known->count && n <= STATE_UPSTREAM_SERVERS; k++) {
            n = add_wanted(list, n, conf, &known->address[k]);
        }
    }
    return n;
}

static struct pool_server *find_server(struct pool *p, const struct addr *a)
{
    struct pool_server *s;

    EACH_SERVER(p, s)
    {
        if (same_endpoint(&s->address, a)) {
            return s;
        }
    }
    return NULL;
}

static struct pool_server *open_server(struct pool *p, const struct wanted *w)
{
    int index = state_server_join(p->ups->state, p->area, &w->address);
    struct pool_server *s;

    if (index < 0) {
        return NULL;
    }
    s = &p->server[index % STATE_UPSTREAM_SERVERS];
    if (s->index >= 0) {
        return NULL; /* another process has overwritten a record that we use */
    }
    *s = (struct pool_server){ .pool = p, .conf = w->conf, .address = w->address, .index = index };
    s->resume = tls_resume_new();
    for (size_t i = 0; i < POOL_LIST_COUNT; i++) {
        list_init(&s->list[i]);
    }
    p->places = max_size(p->places, (size_t)(s - p->server) + 1);
    return s;
}

static void close_server(struct pool_server *s)
{
    struct pool *p = s->pool;

    tls_resume_free(s->resume);
    s->resume = NULL;
    state_server_leave(p->ups->state, s->index);
    s->index = -1;
    while (p->places > 0 && p->server[p->places - 1].index < 0) {
        p->places--;
    }
}

static void adopt(struct pool_server *s, const struct wanted *w)
{
    s->conf = w->conf;
    state_server_describe(s->pool->ups->state, s->index, w->label, w->labels);
    s->leaving = false;
    s->rank = s->pool->server_count;
    s->pool->order[s->pool->server_count++] = s;
}

static void complain_full(struct pool *p)
{
    uint32_t suppressed;

    if (log_allowed(&p->full_log, loop_now(p->ups->loop), FULL_LOG_S, &suppressed)) {
        log_msg(LOG_LEVEL_ERROR, "upstream_servers",
                "Upstream %s: more than %d addresses; the others are not used", p->conf->name,
                STATE_UPSTREAM_SERVERS);
    }
}

static bool has_twin(const struct pool_server *s)
{
    struct upstreams *ups = s->pool->ups;

    for (size_t i = 0; i < ups->pool_count; i++) {
        if (&ups->pool[i] != s->pool && find_server(&ups->pool[i], &s->address)) {
            return true;
        }
    }
    return false;
}

static void mark_twins(struct upstreams *ups)
{
    struct pool_server *s;

    for (size_t i = 0; i < ups->pool_count; i++) {
        EACH_SERVER(&ups->pool[i], s)
        {
            s->twins = has_twin(s);
        }
    }
}

/* Marks all servers as leaving; the caller adopts those that remain. */
static void disband(struct pool *p)
{
    struct pool_server *s;

    p->server_count = 0;
    p->has_leaving = false;
    EACH_SERVER(p, s)
    {
        s->leaving = true;
    }
}

/* Counts the servers that were not adopted. */
static void note_leaving(struct pool *p)
{
    struct pool_server *s;

    EACH_SERVER(p, s)
    {
        p->has_leaving = p->has_leaving || s->leaving;
    }
}

void pool_arrange(struct pool *p)
{
    struct wanted list[STATE_UPSTREAM_SERVERS];
    size_t n = collect(p, list);
    bool left_out = n > STATE_UPSTREAM_SERVERS, has_no_record = false;

    n = min_size(n, STATE_UPSTREAM_SERVERS);
    disband(p);
    for (size_t i = 0; i < n; i++) {
        struct pool_server *s = find_server(p, &list[i].address);

        s = s ? s : open_server(p, &list[i]);
        if (s) {
            adopt(s, &list[i]);
        }
        left_out = left_out || s == NULL;
        has_no_record = has_no_record || s == NULL;
    }
    if (left_out) {
        complain_full(p);
    }
    if (has_no_record && p->area >= 0) {
        timer_start(&p->refill, REFILL_MS);
    }
    note_leaving(p);
    mark_twins(p->ups);
    p->ups->keywords_until_ms = 0;
    pool_wake(p);
}

void pool_resolved(struct pool *p, size_t which, const struct addr *address, size_t count)
{
    struct pool_name *known = &p->known[which];

    known->count = min_size(count, ARRAY_LEN(known->address));
    for (size_t i = 0; i < known->count; i++) {
        known->address[i] = address[i];
        known->address[i].port = p->conf->server[which].address.port;
    }
    pool_arrange(p);
    health_wake(p->ups);
}

static bool is_empty(const struct pool_server *s)
{
    size_t n = s->envelopes;

    for (size_t i = 0; i < POOL_LIST_COUNT; i++) {
        n += s->count[i];
    }
    return n == 0;
}

void pool_tidy(struct pool *p)
{
    size_t places = p->places;

    if (!p->has_leaving) {
        return;
    }
    p->has_leaving = false;
    for (size_t i = 0; i < places; i++) {
        struct pool_server *s = &p->server[i];

        if (s->index >= 0 && s->leaving && is_empty(s)) {
            close_server(s);
        }
        p->has_leaving = p->has_leaving || (s->index >= 0 && s->leaving);
    }
}

static void on_refill(void *arg)
{
    struct pool *p = arg;

    pool_arrange(p);
    health_wake(p->ups);
}

void pool_servers_init(struct pool *p)
{
    timer_init(&p->refill, p->ups->loop, on_refill, p);
    p->area = state_upstream_find(p->ups->state, p->conf->name);
    for (size_t i = 0; i < ARRAY_LEN(p->server); i++) {
        p->server[i].index = -1;
    }
}

void pool_servers_fini(struct pool *p)
{
    timer_stop(&p->refill);
    for (size_t i = ARRAY_LEN(p->server); i > 0; i--) {
        if (p->server[i - 1].index >= 0) {
            close_server(&p->server[i - 1]);
        }
    }
    p->server_count = 0;
}

/* ---- tickets ---- */

/* Connections to the address, those of other upstreams included. */
static unsigned connections_of(const struct pool_server *s)
{
    struct upstreams *ups = s->pool->ups;
    unsigned n = state_tickets_used(ups->state, s->index);

    for (size_t i = 0; s->twins && i < ups->pool_count; i++) {
        struct pool_server *twin = &ups->pool[i] != s->pool ? find_server(&ups->pool[i], &s->address) : NULL;

        n += twin ? state_tickets_used(ups->state, twin->index) : 0;
    }
    return n;
}

bool pool_tickets_gone(const struct pool_server *s)
{
    return connections_of(s) >= s->pool->conf->connections;
}

static int try_ticket(struct pool_server *s)
{
    struct state *st = s->pool->ups->state;
    int ticket = state_ticket_take(st, s->index, s->pool->conf->connections);

    if (ticket >= 0 && s->twins && connections_of(s) > s->pool->conf->connections) {
        state_ticket_return(st, s->index, ticket);
        ticket = -1;
    }
    return ticket;
}

/* The idle connection to close for a new one: of this server, or of another upstream's at its address. */
static struct upstream *find_idle(struct pool_server *s)
{
    struct upstreams *ups = s->pool->ups;
    struct list_node *n = s->list[POOL_IDLE].prev;

    for (size_t i = 0; n == &s->list[POOL_IDLE] && s->twins && i < ups->pool_count; i++) {
        struct pool_server *twin = find_server(&ups->pool[i], &s->address);

        if (twin && !list_empty(&twin->list[POOL_IDLE])) {
            n = twin->list[POOL_IDLE].prev;
        }
    }
    return n == &s->list[POOL_IDLE] ? NULL : container_of(n, struct upstream, link);
}

int pool_take_ticket(struct pool_server *s)
{
    int ticket = try_ticket(s);
    struct upstream *idle = ticket < 0 ? find_idle(s) : NULL;

    if (idle) {
        upstream_drop(idle);
        ticket = try_ticket(s);
    }
    return ticket;
}
