/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_policy.c - any text as a configuration: it compiles or is refused, and what compiles keeps its
 * promises.
 *
 *   - whatever the facts, an evaluation ends, and its words, replies and tags can be written
 *   - a fact is needed only if nobody has answered for it, so asking comes to an end
 *   - no outage refuses for good: if taking away look-ups (unknown, temperror) leads to 5xx, then with all of
 * them the recipient would not have been accepted
 *   - the merged rules, printed, load again
 *
 * A text that begins with "#make" is a seed: rules are made from it, so that the promises are tried on many
 * policies that are right.
 */
#include "policy/rules/compiled.h"
#include "policy/rules/text.h"
#include "policy/rules/verdict.h"

#define FUZZ_TEXT_MAX 20000
#define ROUNDS 8
#define LISTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    uint64_t seed[2], counter;
    struct facts facts;
    struct fact_value lists[LISTS_MAX];
    struct addr ip;
    struct rule_trace *trace;
};

static const char *const texts[] = {
    "",     "a.example",     "b.a.example", "user@a.example", "postmaster",
    "mail", "x@b.a.example", "zen",         "zen,dbl",        "\xff\n\r",
};
static const char *const addresses[] = { "192.0.2.1", "10.1.2.3", "2001:db8::1", "203.0.113.7" };

static unsigned roll(struct world *w, unsigned below)
{
    w->counter++;
    return (unsigned)(siphash(w->seed, &w->counter, sizeof(w->counter)) % below);
}

static unsigned word_count(enum fact_id id)
{
    struct slice rest = slice_str(fact_table[id].words);
    unsigned n = 0;

    while (!slice_empty(rest)) {
        (void)slice_token(&rest);
        n++;
    }
    return n;
}

static void set_random(struct world *w, enum fact_id id)
{
    int temperror = fact_word_index(id, SLICE("temperror"));
    unsigned word;

    switch (fact_table[id].type) {
    case FACT_FLAG:
        fact_set_flag(&w->facts, id, roll(w, 2) == 1);
        break;
    case FACT_WORD:
        word = roll(w, word_count(id));
        fact_set_word(&w->facts, id, (int)word == temperror ? 0 : word); /* complete: nothing failed */
        break;
    case FACT_NUMBER:
        fact_set_number(&w->facts, id, (int64_t)roll(w, 10) * 500 - 1000);
        break;
    case FACT_DURATION:
        fact_set_duration(&w->facts, id, (uint64_t)roll(w, 100) * 3600000);
        break;
    case FACT_IP:
        if (!addr_parse_ip(slice_str(addresses[roll(w, ARRAY_LEN(addresses))]), &w->ip)) {
            abort();
        }
        fact_set_ip(&w->facts, id, &w->ip);
        break;
    case FACT_WORDS:
    case FACT_NAME:
    case FACT_ADDRESS:
    case FACT_TEXT:
        fact_set_text(&w->facts, id, slice_str(texts[roll(w, ARRAY_LEN(texts))]));
        break;
    }
}

/* What the DNS may fail to tell. */
static bool may_fail(unsigned i)
{
    struct slice name = slice_str(fact_table[i].name);

    return slice_starts(name, SLICE("spf")) || slice_starts(name, SLICE("reputation.")) ||
           slice_eq(name, SLICE("client.rdns")) || slice_eq(name, SLICE("client.iprev")) ||
           slice_eq(name, SLICE("client.dynamic")) || slice_eq(name, SLICE("sender.resolves")) ||
           slice_eq(name, SLICE("helo.resolves")) || slice_eq(name, SLICE("helo.matches")) ||
           slice_eq(name, SLICE("helo.impersonates"));
}

static void write_all(const struct policy *p, const struct world *w, const struct eval_input *in,
                      const struct eval_result *r, const struct block *b)
{
    struct text_facts tf = { .rules = &p->rules, .facts = &w->facts, .lists = w->lists };
    struct buf out;

    buf_init(&out, 1u << 20);
    text_reply(&tf, r->reply.text, &out);
    for (size_t i = 0; i < out.len; i++) {
        if (!ascii_is_print(out.ptr[i]) && out.ptr[i] != '\n') {
            abort();
        }
    }
    for (size_t i = 0; i < b->count; i++) {
        rule_trace_why(&p->rules, &w->trace[i], in, &out);
        for (const struct rule_tag *t = b->rule[i].tags; t != NULL; t = t->next) {
            text_tag(&tf, t->text, &out);
        }
    }
    buf_fini(&out);
}

static struct eval_result evaluate(const struct policy *p, struct world *w, enum rule_block block)
{
    struct eval_input in = { .facts = &w->facts, .lists = w->lists, .now_s = 1793620800 };
    struct eval_result r;

    in.stage = block == BLOCK_MESSAGE ? STAGE_MESSAGE : STAGE_RCPT;
    rules_evaluate(&p->rules, block, &in, &r, w->trace);
    write_all(p, w, &in, &r, &p->rules.block[block]);
    return r;
}

