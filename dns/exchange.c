/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.c - questions to one recursive server, in the form it supports; see exchange.h.
 *
 * A query is one question with a waiting caller, or a copy of one (cb NULL) that only tests whether the server supports
 * OPT.  Both are linked as twins while both are pending, and each records its outcome in the other.
 *
 * Owns     queries, until their callback; the UDP side (udp.c); after the first truncated answer, the TCP side
 *          (cares.c).
 * Limits   the caller limits pending questions.  A question is resent at most once for each quirk, and once by TCP.
 */
#include "dns/exchange.h"

#include "core/crypto.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/slab.h"
#include "dns/cares.h"
#include "dns/quirk.h"
#include "dns/udp.h"

#define QUERIES_KEPT 512

enum {
    RCODE_FORMERR = 1,
    RCODE_NOTIMP = 4,
    FLAG_TC = 2, /* of the third octet */
};

enum twin_end { TWIN_OUT = 0, TWIN_ANSWERED, TWIN_FAILED };

struct query {
    struct udp_query udp;  /* includes the question as now sent */
    struct list_node link; /* exchange.queries */
    struct exchange *x;
    exchange_cb cb; /* NULL: a copy with OPT; no caller waits */
    void *arg;
    struct query *twin; /* NULL: none, or it has ended */
    enum twin_end twin_end;
    uint16_t id;                               /* the id returned to the caller */
    bool mixed;                                /* the name has mixed letters */
    bool failed_with_opt, failed_with_letters; /* and was resent without */
    bool by_tcp;
};

struct exchange {
    struct loop *loop;
    struct exchange_settings settings;
    struct quirk edns, letters;
    struct udp *udp;   /* NULL: TCP only */
    struct cares *tcp; /* NULL: not needed yet */
    struct list_node queries;
    struct slab slab;
    struct grave grave;
    bool closed;
};

/* ---- letters ---- */

static void mix_letters(struct wire_name *name)
{
    uint64_t bits = 0;
    unsigned left = 0;

    for (size_t i = 0; i < name->len; i++) {
        if (!ascii_is_alpha((char)name->octets[i])) {
            continue;
        }
        if (left == 0) {
            bits = random_u64();
            left = 64;
        }
        name->octets[i] = (uint8_t)(name->octets[i] ^ (bits & 1) << 5);
        bits >>= 1;
        left--;
    }
}

static void lower_letters(struct wire_name *name)
{
    for (size_t i = 0; i < name->len; i++) {
        name->octets[i] = (uint8_t)ascii_lower((char)name->octets[i]);
    }
}

/* ---- sending ---- */

static void on_tcp(enum cares_status status, struct slice packet, void *arg);

static void send_by_tcp(struct query *q)
{
    struct exchange *x = q->x;
    struct cares_settings s = { .server = x->settings.server, .timeout_ms = x->settings.timeout_ms };

    if (x->tcp == NULL) {
        x->tcp = cares_new(x->loop, &s);
    }
    q->by_tcp = true;
    cares_send(x->tcp, &q->udp.q, on_tcp, q);
}

static void send_now(struct query *q)
{
    if (q->by_tcp || q->x->udp == NULL) {
        send_by_tcp(q);
    } else {
        udp_send(q->x->udp, &q->udp);
    }
}

static void send_again(struct query *q)
{
    count(M_DNS_SENT);
    send_now(q);
}

static struct query *query_new(struct exchange *x, const struct wire_question *question)
{
    struct query *q = slab_alloc(&x->slab);

    q->x = x;
    list_node_init(&q->link);
    list_push_back(&x->queries, &q->link);
    q->udp.q = *question;
    if (x->settings.forgers && quirk_use(&x->letters, loop_now(x->loop))) {
        mix_letters(&q->udp.q.name);
        q->mixed = true;
    }
    return q;
}

/* Sends a copy of the question, with OPT. */
static void send_copy(struct query *q, const struct wire_question *question)
{
    struct query *copy = query_new(q->x, question);

    copy->twin = q;
    q->twin = copy;
    send_again(copy);
}

void exchange_send(struct exchange *x, struct wire_question *question, exchange_cb cb, void *arg)
{
    struct query *q = query_new(x, question);
    bool opt = !question->plain && quirk_use(&x->edns, loop_now(x->loop));
    bool both = opt && quirk_doubted(&x->edns) && x->udp != NULL;

    q->cb = cb;
    q->arg = arg;
    q->udp.q.plain = !opt || both;
    send_now(q);
    q->id = question->id = q->udp.q.id;
    if (both) {
        send_copy(q, question);
    }
}

/* ---- learning from an answer ---- */

static void log_quirk(const struct exchange *x, const char *what)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_WARN, "dns_server_quirk")) {
        return;
    }
    log_ip(&l, "server", &x->settings.server);
    log_text(&l, "not_borne", what);
    log_end(&l);
}

static void prove(struct exchange *x, struct quirk *k, const char *what)
{
    if (quirk_proved(k, loop_now(x->loop))) {
        log_quirk(x, what);
    }
}

