/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_counts.h - how often each rule of the policy matched, enforced or only recorded.
 *
 * The supervisor makes the records before the fork; workers count in them, without a lock.
 * File   rule_counts.c.
 */
#ifndef STATE_RULE_COUNTS_H
#define STATE_RULE_COUNTS_H

#include "state/state.h"

/* Finds or makes the record of a name; -1 if it is too long or all STATE_RULES are in use.  Supervisor, before fork. */
int state_rule(struct state *s, const char *name);
int state_rule_find(const struct state *s, const char *name);     /* -1: no such rule */
void state_rule_count(struct state *s, int rule, bool monitored); /* rule -1 is allowed */
uint64_t state_rule_counted(const struct state *s, int rule, bool monitored);

#endif
