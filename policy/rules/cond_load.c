/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cond_load.c - `when`: converts a mapping to a tree of conditions.
 *
 * A mapping is `all` of its entries in the order of the file.  The type of its fact decides how a value is read.  A
 * value that the fact can never have is an error here, instead of a rule that never matches.
 */
#include "policy/rules/match.h"
#include "policy/rules/rules_priv.h"

#define WANTED_MAX 200 /* octets of the values as a phrase */

struct term { /* being read */
    struct rules_load *l;
    struct cond *c;
    enum fact_type type;
    struct slice name;
    struct buf wanted;
};

static unsigned list_fact(const struct rules *r, struct slice name)
{
    for (size_t i = 0; i < r->list_count; i++) {
        if (slice_eq(r->lists[i], name)) {
            return FACT_COUNT + (unsigned)i;
        }
    }
    return RULE_NO_FACT;
}

/* Offers the facts whose names begin with `prefix`. */
static void offer_facts(struct nearest *near, struct slice prefix)
{
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        if (slice_starts(slice_str(fact_table[i].name), prefix)) {
            nearest_offer(near, slice_str(fact_table[i].name));
        }
    }
}

static struct slice prefix_of(struct slice name)
{
    size_t dot = slice_find(name, '.');

    return dot < name.len ? slice_take(name, dot + 1) : SLICE_NONE;
}

const char *rules_nearest_fact(struct slice name, struct nearest *near)
{
    struct slice prefix = prefix_of(name);

    nearest_init(near, name);
    offer_facts(near, SLICE_NONE);
    if (slice_empty(near->best) && !slice_empty(prefix)) { /* "helo.x": offer HELO facts if there are few */
        nearest_init(near, name);
        offer_facts(near, prefix);
    }
    return nearest_words(near)[0] != '\0' ? near->words : "; glacis-policy(5) lists all facts";
}

const char *rules_expected_word(enum fact_id fact, struct slice found, struct buf *all, struct nearest *near)
{
    struct slice rest = slice_str(fact_table[fact].words);

    nearest_init(near, found);
    buf_put_str(all, "one of ");
    while (!slice_empty(rest)) {
        struct slice word = slice_token(&rest);

        nearest_offer(near, word);
        buf_put_slice(all, word);
        buf_put_str(all, slice_empty(rest) ? "" : ", ");
    }
    return slice_empty(near->best) ? "" : nearest_words(near);
}

const char *rules_nearest_list(const struct rules *r, struct slice name, struct nearest *near)
{
    nearest_init(near, name);
    for (size_t i = 0; i < r->list_count; i++) {
        nearest_offer(near, r->lists[i]);
    }
    return nearest_words(near);
}

static const char *what_of(const struct rules_load *l)
{
    return l->block == BLOCK_COUNT ? "test" : "rule";
}

/* Suggests what a key of `when` was meant to be: a fact, or any, all, not. */
static const char *nearest_term(const struct rules_load *l, struct slice name, struct nearest *near)
{
    static const char *const words[] = { "any", "all", "not" };

    nearest_init(near, name);
    for (size_t i = 0; i < ARRAY_LEN(words) && l->block != BLOCK_COUNT; i++) {
        nearest_offer(near, slice_str(words[i]));
    }
    offer_facts(near, SLICE_NONE);
    return slice_empty(near->best) ? rules_nearest_fact(name, near) : nearest_words(near);
}

/* RULE_NO_FACT after an error: there is no such fact. */
static unsigned find_fact(struct rules_load *l, const struct config_node *at, struct slice name)
{
    unsigned fact = fact_by_name(name);
    struct nearest near;
    struct quoted q;

    if (fact == FACT_COUNT) {
        fact =
            slice_starts(name, SLICE("reputation.")) ? list_fact(l->r, slice_skip(name, 11)) : RULE_NO_FACT;
    }
    if (fact != RULE_NO_FACT) {
        return fact;
    }
    nearest_init(&near, name);
    offer_facts(&near, SLICE_NONE);
    if (slice_empty(near.best) && slice_starts(name, SLICE("reputation."))) {
        rules_key_error(l, at, "%s %s: unknown fact `%s`: no list of reputation.lists has this name%s",
                        what_of(l), l->name, rules_quote(&q, name),
                        rules_nearest_list(l->r, slice_skip(name, 11), &near));
    } else {
        rules_key_error(l, at, "%s %s: unknown fact `%s`%s", what_of(l), l->name, rules_quote(&q, name),
                        nearest_term(l, name, &near));
    }
    return RULE_NO_FACT;
}

