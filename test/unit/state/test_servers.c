/* SPDX-License-Identifier: Apache-2.0 */
/* Servers: tickets over processes, waiting, keywords, health, probes, rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <limits.h>
#include <poll.h>
#include <stdio.h>

#include "state/servers.h"
#include "state/shared_priv.h"
#include "state/slots.h"
#include "test/unit/state/kill_midway.h"

static struct state *state_of_one(void)
{
    struct state *s = state_new(0);

    assert_non_null(s);
    state_slot_enter(s, state_slot_take(s, ROLE_WORKER, 1, 0));
    assert_int_equal(state_upstream(s, "up"), 0);
    return s;
}

static struct addr endpoint(unsigned last, uint16_t port)
{
    return (struct addr){ .family = ADDR_V4,
                          .port = port,
                          .ip = { 192, 0, (uint8_t)(last >> 8), (uint8_t)last } };
}

static int join(struct state *s, unsigned last)
{
    struct addr a = endpoint(last, 25);

    return state_server_join(s, 0, &a);
}

static int find(struct state *s, unsigned last)
{
    struct addr a = endpoint(last, 25);

    return state_server_find(s, 0, &a);
}

/* ---- areas ---- */

static bool keep_b(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "b") == 0;
}

static void an_upstream_has_an_area_until_nobody_names_it(void **st)
{
    struct state *s = state_of_one();
    int b = state_upstream(s, "b");
    char name[STATE_UPSTREAM_NAME_MAX + 2];

    (void)st;
    assert_int_equal(b, 1);
    assert_int_equal(state_upstream(s, "b"), b);
    assert_int_equal(state_upstream_find(s, "c"), -1);
    assert_true(join(s, 1) >= 0);
    state_upstreams_sweep(s, keep_b, NULL);
    assert_int_equal(state_upstream_find(s, "up"), -1);
    assert_int_equal(state_upstream_find(s, "b"), b);
    assert_int_equal(state_upstream(s, "new"), 0);
    assert_int_equal(find(s, 1), -1); /* nothing of the old one is left in it */
    for (int i = 0; i < STATE_UPSTREAMS - 2; i++) {
        snprintf(name, sizeof(name), "u%d", i);
        assert_true(state_upstream(s, name) >= 0);
    }
    assert_int_equal(state_upstream(s, "one-too-many"), -1);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(state_upstream(s, name), -1);
    assert_int_equal(state_upstream(s, ""), -1);
    state_free(s);
}

/* ---- records ---- */

static const uint64_t labels[] = { 1, 2 };

static void an_address_has_one_record_for_all_processes(void **st)
{
    struct state *s = state_of_one();
    int me = state_my_slot(s), other = state_slot_take(s, ROLE_WORKER, 1, 1);
    int a = join(s, 1), b = join(s, 2), t;
    struct state_server_info info;
    struct state_health h;
    struct addr same = endpoint(1, 26);

    (void)st;
    assert_true(a >= 0 && b >= 0 && a != b);
    assert_int_equal(join(s, 1), a);
    assert_true(state_server_join(s, 0, &same) != a); /* another port is another server */
    state_slot_enter(s, other);
    assert_int_equal(join(s, 1), a);
    assert_int_equal(find(s, 1), a);
    state_server_describe(s, a, labels, 2);
    assert_true(state_server_info(s, 0, (size_t)(a % STATE_UPSTREAM_SERVERS), &info));
    assert_int_equal(info.server, a);
    assert_int_equal(info.address.port, 25);
    assert_int_equal(info.address.ip[3], 1);
    assert_true(info.label[0] == 1 && info.label[1] == 2 && info.label[2] == 0);
    assert_true(state_server_label("mail.test:25") == state_server_label("MAIL.test:25"));
    assert_true(state_server_label("mail.test:25") != state_server_label("mail.test:26"));
    assert_true(state_health_report(s, a, false, 1, 1, 7));
    t = state_ticket_take(s, a, 1);
    assert_int_equal(t, 0);
    state_slot_enter(s, me);
    assert_int_equal(state_ticket_take(s, a, 1), -1);
    state_server_leave(s, a);
    assert_int_equal(find(s, 1), a); /* the other one has it still */
    state_slot_enter(s, other);
    state_ticket_return(s, a, t);
    state_server_leave(s, a);
    assert_int_equal(find(s, 1), -1);
    assert_false(state_server_info(s, 0, (size_t)(a % STATE_UPSTREAM_SERVERS), &info));
    assert_int_equal(join(s, 3), a); /* free for another address, and nothing of the old one is left */
    state_health_get(s, a, &h);
    assert_false(h.down);
    state_free(s);
}

