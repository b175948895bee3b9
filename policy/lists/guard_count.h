/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_count.h - what is counted about a list: minutes, clients told apart, distinct identities.
 *
 * Private to the guard (guard.c); pure, on a record that is taken.
 */
#ifndef POLICY_LISTS_GUARD_COUNT_H
#define POLICY_LISTS_GUARD_COUNT_H

#include "policy/lists/guard.h"

/* The minute of now, cleared if it is new. */
struct memory_minute *guard_minute(struct memory_list *l, int64_t now_s);

/* The last so many minutes in sum. */
void guard_sum(const struct memory_list *l, unsigned minutes, int64_t now_s, struct memory_minute *out);

/* Is it the first time in some minutes that this client's network is asked about?  From now on it is not. */
bool guard_is_new(struct memory_list *l, const struct addr *ip, int64_t now_s);

/* An established identity was asked about. */
void guard_note_good(struct memory_list *l, const struct config_guard *s, const struct guard_witness *w,
                     int64_t now_s);

struct guard_good {
    unsigned asked, listed; /* distinct within known_good.within */
};
struct guard_good guard_count_good(const struct memory_list *l, const struct config_guard *s, int64_t now_s);

/* part / whole >= percent / 100 */
bool guard_reaches(uint64_t part, uint64_t whole, unsigned percent);

#endif
