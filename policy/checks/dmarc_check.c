/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmarc_check.c - drives the DMARC evaluator: sends the queries it names, feeds it the answers (dmarc_check.h).
 *
 * Owns       the evaluation, and each query until the check is cancelled (at most 97, usually one or two).
 */
#include "policy/checks/dmarc_check.h"

struct question {
    struct question *next;
    struct dmarc_check *check;
    struct dns_req *req; /* NULL: answered */
    size_t id;           /* of dmarc_next() */
};

struct dmarc_check {
    struct loop *loop;
    struct dns_asker who;
    struct dmarc *dmarc;
    struct question *questions;
    struct deferred finished; /* the outcome is certain */
    bool done;
    dmarc_check_cb cb;
    void *arg;
    uint64_t started_us;
    struct origin origin;
};

static enum dmarc_answer_status status_of(const struct dns_answer *ans)
{
    switch ((enum dns_status)ans->status) {
    case DNS_OK:
        return DMARC_ANSWER_OK;
    case DNS_NODATA:
        return DMARC_ANSWER_NODATA;
    case DNS_NXDOMAIN:
        return DMARC_ANSWER_NXDOMAIN;
    case DNS_TEMPFAIL:
    case DNS_STATUS_COUNT:
        break;
    }
    return DMARC_ANSWER_TEMPFAIL;
}

/* Passes one record more than DMARC_RECORDS_MAX, so that the evaluator sees that there are too many. */
static void feed(struct dmarc *d, size_t id, const struct dns_answer *ans)
{
    struct slice records[DMARC_RECORDS_MAX + 1];
    struct dmarc_answer answer = {
        .status = status_of(ans),
        .records = records,
        .count = min_size(ans->count, ARRAY_LEN(records)),
    };

    for (size_t i = 0; i < answer.count; i++) {
        records[i] = ans->records[i].data;
    }
    dmarc_answer(d, id, &answer);
}

static void pump(struct dmarc_check *c);

static void on_answer(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct question *q = arg;
    struct dmarc_check *c = q->check;

    q->req = NULL;
    origin_note(&c->origin, ans, had);
    feed(c->dmarc, q->id, ans);
    pump(c);
}

/* Sends the next queries; at the end leaves the callback to the loop. */
static void pump(struct dmarc_check *c)
{
    struct dmarc_query query;

    while (dmarc_next(c->dmarc, &query)) {
        enum dns_type type = query.question == DMARC_ASK_TXT ? DNS_TYPE_TXT : DNS_TYPE_A;
        struct question *q = xcalloc(1, sizeof(*q));

        q->check = c;
        q->id = query.id;
        q->next = c->questions;
        c->questions = q;
        q->req = dns_query_for(&c->who, query.name, type, on_answer, q);
    }
    if (dmarc_done(c->dmarc)) {
        loop_defer(c->loop, &c->finished);
    }
}

/* Stops everything that could still call back. */
static void stop(struct dmarc_check *c)
{
    for (struct question *q = c->questions; q != NULL; q = q->next) {
        dns_cancel(&q->req);
    }
    deferred_cancel(&c->finished);
}

static void on_finished(void *arg)
{
    struct dmarc_check *c = arg;

    stop(c);
    c->done = true;
    c->origin.us = loop_now_us() - c->started_us;
    c->cb(c->arg);
}

struct dmarc_check *dmarc_check_start(const struct dmarc_check_setup *setup, dmarc_check_cb cb, void *arg)
{
    struct dmarc_check *c = xcalloc(1, sizeof(*c));

    c->loop = setup->loop;
    c->who = setup->who;
    c->who.failures_free = true;
    c->cb = cb;
    c->arg = arg;
    c->started_us = loop_now_us();
    c->dmarc = dmarc_new(&setup->in);
    deferred_init(&c->finished, on_finished, c);
    pump(c);
    return c;
}

void dmarc_check_add(struct dmarc_check *c, enum dmarc_by by, struct slice domain, bool passed)
{
    if (passed) {
        dmarc_add(c->dmarc, by, domain);
    } else {
        dmarc_add_unknown(c->dmarc, by, domain);
    }
}

void dmarc_check_end_domains(struct dmarc_check *c)
{
    if (!c->done) {
        dmarc_end_domains(c->dmarc);
        pump(c);
    }
}

void dmarc_check_abandon(struct dmarc_check *c)
{
    stop(c);
    dmarc_abandon(c->dmarc);
    c->done = true;
}

bool dmarc_check_busy(const struct dmarc_check *c)
{
    return !c->done;
}

struct dmarc *dmarc_check_results(const struct dmarc_check *c)
{
    return c->dmarc;
}

const struct origin *dmarc_check_origin(const struct dmarc_check *c)
{
    return &c->origin;
}

void dmarc_check_cancel(struct dmarc_check **check)
{
    struct dmarc_check *c = *check;

    if (c == NULL) {
        return;
    }
    *check = NULL;
    stop(c);
    while (c->questions != NULL) {
        struct question *q = c->questions;

        c->questions = q->next;
        free(q);
    }
    dmarc_free(c->dmarc);
    free(c);
}
