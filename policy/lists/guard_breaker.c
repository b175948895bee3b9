/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_breaker.c - skips a list that does not answer, so that no session waits for it (guard.h).
 *
 *     closed --- half of the newest queries failed ---> open --- retry ---> one trial --- answer ---> closed
 *                                                        ^                      |
 *                                                        +-- failure: twice as long, up to BREAKER_MAX_S
 *
 * Window     the newest queries, between reputation.guard.breaker.failures and twice as many.  The breaker opens once
 *            that many failed: at least half.  There is no time limit, so a quiet site decides by the same number.
 * Networks   one client network alone cannot open it: the failures of a window must come from MEMORY_FAILED_BY
 *            networks, or the newest probe must have failed as well.
 * Open       only the trial and probes can close it; late answers and failures of earlier queries are ignored.
 */
#include "policy/lists/guard_priv.h"
#include "policy/standing/standing.h"

#define BREAKER_MAX_S 600

static void close_breaker(struct memory_list *l)
{
    l->failures = l->successes = 0;
    l->broken_since_s = l->retry_wait_s = 0;
    memset(l->failed_by, 0, sizeof(l->failed_by));
}

/* Drops the older half of the window. */
static void halve(struct memory_list *l)
{
    l->failures /= 2;
    l->successes /= 2;
    memset(l->failed_by, 0, sizeof(l->failed_by));
}

/* Adds a network to those with failures; true: there are enough of them. */
static bool note_network(struct memory_list *l, const struct addr *from)
{
    uint32_t network = standing_key_network_hash(from);

    for (size_t i = 0; i < MEMORY_FAILED_BY; i++) {
        if (l->failed_by[i] == 0) {
            l->failed_by[i] = network;
        }
        if (l->failed_by[i] == network) {
            break;
        }
    }
    return l->failed_by[MEMORY_FAILED_BY - 1] != 0;
}

static void retry_later(struct memory_list *l, uint64_t wait_s, int64_t now_s)
{
    l->retry_wait_s = (uint32_t)min_u64(wait_s > 0 ? wait_s : 1, BREAKER_MAX_S);
    l->retry_at_s = (uint32_t)now_s + l->retry_wait_s;
}

static unsigned note_while_open(struct memory_list *l, const struct guard_news *n, bool failed, int64_t now_s)
{
    if (!n->trial) {
        return 0;
    }
    if (failed) {
        retry_later(l, (uint64_t)l->retry_wait_s * 2, now_s);
        return 0;
    }
    close_breaker(l);
    return GUARD_MENDED;
}

unsigned breaker_note(struct memory_list *l, const struct config_guard *s, const struct guard_news *n,
                      int64_t now_s)
{
    bool failed = n->outcome == GUARD_ERROR || n->outcome == GUARD_TIMEOUT, several;
    uint64_t window = 2 * (uint64_t)s->breaker_failures;

    if (l->broken_since_s != 0) {
        return note_while_open(l, n, failed, now_s);
    }
    if (s->breaker_failures == 0) {
        return 0;
    }
    l->failures += failed;
    l->successes += !failed;
    several = failed && (note_network(l, &n->from) || l->probe_failures > 0);
    if (several && l->failures >= s->breaker_failures && l->failures >= l->successes) {
        l->broken_since_s = (uint32_t)now_s;
        retry_later(l, s->breaker_retry_s, now_s);
        return GUARD_BROKEN;
    }
    if ((uint64_t)l->failures + l->successes >= window) {
        halve(l);
    }
    return 0;
}

unsigned guard_probe_over(struct memory_list *l, const struct guard_news *n)
{
    bool was = l->broken_since_s != 0;

    if (n->outcome == GUARD_ERROR || n->outcome == GUARD_TIMEOUT) {
        l->probe_failures = (uint8_t)(l->probe_failures + (l->probe_failures < UINT8_MAX));
        memcpy(l->last_error, n->answer, sizeof(l->last_error));
        return 0;
    }
    l->probe_failures = 0;
    if (was) {
        close_breaker(l);
    }
    return was ? GUARD_MENDED : 0;
}

enum guard_ask guard_may_ask(struct memory_list *l, int64_t now_s)
{
    if (l->broken_since_s == 0) {
        return GUARD_ASK;
    }
    if (now_s < (int64_t)l->retry_at_s && (int64_t)l->retry_at_s - now_s <= BREAKER_MAX_S) {
        return GUARD_ASK_NOT;
    }
    l->retry_at_s = (uint32_t)now_s + (l->retry_wait_s > 0 ? l->retry_wait_s : 1);
    return GUARD_ASK_TRIAL;
}
