/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - the connections of a worker: opens, keeps and resets them; handles upstream.c's reports.
 *
 * Every connection is on one list of its server.  It holds one of the server's tickets from before its connect
 * until it is closed, QUIT included.  A free connection goes to the idle list first.  Later in the turn, the
 * dispatch gives it to a waiting lease, keeps it, or sends QUIT.
 *
 * Owns: connections, the servers' envelope tickets through leases.
 * Limits: max_age, max_messages, keep_idle, refusals and RSETs of a connection.
 */
#include "proxy/upstream/pool.h"

#include <errno.h>

#include "proxy/upstream/unknown_rcpt.h"
#include "proxy/upstream/upstream.h"
#include "state/servers.h"
#include "tls/tls.h"

#define WAIT_POLL_MS 50U
#define MESSAGES 100U /* for one connection, with `auto` */
#define EXIM_MESSAGES 10U

/* After ten errors Postfix delays each reply by a second.  It counts each RSET after the hundredth as an error. */
#define REFUSED_ENVELOPES 5U
#define REFUSED_REPLIES 10U
#define RESETS 50U
#define LOG_INTERVAL_S 60U
#define CONNECT_ALL_MS 25000U /* all connects of one lease */
#define SCRATCH_MAX ((size_t)1024 * 1024 * 4)

/* ---- lists ---- */

static void count_list(enum pool_list list, int64_t n)
{
    switch (list) {
    case POOL_CONNECTING:
        gauge_add(M_UP_CONNECTING, n);
        break;
    case POOL_IDLE:
        gauge_add(M_UP_IDLE, n);
        break;
    case POOL_LEASED:
        gauge_add(M_UP_LEASED, n);
        break;
    case POOL_NONE:
    case POOL_CLOSING:
    case POOL_LIST_COUNT:
        break;
    }
}

void pool_move(struct upstream *u, enum pool_list to)
{
    struct pool_server *s = u->server;

    if (u->list != POOL_NONE) {
        list_remove(&u->link);
        s->count[u->list]--;
        count_list(u->list, -1);
    }
    u->list = to;
    if (to != POOL_NONE) {
        list_push_front(&s->list[to], &u->link);
        s->count[to]++;
        count_list(to, 1);
    }
}

static struct upstream *upstream_at(struct list_node *n)
{
    return container_of(n, struct upstream, link);
}

void pool_wake(struct pool *p)
{
    loop_defer(p->ups->loop, &p->dispatch);
}

/* `auto`: by default Exim leaves the eleventh message and all later ones to its queue runner (30 min). */
static unsigned most_messages(const struct upstream *u)
{
    unsigned most = u->server->pool->conf->max_messages;

    return most != 0 ? most : u->is_exim ? EXIM_MESSAGES : MESSAGES;
}

/* After this many refusals the server delays its replies, and the next client would wait. */
static bool is_worn(const struct upstream *u)
{
    return u->warned || u->refused_envelopes >= REFUSED_ENVELOPES || u->refusals >= REFUSED_REPLIES ||
           u->resets >= RESETS;
}

static bool is_used_up(const struct upstream *u)
{
    return loop_now(u->server->pool->ups->loop) - u->born_ms >= u->server->pool->conf->max_age_ms ||
           u->messages >= most_messages(u) || is_worn(u);
}

static void say_quit(struct upstream *u)
{
    pool_move(u, POOL_CLOSING);
    upstream_quit(u);
}

struct upstream *pool_take_idle(struct pool_server *s)
{
    while (!list_empty(&s->list[POOL_IDLE])) {
        struct upstream *u = upstream_at(s->list[POOL_IDLE].next);

        if (!upstream_usable(u)) {
            count(M_UP_STALE);
            upstream_drop(u);
        } else if (is_used_up(u)) {
            say_quit(u);
        } else {
            if (u->ticket_idle) {
                state_ticket_busy(s->pool->ups->state, s->index, u->ticket);
                u->ticket_idle = false;
            }
            return u;
        }
    }
    return NULL;
}

