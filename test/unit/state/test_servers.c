/* Servers: tickets over processes, waiting, keywords, health, probes, rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>

#include "test/unit/state/kill_midway.h"

static struct state *state_of_one(void)
{
    struct state *s = state_new(0);

    state_slot_enter(s, state_slot_take(s, ROLE_WORKER, 1, 0));
    return s;
}

static bool keep_b(void *arg, const char *text)
{
    (void)arg;
    return strcmp(text, "b:25") == 0;
}

static void a_server_is_found_by_its_text_and_swept_when_nobody_names_it(void **st)
{
    struct state *s = state_of_one();
    int a = state_server(s, "a:25"), b = state_server(s, "b:25");
    char name[32];

    (void)st;
    assert_true(a >= 0 && b >= 0 && a != b);
    assert_int_equal(state_server(s, "a:25"), a);
    assert_int_equal(state_server_find(s, "c:25"), -1);
    state_servers_sweep(s, keep_b, NULL);
    assert_int_equal(state_server_find(s, "a:25"), -1);
    assert_int_equal(state_server_find(s, "b:25"), b);
    for (int i = 0; i < STATE_SERVERS - 1; i++) {
        struct buf text;

        buf_init_fixed(&text, name, sizeof(name));
        buf_putf(&text, "s%d:25", i);
        assert_true(state_server(s, name) >= 0);
    }
    assert_int_equal(state_server(s, "one-too-many:25"), -1);
    state_free(s);
}

static void no_more_tickets_than_the_cap(void **st)
{
    struct state *s = state_of_one();
    int server = state_server(s, "a:25"), t[3];

    (void)st;
    for (int i = 0; i < 3; i++)
        assert_true((t[i] = state_ticket_take(s, server, 3)) >= 0);
    assert_int_equal(state_ticket_take(s, server, 3), -1);
    assert_int_equal(state_tickets_used(s, server), 3);
    state_ticket_return(s, server, t[1]);
    assert_true((t[1] = state_ticket_take(s, server, 3)) >= 0);
    assert_int_equal(state_ticket_take(s, server, 2), -1); /* a generation with a smaller cap sees them all */
    assert_int_equal(state_ticket_take(s, -1, 2), -1);
    state_ticket_return(s, server, 77777);
    assert_int_equal(state_tickets_used(s, server), 3);
    state_free(s);
}

static void only_keep_idle_of_them_are_idle(void **st)
{
    struct state *s = state_of_one();
    int server = state_server(s, "a:25");
    int a = state_ticket_take(s, server, 9), b = state_ticket_take(s, server, 9);

    (void)st;
    assert_false(state_ticket_idle(s, server, a, 0));
    assert_true(state_ticket_idle(s, server, a, 1));
    assert_true(state_ticket_idle(s, server, a, 1));
    assert_false(state_ticket_idle(s, server, b, 1));
    state_ticket_busy(s, server, a);
    assert_true(state_ticket_idle(s, server, b, 1));
    assert_int_equal(state_tickets_used(s, server), 2);
    state_free(s);
}

static void take_and_return(struct state *s, unsigned round)
{
    int t = state_ticket_take(s, 0, 5);

    if (t < 0)
        return;
    if (state_tickets_used(s, 0) > 5 || (round % 3 == 0 && !state_ticket_idle(s, 0, t, 5)))
        abort();
    state_ticket_busy(s, 0, t);
    if (round % 100 != 99)
        state_ticket_return(s, 0, t); /* the hundredth is kept, so some die as owners */
}

static void tickets_of_a_killed_process_come_back(void **st)
{
    struct state *s = state_of_one();

    (void)st;
    assert_int_equal(state_server(s, "a:25"), 0);
    for (int i = 0; i < 30; i++) {
        pid_t pid[2];
        int slot[2];

        slot[0] = fork_busy(s, take_and_return, &pid[0]);
        slot[1] = fork_busy(s, take_and_return, &pid[1]);
        pause_us(300 + i * 100);
        for (int k = 0; k < 2; k++) {
            int status = 0;

            assert_int_equal(waitpid(pid[k], &status, WNOHANG), 0); /* it did not abort */
            kill_and_reap(s, pid[k], slot[k]);
        }
        assert_int_equal(state_tickets_used(s, 0), 0);
    }
    state_free(s);
}

static void who_waits_longest_is_woken(void **st)
{
    struct state *s = state_of_one();
    int server = state_server(s, "a:25"), me = state_my_slot(s);
    int other = state_slot_take(s, ROLE_WORKER, 1, 1);
    struct pollfd p = { state_wake_fd(s), POLLIN, 0 };

    (void)st;
    state_waiting_since(s, server, 500);
    assert_int_equal(state_others_waiting_since(s, server), 0);
    state_slot_enter(s, other);
    assert_int_equal(state_others_waiting_since(s, server), 500);
    state_waiting_since(s, server, 400);
    state_wake_waiter(s, server);
    assert_int_equal(poll(&p, 1, 0), 0); /* 400 is older than 500 */
    state_waiting_since(s, server, 0);
    state_wake_waiter(s, server);
    assert_int_equal(poll(&p, 1, 0), 1);
    state_slot_enter(s, me);
    state_wake_drain(s);
    assert_int_equal(poll(&p, 1, 0), 0);
    state_slot_release(s, me); /* a dead process waits for nothing */
    state_slot_enter(s, other);
    assert_int_equal(state_others_waiting_since(s, server), 0);
    state_free(s);
}

