/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jump_clock.h - a clock for tests on the real loop that no busy machine can disturb.
 *
 * While there is anything to do it stands still, but for a moment each time it is looked at; when a poll finds
 * nothing ready it jumps to the time at which the poll would have ended.  So a timer runs when all else has been
 * done, waiting costs next to nothing, and what a test says about time is about order.
 *
 * The program's clock_gettime() and epoll_wait() are these (libevent's and c-ares' calls come here too), so the
 * header belongs into one file of a test, whose servers must be in the same loop: nothing else would be waited for.
 *
 * Limits   only the monotonic clocks; a poll without an end waits for real.  A test of several processes asks for
 *          the machine's own clock before it makes its first loop: jump_clock_off.
 */
#ifndef TEST_UNIT_JUMP_CLOCK_H
#define TEST_UNIT_JUMP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define JUMP_LOOK_US 1 /* a look at the clock takes so long, so it is seen to go on by who is always busy */

static int jump_settle_ms =
    20; /* of real time: what was sent over loopback is there before the clock jumps */
static uint64_t jump_now_us = 1000000000;
static bool jump_clock_off;

/* As if the process had stood still for so long. */
static inline void jump_clock_pass(uint64_t ms)
{
    jump_now_us += ms * 1000;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    bool ours = id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_MONOTONIC_RAW;

    if (ours && !jump_clock_off) {
        jump_now_us += JUMP_LOOK_US;
        ts->tv_sec = (time_t)(jump_now_us / 1000000);
        ts->tv_nsec = (long)(jump_now_us % 1000000 * 1000);
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, id, ts);
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    bool whole = jump_clock_off || timeout < jump_settle_ms; /* one without an end too */
    int settle = whole ? timeout : jump_settle_ms;
    int n = (int)syscall(SYS_epoll_pwait, fd, events, max, settle, NULL, 0);

    if (n == 0 && timeout > 0) {
        jump_clock_pass((uint64_t)timeout);
    }
    return n;
}

#endif
