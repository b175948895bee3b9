/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canary.h - a new stack canary for each forked process.
 *
 * A child inherits the supervisor's canary, as does the process that replaces a crashed child.  An attacker who can
 * crash workers could guess it octet by octet (blind ROP).  So each child sets a new canary before it reads from any
 * peer.  docs/internals/decisions.md explains why children are not started by exec instead.
 *
 * Limits  Works on x86_64, where the canary is at a fixed offset of the thread control block.  On aarch64 it is a
 *         read-only variable of the dynamic linker, so children keep the supervisor's.
 */
#ifndef PROXY_PROCESS_CANARY_H
#define PROXY_PROCESS_CANARY_H

#include "core/crypto.h"

/* The lowest octet is 0, so that no string function reads or writes past it. */
static inline uint64_t canary_new(void)
{
    uint64_t value;

    random_bytes(&value, sizeof(value));
    return value & ~UINT64_C(0xff);
}

/*
 * Call it only if neither the caller nor any function above it returns in this process: their frames hold the old
 * canary.  Later threads inherit the new one.
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
