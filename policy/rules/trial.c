/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trial.c - `policy.tests`: given facts, and the expected verdict.
 *
 * `check` runs it, and so does every start and reload.  A fact that is not given is unknown.  These are derived from
 * given facts, unless they are given themselves:
 *
 *   reputation.NAME    -> reputation.lists, where true, of an enforcing list
 *   reputation.lists   -> reputation.listed, reputation.incomplete, reputation.NAME of every list
 *   reputation.monitored -> reputation.NAME of those lists
 *   reputation.score   -> reputation.listed
 *   helo.name          -> helo.kind
 *   sender.address     -> sender.local, sender.domain, sender.null; and sender.null from any of them
 *   recipient.address  -> recipient.local, recipient.domain, recipient.original
 *   client.ip          -> client.private
 *   zero_day.reasons   -> zero_day.suspect and each of its reasons
 *   message.from_domain    -> message.from_domains
 *   message.from_domains   -> message.author_domains, message.from_ours
 *   message.name_address   -> message.name_ours
 *
 * Greylisting sees a first attempt.  The rules add to a given score.  The message block is evaluated if the envelope
 * block accepts and a message fact is given.
 */
#include "policy/checks/check.h"
#include "policy/rules/match.h"
#include "policy/rules/rules_priv.h"
#include "policy/rules/verdict.h"

#define TEST_ARENA_MAX ((size_t)4 << 20)
#define VERDICTS "accept|bypass|reject|defer|drop|divert" /* in the order of enum verdict_action */

struct trial { /* one test */
    const struct reputation *rep;
    struct rules_load l; /* its arena belongs to the trial */
    struct arena arena;
    struct facts facts;
    struct fact_value *lists;
    struct addr ip;
    bool message; /* a message fact was given */
};

/* ---- given facts ---- */

static bool is_list(const struct trial *t, struct slice name)
{
    for (size_t i = 0; i < t->l.r->list_count; i++) {
        if (slice_eq(t->l.r->lists[i], name)) {
            return true;
        }
    }
    return false;
}

static bool is_unknown(const struct trial *t, enum fact_id id)
{
    return t->facts.v[id].state == FACT_UNKNOWN;
}

static bool parse_flag(struct slice text, bool *flag)
{
    *flag = slice_eq(text, SLICE("true"));
    return *flag || slice_eq(text, SLICE("false"));
}

/* Joins a list of words, or a single one, by ','. */
static bool join_words(struct trial *t, const struct config_node *node, struct slice *out)
{
    const struct config_node *child;
    struct buf b;
    bool ok = node->kind != NODE_MAPPING;

    buf_init(&b, 65536);
    if (node->kind == NODE_SCALAR) {
        buf_put_slice(&b, node->text);
    } else if (ok) {
        CONFIG_NODE_EACH(node, child)
        {
            ok = ok && child->kind == NODE_SCALAR && slice_find(child->text, ',') == child->text.len;
            buf_put_str(&b, b.len > 0 ? "," : "");
            buf_put_slice(&b, ok ? child->text : SLICE_NONE);
        }
    }
    *out = rules_text(&t->l, buf_slice(&b));
    ok = ok && buf_ok(&b);
    buf_fini(&b);
    return ok;
}

/* The first word that the fact can never have; empty: none. */
static struct slice not_a_member(const struct trial *t, enum fact_id id, struct slice words)
{
    bool of_lists = id == FACT_ID_REPUTATION_LISTS || id == FACT_ID_REPUTATION_MONITORED;

    while (!slice_empty(words) && (of_lists || fact_table[id].words[0] != '\0')) {
        struct slice word = slice_cut(&words, ',');

        if (of_lists ? !is_list(t, word) : fact_word_index(id, word) < 0) {
            return word;
        }
    }
    return SLICE_NONE;
}

