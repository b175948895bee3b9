/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print.c - the effective configuration as YAML that loads to an equal snapshot.
 *
 * Walks the table of keys in its order and opens a mapping when the path enters one.  Prints every key that this
 * version accepts, with its value.  Copies keys that policy/ compiles, and keys that may hold a secret, from the file
 * with ${NAME} unreplaced.  Masks secrets.  A masked value does not load, so a printed configuration never silently
 * lacks its token.
 */
#include "config/load_priv.h"

#define DEPTH_MAX 8

struct printer {
    struct buf *out;
    config_put_fn put;            /* may be NULL */
    const char *scope;            /* prints the rows of this scope */
    const void *base;             /* its struct */
    unsigned indent;              /* of the scope, in steps of two blanks */
    struct slice open[DEPTH_MAX]; /* names of the open mappings */
    size_t depth;
};

static void put_indent(struct buf *out, unsigned steps)
{
    while (steps-- > 0) {
        buf_put_str(out, "  ");
    }
}

/* Opens the mappings above the last name of `path`, which is relative to the scope.  Returns that name. */
static struct slice open_sections(struct printer *p, struct slice path)
{
    size_t depth = 0;

    while (slice_find(path, '.') < path.len && depth < DEPTH_MAX) {
        struct slice name = slice_cut(&path, '.');

        if (depth >= p->depth || !slice_eq(p->open[depth], name)) {
            put_indent(p->out, p->indent + (unsigned)depth);
            buf_put_slice(p->out, name);
            buf_put_str(p->out, ":\n");
            p->open[depth] = name;
            p->depth = depth + 1;
        }
        depth++;
    }
    p->depth = depth;
    return path;
}

static void put_scope(struct printer *p, const struct config *c);

/* Puts an entry of a list of mappings, with "- " instead of the first indent. */
static void put_entry(struct buf *out, const char *scope, const void *base, const struct config *c)
{
    struct buf text;
    struct printer p = { .out = &text, .scope = scope, .base = base, .indent = 3 };

    buf_init(&text, 1u << 20);
    put_scope(&p, c);
    buf_put_str(out, "    - ");
    buf_put_slice(out, slice_skip(buf_slice(&text), 6));
    buf_fini(&text);
}

static void put_listeners(struct buf *out, const struct config *c)
{
    buf_put_char(out, '\n');
    for (size_t i = 0; i < c->server.listen_count; i++) {
        put_entry(out, "server.listen[]", &c->server.listen[i], c);
    }
}

static void put_keypairs(struct buf *out, const struct config *c)
{
    buf_put_str(out, c->tls.pair_count > 1 ? "\n" : " []\n");
    for (size_t i = 1; i < c->tls.pair_count; i++) {
        put_entry(out, "tls.more[]", &c->tls.pair[i], c);
    }
}

static void put_fields(struct buf *out, const struct config *c)
{
    buf_put_str(out, c->headers.add_count > 0 ? "\n" : " {}\n");
    for (size_t i = 0; i < c->headers.add_count; i++) {
        buf_put_str(out, "    ");
        config_node_put_scalar(out, slice_str(c->headers.add[i].name));
        buf_put_str(out, ": ");
        config_node_put_scalar(out, slice_str(c->headers.add[i].value));
        buf_put_char(out, '\n');
    }
}

static void put_upstreams(struct buf *out, const struct config *c)
{
    buf_put_char(out, '\n');
    for (size_t i = 0; i < c->upstream_count; i++) {
        struct printer p = { .out = out, .scope = "upstreams.*", .base = &c->upstreams[i], .indent = 2 };

        put_indent(out, 1);
        config_node_put_scalar(out, slice_str(c->upstreams[i].name));
        buf_put_str(out, ":\n");
        put_scope(&p, c);
    }
}

static void put_domains(struct buf *out, const struct config *c)
{
    buf_put_char(out, '\n');
    for (size_t i = 0; i < c->domain_count; i++) {
        struct printer p = { .out = out, .scope = "domains.*", .base = &c->domains[i], .indent = 2 };

        buf_putf(out, "  \"%s%s\":\n", c->domains[i].subdomains ? "." : "", c->domains[i].name);
        put_scope(&p, c);
    }
}

static void put_value(struct printer *p, const struct key *k, const struct config *c)
{
    if (k->type == KEY_LISTEN) {
        put_listeners(p->out, c);
    } else if (k->type == KEY_KEYPAIRS) {
        put_keypairs(p->out, c);
    } else if (k->type == KEY_FIELDS) {
        put_fields(p->out, c);
    } else if (k->type == KEY_UPSTREAMS) {
        put_upstreams(p->out, c);
    } else if (k->type == KEY_DOMAINS) {
        put_domains(p->out, c);
    } else if (k->type == KEY_TREE || k->type == KEY_LISTS) {
        buf_put_str(p->out, " []\n");
    } else if (k->type == KEY_CANARIES) { /* not in the file, or off with all of the guard */
        buf_put_str(p->out, c->reputation.guard.canaries_auto ? " auto\n" : " off\n");
    } else {
        buf_put_char(p->out, ' ');
        if (load_is_list_key(k->type)) {
            load_put_list(k, p->base, p->out);
        } else {
            load_put_scalar(k, p->base, p->out);
        }
        buf_put_char(p->out, '\n');
    }
}

/* Does the row have a value to print? */
static bool is_printed(const struct key *k, const struct config *c)
{
    if (key_refused(k) || k->type == KEY_SWITCH) {
        return false;
    }
    if (k->type == KEY_TREE) {
        return k->def != NULL || config_node_find(c->root, k->path) != NULL;
    }
    if (slice_starts(slice_str(k->path), SLICE("state.redis."))) {
        return config_node_find(c->root, "state.redis") != NULL;
    }
    return c->tls.enabled || !slice_starts(slice_str(k->path), SLICE("tls."));
}

/* Puts a key that `put` did not handle. */
static void put_key(struct printer *p, const struct key *k, struct slice name, const struct config *c)
{
    const struct config_node *written = key_as_written(k) ? config_node_find(c->root, k->path) : NULL;

    put_indent(p->out, p->indent + (unsigned)p->depth);
    buf_put_slice(p->out, name);
    buf_put_char(p->out, ':');
    if (written != NULL) {
        config_node_put(p->out, written, (unsigned)p->depth);
    } else {
        put_value(p, k, c);
    }
}

static void put_scope(struct printer *p, const struct config *c)
{
    size_t count, skip = slice_str(p->scope).len;
    const struct key *k = key_table(&count);

    for (size_t i = 0; i < count; i++) {
        struct slice name;

        if (slice_eq(key_scope(k[i].path), slice_str(p->scope)) && is_printed(&k[i], c)) {
            name = open_sections(p, slice_skip(slice_str(k[i].path), skip > 0 ? skip + 1 : 0));
            if (p->put == NULL || !p->put(c, k[i].path, p->out)) {
                put_key(p, &k[i], name, c);
            }
        }
    }
}

void config_print(const struct config *c, config_put_fn put, struct buf *out)
{
    struct printer p = { .out = out, .put = put, .scope = "", .base = c };

    put_scope(&p, c);
}
