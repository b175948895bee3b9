/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_count.h - the counters of a list: minutes, distinct clients, distinct identities.
 *
 * Private to the guard (guard.c); pure, on a record that the caller has taken.
 */
#ifndef POLICY_LISTS_GUARD_COUNT_H
#define POLICY_LISTS_GUARD_COUNT_H

#include "policy/lists/guard.h"

/* The counters of the current minute, cleared if it is new. */
struct memory_minute *guard_minute(struct memory_list *l, int64_t now_s);

/* The sum of the last `minutes` minutes. */
void guard_sum(const struct memory_list *l, unsigned minutes, int64_t now_s, struct memory_minute *out);

/* Is this the client network's first lookup in some minutes?  Marks it as seen. */
bool guard_is_new(struct memory_list *l, const struct addr *ip, int64_t now_s);

/* Counts the lookup of an established identity. */
void guard_note_good(struct memory_list *l, const struct config_guard *s, const struct guard_witness *w,
                     int64_t now_s);

struct guard_good {
    unsigned asked, listed; /* distinct within known_good.within */
};
struct guard_good guard_count_good(const struct memory_list *l, const struct config_guard *s, int64_t now_s);

/* part / whole >= percent / 100 */
bool guard_reaches(uint64_t part, uint64_t whole, unsigned percent);

#endif