/* The end of the message of `give`: the values that the fact takes, and the nearest one. */
static void refuse(struct trial *t, unsigned fact, const struct config_node *node)
{
    static const char *const wanted[] = {
        [FACT_FLAG] = "true or false",
        [FACT_WORD] = "a word",
        [FACT_WORDS] = "a list of words",
        [FACT_NAME] = "a name",
        [FACT_ADDRESS] = "a mail address",
        [FACT_IP] = "an address such as 192.0.2.1",
        [FACT_NUMBER] = "a number such as 5",
        [FACT_DURATION] = "a duration such as 24h",
        [FACT_TEXT] = "a text",
    };
    enum fact_type type = fact < FACT_COUNT ? fact_table[fact].type : FACT_FLAG;
    struct slice found = node->text, words = SLICE_NONE;
    const char *hint = "";
    char mem[200];
    struct buf all;
    struct nearest near;
    struct quoted q, name;

    buf_init_fixed(&all, mem, sizeof(mem));
    if (type == FACT_WORDS && join_words(t, node, &words)) {
        found = not_a_member(t, (enum fact_id)fact, words);
    }
    if (fact < FACT_COUNT && fact_table[fact].words[0] != '\0') {
        hint = rules_expected_word((enum fact_id)fact, found, &all, &near);
    } else if (type == FACT_WORDS && !slice_empty(found)) {
        buf_put_str(&all, "the name of a list of reputation.lists");
        hint = rules_nearest_list(t->l.r, found, &near);
    } else {
        buf_put_str(&all, wanted[type]);
    }
    if (node->kind == NODE_SCALAR || !slice_empty(found)) {
        rules_error(&t->l, node, "test %s: %s: expected %s, found `%s`%s", t->l.name,
                    rules_quote(&name, node->key), mem, rules_quote(&q, found), hint);
    } else {
        rules_error(&t->l, node, "test %s: %s: expected %s, found %s", t->l.name,
                    rules_quote(&name, node->key), mem, config_node_kind_name(node));
    }
}

/* Sets a fact of the table; false if the value has the wrong type. */
static bool set_fact(struct trial *t, enum fact_id id, const struct config_node *node)
{
    struct slice text = node->text;
    struct set_range range;
    uint64_t ms;
    bool flag;
    int word;

    if (fact_table[id].type == FACT_WORDS) {
        if (!join_words(t, node, &text) || !slice_empty(not_a_member(t, id, text))) {
            return false;
        }
        fact_set_text(&t->facts, id, text);
        return true;
    }
    if (node->kind != NODE_SCALAR) {
        return false;
    }
    switch (fact_table[id].type) {
    case FACT_FLAG:
        if (!parse_flag(text, &flag)) {
            return false;
        }
        fact_set_flag(&t->facts, id, flag);
        return true;
    case FACT_WORD:
        word = fact_word_index(id, text);
        if (word >= 0) {
            fact_set_word(&t->facts, id, (unsigned)word);
        }
        return word >= 0;
    case FACT_NUMBER:
        if (!entry_parse_range(text, false, &range) || range.low != range.high) {
            return false;
        }
        fact_set_number(&t->facts, id, range.low);
        return true;
    case FACT_DURATION:
        if (!value_parse_duration(text, &ms)) {
            return false;
        }
        fact_set_duration(&t->facts, id, ms);
        return true;
    case FACT_IP:
        if (!addr_parse_ip(text, &t->ip)) {
            return false;
        }
        fact_set_ip(&t->facts, id, &t->ip);
        return true;
    case FACT_NAME:
    case FACT_ADDRESS:
    case FACT_TEXT:
    case FACT_WORDS:
        fact_set_text(&t->facts, id, text);
        return true;
    }
    return false;
}

/* False after an error. */
static bool give(struct trial *t, const struct config_node *node)
{
    unsigned fact;
    bool flag, ok;

    t->l.block = BLOCK_COUNT; /* facts of both blocks may be given */
    fact = cond_load_fact(&t->l, node, node->key);
    if (fact == RULE_NO_FACT) {
        return false;
    }
    if (fact < FACT_COUNT) {
        ok = set_fact(t, (enum fact_id)fact, node);
        t->message = t->message || fact_table[fact].stage == STAGE_MESSAGE;
    } else {
        ok = node->kind == NODE_SCALAR && parse_flag(node->text, &flag);
        if (ok) {
            t->lists[fact - FACT_COUNT] = (struct fact_value){ .state = FACT_KNOWN, .flag = flag };
        }
    }
    if (!ok) {
        refuse(t, fact, node);
    }
    return ok;
}

