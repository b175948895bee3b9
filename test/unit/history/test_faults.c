/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_faults.c - full disks, broken and removed files, killed writers, wrong clocks: what was stored stays, what was not
 * is stored later, and nothing twice.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "history/day.h"
#include "test/unit/history/faults_vfs.h"
#include "test/unit/history/folder.h"
#include "test/unit/history/traffic.h"
#include "test/unit/jump_clock.h"

#define BEGIN_MS ((int64_t)1790000000000)

static const struct history_source source = { 3, 11 };

/* Message `number` is the same each time it is made, so that it can be sent again. */
static void make(uint64_t number, int64_t time_ms, struct message *m)
{
    struct traffic t = { .state = number, .people = 50, .domains = 9, .networks = 5000 };

    traffic_message(&t, time_ms, m);
}

static void add(struct history *h, uint64_t first, uint64_t last, int64_t time_ms)
{
    for (uint64_t n = first; n <= last; n++) {
        struct record_writer w;
        struct message m;

        make(n, time_ms, &m);
        assert_true(
            history_add(h, &source, traffic_write_message(&w, &m, (struct traffic_from){ source.start, n })));
    }
}

static unsigned count_rows(struct history *h)
{
    struct history_cursor *c = history_find(h, &(struct history_query){ .limit = 0 });
    struct record r;
    unsigned n = 0;

    while (history_next(c, &r)) {
        n++;
    }
    history_cursor_free(&c);
    return n;
}

static unsigned find(struct history *h, uint64_t number)
{
    struct history_query q = { .limit = 0 };
    struct history_cursor *c;
    struct record r;
    struct message m;
    char mem[96];
    unsigned n = 0;

    make(number, BEGIN_MS, &m);
    q.message_id = traffic_message_id(&m, mem);
    c = history_find(h, &q);
    while (history_next(c, &r)) {
        n++;
    }
    history_cursor_free(&c);
    return n;
}

static uint64_t lost(struct history *h)
{
    struct history_span span;

    history_span(h, 0, 0, &span);
    return span.lost;
}

/* 30 messages of one day are there; the next 30 come on the next day, when the disk is full from write `k` on. */
static bool fill_disk_at(long k, bool restart)
{
    struct history_settings settings = folder_settings();
    struct history *h;
    struct history_stats stats;
    enum log_level level;
    struct buf text;
    bool stored;

    folder_make();
    h = history_open_write(&settings);
    add(h, 1, 30, BEGIN_MS);
    assert_true(history_commit(h, BEGIN_MS));
    add(h, 31, 60, BEGIN_MS + DAY_MS);
    vfs_writes_left = k;
    stored = history_commit(h, BEGIN_MS + DAY_MS);
    history_stats(h, &stats);
    assert_int_equal(stats.stopped, !stored);
    buf_init(&text, 2000);
    assert_int_equal(history_message(h, &level, &text), !stored);
    buf_fini(&text);
    if (!stored) { /* at once it is not tried again */
        vfs_writes_left = VFS_NEVER;
        add(h, 31, 60, BEGIN_MS + DAY_MS);
        assert_false(history_commit(h, BEGIN_MS + DAY_MS));
        jump_clock_pass(HISTORY_RETRY_S * 1000 + 1000);
    }
    vfs_writes_left = VFS_NEVER;
    if (restart) {
        history_close(&h);
        h = history_open_write(&settings);
    }
    add(h, 31, 60, BEGIN_MS + DAY_MS); /* if it was stored: repeats */
    add(h, 61, 65, BEGIN_MS + DAY_MS);
    assert_true(history_commit(h, BEGIN_MS + DAY_MS));
    assert_int_equal(count_rows(h), 65);
    for (uint64_t n = 1; n <= 65; n += 4) {
        assert_int_equal(find(h, n), 1);
    }
    assert_int_equal(lost(h), 0);
    assert_int_equal(folder_count("broken"), 0);
    history_close(&h);
    folder_remove();
    return stored;
}

static void test_full_disk_at_each_write(void **state)
{
    long k = 0;

    (void)state;
    while (!fill_disk_at(k, k % 2 == 0)) {
        k++;
        assert_true(k < 500);
    }
    assert_true(k > 10);
}

static void overwrite(int64_t day, off_t at, size_t len)
{
    struct buf path;
    int fd;
    char junk[8192];

    memset(junk, 0x5a, sizeof(junk));
    buf_init(&path, 4096);
    day_path(&path, folder, day);
    fd = open(path.ptr, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, junk, len, at), (ssize_t)len);
    close(fd);
    buf_fini(&path);
}

