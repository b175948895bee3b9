/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sequences.c - keys with a list of texts, and the two lists of mappings (server.listen, tls.more).
 *
 * A list of texts may also be one text with commas, so that one environment variable can fill it.  A list in the
 * file replaces the default.
 */
#include "config/load_priv.h"

#include "config/values.h"

#define MAX_TRUSTED 256

bool load_is_list_key(enum key_type type)
{
    return type == KEY_CIDRS || type == KEY_SERVERS || type == KEY_RESOLVERS || type == KEY_FIELD_NAMES ||
           type == KEY_AUTHSERV_IDS || type == KEY_IDENTITIES || type == KEY_ADMIN_NAMES ||
           type == KEY_CANARIES;
}

static void split_at_commas(struct load *l, const struct value *v, item_fn take)
{
    struct slice rest = v->node->text;

    while (!slice_empty(slice_trim(rest))) {
        struct config_node item = *v->node;

        item.text = slice_trim(slice_cut(&rest, ','));
        item.next = NULL;
        take(l, v, &item);
    }
}

void load_each_text(struct load *l, const struct value *v, item_fn take)
{
    const struct config_node *item;

    if (v->node->kind == NODE_SCALAR) {
        if (!v->node->bad) {
            split_at_commas(l, v, take);
        }
        return;
    }
    if (v->node->kind == NODE_MAPPING) {
        load_expected(l, v, v->node, "a list");
        return;
    }
    CONFIG_NODE_EACH(v->node, item)
    {
        if (item->kind != NODE_SCALAR) {
            load_expected(l, v, item, "a list of texts");
        } else if (!item->bad) {
            take(l, v, item);
        }
    }
}

/* False after reporting when a list is full. */
static bool has_room(struct load *l, const struct value *v, const struct config_node *item, size_t count,
                     size_t max)
{
    if (count == max) {
        load_error(l, item, "%s: at most %zu entries", v->shown, max);
    }
    return count < max;
}

/* ---- server.listen ---- */

static void take_listener(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_server_section *server = &l->c->server;
    struct config_listener *listener;
    struct place at = { .path = "server.listen[]", .shown = "server.listen[]", .base = NULL };

    if (!has_room(l, v, item, server->listen_count, CONFIG_MAX_LISTENERS)) {
        return;
    }
    listener = &server->listen[server->listen_count];
    *listener = (struct config_listener){ .line = item->line };
    at.base = listener;
    apply_defaults(l, at.path, listener);
    if (item->kind == NODE_MAPPING) {
        apply_mapping(l, &at, item);
    } else if (!addr_parse_endpoint(item->text, &listener->address)) {
        load_expected(l, v, item, "an address with its port, such as 0.0.0.0:25 or [::]:25");
        return;
    } else {
        listener->text = slice_of(load_text(l, item->text), item->text.len);
    }
    if (listener->address.family != ADDR_NONE) {
        server->listen_count++;
    }
}

/* Is it the default, every address of both families at port 25, even if written out (as print.c does)? */
static bool is_default_pair(const struct config_server_section *server)
{
    static const struct addr v4 = { .family = ADDR_V4, .port = 25 }, v6 = { .family = ADDR_V6, .port = 25 };
    bool same = server->listen_count == 2;

    for (size_t i = 0; i < 2 && same; i++) {
        const struct config_listener *listener = &server->listen[i];

        same = addr_same_ip(&listener->address, i == 0 ? &v4 : &v6) && listener->address.port == 25 &&
               !listener->proxy_protocol && !listener->xclient && listener->tls == TLS_MODE_STARTTLS;
    }
    return same;
}

void load_set_listen(struct load *l, const struct value *v)
{
    const struct config_node *item;

    l->c->server.listen_count = 0;
    if (v->node->kind != NODE_SEQUENCE) {
        load_each_text(l, v, take_listener);
    } else {
        CONFIG_NODE_EACH(v->node, item)
        {
            if (item->kind == NODE_SEQUENCE) {
                load_expected(l, v, item, "an address or a mapping");
            } else if (!item->bad) {
                take_listener(l, v, item);
            }
        }
    }
    l->c->server.listen_given = !is_default_pair(&l->c->server);
    if (l->c->server.listen_count == 0 && l->errs->fatal == 0) {
        load_error(l, v->node, "%s: at least one address is needed", v->shown);
    }
}

/* ---- tls.more ---- */

