/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.c - health by heartbeats (health.h).
 */
#include "admin/recorder/health.h"

#include "state/slots.h"

#define FRESH_MS 10000

struct workers_seen health_workers(const struct state *st, uint64_t now_ms)
{
    struct workers_seen seen = { 0, 0, 0, 0 };
    unsigned generation = state_generation(st);

    for (int i = 0; i < STATE_SLOTS; i++) {
        struct state_slot_info info;

        if (!state_slot_info(st, i, &info) || info.role != ROLE_WORKER || info.generation != generation) {
            continue;
        }
        if (info.heartbeat_ms == 0) { /* just started in another worker's place */
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
