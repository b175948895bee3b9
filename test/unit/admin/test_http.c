/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http.c - the admin listener: grammar, Host, token, and how many connections it keeps, over real sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "admin/recorder/http.h"
#include "admin/recorder/http_request.h"
#include "core/log.h"

static void heads_are_read_by_the_grammar(void **state)
{
    static const struct {
        const char *text;
        enum http_parsed want;
        const char *path, *host;
    } rows[] = {
        { "GET /metrics HTTP/1.1\r\nHost: a.example:8025\r\n\r\n", HTTP_PARSED, "/metrics",
          "a.example:8025" },
        { "\r\n\r\nGET / HTTP/1.0\r\n\r\n", HTTP_PARSED, "/", "" },
        { "GET /x?y=/z HTTP/1.1\nhOsT:  b \n\n", HTTP_PARSED, "/x", "b" },
        { "GET http://abs.example:1/x?y HTTP/1.1\r\nHost: other\r\n\r\n", HTTP_PARSED, "/x",
          "abs.example:1" },
        { "GET http://abs.example HTTP/1.1\r\n\r\n", HTTP_PARSED, "/", "abs.example" },
        { "GET / HTTP/1.1\r\nHost:\r\n\r\n", HTTP_PARSED, "/", "" },
        { "GET / HTTP/1.1\r\nHost: a\r\n", HTTP_INCOMPLETE, NULL, NULL },
        { "GET / HT", HTTP_INCOMPLETE, NULL, NULL },
        { "", HTTP_INCOMPLETE, NULL, NULL },
        { "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET / HTTP/1.1\r\nHost : a\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET / HTTP/1.1\r\nno colon\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET / HTTP/1.1\r\nX: \x01\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET /\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET metrics HTTP/1.1\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET http:///x HTTP/1.1\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "G(T / HTTP/1.1\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET / HTTP/1.1x\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET / / HTTP/1.1\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "EHLO there\r\n\r\n", HTTP_BAD, NULL, NULL },
        { "GET / HTTP/2.0\r\n\r\n", HTTP_VERSION_ELSE, NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_request rq;
        enum http_parsed got = http_request_parse(slice_str(rows[i].text), &rq);

        if (got != rows[i].want) {
            fail_msg("%s: want %d, got %d", rows[i].text, rows[i].want, got);
        }
        if (got == HTTP_PARSED) {
            assert_true(slice_eq(rq.path, slice_str(rows[i].path)));
            assert_true(slice_eq(rq.host, slice_str(rows[i].host)));
        }
    }
}

static void hosts_that_are_ours(void **state)
{
    static const char *const names[] = { "Glacis.example.com", "198.51.100.9" };
    static const struct {
        const char *host;
        bool ours;
    } rows[] = {
        { "localhost", true },
        { "LOCALHOST:1234", true },
        { "localhost.", true },
        { "x.localhost:80", true },
        { "127.0.0.1", true },
        { "127.9.9.9:18025", true },
        { "[::1]:9", true },
        { "[::1]", true },
        { "192.0.2.7", true },
        { "192.0.2.7:80", true },
        { "glacis.example.com:443", true },
        { "glacis.example.com.", true },
        { "198.51.100.9:8025", true },
        { "", false },
        { ":80", false },
        { ".", false },
        { "evil.example", false },
        { "localhost.evil.example", false },
        { "notlocalhost", false },
        { "127.0.0.1.evil.example", false },
        { "glacis.example.com.evil.example", false },
        { "192.0.2.8", false },
        { "[::2]", false },
        { "[::1", false },
        { "[::1]x", false },
        { "0.0.0.0", false },
        { "2130706433", false },
        { "127.0.0.1 evil", false },
    };
    struct addr local;

    (void)state;
    assert_true(addr_parse_ip(SLICE("192.0.2.7"), &local));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (http_host_allowed(slice_str(rows[i].host), &local, names, ARRAY_LEN(names)) != rows[i].ours) {
            fail_msg("%s: want %d", rows[i].host, rows[i].ours);
        }
    }
}

/* ---- over sockets ---- */

struct door {
    struct http *http;
    struct sockaddr_in at;
    unsigned asked; /* calls of the handler */
};

static void on_request(void *arg, struct slice path, bool authorized, struct http_reply *out)
{
    struct door *d = arg;

    d->asked++;
    out->status = authorized ? 200 : 401;
    buf_put_slice(&out->body, path);
}

static bool is_health(struct slice path)
{
    return slice_eq(path, SLICE("/healthz"));
}

static void open_door(struct door *d)
{
    socklen_t len = sizeof(d->at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *d = (struct door){ .at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } } };
    assert_int_equal(bind(fd, (struct sockaddr *)&d->at, len), 0);
    assert_int_equal(listen(fd, 512), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&d->at, &len), 0);
    d->http = http_new(
        fd, eventfd(0, EFD_CLOEXEC),
        &(struct http_settings){ .token = "right", .any_host = is_health, .handler = on_request, .arg = d });
}

