/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared backend on a real redis-server: two proxies know the same; killed, stopped and restarted under
 * load, nobody waits longer than the timeout.  77 without redis-server.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "core/crypto.h"
#include "state/memory.h"
#include "state/state.h"

#define DAY 86400
#define NOW ((int64_t)20000 * DAY + 1000)

static struct {
    struct loop *loop;
    uint16_t port;
    pid_t server;
    struct state *st[2];
    struct memory *m[2]; /* two proxies */
    char url[64];
} t;

static uint16_t free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void start_server(void)
{
    char port[8];

    (void)snprintf(port, sizeof(port), "%u", t.port);
    t.server = fork();
    if (t.server == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 1);
        execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
               "--appendonly", "no", (char *)NULL);
        _exit(127);
    }
}

static void stop_server(void)
{
    kill(t.server, SIGKILL);
    waitpid(t.server, NULL, 0);
}

struct turn {
    struct timer timer;
    struct loop *loop;
};

static void on_turn(void *arg)
{
    loop_stop(((struct turn *)arg)->loop);
}

static void run_ms(uint64_t ms)
{
    struct turn turn = { .loop = t.loop };

    timer_init(&turn.timer, t.loop, on_turn, &turn);
    timer_start(&turn.timer, ms);
    loop_run(t.loop);
    timer_stop(&turn.timer);
}

static bool wait_up(bool up, unsigned ms)
{
    for (unsigned i = 0; i < ms / 20; i++) {
        if (memory_shared_up(t.m[0]) == up && memory_shared_up(t.m[1]) == up) {
            return true;
        }
        run_ms(20);
    }
    return false;
}

struct result {
    bool done, shared;
    struct memory_record record[MEMORY_ASK_MAX];
    struct loop *loop;
    size_t left;
};

static void on_answer(void *arg, const struct memory_answer *a)
{
    struct result *r = arg;

    r->done = true;
    r->shared = a->shared;
    memcpy(r->record, a->record, a->count * sizeof(*a->record));
    loop_stop(r->loop);
}

static struct result ask(int proxy, enum memory_what what, const char *name, int64_t now)
{
    struct memory_question q = { .what = what,
                                 .key = memory_key(MEMORY_DOMAIN, slice_str(name)),
                                 .keep_s = 30 * DAY };
    struct result r = { .loop = t.loop };
    struct memory_op *op = memory_ask(t.m[proxy], &q, 1, now, on_answer, &r);

    assert_non_null(op);
    assert_false(r.done);
    while (!r.done) {
        loop_run(t.loop);
    }
    return r;
}

static void note(int proxy, enum memory_event event, const char *name, int64_t now)
{
    struct memory_key k = memory_key(MEMORY_DOMAIN, slice_str(name));

    memory_note(t.m[proxy], event, &k, 30 * DAY, now);
}

static void two_proxies_know_the_same(void **st)
{
    struct result r = ask(0, MEMORY_GREYLIST, "triplet", NOW);

    (void)st;
    assert_true(r.shared && r.record[0].known && !r.record[0].found);
    r = ask(1, MEMORY_GREYLIST, "triplet", NOW + 400); /* a retry that meets the other proxy */
    assert_true(r.shared && r.record[0].found && !r.record[0].passed);
    assert_int_equal(r.record[0].since_s, NOW);
    note(1, MEMORY_PASSED, "triplet", NOW + 400);
    r = ask(0, MEMORY_GREYLIST, "triplet", NOW + 500);
    assert_true(r.record[0].passed);

    r = ask(0, MEMORY_SEEN, "seen.example", NOW);
    assert_false(r.record[0].found);
    r = ask(1, MEMORY_SEEN, "seen.example", NOW + 7200);
    assert_true(r.record[0].found);
    assert_int_equal(r.record[0].since_s, NOW);
    assert_true(memory_history_since(t.m[0]) > 0);
}

