/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstreams.c - the mapping of upstreams: presets of their kinds, their servers.
 *
 * Order for each: the table's defaults, the preset of its kind, then the keys of the file.
 */
#include "config/load_priv.h"

#include "config/values.h"

struct preset {
    enum config_kind kind;
    const char *name; /* of the key in upstreams.* */
    const char *text;
};

/* Settings that these servers need in their default installation; the manual has the reasons. */
static const struct preset presets[] = {
    { KIND_EXCHANGE, "connections", "18" }, /* its receive connectors allow 20 from one address */
    { KIND_EXCHANGE, "size", "36MiB" },
    { KIND_GROUPWISE, "connections", "8" },
    { KIND_GROUPWISE, "rate", "2/1s" },
    { KIND_POSTFIX, "idle_timeout", "9s" }, /* under load it closes after 10 s of silence */
    { KIND_EXIM, "max_messages", "10" },    /* smtp_accept_queue_per_connection */
    { KIND_RSPAMD, "identity", "xclient" }, /* it judges the client's address */
};

static void take_server(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_upstream *u = v->base;
    struct config_upstream_server s = { .line = item->line };
    struct slice host;
    uint16_t port;

    if (addr_parse_endpoint(item->text, &s.address) && s.address.port != 0) {
        char mem[ADDR_TEXT_MAX];
        struct buf ip;

        buf_init_fixed(&ip, mem, sizeof(mem));
        addr_put_ip(&ip, &s.address);
        s.host = load_text(l, buf_slice(&ip));
    } else if (value_parse_name_port(item->text, &host, &port)) {
        s.address = (struct addr){ .port = port };
        s.is_name = true;
        s.host = load_text(l, host);
    } else if (slice_find(item->text, '%') < item->text.len) {
        load_error(l, item, "%s: an address with a zone (fe80::1%%eth0) cannot be used; give one without",
                   v->shown);
        return;
    } else {
        load_expected(l, v, item, "an address with its port, such as 10.1.1.10:25 or [2001:db8::1]:25");
        return;
    }
    s.text = load_text(l, item->text);
    for (size_t i = 0; i < u->server_count; i++) {
        if (slice_eq_nocase(slice_str(u->server[i].text), item->text)) {
            load_error(l, item, "%s: %s is given twice", v->shown, s.text);
            return;
        }
    }
    if (u->server_count == CONFIG_MAX_SERVERS) {
        load_error(l, item, "%s: at most %d servers", v->shown, CONFIG_MAX_SERVERS);
        return;
    }
    u->server[u->server_count++] = s;
}

void load_set_servers(struct load *l, const struct value *v)
{
    struct config_upstream *u = v->base;
    size_t before = l->errs->fatal;

    u->server_count = 0;
    load_each_text(l, v, take_server);
    if (u->server_count == 0 && l->errs->fatal == before && !v->node->bad) {
        load_error(l, v->node, "%s: at least one server is needed", v->shown);
    }
}

static bool is_upstream_name(struct slice s)
{
    bool ok = s.len > 0 && s.len <= 63;

    for (size_t i = 0; i < s.len && ok; i++) {
        char c = s.ptr[i];

        ok = ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_';
    }
    return ok;
}

static void apply_preset(struct load *l, const struct place *at, const struct config_node *node)
{
    const struct key *k = key_find(SLICE("upstreams.*.kind"));
    const struct config_node *given = config_node_get(node, "kind");
    unsigned kind;

    if (given == NULL || given->kind != NODE_SCALAR || !value_parse_choice(given->text, k->choices, &kind)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(presets); i++) {
        if (presets[i].kind == (enum config_kind)kind) {
            apply_text(l, at, presets[i].name, presets[i].text);
        }
    }
}

