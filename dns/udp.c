/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp.c - questions to one server by UDP; see udp.h.
 *
 *     udp_send -> out[] --- end of turn ---> sendmmsg, by the newest port
 *     a port is readable ---> recvmmsg -> in[] -> the query of id, port and question -> callback
 *
 * One system call sends all questions of a turn, and one receives all arrived answers.  A turn uses only one port,
 * because each further port would cost another call.  docs/performance.md has the figures.
 *
 * A full send buffer (EAGAIN, ENOBUFS) is not the server's error: unsent questions are kept and retried after AGAIN_MS.
 * Questions that find no room meanwhile are lost like packets on the network, and their timeouts handle that.  Any
 * other error fails all questions of the port, because the kernel reports a closed port that way.
 *
 * All timeouts are equal, so the list of waiting questions is in their order.
 */
#include "dns/udp.h"

#include <errno.h>
#include <sys/socket.h>

#include "core/crypto.h"
#include "core/metrics.h"

#define GROUP 16
#define GROUPS_A_TURN 4 /* groups to read from a port per turn, for fairness */
#define AGAIN_MS 5
#define AGAIN_MAX 100
#define ONE_PORT_BUFFER (512 * 1024) /* other ports: the default buffer fits PORT_QUESTIONS answers */
#define BUCKETS 256
#define HEADER_LEN 12
#define ANSWER_MAX (WIRE_EDNS_SIZE + 1) /* one more, to detect answers that are too long */

struct udp_port {
    struct list_node link; /* udp.ports, the newest last */
    struct udp *udp;
    struct watch watch;
    struct grave grave;
    uint64_t born_ms;
    unsigned carried; /* questions so far */
    unsigned pending; /* of these: without an answer */
    bool closed;
};

struct udp {
    struct loop *loop;
    struct udp_settings settings;
    udp_cb cb;
    struct list_node ports;
    struct udp_port *newest;          /* NULL: no port is open for questions */
    struct list_node waiting;         /* struct udp_query.link, the first one due in front */
    struct list_node failed, round;   /* those whose sending failed; those whose callbacks run now */
    struct list_node bucket[BUCKETS]; /* struct udp_query.bucket, by id */
    struct timer expire;
    struct deferred fail;  /* calls back those on `failed` */
    struct deferred leave; /* flush() at the end of the turn */
    struct timer again;    /* active: the send buffer was full */
    unsigned again_count;  /* tries since the last successful send */
    struct grave grave;
    bool closed;

    unsigned out_count;
    size_t out_len[GROUP];
    uint8_t out[GROUP][WIRE_QUERY_MAX];
    uint8_t in[GROUP][ANSWER_MAX];
};

/* ---- queries ---- */

static struct list_node *bucket_of(struct udp *u, uint16_t id)
{
    return &u->bucket[id % BUCKETS];
}

static struct udp_query *find_query(struct udp *u, uint16_t id)
{
    struct list_node *head = bucket_of(u, id);

    for (struct list_node *n = head->next; n != head; n = n->next) {
        struct udp_query *q = container_of(n, struct udp_query, bucket);

        if (q->q.id == id) {
            return q;
        }
    }
    return NULL;
}

static uint16_t take_id(struct udp *u)
{
    uint16_t id;

    /* far fewer than half of them are ever in use, so this ends soon */
    do {
        random_bytes(&id, sizeof(id));
    } while (find_query(u, id) != NULL);
    return id;
}

static void close_port(struct udp_port *p);

/* Removes the query from all lists; closes its port if no more answers are due there. */
static void release(struct udp_query *q)
{
    struct udp_port *p = q->port;

    list_remove(&q->link);
    list_remove(&q->bucket);
    q->port = NULL;
    if (p == NULL) {
        return;
    }
    p->pending -= 1;
    if (p->pending == 0 && p != p->udp->newest) {
        close_port(p);
    }
}

static void finish(struct udp *u, struct udp_query *q, enum udp_status status, uint8_t *packet, size_t len)
{
    release(q);
    u->cb(q, status, packet, len);
}

