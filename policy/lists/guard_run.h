/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_run.h - the guard of a worker: the mode in force for each list, probes, canaries, log lines.
 *
 * guard.c decides, on records that all workers share.  This part queries the DNS, writes the log and caches the modes
 * for a second, so that sessions need no lock to read them.  Private to policy/.
 */
#ifndef POLICY_LISTS_GUARD_RUN_H
#define POLICY_LISTS_GUARD_RUN_H

#include "policy/lists/guard.h"

struct guard_run;

struct guard_run_setup { /* all borrowed for the life of the guard */
    struct loop *loop;
    struct resolver *resolver;
    struct memory *memory;
    const struct reputation *rep;
    const struct config_guard *settings;
};

struct guard_run *guard_run_new(const struct guard_run_setup *setup) MUST_USE;
void guard_run_free(struct guard_run **g); /* NULL inside is allowed */

enum list_mode guard_run_mode(const struct guard_run *g, size_t list);
enum guard_ask guard_run_may_ask(struct guard_run *g, size_t list);

void guard_run_answer(struct guard_run *g, size_t list, const struct guard_news *n);
void guard_run_witness(struct guard_run *g, size_t list, const struct guard_witness *w);

/* A witness (guard.h) sent mail from this address: it may become a canary for the next probes. */
void guard_run_canary(struct guard_run *g, const struct addr *ip, uint64_t owner);

/* Does an override change the mode of a list that the file has off? */
bool guard_run_awake(const struct guard_run *g);

/* Is this client in the sample that is looked up for the guard alone? */
bool guard_run_samples(const struct guard_run *g);

#endif