static void standing_is_shared_and_so_is_a_refusal(void **st)
{
    struct result r;

    (void)st;
    note(0, MEMORY_ACCEPTED, "good.example", NOW);
    note(0, MEMORY_ACCEPTED, "good.example", NOW);
    (void)ask(0, MEMORY_STANDING, "x", NOW); /* what was sent before is there */
    note(1, MEMORY_ACCEPTED, "good.example", NOW + DAY);
    r = ask(1, MEMORY_STANDING, "good.example", NOW + DAY);
    assert_true(r.shared);
    assert_int_equal(r.record[0].standing.since_s, NOW);
    assert_int_equal(r.record[0].standing.count[0] + r.record[0].standing.count[1], 3);
    note(1, MEMORY_REFUSED, "good.example", NOW + DAY + 10);
    (void)ask(1, MEMORY_STANDING, "x", NOW);
    r = ask(0, MEMORY_STANDING, "good.example", NOW + DAY + 20);
    assert_int_equal(r.record[0].standing.since_s, 0);
    assert_int_equal(r.record[0].standing.day[0], 0);
    note(0, MEMORY_ACCEPTED, "good.example", NOW + DAY + 30);
    r = ask(1, MEMORY_STANDING, "good.example", NOW + DAY + 40);
    assert_int_equal(r.record[0].standing.count[0], 1);
    for (int i = 0; i < 60; i++) {
        note(0, MEMORY_ACCEPTED, "long.example", NOW + i * DAY);
    }
    (void)ask(0, MEMORY_STANDING, "long.example", NOW + 60 * DAY); /* old days are dropped */
    r = ask(1, MEMORY_STANDING, "long.example", NOW + 60 * DAY);
    for (int i = 0; i < MEMORY_DAYS; i++) {
        assert_in_range(r.record[0].standing.day[i], 20000 + 52, 20000 + 59);
    }
}

/* So many clients, of them listed, in the newest minute of a list's record. */
static void count_clients(int proxy, uint32_t n)
{
    struct memory_list *l = memory_list_take(t.m[proxy], SLICE("counted"));
    uint32_t minute = (uint32_t)(wall_now_s() / 60);

    assert_non_null(l);
    l->minute[minute % MEMORY_LIST_MINUTES] =
        (struct memory_minute){ .minute = minute, .clients = n, .clients_yes = n - 1 };
    l->good[0].epoch = 1000;
    l->good[0].asked[0] = n;
    memory_list_give(t.m[proxy], l);
}

static void check_counted_elsewhere(int proxy, uint32_t n)
{
    struct memory_list *l = memory_list_take(t.m[proxy], SLICE("counted"));
    uint32_t clients = 0, yes = 0;

    assert_non_null(l);
    for (size_t i = 0; i < MEMORY_LIST_MINUTES; i++) {
        clients += l->other_minute[i].clients;
        yes += l->other_minute[i].clients_yes;
    }
    assert_int_equal(clients, n);
    assert_int_equal(yes, n - 1);
    assert_int_equal(l->other_good[0].asked[0], n);
    memory_list_give(t.m[proxy], l);
}

/* The first proxy's clock is far ahead: who has heard of its demotion and overrides it says the last word. */
static void begin_skewed(void)
{
    for (int proxy = 0; proxy < 2; proxy++) {
        struct memory_list *l = memory_list_take(t.m[proxy], SLICE("skewed"));

        l->demoted_s = 1000;
        memory_list_changed(l, 2000000);
        if (proxy == 1) {
            l->override = OVERRIDE_ENFORCE;
            memory_list_changed(l, 5);
        }
        memory_list_give(t.m[proxy], l);
    }
}

static void check_skewed(void)
{
    struct memory_list *l = memory_list_take(t.m[0], SLICE("skewed"));

    assert_int_equal(l->override, OVERRIDE_ENFORCE);
    assert_int_equal(l->demoted_s, 1000);
    memory_list_give(t.m[0], l);
}

/* Who wrote last is heard first, so it takes up to three exchanges. */
static bool first_has_heard(void)
{
    struct memory_list *l = memory_list_take(t.m[0], SLICE("skewed"));
    bool heard = l->override != OVERRIDE_AUTO;

    memory_list_give(t.m[0], l);
    l = memory_list_take(t.m[0], SLICE("tied"));
    heard = heard && l->demoted_s != 0;
    memory_list_give(t.m[0], l);
    return heard;
}

