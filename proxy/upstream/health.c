/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.c - probes: is a server reachable, and what does it offer?
 *
 * A probe is a normal connection with a ticket.  It sends EHLO, STARTTLS if wanted, and QUIT.  One worker runs
 * each: the one that advances the server's next time in the shared state.  Results of mail connections count
 * the same.  With `health: off` no server is ever marked down, and probes only learn the keywords.
 *
 * upstreams_keywords(): the keywords common to all servers that ever answered, also before a restart.  A server
 * that never answered has no vote; if none ever answered, none of these keywords is offered (CAP-09, CAP-10).
 */
#include "proxy/upstream/upstream.h"
#include "state/servers.h"

#define LEARN_MS 300000U     /* health off: interval to learn keywords again */
#define RETRY_FIRST_MS 1000U /* while no keywords are known; doubles */
#define RETRY_MOST_MS 60000U
#define SLEEP_LEAST_MS 20U
#define SLEEP_MOST_MS 30000U
#define SIZE_ALLOWANCE 4096U /* octets that we add to a message */

static bool health_off(const struct pool_server *s)
{
    return s->pool->conf->health.interval_ms == CONFIG_OFF;
}

static uint64_t interval_of(const struct pool_server *s)
{
    uint64_t regular = health_off(s) ? LEARN_MS : s->pool->conf->health.interval_ms;
    struct state_keywords k;

    state_keywords_get(s->pool->ups->state, s->index, &k);
    if (k.known && k.at_ms != 0) {
        return regular;
    }
    return min_u64(regular,
                   min_u64(RETRY_MOST_MS, (uint64_t)RETRY_FIRST_MS << (s->tries < 6 ? s->tries : 6)));
}

/* Without health a probe only learns keywords, and a mail connection may already have learned them. */
static bool nothing_to_learn(const struct pool_server *s, uint64_t now)
{
    struct state_keywords k;

    state_keywords_get(s->pool->ups->state, s->index, &k);
    return health_off(s) && k.known && k.at_ms != 0 && now - k.at_ms < LEARN_MS / 2;
}

static void probe(struct pool_server *s)
{
    int ticket = pool_tickets_gone(s) ? -1 : pool_take_ticket(s);

    if (ticket < 0) {
        return; /* all connections are in use: so the server works */
    }
    count(M_UP_PROBES);
    s->tries++;
    pool_connect(s, ticket, NULL);
}

void health_again(struct pool_server *s)
{
    if (!s->pool->ups->draining) {
        probe(s);
    }
}

/* When the next probe of any server is due. */
static uint64_t sleep_ms(const struct upstreams *ups, uint64_t now)
{
    uint64_t wait = SLEEP_MOST_MS;

    for (size_t i = 0; i < ups->pool_count; i++) {
        for (size_t k = 0; k < ups->pool[i].server_count; k++) {
            struct state_health h;

            state_health_get(ups->state, ups->pool[i].order[k]->index, &h);
            wait = min_u64(wait, h.next_probe_ms > now ? h.next_probe_ms - now : 0);
        }
    }
    return wait < SLEEP_LEAST_MS ? SLEEP_LEAST_MS : wait;
}

static void on_probe_time(void *arg)
{
    struct upstreams *ups = arg;
    uint64_t now = loop_now(ups->loop);

    for (size_t i = 0; i < ups->pool_count; i++) {
        for (size_t k = 0; k < ups->pool[i].server_count; k++) {
            struct pool_server *s = ups->pool[i].order[k];

            if (state_probe_claim(ups->state, s->index, now, interval_of(s)) && !nothing_to_learn(s, now)) {
                probe(s);
            }
        }
    }
    timer_start(&ups->probe, sleep_ms(ups, now));
}

/* An earlier generation may have had a longer interval. */
static void hasten(struct upstreams *ups)
{
    uint64_t now = loop_now(ups->loop);

    for (size_t i = 0; i < ups->pool_count; i++) {
        for (size_t k = 0; k < ups->pool[i].server_count; k++) {
            struct pool_server *s = ups->pool[i].order[k];

            state_probe_hasten(ups->state, s->index,
                               now + (health_off(s) ? LEARN_MS : s->pool->conf->health.interval_ms));
        }
    }
}

void health_start(struct upstreams *ups)
{
    hasten(ups);
    timer_init(&ups->probe, ups->loop, on_probe_time, ups);
    timer_start(&ups->probe, 0);
}

void health_wake(struct upstreams *ups)
{
    if (!ups->draining) {
        timer_start(&ups->probe, 0);
    }
}

void health_stop(struct upstreams *ups)
{
    timer_stop(&ups->probe);
}

