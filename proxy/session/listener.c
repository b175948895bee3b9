/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.c - accepts clients, sends refusals they can read, pauses when out of descriptors.
 *
 * It accepts a few connections a turn, so that sessions do not wait behind a flood (L13).  Most connections come
 * alone, and a second accept() costs a system call.  So after one that found none, it relies on the poll for a while.
 *
 * A refusal is a whole reply that lingers until the client reads it (LIM-13).  Only far above the limit does it
 * close a connection without a reply (GRT-06).  With no descriptor left, it briefly closes a reserved one to refuse
 * one client, then pauses (LIM-15): the other clients wait in the kernel's queue.
 */
#include "proxy/session/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "core/stream.h"
#include "proxy/session/limits.h"
#include "proxy/session/proxy_wait.h"
#include "proxy/session/session.h"
#include "smtp/smtp_reply.h"
#include "state/clients.h"

#define ACCEPT_A_TURN 16
#define ALONE_TURNS 16
#define PAUSE_MS 200
#define LINGER_MS 2000

static const struct {
    enum reply_id reply;
    enum metric metric;
    const char *name;
} refusals[] = {
    [ADMIT_PER_CLIENT] = { REPLY_CLIENT_CONNECTIONS, M_REFUSED_PER_CLIENT, "per_client" },
    [ADMIT_PER_NETWORK] = { REPLY_CLIENT_CONNECTIONS, M_REFUSED_PER_NETWORK, "per_network" },
    [ADMIT_RATE] = { REPLY_CLIENT_RATE, M_REFUSED_RATE, "rate" },
    [ADMIT_BANNED] = { REPLY_BANNED, M_REFUSED_BANNED, "banned" },
};

static void log_refusal(struct listener *l, const struct addr *peer, const char *limit)
{
    struct log_line line;
    uint32_t before;

    if (!log_allowed(&l->log, loop_now(l->worker->loop), 1, &before) ||
        !log_begin(&line, LOG_LEVEL_INFO, "refused")) {
        return;
    }
    log_ip(&line, "client", peer);
    log_text(&line, "limit", limit);
    log_num(&line, "suppressed", before);
    log_end(&line);
}

/* Sends a complete reply, then closes so that it can be read.  A TLS client cannot read it and only sees the close. */
static void refuse(struct listener *l, int fd, enum reply_id id)
{
    static const struct stream_events no_events = { 0 };
    struct stream *s = stream_new(l->worker->loop, fd, &no_events, NULL);
    struct buf b;

    buf_init(&b, REPLY_LINE_MAX);
    reply_write(&b, &reply_table[id], true, false, SLICE_NONE);
    if (l->conf->tls != TLS_MODE_IMPLICIT) {
        stream_write(s, buf_slice(&b));
    }
    buf_fini(&b);
    stream_linger(&s, LINGER_MS);
}

/* Is there room?  If not, closes the descriptor. */
static bool room_for(struct listener *l, int fd, const struct addr *peer)
{
    switch (limits_total(l->worker)) {
    case LIMITS_ROOM:
        return true;
    case LIMITS_FULL:
        count(M_REFUSED_CONNECTIONS);
        log_refusal(l, peer, "connections");
        refuse(l, fd, REPLY_TOO_MANY_CONNECTIONS);
        return false;
    case LIMITS_FLOOD:
        count(M_REFUSED_SILENT);
        log_refusal(l, peer, "hard");
        close(fd);
        return false;
    }
    return true;
}

/* A peer that may name another client does not count under its own address. */
static bool is_trusted(const struct config_listener *lc, const struct addr *peer)
{
    for (size_t i = 0; (lc->proxy_protocol || lc->xclient) && i < lc->trusted_count; i++) {
        if (cidr_contains(&lc->trusted[i], peer)) {
            return true;
        }
    }
    return false;
}

void listener_admit(struct listener *l, int fd, const struct session_client *client)
{
    struct session_client c = *client;
    struct limits_admission a;
    bool announced = c.via.family != ADDR_NONE;

    c.trusted = !announced && is_trusted(l->conf, &c.peer);
    if (c.trusted) {
        a = limits_admit_trusted(l->worker, &c.peer);
    } else {
        a = limits_admit(l->worker, &c.peer, announced);
    }
    if (a.result != ADMIT_OK) {
        count(refusals[a.result].metric);
        log_refusal(l, &c.peer, refusals[a.result].name);
        refuse(l, fd, refusals[a.result].reply);
        return;
    }
    c.counted = a.counted;
    c.exempt = a.exempt;
    session_accept(l->worker, l->conf, fd, &c);
}