/* Two decide otherwise in the same moment: both believe the accuser, with what it found. */
static void begin_tied(void)
{
    for (int proxy = 0; proxy < 2; proxy++) {
        struct memory_list *l = memory_list_take(t.m[proxy], SLICE("tied"));

        memory_list_changed(l, 77000);
        if (proxy == 1) {
            l->demoted_s = l->evil_s = 77;
            l->reason = 2;
            l->against = 1u << 2;
            memcpy(l->why, "29 of \n clients", 16);
        } else {
            l->trial.clients = 9; /* of an earlier time */
            l->against = 1u << 1;
        }
        memory_list_give(t.m[proxy], l);
    }
}

static void check_tied(void)
{
    struct memory_list *l = memory_list_take(t.m[0], SLICE("tied"));

    assert_int_equal(l->demoted_s, 77);
    assert_int_equal(l->evil_s, 77);
    assert_int_equal(l->reason, 2);
    assert_int_equal(l->against, 1u << 2);
    assert_int_equal(l->trial.clients, 0);
    assert_in_range(l->heard_s, wall_now_s() - 60, wall_now_s()); /* by its own clock */
    assert_string_equal(l->why, "29 of \\x0a clients");
    memory_list_give(t.m[0], l);
}

static void the_standing_of_a_list_is_shared(void **st)
{
    struct memory_list *l = memory_list_take(t.m[0], SLICE("some-list"));

    (void)st;
    assert_non_null(l);
    l->demoted_s = 1234567;
    l->override = OVERRIDE_MONITOR;
    l->changed_ms = 99;
    memory_list_give(t.m[0], l);
    l = memory_list_take(t.m[1], SLICE("some-list"));
    assert_int_equal(l->demoted_s, 0);
    memory_list_give(t.m[1], l);
    count_clients(0, 30);
    count_clients(1, 25);
    begin_skewed();
    begin_tied();
    run_ms(11000);
    check_counted_elsewhere(0, 25); /* never its own */
    check_counted_elsewhere(1, 30);
    l = memory_list_take(t.m[1], SLICE("some-list"));
    assert_int_equal(l->demoted_s, 1234567);
    assert_int_equal(l->override, OVERRIDE_MONITOR);
    memory_list_give(t.m[1], l);
    for (int i = 0; i < 40 && !first_has_heard(); i++) {
        run_ms(500);
    }
    check_skewed();
    check_tied();
}

static void cancelled_questions_are_silent(void **st)
{
    struct memory_question q = { .what = MEMORY_SEEN,
                                 .key = memory_key(MEMORY_DOMAIN, SLICE("c")),
                                 .keep_s = 9 };
    struct result r = { .loop = t.loop };

    (void)st;
    for (int i = 0; i < 100; i++) {
        struct memory_op *op = memory_ask(t.m[i % 2], &q, 1, NOW, on_answer, &r);

        memory_cancel(&op);
        assert_null(op);
        memory_cancel(&op);
    }
    run_ms(50);
    assert_false(r.done);
}

/* ---- under load ---- */

#define LOAD 200

struct load {
    struct loop *loop;
    uint64_t asked_ms[LOAD];
    uint64_t longest_ms;
    size_t answers, shared, unknown;
    struct memory_op *op[LOAD];
    unsigned n;
    bool stop;
};

struct load_slot {
    struct load *load;
    size_t i;
};

static struct load_slot load_slots[LOAD];

static void ask_again(struct load *l, size_t i);

static void on_load(void *arg, const struct memory_answer *a)
{
    struct load_slot *s = arg;
    struct load *l = s->load;
    uint64_t took = loop_now(l->loop) - l->asked_ms[s->i];

    l->op[s->i] = NULL;
    l->answers++;
    l->shared += a->shared;
    for (size_t i = 0; i < a->count; i++) {
        l->unknown += !a->record[i].known;
    }
    if (took > l->longest_ms) {
        l->longest_ms = took;
    }
    if (!l->stop) {
        ask_again(l, s->i);
    }
}

