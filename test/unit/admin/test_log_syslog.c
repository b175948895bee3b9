/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log_syslog.c - records of syslog: their form, a daemon that is away, one that does not read, one restarted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "admin/recorder/log_syslog.h"
#include "core/base.h"
#include "core/log.h"

#define WARN "{\"time\":\"2026-11-22T07:00:00.000Z\",\"level\":\"warn\",\"event\":\"x\"}"

struct daemon {
    char dir[32], path[64];
    int fd;
    struct log_syslog *s;
    _Atomic bool stop;
};

/* The daemon takes its place, with a socket of this type. */
static void listen_as(struct daemon *d, int type)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };

    (void)unlink(d->path);
    memcpy(sa.sun_path, d->path, strlen(d->path));
    d->fd = socket(AF_UNIX, type, 0);
    assert_int_equal(bind(d->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_true(type == SOCK_DGRAM || listen(d->fd, 4) == 0);
}

static void open_daemon(struct daemon *d)
{
    memset(d, 0, sizeof(*d));
    snprintf(d->dir, sizeof(d->dir), "/tmp/glacis-sl-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    snprintf(d->path, sizeof(d->path), "%s/log", d->dir);
    d->s = log_syslog_new(d->path);
}

static void close_daemon(struct daemon *d)
{
    log_syslog_free(&d->s);
    log_syslog_free(&d->s);
    close(d->fd);
    unlink(d->path);
    rmdir(d->dir);
}

/* What comes within two seconds; octets, or -1. */
static ssize_t receive(int fd, char *mem, size_t size)
{
    struct pollfd p = { fd, POLLIN, 0 };
    ssize_t n = poll(&p, 1, 2000) == 1 ? recv(fd, mem, size - 1, 0) : -1;

    mem[n > 0 ? n : 0] = '\0';
    return n;
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void a_record_has_priority_time_tag_and_pid(void **state)
{
    static const struct {
        const char *line, *priority;
    } rows[] = {
        { "{\"time\":\"2026-11-22T07:00:00.000Z\",\"level\":\"error\",\"event\":\"x\"}", "<19>" },
        { WARN, "<20>" },
        { "{\"time\":\"2026-11-22T07:00:00.000Z\",\"level\":\"info\",\"msg\":\"%s%n\"}", "<22>" },
        { "2026-11-22T07:00:00.000Z error x a=\"level\"", "<19>" },
        { "2026-11-22T07:00:00.000Z debug x", "<23>" },
        { "", "<23>" },
    };
    struct daemon d;
    char got[LOG_LINE_MAX + 200], tail[LOG_LINE_MAX + 200];

    (void)state;
    open_daemon(&d);
    listen_as(&d, SOCK_DGRAM);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tm tm;
        const char *behind;

        assert_int_equal(log_syslog_send(d.s, slice_str(rows[i].line), &d.stop), 0);
        assert_true(receive(d.fd, got, sizeof(got)) > 0);
        assert_memory_equal(got, rows[i].priority, 4);
        behind = strptime(got + 4, "%b %e %H:%M:%S", &tm);
        assert_non_null(behind);
        snprintf(tail, sizeof(tail), " glacis[%ld]: %s", (long)getpid(), rows[i].line);
        assert_string_equal(behind, tail);
    }
    close_daemon(&d);
}

/* Nobody waits for it, and the first line behind its return arrives. */
static void a_daemon_that_is_away_costs_a_line_and_no_time(void **state)
{
    struct daemon d;
    char got[500];
    uint64_t began = now_ms();

    (void)state;
    open_daemon(&d);
    assert_int_equal(log_syslog_send(d.s, SLICE(WARN), &d.stop), ENOENT);
    listen_as(&d, SOCK_DGRAM);
    assert_int_equal(log_syslog_send(d.s, SLICE(WARN), &d.stop), 0);
    assert_true(receive(d.fd, got, sizeof(got)) > 0);
    close(d.fd); /* its file stays, as that of one that was killed */
    assert_int_equal(log_syslog_send(d.s, SLICE(WARN), &d.stop), ECONNREFUSED);
    listen_as(&d, SOCK_DGRAM);
    assert_int_equal(log_syslog_send(d.s, SLICE(WARN), &d.stop), 0);
    assert_true(receive(d.fd, got, sizeof(got)) > 0);
    close(d.fd);
    listen_as(&d, SOCK_DGRAM); /* restarted between two lines: none is lost */
    assert_int_equal(log_syslog_send(d.s, SLICE(WARN), &d.stop), 0);
    assert_true(receive(d.fd, got, sizeof(got)) > 0);
    assert_true(now_ms() - began < 1500);
    close_daemon(&d);
}

struct turn { /* what another thread does after a while */
    struct daemon *d;
    bool read;
    size_t got;
};

static void *after_a_while(void *arg)
{
    struct turn *t = arg;
    char mem[500];

    usleep(300000);
    if (!t->read) {
        t->d->stop = true;
        return NULL;
    }
    while (receive(t->d->fd, mem, sizeof(mem)) > 0) {
        t->got++;
    }
    return NULL;
}

/* How many lines went out until one had to wait; that one's result in *last. */
static size_t fill(struct daemon *d, int *last)
{
    size_t n = 0;
    uint64_t began;

    do {
        began = now_ms();
        *last = log_syslog_send(d->s, SLICE(WARN), &d->stop);
        n++;
    } while (n < 100000 && *last == 0 && now_ms() - began < 150);
    return n;
}

static void one_that_does_not_read_is_waited_for_until_the_stop(void **state)
{
    struct daemon d;
    struct turn t = { &d, true, 0 };
    pthread_t thread;
    size_t sent;
    int last;

    (void)state;
    open_daemon(&d);
    listen_as(&d, SOCK_DGRAM);
    assert_int_equal(pthread_create(&thread, NULL, after_a_while, &t), 0);
    sent = fill(&d, &last);
    assert_int_equal(last, 0);
    pthread_join(thread, NULL);
    assert_int_equal(t.got, sent);
    t.read = false;
    assert_int_equal(pthread_create(&thread, NULL, after_a_while, &t), 0);
    (void)fill(&d, &last);
    assert_int_equal(last, EAGAIN);
    pthread_join(thread, NULL);
    close_daemon(&d);
}

static void on_a_stream_a_record_ends_with_a_nul(void **state)
{
    struct daemon d;
    char got[500];
    int fd;
    ssize_t n;

    (void)state;
    open_daemon(&d);
    listen_as(&d, SOCK_STREAM);
    assert_int_equal(log_syslog_send(d.s, SLICE(WARN), &d.stop), 0);
    fd = accept(d.fd, NULL, NULL);
    n = receive(fd, got, sizeof(got));
    assert_true(n > (ssize_t)sizeof(WARN));
    assert_memory_equal(got + n - sizeof(WARN), WARN, sizeof(WARN));
    close(fd);
    close_daemon(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_has_priority_time_tag_and_pid),
        cmocka_unit_test(a_daemon_that_is_away_costs_a_line_and_no_time),
        cmocka_unit_test(one_that_does_not_read_is_waited_for_until_the_stop),
        cmocka_unit_test(on_a_stream_a_record_ends_with_a_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
