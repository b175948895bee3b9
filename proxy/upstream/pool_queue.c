/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool_queue.c - leases: the order of waiting clients, and the choice of the server.
 *
 * First come leases whose server failed or whose connection was dead, then complete bodies, then envelopes.
 * Within a kind the clients take turns.  One failed attempt for lack of room ends the round for its kind, so no
 * lease overtakes another.  Delivering a lease runs its owner's code, which may change every list here, so the
 * search starts again after each.
 *
 * Turns alone are fair to addresses, and a crowd has thousands: a known client would wait for one turn of each.
 * So clients in good standing get GOOD_TURNS turns for each turn of a stranger.  Good standing takes days of
 * accepted mail and ends with one refusal.  Strangers always keep at least a quarter.  A client with a known and an
 * unknown sender counts as two clients here.
 *
 * Holders of a connection for a silent client get a callback about waiting leases: after a dispatch that left
 * a lease waiting here, and from the idle poll for leases elsewhere.  So a holder needs no timer of its own.
 *
 * Limits: an envelope needs one of half the server's `connections` (at least one), counted over all processes
 * by tickets of their own.  A client may have two here.
 */
#include "proxy/upstream/pool.h"
#include "proxy/upstream/upstream.h"
#include "state/servers.h"

#define CLIENT_ENVELOPES 2U
#define GOOD_TURNS 3U
#define CONNECT_ALL_MS 25000U
#define PATH_MS 120000U /* all attempts of one lease, greetings included */
#define REQUEUE_MS 1000U
#define QUEUE_MOST_MS 3600000U /* limit for queue_wait, also if it is off */

enum try {
    TRY_DONE = 0, /* served, or ended */
    TRY_FULL,     /* no free connection or share */
    TRY_LATER,    /* the rate forbids it now */
    TRY_NOBODY,   /* no lease waits here, or none may have one now */
};

/* ---- clients ---- */

static struct slice client_key(uint8_t key[32], const struct lease *l, const struct envelope *env)
{
    struct addr who = addr_client(&env->client);

    memset(key, 0, 32);
    key[0] = who.family;
    memcpy(key + 1, who.ip, sizeof(who.ip));
    key[31] = env->client_good;
    if (env->client_exempt) { /* no shares by address: each lease is a client of its own */
        memcpy(key + 1 + sizeof(who.ip), &l, sizeof(l));
    }
    return slice_of(key, 32);
}

static struct pool_client *find_client(struct pool *p, const struct lease *l, const struct envelope *env)
{
    uint8_t key[32];
    struct slice k = client_key(key, l, env);
    struct table_entry *e = table_find(&p->clients, k);
    struct pool_client *c;

    if (e) {
        return container_of(e, struct pool_client, entry);
    }
    c = xcalloc(1, sizeof(*c));
    memcpy(c->key, key, sizeof(c->key));
    c->exempt = env->client_exempt;
    c->good = env->client_good;
    for (size_t i = 0; i < LEASE_KIND_COUNT; i++) {
        list_node_init(&c->turn[i]);
        list_init(&c->queue[i]);
    }
    table_insert(&p->clients, &c->entry, slice_of(c->key, sizeof(c->key)));
    return c;
}

/* ---- shares ---- */

static unsigned envelope_share(const struct pool *p)
{
    return p->conf->connections >= 2 ? p->conf->connections / 2 : 1;
}

static bool take_share(struct pool_server *s, struct lease *l)
{
    l->share_ticket = state_envelope_take(s->pool->ups->state, s->index, envelope_share(s->pool));
    if (l->share_ticket < 0) {
        return false;
    }
    l->share = true;
    l->share_server = s;
    s->envelopes++;
    l->client->envelopes++;
    return true;
}

static void drop_share(struct lease *l)
{
    struct pool_server *s = l->share_server;
    struct state *st = l->pool->ups->state;

    if (!l->share) {
        return;
    }
    l->share = false;
    s->envelopes--;
    l->client->envelopes--;
    state_envelope_return(st, s->index, l->share_ticket);
    if (state_others_waiting_since(st, l->pool->area)) {
        state_wake_waiter(st, l->pool->area);
    }
    pool_wake(l->pool);
}

/* ---- the queue ---- */

