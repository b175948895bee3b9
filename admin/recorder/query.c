/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.c - the transport of the socket `query` (query.h).
 *
 * One epoll set holds the listening socket, the clients, the socket over which the supervisor sends a replacement for
 * the listening one, and the descriptor that wakes the recorder's loop.  The loop waits for the set (http.h: wake_fd).
 */
#include "admin/recorder/query.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/log.h"
#include "core/loop.h"

#define EVENTS 8
#define PAUSE_MS 1000
#define FINISH_TURN_MS 20
#define REFUSED_S 60

struct client {
    int fd; /* -1: free */
    uid_t uid;
    uint64_t deadline_ms;
    char line[QUERY_LINE];
    size_t len;
    struct buf out; /* the answer */
    size_t sent;
    bool answered;
};

struct query {
    int epoll_fd, listen_fd, handover_fd;
    uid_t owner;
    const struct recorder_view *view;
    uint64_t paused_until_ms; /* retry accepting then, because it failed; 0: it works */
    struct log_limit refused;
    struct client client[QUERY_CLIENTS];
};

static bool watch(const struct query *q, int fd, uint32_t events, void *who)
{
    struct epoll_event e = { .events = events, .data = { .ptr = who } };

    return epoll_ctl(q->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0 ||
           (errno == EEXIST && epoll_ctl(q->epoll_fd, EPOLL_CTL_MOD, fd, &e) == 0);
}

static void drop(struct client *c)
{
    if (c->fd >= 0) {
        close(c->fd); /* which also removes it from the set */
    }
    c->fd = -1;
    buf_fini(&c->out);
}

/* ---- accepting ---- */

static bool may_ask(struct query *q, int fd, uid_t *uid, uint64_t now_ms)
{
    struct ucred peer = { 0, (uid_t)-1, (gid_t)-1 };
    socklen_t len = sizeof(peer);
    uint32_t before;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        return false;
    }
    *uid = peer.uid;
    if (peer.uid == 0 || peer.uid == q->owner) {
        return true;
    }
    if (log_allowed(&q->refused, now_ms, REFUSED_S, &before)) {
        log_msg(LOG_LEVEL_WARN, "query_refused",
                "User %lu may not use the socket `query`; only root and the user who started glacis may",
                (unsigned long)peer.uid);
    }
    return false;
}

/* Without descriptors the socket stays readable, so pause accepting instead of spinning. */
static void pause_accepting(struct query *q, uint64_t now_ms)
{
    q->paused_until_ms = now_ms + PAUSE_MS;
    (void)epoll_ctl(q->epoll_fd, EPOLL_CTL_DEL, q->listen_fd, NULL);
}

static void resume_accepting(struct query *q, uint64_t now_ms)
{
    if (q->paused_until_ms == 0 || now_ms < q->paused_until_ms) {
        return;
    }
    q->paused_until_ms = 0;
    (void)!watch(q, q->listen_fd, EPOLLIN, &q->listen_fd);
}

static void take_client(struct query *q, uint64_t now_ms)
{
    struct client *c = NULL;
    uid_t uid = 0;
    int fd = accept4(q->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    for (size_t i = 0; i < QUERY_CLIENTS && c == NULL; i++) {
        c = q->client[i].fd < 0 ? &q->client[i] : NULL;
    }
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            pause_accepting(q, now_ms);
        }
        return;
    }
    if (c == NULL || !may_ask(q, fd, &uid, now_ms) || !watch(q, fd, EPOLLIN, c)) {
        close(fd);
        return;
    }
    c->fd = fd;
    c->uid = uid;
    c->deadline_ms = now_ms + QUERY_MS;
    c->len = c->sent = 0;
    c->answered = false;
    buf_init(&c->out, QUERY_ANSWER_MAX);
}

/* ---- answering ---- */

static void send_answer(struct query *q, struct client *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.ptr + c->sent, c->out.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN && watch(q, c->fd, EPOLLOUT, c)) {
            return;
        }
        if (n <= 0) {
            break;
        }
        c->sent += (size_t)n;
    }
    drop(c);
}

static void answer(struct query *q, struct client *c, struct slice line)
{
    c->answered = true;
    query_run(q->view, c->uid, slice_trim(slice_take(line, slice_find(line, '\r'))), &c->out);
    if (!buf_ok(&c->out)) {
        buf_reset(&c->out);
        buf_put_str(&c->out, "error\nThe answer is too long.\n");
    }
    send_answer(q, c);
}