/* ---- failures of the way to a server ---- */

static const char *refused_text(enum up_state state)
{
    switch ((unsigned)state) {
    case UP_STATE_GREETING:
        return "the host takes no mail";
    case UP_STATE_STARTTLS:
        return "STARTTLS refused";
    case UP_STATE_XCLIENT:
        return "XCLIENT refused";
    case UP_STATE_EHLO:
        return "EHLO after XCLIENT refused";
    case UP_STATE_HELO:
        return "EHLO and HELO refused";
    default:
        return "MAIL or RCPT refused for us";
    }
}

static const char *failure_text(const struct upstream_failure *f)
{
    if (f->state == UP_STATE_CONNECT) {
        return f->why == UP_WHY_TIMEOUT ? "connect timeout" : "connect failed";
    }
    switch (f->why) {
    case UP_WHY_TIMEOUT:
        return "no answer in time";
    case UP_WHY_MALFORMED:
        return "not an SMTP reply";
    case UP_WHY_GOES_AWAY:
    case UP_WHY_REFUSAL:
        return "refused";
    case UP_WHY_REFUSES_US:
        return refused_text(f->state);
    case UP_WHY_NO_TLS:
        return "no TLS";
    case UP_WHY_TLS_FAILED:
        return "TLS handshake failed";
    case UP_WHY_UNTRUSTED:
        return "certificate not valid";
    case UP_WHY_LOST:
    case UP_WHY_STALE:
    case UP_WHY_EARLY:
    case UP_WHY_SPOOL:
    case UP_WHY_COUNT:
        break;
    }
    return "connection lost";
}

static void log_path_failure(struct pool_server *s, const struct upstream_failure *f)
{
    bool us = f->why == UP_WHY_REFUSES_US;
    struct log_line l;
    uint32_t suppressed;

    if (!log_allowed(us ? &s->refuse_log : &s->path_log, loop_now(s->pool->ups->loop), LOG_INTERVAL_S,
                     &suppressed) ||
        !log_begin(&l, us ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
                   us ? "upstream_refuses_us" : "upstream_connect")) {
        return;
    }
    pool_log_server(&l, s);
    log_text(&l, "why", failure_text(f));
    if (f->err) {
        log_text(&l, "error", strerror(f->err));
    }
    if (f->reply) {
        log_num(&l, "code", (int64_t)f->reply->code);
        log_str(&l, "text", f->reply->text);
    }
    log_num(&l, "suppressed", (int64_t)suppressed);
    log_end(&l);
}

void pool_refuses_us(struct pool_server *s, const struct upstream_failure *failure)
{
    count(M_UP_REFUSES_US);
    log_path_failure(s, failure);
}

/* Failures that an administrator must fix rank worse than an unreachable server. */
static enum lease_status status_of(enum up_why why, enum lease_status before)
{
    if (why == UP_WHY_REFUSES_US) {
        return LEASE_REFUSES_US;
    }
    if (why == UP_WHY_UNTRUSTED && before != LEASE_REFUSES_US) {
        return LEASE_UNTRUSTED;
    }
    if ((why == UP_WHY_NO_TLS || why == UP_WHY_TLS_FAILED) && before == LEASE_UNREACHABLE) {
        return LEASE_NO_TLS;
    }
    return before;
}

/* The server works and gets mail in clear from now on: the lease tries it again. */
static void without_tls(struct pool_server *s, struct lease *l)
{
    count(M_UP_TLS_CLEAR);
    if (l) {
        l->u = NULL;
        l->again = true;
        pool_enqueue(l);
    } else {
        health_again(s);
    }
}

