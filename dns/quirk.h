/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quirk.h - does a server support one optional feature of our questions?  Pure bookkeeping; the caller passes the time.
 *
 * Not every server supports an OPT record (RFC 6891) or letters of mixed case.  We use each feature until the server
 * proves not to support it: a question failed with the feature and was answered without it.  One proof is enough, or
 * QUIRK_PROOFS in a row if the server has supported it before.  A timeout proves nothing, because a remote name
 * server may lose a packet; so the next question is sent both ways at once.  After the proof, we omit the feature for
 * QUIRK_PAUSE_MS, then try again.
 */
#ifndef DNS_QUIRK_H
#define DNS_QUIRK_H

#include "core/base.h"

#define QUIRK_PROOFS 3
#define QUIRK_PAUSE_MS 3600000

struct quirk {
    bool borne;      /* supported at least once since the last pause */
    unsigned doubts; /* failures since the last success */
    uint64_t off_until_ms;
};

static inline bool quirk_use(const struct quirk *k, uint64_t now_ms)
{
    return now_ms >= k->off_until_ms;
}

/* Has it failed often enough that the next question must test it? */
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

/* A question that failed with the feature was answered without it; true: omit it from now on. */
static inline bool quirk_proved(struct quirk *k, uint64_t now_ms)
{
    if (!quirk_doubted(k) || !quirk_use(k, now_ms)) {
        return false;
    }
    *k = (struct quirk){ .off_until_ms = now_ms + QUIRK_PAUSE_MS };
    return true;
}

#endif