static void log_change(struct pool_server *s, const struct state_health *h)
{
    struct log_line l;

    if (log_begin(&l, h->down ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, h->down ? "upstream_down" : "upstream_up")) {
        pool_log_server(&l, s);
        log_num(&l, h->down ? "failures" : "successes", (int64_t)(h->down ? h->failures : h->successes));
        log_end(&l);
    }
}

void health_observe(struct pool_server *s, bool ok)
{
    struct upstreams *ups = s->pool->ups;
    struct state_health h;

    if (ok) {
        s->tries = 0;
    }
    if (!state_health_report(ups->state, s->index, ok, health_off(s) ? 0 : s->pool->conf->health.fall,
                             s->pool->conf->health.rise, loop_now(ups->loop))) {
        return;
    }
    state_health_get(ups->state, s->index, &h);
    if (h.down) {
        count(M_UP_MARKED_DOWN);
    }
    log_change(s, &h);
    pool_wake(s->pool);
}

void health_broken(struct pool_server *s, const struct upstream_failure *f)
{
    const struct config_upstream *c = s->pool->conf;
    uint64_t now = loop_now(s->pool->ups->loop);
    struct log_line l;

    if (f->why != UP_WHY_LOST && f->why != UP_WHY_TIMEOUT && f->why != UP_WHY_MALFORMED &&
        f->why != UP_WHY_GOES_AWAY) {
        return;
    }
    s->broken++;
    if (s->pool->server_count < 2 || health_off(s) || s->broken < c->health.fall ||
        now < s->shunned_until_ms) {
        return;
    }
    s->shunned_until_ms = now + c->health.interval_ms;
    if (log_begin(&l, LOG_LEVEL_WARN, "upstream_shunned")) {
        pool_log_server(&l, s);
        log_num(&l, "failures", (int64_t)s->broken);
        log_end(&l);
    }
}

/* ---- what may be offered ---- */

static void least_size(uint64_t *size, uint64_t other)
{
    if (other && other != CONFIG_OFF && (*size == 0 || other < *size)) {
        *size = other;
    }
}

static void add_server(const struct state_keywords *k, struct relay_keywords *out)
{
    out->eightbitmime = out->eightbitmime && k->eightbitmime;
    out->smtputf8 = out->smtputf8 && k->smtputf8;
    out->dsn = out->dsn && k->dsn;
    if (k->size_offered && k->size) {
        least_size(&out->size, k->size > SIZE_ALLOWANCE ? k->size - SIZE_ALLOWANCE : 1);
    }
}

/* Counts the keywords of one server, if it ever answered; true: it did. */
static bool vote(const struct state_keywords *k, struct relay_keywords *out)
{
    if (k->known) {
        add_server(k, out);
    }
    return k->known;
}

/* True: at least one server ever answered.  Before the first lookup the keywords from state_dir count. */
static bool add_pool(const struct pool *p, struct relay_keywords *out)
{
    struct state_keywords k;
    bool any = false;

    least_size(&out->size, p->conf->size);
    for (size_t i = 0; i < p->server_count; i++) {
        state_keywords_get(p->ups->state, p->order[i]->index, &k);
        any = vote(&k, out) || any;
    }
    for (size_t i = 0; p->server_count == 0 && i < STATE_UPSTREAM_SERVERS; i++) {
        if (state_keywords_recalled(p->ups->state, p->area, i, &k)) {
            any = vote(&k, out) || any;
        }
    }
    return any;
}

static void ask_all(struct upstreams *ups, struct relay_keywords *out)
{
    bool any = false;

    *out = (struct relay_keywords){ .eightbitmime = true, .smtputf8 = true, .dsn = true };
    least_size(&out->size, ups->conf->limits.message_size);
    for (size_t i = 0; i < ups->pool_count; i++) {
        any = add_pool(&ups->pool[i], out) || any;
    }
    if (!any) {
        out->eightbitmime = out->smtputf8 = out->dsn = false;
    }
}

void upstreams_keywords(struct upstreams *ups, struct relay_keywords *out)
{
    uint64_t now = loop_now(ups->loop);

    if (ups->keywords_until_ms <= now) {
        ask_all(ups, &ups->keywords);
        ups->keywords_until_ms = now + 1000;
    }
    *out = ups->keywords;
}

bool upstreams_any_utf8(const struct upstreams *ups)
{
    for (size_t i = 0; i < ups->pool_count; i++) {
        for (size_t k = 0; k < ups->pool[i].server_count; k++) {
            struct state_keywords kw;

            state_keywords_get(ups->state, ups->pool[i].order[k]->index, &kw);
            if (kw.known && kw.smtputf8) {
                return true;
            }
        }
    }
    return false;
}
