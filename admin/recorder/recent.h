/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recent.h - how much a counter grew within the last hour.
 *
 * The recorder keeps the sums over all processes, minute by minute, for an hour.  It counts from its own start if that
 * is less than an hour ago.
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
    uint64_t minute; /* minute of the newest row; 0: none yet */
    uint64_t row[RECENT_MINUTES][RECENT_COUNT];
    uint64_t now[RECENT_COUNT];
};

/* Call with the current sums of all metrics, at least once a minute. */
void recent_note(struct recent *r, uint64_t now_ms, const uint64_t sums[METRIC_COUNT]);
uint64_t recent_count(const struct recent *r, enum recent_what what);

#endif
