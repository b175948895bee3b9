/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clockshim.c - the clocks of one program, moved by a test while it runs.
 *
 * Loaded with LD_PRELOAD.  GLACIS_CLOCK names a file of two 64-bit numbers, mapped once at the start (so that
 * no filter of system calls is in the way): milliseconds added to the wall clock, and to the monotonic one.
 * Timers of the kernel (poll, epoll) are not moved, as after a virtual machine was paused and went on.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static const volatile int64_t *offset_ms; /* wall, monotonic; NULL: nothing is moved */

__attribute__((constructor)) static void map_offsets(void)
{
    const char *path = getenv("GLACIS_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0) {
        return;
    }
    at = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) {
        offset_ms = at;
    }
}

static void move(struct timespec *ts, int64_t ms)
{
    int64_t ns = (int64_t)ts->tv_nsec + ms % 1000 * 1000000;

    ts->tv_sec += (time_t)(ms / 1000);
    if (ns < 0) {
        ns += SECOND_NS;
        ts->tv_sec--;
    }
    ts->tv_sec += (time_t)(ns / SECOND_NS);
    ts->tv_nsec = (long)(ns % SECOND_NS);
}

/* The vDSO is behind libc's own function, which this one hides: so the kernel is asked. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
    long done = syscall(SYS_clock_gettime, id, ts);

    if (done != 0 || offset_ms == NULL) {
        return (int)done;
    }
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        move(ts, offset_ms[0]);
    } else if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_BOOTTIME ||
               id == CLOCK_MONOTONIC_RAW) {
        move(ts, offset_ms[1]);
    }
    return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0) {
        return -1;
    }
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at)
{
    struct timespec ts;

    if (clock_gettime(CLOCK_REALTIME, &ts) != 0) {
        return (time_t)-1;
    }
    if (at != NULL) {
        *at = ts.tv_sec;
    }
    return ts.tv_sec;
}
