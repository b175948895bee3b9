/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_relay_storm.c - many transactions against servers that go wrong at random, freed at random; and two
 * processes that must share one connection.
 *
 * What must hold: every question is answered exactly once, never after its relay was freed, always in time; a
 * message is confirmed only if a server confirmed it; nothing is left behind.
 */
#include <sys/wait.h>

#include "state/slots.h"
#include "test/unit/proxy/relay_world.h"

#define ACTORS 24
#define STORM_MS 800U

enum asked { ASKED_NOTHING = 0, ASKED_RCPT, ASKED_MESSAGE };

struct actor {
    struct storm *storm;
    struct mail mail;
    bool alive;
    enum asked asked;
    uint64_t asked_ms;
    struct timer timer;
};

struct storm {
    struct world w;
    struct actor actor[ACTORS];
    uint64_t seed;
    unsigned confirmed, answers, freed;
    uint64_t slowest_ms;
    char *large;
};

static unsigned pick(struct storm *s, unsigned below)
{
    s->seed = s->seed * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(s->seed >> 33) % below;
}

static void on_storm_answer(void *arg, const struct relay_answer *answer)
{
    const struct reply *r = &answer->reply;
    struct actor *a = arg;
    struct storm *s = a->storm;
    uint64_t took = loop_now(s->w.loop) - a->asked_ms;

    assert_true(a->alive);
    assert_true(a->asked != ASKED_NOTHING);
    assert_true(r->code >= 200 && r->code <= 599 && r->code != 421 && r->code / 100 != 3);
    s->answers++;
    s->slowest_ms = took > s->slowest_ms ? took : s->slowest_ms;
    if (a->asked == ASKED_RCPT && r->code / 100 == 2) {
        a->mail.list[a->mail.env.rcpt_count++] = &a->mail.rcpt[a->mail.used - 1];
    }
    if (a->asked == ASKED_MESSAGE && r->code / 100 == 2) {
        s->confirmed++;
    }
    if (a->asked == ASKED_MESSAGE) {
        a->alive = false; /* over: the relay is freed inside its own callback */
        relay_free(&a->mail.relay);
    }
    a->asked = ASKED_NOTHING;
}

static void begin_mail(struct actor *a)
{
    char client[32];

    mail_fini(&a->mail);
    snprintf(client, sizeof(client), "192.0.2.%u", pick(a->storm, 5) + 1);
    mail_init(&a->mail, &a->storm->w, client);
    a->alive = true;
    a->asked = ASKED_NOTHING;
}

static void ask_something(struct actor *a)
{
    static const char *const who[] = { "a@x", "b@x", "c@x", "d@x", "e@x" };
    struct mail *m = &a->mail;
    struct storm *s = a->storm;

    a->asked_ms = loop_now(s->w.loop);
    if (m->env.rcpt_count && (pick(s, 3) == 0 || m->used == TXN_RCPTS)) {
        size_t len = pick(s, 6) == 0 ? 600000 : 500 + pick(s, 2000) * 2;

        m->spool = spool_new(s->w.state, s->w.conf);
        assert_int_equal(spool_put(m->spool, s->large, len), SPOOL_OK);
        m->msg = (struct relay_message){ .head = SLICE(HEAD), .spool = m->spool };
        a->asked = ASKED_MESSAGE;
        relay_message(m->relay, &m->msg, on_storm_answer, a);
    } else if (m->used == TXN_RCPTS) {
        begin_mail(a);
    } else {
        struct recipient *r = &m->rcpt[m->used++];

        r->address = slice_str(who[pick(s, ARRAY_LEN(who))]);
        a->asked = ASKED_RCPT;
        relay_rcpt(m->relay, r, pick(s, 4) == 0 ? VALIDATE_NONE : VALIDATE_LIVE, on_storm_answer, a);
    }
}

static void on_actor(void *arg)
{
    struct actor *a = arg;

    if (!a->alive) {
        begin_mail(a);
    } else if (pick(a->storm, 30) == 0) {
        a->alive = false; /* the client vanished */
        a->storm->freed++;
        relay_free(&a->mail.relay);
    } else if (a->asked == ASKED_NOTHING) {
        ask_something(a);
    }
    timer_start(&a->timer, pick(a->storm, 8));
}

static void storm_config(struct config_upstream *up)
{
    up->connections = 4;
    up->hold_ms = 4;
    up->keep_idle = 2;
    up->queue_wait_ms = 150;
    up->max_messages = 5;
    up->idle_timeout_ms = 60;
    up->timeouts.greeting_ms = up->timeouts.command_ms = up->timeouts.final_reply_ms = 60;
    up->health.interval_ms = 50;
    up->remember_unknown_ms = 20;
}

