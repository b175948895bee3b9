/* SPDX-License-Identifier: Apache-2.0 */
/* The duplicate guard's memory: found, expired, replaced, and whole after its owner was killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/crypto.h"
#include "state/duplicates.h"
#include "test/unit/state/kill_midway.h"

static void hash_of(unsigned n, uint8_t out[32])
{
    sha256_of(&n, sizeof(n), out);
}

static void a_reply_is_found_until_it_expires(void **st)
{
    struct state *s = state_new(0);
    uint8_t h[32], other[32];
    struct buf reply;

    (void)st;
    hash_of(1, h);
    hash_of(2, other);
    buf_init(&reply, 1000);
    assert_false(state_dup_find(s, h, 5, &reply));
    state_dup_remember(s, h, SLICE("2.0.0 Ok"), 100);
    assert_true(state_dup_find(s, h, 99, &reply));
    assert_true(slice_eq(buf_slice(&reply), SLICE("2.0.0 Ok")));
    assert_false(state_dup_find(s, other, 99, &reply));
    assert_false(state_dup_find(s, h, 100, &reply));
    buf_fini(&reply);
    state_free(s);
}

static void the_one_that_ends_first_gives_way(void **st)
{
    struct state *s = state_new(0);
    struct buf reply;
    uint8_t h[32] = { 0 };

    (void)st;
    buf_init(&reply, 1000);
    for (uint8_t i = 0; i < 9; i++) { /* one more than a set holds */
        h[5] = i;
        state_dup_remember(s, h, SLICE("x"), 100u + i);
    }
    for (uint8_t i = 0; i < 9; i++) {
        h[5] = i;
        assert_int_equal(state_dup_find(s, h, 50, &reply), i != 0);
    }
    buf_fini(&reply);
    state_free(s);
}

static void remember_and_find(struct state *s, unsigned round)
{
    uint8_t h[32];
    char mem[STATE_DUP_REPLY_MAX + 1], text[STATE_DUP_REPLY_MAX];
    struct buf reply;

    hash_of(round % 500, h);
    memset(text, 'a' + (int)(round % 26), sizeof(text));
    state_dup_remember(s, h, slice_of(text, sizeof(text)), UINT64_MAX);
    buf_init_fixed(&reply, mem, sizeof(mem));
    (void)state_dup_find(s, h, 1, &reply);
}

static void a_killed_owner_leaves_no_half_reply(void **st)
{
    struct state *s = state_new(0);
    uint8_t h[32];
    struct buf reply;

    (void)st;
    buf_init(&reply, 1000);
    for (int i = 0; i < 60; i++) {
        pid_t pid;
        int slot = fork_busy(s, remember_and_find, &pid);

        pause_us(300 + i * 13);
        kill_and_reap(s, pid, slot);
        for (unsigned n = 0; n < 500; n++) {
            hash_of(n, h);
            buf_reset(&reply);
            if (!state_dup_find(s, h, 1, &reply)) {
                continue;
            }
            assert_int_equal(reply.len, STATE_DUP_REPLY_MAX);
            assert_int_equal(reply.ptr[0], reply.ptr[reply.len - 1]);
        }
    }
    buf_fini(&reply);
    state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_found_until_it_expires),
        cmocka_unit_test(the_one_that_ends_first_gives_way),
        cmocka_unit_test(a_killed_owner_leaves_no_half_reply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
