/*
 * cares.c - c-ares on our loop.  The only file that sees its header.
 *
 * What is known about c-ares 1.18 and how it is met here:
 *
 *   - It may call back from inside the call that submits, and breaks when a channel is cancelled or destroyed
 *     from inside a callback.  So its callback only copies the octets and queues them; all else happens in a
 *     deferred call, and channels are destroyed from there or from cares_free, never in a c-ares frame.
 *   - It has no memory of dead servers: a channel has one server and one try; who asks decides about more.
 *   - Its own encoder has escapes, its generator of ids is weak: both are ours, over ares_send.
 *   - One UDP socket lives as long as the channel, so a forger would only have to guess the id: to a
 *     server that is not on loopback a new channel, with a new port, is opened now and then (renew_ms).
 *   - A channel loses EDNS for good after one FORMERR: see cares_saw_no_edns().
 *   - ares_timeout() walks all questions: a coarse tick while something is out is cheaper.
 *   - Without a complete set of options it reads files; all are given, also for later channels.
 *
 *     cares --- channel (newest: takes questions) --- query, query ...   pending, c-ares holds a pointer
 *        |  --- channel (retired: drains)         --- query ...
 *        '-- done: queries whose answer waits for the deferred call
 *
 * Owns     channels, their sockets' watches, queries.  A retired channel dies when it owes nothing.
 * Limits   who asks bounds what is out; an answer has at most 65,535 octets; one renewal for want of EDNS
 *          in NO_EDNS_PAUSE_MS.
 */
#include "dns/cares.h"

#include <ares.h>

#include "core/crypto.h"
#include "core/slab.h"
#include "dns/datagrams.h"

#define TICK_MS 50
#define NO_EDNS_PAUSE_MS 60000
#define DNS_PORT 53
#define SOCKET_BUFFER (512 * 1024)
#define IDS 65536
#define SMALL_PACKET 256 /* nearly all answers: no memory of their own */
#define QUERIES_KEPT 512

struct channel {
    struct list_node link;  /* cares.channels */
    struct list_node socks; /* struct sock.link */
    struct cares *owner;
    ares_channel ares;
    struct datagrams *datagrams; /* its sockets */
    size_t pending;              /* queries that c-ares holds */
    uint64_t born_ms;
};

struct sock {
    struct list_node link; /* channel.socks */
    struct watch watch;
    struct grave grave;
    struct channel *chan;
};

struct query {
    struct list_node link; /* cares.done or cares.round; on none while c-ares holds it */
    struct channel *chan;  /* NULL once c-ares is through with it */
    struct cares *owner;
    cares_cb cb;
    void *arg;
    uint16_t id;
    enum cares_status status;
    uint8_t *packet; /* `small`, or malloc */
    size_t len;
    uint8_t small[SMALL_PACKET];
};

struct cares {
    struct loop *loop;
    struct cares_settings settings;
    struct list_node channels; /* struct channel.link; the newest comes last */
    struct channel *newest;    /* NULL before the first question, and after a renewal */
    struct list_node done;     /* struct query.link */
    struct list_node round;    /* those being delivered now */
    struct deferred deliver;
    struct timer tick;
    struct grave grave;
    struct slab queries;
    uint64_t no_edns_until_ms; /* no renewal for want of EDNS before */
    bool closed;
    bool freeing;         /* ares_destroy() is calling back: nothing is delivered */
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
    loop_bury(s->chan->owner->loop, &s->grave, free, s);
}

static void on_ready(unsigned ready, void *arg)
{
    struct sock *s = arg;
    struct channel *chan = s->chan;
    ares_socket_t fd = s->watch.fd;

    datagrams_readable(chan->datagrams);
    ares_process_fd(chan->ares, ready & WATCH_READ ? fd : ARES_SOCKET_BAD,
                    ready & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
}

static struct sock *find_sock(struct channel *chan, int fd)
{
    struct list_node *n, *tmp;

    LIST_EACH(&chan->socks, n, tmp)
    {
        struct sock *s = container_of(n, struct sock, link);

        if (s->watch.fd == fd)
            return s;
    }
    return NULL;
}

/* c-ares says what it wants to know about one of its sockets; neither means that it closes it. */
static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct channel *chan = arg;
    struct sock *s = find_sock(chan, fd);

    if (!readable && !writable) {
        if (s != NULL)
            bury_sock(s);
        return;
    }
    if (s == NULL) {
        s = xcalloc(1, sizeof(*s));
        s->chan = chan;
        list_node_init(&s->link);
        list_push_back(&chan->socks, &s->link);
        watch_init(&s->watch, chan->owner->loop, fd, on_ready, s);
    }
    watch_set(&s->watch, (readable ? WATCH_READ : 0u) | (writable ? WATCH_WRITE : 0u));
}

