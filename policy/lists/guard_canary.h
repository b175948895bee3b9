/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_canary.h - the witnesses (guard.h) that write most: addresses that no list should have.
 *
 * An owner or a network has one of the places, however many it uses; who is new gets one only once all
 * others have faded (the method of Misra and Gries), so that somebody with a handful of networks of his own
 * does not push the large ones out.  Whoever makes a hundredth of the mail has a place.  Pure; of one
 * process.
 */
#ifndef POLICY_LISTS_GUARD_CANARY_H
#define POLICY_LISTS_GUARD_CANARY_H

#include "core/addr.h"

#define CANARIES_KEPT 128

struct canaries {
    struct {
        struct addr ip;  /* the newest one */
        struct addr net; /* its /24 or /48 */
        uint64_t owner;  /* hash */
        uint32_t count;  /* 0: free */
    } place[CANARIES_KEPT];
    int64_t faded_s;
};

/* One of them was here. */
void canary_note(struct canaries *c, const struct addr *ip, uint64_t owner, int64_t now_s);

/* The most frequent ones, at most `max`; returns how many. */
size_t canary_pick(const struct canaries *c, struct addr *out, size_t max);

#endif
