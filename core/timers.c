/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timers.c - timers in a binary heap.
 *
 *              0            children of i: 2i + 1, 2i + 2
 *            /   \          earlier(parent, child) always holds
 *           1     2         timer->slot is its index + 1
 *
 * A session restarts its timer with every command, so starting a running timer moves it in place.  The heap grows
 * by doubling and never shrinks.
 */
#include "core/timers.h"

#define FIRST_CAP 64

void timers_init(struct timers *ts)
{
    *ts = (struct timers){ .heap = NULL };
}

void timers_fini(struct timers *ts)
{
    BUG_ON(ts->len != 0);
    free(ts->heap);
    ts->heap = NULL;
    ts->cap = 0;
}

uint64_t timers_next(const struct timers *ts)
{
    return ts->len ? ts->heap[0]->due : TIMERS_NONE;
}

static bool is_earlier(const struct timer *a, const struct timer *b)
{
    if (a->due != b->due) {
        return a->due < b->due;
    }
    return (int32_t)(a->order - b->order) < 0; /* the counter may wrap */
}

static void put_at(struct timers *ts, uint32_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->slot = i + 1;
}

/* Moves t, which belongs at i or above, to its place. */
static void sift_up(struct timers *ts, uint32_t i, struct timer *t)
{
    while (i > 0 && is_earlier(t, ts->heap[(i - 1) / 2])) {
        put_at(ts, i, ts->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put_at(ts, i, t);
}

/* Moves t, which belongs at i or below, to its place. */
static void sift_down(struct timers *ts, uint32_t i, struct timer *t)
{
    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child + 1 < ts->len && is_earlier(ts->heap[child + 1], ts->heap[child])) {
            child++;
        }
        if (child >= ts->len || !is_earlier(ts->heap[child], t)) {
            break;
        }
        put_at(ts, i, ts->heap[child]);
        i = child;
    }
    put_at(ts, i, t);
}

static void place(struct timers *ts, uint32_t i, struct timer *t)
{
    if (i > 0 && is_earlier(t, ts->heap[(i - 1) / 2])) {
        sift_up(ts, i, t);
    } else {
        sift_down(ts, i, t);
    }
}

static uint32_t add_slot(struct timers *ts)
{
    if (ts->len == ts->cap) {
        ts->cap = ts->cap ? ts->cap * 2 : FIRST_CAP;
        ts->heap = xrealloc(ts->heap, ts->cap * sizeof(struct timer *));
    }
    return ts->len++;
}

void timers_run(struct timers *ts, uint64_t now, uint32_t most)
{
    for (uint32_t left = ts->len < most ? ts->len : most; left && ts->len && ts->heap[0]->due <= now;
         left--) {
        struct timer *t = ts->heap[0];

        timer_stop(t);
        t->cb(t->arg); /* may stop or start any timer, and free t */
    }
}

void timer_init(struct timer *t, struct loop *l, timer_cb cb, void *arg)
{
    *t = (struct timer){ .loop = l, .cb = cb, .arg = arg };
}

void timer_start(struct timer *t, uint64_t delay_ms)
{
    uint64_t now = loop_now(t->loop);

    timer_start_at(t, delay_ms < TIMERS_NONE - 1 - now ? now + delay_ms : TIMERS_NONE - 1);
}

void timer_start_at(struct timer *t, uint64_t due_ms)
{
    struct timers *ts = loop_timers(t->loop);

    t->due = due_ms;
    t->order = ts->next_order++;
    if (t->slot == 0) {
        sift_up(ts, add_slot(ts), t);
    } else {
        place(ts, t->slot - 1, t);
    }
}

void timer_stop(struct timer *t)
{
    struct timers *ts;
    struct timer *last;
    uint32_t i = t->slot - 1;

    if (t->slot == 0) {
        return;
    }
    ts = loop_timers(t->loop);
    t->slot = 0;
    last = ts->heap[--ts->len];
    if (last != t) {
        place(ts, i, last);
    }
}