static void ask_again(struct load *l, size_t i)
{
    struct memory_question q[3] = { { .what = MEMORY_SEEN, .keep_s = DAY },
                                    { .what = MEMORY_STANDING, .keep_s = DAY },
                                    { .what = MEMORY_GREYLIST, .keep_s = DAY } };
    char text[32];

    for (size_t k = 0; k < 3; k++) {
        q[k].key = memory_key(MEMORY_DOMAIN,
                              slice_of(text, (size_t)snprintf(text, sizeof(text), "load%u", l->n++ % 5000)));
    }
    load_slots[i] = (struct load_slot){ l, i };
    l->asked_ms[i] = loop_now(l->loop);
    l->op[i] = memory_ask(t.m[i % 2], q, 3, NOW, on_load, &load_slots[i]);
}

static void killed_stopped_and_restarted_under_load_nobody_waits(void **st)
{
    struct load l = { .loop = t.loop };
    size_t before;

    (void)st;
    for (size_t i = 0; i < LOAD; i++) {
        ask_again(&l, i);
    }
    run_ms(400);
    assert_true(l.shared > 0);
    stop_server();
    run_ms(700);
    assert_false(memory_shared_up(t.m[0]));
    before = l.answers;
    run_ms(100);
    assert_true(l.answers > before); /* local memory serves */
    start_server();
    for (int i = 0; i < 300 && !(memory_shared_up(t.m[0]) && memory_shared_up(t.m[1])); i++) {
        run_ms(20);
    }
    assert_true(memory_shared_up(t.m[0]));
    before = l.shared;
    run_ms(200);
    assert_true(l.shared > before);

    kill(t.server, SIGSTOP); /* it accepts and says nothing */
    run_ms(1000);
    assert_false(memory_shared_up(t.m[0]));
    before = l.answers;
    run_ms(100);
    assert_true(l.answers > before);
    run_ms(4000);
    kill(t.server, SIGCONT);
    for (int i = 0; i < 800 && !(memory_shared_up(t.m[0]) && memory_shared_up(t.m[1])); i++) {
        run_ms(20);
    }
    assert_true(memory_shared_up(t.m[0]) && memory_shared_up(t.m[1]));
    l.stop = true;
    run_ms(400);
    print_message("%zu answers, %zu with Redis, longest wait %" PRIu64 " ms (timeout 200)\n", l.answers,
                  l.shared, l.longest_ms);
    assert_int_equal(l.unknown, 0);
    for (size_t i = 0; i < LOAD; i++) {
        assert_null(l.op[i]);
    }
}

static void an_address_that_cannot_be_used_leaves_the_tables(void **st)
{
    struct config_redis conf = { .url = "http://127.0.0.1", .prefix = "x:", .timeout_ms = 100 };
    struct memory *m = memory_new(t.st[0], t.loop, &conf);

    (void)st;
    assert_non_null(m);
    assert_true(memory_shared_up(m));
    memory_free(&m);
    memory_free(&m);
}

static void freed_with_questions_out(void **st)
{
    struct config_redis conf = { .url = t.url, .prefix = "glacis:", .timeout_ms = 200 };
    struct memory *m = memory_new(t.st[0], t.loop, &conf);
    struct memory_question q = { .what = MEMORY_SEEN,
                                 .key = memory_key(MEMORY_DOMAIN, SLICE("f")),
                                 .keep_s = 9 };
    struct result r = { .loop = t.loop };

    (void)st;
    for (int i = 0; i < 100 && !memory_shared_up(m); i++) {
        run_ms(20);
    }
    assert_true(memory_shared_up(m));
    for (int i = 0; i < 10; i++) {
        assert_non_null(memory_ask(m, &q, 1, NOW, on_answer, &r));
    }
    memory_free(&m);
    run_ms(50);
    assert_false(r.done);
}

/* Lua, run in the server, in the database of t.url. */
static void tell(const char *script)
{
    redisContext *c = redisConnect("127.0.0.1", t.port);
    redisReply *reply;

    assert_int_equal(c->err, 0);
    freeReplyObject(redisCommand(c, "SELECT 2"));
    reply = redisCommand(c, "EVAL %s 0", script);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        fail_msg("%s", reply->str);
    }
    freeReplyObject(reply);
    redisFree(c);
}

