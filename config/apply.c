/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.c - walks a mapping of the file with the table of keys and sets the fields.
 *
 * Handles the structure of the file: mappings, `off` for a mapping, required keys, keys of later versions.  The setters
 * (scalars.c, sequences.c, upstreams.c, domains.c) handle the types.  Every key of the file is either set or gets
 * exactly one error.
 */
#include "config/load_priv.h"

#include "config/secret.h"
#include "config/values.h"

#define PATH_TEXT_MAX 300

const char *load_quote(struct quoted *q, struct slice s)
{
    struct buf b;

    buf_init_fixed(&b, q->text, sizeof(q->text));
    secret_put_quoted(&b, s, 60);
    return q->text;
}

void load_error(struct load *l, const struct config_node *at, const char *fmt, ...)
{
    struct buf text;
    va_list ap;

    buf_init(&text, 2000);
    va_start(ap, fmt);
    buf_vputf(&text, fmt, ap);
    va_end(ap);
    config_errors_add(l->errs, false, at != NULL ? at->line : 0, at != NULL ? at->column : 0, "%s",
                      text.len > 0 ? text.ptr : "");
    buf_fini(&text);
}

/* "key:value" */
static bool lacks_blank(struct slice text)
{
    size_t n = 0;

    while (n < text.len && ((text.ptr[n] >= 'a' && text.ptr[n] <= 'z') || text.ptr[n] == '_')) {
        n++;
    }
    return n > 0 && n + 1 < text.len && text.ptr[n] == ':';
}

void load_expected(struct load *l, const struct value *v, const struct config_node *found, const char *what)
{
    struct nearest near;
    struct quoted q;

    if (found->bad) {
        return;
    }
    if (found->kind != NODE_SCALAR) {
        load_error(l, found, "%s: expected %s, found %s", v->shown, what, config_node_kind_name(found));
    } else if (slice_empty(found->text)) {
        load_error(l, found, "%s: expected %s, found nothing", v->shown, what);
    } else if (v->key->type == KEY_SECRET || v->key->type == KEY_URL) {
        load_error(l, found, "%s: expected %s", v->shown, what);
    } else if (slice_starts(slice_str(what), SLICE("a mapping")) && lacks_blank(found->text)) {
        load_error(l, found, "%s: expected %s, found `%s`: a blank is missing behind the colon", v->shown,
                   what, load_quote(&q, found->text));
    } else {
        load_error(l, found, "%s: expected %s, found `%s`%s", v->shown, what, load_quote(&q, found->text),
                   v->key->choices != NULL ? nearest_choice(&near, found->text, v->key->choices) : "");
    }
}

void *load_memory(struct load *l, size_t size)
{
    void *mem = arena_alloc(l->arena, size);

    BUG_ON(mem == NULL); /* the tree has its own maximum, all that is made from it is counted */
    return mem;
}

const char *load_text(struct load *l, struct slice s)
{
    char *copy = load_memory(l, s.len + 1);

    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    return copy;
}

static void apply_scalar(struct load *l, const struct value *v)
{
    char mem[400];
    struct buf why;

    buf_init_fixed(&why, mem, sizeof(mem));
    if (v->node->bad) {
        return;
    }
    if (v->node->kind != NODE_SCALAR || !load_set_scalar(l, v, v->node->text, &why)) {
        if (v->node->kind != NODE_SCALAR && why.len == 0) {
            buf_put_str(&why, "one value");
        }
        load_expected(l, v, v->node, mem);
    }
}

static void apply_value(struct load *l, const struct value *v)
{
    if (load_is_scalar_key(v->key->type)) {
        apply_scalar(l, v);
    } else if (v->key->type == KEY_LISTEN) {
        load_set_listen(l, v);
    } else if (v->key->type == KEY_KEYPAIRS) {
        load_set_keypairs(l, v);
    } else if (v->key->type == KEY_FIELDS) {
        load_set_fields(l, v);
    } else if (v->key->type == KEY_UPSTREAMS) {
        load_set_upstreams(l, v);
    } else if (v->key->type == KEY_LISTS) {
        load_set_lists(l, v);
    } else if (load_is_list_entry_key(v->key->type)) {
        load_set_list_entry_key(l, v);
    } else if (load_is_list_key(v->key->type)) {
        load_set_list(l, v);
    } /* KEY_DOMAINS: load_domains(), when the upstreams are known; KEY_TREE: config.root has it */
}

static void apply_key_text(struct load *l, const struct key *k, const char *shown, void *base)
{
    struct config_node node = { .kind = NODE_SCALAR, .text = slice_str(k->def) };
    struct value v = { k, shown, &node, base };
    char mem[400];
    struct buf text, why;

    buf_init(&text, CONFIG_TREE_MAX_SCALAR);
    buf_init_fixed(&why, mem, sizeof(mem));
    if (config_expand(slice_str(k->def), &text, &why)) {
        node.text = buf_slice(&text);
        apply_value(l, &v);
    } else {
        load_error(l, NULL, "%s: %s", shown, mem);
    }
    buf_fini(&text);
}