static void take_client(struct listener *l, int fd, const struct addr *peer)
{
    struct session_client c = { .peer = *peer };

    if (l->conf->proxy_protocol && !is_trusted(l->conf, peer)) { /* PXY-12 */
        count(M_PROXY_UNTRUSTED);
        log_refusal(l, peer, "untrusted");
        close(fd);
        return;
    }
    if (!room_for(l, fd, peer)) {
        return;
    }
    c.local = l->any ? addr_of_socket(fd) : l->local;
    if (l->conf->proxy_protocol) {
        proxy_wait_start(l, fd, &c);
    } else {
        listener_admit(l, fd, &c);
    }
}

/* Refuses one waiting client through the reserved descriptor. */
static void refuse_by_reserve(struct listener *l)
{
    static const char text[] = "421 4.3.2 Too many connections, please try again later\r\n";
    int fd;

    if (l->reserve < 0) {
        return;
    }
    close(l->reserve);
    fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        count(M_REFUSED_CONNECTIONS);
        if (l->conf->tls != TLS_MODE_IMPLICIT) {
            (void)send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void pause_accepting(struct listener *l, int err)
{
    struct log_line line;
    uint32_t before;

    count(M_ACCEPT_PAUSED);
    watch_set(&l->watch, 0);
    timer_start(&l->pause, PAUSE_MS);
    refuse_by_reserve(l);
    if (!log_allowed(&l->log, loop_now(l->worker->loop), 1, &before) ||
        !log_begin(&line, LOG_LEVEL_WARN, "accept_paused")) {
        return;
    }
    log_text(&line, "error", strerror(err));
    log_num(&line, "suppressed", before);
    log_end(&line);
}

static void on_pause_over(void *arg)
{
    struct listener *l = arg;

    if (l->fd >= 0 && !l->worker->draining) {
        watch_set(&l->watch, WATCH_READ);
    }
}

static void on_acceptable(unsigned ready, void *arg)
{
    struct listener *l = arg;
    unsigned most = l->alone > 0 ? 1 : ACCEPT_A_TURN;

    (void)ready;
    l->alone -= l->alone > 0 ? 1 : 0;
    for (unsigned i = 0; i < most; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof(sa);
        struct addr peer;
        int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            pause_accepting(l, errno);
            return;
        }
        if (fd < 0 && errno == EAGAIN) {
            l->alone = i <= 1 ? ALONE_TURNS : 0;
            return;
        }
        if (fd < 0) {
            continue; /* this client has already gone (ECONNABORTED and the like) */
        }
        peer = addr_from_sockaddr((struct sockaddr *)&sa);
        take_client(l, fd, &peer);
    }
}

static void on_close(void *arg)
{
    struct listener *l = arg;

    if (l->fd >= 0) {
        close(l->fd);
    }
    l->fd = -1;
}

/* A wildcard address: each client may then have reached a different local address. */
static bool is_any(const struct addr *a)
{
    static const uint8_t zero[sizeof(a->ip)];

    return a->family == ADDR_NONE || memcmp(a->ip, zero, sizeof(zero)) == 0;
}

void listener_open(struct listener *l, struct worker *w, const struct worker_socket *sock)
{
    static const int on = 1;

    memset(l, 0, sizeof(*l));
    l->worker = w;
    l->conf = sock->conf;
    l->fd = sock->fd;
    l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    l->local = addr_of_socket(l->fd);
    l->any = is_any(&l->local);
    (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* accepted sockets inherit it */
    timer_init(&l->pause, w->loop, on_pause_over, l);
    timer_init(&l->closing, w->loop, on_close, l);
    watch_init(&l->watch, w->loop, l->fd, on_acceptable, l);
    watch_set(&l->watch, WATCH_READ);
}

void listener_close(struct listener *l)
{
    timer_stop(&l->pause);
    watch_stop(&l->watch);
    if (l->fd >= 0 && !timer_active(&l->closing)) {
        timer_start(&l->closing, 1);
    }
}

void listener_fini(struct listener *l)
{
    timer_stop(&l->pause);
    timer_stop(&l->closing);
    watch_stop(&l->watch);
    on_close(l);
    if (l->reserve >= 0) {
        close(l->reserve);
    }
    l->reserve = -1;
}