static void read_line(struct query *q, struct client *c)
{
    ssize_t n = read(c->fd, c->line + c->len, sizeof(c->line) - c->len);
    struct slice got;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        drop(c);
        return;
    }
    c->len += (size_t)n;
    got = slice_of(c->line, c->len);
    if (slice_find(got, '\n') < got.len) {
        answer(q, c, slice_take(got, slice_find(got, '\n')));
    } else if (c->len == sizeof(c->line)) {
        drop(c);
    }
}

/* ---- a new listening socket ---- */

static int receive_fd(int from)
{
    char octet;
    struct iovec iov = { &octet, 1 };
    union {
        struct cmsghdr align;
        char mem[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.mem, .msg_controllen = sizeof(control.mem)
    };
    struct cmsghdr *c;
    int fd = -1;

    if (recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) {
        return -1;
    }
    c = CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    }
    return fd;
}

static void take_socket(struct query *q)
{
    int fd = receive_fd(q->handover_fd);

    if (fd < 0) {
        return;
    }
    if (!watch(q, fd, EPOLLIN, &q->listen_fd)) {
        close(fd);
        return;
    }
    if (q->listen_fd >= 0) {
        close(q->listen_fd);
    }
    q->listen_fd = fd;
    q->paused_until_ms = 0;
}

/* ---- the public part ---- */

struct query *query_new(int listen_fd, int handover_fd, int wake_fd, uid_t owner,
                        const struct recorder_view *view)
{
    struct query *q = xcalloc(1, sizeof(*q));

    q->listen_fd = listen_fd;
    q->handover_fd = handover_fd;
    q->owner = owner;
    q->view = view;
    for (size_t i = 0; i < QUERY_CLIENTS; i++) {
        q->client[i].fd = -1;
    }
    q->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (q->epoll_fd < 0 || !watch(q, wake_fd, EPOLLIN, NULL) ||
        (listen_fd >= 0 && !watch(q, listen_fd, EPOLLIN, &q->listen_fd)) ||
        (handover_fd >= 0 && !watch(q, handover_fd, EPOLLIN, &q->handover_fd))) {
        query_free(&q);
    }
    return q;
}

void query_free(struct query **qp)
{
    struct query *q = *qp;
    const int fds[] = { q != NULL ? q->epoll_fd : -1, q != NULL ? q->listen_fd : -1,
                        q != NULL ? q->handover_fd : -1 };

    for (size_t i = 0; q != NULL && i < QUERY_CLIENTS; i++) {
        drop(&q->client[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(q);
    *qp = NULL;
}

int query_fd(const struct query *q)
{
    return q->epoll_fd;
}

static void one_event(struct query *q, void *who, uint64_t now_ms)
{
    struct client *c = who;

    if (who == NULL) { /* wake_fd: the recorder reads it */
        return;
    }
    if (who == &q->handover_fd) {
        take_socket(q);
    } else if (who == &q->listen_fd) {
        take_client(q, now_ms);
    } else if (c->fd >= 0 && c->answered) {
        send_answer(q, c);
    } else if (c->fd >= 0) {
        read_line(q, c);
    }
}

static void wait_and_turn(struct query *q, uint64_t now_ms, int wait_ms)
{
    struct epoll_event e[EVENTS];
    int n = epoll_wait(q->epoll_fd, e, EVENTS, wait_ms);

    for (int i = 0; i < n; i++) {
        one_event(q, e[i].data.ptr, now_ms);
    }
    for (size_t i = 0; i < QUERY_CLIENTS; i++) {
        if (q->client[i].fd >= 0 && now_ms >= q->client[i].deadline_ms) {
            drop(&q->client[i]);
        }
    }
}

void query_turn(struct query *q, uint64_t now_ms)
{
    wait_and_turn(q, now_ms, 0);
    resume_accepting(q, now_ms);
}

static bool has_clients(const struct query *q)
{
    for (size_t i = 0; i < QUERY_CLIENTS; i++) {
        if (q->client[i].fd >= 0) {
            return true;
        }
    }
    return false;
}

void query_finish(struct query *q, unsigned ms)
{
    uint64_t now = loop_now_us() / 1000, end = now + ms;

    if (q->listen_fd >= 0) {
        (void)epoll_ctl(q->epoll_fd, EPOLL_CTL_DEL, q->listen_fd, NULL);
    }
    for (; has_clients(q) && now < end; now = loop_now_us() / 1000) {
        wait_and_turn(q, now, FINISH_TURN_MS);
    }
}
