/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_world.h - a judgement in virtual time: the fake loop, the fake resolver, a configuration from text.
 *
 * fake_loop.c and fake_dns.c are compiled into the test itself and replace the real ones at link time.
 */
#ifndef TEST_UNIT_POLICY_JUDGE_WORLD_H
#define TEST_UNIT_POLICY_JUDGE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/policy.h"
#include "test/sim/fake_dns.h"
#include "test/sim/sim.h"

#include "test/sim/fake_dns.c"
#include "test/sim/fake_loop.c"

#define BASE                                                                                                 \
    "server: {hostname: mx1.example.com, state_dir: /tmp}\n"                                                 \
    "upstreams: {u: {servers: [\"192.0.2.250:25\"]}}\ndomains: {example.com: u, .example.net: u}\n"

struct world {
    struct config *conf;
    struct policy *policy;
    struct loop *loop;
    struct resolver *dns;
    struct policy_worker *pw;
    struct judge *j;

    /* of the last verdict */
    size_t called;
    enum verdict_action action;
    char rule[64];
    unsigned code;
    char enhanced[16], text[4096];
    uint64_t tarpit_ms;
    bool monitored;
};

static void put_copy(char *mem, size_t size, struct slice s)
{
    struct buf b;

    buf_init_fixed(&b, mem, size);
    buf_put_slice(&b, s);
}

static void on_verdict(void *arg, const struct verdict *v)
{
    struct world *w = arg;

    w->called++;
    w->action = v->action;
    w->code = v->code;
    w->tarpit_ms = v->tarpit_ms;
    w->monitored = v->monitored;
    put_copy(w->rule, sizeof(w->rule), slice_str(v->rule));
    put_copy(w->enhanced, sizeof(w->enhanced), v->enhanced);
    put_copy(w->text, sizeof(w->text), v->text);
}

static void world_init(struct world *w, const char *yaml)
{
    struct config_errors errs = { .count = 0 };
    struct buf text, said;

    memset(w, 0, sizeof(*w));
    buf_init(&text, 1u << 20);
    buf_init(&said, 1u << 16);
    buf_put_str(&text, BASE);
    buf_put_str(&text, yaml);
    w->conf = config_load_text("f", buf_slice(&text), &errs);
    w->policy = w->conf != NULL ? policy_compile(w->conf, &errs) : NULL;
    config_errors_print(&errs, "f", &said);
    if (w->policy == NULL) {
        fail_msg("%s", said.ptr);
    }
    config_errors_fini(&errs);
    buf_fini(&text);
    buf_fini(&said);
    w->loop = loop_new();
    w->dns = resolver_new(w->loop, NULL);
    w->pw = policy_worker_new(w->policy, w->loop, w->dns, NULL);
}

static void world_fini(struct world *w)
{
    judge_free(&w->j);
    policy_worker_free(&w->pw);
    resolver_free(w->dns);
    loop_free(w->loop);
    policy_free(w->policy);
    config_free(w->conf);
}

static UNUSED void world_connect(struct world *w, const char *ip)
{
    struct judge_client c = { .session_id = "01TEST", .rdns = { NULL, 0 } };

    assert_true(addr_parse_ip(slice_str(ip), &c.ip));
    assert_true(addr_parse_ip(SLICE("192.0.2.25"), &c.local));
    c.is_private = addr_is_private(&c.ip);
    c.exempt = c.is_private;
    judge_free(&w->j);
    w->j = judge_new(w->pw, &c);
}

static UNUSED void world_mail(struct world *w, const char *sender)
{
    struct slice s = slice_str(sender), local = slice_take(s, slice_rfind(s, '@'));
    struct judge_sender from = {
        .address = s, .local = local, .domain = slice_skip(s, local.len + 1), .null = slice_empty(s)
    };

    judge_mail(w->j, &from);
}

static UNUSED void world_ask(struct world *w, const char *to)
{
    struct slice s = slice_str(to), local = slice_take(s, slice_rfind(s, '@'));
    struct judge_recipient r = {
        .address = s, .local = local, .domain = slice_skip(s, local.len + 1), .original = s, .count = 0
    };
    size_t before = w->called;

    judge_rcpt(w->j, &r, on_verdict, w);
    assert_int_equal(w->called, before); /* never inside the call */
}

/* A whole envelope, with all answers. */
static UNUSED void world_play(struct world *w, const char *ip, const char *helo, const char *from)
{
    world_connect(w, ip);
    judge_helo(w->j, slice_str(helo));
    world_mail(w, from);
    world_ask(w, "bob@example.com");
    sim_advance(w->loop, 60000);
    assert_true(w->called > 0);
}

static UNUSED void want_verdict(const struct world *w, const char *label, enum verdict_action action,
                                const char *rule)
{
    if (w->action != action || strcmp(w->rule, rule) != 0) {
        fail_msg("%s: want %s by %s, got %s by %s", label, verdict_action_text(action), rule,
                 verdict_action_text(w->action), w->rule);
    }
}

static UNUSED const char *world_fact(const struct world *w, enum fact_id id, struct buf *out)
{
    const struct fact_value *v = &judge_facts(w->j)->v[id];

    buf_reset(out);
    if (v->state == FACT_UNKNOWN || v->state == FACT_PENDING || v->state == FACT_IDLE) {
        buf_put_str(out, v->state == FACT_UNKNOWN   ? "unknown"
                         : v->state == FACT_PENDING ? "pending"
                                                    : "idle");
    } else {
        fact_put(out, id, v);
    }
    buf_put_str(out, "");
    return out->len > 0 ? out->ptr : "";
}

static UNUSED void want_fact(const struct world *w, enum fact_id id, const char *want)
{
    struct buf b;

    buf_init(&b, 1000);
    if (strcmp(world_fact(w, id, &b), want) != 0) {
        fail_msg("%s: want %s, got %s", fact_table[id].name, want, b.len > 0 ? b.ptr : "(empty)");
    }
    buf_fini(&b);
}

#endif
