/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_print.c - prints the merged rules as keys of the section `policy` that load to the same (check --print).
 *
 * The preset's rules appear under `rules`, with `override` applied.  Conditions are printed from the file's own tree;
 * ${NAME} stays unreplaced, so secrets do not appear.
 */
#include "config/values.h"
#include "policy/rules/compiled.h"

#define REPLY_PRINT_MAX 5000

static void put_key(struct buf *out, const char *key, const struct config_node *node)
{
    if (node != NULL) {
        buf_putf(out, "      %s:", key);
        config_node_put(out, node, 3);
    }
}

static bool refuses(const struct rule *rule)
{
    return rule->final == ACTION_GREYLIST || rule->final == ACTION_REJECT || rule->final == ACTION_DEFER ||
           rule->final == ACTION_DROP;
}

/* Puts the text with the code in force. */
static void put_text(struct buf *out, const struct rule_reply *r)
{
    char mem[REPLY_PRINT_MAX];
    struct buf text;

    buf_init_fixed(&text, mem, sizeof(mem));
    buf_putf(&text, "%u " SLICE_FMT " " SLICE_FMT, r->code, SLICE_ARG(r->enhanced), SLICE_ARG(r->text));
    buf_put_char(out, ' ');
    config_node_put_scalar(out, buf_slice(&text));
    buf_put_char(out, '\n');
}

/* The preset's text under an action of another class has a different code than in its tree. */
static void put_reply(struct buf *out, const struct rule *rule)
{
    const struct reply_choice *c = &rule->reply;

    if (rule->reply_node == NULL || !refuses(rule)) {
        return;
    }
    if (!rule->reply_preset) {
        put_key(out, "reply", rule->reply_node);
        return;
    }
    buf_put_str(out, "      reply:");
    if (c->by == FACT_COUNT) {
        put_text(out, &c->any);
        return;
    }
    buf_putf(out, "\n        by: %s\n", fact_table[c->by].name);
    for (size_t i = 0; i < ARRAY_LEN(c->word); i++) {
        if (c->word[i] != NULL) {
            buf_putf(out, "        " SLICE_FMT ":", SLICE_ARG(fact_word(c->by, (unsigned)i)));
            put_text(out, c->word[i]);
        }
    }
    buf_put_str(out, "        otherwise:");
    put_text(out, &c->any);
}

/* Adds `unless` of `override` to the condition. */
static void put_when(struct buf *out, const struct rule *rule)
{
    const struct config_node *when = config_node_get(rule->node, "when");

    if (rule->unless_node == NULL) {
        put_key(out, "when", when);
        return;
    }
    buf_put_str(out, "      when:\n        all:\n");
    if (when != NULL) {
        buf_put_str(out, "          -");
        config_node_put(out, when, 5);
    }
    buf_put_str(out, "          - not:");
    config_node_put(out, rule->unless_node, 6);
}

static void put_rule(struct buf *out, const struct rule *rule)
{
    buf_putf(out, "    - name: %s\n", rule->name);
    put_when(out, rule);
    put_key(out, "then", rule->then_node);
    put_reply(out, rule);
    if (rule->monitor) {
        buf_put_str(out, "      mode: monitor\n");
    }
    if (rule->share != 100) {
        buf_putf(out, "      enforce_share: %u%%\n", rule->share);
    }
}

static void put_block(struct buf *out, const char *key, const struct block *b)
{
    buf_putf(out, "  %s:%s\n", key, b->count == 0 ? " []" : "");
    for (size_t i = 0; i < b->count; i++) {
        put_rule(out, &b->rule[i]);
    }
}

bool policy_put_key(const struct config *c, const char *path, struct buf *out)
{
    static const char *const merged[] = { "policy.override",       "policy.before",
                                          "policy.after",          "policy.rules",
                                          "policy.message_before", "policy.message_after",
                                          "policy.message_rules" };
    const struct rules *r = &c->policy->rules;

    if (strcmp(path, "policy.preset") == 0) { /* the printed rules include the preset */
        buf_put_str(out, "  preset: none\n");
        put_block(out, "rules", &r->block[BLOCK_ENVELOPE]);
        put_block(out, "message_rules", &r->block[BLOCK_MESSAGE]);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(merged); i++) {
        if (strcmp(path, merged[i]) == 0) {
            return true;
        }
    }
    return false;
}
