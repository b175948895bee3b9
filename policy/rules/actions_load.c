/* SPDX-License-Identifier: Apache-2.0 */
/*
 * actions_load.c - `then` and `reply` of a rule.
 *
 * A rule has any number of actions that do not end the block, then at most one that does, last.  A reply goes only
 * with a refusal and is of its class: a text "CODE ENHANCED TEXT", or one for each word of a fact:
 *
 *     reply:
 *       by: spf
 *       none: "451 4.7.1 ..."
 *       otherwise: "451 4.7.1 ..."
 */
#include "config/template.h"
#include "policy/rules/match.h"
#include "policy/rules/rules_priv.h"
#include "policy/rules/text.h"

struct action_word {
    const char *word;
    enum action action;
};

static const struct action_word words[] = {
    { "accept", ACTION_ACCEPT }, { "bypass", ACTION_BYPASS }, { "reject", ACTION_REJECT },
    { "defer", ACTION_DEFER },   { "drop", ACTION_DROP },     { "greylist", ACTION_GREYLIST },
};

#define ACTIONS_HELP "accept, bypass, reject, defer, drop, greylist, divert, tarpit, score or tag"

/* Fields with a standard meaning to servers and clients: RFC 5322, 2045, 3834, 6376, 7489, 8601, 8617. */
static const char *const standard_fields[] = {
    "Return-Path",
    "Received",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "Comments",
    "Keywords",
    "MIME-Version",
    "Authentication-Results",
    "Received-SPF",
    "DKIM-Signature",
    "DomainKey-Signature",
    "Auto-Submitted",
    "Delivered-To",
    "Errors-To",
    "Precedence",
    "Priority",
    "Importance",
    "Sensitivity",
    "Original-Recipient",
    "Encrypted",
    "Apparently-To",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Autocrypt",
    "Organization",
    "User-Agent",
    "TLS-Required",
    "TLS-Report-Domain",
    "TLS-Report-Submitter",
    /* ours */
    "X-Glacis-Verdict",
    "X-Glacis-Score",
    "X-Glacis-Level",
    "X-Glacis-Tests",
    "X-Glacis-Monitor",
    "X-Glacis-Session",
    "X-Glacis-Private",
    "X-Glacis-Client",
    "X-Glacis-Envelope-From",
    "X-Glacis-Envelope-To",
};
static const char *const standard_prefixes[] = { "Content-", "Resent-", "List-", "ARC-", "BIMI-" };

/* ---- templates ---- */

struct names {
    struct rules_load *l;
    struct rule *rule;
    bool tag;
    const char *why; /* why a known name is not allowed here */
};

static bool name_known(void *arg, struct slice name)
{
    struct names *n = arg;
    unsigned fact;

    if (!text_name_known(n->l->r, name, &fact)) {
        return false;
    }
    if (fact == RULE_NO_FACT) {
        n->why = n->tag && slice_eq(name, SLICE("reply.retry")) ? "is only for replies" : NULL;
        return n->why == NULL;
    }
    if (fact < FACT_COUNT && fact_table[fact].stage == STAGE_MESSAGE && n->l->block == BLOCK_ENVELOPE) {
        n->why = "is known only in the rules about the message";
        return false;
    }
    if (slice_starts(name, SLICE("recipient."))) {
        n->rule->names_recipient = n->tag;
        if (n->l->block == BLOCK_MESSAGE) {
            n->why = "cannot be used in a rule about the message, which is asked once for all recipients";
            return false;
        }
    }
    if (n->tag && fact == FACT_ID_SPF_EXPLANATION) {
        n->why = "is a stranger's text and never goes into headers";
        return false;
    }
    n->l->r->use[fact] |= USE_TEXT;
    return true;
}