void apply_defaults(struct load *l, const char *scope, void *base)
{
    size_t count;
    const struct key *k = key_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (k[i].def != NULL && slice_eq(key_scope(k[i].path), slice_str(scope))) {
            apply_key_text(l, &k[i], k[i].path, base);
        }
    }
}

void apply_text(struct load *l, const struct place *at, const char *name, const char *text)
{
    char mem[PATH_TEXT_MAX];
    struct buf path;

    buf_init_fixed(&path, mem, sizeof(mem));
    buf_putf(&path, "%s.%s", at->path, name);
    const struct key *found = key_find(buf_slice(&path));
    BUG_ON(found == NULL);
    struct key k = *found;
    k.def = text;
    apply_key_text(l, &k, at->shown, at->base);
}

static void put_mapping_of(struct slice path, struct buf *out)
{
    size_t before;

    buf_put_str(out, "a mapping of ");
    before = out->len;
    key_put_names(path, out);
    if (out->len == before) {
        buf_truncate(out, before - 4);
    }
}

/* Hides the value if the section has a secret key, because it may be that secret. */
static void report_no_mapping(struct load *l, const struct value *v, const char *path, const char *or_else)
{
    char mem[PATH_TEXT_MAX];
    struct key as = { .path = path, .type = key_has_secret(slice_str(path)) ? KEY_SECRET : KEY_TEXT };
    struct value shown = { &as, v->shown, v->node, NULL };
    struct buf what;

    buf_init_fixed(&what, mem, sizeof(mem));
    put_mapping_of(slice_str(path), &what);
    buf_put_str(&what, or_else);
    load_expected(l, &shown, v->node, mem);
}

/* Applies `off` in place of a mapping: to the keys in `choices`, or (NULL) as if the mapping were absent. */
static void apply_switch(struct load *l, const struct value *v, const char *path)
{
    char mem[PATH_TEXT_MAX];
    struct buf sub;
    struct value off = *v;
    struct slice rest = slice_str(v->key->choices != NULL ? v->key->choices : "");

    buf_init_fixed(&sub, mem, sizeof(mem));
    if (!config_node_is(v->node, "off")) {
        report_no_mapping(l, v, path, ", or `off`");
        return;
    }
    while (!slice_empty(rest)) {
        struct slice name = slice_cut(&rest, '|');

        buf_reset(&sub);
        buf_putf(&sub, "%s." SLICE_FMT, path, SLICE_ARG(name));
        off.key = key_find(buf_slice(&sub));
        BUG_ON(off.key == NULL);
        apply_value(l, &off);
    }
}

