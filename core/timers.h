/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timers.h - the heap behind the timers of loop.h; private to the bodies of the loop (loop.c, and the
 * sim's).
 *
 * A binary heap of pointers, the earliest first; every timer knows its place, so stopping is
 * O(log n) and needs no search.  Owns only the array.
 */
#ifndef CORE_TIMERS_H
#define CORE_TIMERS_H

#include "core/loop.h"

struct timers {
    struct timer **heap;
    uint32_t len, cap;
    uint32_t next_order; /* given to the timer started next */
};

#define TIMERS_NONE UINT64_MAX

void timers_init(struct timers *ts);
void timers_fini(struct timers *ts);           /* all timers must be stopped */
uint64_t timers_next(const struct timers *ts); /* when the next one is due, or TIMERS_NONE */

/*
 * Runs what is due at `now`: at most `most`, and as many as were started before the call: a timer that starts
 * itself again with no delay waits for the next turn.
 */
void timers_run(struct timers *ts, uint64_t now, uint32_t most);

/* Of a loop; its body defines it. */
struct timers *loop_timers(struct loop *l);

#endif
