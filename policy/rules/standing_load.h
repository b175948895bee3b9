/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standing_load.h - the sections known_good, zero_day, greylist, reputation.guard and state.redis.  Private to
 * policy/.
 */
#ifndef POLICY_RULES_STANDING_LOAD_H
#define POLICY_RULES_STANDING_LOAD_H

#include "policy/lists/guard.h"
#include "policy/standing/standing.h"

struct remembered { /* part of struct policy */
    struct config_known_good known_good;
    struct config_zero_day zero_day;
    struct config_greylist greylist;
    struct config_guard guard;
    struct config_redis redis; /* url "": embedded */
};

struct policy;

/* Fills p->remembered; errors go to errs.  False if there was one. */
bool standing_load(struct policy *p, struct config_errors *errs) MUST_USE;

#endif
