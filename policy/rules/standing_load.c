/*
 * standing_load.c - settings of what is remembered (standing_load.h).
 *
 * A row a key: the section's own name, kind, default and limits; the place in struct remembered.
 */
#include "policy/rules/standing_load.h"

#include "config/secret.h"
#include "config/values.h"
#include "policy/rules/rules_parts.h"

enum kind {
    SECONDS = 0,
    SECONDS_OFF, /* `off` is 0 */
    COUNT,
    COUNT_OFF,   /* `off` is 0 */
    COUNT_NEVER, /* `off` is NEVER, which nothing reaches */
    PERCENT,
    PERCENT_OFF,
    PERCENT_NEVER,
};

#define NEVER 100000000u

struct row {
    const char *path; /* from the root, dots between */
    enum kind kind;
    size_t offset; /* of a uint32_t (seconds) or unsigned in struct remembered */
    uint32_t def, min, max;
};

#define AT(field) offsetof(struct remembered, field)
#define MINUTE 60u
#define HOUR 3600u
#define DAY 86400u

static const struct row rows[] = {
    { "known_good.messages", COUNT_OFF, AT(known_good.messages), 3, 1, 1000 },
    { "known_good.days", COUNT, AT(known_good.days), 2, 1, MEMORY_DAYS },
    { "known_good.within", SECONDS, AT(known_good.within_s), 36 * DAY, DAY, 365 * DAY },
    { "zero_day.fresh_domain", SECONDS_OFF, AT(zero_day.fresh_domain_s), DAY, 1, 50 * DAY },
    { "zero_day.fresh_client", SECONDS_OFF, AT(zero_day.fresh_client_s), DAY, 1, 50 * DAY },
    { "zero_day.burst.networks", COUNT_OFF, AT(zero_day.burst_networks), 10, 2, MEMORY_BURST_MAX },
    { "zero_day.burst.within", SECONDS, AT(zero_day.burst_within_s), 10 * MINUTE, 10, DAY },
    { "zero_day.learn_for", SECONDS_OFF, AT(zero_day.learn_for_s), 7 * DAY, 1, 365 * DAY },
    { "greylist.delay", SECONDS, AT(greylist.delay_s), 5 * MINUTE, 1, DAY },
    { "greylist.retry_within", SECONDS, AT(greylist.retry_within_s), 2 * DAY, 1, 30 * DAY },
    { "greylist.remember", SECONDS, AT(greylist.remember_s), 36 * DAY, 1, 365 * DAY },
    { "greylist.network.ipv4", COUNT, AT(greylist.v4_bits), 24, 8, 32 },
    { "greylist.network.ipv6", COUNT, AT(greylist.v6_bits), 64, 16, 128 },
    { "reputation.guard.known_good.clients", COUNT_NEVER, AT(guard.good_clients), 5, 1, 1000 },
    { "reputation.guard.known_good.share", PERCENT, AT(guard.good_share_percent), 2, 0, 100 },
    { "reputation.guard.known_good.within", SECONDS, AT(guard.good_within_s), HOUR, MINUTE, DAY },
    { "reputation.guard.probe_interval", SECONDS_OFF, AT(guard.probe_interval_s), 5 * MINUTE, 10, DAY },
    { "reputation.guard.positive", PERCENT_NEVER, AT(guard.positive_percent), 90, 10, 100 },
    { "reputation.guard.min_asked", COUNT, AT(guard.min_asked), 50, 5, 1000000 },
    { "reputation.guard.breaker.failures", COUNT_OFF, AT(guard.breaker_failures), 20, 2, 1000000 },
    { "reputation.guard.breaker.retry", SECONDS, AT(guard.breaker_retry_s), 30, 1, 600 },
    { "reputation.guard.sample", PERCENT_OFF, AT(guard.sample_percent), 1, 0, 100 },
};

struct load {
    struct rules_load l;
    struct remembered *out;
};

static bool is_seconds(enum kind k)
{
    return k == SECONDS || k == SECONDS_OFF;
}

static bool is_percent(enum kind k)
{
    return k == PERCENT || k == PERCENT_OFF || k == PERCENT_NEVER;
}

/* What `off` is for the row; false: it has none. */
static bool off_value(enum kind k, uint32_t *off)
{
    *off = k == COUNT_NEVER || k == PERCENT_NEVER ? NEVER : 0;
    return *off != 0 || k == SECONDS_OFF || k == COUNT_OFF || k == PERCENT_OFF;
}

