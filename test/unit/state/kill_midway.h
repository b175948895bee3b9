/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_midway.h - a forked process that works on the shared memory until it is killed in the middle of it.
 */
#ifndef TEST_UNIT_STATE_KILL_MIDWAY_H
#define TEST_UNIT_STATE_KILL_MIDWAY_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "state/slots.h"
#include "state/state.h"

typedef void (*busy_work)(struct state *s, unsigned round);

/* Forks into a new slot, which it returns; the child does `work` for ever. */
static inline int fork_busy_as(struct state *s, enum state_role role, busy_work work, pid_t *pid)
{
    int slot = state_slot_take(s, role, 1, 0);

    *pid = fork();
    if (*pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails ends without killing it */
        state_slot_enter(s, slot);
        for (unsigned round = 0;; round++) {
            work(s, round);
        }
    }
    return slot;
}

static inline int fork_busy(struct state *s, busy_work work, pid_t *pid)
{
    return fork_busy_as(s, ROLE_WORKER, work, pid);
}

static inline void kill_and_reap(struct state *s, pid_t pid, int slot)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    state_slot_release(s, slot);
}

static inline void pause_us(long us)
{
    struct timespec ts = { 0, us * 1000 };

    nanosleep(&ts, NULL);
}

#endif
