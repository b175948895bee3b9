/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c - walks the parsed file, expands the environment in scalars, and writes scalars as YAML text.
 *
 * Pure but for getenv().  Nothing here allocates.
 */
#include "config/tree.h"

#include "config/secret.h"

static bool is_name_char(char c, bool first)
{
    return ascii_is_alpha(c) || c == '_' || (!first && ascii_is_digit(c));
}

const struct config_node *config_node_get(const struct config_node *node, const char *key)
{
    const struct config_node *child;
    struct slice name = slice_str(key);

    if (node == NULL || node->kind != NODE_MAPPING) {
        return NULL;
    }
    CONFIG_NODE_EACH(node, child)
    {
        if (slice_eq(child->key, name)) {
            return child;
        }
    }
    return NULL;
}

const struct config_node *config_node_find(const struct config_node *root, const char *path)
{
    struct slice rest = slice_str(path);

    while (root != NULL && !slice_empty(rest)) {
        struct slice name = slice_cut(&rest, '.');
        const struct config_node *child = root->kind == NODE_MAPPING ? root->first : NULL;

        while (child != NULL && !slice_eq(child->key, name)) {
            child = child->next;
        }
        root = child;
    }
    return root;
}

const char *config_node_kind_name(const struct config_node *node)
{
    switch (node->kind) {
    case NODE_SCALAR:
        return "a value";
    case NODE_SEQUENCE:
        return node->count > 0 ? "a list" : "an empty list";
    case NODE_MAPPING:
        return node->count > 0 ? "a mapping" : "an empty mapping";
    }
    return "";
}

bool config_node_is(const struct config_node *node, const char *word)
{
    return node != NULL && node->kind == NODE_SCALAR && slice_eq(node->text, slice_str(word));
}

/* Expands one variable.  *rest begins after "${" and then after the "}". */
static bool expand_one(struct slice *rest, struct buf *out, struct buf *why)
{
    struct slice inner = slice_take(*rest, slice_find(*rest, '}'));
    char name[256];
    size_t n = 0;
    const char *value;

    while (n < inner.len && is_name_char(inner.ptr[n], n == 0)) {
        n++;
    }
    struct slice def = slice_skip(inner, n);
    if (inner.len == rest->len || n == 0 || n >= sizeof(name) ||
        (def.len > 0 && !slice_starts(def, SLICE(":-")))) {
        buf_put_str(
            why,
            "`${` must be followed by NAME} or NAME:-default} (write `$${` for the characters themselves)");
        return false;
    }
    memcpy(name, inner.ptr, n);
    name[n] = '\0';
    *rest = slice_skip(*rest, inner.len + 1);
    value = getenv(name);
    if (value != NULL && (value[0] != '\0' || def.len == 0)) {
        buf_put_str(out, value);
        return true;
    }
    if (def.len == 0) {
        buf_putf(why, "the environment variable %s is not set (write ${%s:-default} if it may be missing)",
                 name, name);
        return false;
    }
    buf_put_slice(out, slice_skip(def, 2));
    return true;
}

bool config_expand(struct slice text, struct buf *out, struct buf *why)
{
    while (!slice_empty(text)) {
        size_t dollar = slice_find(text, '$');

        buf_put_slice(out, slice_take(text, dollar));
        text = slice_skip(text, dollar);
        if (slice_starts(text, SLICE("$${"))) {
            buf_put_str(out, "${");
            text = slice_skip(text, 3);
        } else if (slice_starts(text, SLICE("${"))) {
            text = slice_skip(text, 2);
            if (!expand_one(&text, out, why)) {
                return false;
            }
        } else if (!slice_empty(text)) {
            buf_put_char(out, '$');
            text = slice_skip(text, 1);
        }
    }
    if (!buf_ok(out)) {
        buf_putf(why, "longer than %d octets after ${NAME} was replaced", CONFIG_TREE_MAX_SCALAR);
    }
    return buf_ok(out);
}

/* Does the text have only letters, digits and inner signs without a meaning in YAML? */
static bool is_plain(struct slice s)
{
    bool plain = s.len > 0 && (ascii_is_alpha(s.ptr[0]) || ascii_is_digit(s.ptr[0]) || s.ptr[0] == '/');

    for (size_t i = 0; i < s.len && plain; i++) {
        char c = s.ptr[i];

        plain = ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("/._-+@%", c) != NULL);
    }
    return plain;
}

void config_node_put_scalar(struct buf *out, struct slice text)
{
    if (is_plain(text)) {
        buf_put_slice(out, text);
        return;
    }
    buf_put_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (slice_starts(slice_skip(text, i), SLICE("${"))) {
            buf_put_str(out, "$$");
        } else if (c == '"' || c == '\\') {
            buf_put_char(out, '\\');
            buf_put_char(out, c);
        } else if (c == '\n' || c == '\t') {
            buf_put_str(out, c == '\n' ? "\\n" : "\\t");
        } else {
            buf_put_char(out, c);
        }
    }
    buf_put_char(out, '"');
}

/* Does the password of a URL come from the environment alone: "user:${PASSWORD}", not "${NAME:-secret}"? */
static bool is_from_environment(struct slice secret)
{
    struct slice password = slice_skip(secret, min_size(slice_find(secret, ':') + 1, secret.len));
    struct slice rest = slice_skip(password, slice_find(password, ':'));

    return slice_starts(password, SLICE("${")) && slice_find(password, '}') + 1 == password.len &&
           (slice_empty(rest) || slice_eq(rest, SLICE(":-}")));
}

/* Puts the scalar as written, with its secrets masked. */
static void put_shown(struct buf *out, const struct config_node *node)
{
    if (slice_eq(node->key, SLICE("zone"))) {
        secret_put_zone(out, node->raw, secret_zone_tail(node->raw));
    } else if (is_from_environment(secret_of_url(node->raw))) {
        buf_put_slice(out, node->raw);
    } else {
        secret_put_url(out, node->raw);
    }
}

static void put_node_scalar(struct buf *out, const struct config_node *node)
{
    bool expands = !slice_eq(node->raw, node->text); /* has ${NAME}, which stays */
    struct buf shown;

    buf_init(&shown, CONFIG_TREE_MAX_SCALAR * 2);
    put_shown(&shown, node);
    if (!expands) {
        config_node_put_scalar(out, buf_slice(&shown));
    } else {
        buf_put_char(out, '"');
        for (size_t i = 0; i < shown.len; i++) {
            char c = shown.ptr[i];

            buf_put_str(out, c == '"' || c == '\\' || c == '\n' || c == '\t' ? "\\" : "");
            buf_put_char(out, (char)(c == '\n' ? 'n' : c == '\t' ? 't' : c));
        }
        buf_put_char(out, '"');
    }
    buf_fini(&shown);
}

/* Recursion ends at CONFIG_TREE_MAX_DEPTH. */
void config_node_put(struct buf *out, const struct config_node *node, unsigned indent)
{
    const struct config_node *child;

    if (node->kind == NODE_SCALAR) {
        buf_put_char(out, ' ');
        put_node_scalar(out, node);
        buf_put_char(out, '\n');
        return;
    }
    buf_put_str(out, node->count > 0 ? "\n" : node->kind == NODE_MAPPING ? " {}\n" : " []\n");
    CONFIG_NODE_EACH(node, child)
    {
        for (unsigned i = 0; i <= indent; i++) {
            buf_put_str(out, "  ");
        }
        if (node->kind == NODE_MAPPING) {
            config_node_put_scalar(out, child->key);
            buf_put_char(out, ':');
        } else {
            buf_put_char(out, '-');
        }
        config_node_put(out, child, indent + 1);
    }
}
