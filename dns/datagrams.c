/*
 * datagrams.c - c-ares' socket functions: sendmmsg() and recvmmsg() for UDP, plain ones for TCP.
 *
 *     ares_send -> put() -> out[] --- end of turn ---> sendmmsg
 *     descriptor ready -> ares_process_fd -> take() -> in[] <--- recvmmsg, when it is empty
 *
 * A channel has one server, so it has at most one UDP socket at a time, and it is connected: answers come
 * from that server's address or not at all.  c-ares reads until there is no more; a group that was not full
 * says so without a further call.
 *
 * A kernel that has no room (EAGAIN, ENOBUFS) is no error of the server's: what did not go is kept and tried
 * again after a moment.  What finds no place meanwhile is lost as it might be on the wire: its question has a
 * timeout.
 *
 * Owns     the two groups.  The descriptors are c-ares', it closes them through us.
 * Limits   GROUP datagrams in each; when `out` is full it leaves at once.  AGAIN_MAX tries without any
 *          progress, then it is an error after all.
 */
#include "dns/datagrams.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "dns/wire.h"

#define GROUP 16
#define AGAIN_MS 5
#define AGAIN_MAX 100
#define ANSWER_MAX (WIRE_EDNS_SIZE + 1) /* one more: what is longer than it may be is seen to be */

struct datagrams {
    struct loop *loop;
    struct deferred leave; /* flush() at the end of the turn */
    ares_channel channel;
    int rcvbuf;
    int udp;   /* -1: none open */
    int error; /* of sending, to be told by the next read; 0: none */

    struct timer again;   /* active: the kernel had no room */
    unsigned again_count; /* tries since something went */
    unsigned out_count;
    size_t out_len[GROUP];
    uint8_t out[GROUP][WIRE_QUERY_MAX];

    unsigned in_count, in_at; /* read, and given to c-ares */
    bool drained;             /* the last group was not full */
    size_t in_len[GROUP];
    struct sockaddr_storage from[GROUP];
    socklen_t from_len[GROUP];
    uint8_t in[GROUP][ANSWER_MAX];
};

/* ---- sending ---- */

static void forget(struct datagrams *d)
{
    timer_stop(&d->again);
    d->again_count = 0;
    d->out_count = d->in_count = d->in_at = 0;
    d->error = 0;
    d->drained = false;
}

/* Hands the group to the kernel; how many went, and what was said of the next one (0: all went). */
static unsigned send_group(struct datagrams *d, int *error)
{
    struct mmsghdr msg[GROUP];
    struct iovec iov[GROUP];
    unsigned sent = 0;
    int n;

    for (unsigned i = 0; i < d->out_count; i++) {
        iov[i] = (struct iovec){ d->out[i], d->out_len[i] };
        msg[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1 } };
    }
    *error = 0;
    while (sent < d->out_count) {
        n = sendmmsg(d->udp, msg + sent, d->out_count - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            *error = errno;
            break;
        }
        if (sent > 0) { /* it stopped without a reason, and goes on: a closed port said so meanwhile */
            d->error = ECONNREFUSED;
        }
        sent += (unsigned)n;
    }
    return sent;
}

/* Moves those that did not go to the front, and comes back to them. */
static void keep_rest(struct datagrams *d, unsigned sent)
{
    for (unsigned i = sent; i < d->out_count; i++) {
        memcpy(d->out[i - sent], d->out[i], d->out_len[i]);
        d->out_len[i - sent] = d->out_len[i];
    }
    d->out_count -= sent;
    timer_start(&d->again, AGAIN_MS);
}

static void flush(struct datagrams *d)
{
    unsigned sent;
    int error;

    if (d->udp < 0 || d->out_count == 0) {
        d->out_count = 0;
        return;
    }
    sent = send_group(d, &error);
    d->again_count = sent > 0 || error == 0 ? 0 : d->again_count + 1;
    if ((error == EAGAIN || error == ENOBUFS || error == ENOMEM) && d->again_count <= AGAIN_MAX) {
        keep_rest(d, sent);
        return;
    }
    d->again_count = 0;
    d->out_count = 0;
    d->error = error != 0 ? error : d->error;
}

static void on_end_of_turn(void *arg)
{
    struct datagrams *d = arg;

    if (!timer_active(&d->again)) {
        flush(d);
    }
    if (d->error != 0 && d->udp >= 0) {
        ares_process_fd(d->channel, d->udp, ARES_SOCKET_BAD);
    }
}

/* At the end of the turn, like any other sending: c-ares may be told of an error there. */
static void on_again(void *arg)
{
    struct datagrams *d = arg;

    loop_at_end(d->loop, &d->leave);
}

