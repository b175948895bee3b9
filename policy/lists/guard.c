/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.c - decisions about a list, on its record (guard.h).
 *
 * Universal   A list that has nearly every client is demoted, unless a group of clients shows that it still
 *             discriminates (tells_apart).  The groups, hardest to forge first: established identities, canaries,
 *             clients with an SPF pass, clients that no other list has.
 * Return      Time alone proves nothing: at night hardly any wrongly listed clients send mail.  So the traffic since
 *             the newest evidence is counted as a separate trial, and the probes look up the addresses that were
 *             evidence.
 */
#include "policy/lists/guard_priv.h"

#define RECENT_MIN 10
#define SLOW_MIN 60 /* window if ten minutes have too few clients */
#define RETURN_S 1800
#define RETURN_MAX_S 86400
#define GOOD_WEEK_S (7 * 86400)
#define GOOD_MIN 3           /* identities, */
#define GROUP_MIN 5          /* clients of a group, */
#define CANARIES_MIN 2       /* canaries to show whether it discriminates */
#define WITNESSES_MIN 2      /* networks that count against a demoted list */
#define PROOF_TIMES 4        /* times known_good.clients not listed: a clean sample */
#define BASELINE_HOURS 3     /* hours before it is meaningful */
#define BASELINE_MEMORY 72   /* hours that it remembers */
#define BASELINE_FLOOR 5000u /* ppm: a list that hits less often cannot surge */
#define SILENT_EXPECTED 20   /* expected hits before no hit is an alarm */
#define ALARM_S 3600

/* ---- demotion and return ---- */

static uint64_t to_ms(int64_t now_s)
{
    return (uint64_t)now_s * 1000;
}

/* The evidence has been used: only new evidence counts from now on. */
static void forget_evidence(struct memory_list *l)
{
    memory_list_forget(l);
    memset(&l->trial, 0, sizeof(l->trial));
    l->vouched_bits = l->vouched_count = 0;
}