void load_set_keypairs(struct load *l, const struct value *v)
{
    struct config_tls_section *tls = &l->c->tls;
    const struct config_node *item;

    tls->pair_count = 1; /* [0] has keys of its own */
    if (v->node->kind == NODE_SCALAR && slice_empty(v->node->text)) {
        return;
    }
    if (v->node->kind != NODE_SEQUENCE) {
        load_expected(l, v, v->node, "a list of mappings with certificate and private_key");
        return;
    }
    CONFIG_NODE_EACH(v->node, item)
    {
        struct place at = { .path = "tls.more[]",
                            .shown = "tls.more[]",
                            .base = &tls->pair[tls->pair_count] };

        if (item->kind != NODE_MAPPING) {
            load_expected(l, v, item, "a mapping with certificate and private_key");
        } else if (has_room(l, v, item, tls->pair_count, CONFIG_MAX_KEYPAIRS)) {
            tls->pair[tls->pair_count++] = (struct config_keypair){ "", "", item->line };
            apply_mapping(l, &at, item);
        }
    }
}

/* ---- lists of texts ---- */

static void take_cidr(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_listener *listener = v->base;
    struct cidr net;

    if (!cidr_parse(item->text, &net)) {
        load_expected(l, v, item, "a network such as 10.0.0.0/8 (without host bits) or an address");
    } else if (has_room(l, v, item, listener->trusted_count, MAX_TRUSTED)) {
        listener->trusted[listener->trusted_count++] = net;
    }
}

static void take_resolver(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_dns *dns = &l->c->dns;
    struct addr a;

    if (addr_parse_ip(item->text, &a)) {
        a.port = 53;
    } else if (!addr_parse_endpoint(item->text, &a) || a.port == 0) {
        load_expected(l, v, item, "an address such as 192.0.2.53 or [2001:db8::53]:53");
        return;
    }
    if (has_room(l, v, item, dns->server_count, ARRAY_LEN(dns->servers))) {
        dns->servers[dns->server_count++] = a;
    }
}

/* RFC 5322 2.2: printable ASCII without the colon. */
static bool is_field_name(struct slice s)
{
    bool ok = s.len > 0 && s.len <= 76;

    for (size_t i = 0; i < s.len && ok; i++) {
        ok = s.ptr[i] > 0x20 && s.ptr[i] < 0x7f && s.ptr[i] != ':';
    }
    return ok;
}

static void take_field_name(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_headers *h = &l->c->headers;
    size_t star = slice_find(item->text, '*');

    if (!is_field_name(item->text) || star + 1 < item->text.len || star == 0) {
        load_expected(l, v, item, "the name of a header field, which may end in `*`");
        return;
    }
    if (has_room(l, v, item, h->strip_count, CONFIG_MAX_HEADERS)) {
        h->strip[h->strip_count++] = load_text(l, item->text);
    }
}

static void take_authserv_id(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_headers *h = &l->c->headers;

    if (!is_field_name(item->text) || slice_find(item->text, ';') != item->text.len) {
        load_expected(l, v, item, "an id such as mx1.example.com");
    } else if (has_room(l, v, item, h->strip_authserv_count, CONFIG_MAX_HEADERS)) {
        h->strip_authserv_ids[h->strip_authserv_count++] = load_text(l, item->text);
    }
}

static void take_identity(struct load *l, const struct value *v, const struct config_node *item)
{
    unsigned index;

    if (!value_parse_choice(item->text, "helo|mailfrom", &index)) {
        load_expected(l, v, item, "helo or mailfrom");
    } else if (index == 0) {
        l->c->spf.helo = true;
    } else {
        l->c->spf.mailfrom = true;
    }
}

/* Takes a name or an address without the port, as in a browser's Host field. */
static void take_admin_name(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_admin *admin = &l->c->admin;
    struct addr ip;

    if (!addr_parse_ip(item->text, &ip) && !hostname_valid(item->text)) {
        load_expected(l, v, item, "a host name or an address without a port, such as glacis.example.com");
    } else if (has_room(l, v, item, admin->name_count, CONFIG_MAX_NAMES)) {
        admin->names[admin->name_count++] = load_text(l, item->text);
    }
}

static void take_canary(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_guard *g = value_field(v);
    struct addr ip;

    if (slice_eq(item->text, SLICE("auto"))) {
        g->canaries_auto = true;
    } else if (addr_parse_ip(item->text, &ip)) {
        if (has_room(l, v, item, g->canary_count, CONFIG_MAX_CANARIES)) {
            g->canary[g->canary_count++] = ip;
        }
    } else if (!hostname_valid(item->text) || slice_find(item->text, '.') == item->text.len) {
        load_expected(l, v, item, "auto, addresses or domains, or off");
    } else if (has_room(l, v, item, g->canary_domain_count, CONFIG_MAX_CANARIES)) {
        g->canary_domain[g->canary_domain_count++] = load_text(l, item->text);
    }
}

static void set_canaries(struct load *l, const struct value *v)
{
    struct config_guard *g = value_field(v);

    g->canaries_auto = false;
    g->canary_count = g->canary_domain_count = 0;
    if (!config_node_is(v->node, "off")) {
        load_each_text(l, v, take_canary);
    }
}

