/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml.c - builds a tree from libyaml's events (tree.h); the only file that uses libyaml.
 *
 * One pass, a stack of open collections, no recursion.  Takes only one document with scalars, lists and
 * mappings.  Refuses anchors, aliases and tags, so a small file cannot expand into a large one.  A syntax error
 * of YAML ends the parse, because the rest is unreliable.  After other errors (duplicate keys, unset variables,
 * refused features) the parse continues.
 *
 * Limits: CONFIG_TREE_MAX_* of tree.h, and the arena's maximum.
 */
#include "config/tree.h"

#include <yaml.h>

#include "config/yaml_words.h"
#include "core/table.h"

struct keyed_node { /* a node and its entry in the keys of the mapping around it */
    struct config_node node;
    struct table_entry entry;
};

struct frame { /* an open collection */
    struct config_node *node;
    struct config_node *last; /* newest child */
    struct table keys;        /* of a mapping */
    struct slice key;         /* of the next value */
    int key_line, key_column;
    bool has_key;
};

struct builder {
    struct slice source;
    struct arena *arena;
    struct config_errors *errs;
    struct frame stack[CONFIG_TREE_MAX_DEPTH];
    size_t depth;
    size_t nodes;
    struct config_node *root;
    struct buf text; /* of one scalar */
    bool stop;
};

static int line_of(const yaml_mark_t *m)
{
    return (int)m->line + 1;
}

static int column_of(const yaml_mark_t *m)
{
    return (int)m->column + 1;
}

static void stop_at(struct builder *b, const yaml_mark_t *m, const char *sentence)
{
    config_errors_add(b->errs, false, line_of(m), column_of(m), "%s", sentence);
    b->stop = true;
}

static struct frame *top_of(struct builder *b)
{
    return b->depth > 0 ? &b->stack[b->depth - 1] : NULL;
}

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            return true;
        }
    }
    return false;
}

/* Takes the scalar as written, then expands the environment in it. */
static bool take_text(struct builder *b, const yaml_event_t *e, struct config_node *n)
{
    struct slice given = slice_of(e->data.scalar.value, e->data.scalar.length);
    char mem[400];
    struct buf why;

    n->raw = n->text = arena_slice(b->arena, given);
    if (has_control(given)) {
        config_errors_add(
            b->errs, false, line_of(&e->start_mark), column_of(&e->start_mark),
            "control characters are not allowed in values; in double quotes a backslash begins an "
            "escape, in single quotes it is a backslash");
        n->raw = n->text = SLICE("?");
        n->bad = true;
        return true;
    }
    if (n->raw.ptr == NULL || slice_find(given, '$') == given.len) {
        return n->raw.ptr != NULL;
    }
    buf_init_fixed(&why, mem, sizeof(mem));
    buf_reset(&b->text);
    if (!config_expand(given, &b->text, &why)) {
        config_errors_add(b->errs, false, line_of(&e->start_mark), column_of(&e->start_mark), "%s", mem);
        n->bad = true;
        return true;
    }
    if (has_control(buf_slice(&b->text))) {
        config_errors_add(b->errs, false, line_of(&e->start_mark), column_of(&e->start_mark),
                          "the environment variable holds control characters");
        n->bad = true;
        return true;
    }
    n->text = arena_slice(b->arena, buf_slice(&b->text));
    return n->text.ptr != NULL;
}

/* Adds a node to the open collection, or as the root. */
static struct config_node *add_node(struct builder *b, enum config_node_kind kind, const yaml_event_t *e)
{
    struct frame *up = top_of(b);
    struct keyed_node *k = arena_alloc(b->arena, sizeof(*k));
    struct table_entry *first;

