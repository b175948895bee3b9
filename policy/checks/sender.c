/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender.c - does the sender's domain accept mail?
 *
 *     MX --> hosts                           pass
 *        --> only the empty name             null_mx  (RFC 7505)
 *        --> no such domain                  fail
 *        --> none --> A, AAAA in parallel    pass, or fail without an address (RFC 5321 5.1)
 *
 * The check does not look up the MX hosts: an outage there says nothing about the domain.
 */
#include "policy/checks/check.h"

struct sender_check {
    struct dns_asker who;
    sender_cb cb;
    void *arg;
    uint64_t started_us;
    char *domain;
    struct dns_req *req[2]; /* MX or A, AAAA */
    size_t pending;
    bool found, failed;
    struct origin origin;
};

void sender_cancel(struct sender_check **check)
{
    struct sender_check *c = *check;

    if (c == NULL) {
        return;
    }
    *check = NULL;
    dns_cancel(&c->req[0]);
    dns_cancel(&c->req[1]);
    free(c->domain);
    free(c);
}

static void finish(struct sender_check *c, const char *word)
{
    struct sender_result res = { .resolves = word, .origin = c->origin };
    sender_cb cb = c->cb;
    void *arg = c->arg;

    res.origin.us = loop_now_us() - c->started_us;
    sender_cancel(&c);
    cb(&res, arg);
}

static void take_address(struct sender_check *c, const struct dns_answer *ans, const struct dns_had *had)
{
    origin_note(&c->origin, ans, had);
    c->found = c->found || ans->status == DNS_OK;
    c->failed = c->failed || ans->status == DNS_TEMPFAIL;
    if (--c->pending == 0) {
        finish(c, c->found ? "pass" : c->failed ? "temperror" : "fail");
    }
}

static void on_a(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct sender_check *c = arg;

    c->req[0] = NULL;
    take_address(c, ans, had);
}

static void on_aaaa(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct sender_check *c = arg;

    c->req[1] = NULL;
    take_address(c, ans, had);
}

/* Null MX if the empty name is the only host. */
static const char *judge_hosts(const struct dns_answer *ans)
{
    for (size_t i = 0; i < ans->count; i++) {
        if (!slice_empty(ans->records[i].data)) {
            return "pass";
        }
    }
    return "null_mx";
}

static void on_mx(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct sender_check *c = arg;

    c->req[0] = NULL;
    origin_note(&c->origin, ans, had);
    switch ((enum dns_status)ans->status) {
    case DNS_OK:
        finish(c, judge_hosts(ans));
        return;
    case DNS_NXDOMAIN:
        finish(c, "fail");
        return;
    case DNS_TEMPFAIL:
    case DNS_STATUS_COUNT:
        finish(c, "temperror");
        return;
    case DNS_NODATA:
        break;
    }
    c->pending = 2;
    c->req[0] = dns_query_for(&c->who, slice_str(c->domain), DNS_TYPE_A, on_a, c);
    c->req[1] = dns_query_for(&c->who, slice_str(c->domain), DNS_TYPE_AAAA, on_aaaa, c);
}

struct sender_check *sender_start(const struct dns_asker *who, struct slice domain, sender_cb cb, void *arg)
{
    struct sender_check *c = xcalloc(1, sizeof(*c));

    c->who = *who;
    c->cb = cb;
    c->arg = arg;
    c->domain = slice_dup(domain);
    c->started_us = loop_now_us();
    c->req[0] = dns_query_for(who, slice_str(c->domain), DNS_TYPE_MX, on_mx, c);
    return c;
}
