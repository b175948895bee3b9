/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - the event loop over libevent: poll, clock, deferred calls, burial.
 *
 * libevent only reports readiness.  Each turn is one pass of event_base_loop() with one timeout event for the next of
 * our timers.  The first callback of the pass reads the clock, so loop_now() is the time at which the poll returned.
 * libevent collects changes of interest and passes them to epoll together (EPOLL_USE_CHANGELIST).  So arming and
 * disarming within a turn costs no system call.
 *
 *     poll -> ready watches -> due timers -> [ deferred calls -> heavy ones -> end-of-turn hooks ] -> burial
 *
 * The bracket repeats while it makes new work, at most MAX_ROUNDS times.  So a reply that a deferred call wrote leaves
 * in the same turn, and an endless chain cannot block the poll.  A turn runs only a few heavy calls; the rest keep
 * their order, and the next poll does not wait.
 *
 * A poll may find thousands of descriptors ready.  After EVENTS_A_TURN of them, on_event() breaks libevent's loop.
 * The rest stay in its queue, in order, and run after the timers and deferred calls of this turn.
 *
 * A timer usually means that input did not arrive in time.  After a stall (a paused machine, no processor time) or
 * under overload, the input may have arrived but be unread.  So the loop holds late timers until it has read and
 * handled all input that had arrived by then, for at most CATCH_UP_US.
 *
 * Owns       the event base, the timer heap, the streams' read buffer.
 */
#include "core/loop.h"

#include <event2/event.h>
#include <signal.h>

#include "core/timers.h"

#define MAX_ROUNDS 8
#define TIMERS_A_TURN 64   /* thousands may be due together: sessions that began together */
#define EVENTS_A_TURN 64   /* thousands may be ready together: clients that all send, or all close */
#define LATE_MS 20         /* a timer this late means a stall or overload */
#define CATCH_UP_US 200000 /* under constant overload, timers still run after this time */
#define HEAVY_US 4000      /* a turn that has taken this long starts no more heavy calls; one always runs */

struct loop {
    struct event_base *base;
    struct event *wakeup; /* the timeout of the poll */
    uint64_t wakeup_due;  /* ms for which it is armed; TIMERS_NONE: not armed */
    struct timers timers;
    struct list_node deferred; /* struct deferred by node */
    struct list_node heavy;    /* struct deferred by node; the oldest first */
    struct list_node at_end;   /* struct deferred by node */
    struct grave *graves;      /* newest first */
    char *read_buffer;         /* LOOP_READ_SIZE octets, NULL before first use */
    uint64_t now_us;           /* start of this turn */
    uint64_t longest_us;       /* longest turn since loop_longest_turn_us() */
    uint64_t late_us;          /* when timers were first found late; 0: not late */
    bool read_all;             /* a turn since late_us has read all input */
    unsigned events;           /* ready watches that ran in this turn */
    bool turn_started;         /* the poll has returned */
    bool stopping;
};

uint64_t loop_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Time of the last tick, some milliseconds old: cheap, because each message needs it dozens of times. */
int64_t wall_now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return ts.tv_sec;
}

uint64_t loop_now(const struct loop *l)
{
    return l->now_us / 1000;
}

struct timers *loop_timers(struct loop *l)
{
    return &l->timers;
}

static void start_turn(struct loop *l)
{
    if (!l->turn_started) {
        l->turn_started = true;
        l->now_us = loop_now_us();
    }
}

static void on_wakeup(evutil_socket_t fd, short what, void *arg)
{
    struct loop *l = arg;

    (void)fd;
    (void)what;
    l->wakeup_due = TIMERS_NONE;
    start_turn(l);
}

/* Writing to a closed connection is an error of that connection, not a signal. */
static void ignore_sigpipe(void)
{
    struct sigaction sa = { .sa_handler = SIG_IGN };

    sigaction(SIGPIPE, &sa, NULL);
}

struct loop *loop_new(void)
{
    struct loop *l = xcalloc(1, sizeof(*l));
    struct event_config *config = event_config_new();

    BUG_ON(config == NULL);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    l->base = event_base_new_with_config(config);
    event_config_free(config);
    BUG_ON(l->base == NULL);
    l->wakeup = evtimer_new(l->base, on_wakeup, l);
    BUG_ON(l->wakeup == NULL);
    l->wakeup_due = TIMERS_NONE;
    timers_init(&l->timers);
    list_init(&l->deferred);
    list_init(&l->heavy);
    list_init(&l->at_end);
    l->now_us = loop_now_us();
    ignore_sigpipe();
    return l;
}

static void bury(struct loop *l)
{
    while (l->graves) {
        struct grave *g = l->graves;

        l->graves = g->next;
        g->free_fn(g->obj); /* frees g too */
    }
}

void loop_free(struct loop *l)
{
    if (l == NULL) {
        return;
    }
    bury(l);
    BUG_ON(!list_empty(&l->deferred) || !list_empty(&l->heavy) || !list_empty(&l->at_end));
    timers_fini(&l->timers);
    event_free(l->wakeup);
    event_base_free(l->base);
    free(l->read_buffer);
    free(l);
}