    if (k == NULL || ++b->nodes > CONFIG_TREE_MAX_NODES) {
        stop_at(b, &e->start_mark, "the file is too large: too many values");
        return NULL;
    }
    k->node.kind = kind;
    k->node.line = k->node.key_line = line_of(&e->start_mark);
    k->node.column = k->node.key_column = column_of(&e->start_mark);
    if (up == NULL) {
        b->root = &k->node;
        return &k->node;
    }
    if (up->node->kind == NODE_MAPPING) {
        k->node.key = up->key;
        k->node.key_line = up->key_line;
        k->node.key_column = up->key_column;
        up->has_key = false;
        first = table_find(&up->keys, up->key);
        if (first != NULL) { /* a duplicate was reported at its key: kept out of the tree */
            container_of(first, struct keyed_node, entry)->node.twice = true;
            return &k->node;
        }
        table_insert(&up->keys, &k->entry, k->node.key);
    }
    if (up->last != NULL) {
        up->last->next = &k->node;
    } else {
        up->node->first = &k->node;
    }
    up->last = &k->node;
    up->node->count++;
    return &k->node;
}

static void take_key(struct builder *b, struct frame *up, const yaml_event_t *e)
{
    struct config_node key = { .line = 0 };
    struct table_entry *first;

    if (!take_text(b, e, &key)) {
        stop_at(b, &e->start_mark, "the file is too large");
        return;
    }
    up->key = key.text;
    up->has_key = true;
    up->key_line = line_of(&e->start_mark);
    up->key_column = column_of(&e->start_mark);
    first = table_find(&up->keys, up->key);
    if (first != NULL) {
        char mem[200];
        struct buf name;

        buf_init_fixed(&name, mem, sizeof(mem));
        buf_put_quoted(&name, up->key, 60);
        config_errors_add(b->errs, false, up->key_line, up->key_column,
                          "duplicate key `%s`; it was given in line %d", mem,
                          container_of(first, struct keyed_node, entry)->node.key_line);
    }
}

static void on_scalar(struct builder *b, const yaml_event_t *e)
{
    struct frame *up = top_of(b);
    struct config_node *n;

    if (up != NULL && up->node->kind == NODE_MAPPING && !up->has_key) {
        take_key(b, up, e);
        return;
    }
    n = add_node(b, NODE_SCALAR, e);
    if (n != NULL && !take_text(b, e, n)) {
        stop_at(b, &e->start_mark, "the file is too large");
    }
}

static void on_collection(struct builder *b, enum config_node_kind kind, const yaml_event_t *e)
{
    struct frame *up = top_of(b);
    struct config_node *n;

    if (up != NULL && up->node->kind == NODE_MAPPING && !up->has_key) {
        const char *hint = yaml_bracket_hint(b->source, e->start_mark.line + 1);

        stop_at(b, &e->start_mark,
                hint != NULL ? hint : "a key must be a plain word, not a list or a mapping");
        return;
    }
    if (b->depth == CONFIG_TREE_MAX_DEPTH) {
        stop_at(b, &e->start_mark, "nested too deeply");
        return;
    }
    n = add_node(b, kind, e);
    if (n != NULL) {
        struct frame *f = &b->stack[b->depth++];

        *f = (struct frame){ .node = n };
        table_init(&f->keys);
    }
}

static void on_end(struct builder *b)
{
    table_fini(&b->stack[--b->depth].keys);
}

static void refuse_extras(struct builder *b, const yaml_event_t *e, const yaml_char_t *anchor,
                          const yaml_char_t *tag)
{
    int line = line_of(&e->start_mark), column = column_of(&e->start_mark);

    if (anchor != NULL) {
        config_errors_add(b->errs, false, line, column,
                          "anchors and aliases (& and *) are not used here; write the value out");
    }
    if (tag != NULL) {
        config_errors_add(b->errs, false, line, column, "tags (!) are not used here; write the value alone");
    }
}

static void on_document(struct builder *b, const yaml_event_t *e)
{
    if (b->root != NULL) {
        stop_at(b, &e->start_mark, "a second document (`---`) begins here; only one is read");
    }
}

