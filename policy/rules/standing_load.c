/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standing_load.c - loads the settings of remembered history (standing_load.h).
 */
#include "policy/rules/standing_load.h"

#include "policy/rules/rules_priv.h"

_Static_assert(CONFIG_MAX_GOOD_DAYS == MEMORY_DAYS && CONFIG_MAX_BURST == MEMORY_BURST_MAX,
               "the limits of keys are those of records");

bool standing_load(struct policy *p, struct config_errors *errs)
{
    const struct config *c = p->conf;
    struct rules_load l = { .r = &p->rules, .arena = &p->arena, .errs = errs, .conf = c };
    bool valid = memory_redis_url_valid(c->state.redis.url);

    p->remembered = (struct remembered){ .known_good = c->known_good,
                                         .zero_day = c->zero_day,
                                         .greylist = c->greylist,
                                         .guard = c->reputation.guard,
                                         .redis = c->state.redis };
    if (!valid) { /* not quoted: it may hold a password */
        rules_error(
            &l, config_node_find(c->root, "state.redis.url"),
            "state.redis.url: expected redis://[[user]:password@]address[:port][/database] or unix:/path; "
            "the address is an IP address or localhost");
    }
    if (c->state.backend != BACKEND_REDIS) {
        p->remembered.redis.url = "";
    }
    return valid;
}
