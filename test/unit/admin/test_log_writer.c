/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log_writer.c - lines out of the rings into a file: all of them, whole, in order; a rotation; a full disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "admin/recorder/log_writer.h"
#include "core/metrics.h"
#include "state/log_ring.h"
#include "state/slots.h"

struct desk {
    struct state *st;
    struct config_log conf;
    struct log_writer *w;
    char path[64];
    char dir[32];
};

static void open_desk(struct desk *d)
{
    memset(d, 0, sizeof(*d));
    snprintf(d->dir, sizeof(d->dir), "/tmp/glacis-lw-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    snprintf(d->path, sizeof(d->path), "%s/log", d->dir);
    d->conf.to = LOG_TO_FILE;
    d->conf.file = d->path;
    d->st = state_new(0);
    state_slot_enter(d->st, state_slot_take(d->st, ROLE_RECORDER, 1, 0));
    d->w = log_writer_start(d->st, &d->conf);
    assert_non_null(d->w);
}

static void close_desk(struct desk *d)
{
    unlink(d->path);
    rmdir(d->dir);
    state_free(d->st);
}

static void log_line_no(struct desk *d, unsigned n)
{
    char line[64];

    snprintf(line, sizeof(line), "{\"line\":%04u}\n", n);
    state_log(d->st, LOG_CLASS_NORMAL, slice_str(line));
}

static void read_all(const char *path, struct buf *out)
{
    char mem[4096];
    size_t n;
    FILE *f = fopen(path, "rb");

    buf_init(out, 1 << 20);
    assert_non_null(f);
    while ((n = fread(mem, 1, sizeof(mem), f)) > 0) {
        buf_put(out, mem, n);
    }
    fclose(f);
}

/* Waits until the file is so long. */
static void wait_for_size(const char *path, size_t size)
{
    size_t now = 0;

    for (int i = 0; i < 2000 && now < size; i++) {
        FILE *f = fopen(path, "rb");

        if (f != NULL) {
            fseek(f, 0, SEEK_END);
            now = (size_t)ftell(f);
            fclose(f);
        }
        usleep(5000);
    }
    assert_true(now >= size);
}

#define LINE_LEN (sizeof("{\"line\":0000}\n") - 1)

static void every_line_is_written_once_and_in_order(void **state)
{
    struct desk d;
    struct buf all;
    struct slice rest;

    (void)state;
    open_desk(&d);
    for (unsigned i = 0; i < 3000; i++) {
        log_line_no(&d, i);
    }
    assert_true(log_writer_stop(d.w, 5000));
    read_all(d.path, &all);
    rest = buf_slice(&all);
    assert_int_equal(rest.len, 3000 * LINE_LEN);
    for (unsigned i = 0; i < 3000; i++) {
        char want[32];

        snprintf(want, sizeof(want), "{\"line\":%04u}", i);
        assert_true(slice_eq(slice_cut(&rest, '\n'), slice_str(want)));
    }
    buf_fini(&all);
    close_desk(&d);
}

static void after_a_rotation_lines_go_to_a_new_file(void **state)
{
    struct desk d;
    struct buf all;
    char old[80];

    (void)state;
    open_desk(&d);
    log_line_no(&d, 1);
    wait_for_size(d.path, LINE_LEN);
    snprintf(old, sizeof(old), "%s.1", d.path);
    assert_int_equal(rename(d.path, old), 0);
    log_writer_reopen(d.w);
    wait_for_size(d.path, 0);
    while (access(d.path, F_OK) != 0) {
        usleep(5000);
    }
    log_line_no(&d, 2);
    assert_true(log_writer_stop(d.w, 5000));
    read_all(d.path, &all);
    assert_true(slice_eq(buf_slice(&all), SLICE("{\"line\":0002}\n")));
    buf_fini(&all);
    unlink(old);
    close_desk(&d);
}

/* JOURNAL_STREAM names the descriptor, as systemd does it. */
static void name_journal(int fd)
{
    struct stat st;
    char text[64];

    assert_int_equal(fstat(fd, &st), 0);
    snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", text, 1);
}

static void lines_for_the_journal_begin_with_their_priority(void **state)
{
    static const char *const levels[] = { "error", "warn", "info", "debug", "trace" };
    struct desk d;
    struct config_log to_stderr = { .to = LOG_TO_STDERR };
    struct buf all;
    int saved = dup(STDERR_FILENO), fd;

    (void)state;
    open_desk(&d);
    assert_true(log_writer_stop(d.w, 5000));
    fd = open(d.path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDERR_FILENO);
    name_journal(fd);
    log_msg(LOG_LEVEL_WARN, "early", "before there is a recorder");
    d.w = log_writer_start(d.st, &to_stderr);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        char line[100];

        snprintf(line, sizeof(line), "{\"time\":\"x\",\"level\":\"%s\"}\n", levels[i]);
        state_log(d.st, LOG_CLASS_NORMAL, slice_str(line));
    }
    state_log(d.st, LOG_CLASS_NORMAL, SLICE("2026-11-21T21:00:00.123Z warn text format"));
    assert_true(log_writer_stop(d.w, 5000));
    setenv("JOURNAL_STREAM", "1:1", 1);
    d.w = log_writer_start(d.st, &to_stderr);
    state_log(d.st, LOG_CLASS_NORMAL, SLICE("another stream"));
    assert_true(log_writer_stop(d.w, 5000));
    unsetenv("JOURNAL_STREAM");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fd);
    read_all(d.path, &all);
    assert_true(slice_starts(buf_slice(&all), SLICE("<4>{\"time\":")));
    assert_non_null(
        strstr(all.ptr, "\n<3>{\"time\":\"x\",\"level\":\"error\"}\n<4>{\"time\":\"x\",\"level\":\"warn\"}\n"
                        "<6>{\"time\":\"x\",\"level\":\"info\"}\n<7>{\"time\":\"x\",\"level\":\"debug\"}\n"
                        "<7>{\"time\":\"x\",\"level\":\"trace\"}\n"
                        "<4>2026-11-21T21:00:00.123Z warn text format\nanother stream\n"));
    buf_fini(&all);
    close_desk(&d);
}

