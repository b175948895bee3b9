/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_canary.c - heavy hitters among established correspondents (guard_canary.h).
 */
#include "policy/lists/guard_canary.h"

#define FADE_S (2 * 86400) /* counts are halved this often: a quiet site needs days to find heavy hitters */

static void fade(struct canaries *c, int64_t now_s)
{
    if (now_s - c->faded_s < FADE_S) {
        return;
    }
    c->faded_s = now_s;
    for (size_t i = 0; i < CANARIES_KEPT; i++) {
        c->place[i].count -= c->place[i].count / 2;
    }
}

void canary_note(struct canaries *c, const struct addr *ip, uint64_t owner, int64_t now_s)
{
    struct addr net = addr_network(ip, 24, 48);
    size_t place = CANARIES_KEPT;

    fade(c, now_s);
    for (size_t i = 0; i < CANARIES_KEPT; i++) {
        if (c->place[i].count == 0) {
            place = place == CANARIES_KEPT ? i : place;
        } else if (c->place[i].owner == owner || addr_same_ip(&net, &c->place[i].net)) {
            c->place[i].ip = *ip;
            c->place[i].net = net;
            c->place[i].count++;
            return;
        }
    }
    if (place < CANARIES_KEPT) {
        c->place[place].ip = *ip;
        c->place[place].net = net;
        c->place[place].owner = owner;
        c->place[place].count = 1;
        return;
    }
    for (size_t i = 0; i < CANARIES_KEPT; i++) {
        c->place[i].count--;
    }
}

size_t canary_pick(const struct canaries *c, struct addr *out, size_t max)
{
    bool taken[CANARIES_KEPT] = { false };
    size_t n = 0;

    while (n < max) {
        size_t best = CANARIES_KEPT;

        for (size_t i = 0; i < CANARIES_KEPT; i++) {
            if (!taken[i] && c->place[i].count > 0 &&
                (best == CANARIES_KEPT || c->place[i].count > c->place[best].count)) {
                best = i;
            }
        }
        if (best == CANARIES_KEPT) {
            break;
        }
        taken[best] = true;
        out[n++] = c->place[best].ip;
    }
    return n;
}