/* Moves the lease, if there is one, on to the next server. */
static void path_failed(struct pool_server *s, struct lease *l, const struct upstream_failure *f,
                        uint64_t spent_ms)
{
    if (f->why == UP_WHY_TLS_FAILED && s->pool->conf->tls == UP_TLS_OPPORTUNISTIC) {
        without_tls(s, l);
        return;
    }
    if (f->why == UP_WHY_REFUSES_US) {
        pool_refuses_us(s, f);
    } else {
        count(M_UP_CONNECT_FAILURES);
        log_path_failure(s, f);
    }
    health_observe(s, false);
    if (l == NULL) {
        return;
    }
    l->u = NULL;
    l->again = true;
    l->tried |= 1U << (s - s->pool->server);
    l->worst = status_of(f->why, l->worst);
    l->connect_ms += f->state == UP_STATE_CONNECT ? spent_ms : 0;
    pool_enqueue(l);
}

void pool_connect(struct pool_server *s, int ticket, struct lease *l)
{
    struct upstreams *ups = s->pool->ups;
    uint64_t budget = s->pool->conf->timeouts.connect_ms;
    struct upstream *u;

    if (l) {
        budget = min_u64(budget, CONNECT_ALL_MS - min_u64(l->connect_ms, CONNECT_ALL_MS));
    }
    u = upstream_connect(s, ticket, budget);
    if (u == NULL) {
        struct upstream_failure f = { UP_WHY_LOST, UP_STATE_CONNECT, errno, NULL };

        state_ticket_return(ups->state, s->index, ticket);
        path_failed(s, l, &f, 0);
        return;
    }
    u->lease = l;
    u->probe = l == NULL;
    if (l) {
        l->u = u;
    }
    pool_move(u, POOL_CONNECTING);
}

/* ---- what upstream.c reports ---- */

void pool_greeted(struct upstream *u)
{
    struct pool_server *s = u->server;
    struct upstreams *ups = s->pool->ups;
    struct lease *l = u->lease;
    struct state_keywords heard = u->ext;

    heard.known = true; /* HELO alone counts too: it offers nothing */
    heard.at_ms = loop_now(ups->loop);
    state_keywords_set(ups->state, s->index, &heard);
    health_observe(s, true);
    if (u->probe) {
        say_quit(u);
    } else if (l) {
        pool_move(u, POOL_LEASED);
        lease_end(l, LEASE_OK);
    } else {
        pool_clean(u);
    }
}

void pool_clean(struct upstream *u)
{
    struct upstreams *ups = u->server->pool->ups;

    u->server->broken = 0;
    u->idle_ms = loop_now(ups->loop);
    u->was_idle = true;
    pool_move(u, POOL_IDLE);
    pool_wake(u->server->pool);
}

static void wake_others(struct pool_server *s)
{
    struct state *st = s->pool->ups->state;

    if (state_others_waiting_since(st, s->pool->area)) {
        state_wake_waiter(st, s->pool->area);
    }
}

void pool_lost(struct upstream *u, const struct upstream_failure *f)
{
    struct pool_server *s = u->server;
    struct lease *l = u->lease;
    bool idle = u->list == POOL_IDLE;

    u->lease = NULL;
    pool_move(u, POOL_NONE);
    state_ticket_return(s->pool->ups->state, s->index, u->ticket);
    wake_others(s);
    pool_wake(s->pool);
    if (f == NULL) {
        return;
    }
    if (!u->greeted) {
        path_failed(s, l, f, loop_now(s->pool->ups->loop) - u->born_ms);
        return;
    }
    if (f->why == UP_WHY_REFUSES_US) {
        pool_refuses_us(s, f);
    }
    if (l) {
        const struct upstream_events *ev = l->ev;
        void *arg = l->arg;

        l->u = NULL;
        health_broken(s, f);
        pool_release(l);
        ev->on_failed(arg, f);
    } else if (idle && f->why != UP_WHY_STALE) {
        count(M_UP_STALE);
    }
}

/* ---- the dispatch: first the queue, then what is left over ---- */

