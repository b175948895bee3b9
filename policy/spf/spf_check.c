/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_check.c - the asynchronous driver of an SPF evaluation.
 *
 * Owns       the evaluation, one request for each wanted name, the deadline.  The names belong to the evaluation and
 *            do not move.  The next step follows the last pending answer.
 */
#include "policy/spf/spf_check.h"

/* One pending lookup. */
struct question {
    struct spf_check *check;
    struct dns_req *req; /* NULL: answered */
    struct spf_want want;
};

struct spf_check {
    struct dns_asker who;
    struct spf *e;
    struct timer deadline;
    struct deferred finished; /* the verdict is ready */
    struct loop *loop;
    size_t pending; /* lookups without an answer */
    struct question questions[SPF_WANTS_MAX];
    spf_check_cb cb;
    void *arg;
};

static void proceed(struct spf_check *c);

static enum dns_type dns_type_of(enum spf_type type)
{
    switch (type) {
    case SPF_TYPE_A:
        return DNS_TYPE_A;
    case SPF_TYPE_AAAA:
        return DNS_TYPE_AAAA;
    case SPF_TYPE_MX:
        return DNS_TYPE_MX;
    case SPF_TYPE_PTR:
        return DNS_TYPE_PTR;
    case SPF_TYPE_TXT:
    case SPF_TYPE_EXP:
    case SPF_TYPE_COUNT:
        break;
    }
    return DNS_TYPE_TXT;
}

static enum spf_status status_of(const struct dns_answer *ans)
{
    switch ((enum dns_status)ans->status) {
    case DNS_OK:
        return SPF_ANSWER_OK;
    case DNS_NODATA:
        return SPF_ANSWER_NODATA;
    case DNS_NXDOMAIN:
        return SPF_ANSWER_NXDOMAIN;
    case DNS_TEMPFAIL:
    case DNS_STATUS_COUNT:
        break;
    }
    return SPF_ANSWER_TEMPFAIL;
}

/* The records are shared with the cache; the evaluation copies them. */
static void feed(struct spf *e, const struct spf_want *want, const struct dns_answer *ans)
{
    struct spf_record_data *records = xcalloc(ans->count + 1, sizeof(*records));
    struct spf_answer a = { .status = status_of(ans), .count = ans->count, .records = records };

    for (size_t i = 0; i < ans->count; i++) {
        records[i].data = ans->records[i].data;
        records[i].preference = ans->records[i].preference;
    }
    spf_feed(e, want, &a);
    free(records);
}

static void on_answer(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct question *q = arg;
    struct spf_check *c = q->check;

    (void)had;
    q->req = NULL;
    feed(c->e, &q->want, ans);
    if (--c->pending == 0) {
        proceed(c);
    }
}

/* Continues the evaluation; at its end leaves the callback to the loop. */
static void proceed(struct spf_check *c)
{
    const struct spf_want *wants;
    size_t n = spf_step(c->e, &wants);

    c->pending = n;
    for (size_t i = 0; i < n; i++) {
        struct question *q = &c->questions[i];

        q->want = wants[i];
        q->req = dns_query_for(&c->who, q->want.name, dns_type_of(q->want.type), on_answer, q);
    }
    if (n == 0) {
        loop_defer(c->loop, &c->finished);
    }
}

/* Stops everything that could still call back. */
static void stop(struct spf_check *c)
{
    for (size_t i = 0; i < ARRAY_LEN(c->questions); i++) {
        dns_cancel(&c->questions[i].req);
    }
    timer_stop(&c->deadline);
    deferred_cancel(&c->finished);
}

static void on_finished(void *arg)
{
    struct spf_check *c = arg;
    struct spf *e = c->e;
    spf_check_cb cb = c->cb;
    void *cb_arg = c->arg;

    stop(c);
    free(c);
    cb(spf_verdict(e), cb_arg);
    spf_free(e);
}

static void on_deadline(void *arg)
{
    struct spf_check *c = arg;

    spf_abandon(c->e, "no answer in time");
    on_finished(c);
}

struct spf_check *spf_check_start(const struct spf_check_setup *setup, spf_check_cb cb, void *arg)
{
    struct spf_check *c = xcalloc(1, sizeof(*c));

    c->who = setup->who;
    c->loop = setup->loop;
    c->cb = cb;
    c->arg = arg;
    c->e = spf_new(&setup->in);
    for (size_t i = 0; i < ARRAY_LEN(c->questions); i++) {
        c->questions[i].check = c;
    }
    deferred_init(&c->finished, on_finished, c);
    timer_init(&c->deadline, c->loop, on_deadline, c);
    timer_start(&c->deadline, setup->timeout_ms != 0 ? setup->timeout_ms : SPF_CHECK_TIMEOUT_MS);
    proceed(c);
    return c;
}

void spf_check_cancel(struct spf_check **check)
{
    struct spf_check *c = *check;

    if (c == NULL) {
        return;
    }
    *check = NULL;
    stop(c);
    spf_free(c->e);
    free(c);
}