static void take_upstream(struct load *l, const struct value *v, const struct config_node *node)
{
    struct config_upstream *u = &l->c->upstreams[l->c->upstream_count];
    char mem[200];
    struct buf shown;
    struct quoted q;
    struct place at = { .path = "upstreams.*", .shown = mem, .base = u };

    if (!is_upstream_name(node->key)) {
        config_errors_add(l->errs, false, node->key_line, node->key_column,
                          "%s: `%s` cannot be a name; letters, digits, - and _ can (at most 63)", v->shown,
                          load_quote(&q, node->key));
        l->upstreams_wrong = true;
        return;
    }
    if (l->c->upstream_count == CONFIG_MAX_UPSTREAMS) {
        load_error(l, node, "%s: at most %d upstreams", v->shown, CONFIG_MAX_UPSTREAMS);
        return;
    }
    buf_init_fixed(&shown, mem, sizeof(mem));
    buf_putf(&shown, "upstreams." SLICE_FMT, SLICE_ARG(node->key));
    *u = (struct config_upstream){ .index = (unsigned)l->c->upstream_count++, .line = node->key_line };
    u->name = load_text(l, node->key);
    apply_defaults(l, at.path, u);
    if (node->kind != NODE_MAPPING) {
        load_expected(l, &(struct value){ v->key, mem, node, u }, node,
                      "a mapping such as {servers: [\"10.1.1.10:25\"]}");
        return;
    }
    apply_preset(l, &at, node);
    apply_mapping(l, &at, node);
    if (config_node_get(node, "keep_idle") == NULL && u->keep_idle > u->connections) {
        u->keep_idle = u->connections;
    }
}

/* Are keys of an upstream next to its name instead of below it?  Reports the first one. */
static bool has_keys_for_names(struct load *l, const struct config_node *section)
{
    const struct config_node *child, *name = section->first;

    CONFIG_NODE_EACH(section, child)
    {
        char mem[200];
        struct buf path;
        struct quoted q;

        buf_init_fixed(&path, mem, sizeof(mem));
        buf_putf(&path, "upstreams.*." SLICE_FMT, SLICE_ARG(child->key));
        if (child->kind != NODE_MAPPING && buf_ok(&path) && key_find(buf_slice(&path)) != NULL) {
            bool below = name != child && name->kind == NODE_SCALAR && slice_empty(name->text);

            config_errors_add(l->errs, false, child->key_line, child->key_column,
                              "upstreams: `" SLICE_FMT "` is a key of an upstream; indent it below %s%s%s",
                              SLICE_ARG(child->key), below ? "`" : "",
                              below ? load_quote(&q, name->key) : "a name of your choice", below ? "`" : "");
            return true;
        }
    }
    return false;
}

void load_set_upstreams(struct load *l, const struct value *v)
{
    const struct config_node *child;

    if (v->node->kind != NODE_MAPPING || v->node->count == 0) {
        l->upstreams_wrong = true;
        load_expected(l, v, v->node,
                      "at least one name with its servers, such as mail: {servers: [\"10.1.1.10:25\"]}");
        return;
    }
    l->upstreams_wrong = v->node->twice || has_keys_for_names(l, v->node);
    if (l->upstreams_wrong && !v->node->twice) {
        return;
    }
    CONFIG_NODE_EACH(v->node, child)
    {
        take_upstream(l, v, child);
    }
}

const struct config_upstream *load_find_upstream(struct load *l, const char *shown,
                                                 const struct config_node *name)
{
    const struct config *c = l->c;
    struct nearest near;
    struct quoted q;

    nearest_init(&near, name->text);
    for (size_t i = 0; i < c->upstream_count; i++) {
        if (slice_eq(name->text, slice_str(c->upstreams[i].name))) {
            return &c->upstreams[i];
        }
        nearest_offer(&near, slice_str(c->upstreams[i].name));
    }
    if (c->upstream_count > 0 && !l->upstreams_wrong) { /* otherwise already reported */
        load_error(l, name, "%s: there is no upstream `%s`%s", shown, load_quote(&q, name->text),
                   nearest_words(&near));
    }
    return NULL;
}
