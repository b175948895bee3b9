/* SPDX-License-Identifier: Apache-2.0 */
/*
 * servers.c - the recursive servers: their health, and which one to ask next.
 */
#include "dns/servers.h"

#define RESOLV_CONF_MAX 65536 /* octets of the file to read */
#define LATENCY_SHARE 8       /* an answer's latency counts for an eighth of the smoothed one */
#define LOG_PAUSE_S 10

void server_init(struct server *s, const struct addr *a)
{
    *s = (struct server){ .addr = *a, .backoff_ms = SERVER_BACKOFF_MIN_MS };
    s->stats.addr = *a;
    s->stats.up = true;
}

void server_sent(struct server *s, uint64_t now_ms)
{
    s->stats.sent += 1;
    s->stats.pending += 1;
    if (s->silent_since_ms == 0) {
        s->silent_since_ms = max_size(now_ms, 1);
    }
}

/* One question fewer is pending. */
static void settle_one(struct server *s)
{
    s->stats.pending -= 1;
    if (s->stats.pending == 0) {
        s->silent_since_ms = 0;
    }
}

static void note_latency(struct server *s, uint32_t latency_us)
{
    uint32_t old = s->stats.latency_us;

    if (old == 0) {
        s->stats.latency_us = latency_us;
    } else {
        s->stats.latency_us = old - old / LATENCY_SHARE + latency_us / LATENCY_SHARE;
    }
}

bool server_good(struct server *s, uint32_t latency_us)
{
    bool was_down = s->down;

    settle_one(s);
    note_latency(s, latency_us);
    s->stats.answered += 1;
    s->stats.up = true;
    s->silent_since_ms = 0;
    s->score = 0;
    s->down = false;
    s->backoff_ms = SERVER_BACKOFF_MIN_MS;
    return was_down;
}

static unsigned weight_of(enum dns_why why)
{
    switch (why) {
    case DNS_WHY_TIMEOUT:
    case DNS_WHY_NETWORK:
        return 7;
    case DNS_WHY_REFUSED:
        return 2;
    case DNS_WHY_SERVFAIL:
    case DNS_WHY_GARBAGE:
        return 1;
    case DNS_WHY_NONE:
    case DNS_WHY_ILLEGAL:
    case DNS_WHY_OVERLOAD:
    case DNS_WHY_PACE:
    case DNS_WHY_COUNT:
        break;
    }
    return 0;
}

bool server_bad(struct server *s, enum dns_why why, uint64_t now_ms)
{
    settle_one(s);
    if (why == DNS_WHY_TIMEOUT) {
        s->stats.timeouts += 1;
    } else {
        s->stats.failures += 1;
        if (why != DNS_WHY_NETWORK) {
            s->stats.answered += 1;
            s->silent_since_ms = 0;
        }
    }
    s->score = (unsigned)min_size(s->score + weight_of(why), SERVER_DOWN_SCORE);
    if (s->score < SERVER_DOWN_SCORE) {
        return false;
    }
    if (s->down) {
        /* questions of one burst fail together: only a failure after the pause doubles it */
        if (now_ms >= s->retry_at_ms) {
            s->backoff_ms = (uint32_t)min_u64((uint64_t)s->backoff_ms * 2, SERVER_BACKOFF_MAX_MS);
            s->retry_at_ms = now_ms + s->backoff_ms;
        }
        return false;
    }
    s->down = true;
    s->retry_at_ms = now_ms + s->backoff_ms;
    s->stats.up = false;
    s->stats.marked_down += 1;
    return true;
}

/* Logs an "up" only after its "down" was logged. */
void server_log(struct server *s, enum dns_why why, uint64_t now_ms)
{
    struct log_line l;
    uint32_t kept_back = 0;

    if (s->down ? !log_allowed(&s->log_limit, now_ms, LOG_PAUSE_S, &kept_back) : !s->down_logged) {
        return;
    }
    s->down_logged = s->down;
    if (!log_begin(&l, s->down ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
                   s->down ? "dns_server_down" : "dns_server_up")) {
        return;
    }
    log_ip(&l, "server", &s->addr);
    if (s->down) {
        log_text(&l, "why", dns_why_text(why));
        log_num(&l, "suppressed", kept_back);
    }
    log_end(&l);
}

unsigned servers_bit(const struct servers *set, const struct server *s)
{
    return 1u << (unsigned)(s - set->list);
}

static bool is_suspect(const struct server *s, uint64_t now_ms)
{
    return s->silent_since_ms != 0 && now_ms - s->silent_since_ms >= SERVER_SUSPECT_MS;
}

/* 0 is best. */
static unsigned rank(const struct server *s, uint64_t now_ms)
{
    if (s->down) {
        return 2;
    }
    return is_suspect(s, now_ms) ? 1 : 0;
}

struct server *servers_pick(struct servers *set, unsigned asked, bool allow_down, uint64_t now_ms)
{
    struct server *best = NULL;
    bool any_up = false;

    for (size_t i = 0; i < set->count; i++) {
        any_up = any_up || !set->list[i].down;
    }
    for (size_t i = 0; i < set->count; i++) {
        struct server *s = &set->list[i];

        if ((asked & servers_bit(set, s)) != 0 || (s->down && any_up && !allow_down)) {
            continue;
        }
        if (best == NULL || rank(s, now_ms) < rank(best, now_ms) ||
            (s->down && best->down && s->retry_at_ms < best->retry_at_ms)) {
            best = s;
        }
    }
    return best;
}

struct server *servers_due(struct servers *set, uint64_t now_ms)
{
    for (size_t i = 0; i < set->count; i++) {
        struct server *s = &set->list[i];

        if (s->down && !s->probing && now_ms >= s->retry_at_ms) {
            return s;
        }
    }
    return NULL;
}

size_t servers_parse_resolv_conf(struct slice text, struct addr *out, size_t max)
{
    size_t count = 0;

    while (text.len > 0 && count < max) {
        struct slice line = slice_cut(&text, '\n');

        line = slice_trim(slice_take(line, slice_find(line, '\r')));
        if (!slice_eq(slice_token(&line), SLICE("nameserver"))) {
            continue;
        }
        /* we do not support a zone ("%eth0"): skip such a server */
        if (addr_parse_ip(slice_token(&line), &out[count])) {
            count += 1;
        }
    }
    return count;
}

size_t servers_read_resolv_conf(const char *path, struct addr *out, size_t max)
{
    FILE *f = fopen(path, "re");
    char *text;
    size_t len, count;

    if (f == NULL) {
        return 0;
    }
    text = xmalloc(RESOLV_CONF_MAX);
    len = fread(text, 1, RESOLV_CONF_MAX, f);
    fclose(f);
    count = servers_parse_resolv_conf(slice_of(text, len), out, max);
    free(text);
    return count;
}