/* Calls back the queries whose sending failed; a deferred call. */
static void on_fail(void *arg)
{
    struct udp *u = arg;

    list_move_all(&u->failed, &u->round);
    while (!list_empty(&u->round)) {
        finish(u, container_of(u->round.next, struct udp_query, link), UDP_NETWORK, NULL, 0);
    }
}

static void fail_query(struct udp *u, struct udp_query *q)
{
    release(q);
    list_push_back(&u->failed, &q->link);
    loop_defer(u->loop, &u->fail);
}

static void on_expire(void *arg)
{
    struct udp *u = arg;
    uint64_t now = loop_now(u->loop);

    while (!u->closed && !list_empty(&u->waiting)) {
        struct udp_query *q = container_of(u->waiting.next, struct udp_query, link);

        if (q->due_ms > now) {
            timer_start_at(&u->expire, q->due_ms);
            return;
        }
        finish(u, q, UDP_TIMEOUT, NULL, 0);
    }
}

/* ---- ports ---- */

/* This may run inside the watch's own callback. */
static void close_port(struct udp_port *p)
{
    int fd = p->watch.fd;

    if (p->closed) {
        return;
    }
    p->closed = true;
    watch_stop(&p->watch);
    close(fd);
    list_remove(&p->link);
    if (p == p->udp->newest) {
        p->udp->newest = NULL;
    }
    loop_bury(p->udp->loop, &p->grave, free, p);
}

/* The port is unusable: fails all its questions, including those not yet sent. */
static void fail_port(struct udp_port *p)
{
    struct udp *u = p->udp;
    struct list_node *n, *tmp;

    if (p == u->newest) {
        timer_stop(&u->again);
        u->out_count = u->again_count = 0;
    }
    LIST_EACH(&u->waiting, n, tmp)
    {
        struct udp_query *q = container_of(n, struct udp_query, link);

        if (q->port == p) {
            fail_query(u, q);
        }
    }
    close_port(p);
}

static void on_readable(unsigned ready, void *arg);

static struct udp_port *open_port(struct udp *u)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(&u->settings.server, &to);
    static const int size = ONE_PORT_BUFFER;
    int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct udp_port *p;

    if (fd < 0) {
        return NULL;
    }
    if (u->settings.one_port) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    if (connect(fd, (const struct sockaddr *)&to, len) != 0) {
        close(fd);
        return NULL;
    }
    p = xcalloc(1, sizeof(*p));
    p->udp = u;
    p->born_ms = loop_now(u->loop);
    list_node_init(&p->link);
    list_push_back(&u->ports, &p->link);
    watch_init(&p->watch, u->loop, fd, on_readable, p);
    watch_set(&p->watch, WATCH_READ);
    return p;
}

static void flush(struct udp *u);

/* Is it time for a new port?  Not while questions of this one wait for room in the send buffer. */
static bool is_worn(struct udp *u, const struct udp_port *p)
{
    if (u->settings.one_port || timer_active(&u->again) ||
        (p->carried < PORT_QUESTIONS && loop_now(u->loop) - p->born_ms < PORT_MS)) {
        return false;
    }
    return udp_ports(u) < PORTS_MAX;
}

/* Returns the port for the next question; NULL: opening one failed. */
static struct udp_port *current_port(struct udp *u)
{
    struct udp_port *old = u->newest;

    if (old != NULL && is_worn(u, old)) {
        flush(u); /* may find the port unusable and close it */
        old = u->newest;
        u->newest = NULL;
        if (old != NULL && old->pending == 0) {
            close_port(old);
        }
    }
    if (u->newest == NULL) {
        u->newest = open_port(u);
    }
    return u->newest;
}

size_t udp_ports(const struct udp *u)
{
    size_t count = 0;

    for (const struct list_node *n = u->ports.next; n != &u->ports; n = n->next) {
        count += 1;
    }
    return count;
}

/* ---- sending ---- */

