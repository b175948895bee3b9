/*
 * guard_count.c - counting for the guard (guard_count.h), in a fixed size: nothing grows with traffic.
 *
 * Minutes     sixty-four of them.
 * Clients     A client counts once in ten minutes, so that one that comes again and again is one.  They are
 *             told apart by a small table of hashes; where it is too small there are many of them anyway.
 * Identities  are counted by linear counting over bits in two halves of the window.  An identity is an owner
 *             and a network: what counts is the smaller number of the two, so that neither many domains on
 *             one network nor one domain on many networks makes many witnesses.
 */
#include "policy/guard_count.h"

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

void guard_sum(const struct memory_list *l, unsigned minutes, int64_t now_s, struct memory_minute *out)
{
    uint32_t now = (uint32_t)(now_s / 60);

    *out = (struct memory_minute){ .minute = now };
    for (size_t i = 0; i < MEMORY_LIST_MINUTES; i++) {
        const struct memory_minute *m = &l->minute[i];

        if (m->minute > now || now - m->minute >= minutes) {
            continue;
        }
        out->answers += m->answers;
        out->yes += m->yes;
        out->errors += m->errors;
        out->timeouts += m->timeouts;
        out->clients += m->clients;
        out->clients_yes += m->clients_yes;
        out->vouched += m->vouched;
        out->vouched_yes += m->vouched_yes;
        out->bad += m->bad;
        out->bad_yes += m->bad_yes;
    }
}

/* ---- distinct identities ---- */

static uint32_t epoch_of(const struct guard_settings *s, int64_t now_s)
{
    uint32_t half = s->good_within_s / 2;

    return (uint32_t)(now_s / (half > 0 ? half : 1));
}

static struct memory_good *good_of(struct memory_list *l, const struct guard_settings *s, int64_t now_s)
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

/* Natural logarithm, x >= 1: by halves, then a series. */
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

/* Linear counting: bits of a and b together; a full field says as many as it can tell. */
static unsigned distinct(const uint64_t *a, const uint64_t *b, size_t bits)
{
    size_t zero = bits;

    for (size_t i = 0; i < bits / 64; i++) {
        zero -= (size_t)__builtin_popcountll((a != NULL ? a[i] : 0) | (b != NULL ? b[i] : 0));
    }
    return (unsigned)((double)bits * ln((double)bits / (double)(zero > 0 ? zero : 1)) + 0.5);
}

struct guard_good guard_count_good(const struct memory_list *l, const struct guard_settings *s, int64_t now_s)
{
    uint32_t epoch = epoch_of(s, now_s);
    const struct memory_good *g[2] = { NULL, NULL };
    struct guard_good c;
    unsigned domains, networks;

    for (size_t i = 0; i < 2; i++) {
        if (l->good[i].epoch == epoch || l->good[i].epoch + 1 == epoch) {
            g[i] = &l->good[i];
        }
    }
#define BITS(field) (g[0] != NULL ? g[0]->field : NULL), (g[1] != NULL ? g[1]->field : NULL)
    c.asked = distinct(BITS(asked), MEMORY_GOOD_BITS);
    domains = distinct(BITS(domains), MEMORY_HIT_BITS);
    networks = distinct(BITS(networks), MEMORY_HIT_BITS);
#undef BITS
    c.listed = domains < networks ? domains : networks;
    return c;
}

void guard_note_good(struct memory_list *l, const struct guard_settings *s, const struct guard_witness *w,
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
    struct addr client = addr_client(ip);
    uint64_t hash = siphash(fixed, client.ip, sizeof(client.ip)) + (uint64_t)(now_s / LATELY_S);
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