static int dial(const struct door *d)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&d->at, sizeof(d->at)), 0);
    return fd;
}

static void turns(struct door *d)
{
    for (int i = 0; i < 8; i++) {
        http_turn(d->http, 0);
    }
}

/* Everything until the end of file; "" if the connection is open and silent, or was reset. */
static const char *read_answer(int fd, char *mem, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while ((n = recv(fd, mem + len, size - 1 - len, MSG_DONTWAIT)) > 0) {
        len += (size_t)n;
    }
    mem[len] = '\0';
    return mem;
}

static void requests_are_answered_once_and_closed(void **state)
{
#define H "Host: localhost\r\n"
#define RIGHT "Authorization: bearer right\r\n"
    static const struct {
        const char *text, *begins, *ends;
        unsigned asked;
    } rows[] = {
        { "GET /a HTTP/1.1\r\n" H RIGHT "\r\n", "HTTP/1.1 200 OK\r\n", "\r\nConnection: close\r\n\r\n/a", 1 },
        { "HEAD /a HTTP/1.1\r\n" H RIGHT "\r\n", "HTTP/1.1 200 OK\r\n", "\r\nConnection: close\r\n\r\n", 1 },
        { "GET /a HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 401 Unauthorized\r\n", "/a", 1 },
        { "GET /a HTTP/1.1\r\n" H "Authorization: Bearer wrong\r\n\r\n", "HTTP/1.1 401 ", "/a", 1 },
        { "GET /a HTTP/1.1\r\nHost: evil.example\r\n" RIGHT "\r\n", "HTTP/1.1 421 Misdirected Request\r\n",
          "admin.names.\n", 0 },
        { "GET /a HTTP/1.1\r\n" RIGHT "\r\n", "HTTP/1.1 421 ", "admin.names.\n", 0 },
        { "GET http://evil.example/a HTTP/1.1\r\n" H RIGHT "\r\n", "HTTP/1.1 421 ", "admin.names.\n", 0 },
        { "GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 401 ", "/healthz", 1 },
        { "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 401 ", "/healthz", 1 },
        { "POST /a HTTP/1.1\r\n" H RIGHT "Content-Length: 2\r\n\r\nxy", "HTTP/1.1 405 Method Not Allowed\r\n",
          "only GET and HEAD are answered\n", 0 },
        { "nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "\r\n\r\n", 0 },
        { "GET /a HTTP/3.0\r\n\r\n", "HTTP/1.1 505 ", "\r\n\r\n", 0 },
        { "GET /a HTTP/1.1\r\n" H RIGHT "\r\nGET /b HTTP/1.1\r\n" H RIGHT "\r\n", "HTTP/1.1 200 OK\r\n",
          "\r\n\r\n/a", 1 },
    };
    struct door d;
    char mem[4096];

    (void)state;
    open_door(&d);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = dial(&d);
        size_t len = strlen(rows[i].text);
        const char *got;

        d.asked = 0;
        assert_int_equal(send(fd, rows[i].text, len / 2, 0), len / 2);
        turns(&d);
        assert_int_equal(send(fd, rows[i].text + len / 2, len - len / 2, 0), len - len / 2);
        turns(&d);
        got = read_answer(fd, mem, sizeof(mem));
        if (!slice_starts(slice_str(got), slice_str(rows[i].begins)) ||
            !slice_ends_nocase(slice_str(got), slice_str(rows[i].ends)) || d.asked != rows[i].asked) {
            fail_msg("%s\nwant %s ... %s\ngot %s", rows[i].text, rows[i].begins, rows[i].ends, got);
        }
        assert_int_equal(recv(fd, mem, 1, MSG_DONTWAIT), 0); /* the end of file */
        close(fd);
        turns(&d);
    }
    http_free(d.http);
}