/* Gives the group to the kernel; returns how many it took.  *error: of the next one (0: all taken). */
static unsigned send_group(struct udp *u, int *error)
{
    struct mmsghdr msg[GROUP];
    struct iovec iov[GROUP];
    unsigned sent = 0;
    int n;

    for (unsigned i = 0; i < u->out_count; i++) {
        iov[i] = (struct iovec){ u->out[i], u->out_len[i] };
        msg[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1 } };
    }
    *error = 0;
    while (sent < u->out_count) {
        n = sendmmsg(u->newest->watch.fd, msg + sent, u->out_count - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            *error = errno;
            break;
        }
        sent += (unsigned)n;
    }
    return sent;
}

/* Moves unsent questions to the front and starts the timer for a retry. */
static void keep_rest(struct udp *u, unsigned sent)
{
    for (unsigned i = sent; i < u->out_count; i++) {
        memcpy(u->out[i - sent], u->out[i], u->out_len[i]);
        u->out_len[i - sent] = u->out_len[i];
    }
    u->out_count -= sent;
    timer_start(&u->again, AGAIN_MS);
}

static void flush(struct udp *u)
{
    unsigned sent;
    int error;

    if (u->newest == NULL || u->out_count == 0) {
        return;
    }
    sent = send_group(u, &error);
    u->again_count = sent > 0 || error == 0 ? 0 : u->again_count + 1;
    if ((error == EAGAIN || error == ENOBUFS || error == ENOMEM) && u->again_count <= AGAIN_MAX) {
        keep_rest(u, sent);
        return;
    }
    u->again_count = 0;
    u->out_count = 0;
    if (error != 0) {
        fail_port(u->newest);
    }
}

static void on_end_of_turn(void *arg)
{
    struct udp *u = arg;

    if (!timer_active(&u->again)) {
        flush(u);
    }
}

static void on_again(void *arg)
{
    struct udp *u = arg;

    loop_at_end(u->loop, &u->leave);
}

static void put_out(struct udp *u, const struct wire_question *q)
{
    if (u->out_count == GROUP && !timer_active(&u->again)) {
        flush(u);
    }
    if (u->out_count == GROUP) {
        return; /* lost, as on the network */
    }
    u->out_len[u->out_count] = wire_put_query(u->out[u->out_count], q);
    u->out_count++;
    loop_at_end(u->loop, &u->leave);
}

void udp_send(struct udp *u, struct udp_query *q)
{
    struct udp_port *p = current_port(u);

    list_node_init(&q->link);
    list_node_init(&q->bucket);
    q->port = NULL;
    if (p == NULL) {
        fail_query(u, q);
        return;
    }
    q->q.id = take_id(u);
    q->port = p;
    q->due_ms = loop_now(u->loop) + u->settings.timeout_ms;
    p->carried += 1;
    p->pending += 1;
    list_push_back(&u->waiting, &q->link);
    list_push_back(bucket_of(u, q->q.id), &q->bucket);
    if (!timer_active(&u->expire)) {
        timer_start_at(&u->expire, q->due_ms);
    }
    put_out(u, &q->q);
}

/* ---- receiving ---- */

enum echo { ECHO_NONE = 0, ECHO_EXACT, ECHO_LETTERS };

