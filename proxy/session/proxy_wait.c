/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wait.c - reads the PROXY header of a connection, and not one octet more.
 *
 * It peeks at the octets in the kernel's queue (MSG_PEEK) and takes out only the header.  So octets after it in
 * the same segment stay for the session: early talk, or a ClientHello (PXY-09).  It takes out an incomplete
 * header as it arrives, so that the poll does not spin; all those octets belong to the header.
 *
 * A second header is the client's text and a bad command (PXY-08).  A bad header, none within WAIT_MS, or an
 * end of file closes the connection without a reply (PXY-05, PXY-11): the peer is not a working balancer.
 */
#include "proxy/session/proxy_wait.h"

#include <errno.h>

#include "smtp/proxy_header.h"

#define WAIT_MS 5000

struct proxy_wait {
    struct list_node link; /* on worker.announced */
    struct listener *listener;
    struct session_client client; /* the socket's own addresses, until the header is complete */
    int fd;
    struct watch watch;
    struct timer deadline;
    struct grave grave;
    size_t len;
    char head[PROXY_HEADER_MAX];
};

/* Unlinks and frees it; the descriptor stays open. */
static int release(struct proxy_wait *a)
{
    struct worker *w = a->listener->worker;

    watch_stop(&a->watch);
    timer_stop(&a->deadline);
    list_remove(&a->link);
    w->proxy_wait_count--;
    loop_bury(w->loop, &a->grave, free, a);
    return a->fd;
}

static void give_up(struct proxy_wait *a, enum metric why, const char *text)
{
    struct worker *w = a->listener->worker;
    struct log_line l;
    uint32_t before;

    count(why);
    if (log_allowed(&w->proxy_log, loop_now(w->loop), 1, &before) &&
        log_begin(&l, LOG_LEVEL_WARN, "proxy_header")) {
        log_ip(&l, "via", &a->client.peer);
        log_str(&l, "listener", a->listener->conf->text);
        log_num(&l, "octets", (int64_t)a->len);
        log_text(&l, "error", text);
        log_num(&l, "suppressed", before);
        log_end(&l);
    }
    close(release(a));
}

/* Does the header announce another client?  v1 has no LOCAL, so HAProxy's v1 checks send TCP4 with its own address. */
static bool is_for_client(const struct proxy_wait *a, const struct proxy_header *h)
{
    const struct addr *own = &a->client.peer;

    return h->announced && !(addr_same_ip(&h->source, own) && h->source.port == own->port);
}

static void go_on(struct proxy_wait *a, const struct proxy_header *h)
{
    struct session_client c = a->client;
    struct listener *l = a->listener;
    bool for_client = is_for_client(a, h);

    count(for_client ? M_PROXY_ANNOUNCED : M_PROXY_LOCAL);
    if (for_client) {
        c.via = c.peer;
        c.peer = h->source;
        c.local = h->destination;
    }
    listener_admit(l, release(a), &c);
}

static void on_readable(unsigned ready, void *arg)
{
    struct proxy_wait *a = arg;
    struct proxy_header h;
    enum proxy_status status;
    size_t used, mine;
    ssize_t n = recv(a->fd, a->head + a->len, sizeof(a->head) - a->len, MSG_PEEK);

    (void)ready;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        give_up(a, M_PROXY_BAD_HEADER, "the connection ended before the header did");
        return;
    }
    status = proxy_header_parse(slice_of(a->head, a->len + (size_t)n), &h, &used);
    mine = status == PROXY_DONE ? used - a->len : (size_t)n;
    if (status == PROXY_BAD || recv(a->fd, a->head + a->len, mine, 0) != (ssize_t)mine) {
        give_up(a, M_PROXY_BAD_HEADER, "not a PROXY header");
        return;
    }
    a->len += mine;
    if (status == PROXY_DONE) {
        go_on(a, &h);
    }
}

static void on_deadline(void *arg)
{
    give_up(arg, M_PROXY_TIMEOUTS, "no PROXY header in time");
}

void proxy_wait_start(struct listener *l, int fd, const struct session_client *socket)
{
    struct worker *w = l->worker;
    struct proxy_wait *a = xcalloc(1, sizeof(*a));

    a->listener = l;
    a->client = *socket;
    a->fd = fd;
    list_node_init(&a->link);
    list_push_back(&w->announced, &a->link);
    w->proxy_wait_count++;
    timer_init(&a->deadline, w->loop, on_deadline, a);
    timer_start(&a->deadline, WAIT_MS);
    watch_init(&a->watch, w->loop, fd, on_readable, a);
    watch_set(&a->watch, WATCH_READ);
}

void proxy_wait_close_all(struct worker *w)
{
    struct list_node *n, *next;

    for (n = w->announced.next; n != &w->announced; n = next) {
        next = n->next;
        close(release(container_of(n, struct proxy_wait, link)));
    }
}
