/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the event loop: watches, timers, deferred calls, burial.
 *
 * Effect     one loop a process.  A turn is: poll, ready watches, due timers, deferred calls, end-of-turn
 *            hooks (streams flush), burial.  Nothing here blocks but the poll.
 * Stalls     a process that stood still for longer than a timer had to go first handles what arrived meanwhile:
 *            an answer that is there is not found missing.
 * Ownership  timers, watches and deferred calls are embedded in their owner's struct and must be
 *            stopped before it dies (all stops are idempotent).
 * Clock      monotonic milliseconds, read once a turn: loop_now().  The sim has another body for
 *            the poll and the clock (test/sim/fake_loop.c); timers.c serves both.
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

/* ---- timers: a binary heap of our own (a libevent timer is 128 octets a session) ---- */

typedef void (*timer_cb)(void *arg);

struct timer {
    struct loop *loop;
    timer_cb cb;
    void *arg;
    uint64_t due;   /* ms */
    uint32_t slot;  /* place in the heap + 1; 0: stopped */
    uint32_t order; /* of starting: the earlier one of two that are due together runs first */
};

void timer_init(struct timer *t, struct loop *l, timer_cb cb, void *arg);
void timer_start(struct timer *t, uint64_t delay_ms); /* started again: restarts */
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

/* ---- deferred calls: run later in this turn, or at once in the next one; never inline ---- */

struct deferred {
    struct list_node node;
    void (*cb)(void *arg);
    void *arg;
};

void deferred_init(struct deferred *d, void (*cb)(void *arg), void *arg);
void loop_defer(struct loop *l, struct deferred *d); /* twice is once */
void deferred_cancel(struct deferred *d);

/* At the end of the turn, after all deferred calls: for streams to flush what was written. */
void loop_at_end(struct loop *l, struct deferred *d);

/*
 * Heavy work, such as a step of a TLS handshake: this turn or a later one, in the order of asking, at most so
 * many a turn and no further one once the turn has taken long.  So a thousand at once leave the loop to
 * others in between.
 */
#define LOOP_HEAVY_A_TURN 4
void loop_heavy(struct loop *l, struct deferred *d); /* twice is once */

/* ---- burial: memory stays valid for our own stack frames until the end of the turn (L7) ---- */

struct grave {
    struct grave *next;
    void (*free_fn)(void *obj);
    void *obj;
};

void loop_bury(struct loop *l, struct grave *g, void (*free_fn)(void *obj), void *obj);

/* ---- the buffer that every stream of the loop reads into; contents hold for one callback ---- */

#define LOOP_READ_SIZE ((size_t)256 * 1024)

char *loop_read_buffer(struct loop *l); /* LOOP_READ_SIZE octets, made at the first call */

#endif