/* ---- derived facts ---- */

static bool has_word(struct slice words, struct slice word)
{
    while (!slice_empty(words)) {
        if (slice_eq(slice_cut(&words, ','), word)) {
            return true;
        }
    }
    return false;
}

static void set_if_unknown(struct trial *t, enum fact_id id, struct slice text)
{
    if (is_unknown(t, id)) {
        fact_set_text(&t->facts, id, text);
    }
}

static void flag_if_unknown(struct trial *t, enum fact_id id, bool value)
{
    if (is_unknown(t, id)) {
        fact_set_flag(&t->facts, id, value);
    }
}

static void derive_sender(struct trial *t)
{
    const struct fact_value *address = &t->facts.v[FACT_ID_SENDER_ADDRESS];
    const struct fact_value *domain = &t->facts.v[FACT_ID_SENDER_DOMAIN];
    const struct fact_value *null = &t->facts.v[FACT_ID_SENDER_NULL];

    if (null->state == FACT_KNOWN && null->flag) {
        set_if_unknown(t, FACT_ID_SENDER_ADDRESS, SLICE(""));
    }
    if (address->state == FACT_KNOWN) {
        size_t at = slice_rfind(fact_text(address), '@');

        set_if_unknown(t, FACT_ID_SENDER_LOCAL, slice_take(fact_text(address), at));
        set_if_unknown(t, FACT_ID_SENDER_DOMAIN, slice_skip(fact_text(address), at + 1));
        flag_if_unknown(t, FACT_ID_SENDER_NULL, address->len == 0);
    }
    if (domain->state == FACT_KNOWN && domain->len > 0) {
        flag_if_unknown(t, FACT_ID_SENDER_NULL, false);
    }
}

static void derive_recipient(struct trial *t)
{
    const struct fact_value *address = &t->facts.v[FACT_ID_RECIPIENT_ADDRESS];

    if (address->state == FACT_KNOWN) {
        size_t at = slice_rfind(fact_text(address), '@');

        set_if_unknown(t, FACT_ID_RECIPIENT_LOCAL, slice_take(fact_text(address), at));
        set_if_unknown(t, FACT_ID_RECIPIENT_DOMAIN, slice_skip(fact_text(address), at + 1));
        set_if_unknown(t, FACT_ID_RECIPIENT_ORIGINAL, fact_text(address));
    }
}

/* The enforcing lists that are given as hits by name, joined by ','. */
static void derive_list_names(struct trial *t)
{
    struct buf b;

    if (!is_unknown(t, FACT_ID_REPUTATION_LISTS)) {
        return;
    }
    buf_init(&b, 65536);
    for (size_t i = 0; i < t->rep->count; i++) {
        if (t->rep->list[i].mode == LIST_MODE_ENFORCE && t->lists[i].state == FACT_KNOWN &&
            t->lists[i].flag) {
            buf_put_str(&b, b.len > 0 ? "," : "");
            buf_put_slice(&b, t->l.r->lists[i]);
        }
    }
    if (b.len > 0) {
        fact_set_text(&t->facts, FACT_ID_REPUTATION_LISTS, rules_text(&t->l, buf_slice(&b)));
    }
    buf_fini(&b);
}

static void derive_listed(struct trial *t)
{
    const struct fact_value *score = &t->facts.v[FACT_ID_REPUTATION_SCORE];

    if (score->state == FACT_KNOWN) {
        flag_if_unknown(t, FACT_ID_REPUTATION_LISTED, (int64_t)score->u.number >= t->rep->threshold);
    }
}