/* Waits until a watch is ready or a timer due, and runs the ready watches. */
static void poll_once(struct loop *l)
{
    uint64_t now = loop_now_us();
    uint64_t due = timers_next(&l->timers);
    bool at_once =
        !list_empty(&l->deferred) || !list_empty(&l->heavy) || !list_empty(&l->at_end) || due <= now / 1000;

    l->turn_started = false;
    l->events = 0;
    if (at_once) {
        /* ONCE: without it, libevent continues while anything is ready, and nothing else ever runs */
        event_base_loop(l->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
    } else {
        if (due == TIMERS_NONE && l->wakeup_due != TIMERS_NONE) {
            evtimer_del(l->wakeup);
        } else if (due != l->wakeup_due) {
            uint64_t left = due * 1000 - now;
            struct timeval tv = { (time_t)(left / 1000000), (suseconds_t)(left % 1000000) };

            evtimer_add(l->wakeup, &tv);
        }
        l->wakeup_due = due;
        event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    }
    start_turn(l);
}

/* L6: runs from a local head, so that calls added meanwhile join the next round. */
static void run_list(struct list_node *head)
{
    struct list_node batch;
    struct list_node *n;

    list_move_all(head, &batch);
    while ((n = list_pop(&batch)) != NULL) {
        struct deferred *d = container_of(n, struct deferred, node);

        d->cb(d->arg);
    }
}

/* `ran`: number of heavy calls already run in this turn. */
static bool heavy_may_run(const struct loop *l, unsigned ran)
{
    return !list_empty(&l->heavy) &&
           (ran == 0 || (ran < LOOP_HEAVY_A_TURN && loop_now_us() - l->now_us < HEAVY_US));
}

static unsigned run_heavy(struct loop *l, unsigned ran)
{
    struct list_node *n;

    while (heavy_may_run(l, ran) && (n = list_pop(&l->heavy)) != NULL) {
        struct deferred *d = container_of(n, struct deferred, node);

        ran++;
        d->cb(d->arg);
    }
    return ran;
}

/* True while input that late timers wait for may still be unread, or read but not handled. */
static bool must_catch_up(struct loop *l)
{
    uint64_t due = timers_next(&l->timers), now = loop_now(l);

    if (due > now || now - due < LATE_MS) {
        l->late_us = 0;
        return false;
    }
    if (l->late_us == 0) { /* this poll may have missed input that arrived meanwhile */
        l->late_us = l->now_us;
        l->read_all = false;
        return true;
    }
    if (l->read_all || l->now_us - l->late_us >= CATCH_UP_US) {
        return false;
    }
    l->read_all = l->events < EVENTS_A_TURN; /* its deferred calls run in this turn */
    return true;
}

static void run_turn(struct loop *l)
{
    unsigned ran = 0;
    uint64_t took;

    poll_once(l);
    if (!must_catch_up(l)) {
        timers_run(&l->timers, loop_now(l), TIMERS_A_TURN);
    }
    for (int i = 0; i < MAX_ROUNDS; i++) {
        if (list_empty(&l->deferred) && list_empty(&l->at_end) && !heavy_may_run(l, ran)) {
            break;
        }
        run_list(&l->deferred);
        ran = run_heavy(l, ran);
        run_list(&l->at_end);
    }
    bury(l);
    took = loop_now_us() - l->now_us;
    if (took > l->longest_us) {
        l->longest_us = took;
    }
}

void loop_run(struct loop *l)
{
    l->stopping = false;
    while (!l->stopping) {
        run_turn(l);
    }
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}

uint64_t loop_longest_turn_us(struct loop *l)
{
    uint64_t longest = l->longest_us;

    l->longest_us = 0;
    return longest;
}

char *loop_read_buffer(struct loop *l)
{
    if (l->read_buffer == NULL) {
        l->read_buffer = xmalloc(LOOP_READ_SIZE);
    }
    return l->read_buffer;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    struct loop *l = w->loop;

    (void)fd;
    start_turn(l);
    if (++l->events == EVENTS_A_TURN) {
        event_base_loopbreak(l->base);
    }
    w->cb((what & EV_READ ? WATCH_READ : 0U) | (what & EV_WRITE ? WATCH_WRITE : 0U), w->arg);
}

void watch_init(struct watch *w, struct loop *l, int fd, watch_cb cb, void *arg)
{
    *w = (struct watch){ .loop = l, .cb = cb, .arg = arg, .fd = fd };
}

void watch_set(struct watch *w, unsigned wanted)
{
    short what = EV_PERSIST;

    if (wanted == w->wanted) {
        return;
    }
    if (w->wanted) {
        event_del(&w->ev);
    }
    w->wanted = wanted;
    if (wanted == 0) {
        return;
    }
    what = (short)(what | (wanted & WATCH_READ ? EV_READ : 0) | (wanted & WATCH_WRITE ? EV_WRITE : 0));
    event_assign(&w->ev, w->loop->base, w->fd, what, on_event, w);
    BUG_ON(event_add(&w->ev, NULL) != 0);
}

void watch_stop(struct watch *w)
{
    watch_set(w, 0);
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

void loop_heavy(struct loop *l, struct deferred *d)
{
    if (!list_linked(&d->node)) {
        list_push_back(&l->heavy, &d->node);
    }
}

void loop_bury(struct loop *l, struct grave *g, void (*free_fn)(void *obj), void *obj)
{
    g->free_fn = free_fn;
    g->obj = obj;
    g->next = l->graves;
    l->graves = g;
}