static unsigned u16_at(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* Does the packet repeat the question as sent?  A failing server may omit it (RFC 1035 4.1.1). */
static enum echo echo_of(const struct wire_question *q, const uint8_t *packet, size_t len)
{
    const uint8_t *name = packet + HEADER_LEN, *type = name + q->name.len;
    unsigned rcode = packet[3] & 15, count = u16_at(packet + 4);

    if (count == 0) {
        return rcode != 0 && rcode != 3 ? ECHO_EXACT : ECHO_NONE;
    }
    if (count != 1 || len < HEADER_LEN + (size_t)q->name.len + 4 || u16_at(type) != q->type ||
        u16_at(type + 2) != 1) {
        return ECHO_NONE;
    }
    if (memcmp(name, q->name.octets, q->name.len) == 0) {
        return ECHO_EXACT;
    }
    return slice_eq_nocase(slice_of(name, q->name.len), slice_of(q->name.octets, q->name.len)) ? ECHO_LETTERS
                                                                                               : ECHO_NONE;
}

static void lower_question(const struct wire_question *q, uint8_t *packet)
{
    if (u16_at(packet + 4) == 0) {
        return;
    }
    for (size_t i = 0; i < q->name.len; i++) {
        packet[HEADER_LEN + i] = (uint8_t)ascii_lower((char)packet[HEADER_LEN + i]);
    }
}

static void take_packet(struct udp_port *p, uint8_t *packet, size_t len)
{
    struct udp *u = p->udp;
    struct udp_query *q =
        len >= HEADER_LEN && (packet[2] & 0x80) != 0 ? find_query(u, (uint16_t)u16_at(packet)) : NULL;
    enum echo echo = q != NULL && q->port == p ? echo_of(&q->q, packet, len) : ECHO_NONE;

    switch (echo) {
    case ECHO_NONE:
        count(M_DNS_STRAYS);
        break;
    case ECHO_EXACT:
        if (!u->settings.one_port) {
            lower_question(&q->q, packet);
        }
        finish(u, q, UDP_ANSWER, packet, len);
        break;
    case ECHO_LETTERS:
        finish(u, q, UDP_LETTERS, NULL, 0);
        break;
    }
}

/* Reads the next group; returns the number of datagrams.  -1: none now; -2: the port is unusable. */
static int read_group(struct udp_port *p, size_t len[GROUP])
{
    struct mmsghdr msg[GROUP];
    struct iovec iov[GROUP];
    int n;

    for (unsigned i = 0; i < GROUP; i++) {
        iov[i] = (struct iovec){ p->udp->in[i], ANSWER_MAX };
        msg[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1 } };
    }
    do {
        n = recvmmsg(p->watch.fd, msg, GROUP, MSG_DONTWAIT, NULL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN || errno == ENOMEM ? -1 : -2;
    }
    for (int i = 0; i < n; i++) {
        len[i] = msg[i].msg_len;
    }
    return n;
}

static void on_readable(unsigned ready UNUSED, void *arg)
{
    struct udp_port *p = arg;
    size_t len[GROUP];
    int n = GROUP;

    for (int i = 0; i < GROUPS_A_TURN && n == GROUP && !p->closed; i++) {
        n = read_group(p, len);
        for (int k = 0; k < n && !p->closed; k++) {
            take_packet(p, p->udp->in[k], len[k]);
        }
    }
    if (n == -2 && !p->closed) {
        fail_port(p);
    }
}

/* ---- lifecycle ---- */

struct udp *udp_new(struct loop *l, const struct udp_settings *settings, udp_cb cb)
{
    struct udp *u = xcalloc(1, sizeof(*u));

    u->loop = l;
    u->settings = *settings;
    u->cb = cb;
    list_init(&u->ports);
    list_init(&u->waiting);
    list_init(&u->failed);
    list_init(&u->round);
    for (size_t i = 0; i < BUCKETS; i++) {
        list_init(&u->bucket[i]);
    }
    timer_init(&u->expire, l, on_expire, u);
    timer_init(&u->again, l, on_again, u);
    deferred_init(&u->fail, on_fail, u);
    deferred_init(&u->leave, on_end_of_turn, u);
    return u;
}

static void forget_all(struct list_node *queries)
{
    struct list_node *n;

    while ((n = list_pop(queries)) != NULL) {
        struct udp_query *q = container_of(n, struct udp_query, link);

        list_remove(&q->bucket);
        q->port = NULL;
    }
}

void udp_free(struct udp *u)
{
    if (u == NULL || u->closed) {
        return;
    }
    u->closed = true;
    timer_stop(&u->expire);
    timer_stop(&u->again);
    deferred_cancel(&u->fail);
    deferred_cancel(&u->leave);
    forget_all(&u->waiting);
    forget_all(&u->failed);
    forget_all(&u->round);
    while (!list_empty(&u->ports)) {
        close_port(container_of(u->ports.next, struct udp_port, link));
    }
    loop_bury(u->loop, &u->grave, free, u); /* a callback may be on the stack */
}
