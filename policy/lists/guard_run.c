/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_run.c - the guard of a worker (guard_run.h).
 *
 * Checks every record each second; the worker that finds a probe due claims it for all workers.  A probe queries the
 * two test entries of RFC 5782 5 and a few addresses that must not be listed, all in parallel.  After the last
 * answer it reports to the guard.  DNS queries have their own deadlines, so a probe always ends.
 *
 * Canaries   those of the file first, then (canaries: auto) the most frequent established correspondents.  For a
 *            demoted list, the addresses that it had wrongly instead: they show when it is correct again.
 * Off        A list that the file has off is not queried, but its record is read: the operator may override it.
 */
#include "policy/lists/guard_run.h"

#include "core/crypto.h"
#include "core/metrics.h"
#include "policy/lists/guard_canary.h"
#include "state/memory.h"

#define TICK_MS 1000
#define CANARIES_ASKED 16
#define MOST 32       /* heavy hitters to choose from, as not all suit every list */
#define AUTO_ENOUGH 3 /* canaries needed if none are configured */
#define PROBE_QUESTIONS (2 + CANARIES_ASKED)

struct probe_question {
    struct probe *probe;
    struct dns_req *req;
    bool asked;
    struct guard_news news;
    char who[56]; /* an address or a (possibly truncated) name, for people */
};

struct probe { /* of one list; at most one is pending */
    struct guard_run *g;
    size_t list;
    size_t waiting;
    unsigned enough;                          /* canaries */
    bool wronged;                             /* these are the addresses that it had wrongly */
    struct probe_question q[PROBE_QUESTIONS]; /* listed, control, canaries */
};

struct in_force {
    enum list_mode mode;
    bool broken;
};

struct guard_run {
    struct guard_run_setup s;
    struct timer tick;
    struct in_force *now; /* rep->count */
    struct probe *probe;
    struct canaries canaries;
    bool awake; /* an override is in force for a list that the file has off */
};

static struct guard_list about(const struct guard_run *g, size_t i)
{
    const struct reputation_list *l = &g->s.rep->list[i];

    return (struct guard_list){ .allows = l->weight_max <= 0,
                                .probe = l->probe,
                                .off = g->now[i].mode == LIST_MODE_OFF };
}

/* ---- log lines ---- */

static void say_evidence(struct log_line *line, const struct memory_list *l)
{
    log_list_begin(line, "evidence");
    for (size_t i = 0; i < MEMORY_EVIDENCE; i++) {
        const struct memory_evidence *e = &l->evidence[(l->evidence_next + i) % MEMORY_EVIDENCE];

        if (e->at_s != 0) {
            log_item(line, slice_of(e->text, strnlen(e->text, sizeof(e->text))));
        }
    }
    log_list_end(line);
}

static void put_last_error(struct log_line *line, const struct memory_list *l)
{
    struct addr a = { .family = ADDR_V4 };

    memcpy(a.ip, l->last_error, sizeof(l->last_error));
    if (a.ip[0] != 0) {
        log_ip(line, "answer", &a);
    }
}

static void say(enum log_level level, const char *event, const struct guard_run *g, size_t i,
                const struct memory_list *l, const char *msg)
{
    const char *why =
        strcmp(event, "list_no_effect") == 0 ? guard_effect_text((enum guard_effect)l->useless) : NULL;
    struct guard_share share = guard_recent(l, 60, wall_now_s());
    struct log_line line;

    if (!log_begin(&line, level, event)) {
        return;
    }
    log_str(&line, "list", g->s.rep->list[i].name);
    log_text(&line, "msg", msg);
    if (why != NULL) {
        log_text(&line, "why", why);
        put_last_error(&line, l);
    }
    if (l->demoted_s != 0) {
        log_text(&line, "reason", guard_reason_text((enum guard_reason)l->reason));
        log_text(&line, "numbers", l->why);
        log_num(&line, "times", l->demotions);
        say_evidence(&line, l);
    }
    log_num(&line, "answers", share.answers);
    log_num(&line, "yes", share.yes);
    log_num(&line, "errors", share.errors);
    log_num(&line, "timeouts", share.timeouts);
    log_end(&line);
}