static void check_template(struct rules_load *l, struct rule *rule, const struct config_node *at, bool tag)
{
    struct names n = { l, rule, tag, NULL };
    struct nearest near;
    struct slice bad;
    struct quoted q;

    if (template_valid(at->text, name_known, &n, &bad)) {
        return;
    }
    if (n.why != NULL) {
        rules_error(l, at, "rule %s: {%s} %s", l->name, rules_quote(&q, bad), n.why);
    } else {
        rules_error(l, at, "rule %s: {%s} is no name for texts; write {{ for a brace%s", l->name,
                    rules_quote(&q, bad), text_nearest_name(bad, &near));
    }
}

/* ---- replies ---- */

static bool is_refusing(enum action a)
{
    return a == ACTION_REJECT || a == ACTION_DEFER || a == ACTION_DROP || a == ACTION_GREYLIST;
}

static const char *class_help(enum action a)
{
    return a == ACTION_REJECT     ? "a text such as \"550 5.7.1 why\" (5xx, as the action is reject)"
           : a == ACTION_GREYLIST ? "a text such as \"451 4.7.1 why\" (4xx, as the action is greylist)"
           : a == ACTION_DEFER    ? "a text such as \"451 4.7.1 why\" (4xx, as the action is defer)"
                                  : "a text such as \"451 4.7.1 why\" or \"554 5.7.1 why\"";
}

static bool is_class(unsigned code, enum action a)
{
    unsigned digit = code / 100;

    return (digit == 4 && a != ACTION_REJECT) || (digit == 5 && a != ACTION_DEFER && a != ACTION_GREYLIST);
}

/* "5.7.23" */
static bool is_enhanced(struct slice s)
{
    struct slice rest = s, a = slice_cut(&rest, '.'), b = slice_cut(&rest, '.');
    uint64_t n;

    return slice_to_u64(a, 5, &n) && n >= 4 && slice_to_u64(b, 999, &n) && slice_to_u64(rest, 999, &n);
}

static bool parse_reply(struct slice text, struct rule_reply *out)
{
    struct slice rest = slice_trim(text), code = slice_token(&rest), after = rest, word = slice_token(&after);
    uint64_t n;

    if (code.len != 3 || !slice_to_u64(code, 599, &n) || n < 400 || n % 100 / 10 > 5) {
        return false;
    }
    out->code = (unsigned)n;
    out->enhanced = n < 500 ? SLICE("4.7.1") : SLICE("5.7.1");
    if (is_enhanced(word)) {
        out->enhanced = word;
        rest = after;
    }
    out->text = slice_trim(rest);
    while (out->text.len > 0 && out->text.ptr[out->text.len - 1] == '\n') {
        out->text.len--; /* the final newline of a block scalar */
    }
    return out->enhanced.ptr[0] == code.ptr[0] && !slice_empty(out->text);
}

/* "5.7.23" as "4.7.23", for the class '4'. */
static struct slice enhanced_as(struct rules_load *l, struct slice enhanced, char class)
{
    char mem[16];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_put_char(&b, class);
    buf_put_slice(&b, slice_skip(enhanced, 1));
    return rules_text(l, buf_slice(&b));
}

/* False after an error, or if no given reply fits. */
static bool take_reply(struct rules_load *l, struct rule *rule, const struct config_node *at,
                       struct rule_reply *out)
{
    struct rule_reply given;
    struct quoted q;

    if (at->kind != NODE_SCALAR) {
        rules_error(l, at, "rule %s: reply: expected %s, found %s", l->name, class_help(rule->final),
                    config_node_kind_name(at));
        return false;
    }
    if (at->bad) {
        return false;
    }
    if (!parse_reply(at->text, &given) || (!is_class(given.code, rule->final) && !l->preset)) {
        rules_error(l, at, "rule %s: reply: expected %s, found `%s`", l->name, class_help(rule->final),
                    rules_quote(&q, at->text));
        return false;
    }
    if (!is_class(given.code, rule->final)) { /* the preset's text under an action from `override` */
        given.code = text_default(rule->final).code;
        given.enhanced = enhanced_as(l, given.enhanced, given.code < 500 ? '4' : '5');
    }
    check_template(l, rule, at, false);
    given.soft = enhanced_as(l, given.enhanced, '4');
    *out = given;
    return true;
}

