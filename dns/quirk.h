/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quirk.h - does one server bear what we do to our questions?  Pure bookkeeping; the caller says what time it is.
 *
 * Two things are done to a question that not every server bears: an OPT record (RFC 6891), and letters of mixed case.
 * Each is used until the server has shown that it does not bear it: the same question failed with it and was answered
 * without it, once, or QUIRK_PROOFS times in a row from a server that has borne it before.  (A stranger's name server may
 * lose a packet; so what shows nothing by itself, a time-out, is followed by the question both ways at once.)  Then it
 * is left out for QUIRK_PAUSE_MS, and tried again.
 */
#ifndef DNS_QUIRK_H
#define DNS_QUIRK_H

#include "core/base.h"

#define QUIRK_PROOFS 3
#define QUIRK_PAUSE_MS 3600000

struct quirk {
    bool borne;      /* it has been, since the last pause */
    unsigned doubts; /* failures since it was */
    uint64_t off_until_ms;
};

static inline bool quirk_use(const struct quirk *k, uint64_t now_ms)
{
    return now_ms >= k->off_until_ms;
}

/* Has it failed so often that the next question is to show which way it is? */
static inline bool quirk_doubted(const struct quirk *k)
{
    return k->doubts >= (k->borne ? QUIRK_PROOFS : 1);
}

static inline void quirk_borne(struct quirk *k)
{
    k->borne = true;
    k->doubts = 0;
}

static inline void quirk_failed(struct quirk *k)
{
    k->doubts += k->doubts < QUIRK_PROOFS ? 1 : 0;
}

/* A question that failed with it was answered without; true: from now on it is left out. */
static inline bool quirk_proved(struct quirk *k, uint64_t now_ms)
{
    if (!quirk_doubted(k) || !quirk_use(k, now_ms)) {
        return false;
    }
    *k = (struct quirk){ .off_until_ms = now_ms + QUIRK_PAUSE_MS };
    return true;
}

#endif