unsigned cond_load_fact(struct rules_load *l, const struct config_node *at, struct slice name)
{
    unsigned fact = find_fact(l, at, name);
    const struct fact_info *info = fact < FACT_COUNT ? &fact_table[fact] : NULL;

    if (info != NULL && l->block == BLOCK_ENVELOPE && info->stage == STAGE_MESSAGE) {
        rules_key_error(l, at, "%s %s: %s is known only in the rules about the message", what_of(l), l->name,
                        info->name);
        return RULE_NO_FACT;
    }
    if (info != NULL && l->block == BLOCK_MESSAGE && slice_starts(name, SLICE("recipient."))) {
        rules_key_error(l, at,
                        "%s %s: %s cannot be asked about the message, whose rules are asked once for all "
                        "recipients",
                        what_of(l), l->name, info->name);
        return RULE_NO_FACT;
    }
    return fact;
}

/* ---- values ---- */

static void expected_but(struct term *t, const struct config_node *at, const char *what, const char *hint)
{
    struct quoted q, name;

    rules_error(t->l, at, "rule %s: %s: expected %s, found `%s`%s", t->l->name, rules_quote(&name, t->name),
                what, rules_quote(&q, at->text), hint);
}

static void expected(struct term *t, const struct config_node *at, const char *what)
{
    char mem[200];
    struct buf hint;

    buf_init_fixed(&hint, mem, sizeof(mem));
    if (t->type == FACT_IP || t->type == FACT_NAME || t->type == FACT_ADDRESS) {
        entry_put_hint(at->text, &hint);
    }
    expected_but(t, at, what, mem);
}

/* "/expression/" or "/expression/i" */
static bool is_regex(struct slice text)
{
    return text.len >= 2 && text.ptr[0] == '/' &&
           (text.ptr[text.len - 1] == '/' || (text.len >= 3 && slice_ends_nocase(text, SLICE("/i"))));
}

static void take_regex(struct term *t, const struct config_node *at)
{
    bool nocase = at->text.ptr[at->text.len - 1] != '/';
    char mem[300];
    struct buf why;
    struct regex *re;
    struct quoted name;

    buf_init_fixed(&why, mem, sizeof(mem));
    re = regex_new(slice_of(at->text.ptr + 1, at->text.len - (nocase ? 3 : 2)), nocase, &why);
    if (re == NULL) {
        rules_error(t->l, at, "rule %s: %s: not a regular expression: %s", t->l->name,
                    rules_quote(&name, t->name), mem);
    } else {
        set_add_regex(t->c->set, re);
    }
}

static void take_flag(struct term *t, const struct config_node *at)
{
    if (slice_eq(at->text, SLICE("true"))) {
        t->c->set->flags |= 2;
    } else if (slice_eq(at->text, SLICE("false"))) {
        t->c->set->flags |= 1;
    } else {
        expected(t, at, "true or false");
    }
}

static void expected_word(struct term *t, const struct config_node *at)
{
    char mem[200];
    struct buf all;
    struct nearest near;
    const char *hint;

    buf_init_fixed(&all, mem, sizeof(mem));
    hint = rules_expected_word((enum fact_id)t->c->fact, at->text, &all, &near);
    expected_but(t, at, mem, hint);
}

static void take_word(struct term *t, const struct config_node *at)
{
    int index = fact_word_index((enum fact_id)t->c->fact, at->text);

    if (index >= 0) {
        t->c->set->words |= 1u << index;
    } else {
        expected_word(t, at);
    }
}

/* Takes one of the words that the fact can have; empty: it has none. */
static void take_member(struct term *t, const struct config_node *at)
{
    if (!slice_empty(at->text) && fact_word_index((enum fact_id)t->c->fact, at->text) < 0) {
        expected_word(t, at);
    } else if (!set_add_text(t->c->set, t->l->arena, at->text, SET_FOR_EVER)) {
        expected(t, at, "fewer values: the memory for rules is used up");
    }
}

static void take_list_name(struct term *t, const struct config_node *at)
{
    struct nearest near;
    struct quoted q, name;

    if (list_fact(t->l->r, at->text) == RULE_NO_FACT) {
        rules_error(t->l, at, "rule %s: %s: expected the name of a list of reputation.lists, found `%s`%s",
                    t->l->name, rules_quote(&name, t->name), rules_quote(&q, at->text),
                    rules_nearest_list(t->l->r, at->text, &near));
    } else if (!set_add_text(t->c->set, t->l->arena, at->text, SET_FOR_EVER)) {
        expected(t, at, "fewer values: the memory for rules is used up");
    }
}

