/*
 * guard.c - the decisions about a list, on its record (guard.h).
 *
 * Counting   sixty-four minutes of counters; distinct identities by linear counting over bits in two halves
 * of the window, so nothing grows with traffic.  An identity is an owner and a network: what counts is the
 *            smaller number of the two, so that neither many domains on one network nor one domain on many
 *            networks makes many witnesses.
 */
#include "policy/guard.h"

#define RECENT_MIN 10
#define RETURN_S 1800
#define RETURN_MAX_S 86400
#define GOOD_WEEK_S (7 * 86400)
#define BREAKER_MAX_S 600
#define SPF_MIN 20           /* answers about clients with an SPF pass (or bad ones) that corroborate */
#define BASELINE_HOURS 3     /* before it means something */
#define BASELINE_MEMORY 72   /* hours that it remembers */
#define BASELINE_FLOOR 5000u /* ppm: a list that hits less often cannot surge */
#define SILENT_EXPECTED 20   /* hits that should have come */
#define ALARM_S 3600

static struct memory_minute *minute_of(struct memory_list *l, int64_t now_s)
{
    uint32_t minute = (uint32_t)(now_s / 60);
    struct memory_minute *m = &l->minute[minute % MEMORY_LIST_MINUTES];

    if (m->minute != minute) {
        *m = (struct memory_minute){ .minute = minute };
    }
    return m;
}

static void sum_minutes(const struct memory_list *l, unsigned minutes, int64_t now_s,
                        struct memory_minute *out)
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
        out->spf += m->spf;
        out->spf_yes += m->spf_yes;
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

struct good_counts {
    unsigned asked, listed;
};

