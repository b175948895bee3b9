/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_canary.h - heavy hitters among witnesses (guard.h): addresses that no sane list contains.
 *
 * Each owner or network gets one place, however many addresses it uses.  A newcomer gets a place only once a
 * place has faded to zero (Misra-Gries), so a sender with a handful of networks cannot displace the large ones.
 * A witness with a hundredth of the mail always has a place.  Pure; one instance for each
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

/* Counts mail from a witness. */
void canary_note(struct canaries *c, const struct addr *ip, uint64_t owner, int64_t now_s);

/* The most frequent ones, at most `max`; returns how many. */
size_t canary_pick(const struct canaries *c, struct addr *out, size_t max);

#endif
