/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_loop.c - core/loop.h with a virtual clock: time passes only in sim_advance().
 *
 * The timers are the real ones (core/timers.c); watches are never ready, because streams are in memory.
 *
 * Deferred calls, hooks and burial look like those of core/loop.c, on purpose: they are a few lines each, and
 * the real ones stay free of indirection.  A sim has nothing heavy, and runs a turn until nothing is left.
 */
#include "core/timers.h"

#include "test/sim/sim.h"

#define TURNS_MAX 100000 /* a loop that never settles is a defect */

struct loop {
    struct timers timers;
    struct list_node deferred, at_end;
    struct grave *graves;
    char *read_buffer;
    uint64_t now;
    bool stopping;
};

static uint64_t the_time = 1000000; /* ms; one clock for all loops of the process */

struct loop *loop_new(void)
{
    struct loop *l = xcalloc(1, sizeof(*l));

    timers_init(&l->timers);
    list_init(&l->deferred);
    list_init(&l->at_end);
    l->now = the_time;
    return l;
}

static void bury(struct loop *l)
{
    while (l->graves != NULL) {
        struct grave *g = l->graves;

        l->graves = g->next;
        g->free_fn(g->obj);
    }
}

void loop_free(struct loop *l)
{
    bury(l);
    BUG_ON(!list_empty(&l->deferred) || !list_empty(&l->at_end));
    timers_fini(&l->timers);
    free(l->read_buffer);
    free(l);
}

struct timers *loop_timers(struct loop *l)
{
    return &l->timers;
}

static void run_list(struct list_node *head)
{
    struct list_node batch, *n;

    list_move_all(head, &batch);
    while ((n = list_pop(&batch)) != NULL) {
        struct deferred *d = container_of(n, struct deferred, node);

        d->cb(d->arg);
    }
}

static bool turn(struct loop *l)
{
    bool busy = timers_next(&l->timers) <= l->now || !list_empty(&l->deferred) || !list_empty(&l->at_end);

    timers_run(&l->timers, l->now, UINT32_MAX);
    run_list(&l->deferred);
    run_list(&l->at_end);
    bury(l);
    return busy;
}

void sim_settle(struct loop *l)
{
    unsigned turns = 0;

    while (turn(l)) {
        BUG_ON(++turns > TURNS_MAX);
    }
}

void sim_advance(struct loop *l, uint64_t ms)
{
    uint64_t until = l->now + ms;

    sim_settle(l);
    while (timers_next(&l->timers) <= until) {
        l->now = the_time = timers_next(&l->timers);
        sim_settle(l);
    }
    l->now = the_time = until;
    sim_settle(l);
}

void loop_run(struct loop *l)
{
    sim_settle(l);
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}

uint64_t loop_now(const struct loop *l)
{
    return l->now;
}

uint64_t loop_now_us(void)
{
    return the_time * 1000;
}

int64_t wall_now_s(void)
{
    return 1795000000 + (int64_t)(the_time / 1000);
}

uint64_t loop_longest_turn_us(struct loop *l UNUSED)
{
    return 0;
}

char *loop_read_buffer(struct loop *l)
{
    if (l->read_buffer == NULL) {
        l->read_buffer = xmalloc(LOOP_READ_SIZE);
    }
    return l->read_buffer;
}

void watch_init(struct watch *w, struct loop *l, int fd, watch_cb cb, void *arg)
{
    *w = (struct watch){ .loop = l, .cb = cb, .arg = arg, .fd = fd };
}

void watch_set(struct watch *w, unsigned wanted)
{
    w->wanted = wanted;
}

void watch_stop(struct watch *w)
{
    w->wanted = 0;
}

void deferred_init(struct deferred *d, void (*cb)(void *arg), void *arg)
{
    list_node_init(&d->node);
    d->cb = cb;
    d->arg = arg;
}

void loop_defer(struct loop *l, struct deferred *d)
{
    if (!list_linked(&d->node)) {
        list_push_back(&l->deferred, &d->node);
    }
}

void loop_heavy(struct loop *l, struct deferred *d)
{
    loop_defer(l, d); /* virtual time stands still: no turn takes long */
}

void deferred_cancel(struct deferred *d)
{
    list_remove(&d->node);
}

void loop_at_end(struct loop *l, struct deferred *d)
{
    if (!list_linked(&d->node)) {
        list_push_back(&l->at_end, &d->node);
    }
}

void loop_bury(struct loop *l, struct grave *g, void (*free_fn)(void *obj), void *obj)
{
    g->free_fn = free_fn;
    g->obj = obj;
    g->next = l->graves;
    l->graves = g;
}
