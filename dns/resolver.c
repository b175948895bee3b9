/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.c - questions, flights, waiters, answers.
 *
 * A question (dns_req) is answered from the cache, joins the flight of its name and type, or starts one.  A flight has
 * one pending attempt at a time, or waits in the queue while in_flight attempts are pending.  An attempt pending for
 * SLOW_MS frees its slot, so slow name servers cannot take all slots.
 *
 *     dns_req   owned by the caller; linked into its flight, then into `ready`
 *     flight    owned by the resolver; ends with its answer or at its deadline
 *     attempt   one question to one server; owned by the resolver; lives until the server layer calls back, because it
 *               cannot be cancelled.  Without a flight (ended, or this is a probe) it still updates cache and health.
 *
 * After a failed attempt the resolver asks the next server.  After a timeout it may also ask the same one again,
 * `attempts` times in all; if sending failed, after a pause.  It accepts SERVFAIL and the like only after every
 * healthy server has returned it.
 * A flight without callers leaves the queue; once sent, it continues to fill the cache, without a second attempt.
 *
 * Memory   The resolver has slabs for flights and attempts.  Questions come from a slab of the thread (an exception to
 *          "no globals"), because their owners may keep them longer than the resolver lives.
 * Limits   in_flight, and SLOW_TIMES as many with the slow ones; queue_max; a deadline for each flight.
 */
#include "dns/resolver.h"

#include "core/metrics.h"
#include "dns/answer.h"

#define KEY_MAX (2 + WIRE_NAME_MAX)
#define NETWORK_PAUSE_MS 500  /* before a retry to the only server, which was unreachable */
#define SLOW_MS 250           /* an attempt pending this long frees its slot */
#define AGING_MS 20           /* interval of the check for such attempts while questions wait */
#define SLOW_TIMES 8          /* limit of all attempts, as a multiple of in_flight */
#define ALL_MAX 16384         /* of 65536 ids */
#define DEADLINE_SLACK_MS 100 /* so that the server layer's own timeout comes first */
#define OBJECTS_KEPT 512      /* in each slab */

struct flight {
    struct table_entry entry; /* resolver.flights */
    struct list_node node;    /* resolver.flying, unless it is in the queue */
    struct fair_turn turn;    /* in resolver.queue */
    struct list_node waiters; /* struct dns_req.node */
    struct timer deadline;    /* for the wait in the queue, then for all attempts */
    struct timer pause;       /* active: sending failed, retry when it expires */
    struct resolver *r;
    struct attempt *try; /* NULL in the queue and in the pause */
    bool overdue;        /* the deadline has passed; waits one more turn */
    struct wire_question q;
    unsigned asked;      /* servers_bit of those asked in this round */
    unsigned timeouts;   /* attempts without any answer */
    uint64_t started_us; /* left the queue */
    uint64_t network;    /* of the client charged with its failure; 0: none */
    char key[KEY_MAX];   /* of entry */
};

struct attempt {
    struct list_node node; /* resolver.tries or resolver.slow */
    struct resolver *r;
    struct server *server;
    struct flight *flight; /* NULL: the flight has ended, or this is a probe */
    struct wire_question q;
    uint64_t sent_us;
    bool probe;
    bool slow; /* on resolver.slow */
};

struct dns_req {
    struct list_node node;  /* flight.waiters, resolver.ready or resolver.round */
    struct resolver *r;     /* NULL: freed before us */
    struct flight *flight;  /* NULL once answered */
    struct dns_answer *ans; /* NULL until then; our reference */
    dns_cb cb;
    void *arg;
    struct dns_had had;
};

static _Thread_local struct slab req_slab; /* name NULL: not initialised yet */

static size_t make_key(char key[KEY_MAX], const struct wire_question *q)
{
    key[0] = (char)(q->type >> 8);
    key[1] = (char)(q->type & 0xff);
    memcpy(key + 2, q->name.octets, q->name.len);
    return 2u + q->name.len;
}

