/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_load.c - compiles the rules of the section `policy`, `groups` and the preset to struct rules.
 *
 *     before + preset (with override) + after                     or  rules          -> the envelope block
 *     message_before + preset (with override) + message_after     or  message_rules  -> the message block
 *
 * The preset is a file of the repository, policy/spf-first.yaml, embedded by the build.  It is parsed like any other
 * text, so it can use nothing that a user's file could not.
 */
#include "config/secret.h"
#include "policy/rules/match.h"
#include "policy/rules/rules_priv.h"

#define MESSAGE_MAX 600
#define PRESET_MAX 64 /* rules of the preset */
#define OVERRIDE_KEYS "mode|reply|then|enforce_share|unless"

/* Made by the build from policy/spf-first.yaml. */
extern const unsigned char policy_preset_spf_first[];
extern const size_t policy_preset_spf_first_len;

/* ---- shared by the loaders (rules_priv.h) ---- */

const char *rules_quote(struct quoted *q, struct slice s)
{
    struct buf b;

    buf_init_fixed(&b, q->text, sizeof(q->text));
    secret_put_quoted(&b, s, 60);
    return q->text;
}

PRINTF(4, 0)
static void add_error(struct rules_load *l, bool warning, const int place[2], const char *fmt, va_list ap)
{
    char mem[MESSAGE_MAX];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_vputf(&b, fmt, ap);
    config_errors_add(l->errs, warning, l->preset ? 0 : place[0], l->preset ? 0 : place[1], "%s%s",
                      l->preset ? "in the preset: " : "", mem);
}

void rules_error(struct rules_load *l, const struct config_node *at, const char *fmt, ...)
{
    int place[2] = { at != NULL ? at->line : 0, at != NULL ? at->column : 0 };
    va_list ap;

    va_start(ap, fmt);
    add_error(l, false, place, fmt, ap);
    va_end(ap);
}

void rules_key_error(struct rules_load *l, const struct config_node *at, const char *fmt, ...)
{
    int place[2] = { at->key_line, at->key_column };
    va_list ap;

    va_start(ap, fmt);
    add_error(l, false, place, fmt, ap);
    va_end(ap);
}

void rules_warning(struct rules_load *l, const struct config_node *at, const char *fmt, ...)
{
    int place[2] = { at != NULL ? at->line : 0, at != NULL ? at->column : 0 };
    va_list ap;

    va_start(ap, fmt);
    add_error(l, true, place, fmt, ap);
    va_end(ap);
}

void *rules_memory(struct rules_load *l, size_t size)
{
    void *p = arena_alloc(l->arena, size);

    if (p == NULL) {
        fputs("glacis: out of memory while rules are loaded\n", stderr);
        abort();
    }
    return p;
}

struct slice rules_text(struct rules_load *l, struct slice s)
{
    char *copy = rules_memory(l, s.len + 1);

    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    return slice_of(copy, s.len);
}

bool rules_check_keys(struct rules_load *l, const struct config_node *node, const char *keys)
{
    const struct config_node *child;
    struct nearest near;
    struct quoted q;
    unsigned index;
    bool known = true;

    CONFIG_NODE_EACH(node, child)
    {
        struct slice rest = slice_str(keys);

        if (value_parse_choice(child->key, keys, &index)) {
            continue;
        }
        nearest_init(&near, child->key);
        while (!slice_empty(rest)) {
            nearest_offer(&near, slice_cut(&rest, '|'));
        }
        rules_key_error(l, child, "%s: unknown key `%s`%s", l->name, rules_quote(&q, child->key),
                        nearest_words(&near));
        known = false;
    }
    return known;
}

bool rules_check_keys_of(struct rules_load *l, const char *what, const struct config_node *node,
                         const char *keys)
{
    const char *name = l->name;
    char mem[300];
    struct buf shown;
    bool known;

    buf_init_fixed(&shown, mem, sizeof(mem));
    buf_putf(&shown, "%s %s", what, name);
    l->name = mem;
    known = rules_check_keys(l, node, keys);
    l->name = name;
    return known;
}

/* ---- one rule ---- */