static void tell_breaker(const struct guard_run *g, size_t i, const struct memory_list *l, unsigned what)
{
    if ((what & GUARD_BROKEN) != 0) {
        count(M_LIST_BREAKERS);
        say(LOG_LEVEL_ERROR, "list_broken", g, i, l,
            "Half of the newest questions failed: the list is skipped, and tried once in a while");
    }
    if ((what & GUARD_MENDED) != 0) {
        say(LOG_LEVEL_WARN, "list_mended", g, i, l, "The list answers again");
    }
    if ((what & GUARD_USELESS) != 0) {
        count(M_LIST_ALARMS);
        say(LOG_LEVEL_ERROR, "list_no_effect", g, i, l,
            "The list has no effect: its clients are accepted as if it knew none of them");
    }
    if ((what & GUARD_USEFUL) != 0) {
        say(LOG_LEVEL_WARN, "list_has_effect", g, i, l, "The list has an effect again");
    }
}

static void tell(const struct guard_run *g, size_t i, const struct memory_list *l, unsigned what)
{
    tell_breaker(g, i, l, what);
    if ((what & GUARD_DEMOTED) != 0) {
        count(M_LIST_DEMOTIONS);
        say(LOG_LEVEL_ERROR, "list_demoted", g, i, l,
            "The list is no longer believed: from now on it only monitors");
    }
    if ((what & GUARD_RESTORED) != 0) {
        count(M_LIST_RESTORED);
        say(LOG_LEVEL_WARN, "list_restored", g, i, l, "The list is believed again");
    }
    if ((what & GUARD_SURGE) != 0) {
        count(M_LIST_ALARMS);
        say(LOG_LEVEL_WARN, "list_surge", g, i, l,
            "The list hits far more often than usual; nothing is changed");
    }
    if ((what & GUARD_SILENT) != 0) {
        count(M_LIST_ALARMS);
        say(LOG_LEVEL_WARN, "list_silent", g, i, l, "The list has no hits where it usually had some");
    }
    if ((what & GUARD_OVERRIDE_ENDED) != 0) {
        say(LOG_LEVEL_WARN, "list_override", g, i, l, "The time of `glacis lists set` is over");
    }
}

/* Copies the record before logging: no log line under the lock. */
static struct memory_list *take(struct guard_run *g, size_t i)
{
    return memory_list_take(g->s.memory, g->s.rep->list[i].name);
}

static void give(struct guard_run *g, size_t i, struct memory_list *l, unsigned what)
{
    struct memory_list *copy = NULL;

    g->now[i].mode = guard_mode(l, g->s.rep->list[i].mode, wall_now_s());
    g->now[i].broken = l->broken_since_s != 0;
    if (what != 0) {
        copy = xmalloc(sizeof(*copy));
        memory_list_copy(copy, l);
    }
    memory_list_give(g->s.memory, l);
    if (copy != NULL) {
        tell(g, i, copy, what);
    }
    free(copy);
}

/* ---- probes ---- */

/* One of the answered queries, else the newest failure.  There is at least one query. */
static const struct guard_news *best_news(const struct probe *p)
{
    const struct guard_news *best = NULL;

    for (size_t i = 0; i < PROBE_QUESTIONS; i++) {
        const struct guard_news *n = &p->q[i].news;
        bool failed = n->outcome == GUARD_ERROR || n->outcome == GUARD_TIMEOUT;

        if (p->q[i].asked && (best == NULL || !failed)) {
            best = n;
        }
    }
    return best;
}

static void end_probe(struct probe *p)
{
    struct guard_run *g = p->g;
    struct guard_list list = about(g, p->list);
    struct memory_list *l = take(g, p->list);
    struct guard_canaries c = { .enough = p->enough, .wronged = p->wronged };
    unsigned what;

    if (l == NULL) {
        return; /* the next probe will do */
    }
    what = guard_probed(l, &list, p->q[0].asked ? p->q[0].news.outcome : GUARD_ERROR,
                        p->q[1].asked ? p->q[1].news.outcome : GUARD_ERROR, wall_now_s());
    for (size_t i = 2; i < PROBE_QUESTIONS; i++) {
        const struct probe_question *q = &p->q[i];

        c.asked += q->asked && q->news.outcome <= GUARD_YES;
        if (q->asked && q->news.outcome == GUARD_YES) {
            c.who = c.listed++ == 0 ? slice_str(q->who) : c.who;
        }
    }
    what |= guard_canaries(l, g->s.settings, &list, &c, wall_now_s());
    what |= guard_probe_over(l, best_news(p));
    give(g, p->list, l, what);
}