static void a_record_with_a_ticket_out_is_not_freed(void **st)
{
    struct state *s = state_of_one();
    int a = join(s, 1), t = state_envelope_take(s, a, 1);

    (void)st;
    assert_true(t >= 0);
    state_server_leave(s, a);
    assert_int_equal(find(s, 1), a);
    state_envelope_return(s, a, t);
    assert_int_equal(join(s, 1), a);
    state_server_leave(s, a);
    assert_int_equal(find(s, 1), -1);
    state_free(s);
}

static void records_of_a_killed_process_stay_and_can_be_had_again(void **st)
{
    struct state *s = state_of_one();
    int me = state_my_slot(s), other = state_slot_take(s, ROLE_WORKER, 1, 1);
    struct state_server_info info;
    int a;

    (void)st;
    state_slot_enter(s, other);
    a = join(s, 1);
    assert_true(state_ticket_take(s, a, 5) >= 0);
    assert_true(state_health_report(s, a, false, 1, 1, 7));
    state_slot_enter(s, me);
    state_slot_release(s, other);
    assert_int_equal(state_tickets_used(s, a), 0);
    assert_false(state_server_info(s, 0, 0, &info)); /* no process uses it, so it is not shown */
    assert_int_equal(join(s, 1), a);                 /* its replacement knows that the server is down */
    assert_false(state_health_report(s, a, false, 1, 1, 8));
    state_server_leave(s, a);
    state_slot_enter(s, state_slot_take(s, ROLE_WORKER, 1, 1));
    for (unsigned i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        assert_true(join(s, 100 + i) >= 0);
    }
    assert_int_equal(join(s, 200), -1);
    state_slot_release(s, state_my_slot(s));
    state_slot_enter(s, me);
    for (unsigned i = 0; i < STATE_UPSTREAM_SERVERS; i++) { /* unused records are freed */
        assert_true(join(s, 300 + i) >= 0);
    }
    state_free(s);
}

/* C2: what a hostile worker wrote is gone with the last process of its generation, as a reload does it. */
static void an_area_of_nonsense_is_mended_by_new_processes(void **st)
{
    static const int octets[] = { 0xff, 0x41, 0x01, 0x02, 0x3f };

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(octets); i++) {
        struct state *s = state_of_one();
        int old = state_my_slot(s), fresh;

        assert_true(join(s, 1) >= 0);
        memset(&s->sh->upstream[0], octets[i], sizeof(s->sh->upstream[0]));
        fresh = state_slot_take(s, ROLE_WORKER, 2, 0);
        state_slot_release(s, old);
        state_slot_enter(s, fresh);
        for (unsigned k = 0; k < STATE_UPSTREAM_SERVERS; k++) {
            int server = join(s, 100 + k);

            assert_true(server >= 0);
            assert_true(state_ticket_take(s, server, 2) >= 0);
            assert_true(state_ticket_take(s, server, 2) >= 0);
            assert_true(state_envelope_take(s, server, 1) >= 0);
        }
        state_free(s);
    }
}

/* Joins and leaves addresses all the time: no two may ever have one record, nor one of them two. */
static void come_and_go(struct state *s, unsigned round)
{
    unsigned last = round % 3;
    int a = join(s, last);
    struct state_server_info info;

    if (a < 0) {
        return;
    }
    if (!state_server_info(s, 0, (size_t)(a % STATE_UPSTREAM_SERVERS), &info) || info.address.ip[3] != last) {
        abort();
    }
    if (round % 200 != 199) {
        state_server_leave(s, a);
    }
}

