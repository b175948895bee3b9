/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helo.c - the name in HELO: its kind, whether it resolves, whether it resolves to the client.
 *
 * Queries A and AAAA in parallel.  The name passes if either exists, and fails if neither does.
 *
 * RFC     5321 4.1.1.1, 4.1.2, 4.1.3 (literals)
 */
#include "policy/checks/check.h"

struct helo_check {
    struct addr ip;
    helo_cb cb;
    void *arg;
    uint64_t started_us;
    struct dns_req *req[2]; /* A, AAAA */
    size_t pending;
    bool found, failed, match, match_failed;
    struct origin origin;
};

/* "[192.0.2.1]", "[IPv6:2001:db8::1]". */
static bool parse_literal(struct slice s, struct addr *out)
{
    struct slice inner;

    if (s.len < 3 || s.ptr[0] != '[' || s.ptr[s.len - 1] != ']') {
        return false;
    }
    inner = slice_of(s.ptr + 1, s.len - 2);
    if (slice_starts_nocase(inner, SLICE("IPv6:"))) {
        return addr_parse_ip(slice_skip(inner, 5), out);
    }
    return addr_parse_ip(inner, out) && out->family == ADDR_V4;
}

enum helo_kind helo_kind(struct slice name, struct addr *literal)
{
    size_t dot = slice_rfind(name, '.');
    struct slice top = slice_skip(name, dot == name.len ? 0 : dot + 1);
    bool letter = false;

    *literal = (struct addr){ .family = ADDR_NONE };
    if (parse_literal(name, literal)) {
        return HELO_LITERAL;
    }
    for (size_t i = 0; i < top.len; i++) {
        letter = letter || ascii_is_alpha(top.ptr[i]);
    }
    if (!hostname_valid(name) || (!letter && dot < name.len)) { /* an address without brackets is no name */
        return HELO_INVALID;
    }
    return dot == name.len ? HELO_BARE : HELO_FQDN;
}

void helo_cancel(struct helo_check **check)
{
    struct helo_check *c = *check;

    if (c == NULL) {
        return;
    }
    *check = NULL;
    dns_cancel(&c->req[0]);
    dns_cancel(&c->req[1]);
    free(c);
}

static void conclude(struct helo_check *c)
{
    struct helo_result res = {
        .resolves = c->found    ? "pass"
                    : c->failed ? "temperror"
                                : "fail",
        .is_client = c->match,
        .unsure = !c->match && c->match_failed,
        .origin = c->origin,
    };
    helo_cb cb = c->cb;
    void *arg = c->arg;

    res.origin.us = loop_now_us() - c->started_us;
    helo_cancel(&c);
    cb(&res, arg);
}

static void take(struct helo_check *c, const struct dns_answer *ans, const struct dns_had *had,
                 bool own_family)
{
    origin_note(&c->origin, ans, had);
    c->found = c->found || ans->status == DNS_OK;
    c->failed = c->failed || ans->status == DNS_TEMPFAIL;
    c->match_failed = c->match_failed || (own_family && ans->status == DNS_TEMPFAIL);
    for (size_t i = 0; i < ans->count; i++) {
        struct addr a = dns_record_addr(&ans->records[i]);

        c->match = c->match || addr_same_ip(&a, &c->ip);
    }
    if (--c->pending == 0) {
        conclude(c);
    }
}

static void on_a(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct helo_check *c = arg;

    c->req[0] = NULL;
    take(c, ans, had, c->ip.family == ADDR_V4);
}

static void on_aaaa(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct helo_check *c = arg;

    c->req[1] = NULL;
    take(c, ans, had, c->ip.family == ADDR_V6);
}

struct helo_check *helo_start(const struct dns_asker *who, struct slice name, const struct addr *ip,
                              helo_cb cb, void *arg)
{
    struct helo_check *c = xcalloc(1, sizeof(*c));

    c->ip = *ip;
    c->cb = cb;
    c->arg = arg;
    c->started_us = loop_now_us();
    c->pending = 2;
    c->req[0] = dns_query_for(who, name, DNS_TYPE_A, on_a, c);
    c->req[1] = dns_query_for(who, name, DNS_TYPE_AAAA, on_aaaa, c);
    return c;
}