static bool is_refused_for_good(const struct eval_result *r)
{
    return r->status == EVAL_DONE && r->reply.code >= 500;
}

static bool is_taken(const struct eval_result *r)
{
    return r->action == VERDICT_ACCEPT || r->action == VERDICT_BYPASS || r->action == VERDICT_DIVERT;
}

static void check_outage(const struct policy *p, struct world *w, enum rule_block block)
{
    struct eval_result whole, part;

    for (unsigned i = 0; i < FACT_COUNT; i++) {
        set_random(w, (enum fact_id)i);
    }
    for (unsigned i = 0; i < LISTS_MAX; i++) {
        w->lists[i] = (struct fact_value){ .state = FACT_KNOWN, .flag = roll(w, 2) == 1 };
    }
    whole = evaluate(p, w, block);
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        if (may_fail(i) && roll(w, 2) == 1) {
            fact_set_unknown(&w->facts, (enum fact_id)i);
        }
    }
    for (unsigned i = 0; i < LISTS_MAX; i++) {
        w->lists[i].state = roll(w, 2) == 1 ? FACT_UNKNOWN : FACT_KNOWN;
    }
    part = evaluate(p, w, block);
    if (whole.status != EVAL_DONE || part.status != EVAL_DONE ||
        (is_refused_for_good(&part) && is_taken(&whole))) {
        abort();
    }
}

/* As the engine does: ask for what is needed until the outcome stands. */
static void check_asking(const struct policy *p, struct world *w, enum rule_block block)
{
    struct eval_result r;

    facts_forget(&w->facts, SCOPE_SESSION);
    for (unsigned i = 0; i < LISTS_MAX; i++) {
        w->lists[i] = (struct fact_value){ .state = FACT_IDLE };
    }
    for (unsigned asked = 0; (r = evaluate(p, w, block)).status == EVAL_NEEDS; asked++) {
        if (asked > FACT_COUNT + LISTS_MAX || r.needs == RULE_NO_FACT) {
            abort();
        }
        if (r.needs >= FACT_COUNT) {
            w->lists[r.needs - FACT_COUNT] =
                (struct fact_value){ .state = FACT_KNOWN, .flag = roll(w, 2) == 1 };
        } else if (w->facts.v[r.needs].state == FACT_KNOWN) {
            abort();
        } else if (roll(w, 3) == 0) {
            fact_set_unknown(&w->facts, (enum fact_id)r.needs);
        } else {
            set_random(w, (enum fact_id)r.needs);
        }
    }
}

static void check_early(const struct policy *p, struct world *w)
{
    struct eval_input in = {
        .facts = &w->facts, .lists = w->lists, .stage = STAGE_MAIL, .now_s = 1793620800
    };
    struct eval_result r;

    facts_forget(&w->facts, SCOPE_RECIPIENT);
    rules_evaluate(&p->rules, BLOCK_ENVELOPE, &in, &r, w->trace);
    if (r.status == EVAL_DONE && r.reply.code == 0) {
        abort(); /* nothing is accepted early */
    }
}

static void check_print(const struct config *conf)
{
    struct buf out;
    struct config_errors errs = { .count = 0 };
    struct config *again;
    struct policy *q;

    buf_init(&out, 4u << 20);
    config_print(conf, policy_put_key, &out);
    again = config_load_text("printed", buf_slice(&out), &errs);
    q = again != NULL ? policy_compile(again, &errs) : NULL;
    for (size_t i = 0; q == NULL && i < errs.count;
         i++) { /* a secret is masked, a test of the file may name what is not there */
        if (!errs.list[i].warning && strstr(errs.list[i].text, "mask") == NULL &&
            strstr(errs.list[i].text, "test ") == NULL) {
            abort();
        }
    }
    policy_free(q);
    config_free(again);
    config_errors_fini(&errs);
    buf_fini(&out);
}

static void check_policy(const struct policy *p, const uint8_t *data, size_t size)
{
    static const uint64_t key[2] = { 1, 2 };
    size_t most = max_size(p->rules.block[0].count, p->rules.block[1].count);
    struct world *w = xcalloc(1, sizeof(*w));

    w->seed[0] = siphash(key, data, size);
    w->trace = xcalloc(most + 1, sizeof(*w->trace));
    for (unsigned i = 0; i < ROUNDS && p->rules.list_count <= LISTS_MAX; i++) {
        check_outage(p, w, BLOCK_ENVELOPE);
        check_outage(p, w, BLOCK_MESSAGE);
        check_asking(p, w, BLOCK_ENVELOPE);
        check_asking(p, w, BLOCK_MESSAGE);
        check_early(p, w);
    }
    free(w->trace);
    free(w);
}

/* ---- policies made from a seed ---- */

