/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate.c - rules that span keys.
 *
 * Runs even after errors, so that all of them appear at once; a broken key then has its default.  Reports settings
 * that cannot work as errors, and settings with surprising effects as warnings.
 */
#include "config/load_priv.h"

#include "config/values.h"

#define SIZE_EVERYBODY_TAKES 65536u /* RFC 5321 4.5.3.1.7 */
#define SIZE_TOO_SMALL "less than the 64KiB that everybody has to take (RFC 5321 4.5.3.1.7)"

/* The place for an error: the node at the path, or the nearest enclosing section in the file. */
static const struct config_node *place_of(struct load *l, const char *path)
{
    struct slice rest = slice_str(path);
    const struct config_node *at = l->c->root;

    while (!slice_empty(rest)) {
        struct slice name = slice_cut(&rest, '.');
        const struct config_node *child;

        if (at->kind != NODE_MAPPING) {
            return at;
        }
        for (child = at->first; child != NULL && !slice_eq(child->key, name); child = child->next) {
        }
        if (child == NULL) {
            return at == l->c->root ? NULL : at;
        }
        at = child;
    }
    return at;
}

static void complain(struct load *l, bool warning, const char *path, const char *sentence)
{
    const struct config_node *at = place_of(l, path);

    config_errors_add(l->errs, warning, at != NULL ? at->line : 0, at != NULL ? at->column : 0, "%s: %s",
                      path, sentence);
}

static bool same_endpoint(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && a->port != 0 && addr_same_ip(a, b);
}

static bool is_wildcard(const struct addr *a)
{
    static const uint8_t zero[16];

    return memcmp(a->ip, zero, sizeof(zero)) == 0;
}

static bool is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = { [15] = 1 };

    return a->family == ADDR_V4 ? a->ip[0] == 127 : memcmp(a->ip, one, sizeof(one)) == 0;
}

static void check_listeners(struct load *l)
{
    const struct config_server_section *s = &l->c->server;

    for (size_t i = 0; i < s->listen_count; i++) {
        const struct config_listener *a = &s->listen[i];

        for (size_t j = 0; j < i; j++) {
            if (same_endpoint(&a->address, &s->listen[j].address)) {
                config_errors_add(l->errs, false, a->line, 1, "server.listen: " SLICE_FMT " is given twice",
                                  SLICE_ARG(a->text));
            }
        }
        if ((a->proxy_protocol || a->xclient) && a->trusted_count == 0) {
            config_errors_add(l->errs, false, a->line, 1,
                              "server.listen: " SLICE_FMT " needs `trusted`: the networks that may use %s",
                              SLICE_ARG(a->text), a->proxy_protocol ? "proxy_protocol" : "xclient");
        }
        if (a->tls == TLS_MODE_IMPLICIT && !l->c->tls.enabled) {
            config_errors_add(l->errs, false, a->line, 1,
                              "server.listen: " SLICE_FMT " with implicit TLS needs the section tls",
                              SLICE_ARG(a->text));
        }
        if (a->tls == TLS_MODE_OFF && l->c->tls.required) {
            config_errors_add(l->errs, false, a->line, 1,
                              "server.listen: " SLICE_FMT
                              " has no TLS, but tls.mode is required: no mail could come in",
                              SLICE_ARG(a->text));
        }
        if (l->c->admin.enabled && same_endpoint(&a->address, &l->c->admin.listen)) {
            complain(l, false, "admin.listen", "the address is in server.listen too");
        }
    }
}

/* Authentication-Results begins with the id, unquoted, so it must be a token (RFC 8601 2.5, RFC 2045 5.1). */
static void check_authserv_id(struct load *l)
{
    static const struct slice separators = SLICE_INIT("()<>@,;:\\\"/[]?= ");
    struct slice id = slice_str(l->c->headers.authserv_id);

    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] <= ' ' || id.ptr[i] > '~' || slice_find(separators, id.ptr[i]) != separators.len) {
            complain(l, false, "headers.authserv_id", "expected an id such as mx1.example.com");
            break;
        }
    }
}

static void check_admin(struct load *l)
{
    if (l->c->admin.enabled && !is_loopback(&l->c->admin.listen) && l->c->admin.token[0] == '\0') {
        complain(l, false, "admin.listen", "anything but a loopback address needs admin.token");
    }
}

/* Would a connection to this server come back to us? */
static bool is_ourselves(const struct config *c, const struct addr *server)
{
    for (size_t i = 0; i < c->server.listen_count; i++) {
        const struct addr *a = &c->server.listen[i].address;

        if (same_endpoint(a, server) || (a->port == server->port && is_wildcard(a) && is_loopback(server))) {
            return true;
        }
    }
    return false;
}

struct on_upstream { /* an upstream and the place for errors */
    const struct config_upstream *u;
    const struct config_node *node;
};

static void complain_upstream(struct load *l, const struct on_upstream *on, bool warning, const char *name,
                              const char *sentence)
{
    const struct config_node *at = config_node_get(on->node, name);

    if (at == NULL) {
        at = on->node;
    }
    config_errors_add(l->errs, warning, at != NULL ? at->line : 0, at != NULL ? at->column : 0,
                      "upstreams.%s.%s: %s", on->u->name, name, sentence);
}

