/*
 * standing_load.h - the sections known_good, zero_day, greylist, reputation.guard and state.redis, compiled.
 * Private to policy/.
 */
#ifndef POLICY_RULES_STANDING_LOAD_H
#define POLICY_RULES_STANDING_LOAD_H

#include "policy/lists/guard.h"
#include "policy/standing/standing.h"

struct remembered { /* part of struct policy */
    struct known_good_settings known_good;
    struct zero_day_settings zero_day;
    struct greylist_settings greylist;
    struct guard_settings guard;
    struct memory_redis redis; /* url "": embedded */
};

struct policy;

/* Fills p->remembered; errors go to errs.  False if there was one. */
bool standing_load(struct policy *p, struct config_errors *errs) MUST_USE;

/* The sections reputation, known_good, zero_day and greylist as they are in force, for `check --print`. */
void standing_print(const struct policy *p, struct buf *out);

#endif
