/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_udp.c - groups of datagrams, a kernel that has no room, or not for all; ports, and what counts as an answer.
 *
 * sendmmsg() is ours: it does what the test's script says, one letter a call ('a'll go; a digit: so many go;
 * 'e': EAGAIN; 'b': ENOBUFS; 'r': ECONNREFUSED), the last letter for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/metrics.h"
#include "dns/udp.h"
#include "test/unit/dns/exchange_bench.h"

static const char *script;
static unsigned calls;

int sendmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags)
{
    char what = *script;

    calls++;
    script += script[1] != '\0';
    if (what == 'e' || what == 'b' || what == 'r') {
        errno = what == 'e' ? EAGAIN : what == 'b' ? ENOBUFS : ECONNREFUSED;
        return -1;
    }
    if (what != 'a') {
        count = (unsigned)min_size(count, (size_t)(what - '0'));
    }
    return (int)syscall(SYS_sendmmsg, fd, msg, count, flags);
}

static int set_up(void **state)
{
    struct exchange_settings s = { .timeout_ms = 1500 };
    struct bench *b = bench_new();

    s.server = b->server.addr;
    b->x = exchange_new(b->loop, &s);
    calls = 0;
    *state = b;
    return 0;
}

static void ask(struct bench *b, unsigned count, unsigned ms)
{
    for (unsigned i = 0; i < count; i++) {
        char name[] = "a00.test";

        name[1] = (char)('0' + i / 10);
        name[2] = (char)('0' + i % 10);
        (void)send_one(b, name);
    }
    run_ms(b, ms);
}

struct row {
    const char *label, *script;
    unsigned questions, answers, errors; /* the others wait for their timeout */
};

static const struct row rows[] = {
    { "all at once", "a", 10, 10, 0 },
    { "no room at first", "ea", 10, 10, 0 },
    { "no buffers for a while", "bbba", 10, 10, 0 },
    { "room for three, then for none, then for all", "3ea", 10, 10, 0 },
    { "room for one each time", "1e1e1e1e1e1e1e1e1ea", 10, 10, 0 },
    { "a closed port", "r", 10, 0, 10 },
    { "two groups, the second while there is no room", "eea", 40, 16, 0 },
};

static void a_full_kernel_is_waited_for(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct bench *b = *state;

        script = row->script;
        ask(b, row->questions, 300);
        if (b->answers != row->answers || b->errors != row->errors || b->timeouts != 0) {
            fail_msg("%s: %u answers, %u errors, %u timeouts", row->label, b->answers, b->errors,
                     b->timeouts);
        }
        tear_down(state);
        set_up(state);
    }
}

static void a_kernel_full_for_ever_is_tried_now_and_then_and_is_an_error_at_last(void **state)
{
    struct bench *b = *state;

    script = "e";
    ask(b, 5, 200);
    assert_int_equal(b->answers + b->errors + b->timeouts, 0);
    assert_true(calls >= 2 && calls <= 42); /* not in each turn */
    timer_start(&b->stop, 1800);
    loop_run(b->loop);
    assert_int_equal(b->errors + b->timeouts, 5);
    assert_true(calls <= 102);
}

static void it_may_be_freed_while_it_waits(void **state)
{
    struct bench *b = *state;

    script = "e";
    ask(b, 5, 20);
    exchange_free(b->x);
    b->x = NULL;
    timer_start(&b->stop, 20);
    loop_run(b->loop);
    assert_int_equal(b->answers + b->errors + b->timeouts, 0);
}

/* ---- ports, and what counts as an answer: a server in the hands of the test ---- */

struct wire {
    struct loop *loop;
    struct timer stop;
    struct udp *udp;
    int fd; /* the server's */
    struct addr server;
    unsigned count[UDP_NETWORK + 1];
};

struct seen { /* a question as it arrived */
    uint8_t octets[512];
    size_t len;
    struct sockaddr_in from;
};