static void storm(uint64_t seed, unsigned chaos, enum config_balance balance)
{
    struct storm *s = xcalloc(1, sizeof(*s));
    unsigned said = 0;

    s->seed = seed;
    s->large = xmalloc(600000);
    for (size_t i = 0; i < 600000; i += 2) {
        memcpy(s->large + i, i % 80 == 0 ? "\r\n" : "x.", 2);
    }
    world_init(&s->w, 2);
    s->w.probes = true;
    storm_config(world_up(&s->w));
    world_up(&s->w)->balance = balance;
    s->w.fake[0].chaos = s->w.fake[1].chaos = chaos;
    s->w.fake[0].seed = seed;
    s->w.fake[1].seed = seed + 1;
    s->w.fake[1].ehlo = "250-SIZE\r\n"; /* no PIPELINING there */
    world_go(&s->w);
    for (size_t i = 0; i < ACTORS; i++) {
        s->actor[i].storm = s;
        timer_init(&s->actor[i].timer, s->w.loop, on_actor, &s->actor[i]);
        timer_start(&s->actor[i].timer, i);
    }
    run_ms(&s->w, STORM_MS);
    for (size_t i = 0; i < ACTORS; i++) {
        timer_stop(&s->actor[i].timer);
        mail_fini(&s->actor[i].mail);
    }
    for (size_t i = 0; i < 2; i++) {
        said += s->w.fake[i].accepted_messages;
        assert_in_range(s->w.fake[i].most_open, 1,
                        6); /* 4, and those that we closed and it has not noticed */
    }
    print_message("chaos %u%%: %u answers, %u confirmed of %u, %u vanished, slowest %llu ms\n", chaos,
                  s->answers, s->confirmed, said, s->freed, (unsigned long long)s->slowest_ms);
    assert_true(s->answers > 100);
    assert_true(s->confirmed > 0 && s->confirmed <= said);
    assert_true(s->slowest_ms < 2500);
    world_fini(&s->w);
    free(s->large);
    free(s);
}

static void in_bad_weather_every_question_has_one_true_answer(void **state)
{
    (void)state;
    storm(1, 2, BALANCE_FAILOVER);
    storm(2, 12, BALANCE_ROUND_ROBIN);
    storm(3, 30, BALANCE_LEAST_SESSIONS);
    storm(4, 0, BALANCE_ROUND_ROBIN);
}

/* ---- two processes ---- */

#define SHARED_MESSAGES 15

static void deliver_some(struct world *w, int messages)
{
    for (int i = 0; i < messages; i++) {
        if (deliver_one(w, "192.0.2.1") != 250) {
            _exit(1);
        }
    }
}

/* The child has the inherited state and a loop, pools and a slot of its own. */
static void be_the_other_worker(struct world *w, int slot)
{
    state_slot_enter(w->state, slot);
    w->loop = loop_new();
    timer_init(&w->limit, w->loop, on_limit, w);
    w->ups = upstreams_new(w->loop, w->state, w->conf);
    deliver_some(w, SHARED_MESSAGES);
    upstreams_free(&w->ups);
    _exit(0);
}

static void two_processes_take_turns_with_one_connection(void **state)
{
    struct world w;
    pid_t child;
    int slot, status = -1;
    uint64_t until;

    (void)state;
    jump_clock_off = true;
    world_init(&w, 1);
    world_up(&w)->connections = 1;
    world_up(&w)->queue_wait_ms = 5000;
    world_up(&w)->timeouts.command_ms = world_up(&w)->timeouts.final_reply_ms = 3000;
    upstreams_register(w.state, w.conf);
    world_no_probes(&w, 0);
    slot = state_slot_take(w.state, ROLE_WORKER, 1, 1);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        be_the_other_worker(&w, slot);
    }
    w.ups = upstreams_new(w.loop, w.state, w.conf);
    deliver_some(&w, SHARED_MESSAGES);
    until = loop_now_us() + 8000000;
    while (waitpid(child, &status, WNOHANG) == 0 && loop_now_us() < until) {
        run_ms(&w, 20);
    }
    assert_int_equal(status, 0);
    state_slot_release(w.state, slot);
    assert_int_equal(w.fake[0].messages, 2 * SHARED_MESSAGES);
    assert_int_equal(w.fake[0].most_open, 1);
    print_message("%u connections for %u messages\n", w.fake[0].accepted, w.fake[0].messages);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_bad_weather_every_question_has_one_true_answer),
        cmocka_unit_test(two_processes_take_turns_with_one_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