/* Records the outcome in the twin; both outcomes together may prove a quirk. */
static void end_twin(struct query *q, enum twin_end end)
{
    bool waiter = q->cb != NULL;

    if (q->twin != NULL) {
        q->twin->twin = NULL;
        q->twin->twin_end = end;
        q->twin = NULL;
    } else if ((waiter && end == TWIN_ANSWERED && q->twin_end == TWIN_FAILED) ||
               (!waiter && end == TWIN_FAILED && q->twin_end == TWIN_ANSWERED)) {
        prove(q->x, &q->x->edns, "edns");
    }
}

static void learn(struct query *q, bool refused)
{
    struct exchange *x = q->x;

    if (q->mixed) {
        quirk_borne(&x->letters);
    } else if (q->failed_with_letters) {
        prove(x, &x->letters, "letters");
    }
    if (!q->udp.q.plain) {
        quirk_borne(&x->edns);
    } else if (q->failed_with_opt && !refused) {
        prove(x, &x->edns, "edns");
    }
    end_twin(q, refused ? TWIN_FAILED : TWIN_ANSWERED);
}

/* ---- the end of a query ---- */

static void query_free(struct query *q)
{
    list_remove(&q->link);
    slab_release(&q->x->slab, q);
}

static void deliver(struct query *q, enum exchange_status status, uint8_t *packet, size_t len)
{
    exchange_cb cb = q->cb;
    void *arg = q->arg;

    if (len >= 2) { /* a resend may have used another id */
        packet[0] = (uint8_t)(q->id >> 8);
        packet[1] = (uint8_t)q->id;
    }
    query_free(q);
    if (cb != NULL) {
        cb(status, slice_of(packet, len), arg);
    }
}

static void fail(struct query *q, enum exchange_status status)
{
    if (status == EXCHANGE_TIMEOUT && !q->udp.q.plain && q->cb != NULL && !q->by_tcp) {
        quirk_failed(&q->x->edns);
    }
    end_twin(q, TWIN_FAILED);
    deliver(q, status, NULL, 0);
}

static void take_answer(struct query *q, uint8_t *packet, size_t len)
{
    unsigned rcode = packet[3] & 15;
    bool refused = rcode == RCODE_FORMERR || rcode == RCODE_NOTIMP;

    if (refused && !q->udp.q.plain && q->cb != NULL) {
        quirk_failed(&q->x->edns);
        q->failed_with_opt = true;
        q->udp.q.plain = true;
        send_again(q);
        return;
    }
    if (refused && !q->udp.q.plain) { /* a copy */
        fail(q, EXCHANGE_NETWORK);
        return;
    }
    learn(q, refused);
    if ((packet[2] & FLAG_TC) != 0 && !q->by_tcp && q->cb != NULL) {
        q->by_tcp = true;
        send_again(q);
        return;
    }
    deliver(q, EXCHANGE_ANSWER, packet, len);
}

static void on_udp(struct udp_query *uq, enum udp_status status, uint8_t *packet, size_t len)
{
    struct query *q = container_of(uq, struct query, udp);

    switch (status) {
    case UDP_ANSWER:
        take_answer(q, packet, len);
        break;
    case UDP_LETTERS:
        quirk_failed(&q->x->letters);
        q->failed_with_letters = true;
        q->mixed = false;
        lower_letters(&q->udp.q.name);
        send_again(q);
        break;
    case UDP_TIMEOUT:
        fail(q, EXCHANGE_TIMEOUT);
        break;
    case UDP_NETWORK:
        fail(q, EXCHANGE_NETWORK);
        break;
    }
}

static void on_tcp(enum cares_status status, struct slice packet, void *arg)
{
    struct query *q = arg;

    switch (status) {
    case CARES_ANSWER:
        take_answer(q, (uint8_t *)(uintptr_t)packet.ptr, packet.len); /* the callback may change it */
        break;
    case CARES_TIMEOUT:
        fail(q, EXCHANGE_TIMEOUT);
        break;
    case CARES_NETWORK:
        fail(q, EXCHANGE_NETWORK);
        break;
    }
}

/* ---- lifecycle ---- */

struct exchange *exchange_new(struct loop *l, const struct exchange_settings *settings)
{
    struct exchange *x = xcalloc(1, sizeof(*x));
    struct udp_settings us = { .server = settings->server,
                               .timeout_ms = settings->timeout_ms,
                               .one_port = !settings->forgers };

    x->loop = l;
    x->settings = *settings;
    list_init(&x->queries);
    slab_init(&x->slab, "exchange", sizeof(struct query), QUERIES_KEPT);
    if (!settings->tcp) {
        x->udp = udp_new(l, &us, on_udp);
    }
    return x;
}

/* Runs at the end of the turn, because a callback may be on the stack. */
static void bury_exchange(void *obj)
{
    struct exchange *x = obj;

    while (!list_empty(&x->queries)) {
        query_free(container_of(x->queries.next, struct query, link));
    }
    slab_fini(&x->slab);
    free(x);
}

void exchange_free(struct exchange *x)
{
    if (x == NULL || x->closed) {
        return;
    }
    x->closed = true;
    udp_free(x->udp);
    cares_free(x->tcp);
    loop_bury(x->loop, &x->grave, bury_exchange, x);
}

bool exchange_is_plain(const struct exchange *x)
{
    return !quirk_use(&x->edns, loop_now(x->loop));
}