/* An older lease in another process needs a ticket more than we need this connection. */
static bool others_first(const struct pool_server *s)
{
    const struct pool *p = s->pool;
    uint64_t others = state_others_waiting_since(p->ups->state, p->area);
    uint64_t ours = list_empty(&p->waiting) ? 0 : container_of(p->waiting.next, struct lease, age)->since_ms;

    return others && (ours == 0 || others < ours) && pool_tickets_gone(s);
}

static void give_way(struct pool_server *s)
{
    struct list_node *last = s->list[POOL_IDLE].prev; /* the longest idle one */

    if (last != &s->list[POOL_IDLE] && others_first(s)) {
        say_quit(upstream_at(last));
    }
}

static void settle(struct upstream *u)
{
    struct pool_server *s = u->server;
    struct upstreams *ups = s->pool->ups;

    if (!ups->draining && !s->leaving && !is_used_up(u) && !u->bound &&
        state_ticket_idle(ups->state, s->index, u->ticket, s->pool->conf->keep_idle)) {
        u->ticket_idle = true;
    } else {
        say_quit(u);
    }
}

static void on_dispatch(void *arg)
{
    struct pool *p = arg;
    struct pool_server *s;
    struct list_node *n, *tmp;
    bool idle = false;

    EACH_SERVER(p, s)
    {
        give_way(s);
        LIST_EACH(&s->list[POOL_IDLE], n, tmp)
        {
            if (s->leaving || upstream_at(n)->bound) { /* serves one client only */
                say_quit(upstream_at(n));
            }
        }
    }
    pool_dispatch(p);
    EACH_SERVER(p, s)
    {
        LIST_EACH(&s->list[POOL_IDLE], n, tmp)
        {
            if (!upstream_at(n)->ticket_idle) {
                settle(upstream_at(n));
            }
        }
        idle = idle || s->count[POOL_IDLE];
    }
    pool_tidy(p);
    pool_publish(p);
    pool_ask_holders(p);
    if (idle && !timer_active(&p->ups->idle_poll)) {
        timer_start(&p->ups->idle_poll, IDLE_POLL_MS);
    }
    if (!list_empty(&p->waiting) && !timer_active(&p->ups->wait_poll)) {
        timer_start(&p->ups->wait_poll, WAIT_POLL_MS);
    }
}

static void on_rate(void *arg)
{
    pool_wake(arg);
}

static void wake_waiting(struct upstreams *ups)
{
    for (size_t i = 0; i < ups->pool_count; i++) {
        if (!list_empty(&ups->pool[i].waiting)) {
            pool_wake(&ups->pool[i]);
        }
    }
}

static void on_wait_poll(void *arg)
{
    wake_waiting(arg);
}

static void on_wake(unsigned ready, void *arg)
{
    struct upstreams *ups = arg;

    (void)ready;
    state_wake_drain(ups->state);
    wake_waiting(ups);
}

static size_t expire_idle(struct pool_server *s)
{
    uint64_t now = loop_now(s->pool->ups->loop);
    struct list_node *n, *tmp;

    LIST_EACH(&s->list[POOL_IDLE], n, tmp)
    {
        struct upstream *u = upstream_at(n);

        if (s->pool->ups->draining || now - u->idle_ms >= s->pool->conf->idle_timeout_ms || is_used_up(u)) {
            say_quit(u);
        }
    }
    give_way(s);
    return s->count[POOL_IDLE];
}

static void on_idle_poll(void *arg)
{
    struct upstreams *ups = arg;
    struct pool_server *s;
    size_t left = 0;

    for (size_t i = 0; i < ups->pool_count; i++) {
        left += pool_poll_holders(&ups->pool[i]) ? 1 : 0;
        EACH_SERVER(&ups->pool[i], s)
        {
            left += expire_idle(s);
        }
    }
    if (left) {
        timer_start(&ups->idle_poll, IDLE_POLL_MS);
    }
}

/* ---- the whole ---- */

/* The checked configuration supplies it.  Without it and without anchors, `verify` has no TLS and sends no mail. */
static struct tls_client *make_tls(const struct config_upstream *conf)
{
    struct config_errors errs = { 0 };
    struct tls_client *tls;