static bool put(struct datagrams *d, const struct iovec *iov, int count)
{
    size_t len = 0;

    for (int i = 0; i < count; i++) {
        len += iov[i].iov_len;
    }
    if (len > WIRE_QUERY_MAX) {
        return false;
    }
    if (d->out_count == GROUP && !timer_active(&d->again)) {
        flush(d);
    }
    if (d->out_count == GROUP) {
        return true;
    }
    d->out_len[d->out_count] = 0;
    for (int i = 0; i < count; i++) {
        memcpy(d->out[d->out_count] + d->out_len[d->out_count], iov[i].iov_base, iov[i].iov_len);
        d->out_len[d->out_count] += iov[i].iov_len;
    }
    d->out_count++;
    loop_at_end(d->loop, &d->leave);
    return true;
}

static ares_ssize_t send_octets(ares_socket_t fd, const struct iovec *iov, int count, void *arg)
{
    struct datagrams *d = arg;
    struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count };
    size_t len = 0;

    if (fd == d->udp && put(d, iov, count)) {
        for (int i = 0; i < count; i++) {
            len += iov[i].iov_len;
        }
        return (ares_ssize_t)len;
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

/* ---- receiving ---- */

/* The next group from the kernel; false with errno set. */
static bool read_group(struct datagrams *d)
{
    struct mmsghdr msg[GROUP];
    struct iovec iov[GROUP];
    int n;

    for (unsigned i = 0; i < GROUP; i++) {
        iov[i] = (struct iovec){ d->in[i], ANSWER_MAX };
        msg[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i],
                                                .msg_iovlen = 1,
                                                .msg_name = &d->from[i],
                                                .msg_namelen = sizeof(d->from[i]) } };
    }
    do {
        n = recvmmsg(d->udp, msg, GROUP, MSG_DONTWAIT, NULL);
    } while (n < 0 && errno == EINTR);
    d->in_at = 0;
    d->in_count = n > 0 ? (unsigned)n : 0;
    d->drained = n < GROUP;
    for (unsigned i = 0; i < d->in_count; i++) {
        d->in_len[i] = msg[i].msg_len;
        d->from_len[i] = msg[i].msg_hdr.msg_namelen;
    }
    return n > 0;
}

static ares_ssize_t take(struct datagrams *d, void *mem, size_t room, struct sockaddr *from,
                         socklen_t *from_len)
{
    unsigned i;
    size_t len;

    if (d->error != 0) {
        errno = d->error;
        d->error = 0;
        return -1;
    }
    if (d->in_at == d->in_count && d->drained) {
        errno = EAGAIN;
        return -1;
    }
    if (d->in_at == d->in_count && !read_group(d)) {
        return -1;
    }
    i = d->in_at++;
    len = min_size(d->in_len[i], room);
    memcpy(mem, d->in[i], len);
    if (from != NULL && from_len != NULL) {
        memcpy(from, &d->from[i], min_size(*from_len, d->from_len[i]));
        *from_len = d->from_len[i];
    }
    return (ares_ssize_t)len;
}

/* The parameters are those of c-ares. */
/* NOLINTNEXTLINE(readability-function-size) */
static ares_ssize_t receive(ares_socket_t fd, void *mem, size_t room, int flags, struct sockaddr *from,
                            socklen_t *from_len, void *arg)
{
    struct datagrams *d = arg;

    if (fd == d->udp) {
        return take(d, mem, room, from, from_len);
    }
    return recvfrom(fd, mem, room, flags, from, from_len);
}

/* ---- sockets ---- */

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
    struct datagrams *d = arg;
    static const int on = 1;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    if (fd < 0) {
        return ARES_SOCKET_BAD;
    }
    if (type == SOCK_DGRAM) {
        forget(d);
        d->udp = fd;
        if (d->rcvbuf > 0) {
            (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &d->rcvbuf, sizeof(d->rcvbuf));
        }
    } else {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    return fd;
}

static int close_socket(ares_socket_t fd, void *arg)
{
    struct datagrams *d = arg;

    if (fd == d->udp) {
        d->udp = -1;
        forget(d);
    }
    return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len, void *arg)
{
    (void)arg;
    return connect(fd, to, len);
}

static const struct ares_socket_functions functions = {
    .asocket = open_socket,
    .aclose = close_socket,
    .aconnect = connect_socket,
    .arecvfrom = receive,
    .asendv = send_octets,
};

/* ---- for cares.c ---- */

void datagrams_readable(struct datagrams *d)
{
    d->drained = false;
}

struct datagrams *datagrams_new(struct loop *l, ares_channel channel, int rcvbuf)
{
    struct datagrams *d = xcalloc(1, sizeof(*d));

    d->loop = l;
    d->channel = channel;
    d->rcvbuf = rcvbuf;
    d->udp = -1;
    deferred_init(&d->leave, on_end_of_turn, d);
    timer_init(&d->again, l, on_again, d);
    ares_set_socket_functions(channel, &functions, d);
    return d;
}

void datagrams_free(struct datagrams *d)
{
    deferred_cancel(&d->leave);
    timer_stop(&d->again);
    free(d);
}
