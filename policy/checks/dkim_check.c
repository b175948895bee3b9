/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dkim_check.c - drives the DKIM verifier: looks up keys, does its work in steps (dkim_check.h).
 *
 * Owns       the verifier, one request for each key, and the deferred call that does a step.  The key names belong to
 *            the verifier and do not move.
 */
#include "policy/checks/dkim_check.h"

#include "smtp/field.h"

/* The lookup of one key. */
struct question {
    struct dkim_check *check;
    struct dns_req *req; /* NULL: answered */
    size_t index;        /* of dkim_wants() */
};

struct dkim_check {
    struct loop *loop;
    struct dkim *dkim;
    struct deferred work;
    struct question *questions;
    size_t question_count;
    bool done; /* every verdict is final */
    dkim_check_cb cb;
    void *arg;
    uint64_t started_us;
    struct origin origin;
};

/* ---- keys ---- */

static struct dkim_answer answer_of(const struct dns_answer *ans)
{
    switch ((enum dns_status)ans->status) {
    case DNS_OK:
        return ans->count == 1 ? (struct dkim_answer){ DKIM_ANSWER_OK, ans->records[0].data }
                               : (struct dkim_answer){ .status = DKIM_ANSWER_SEVERAL };
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        return (struct dkim_answer){ .status = DKIM_ANSWER_NONE };
    case DNS_TEMPFAIL:
    case DNS_STATUS_COUNT:
        break;
    }
    return (struct dkim_answer){ .status = DKIM_ANSWER_TEMPFAIL };
}

static void on_answer(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct question *q = arg;
    struct dkim_check *c = q->check;
    struct dkim_answer answer = answer_of(ans);

    q->req = NULL;
    origin_note(&c->origin, ans, had);
    dkim_answer(c->dkim, q->index, &answer);
    loop_heavy(c->loop, &c->work);
}

static void ask(struct dkim_check *c, const struct dns_asker *who)
{
    const struct dkim_want *wants;

    c->question_count = dkim_wants(c->dkim, &wants);
    c->questions = xcalloc(c->question_count + 1, sizeof(*c->questions));
    for (size_t i = 0; i < c->question_count; i++) {
        struct question *q = &c->questions[i];

        q->check = c;
        q->index = i;
        q->req = dns_query_for(who, wants[i].name, DNS_TYPE_TXT, on_answer, q);
    }
}

/* ---- the work ---- */

/* Stops everything that could still call back. */
static void stop(struct dkim_check *c)
{
    for (size_t i = 0; i < c->question_count; i++) {
        dns_cancel(&c->questions[i].req);
    }
    deferred_cancel(&c->work);
}

static void on_work(void *arg)
{
    struct dkim_check *c = arg;

    switch (dkim_step(c->dkim)) {
    case DKIM_BUSY:
        loop_heavy(c->loop, &c->work);
        break;
    case DKIM_WAITING:
        break;
    case DKIM_DONE:
        stop(c);
        c->done = true;
        c->origin.us = loop_now_us() - c->started_us;
        c->cb(c->arg);
        break;
    }
}

static bool is_signature(const struct header_field *f)
{
    return slice_eq_nocase(f->name, SLICE("DKIM-Signature"));
}

/* A quick test, so that a message without signatures costs no copy. */
static bool has_signature(struct slice section)
{
    struct header_field f;

    while (header_next(&section, &f)) {
        if (is_signature(&f)) {
            return true;
        }
    }
    return false;
}

struct dkim_check *dkim_check_start(const struct dkim_check_setup *setup, dkim_check_cb cb, void *arg)
{
    struct slice rest = setup->section;
    struct header_field f;
    struct dkim_check *c;

    header_skip_mbox(&rest);
    if (!has_signature(rest)) {
        return NULL;
    }
    c = xcalloc(1, sizeof(*c));
    c->loop = setup->loop;
    c->cb = cb;
    c->arg = arg;
    c->started_us = loop_now_us();
    c->dkim = dkim_new(&setup->in);
    deferred_init(&c->work, on_work, c);
    while (header_next(&rest, &f)) {
        dkim_put_field(c->dkim, f.whole);
    }
    dkim_end_header(c->dkim, setup->author);
    ask(c, &setup->who);
    loop_heavy(c->loop, &c->work); /* dkim_step() may already be done: no usable signature */
    return c;
}

void dkim_check_put_body(struct dkim_check *c, struct slice chunk)
{
    if (!c->done && dkim_needs_body(c->dkim)) {
        dkim_put_body(c->dkim, chunk);
    }
}

void dkim_check_end_body(struct dkim_check *c)
{
    if (!c->done) {
        dkim_end_body(c->dkim);
        loop_heavy(c->loop, &c->work);
    }
}

void dkim_check_abandon(struct dkim_check *c)
{
    stop(c);
    dkim_abandon(c->dkim);
    c->done = true;
}

bool dkim_check_busy(const struct dkim_check *c)
{
    return !c->done;
}

const struct dkim *dkim_check_results(const struct dkim_check *c)
{
    return c->dkim;
}

const struct origin *dkim_check_origin(const struct dkim_check *c)
{
    return &c->origin;
}

void dkim_check_cancel(struct dkim_check **check)
{
    struct dkim_check *c = *check;

    if (c == NULL) {
        return;
    }
    *check = NULL;
    stop(c);
    dkim_free(c->dkim);
    free(c->questions);
    free(c);
}