static unsigned demote(struct memory_list *l, enum guard_reason reason, int64_t now_s)
{
    bool fresh = l->demoted_s == 0;

    l->evil_s = (uint32_t)now_s;
    memory_list_changed(l, to_ms(now_s));
    l->against = (uint8_t)((fresh ? 0 : l->against) | 1u << reason);
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

static void believe(struct memory_list *l, int64_t now_s)
{
    l->demoted_s = 0;
    l->reason = GUARD_BELIEVED;
    l->against = 0;
    l->why[0] = '\0';
    l->last_restored_s = (uint32_t)now_s;
    memory_list_changed(l, to_ms(now_s));
    forget_evidence(l);
}

/* Keeps the newest entry of each network. */
static void add_evidence(struct memory_list *l, const struct addr *ip, struct slice who, int64_t now_s)
{
    struct addr net = addr_network(ip, 24, 48);
    struct memory_evidence *e = NULL;
    struct buf b;

    for (size_t i = 0; i < MEMORY_EVIDENCE && e == NULL; i++) {
        struct addr other = addr_network(&l->evidence[i].ip, 24, 48);

        if (l->evidence[i].at_s != 0 && net.family != ADDR_NONE && addr_same_ip(&net, &other)) {
            e = &l->evidence[i];
        }
    }
    if (e == NULL) {
        uint32_t next = READ_ONCE(l->evidence_next) % MEMORY_EVIDENCE;

        e = &l->evidence[next];
        l->evidence_next = (next + 1) % MEMORY_EVIDENCE;
    }
    memset(e, 0, sizeof(*e));
    buf_init_fixed(&b, e->text, sizeof(e->text));
    buf_put_quoted(&b, who, sizeof(e->text) - 5);
    e->ip = *ip;
    e->at_s = (uint32_t)now_s;
}

/* Records the numbers of the first reason, before they are forgotten. */
static void say_why(struct memory_list *l, unsigned listed, unsigned asked, const char *of)
{
    struct buf b;

    if (l->demoted_s == 0) {
        buf_init_fixed(&b, l->why, sizeof(l->why));
        buf_putf(&b, "%u of %u %s", listed, asked, of);
    }
}

/* The last ten minutes, or more if needed for so many clients and so many vouched ones. */
static void recent_clients(const struct memory_list *l, unsigned clients, unsigned vouched, int64_t now_s,
                           struct memory_minute *out)
{
    for (unsigned minutes = RECENT_MIN; minutes <= SLOW_MIN; minutes += RECENT_MIN) {
        guard_sum(l, minutes, now_s, out);
        if (out->clients >= clients && out->vouched >= vouched) {
            return;
        }
    }
}

static bool canaries_are_fresh(const struct memory_list *l, const struct config_guard *s, int64_t now_s)
{
    return l->canary_asked >= CANARIES_MIN &&
           now_s - (int64_t)l->canary_s <= 2 * (int64_t)s->probe_interval_s + 60;
}

/* Does anything show that a list which has nearly every client still discriminates? */
static bool tells_apart(const struct memory_list *l, const struct config_guard *s,
                        const struct guard_list *list, const struct memory_minute *m, int64_t now_s)
{
    struct guard_good good = guard_count_good(l, s, now_s);
    struct memory_minute slow;
    uint64_t others = m->clients - min_u64(m->bad, m->clients);
    uint64_t others_yes = m->clients_yes - min_u64(m->bad_yes, m->clients_yes);

    if (list->allows) { /* without enough bad clients to vouch for, it does no harm */
        return m->bad < GROUP_MIN || !guard_reaches(m->bad_yes, m->bad, 50);
    }
    if (good.asked >= GOOD_MIN) {
        return !guard_reaches(good.listed, good.asked, 50);
    }
    if (canaries_are_fresh(l, s, now_s)) {
        return l->canary_listed * 2 < l->canary_asked;
    }
    recent_clients(l, 0, GROUP_MIN, now_s, &slow);
    if (slow.vouched >= GROUP_MIN) {
        return !guard_reaches(slow.vouched_yes, slow.vouched, s->positive_percent);
    }
    if (l->vouched_count >= GROUP_MIN) { /* from longer ago: a wave leaves few of them in an hour */
        return !guard_reaches((uint64_t)__builtin_popcount(l->vouched_bits), l->vouched_count,
                              s->positive_percent);
    }
    return others < GROUP_MIN || !guard_reaches(others_yes, others, s->positive_percent);
}

/* Call it after a positive answer. */
static unsigned weigh_evidence(struct memory_list *l, const struct config_guard *s,
                               const struct guard_list *list, int64_t now_s)
{
    struct guard_good good = guard_count_good(l, s, now_s);
    struct memory_minute m;

    if (!list->allows && good.listed >= s->good_clients &&
        guard_reaches(good.listed, good.asked, s->good_share_percent)) {
        say_why(l, good.listed, good.asked, "correspondents in good standing");
        return demote(l, GUARD_KNOWN_GOOD, now_s);
    }
    recent_clients(l, s->min_asked, 0, now_s, &m);
    if (m.clients >= s->min_asked && guard_reaches(m.clients_yes, m.clients, s->positive_percent) &&
        (l->probe_control == 1 || !tells_apart(l, s, list, &m, now_s))) {
        say_why(l, m.clients_yes, m.clients, "clients");
        return demote(l, GUARD_UNIVERSAL, now_s);
    }
    return 0;
}

/*
 * Only later answers prove good behaviour.  Another proxy's clock may differ, so its evidence counts from the time when
 * it arrived here.
 */
static uint32_t on_trial_since(const struct memory_list *l)
{
    return l->heard_s > l->evil_s ? l->heard_s : l->evil_s;
}

/* Number of networks with evidence since the newest demotion evidence. */
static unsigned count_witnesses(const struct memory_list *l)
{
    unsigned n = 0;

    for (size_t i = 0; i < MEMORY_EVIDENCE; i++) {
        n += l->evidence[i].at_s > on_trial_since(l) && l->evidence[i].ip.family != ADDR_NONE;
    }
    return n;
}

/* Half of the evidence that demotes a list keeps it demoted. */
static unsigned weigh_trial(struct memory_list *l, const struct config_guard *s,
                            const struct guard_list *list, int64_t now_s)
{
    const struct memory_trial *t = &l->trial;

    if (!list->allows && t->good_yes >= WITNESSES_MIN && count_witnesses(l) >= WITNESSES_MIN &&
        guard_reaches((uint64_t)t->good_yes * 2, t->good, s->good_share_percent)) {
        return demote(l, GUARD_KNOWN_GOOD, now_s);
    }
    return 0;
}

/* ---- input ---- */

static void note_latency(struct memory_list *l, uint64_t took_us)
{
    size_t class = 0;

    for (uint64_t limit = 1000; took_us >= limit && class + 1 < MEMORY_LATENCIES; limit *= 2) {
        class ++;
    }
    l->latency[class]++;
    if (l->latency[class] > 1u << 20) { /* older samples fade */
        for (size_t i = 0; i < MEMORY_LATENCIES; i++) {
            l->latency[i] /= 2;
        }
    }
    took_us = min_u64(took_us, UINT32_MAX);
    l->latency_us =
        l->latency_us == 0 ? (uint32_t)took_us : (uint32_t)(((uint64_t)l->latency_us * 15 + took_us) / 16);
}

static unsigned look_for_surge(struct memory_list *l, const struct config_guard *s, int64_t now_s)
{
    uint64_t usual = l->baseline_ppm > BASELINE_FLOOR ? l->baseline_ppm : BASELINE_FLOOR;
    struct memory_minute m;

    if (s->surge == 0 || l->baseline_weight < BASELINE_HOURS || l->demoted_s != 0 ||
        now_s - (int64_t)l->surge_s < ALARM_S) {
        return 0;
    }
    guard_sum(l, RECENT_MIN, now_s, &m);
    if (m.answers < s->min_asked || (uint64_t)m.yes * 1000000 < usual * s->surge * m.answers) {
        return 0;
    }
    l->surge_s = (uint32_t)now_s;
    return GUARD_SURGE;
}

/* Counts a failure in its minute; the newest error tells what is wrong with the list. */
static void count_failure(struct memory_list *l, struct memory_minute *m, const struct guard_news *n)
{
    bool timeout = n->outcome == GUARD_TIMEOUT;

    m->timeouts += timeout;
    m->errors += !timeout;
    l->total_timeouts += timeout;
    l->total_errors += !timeout;
    memset(l->last_error, 0, sizeof(l->last_error));
    if (n->answered) {
        memcpy(l->last_error, n->answer, sizeof(l->last_error));
    }
}

unsigned guard_answer(struct memory_list *l, const struct config_guard *s, const struct guard_news *n,
                      int64_t now_s)
{
    struct memory_minute *m = guard_minute(l, now_s);
    unsigned what = 0;

    if (n->outcome == GUARD_VOID) {
        m->voids++;
        l->total_voids++;
        return 0;
    }
    if (n->outcome == GUARD_TIMEOUT || n->outcome == GUARD_ERROR) {
        count_failure(l, m, n);
        return breaker_note(l, s, n, now_s);
    }
    note_latency(l, n->took_us);
    m->answers++;
    l->total_answers++;
    what = breaker_note(l, s, n, now_s);
    if (n->outcome == GUARD_YES) {
        m->yes++;
        l->total_yes++;
        what |= look_for_surge(l, s, now_s);
    }
    return what;
}

static void count_client(struct memory_list *l, const struct guard_witness *w, int64_t now_s)
{
    struct memory_minute *m = guard_minute(l, now_s);
    m->clients++;
    m->clients_yes += w->listed;
    m->vouched += w->spf_pass;
    m->vouched_yes += w->spf_pass && w->listed;
    if (w->spf_pass) {
        l->vouched_bits = (uint8_t)(l->vouched_bits << 1 | w->listed);
        l->vouched_count = (uint8_t)(l->vouched_count + (l->vouched_count < 8));
    }
    m->bad += w->bad;
    m->bad_yes += w->bad && w->listed;
    if (l->demoted_s == 0) {
        return;
    }
    l->trial.clients++;
    l->trial.clients_yes += w->listed;
    l->trial.bad += w->bad;
    l->trial.bad_yes += w->bad && w->listed;
    l->trial.good += w->established;
    l->trial.good_yes += w->established && w->listed;
}

unsigned guard_witness(struct memory_list *l, const struct config_guard *s, const struct guard_list *list,
                       const struct guard_witness *w, int64_t now_s)
{
    unsigned what = 0;

    BUG_ON(w->established && !w->spf_pass); /* it would let a rented network switch a list off */
    if (guard_is_new(l, &w->ip, now_s)) {
        count_client(l, w, now_s);
    }
    l->total_unique += w->listed && w->unique;
    l->total_overlap += w->listed && w->overlap;
    if (w->established && !list->allows) {
        guard_note_good(l, s, w, now_s);
        if (w->listed) {
            l->total_good_yes++;
            add_evidence(l, &w->ip, w->who, now_s);
        }
    }
    if (w->listed) {
        what = weigh_evidence(l, s, list, now_s);
    }
    return w->listed && l->demoted_s != 0 ? what | weigh_trial(l, s, list, now_s) : what;
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
        l->control_s = (uint32_t)now_s;
    }
    if (listed <= GUARD_YES) {
        l->probe_listed = listed == GUARD_YES ? 1 : 2;
        l->probe_works = l->probe_works || listed == GUARD_YES;
    }
    if (list->probe && control == GUARD_YES) {
        add_evidence(l, &(struct addr){ .family = ADDR_NONE }, SLICE("the control of the probe"), now_s);
        what |= demote(l, GUARD_PROBE, now_s);
    }
    if (list->probe && listed == GUARD_NO && l->probe_works && now_s - (int64_t)l->silent_s >= ALARM_S) {
        l->silent_s = (uint32_t)now_s;
        what |= GUARD_SILENT;
    }
    return what;
}