static uint32_t us_since(uint64_t start_us)
{
    return (uint32_t)min_u64(loop_now_us() - start_us, UINT32_MAX);
}

static uint64_t patience_ms(const struct resolver *r)
{
    return (uint64_t)r->settings.attempts * r->settings.timeout_ms + DEADLINE_SLACK_MS;
}

/* ---- answering requests ---- */

/* Removes the request from its flight and gives it a reference to the answer; its callback runs later. */
static void make_ready(struct dns_req *req, struct dns_answer *ans)
{
    list_remove(&req->node);
    req->flight = NULL;
    req->ans = dns_answer_ref(ans);
    list_push_back(&req->r->ready, &req->node);
    loop_defer(req->r->loop, &req->r->deliver);
}

/* The same with a synthetic answer. */
static void make_ready_with(struct dns_req *req, enum dns_status status, enum dns_why why)
{
    struct dns_answer *ans = dns_answer_empty(status, why);

    make_ready(req, ans);
    dns_answer_unref(ans);
}

static void call_back(struct dns_req *req)
{
    struct dns_answer *ans = req->ans;
    struct dns_had had = req->had;
    dns_cb cb = req->cb;
    void *arg = req->arg;

    req->r->requests -= 1;
    slab_release(&req_slab, req);
    cb(ans, &had, arg);
    dns_answer_unref(ans);
}

static void on_deliver(void *arg)
{
    struct resolver *r = arg;
    struct list_node *n;

    /* requests that become ready meanwhile join the next round */
    list_move_all(&r->ready, &r->round);
    while (!r->closed && (n = list_pop(&r->round)) != NULL) {
        call_back(container_of(n, struct dns_req, node));
    }
}

/* ---- flights ---- */

static void leave_queue(struct flight *f)
{
    fair_queue_drop(&f->r->queue, &f->turn);
    list_remove(&f->node);
}

static void flight_free(struct flight *f)
{
    timer_stop(&f->deadline);
    timer_stop(&f->pause);
    leave_queue(f);
    table_remove(&f->r->flights, &f->entry);
    resolver_give_back(f->r, f->network);
    if (f->try != NULL) {
        f->try->flight = NULL;
    }
    slab_release(&f->r->flight_slab, f);
}

static bool came_to_nothing(const struct dns_answer *ans)
{
    return ans->status == DNS_NXDOMAIN || ans->status == DNS_NODATA || ans->why == DNS_WHY_TIMEOUT ||
           ans->why == DNS_WHY_SERVFAIL;
}

/* Gives the answer to all waiting requests and ends the flight. */
static void flight_settle(struct flight *f, struct dns_answer *ans)
{
    struct list_node *n;

    if (came_to_nothing(ans)) {
        f->network = 0; /* stays charged */
    }
    while ((n = f->waiters.next) != &f->waiters) {
        make_ready(container_of(n, struct dns_req, node), ans);
    }
    flight_free(f);
}

static struct table_key key_of_flight(const struct flight *f)
{
    return (struct table_key){ f->entry.key, f->entry.hash };
}

static void flight_fail(struct flight *f, const struct wire_answer *w, const struct server *s)
{
    struct dns_answer *ans = answer_new(w);
    struct table_key key = key_of_flight(f);

    f->r->stats.tempfails += 1;
    count(M_DNS_TEMPFAILS);
    if (s != NULL) {
        ans->server = s->addr;
    }
    if (f->started_us != 0) {
        ans->network_us = us_since(f->started_us);
    }
    cache_keep(&f->r->cache, &f->r->settings, &key, ans, loop_now(f->r->loop));
    flight_settle(f, ans);
    dns_answer_unref(ans);
}

