/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes: two failures within an hour, a success that clears them, and a table that strangers cannot empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "state/handshakes.h"
#include "state/shared_priv.h"

#define HOUR_MS UINT64_C(3600000)
#define NOW (7 * HOUR_MS)

static struct addr client_of(const char *text)
{
    struct addr a;

    assert_true(addr_parse_ip(slice_str(text), &a));
    return a;
}

static void two_failures_count_for_an_hour(void **st)
{
    struct state *s = state_new(0);
    struct addr a = client_of("192.0.2.1"), b = client_of("192.0.2.2");

    (void)st;
    assert_false(state_handshakes_fail(s, &a, NOW));
    assert_false(state_handshake_failed(s, &a, NOW));
    assert_false(state_handshakes_fail(s, &a, NOW));
    assert_true(state_handshake_failed(s, &a, NOW + 1000));
    assert_true(state_handshakes_fail(s, &a, NOW + 1000));
    assert_false(state_handshakes_fail(s, &b, NOW + 1000));
    assert_false(state_handshake_failed(s, &a, NOW + 2000)); /* it was said */
    assert_true(state_handshakes_fail(s, &a, NOW + HOUR_MS));
    assert_false(state_handshakes_fail(s, &a, NOW + 2000 + HOUR_MS));
    assert_false(state_handshake_failed(s, &a, NOW + 2000 + HOUR_MS)); /* the first one again */
    assert_false(state_handshakes_fail(s, &a, NOW + 2000 + HOUR_MS));
    state_free(s);
}

static void a_handshake_that_works_clears_them(void **st)
{
    struct state *s = state_new(0);
    struct addr a = client_of("2001:db8:0:1::1"), same = client_of("2001:db8:0:1::2");

    (void)st;
    state_handshake_worked(s, &a);
    assert_false(state_handshake_failed(s, &a, NOW));
    state_handshake_worked(s, &same);
    assert_false(state_handshake_failed(s, &a, NOW));
    assert_true(state_handshake_failed(s, &same, NOW)); /* an IPv6 /64 is one client */
    state_handshake_worked(s, &a);
    assert_false(state_handshakes_fail(s, &a, NOW));
    state_free(s);
}

static void strangers_do_not_push_out_who_failed_twice(void **st)
{
    struct state *s = state_new(0);
    struct addr a = client_of("192.0.2.1"), stranger = client_of("10.0.0.0");

    (void)st;
    (void)state_handshake_failed(s, &a, NOW);
    (void)state_handshake_failed(s, &a, NOW);
    for (uint32_t i = 0; i < 4 * HANDSHAKE_SETS * HANDSHAKE_WAYS; i++) {
        stranger.ip[1] = (uint8_t)(i >> 16);
        stranger.ip[2] = (uint8_t)(i >> 8);
        stranger.ip[3] = (uint8_t)i;
        assert_false(state_handshake_failed(s, &stranger, NOW + 1000));
    }
    assert_true(state_handshakes_fail(s, &a, NOW + 1000));
    state_free(s);
}

/* Whatever a hostile process has written: an answer, and nothing but words is read. */
static void any_words_are_survived(void **st)
{
    static const uint64_t words[] = { UINT64_MAX, 1, UINT64_MAX << 32, 3u << 30, UINT64_C(1) << 63 };
    struct state *s = state_new(0);
    struct addr a = client_of("192.0.2.1");

    (void)st;
    for (size_t w = 0; w < ARRAY_LEN(words); w++) {
        for (size_t i = 0; i < HANDSHAKE_SETS * HANDSHAKE_WAYS; i++) {
            s->sh->handshake[i / HANDSHAKE_WAYS][i % HANDSHAKE_WAYS] = words[w];
        }
        assert_false(state_handshakes_fail(s, &a, NOW));
        assert_false(state_handshake_failed(s, &a, NOW));
        assert_true(state_handshake_failed(s, &a, NOW));
        state_handshake_worked(s, &a);
    }
    state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_failures_count_for_an_hour),
        cmocka_unit_test(a_handshake_that_works_clears_them),
        cmocka_unit_test(strangers_do_not_push_out_who_failed_twice),
        cmocka_unit_test(any_words_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