static void check_patience(struct load *l, const struct on_upstream *on)
{
    const struct config_upstream *u = on->u;

    if (u->timeouts.final_reply_ms >= 600000) {
        complain_upstream(l, on, true, "timeouts",
                          "final_reply is not below the 10 minutes that clients wait (RFC 5321 4.5.3.2.6): "
                          "mail may arrive twice");
    }
    if (u->timeouts.command_ms >= 300000) {
        complain_upstream(l, on, true, "timeouts",
                          "command is not below the 5 minutes that clients wait (RFC 5321 4.5.3.2.3)");
    }
    if (u->idle_timeout_ms != CONFIG_OFF && u->max_age_ms <= u->idle_timeout_ms) {
        complain_upstream(l, on, true, "max_age",
                          "not above idle_timeout, which then never ends a connection");
    }
    if (u->idle_timeout_ms != CONFIG_OFF && u->hold_ms >= u->idle_timeout_ms) {
        complain_upstream(l, on, true, "hold",
                          "not below idle_timeout: the server may close a connection that is held");
    }
}

/* Does any rule divert to it?  Recursion ends at CONFIG_TREE_MAX_DEPTH. */
static bool diverted_to(const struct config_node *node, const char *name)
{
    const struct config_node *child;

    if (node == NULL) {
        return false;
    }
    CONFIG_NODE_EACH(node, child)
    {
        if (slice_eq(child->key, SLICE("divert")) && child->kind == NODE_SCALAR &&
            slice_eq(child->text, slice_str(name))) {
            return true;
        }
        if (diverted_to(child, name)) {
            return true;
        }
    }
    return false;
}

static void check_upstream(struct load *l, const struct on_upstream *on)
{
    const struct config_upstream *u = on->u;
    bool used = l->c->domain_count == 0;

    if (u->keep_idle > u->connections) {
        complain_upstream(l, on, false, "keep_idle", "more than `connections`");
    }
    if (u->size < SIZE_EVERYBODY_TAKES) {
        complain_upstream(l, on, true, "size", SIZE_TOO_SMALL);
    }
    check_patience(l, on);
    for (size_t i = 0; i < u->server_count; i++) {
        if (!u->server[i].is_name && is_ourselves(l->c, &u->server[i].address)) {
            config_errors_add(
                l->errs, true, u->server[i].line, 1,
                "upstreams.%s.servers: %s is this proxy itself: mail would go round in a circle", u->name,
                u->server[i].text);
        }
    }
    for (size_t i = 0; i < l->c->domain_count; i++) {
        used = used || l->c->domains[i].upstream == u || l->c->domains[i].upstream == NULL;
    }
    if (!used && l->errs->fatal == 0 && !diverted_to(config_node_get(l->c->root, "policy"), u->name)) {
        config_errors_add(l->errs, true, u->line, on->node != NULL ? on->node->key_column : 1,
                          "upstreams.%s: no domain uses it, and no rule diverts to it", u->name);
    }
}

static void check_upstreams(struct load *l)
{
    const struct config_node *section = config_node_get(l->c->root, "upstreams");

    for (size_t i = 0; i < l->c->upstream_count; i++) {
        struct on_upstream on = { &l->c->upstreams[i], config_node_get(section, l->c->upstreams[i].name) };

        check_upstream(l, &on);
    }
}

static void check_limits(struct load *l)
{
    const struct config_limits *m = &l->c->limits;

    if (m->spool_memory > m->memory) {
        complain(l, false, "limits.spool_memory", "more than limits.memory");
    }
    if (m->message_size != CONFIG_OFF && m->message_size > m->spool) {
        complain(l, true, "limits.message_size", "more than limits.spool: such a message never fits");
    }
    if (m->message_size < SIZE_EVERYBODY_TAKES) {
        complain(l, true, "limits.message_size", SIZE_TOO_SMALL);
    }
    if (m->data_timeout_ms > m->data_deadline_ms) {
        complain(l, true, "limits.data_timeout", "more than limits.data_deadline, which comes first");
    }
    if (m->command_timeout_ms > m->session_timeout_ms) {
        complain(l, true, "limits.command_timeout", "more than limits.session_timeout, which comes first");
    }
    if (m->stress_at_percent != 0 && m->stress_command_timeout_ms > m->command_timeout_ms) {
        complain(l, true, "limits.stress.command_timeout", "more than limits.command_timeout");
    }
    if (m->connections_per_client != CONFIG_OFF && m->connections != CONFIG_OFF &&
        m->connections_per_client > m->connections) {
        complain(l, true, "limits.connections_per_client", "more than limits.connections, which comes first");
    }
}

void validate(struct load *l)
{
    const struct config_dns *dns = &l->c->dns;

    check_listeners(l);
    check_authserv_id(l);
    check_admin(l);
    check_upstreams(l);
    check_limits(l);
    if (dns->cache_min_ttl_ms > dns->cache_max_ttl_ms) {
        complain(l, false, "dns.cache.min_ttl", "more than dns.cache.max_ttl");
    }
}
