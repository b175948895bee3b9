/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_fixture.h - policies from text, and facts from text, for the tests of rules.
 *
 * What every file needs stands behind the text of a test, so that the places in messages are those of the text it
 * gives.  A text with upstreams of its own stays as it is.
 *
 *     "spf=fail; client.ip=192.0.2.1; client.rdns=?; helo.resolves=-"      ? is unknown, - is not asked yet
 */
#ifndef TEST_RULES_FIXTURE_H
#define TEST_RULES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/values.h"
#include "policy/rules/compiled.h"
#include "policy/rules/match.h"
#include "policy/rules/text.h"
#include "policy/rules/verdict.h"

#define NOON_2026 1793620800 /* 2026-11-02 12:00 UTC */

#define FIXTURE_REST                                                                                         \
    "\nserver: {hostname: mx.test.example}\n"                                                                \
    "upstreams: {exchange: {servers: [\"192.0.2.251:25\"]}, quarantine: {servers: [\"192.0.2.252:25\"]}}\n"  \
    "domains: {home.test: exchange, q.test: quarantine}\n"

struct fixture {
    struct config *conf;
    struct config_errors errs;
    struct policy *p;
    struct facts facts;
    struct fact_value lists[8];
    struct addr ip;
    char text[8192]; /* of facts */
    size_t used;
    struct rule_trace trace[200];
    struct eval_result result;
};

static inline void fixture_load(struct fixture *f, const char *yaml)
{
    struct buf text;

    *f = (struct fixture){ .conf = NULL };
    buf_init(&text, 1u << 20);
    buf_put_str(&text, strcmp(yaml, "{}") == 0 ? "" : yaml);
    buf_put_str(&text, strstr(yaml, "\nupstreams:") == NULL ? FIXTURE_REST : "");
    f->conf = config_load_text("test", buf_slice(&text), &f->errs);
    buf_fini(&text);
    if (f->conf != NULL) {
        f->conf->loaded_at_s = NOON_2026;
        if (strstr(yaml, "contact:") == NULL) { /* so that texts show what they leave out without one */
            f->conf->policy_section.contact = "";
        }
        f->p = policy_compile(f->conf, &f->errs);
        f->conf->policy = f->p;
    }
    for (size_t i = 0; i < ARRAY_LEN(f->lists); i++) {
        f->lists[i] = (struct fact_value){ .state = FACT_KNOWN };
    }
}

static inline void fixture_free(struct fixture *f)
{
    policy_free(f->p);
    config_free(f->conf);
    config_errors_fini(&f->errs);
}

static inline struct slice fixture_text(struct fixture *f, struct slice s)
{
    char *at = &f->text[f->used];

    assert_true(f->used + s.len < sizeof(f->text));
    memcpy(at, s.ptr, s.len);
    f->used += s.len;
    return slice_of(at, s.len);
}

static inline void fixture_value(struct fixture *f, enum fact_id id, struct slice value)
{
    struct set_range n;
    uint64_t ms;

    switch (fact_table[id].type) {
    case FACT_FLAG:
        fact_set_flag(&f->facts, id, slice_eq(value, SLICE("true")));
        break;
    case FACT_WORD:
        assert_true(fact_word_index(id, value) >= 0);
        fact_set_word(&f->facts, id, (unsigned)fact_word_index(id, value));
        break;
    case FACT_NUMBER:
        assert_true(entry_parse_range(value, false, &n));
        fact_set_number(&f->facts, id, n.low);
        break;
    case FACT_DURATION:
        assert_true(value_parse_duration(value, &ms));
        fact_set_duration(&f->facts, id, ms);
        break;
    case FACT_IP:
        assert_true(addr_parse_ip(value, &f->ip));
        fact_set_ip(&f->facts, id, &f->ip);
        break;
    case FACT_WORDS:
    case FACT_NAME:
    case FACT_ADDRESS:
    case FACT_TEXT:
        fact_set_text(&f->facts, id, fixture_text(f, value));
        break;
    }
}