static bool has(const struct memory_list *l, enum guard_reason r)
{
    return l->reason == r || (l->against & 1u << r) != 0;
}

unsigned guard_canaries(struct memory_list *l, const struct config_guard *s, const struct guard_list *list,
                        const struct guard_canaries *c, int64_t now_s)
{
    bool many = c->listed >= s->good_clients && guard_reaches(c->listed, c->asked, s->good_share_percent);

    if (list->allows || c->asked == 0 || c->asked < c->enough) {
        return 0;
    }
    l->canary_s = (uint32_t)now_s;
    l->canary_asked = (uint8_t)min_u64(c->asked, UINT8_MAX);
    l->canary_listed = (uint8_t)min_u64(c->listed, UINT8_MAX);
    if (c->listed * 2 <= c->asked && !many) {
        l->cleared_s = c->wronged || !has(l, GUARD_KNOWN_GOOD) ? (uint32_t)now_s : l->cleared_s;
        return 0;
    }
    if (l->demoted_s == 0) { /* else it is known already */
        add_evidence(l, &(struct addr){ .family = ADDR_NONE }, c->who, now_s);
    }
    say_why(l, c->listed, c->asked, "canaries");
    return demote(l, GUARD_CANARY, now_s);
}

/* ---- periodic work ---- */