static struct good_counts count_good(const struct memory_list *l, const struct guard_settings *s,
                                     int64_t now_s)
{
    uint32_t epoch = epoch_of(s, now_s);
    const struct memory_good *g[2] = { NULL, NULL };
    struct good_counts c;
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

/* ---- demoted, and back ---- */

static uint64_t to_ms(int64_t now_s)
{
    return (uint64_t)now_s * 1000;
}

/* The evidence was used: from now on only new one counts. */
static void forget_evidence(struct memory_list *l)
{
    memset(l->good, 0, sizeof(l->good));
    memset(l->minute, 0, sizeof(l->minute));
}

static unsigned demote(struct memory_list *l, enum guard_reason reason, int64_t now_s)
{
    bool fresh = l->demoted_s == 0;

    l->evil_s = (uint32_t)now_s;
    l->changed_ms = to_ms(now_s);
    forget_evidence(l);
    if (!fresh) {
        return 0;
    }
    if (l->last_restored_s != 0 && now_s - (int64_t)l->last_restored_s > GOOD_WEEK_S) {
        l->demotions = 0;
    }
    l->demotions++;
    l->demoted_s = (uint32_t)now_s;
    l->reason = (uint8_t)reason;
    return GUARD_DEMOTED;
}

static void add_evidence(struct memory_list *l, struct slice who, int64_t now_s)
{
    struct memory_evidence *e = &l->evidence[l->evidence_next % MEMORY_EVIDENCE];
    struct buf b;

    l->evidence_next = (l->evidence_next + 1) % MEMORY_EVIDENCE;
    buf_init_fixed(&b, e->text, sizeof(e->text));
    buf_put_quoted(&b, who, sizeof(e->text) - 5);
    e->at_s = (uint32_t)now_s;
}

static bool share_reaches(uint32_t part, uint32_t whole, unsigned percent)
{
    return (uint64_t)part * 100 >= (uint64_t)whole * percent;
}

/* Who else says that a yes to nearly everything is wrong? */
static bool corroborated(const struct memory_list *l, const struct guard_settings *s,
                         const struct guard_list *list, const struct memory_minute *m,
                         const struct good_counts *good)
{
    if (l->probe_control == 1) {
        return true;
    }
    if (list->allows) {
        return m->bad >= SPF_MIN && share_reaches(m->bad_yes, m->bad, 50);
    }
    return (m->spf >= SPF_MIN && share_reaches(m->spf_yes, m->spf, s->positive_percent)) ||
           (good->asked >= 3 && share_reaches(good->listed, good->asked, 50));
}

/* After a yes. */
static unsigned weigh_evidence(struct memory_list *l, const struct guard_settings *s,
                               const struct guard_list *list, int64_t now_s)
{
    struct good_counts good = count_good(l, s, now_s);
    struct memory_minute m;

    sum_minutes(l, RECENT_MIN, now_s, &m);
    if (!list->allows && good.listed >= s->good_clients &&
        share_reaches(good.listed, good.asked, s->good_share_percent)) {
        return demote(l, GUARD_KNOWN_GOOD, now_s);
    }
    if (m.answers >= s->min_asked && share_reaches(m.yes, m.answers, s->positive_percent) &&
        corroborated(l, s, list, &m, &good)) {
        return demote(l, GUARD_UNIVERSAL, now_s);
    }
    return 0;
}

/* ---- what comes in ---- */

static void note_latency(struct memory_list *l, uint64_t took_us)
{
    size_t class = 0;

    for (uint64_t limit = 1000; took_us >= limit && class + 1 < MEMORY_LATENCIES; limit *= 2) {
        class ++;
    }
    l->latency[class]++;
    if (l->latency[class] > 1u << 20) { /* older ones fade */
        for (size_t i = 0; i < MEMORY_LATENCIES; i++) {
            l->latency[i] /= 2;
        }
    }
    took_us = min_u64(took_us, UINT32_MAX);
    l->latency_us =
        l->latency_us == 0 ? (uint32_t)took_us : (uint32_t)(((uint64_t)l->latency_us * 15 + took_us) / 16);
}

static unsigned note_failure(struct memory_list *l, const struct guard_settings *s, int64_t now_s)
{
    if (l->failures < UINT32_MAX) {
        l->failures++;
    }
    if (l->broken_since_s != 0) {
        l->retry_wait_s = (uint32_t)min_u64((uint64_t)l->retry_wait_s * 2, BREAKER_MAX_S);
        l->retry_at_s = (uint32_t)now_s + l->retry_wait_s;
        return 0;
    }
    if (s->breaker_failures == 0 || l->failures < s->breaker_failures) {
        return 0;
    }
    l->broken_since_s = (uint32_t)now_s;
    l->retry_wait_s = s->breaker_retry_s > 0 ? s->breaker_retry_s : 1;
    l->retry_at_s = (uint32_t)now_s + l->retry_wait_s;
    return GUARD_BROKEN;
}

static unsigned note_success(struct memory_list *l)
{
    bool was = l->broken_since_s != 0;

    l->failures = 0;
    l->broken_since_s = 0;
    return was ? GUARD_MENDED : 0;
}

static unsigned look_for_surge(struct memory_list *l, const struct guard_settings *s, int64_t now_s)
{
    uint64_t usual = l->baseline_ppm > BASELINE_FLOOR ? l->baseline_ppm : BASELINE_FLOOR;
    struct memory_minute m;

    if (s->surge == 0 || l->baseline_weight < BASELINE_HOURS || l->demoted_s != 0 ||
        now_s - (int64_t)l->surge_s < ALARM_S) {
        return 0;
    }
    sum_minutes(l, RECENT_MIN, now_s, &m);
    if (m.answers < s->min_asked || (uint64_t)m.yes * 1000000 < usual * s->surge * m.answers) {
        return 0;
    }
    l->surge_s = (uint32_t)now_s;
    return GUARD_SURGE;
}

unsigned guard_answer(struct memory_list *l, const struct guard_settings *s, enum guard_outcome outcome,
                      uint64_t took_us, int64_t now_s)
{
    struct memory_minute *m = minute_of(l, now_s);
    unsigned what;

    if (outcome == GUARD_TIMEOUT || outcome == GUARD_ERROR) {
        m->timeouts += outcome == GUARD_TIMEOUT;
        m->errors += outcome == GUARD_ERROR;
        return note_failure(l, s, now_s);
    }
    note_latency(l, took_us);
    m->answers++;
    l->total_answers++;
    what = note_success(l);
    if (outcome == GUARD_YES) {
        m->yes++;
        l->total_yes++;
        what |= look_for_surge(l, s, now_s);
    }
    return what;
}

unsigned guard_witness(struct memory_list *l, const struct guard_settings *s, const struct guard_list *list,
                       const struct guard_witness *w, int64_t now_s)
{
    struct memory_minute *m = minute_of(l, now_s);

    m->spf += w->spf_pass;
    m->spf_yes += w->spf_pass && w->listed;
    m->bad += w->bad;
    m->bad_yes += w->bad && w->listed;
    l->total_unique += w->listed && w->unique;
    l->total_overlap += w->listed && w->overlap;
    if (w->established) {
        struct memory_good *g = good_of(l, s, now_s);

        set_bit(g->asked, MEMORY_GOOD_BITS, w->owner);
        if (w->listed && !list->allows) {
            set_bit(g->domains, MEMORY_HIT_BITS, w->owner);
            set_bit(g->networks, MEMORY_HIT_BITS, w->network);
            l->total_good_yes++;
            add_evidence(l, w->who, now_s);
        }
    }
    return w->listed ? weigh_evidence(l, s, list, now_s) : 0;
}

unsigned guard_probed(struct memory_list *l, const struct guard_list *list, enum guard_outcome listed,
                      enum guard_outcome control, int64_t now_s)
{
    unsigned what = 0;

    if (listed <= GUARD_YES || control <= GUARD_YES) {
        l->probed_s = (uint32_t)now_s;
    }
    if (control <= GUARD_YES) {
        l->probe_control = control == GUARD_YES ? 1 : 2;
    }
    if (listed <= GUARD_YES) {
        l->probe_listed = listed == GUARD_YES ? 1 : 2;
        l->probe_works = l->probe_works || listed == GUARD_YES;
    }
    if (control == GUARD_YES) {
        add_evidence(l, SLICE("127.0.0.1"), now_s);
        what |= demote(l, GUARD_PROBE, now_s);
    }
    if (list->probe && listed == GUARD_NO && l->probe_works && now_s - (int64_t)l->silent_s >= ALARM_S) {
        l->silent_s = (uint32_t)now_s;
        what |= GUARD_SILENT;
    }
    return what;
}

unsigned guard_canaries(struct memory_list *l, const struct guard_list *list, unsigned asked, unsigned listed,
                        struct slice who, int64_t now_s)
{
    if (list->allows || listed == 0 || listed * 2 < asked || (listed < 2 && asked > 1)) {
        return 0;
    }
    add_evidence(l, who, now_s);
    return demote(l, GUARD_CANARY, now_s);
}

/* ---- from time to time ---- */

int64_t guard_returns_at(const struct memory_list *l, const struct guard_settings *s)
{
    uint32_t again = l->demotions > 0 ? l->demotions - 1 : 0;
    int64_t wait = again < 6 ? (int64_t)RETURN_S << again : RETURN_MAX_S;

    if (l->demoted_s == 0 || !s->recover_auto) {
        return 0;
    }
    return (int64_t)l->evil_s + (wait < RETURN_MAX_S ? wait : RETURN_MAX_S);
}

/* An hour is over: its share joins the baseline, unless it was one of a liar. */
static void fold_baseline(struct memory_list *l, int64_t now_s)
{
    uint32_t hour = (uint32_t)(now_s / 3600), share;
    struct memory_minute m;

    if (l->baseline_hour == hour) {
        return;
    }
    sum_minutes(l, 60, now_s, &m);
    if (l->baseline_hour != 0 && l->demoted_s == 0 && m.answers > 0) {
        share = (uint32_t)((uint64_t)m.yes * 1000000 / m.answers);
        if (l->baseline_weight < BASELINE_MEMORY) {
            l->baseline_weight++;
        }
        l->baseline_ppm =
            (uint32_t)(((uint64_t)l->baseline_ppm * (l->baseline_weight - 1) + share) / l->baseline_weight);
    }
    l->baseline_hour = hour;
}

static unsigned look_for_silence(struct memory_list *l, int64_t now_s)
{
    struct memory_minute m;

    if (l->baseline_weight < BASELINE_HOURS || now_s - (int64_t)l->silent_s < ALARM_S) {
        return 0;
    }
    sum_minutes(l, 60, now_s, &m);
    if (m.yes > 0 || (uint64_t)m.answers * l->baseline_ppm < (uint64_t)SILENT_EXPECTED * 1000000) {
        return 0;
    }
    l->silent_s = (uint32_t)now_s;
    return GUARD_SILENT;
}

unsigned guard_tick(struct memory_list *l, const struct guard_settings *s, int64_t now_s)
{
    int64_t returns = guard_returns_at(l, s);
    unsigned what = 0;

    if (l->override != OVERRIDE_AUTO && l->override_until_s != 0 && now_s >= (int64_t)l->override_until_s) {
        l->override = OVERRIDE_AUTO; /* a demotion below it stands */
        l->override_until_s = 0;
        l->changed_ms = to_ms(now_s);
        what |= GUARD_OVERRIDE_ENDED;
    }
    what |= look_for_silence(l, now_s);
    fold_baseline(l, now_s);
    if (returns != 0 && now_s >= returns && l->probe_control != 1) {
        l->demoted_s = 0;
        l->reason = GUARD_BELIEVED;
        l->last_restored_s = (uint32_t)now_s;
        l->changed_ms = to_ms(now_s);
        forget_evidence(l);
        what |= GUARD_RESTORED;
    }
    return what;
}

bool guard_may_ask(struct memory_list *l, int64_t now_s)
{
    if (l->broken_since_s == 0) {
        return true;
    }
    if (now_s < (int64_t)l->retry_at_s && (int64_t)l->retry_at_s - now_s <= BREAKER_MAX_S) {
        return false;
    }
    l->retry_at_s = (uint32_t)now_s + (l->retry_wait_s > 0 ? l->retry_wait_s : 1);
    return true;
}

enum list_mode guard_mode(const struct memory_list *l, enum list_mode configured, int64_t now_s)
{
    bool overridden = l->override_until_s == 0 || now_s < (int64_t)l->override_until_s;

    if (overridden && l->override == OVERRIDE_ENFORCE) {
        return LIST_ENFORCE;
    }
    if (overridden && l->override == OVERRIDE_MONITOR) {
        return LIST_MONITOR;
    }
    if (overridden && l->override == OVERRIDE_OFF) {
        return LIST_OFF;
    }
    return configured == LIST_ENFORCE && l->demoted_s != 0 ? LIST_MONITOR : configured;
}

void guard_override(struct memory_list *l, enum memory_override o, uint32_t until_s, uint64_t now_ms)
{
    l->override = (uint8_t)o;
    l->override_until_s = until_s;
    l->changed_ms = now_ms;
    if (o == OVERRIDE_AUTO && l->demoted_s != 0) { /* `auto` by hand: it starts anew */
        l->demoted_s = 0;
        l->reason = GUARD_BELIEVED;
        l->last_restored_s = (uint32_t)(now_ms / 1000);
        l->probe_control = 0;
        forget_evidence(l);
    }
}

/* ---- for people ---- */

struct guard_share guard_recent(const struct memory_list *l, unsigned minutes, int64_t now_s)
{
    struct memory_minute m;

    sum_minutes(l, minutes, now_s, &m);
    return (struct guard_share){ m.answers, m.yes, m.errors, m.timeouts };
}

unsigned guard_good_asked(const struct memory_list *l, const struct guard_settings *s, int64_t now_s)
{
    return count_good(l, s, now_s).asked;
}

unsigned guard_good_listed(const struct memory_list *l, const struct guard_settings *s, int64_t now_s)
{
    return count_good(l, s, now_s).listed;
}

const char *guard_reason_text(enum guard_reason r)
{
    static const char *const texts[] = {
        [GUARD_BELIEVED] = "",
        [GUARD_KNOWN_GOOD] = "lists established correspondents",
        [GUARD_UNIVERSAL] = "says yes to nearly everything",
        [GUARD_PROBE] = "lists 127.0.0.1, which must not be listed (RFC 5782)",
        [GUARD_CANARY] = "lists canaries",
    };

    return (size_t)r < ARRAY_LEN(texts) ? texts[r] : "";
}

uint64_t guard_latency_us(const struct memory_list *l, unsigned percent)
{
    uint64_t sum = 0, seen = 0, limit = 1000;

    for (size_t i = 0; i < MEMORY_LATENCIES; i++) {
        sum += l->latency[i];
    }
    if (sum == 0) {
        return 0;
    }
    for (size_t i = 0; i < MEMORY_LATENCIES; i++, limit *= 2) {
        seen += l->latency[i];
        if (seen * 100 >= sum * percent) {
            break;
        }
    }
    return limit;
}