/* The end of the message for an unknown fact of words. */
static const char *nearest_by(struct slice name, struct nearest *near)
{
    nearest_init(near, name);
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        if (fact_table[i].type == FACT_WORD) {
            nearest_offer(near, slice_str(fact_table[i].name));
        }
    }
    return nearest_words(near);
}

/* Reports a key of `reply` that is no word of the fact. */
static void not_a_word(struct rules_load *l, const struct config_node *at, enum fact_id fact)
{
    char mem[200];
    struct buf all;
    struct nearest near;
    struct quoted q;
    const char *hint;

    buf_init_fixed(&all, mem, sizeof(mem));
    hint = rules_expected_word(fact, at->key, &all, &near);
    rules_key_error(l, at, "rule %s: reply: %s is never `%s`: expected otherwise, or %s%s", l->name,
                    fact_table[fact].name, rules_quote(&q, at->key), mem, hint);
}

static void take_choice(struct rules_load *l, struct rule *rule, const struct config_node *node)
{
    const struct config_node *by = config_node_get(node, "by"), *other = config_node_get(node, "otherwise");
    const struct config_node *child;
    enum fact_id fact = by != NULL && by->kind == NODE_SCALAR ? fact_by_name(by->text) : FACT_COUNT;
    struct nearest near;

    if (fact == FACT_COUNT || fact_table[fact].type != FACT_WORD) {
        rules_error(l, by != NULL ? by : node,
                    "rule %s: reply.by: expected a fact whose values are words, such as spf%s", l->name,
                    by != NULL && by->kind == NODE_SCALAR ? nearest_by(by->text, &near) : "");
        return;
    }
    if (other == NULL) {
        rules_error(l, node, "rule %s: reply: `otherwise` is missing", l->name);
        return;
    }
    rule->reply.by = fact;
    l->r->use[fact] |= USE_TEXT;
    CONFIG_NODE_EACH(node, child)
    {
        int index = fact_word_index(fact, child->key);

        if (child == other) {
            (void)take_reply(l, rule, child, &rule->reply.any);
        } else if (index >= 0 && (size_t)index < ARRAY_LEN(rule->reply.word)) {
            rule->reply.word[index] = rules_memory(l, sizeof(struct rule_reply));
            (void)take_reply(l, rule, child, rule->reply.word[index]);
        } else if (child != by) {
            not_a_word(l, child, fact);
        }
    }
}

static void load_reply(struct rules_load *l, struct rule *rule)
{
    const struct config_node *node = rule->reply_node;

    rule->reply = (struct reply_choice){ .by = FACT_COUNT, .any = text_default(rule->final) };
    if (node == NULL || (!is_refusing(rule->final) && l->preset)) {
        return; /* a reply of the preset is meaningless if `override` accepts */
    }
    if (!is_refusing(rule->final)) {
        rules_error(l, node, "rule %s: reply goes only with reject, defer, drop or greylist", l->name);
    } else if (node->kind == NODE_MAPPING) {
        take_choice(l, rule, node);
    } else {
        (void)take_reply(l, rule, node, &rule->reply.any);
    }
}

/* ---- actions ---- */

static void set_final(struct rules_load *l, struct rule *rule, const struct config_node *at, enum action a)
{
    if (rule->final != ACTION_NONE) {
        rules_error(l, at, "rule %s: then: only one action can end a rule", l->name);
    } else if (a == ACTION_BYPASS && l->block == BLOCK_MESSAGE) {
        rules_error(l, at, "rule %s: then: bypass cannot be used in a rule about the message", l->name);
    } else if (a == ACTION_GREYLIST && l->block == BLOCK_MESSAGE) {
        rules_error(l, at, "rule %s: then: greylist cannot be used in a rule about the message", l->name);
    } else {
        rule->final = a;
    }
}

/* NULL: no action without a value. */
static const struct action_word *word_of(struct slice s)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq(s, slice_str(words[i].word))) {
            return &words[i];
        }
    }
    return NULL;
}