static void derive_lists(struct trial *t)
{
    const struct fact_value *lists = &t->facts.v[FACT_ID_REPUTATION_LISTS];
    const struct fact_value *monitored = &t->facts.v[FACT_ID_REPUTATION_MONITORED];

    if (lists->state == FACT_KNOWN) {
        flag_if_unknown(t, FACT_ID_REPUTATION_LISTED, lists->len > 0);
        flag_if_unknown(t, FACT_ID_REPUTATION_INCOMPLETE, false);
    }
    for (size_t i = 0; i < t->l.r->list_count; i++) {
        bool enforced = lists->state == FACT_KNOWN && has_word(fact_text(lists), t->l.r->lists[i]);
        bool watched = monitored->state == FACT_KNOWN && has_word(fact_text(monitored), t->l.r->lists[i]);

        if (t->lists[i].state == FACT_UNKNOWN && (enforced || watched || lists->state == FACT_KNOWN)) {
            t->lists[i] = (struct fact_value){ .state = FACT_KNOWN, .flag = enforced || watched };
        }
    }
}

static void derive_zero_day(struct trial *t)
{
    static const struct {
        enum fact_id id;
        struct slice word;
    } reasons[] = {
        { FACT_ID_ZERO_DAY_FRESH_DOMAIN, SLICE_INIT("fresh_domain") },
        { FACT_ID_ZERO_DAY_FRESH_CLIENT, SLICE_INIT("fresh_client") },
        { FACT_ID_ZERO_DAY_BURST, SLICE_INIT("burst") },
        { FACT_ID_ZERO_DAY_LISTED, SLICE_INIT("listed") },
    };
    const struct fact_value *words = &t->facts.v[FACT_ID_ZERO_DAY_REASONS];
    bool any = false;

    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        const struct fact_value *v = &t->facts.v[reasons[i].id];

        if (words->state == FACT_KNOWN) {
            flag_if_unknown(t, reasons[i].id, has_word(fact_text(words), reasons[i].word));
        }
        any = any || (v->state == FACT_KNOWN && v->flag);
    }
    if (any || words->state == FACT_KNOWN) {
        flag_if_unknown(t, FACT_ID_ZERO_DAY_SUSPECT, any);
    }
}

static void derive_helo(struct trial *t)
{
    const struct fact_value *name = &t->facts.v[FACT_ID_HELO_NAME];
    struct addr literal;

    if (name->state == FACT_KNOWN && is_unknown(t, FACT_ID_HELO_KIND)) {
        fact_set_word(&t->facts, FACT_ID_HELO_KIND, (unsigned)helo_kind(fact_text(name), &literal));
    }
}

static bool is_ours(const struct trial *t, struct slice domains)
{
    bool ours = false;

    while (!slice_empty(domains) && !ours) {
        ours = config_route(t->l.conf, slice_cut(&domains, ',')) != NULL;
    }
    return ours;
}

static void derive_authors(struct trial *t)
{
    const struct fact_value *author = &t->facts.v[FACT_ID_MESSAGE_FROM_DOMAIN];
    const struct fact_value *domains = &t->facts.v[FACT_ID_MESSAGE_FROM_DOMAINS];
    const struct fact_value *ours = &t->facts.v[FACT_ID_MESSAGE_FROM_OURS];
    const struct fact_value *name = &t->facts.v[FACT_ID_MESSAGE_NAME_ADDRESS];
    struct slice rest;
    int64_t count = 0;

    if (author->state == FACT_KNOWN && author->len > 0) {
        set_if_unknown(t, FACT_ID_MESSAGE_FROM_DOMAINS, fact_text(author));
    }
    if (domains->state == FACT_KNOWN) {
        for (rest = fact_text(domains); !slice_empty(rest); count++) {
            (void)slice_cut(&rest, ',');
        }
        if (is_unknown(t, FACT_ID_MESSAGE_AUTHOR_DOMAINS)) {
            fact_set_number(&t->facts, FACT_ID_MESSAGE_AUTHOR_DOMAINS, count * 1000);
        }
        flag_if_unknown(t, FACT_ID_MESSAGE_FROM_OURS, is_ours(t, fact_text(domains)));
    }
    if (name->state == FACT_KNOWN) {
        flag_if_unknown(t, FACT_ID_MESSAGE_NAME_OURS,
                        is_ours(t, fact_text(name)) && !(ours->state == FACT_KNOWN && ours->flag));
    }
}