void pool_enqueue(struct lease *l)
{
    struct pool *p = l->pool;
    uint64_t now = loop_now(p->ups->loop);
    uint64_t until = l->since_ms + min_u64(p->conf->queue_wait_ms, QUEUE_MOST_MS);
    struct list_node *at;

    drop_share(l);
    if (l->again || l->fresh) {
        list_push_back(&p->retry, &l->link);
    } else {
        list_push_back(&l->client->queue[l->kind], &l->link);
        if (!list_linked(&l->client->turn[l->kind])) {
            list_push_back(&p->turn[l->kind][l->client->good], &l->client->turn[l->kind]);
        }
    }
    for (at = p->waiting.prev; at != &p->waiting; at = at->prev) {
        if (container_of(at, struct lease, age)->since_ms <= l->since_ms) {
            break;
        }
    }
    list_insert_before(at->next, &l->age);
    gauge_add(M_UP_WAITING, 1);
    timer_start(&l->timer, until > now + REQUEUE_MS || !l->again ? until - now : REQUEUE_MS);
    pool_wake(p);
}

static void unqueue(struct lease *l)
{
    struct pool_client *c = l->client;

    if (!list_linked(&l->age)) {
        return;
    }
    list_remove(&l->age);
    list_remove(&l->link);
    gauge_add(M_UP_WAITING, -1);
    timer_stop(&l->timer);
    if (list_empty(&c->queue[l->kind])) {
        list_remove(&c->turn[l->kind]);
    }
}

void pool_publish(struct pool *p)
{
    uint64_t oldest =
        list_empty(&p->waiting) ? 0 : container_of(p->waiting.next, struct lease, age)->since_ms;

    if (oldest == p->published_ms) {
        return;
    }
    p->published_ms = oldest;
    state_waiting_since(p->ups->state, p->area, oldest);
}

/* ---- who keeps a connection for a silent client ---- */

static bool waited_for_elsewhere(const struct pool *p)
{
    return state_others_waiting_since(p->ups->state, p->area) != 0;
}

bool pool_waited_for(const struct lease *l)
{
    const struct pool *p = l->pool;

    return p != NULL && (!list_empty(&p->waiting) || waited_for_elsewhere(p));
}

void pool_hold(struct lease *l, lease_wanted_cb wanted)
{
    struct pool *p = l->pool;

    BUG_ON(p == NULL || !l->held);
    l->wanted = wanted;
    list_remove(&l->hold);
    list_push_back(&p->holding, &l->hold);
    if (!list_empty(&p->waiting)) {
        pool_wake(p);
    }
    if (!timer_active(&p->ups->idle_poll)) {
        timer_start(&p->ups->idle_poll, IDLE_POLL_MS);
    }
}

void pool_unhold(struct lease *l)
{
    list_remove(&l->hold);
}

/* Uses a separate list: each holder may release its lease, or hold it again. */
static void tell_holders(struct list_node *told)
{
    struct list_node *n;

    while ((n = list_pop(told)) != NULL) {
        struct lease *l = container_of(n, struct lease, hold);

        l->wanted(l->arg);
    }
}

void pool_ask_holders(struct pool *p)
{
    struct list_node told, *n, *tmp;

    list_init(&told);
    LIST_EACH(&p->waiting, n, tmp)
    {
        struct list_node *holder = list_pop(&p->holding);

        if (holder == NULL) {
            break;
        }
        list_push_back(&told, holder);
    }
    tell_holders(&told);
}

bool pool_poll_holders(struct pool *p)
{
    struct list_node told;

    if (!list_empty(&p->holding) && waited_for_elsewhere(p)) {
        list_move_all(&p->holding, &told);
        tell_holders(&told);
    }
    return !list_empty(&p->holding);
}

/* ---- which server ---- */

static unsigned load_of(const struct pool_server *s)
{
    size_t ours = s->count[POOL_LEASED] + s->count[POOL_CONNECTING];

    return (unsigned)ours * (STATE_TICKETS + 1) + state_tickets_used(s->pool->ups->state, s->index);
}

static uint64_t balance_rank(const struct pool_server *s)
{
    const struct pool *p = s->pool;
    size_t n = p->server_count;

    switch (p->conf->balance) {
    case BALANCE_FAILOVER:
        break;
    case BALANCE_ROUND_ROBIN:
        return (s->rank + n - p->next % n) % n;
    case BALANCE_LEAST_SESSIONS:
        return (uint64_t)load_of(s) * STATE_UPSTREAM_SERVERS + s->rank;
    }
    return s->rank;
}

