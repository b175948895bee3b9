/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timers.h - the heap behind the timers of loop.h; private to loop.c and the sim's loop.
 *
 * A binary heap of pointers, the earliest first.  Every timer stores its place, so stopping is O(log n) and
 * needs no search.  Owns only the array.
 */
#ifndef CORE_TIMERS_H
#define CORE_TIMERS_H

#include "core/loop.h"

struct timers {
    struct timer **heap;
    uint32_t len, cap;
    uint32_t next_order; /* for the next timer started */
};

#define TIMERS_NONE UINT64_MAX

void timers_init(struct timers *ts);
void timers_fini(struct timers *ts);           /* all timers must be stopped */
uint64_t timers_next(const struct timers *ts); /* due time of the next one, or TIMERS_NONE */

/*
 * Runs timers due at `now`: at most `most`, and only those started before the call.  A timer that restarts itself
 * with no delay waits for the next turn.
 */
void timers_run(struct timers *ts, uint64_t now, uint32_t most);

/* The timers of a loop; defined in loop.c and in the sim's loop. */
struct timers *loop_timers(struct loop *l);

#endif