static void derive(struct trial *t)
{
    derive_sender(t);
    derive_recipient(t);
    derive_helo(t);
    derive_list_names(t);
    derive_listed(t);
    derive_lists(t);
    derive_zero_day(t);
    derive_authors(t);
    if (t->facts.v[FACT_ID_CLIENT_IP].state == FACT_KNOWN) {
        flag_if_unknown(t, FACT_ID_CLIENT_PRIVATE, addr_is_private(&t->ip));
    }
}

/* ---- expected verdict ---- */

static void judge(struct trial *t, struct eval_result *result)
{
    const struct rules *r = t->l.r;
    const struct fact_value *score = &t->facts.v[FACT_ID_SCORE];
    struct eval_input in = {
        .facts = &t->facts,
        .lists = t->lists,
        .stage = STAGE_RCPT,
        .now_s = t->l.conf->loaded_at_s,
        .grey = EVAL_GREY_WAITS,
    };
    size_t most = max_size(r->block[BLOCK_ENVELOPE].count, r->block[BLOCK_MESSAGE].count);
    struct rule_trace *trace = xcalloc(most + 1, sizeof(*trace));
    struct eval_result message;

    in.score = score->state == FACT_KNOWN ? (int64_t)score->u.number : 0;
    rules_evaluate(r, BLOCK_ENVELOPE, &in, result, trace);
    if (t->message && (result->action == VERDICT_ACCEPT || result->action == VERDICT_DIVERT)) {
        in.stage = STAGE_MESSAGE;
        in.score = result->score;
        rules_evaluate(r, BLOCK_MESSAGE, &in, &message, trace);
        if (message.rule != NULL) {
            *result = message;
        }
        result->score = message.score;
    }
    free(trace);
}

static const char *verdict_text(enum verdict_action a, char mem[16])
{
    struct buf b;

    buf_init_fixed(&b, mem, 16);
    buf_put_slice(&b, value_choice_text(VERDICTS, (unsigned)a));
    return mem;
}

static void compare(struct trial *t, const struct eval_result *got, const struct config_node *expect)
{
    const struct config_node *verdict = config_node_get(expect, "verdict"),
                             *rule = config_node_get(expect, "rule");
    const struct config_node *code = config_node_get(expect, "code"),
                             *score = config_node_get(expect, "score");
    struct slice got_rule = slice_str(got->rule != NULL ? got->rule->name : "default");
    struct set_range range;
    struct nearest near;
    struct quoted q;
    unsigned action = 0;
    uint64_t n = 0;
    char mem[16];
    bool ok = true;

    if (verdict != NULL && !value_parse_choice(verdict->text, VERDICTS, &action)) {
        rules_error(
            &t->l, verdict,
            "test %s: expect.verdict: expected accept, bypass, reject, defer, drop or divert, found `%s`%s",
            t->l.name, rules_quote(&q, verdict->text), nearest_choice(&near, verdict->text, VERDICTS));
        return;
    }
    if (rule != NULL && !rules_has_rule(t->l.r, rule->text, &near)) {
        rules_error(&t->l, rule, "test %s: expect.rule: there is no rule `%s`%s", t->l.name,
                    rules_quote(&q, rule->text), nearest_words(&near));
        return;
    }
    if (code != NULL && !slice_to_u64(code->text, 599, &n)) {
        rules_error(&t->l, code, "test %s: expect.code: expected a reply code such as 451", t->l.name);
        return;
    }
    if (score != NULL && !entry_parse_range(score->text, false, &range)) {
        rules_error(&t->l, score, "test %s: expect.score: expected a number such as 2.5", t->l.name);
        return;
    }
    ok = (verdict == NULL || action == (unsigned)got->action) &&
         (rule == NULL || slice_eq(rule->text, got_rule)) && (code == NULL || n == got->reply.code) &&
         (score == NULL || (range.low <= got->score && got->score <= range.high));
    if (!ok) {
        struct fact_value v = { .state = FACT_KNOWN, .u.number = (uint64_t)got->score };
        char text[200];
        struct buf b;

        buf_init_fixed(&b, text, sizeof(text));
        buf_putf(&b, "%s by rule " SLICE_FMT, verdict_text(got->action, mem), SLICE_ARG(got_rule));
        if (got->reply.code != 0) {
            buf_putf(&b, ", code %u", got->reply.code);
        }
        buf_put_str(&b, ", score ");
        fact_put(&b, FACT_ID_SCORE, &v);
        rules_error(&t->l, expect, "test %s failed: the verdict is %s", t->l.name, text);
    }
}

