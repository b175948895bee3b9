/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_effect.c - finds a list that cannot list any client, so that the administrator can fix it (guard.h).
 *
 * Such a list fails open: mail is accepted as if the list knew no client, and nothing else would reveal it.  The
 * guard logs it at once, again each day, and when it works again.
 *
 * Evidence    no answer to any query of the last hour; the probes, if there were too few queries; a breaker
 *             that has been open for a while; a test entry (RFC 5782 5) that never existed.
 */
#include "policy/lists/guard_priv.h"

#define WINDOW_MIN 60
#define ASKED_MIN 5  /* failures that are enough evidence, */
#define PROBED_MIN 3 /* or probes in a row */
#define BROKEN_S 60  /* a breaker open this long; a shorter failure needs no action */
#define AGAIN_S 86400

static bool is_answer(const struct memory_list *l, uint8_t b, uint8_t c, uint8_t d)
{
    const uint8_t *a = l->last_error;

    return a[0] == 127 && a[1] == b && a[2] == c && a[3] == d;
}

/* The effect that the newest failure indicates. */
static enum guard_effect by_failure(const struct memory_list *l, const struct guard_list *list, bool errors)
{
    if (is_answer(l, 255, 255, 254)) {
        return EFFECT_REFUSED;
    }
    if (is_answer(l, 255, 255, 255) ||
        (list->allows && (is_answer(l, 0, 0, 255) || is_answer(l, 0, 10, l->last_error[3])))) {
        return EFFECT_OVER;
    }
    return errors || l->last_error[0] != 0 ? EFFECT_ERRORS : EFFECT_SILENT;
}

static enum guard_effect effect_of(const struct memory_list *l, const struct guard_list *list, int64_t now_s)
{
    bool broken = l->broken_since_s != 0 && now_s - (int64_t)l->broken_since_s >= BROKEN_S;
    struct memory_minute m;

    guard_sum(l, WINDOW_MIN, now_s, &m);
    if (broken || (m.answers == 0 && m.errors + m.timeouts >= ASKED_MIN)) {
        return by_failure(l, list, m.errors > m.timeouts);
    }
    if (m.answers == 0 && m.voids >= ASKED_MIN) {
        return EFFECT_NO_ZONE;
    }
    if (m.answers == 0 && l->probe_failures >= PROBED_MIN) {
        return by_failure(l, list, false);
    }
    if (list->probe && l->probe_listed == 2 && !l->probe_works && l->total_yes == 0) {
        return EFFECT_NO_ENTRY;
    }
    return EFFECT_SOME;
}

unsigned effect_look(struct memory_list *l, const struct guard_list *list, int64_t now_s)
{
    enum guard_effect effect = list->off ? EFFECT_SOME : effect_of(l, list, now_s);
    bool was = l->useless_s != 0;

    l->useless = (uint8_t)effect;
    if (effect == EFFECT_SOME) {
        l->useless_s = l->useless_said_s = 0;
        return was && !list->off ? GUARD_USEFUL : 0;
    }
    l->useless_s = was ? l->useless_s : (uint32_t)now_s;
    if (was && now_s - (int64_t)l->useless_said_s < AGAIN_S) {
        return 0;
    }
    l->useless_said_s = (uint32_t)now_s;
    return GUARD_USELESS;
}

const char *guard_effect_text(enum guard_effect e)
{
    static const char *const texts[EFFECT_COUNT] = {
        [EFFECT_SOME] = "",
        [EFFECT_SILENT] = "no question is answered",
        [EFFECT_ERRORS] = "every answer is an error",
        [EFFECT_REFUSED] = "it refuses our resolver as a public or open one",
        [EFFECT_OVER] = "it says that we ask more than we may",
        [EFFECT_NO_ZONE] = "it says that its zone is not written right",
        [EFFECT_NO_ENTRY] = "its test entry is not listed and never was: is the zone right?",
    };

    return (size_t)e < ARRAY_LEN(texts) ? texts[e] : "";
}