int64_t guard_returns_at(const struct memory_list *l, const struct config_guard *s)
{
    uint32_t again = l->demotions > 0 ? l->demotions - 1 : 0;
    int64_t wait = again < 6 ? (int64_t)RETURN_S << again : RETURN_MAX_S;

    if (l->demoted_s == 0 || s->recover_by_hand) {
        return 0;
    }
    return (int64_t)on_trial_since(l) + (wait < RETURN_MAX_S ? wait : RETURN_MAX_S);
}

/* At the end of an hour: adds its share to the baseline, unless the list is demoted. */
static void fold_baseline(struct memory_list *l, int64_t now_s)
{
    uint32_t hour = (uint32_t)(now_s / 3600), share;
    struct memory_minute m;

    if (l->baseline_hour == hour) {
        return;
    }
    guard_sum(l, 60, now_s, &m);
    if (l->baseline_hour != 0 && l->demoted_s == 0 && m.answers > 0) {
        uint64_t weight = min_u64(READ_ONCE(l->baseline_weight), BASELINE_MEMORY - 1) + 1;

        share = (uint32_t)((uint64_t)m.yes * 1000000 / m.answers);
        l->baseline_weight = (uint32_t)weight;
        l->baseline_ppm = (uint32_t)((l->baseline_ppm * (weight - 1) + share) / weight);
    }
    l->baseline_hour = hour;
}

static unsigned look_for_silence(struct memory_list *l, int64_t now_s)
{
    struct memory_minute m;

    if (l->baseline_weight < BASELINE_HOURS || now_s - (int64_t)l->silent_s < ALARM_S) {
        return 0;
    }
    guard_sum(l, 60, now_s, &m);
    if (m.yes > 0 || (uint64_t)m.answers * l->baseline_ppm < (uint64_t)SILENT_EXPECTED * 1000000) {
        return 0;
    }
    l->silent_s = (uint32_t)now_s;
    return GUARD_SILENT;
}