/* ---- channels ---- */

static bool set_server(ares_channel ares, const struct addr *server)
{
    struct ares_addr_port_node node = { .next = NULL };
    int port = server->port != 0 ? server->port : DNS_PORT;

    node.family = server->family == ADDR_V6 ? AF_INET6 : AF_INET;
    node.udp_port = port;
    node.tcp_port = port;
    if (server->family == ADDR_V6)
        memcpy(&node.addr.addr6, server->ip, 16);
    else
        memcpy(&node.addr.addr4, server->ip, 4);
    return ares_set_servers_ports(ares, &node) == ARES_SUCCESS;
}

static bool open_ares(struct channel *chan, const struct cares_settings *settings)
{
    struct ares_options opt = { .flags = 0 };
    char lookups[] = "b"; /* DNS only: no hosts file */
    int mask;

    opt.flags = ARES_FLAG_EDNS | ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
                ARES_FLAG_STAYOPEN;
    if (settings->tcp)
        opt.flags |= ARES_FLAG_USEVC;
    opt.timeout = (int)min_u64(settings->timeout_ms, 60000);
    opt.tries = 1;
    opt.ndots = 1;
    opt.ednspsz = WIRE_EDNS_SIZE;
    opt.lookups = lookups;
    opt.sock_state_cb = on_sock_state;
    opt.sock_state_cb_data = chan;
    /* servers, domains and sort list: none, which is said so that no file is read for them */
    mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_EDNSPSZ |
           ARES_OPT_LOOKUPS | ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_SORTLIST |
           ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE;
    if (ares_init_options(&chan->ares, &opt, mask) != ARES_SUCCESS)
        return false;
    if (set_server(chan->ares, &settings->server)) {
        chan->datagrams = datagrams_new(chan->owner->loop, chan->ares, SOCKET_BUFFER);
        return true;
    }
    ares_destroy(chan->ares);
    return false;
}

static struct channel *channel_new(struct cares *c)
{
    struct channel *chan = xcalloc(1, sizeof(*chan));

    chan->owner = c;
    chan->born_ms = loop_now(c->loop);
    list_init(&chan->socks);
    list_node_init(&chan->link);
    if (!open_ares(chan, &c->settings)) {
        free(chan);
        return NULL;
    }
    list_push_back(&c->channels, &chan->link);
    return chan;
}

/* Never inside a c-ares frame.  c-ares calls back for what it still holds. */
static void channel_free(struct channel *chan)
{
    ares_destroy(chan->ares);
    datagrams_free(chan->datagrams);
    while (!list_empty(&chan->socks))
        bury_sock(container_of(chan->socks.next, struct sock, link));
    list_remove(&chan->link);
    free(chan);
}

/* Retired channels that owe nothing any more. */
static void reap_channels(struct cares *c)
{
    struct list_node *n, *tmp;

    LIST_EACH(&c->channels, n, tmp)
    {
        struct channel *chan = container_of(n, struct channel, link);

        if (chan != c->newest && chan->pending == 0)
            channel_free(chan);
    }
}

/* The channel for the next question; NULL if none can be opened. */
static struct channel *current_channel(struct cares *c)
{
    uint64_t now = loop_now(c->loop);

    if (c->newest != NULL && c->settings.renew_ms > 0 && now - c->newest->born_ms >= c->settings.renew_ms) {
        c->newest = NULL;
        reap_channels(c);
    }
    if (c->newest == NULL)
        c->newest = channel_new(c);
    return c->newest;
}