/* Smaller comes first: servers that are up, then shunned ones, then by next probe. */
static uint64_t rank_of(const struct pool_server *s, bool down, uint64_t next_probe_ms)
{
    if (down) {
        return UINT64_MAX / 2 + next_probe_ms;
    }
    return balance_rank(s) + (loop_now(s->pool->ups->loop) < s->shunned_until_ms ? UINT64_MAX / 4 : 0);
}

static uint32_t bit_of(const struct pool_server *s)
{
    return 1U << (s - s->pool->server);
}

/* The servers to try, in order.  Includes servers that are down only if all are. */
static size_t candidates(struct pool *p, const struct lease *l,
                         struct pool_server *out[STATE_UPSTREAM_SERVERS])
{
    uint64_t rank[STATE_UPSTREAM_SERVERS]; /* by position in order, like down */
    bool down[STATE_UPSTREAM_SERVERS];
    bool all_down = true;
    size_t n = 0;

    for (size_t i = 0; i < p->server_count; i++) {
        struct state_health h;

        state_health_get(p->ups->state, p->order[i]->index, &h);
        down[i] = h.down &&
                  p->conf->health.interval_ms != CONFIG_OFF; /* an earlier generation may have marked it */
        all_down = all_down && h.down;
        rank[i] = rank_of(p->order[i], down[i], h.next_probe_ms);
    }
    for (size_t i = 0; i < p->server_count; i++) {
        size_t at = n;

        if ((l->tried & bit_of(p->order[i])) || (down[i] && !all_down)) {
            continue;
        }
        for (; at > 0 && rank[out[at - 1]->rank] > rank[i]; at--) {
            out[at] = out[at - 1];
        }
        out[at] = p->order[i];
        n++;
    }
    return n;
}

/* ---- serving ---- */

static bool rate_allows(struct pool_server *s, struct lease *l)
{
    struct pool *p = s->pool;
    uint64_t wait_ms;

    if (l->kind != LEASE_BODY || l->rated || p->conf->rate.count == 0) {
        return true;
    }
    wait_ms = state_server_rate(p->ups->state, s->index, p->conf->rate.count, p->conf->rate.per_ms,
                                loop_now(p->ups->loop));
    if (wait_ms) {
        timer_start(&p->rate, wait_ms);
        return false;
    }
    l->rated = true;
    return true;
}

static void lend(struct upstream *u, struct lease *l)
{
    u->lease = l;
    l->u = u;
    pool_move(u, POOL_LEASED);
    count(M_UP_REUSED);
    lease_end(l, LEASE_OK);
}

/* Puts the client's next lease of this kind behind those of the others. */
static void rotate(struct lease *l)
{
    struct pool_client *c = l->client;

    unqueue(l);
    if (list_linked(&c->turn[l->kind])) {
        list_remove(&c->turn[l->kind]);
        list_push_back(&l->pool->turn[l->kind][c->good], &c->turn[l->kind]);
    }
}

static enum try try_server(struct pool_server *s, struct lease *l)
{
    struct upstream *u;
    int ticket = -1;

    if (l->kind == LEASE_ENVELOPE && !take_share(s, l)) {
        return TRY_FULL;
    }
    u = l->fresh ? NULL : pool_take_idle(s);
    if (u == NULL) {
        ticket = pool_take_ticket(s);
    }
    if (u == NULL && ticket < 0) {
        drop_share(l);
        return TRY_FULL;
    }
    if (!rate_allows(s, l)) {
        if (ticket >= 0) {
            state_ticket_return(s->pool->ups->state, s->index, ticket);
        }
        drop_share(l);
        return TRY_LATER;
    }
    rotate(l);
    s->pool->next = s->rank + 1;
    if (u) {
        lend(u, l);
    } else {
        pool_connect(s, ticket, l);
    }
    return TRY_DONE;
}

static enum try try_lease(struct pool *p, struct lease *l)
{
    struct pool_server *s[STATE_UPSTREAM_SERVERS];
    size_t n = candidates(p, l, s);
    enum try result = TRY_FULL;

    if (n == 0 && p->resolving > 0) {
        return TRY_FULL; /* just started: the lookups of its servers' names still run */
    }
    if (n == 0 || l->connect_ms >= CONNECT_ALL_MS || loop_now(p->ups->loop) >= l->path_until_ms) {
        lease_end(l, l->worst);
        return TRY_DONE;
    }
    for (size_t i = 0; i < n; i++) {
        result = try_server(s[i], l);
        if (result != TRY_FULL || p->conf->balance == BALANCE_FAILOVER) {
            break;
        }
    }
    return result;
}