bool rules_is_name(struct slice s)
{
    bool ok = s.len > 0 && s.len <= 64;

    for (size_t i = 0; i < s.len && ok; i++) {
        ok = ascii_is_digit(s.ptr[i]) || (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || s.ptr[i] == '-';
    }
    return ok;
}

static struct rule *find_rule(struct rules *r, struct slice name)
{
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        for (size_t i = 0; i < r->block[b].count; i++) {
            if (slice_eq(slice_str(r->block[b].rule[i].name), name)) {
                return &r->block[b].rule[i];
            }
        }
    }
    return NULL;
}

bool rules_has_rule(const struct rules *r, struct slice name, struct nearest *near)
{
    bool found = slice_eq(name, SLICE("default"));

    nearest_init(near, name);
    for (size_t b = 0; b < BLOCK_COUNT && !found; b++) {
        for (size_t i = 0; i < r->block[b].count && !found; i++) {
            found = slice_eq(slice_str(r->block[b].rule[i].name), name);
            nearest_offer(near, slice_str(r->block[b].rule[i].name));
        }
    }
    return found;
}

static void take_mode(struct rules_load *l, struct rule *rule, const struct config_node *node)
{
    struct quoted q;
    unsigned index;

    if (node != NULL &&
        (node->kind != NODE_SCALAR || !value_parse_choice(node->text, "enforce|monitor", &index))) {
        rules_error(l, node, "rule %s: mode: expected enforce or monitor, found `%s`", l->name,
                    rules_quote(&q, node->text));
    } else if (node != NULL) {
        rule->monitor = index == 1;
    }
}

static void take_share(struct rules_load *l, struct rule *rule, const struct config_node *node)
{
    struct quoted q;

    if (node != NULL && (node->kind != NODE_SCALAR || !value_parse_percent(node->text, &rule->share))) {
        rules_error(l, node, "rule %s: enforce_share: expected a share such as 25%%, found `%s`", l->name,
                    rules_quote(&q, node->text));
    }
}

static void mark_final(struct rules *r, const struct cond *c)
{
    const struct cond *child;

    if (c->kind == COND_TERM) {
        r->use[c->fact] |= USE_FINAL;
    }
    for (child = c->child; child != NULL; child = child->next) {
        mark_final(r, child);
    }
}

/* The name, or NULL after an error. */
static const char *take_name(struct rules_load *l, const struct config_node *item)
{
    const struct config_node *name = config_node_get(item, "name");
    struct rule *other;
    struct quoted q;

    l->name = "";
    if (name == NULL || name->kind != NODE_SCALAR) {
        l->name = "a rule";
        if (name != NULL || rules_check_keys(l, item, RULE_KEYS)) { /* else probably an unknown key */
            rules_error(l, item, "a rule needs a name of [a-z0-9-]");
        }
        return NULL;
    }
    other = find_rule(l->r, name->text);
    if (!rules_is_name(name->text) || slice_eq(name->text, SLICE("default"))) {
        rules_error(l, name, "expected a rule's name of [a-z0-9-], other than `default`, found `%s`",
                    rules_quote(&q, name->text));
        return NULL;
    }
    if (other != NULL && other->preset) {
        rules_error(l, name, "rule %s: the preset has a rule of this name; `override` changes it",
                    other->name);
        return NULL;
    }
    if (other != NULL) {
        rules_error(l, name, "rule %s: the name is taken by the rule in line %d", other->name, other->line);
        return NULL;
    }
    return name->text.ptr;
}

/* `when` of the rule, and not `unless` of its `override` entry. */
static void load_when(struct rules_load *l, struct rule *rule, const struct config_node *when)
{
    struct cond *no = rules_memory(l, sizeof(*no)), *all = rules_memory(l, sizeof(*all));
    bool preset = l->preset;

    if (when != NULL) {
        rule->when = cond_load(l, when);
    }
    if (rule->unless_node == NULL) {
        return;
    }
    l->preset = false;
    *no = (struct cond){ .kind = COND_NOT, .child = cond_load(l, rule->unless_node) };
    l->preset = preset;
    if (no->child != NULL && rule->when != NULL) {
        *all = (struct cond){ .kind = COND_ALL, .child = rule->when };
        rule->when->next = no;
        rule->when = all;
    } else if (no->child != NULL) {
        rule->when = no;
    }
}

