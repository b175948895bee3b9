/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists_load.h - config.reputation with what follows from it.  Private to policy/.
 */
#ifndef POLICY_RULES_LISTS_LOAD_H
#define POLICY_RULES_LISTS_LOAD_H

#include "policy/lists/reputation.h"
#include "policy/rules/rules_priv.h"

/* Fills p->reputation; its memory is p->arena's and the configuration's. */
void lists_load(struct policy *p, struct config_errors *errs);

#endif
