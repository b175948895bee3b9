/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_world.h - a loop, a state, a configuration, fake servers and transactions: what relay tests stand on.
 *
 * Time is that of jump_clock.h: all that can happen happens before a timer runs, on any machine.
 */
#ifndef TEST_UNIT_PROXY_RELAY_WORLD_H
#define TEST_UNIT_PROXY_RELAY_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/upstream/pool.h"
#include "proxy/upstream/relay.h"
#include "state/servers.h"
#include "state/slots.h"
#include "test/unit/jump_clock.h"
#include "test/unit/proxy/fake_smtp.h"

#define WORLD_SERVERS 3
#define TXN_RCPTS 32

struct world {
    struct loop *loop;
    struct state *state;
    struct config *conf;
    struct upstreams *ups;
    struct fake fake[WORLD_SERVERS];
    size_t fakes;
    char text[WORLD_SERVERS][ADDR_TEXT_MAX];
    struct timer limit;
    bool timed_out;
    bool probes; /* do not keep them away */
};

struct mail { /* one transaction */
    struct world *w;
    struct envelope env;
    struct recipient rcpt[TXN_RCPTS];
    struct recipient *list[TXN_RCPTS];
    size_t used;
    struct relay *relay;
    struct spool *spool;
    struct relay_message msg;
    unsigned answers;
    enum relay_outcome outcome; /* of the last answer */
    bool from_upstream, remembered;
    unsigned code;
    char enhanced[16];
    struct buf text;
    bool stop; /* the loop, at an answer */
};

static inline void quiet(enum log_level level, enum log_class cls, struct slice line, void *arg)
{
    (void)level;
    (void)cls;
    if (arg) {
        buf_put_slice(arg, line);
    }
}

static inline void on_limit(void *arg)
{
    struct world *w = arg;

    w->timed_out = true;
    loop_stop(w->loop);
}

static inline void run_ms(struct world *w, uint64_t ms)
{
    timer_start(&w->limit, ms);
    loop_run(w->loop);
    timer_stop(&w->limit);
}

static inline struct config_upstream *world_up(struct world *w)
{
    return &w->conf->upstreams[0];
}

static inline void default_upstream(struct config_upstream *up)
{
    up->name = "corp";
    up->tls = UP_TLS_OFF;
    up->connections = 20;
    up->size = CONFIG_OFF;
    up->remember_unknown_ms = 600000;
    up->keep_idle = 5;
    up->hold_ms = 1000;
    up->queue_wait_ms = 2000;
    up->idle_timeout_ms = 45000;
    up->max_age_ms = 480000;
    up->max_messages = 100;
    up->ehlo = EHLO_AUTO;
    up->timeouts.connect_ms = 1000;
    up->timeouts.greeting_ms = 150;
    up->timeouts.command_ms = 150;
    up->timeouts.final_reply_ms = 150;
    up->health.interval_ms = 30000;
    up->health.fall = 3;
    up->health.rise = 2;
}

/* Servers listen, nothing is started: the test may change w->conf, then world_go(). */
static inline void world_init(struct world *w, size_t servers)
{
    struct config_upstream *up;

    *w = (struct world){ .fakes = servers };
    log_set_sink(quiet, NULL);
    w->loop = loop_new();
    timer_init(&w->limit, w->loop, on_limit, w);
    w->state = state_new(64);
    assert_non_null(w->state);
    state_slot_enter(w->state, state_slot_take(w->state, ROLE_WORKER, 1, 0));
    w->conf = xcalloc(1, sizeof(*w->conf));
    w->conf->server.hostname = "mx.test";
    w->conf->server.spool_dir = "/tmp";
    w->conf->limits.memory = w->conf->limits.spool = (uint64_t)1 << 30;
    w->conf->limits.spool_memory = 256 * 1024;
    w->conf->limits.message_size = 50000000;
    w->conf->upstream_count = 1;
    up = world_up(w);
    default_upstream(up);
    up->server_count = servers;
    for (size_t i = 0; i < servers; i++) {
        fake_init(&w->fake[i], w->loop);
        snprintf(w->text[i], sizeof(w->text[i]), "127.0.0.1:%u", w->fake[i].addr.port);
        up->server[i].text = w->text[i];
        up->server[i].address = w->fake[i].addr;
    }
}

/* The area of the upstream in the shared state. */
static inline int world_area(const struct world *w)
{
    return state_upstream_find(w->state, w->conf->upstreams[0].name);
}

/* The record of the i-th fake server. */
static inline int world_server(const struct world *w, size_t i)
{
    return state_server_find(w->state, world_area(w), &w->fake[i].addr);
}

static inline void world_no_probes(struct world *w, size_t i)
{
    int server = state_server_join(w->state, world_area(w), &w->fake[i].addr);

    assert_true(state_probe_claim(w->state, server, loop_now(w->loop), 3600000));
}