/* Takes the keys of an `override` entry other than `then`, `reply` and `unless`. */
static void take_changes(struct rules_load *l, struct rule *rule, const struct config_node *changes)
{
    bool preset = l->preset;

    l->preset = false;
    rule->mode_given = config_node_get(changes, "mode") != NULL;
    take_mode(l, rule, config_node_get(changes, "mode"));
    take_share(l, rule, config_node_get(changes, "enforce_share"));
    l->preset = preset;
}

/* `changes` is the `override` entry, or NULL. */
static void load_rule(struct rules_load *l, const struct config_node *item, const struct config_node *changes)
{
    struct block *block = &l->r->block[l->block];
    struct rule *rule = &block->rule[block->count];
    const struct config_node *then, *reply;
    const char *name = item->kind == NODE_MAPPING ? take_name(l, item) : NULL;
    bool known;

    if (item->kind != NODE_MAPPING) {
        rules_error(l, item, "expected a rule with name, when and then, found %s",
                    config_node_kind_name(item));
    }
    if (name == NULL) {
        return;
    }
    *rule = (struct rule){ .name = name, .index = block->count, .share = 100, .preset = l->preset };
    rule->line = l->preset ? 0 : item->line;
    rule->column = l->preset ? 0 : item->column;
    rule->node = item;
    block->count++;
    l->name = name;
    known = rules_check_keys_of(l, "rule", item, RULE_KEYS);
    then = changes != NULL ? config_node_get(changes, "then") : NULL;
    reply = changes != NULL ? config_node_get(changes, "reply") : NULL;
    rule->then_preset = l->preset && then == NULL;
    rule->reply_preset = l->preset && reply == NULL;
    rule->then_node = then != NULL ? then : config_node_get(item, "then");
    rule->reply_node = reply != NULL ? reply : config_node_get(item, "reply");
    rule->unless_node = changes != NULL ? config_node_get(changes, "unless") : NULL;
    take_mode(l, rule, config_node_get(item, "mode"));
    take_share(l, rule, config_node_get(item, "enforce_share"));
    load_when(l, rule, config_node_get(item, "when"));
    if (rule->then_node == NULL && known) { /* else probably an unknown key */
        rules_error(l, item, "rule %s: `then` is missing", name);
    } else if (rule->then_node != NULL) {
        actions_load(l, rule);
    }
    if (changes != NULL) {
        take_changes(l, rule, changes);
    }
    if (rule->when != NULL && rule->final != ACTION_NONE && !rule->monitor && rule->share > 0) {
        mark_final(l->r, rule->when);
    }
}

/* ---- blocks ---- */

static void load_list(struct rules_load *l, const struct config_node *list, const char *key)
{
    const struct config_node *item;

    if (list == NULL || (list->kind == NODE_SCALAR && slice_empty(list->text))) {
        return;
    }
    if (list->kind != NODE_SEQUENCE) {
        rules_error(l, list, "policy.%s: expected a list of rules, found %s", key,
                    config_node_kind_name(list));
        return;
    }
    CONFIG_NODE_EACH(list, item)
    {
        if (l->r->block[l->block].count >= RULES_MAX) {
            rules_error(l, item, "policy.%s: more than %d rules", key, RULES_MAX);
            return;
        }
        load_rule(l, item, NULL);
    }
}

/* A list of the embedded file; NULL only if that does not parse, which a test rules out. */
static const struct config_node *preset_list(struct rules_load *l, const char *key)
{
    struct slice text = slice_of(policy_preset_spf_first, policy_preset_spf_first_len);

    if (l->preset_root == NULL) {
        l->preset = true;
        l->preset_root = config_tree_parse(text, l->arena, l->errs);
        l->preset = false;
    }
    return l->preset_root != NULL ? config_node_get(l->preset_root, key) : NULL;
}

