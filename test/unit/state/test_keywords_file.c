/* SPDX-License-Identifier: Apache-2.0 */
/* The keywords of upstream servers over a restart: writing, reading, and lines that are skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "core/loop.h"
#include "state/servers.h"
#include "state/slots.h"
#include "state/state.h"

static char dir[] = "/tmp/glacis-keywords-XXXXXX";
static char path[sizeof(dir) + 20];

static int make_dir(void **st)
{
    (void)st;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/keywords", dir);
    return 0;
}

static int remove_dir(void **st)
{
    char beside[sizeof(path) + 8];

    (void)st;
    snprintf(beside, sizeof(beside), "%s.new", path);
    (void)unlink(beside);
    (void)unlink(path);
    return rmdir(dir);
}

static struct state *state_of_one(void)
{
    struct state *s = state_new(0);

    assert_non_null(s);
    state_slot_enter(s, state_slot_take(s, ROLE_WORKER, 1, 0));
    assert_int_equal(state_upstream(s, "corp"), 0);
    assert_int_equal(state_upstream(s, "other"), 1);
    return s;
}

static struct addr endpoint(const char *text)
{
    struct addr a;

    assert_true(addr_parse_endpoint(slice_str(text), &a));
    return a;
}

static int join(struct state *s, int upstream, const char *text)
{
    struct addr a = endpoint(text);

    return state_server_join(s, upstream, &a);
}

static void put_file(const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static size_t recalled(const struct state *s, int upstream)
{
    struct state_keywords k;
    size_t n = 0;

    for (size_t i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        n += state_keywords_recalled(s, upstream, i, &k);
    }
    return n;
}

static void a22_keywords_outlive_a_restart(void **st)
{
    struct state *s = state_of_one();
    struct state_keywords k = {
        .known = true, .eightbitmime = true, .dsn = true, .size_offered = true, .size = 1234, .at_ms = 77
    };
    struct stat before, after;
    int a = join(s, 0, "192.0.2.1:25");

    (void)st;
    assert_true(join(s, 0, "192.0.2.2:25") >= 0); /* never heard: nothing is written of it */
    assert_true(state_keywords_write(s, dir));
    assert_int_equal(stat(path, &before), -1);
    state_keywords_set(s, a, &k);
    k.smtputf8 = true;
    k.size = 0;
    state_keywords_set(s, join(s, 1, "[2001:db8::1]:2525"), &k);
    assert_true(state_keywords_write(s, dir));
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0600);
    assert_true(state_keywords_write(s, dir)); /* nothing new */
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    state_free(s);

    s = state_of_one();
    state_keywords_read(s, dir);
    assert_int_equal(recalled(s, 0), 1);
    assert_int_equal(recalled(s, 1), 1);
    state_keywords_get(s, join(s, 0, "192.0.2.1:25"), &k);
    assert_true(k.known && k.eightbitmime && k.dsn && k.size_offered && !k.smtputf8 && !k.pipelining);
    assert_int_equal(k.size, 1234);
    assert_int_equal(k.at_ms, 0); /* not heard in this run */
    state_keywords_get(s, join(s, 0, "192.0.2.1:26"), &k);
    assert_false(k.known);
    state_keywords_get(s, join(s, 1, "[2001:db8::1]:2525"), &k);
    assert_true(k.known && k.smtputf8 && k.size == 0);
    assert_true(state_keywords_write(s, dir)); /* recalled keywords are not written again */
    state_free(s);
}

static void what_was_heard_wins_and_what_was_not_stays(void **st)
{
    struct state *s = state_of_one();
    struct state_keywords k = { .known = true, .pipelining = true, .at_ms = 5 };
    char text[200];

    (void)st;
    snprintf(text, sizeof(text), "corp 192.0.2.1:25 %ld DSN\ncorp 192.0.2.2:25 %ld 8BITMIME\n",
             (long)wall_now_s() - 9, (long)wall_now_s() - 9);
    put_file(text);
    state_keywords_read(s, dir);
    state_keywords_set(s, join(s, 0, "192.0.2.1:25"), &k);
    assert_true(state_keywords_write(s, dir));
    state_free(s);
    s = state_of_one();
    state_keywords_read(s, dir);
    state_keywords_get(s, join(s, 0, "192.0.2.1:25"), &k);
    assert_true(k.known && k.pipelining && !k.dsn);
    state_keywords_get(s, join(s, 0, "192.0.2.2:25"), &k); /* not looked up in between, and not forgotten */
    assert_true(k.known && k.eightbitmime);
    state_free(s);
}