    if (conf->tls == UP_TLS_OFF || conf->tls_client) {
        return NULL;
    }
    tls = tls_client_new(conf, &errs);
    for (size_t i = 0; i < errs.count; i++) {
        log_msg(LOG_LEVEL_ERROR, "upstream_tls", "%s", errs.list[i].text);
    }
    config_errors_fini(&errs);
    return tls;
}

static void init_pool(struct upstreams *ups, struct pool *p, const struct config_upstream *conf)
{
    p->ups = ups;
    p->conf = conf;
    p->own_tls = make_tls(conf);
    p->tls = conf->tls_client ? conf->tls_client : p->own_tls;
    for (size_t i = 0; i < LEASE_KIND_COUNT; i++) {
        list_init(&p->turn[i][false]);
        list_init(&p->turn[i][true]);
    }
    list_init(&p->retry);
    list_init(&p->waiting);
    list_init(&p->holding);
    table_init(&p->clients);
    deferred_init(&p->dispatch, on_dispatch, p);
    timer_init(&p->rate, ups->loop, on_rate, p);
    pool_servers_init(p);
}

struct upstreams *upstreams_new(struct loop *loop, struct state *st, const struct config *conf)
{
    struct upstreams *ups = xcalloc(1, sizeof(*ups));
    int fd = state_wake_fd(st);

    ups->loop = loop;
    ups->state = st;
    ups->conf = conf;
    ups->pool_count = conf->upstream_count;
    ups->pool = xcalloc(max_size(conf->upstream_count, 1), sizeof(*ups->pool));
    ups->unknown = unknown_rcpt_new(UNKNOWN_MAX);
    buf_init(&ups->scratch, SCRATCH_MAX);
    timer_init(&ups->wait_poll, loop, on_wait_poll, ups);
    timer_init(&ups->idle_poll, loop, on_idle_poll, ups);
    for (size_t i = 0; i < conf->upstream_count; i++) {
        init_pool(ups, &ups->pool[i], &conf->upstreams[i]);
    }
    for (size_t i = 0; i < conf->upstream_count; i++) {
        pool_arrange(&ups->pool[i]);
    }
    ups->has_wake = fd >= 0;
    if (ups->has_wake) {
        watch_init(&ups->wake, loop, fd, on_wake, ups);
        watch_set(&ups->wake, WATCH_READ);
    }
    health_start(ups);
    return ups;
}

void upstreams_drain(struct upstreams *ups)
{
    ups->draining = true;
    health_stop(ups);
    timer_start(&ups->idle_poll, 0);
}

static void close_connections(struct pool_server *s)
{
    for (size_t i = POOL_CONNECTING; i < POOL_LIST_COUNT; i++) {
        while (!list_empty(&s->list[i])) {
            struct upstream *u = upstream_at(s->list[i].next);

            if (u->state == UP_STATE_READY && u->list != POOL_CLOSING) {
                upstream_quit(u);
                stream_flush(u->stream);
            }
            upstream_drop(u);
        }
    }
}

void upstreams_free(struct upstreams **ups)
{
    struct upstreams *u = *ups;

    if (u == NULL) {
        return;
    }
    health_stop(u);
    for (size_t i = 0; i < u->pool_count; i++) {
        struct pool *p = &u->pool[i];
        struct pool_server *s;

        EACH_SERVER(p, s)
        {
            close_connections(s);
        }
        pool_servers_fini(p);
        deferred_cancel(&p->dispatch);
        timer_stop(&p->rate);
        table_fini(&p->clients);
        tls_client_free(p->own_tls);
    }
    timer_stop(&u->wait_poll);
    timer_stop(&u->idle_poll);
    if (u->has_wake) {
        watch_stop(&u->wake);
    }
    unknown_rcpt_free(&u->unknown);
    buf_fini(&u->scratch);
    free(u->pool);
    free(u);
    *ups = NULL;
}
