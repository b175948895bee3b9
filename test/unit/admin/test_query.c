/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_query.c - the socket `query`: partial and long lines, too many clients, slow readers, other users, replacement of
 * the socket; and counters of the last hour.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "admin/admin.h"
#include "admin/recorder/query.h"
#include "state/slots.h"

#define NOW UINT64_C(1000000)

static char dir[64];
static char path[128];

static struct recorder_view view;
static struct query *q;
static int handover[2], wake_pair[2];

static void turn(uint64_t now_ms)
{
    for (unsigned i = 0; i < 20; i++) {
        query_turn(q, now_ms);
    }
}

static int dial(void)
{
    int fd = control_connect(path);

    assert_true(fd >= 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn(NOW);
}

/* Reads up to the end of file, with turns of the recorder in between. */
static size_t answer_of(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    for (unsigned i = 0; i < 100000; i++) {
        n = recv(fd, out + len, size - 1 - len, MSG_DONTWAIT);
        if (n == 0) {
            break;
        }
        if (n > 0) {
            len += (size_t)n;
        }
        turn(NOW);
    }
    out[len] = '\0';
    close(fd);
    return len;
}

static void start(uid_t owner)
{
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/query", dir);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, handover), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wake_pair), 0);
    q = query_new(control_bind(path), handover[1], wake_pair[1], owner, &view);
    assert_non_null(q);
}

static int set_up(void **st)
{
    static struct config conf;

    (void)st;
    (void)snprintf(dir, sizeof(dir), "/tmp/glacis-test-XXXXXX");
    memset(&view, 0, sizeof(view));
    view.st = state_new(0);
    view.conf = &conf;
    start(getuid());
    return 0;
}

static int tear_down(void **st)
{
    (void)st;
    query_free(&q);
    close(handover[0]);
    close(wake_pair[0]);
    close(wake_pair[1]);
    state_free(view.st);
    (void)unlink(path);
    return rmdir(dir);
}

static void a_line_may_come_in_pieces(void **st)
{
    char out[4096];
    int fd = dial();

    (void)st;
    put(fd, "stat");
    put(fd, "uz  x");
    put(fd, "y\r\nignored\n");
    assert_true(answer_of(fd, out, sizeof(out)) > 0);
    assert_string_equal(out, "error\nThere is no command \"statuz\"; did you mean `status`?\n");
}

static void a_line_that_is_too_long_and_one_that_never_ends_are_dropped(void **st)
{
    char out[64], much[QUERY_LINE + 10];
    int fd = dial(), silent = dial();

    (void)st;
    memset(much, 'x', sizeof(much));
    assert_int_equal(send(fd, much, sizeof(much), MSG_NOSIGNAL), sizeof(much));
    put(silent, "status");
    assert_int_equal(answer_of(fd, out, sizeof(out)), 0);
    assert_int_equal(recv(silent, out, sizeof(out), MSG_DONTWAIT), -1);
    turn(NOW + QUERY_MS - 1);
    assert_int_equal(recv(silent, out, sizeof(out), MSG_DONTWAIT), -1);
    turn(NOW + QUERY_MS);
    assert_int_equal(recv(silent, out, sizeof(out), MSG_DONTWAIT), 0);
    close(silent);
}

static void who_is_connected_at_the_end_gets_an_answer(void **st)
{
    char out[256];
    int fd = dial(), late;

    (void)st;
    turn(NOW);
    put(fd, "x\n");
    late = dial(); /* stays in the queue of the socket, for the next recorder */
    query_finish(q, 1000);
    assert_true(recv(fd, out, sizeof(out), MSG_DONTWAIT) > 0);
    assert_int_equal(recv(late, out, sizeof(out), MSG_DONTWAIT), -1);
    close(fd);
    close(late);
}

static void the_one_too_many_is_sent_away(void **st)
{
    int fd[QUERY_CLIENTS + 1];
    char out[64];

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
        fd[i] = dial();
        turn(NOW);
    }
    assert_int_equal(recv(fd[QUERY_CLIENTS], out, sizeof(out), MSG_DONTWAIT), 0);
    assert_int_equal(recv(fd[0], out, sizeof(out), MSG_DONTWAIT), -1);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
        close(fd[i]);
    }
    turn(NOW); /* notices that they are gone */
    fd[0] = dial();
    put(fd[0], "x\n");
    assert_true(answer_of(fd[0], out, sizeof(out)) > 0);
}

/* Shrinks the send buffers of the accepted connections. */
static void narrow_the_other_end(void)
{
    int small = 1, listens = 1;
    struct sockaddr_un sa;

    for (int fd = 3; fd < 256; fd++) {
        socklen_t len = sizeof(sa), int_len = sizeof(listens);

        if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && sa.sun_family == AF_UNIX &&
            strncmp(sa.sun_path, path, sizeof(sa.sun_path)) == 0 &&
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_len) == 0 && !listens) {
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
        }
    }
}

static void a_slow_reader_gets_all_of_it(void **st)
{
    static char out[QUERY_ANSWER_MAX];
    static struct config conf = { .upstream_count = 30 };
    int fd;

    (void)st;
    for (size_t i = 0; i < conf.upstream_count; i++) {
        conf.upstreams[i].name = "an upstream with a long name, so that it does not fit";
        conf.upstreams[i].server_count = 1;
        conf.upstreams[i].server[0].text =
            "a-server-with-a-long-name.of.a.domain.with.a.long.name.example.net:25";
    }
    view.conf = &conf;
    state_slot_enter(view.st, state_slot_take(view.st, ROLE_RECORDER, 1, 0));
    fd = dial();
    turn(NOW);
    narrow_the_other_end();
    put(fd, "status json\n");
    assert_in_range(recv(fd, out, 16, MSG_PEEK | MSG_DONTWAIT), 1, 16);
    assert_true(answer_of(fd, out, sizeof(out)) > 5000);
    assert_true(slice_starts(slice_str(out), SLICE("exit 2\n{\"pid\":"))); /* no worker runs */
    assert_string_equal(out + strlen(out) - 2, "}\n");
}

