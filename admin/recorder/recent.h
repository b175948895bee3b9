/*
 * recent.h - how often something was counted within the last hour.
 *
 * Sums over all processes are looked at once a minute and kept for an hour.  A recorder that has run for less knows
 * what was counted since its start.
 */
#ifndef ADMIN_RECORDER_RECENT_H
#define ADMIN_RECORDER_RECENT_H

#include "core/metrics.h"

enum recent_what {
    RECENT_LOG_DROPPED = 0,
    RECENT_SANDBOX_DENIED,
    RECENT_REFUSES_US,
    RECENT_SNAPSHOT_ERRORS,
    RECENT_COUNT,
};

#define RECENT_MINUTES 60

struct recent {
    uint64_t minute; /* of the newest row; 0: none yet */
    uint64_t row[RECENT_MINUTES][RECENT_COUNT];
    uint64_t now[RECENT_COUNT];
};

/* sums: of all metrics, now. */
void recent_note(struct recent *r, uint64_t now_ms, const uint64_t sums[METRIC_COUNT]);
uint64_t recent_count(const struct recent *r, enum recent_what what);

#endif