static void on_flight_deadline(void *arg)
{
    struct flight *f = arg;
    struct resolver *r = f->r;
    struct wire_answer w = { .status = DNS_TEMPFAIL, .why = DNS_WHY_TIMEOUT };

    /* after a long turn, an answer already read may wait for its deferred call */
    if (f->try != NULL && !f->overdue) {
        f->overdue = true;
        timer_start(&f->deadline, 1);
        return;
    }
    if (f->turn.site != NULL) {
        resolver_count_failure(r, DNS_WHY_OVERLOAD);
        w.why = DNS_WHY_OVERLOAD;
    }
    flight_fail(f, &w, NULL);
}

/* ---- tries ---- */

static void on_try(enum exchange_status status, struct slice packet, void *arg);

static struct attempt *try_start(struct resolver *r, struct server *s, struct flight *f,
                                 const struct wire_question *q)
{
    struct attempt *t = slab_alloc(&r->try_slab);

    t->r = r;
    t->server = s;
    t->flight = f;
    t->q = *q;
    t->sent_us = loop_now_us();
    list_node_init(&t->node);
    list_push_back(&r->tries, &t->node);
    r->on_wire += 1;
    r->stats.sent += 1;
    count(M_DNS_SENT);
    server_sent(s, loop_now(r->loop));
    exchange_send(s->exchange, &t->q, on_try, t);
    return t;
}

/* Is a slot free for one more attempt? */
static bool has_room(const struct resolver *r)
{
    return r->on_wire - r->slow_count < r->settings.in_flight &&
           r->on_wire < min_size((size_t)r->settings.in_flight * SLOW_TIMES, ALL_MAX);
}

/* Frees the slots of attempts that wait for slow name servers. */
static void age_tries(struct resolver *r)
{
    uint64_t now_us = loop_now_us();

    while (!list_empty(&r->tries)) {
        struct attempt *t = container_of(r->tries.next, struct attempt, node);

        if (now_us - t->sent_us < SLOW_MS * 1000) {
            return;
        }
        list_remove(&t->node);
        list_push_back(&r->slow, &t->node);
        t->slow = true;
        r->slow_count += 1;
    }
}

/* Sends a copy of this question to a down server that is due for a probe. */
static void probe_with(struct resolver *r, const struct flight *f)
{
    struct server *s = servers_due(&r->servers, loop_now(r->loop));

    if (s == NULL || s == f->try->server || !has_room(r)) {
        return;
    }
    s->probing = true;
    try_start(r, s, NULL, &f->q)->probe = true;
}

static void ask(struct flight *f, struct server *s)
{
    f->asked |= servers_bit(&f->r->servers, s);
    f->try = try_start(f->r, s, f, &f->q);
}

static void launch(struct flight *f)
{
    struct resolver *r = f->r;

    leave_queue(f);
    list_push_back(&r->flying, &f->node);
    if (f->started_us == 0) {
        f->started_us = loop_now_us();
    }
    timer_start(&f->deadline, patience_ms(r));
    ask(f, servers_pick(&r->servers, 0, true, loop_now(r->loop)));
    probe_with(r, f);
}

static void pump_queue(struct resolver *r)
{
    if (r->queue.len > 0) {
        age_tries(r);
    }
    while (r->queue.len > 0 && has_room(r)) {
        launch(container_of(fair_queue_next(&r->queue), struct flight, turn));
    }
    if (r->queue.len > 0 && !list_empty(&r->tries) && !timer_active(&r->aging)) {
        timer_start(&r->aging, AGING_MS);
    }
    resolver_show_load(r);
}

static void on_aging(void *arg)
{
    pump_queue(arg);
}

/* A restarting server is back soon: the flight has waited, and now rejoins the queue at the front. */
static void on_pause_over(void *arg)
{
    struct flight *f = arg;

    list_remove(&f->node);
    fair_queue_add(&f->r->queue, &f->turn, &f->q.name, true);
    f->asked = 0;
    pump_queue(f->r);
}