static void on_probe(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    static const enum guard_outcome outcomes[] = { [LIST_RESULT_NO] = GUARD_NO,
                                                   [LIST_RESULT_HIT] = GUARD_YES,
                                                   [LIST_RESULT_ERROR] = GUARD_ERROR,
                                                   [LIST_RESULT_VOID] = GUARD_VOID };
    struct probe_question *q = arg;
    struct probe *p = q->probe;
    struct list_finding f = reputation_judge(&p->g->s.rep->list[p->list], ans);

    (void)had;
    q->req = NULL;
    q->news = (struct guard_news){ .outcome = outcomes[f.result], .answered = f.answered };
    memcpy(q->news.answer, f.answer, sizeof(q->news.answer));
    if (--p->waiting == 0) {
        end_probe(p);
    }
}

static void ask(struct probe *p, size_t n, const struct addr *ip, struct slice name)
{
    const struct reputation_list *list = &p->g->s.rep->list[p->list];
    struct probe_question *q = &p->q[n];
    char mem[2 * DNS_NAME_MAX + 8];
    struct buf b, who;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_init_fixed(&who, q->who, sizeof(q->who));
    q->probe = p;
    if (ip != NULL) {
        addr_put_ip(&who, ip);
    } else {
        buf_put_quoted(&who, name, sizeof(q->who) - 5);
    }
    if (ip != NULL ? !dns_put_list_name(&b, ip, list->zone)
                   : !dns_put_domain_list_name(&b, name, list->zone)) {
        return;
    }
    q->asked = true;
    p->waiting++;
    q->req = dns_query(p->g->s.resolver, buf_slice(&b), DNS_TYPE_A, on_probe, q);
}

static bool takes(const struct reputation_list *list, const struct addr *ip)
{
    return ip->family == ADDR_V4 ? list->ipv4 : ip->family == ADDR_V6 && list->ipv6;
}

/* The addresses that a demoted list had wrongly, newest first. */
static size_t pick_evidence(struct guard_run *g, size_t i, struct addr out[CANARIES_ASKED])
{
    struct memory_list *l = take(g, i);
    size_t n = 0;

    if (l == NULL) {
        return 0;
    }
    for (size_t k = 1; l->demoted_s != 0 && k <= MEMORY_EVIDENCE && n < CANARIES_ASKED; k++) {
        uint32_t at = READ_ONCE(l->evidence_next) % MEMORY_EVIDENCE + MEMORY_EVIDENCE - (uint32_t)k;
        const struct memory_evidence e = l->evidence[at % MEMORY_EVIDENCE];

        if (e.at_s != 0 && takes(&g->s.rep->list[i], &e.ip)) {
            out[n++] = e.ip;
        }
    }
    memory_list_give(g->s.memory, l);
    return n;
}

/* Adds the addresses that suit the list; returns the new count. */
static size_t add_taken(const struct reputation_list *list, struct addr *ip, size_t n,
                        const struct addr *from, size_t count)
{
    for (size_t i = 0; i < count && n < CANARIES_ASKED; i++) {
        if (takes(list, &from[i])) {
            ip[n++] = from[i];
        }
    }
    return n;
}

static void ask_canary_addresses(struct probe *p)
{
    const struct config_guard *s = p->g->s.settings;
    const struct reputation_list *list = &p->g->s.rep->list[p->list];
    struct addr ip[CANARIES_ASKED], most[MOST];
    size_t n = pick_evidence(p->g, p->list, ip), kept;

    p->wronged = n > 0;
    p->enough = n > 0 || s->canary_count > 0 ? 1 : AUTO_ENOUGH;
    if (n == 0) {
        n = add_taken(list, ip, n, s->canary, s->canary_count);
        kept = s->canaries_auto ? canary_pick(&p->g->canaries, most, MOST) : 0;
        n = add_taken(list, ip, n, most, kept);
    }
    for (size_t i = 0; i < n; i++) {
        ask(p, 2 + i, &ip[i], SLICE_NONE);
    }
}

static void ask_canary_domains(struct probe *p)
{
    const struct config_guard *s = p->g->s.settings;

    p->enough = 1;
    for (size_t i = 0; i < min_size(s->canary_domain_count, CANARIES_ASKED); i++) {
        ask(p, 2 + i, NULL, slice_str(s->canary_domain[i]));
    }
}