/* `days` days with ten messages each, from number 1 on. */
static struct history *write_days(const struct history_settings *settings, unsigned days)
{
    struct history *h = history_open_write(settings);

    for (unsigned i = 0; i < days; i++) {
        add(h, i * 10 + 1, i * 10 + 10, BEGIN_MS + i * DAY_MS);
        assert_true(history_commit(h, BEGIN_MS + i * DAY_MS));
    }
    return h;
}

static void test_broken_day_alone(void **state)
{
    for (unsigned variant = 0; variant < 2; variant++) {
        struct history_settings settings = folder_settings();
        struct history *h;
        struct history_span span;

        (void)state;
        folder_make();
        h = write_days(&settings, 4);
        history_close(&h);
        overwrite(BEGIN_MS / DAY_MS + 1, variant == 0 ? 0 : 100, variant == 0 ? 100 : 4000);
        h = history_open_write(&settings);
        history_span(h, 0, 0, &span);
        assert_int_equal(span.unreadable, 1);
        assert_int_equal(count_rows(h), 30);
        assert_int_equal(find(h, 25), 1);
        while (history_tidy(h, BEGIN_MS + 4 * DAY_MS)) {
            ;
        }
        assert_int_equal(folder_count("broken"), 1);
        assert_int_equal(count_rows(h), 30);
        add(h, 41, 45, BEGIN_MS + 4 * DAY_MS);
        assert_true(history_commit(h, BEGIN_MS + 4 * DAY_MS));
        assert_int_equal(count_rows(h), 35);
        assert_int_equal(lost(h), 0);
        history_close(&h);
        folder_remove();
    }
}

/* Today's file is damaged, of a later version, or removed: the day begins anew, and what it held counts as lost. */
static void test_broken_today(void **state)
{
    for (unsigned variant = 0; variant < 3; variant++) {
        struct history_settings settings = folder_settings();
        int64_t today = BEGIN_MS / DAY_MS + 1;
        struct history *h;
        struct buf path;

        (void)state;
        folder_make();
        h = write_days(&settings, 2);
        history_close(&h);
        buf_init(&path, 4096);
        day_path(&path, folder, today);
        if (variant == 0) {
            overwrite(today, 0, 4096);
        } else if (variant == 1) {
            sqlite3 *db = NULL;

            assert_int_equal(sqlite3_open(path.ptr, &db), SQLITE_OK);
            assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
            sqlite3_close(db);
        } else {
            sql_remove(path.ptr);
        }
        h = history_open_write(&settings);
        add(h, 21, 25, BEGIN_MS + DAY_MS);
        assert_true(history_commit(h, BEGIN_MS + DAY_MS));
        assert_int_equal(count_rows(h), 15);
        assert_int_equal(lost(h), 10);
        assert_int_equal(folder_count("broken") > 0, variant < 2);
        sql_remove(path.ptr); /* now while it is open */
        add(h, 26, 30, BEGIN_MS + DAY_MS);
        assert_true(history_commit(h, BEGIN_MS + DAY_MS));
        assert_int_equal(count_rows(h), 15);
        assert_int_equal(find(h, 28), 1);
        buf_fini(&path);
        history_close(&h);
        folder_remove();
    }
}

static void test_retention(void **state)
{
    struct history_settings settings = folder_settings();
    struct history_stats stats;
    struct history *h;
    struct buf path;

    (void)state;
    folder_make();
    h = write_days(&settings, 8);
    history_close(&h);
    buf_init(&path, 4096);
    day_path(&path, folder, BEGIN_MS / DAY_MS);
    settings.max_bytes = 5 * sql_size(path.ptr);
    buf_fini(&path);
    h = history_open_write(&settings);
    add(h, 81, 82, BEGIN_MS + 8 * DAY_MS);
    assert_true(history_commit(h, BEGIN_MS + 8 * DAY_MS));
    while (history_tidy(h, BEGIN_MS + 8 * DAY_MS)) {
        ;
    }
    history_stats(h, &stats);
    assert_true(stats.removed >= 1);
    assert_int_equal(find(h, 1), 0);
    assert_int_equal(find(h, 82), 1);
    history_close(&h);
    settings.max_bytes = 1; /* today's file stays in any case */
    h = history_open_write(&settings);
    while (history_tidy(h, BEGIN_MS + 8 * DAY_MS)) {
        ;
    }
    assert_int_equal(count_rows(h), 2);
    history_close(&h);
    folder_remove();
}