/* An example of an action that needs a value; NULL for any other text. */
static const char *example_of(struct slice s)
{
    static const char *const rows[][2] = {
        { "divert", "{divert: quarantine}" },
        { "tarpit", "{tarpit: 5s}" },
        { "score", "{score: 2.5}" },
        { "tag", "{tag: {X-Suspect: \"{spf}\"}}" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_eq(s, slice_str(rows[i][0]))) {
            return rows[i][1];
        }
    }
    return NULL;
}

static void take_word(struct rules_load *l, struct rule *rule, const struct config_node *at)
{
    const struct action_word *word = word_of(at->text);
    const char *example = example_of(at->text);
    struct nearest near;
    struct quoted q;

    if (at->bad) {
        return;
    }
    if (word != NULL) {
        set_final(l, rule, at, word->action);
        return;
    }
    if (example != NULL) {
        rules_error(l, at, "rule %s: then: " SLICE_FMT " needs a value: write %s", l->name,
                    SLICE_ARG(at->text), example);
        return;
    }
    rules_error(l, at, "rule %s: then: expected " ACTIONS_HELP ", found `%s`%s", l->name,
                rules_quote(&q, at->text), nearest_choice(&near, at->text, RULE_ACTIONS));
}

static void take_divert(struct rules_load *l, struct rule *rule, const struct config_node *at)
{
    struct nearest near;
    struct quoted q;

    nearest_init(&near, at->text);
    for (size_t i = 0; i < l->conf->upstream_count && at->kind == NODE_SCALAR; i++) {
        nearest_offer(&near, slice_str(l->conf->upstreams[i].name));
        if (slice_eq(at->text, slice_str(l->conf->upstreams[i].name))) {
            rule->divert = &l->conf->upstreams[i];
            set_final(l, rule, at, ACTION_DIVERT);
            return;
        }
    }
    rules_error(l, at, "rule %s: divert: there is no upstream `%s`%s", l->name, rules_quote(&q, at->text),
                nearest_words(&near));
}

static void take_tarpit(struct rules_load *l, struct rule *rule, const struct config_node *at)
{
    struct quoted q;

    if (l->block == BLOCK_MESSAGE) {
        rules_error(l, at, "rule %s: then: tarpit cannot be used in a rule about the message", l->name);
    } else if (at->kind != NODE_SCALAR || !value_parse_duration(at->text, &rule->tarpit_ms) ||
               rule->tarpit_ms == 0 || rule->tarpit_ms > TARPIT_MAX_MS) {
        rules_error(l, at, "rule %s: tarpit: expected a duration up to 30s, found `%s`", l->name,
                    rules_quote(&q, at->text));
    }
}

static void take_score(struct rules_load *l, struct rule *rule, const struct config_node *at)
{
    struct set_range n;
    struct quoted q;

    if (at->kind != NODE_SCALAR || !entry_parse_range(at->text, false, &n) || n.low != n.high ||
        n.low > 1000000 || n.low < -1000000) {
        rules_error(l, at, "rule %s: score: expected a number from -1000 to 1000 such as 2.5, found `%s`",
                    l->name, rules_quote(&q, at->text));
        return;
    }
    rule->scores = true;
    rule->score += n.low;
}

/* A field name without a standard meaning (RFC 5322 2.2: printable, no colon). */
static bool is_tag_name(struct slice s)
{
    bool ok = s.len > 0 && s.len <= 70;

    for (size_t i = 0; i < s.len && ok; i++) {
        ok = ascii_is_alpha(s.ptr[i]) || ascii_is_digit(s.ptr[i]) || s.ptr[i] == '-' || s.ptr[i] == '_';
    }
    return ok;
}

bool rules_field_is_standard(struct slice s)
{
    for (size_t i = 0; i < ARRAY_LEN(standard_fields); i++) {
        if (slice_eq_nocase(s, slice_str(standard_fields[i]))) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(standard_prefixes); i++) {
        if (slice_starts_nocase(s, slice_str(standard_prefixes[i]))) {
            return true;
        }
    }
    return false;
}

