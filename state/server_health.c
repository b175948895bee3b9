/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_health.c - keywords, health, probes and rate of each server, over all processes.
 *
 * Records are found, filled and freed in servers.c.  Each datum is one atomic word, moved by compare and swap
 * where two processes may move it; numbers of servers are checked, and nothing read here is used as an index.
 */
#include "state/servers.h"
#include "state/shared_priv.h"

#include <stddef.h>

#define HEALTH_DOWN (1ULL << 63)
#define HEALTH_COUNT_MAX 0x7fffffffu
#define PROBE_SLACK_MS 3600000u

/* ---- keywords: bits of one word, so they change together ---- */

static const struct {
    uint64_t bit;
    size_t at; /* in struct state_keywords */
} flags[] = {
    { KEYWORD_KNOWN, offsetof(struct state_keywords, known) },
    { KEYWORD_PIPELINING, offsetof(struct state_keywords, pipelining) },
    { KEYWORD_8BITMIME, offsetof(struct state_keywords, eightbitmime) },
    { KEYWORD_SMTPUTF8, offsetof(struct state_keywords, smtputf8) },
    { KEYWORD_DSN, offsetof(struct state_keywords, dsn) },
    { KEYWORD_SIZE, offsetof(struct state_keywords, size_offered) },
    { KEYWORD_STARTTLS, offsetof(struct state_keywords, starttls) },
    { KEYWORD_CHUNKING, offsetof(struct state_keywords, chunking) },
    { KEYWORD_XCLIENT, offsetof(struct state_keywords, xclient) },
    { KEYWORD_XFORWARD, offsetof(struct state_keywords, xforward) },
    { KEYWORD_ENHANCED, offsetof(struct state_keywords, enhanced) },
};

static uint64_t pack_keywords(const struct state_keywords *k)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        bits |= *(const bool *)((const char *)k + flags[i].at) ? flags[i].bit : 0;
    }
    return bits;
}

void keywords_unpack(uint64_t bits, struct state_keywords *out)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        *(bool *)((char *)out + flags[i].at) = (bits & flags[i].bit) != 0;
    }
}

void state_keywords_set(struct state *s, int server, const struct state_keywords *k)
{
    struct server *sv = server_at(s, server);

    if (sv == NULL) {
        return;
    }
    sv->keywords_size = k->size;
    sv->keywords_at_ms = k->at_ms;
    sv->keywords = pack_keywords(k);
}

void state_keywords_get(const struct state *s, int server, struct state_keywords *out)
{
    const struct server *sv = server_at(s, server);

    memset(out, 0, sizeof(*out));
    if (sv == NULL) {
        return;
    }
    keywords_unpack(sv->keywords, out);
    out->size = sv->keywords_size;
    out->at_ms = sv->keywords_at_ms;
}

/* ---- health ---- */

static void health_unpack(uint64_t word, struct state_health *out)
{
    out->down = (word & HEALTH_DOWN) != 0;
    out->failures = (unsigned)(word >> 32) & HEALTH_COUNT_MAX;
    out->successes = (unsigned)(word & HEALTH_COUNT_MAX);
}

static uint64_t health_pack(const struct state_health *h)
{
    return (h->down ? HEALTH_DOWN : 0) | (uint64_t)(h->failures & HEALTH_COUNT_MAX) << 32 |
           (h->successes & HEALTH_COUNT_MAX);
}

void state_health_get(const struct state *s, int server, struct state_health *out)
{
    const struct server *sv = server_at(s, server);

    memset(out, 0, sizeof(*out));
    if (sv == NULL) {
        return;
    }
    health_unpack(sv->health, out);
    out->changed_ms = sv->changed_ms;
    out->next_probe_ms = sv->next_probe_ms;
}

/* Applies the observation.  True: the server went up or down. */
static bool health_observe(struct state_health *h, bool ok, unsigned fall, unsigned rise)
{
    bool was_down = h->down;

    if (ok) {
        h->failures = 0;
        h->successes += h->successes < HEALTH_COUNT_MAX;
        if (h->successes >= rise) {
            h->down = false;
        }
    } else {
        h->successes = 0;
        h->failures += h->failures < HEALTH_COUNT_MAX;
        if (fall > 0 && h->failures >= fall) {
            h->down = true;
        }
    }
    if (fall == 0) {
        h->down = false;
    }
    return h->down != was_down;
}

bool state_health_report(struct state *s, int server, bool ok, unsigned fall, unsigned rise, uint64_t now_ms)
{
    struct state_health h = { 0 };
    struct server *sv = server_at(s, server);
    uint64_t old;
    bool changed;

    if (sv == NULL) {
        return false;
    }
    old = sv->health;
    do {
        health_unpack(old, &h);
        changed = health_observe(&h, ok, fall, rise);
    } while (!atomic_compare_exchange_strong(&sv->health, &old, health_pack(&h)));
    if (changed) {
        sv->changed_ms = now_ms;
    }
    return changed;
}

/* No honest process writes a probe time that far ahead: their clocks differ by one loop turn at most. */
static bool too_far(uint64_t wait_ms, uint64_t interval_ms)
{
    return wait_ms > interval_ms && wait_ms - interval_ms > PROBE_SLACK_MS;
}

bool state_probe_claim(struct state *s, int server, uint64_t now_ms, uint64_t interval_ms)
{
    struct server *sv = server_at(s, server);
    uint64_t due;

    if (sv == NULL) {
        return false;
    }
    due = sv->next_probe_ms;
    return (now_ms >= due || too_far(due - now_ms, interval_ms)) &&
           atomic_compare_exchange_strong(&sv->next_probe_ms, &due, now_ms + interval_ms);
}

void state_probe_hasten(struct state *s, int server, uint64_t due_ms)
{
    struct server *sv = server_at(s, server);
    uint64_t due;

    if (sv == NULL) {
        return;
    }
    due = sv->next_probe_ms;
    if (due > due_ms) {
        (void)atomic_compare_exchange_strong(&sv->next_probe_ms, &due, due_ms);
    }
}

/* ---- rate: GCRA; `count` at once, then one each per/count.  See rate_allows() of clients.c ---- */

uint64_t state_server_rate(struct state *s, int server, unsigned n, uint64_t per_ms, uint64_t now_ms)
{
    struct server *sv = server_at(s, server);
    uint64_t now_us = now_ms * 1000, step_us, tat, from, burst_us;
    uint64_t old;

    if (sv == NULL || n == 0 || per_ms == 0 || per_ms > UINT64_MAX / 1000) {
        return 0;
    }
    step_us = per_ms * 1000 / n;
    burst_us = step_us * (n - 1);
    old = sv->rate_tat_us;
    do {
        tat = old > now_us ? old : now_us;
        if (tat > now_us + per_ms * 1000) { /* from a slower rate before a reload */
            (void)atomic_compare_exchange_strong(&sv->rate_tat_us, &old, now_us + per_ms * 1000);
            tat = now_us + per_ms * 1000;
        }
        from = tat > burst_us ? tat - burst_us : 0;
        if (from > now_us) {
            return (from - now_us + 999) / 1000;
        }
    } while (!atomic_compare_exchange_strong(&sv->rate_tat_us, &old, tat + step_us));
    return 0;
}