/* RFC 5782 5: 127.0.0.2 and TEST must be listed, 127.0.0.1 and INVALID must not. */
static void start_probe(struct guard_run *g, size_t i)
{
    static const struct addr listed = { .family = ADDR_V4, .ip = { 127, 0, 0, 2 } };
    static const struct addr control = { .family = ADDR_V4, .ip = { 127, 0, 0, 1 } };
    const struct reputation_list *list = &g->s.rep->list[i];
    bool by_address = (list->subjects & (1u << SUBJECT_CLIENT)) != 0;
    struct probe *p = &g->probe[i];

    if (p->waiting > 0) {
        return;
    }
    *p = (struct probe){ .g = g, .list = i };
    if (list->probe && (!by_address || list->ipv4)) {
        ask(p, 0, by_address ? &listed : NULL, SLICE("TEST"));
        ask(p, 1, by_address ? &control : NULL, SLICE("INVALID"));
    }
    if (by_address) {
        ask_canary_addresses(p);
    } else {
        ask_canary_domains(p);
    }
}

/* ---- each second ---- */

static void on_tick(void *arg)
{
    struct guard_run *g = arg;
    int64_t now_s = wall_now_s();
    bool awake = false;

    timer_start(&g->tick, TICK_MS);
    for (size_t i = 0; i < g->s.rep->count; i++) {
        uint32_t interval = g->s.settings->probe_interval_s;
        struct guard_list list = about(g, i);
        struct memory_list *l = take(g, i);
        bool due;

        if (l != NULL) {
            due = interval > 0 && guard_mode(l, g->s.rep->list[i].mode, now_s) != LIST_MODE_OFF &&
                  memory_list_claim(l, &l->probe_at_s, now_s, interval);
            give(g, i, l, guard_tick(l, g->s.settings, &list, now_s));
            if (due) {
                start_probe(g, i);
            }
        }
        awake = awake || (g->s.rep->list[i].mode == LIST_MODE_OFF && g->now[i].mode != LIST_MODE_OFF);
    }
    g->awake = awake;
}

struct guard_run *guard_run_new(const struct guard_run_setup *setup)
{
    struct guard_run *g = xcalloc(1, sizeof(*g));

    g->s = *setup;
    g->now = xcalloc(setup->rep->count + 1, sizeof(*g->now));
    g->probe = xcalloc(setup->rep->count + 1, sizeof(*g->probe));
    for (size_t i = 0; i < setup->rep->count; i++) {
        struct memory_list *l = take(g, i);

        g->now[i].mode = setup->rep->list[i].mode;
        if (l != NULL) {
            give(g, i, l, 0);
        }
        g->awake = g->awake || (setup->rep->list[i].mode == LIST_MODE_OFF && g->now[i].mode != LIST_MODE_OFF);
    }
    timer_init(&g->tick, setup->loop, on_tick, g);
    timer_start(&g->tick, TICK_MS);
    return g;
}

void guard_run_free(struct guard_run **gp)
{
    struct guard_run *g = *gp;

    if (g == NULL) {
        return;
    }
    *gp = NULL;
    timer_stop(&g->tick);
    for (size_t i = 0; i < g->s.rep->count; i++) {
        for (size_t k = 0; k < PROBE_QUESTIONS; k++) {
            dns_cancel(&g->probe[i].q[k].req);
        }
    }
    free(g->now);
    free(g->probe);
    free(g);
}

enum list_mode guard_run_mode(const struct guard_run *g, size_t list)
{
    return g->now[list].mode;
}

enum guard_ask guard_run_may_ask(struct guard_run *g, size_t list)
{
    enum guard_ask may = GUARD_ASK_NOT;
    struct memory_list *l;

    if (!g->now[list].broken) {
        return GUARD_ASK;
    }
    l = take(g, list);
    if (l != NULL) {
        may = guard_may_ask(l, wall_now_s());
        give(g, list, l, 0);
    }
    return may;
}

void guard_run_answer(struct guard_run *g, size_t list, const struct guard_news *n)
{
    struct memory_list *l = take(g, list);

    if (l != NULL) {
        give(g, list, l, guard_answer(l, g->s.settings, n, wall_now_s()));
    }
}

void guard_run_witness(struct guard_run *g, size_t list, const struct guard_witness *w)
{
    struct guard_list what = about(g, list);
    struct memory_list *l = take(g, list);

    if (l != NULL) {
        give(g, list, l, guard_witness(l, g->s.settings, &what, w, wall_now_s()));
    }
}

void guard_run_canary(struct guard_run *g, const struct addr *ip, uint64_t owner)
{
    canary_note(&g->canaries, ip, owner, wall_now_s());
}

bool guard_run_awake(const struct guard_run *g)
{
    return g->awake;
}

bool guard_run_samples(const struct guard_run *g)
{
    return g->s.settings->sample_percent > 0 && random_below(100) < g->s.settings->sample_percent;
}