static void make_term(struct world *w, struct buf *out)
{
    static const char *const terms[] = {
        "spf: pass",
        "spf: [fail, softfail]",
        "spf: temperror",
        "spf: [none, neutral, permerror]",
        "client.rdns: .a.example",
        "client.rdns: \"\"",
        "client.iprev: pass",
        "client.iprev: [fail, temperror]",
        "reputation.listed: true",
        "reputation.score: \">= 1\"",
        "reputation.score: \"< 0\"",
        "reputation.zen: true",
        "reputation.lists: zen",
        "sender.resolves: [fail, null_mx]",
        "sender.null: false",
        "helo.impersonates: true",
        "helo.resolves: fail",
        "recipient.local: postmaster",
        "score: \">= 1\"",
        "score: \"-1..1\"",
        "score: \"< 0\"",
        "client.ip: 192.0.2.0/24",
        "protocol.violations: \"> 1\"",
        "sender.address: \"@a.example\"",
        "client.known_good: true",
        "spf.weak: false",
    };

    buf_putf(out, "{%s}", terms[roll(w, ARRAY_LEN(terms))]);
}

static void make_cond(struct world *w, struct buf *out, unsigned depth)
{
    unsigned kind = depth == 0 ? 0 : roll(w, 5);

    if (kind < 2) {
        make_term(w, out);
    } else if (kind == 2) {
        buf_put_str(out, "{not: ");
        make_cond(w, out, depth - 1);
        buf_put_char(out, '}');
    } else {
        buf_put_str(out, kind == 3 ? "{any: [" : "{all: [");
        make_cond(w, out, depth - 1);
        buf_put_str(out, ", ");
        make_cond(w, out, depth - 1);
        buf_put_str(out, "]}");
    }
}

static void make_policy(struct world *w, struct buf *out)
{
    static const char *const actions[] = {
        "accept",
        "bypass",
        "{divert: exchange}",
        "defer",
        "reject",
        "drop, reply: \"554 5.7.1 no {spf}\"",
        "reject",
        "{score: 1}",
        "{score: -1}",
        "[{score: 0.5}, reject]",
        "{score: 2}",
        "{tag: {X-A: \"{spf}\"}}",
    };
    static const char *const ends[] = { "accept", "reject", "defer" };

    buf_put_str(out, "reputation: {lists: [{name: zen, zone: zen.example}]}\npolicy:\n  rules:\n");
    for (unsigned i = 0, n = 2 + roll(w, 8); i < n; i++) {
        buf_putf(out, "    - {name: r%u, when: ", i);
        make_cond(w, out, 3);
        buf_putf(out, ", then: %s%s}\n", actions[roll(w, ARRAY_LEN(actions))],
                 roll(w, 8) == 0   ? ", mode: monitor"
                 : roll(w, 8) == 0 ? ", enforce_share: 50%"
                                   : "");
    }
    buf_putf(out, "  default: %s\n", ends[roll(w, ARRAY_LEN(ends))]);
}

static void try_text(struct slice text, bool must_load);

static void try_made(struct slice seed)
{
    static const uint64_t key[2] = { 5, 6 };
    struct world *w = xcalloc(1, sizeof(*w));
    struct buf out;

    w->seed[0] = siphash(key, seed.ptr, seed.len);
    buf_init(&out, 1u << 20);
    make_policy(w, &out);
    try_text(buf_slice(&out), true);
    buf_fini(&out);
    free(w);
}

/* What every file needs, unless the text has it. */
static const char rest[] = "\nserver: {hostname: mx.test.example}\n"
                           "upstreams: {exchange: {servers: [\"192.0.2.251:25\"]}}\n"
                           "domains: {home.test: exchange}\n";

static struct config *load(struct slice text, struct config_errors *errs)
{
    struct config *conf;
    struct buf whole;

    buf_init(&whole, FUZZ_TEXT_MAX + (1u << 20));
    buf_put_slice(&whole, text);
    if (text.len == 0 || memmem(text.ptr, text.len, "upstreams:", 10) == NULL) {
        buf_put_str(&whole, rest);
    }
    conf = config_load_text("fuzz", buf_slice(&whole), errs);
    buf_fini(&whole);
    return conf;
}

static void try_text(struct slice text, bool must_load)
{
    struct config_errors errs = { .count = 0 };
    struct config *conf = load(text, &errs);
    struct policy *p = NULL;

    if ((conf == NULL) != (errs.fatal > 0)) {
        abort();
    }
    if (conf != NULL) {
        conf->loaded_at_s = 1793620800;
        conf->policy = p = policy_compile(conf, &errs);
        if ((p == NULL) != (errs.fatal > 0)) {
            abort();
        }
    }
    if (p != NULL) {
        check_policy(p, (const uint8_t *)text.ptr, text.len);
        check_print(conf);
    } else if (must_load) {
        abort();
    }
    policy_free(p);
    config_free(conf);
    config_errors_fini(&errs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);

    if (size > FUZZ_TEXT_MAX || memmem(data, size, "file:", 5) != NULL ||
        memmem(data, size, "${", 2) != NULL) {
        return 0; /* neither files nor environment of this machine */
    }
    if (slice_starts(text, SLICE("#make"))) {
        try_made(text);
    } else {
        try_text(text, false);
    }
    return 0;
}
