/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.h - which process is in which slot, and its counters and gauges.
 *
 * A slot belongs to one process: supervisor, recorder or a worker.  The supervisor takes and releases slots.  The
 * process in a slot is the only writer of its counters, gauges, heartbeat and log ring.  Releasing a slot frees all
 * that its process held and zeroes its gauges; its counters stay in the sum.
 *
 * Trust  The supervisor writes the process table, and all others can only read it.  `draining` and the heartbeat are
 *        claims of the process itself: bound them.
 * Files  processes.c (slots), slots.c (numbers).
 */
#ifndef STATE_SLOTS_H
#define STATE_SLOTS_H

#include "core/metrics.h"
#include "state/state.h"

enum state_role { ROLE_FREE = 0, ROLE_SUPERVISOR, ROLE_RECORDER, ROLE_WORKER };

/* ---- by the supervisor ---- */

/* Takes a free slot for a process about to be forked; -1 if none is free. */
int state_slot_take(struct state *s, enum state_role role, unsigned generation, unsigned index);
void state_slot_pid(struct state *s, int slot, pid_t pid);
/* Call when the process is gone.  Clears its gauges, tickets and connections in the client table, not its counters. */
void state_slot_release(struct state *s, int slot);
/* The number of the configuration in force, 0 at first. */
void state_generation_set(struct state *s, unsigned generation);

/* Call in the process itself, after fork.  From here on it counts, locks and logs as the process of this slot. */
void state_slot_enter(struct state *s, int slot);

struct state_slot_info {
    enum state_role role;
    unsigned generation, index;
    pid_t pid;
    bool draining;         /* claimed by the process itself */
    uint64_t heartbeat_ms; /* the same; monotonic, 0: none yet */
};
bool state_slot_info(const struct state *s, int slot, struct state_slot_info *out); /* false: free */
void state_set_draining(struct state *s, int slot);
unsigned state_generation(const struct state *s);

/* ---- numbers ---- */

/* One number of one slot (gauges of the status command). */
uint64_t state_slot_metric(const struct state *s, int slot, enum metric m);
int state_my_slot(const struct state *s);
void state_heartbeat(struct state *s, uint64_t now_ms);

/* Sums gauges over live slots, and counters over all slots that ever lived. */
void state_metrics_sum(const struct state *s, uint64_t out[METRIC_COUNT]);
uint64_t state_gauge_sum(const struct state *s, enum metric gauge);

#endif