static bool is_key_name(struct slice s)
{
    bool ok = s.len > 0 && s.len < 64;

    for (size_t i = 0; i < s.len && ok; i++) {
        ok = (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || s.ptr[i] == '_' || ascii_is_digit(s.ptr[i]);
    }
    return ok;
}

/* Is the name a dotted path as in manuals, "limits.hops" for "limits: {hops: ...}"?  Then `out` gets the right form. */
static bool is_path_of_key(const struct place *at, struct slice name, struct buf *out)
{
    char mem[PATH_TEXT_MAX];
    struct buf path;
    size_t depth = 0;

    buf_init_fixed(&path, mem, sizeof(mem));
    buf_putf(&path, "%s%s" SLICE_FMT, at->path, at->path[0] != '\0' ? "." : "", SLICE_ARG(name));
    if (slice_find(name, '.') == name.len || !buf_ok(&path) || key_find(buf_slice(&path)) == NULL) {
        return false;
    }
    while (!slice_empty(name)) {
        buf_put_str(out, depth > 0 ? "{" : "");
        buf_put_slice(out, slice_cut(&name, '.'));
        buf_put_str(out, ": ");
        depth++;
    }
    buf_put_str(out, "...");
    while (depth-- > 1) {
        buf_put_char(out, '}');
    }
    return true;
}

/* Puts "; did you mean `hops`?", the place of such a key, or the keys of this section unless they are many. */
static void put_unknown_hint(const struct place *at, const struct config_node *child, struct buf *out)
{
    char near_mem[PATH_TEXT_MAX], names_mem[PATH_TEXT_MAX];
    struct slice path = slice_str(at->path);
    struct buf near, names;
    bool is_near;

    buf_init_fixed(&near, near_mem, sizeof(near_mem));
    buf_init_fixed(&names, names_mem, sizeof(names_mem));
    is_near = is_path_of_key(at, child->key, &near) || key_nearest(path, child->key, &near) != NULL;
    key_put_names(path, &names);
    if (is_near && slice_eq(buf_slice(&near), child->key)) {
        buf_put_str(out, "; it stands at the top of the file");
    } else if (is_near) {
        buf_putf(out, "; did you mean `%s`?", near_mem);
    } else if (names.len > 0) {
        buf_putf(out, "; there %s %s", memchr(names_mem, ' ', names.len) != NULL ? "are" : "is", names_mem);
    }
}

static void report_unknown(struct load *l, const struct place *at, const struct config_node *child)
{
    char mem[3 * PATH_TEXT_MAX];
    struct buf hint;
    struct quoted q;

    buf_init_fixed(&hint, mem, sizeof(mem));
    put_unknown_hint(at, child, &hint);
    config_errors_add(l->errs, false, child->key_line, child->key_column, "unknown key `%s`%s%s%s",
                      load_quote(&q, child->key), at->shown[0] != '\0' ? " in " : "", at->shown, mem);
}

/* The separator between the place and one of its keys, for messages. */
static const char *joint_of(const struct place *at)
{
    return at->shown[0] == '\0' ? "" : at->is_sentence ? ": " : ".";
}

/* Is it an empty section, such as "limits:" with all its keys commented out? */
static bool is_nothing(const struct config_node *n)
{
    return n->kind == NODE_SCALAR && slice_empty(n->text) && !n->bad;
}

static void apply_child(struct load *l, const struct place *at, const struct config_node *child)
{
    char path_mem[PATH_TEXT_MAX], shown_mem[PATH_TEXT_MAX];
    struct buf path, shown;
    const struct key *k;
    struct config_node key_place = *child;

    buf_init_fixed(&path, path_mem, sizeof(path_mem));
    buf_init_fixed(&shown, shown_mem, sizeof(shown_mem));
    buf_putf(&path, "%s%s" SLICE_FMT, at->path, at->path[0] != '\0' ? "." : "", SLICE_ARG(child->key));
    buf_putf(&shown, "%s%s" SLICE_FMT, at->shown, joint_of(at), SLICE_ARG(child->key));
    k = is_key_name(child->key) ? key_find(buf_slice(&path)) : NULL;
    struct value v = { k, shown_mem, child, at->base };
    if (!is_key_name(child->key) || (k == NULL && !key_is_section(buf_slice(&path)))) {
        report_unknown(l, at, child);
    } else if (k != NULL && key_refused(k)) {
        key_place.line = child->key_line;
        key_place.column = child->key_column;
        load_error(l, &key_place, "%s: not in this version", shown_mem);
    } else if (k != NULL && k->type != KEY_SWITCH) {
        apply_value(l, &v);
    } else if (k != NULL && child->kind != NODE_MAPPING && !is_nothing(child)) {
        apply_switch(l, &v, path_mem);
    } else if (child->kind != NODE_MAPPING && !is_nothing(child)) {
        report_no_mapping(l, &v, path_mem, "");
    } else {
        struct place below = { .path = path_mem, .shown = shown_mem, .base = at->base };

        apply_mapping(l, &below, child);
    }
}

/* Is the row a key directly in this mapping?  Sets *name to its own name. */
static bool is_key_of(const struct key *k, const struct place *at, struct slice *name)
{
    struct slice full = slice_str(k->path), path = slice_str(at->path);

    if (!slice_empty(path) &&
        (full.len <= path.len || !slice_starts(full, path) || full.ptr[path.len] != '.')) {
        return false;
    }
    *name = slice_skip(full, slice_empty(path) ? 0 : path.len + 1);
    return slice_find(*name, '.') == name->len;
}

/* Does the mapping have an unknown key that probably means this one? */
static bool is_misspelt(const struct place *at, const struct config_node *node, struct slice name)
{
    const struct config_node *child;

    CONFIG_NODE_EACH(node, child)
    {
        char mem[PATH_TEXT_MAX], near_mem[PATH_TEXT_MAX];
        struct buf path, near;

        buf_init_fixed(&path, mem, sizeof(mem));
        buf_init_fixed(&near, near_mem, sizeof(near_mem));
        buf_putf(&path, "%s%s" SLICE_FMT, at->path, at->path[0] != '\0' ? "." : "", SLICE_ARG(child->key));
        if (key_find(buf_slice(&path)) == NULL &&
            key_nearest(slice_str(at->path), child->key, &near) != NULL && slice_eq(buf_slice(&near), name)) {
            return true;
        }
    }
    return false;
}

void apply_mapping(struct load *l, const struct place *at, const struct config_node *node)
{
    const struct config_node *child;
    size_t count;
    const struct key *k = key_table(&count);

    CONFIG_NODE_EACH(node, child)
    {
        apply_child(l, at, child);
    }
    for (size_t i = 0; i < count; i++) {
        struct slice name;

        if ((k[i].flags & KEY_REQUIRED) != 0 && is_key_of(&k[i], at, &name) &&
            (at->filled == NULL || !slice_eq(name, slice_str(at->filled))) &&
            config_node_get(node, name.ptr) == NULL && !is_misspelt(at, node, name)) {
            config_errors_add(l->errs, false, node->key_line, node->key_column, "%s%s%s is missing: %s",
                              at->shown, joint_of(at), name.ptr, k[i].help);
        }
    }
}
