/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_priv.h - shared by the files of the guard: guard.c, guard_breaker.c, guard_effect.c.  Private to them; pure,
 * on a record that the caller has taken.
 */
#ifndef POLICY_LISTS_GUARD_PRIV_H
#define POLICY_LISTS_GUARD_PRIV_H

#include "policy/lists/guard_count.h"

/* ---- guard_breaker.c: GUARD_BROKEN, GUARD_MENDED or 0 ---- */

/* Counts an answered or failed query; not for GUARD_VOID. */
unsigned breaker_note(struct memory_list *l, const struct config_guard *s, const struct guard_news *n,
                      int64_t now_s);

/* ---- guard_effect.c ---- */

/* Checks whether the list has an effect: GUARD_USELESS, GUARD_USEFUL or 0. */
unsigned effect_look(struct memory_list *l, const struct guard_list *list, int64_t now_s);

#endif