static void an_endless_head_is_refused(void **state)
{
    struct door d;
    char mem[4096], field[1000];
    int fd;

    (void)state;
    open_door(&d);
    fd = dial(&d);
    (void)send(fd, "GET / HTTP/1.1", 14, 0);
    memset(field, 'x', sizeof(field));
    memcpy(field, "\r\nX:", 4);
    for (int i = 0; i < 10; i++) {
        (void)send(fd, field, sizeof(field), MSG_NOSIGNAL);
        turns(&d);
    }
    assert_true(slice_starts(slice_str(read_answer(fd, mem, sizeof(mem))), SLICE("HTTP/1.1 431 ")));
    close(fd);
    http_free(d.http);
}

static void idle_connections_give_way(void **state)
{
    static const char ask[] = "GET /healthz HTTP/1.0\r\n\r\n";
    struct door d;
    char mem[4096];
    int idle[100], fd;
    unsigned open = 0;

    (void)state;
    open_door(&d);
    for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
        idle[i] = dial(&d);
    }
    for (int i = 0; i < 10; i++) {
        turns(&d);
    }
    fd = dial(&d);
    assert_int_equal(send(fd, ask, sizeof(ask) - 1, 0), sizeof(ask) - 1);
    turns(&d);
    assert_true(slice_starts(slice_str(read_answer(fd, mem, sizeof(mem))), SLICE("HTTP/1.1 401 ")));
    close(fd);
    for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
        open += recv(idle[i], mem, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
        close(idle[i]);
    }
    assert_in_range(open, 60, 64);
    http_free(d.http);
}

static unsigned lines; /* accept_paused in the log */

static void count_line(enum log_level level, enum log_class cls, struct slice line, void *arg)
{
    (void)level;
    (void)cls;
    (void)arg;
    lines += memmem(line.ptr, line.len, "accept_paused", 13) != NULL;
}

/* A limit with which no further descriptor can be had. */
static rlim_t lowest_free(void)
{
    int fd = dup(STDIN_FILENO);

    assert_true(fd >= 0);
    close(fd);
    return (rlim_t)fd;
}

static void without_descriptors_it_pauses_and_says_so_once(void **state)
{
    static const char ask[] = "GET /healthz HTTP/1.0\r\n\r\n";
    struct rlimit before, few;
    struct door d;
    char mem[4096];
    int fd;

    (void)state;
    open_door(&d);
    fd = dial(&d);
    (void)send(fd, ask, sizeof(ask) - 1, 0);
    getrlimit(RLIMIT_NOFILE, &before);
    few = (struct rlimit){ lowest_free(), before.rlim_max };
    lines = 0;
    log_set_sink(count_line, NULL);
    setrlimit(RLIMIT_NOFILE, &few);
    for (int i = 0; i < 50; i++) {
        http_turn(d.http, 50); /* two and a half seconds: three pauses */
    }
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(lines, 1);
    assert_string_equal(read_answer(fd, mem, sizeof(mem)), "");
    for (int i = 0; i < 30 && read_answer(fd, mem, sizeof(mem))[0] == '\0'; i++) {
        http_turn(d.http, 50);
    }
    assert_true(slice_starts(slice_str(mem), SLICE("HTTP/1.1 401 ")));
    log_set_sink(NULL, NULL);
    close(fd);
    http_free(d.http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "C4: heads are read by the grammar", heads_are_read_by_the_grammar, NULL, NULL, NULL },
        { "C4: hosts that are ours", hosts_that_are_ours, NULL, NULL, NULL },
        { "C4: requests are answered once and closed", requests_are_answered_once_and_closed, NULL, NULL,
          NULL },
        { "C4: an endless head is refused", an_endless_head_is_refused, NULL, NULL, NULL },
        { "C4: idle connections give way", idle_connections_give_way, NULL, NULL, NULL },
        { "C4: without descriptors it pauses and says so once",
          without_descriptors_it_pauses_and_says_so_once, NULL, NULL, NULL },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
