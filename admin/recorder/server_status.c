/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_status.c - see server_status.h.
 *
 * The configuration lists the upstreams and their servers; the records in the shared state list the addresses of
 * each server.  It also shows a name without an address, because mail cannot go there.
 *
 * Trust  workers write the records, so state_server_info() skips an address that does not match its key.  All text
 *        comes from the configuration.
 */
#include "admin/recorder/server_status.h"

#include "core/loop.h"
#include "state/servers.h"

#define TEXT_SHOWN 300

static bool has_label(const struct state_server_info *info, uint64_t label)
{
    for (size_t i = 0; i < STATE_SERVER_LABELS; i++) {
        if (info->label[i] == label) {
            return true;
        }
    }
    return false;
}

static bool is_up(const struct config_upstream *u, const struct state_health *h)
{
    return !h->down || u->health.interval_ms == CONFIG_OFF;
}

/* Each address of one configured server. */
static void each_address(const struct state *st, struct server_seen *s, server_seen_fn fn, void *arg)
{
    int area = state_upstream_find(st, s->u->name);
    uint64_t label = state_server_label(s->server->text);
    bool any = false;

    for (size_t i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        struct state_server_info info;
        struct state_health h;

        if (!state_server_info(st, area, i, &info) || !has_label(&info, label)) {
            continue;
        }
        state_health_get(st, info.server, &h);
        s->address = info.address;
        s->up = is_up(s->u, &h);
        s->connections = state_tickets_used(st, info.server);
        s->changed_ms = h.changed_ms;
        fn(arg, s);
        any = true;
    }
    if (!any) {
        s->address = (struct addr){ .family = ADDR_NONE };
        s->up = false;
        s->connections = 0;
        s->changed_ms = 0;
        fn(arg, s);
    }
}

void servers_each(const struct config *c, const struct state *st, server_seen_fn fn, void *arg)
{
    for (size_t i = 0; i < c->upstream_count; i++) {
        struct server_seen s = { .u = &c->upstreams[i] };

        for (size_t k = 0; k < s.u->server_count; k++) {
            s.server = &s.u->server[k];
            each_address(st, &s, fn, arg);
        }
    }
}

/* ---- how many ---- */

static void note_up(void *arg, const struct server_seen *s)
{
    struct servers_seen *n = arg;

    n->up += s->up;
    n->down += !s->up;
}

struct servers_seen servers_look(const struct config *c, const struct state *st)
{
    struct servers_seen n = { 0, 0 };

    servers_each(c, st, note_up, &n);
    return n;
}

/* ---- metrics ---- */

static void put_label(struct buf *b, const char *name, const char *value)
{
    buf_putf(b, "%s=\"", name);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            buf_put_char(b, '\\');
        }
        buf_put_char(b, *p == '\n' ? ' ' : *p);
    }
    buf_put_char(b, '"');
}

static void put_series(const struct server_seen *s, const char *name, uint64_t value, struct buf *out)
{
    buf_putf(out, "%s{", name);
    put_label(out, "upstream", s->u->name);
    buf_put_char(out, ',');
    put_label(out, "server", s->server->text);
    buf_put_str(out, ",address=\"");
    if (s->address.family != ADDR_NONE) {
        addr_put_ip(out, &s->address);
    }
    buf_putf(out, "\"} %" PRIu64 "\n", value);
}

#define SERVER_UP "glacis_upstream_server_up"
#define SERVER_OPEN "glacis_upstream_server_connections"
#define SERVER_LIMIT "glacis_upstream_server_connections_limit"

static void put_up(void *out, const struct server_seen *s)
{
    put_series(s, SERVER_UP, s->up ? 1 : 0, out);
}

static void put_open(void *out, const struct server_seen *s)
{
    put_series(s, SERVER_OPEN, s->connections, out);
}

static void put_limit(void *out, const struct server_seen *s)
{
    put_series(s, SERVER_LIMIT, s->u->connections, out);
}

static const struct {
    const char *name, *help;
    server_seen_fn put;
} gauges[] = {
    { SERVER_UP, "1 unless the server is marked down or its name has no address", put_up },
    { SERVER_OPEN, "Connections to the server, over all workers", put_open },
    { SERVER_LIMIT, "The most connections the server may get", put_limit },
};

void servers_put_metrics(const struct config *c, const struct state *st, struct buf *out)
{
    for (size_t g = 0; g < ARRAY_LEN(gauges); g++) {
        buf_putf(out, "# HELP %s %s\n# TYPE %s gauge\n", gauges[g].name, gauges[g].help, gauges[g].name);
        servers_each(c, st, gauges[g].put, out);
    }
}

/* ---- status ---- */

static void put_json(void *arg, const struct server_seen *s)
{
    struct buf *out = arg;

    buf_put_str(out, out->ptr[out->len - 1] == '[' ? "{\"upstream\":" : ",{\"upstream\":");
    buf_put_json(out, slice_str(s->u->name), TEXT_SHOWN);
    buf_put_str(out, ",\"server\":");
    buf_put_json(out, slice_str(s->server->text), TEXT_SHOWN);
    if (s->address.family != ADDR_NONE) {
        buf_put_str(out, ",\"address\":\"");
        addr_put_ip(out, &s->address);
        buf_put_char(out, '"');
    }
    buf_putf(out, ",\"up\":%s,\"connections\":%u,\"limit\":%u}", s->up ? "true" : "false", s->connections,
             s->u->connections);
}

void servers_put_json(const struct config *c, const struct state *st, struct buf *out)
{
    buf_put_char(out, '[');
    servers_each(c, st, put_json, out);
    buf_put_char(out, ']');
}

static void put_text(void *out, const struct server_seen *s)
{
    uint64_t now_ms = loop_now_us() / 1000;

    buf_putf(out, "server      %s: %s", s->u->name, s->server->text);
    if (s->address.family == ADDR_NONE) {
        buf_put_str(out, " DOWN: its name has no address\n");
        return;
    }
    if (s->server->is_name) {
        buf_put_str(out, " (");
        addr_put_ip(out, &s->address);
        buf_put_char(out, ')');
    }
    buf_put_str(out, s->up ? " up" : " DOWN");
    if (!s->up && now_ms > s->changed_ms) {
        buf_putf(out, " for %" PRIu64 " s", (now_ms - s->changed_ms) / 1000);
    }
    buf_putf(out, ", %u of %u connections\n", s->connections, s->u->connections);
}

void servers_put_text(const struct config *c, const struct state *st, struct buf *out)
{
    servers_each(c, st, put_text, out);
}