static void load_preset(struct rules_load *l, const struct config_node *section, const char *key)
{
    const struct config_node *override = section != NULL ? config_node_get(section, "override") : NULL;
    const struct config_node *rules = preset_list(l, key), *item, *change;

    if (rules == NULL) {
        rules_error(l, NULL, "the embedded preset cannot be read");
        return;
    }
    l->r->preset = true;
    CONFIG_NODE_EACH(rules, item)
    {
        const struct config_node *name = config_node_get(item, "name");

        change = override != NULL && override->kind == NODE_MAPPING && name != NULL
                     ? config_node_get(override, name->text.ptr)
                     : NULL;
        l->preset = true;
        load_rule(l, item, change != NULL && change->kind == NODE_MAPPING ? change : NULL);
        l->preset = false;
    }
}

static const char *nearest_preset_rule(const struct rules *r, struct slice name, struct nearest *near)
{
    nearest_init(near, name);
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        for (size_t i = 0; i < r->block[b].count; i++) {
            if (r->block[b].rule[i].preset) {
                nearest_offer(near, slice_str(r->block[b].rule[i].name));
            }
        }
    }
    return nearest_words(near);
}

static void check_change(struct rules_load *l, const struct config_node *change, const char *replaced)
{
    const struct rule *rule = find_rule(l->r, change->key);
    struct nearest near;
    struct quoted q;

    if ((rule == NULL || !rule->preset) && replaced != NULL) {
        rules_warning(l, change,
                      "policy.override." SLICE_FMT " has no effect: policy.%s replaces rules of the preset, "
                      "and the others have no such rule",
                      SLICE_ARG(change->key), replaced);
    } else if (rule == NULL || !rule->preset) {
        rules_key_error(l, change, "policy.override: the preset has no rule `%s`%s",
                        rules_quote(&q, change->key), nearest_preset_rule(l->r, change->key, &near));
    } else if (change->kind != NODE_MAPPING) {
        rules_error(l, change,
                    "policy.override." SLICE_FMT ": expected a mapping of mode, reply, then, enforce_share, "
                    "unless",
                    SLICE_ARG(change->key));
    } else {
        l->name = "policy.override";
        rules_check_keys(l, change, OVERRIDE_KEYS);
    }
}

/* `replaced`: the key that replaces a block of the preset, or NULL. */
static void check_override(struct rules_load *l, const struct config_node *override, const char *replaced)
{
    const struct config_node *child;

    if (override == NULL || (override->kind == NODE_SCALAR && slice_empty(override->text))) {
        return;
    }
    if (override->kind != NODE_MAPPING) {
        rules_error(l, override, "policy.override: expected a mapping of rules to changes, found %s",
                    config_node_kind_name(override));
        return;
    }
    CONFIG_NODE_EACH(override, child)
    {
        check_change(l, child, replaced);
    }
}

struct block_keys { /* of the section, of a block */
    enum rule_block block;
    const char *before, *after, *all;
    const char *list; /* of the preset */
};

static const struct block_keys block_keys[BLOCK_COUNT] = {
    { BLOCK_ENVELOPE, "before", "after", "rules", "rules" },
    { BLOCK_MESSAGE, "message_before", "message_after", "message_rules", "message_rules" },
};

static const struct config_node *key_of(const struct config_node *section, const char *key)
{
    return section != NULL ? config_node_get(section, key) : NULL;
}

static void warn_replaced(struct rules_load *l, const struct config_node *replaced, const char *key,
                          const char *by)
{
    if (replaced != NULL && replaced->count > 0) {
        rules_warning(l, replaced, "policy.%s has no effect: policy.%s replaces it", key, by);
    }
}

