/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - a small DNS server on loopback, UDP and TCP, on the test's own loop.
 *
 * Header only, all static; time is that of jump_clock.h, so an answer is in time on any machine.  What it answers
 * depends on its mode and on the first label of the name:
 *
 *     a* b* n*   A 192.0.2.1, TTL 60          txt      two TXT strings
 *     alias      CNAME target.test, A         nx       NXDOMAIN, SOA minimum 30
 *     nodata     empty, SOA                   other    an A of somebody else
 *     silent     nothing                      servfail, refused
 *     formerr    FORMERR without OPT if the query has one, an answer without OPT otherwise
 *     noopt      an answer without OPT        half     a good head, then a broken record
 *     garbage    the id and noise             poison   wrong question, wrong id, then the right answer
 *     slow       A after delay_ms             k900     TXT of 900 octets over UDP
 *     big        TC over UDP, TXT of 9,000 octets over TCP
 *
 * The names of the self-test: see answer_selftest().
 */
#ifndef TEST_DNS_SERVER_H
#define TEST_DNS_SERVER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "core/addr.h"
#include "core/loop.h"
#include "test/unit/dns/packet.h"
#include "test/unit/jump_clock.h"

#define SERVER_CONNS 8

enum server_mode {
    SERVER_GOOD = 0,
    SERVER_SILENT,
    SERVER_SERVFAIL,
    SERVER_REFUSED,
    SERVER_REWRITES, /* NXDOMAIN becomes an address */
};

/* What it makes of a question with an OPT record. */
enum server_opt {
    SERVER_OPT_TAKEN = 0,
    SERVER_OPT_FORMERR,
    SERVER_OPT_NOTIMP,
    SERVER_OPT_BARE, /* FORMERR that does not repeat the question */
    SERVER_OPT_ECHO, /* FORMERR that repeats the OPT record as well */
    SERVER_OPT_SILENT,
};

struct test_server;

struct server_conn {
    struct test_server *s;
    struct watch watch;
    int fd; /* -1: free */
    uint8_t in[1024];
    size_t have;
};

struct server_reply {
    struct list_node node; /* test_server.delayed */
    struct timer timer;
    struct test_server *s;
    struct sockaddr_in to;
    struct packet pk;
};

struct test_server {
    struct loop *loop;
    struct addr addr;
    int udp, tcp;
    struct watch udp_watch, tcp_watch;
    struct server_conn conns[SERVER_CONNS];
    struct list_node delayed;
    enum server_mode mode;
    enum server_opt opt;
    bool lowers;       /* repeats the question in lower case */
    unsigned delay_ms; /* for all answers over UDP, and for `slow` */
    unsigned udp_queries, tcp_queries;
    unsigned pending, most_pending; /* delayed replies */
    unsigned with_opt;
    uint8_t last_name[256]; /* wire form, as received */
    uint16_t last_port;
};

struct server_query {
    uint16_t id, type;
    char name[300]; /* text; only for plain names */
    bool has_opt;
    bool udp;
};

static bool server_read_query(struct test_server *s, const uint8_t *p, size_t len, struct server_query *q)
{
    size_t at = 12, out = 0;

    if (len < 17) {
        return false;
    }
    memset(s->last_name, 0, sizeof(s->last_name));
    while (at < len && p[at] != 0) {
        if (out > 0) {
            q->name[out++] = '.';
        }
        for (size_t i = 1; i <= p[at] && at + i < len; i++) {
            q->name[out++] = (char)p[at + i];
        }
        at += 1u + p[at];
    }
    q->name[out] = '\0';
    if (at + 5 > len) {
        return false;
    }
    memcpy(s->last_name, p + 12, min_size(at + 1 - 12, 255));
    q->id = (uint16_t)(p[0] << 8 | p[1]);
    q->type = (uint16_t)(p[at + 1] << 8 | p[at + 2]);
    q->has_opt = p[11] == 1;
    s->with_opt += q->has_opt;
    return true;
}

