/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_explain_memory.c - what `glacis explain` asks the running glacis, from one end to the other without the socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "admin/admin.h"
#include "admin/cmd/explain.h"
#include "state/memory.h"

static const char yaml[] = "server: {hostname: mx1.example.com, state_dir: /tmp, user: root}\n"
                           "upstreams: {u: {servers: [\"192.0.2.9:25\"]}}\ndomains: {example.com: u}\n"
                           "reputation: {lists: [{name: good, zone: good.example, probe: off}, {name: bad, "
                           "zone: bad.example, probe: off},"
                           " {name: spare, zone: spare.example, probe: off, mode: off}]}\n";

struct running { /* the glacis that is asked */
    struct config *conf;
    struct policy *policy; /* of the file that explain reads */
    struct state *st;
    const char *says; /* in place of an answer; NULL: the real one */
    int error;        /* no process listens; 0 */
};

static struct config *load(struct config_errors *errs)
{
    struct config *c = config_load_text("f", slice_str(yaml), errs);

    assert_non_null(c);
    return c;
}

static void start(struct running *r)
{
    struct config_errors errs = { .count = 0 };

    *r = (struct running){ .conf = load(&errs), .st = state_new(0) };
    assert_non_null(r->st);
    assert_true(setup_complete(r->conf, &errs));
    r->policy = policy_compile(r->conf, &errs);
    assert_non_null(r->policy);
    config_errors_fini(&errs);
}

static void stop(struct running *r)
{
    policy_free(r->policy);
    config_free(r->conf);
    state_free(r->st);
}

static bool ask(void *arg, const char *line, struct buf *answer)
{
    struct running *r = arg;
    struct slice rest = slice_str(line);

    if (r->error != 0) {
        errno = r->error;
        return false;
    }
    assert_true(slice_eq(slice_token(&rest), SLICE("explain")));
    if (r->says != NULL) {
        buf_put_str(answer, r->says);
    } else {
        explain_answer(r->conf, r->st, slice_trim(rest), answer);
    }
    return true;
}

static struct memory_key key(void)
{
    return memory_key(MEMORY_DOMAIN, SLICE("good.example"));
}

static void the_memory_is_carried_over(void **state)
{
    struct running r;
    struct explain_memory m = { .ask = ask, .ask_arg = &r };
    struct memory_question q = { .what = MEMORY_STANDING, .key = key(), .keep_s = 86400 };
    struct memory_record here, there;
    struct memory *memory;
    struct memory_key k = key();

    (void)state;
    start(&r);
    memory = memory_new(r.st, NULL, NULL);
    for (int day = 0; day < 12; day++) {
        memory_note(memory, MEMORY_ACCEPTED, &k, 36 * 86400, wall_now_s() - day * 86400);
    }
    for (unsigned what = MEMORY_SEEN; what <= MEMORY_RATE; what++) {
        q.what = (enum memory_what)what;
        memory_peek(memory, &q, wall_now_s(), &there);
        assert_true(explain_peek(&m, &q, &here));
        assert_int_equal(here.found, there.found);
        assert_int_equal(here.passed, there.passed);
        assert_in_range(here.since_s, there.since_s, there.since_s + 5);
        assert_int_equal(here.count, there.count);
        assert_memory_equal(&here.standing, &there.standing, sizeof(here.standing));
    }
    q.what = MEMORY_STANDING;
    assert_true(explain_peek(&m, &q, &here) && here.found && here.standing.day[0] != 0);
    memory_free(&memory);
    stop(&r);
}

static void lists_are_as_they_are_now(void **state)
{
    struct running r;
    struct explain_memory m = { .ask = ask, .ask_arg = &r };
    struct addr client;
    struct buf out;

    (void)state;
    start(&r);
    assert_true(addr_parse_ip(SLICE("192.0.2.7"), &client));
    buf_init(&out, 1000);
    policy_lists_command(r.conf->policy, r.st, SLICE("set bad monitor"), 0, &out);
    policy_lists_command(r.conf->policy, r.st, SLICE("set spare enforce"), 0, &out);
    buf_reset(&out);
    explain_answer(r.conf, r.st, SLICE("client 192.0.2.7"), &out);
    assert_string_equal(
        out.ptr, "history 0\nconnections 1\nlist good enforce\nlist bad monitor\nlist spare enforce\n");
    explain_memory_open(&m, r.policy, &client);
    assert_true(m.asked);
    assert_int_equal(m.connections, 1);
    buf_fini(&out);
    stop(&r);
}

static void without_an_answer_it_says_why(void **state)
{
    static const struct {
        int error;
        const char *says, *why;
    } rows[] = {
        { ENOENT, NULL, "no glacis is running with this file's state_dir" },
        { ECONNREFUSED, NULL, "no glacis is running with this file's state_dir" },
        { EACCES, NULL, "Permission denied" },
        { 0, "error\nThere is no command \"explain\"\n", "the running glacis is of another version" },
        { 0, "history x\n", "the running glacis is of another version" },
    };
    struct memory_question q = { .what = MEMORY_SEEN, .key = key() };
    struct memory_record record;
    struct addr client;
    struct running r;

    (void)state;
    start(&r);
    assert_true(addr_parse_ip(SLICE("192.0.2.7"), &client));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct explain_memory m = { .ask = ask, .ask_arg = &r };

        r.error = rows[i].error;
        r.says = rows[i].says;
        explain_memory_open(&m, r.policy, &client);
        assert_false(m.asked);
        assert_string_equal(m.why, rows[i].why);
        assert_false(explain_peek(&m, &q, &record));
    }
    stop(&r);
}

static void odd_questions_and_answers_are_refused(void **state)
{
    static const char *const questions[] = {
        "",
        "what",
        "client",
        "client x",
        "memory",
        "memory seen",
        "memory seen 00 0 0",
        "memory nothing 00112233445566778899aabbccddeeff 0 0",
        "memory seen 00112233445566778899aabbccddeefg 0 0",
        "memory seen 00112233445566778899aabbccddeeff 0",
        "memory seen 00112233445566778899aabbccddeeff -1 0",
    };
    static const char *const answers[] = {
        "",
        "busy\n",
        "record\n",
        "record 1 0 5 0\n",
        "record 2 0 5 0 0\n",
        "record 1 0 x 0 0\n",
        "record 1 0 5 0 0 1\n",
        "record 1 0 5 0 0 99999:1\n",
    };
    struct memory_question q = { .what = MEMORY_SEEN, .key = key() };
    struct running r;
    struct explain_memory m = { .ask = ask, .ask_arg = &r };

    (void)state;
    start(&r);
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        struct buf out;

        buf_init(&out, 1000);
        explain_answer(r.conf, r.st, slice_str(questions[i]), &out);
        assert_true(slice_starts(buf_slice(&out), SLICE("error\n")));
        buf_fini(&out);
    }
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct memory_record record;

        r.says = answers[i];
        if (explain_peek(&m, &q, &record)) {
            fail_msg("taken: %s", answers[i]);
        }
    }
    stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "B1: the memory is carried over", the_memory_is_carried_over, NULL, NULL, NULL },
        { "B1: lists are as they are now", lists_are_as_they_are_now, NULL, NULL, NULL },
        { "B1: without an answer it says why", without_an_answer_it_says_why, NULL, NULL, NULL },
        { "B1: odd questions and answers are refused", odd_questions_and_answers_are_refused, NULL, NULL,
          NULL },
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