static void another_user_gets_no_answer(void **st)
{
    char out[64];
    int fd;

    (void)st;
    if (getuid() == 0) {
        skip(); /* root may always ask */
    }
    query_free(&q);
    q = query_new(control_bind(path), -1, wake_pair[1], getuid() + 1, &view);
    fd = dial();
    turn(NOW);
    assert_int_equal(answer_of(fd, out, sizeof(out)), 0);
}

static void send_fd(int to, int fd)
{
    char octet = 0;
    struct iovec iov = { &octet, 1 };
    union {
        struct cmsghdr align;
        char mem[CMSG_SPACE(sizeof(int))];
    } control = { .mem = { 0 } };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.mem, .msg_controllen = sizeof(control.mem)
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    assert_int_equal(sendmsg(to, &msg, 0), 1);
}

static void a_socket_that_is_handed_over_takes_the_place_of_the_other(void **st)
{
    char out[256];
    int fd;

    (void)st;
    fd = control_bind(path); /* at the same path, as the supervisor does */
    send_fd(handover[0], fd);
    close(fd);
    turn(NOW);
    fd = dial();
    put(fd, "x\n");
    assert_true(answer_of(fd, out, sizeof(out)) > 0);
    assert_int_equal(send(handover[0], "x", 1, 0), 1); /* a message without a descriptor changes nothing */
    turn(NOW);
    fd = dial();
    put(fd, "x\n");
    assert_true(answer_of(fd, out, sizeof(out)) > 0);
}

static void the_recorder_is_woken_by_all_of_them(void **st)
{
    struct pollfd p = { query_fd(q), POLLIN, 0 };
    int fd;

    (void)st;
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(send(wake_pair[0], "x", 1, 0), 1);
    assert_int_equal(poll(&p, 1, 0), 1);
    (void)!read(wake_pair[1], &fd, 1);
    assert_int_equal(poll(&p, 1, 0), 0);
    fd = dial();
    assert_int_equal(poll(&p, 1, 0), 1);
    turn(NOW);
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(send(fd, "x", 1, 0), 1);
    assert_int_equal(poll(&p, 1, 0), 1);
    close(fd);
}

static void without_descriptors_it_pauses(void **st)
{
    struct pollfd p = { query_fd(q), POLLIN, 0 };
    struct rlimit all, none;
    char out[256];
    int fd = dial();

    (void)st;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = all;
    none.rlim_cur = (rlim_t)fd; /* all numbers below are in use, or nearly */
    for (int spare = dup(fd); spare >= 0 && spare < fd; spare = dup(fd)) {
        ;
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(poll(&p, 1, 0), 1);
    turn(NOW);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(poll(&p, 1, 0), 0); /* it does not spin */
    turn(NOW + 1000);
    turn(NOW + 1000);
    put(fd, "x\n");
    assert_true(answer_of(fd, out, sizeof(out)) > 0);
}

/* ---- within the last hour ---- */

static void an_hour_is_remembered_and_no_more(void **st)
{
    static struct recent r;
    uint64_t sums[METRIC_COUNT] = { 0 };
    uint64_t now = 77 * 60000;

    (void)st;
    sums[M_LOG_DROPPED] = 1000; /* of before the start */
    recent_note(&r, now, sums);
    assert_int_equal(recent_count(&r, RECENT_LOG_DROPPED), 0);
    sums[M_LOG_DROPPED] += 5;
    recent_note(&r, now + 30000, sums);
    assert_int_equal(recent_count(&r, RECENT_LOG_DROPPED), 5);
    for (unsigned minute = 1; minute < 59; minute++) {
        recent_note(&r, now + minute * 60000, sums);
        assert_int_equal(recent_count(&r, RECENT_LOG_DROPPED), 5);
    }
    recent_note(&r, now + 61 * 60000, sums);
    assert_int_equal(recent_count(&r, RECENT_LOG_DROPPED), 0);
    sums[M_LOG_DROPPED] += 7;
    recent_note(&r, now + 300 * 60000, sums); /* a machine that slept */
    assert_int_equal(recent_count(&r, RECENT_LOG_DROPPED), 7);
    sums[M_LOG_DROPPED] = 3; /* a counter that went back is no count */
    recent_note(&r, now + 300 * 60000, sums);
    assert_int_equal(recent_count(&r, RECENT_LOG_DROPPED), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_may_come_in_pieces),
        TEST(a_line_that_is_too_long_and_one_that_never_ends_are_dropped),
        TEST(who_is_connected_at_the_end_gets_an_answer),
        TEST(the_one_too_many_is_sent_away),
        TEST(a_slow_reader_gets_all_of_it),
        TEST(another_user_gets_no_answer),
        TEST(a_socket_that_is_handed_over_takes_the_place_of_the_other),
        TEST(the_recorder_is_woken_by_all_of_them),
        TEST(without_descriptors_it_pauses),
        cmocka_unit_test(an_hour_is_remembered_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
