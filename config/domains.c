/* SPDX-License-Identifier: Apache-2.0 */
/*
 * domains.c - loads the mapping of domains to upstreams, and looks domains up for config_route().
 *
 * One hash table holds both kinds of entries: "example.com" for the domain itself and ".example.com" for its
 * subdomains.  config_route() looks up the name, then its tails that begin at a dot, longest first.  A name has
 * at most 126 tails, each one lookup.
 *
 * Limits: CONFIG_MAX_DOMAINS.
 */
#include "config/load_priv.h"

#include "core/idna.h"

const struct config_domain *config_route(const struct config *c, struct slice domain)
{
    struct table_entry *e = table_find(&c->own->domains, domain);
    size_t dot;

    if (slice_starts(domain, SLICE("."))) {
        return NULL; /* a name has no leading dot, but an entry may */
    }
    while (e == NULL && !slice_empty(domain)) {
        dot = slice_find(slice_skip(domain, 1), '.');
        domain = slice_skip(domain, dot + 1);
        if (!slice_empty(domain)) {
            e = table_find(&c->own->domains, domain);
        }
    }
    return e != NULL ? container_of(e, struct domain_entry, entry)->domain : NULL;
}

const struct config_domain *config_postmaster_home(const struct config *c)
{
    return c->domain_count > 0 ? &c->domains[0] : NULL;
}

/* The name in lower-case A-labels, with its leading dot.  Empty: invalid, and reported. */
static struct slice take_name(struct load *l, struct slice name, int line, int column)
{
    struct slice host = slice_starts(name, SLICE(".")) ? slice_skip(name, 1) : name;
    char mem[IDNA_NAME_MAX + 2];
    struct buf ascii;
    struct quoted q;

    buf_init_fixed(&ascii, mem, sizeof(mem));
    buf_put_str(&ascii, host.len < name.len ? "." : "");
    if (!idna_to_ascii(host, &ascii)) {
        config_errors_add(l->errs, false, line, column,
                          "domains: expected a domain such as example.com or .example.com, found `%s`",
                          load_quote(&q, name));
        return SLICE_NONE;
    }
    return slice_of(load_text(l, buf_slice(&ascii)), ascii.len);
}

/* Adds an entry.  NULL: invalid, and reported.  The table's key keeps the dot. */
static struct config_domain *add_domain(struct load *l, struct slice text, int line, int column)
{
    struct config *c = l->c;
    struct slice name = take_name(l, text, line, column);
    struct config_domain *d = &c->domains[c->domain_count];
    struct domain_entry *e = &c->own->entries[c->domain_count];
    struct table_entry *other;

    if (slice_empty(name)) {
        return NULL;
    }
    other = table_find(&c->own->domains, name);
    if (other != NULL) {
        config_errors_add(l->errs, false, line, column, "domains: %s is given twice; it was in line %d",
                          name.ptr, container_of(other, struct domain_entry, entry)->domain->line);
        return NULL;
    }
    *d = (struct config_domain){ .line = line, .validate_file = "", .subdomains = name.ptr[0] == '.' };
    d->name = name.ptr + (d->subdomains ? 1 : 0);
    e->domain = d;
    table_insert(&c->own->domains, &e->entry, name);
    c->domain_count++;
    apply_defaults(l, "domains.*", d);
    return d;
}

static void take_entry(struct load *l, const struct config_node *node)
{
    struct config_domain *d = add_domain(l, node->key, node->key_line, node->key_column);
    char mem[400];
    struct buf shown;
    struct place at = { .path = "domains.*", .shown = mem, .base = d };

    if (d == NULL || node->bad) {
        return;
    }
    buf_init_fixed(&shown, mem, sizeof(mem));
    buf_putf(&shown, "domains." SLICE_FMT, SLICE_ARG(node->key));
    if (node->kind == NODE_SCALAR && !slice_empty(node->text)) {
        d->upstream = load_find_upstream(l, mem, node);
    } else if (node->kind != NODE_MAPPING) {
        load_error(l, node, "%s: expected the name of an upstream, or a mapping", mem);
    } else {
        apply_mapping(l, &at, node);
        if (d->upstream == NULL && config_node_get(node, "upstream") == NULL) {
            if (l->c->upstream_count == 1) {
                d->upstream = &l->c->upstreams[0];
            } else {
                config_errors_add(l->errs, false, node->key_line, node->key_column,
                                  "%s.upstream is missing: there is more than one", mem);
            }
        }
    }
}

/* Takes "example.com, .example.com" and routes all to the only upstream. */
static void take_listed(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_domain *d;

    (void)v;
    if (l->c->domain_count >= CONFIG_MAX_DOMAINS) {
        load_error(l, item, "domains: at most %d", CONFIG_MAX_DOMAINS);
        return;
    }
    d = add_domain(l, item->text, item->line, item->column);
    if (d != NULL) {
        d->upstream = &l->c->upstreams[0];
    }
}

static void reserve(struct load *l, size_t count)
{
    l->c->domains = load_memory(l, count * sizeof(*l->c->domains));
    l->c->own->entries = load_memory(l, count * sizeof(*l->c->own->entries));
}

static size_t count_listed(const struct config_node *node)
{
    size_t commas = 0;
    struct slice rest = node->text;

    while (node->kind == NODE_SCALAR && !slice_empty(rest)) {
        (void)slice_cut(&rest, ',');
        commas++;
    }
    return node->kind == NODE_SCALAR ? commas : node->count;
}

void load_domains(struct load *l, const struct config_node *node)
{
    const struct config_node *child;
    size_t count = node != NULL ? count_listed(node) : 0;
    struct value v = { key_find(SLICE("domains")), "domains", node, l->c };

    if (node == NULL || node->bad) {
        return;
    }
    if (count == 0) {
        load_expected(l, &v, node, "a mapping of domains to upstreams, at least one");
        return;
    }
    if (node->kind == NODE_MAPPING && count > CONFIG_MAX_DOMAINS) {
        load_error(l, node, "domains: at most %d", CONFIG_MAX_DOMAINS);
        return;
    }
    if (node->kind != NODE_MAPPING && l->c->upstream_count != 1) {
        if (l->c->upstream_count > 1) {
            load_error(
                l, node,
                "domains: expected a mapping of domains to upstreams, as there is more than one upstream");
        }
        return;
    }
    reserve(l, min_size(count, CONFIG_MAX_DOMAINS) + 1);
    if (node->kind != NODE_MAPPING) {
        load_each_text(l, &v, take_listed);
        return;
    }
    CONFIG_NODE_EACH(node, child)
    {
        take_entry(l, child);
    }
}
