/* SPDX-License-Identifier: Apache-2.0 */
/* Clients: connections by slot, rates, points and bans, full sets, owners killed with the lock in their hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "state/clients.h"
#include "state/shared_priv.h"
#include "state/slots.h"
#include "test/unit/state/kill_midway.h"

static struct state *state_of_one(void)
{
    struct state *s = state_new(0);

    state_slot_enter(s, state_slot_take(s, ROLE_WORKER, 1, 0));
    return s;
}

static struct addr ip(const char *text)
{
    struct addr a;

    assert_true(addr_parse_ip(slice_str(text), &a));
    return a;
}

static struct addr v4(unsigned n)
{
    struct addr a = { .family = ADDR_V4, .ip = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };

    return a;
}

static enum admit enter(struct state *s, struct addr a, const struct config_limits *lim, uint64_t now)
{
    bool counted;
    enum admit r = state_client_enter(s, &a, lim, now, &counted);

    assert_int_equal(counted, r == ADMIT_OK);
    return r;
}

static void connections_are_limited_and_come_back(void **st)
{
    struct state *s = state_of_one();
    struct config_limits lim = { .connections_per_client = 2 };
    struct addr a = ip("192.0.2.1"), b = ip("192.0.2.2");

    (void)st;
    assert_int_equal(enter(s, a, &lim, 1), ADMIT_OK);
    assert_int_equal(enter(s, a, &lim, 1), ADMIT_OK);
    assert_int_equal(enter(s, a, &lim, 1), ADMIT_PER_CLIENT);
    assert_int_equal(enter(s, b, &lim, 1), ADMIT_OK);
    assert_int_equal(state_client_connections(s, &a), 2);
    state_client_leave(s, &a);
    assert_int_equal(state_client_connections(s, &a), 1);
    assert_int_equal(enter(s, a, &lim, 1), ADMIT_OK);
    for (int i = 0; i < 5; i++) {
        state_client_leave(s, &a); /* one too many is no harm */
    }
    assert_int_equal(state_client_connections(s, &a), 0);
    assert_int_equal(state_client_connections(s, &b), 1);
    state_free(s);
}

static void an_ipv6_client_is_its_64(void **st)
{
    struct state *s = state_of_one();
    struct config_limits lim = { .connections_per_client = 1 };

    (void)st;
    assert_int_equal(enter(s, ip("2001:db8:1:2::1"), &lim, 1), ADMIT_OK);
    assert_int_equal(enter(s, ip("2001:db8:1:2:ffff::9"), &lim, 1), ADMIT_PER_CLIENT);
    assert_int_equal(enter(s, ip("2001:db8:1:3::1"), &lim, 1), ADMIT_OK);
    assert_int_equal(enter(s, ip("32.1.13.184"), &lim, 1), ADMIT_OK); /* the same octets, another family */
    state_free(s);
}

static void connections_of_a_killed_process_vanish(void **st)
{
    struct state *s = state_of_one();
    struct config_limits lim = { .connections_per_client = 100 };
    struct addr a = ip("192.0.2.1");
    int me = state_my_slot(s), other = state_slot_take(s, ROLE_WORKER, 1, 1);

    (void)st;
    assert_int_equal(enter(s, a, &lim, 1), ADMIT_OK);
    state_slot_enter(s, other);
    assert_int_equal(enter(s, a, &lim, 1), ADMIT_OK);
    assert_int_equal(enter(s, a, &lim, 1), ADMIT_OK);
    assert_int_equal(state_client_connections(s, &a), 3);
    state_slot_enter(s, me);
    state_slot_release(s, other);
    assert_int_equal(state_client_connections(s, &a), 1);
    assert_int_equal(state_slot_take(s, ROLE_WORKER, 2, 1), other);
    assert_int_equal(state_client_connections(s, &a), 1); /* not inherited by the next one in the slot */
    state_free(s);
}

static void a_rate_is_kept(void **st)
{
    struct state *s = state_of_one();
    struct config_limits lim = { .connections_per_client = 100, .connection_rate = { 3, 60000 } };
    struct addr a = ip("192.0.2.1");

    (void)st;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enter(s, a, &lim, 100000), ADMIT_OK);
    }
    assert_int_equal(enter(s, a, &lim, 100000), ADMIT_RATE);
    assert_int_equal(enter(s, a, &lim, 119999), ADMIT_RATE);
    assert_int_equal(enter(s, a, &lim, 120000), ADMIT_OK);
    assert_int_equal(enter(s, a, &lim, 120000), ADMIT_RATE);
    lim.connection_rate.count = 0;
    assert_int_equal(enter(s, a, &lim, 120000), ADMIT_OK);
    lim.message_rate = (struct config_rate){ 1, 1000 };
    assert_true(state_client_message(s, &a, &lim, 120000));
    assert_false(state_client_message(s, &a, &lim, 120999));
    assert_true(state_client_message(s, &a, &lim, 121000));
    state_free(s);
}

