/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists_load.h - compiles config.reputation.  Private to policy/.
 */
#ifndef POLICY_RULES_LISTS_LOAD_H
#define POLICY_RULES_LISTS_LOAD_H

#include "policy/lists/reputation.h"
#include "policy/rules/rules_priv.h"

/* Fills p->reputation, which uses memory of p->arena and of the configuration. */
void lists_load(struct policy *p, struct config_errors *errs);

#endif