/* A clock that is a year ahead for a moment removes one day at most. */
static void test_wrong_clock(void **state)
{
    struct history_settings settings = folder_settings();
    struct history *h;

    (void)state;
    folder_make();
    h = write_days(&settings, 5);
    add(h, 51, 60, BEGIN_MS + 400 * DAY_MS);
    assert_true(history_commit(h, BEGIN_MS + 400 * DAY_MS));
    while (history_tidy(h, BEGIN_MS + 400 * DAY_MS)) {
        ;
    }
    add(h, 61, 70, BEGIN_MS + 4 * DAY_MS); /* back: the same day's file goes on */
    assert_true(history_commit(h, BEGIN_MS + 4 * DAY_MS));
    assert_int_equal(count_rows(h), 60);
    assert_int_equal(find(h, 1), 0);
    assert_int_equal(find(h, 45), 1);
    assert_int_equal(find(h, 65), 1);
    jump_clock_pass(3700 * 1000);
    while (history_tidy(h, BEGIN_MS + 400 * DAY_MS)) {
        ;
    }
    assert_int_equal(count_rows(h), 50);
    history_close(&h);
    folder_remove();
}

/* The child commits batches of 20 until it is killed, and says what was committed. */
static void child(int out)
{
    struct history_settings settings = folder_settings();
    struct history *h = history_open_write(&settings);

    for (uint64_t n = 1;; n += 20) {
        uint64_t last = n + 19;

        add(h, n, last, BEGIN_MS + (int64_t)n * 20000);
        if (!history_commit(h, BEGIN_MS + (int64_t)n * 20000) ||
            write(out, &last, sizeof(last)) != sizeof(last)) {
            _exit(1);
        }
    }
}

static void test_killed_writer(void **state)
{
    for (unsigned round = 0; round < 6; round++) {
        struct history_settings settings = folder_settings();
        struct timespec pause = { 0, (long)(20 + 13 * round) * 1000000 };
        struct history *h;
        uint64_t last = 0, said;
        int fd[2], status;
        pid_t pid;

        (void)state;
        folder_make();
        assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            child(fd[1]);
        }
        close(fd[1]);
        assert_int_equal(read(fd[0], &last, sizeof(last)), (ssize_t)sizeof(last));
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        while (read(fd[0], &said, sizeof(said)) == sizeof(said)) {
            last = said;
        }
        close(fd[0]);
        h = history_open_write(&settings);
        assert_true(count_rows(h) >= last);
        for (uint64_t n = 1; n <= last + 40; n += 20) { /* the rings' tails had not moved */
            add(h, n, n + 19, BEGIN_MS + (int64_t)n * 20000);
        }
        assert_true(history_commit(h, BEGIN_MS + (int64_t)last * 20000));
        assert_int_equal(count_rows(h), last + 40);
        assert_int_equal(find(h, last), 1);
        assert_int_equal(lost(h), 0);
        history_close(&h);
        folder_remove();
    }
}

/* A worker forges what it can: it costs a wrong count of losses, and nothing else. */
static void test_forged_records(void **state)
{
    struct history_settings settings = folder_settings();
    struct history_stats stats;
    struct record_writer w;
    struct message m;
    struct history *h;

    (void)state;
    folder_make();
    h = history_open_write(&settings);
    make(1, BEGIN_MS, &m);
    assert_true(history_add(h, &source, SLICE("no record")));
    assert_true(history_add(h, &source, SLICE_NONE));
    assert_true(history_add(h, &source, traffic_write_message(&w, &m, (struct traffic_from){ 999, 1 })));
    assert_true(history_add(h, &source, traffic_write_message(&w, &m, (struct traffic_from){ 11, 0 })));
    m.time_ms = INT64_MAX;
    assert_true(
        history_add(h, &source, traffic_write_message(&w, &m, (struct traffic_from){ 11, UINT64_MAX })));
    m.time_ms = INT64_MIN;
    assert_true(history_add(h, &source, traffic_write_message(&w, &m, (struct traffic_from){ 11, 1 })));
    assert_true(history_commit(h, BEGIN_MS));
    history_stats(h, &stats);
    assert_int_equal(stats.malformed, 4);
    assert_int_equal(stats.records, 1);
    assert_int_equal(stats.repeats, 1);
    assert_int_equal(stats.lost, 1u << 24);
    assert_int_equal(count_rows(h), 1);
    history_close(&h);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk_at_each_write),
        cmocka_unit_test(test_broken_day_alone),
        cmocka_unit_test(test_broken_today),
        cmocka_unit_test(test_retention),
        cmocka_unit_test(test_wrong_clock),
        cmocka_unit_test(test_killed_writer),
        cmocka_unit_test(test_forged_records),
    };

    vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
