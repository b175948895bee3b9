/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account.c - charge questions to the client that causes them: the resolver's side of pace.h.
 */
#include "dns/resolver.h"

#define LOG_PAUSE_S 60

/* Logs the refusal, rate-limited. */
static void log_pace(struct resolver *r, uint64_t network)
{
    struct addr first = pace_address(network);
    struct log_line l;
    uint32_t kept_back = 0;

    if (!log_allowed(&r->pace_limit, loop_now(r->loop), LOG_PAUSE_S, &kept_back) ||
        !log_begin(&l, LOG_LEVEL_WARN, "dns_pace")) {
        return;
    }
    log_ip(&l, "network", &first);
    log_num(&l, "suppressed", kept_back);
    log_end(&l);
}

bool resolver_keeps_pace(struct resolver *r, const struct dns_asker *who, uint64_t *network)
{
    enum pace_said said = PACE_YES_FREE;

    if (r->settings.pace != NULL && who->network != 0) {
        said = pace_ask(r->settings.pace, &r->rates, who, loop_now_us());
    }
    *network = said == PACE_YES ? who->network : 0;
    if (said != PACE_NO) {
        return true;
    }
    resolver_count_failure(r, DNS_WHY_PACE);
    if (who->paced != NULL) {
        who->paced(who->arg);
    }
    log_pace(r, who->network);
    return false;
}

void resolver_give_back(struct resolver *r, uint64_t network)
{
    if (network != 0) {
        pace_give_back(r->settings.pace, &r->rates, network, loop_now_us());
    }
}