static inline void fixture_facts(struct fixture *f, const char *text)
{
    struct slice rest = slice_str(text);

    while (!slice_empty(slice_trim(rest))) {
        struct slice value = slice_trim(slice_cut(&rest, ';')), name = slice_cut(&value, '=');
        enum fact_id id = fact_by_name(name);
        struct fact_value *v = id < FACT_COUNT ? &f->facts.v[id] : NULL;

        for (size_t i = 0; v == NULL && i < f->p->rules.list_count; i++) {
            if (slice_eq(f->p->rules.lists[i], slice_skip(name, 11))) {
                v = &f->lists[i];
            }
        }
        if (v == NULL) {
            fail_msg("no fact " SLICE_FMT, SLICE_ARG(name));
        } else if (slice_eq(value, SLICE("?"))) {
            *v = (struct fact_value){ .state = FACT_UNKNOWN };
        } else if (slice_eq(value, SLICE("-"))) {
            *v = (struct fact_value){ .state = FACT_IDLE };
        } else if (id < FACT_COUNT) {
            fixture_value(f, id, value);
        } else {
            *v = (struct fact_value){ .state = FACT_KNOWN, .flag = slice_eq(value, SLICE("true")) };
        }
    }
}

/* An ordinary client of an ordinary sender; what later work brings is unknown. */
static inline void fixture_ordinary(struct fixture *f)
{
    for (size_t i = 0; i < FACT_COUNT; i++) {
        f->facts.v[i] = (struct fact_value){ .state = FACT_UNKNOWN };
    }
    f->used = 0;
    fixture_facts(
        f,
        "client.ip=192.0.2.1; client.private=false; client.rdns=mail.peer.example; client.iprev=pass;"
        "client.dynamic=false; client.connections=1; protocol.pregreet=false; protocol.violations=0;"
        "reputation.listed=false; reputation.score=0; reputation.lists=; reputation.monitored=;"
        "reputation.incomplete=false; reputation.reason=; reputation.subject=; helo.name=mail.peer.example;"
        "helo.kind=fqdn; helo.resolves=pass; helo.matches=true; helo.impersonates=false;"
        "tls.version=; tls.cipher=; tls.client_subject=; sender.address=a@peer.example;"
        "sender.local=a; sender.domain=peer.example; sender.null=false; sender.resolves=pass;"
        "spf=none; spf.helo=none; spf.weak=false; spf.domain=peer.example; spf.mechanism=;"
        "spf.explanation=; recipient.address=user@corp.example; recipient.local=user;"
        "recipient.domain=corp.example; recipient.original=user@corp.example;"
        "recipient.wildcard=; recipient.count=0; session.id=01JD3V");
}

static inline struct eval_input fixture_input(struct fixture *f, enum fact_stage stage)
{
    return (struct eval_input){ .facts = &f->facts, .lists = f->lists, .stage = stage, .now_s = NOON_2026 };
}

static inline void fixture_ask(struct fixture *f, enum rule_block block, enum fact_stage stage)
{
    struct eval_input in = fixture_input(f, stage);

    assert_true(f->p->rules.block[block].count < ARRAY_LEN(f->trace));
    rules_evaluate(&f->p->rules, block, &in, &f->result, f->trace);
}

/* "drop spf-fail 550 5.7.23", "accept default", "needs spf", "later" */
static inline const char *fixture_outcome(struct fixture *f, char mem[200])
{
    static const char *const actions[] = { "accept", "bypass", "reject", "defer", "drop", "divert" };
    const struct eval_result *r = &f->result;
    struct buf b;

    buf_init_fixed(&b, mem, 200);
    if (r->status == EVAL_NEEDS) {
        buf_put_str(&b, "needs ");
        rules_put_fact_name(&f->p->rules, r->needs, &b);
    } else if (r->status == EVAL_LATER) {
        buf_put_str(&b, "later");
    } else {
        buf_putf(&b, "%s %s", actions[r->action], r->rule != NULL ? r->rule->name : "default");
        if (r->reply.code != 0) {
            buf_putf(&b, " %u " SLICE_FMT, r->reply.code, SLICE_ARG(r->reply.enhanced));
        }
    }
    return mem;
}

#endif