void cares_saw_no_edns(struct cares *c)
{
    uint64_t now = loop_now(c->loop);

    if (c->settings.tcp || now < c->no_edns_until_ms)
        return;
    c->no_edns_until_ms = now + NO_EDNS_PAUSE_MS;
    c->newest = NULL;
    if (!c->closed)
        loop_defer(c->loop, &c->deliver); /* reaps */
}

size_t cares_channels(const struct cares *c)
{
    struct list_node *n, *tmp;
    size_t count = 0;

    LIST_EACH(&c->channels, n, tmp)
    {
        count += 1;
    }
    return count;
}

/* ---- questions ---- */

static void query_free(struct query *q)
{
    list_remove(&q->link);
    if (q->packet != q->small)
        free(q->packet);
    slab_release(&q->owner->queries, q);
}

static void finish_later(struct query *q, enum cares_status status)
{
    q->chan = NULL;
    q->status = status;
    list_push_back(&q->owner->done, &q->link);
    loop_defer(q->owner->loop, &q->owner->deliver);
}

/* Called by c-ares, possibly from inside ares_send: copies and queues, nothing else. */
static void on_ares(void *arg, int status, int timeouts UNUSED, unsigned char *octets, int len)
{
    struct query *q = arg;

    q->chan->pending -= 1;
    give_id(q->owner, q->id);
    if (q->owner->freeing) {
        query_free(q);
        return;
    }
    if (status == ARES_SUCCESS && octets != NULL && len > 0) {
        q->len = (size_t)len;
        q->packet = q->len <= sizeof(q->small) ? q->small : xmalloc(q->len);
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
        if (c->closed)
            return; /* cares_free ran in the callback and has done the rest */
    }
    reap_channels(c);
}

static void on_tick(void *arg)
{
    struct cares *c = arg;
    struct list_node *n, *tmp;
    bool more = false;

    LIST_EACH(&c->channels, n, tmp)
    {
        struct channel *chan = container_of(n, struct channel, link);

        if (chan->pending > 0)
            ares_process_fd(chan->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        more = more || chan->pending > 0;
    }
    if (more)
        timer_start(&c->tick, TICK_MS);
}

void cares_send(struct cares *c, struct wire_question *question, cares_cb cb, void *arg)
{
    struct channel *chan = current_channel(c);
    struct query *q = slab_alloc(&c->queries);
    uint8_t octets[WIRE_QUERY_MAX];
    size_t len;

    list_node_init(&q->link);
    q->owner = c;
    q->cb = cb;
    q->arg = arg;
    if (chan == NULL) {
        finish_later(q, CARES_NETWORK);
        return;
    }
    q->id = take_id(c);
    question->id = q->id;
    len = wire_put_query(octets, question);
    q->chan = chan;
    chan->pending += 1;
    ares_send(chan->ares, octets, (int)len, on_ares, q);
    if (chan->pending > 0 && !timer_active(&c->tick))
        timer_start(&c->tick, TICK_MS);
}

/* ---- lifecycle ---- */

struct cares *cares_new(struct loop *l, const struct cares_settings *settings)
{
    struct cares *c = xcalloc(1, sizeof(*c));

    BUG_ON(ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS);
    c->loop = l;
    c->settings = *settings;
    list_init(&c->channels);
    list_init(&c->done);
    list_init(&c->round);
    deferred_init(&c->deliver, on_deliver, c);
    timer_init(&c->tick, l, on_tick, c);
    slab_init(&c->queries, "query", sizeof(struct query), QUERIES_KEPT);
    return c;
}

/* At the end of the turn: on_deliver() may hold a query. */
static void bury_cares(void *obj)
{
    struct cares *c = obj;

    slab_fini(&c->queries);
    free(c);
}

void cares_free(struct cares *c)
{
    struct list_node *n;

    if (c == NULL || c->closed)
        return;
    c->closed = true;
    c->freeing = true;
    timer_stop(&c->tick);
    deferred_cancel(&c->deliver);
    while (!list_empty(&c->channels))
        channel_free(container_of(c->channels.next, struct channel, link));
    while ((n = list_pop(&c->done)) != NULL || (n = list_pop(&c->round)) != NULL)
        query_free(container_of(n, struct query, link));
    ares_library_cleanup();
    loop_bury(c->loop, &c->grave, bury_cares, c);
}