static void processes_that_come_and_go_agree(void **st)
{
    struct state *s = state_of_one();
    unsigned left = 0;

    (void)st;
    for (int i = 0; i < 30; i++) {
        pid_t pid[3];
        int slot[3];

        for (int k = 0; k < 3; k++) {
            slot[k] = fork_busy(s, come_and_go, &pid[k]);
        }
        pause_us(300 + i * 100);
        for (int k = 0; k < 3; k++) {
            int status = 0;

            assert_int_equal(waitpid(pid[k], &status, WNOHANG), 0); /* it did not abort */
            kill_and_reap(s, pid[k], slot[k]);
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_true(join(s, i) >= 0);
    }
    for (size_t i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        struct state_server_info info;

        left += state_server_info(s, 0, i, &info);
    }
    assert_int_equal(left, 3);
    state_free(s);
}

/* A compromised worker writes anything: no call leaves the mapping, loops for ever or shows it. */
static void hostile_memory_is_bounded(void **st)
{
    static const int octets[] = { 0xff, 0x7f, 0x80, 0x01 };
    struct state_server_info info;
    struct state_keywords k;
    struct state_health h;
    unsigned changed = 0;

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(octets); i++) {
        struct state *s = state_of_one();
        int other = state_slot_take(s, ROLE_WORKER, 1, 1);

        assert_int_equal(join(s, 1), 0);
        memset(&s->sh->upstream[0], octets[i], sizeof(s->sh->upstream[0]));
        for (size_t p = 0; p < STATE_UPSTREAM_SERVERS; p++) {
            assert_false(state_server_info(s, 0, p, &info));
        }
        assert_true(state_tickets_used(s, 0) <= STATE_TICKETS);
        (void)state_ticket_take(s, 0, 5);
        assert_false(state_ticket_idle(s, 0, 3, 5));
        (void)state_others_waiting_since(s, 0);
        state_wake_waiter(s, 0);
        changed += state_health_report(s, 0, false, 3, 2, 9);
        (void)state_server_rate(s, 0, 2, 1000, 5000);
        state_keywords_get(s, 0, &k);
        state_health_get(s, 0, &h);
        (void)join(s, 2);
        state_server_leave(s, 0);
        state_slot_release(s, other);
        state_upstreams_sweep(s, keep_b, NULL); /* and that puts it right */
        assert_int_equal(state_upstream(s, "up"), 0);
        assert_int_equal(join(s, 1), 0);
        state_keywords_get(s, 0, &k);
        assert_false(k.known);
        assert_int_equal(state_tickets_used(s, 0), 0);
        state_free(s);
    }
    assert_true(changed <= ARRAY_LEN(octets));
}

static void numbers_that_name_no_server_are_harmless(void **st)
{
    static const int numbers[] = { -1, STATE_UPSTREAMS * STATE_UPSTREAM_SERVERS, INT_MAX, INT_MIN };
    struct state *s = state_of_one();
    struct state_server_info info;
    struct state_health h;

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        int n = numbers[i];

        assert_int_equal(state_ticket_take(s, n, 2), -1);
        state_ticket_return(s, n, 0);
        assert_int_equal(state_envelope_take(s, n, 2), -1);
        assert_int_equal(state_tickets_used(s, n), 0);
        state_server_leave(s, n);
        state_server_describe(s, n, labels, 2);
        state_health_get(s, n, &h);
        assert_false(state_probe_claim(s, n, 1, 1));
        state_waiting_since(s, n, 1);
        state_wake_waiter(s, n);
        assert_int_equal(state_others_waiting_since(s, n), 0);
        assert_false(state_server_info(s, n, 0, &info));
    }
    assert_false(state_server_info(s, 0, STATE_UPSTREAM_SERVERS, &info));
    state_free(s);
}

/* ---- tickets ---- */