static const struct {
    const char *label, *line; /* @: the time, now */
    bool taken;
} lines[] = {
    { "good", "corp 192.0.2.1:25 @ DSN SIZE=5", true },
    { "no keywords", "corp 192.0.2.1:25 @", true },
    { "a time to come", "corp 192.0.2.1:25 99999999999 DSN", true },
    { "another upstream", "gone 192.0.2.1:25 @ DSN", false },
    { "no address", "corp mail.test:25 @ DSN", false },
    { "a zone", "corp [fe80::1%lo]:25 @ DSN", false },
    { "no port", "corp 192.0.2.1 @ DSN", false },
    { "no time", "corp 192.0.2.1:25 DSN", false },
    { "long ago", "corp 192.0.2.1:25 1000 DSN", false },
    { "an unknown word", "corp 192.0.2.1:25 @ DSN EVIL", false },
    { "a value where none is", "corp 192.0.2.1:25 @ DSN=1", false },
    { "no number", "corp 192.0.2.1:25 @ SIZE=many", false },
    { "a number too large", "corp 192.0.2.1:25 @ SIZE=99999999999999999999", false },
    { "half a line", "corp 192.0", false },
    { "nothing", "", false },
};

static void only_whole_lines_are_believed(void **st)
{
    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct state *s = state_of_one();
        const char *at = strchr(lines[i].line, '@');
        struct buf text;

        buf_init(&text, 4096);
        buf_put_slice(&text, slice_take(slice_str(lines[i].line), slice_find(slice_str(lines[i].line), '@')));
        if (at != NULL) {
            buf_putf(&text, "%" PRId64 "%s", wall_now_s(), at + 1);
        }
        buf_put_char(&text, '\n');
        put_file(text.ptr);
        state_keywords_read(s, dir);
        if (recalled(s, 0) != lines[i].taken || recalled(s, 1) != 0) {
            fail_msg("%s", lines[i].label);
        }
        buf_fini(&text);
        state_free(s);
    }
}

static void more_addresses_than_there_is_room_for_push_out_the_oldest(void **st)
{
    struct state *s = state_of_one();
    struct state_keywords k;
    struct buf text;

    (void)st;
    buf_init(&text, 65536);
    for (int i = 0; i < STATE_UPSTREAM_SERVERS + 8; i++) {
        buf_putf(&text, "corp 192.0.2.%d:25 %" PRId64 " DSN\n", i + 1, wall_now_s() - 1000 + i);
    }
    put_file(text.ptr);
    state_keywords_read(s, dir);
    assert_int_equal(recalled(s, 0), STATE_UPSTREAM_SERVERS);
    state_keywords_get(s, join(s, 0, "192.0.2.8:25"), &k);
    assert_false(k.known);
    state_keywords_get(s, join(s, 0, "192.0.2.9:25"), &k);
    assert_true(k.known);
    buf_fini(&text);
    state_free(s);
}

/* The supervisor may be root, and the folder belongs to an unprivileged user. */
static void what_is_no_plain_file_is_not_read_and_nothing_hangs(void **st)
{
    struct state *s = state_of_one();
    char real[sizeof(path) + 8], line[100];

    (void)st;
    snprintf(real, sizeof(real), "%s.new", path);
    snprintf(line, sizeof(line), "corp 192.0.2.1:25 %ld DSN\n", (long)wall_now_s());
    put_file(line);
    assert_int_equal(rename(path, real), 0);
    assert_int_equal(symlink(real, path), 0);
    state_keywords_read(s, dir);
    assert_int_equal(recalled(s, 0), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    state_keywords_read(s, dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    state_keywords_read(s, dir);
    assert_int_equal(rmdir(path), 0);
    state_keywords_read(s, dir);
    state_keywords_read(s, "/nonexistent");
    assert_int_equal(recalled(s, 0), 0);
    state_free(s);
}

static void what_cannot_be_written_is_tried_again(void **st)
{
    struct state *s = state_of_one();
    struct state_keywords k = { .known = true, .at_ms = 5 };

    (void)st;
    state_keywords_set(s, join(s, 0, "192.0.2.1:25"), &k);
    assert_false(state_keywords_write(s, "/nonexistent"));
    assert_int_equal(errno, ENOENT);
    (void)unlink(path);
    assert_true(state_keywords_write(s, dir));
    assert_int_equal(access(path, R_OK), 0);
    state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a22_keywords_outlive_a_restart),
        cmocka_unit_test(what_was_heard_wins_and_what_was_not_stays),
        cmocka_unit_test(only_whole_lines_are_believed),
        cmocka_unit_test(more_addresses_than_there_is_room_for_push_out_the_oldest),
        cmocka_unit_test(what_is_no_plain_file_is_not_read_and_nothing_hangs),
        cmocka_unit_test(what_cannot_be_written_is_tried_again),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