static bool over_client_share(const struct pool_client *c, size_t kind)
{
    return kind == LEASE_ENVELOPE && !c->exempt && c->envelopes >= CLIENT_ENVELOPES;
}

static enum try serve_next(struct pool *p, size_t kind, bool good)
{
    struct list_node *n, *tmp;

    LIST_EACH(&p->turn[kind][good], n, tmp)
    {
        struct pool_client *c = container_of(n - kind, struct pool_client, turn[0]);

        if (!over_client_share(c, kind)) {
            return try_lease(p, container_of(c->queue[kind].next, struct lease, link));
        }
    }
    return TRY_NOBODY;
}

static bool serve_kind(struct pool *p, size_t kind)
{
    bool good = p->good_turns[kind] < GOOD_TURNS;
    enum try result = serve_next(p, kind, good);

    if (result == TRY_NOBODY) {
        good = !good;
        result = serve_next(p, kind, good);
    }
    if (result == TRY_DONE) {
        p->good_turns[kind] = good ? (unsigned)min_size(p->good_turns[kind] + 1, GOOD_TURNS) : 0;
    }
    return result == TRY_DONE;
}

/* True: it served or ended one lease, and the lists may have changed. */
static bool serve_one(struct pool *p)
{
    struct list_node *n, *tmp;

    LIST_EACH(&p->retry, n, tmp)
    {
        if (try_lease(p, container_of(n, struct lease, link)) == TRY_DONE) {
            return true;
        }
    }
    for (size_t kind = 0; kind < LEASE_KIND_COUNT; kind++) {
        if (serve_kind(p, kind)) {
            return true;
        }
    }
    return false;
}

void pool_dispatch(struct pool *p)
{
    while (serve_one(p)) {
    }
}

/* ---- leases ---- */

static void on_queue_deadline(void *arg)
{
    struct lease *l = arg;

    count(M_UP_WAIT_TIMEOUTS);
    lease_end(l, LEASE_BUSY);
}

/* Removes the lease from the pool and all counts; the caller has already handled the connection. */
static void forget(struct lease *l)
{
    struct pool_client *c = l->client;

    BUG_ON(c == NULL);
    unqueue(l);
    pool_unhold(l);
    drop_share(l);
    if (--c->leases == 0) {
        table_remove(&l->pool->clients, &c->entry);
        free(c);
    }
    pool_wake(l->pool);
    l->pool = NULL;
    l->client = NULL;
    l->u = NULL;
    l->held = false;
}

void lease_end(struct lease *l, enum lease_status status)
{
    lease_cb cb = l->cb;
    void *arg = l->arg;

    if (status == LEASE_OK) {
        l->held = true;
    } else {
        forget(l);
    }
    cb(arg, status);
}

void lease_init(struct lease *l, struct upstreams *ups, lease_cb cb, const struct upstream_events *ev,
                void *arg)
{
    *l = (struct lease){ .cb = cb, .ev = ev, .arg = arg };
    list_node_init(&l->link);
    list_node_init(&l->age);
    list_node_init(&l->hold);
    timer_init(&l->timer, ups->loop, on_queue_deadline, l);
}

void pool_lease(struct pool *p, struct lease *l, const struct lease_wish *wish)
{
    uint64_t now = loop_now(p->ups->loop);

    BUG_ON(l->pool != NULL);
    l->pool = p;
    l->client = find_client(p, l, wish->env);
    l->client->leases++;
    l->kind = wish->kind;
    l->fresh = wish->fresh;
    l->worst = LEASE_UNREACHABLE;
    l->rated = wish->fresh; /* the message was counted with the stale connection */
    l->again = false;
    l->env = wish->env;
    l->tried = 0;
    l->since_ms = now;
    l->connect_ms = 0;
    l->path_until_ms = now + min_u64(p->conf->queue_wait_ms, QUEUE_MOST_MS) + PATH_MS;
    pool_enqueue(l);
}

void pool_release(struct lease *l)
{
    struct upstream *u = l->u;

    if (l->pool == NULL) {
        return;
    }
    forget(l);
    if (u) {
        u->lease = NULL;
        upstream_let_go(u);
    }
}

bool pool_promote(struct lease *l)
{
    if (l->kind == LEASE_BODY) {
        return true;
    }
    l->kind = LEASE_BODY;
    if (!rate_allows(l->u->server, l)) {
        l->kind = LEASE_ENVELOPE;
        return false;
    }
    drop_share(l);
    return true;
}
