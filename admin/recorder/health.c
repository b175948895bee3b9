/*
 * health.c - judged from heartbeats and server records (health.h).
 */
#include "admin/recorder/health.h"

#define FRESH_MS 10000

struct workers_seen health_workers(const struct state *st, uint64_t now_ms)
{
    struct workers_seen seen = { 0, 0, 0, 0 };
    unsigned generation = state_generation(st);

    for (int i = 0; i < STATE_SLOTS; i++) {
        struct state_slot_info info;

        if (!state_slot_info(st, i, &info) || info.role != ROLE_WORKER || info.generation != generation)
            continue;
        if (info.heartbeat_ms == 0) { /* just started in the place of another */
            seen.starting++;
        } else if (now_ms > info.heartbeat_ms && now_ms - info.heartbeat_ms > FRESH_MS) {
            seen.stale++;
        } else {
            seen.fresh++;
            seen.accepting += !info.draining;
        }
    }
    return seen;
}

bool health_server_up(const struct state *st, const struct config_upstream *u, const char *server)
{
    struct state_health h;

    state_health_get(st, state_server_find(st, server), &h);
    return !h.down || u->health.interval_ms == CONFIG_OFF;
}

bool health_upstream_up(const struct state *st, const struct config_upstream *u)
{
    for (size_t i = 0; i < u->server_count; i++) {
        if (health_server_up(st, u, u->server[i].text))
            return true;
    }
    return false;
}

bool health_any_upstream_up(const struct state *st, const struct config *conf)
{
    for (size_t i = 0; i < conf->upstream_count; i++) {
        if (health_upstream_up(st, &conf->upstreams[i]))
            return true;
    }
    return false;
}