void load_set_list(struct load *l, const struct value *v)
{
    struct config_listener *listener = v->base;

    switch ((int)v->key->type) {
    case KEY_CIDRS:
        listener->trusted = load_memory(l, MAX_TRUSTED * sizeof(*listener->trusted));
        listener->trusted_count = 0;
        load_each_text(l, v, take_cidr);
        break;
    case KEY_RESOLVERS:
        l->c->dns.server_count = 0;
        load_each_text(l, v, take_resolver);
        break;
    case KEY_FIELD_NAMES:
        l->c->headers.strip_count = 0;
        load_each_text(l, v, take_field_name);
        break;
    case KEY_AUTHSERV_IDS:
        l->c->headers.strip_authserv_count = 0;
        load_each_text(l, v, take_authserv_id);
        break;
    case KEY_CANARIES:
        set_canaries(l, v);
        break;
    case KEY_ADMIN_NAMES:
        l->c->admin.name_count = 0;
        load_each_text(l, v, take_admin_name);
        break;
    case KEY_IDENTITIES:
        l->c->spf.helo = l->c->spf.mailfrom = false;
        load_each_text(l, v, take_identity);
        break;
    default:
        load_set_servers(l, v);
        break;
    }
}

/* ---- headers.add ---- */

void load_set_fields(struct load *l, const struct value *v)
{
    struct config_headers *h = &l->c->headers;
    const struct config_node *child;

    if (v->node->kind != NODE_MAPPING) {
        load_expected(l, v, v->node, "a mapping of header names to texts");
        return;
    }
    CONFIG_NODE_EACH(v->node, child)
    {
        char mem[600];
        struct buf why;
        struct quoted q;

        buf_init_fixed(&why, mem, sizeof(mem));
        if (!is_field_name(child->key) || slice_starts_nocase(child->key, SLICE("X-Glacis-"))) {
            config_errors_add(
                l->errs, false, child->key_line, child->key_column,
                "%s: `%s` is not the name of a header field that can be added (X-Glacis-* is ours)", v->shown,
                load_quote(&q, child->key));
        } else if (child->kind != NODE_SCALAR || !load_check_added_header(child->text, &why)) {
            load_expected(l, v, child, why.len > 0 ? mem : "a text");
        } else if (has_room(l, v, child, h->add_count, CONFIG_MAX_HEADERS)) {
            h->add[h->add_count++] = (struct config_header_add){ load_text(l, child->key),
                                                                 load_text(l, child->text), child->line };
        }
    }
}

/* ---- back to text ---- */

static void put_item(struct buf *out, size_t i, const char *text)
{
    buf_put_str(out, i > 0 ? ", " : "");
    config_node_put_scalar(out, slice_str(text));
}

static void put_networks(const struct config_listener *listener, struct buf *out)
{
    for (size_t i = 0; i < listener->trusted_count; i++) {
        buf_put_str(out, i > 0 ? ", \"" : "\"");
        addr_put_ip(out, &listener->trusted[i].base);
        buf_putf(out, "/%u\"", listener->trusted[i].bits);
    }
}

void load_put_list(const struct key *k, const void *base, struct buf *out)
{
    const struct config *c = base;
    const struct config_upstream *u = base;

    buf_put_char(out, '[');
    switch ((int)k->type) {
    case KEY_CIDRS:
        put_networks(base, out);
        break;
    case KEY_RESOLVERS:
        for (size_t i = 0; i < c->dns.server_count; i++) {
            buf_put_str(out, i > 0 ? ", \"" : "\"");
            addr_put_endpoint(out, &c->dns.servers[i]);
            buf_put_char(out, '"');
        }
        break;
    case KEY_FIELD_NAMES:
        for (size_t i = 0; i < c->headers.strip_count; i++) {
            put_item(out, i, c->headers.strip[i]);
        }
        break;
    case KEY_AUTHSERV_IDS:
        for (size_t i = 0; i < c->headers.strip_authserv_count; i++) {
            put_item(out, i, c->headers.strip_authserv_ids[i]);
        }
        break;
    case KEY_ADMIN_NAMES:
        for (size_t i = 0; i < c->admin.name_count; i++) {
            put_item(out, i, c->admin.names[i]);
        }
        break;
    case KEY_IDENTITIES:
        buf_put_str(out, c->spf.helo ? "helo" : "");
        buf_put_str(out, c->spf.helo && c->spf.mailfrom ? ", " : "");
        buf_put_str(out, c->spf.mailfrom ? "mailfrom" : "");
        break;
    default:
        for (size_t i = 0; i < u->server_count; i++) {
            put_item(out, i, u->server[i].text);
        }
        break;
    }
    buf_put_char(out, ']');
}