static struct memory *proxy_at(const char *url, const char *prefix)
{
    struct config_redis conf = { .url = url, .prefix = prefix, .timeout_ms = 500 };
    struct memory *m = memory_new(t.st[0], t.loop, &conf);

    assert_non_null(m);
    run_ms(600);
    return m;
}

static struct memory *proxy_on(const char *prefix)
{
    return proxy_at(t.url, prefix);
}

/* Redis 6 and later: users, each with the keys that it may touch (ACL). */
static void a_user_of_the_url_logs_in(void **st)
{
    redisContext *c = redisConnect("127.0.0.1", t.port);
    static const struct {
        const char *login;
        bool up;
    } rows[] = { { "glacis:right word", true }, { "glacis:wrong", false }, { "nobody:right word", false } };

    (void)st;
    freeReplyObject(redisCommand(c, "ACL SETUSER glacis on >%s ~user:* +@all", "right word"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char url[100];
        struct memory *m;

        (void)snprintf(url, sizeof(url), "redis://%s@127.0.0.1:%u/2", rows[i].login, t.port);
        m = proxy_at(url, "user:");
        assert_int_equal(memory_shared_up(m), rows[i].up);
        memory_free(&m);
    }
    redisFree(c);
}

/* What a key holds is others' doing: no reply makes us take memory without end. */
static void replies_are_bounded(void **st)
{
    struct memory_key k = memory_key(MEMORY_DOMAIN, SLICE("w"));
    struct memory_question q = { .what = MEMORY_STANDING, .key = k, .keep_s = 30 * DAY };
    struct result r = { .loop = t.loop };
    struct memory *m = proxy_on("wide:");
    char script[256] = "for i = 1, 3000 do redis.call('HSET', 'wide:k:";
    size_t len = strlen(script);

    (void)st;
    assert_true(memory_shared_up(m));
    for (size_t i = 0; i < sizeof(k.octets); i++, len += 2) {
        (void)snprintf(script + len, sizeof(script) - len, "%02x", k.octets[i]);
    }
    (void)snprintf(script + len, sizeof(script) - len, "', 'x' .. i, 1) end return 1");
    tell(script);
    assert_non_null(memory_ask(m, &q, 1, NOW, on_answer, &r));
    while (!r.done) {
        loop_run(t.loop);
    }
    assert_false(r.shared);
    assert_false(memory_shared_up(m)); /* and comes back in a second */
    memory_free(&m);

    tell("redis.call('SET', 'long:history', string.rep('1', 4000000)) return 1");
    m = proxy_on("long:");
    assert_false(memory_shared_up(m));
    memory_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_proxies_know_the_same),
        cmocka_unit_test(standing_is_shared_and_so_is_a_refusal),
        cmocka_unit_test(the_standing_of_a_list_is_shared),
        cmocka_unit_test(cancelled_questions_are_silent),
        cmocka_unit_test(an_address_that_cannot_be_used_leaves_the_tables),
        cmocka_unit_test(freed_with_questions_out),
        { "C7: a user of the url logs in", a_user_of_the_url_logs_in, NULL, NULL, NULL },
        cmocka_unit_test(replies_are_bounded),
        cmocka_unit_test(killed_stopped_and_restarted_under_load_nobody_waits),
    };
    struct config_redis conf = { .prefix = "glacis:", .timeout_ms = 200 };
    int failed;

    (void)signal(SIGPIPE, SIG_IGN);
    if (access("/usr/bin/redis-server", X_OK) != 0) {
        return 77;
    }
    t.port = free_port();
    start_server();
    (void)snprintf(t.url, sizeof(t.url), "redis://127.0.0.1:%u/2", t.port);
    conf.url = t.url;
    t.loop = loop_new();
    for (int i = 0; i < 2; i++) {
        t.st[i] = state_new(0);
        t.m[i] = memory_new(t.st[i], t.loop, &conf);
    }
    if (!wait_up(true, 10000)) {
        fprintf(stderr, "redis-server does not answer\n");
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        memory_free(&t.m[i]);
        state_free(t.st[i]);
    }
    loop_free(t.loop);
    stop_server();
    return failed;
}