static void load_block(struct rules_load *l, const struct config_node *section, const struct block_keys *k)
{
    const struct config_node *all = key_of(section, k->all);
    bool preset = l->conf->policy_section.preset == PRESET_SPF_FIRST;

    l->block = k->block;
    if (all != NULL) {
        warn_replaced(l, key_of(section, k->before), k->before, k->all);
        warn_replaced(l, key_of(section, k->after), k->after, k->all);
        load_list(l, all, k->all);
        if (all->count == 0 && (preset || k->block == BLOCK_ENVELOPE)) {
            rules_warning(l, all, "policy.%s is empty: nothing is refused by rules%s", k->all,
                          k->block == BLOCK_MESSAGE ? " about the message" : "");
        }
        return;
    }
    load_list(l, key_of(section, k->before), k->before);
    if (preset) {
        load_preset(l, section, k->list);
    }
    load_list(l, key_of(section, k->after), k->after);
}

static void load_blocks(struct rules_load *l, const struct config_node *section)
{
    const struct config_node *override = key_of(section, "override");
    bool rules = key_of(section, "rules") != NULL, message = key_of(section, "message_rules") != NULL;

    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        load_block(l, section, &block_keys[b]);
    }
    if (rules && message) {
        warn_replaced(l, override, "override", "rules and policy.message_rules");
    } else {
        check_override(l, override, rules ? "rules" : message ? "message_rules" : NULL);
    }
    if (!rules && l->conf->policy_section.preset != PRESET_SPF_FIRST &&
        l->r->block[BLOCK_ENVELOPE].count == 0 && l->errs->fatal == 0) {
        rules_warning(l, key_of(section, "preset"),
                      "policy.preset is none and there are no rules: nothing is refused by rules");
    }
}

/* ---- settings ---- */

static void load_settings(struct rules_load *l)
{
    static const enum action fallbacks[] = { ACTION_ACCEPT, ACTION_REJECT, ACTION_DEFER };
    const struct config_policy_section *conf = &l->conf->policy_section;
    struct rules *r = l->r;

    r->hostname = l->conf->server.hostname;
    r->fallback = fallbacks[conf->fallback];
    r->reject_at = conf->reject_at;
    r->budget_mail_ms = conf->budget_mail_ms;
    r->budget_message_ms = conf->budget_message_ms;
    r->contact = slice_str(conf->contact);
}

static void load_list_names(struct rules_load *l)
{
    const struct config_reputation *rep = &l->conf->reputation;
    struct rules *r = l->r;

    r->list_count = rep->list_count;
    r->lists = rules_memory(l, (r->list_count + 1) * sizeof(*r->lists));
    r->use = rules_memory(l, FACT_COUNT + r->list_count);
    for (size_t i = 0; i < r->list_count; i++) {
        r->lists[i] = slice_str(rep->list[i].name);
    }
}

/* Reserves memory for all rules of the file and of the preset. */
static void reserve(struct rules_load *l, const struct config_node *section)
{
    size_t count = PRESET_MAX;

    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        const char *const lists[] = { block_keys[b].before, block_keys[b].after, block_keys[b].all };

        for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
            const struct config_node *n = key_of(section, lists[i]);

            count += n != NULL ? n->count : 0;
        }
    }
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        l->r->block[b].rule = rules_memory(l, count * sizeof(struct rule));
    }
}

bool rules_load(struct policy *p, struct config_errors *errs)
{
    struct rules_load l = {
        .r = &p->rules, .arena = &p->arena, .errs = errs, .conf = p->conf, .name = "policy"
    };
    const struct config_node *section = config_node_get(p->conf->root, "policy");
    size_t fatal = errs->fatal;

    reserve(&l, section);
    load_list_names(&l);
    groups_load(&l);
    load_settings(&l);
    load_blocks(&l, section);
    groups_build(&l);
    if (errs->fatal == fatal) {
        rules_warn(&l);
    }
    return errs->fatal == fatal;
}

void rules_free(struct policy *p)
{
    struct rules *r = &p->rules;

    while (r->sets != NULL) {
        struct set *next = r->sets->next_made;

        set_fini(r->sets);
        r->sets = next;
    }
    for (size_t i = 0; i < r->group_count; i++) {
        set_fini(&r->group[i].set);
        free(r->group[i].entry);
    }
    free(r->group);
    for (size_t i = 0; i < r->file_count; i++) {
        buf_fini(&r->files[i].text);
    }
    free(r->files);
    *r = (struct rules){ .list_count = 0 };
}
