/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cares.c - c-ares on our loop, for questions by TCP.  Only this file includes its header.
 *
 * c-ares handles TCP for long answers: connects, framing, connection reuse, lost connections.  udp.c handles UDP,
 * because c-ares 1.18 has one UDP socket and does not mix letters.  It also drops EDNS for the whole channel after one
 * FORMERR, and ignores a FORMERR that does not repeat the question.
 *
 * Known traps of c-ares 1.18 and how this file avoids them:
 *
 *   - It may call back inside the call that submits a question, and breaks if a callback destroys the channel.  So our
 *     callback only copies the octets and queues them, and a deferred call does the rest.  cares_free destroys the
 *     channel, never inside a c-ares frame.
 *   - It does not remember dead servers: a channel has one server and one try, and the caller decides about retries.
 *   - Its encoder interprets escapes and its id generator is weak: we use our own for both, with ares_send.
 *   - ares_timeout() walks all questions: a coarse tick while questions are pending is cheaper.
 *   - Without a complete set of options it reads files, so we set all options.
 *
 * Owns     the channel, its socket's watch, queries.
 * Limits   the caller limits pending questions; an answer has at most 65,535 octets.
 */
#include "dns/cares.h"

#include <ares.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "core/crypto.h"
#include "core/slab.h"

#define TICK_MS 50
#define HEADER_LEN 12
#define IDS 65536
#define QUERIES_KEPT 16

struct sock {
    struct list_node link; /* cares.socks */
    struct watch watch;
    struct grave grave;
    struct cares *owner;
};

struct query {
    struct list_node link; /* cares.done or cares.round; on none while c-ares holds it */
    struct cares *owner;
    cares_cb cb;
    void *arg;
    uint16_t id;
    enum cares_status status;
    uint8_t *packet; /* malloc */
    size_t len;
};

struct cares {
    struct loop *loop;
    struct cares_settings settings;
    ares_channel channel;   /* NULL before the first question */
    struct list_node socks; /* struct sock.link */
    size_t pending;         /* queries that c-ares holds */
    struct list_node done;  /* struct query.link */
    struct list_node round; /* those whose callbacks run now */
    struct deferred deliver;
    struct timer tick;
    struct grave grave;
    struct slab queries;
    bool closed;
    bool freeing;         /* inside ares_destroy(): its callbacks deliver nothing */
    uint8_t ids[IDS / 8]; /* bit set: in flight */
};

/* ---- ids ---- */

static bool id_taken(const struct cares *c, uint16_t id)
{
    return (c->ids[id / 8] & 1u << id % 8) != 0;
}

static uint16_t take_id(struct cares *c)
{
    uint16_t id;

    /* far fewer than half of them are ever in use, so this ends soon */
    do {
        random_bytes(&id, sizeof(id));
    } while (id_taken(c, id));
    c->ids[id / 8] = (uint8_t)(c->ids[id / 8] | 1u << id % 8);
    return id;
}

static void give_id(struct cares *c, uint16_t id)
{
    c->ids[id / 8] = (uint8_t)(c->ids[id / 8] & ~(1u << id % 8));
}

/* ---- sockets ---- */

static void bury_sock(struct sock *s)
{
    watch_stop(&s->watch);
    list_remove(&s->link);
    /* this may run inside the watch's own callback */
    loop_bury(s->owner->loop, &s->grave, free, s);
}

static void on_ready(unsigned ready, void *arg)
{
    struct sock *s = arg;
    ares_socket_t fd = s->watch.fd;

    ares_process_fd(s->owner->channel, ready & WATCH_READ ? fd : ARES_SOCKET_BAD,
                    ready & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
}

static struct sock *find_sock(struct cares *c, int fd)
{
    struct list_node *n, *tmp;

    LIST_EACH(&c->socks, n, tmp)
    {
        struct sock *s = container_of(n, struct sock, link);

        if (s->watch.fd == fd) {
            return s;
        }
    }
    return NULL;
}

/* c-ares reports which events it wants for one of its sockets; neither means that it closes the socket. */
static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct cares *c = arg;
    struct sock *s = find_sock(c, fd);

    if (!readable && !writable) {
        if (s != NULL) {
            bury_sock(s);
        }
        return;
    }
    if (s == NULL) {
        s = xcalloc(1, sizeof(*s));
        s->owner = c;
        list_node_init(&s->link);
        list_push_back(&c->socks, &s->link);
        watch_init(&s->watch, c->loop, fd, on_ready, s);
    }
    watch_set(&s->watch, (readable ? WATCH_READ : 0u) | (writable ? WATCH_WRITE : 0u));
}

