/*
 * policy_print.c - the merged rules as the section `policy` of a file that loads to the same (check --print).
 *
 * The preset's rules appear under `rules`, as they are after `override`.  Conditions are printed from the
 * file's own tree; ${NAME} stays unreplaced, so secrets do not appear.
 */
#include "config/values.h"
#include "policy/rules/policy_priv.h"

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

/* With the code in force. */
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

/* A text of the preset under an action of another class has another code than the one in its tree. */
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

static void put_rule(struct buf *out, const struct rule *rule)
{
    buf_putf(out, "    - name: %s\n", rule->name);
    put_key(out, "when", config_node_get(rule->node, "when"));
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

bool policy_prints(struct slice section)
{
    static const char *const sections[] = { "policy", "reputation", "known_good", "zero_day", "greylist" };

    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (slice_eq(section, slice_str(sections[i]))) {
            return true;
        }
    }
    return false;
}

void policy_print(const struct policy *p, struct buf *out)
{
    static const char *const fallbacks[] = {
        [ACTION_NONE] = "accept",   [ACTION_ACCEPT] = "accept",     [ACTION_BYPASS] = "accept",
        [ACTION_REJECT] = "reject", [ACTION_DEFER] = "defer",       [ACTION_DROP] = "defer",
        [ACTION_DIVERT] = "accept", [ACTION_GREYLIST] = "greylist",
    };
    const struct rules *r = &p->rules;
    const struct config_node *tests = config_node_find(p->conf->root, "policy.tests");
    const struct config_node *contact = config_node_find(p->conf->root, "policy.contact");

    standing_print(p, out);
    buf_put_str(out, "policy:\n  preset: none\n");
    put_block(out, "rules", &r->block[BLOCK_ENVELOPE]);
    put_block(out, "message_rules", &r->block[BLOCK_MESSAGE]);
    buf_putf(out, "  default: %s\n", fallbacks[r->fallback]);
    buf_putf(out, "  reject_at: %s\n", r->reject_at == REJECT_AT_EARLIEST ? "earliest" : "recipient");
    buf_put_str(out, "  budget:\n    mail: ");
    value_put_duration(out, r->budget_mail_ms);
    buf_put_str(out, "\n    message: ");
    value_put_duration(out, r->budget_message_ms);
    buf_put_str(out, "\n  contact:");
    if (contact != NULL && contact->text.len > 0) {
        config_node_put(out, contact, 1);
    } else {
        buf_put_char(out, ' ');
        config_node_put_scalar(out, r->contact);
        buf_put_char(out, '\n');
    }
    buf_put_str(out, "  tests:");
    if (tests != NULL) {
        config_node_put(out, tests, 1);
    } else {
        buf_put_str(out, " []\n");
    }
}
