/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handshakes.c - clients whose TLS has nothing in common with ours.  After two failures we do not offer them STARTTLS
 * for an hour.
 *
 *     word   [ tag 32 | failures 2 | second 30 ]     0: free
 *
 * A table of fixed size without locks.  A seeded hash of the address selects a set of words and gives the tag.  A
 * compare-and-swap replaces a word.  The loser of a race gives up, so one failure may go uncounted.  A hostile process
 * that writes here can only keep a client in clear or offer it STARTTLS again.
 *
 * Limits   HANDSHAKE_SETS x HANDSHAKE_WAYS clients.  A full set drops the client with the fewest failures, and of these
 *          the oldest, so clients with one failure cannot evict one with two.
 */
#include "state/shared_priv.h"

#include "core/table.h"
#include "state/handshakes.h"

#define FAILURES_MAX 2u
#define LASTS_S 3600u
#define SECOND_BITS 30
#define SECOND_MASK ((1u << SECOND_BITS) - 1)

static uint32_t second_of(uint64_t now_ms)
{
    return (uint32_t)(now_ms / 1000) & SECOND_MASK;
}

static uint64_t make_word(uint32_t tag, unsigned failures, uint32_t second)
{
    return (uint64_t)tag << 32 | (uint64_t)failures << SECOND_BITS | second;
}

static uint32_t tag_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static unsigned failures_of(uint64_t word)
{
    return (unsigned)(word >> SECOND_BITS) & 3u;
}

static bool is_over(uint64_t word, uint32_t now)
{
    return ((now - (uint32_t)word) & SECOND_MASK) >= LASTS_S;
}

/* The set of the client, and its tag. */
static _Atomic uint64_t *set_of(const struct state *s, const struct addr *client, uint32_t *tag)
{
    struct addr a = addr_client(client);
    uint64_t hash = siphash(s->seed, a.ip, sizeof(a.ip)) ^ a.family;

    *tag = (uint32_t)(hash >> 32) | 1u; /* never 0, which marks a free word */
    return s->sh->handshake[hash % HANDSHAKE_SETS];
}

/* The client's word, or the one to replace by it. */
static _Atomic uint64_t *place_of(_Atomic uint64_t *set, uint32_t tag, uint32_t now)
{
    _Atomic uint64_t *worst = NULL;
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < HANDSHAKE_WAYS; i++) {
        uint64_t word = set[i];
        uint64_t worth = LASTS_S - ((now - (uint32_t)word) & SECOND_MASK);

        if (tag_of(word) == tag) {
            return &set[i];
        }
        worth = word == 0 || is_over(word, now) ? 0 : worth + ((uint64_t)failures_of(word) << 32);
        if (worth < least) {
            least = worth;
            worst = &set[i];
        }
    }
    return worst;
}

bool state_handshake_failed(struct state *s, const struct addr *client, uint64_t now_ms)
{
    uint32_t tag, now = second_of(now_ms);
    _Atomic uint64_t *place = set_of(s, client, &tag);
    uint64_t before;
    unsigned failures = 1;

    place = place_of(place, tag, now);
    before = *place;
    if (tag_of(before) == tag && !is_over(before, now)) {
        failures = failures_of(before) < FAILURES_MAX ? failures_of(before) + 1 : FAILURES_MAX;
    }
    return atomic_compare_exchange_strong(place, &before, make_word(tag, failures, now)) &&
           failures == FAILURES_MAX && (tag_of(before) != tag || failures_of(before) < FAILURES_MAX);
}

void state_handshake_worked(struct state *s, const struct addr *client)
{
    uint32_t tag;
    _Atomic uint64_t *set = set_of(s, client, &tag);

    for (size_t i = 0; i < HANDSHAKE_WAYS; i++) {
        uint64_t word = set[i];

        if (tag_of(word) == tag) {
            (void)atomic_compare_exchange_strong(&set[i], &word, 0);
        }
    }
}

bool state_handshakes_fail(const struct state *s, const struct addr *client, uint64_t now_ms)
{
    uint32_t tag, now = second_of(now_ms);
    _Atomic uint64_t *set = set_of(s, client, &tag);

    for (size_t i = 0; i < HANDSHAKE_WAYS; i++) {
        uint64_t word = set[i];

        if (tag_of(word) == tag) {
            return failures_of(word) >= FAILURES_MAX && !is_over(word, now);
        }
    }
    return false;
}
