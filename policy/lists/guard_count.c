/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_count.c - counters of the guard (guard_count.h), of fixed size whatever the traffic.
 *
 * Minutes     the last sixty-four.
 * Clients     A network (/24, /48) counts once in ten minutes, so repeated lookups and several addresses of one client
 *             count once.  A small table of hashes tells networks apart; if it overflows there are many of them
 *             anyway.
 * Identities  are estimated by linear counting over bits in two halves of the window.  An identity is the owner of a
 *             domain and a network.  The smaller of the two counts is used, so neither many domains on one network
 *             nor one domain on many networks makes many witnesses.
 */
#include "policy/lists/guard_count.h"

#include "core/table.h"

#define LATELY_S 600

struct memory_minute *guard_minute(struct memory_list *l, int64_t now_s)
{
    uint32_t minute = (uint32_t)(now_s / 60);
    struct memory_minute *m = &l->minute[minute % MEMORY_LIST_MINUTES];

    if (m->minute != minute) {
        *m = (struct memory_minute){ .minute = minute };
    }
    return m;
}

static void add_minutes(const struct memory_minute *from, unsigned minutes, uint32_t now,
                        struct memory_minute *out)
{
    for (size_t i = 0; i < MEMORY_LIST_MINUTES; i++) {
        const struct memory_minute *m = &from[i];

        if (m->minute > now || now - m->minute >= minutes) {
            continue;
        }
        out->answers += m->answers;
        out->yes += m->yes;
        out->errors += m->errors;
        out->timeouts += m->timeouts;
        out->voids += m->voids;
        memory_minute_add_clients(out, m);
    }
}

/* Other proxies share only client counts; answers, errors and timeouts are our own. */
void guard_sum(const struct memory_list *l, unsigned minutes, int64_t now_s, struct memory_minute *out)
{
    uint32_t now = (uint32_t)(now_s / 60);

    *out = (struct memory_minute){ .minute = now };
    add_minutes(l->minute, minutes, now, out);
    add_minutes(l->other_minute, minutes, now, out);
}

/* ---- distinct identities ---- */

static uint32_t epoch_of(const struct config_guard *s, int64_t now_s)
{
    uint32_t half = s->good_within_s / 2;

    return (uint32_t)(now_s / (half > 0 ? half : 1));
}

static struct memory_good *good_of(struct memory_list *l, const struct config_guard *s, int64_t now_s)
{
    uint32_t epoch = epoch_of(s, now_s);
    struct memory_good *g = &l->good[epoch % 2];

    if (g->epoch != epoch) {
        *g = (struct memory_good){ .epoch = epoch };
    }
    return g;
}

static void set_bit(uint64_t *bits, size_t count, uint64_t hash)
{
    hash %= count;
    bits[hash / 64] |= 1ULL << (hash % 64);
}

/* Natural logarithm, x >= 1: by halving, then a series. */
static double ln(double x)
{
    double n = 0, t;

    while (x > 1.5) {
        x /= 2;
        n += 0.69314718056;
    }
    t = (x - 1) / (x + 1);
    return n + 2 * (t + t * t * t / 3 + t * t * t * t * t / 5);
}

/* The record's data of the window: both halves, our own and other proxies'; NULL: none. */
struct halves {
    const struct memory_good *g[4];
};

static struct halves halves_of(const struct memory_list *l, uint32_t epoch)
{
    const struct memory_good *all[] = { &l->good[0], &l->good[1], &l->other_good[0], &l->other_good[1] };
    struct halves h = { { NULL } };

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i]->epoch == epoch || all[i]->epoch + 1 == epoch) {
            h.g[i] = all[i];
        }
    }
    return h;
}

/* Linear counting over all bits, at `field` of each; a full field gives its maximum. */
static unsigned distinct(const struct halves *h, size_t field, size_t bits)
{
    size_t zero = bits;

    for (size_t word = 0; word < bits / 64; word++) {
        uint64_t set = 0, here;

        for (size_t i = 0; i < ARRAY_LEN(h->g); i++) {
            if (h->g[i] != NULL) {
                memcpy(&here, (const char *)h->g[i] + field + word * sizeof(here), sizeof(here));
                set |= here;
            }
        }
        zero -= (size_t)__builtin_popcountll(set);
    }
    return (unsigned)((double)bits * ln((double)bits / (double)(zero > 0 ? zero : 1)) + 0.5);
}

struct guard_good guard_count_good(const struct memory_list *l, const struct config_guard *s, int64_t now_s)
{
    struct halves h = halves_of(l, epoch_of(s, now_s));
    unsigned domains = distinct(&h, offsetof(struct memory_good, domains), MEMORY_HIT_BITS);
    unsigned networks = distinct(&h, offsetof(struct memory_good, networks), MEMORY_HIT_BITS);

    return (struct guard_good){ .asked = distinct(&h, offsetof(struct memory_good, asked), MEMORY_GOOD_BITS),
                                .listed = domains < networks ? domains : networks };
}

void guard_note_good(struct memory_list *l, const struct config_guard *s, const struct guard_witness *w,
                     int64_t now_s)
{
    struct memory_good *g = good_of(l, s, now_s);

    set_bit(g->asked, MEMORY_GOOD_BITS, w->owner);
    if (w->listed) {
        set_bit(g->domains, MEMORY_HIT_BITS, w->owner);
        set_bit(g->networks, MEMORY_HIT_BITS, w->network);
    }
}

bool guard_is_new(struct memory_list *l, const struct addr *ip, int64_t now_s)
{
    static const uint64_t fixed[2] = { 0x676c61636973ULL, 0x6c6174656c79ULL };
    struct addr net = addr_network(ip, 24, 48);
    uint64_t hash = siphash(fixed, net.ip, sizeof(net.ip)) + (uint64_t)(now_s / LATELY_S);
    uint32_t *place = &l->lately[(hash >> 32) % MEMORY_LATELY];

    if (*place == (uint32_t)hash) {
        return false;
    }
    *place = (uint32_t)hash;
    return true;
}

bool guard_reaches(uint64_t part, uint64_t whole, unsigned percent)
{
    return part * 100 >= whole * percent;
}