static struct wire *the_wire; /* udp_cb has no other way to the test */

static void on_udp(struct udp_query *q UNUSED, enum udp_status status, uint8_t *packet UNUSED,
                   size_t len UNUSED)
{
    the_wire->count[status]++;
}

static int wire_set_up(void **state)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct udp_settings us = { .timeout_ms = 1500 };
    struct wire *w = xcalloc(1, sizeof(*w));

    script = "a";
    w->loop = loop_new();
    timer_init(&w->stop, w->loop, on_stop, w->loop);
    w->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->fd, (const struct sockaddr *)&sin, sizeof(sin)), 0);
    us.server = w->server = addr_of_socket(w->fd);
    w->udp = udp_new(w->loop, &us, on_udp);
    *state = the_wire = w;
    return 0;
}

static int wire_tear_down(void **state)
{
    struct wire *w = *state;

    udp_free(w->udp);
    close(w->fd);
    loop_free(w->loop);
    free(w);
    return 0;
}

static void wire_run(struct wire *w, unsigned ms)
{
    timer_start(&w->stop, ms);
    loop_run(w->loop);
}

static void wire_ask(struct wire *w, struct udp_query *q, const char *name)
{
    *q = (struct udp_query){ .q = { .type = DNS_TYPE_A } };
    assert_true(wire_name_set(&q->q.name, slice_str(name)));
    udp_send(w->udp, q);
    wire_run(w, 1);
}

static void wire_take(struct wire *w, struct seen *s)
{
    socklen_t len = sizeof(s->from);
    ssize_t n = recvfrom(w->fd, s->octets, sizeof(s->octets), 0, (struct sockaddr *)&s->from, &len);

    assert_true(n > 12);
    s->len = (size_t)n;
}

static void wire_say(struct wire *w, const struct packet *pk, const struct sockaddr_in *to)
{
    assert_int_equal(sendto(w->fd, pk->octets, pk->len, 0, (const struct sockaddr *)to, sizeof(*to)),
                     pk->len);
    wire_run(w, 2);
}

static unsigned id_of(const struct seen *s)
{
    return (unsigned)s->octets[0] << 8 | s->octets[1];
}

/* A port has 64 questions or a second, and is closed once it is owed nothing more. */
static void ports_change_often_and_are_closed(void **state)
{
    struct wire *w = *state;
    static struct udp_query q[300];
    static struct packet pk;
    uint16_t ports[300];
    unsigned changes = 0;

    for (unsigned i = 0; i < 200; i++) {
        struct seen s;

        wire_ask(w, &q[i], "host.test");
        wire_take(w, &s);
        ports[i] = s.from.sin_port;
        changes += i > 0 && ports[i] != ports[i - 1];
        if (i >= 100) {
            pk_begin(&pk, id_of(&s), 0x8180, "host.test", 1);
            wire_say(w, &pk, &s.from);
        }
    }
    assert_in_range(changes, 200 / PORT_QUESTIONS, 200 / PORT_QUESTIONS + 3);
    assert_true(udp_ports(w->udp) <= 5);
    wire_run(w, 2000);
    assert_int_equal(w->count[UDP_ANSWER], 100);
    assert_int_equal(w->count[UDP_TIMEOUT], 100);
    assert_int_equal(udp_ports(w->udp), 1); /* the newest, owed nothing */
    for (unsigned i = 0; i < 3; i++) {
        struct seen s;

        wire_ask(w, &q[i], "host.test");
        wire_take(w, &s);
        for (unsigned k = 0; k < 200; k++) {
            assert_true(k < 180 || s.from.sin_port != ports[k]);
        }
        pk_begin(&pk, id_of(&s), 0x8180, "host.test", 1);
        wire_say(w, &pk, &s.from);
        wire_run(w, PORT_MS + 1);
        assert_int_equal(udp_ports(w->udp), 1);
        ports[199] = s.from.sin_port;
    }
}

