/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_relay_map.c - what an upstream's reply means, and what the client is told of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/upstream/relay_map.h"

#define S(text) SLICE_INIT(text)

struct map_row {
    enum up_state state;
    struct reply said;
    enum map_result want;
    enum relay_outcome outcome;
    unsigned told; /* its code */
    bool from_upstream, no_such_user;
};

static const struct map_row rows[] = {
    { UP_STATE_RCPT, { 250, S("2.1.5"), S("ok") }, MAP_ACCEPTED, RELAY_ACCEPTED, 250, true, false },
    { UP_STATE_RCPT, { 251, S(""), S("forwards") }, MAP_ACCEPTED, RELAY_ACCEPTED, 251, true, false },
    { UP_STATE_RCPT, { 450, S("4.2.0"), S("later") }, MAP_DEFERRED, RELAY_DEFERRED, 450, true, false },
    { UP_STATE_RCPT, { 550, S("5.7.1"), S("no") }, MAP_REJECTED, RELAY_REJECTED, 550, true, false },
    { UP_STATE_RCPT, { 550, S("5.1.1"), S("no such user") }, MAP_REJECTED, RELAY_REJECTED, 550, true, true },
    { UP_STATE_RCPT, { 550, S("5.1.10"), S("no such user") }, MAP_REJECTED, RELAY_REJECTED, 550, true, true },
    { UP_STATE_RCPT, { 553, S("5.1.1"), S("another code") }, MAP_REJECTED, RELAY_REJECTED, 553, true, false },
    { UP_STATE_RCPT,
      { 550, S("5.5.1"), S("about the recipient") },
      MAP_REJECTED,
      RELAY_REJECTED,
      550,
      true,
      false },
    { UP_STATE_RCPT, { 530, S("5.7.57"), S("log in") }, MAP_REFUSES_US, RELAY_DEFERRED, 451, false, false },
    { UP_STATE_RCPT, { 421, S("4.3.2"), S("bye") }, MAP_GOES_AWAY, RELAY_DEFERRED, 451, true, false },
    { UP_STATE_RCPT, { 354, S(""), S("go on") }, MAP_NONSENSE, RELAY_DEFERRED, 451, true, false },
    { UP_STATE_RCPT, { 220, S(""), S("out of step") }, MAP_NONSENSE, RELAY_DEFERRED, 451, true, false },
    { UP_STATE_MAIL,
      { 521, S("5.3.2"), S("no mail here") },
      MAP_REFUSES_US,
      RELAY_DEFERRED,
      451,
      false,
      false },
    { UP_STATE_MAIL, { 550, S("5.5.1"), S("our fault") }, MAP_REFUSES_US, RELAY_DEFERRED, 451, false, false },
    { UP_STATE_MAIL,
      { 550, S("5.1.1"), S("not of a recipient") },
      MAP_REJECTED,
      RELAY_REJECTED,
      550,
      true,
      false },
    { UP_STATE_DATA, { 354, S(""), S("go on") }, MAP_ACCEPTED, RELAY_ACCEPTED, 354, true, false },
    { UP_STATE_DATA, { 250, S(""), S("too early") }, MAP_NONSENSE, RELAY_DEFERRED, 451, true, false },
    { UP_STATE_FINAL,
      { 530, S("5.7.57"), S("about the message") },
      MAP_REJECTED,
      RELAY_REJECTED,
      530,
      true,
      false },
    { UP_STATE_FINAL, { 250, S("2.0.0"), S("queued") }, MAP_ACCEPTED, RELAY_ACCEPTED, 250, true, false },
};

static void each_reply_means_one_thing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct map_row *row = &rows[i];
        struct up_answer a = map_reply(row->state, &row->said);
        struct relay_answer told = map_answer(&a);

        if (a.result != row->want || a.no_such_user != row->no_such_user || told.outcome != row->outcome ||
            told.reply.code != row->told || told.from_upstream != row->from_upstream || told.remembered) {
            fail_msg("%u %s: %d, %d %u", row->said.code, row->said.text.ptr, (int)a.result, (int)told.outcome,
                     told.reply.code);
        }
    }
}

/* A server that says our own words about a refusal of us is still quoted: texts decide nothing. */
static void our_words_from_an_upstream_are_its_own(void **state)
{
    struct up_answer a = map_reply(UP_STATE_RCPT, &reply_table[REPLY_UP_REFUSES_US]);

    (void)state;
    assert_int_equal(a.result, MAP_DEFERRED);
    assert_true(map_answer(&a).from_upstream);
}

static void only_a_lost_reply_to_the_dot_leaves_the_outcome_unknown(void **state)
{
    static const struct reply full = { 552, S("5.3.4"), S("full") };
    struct upstream_failure f = { .why = UP_WHY_LOST, .state = UP_STATE_FINAL };

    (void)state;
    assert_int_equal(map_failure(&f).outcome, RELAY_UNKNOWN);
    assert_int_equal(map_failure(&f).reply.code, 451);
    assert_false(map_failure(&f).from_upstream);
    f.state = UP_STATE_BODY;
    assert_int_equal(map_failure(&f).outcome, RELAY_DEFERRED);
    f = (struct upstream_failure){ .why = UP_WHY_EARLY, .state = UP_STATE_BODY, .reply = &full };
    assert_int_equal(map_failure(&f).outcome, RELAY_REJECTED);
    assert_int_equal(map_failure(&f).reply.code, 552);
    assert_true(map_failure(&f).from_upstream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reply_means_one_thing),
        cmocka_unit_test(our_words_from_an_upstream_are_its_own),
        cmocka_unit_test(only_a_lost_reply_to_the_dot_leaves_the_outcome_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
