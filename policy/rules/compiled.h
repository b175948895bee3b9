/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compiled.h - the compiled configuration, shared by the files of policy/.  Private to policy/.
 *
 *     policy.c      makes and frees struct policy; calls the loaders in this order:
 *                   lists_load.c -> standing_load.c -> rules_load.c (with groups.c) -> trial.c
 *     verdict.c     rules_evaluate(): pure; the engine calls it in a loop (policy/rules/verdict.h):
 *
 *         evaluate -> EVAL_NEEDS fact -> the engine looks it up, waits, sets it -> evaluate ... -> EVAL_DONE
 *
 * Rules number the facts 0..FACT_COUNT-1 (facts.h), then FACT_COUNT + i for `reputation.NAME` of the i-th entry of
 * reputation.lists, in the order of the file.
 *
 * Immutable after policy_compile(); all workers of a generation share it.
 */
#ifndef POLICY_RULES_COMPILED_H
#define POLICY_RULES_COMPILED_H

#include "policy/lists/reputation.h"
#include "policy/policy.h"
#include "policy/rules/rules.h"
#include "policy/rules/standing_load.h"

struct dmarc_psl;

#define POLICY_ARENA_MAX ((size_t)512 << 20)

struct rule_watch;

struct policy {
    const struct config *conf; /* borrowed: outlives this */
    struct arena arena;        /* plain data of all compiled parts */
    struct rules rules;        /* rules.h: both blocks, groups, settings of the section `policy` */

    /* Parts compiled by other files; each has its own _load, called by policy.c. */
    struct reputation reputation; /* lists_load.h; all in the arena */
    struct remembered remembered; /* standing_load.h */
    struct rule_watch *watch;     /* watch.c; NULL: policy_watch was not called */
    const char **tag_names;       /* of fields that rules and headers.add write, no duplicates */
    size_t tag_name_count;
    struct dmarc_psl *psl; /* dmarc.org_domain: psl; NULL: the tree walk */
    uint64_t files_read;   /* policy_files_now() when they were read */
};

/* Reports a reference to a missing group, at the key in the file that names it. */
void rules_group_missing(const struct policy *p, struct config_errors *errs, const char *key,
                         struct slice name);

#endif