/* One a day has left a day to wait; a hundred an hour, from the reload on, make it 36 seconds. */
static void a_rate_that_is_loosened_holds_at_once(void **st)
{
    struct state *s = state_of_one();
    struct config_limits lim = { .connections_per_client = 100, .message_rate = { 1, 86400000 } };
    struct addr a = ip("192.0.2.1");

    (void)st;
    assert_true(state_client_message(s, &a, &lim, 100000));
    assert_false(state_client_message(s, &a, &lim, 160000));
    lim.message_rate = (struct config_rate){ 100, 3600000 };
    assert_false(state_client_message(s, &a, &lim, 200000));
    assert_true(state_client_message(s, &a, &lim, 236000));
    assert_false(state_client_message(s, &a, &lim, 236000));
    state_free(s);
}

static const struct {
    const char *label;
    uint64_t at[4]; /* seconds; 10 points each; 0 ends */
    int ban_at;     /* index of the one that bans; -1: none */
} ban_rows[] = {
    { "two at once", { 1000, 1000 }, 1 },
    { "at both ends of the window", { 1000, 1599 }, 1 },
    { "behind the window", { 1000, 1700, 2400 }, -1 },
    { "the first is forgotten, the second not", { 1000, 1500, 1900 }, 1 },
    { "three, slowly", { 1000, 1690, 2100 }, 2 },
};

static void points_within_the_window_ban(void **st)
{
    struct config_limits lim = {
        .connections_per_client = 9, .ban_points = 20, .ban_within_ms = 600000, .ban_for_ms = 60000
    };
    struct addr a = ip("192.0.2.1");

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(ban_rows); i++) {
        struct state *s = state_of_one();
        int banned = -1;

        for (int k = 0; k < 4 && ban_rows[i].at[k] != 0 && banned < 0; k++) {
            if (state_client_abuse(s, &a, 10, &lim, ban_rows[i].at[k] * 1000)) {
                banned = k;
            }
        }
        if (banned != ban_rows[i].ban_at) {
            fail_msg("%s: banned at %d", ban_rows[i].label, banned);
        }
        state_free(s);
    }
}

static void a_ban_ends_and_begins_once(void **st)
{
    struct state *s = state_of_one();
    struct config_limits lim = {
        .connections_per_client = 9, .ban_points = 20, .ban_within_ms = 600000, .ban_for_ms = 60000
    };
    struct addr a = ip("192.0.2.1");

    (void)st;
    assert_true(state_client_abuse(s, &a, 50, &lim, 1000000));
    assert_false(state_client_abuse(s, &a, 50, &lim, 1000000)); /* it is banned already */
    assert_int_equal(enter(s, a, &lim, 1059999), ADMIT_BANNED);
    lim.ban_points = 0; /* off: an old ban does not hold */
    assert_int_equal(enter(s, a, &lim, 1059999), ADMIT_OK);
    lim.ban_points = 20;
    assert_int_equal(enter(s, a, &lim, 1060000), ADMIT_OK);
    assert_false(state_client_abuse(s, &a, 10, &lim, 1060000)); /* begins again at nothing */
    lim.ban_for_ms = CONFIG_OFF;
    assert_true(state_client_abuse(s, &a, 10, &lim, 1060000));
    assert_int_equal(enter(s, a, &lim, UINT64_MAX / 2), ADMIT_BANNED);
    state_free(s);
}

static void a_flood_of_addresses_forgets_the_idle_and_keeps_the_connected(void **st)
{
    struct state *s = state_of_one();
    struct config_limits lim = { .connections_per_client = 1 };
    bool counted;
    unsigned uncounted = 0;

    (void)st;
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(enter(s, v4(i), &lim, 10), ADMIT_OK);
    }
    for (unsigned i = 1000; i < 40000; i++) { /* ten times the table, all of them gone again at once */
        struct addr a = v4(i);

        assert_int_equal(state_client_enter(s, &a, &lim, 20 + i, &counted), ADMIT_OK);
        uncounted += !counted;
        if (counted) {
            state_client_leave(s, &a);
        }
    }
    assert_true(uncounted < 40);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(enter(s, v4(i), &lim, 99999), ADMIT_PER_CLIENT);
    }
    for (unsigned i = 50000; i < 60000; i++) { /* and with all entries live, the rest goes uncounted */
        struct addr a = v4(i);

        assert_int_equal(state_client_enter(s, &a, &lim, 99999, &counted), ADMIT_OK);
    }
    assert_true(metric_get(M_LIMIT_TABLE_FULL) > 0);
    state_free(s);
}