/* Starts the pause before a retry; false if the flight may not retry. */
static bool pause_flight(struct flight *f, enum dns_why why)
{
    struct resolver *r = f->r;

    if (why != DNS_WHY_NETWORK || list_empty(&f->waiters) || ++f->timeouts >= r->settings.attempts) {
        return false;
    }
    timer_start(&f->pause, min_u64(NETWORK_PAUSE_MS, r->settings.timeout_ms / 2));
    return true;
}

/* Chooses the server for the attempt after a failure; NULL: none. */
static struct server *next_server(struct flight *f, enum dns_why why)
{
    struct resolver *r = f->r;
    bool lost = why == DNS_WHY_TIMEOUT || why == DNS_WHY_NETWORK;
    struct server *s;

    if (why == DNS_WHY_TIMEOUT) {
        f->timeouts += 1;
    }
    if (list_empty(&f->waiters) || f->timeouts >= r->settings.attempts) {
        return NULL;
    }
    s = servers_pick(&r->servers, f->asked, lost, loop_now(r->loop));
    if (s != NULL || why != DNS_WHY_TIMEOUT) {
        return s;
    }
    f->asked = 0; /* a packet may have been lost: retry all servers */
    return servers_pick(&r->servers, 0, true, loop_now(r->loop));
}

static void note_health(struct resolver *r, const struct attempt *t, const struct wire_answer *w)
{
    struct server *s = t->server;
    bool changed;

    if (t->probe) {
        s->probing = false;
    }
    if (w->status == DNS_TEMPFAIL) {
        resolver_count_failure(r, w->why);
        changed = server_bad(s, w->why, loop_now(r->loop));
    } else {
        changed = server_good(s, us_since(t->sent_us));
    }
    if (changed) {
        server_log(s, w->why, loop_now(r->loop));
    }
}

/* Converts the result of an attempt to an answer. */
static void read_answer(enum exchange_status status, struct slice packet, const struct attempt *t,
                        struct arena *mem, struct wire_answer *w)
{
    *w = (struct wire_answer){ .status = DNS_TEMPFAIL };
    switch (status) {
    case EXCHANGE_ANSWER:
        wire_parse(packet, &t->q, mem, w);
        break;
    case EXCHANGE_TIMEOUT:
        w->why = DNS_WHY_TIMEOUT;
        break;
    case EXCHANGE_NETWORK:
        w->why = DNS_WHY_NETWORK;
        break;
    }
}

/* Takes a trusted answer; its flight may have ended. */
static void land(struct attempt *t, const struct wire_answer *w)
{
    struct dns_answer *ans = answer_new(w);
    struct table_key key;
    char mem[KEY_MAX];

    ans->server = t->server->addr;
    ans->network_us = us_since(t->flight != NULL ? t->flight->started_us : t->sent_us);
    if (t->flight != NULL) {
        key = key_of_flight(t->flight);
    } else {
        key = table_key(&t->r->cache.table, slice_of(mem, make_key(mem, &t->q)));
    }
    cache_keep(&t->r->cache, &t->r->settings, &key, ans, loop_now(t->r->loop));
    if (t->flight != NULL) {
        flight_settle(t->flight, ans);
    }
    dns_answer_unref(ans);
}

static void on_try(enum exchange_status status, struct slice packet, void *arg)
{
    struct attempt *t = arg;
    struct resolver *r = t->r;
    struct flight *f = t->flight;
    struct server *next = NULL;
    struct wire_answer w;
    struct arena mem;

    list_remove(&t->node);
    r->on_wire -= 1;
    r->slow_count -= t->slow ? 1 : 0;
    arena_init(&mem, WIRE_ARENA_MAX);
    read_answer(status, packet, t, &mem, &w);
    note_health(r, t, &w);
    if (w.status != DNS_TEMPFAIL) {
        land(t, &w);
    } else if (f != NULL) {
        next = next_server(f, w.why);
        f->try = NULL;
        if (next != NULL) {
            ask(f, next);
        } else if (!pause_flight(f, w.why)) {
            flight_fail(f, &w, t->server);
        }
    }
    arena_fini(&mem);
    slab_release(&r->try_slab, t);
    pump_queue(r);
}