static void take_tag(struct rules_load *l, struct rule *rule, const struct config_node *at)
{
    struct rule_tag *tag, **end = &rule->tags;
    struct quoted q;

    if (!is_tag_name(at->key)) {
        rules_key_error(l, at, "rule %s: tag: expected the name of a header such as X-Suspect, found `%s`",
                        l->name, rules_quote(&q, at->key));
    } else if (rules_field_is_standard(at->key)) {
        rules_key_error(l, at, "rule %s: tag: the header %s has a meaning of its own; take another name",
                        l->name, rules_quote(&q, at->key));
    } else if (at->kind != NODE_SCALAR || at->text.len > TAG_VALUE_MAX ||
               slice_find(at->text, '\n') < at->text.len) {
        rules_error(l, at, "rule %s: tag: expected a text of one line, at most 900 octets", l->name);
    } else {
        check_template(l, rule, at, true);
        tag = rules_memory(l, sizeof(*tag));
        tag->name = rules_text(l, at->key).ptr;
        tag->text = at->text;
        while (*end != NULL) {
            end = &(*end)->next;
        }
        *end = tag;
    }
}

static void take_tags(struct rules_load *l, struct rule *rule, const struct config_node *node)
{
    const struct config_node *child;

    if (node->kind != NODE_MAPPING || node->count == 0) {
        rules_error(l, node, "rule %s: tag: expected a mapping such as {X-Suspect: \"{spf}\"}", l->name);
        return;
    }
    CONFIG_NODE_EACH(node, child)
    {
        take_tag(l, rule, child);
    }
}

static void take_mapping(struct rules_load *l, struct rule *rule, const struct config_node *node)
{
    const struct config_node *a = node->first;
    struct nearest near;
    struct quoted q;

    if (node->count != 1) {
        rules_error(l, node, "rule %s: then: expected one action in a mapping; several are a list", l->name);
    } else if (slice_eq(a->key, SLICE("divert"))) {
        take_divert(l, rule, a);
    } else if (slice_eq(a->key, SLICE("tarpit"))) {
        take_tarpit(l, rule, a);
    } else if (slice_eq(a->key, SLICE("score"))) {
        take_score(l, rule, a);
    } else if (slice_eq(a->key, SLICE("tag"))) {
        take_tags(l, rule, a);
    } else if (word_of(a->key) != NULL) {
        rules_key_error(l, a, "rule %s: then: " SLICE_FMT " has no value: write `then: " SLICE_FMT "`",
                        l->name, SLICE_ARG(a->key), SLICE_ARG(a->key));
    } else {
        rules_key_error(l, a, "rule %s: then: expected " ACTIONS_HELP ", found `%s`%s", l->name,
                        rules_quote(&q, a->key), nearest_choice(&near, a->key, RULE_ACTIONS));
    }
}

static void take_action(struct rules_load *l, struct rule *rule, const struct config_node *node)
{
    if (rule->final != ACTION_NONE) {
        rules_error(l, node, "rule %s: then: nothing can follow the action that ends the rule", l->name);
    } else if (node->kind == NODE_SCALAR) {
        take_word(l, rule, node);
    } else if (node->kind == NODE_MAPPING) {
        take_mapping(l, rule, node);
    } else {
        rules_error(l, node, "rule %s: then: expected an action, found a list in a list", l->name);
    }
}

void actions_load(struct rules_load *l, struct rule *rule)
{
    const struct config_node *node = rule->then_node, *child;
    bool preset = l->preset;

    l->preset = rule->then_preset;
    if (node->kind == NODE_SEQUENCE && node->count > 0) {
        CONFIG_NODE_EACH(node, child)
        {
            take_action(l, rule, child);
        }
    } else {
        take_action(l, rule, node);
    }
    l->preset = rule->reply_preset;
    load_reply(l, rule);
    l->preset = preset;
}
