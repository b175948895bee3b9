/*
 * slots.c - one slot a process: who it is, its heartbeat, its numbers.
 *
 * Only the supervisor takes and releases slots; the process in a slot writes everything else in it.  The
 * counters of a slot are never zeroed: the next process in it goes on counting where the last one
 * died, and the sum over all slots is the sum over all processes that ever were.
 */
#include "state/shared.h"

/* Gauges of which the largest one, not the sum, is what people want to see. */
static bool takes_maximum(enum metric m)
{
    return m == M_STRESS || m == M_LONGEST_TURN_US;
}

static bool slot_valid(int slot)
{
    return slot >= 0 && slot < STATE_SLOTS;
}

int state_slot_take(struct state *s, enum state_role role, unsigned generation, unsigned index)
{
    int first = role == ROLE_WORKER ? 2 : role == ROLE_RECORDER ? 1 : 0;
    int last = role == ROLE_WORKER ? STATE_SLOTS - 1 : first;

    for (int i = first; i <= last; i++) {
        struct slot *slot = &s->sh->slot[i];

        if (slot->role != ROLE_FREE)
            continue;
        slot->generation = generation;
        slot->index = index;
        slot->pid = 0;
        slot->draining = 0;
        slot->heartbeat_ms = 0;
        slot->role = (uint32_t)role;
        s->sh->taken |= 1ULL << i;
        return i;
    }
    return -1;
}

void state_slot_pid(struct state *s, int slot, pid_t pid)
{
    if (slot_valid(slot))
        s->sh->slot[slot].pid = pid;
}

void state_slot_release(struct state *s, int slot)
{
    struct slot *sl;

    if (!slot_valid(slot))
        return;
    sl = &s->sh->slot[slot];
    for (int m = 0; m < METRIC_COUNT; m++) {
        if (metric_table[m].kind != METRIC_COUNTER)
            sl->metrics[m] = 0;
    }
    clients_release_slot(s, slot);
    sl->heartbeat_ms = 0;
    sl->pid = 0;
    sl->role = ROLE_FREE;
    s->sh->taken &= ~(1ULL << slot);
    servers_release_slot(s, slot); /* last: it wakes those who wait for what was held */
}

void state_slot_enter(struct state *s, int slot)
{
    BUG_ON(!slot_valid(slot));
    s->my_slot = slot;
    s->sh->slot[slot].pid = getpid();
    metrics_use(s->sh->slot[slot].metrics);
}

bool state_slot_info(const struct state *s, int slot, struct state_slot_info *out)
{
    const struct slot *sl;

    memset(out, 0, sizeof(*out));
    if (!slot_valid(slot))
        return false;
    sl = &s->sh->slot[slot];
    out->role = (enum state_role)sl->role;
    out->generation = sl->generation;
    out->index = sl->index;
    out->pid = sl->pid;
    out->draining = sl->draining != 0;
    out->heartbeat_ms = sl->heartbeat_ms;
    return out->role != ROLE_FREE;
}

void state_set_draining(struct state *s, int slot)
{
    if (slot_valid(slot))
        s->sh->slot[slot].draining = 1;
}

int state_my_slot(const struct state *s)
{
    return s->my_slot;
}

void state_heartbeat(struct state *s, uint64_t now_ms)
{
    if (s->my_slot >= 0)
        s->sh->slot[s->my_slot].heartbeat_ms = now_ms;
}

uint64_t state_slot_metric(const struct state *s, int slot, enum metric m)
{
    return slot_valid(slot) ? s->sh->slot[slot].metrics[m] : 0;
}

static uint64_t sum_of(const struct state *s, enum metric m, uint64_t slots)
{
    uint64_t sum = 0;

    while (slots != 0) {
        int slot = next_slot(&slots);
        uint64_t v = atomic_load_explicit(&s->sh->slot[slot].metrics[m], memory_order_relaxed);

        if (takes_maximum(m))
            sum = v > sum ? v : sum;
        else
            sum += v;
    }
    return sum;
}

uint64_t state_gauge_sum(const struct state *s, enum metric gauge)
{
    return sum_of(s, gauge, s->sh->taken); /* a free slot's gauges are 0 */
}

void state_metrics_sum(const struct state *s, uint64_t out[METRIC_COUNT])
{
    for (int m = 0; m < METRIC_COUNT; m++)
        out[m] = sum_of(s, (enum metric)m, UINT64_MAX);
}