static void enter_and_leave(struct state *s, unsigned round)
{
    struct config_limits lim = { .connections_per_client = 1000,
                                 .connection_rate = { 1000000, 1 },
                                 .ban_points = 60000,
                                 .ban_within_ms = 1000,
                                 .ban_for_ms = 1 };
    struct addr a = v4(round % 64);
    bool counted;

    if (state_client_enter(s, &a, &lim, 1000 + round, &counted) == ADMIT_OK && counted && round % 5 != 0) {
        state_client_leave(s, &a);
    }
    if (state_client_abuse(s, &a, 1, &lim, 1000 + round)) {
        count(M_BANS);
    }
}

static void owners_killed_with_a_lock_leave_a_table_that_works(void **st)
{
    struct state *s = state_of_one();
    struct config_limits lim = { .connections_per_client = 60000 };

    (void)st;
    for (int i = 0; i < 150; i++) {
        pid_t pid[2];
        int slot[2];

        slot[0] = fork_busy(s, enter_and_leave, &pid[0]);
        slot[1] = fork_busy(s, enter_and_leave, &pid[1]);
        pause_us(200 + i * 17 % 700);
        for (int k = 0; k < 2; k++) {
            kill_and_reap(s, pid[k], slot[k]);
        }
        for (unsigned n = 0; n < 64; n++) {
            struct addr a = v4(n);

            assert_int_equal(state_client_connections(s, &a), 0);
        }
    }
    for (unsigned n = 0; n < 64; n++) {
        assert_int_equal(enter(s, v4(n), &lim, 5000000), ADMIT_OK);
        assert_int_equal(enter(s, v4(n), &lim, 5000000), ADMIT_OK);
    }
    state_free(s);
}

/*
 * A shard is cleared between the moment in which `leave` has found its count and that in which it writes it:
 * our counts are made read-only, so the write itself calls on_write(), which clears the shard and lets it go on.
 */
static struct {
    struct state *s;
    struct addr client;
    void *page;
    size_t len;
    unsigned writes;
} torn;

static void on_write(int signal_number)
{
    (void)signal_number;
    if (torn.writes++ > 0 || mprotect(torn.page, torn.len, PROT_READ | PROT_WRITE) != 0) {
        _exit(99); /* a fault of another kind */
    }
    (void)state_client_connections(torn.s, &torn.client);
}

/* The client's shard from now on belongs to somebody who died with the lock in the hand. */
static void orphan_all_shards(struct state *s)
{
    int slot = state_slot_take(s, ROLE_WORKER, 1, 9);
    struct locker dead = { s->processes, s->processes->slot[slot].start << 8 | (uint64_t)(slot + 1) };
    bool died;

    for (size_t i = 0; i < CLIENT_SHARDS; i++) {
        assert_true(shard_lock(&dead, &s->sh->client_lock[i], &died));
    }
    state_slot_release(s, slot);
}

static void leaving_while_the_shard_is_cleared_leaves_nothing(void **st)
{
    struct state *s = state_of_one();
    struct config_limits lim = { .connections_per_client = 2 };
    struct sigaction on = { .sa_handler = on_write }, before;
    struct addr a = ip("192.0.2.1");

    (void)st;
    assert_int_equal(enter(s, a, &lim, 1), ADMIT_OK);
    orphan_all_shards(s);
    torn.s = s;
    torn.client = a;
    torn.page = s->connections + (size_t)s->my_slot * s->connections_stride;
    torn.len = s->connections_stride;
    assert_int_equal(sigaction(SIGSEGV, &on, &before), 0);
    assert_int_equal(mprotect(torn.page, torn.len, PROT_READ), 0);
    state_client_leave(s, &a);
    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_int_equal(torn.writes, 1);
    assert_int_equal(enter(s, a, &lim, 2), ADMIT_OK);
    assert_int_equal(state_client_connections(s, &a), 1);
    state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_limited_and_come_back),
        cmocka_unit_test(an_ipv6_client_is_its_64),
        cmocka_unit_test(connections_of_a_killed_process_vanish),
        cmocka_unit_test(a_rate_is_kept),
        cmocka_unit_test(a_rate_that_is_loosened_holds_at_once),
        cmocka_unit_test(points_within_the_window_ban),
        cmocka_unit_test(a_ban_ends_and_begins_once),
        cmocka_unit_test(a_flood_of_addresses_forgets_the_idle_and_keeps_the_connected),
        cmocka_unit_test(owners_killed_with_a_lock_leave_a_table_that_works),
        cmocka_unit_test(leaving_while_the_shard_is_cleared_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