/* ---- asking ---- */

static struct flight *flight_new(struct resolver *r, const struct wire_question *q,
                                 const struct table_key *key)
{
    struct flight *f = slab_alloc(&r->flight_slab);
    struct table_key own = { slice_of(f->key, key->text.len), key->hash };

    f->r = r;
    f->q = *q;
    memcpy(f->key, key->text.ptr, key->text.len);
    list_init(&f->waiters);
    list_node_init(&f->node);
    timer_init(&f->deadline, r->loop, on_flight_deadline, f);
    timer_init(&f->pause, r->loop, on_pause_over, f);
    table_insert_key(&r->flights, &f->entry, &own);
    return f;
}

static void join(struct flight *f, struct dns_req *req)
{
    req->flight = f;
    list_push_back(&f->waiters, &req->node);
}

struct ask { /* a question that the cache does not answer */
    struct wire_question q;
    struct table_key key;
    const struct dns_asker *who;
};

static void start_flight(struct dns_req *req, const struct ask *a)
{
    struct resolver *r = req->r;
    uint64_t network;
    struct flight *f;

    if (!has_room(r) && r->queue.len >= r->settings.queue_max) {
        resolver_count_failure(r, DNS_WHY_OVERLOAD);
        make_ready_with(req, DNS_TEMPFAIL, DNS_WHY_OVERLOAD);
        return;
    }
    if (!resolver_keeps_pace(r, a->who, &network)) {
        make_ready_with(req, DNS_TEMPFAIL, DNS_WHY_PACE);
        return;
    }
    f = flight_new(r, &a->q, &a->key);
    f->network = network;
    join(f, req);
    if (r->queue.len == 0 && has_room(r)) { /* the usual case: skip the queue */
        launch(f);
        resolver_show_load(r);
        return;
    }
    fair_queue_add(&r->queue, &f->turn, &a->q.name, false);
    timer_start(&f->deadline, patience_ms(r));
    pump_queue(r);
}

static void start_request(struct dns_req *req, const struct dns_asker *who, struct slice name,
                          enum dns_type type)
{
    struct resolver *r = req->r;
    struct ask a = { .q = { .type = (uint16_t)type }, .who = who };
    struct table_entry *te;
    struct dns_answer *ans;
    char mem[KEY_MAX];

    if (!wire_name_set(&a.q.name, name)) {
        r->stats.illegal += 1;
        make_ready_with(req, DNS_NXDOMAIN, DNS_WHY_ILLEGAL);
        return;
    }
    a.key = table_key(&r->cache.table, slice_of(mem, make_key(mem, &a.q)));
    ans = cache_get(&r->cache, &a.key, loop_now(r->loop));
    if (ans != NULL) {
        r->stats.cache_hits += 1;
        count(M_DNS_CACHE_HITS);
        req->had.cached = true;
        make_ready(req, ans);
        return;
    }
    te = table_find_key(&r->flights, &a.key);
    if (te != NULL) {
        r->stats.merged += 1;
        req->had.merged = true;
        join(container_of(te, struct flight, entry), req);
        return;
    }
    start_flight(req, &a);
}

/* ---- lifecycle ---- */

/* Detaches the requests from the resolver; only their owners refer to them from here. */
static void orphan_all(struct list_node *requests)
{
    struct list_node *n;

    while ((n = list_pop(requests)) != NULL) {
        struct dns_req *req = container_of(n, struct dns_req, node);

        req->r = NULL;
        req->flight = NULL;
        dns_answer_unref(req->ans);
        req->ans = NULL;
    }
}

static void free_flights(struct resolver *r)
{
    struct fair_turn *t;

    while ((t = fair_queue_next(&r->queue)) != NULL) {
        list_push_back(&r->flying, &container_of(t, struct flight, turn)->node);
    }
    while (!list_empty(&r->flying)) {
        struct flight *f = container_of(r->flying.next, struct flight, node);

        orphan_all(&f->waiters);
        flight_free(f);
    }
}

