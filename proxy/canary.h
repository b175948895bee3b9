/*
 * canary.h - a stack canary of its own for each process that is forked.
 *
 * Children inherit the canary of the supervisor, and so does the one that takes the place of a child that crashed.  A
 * stranger who can make workers crash could then guess it octet by octet (blind ROP).  So each child takes a new one
 * before it hears from anybody.  Why there is no exec beside: docs/internals/decisions.md.
 *
 * Limits  x86_64, where it lies at a fixed place of the thread.  On aarch64 it is a variable of the dynamic linker that
 *         is read-only by then: children keep the supervisor's.
 */
#ifndef PROXY_CANARY_H
#define PROXY_CANARY_H

#include "core/crypto.h"

/* The lowest octet is 0: no string function reads or writes past it. */
static inline uint64_t canary_new(void)
{
    uint64_t value;

    random_bytes(&value, sizeof(value));
    return value & ~UINT64_C(0xff);
}

/*
 * Only in a function that never returns and was called by functions that never return in this process: what they have
 * on the stack is guarded by the old one.  Threads made later get the new one.
 */
static inline __attribute__((always_inline)) void canary_set(uint64_t value)
{
#if defined(__x86_64__) && !defined(__ILP32__)
    __asm__ volatile("movq %0, %%fs:0x28" : : "r"(value) : "memory");
#else
    (void)value;
#endif
}

#endif
