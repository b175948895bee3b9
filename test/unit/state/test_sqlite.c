/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot on disk: kept over a restart, a recorder killed while it writes, a database that is broken or
 * away. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "state/memory.h"
#include "state/slots.h"
#include "state/tables_priv.h"

#define DAY 86400

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[400];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static int set_up(void **st)
{
    (void)st;
    (void)snprintf(dir, sizeof(dir), "/tmp/glacis-test-XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static unsigned each_file(bool remove_all, const char *holding)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    unsigned n = 0;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.') {
            continue;
        }
        n += strstr(e->d_name, holding) != NULL;
        if (remove_all) {
            (void)unlink(in_dir(e->d_name));
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

static int tear_down(void **st)
{
    (void)st;
    (void)chmod(dir, 0700);
    (void)each_file(true, "");
    return rmdir(dir);
}

static struct memory_key key_of(unsigned n)
{
    char text[32];

    return memory_key(MEMORY_DOMAIN, slice_of(text, (size_t)snprintf(text, sizeof(text), "d%u", n)));
}

static struct memory_record ask(struct state *s, enum memory_what what, unsigned n, int64_t now)
{
    struct memory_question q = { .what = what, .key = key_of(n), .keep_s = 30 * DAY };
    struct memory_record r;

    tables_ask(s->tables, &q, now, &r);
    return r;
}

static void wait_loaded(struct state *s)
{
    for (int i = 0; i < 1000 && s->tables->h->loaded == 0; i++) {
        struct timespec ts = { 0, 10000000 };

        nanosleep(&ts, NULL);
    }
    assert_int_equal(s->tables->h->loaded, 1);
}

/* One run of a recorder over these tables. */
static void run_recorder(struct state *s, char *said, size_t size)
{
    struct snapshot *snap = snapshot_start(s, dir);
    enum log_level level;
    struct buf b;

    assert_non_null(snap);
    wait_loaded(s);
    buf_init_fixed(&b, said, size);
    said[0] = '\0';
    for (int i = 0; i < 50 && !snapshot_message(snap, &level, &b); i++) {
        struct timespec ts = { 0, 10000000 };

        nanosleep(&ts, NULL);
    }
    assert_true(snapshot_stop(snap, 30000));
    snapshot_free(&snap);
    assert_null(snap);
}

static void what_is_remembered_outlives_a_restart(void **st)
{
    struct state *s = state_new(0);
    struct memory_key k = key_of(5000);
    struct memory_list *l;
    int64_t now = wall_now_s(), history;
    char said[500];
    struct stat file;

    (void)st;
    for (unsigned i = 0; i < 1000; i++) {
        (void)ask(s, i % 2 == 0 ? MEMORY_SEEN : MEMORY_GREYLIST, i, now - 1000);
    }
    tables_note(s->tables, MEMORY_ACCEPTED, &k, 36 * DAY, now);
    l = tables_list_take(s->tables, SLICE("zen"));
    l->override = OVERRIDE_MONITOR;
    l->override_until_s = (uint32_t)now + 43200;
    l->changed_ms = (uint64_t)now * 1000;
    l->demotions = 3;
    tables_list_give(s->tables, l);
    run_recorder(s, said, sizeof(said));
    assert_int_equal(stat(in_dir("memory.db"), &file), 0);
    assert_int_equal(file.st_mode & 0077, 0); /* who writes to whom */
    history = s->tables->h->history_s;
    assert_true(history >= now && history <= wall_now_s());
    state_free(s);

    s = state_new(0);
    run_recorder(s, said, sizeof(said));
    assert_non_null(strstr(said, "1001 entries were read"));
    assert_int_equal(s->tables->h->history_s, history);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(ask(s, i % 2 == 0 ? MEMORY_SEEN : MEMORY_GREYLIST, i, now).since_s, now - 1000);
    }
    assert_int_equal(ask(s, MEMORY_STANDING, 5000, now).standing.count[0], 1);
    l = tables_list_take(s->tables, SLICE("zen"));
    assert_int_equal(l->override, OVERRIDE_MONITOR);
    assert_int_equal(l->override_until_s, now + 43200);
    assert_int_equal(l->demotions, 3);
    tables_list_give(s->tables, l);
    state_free(s);
}

static void a_broken_database_is_set_aside(void **st)
{
    struct state *s = state_new(0);
    char said[500];
    FILE *f = fopen(in_dir("memory.db"), "w");
    int64_t now = wall_now_s();

    (void)st;
    assert_non_null(f);
    for (int i = 0; i < 3000; i++) {
        (void)fputs("this is no database ", f);
    }
    (void)fclose(f);
    (void)ask(s, MEMORY_SEEN, 1, now);
    run_recorder(s, said, sizeof(said));
    assert_non_null(strstr(said, "set aside"));
    assert_int_equal(each_file(false, "memory.db.broken-"), 1);
    state_free(s);
    s = state_new(0);
    run_recorder(s, said, sizeof(said));
    assert_non_null(strstr(said, "1 entries were read"));
    state_free(s);
}

static void a_damaged_page_is_set_aside_too(void **st)
{
    struct state *s = state_new(0);
    char said[500];
    int64_t now = wall_now_s();
    FILE *f;

    (void)st;
    for (unsigned i = 0; i < 20000; i++) {
        (void)ask(s, MEMORY_SEEN, i, now);
    }
    run_recorder(s, said, sizeof(said));
    state_free(s);
    f = fopen(in_dir("memory.db"), "r+");
    assert_non_null(f);
    for (long at = 20; at < 150; at++) {
        assert_int_equal(fseek(f, at * 4096, SEEK_SET), 0);
        (void)fputs("garbage garbage garbage", f);
    }
    (void)fclose(f);
    s = state_new(0);
    run_recorder(s, said, sizeof(said));
    assert_non_null(strstr(said, "set aside"));
    state_free(s);
}

static void without_a_place_to_write_the_tables_serve(void **st)
{
    struct state *s = state_new(0);
    struct snapshot *snap = snapshot_start(s, "/nonexistent/glacis");
    struct buf b;
    enum log_level level;

    (void)st;
    assert_non_null(snap);
    wait_loaded(s);
    buf_init(&b, 1000);
    for (int i = 0; i < 100 && !snapshot_message(snap, &level, &b); i++) {
        struct timespec ts = { 0, 10000000 };

        nanosleep(&ts, NULL);
    }
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_true(s->tables->h->history_s > 0);
    assert_true(ask(s, MEMORY_SEEN, 1, wall_now_s()).known);
    assert_true(snapshot_stop(snap, 30000));
    snapshot_free(&snap);
    buf_fini(&b);
    state_free(s);
}

/* The database is removed from under a recorder, in whose place `folder` is found; what it says at its end.
 */
static void remove_under(bool folder, char *said, size_t size)
{
    struct state *s = state_new(0);
    struct snapshot *snap = snapshot_start(s, dir);
    enum log_level level = LOG_LEVEL_DEBUG;
    struct buf b;

    assert_non_null(snap);
    wait_loaded(s);
    assert_true(each_file(true, "memory.db") > 0);
    (void)ask(s, MEMORY_SEEN, 1, wall_now_s());
    if (folder) {
        assert_int_equal(mkdir(in_dir("memory.db"), 0700), 0);
    }
    assert_true(snapshot_stop(snap, 30000));
    buf_init_fixed(&b, said, size);
    assert_true(snapshot_message(snap, &level, &b));
    assert_int_equal(level, folder ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO);
    snapshot_free(&snap);
    assert_null(snap);
    state_free(s);
}

static void a_file_that_is_removed_is_written_anew_or_said(void **st)
{
    struct state *s = state_new(0);
    char said[500];

    (void)st;
    remove_under(false, said, sizeof(said));
    run_recorder(s, said, sizeof(said));
    assert_non_null(strstr(said, "1 entries were read"));
    state_free(s);
    remove_under(true, said, sizeof(said));
    assert_non_null(strstr(said, "1 entries were read")); /* both of its messages */
    assert_non_null(strstr(said, "cannot be opened"));
    assert_int_equal(rmdir(in_dir("memory.db")), 0);
}

/* The recorder is killed while it writes; the next one of the same tables writes everything, and all can be
 * read. */
static void a_recorder_killed_while_writing_loses_nothing(void **st)
{
    struct state *s = state_new(0);
    int64_t now = wall_now_s();
    char said[500];
    unsigned known = 0;

    (void)st;
    state_slot_enter(s, state_slot_take(s, ROLE_SUPERVISOR, 0, 0));
    run_recorder(s, said, sizeof(said));
    for (unsigned round = 0; round < 12; round++) {
        int slot = state_slot_take(s, ROLE_RECORDER, 1, 0);
        pid_t pid;

        for (unsigned i = 0; i < 3000; i++) {
            (void)ask(s, MEMORY_SEEN, round * 3000 + i, now);
        }
        pid = fork();
        if (pid == 0) {
            struct snapshot *snap;

            state_slot_enter(s, slot);
            snap = snapshot_start(s, dir);
            (void)!snapshot_stop(snap, 30000);
            _exit(0);
        }
        {
            struct timespec ts = { 0, 1000000L * (long)(1 + round * 7) };

            nanosleep(&ts, NULL);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        state_slot_release(s, slot);
    }
    run_recorder(s, said, sizeof(said));
    state_free(s);
    assert_int_equal(each_file(false, "broken"), 0);
    s = state_new(0);
    run_recorder(s, said, sizeof(said));
    for (unsigned i = 0; i < 36000; i++) {
        known += ask(s, MEMORY_SEEN, i, now + 10).since_s == now;
    }
    assert_int_equal(known, 36000);
    state_free(s);
}

/* C2: locks that a live process never frees block neither a pass nor the end. */
static void locks_that_are_never_free_hold_up_nothing(void **st)
{
    struct state *s = state_new(0);
    int64_t now = wall_now_s();
    struct locker other = { NULL, 0x1702 };
    char said[500];
    bool died;

    (void)st;
    for (unsigned i = 0; i < 100; i++) {
        (void)ask(s, MEMORY_SEEN, i, now);
    }
    for (int k = 0; k < TABLE_SHARDS; k++) {
        assert_true(shard_lock(&other, &s->tables->h->shard[TABLE_SEEN][k].lock, &died));
    }
    run_recorder(s, said, sizeof(said));
    for (int k = 0; k < TABLE_SHARDS; k++) {
        shard_unlock(&s->tables->h->shard[TABLE_SEEN][k].lock);
    }
    run_recorder(s, said, sizeof(said)); /* nothing was marked as written */
    state_free(s);
    s = state_new(0);
    run_recorder(s, said, sizeof(said));
    assert_non_null(strstr(said, "100 entries were read"));
    state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_remembered_outlives_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_database_is_set_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_page_is_set_aside_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_place_to_write_the_tables_serve, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_removed_is_written_anew_or_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_recorder_killed_while_writing_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(locks_that_are_never_free_hold_up_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