static void server_send_udp(struct test_server *s, const struct packet *pk, const struct sockaddr_in *to)
{
    (void)!sendto(s->udp, pk->octets, pk->len, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void server_put_txt(struct packet *pk, size_t len)
{
    size_t at = pk_rr(pk, PK_ANSWER, "@", 16, 60);

    while (len > 0) {
        size_t n = min_size(len, 250);

        pk_u8(pk, (unsigned)n);
        for (size_t i = 0; i < n; i++) {
            pk_u8(pk, 'x');
        }
        len -= n;
    }
    pk_rr_end(pk, at);
}

/* nxlist: no entry; rebind: filtered; open: refused; outside: rewritten; good: as it should be */
static bool answer_selftest(struct packet *pk, const struct server_query *q)
{
    struct slice name = slice_str(q->name);

    if (slice_eq(name, SLICE("2.0.0.127.good.list"))) {
        pk_a(pk, "@", 60, 0x7f000002);
    } else if (slice_eq(name, SLICE("2.0.0.127.open.list"))) {
        pk_a(pk, "@", 60, 0x7ffffffe);
    } else if (slice_eq(name, SLICE("2.0.0.127.outside.list"))) {
        pk_a(pk, "@", 60, 0x0a000001);
    } else if (slice_eq(name, SLICE("2.0.0.127.rebind.list"))) {
        pk_soa(pk, "list", 60, 60);
    } else if (slice_eq(name, SLICE("known.zone"))) {
        pk_named(pk, "@", 2, 60, "ns.zone");
    } else {
        return false;
    }
    return true;
}

static void server_set_rcode(struct packet *pk, unsigned rcode)
{
    pk->octets[3] = (uint8_t)((pk->octets[3] & 0xf0) | rcode);
}

/* Makes the answer; false: none.  *opt says whether an OPT record is to follow. */
static bool server_answer(struct test_server *s, struct server_query *q, struct packet *pk, bool *opt)
{
    char lower[sizeof(q->name)];
    struct slice rest, first;

    for (size_t i = 0; i < sizeof(lower); i++) {
        lower[i] = ascii_lower(q->name[i]);
    }
    rest = slice_str(lower);
    first = slice_cut(&rest, '.');
    if (s->lowers) {
        memcpy(q->name, lower, sizeof(lower));
    }
    pk_begin(pk, q->id, 0x8180, q->name, q->type);
    *opt = q->has_opt;
    if (q->has_opt && s->opt != SERVER_OPT_TAKEN) {
        pk->octets[3] = (uint8_t)((pk->octets[3] & 0xf0) | (s->opt == SERVER_OPT_NOTIMP ? 4 : 1));
        *opt = s->opt == SERVER_OPT_ECHO;
        if (s->opt == SERVER_OPT_BARE) {
            pk->len = 12;
            pk_set_u16(pk, 4, 0);
        }
        return s->opt != SERVER_OPT_SILENT;
    }
    if (s->mode == SERVER_SILENT || slice_eq(first, SLICE("silent"))) {
        return false;
    }
    if (s->mode == SERVER_SERVFAIL || slice_eq(first, SLICE("servfail"))) {
        server_set_rcode(pk, 2);
    } else if (s->mode == SERVER_REFUSED || slice_eq(first, SLICE("refused"))) {
        server_set_rcode(pk, 5);
    } else if (slice_eq(first, SLICE("formerr")) && q->has_opt) {
        server_set_rcode(pk, 1);
        *opt = false;
    } else if (slice_eq(first, SLICE("formerr")) || slice_eq(first, SLICE("noopt"))) {
        pk_a(pk, "@", 60, 0xc0000201);
        *opt = false;
    } else if (slice_eq(first, SLICE("half"))) {
        pk_a(pk, "@", 60, 0xc0000201);
        pk->len -= 2;
    } else if (slice_eq(first, SLICE("garbage"))) {
        pk->len = 2;
        pk_raw(pk, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff noise \xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0", 26);
    } else if (slice_eq(first, SLICE("other"))) {
        pk_a(pk, "victim.test", 60, 0x06060606);
    } else if (slice_eq(first, SLICE("txt"))) {
        server_put_txt(pk, 300);
    } else if (slice_eq(first, SLICE("k900"))) {
        server_put_txt(pk, 900);
    } else if (slice_eq(first, SLICE("big"))) {
        if (q->udp) {
            pk->octets[2] |= 2;
        } else {
            server_put_txt(pk, 9000);
        }
    } else if (slice_eq(first, SLICE("alias"))) {
        pk_named(pk, "@", 5, 30, "target.test");
        pk_a(pk, "target.test", 60, 0xc0000201);
    } else if (slice_eq(first, SLICE("nodata"))) {
        pk_soa(pk, "test", 900, 30);
    } else if (slice_ends_nocase(slice_str(lower), SLICE(".test")) && !slice_eq(first, SLICE("nx"))) {
        pk_a(pk, "@", 60, 0xc0000201);
    } else if (!answer_selftest(pk, q)) {
        if (s->mode == SERVER_REWRITES) {
            pk_a(pk, "@", 60, 0x05050505);
        } else {
            server_set_rcode(pk, 3);
            pk_soa(pk, "", 900, 30);
        }
    }
    return true;
}

static void server_poison(struct test_server *s, const struct server_query *q, const struct sockaddr_in *to)
{
    static struct packet pk;

    pk_begin(&pk, q->id, 0x8180, "bank.test", q->type);
    pk_a(&pk, "bank.test", 60, 0x06060606);
    pk_a(&pk, q->name, 60, 0x06060606);
    server_send_udp(s, &pk, to);
    pk_begin(&pk, q->id ^ 1u, 0x8180, q->name, q->type);
    pk_a(&pk, "@", 60, 0x06060606);
    server_send_udp(s, &pk, to);
}

static void server_drop_reply(struct server_reply *r)
{
    timer_stop(&r->timer);
    list_remove(&r->node);
    r->s->pending -= 1;
    free(r);
}

static void on_server_reply(void *arg)
{
    struct server_reply *r = arg;

    server_send_udp(r->s, &r->pk, &r->to);
    server_drop_reply(r);
}

static void server_delay(struct test_server *s, const struct packet *pk, const struct sockaddr_in *to)
{
    struct server_reply *r = xmalloc(sizeof(*r));

    r->s = s;
    r->to = *to;
    memcpy(r->pk.octets, pk->octets, pk->len);
    r->pk.len = pk->len;
    list_node_init(&r->node);
    list_push_back(&s->delayed, &r->node);
    timer_init(&r->timer, s->loop, on_server_reply, r);
    timer_start(&r->timer, s->delay_ms);
    s->pending += 1;
    if (s->pending > s->most_pending) {
        s->most_pending = s->pending;
    }
}

static void on_server_udp(unsigned ready UNUSED, void *arg)
{
    static struct packet pk;
    struct test_server *s = arg;
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    uint8_t in[1024];
    ssize_t n;
    bool opt;

    while ((n = recvfrom(s->udp, in, sizeof(in), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len)) > 0) {
        struct server_query q = { .udp = true };

        s->udp_queries += 1;
        s->last_port = ntohs(from.sin_port);
        if (!server_read_query(s, in, (size_t)n, &q) || !server_answer(s, &q, &pk, &opt)) {
            continue;
        }
        if (opt) {
            pk_opt(&pk, 0);
        }
        if (slice_starts(slice_str(q.name), SLICE("poison"))) {
            server_poison(s, &q, &from);
        }
        if (s->delay_ms > 0) {
            server_delay(s, &pk, &from);
        } else {
            server_send_udp(s, &pk, &from);
        }
    }
}

static void server_conn_close(struct server_conn *c)
{
    if (c->fd < 0) {
        return;
    }
    watch_stop(&c->watch);
    close(c->fd);
    c->fd = -1;
}

static void on_server_tcp(unsigned ready UNUSED, void *arg)
{
    static struct packet pk;
    struct server_conn *c = arg;
    ssize_t n = recv(c->fd, c->in + c->have, sizeof(c->in) - c->have, MSG_DONTWAIT);
    bool opt;

    if (n <= 0) {
        server_conn_close(c);
        return;
    }
    c->have += (size_t)n;
    while (c->have >= 2 && c->have - 2 >= (size_t)(c->in[0] << 8 | c->in[1])) {
        size_t len = (size_t)(c->in[0] << 8 | c->in[1]);
        struct server_query q = { .udp = false };
        uint8_t head[2];

        c->s->tcp_queries += 1;
        if (server_read_query(c->s, c->in + 2, len, &q) && server_answer(c->s, &q, &pk, &opt)) {
            if (opt) {
                pk_opt(&pk, 0);
            }
            head[0] = (uint8_t)(pk.len >> 8);
            head[1] = (uint8_t)pk.len;
            (void)!send(c->fd, head, 2, MSG_NOSIGNAL);
            (void)!send(c->fd, pk.octets, pk.len, MSG_NOSIGNAL);
        }
        memmove(c->in, c->in + 2 + len, c->have - 2 - len);
        c->have -= 2 + len;
    }
}

static void on_server_accept(unsigned ready UNUSED, void *arg)
{
    struct test_server *s = arg;
    int fd = accept4(s->tcp, NULL, NULL, SOCK_CLOEXEC);

    for (size_t i = 0; i < SERVER_CONNS && fd >= 0; i++) {
        struct server_conn *c = &s->conns[i];

        if (c->fd >= 0) {
            continue;
        }
        c->fd = fd;
        c->have = 0;
        watch_init(&c->watch, s->loop, fd, on_server_tcp, c);
        watch_set(&c->watch, WATCH_READ);
        return;
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* UDP and TCP on the same port; 0: a free one. */
static void server_start_at(struct test_server *s, struct loop *l, uint16_t port)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sin);
    int size = 4 << 20, on = 1;

    *s = (struct test_server){ .loop = l };
    list_init(&s->delayed);
    for (size_t i = 0; i < SERVER_CONNS; i++) {
        s->conns[i] = (struct server_conn){ .s = s, .fd = -1 };
    }
    for (int i = 0; i < 50; i++) {
        s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sin.sin_port = htons(port);
        setsockopt(s->tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        BUG_ON(bind(s->udp, (struct sockaddr *)&sin, sizeof(sin)) != 0);
        BUG_ON(getsockname(s->udp, (struct sockaddr *)&sin, &len) != 0);
        if (bind(s->tcp, (struct sockaddr *)&sin, sizeof(sin)) == 0) {
            break;
        }
        close(s->udp);
        close(s->tcp);
    }
    BUG_ON(listen(s->tcp, 16) != 0);
    setsockopt(s->udp, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    s->addr = addr_from_sockaddr((struct sockaddr *)&sin);
    watch_init(&s->udp_watch, l, s->udp, on_server_udp, s);
    watch_set(&s->udp_watch, WATCH_READ);
    watch_init(&s->tcp_watch, l, s->tcp, on_server_accept, s);
    watch_set(&s->tcp_watch, WATCH_READ);
}

static void server_start(struct test_server *s, struct loop *l)
{
    server_start_at(s, l, 0);
}

static void server_stop(struct test_server *s)
{
    if (s->udp < 0) {
        return;
    }
    for (size_t i = 0; i < SERVER_CONNS; i++) {
        server_conn_close(&s->conns[i]);
    }
    while (!list_empty(&s->delayed)) {
        server_drop_reply(container_of(s->delayed.next, struct server_reply, node));
    }
    watch_stop(&s->udp_watch);
    watch_stop(&s->tcp_watch);
    close(s->udp);
    close(s->tcp);
    s->udp = s->tcp = -1;
}

#endif