static void keywords_are_kept_whole(void **st)
{
    struct state *s = state_of_one();
    int server = state_server(s, "a:25");
    struct state_keywords in = { .known = true,
                                 .smtputf8 = true,
                                 .size_offered = true,
                                 .xforward = true,
                                 .size = 50,
                                 .at_ms = 9 },
                          out;

    (void)st;
    state_keywords_get(s, server, &out);
    assert_false(out.known);
    state_keywords_set(s, server, &in);
    state_keywords_get(s, server, &out);
    assert_true(out.known && out.smtputf8 && out.size_offered && out.xforward);
    assert_false(out.pipelining || out.eightbitmime || out.dsn || out.starttls || out.chunking ||
                 out.xclient || out.enhanced);
    assert_int_equal(out.size, 50);
    assert_int_equal(out.at_ms, 9);
    state_free(s);
}

static const struct {
    const char *label, *events; /* o: ok, f: failure; upper case where the state must change */
    unsigned fall, rise;
    bool down;
} health_rows[] = {
    { "three failures take it down", "ffF", 3, 2, true },
    { "one success in between starts again", "ffoff", 3, 2, false },
    { "two successes bring it back", "ffFoO", 3, 2, false },
    { "more failures change nothing", "Fff", 1, 1, true },
    { "fall off: never down", "fffff", 0, 2, false },
};

static void health_falls_and_rises(void **st)
{
    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(health_rows); i++) {
        struct state *s = state_of_one();
        struct state_health h;

        for (const char *e = health_rows[i].events; *e != '\0'; e++) {
            bool ok = *e == 'o' || *e == 'O', want = *e == 'O' || *e == 'F';

            if (state_health_report(s, state_server(s, "a"), ok, health_rows[i].fall, health_rows[i].rise,
                                    7) != want)
                fail_msg("%s: at %s", health_rows[i].label, e);
        }
        state_health_get(s, state_server(s, "a"), &h);
        if (h.down != health_rows[i].down)
            fail_msg("%s", health_rows[i].label);
        state_free(s);
    }
}

static void claim_probes(struct state *s, unsigned round)
{
    if (state_probe_claim(s, 0, 1000 + round / 1000, 1))
        count(M_UP_PROBES);
    if (round >= 100000)
        for (;;)
            pause();
    if (round == 99999)
        count(M_SESSIONS); /* done */
}

static void each_probe_is_claimed_once(void **st)
{
    struct state *s = state_of_one();
    pid_t pid[3];
    int slot[3];
    uint64_t sums[METRIC_COUNT];

    (void)st;
    assert_int_equal(state_server(s, "a"), 0);
    for (int i = 0; i < 3; i++)
        slot[i] = fork_busy(s, claim_probes, &pid[i]);
    do {
        pause_us(1000);
        state_metrics_sum(s, sums);
    } while (sums[M_SESSIONS] < 3);
    for (int i = 0; i < 3; i++)
        kill_and_reap(s, pid[i], slot[i]);
    assert_in_range(sums[M_UP_PROBES], 1, 101); /* never more than one a millisecond of their clocks */
    state_free(s);
}

static void a_shorter_interval_holds_at_once(void **st)
{
    struct state *s = state_of_one();
    int server = state_server(s, "a");
    struct state_health h;

    (void)st;
    assert_true(state_probe_claim(s, server, 1000, 3600000));
    state_probe_hasten(s, server, 31000); /* every 30 s from now on */
    state_probe_hasten(s, server, 60000);
    state_probe_hasten(s, -1, 0);
    state_health_get(s, server, &h);
    assert_int_equal(h.next_probe_ms, 31000);
    state_free(s);
}

static void a_rate_lets_count_through_and_then_one_a_step(void **st)
{
    struct state *s = state_of_one();
    int server = state_server(s, "a");

    (void)st;
    assert_int_equal(state_server_rate(s, server, 2, 1000, 50000), 0);
    assert_int_equal(state_server_rate(s, server, 2, 1000, 50000), 0);
    assert_int_equal(state_server_rate(s, server, 2, 1000, 50000), 500);
    assert_int_equal(state_server_rate(s, server, 2, 1000, 50400), 100);
    assert_int_equal(state_server_rate(s, server, 2, 1000, 50500), 0);
    assert_int_equal(state_server_rate(s, server, 2, 1000, 50500), 500);
    assert_int_equal(state_server_rate(s, server, 0, 1000, 50500), 0);
    assert_int_equal(state_server_rate(s, server, 1, 3600000, 60000), 0);
    assert_true(state_server_rate(s, server, 1, 3600000, 60000) > 3000000);
    assert_int_equal(state_server_rate(s, server, 2, 1000, 60000),
                     500); /* a reload: two a second from now on */
    assert_int_equal(state_server_rate(s, server, 2, 1000, 60500), 0);
    state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_found_by_its_text_and_swept_when_nobody_names_it),
        cmocka_unit_test(no_more_tickets_than_the_cap),
        cmocka_unit_test(only_keep_idle_of_them_are_idle),
        cmocka_unit_test(tickets_of_a_killed_process_come_back),
        cmocka_unit_test(who_waits_longest_is_woken),
        cmocka_unit_test(keywords_are_kept_whole),
        cmocka_unit_test(health_falls_and_rises),
        cmocka_unit_test(each_probe_is_claimed_once),
        cmocka_unit_test(a_shorter_interval_holds_at_once),
        cmocka_unit_test(a_rate_lets_count_through_and_then_one_a_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
