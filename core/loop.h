/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the event loop: watches, timers, deferred calls, burial.
 *
 * Effect     one loop per process.  A turn is: poll, ready watches, due timers, deferred calls, end-of-turn
 *            hooks (streams flush), burial.  Only the poll blocks.
 * Stalls     after a stall longer than a timer's remaining time, the loop handles arrived input first.  So a timer
 *            never declares a timeout for an answer that has already arrived.
 * Ownership  timers, watches and deferred calls are embedded in their owner's struct and must be
 *            stopped before it dies (all stops are idempotent).
 * Clock      monotonic milliseconds, read once per turn: loop_now().  The sim replaces the poll and the clock
 *            (test/sim/fake_loop.c) and shares timers.c.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <event2/event_struct.h>

#include "core/list.h"

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l); /* all timers, watches and deferred calls must be stopped */

void loop_run(struct loop *l);  /* until loop_stop */
void loop_stop(struct loop *l); /* after the current turn */

uint64_t loop_now(const struct loop *l);       /* ms, monotonic, start of this turn */
uint64_t loop_now_us(void);                    /* us, monotonic, now: for measuring only */
int64_t wall_now_s(void);                      /* seconds since 1970: log lines, headers, signatures only */
uint64_t loop_longest_turn_us(struct loop *l); /* since the last call; resets */

/* ---- timers: our own binary heap (a libevent timer costs 128 octets per session) ---- */

typedef void (*timer_cb)(void *arg);

struct timer {
    struct loop *loop;
    timer_cb cb;
    void *arg;
    uint64_t due;   /* ms */
    uint32_t slot;  /* place in the heap + 1; 0: stopped */
    uint32_t order; /* of starting: breaks ties between timers due at the same time */
};

void timer_init(struct timer *t, struct loop *l, timer_cb cb, void *arg);
void timer_start(struct timer *t, uint64_t delay_ms); /* restarts an active timer */
void timer_start_at(struct timer *t, uint64_t due_ms);
void timer_stop(struct timer *t);

static inline bool timer_active(const struct timer *t)
{
    return t->slot != 0;
}

/* ---- watches: one descriptor, level-triggered, persistent ---- */

enum {
    WATCH_READ = 1,
    WATCH_WRITE = 2,
};

typedef void (*watch_cb)(unsigned ready, void *arg); /* ready: WATCH_ bits */

struct watch {
    struct event ev;
    struct loop *loop;
    watch_cb cb;
    void *arg;
    int fd;
    unsigned wanted; /* WATCH_ bits now armed */
};

void watch_init(struct watch *w, struct loop *l, int fd, watch_cb cb, void *arg);
void watch_set(struct watch *w, unsigned wanted); /* arms exactly these bits; 0 disarms */
void watch_stop(struct watch *w);                 /* before the descriptor is closed */

/* ---- deferred calls: run later in this turn, or first in the next one; never inline ---- */

struct deferred {
    struct list_node node;
    void (*cb)(void *arg);
    void *arg;
};

void deferred_init(struct deferred *d, void (*cb)(void *arg), void *arg);
void loop_defer(struct loop *l, struct deferred *d); /* a second call does nothing */
void deferred_cancel(struct deferred *d);

/* Runs d at the end of the turn, after all deferred calls: streams flush their output there. */
void loop_at_end(struct loop *l, struct deferred *d);

/*
 * Runs heavy work, such as a step of a TLS handshake, in this turn or a later one, first come first served.  A turn
 * runs at most LOOP_HEAVY_A_TURN of them, and stops earlier once it has taken long.  So a thousand handshakes at
 * once do not block other work.
 */
#define LOOP_HEAVY_A_TURN 4
void loop_heavy(struct loop *l, struct deferred *d); /* a second call does nothing */

/* ---- burial: memory stays valid for our own stack frames until the end of the turn (L7) ---- */

struct grave {
    struct grave *next;
    void (*free_fn)(void *obj);
    void *obj;
};

void loop_bury(struct loop *l, struct grave *g, void (*free_fn)(void *obj), void *obj);

/* ---- the read buffer shared by all streams of the loop; its contents are valid during one callback ---- */

#define LOOP_READ_SIZE ((size_t)256 * 1024)

char *loop_read_buffer(struct loop *l); /* LOOP_READ_SIZE octets, allocated at the first call */

#endif
