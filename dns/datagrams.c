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
 * Owns     the two groups.  The descriptors are c-ares', it closes them through us.
 * Limits   GROUP datagrams in each; when `out` is full it leaves at once.
 */
#include "dns/datagrams.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "dns/wire.h"

#define GROUP 16
#define ANSWER_MAX (WIRE_EDNS_SIZE + 1) /* one more: what is longer than it may be is seen to be */

struct datagrams {
    struct loop *loop;
    struct deferred leave; /* flush() at the end of the turn */
    ares_channel channel;
    int rcvbuf;
    int udp;   /* -1: none open */
    int error; /* of sending, to be told by the next read; 0: none */

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
    d->out_count = d->in_count = d->in_at = 0;
    d->error = 0;
    d->drained = false;
}

static void flush(struct datagrams *d)
{
    struct mmsghdr msg[GROUP];
    struct iovec iov[GROUP];
    unsigned sent = 0, count = d->out_count;

    d->out_count = 0;
    if (d->udp < 0) {
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        iov[i] = (struct iovec){ d->out[i], d->out_len[i] };
        msg[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1 } };
    }
    while (sent < count) {
        int n = sendmmsg(d->udp, msg + sent, count - sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            d->error = errno;
            return;
        }
        sent += (unsigned)n;
        if (sent < count) { /* the kernel keeps the reason to itself: most likely the port is closed */
            d->error = ECONNREFUSED;
        }
    }
}

static void on_end_of_turn(void *arg)
{
    struct datagrams *d = arg;

    flush(d);
    if (d->error != 0 && d->udp >= 0) {
        ares_process_fd(d->channel, d->udp, ARES_SOCKET_BAD);
    }
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
    if (d->out_count == GROUP) {
        flush(d);
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
    ares_set_socket_functions(channel, &functions, d);
    return d;
}

void datagrams_free(struct datagrams *d)
{
    deferred_cancel(&d->leave);
    free(d);
}