static uint32_t *field_of(struct remembered *out, const struct row *row)
{
    _Static_assert(sizeof(unsigned) == sizeof(uint32_t), "both kinds of fields have the same size");
    return (uint32_t *)(void *)((char *)out + row->offset);
}

static void put_number(struct buf *out, enum kind k, uint32_t n)
{
    if (is_seconds(k)) {
        value_put_duration(out, (uint64_t)n * 1000);
    } else {
        buf_putf(out, "%" PRIu32 "%s", n, is_percent(k) ? "%" : "");
    }
}

/* The value in seconds, or as a number. */
static bool parse(const struct row *row, struct slice text, uint32_t *out)
{
    unsigned percent;
    uint64_t n = 0;
    bool ok;

    if (slice_eq(text, SLICE("off")) && off_value(row->kind, out)) {
        return true;
    }
    if (is_percent(row->kind)) {
        ok = value_parse_percent(text, &percent);
        n = ok ? percent : 0;
    } else if (is_seconds(row->kind)) {
        ok = value_parse_duration(text, &n);
        n /= 1000;
    } else {
        ok = slice_to_u64(text, UINT32_MAX, &n);
    }
    *out = (uint32_t)n;
    return ok && n >= row->min && n <= row->max;
}

/* "a duration from 1s to 1d, or off" */
static void put_expected(struct buf *out, const struct row *row)
{
    uint32_t off;

    buf_put_str(out, is_seconds(row->kind)   ? "a duration from "
                     : is_percent(row->kind) ? "a percentage from "
                                             : "a number from ");
    put_number(out, row->kind, row->min);
    buf_put_str(out, " to ");
    put_number(out, row->kind, row->max);
    buf_put_str(out, off_value(row->kind, &off) ? ", or off" : "");
}

static void load_row(struct load *ld, const struct row *row)
{
    const struct config_node *at = config_node_find(ld->l.conf->root, row->path);
    uint32_t *out = field_of(ld->out, row);
    char mem[100];
    struct quoted q;
    struct buf expected;

    *out = row->def;
    if (at == NULL || (at->kind == NODE_SCALAR && parse(row, at->text, out))) {
        return;
    }
    *out = row->def;
    buf_init_fixed(&expected, mem, sizeof(mem));
    put_expected(&expected, row);
    if (at->kind != NODE_SCALAR) {
        rules_error(&ld->l, at, "%s: expected %s, found %s", row->path, mem, config_node_kind_name(at));
    } else if (!at->bad) {
        rules_error(&ld->l, at, "%s: expected %s, found `%s`", row->path, mem, rules_quote(&q, at->text));
    }
}

/* Rows of a section that is `off` as a whole. */
static const struct {
    const char *section, *row;
} switches[] = {
    { "known_good", "known_good.messages" },
    { "zero_day", "zero_day.fresh_domain" },
    { "zero_day", "zero_day.fresh_client" },
    { "zero_day", "zero_day.burst.networks" },
    { "zero_day.burst", "zero_day.burst.networks" },
    { "reputation.guard", "reputation.guard.known_good.clients" },
    { "reputation.guard", "reputation.guard.probe_interval" },
    { "reputation.guard", "reputation.guard.positive" },
    { "reputation.guard", "reputation.guard.breaker.failures" },
    { "reputation.guard", "reputation.guard.sample" },
    { "reputation.guard.known_good", "reputation.guard.known_good.clients" },
    { "reputation.guard.breaker", "reputation.guard.breaker.failures" },
};

static bool is_off(const struct load *ld, const char *path)
{
    return config_node_is(config_node_find(ld->l.conf->root, path), "off");
}

static void switch_off(struct load *ld, const struct row *row)
{
    for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
        if (strcmp(switches[i].row, row->path) == 0 && is_off(ld, switches[i].section)) {
            (void)off_value(row->kind, field_of(ld->out, row));
        }
    }
}