/* Takes a name for a set of domains, in A-labels; empty: there is none. */
static void take_domain(struct term *t, const struct config_node *at)
{
    char mem[400];
    struct buf out;

    buf_init_fixed(&out, mem, sizeof(mem));
    if ((!slice_empty(at->text) && (at->text.ptr[0] == '.' || !entry_parse_name(at->text, &out))) ||
        !set_add_text(t->c->set, t->l->arena, rules_text(t->l, buf_slice(&out)), SET_FOR_EVER)) {
        expected(t, at, "a domain such as example.com");
    }
}

static void take_words(struct term *t, const struct config_node *at)
{
    if (fact_table[t->c->fact].words[0] != '\0') {
        take_member(t, at);
    } else if (t->c->fact == FACT_ID_REPUTATION_LISTS || t->c->fact == FACT_ID_REPUTATION_MONITORED) {
        take_list_name(t, at);
    } else {
        take_domain(t, at);
    }
}

static void take_name(struct term *t, const struct config_node *at)
{
    char mem[400];
    struct buf out;

    buf_init_fixed(&out, mem, sizeof(mem));
    if ((!slice_empty(at->text) && !entry_parse_name(at->text, &out)) ||
        !set_add_name(t->c->set, t->l->arena, rules_text(t->l, buf_slice(&out)), SET_FOR_EVER)) {
        expected(t, at, "a name such as example.com or .example.com");
    }
}

static void take_address(struct term *t, const struct config_node *at)
{
    char mem[400];
    struct buf out;

    buf_init_fixed(&out, mem, sizeof(mem));
    if ((!slice_empty(at->text) && !entry_parse_address(at->text, &out)) ||
        !set_add_address(t->c->set, t->l->arena, rules_text(t->l, buf_slice(&out)), SET_FOR_EVER)) {
        expected(t, at, "a mail address or @example.com");
    }
}

static void take_ip(struct term *t, const struct config_node *at)
{
    struct cidr net;

    if (!cidr_parse(at->text, &net) || !set_add_net(t->c->set, &net, SET_FOR_EVER)) {
        expected(t, at, "an address or a network such as 192.0.2.0/24");
    }
}

static void take_range(struct term *t, const struct config_node *at)
{
    bool duration = t->type == FACT_DURATION;
    bool negative_ok = t->c->fact == FACT_ID_SCORE || t->c->fact == FACT_ID_REPUTATION_SCORE;
    struct set_range range;

    if (!entry_parse_range(at->text, duration, &range)) {
        expected(t, at,
                 duration ? "a span of time, such as < 24h, >= 24h or 1h..24h"
                          : "a number such as 5, or one behind <, <=, >, >=, or 3..7");
    } else if (range.high < 0 && !negative_ok) {
        expected(t, at, "a value that it can have: it is never below 0");
    } else if (duration && range.low == range.high) { /* equality to the millisecond would never hold */
        expected(t, at, "a span of time, such as < 24h, >= 24h or 1h..24h");
    } else {
        set_add_range(t->c->set, range.low, range.high);
    }
}

static void take_text(struct term *t, const struct config_node *at)
{
    if (!set_add_text(t->c->set, t->l->arena, at->text, SET_FOR_EVER)) {
        expected(t, at, "fewer values: the memory for rules is used up");
    }
}

static void take_group(struct term *t, const struct config_node *at)
{
    struct group *g;
    struct quoted name;

    if (t->type == FACT_FLAG || t->type == FACT_WORD || t->type == FACT_NUMBER || t->type == FACT_DURATION) {
        rules_error(t->l, at,
                    "rule %s: %s: a group holds addresses, names and texts, and this fact is none of them",
                    t->l->name, rules_quote(&name, t->name));
        return;
    }
    g = groups_use(t->l, at, slice_skip(at->text, 6));
    if (g != NULL) {
        g->uses |= 1u << t->type;
        t->c->groups[t->c->group_count++] = g;
    }
}

static void take_value(struct term *t, const struct config_node *at)
{
    static void (*const take[])(struct term *, const struct config_node *) = {
        [FACT_FLAG] = take_flag,    [FACT_WORD] = take_word,       [FACT_WORDS] = take_words,
        [FACT_NAME] = take_name,    [FACT_ADDRESS] = take_address, [FACT_IP] = take_ip,
        [FACT_NUMBER] = take_range, [FACT_DURATION] = take_range,  [FACT_TEXT] = take_text,
    };
    bool is_text = t->type == FACT_NAME || t->type == FACT_ADDRESS || t->type == FACT_TEXT;
    struct quoted name;

    if (at->kind != NODE_SCALAR) {
        rules_error(t->l, at, "rule %s: %s: expected a value or a list of values, found %s", t->l->name,
                    rules_quote(&name, t->name), config_node_kind_name(at));
        return;
    }
    if (at->bad) {
        return;
    }
    if (slice_starts(at->text, SLICE("group:"))) {
        take_group(t, at);
    } else if (is_text && is_regex(at->text)) {
        take_regex(t, at);
    } else {
        take[t->type](t, at);
    }
    buf_put_str(&t->wanted, t->wanted.len > 0 ? " or " : "");
    buf_put_quoted(&t->wanted, slice_empty(at->text) ? SLICE("empty") : at->text, 60);
}