static void set_largest_file(rlim_t size)
{
    struct rlimit r;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

/* Half a line is all that the disk had room for: it is ended before the next one, and only what is lost is counted. */
static void a_line_cut_by_a_full_disk_spoils_no_other(void **state)
{
    struct desk d;
    struct buf all;
    struct rlimit before;
    uint64_t dropped;

    (void)state;
    open_desk(&d);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    dropped = metric_get(M_LOG_DROPPED);
    set_largest_file(2 * LINE_LEN + 5);
    for (unsigned i = 1; i <= 4; i++) {
        log_line_no(&d, i);
    }
    wait_for_size(d.path, 2 * LINE_LEN + 5);
    for (int i = 0; i < 2000 && metric_get(M_LOG_DROPPED) < dropped + 2; i++) {
        usleep(5000);
    }
    assert_int_equal(metric_get(M_LOG_DROPPED), dropped + 2);
    assert_int_equal(log_writer_error(d.w), EFBIG);
    set_largest_file(before.rlim_cur);
    log_line_no(&d, 5);
    assert_true(log_writer_stop(d.w, 5000));
    read_all(d.path, &all);
    assert_string_equal(all.ptr, "{\"line\":0001}\n{\"line\":0002}\n{\"lin\n{\"line\":0005}\n");
    buf_fini(&all);
    close_desk(&d);
}

/* No place at all: lines go to standard error, the reason is told, and once there is one they are written there again. */
static void a_file_that_cannot_be_made_is_tried_again(void **state)
{
    int fd[2], own = dup(STDERR_FILENO);
    char line[200];
    struct desk d;
    struct buf all;

    (void)state;
    open_desk(&d);
    log_line_no(&d, 1);
    wait_for_size(d.path, LINE_LEN);
    unlink(d.path);
    assert_int_equal(rmdir(d.dir), 0);
    assert_int_equal(pipe(fd), 0);
    assert_true(dup2(fd[1], STDERR_FILENO) >= 0);
    log_writer_reopen(d.w);
    log_line_no(&d, 2);
    assert_int_equal(read(fd[0], line, sizeof(line)), LINE_LEN);
    assert_true(dup2(own, STDERR_FILENO) >= 0);
    assert_memory_equal(line, "{\"line\":0002}\n", LINE_LEN);
    assert_int_equal(metric_get(M_LOG_DROPPED), 0);
    assert_int_equal(log_writer_error(d.w), ENOENT);
    assert_int_equal(mkdir(d.dir, 0700), 0);
    log_line_no(&d, 3);
    assert_true(log_writer_stop(d.w, 5000));
    read_all(d.path, &all);
    assert_string_equal(all.ptr, "{\"line\":0003}\n");
    buf_fini(&all);
    close_desk(&d);
    close(fd[0]);
    close(fd[1]);
    close(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_is_written_once_and_in_order),
        cmocka_unit_test(after_a_rotation_lines_go_to_a_new_file),
        { "B11: lines for the journal begin with their priority",
          lines_for_the_journal_begin_with_their_priority, NULL, NULL, NULL },
        cmocka_unit_test(a_line_cut_by_a_full_disk_spoils_no_other),
        { "A9: a log file that cannot be made is tried again", a_file_that_cannot_be_made_is_tried_again,
          NULL, NULL, NULL },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