static inline void world_go(struct world *w)
{
    upstreams_register(w->state, w->conf);
    for (size_t i = 0; i < w->fakes && !w->probes; i++) {
        world_no_probes(w, i);
    }
    w->ups = upstreams_new(w->loop, w->state, w->conf);
}

static inline void world_fini(struct world *w)
{
    upstreams_free(&w->ups);
    run_ms(w, 20);
    for (size_t i = 0; i < w->fakes; i++) {
        assert_int_equal(state_tickets_used(w->state, world_server(w, i)), 0);
        fake_fini(&w->fake[i]);
    }
    assert_int_equal(metric_get(M_UP_LEASED), 0);
    assert_int_equal(metric_get(M_UP_IDLE), 0);
    assert_int_equal(metric_get(M_UP_CONNECTING), 0);
    assert_int_equal(metric_get(M_UP_WAITING), 0);
    run_ms(w, 1);
    metrics_use(NULL);
    loop_free(w->loop);
    state_free(w->state);
    free(w->conf);
}

static inline void mail_init(struct mail *m, struct world *w, const char *client)
{
    *m = (struct mail){ .w = w };
    m->env.rcpt = m->list;
    m->env.sender = SLICE("sender@example.org");
    m->env.session_id = "01TEST";
    m->env.esmtp = true;
    assert_true(addr_parse_ip(slice_str(client), &m->env.client));
    buf_init(&m->text, 65536);
    m->relay = relay_new(w->ups, world_up(w), &m->env);
    m->stop = true;
}

static inline void mail_fini(struct mail *m)
{
    relay_free(&m->relay);
    spool_free(&m->spool);
    buf_fini(&m->text);
}

static inline void on_answer(void *arg, const struct relay_answer *a)
{
    const struct reply *r = &a->reply;
    struct mail *m = arg;

    m->answers++;
    m->outcome = a->outcome;
    m->from_upstream = a->from_upstream;
    m->remembered = a->remembered;
    m->code = r->code;
    snprintf(m->enhanced, sizeof(m->enhanced), "%.*s", (int)r->enhanced.len,
             r->enhanced.ptr ? r->enhanced.ptr : "");
    buf_reset(&m->text);
    buf_put_slice(&m->text, r->text);
    if (m->stop) {
        loop_stop(m->w->loop);
    }
}

/* Runs until m has one more answer than `before`. */
static inline void await_answer(struct mail *m, unsigned before)
{
    m->w->timed_out = false;
    timer_start(&m->w->limit, 8000);
    while (m->answers == before && !m->w->timed_out) {
        loop_run(m->w->loop);
    }
    timer_stop(&m->w->limit);
    assert_int_equal(m->answers, before + 1);
}

static inline void begin_rcpt_as(struct mail *m, const char *address, enum config_validate validate)
{
    struct recipient *r = &m->rcpt[m->used++];

    assert_true(m->used <= TXN_RCPTS);
    r->address = slice_str(address);
    relay_rcpt(m->relay, r, validate, on_answer, m);
}

static inline void accept_last(struct mail *m)
{
    if (m->code / 100 == 2) {
        m->list[m->env.rcpt_count++] = &m->rcpt[m->used - 1];
    }
}

static inline unsigned rcpt_as(struct mail *m, const char *address, enum config_validate validate)
{
    unsigned before = m->answers;

    begin_rcpt_as(m, address, validate);
    assert_int_equal(m->answers, before); /* never inside the call */
    await_answer(m, before);
    accept_last(m);
    return m->code;
}

static inline unsigned rcpt(struct mail *m, const char *address)
{
    return rcpt_as(m, address, VALIDATE_LIVE);
}

#define HEAD "Received: by mx.test\r\n"

static inline void begin_message(struct mail *m, struct slice content)
{
    spool_free(&m->spool);
    m->spool = spool_new(m->w->state, m->w->conf);
    assert_int_equal(spool_put(m->spool, content.ptr, content.len), SPOOL_OK);
    m->msg.head = SLICE(HEAD);
    m->msg.spool = m->spool;
    relay_message(m->relay, &m->msg, on_answer, m);
}

static inline unsigned message(struct mail *m, struct slice content)
{
    unsigned before = m->answers;

    begin_message(m, content);
    assert_int_equal(m->answers, before);
    await_answer(m, before);
    return m->code;
}

#define BODY SLICE("Subject: hi\r\n\r\nbody\r\n")

/* A whole transaction with one recipient. */
static inline unsigned deliver_one(struct world *w, const char *client)
{
    struct mail m;
    unsigned code;

    mail_init(&m, w, client);
    code = rcpt(&m, "user@corp.test");
    if (code / 100 == 2) {
        code = message(&m, BODY);
    }
    mail_fini(&m);
    return code;
}

static inline size_t count_lines(const struct fake *f, const char *text)
{
    size_t n = 0;
    const char *at = f->lines.ptr;

    while (at && (at = strstr(at, text)) != NULL) {
        n++;
        at += strlen(text);
    }
    return n;
}

#endif