static void run_test(struct trial *t, const struct config_node *test)
{
    const struct config_node *given = config_node_get(test, "given"),
                             *expect = config_node_get(test, "expect");
    const struct config_node *child;
    struct eval_result result;
    bool ok = true;
    bool known = rules_check_keys_of(&t->l, "test", test, "name|given|expect");

    if (expect == NULL && !known) {
        return; /* probably an unknown key */
    }
    if (expect == NULL || expect->kind != NODE_MAPPING || expect->count == 0) {
        rules_error(&t->l, expect != NULL ? expect : test,
                    "test %s: `expect` needs a mapping such as {verdict: accept, rule: spf-pass}", t->l.name);
        return;
    }
    rules_check_keys_of(&t->l, "test", expect, "verdict|rule|code|score");
    if (given != NULL && given->kind != NODE_MAPPING) {
        rules_error(&t->l, given, "test %s: `given` needs a mapping of facts to values", t->l.name);
        return;
    }
    for (child = given != NULL ? given->first : NULL; child != NULL; child = child->next) {
        ok = give(t, child) && ok;
    }
    if (ok) {
        derive(t);
        judge(t, &result);
        compare(t, &result, expect);
    }
}

static void run_one(const struct policy *p, struct rules *r, const struct config_node *test,
                    struct config_errors *errs)
{
    struct trial *t = xcalloc(1, sizeof(*t));
    const struct config_node *name = config_node_get(test, "name");
    struct quoted q;

    arena_init(&t->arena, TEST_ARENA_MAX);
    t->l = (struct rules_load){ .r = r, .arena = &t->arena, .errs = errs, .conf = p->conf };
    t->l.name = name != NULL && name->kind == NODE_SCALAR ? rules_quote(&q, name->text) : "without a name";
    t->rep = &p->reputation;
    t->lists = xcalloc(r->list_count + 1, sizeof(*t->lists));
    for (size_t i = 0; i < r->list_count; i++) {
        t->lists[i].state = FACT_UNKNOWN;
    }
    for (size_t i = 0; i < FACT_COUNT; i++) {
        t->facts.v[i].state = FACT_UNKNOWN;
    }
    run_test(t, test);
    free(t->lists);
    arena_fini(&t->arena);
    free(t);
}

void rules_run_tests(struct policy *p, struct config_errors *errs)
{
    const struct config_node *tests = config_node_find(p->conf->root, "policy.tests"), *test;
    struct rules_load l = { .errs = errs };

    if (tests == NULL || (tests->kind == NODE_SCALAR && slice_empty(tests->text))) {
        return;
    }
    if (tests->kind != NODE_SEQUENCE) {
        rules_error(&l, tests, "policy.tests: expected a list of tests, found %s",
                    config_node_kind_name(tests));
        return;
    }
    CONFIG_NODE_EACH(tests, test)
    {
        if (test->kind == NODE_MAPPING) {
            run_one(p, &p->rules, test, errs);
        } else {
            rules_error(&l, test, "policy.tests: expected a test with name, given and expect");
        }
    }
}