static void take_event(struct builder *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        refuse_extras(b, e, e->data.scalar.anchor, e->data.scalar.tag);
        on_scalar(b, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
        refuse_extras(b, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        on_collection(b, NODE_SEQUENCE, e);
        break;
    case YAML_MAPPING_START_EVENT:
        refuse_extras(b, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        on_collection(b, NODE_MAPPING, e);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(b);
        break;
    case YAML_ALIAS_EVENT:
        stop_at(b, &e->start_mark, "anchors and aliases (& and *) are not used here; write the value out");
        break;
    case YAML_DOCUMENT_START_EVENT:
        on_document(b, e);
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
}

static void report_yaml(struct builder *b, const yaml_parser_t *p)
{
    struct yaml_problem problem = { .problem = p->problem != NULL ? p->problem : "out of memory",
                                    .line = p->problem_mark.line + 1,
                                    .column = p->problem_mark.column + 1,
                                    .context_line = p->context != NULL ? p->context_mark.line + 1 : 0 };
    const yaml_mark_t *at = &p->problem_mark;
    char mem[400];
    struct buf words;

    if (p->error == YAML_READER_ERROR) { /* the text is UTF-8: a character that YAML does not take */
        config_errors_add(b->errs, false, line_of(&p->mark), column_of(&p->mark),
                          "not YAML: %s near this place", problem.problem);
        b->stop = true;
        return;
    }
    buf_init_fixed(&words, mem, sizeof(mem));
    yaml_put_problem(&words, b->source, &problem);
    config_errors_add(b->errs, false, line_of(at), column_of(at), "not YAML: %s", mem);
    b->stop = true;
}

static void read_events(struct builder *b, yaml_parser_t *p)
{
    bool end = false;

    while (!b->stop && !end) {
        yaml_event_t e;

        if (!yaml_parser_parse(p, &e)) {
            report_yaml(b, p);
            return;
        }
        end = e.type == YAML_STREAM_END_EVENT;
        take_event(b, &e);
        yaml_event_delete(&e);
    }
}

/* Is the whole text UTF-8?  libyaml reads in blocks and would report the line at which it read the block. */
static bool is_text(struct slice text, struct config_errors *errs)
{
    size_t line, column;
    unsigned octet;

    if (slice_starts(text, SLICE("\xff\xfe")) || slice_starts(text, SLICE("\xfe\xff"))) {
        config_errors_add(errs, false, 1, 1, "the file is in UTF-16; save it as UTF-8");
        return false;
    }
    if (!yaml_is_utf8(text, &line, &column, &octet)) {
        config_errors_add(errs, false, (int)line, (int)column,
                          "not UTF-8 text: the octet 0x%02x stands here; save the file as UTF-8", octet);
        return false;
    }
    return true;
}

const struct config_node *config_tree_parse(struct slice text, struct arena *arena,
                                            struct config_errors *errs)
{
    struct builder b = { .arena = arena, .errs = errs };
    yaml_parser_t p;

    if (text.len > CONFIG_TREE_MAX_BYTES) {
        config_errors_add(errs, false, 0, 0, "the file is larger than 4 MiB");
        return NULL;
    }
    if (slice_starts(text, SLICE("\xef\xbb\xbf"))) {
        text = slice_skip(text, 3); /* a byte order mark: some editors write one, and UTF-8 needs none */
    }
    if (!is_text(text, errs)) {
        return NULL;
    }
    b.source = text;
    if (!yaml_parser_initialize(&p)) {
        config_errors_add(errs, false, 0, 0, "out of memory");
        return NULL;
    }
    buf_init(&b.text, CONFIG_TREE_MAX_SCALAR);
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)(text.len > 0 ? text.ptr : ""), text.len);
    read_events(&b, &p);
    yaml_parser_delete(&p);
    while (b.depth > 0) {
        on_end(&b);
    }
    buf_fini(&b.text);
    if (b.stop) {
        return NULL;
    }
    if (b.root == NULL) { /* an empty file */
        b.root = arena_alloc(arena, sizeof(*b.root));
    }
    if (b.root != NULL && b.root->kind == NODE_SCALAR && slice_empty(b.root->text)) {
        b.root->kind = NODE_MAPPING;
    }
    return b.root;
}
