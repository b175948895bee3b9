/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_groups.c - group files that change on the disk.
 *
 * Every LOOK_MS it checks inode, size and time of each file that a group was read from.  After a change that has
 * settled, it builds the serving configuration again with the new files, as the next generation.  Files that
 * cannot be loaded change nothing and are logged once; `glacis status` shows them until they are repaired.
 *
 * Limits     it cannot see a change that leaves inode, size and time (to the nanosecond) the same: reload
 *            then.
 */
#include "core/slice.h"
#include "policy/policy.h"
#include "proxy/process/supervisor_priv.h"
#include "state/facts.h"

#define LOOK_MS 1000

static void note_refused(struct supervisor *sup, const struct config_errors *errs)
{
    struct buf first;

    buf_init(&first, STATE_TEXT);
    (void)supervisor_first_error(sup, errs, &first);
    refusal_set(&sup->groups.refusal, errs->fatal, buf_slice(&first));
    buf_fini(&first);
    sup->groups.refused = sup->groups.seen;
}

static void note_good(struct supervisor *sup)
{
    sup->groups.refused = 0;
    refusal_clear(&sup->groups.refusal);
    sup->recheck_ms = sup->now_ms; /* they may be the reason why a reload was refused */
}

static void take(struct supervisor *sup, const struct config *old)
{
    struct config_errors errs = { 0 };
    struct config *conf = material_load(sup, old, MATERIAL_BIT(MATERIAL_GROUPS), &errs);

    supervisor_log_errors(&errs, sup->options.config_path);
    if (conf == NULL) {
        note_refused(sup, &errs);
        log_msg(LOG_LEVEL_ERROR, "groups_refused",
                "A group file changed but could not be loaded; the previous contents stay in force");
    } else {
        log_msg(LOG_LEVEL_INFO, "groups_changed", "A file of a group has changed: a new generation takes it");
        note_good(sup);
        supervisor_reloaded(sup, conf, NULL);
    }
    config_errors_fini(&errs);
}

void groups_tick(struct supervisor *sup)
{
    const struct generation *g = generation_in(sup, GENERATION_CURRENT);
    uint64_t now;

    if (g == NULL || g->conf->policy == NULL || sup->stopping || sup->now_ms < sup->groups.next_ms) {
        return;
    }
    if (sup->pending != NULL || generation_in(sup, GENERATION_STARTING) != NULL) {
        return; /* a pending reload loads them itself */
    }
    sup->groups.next_ms = sup->now_ms + LOOK_MS;
    now = policy_files_now(g->conf->policy);
    if (now != sup->groups.seen) {
        sup->groups.seen = now; /* it may still be being written */
        sup->groups.settled = false;
    } else if (now == policy_files_read(g->conf->policy)) {
        if (!sup->groups.settled) {
            note_good(sup);
        }
        sup->groups.settled = true;
    } else if (now != sup->groups.refused) {
        take(sup, g->conf);
    }
}
