/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.c - heartbeat, counters and gauges of the process in each slot.
 *
 * Only the process in a slot writes it; the process table names that process (processes.c).  The counters of a
 * slot are never zeroed: the next process continues where the last one ended, so that the sum over all slots is
 * the sum over all processes that ever ran.
 *
 * Hostile   Slots hold only numbers.  A process that forges its own can only falsify sums.
 */
#include "state/slots.h"
#include "state/shared_priv.h"

/* Should status show the largest value of the gauge instead of the sum? */
static bool takes_maximum(enum metric m)
{
    return m == M_STRESS || m == M_LONGEST_TURN_US || m == M_RESOLVER_GRADE;
}

void state_set_draining(struct state *s, int slot)
{
    if (slot_valid(slot)) {
        s->mine->of[slot].slot.draining = 1;
    }
}

int state_my_slot(const struct state *s)
{
    return s->my_slot;
}

void state_heartbeat(struct state *s, uint64_t now_ms)
{
    if (s->my_slot >= 0) {
        s->mine->of[s->my_slot].slot.heartbeat_ms = now_ms;
    }
}

uint64_t state_slot_metric(const struct state *s, int slot, enum metric m)
{
    return slot_valid(slot) ? s->owned->of[slot].slot.metrics[m] : 0;
}

static uint64_t sum_of(const struct state *s, enum metric m, uint64_t slots)
{
    uint64_t sum = 0;

    while (slots != 0) {
        int slot = next_slot(&slots);
        uint64_t v = atomic_load_explicit(&s->owned->of[slot].slot.metrics[m], memory_order_relaxed);

        if (takes_maximum(m)) {
            sum = v > sum ? v : sum;
        } else {
            sum += v;
        }
    }
    return sum;
}

uint64_t state_gauge_sum(const struct state *s, enum metric gauge)
{
    return sum_of(s, gauge, s->processes->taken); /* a free slot's gauges are 0 */
}

void state_metrics_sum(const struct state *s, uint64_t out[METRIC_COUNT])
{
    for (int m = 0; m < METRIC_COUNT; m++) {
        out[m] = sum_of(s, (enum metric)m, UINT64_MAX);
    }
}