static void only_the_answer_on_the_port_of_its_question_counts(void **state)
{
    struct wire *w = *state;
    static struct udp_query q[PORT_QUESTIONS + 1];
    static struct packet pk;
    struct seen first, last;
    uint64_t strays = metric_get(M_DNS_STRAYS);

    wire_ask(w, &q[0], "one.test");
    wire_take(w, &first);
    for (unsigned i = 1; i <= PORT_QUESTIONS; i++) {
        wire_ask(w, &q[i], "other.test");
        wire_take(w, &last);
    }
    assert_int_not_equal(first.from.sin_port, last.from.sin_port);
    pk_begin(&pk, id_of(&first), 0x8180, "one.test", 1); /* the right id at the wrong port */
    wire_say(w, &pk, &last.from);
    pk_begin(&pk, id_of(&first) ^ 1u, 0x8180, "one.test", 1);
    wire_say(w, &pk, &first.from);
    pk_begin(&pk, id_of(&first), 0x8180, "two.test", 1);
    wire_say(w, &pk, &first.from);
    pk_begin(&pk, id_of(&first), 0x8180, "one.test", 28);
    wire_say(w, &pk, &first.from);
    pk_begin(&pk, id_of(&first), 0x0100, "one.test", 1); /* a question */
    wire_say(w, &pk, &first.from);
    pk_begin(&pk, id_of(&first), 0x8180, "one.test", 1);
    pk.len = 12; /* NOERROR without a question */
    pk_set_u16(&pk, 4, 0);
    wire_say(w, &pk, &first.from);
    pk_begin(&pk, id_of(&first), 0x8180, "one.test", 1);
    pk.len = 20; /* cut in the name */
    wire_say(w, &pk, &first.from);
    pk.len = 0;
    wire_say(w, &pk, &first.from);
    assert_int_equal(w->count[UDP_ANSWER] + w->count[UDP_LETTERS] + w->count[UDP_NETWORK], 0);
    assert_int_equal(metric_get(M_DNS_STRAYS) - strays, 8);
    pk_begin(&pk, id_of(&first), 0x8180, "ONE.test", 1);
    wire_say(w, &pk, &first.from);
    assert_int_equal(w->count[UDP_LETTERS], 1);
    pk_begin(&pk, id_of(&last), 0x8180, "other.test", 1);
    wire_say(w, &pk, &last.from);
    wire_say(w, &pk, &last.from); /* once is enough */
    assert_int_equal(w->count[UDP_ANSWER], 1);
    assert_int_equal(metric_get(M_DNS_STRAYS) - strays, 9);
}

/* A closed port is told to the questions of the port that heard of it, and others go on. */
static void a_closed_port_fails_its_questions_at_once(void **state)
{
    struct wire *w = *state;
    static struct udp_query q[3];

    wire_ask(w, &q[0], "one.test");
    close(w->fd);
    wire_ask(w, &q[1], "two.test");
    wire_run(w, 50);
    assert_int_equal(w->count[UDP_NETWORK], 2);
    assert_int_equal(udp_ports(w->udp), 0);
    wire_ask(w, &q[2], "three.test");
    wire_run(w, 50);
    assert_int_equal(w->count[UDP_NETWORK], 3);
    w->fd = dup(0);
}

#define WIRED(title, f)                                                                                      \
    {                                                                                                        \
        title, f, wire_set_up, wire_tear_down, NULL                                                          \
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_kernel_is_waited_for),
        TEST(a_kernel_full_for_ever_is_tried_now_and_then_and_is_an_error_at_last),
        TEST(it_may_be_freed_while_it_waits),
        WIRED("C12: ports change often and are closed", ports_change_often_and_are_closed),
        WIRED("C12: only the answer on the port of its question counts",
              only_the_answer_on_the_port_of_its_question_counts),
        WIRED("C12: a closed port fails its questions at once", a_closed_port_fails_its_questions_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