const char *guard_wants(const struct memory_list *l, const struct config_guard *s,
                        const struct guard_list *list)
{
    const struct memory_trial *t = &l->trial;
    bool canaries = l->cleared_s > on_trial_since(l);
    bool control = l->probe_control == 2 && l->control_s > on_trial_since(l);
    bool sample = t->good >= (uint64_t)s->good_clients * PROOF_TIMES;

    if (has(l, GUARD_PROBE) && !control && list->probe && s->probe_interval_s > 0) {
        return "the control of the probe answered, and not listed";
    }
    if (list->allows && has(l, GUARD_UNIVERSAL) &&
        (t->bad < GROUP_MIN || guard_reaches(t->bad_yes, t->bad, 50))) {
        return "some bad clients asked about, and not vouched for";
    }
    if (!list->allows && has(l, GUARD_UNIVERSAL) && !(control && canaries) &&
        (t->clients < s->min_asked || guard_reaches(t->clients_yes, t->clients, s->positive_percent))) {
        return "as many clients as reputation.guard.min_asked asked about, and most not listed";
    }
    if ((has(l, GUARD_CANARY) || has(l, GUARD_KNOWN_GOOD)) && !canaries && !sample) {
        return "those whom it listed, or more correspondents in good standing, asked about and not listed";
    }
    return NULL;
}

unsigned guard_tick(struct memory_list *l, const struct config_guard *s, const struct guard_list *list,
                    int64_t now_s)
{
    int64_t returns = guard_returns_at(l, s);
    unsigned what = 0;

    if (l->override != OVERRIDE_AUTO && l->override_until_s != 0 && now_s >= (int64_t)l->override_until_s) {
        l->override = OVERRIDE_AUTO; /* a demotion below it stays in force */
        l->override_until_s = 0;
        memory_list_changed(l, to_ms(now_s));
        what |= GUARD_OVERRIDE_ENDED;
    }
    what |= look_for_silence(l, now_s) | effect_look(l, list, now_s);
    fold_baseline(l, now_s);
    if (returns != 0 && now_s >= returns && l->broken_since_s == 0 && guard_wants(l, s, list) == NULL) {
        believe(l, now_s);
        what |= GUARD_RESTORED;
    }
    return what;
}

enum list_mode guard_mode(const struct memory_list *l, enum list_mode configured, int64_t now_s)
{
    bool overridden = l->override_until_s == 0 || now_s < (int64_t)l->override_until_s;

    if (overridden && l->override == OVERRIDE_ENFORCE) {
        return LIST_MODE_ENFORCE;
    }
    if (overridden && l->override == OVERRIDE_MONITOR) {
        return LIST_MODE_MONITOR;
    }
    if (overridden && l->override == OVERRIDE_OFF) {
        return LIST_MODE_OFF;
    }
    return configured == LIST_MODE_ENFORCE && l->demoted_s != 0 ? LIST_MODE_MONITOR : configured;
}

void guard_override(struct memory_list *l, enum memory_override o, uint32_t until_s, uint64_t now_ms)
{
    l->override = (uint8_t)o;
    l->override_until_s = until_s;
    memory_list_changed(l, now_ms);
    if (o == OVERRIDE_AUTO && l->demoted_s != 0) { /* a manual `auto` resets it */
        believe(l, (int64_t)(now_ms / 1000));
        l->probe_control = 0;
    }
}

/* ---- for people ---- */

struct guard_share guard_recent(const struct memory_list *l, unsigned minutes, int64_t now_s)
{
    struct memory_minute m;

    guard_sum(l, minutes, now_s, &m);
    return (struct guard_share){ m.answers, m.yes, m.errors, m.timeouts };
}

unsigned guard_good_asked(const struct memory_list *l, const struct config_guard *s, int64_t now_s)
{
    return guard_count_good(l, s, now_s).asked;
}

unsigned guard_good_listed(const struct memory_list *l, const struct config_guard *s, int64_t now_s)
{
    return guard_count_good(l, s, now_s).listed;
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
