/*
 * lists_load.h - compiling the section `reputation`.  Private to policy/.
 */
#ifndef POLICY_RULES_LISTS_LOAD_H
#define POLICY_RULES_LISTS_LOAD_H

#include "policy/lists/reputation.h"
#include "policy/rules/rules_parts.h"

/* Fills p->reputation; errors and warnings go to errs.  False if there was an error.  All memory is p->arena's. */
bool lists_load(struct policy *p, struct config_errors *errs) MUST_USE;

#endif
