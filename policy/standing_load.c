/*
 * standing_load.c - settings of what is remembered (standing_load.h).
 *
 * A row a key: the section's own name, kind, default and limits; the place in struct remembered.
 */
#include "policy/standing_load.h"

#include "config/values.h"
#include "policy/rules_parts.h"

enum kind { SECONDS = 0, SECONDS_OFF, COUNT, COUNT_OFF, PERCENT };

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
    { "known_good.messages", COUNT, AT(known_good.messages), 3, 1, 1000 },
    { "known_good.days", COUNT, AT(known_good.days), 2, 1, MEMORY_DAYS },
    { "known_good.within", SECONDS, AT(known_good.within_s), 36 * DAY, DAY, 365 * DAY },
    { "zero_day.fresh_domain", SECONDS_OFF, AT(zero_day.fresh_domain_s), DAY, MINUTE, 50 * DAY },
    { "zero_day.fresh_client", SECONDS_OFF, AT(zero_day.fresh_client_s), DAY, MINUTE, 50 * DAY },
    { "zero_day.burst.networks", COUNT, AT(zero_day.burst_networks), 10, 2, MEMORY_BURST_MAX },
    { "zero_day.burst.within", SECONDS, AT(zero_day.burst_within_s), 10 * MINUTE, 10, DAY },
    { "zero_day.learn_for", SECONDS_OFF, AT(zero_day.learn_for_s), 7 * DAY, MINUTE, 365 * DAY },
    { "greylist.delay", SECONDS, AT(greylist.delay_s), 5 * MINUTE, 1, DAY },
    { "greylist.retry_within", SECONDS, AT(greylist.retry_within_s), 2 * DAY, 10 * MINUTE, 30 * DAY },
    { "greylist.remember", SECONDS, AT(greylist.remember_s), 36 * DAY, HOUR, 365 * DAY },
    { "greylist.network.ipv4", COUNT, AT(greylist.v4_bits), 24, 8, 32 },
    { "greylist.network.ipv6", COUNT, AT(greylist.v6_bits), 64, 16, 128 },
    { "reputation.guard.known_good.clients", COUNT, AT(guard.good_clients), 5, 1, 1000 },
    { "reputation.guard.known_good.share", PERCENT, AT(guard.good_share_percent), 2, 0, 100 },
    { "reputation.guard.known_good.within", SECONDS, AT(guard.good_within_s), HOUR, MINUTE, DAY },
    { "reputation.guard.probe_interval", SECONDS_OFF, AT(guard.probe_interval_s), 5 * MINUTE, 10, DAY },
    { "reputation.guard.positive", PERCENT, AT(guard.positive_percent), 90, 10, 100 },
    { "reputation.guard.min_asked", COUNT, AT(guard.min_asked), 50, 5, 1000000 },
    { "reputation.guard.breaker.failures", COUNT, AT(guard.breaker_failures), 20, 2, 1000000 },
    { "reputation.guard.breaker.retry", SECONDS, AT(guard.breaker_retry_s), 30, 1, 600 },
    { "reputation.guard.sample", PERCENT, AT(guard.sample_percent), 1, 0, 100 },
};

struct load {
    struct rules_load l;
    struct remembered *out;
};

static const char *what_is_expected(enum kind k)
{
    return k == SECONDS || k == SECONDS_OFF ? VALUE_DURATION_HELP
           : k == PERCENT                   ? "a percentage such as 2%"
                                            : "a number";
}

/* The value in seconds, or as a number. */
static bool parse(const struct row *row, struct slice text, uint64_t *n)
{
    unsigned percent;
    bool ok;

    if ((row->kind == SECONDS_OFF || row->kind == COUNT_OFF) && slice_eq(text, SLICE("off"))) {
        *n = 0;
        return true;
    }
    if (row->kind == PERCENT) {
        ok = value_parse_percent(text, &percent);
        *n = ok ? percent : 0;
    } else if (row->kind == SECONDS || row->kind == SECONDS_OFF) {
        ok = value_parse_duration(text, n);
        *n /= 1000;
    } else {
        ok = slice_to_u64(text, UINT32_MAX, n);
    }
    return ok && *n >= row->min && *n <= row->max;
}

static void load_row(struct load *ld, const struct row *row)
{
    const struct config_node *at = config_node_find(ld->l.conf->root, row->path);
    uint32_t *out = (uint32_t *)(void *)((char *)ld->out + row->offset);
    struct quoted q;
    uint64_t n;

    _Static_assert(sizeof(unsigned) == sizeof(uint32_t), "both kinds of fields have the same size");
    *out = row->def;
    if (at == NULL) {
        return;
    }
    if (at->kind != NODE_SCALAR) {
        rules_error(&ld->l, at, "%s: expected %s, found %s", row->path, what_is_expected(row->kind),
                    config_node_kind_name(at));
    } else if (parse(row, at->text, &n)) {
        *out = (uint32_t)n;
    } else if (!at->bad) {
        rules_error(
            &ld->l, at, "%s: expected %s%s, found `%s`; %s%" PRIu32 " to %" PRIu32, row->path,
            what_is_expected(row->kind), row->kind == SECONDS_OFF ? " or off" : "", rules_quote(&q, at->text),
            row->kind == SECONDS || row->kind == SECONDS_OFF ? "allowed, in seconds, is " : "allowed is ",
            row->min, row->max);
    }
}

static void check_section(struct load *ld, const char *path, const char *keys)
{
    const struct config_node *at = config_node_find(ld->l.conf->root, path);

    if (at != NULL && at->kind != NODE_MAPPING) {
        if (at->kind != NODE_SCALAR || at->text.len > 0) {
            rules_error(&ld->l, at, "%s: expected a mapping, found %s", path, config_node_kind_name(at));
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

    if (slice_eq(text, SLICE("off"))) {
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
        ld->out->guard.canaries_auto = true;
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
    if (!slice_starts(slice_str(r->url), SLICE("redis://")) &&
        !slice_starts(slice_str(r->url), SLICE("unix:/"))) {
        rules_error(&ld->l, config_node_find(root, "state.redis.url"),
                    "state.redis.url: expected redis://[:password@]host[:port][/db] or unix:/path");
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
    }
    if (config_node_is(config_node_find(p->conf->root, "zero_day.burst"), "off")) {
        p->remembered.zero_day.burst_networks = 0;
    } else {
        check_section(&ld, "zero_day.burst", "networks|within");
    }
    load_guard(&ld);
    load_redis(&ld);
    return errs->fatal == fatal;
}
