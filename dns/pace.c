/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.c - GCRA over a fixed table of words.  The low 48 bits of a word are the time (us) at which the network's
 * allowance is full again.  The high 16 bits are a tag that identifies the network in its set.
 *
 * Two networks may share a tag in a set (one chance in some thousands) and then share an allowance.  Tag and set come
 * from a keyed hash, so a client cannot target another network's entry.  48 bits of microseconds last nine years.
 */
#include "dns/pace.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "core/crypto.h"
#include "core/table.h"

#define TIME_BITS 48
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define V4_BITS 24
#define V6_BITS 48

struct dns_pace {
    uint64_t key[2];
    _Alignas(64) _Atomic uint64_t word[PACE_KINDS][PACE_SETS][PACE_WAYS];
};

struct dns_pace *dns_pace_new(void)
{
    void *mem = mmap(NULL, sizeof(struct dns_pace), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct dns_pace *p = mem;

    if (mem == MAP_FAILED) {
        return NULL;
    }
    random_bytes(p->key, sizeof(p->key));
    return p;
}

void dns_pace_free(struct dns_pace *p)
{
    if (p != NULL) {
        munmap(p, sizeof(*p));
    }
}

uint64_t dns_network(const struct addr *client)
{
    struct addr net = addr_network(client, V4_BITS, V6_BITS);
    uint64_t n = net.family;

    if (net.family == ADDR_NONE) {
        return 0;
    }
    for (size_t i = 0; i < V6_BITS / 8; i++) {
        n = n << 8 | (net.family == ADDR_V4 && i >= V4_BITS / 8 ? 0 : net.ip[i]);
    }
    return n;
}

struct addr pace_address(uint64_t network)
{
    struct addr a = { .family = (uint8_t)(network >> V6_BITS) };

    for (size_t i = 0; i < V6_BITS / 8; i++) {
        a.ip[i] = (uint8_t)(network >> (V6_BITS - 8 - 8 * i));
    }
    return a;
}

/* ---- one entry ---- */

struct place {
    _Atomic uint64_t *word; /* the network's, or the one to evict for it */
    uint64_t was;           /* its previous value */
    uint64_t tag;           /* of the network, in its position in the word */
    uint64_t whole_us;      /* when the allowance is full again; not before now */
};

static uint64_t time_in(uint64_t word, uint64_t now_us, const struct dns_rate *rate)
{
    uint64_t us = word & TIME_MASK, most = now_us + 2 * rate->per_ms * 1000;

    return us < now_us || us > most ? now_us : us; /* beyond `most`: from another rate, or corrupt */
}

static struct place find(struct dns_pace *p, enum pace_kind kind, const struct dns_rate *rate,
                         uint64_t network, uint64_t now_us)
{
    uint64_t hash = siphash(p->key, &network, sizeof(network));
    _Atomic uint64_t *set = p->word[kind][hash % PACE_SETS];
    struct place out = { .tag = hash & ~TIME_MASK, .whole_us = now_us };
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < PACE_WAYS; i++) {
        uint64_t word = atomic_load_explicit(&set[i], memory_order_relaxed);
        uint64_t us = time_in(word, now_us, rate);

        if (word != 0 && (word & ~TIME_MASK) == out.tag) {
            out.word = &set[i];
            out.was = word;
            out.whole_us = us;
            return out;
        }
        if (us < least) {
            out.word = &set[i];
            out.was = word;
            least = us;
        }
    }
    return out;
}

static uint64_t step_us(const struct dns_rate *rate)
{
    return max_size(rate->per_ms * 1000 / rate->count, 1);
}

/* Does the allowance permit one more question? */
static bool has_room(const struct place *at, const struct dns_rate *rate, uint64_t now_us)
{
    return at->whole_us - now_us <= step_us(rate) * (rate->count - 1);
}

/* Stores the new time.  After a lost race, one question is not counted or not given back. */
static void put(const struct place *at, uint64_t whole_us)
{
    uint64_t was = at->was;

    (void)atomic_compare_exchange_strong_explicit(at->word, &was, at->tag | (whole_us & TIME_MASK),
                                                  memory_order_relaxed, memory_order_relaxed);
}

static bool is_off(const struct dns_rate *rate)
{
    return rate->count == 0 || rate->per_ms == 0;
}

enum pace_said pace_ask(struct dns_pace *p, const struct pace_rates *rates, const struct dns_asker *who,
                        uint64_t now_us)
{
    const struct dns_rate *asked = &rates->rate[PACE_QUESTIONS], *failed = &rates->rate[PACE_FAILED];
    bool free_of_charge = who->failures_free || is_off(failed);
    struct place all, bad;

    if (!free_of_charge) {
        bad = find(p, PACE_FAILED, failed, who->network, now_us);
        if (!has_room(&bad, failed, now_us)) {
            if (who->forgives == NULL || !who->forgives(who->arg)) {
                return PACE_NO;
            }
            free_of_charge = true;
        }
    }
    if (!is_off(asked)) {
        all = find(p, PACE_QUESTIONS, asked, who->network, now_us);
        if (!has_room(&all, asked, now_us)) {
            return PACE_NO;
        }
        put(&all, all.whole_us + step_us(asked));
    }
    if (free_of_charge) {
        return PACE_YES_FREE;
    }
    put(&bad, bad.whole_us + step_us(failed));
    return PACE_YES;
}

/* Without an entry it does nothing: the entry was evicted, and its debt is forgotten. */
void pace_give_back(struct dns_pace *p, const struct pace_rates *rates, uint64_t network, uint64_t now_us)
{
    const struct dns_rate *failed = &rates->rate[PACE_FAILED];
    struct place at;

    if (is_off(failed)) {
        return;
    }
    at = find(p, PACE_FAILED, failed, network, now_us);
    if (at.whole_us > now_us) {
        put(&at, at.whole_us - min_u64(step_us(failed), at.whole_us - now_us));
    }
}