struct resolver *resolver_new(struct loop *l, const struct dns_settings *settings)
{
    struct resolver *r = xcalloc(1, sizeof(*r));

    r->loop = l;
    r->settings = settings_fill(settings);
    r->rates.rate[PACE_QUESTIONS] = r->settings.client_questions;
    r->rates.rate[PACE_FAILED] = r->settings.client_failed;
    settings_open_servers(r, settings);
    cache_init(&r->cache, r->settings.cache_entries, r->settings.cache_bytes);
    table_init_like(&r->flights, &r->cache.table);
    list_init(&r->flying);
    fair_queue_init(&r->queue);
    list_init(&r->tries);
    list_init(&r->slow);
    timer_init(&r->aging, r->loop, on_aging, r);
    list_init(&r->ready);
    list_init(&r->round);
    deferred_init(&r->deliver, on_deliver, r);
    slab_init(&r->flight_slab, "flight", sizeof(struct flight), OBJECTS_KEPT);
    slab_init(&r->try_slab, "try", sizeof(struct attempt), OBJECTS_KEPT);
    if (req_slab.name == NULL) {
        slab_init(&req_slab, "question", sizeof(struct dns_req), OBJECTS_KEPT);
    }
    return r;
}

/* Runs at the end of the turn, because on_try() may still use an attempt. */
static void bury_resolver(void *obj)
{
    struct resolver *r = obj;

    slab_fini(&r->flight_slab);
    slab_fini(&r->try_slab);
    free(r);
}

void resolver_free(struct resolver *r)
{
    struct list_node *n;

    if (r == NULL || r->closed) {
        return;
    }
    r->closed = true;
    deferred_cancel(&r->deliver);
    orphan_all(&r->ready);
    orphan_all(&r->round);
    free_flights(r);
    for (size_t i = 0; i < r->servers.count; i++) {
        exchange_free(r->servers.list[i].exchange);
    }
    timer_stop(&r->aging);
    while ((n = list_pop(&r->tries)) != NULL || (n = list_pop(&r->slow)) != NULL) {
        slab_release(&r->try_slab, container_of(n, struct attempt, node));
    }
    cache_fini(&r->cache);
    table_fini(&r->flights);
    fair_queue_fini(&r->queue);
    r->on_wire = r->slow_count = r->servers.count = 0;
    resolver_show_load(r);
    loop_bury(r->loop, &r->grave, bury_resolver, r);
}

struct dns_req *dns_query_for(const struct dns_asker *who, struct slice name, enum dns_type type, dns_cb cb,
                              void *arg)
{
    struct dns_req *req = slab_alloc(&req_slab);
    struct resolver *r = who->resolver;

    req->r = r;
    req->cb = cb;
    req->arg = arg;
    list_node_init(&req->node);
    r->requests += 1;
    r->stats.questions += 1;
    count(M_DNS_QUESTIONS);
    start_request(req, who, name, type);
    return req;
}

struct dns_req *dns_query(struct resolver *r, struct slice name, enum dns_type type, dns_cb cb, void *arg)
{
    struct dns_asker uncounted = { .resolver = r };

    return dns_query_for(&uncounted, name, type, cb, arg);
}

/* Drops a queued flight that has no caller left. */
static void drop_if_unwanted(struct flight *f)
{
    struct resolver *r = f->r;

    if (f->try == NULL && list_empty(&f->waiters)) {
        flight_free(f);
        resolver_show_load(r);
    }
}

void dns_cancel(struct dns_req **handle)
{
    struct dns_req *req = *handle;

    *handle = NULL;
    if (req == NULL) {
        return;
    }
    list_remove(&req->node);
    if (req->r != NULL) {
        req->r->requests -= 1;
    }
    if (req->flight != NULL) {
        drop_if_unwanted(req->flight);
    }
    dns_answer_unref(req->ans);
    slab_release(&req_slab, req);
}