static void no_more_tickets_than_the_cap(void **st)
{
    struct state *s = state_of_one();
    int server = join(s, 1), t[3];

    (void)st;
    for (int i = 0; i < 3; i++) {
        assert_true((t[i] = state_ticket_take(s, server, 3)) >= 0);
    }
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
    int server = join(s, 1);
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

    if (t < 0) {
        return;
    }
    if (state_tickets_used(s, 0) > 5 || (round % 3 == 0 && !state_ticket_idle(s, 0, t, 5))) {
        abort();
    }
    state_ticket_busy(s, 0, t);
    if (round % 100 != 99) {
        state_ticket_return(s, 0, t); /* the hundredth is kept, so some die as owners */
    }
}

static void tickets_of_a_killed_process_come_back(void **st)
{
    struct state *s = state_of_one();

    (void)st;
    assert_int_equal(join(s, 1), 0);
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
    int me = state_my_slot(s);
    int other = state_slot_take(s, ROLE_WORKER, 1, 1);
    struct pollfd p = { state_wake_fd(s), POLLIN, 0 };

    (void)st;
    state_waiting_since(s, 0, 500);
    assert_int_equal(state_others_waiting_since(s, 0), 0);
    state_slot_enter(s, other);
    assert_int_equal(state_others_waiting_since(s, 0), 500);
    state_waiting_since(s, 0, 400);
    state_wake_waiter(s, 0);
    assert_int_equal(poll(&p, 1, 0), 0); /* 400 is older than 500 */
    state_waiting_since(s, 0, 0);
    state_wake_waiter(s, 0);
    assert_int_equal(poll(&p, 1, 0), 1);
    state_slot_enter(s, me);
    state_wake_drain(s);
    assert_int_equal(poll(&p, 1, 0), 0);
    state_slot_release(s, me); /* a dead process waits for nothing */
    state_slot_enter(s, other);
    assert_int_equal(state_others_waiting_since(s, 0), 0);
    state_free(s);
}

static void keywords_are_kept_whole(void **st)
{
    struct state *s = state_of_one();
    int server = join(s, 1);
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

            if (state_health_report(s, join(s, 1), ok, health_rows[i].fall, health_rows[i].rise, 7) != want) {
                fail_msg("%s: at %s", health_rows[i].label, e);
            }
        }
        state_health_get(s, join(s, 1), &h);
        if (h.down != health_rows[i].down) {
            fail_msg("%s", health_rows[i].label);
        }
        state_free(s);
    }
}

static void claim_probes(struct state *s, unsigned round)
{
    if (state_probe_claim(s, 0, 1000 + round / 1000, 1)) {
        count(M_UP_PROBES);
    }
    if (round >= 100000) {
        for (;;) {
            pause();
        }
    }
    if (round == 99999) {
        count(M_SESSIONS); /* done */
    }
}

static void each_probe_is_claimed_once(void **st)
{
    struct state *s = state_of_one();
    pid_t pid[3];
    int slot[3];
    uint64_t sums[METRIC_COUNT];

    (void)st;
    assert_int_equal(join(s, 1), 0);
    for (int i = 0; i < 3; i++) {
        slot[i] = fork_busy(s, claim_probes, &pid[i]);
    }
    do {
        pause_us(1000);
        state_metrics_sum(s, sums);
    } while (sums[M_SESSIONS] < 3);
    for (int i = 0; i < 3; i++) {
        kill_and_reap(s, pid[i], slot[i]);
    }
    assert_in_range(sums[M_UP_PROBES], 1, 101); /* never more than one a millisecond of their clocks */
    state_free(s);
}

static void a_shorter_interval_holds_at_once(void **st)
{
    struct state *s = state_of_one();
    int server = join(s, 1);
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
    int server = join(s, 1);

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
        cmocka_unit_test(an_upstream_has_an_area_until_nobody_names_it),
        cmocka_unit_test(an_address_has_one_record_for_all_processes),
        cmocka_unit_test(a_record_with_a_ticket_out_is_not_freed),
        cmocka_unit_test(records_of_a_killed_process_stay_and_can_be_had_again),
        cmocka_unit_test(an_area_of_nonsense_is_mended_by_new_processes),
        cmocka_unit_test(processes_that_come_and_go_agree),
        cmocka_unit_test(hostile_memory_is_bounded),
        cmocka_unit_test(numbers_that_name_no_server_are_harmless),
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
