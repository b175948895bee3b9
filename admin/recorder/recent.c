/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recent.c - sums of a few counters, minute by minute (recent.h).
 */
#include "admin/recorder/recent.h"

static const enum metric metric_of[RECENT_COUNT] = {
    [RECENT_LOG_DROPPED] = M_LOG_DROPPED,
    [RECENT_SANDBOX_DENIED] = M_SECCOMP_DENIED,
    [RECENT_REFUSES_US] = M_UP_REFUSES_US,
    [RECENT_SNAPSHOT_ERRORS] = M_SNAPSHOT_ERRORS,
};

/* Fills a row for each minute up to this one.  Missed minutes get the last known sums. */
static void advance(struct recent *r, uint64_t minute)
{
    uint64_t from = r->minute;

    if (from == 0 || minute - from > RECENT_MINUTES) {
        from = minute - RECENT_MINUTES;
    }
    for (uint64_t m = from + 1; m <= minute; m++) {
        memcpy(r->row[m % RECENT_MINUTES], r->now, sizeof(r->now));
    }
    r->minute = minute;
}

void recent_note(struct recent *r, uint64_t now_ms, const uint64_t sums[METRIC_COUNT])
{
    uint64_t minute = now_ms / 60000 + RECENT_MINUTES; /* never 0 */
    bool first = r->minute == 0;

    if (!first && minute > r->minute) {
        advance(r, minute);
    }
    for (size_t i = 0; i < RECENT_COUNT; i++) {
        r->now[i] = sums[metric_of[i]];
    }
    if (first) {
        advance(r, minute);
    }
}

uint64_t recent_count(const struct recent *r, enum recent_what what)
{
    uint64_t before = r->row[(r->minute + 1) % RECENT_MINUTES][what]; /* the oldest row */

    return r->now[what] > before ? r->now[what] - before : 0;
}