static struct cond *load_term(struct rules_load *l, const struct config_node *node)
{
    char mem[WANTED_MAX];
    struct term t = { .l = l, .name = node->key };
    const struct config_node *value;
    struct quoted name;
    unsigned fact = cond_load_fact(l, node, node->key);

    if (fact == RULE_NO_FACT || (node->kind == NODE_SCALAR && node->bad)) {
        return NULL;
    }
    t.c = rules_memory(l, sizeof(*t.c));
    t.c->kind = COND_TERM;
    t.c->fact = fact;
    t.c->line = l->preset ? 0 : node->key_line;
    t.c->column = l->preset ? 0 : node->key_column;
    t.c->set = rules_memory(l, sizeof(*t.c->set));
    set_init(t.c->set);
    t.c->set->next_made = l->r->sets;
    l->r->sets = t.c->set;
    t.c->groups = rules_memory(l, (node->count + 1) * sizeof(struct group *));
    t.type = fact < FACT_COUNT ? fact_table[fact].type : FACT_FLAG;
    buf_init_fixed(&t.wanted, mem, sizeof(mem));
    if (node->kind != NODE_SEQUENCE) {
        take_value(&t, node);
    } else if (node->count == 0) {
        rules_error(l, node, "rule %s: %s: expected a value, found an empty list", l->name,
                    rules_quote(&name, node->key));
    } else {
        CONFIG_NODE_EACH(node, value)
        {
            take_value(&t, value);
        }
    }
    set_seal(t.c->set);
    t.c->wanted = rules_text(l, buf_slice(&t.wanted));
    l->r->use[fact] |= USE_RULE;
    return t.c;
}

/* ---- nesting: as deep as the tree, CONFIG_TREE_MAX_DEPTH ---- */

static struct cond *new_group(struct rules_load *l, enum cond_kind kind)
{
    struct cond *c = rules_memory(l, sizeof(*c));

    c->kind = kind;
    return c;
}

/* *end: the link for the next child of the group. */
static void add_child(struct cond ***end, struct cond *child)
{
    if (child != NULL) {
        **end = child;
        *end = &child->next;
    }
}

/* `any` and `all`: a list of mappings. */
static struct cond *load_list(struct rules_load *l, const struct config_node *node, enum cond_kind kind)
{
    struct cond *c = new_group(l, kind), **end = &c->child;
    const struct config_node *item;

    if (node->kind != NODE_SEQUENCE || node->count == 0) {
        rules_error(l, node, "rule %s: " SLICE_FMT ": expected a list of mappings", l->name,
                    SLICE_ARG(node->key));
        return NULL;
    }
    CONFIG_NODE_EACH(node, item)
    {
        add_child(&end, cond_load(l, item));
    }
    return c->child != NULL ? c : NULL;
}

static struct cond *load_not(struct rules_load *l, const struct config_node *node)
{
    struct cond *c = new_group(l, COND_NOT);

    c->child = cond_load(l, node);
    return c->child != NULL ? c : NULL;
}

struct cond *cond_load(struct rules_load *l, const struct config_node *node)
{
    struct cond *c = new_group(l, COND_ALL), **end = &c->child;
    const struct config_node *entry;

    if (node->kind != NODE_MAPPING || node->count == 0) {
        rules_error(l, node, "rule %s: expected a mapping of facts to values, found %s", l->name,
                    node->kind == NODE_MAPPING ? "an empty one" : config_node_kind_name(node));
        return NULL;
    }
    CONFIG_NODE_EACH(node, entry)
    {
        if (slice_eq(entry->key, SLICE("any"))) {
            add_child(&end, load_list(l, entry, COND_ANY));
        } else if (slice_eq(entry->key, SLICE("all"))) {
            add_child(&end, load_list(l, entry, COND_ALL));
        } else if (slice_eq(entry->key, SLICE("not"))) {
            add_child(&end, load_not(l, entry));
        } else {
            add_child(&end, load_term(l, entry));
        }
    }
    return c->child != NULL && c->child->next == NULL ? c->child : c->child != NULL ? c : NULL;
}