static ares_socket_t open_socket(int family, int type, int protocol, void *arg UNUSED)
{
    static const int on = 1;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    if (fd < 0) {
        return ARES_SOCKET_BAD;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static int close_socket(ares_socket_t fd, void *arg UNUSED)
{
    return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len, void *arg UNUSED)
{
    return connect(fd, to, len);
}

/* c-ares defines the parameters. */
/* NOLINTNEXTLINE(readability-function-size) */
static ares_ssize_t receive(ares_socket_t fd, void *mem, size_t room, int flags, struct sockaddr *from,
                            socklen_t *from_len, void *arg UNUSED)
{
    return recvfrom(fd, mem, room, flags, from, from_len);
}

static ares_ssize_t send_octets(ares_socket_t fd, const struct iovec *iov, int count, void *arg UNUSED)
{
    struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count };

    return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static const struct ares_socket_functions functions = {
    .asocket = open_socket,
    .aclose = close_socket,
    .aconnect = connect_socket,
    .arecvfrom = receive,
    .asendv = send_octets,
};

/* ---- the channel ---- */

static bool set_server(ares_channel channel, const struct addr *server)
{
    struct ares_addr_port_node node = { .next = NULL };

    node.family = server->family == ADDR_V6 ? AF_INET6 : AF_INET;
    node.udp_port = server->port;
    node.tcp_port = server->port;
    if (server->family == ADDR_V6) {
        memcpy(&node.addr.addr6, server->ip, 16);
    } else {
        memcpy(&node.addr.addr4, server->ip, 4);
    }
    return ares_set_servers_ports(channel, &node) == ARES_SUCCESS;
}

static bool open_channel(struct cares *c)
{
    struct ares_options opt = { .flags = 0 };
    char lookups[] = "b"; /* DNS only: no hosts file */
    int mask;

    opt.flags = ARES_FLAG_USEVC | ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
                ARES_FLAG_STAYOPEN;
    opt.timeout = (int)min_u64(c->settings.timeout_ms, 60000);
    opt.tries = 1;
    opt.ndots = 1;
    opt.lookups = lookups;
    opt.sock_state_cb = on_sock_state;
    opt.sock_state_cb_data = c;
    /* no servers, domains or sort list: set explicitly, so that c-ares reads no file for them */
    mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_LOOKUPS |
           ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_SORTLIST | ARES_OPT_SOCK_STATE_CB |
           ARES_OPT_NOROTATE;
    if (ares_init_options(&c->channel, &opt, mask) != ARES_SUCCESS) {
        c->channel = NULL;
        return false;
    }
    if (!set_server(c->channel, &c->settings.server)) {
        ares_destroy(c->channel);
        c->channel = NULL;
        return false;
    }
    ares_set_socket_functions(c->channel, &functions, c);
    return true;
}

/* ---- questions ---- */

static void query_free(struct query *q)
{
    list_remove(&q->link);
    free(q->packet);
    slab_release(&q->owner->queries, q);
}

static void finish_later(struct query *q, enum cares_status status)
{
    q->status = status;
    list_push_back(&q->owner->done, &q->link);
    loop_defer(q->owner->loop, &q->owner->deliver);
}

/* c-ares calls this, possibly inside ares_send: it only copies and queues. */
static void on_ares(void *arg, int status, int timeouts UNUSED, unsigned char *octets, int len)
{
    struct query *q = arg;

    q->owner->pending -= 1;
    give_id(q->owner, q->id);
    if (q->owner->freeing) {
        query_free(q);
        return;
    }
    if (status == ARES_SUCCESS && octets != NULL && len >= HEADER_LEN) {
        q->len = (size_t)len;
        q->packet = xmalloc(q->len);
        memcpy(q->packet, octets, q->len);
        finish_later(q, CARES_ANSWER);
    } else {
        finish_later(q, status == ARES_ETIMEOUT ? CARES_TIMEOUT : CARES_NETWORK);
    }
}

static void on_deliver(void *arg)
{
    struct cares *c = arg;
    struct list_node *n;

    list_move_all(&c->done, &c->round);
    while ((n = list_pop(&c->round)) != NULL) {
        struct query *q = container_of(n, struct query, link);

        q->cb(q->status, slice_of(q->packet, q->len), q->arg);
        query_free(q);
        if (c->closed) {
            return;
        }
    }
}

static void on_tick(void *arg)
{
    struct cares *c = arg;

    if (c->pending > 0) {
        ares_process_fd(c->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    if (c->pending > 0) {
        timer_start(&c->tick, TICK_MS);
    }
}

void cares_send(struct cares *c, struct wire_question *question, cares_cb cb, void *arg)
{
    struct query *q = slab_alloc(&c->queries);
    uint8_t octets[WIRE_QUERY_MAX];
    size_t len;

    list_node_init(&q->link);
    q->owner = c;
    q->cb = cb;
    q->arg = arg;
    if (c->channel == NULL && !open_channel(c)) {
        finish_later(q, CARES_NETWORK);
        return;
    }
    q->id = take_id(c);
    question->id = q->id;
    len = wire_put_query(octets, question);
    c->pending += 1;
    ares_send(c->channel, octets, (int)len, on_ares, q);
    if (c->pending > 0 && !timer_active(&c->tick)) {
        timer_start(&c->tick, TICK_MS);
    }
}

/* ---- lifecycle ---- */

struct cares *cares_new(struct loop *l, const struct cares_settings *settings)
{
    struct cares *c = xcalloc(1, sizeof(*c));

    BUG_ON(ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS);
    c->loop = l;
    c->settings = *settings;
    list_init(&c->socks);
    list_init(&c->done);
    list_init(&c->round);
    deferred_init(&c->deliver, on_deliver, c);
    timer_init(&c->tick, l, on_tick, c);
    slab_init(&c->queries, "query", sizeof(struct query), QUERIES_KEPT);
    return c;
}

/* Runs at the end of the turn, because on_deliver() may still use a query. */
static void bury_cares(void *obj)
{
    struct cares *c = obj;

    slab_fini(&c->queries);
    free(c);
}

void cares_free(struct cares *c)
{
    struct list_node *n;

    if (c == NULL || c->closed) {
        return;
    }
    c->closed = true;
    c->freeing = true;
    timer_stop(&c->tick);
    deferred_cancel(&c->deliver);
    if (c->channel != NULL) {
        ares_destroy(c->channel); /* calls back for its pending questions */
    }
    while (!list_empty(&c->socks)) {
        bury_sock(container_of(c->socks.next, struct sock, link));
    }
    while ((n = list_pop(&c->done)) != NULL || (n = list_pop(&c->round)) != NULL) {
        query_free(container_of(n, struct query, link));
    }
    ares_library_cleanup();
    loop_bury(c->loop, &c->grave, bury_cares, c);
}