static bool has_switch(const char *section)
{
    for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
        if (strcmp(switches[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

static void check_section(struct load *ld, const char *path, const char *keys)
{
    const struct config_node *at = config_node_find(ld->l.conf->root, path);

    if (at != NULL && at->kind != NODE_MAPPING) {
        if (at->kind != NODE_SCALAR || (at->text.len > 0 && !(has_switch(path) && is_off(ld, path)))) {
            rules_error(&ld->l, at, "%s: expected a mapping%s, found %s", path,
                        has_switch(path) ? " or `off`" : "", config_node_kind_name(at));
        }
    } else if (at != NULL) {
        ld->l.name = path;
        rules_check_keys(&ld->l, at, keys);
    }
}

/* "5x" */
static void load_surge(struct load *ld)
{
    const struct config_node *at = config_node_find(ld->l.conf->root, "reputation.guard.surge");
    struct slice text = at != NULL ? at->text : SLICE("5x");
    uint64_t n = 0;

    if (slice_eq(text, SLICE("off")) || is_off(ld, "reputation.guard")) {
        return;
    }
    if (text.len < 2 || text.ptr[text.len - 1] != 'x' ||
        !slice_to_u64(slice_take(text, text.len - 1), 1000, &n) || n < 2) {
        rules_error(&ld->l, at, "reputation.guard.surge: expected a factor such as 5x (2x to 1000x) or off");
        n = 5;
    }
    ld->out->guard.surge = (unsigned)n;
}

static void add_canary(struct load *ld, const struct config_node *at)
{
    struct guard_settings *g = &ld->out->guard;
    struct addr ip;

    if (slice_eq(at->text, SLICE("auto"))) {
        g->canaries_auto = true;
    } else if (addr_parse_ip(at->text, &ip) && g->canary_count < GUARD_CANARIES_MAX) {
        g->canary[g->canary_count++] = ip;
    } else if (hostname_valid(at->text) && slice_find(at->text, '.') < at->text.len &&
               g->canary_domain_count < GUARD_CANARIES_MAX) {
        g->canary_domain[g->canary_domain_count++] = at->text;
    } else {
        rules_error(&ld->l, at,
                    "reputation.guard.canaries: expected auto, addresses or domains, at most %d of each",
                    GUARD_CANARIES_MAX);
    }
}

static void load_canaries(struct load *ld)
{
    const struct config_node *at = config_node_find(ld->l.conf->root, "reputation.guard.canaries"), *child;

    if (at == NULL) {
        ld->out->guard.canaries_auto = !is_off(ld, "reputation.guard");
    } else if (at->kind == NODE_SCALAR && slice_eq(at->text, SLICE("off"))) {
        return;
    } else if (at->kind == NODE_SEQUENCE) {
        CONFIG_NODE_EACH(at, child)
        {
            add_canary(ld, child);
        }
    } else {
        add_canary(ld, at);
    }
}

static void load_guard(struct load *ld)
{
    const struct config_node *at = config_node_find(ld->l.conf->root, "reputation.guard.recover");
    unsigned index = 0;

    check_section(ld, "reputation.guard",
                  "known_good|probe_interval|canaries|positive|min_asked|surge|breaker|sample|recover");
    check_section(ld, "reputation.guard.known_good", "clients|share|within");
    check_section(ld, "reputation.guard.breaker", "failures|retry");
    load_surge(ld);
    load_canaries(ld);
    if (at != NULL && (at->kind != NODE_SCALAR || !value_parse_choice(at->text, "auto|manual", &index))) {
        rules_error(&ld->l, at, "reputation.guard.recover: expected auto or manual");
    }
    ld->out->guard.recover_auto = index == 0;
}

static const char *text_at(struct load *ld, const char *path, const char *def)
{
    const struct config_node *at = config_node_find(ld->l.conf->root, path);

    if (at != NULL && at->kind != NODE_SCALAR) {
        rules_error(&ld->l, at, "%s: expected a value, found %s", path, config_node_kind_name(at));
    }
    return at != NULL && at->kind == NODE_SCALAR ? rules_text(&ld->l, at->text).ptr : def;
}

static void load_redis(struct load *ld)
{
    struct memory_redis *r = &ld->out->redis;
    const struct config_node *root = ld->l.conf->root, *at = config_node_find(root, "state.redis.timeout");

    check_section(ld, "state.redis", "url|prefix|timeout");
    r->url = text_at(ld, "state.redis.url", "redis://127.0.0.1:6379/0");
    r->prefix = text_at(ld, "state.redis.prefix", "glacis:");
    r->timeout_ms = 200;
    if (secret_is_masked(secret_of_url(slice_str(r->url)))) {
        rules_error(
            &ld->l, config_node_find(root, "state.redis.url"),
            "state.redis.url: expected user and password themselves, not the mask that stands for them in "
            "a printed configuration");
    } else if (!memory_redis_url_valid(r->url)) { /* no quoting: it may hold a password */
        rules_error(
            &ld->l, config_node_find(root, "state.redis.url"),
            "state.redis.url: expected redis://[[user]:password@]address[:port][/database] or unix:/path; "
            "the address is an IP address or localhost");
    }
    if (strlen(r->prefix) > 60 || strchr(r->prefix, ' ') != NULL || strchr(r->prefix, '%') != NULL) {
        rules_error(&ld->l, config_node_find(root, "state.redis.prefix"),
                    "state.redis.prefix: at most 60 octets, no blanks and no %%");
    }
    if (at != NULL && (at->kind != NODE_SCALAR || !value_parse_duration(at->text, &r->timeout_ms) ||
                       r->timeout_ms < 10 || r->timeout_ms > 5000)) {
        rules_error(&ld->l, at, "state.redis.timeout: expected a duration from 10ms to 5s");
        r->timeout_ms = 200;
    }
    if (ld->l.conf->state.backend != BACKEND_REDIS) {
        r->url = "";
    }
}

bool standing_load(struct policy *p, struct config_errors *errs)
{
    struct load ld = { .l = { .r = &p->rules, .arena = &p->arena, .errs = errs, .conf = p->conf },
                       .out = &p->remembered };
    size_t fatal = errs->fatal;

    check_section(&ld, "known_good", "messages|days|within");
    check_section(&ld, "zero_day", "fresh_domain|fresh_client|burst|learn_for");
    check_section(&ld, "greylist", "delay|retry_within|remember|network");
    check_section(&ld, "greylist.network", "ipv4|ipv6");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        load_row(&ld, &rows[i]);
        switch_off(&ld, &rows[i]);
    }
    check_section(&ld, "zero_day.burst", "networks|within");
    load_guard(&ld);
    load_redis(&ld);
    return errs->fatal == fatal;
}

/* ---- check --print ---- */

struct printer {
    const struct remembered *from;
    struct buf *out;
    const char *last; /* path of the row before */
};

static void put_level(struct buf *out, unsigned level)
{
    for (unsigned i = 0; i < level; i++) {
        buf_put_str(out, "  ");
    }
}

/* The sections of a row that the one before did not open; returns its own name. */
static struct slice open_level(struct printer *p, const char *path, unsigned *level)
{
    struct slice rest = slice_str(path), old = slice_str(p->last);
    bool same = true;

    for (*level = 0; slice_find(rest, '.') < rest.len; ++*level) {
        struct slice name = slice_cut(&rest, '.'), before = slice_cut(&old, '.');

        same = same && slice_eq(name, before);
        if (!same) {
            put_level(p->out, *level);
            buf_put_slice(p->out, name);
            buf_put_str(p->out, ":\n");
        }
    }
    p->last = path;
    return rest;
}

static void put_row(struct printer *p, const struct row *row)
{
    uint32_t off, n = *(const uint32_t *)(const void *)((const char *)p->from + row->offset);
    unsigned level;
    struct slice name = open_level(p, row->path, &level);

    put_level(p->out, level);
    buf_putf(p->out, SLICE_FMT ": ", SLICE_ARG(name));
    if (off_value(row->kind, &off) && n == off) {
        buf_put_str(p->out, "off");
    } else {
        put_number(p->out, row->kind, n);
    }
    buf_put_char(p->out, '\n');
}

/* A key whose value stays in the tree: as it is in the file, or the default. */
static void put_tree(struct buf *out, const struct config_node *root, const char *path, const char *def)
{
    const struct config_node *at = config_node_find(root, path);
    struct slice p = slice_str(path);
    unsigned level = 0;

    for (size_t i = 0; i < p.len; i++) {
        level += p.ptr[i] == '.';
    }
    put_level(out, level);
    buf_putf(out, SLICE_FMT ":", SLICE_ARG(slice_skip(p, slice_rfind(p, '.') + 1)));
    if (at != NULL) {
        config_node_put(out, at, level);
    } else {
        buf_putf(out, " %s\n", def);
    }
}

static void put_rows(struct printer *p, bool reputation)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_starts(slice_str(rows[i].path), SLICE("reputation.")) == reputation) {
            put_row(p, &rows[i]);
        }
    }
}

void standing_print(const struct policy *p, struct buf *out)
{
    const struct config_node *root = p->conf->root;
    bool guard_off = config_node_is(config_node_find(root, "reputation.guard"), "off");
    struct printer pr = { .from = &p->remembered, .out = out, .last = "reputation.guard.recover" };

    buf_put_str(out, "reputation:\n");
    put_tree(out, root, "reputation.threshold", "1");
    put_tree(out, root, "reputation.lists", "[]");
    buf_put_str(out, "  guard:\n");
    put_tree(out, root, "reputation.guard.canaries", guard_off ? "off" : "auto");
    put_tree(out, root, "reputation.guard.surge", guard_off ? "off" : "5x");
    put_tree(out, root, "reputation.guard.recover", "auto");
    put_rows(&pr, true);
    put_rows(&pr, false);
}
