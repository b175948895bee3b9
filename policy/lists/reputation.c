/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reputation.c - queries reputation lists for one session (reputation.h): slots, and the life of a run.
 *
 * A slot is one list with one subject: at most one query, with the list's own timeout.  Callers poll its state:
 * on_change only signals that something has changed, once a turn.
 */
#include "policy/lists/reputation_run.h"

#include "policy/lists/guard_run.h"

/* ---- queries ---- */

void run_changed(struct reputation_run *run)
{
    run->version++;
    loop_defer(run->setup.loop, &run->changed);
}

unsigned run_kind_of(const struct slot *s)
{
    enum list_ask ask = s->run->force[s->index].ask;

    return ask == LIST_ASK_EARLY ? RUN_EARLY : ask == LIST_ASK_LATE ? RUN_LATE : RUN_BACKGROUND;
}

/* Demoted: like a monitoring list.  Enforced by the operator: like an enforcing one, whatever the file has.
 */
static struct force force_of(const struct reputation_setup *setup, size_t i)
{
    const struct reputation_list *list = &setup->rep->list[i];
    struct force f = { list->mode, list->ask, 0 };

    if (setup->guard == NULL) {
        return f;
    }
    f.mode = guard_run_mode(setup->guard, i);
    if (f.mode == LIST_MODE_MONITOR) {
        f.ask = LIST_ASK_BACKGROUND;
    } else if (f.mode == LIST_MODE_ENFORCE && list->mode == LIST_MODE_MONITOR) {
        f.ask = LIST_ASK_EARLY;
    }
    return f;
}

/* A client network counts once towards the breaker, however many names it makes us query. */
static void tell_guard(const struct slot *s, enum guard_outcome outcome)
{
    struct guard_news news = { .outcome = outcome, .trial = s->trial, .from = s->run->client };

    if (s->run->setup.guard != NULL && !s->found.ours) {
        news.answered = s->found.answered;
        memcpy(news.answer, s->found.answer, sizeof(news.answer));
        news.took_us = s->origin.network ? s->origin.us : 0;
        guard_run_answer(s->run->setup.guard, s->index, &news);
    }
}

static void finish(struct slot *s, enum list_state state, enum slot_failure failure)
{
    timer_stop(&s->timeout);
    dns_cancel(&s->req);
    s->state = state;
    s->failure = failure;
    s->origin.us = loop_now_us() - s->started_us;
    run_changed(s->run);
}

static void on_answer(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    static const struct {
        enum list_state state;
        enum slot_failure failure;
        enum guard_outcome outcome;
    } results[] = {
        [LIST_RESULT_NO] = { LIST_STATE_NOT_LISTED, FAILURE_NONE, GUARD_NO },
        [LIST_RESULT_HIT] = { LIST_STATE_LISTED, FAILURE_NONE, GUARD_YES },
        [LIST_RESULT_ERROR] = { LIST_STATE_FAILED, FAILURE_ERROR, GUARD_ERROR },
        [LIST_RESULT_VOID] = { LIST_STATE_NOT_LISTED, FAILURE_NONE, GUARD_VOID },
    };
    struct slot *s = arg;

    s->req = NULL;
    s->found = reputation_judge(s->list, ans);
    origin_note(&s->origin, ans, had);
    finish(s, results[s->found.result].state, results[s->found.result].failure);
    tell_guard(s, results[s->found.result].outcome);
}

static void on_timeout(void *arg)
{
    finish(arg, LIST_STATE_FAILED, FAILURE_TIMEOUT);
    tell_guard(arg, GUARD_TIMEOUT);
}

bool run_put_question(const struct slot *s, struct buf *out)
{
    const struct reputation_run *run = s->run;
    const char *name = run->subject[s->subject].name;

    if (s->subject == SUBJECT_CLIENT) {
        return (run->client.family == ADDR_V4 ? s->list->ipv4 : s->list->ipv6) &&
               dns_put_list_name(out, &run->client, s->list->zone);
    }
    return name != NULL && reputation_put_host(out, slice_str(name), s->list->zone);
}

static void ask(struct slot *s, struct slice name, bool trial)
{
    struct reputation_run *run = s->run;

    s->sampled = (run->kinds & run_kind_of(s)) == 0;
    s->trial = trial;
    s->state = LIST_STATE_PENDING;
    s->found = (struct list_finding){ .result = LIST_RESULT_NO };
    s->origin = (struct origin){ .asked = true };
    s->started_us = loop_now_us();
    timer_start(&s->timeout, s->list->timeout_ms);
    s->req = dns_query_for(&run->setup.who, name, DNS_TYPE_A, on_answer, s);
}

static void start_slot(struct slot *s)
{
    struct reputation_run *run = s->run;
    enum guard_ask may = GUARD_ASK;
    char mem[2 * DNS_NAME_MAX + 8];
    struct buf name;

    bool sampled = run->sampling && run_kind_of(s) == RUN_LATE;

    if (s->state != LIST_STATE_UNASKED || !run->subject[s->subject].known || !run->setup.wanted[s->index] ||
        run->force[s->index].mode == LIST_MODE_OFF || ((run->kinds & run_kind_of(s)) == 0 && !sampled)) {
        return;
    }
    run->version++;
    buf_init_fixed(&name, mem, sizeof(mem));
    if (!run_put_question(s, &name)) {
        s->state = LIST_STATE_NOT_LISTED;
        return;
    }
    if (run->setup.guard != NULL) {
        may = guard_run_may_ask(run->setup.guard, s->index);
    }
    if (may == GUARD_ASK_NOT) {
        s->state = LIST_STATE_FAILED; /* the breaker is open: do not wait */
        s->failure = FAILURE_SKIPPED;
        return;
    }
    ask(s, buf_slice(&name), may == GUARD_ASK_TRIAL);
}

static void start_all(struct reputation_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        start_slot(&run->slot[i]);
    }
}

static void forget_slot(struct slot *s)
{
    s->run->version++;
    timer_stop(&s->timeout);
    dns_cancel(&s->req);
    s->state = LIST_STATE_UNASKED;
    s->sampled = s->trial = false;
    s->found = (struct list_finding){ .result = LIST_RESULT_NO };
    s->failure = FAILURE_NONE;
    s->origin = (struct origin){ .asked = false };
}

/* ---- the run ---- */

static void on_changed(void *arg)
{
    struct reputation_run *run = arg;

    run->on_change(run->arg);
}

size_t reputation_run_size(const struct reputation *rep)
{
    return sizeof(struct reputation_run) + rep->slot_count * sizeof(struct slot) +
           rep->count * sizeof(struct force);
}

struct reputation_run *run_make(const struct reputation_setup *setup, void (*on_change)(void *arg), void *arg)
{
    struct reputation_run *run = slab_alloc(setup->slab);

    run->setup = *setup;
    run->on_change = on_change;
    run->arg = arg;
    deferred_init(&run->changed, on_changed, run);
    run_init_reason(run);
    run->force = (struct force *)(void *)(run->slot + setup->rep->slot_count);
    return run;
}

void run_make_slots(struct reputation_run *run)
{
    const struct reputation *rep = run->setup.rep;

    for (size_t i = 0; i < rep->count; i++) {
        run->force[i].first = run->count;
        for (unsigned s = 0; s < SUBJECT_COUNT && run->force[i].mode != LIST_MODE_OFF; s++) {
            if ((rep->list[i].subjects & (1u << s)) != 0) {
                struct slot *slot = &run->slot[run->count++];

                *slot = (struct slot){
                    .run = run, .list = &rep->list[i], .index = i, .subject = (enum list_subject)s
                };
                timer_init(&slot->timeout, run->setup.loop, on_timeout, slot);
            }
        }
    }
}

struct reputation_run *reputation_run_new(const struct reputation_setup *setup, void (*on_change)(void *arg),
                                          void *arg)
{
    struct reputation_run *run = run_make(setup, on_change, arg);

    for (size_t i = 0; i < setup->rep->count; i++) {
        run->force[i] = force_of(setup, i);
    }
    run_make_slots(run);
    return run;
}

void reputation_run_free(struct reputation_run **run)
{
    struct reputation_run *r = *run;

    if (r == NULL) {
        return;
    }
    *run = NULL;
    for (size_t i = 0; i < r->count; i++) {
        forget_slot(&r->slot[i]);
    }
    run_forget_reason(r);
    deferred_cancel(&r->changed);
    for (unsigned s = 0; s < SUBJECT_COUNT; s++) {
        free(r->subject[s].name);
    }
    slab_release(r->setup.slab, r);
}

void run_set_client(struct reputation_run *run, const struct addr *ip)
{
    struct buf text;

    run->client = *ip;
    buf_init_fixed(&text, run->client_text, sizeof(run->client_text));
    addr_put_ip(&text, ip);
}

void reputation_set_client(struct reputation_run *run, const struct addr *ip)
{
    run_set_client(run, ip);
    run->subject[SUBJECT_CLIENT].known = true;
    start_all(run);
}

void reputation_set_subject(struct reputation_run *run, enum list_subject s, struct slice name)
{
    reputation_drop_subject(run, s);
    run->version++;
    run->subject[s].known = true;
    run->subject[s].name = reputation_is_host(name) ? slice_dup(name) : NULL;
    start_all(run);
}

void reputation_drop_subject(struct reputation_run *run, enum list_subject s)
{
    for (size_t i = 0; i < run->count; i++) {
        if (run->slot[i].subject == s) {
            forget_slot(&run->slot[i]);
        }
    }
    if (run->reason_slot != NULL && run->reason_slot->subject == s) {
        run_forget_reason(run);
    }
    run->version++;
    free(run->subject[s].name);
    run->subject[s] = (struct subject){ .known = false };
}

void reputation_want(struct reputation_run *run, unsigned kinds)
{
    run->kinds |= kinds;
    run->version++;
    for (size_t i = 0; i < run->count; i++) {
        run->slot[i].sampled = run->slot[i].sampled && (kinds & run_kind_of(&run->slot[i])) == 0;
    }
    start_all(run);
}

void reputation_sample(struct reputation_run *run)
{
    run->sampling = true;
    run->version++;
    start_all(run);
}

void reputation_unwant(struct reputation_run *run, unsigned kinds)
{
    run->kinds &= ~kinds;
    run->version++;
}

void reputation_expire(struct reputation_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        if (run_awaits(&run->slot[i])) {
            finish(&run->slot[i], LIST_STATE_FAILED, FAILURE_TIMEOUT);
        }
    }
    run_expire_reason(run);
}

uint32_t reputation_version(const struct reputation_run *run)
{
    return run->version;
}

bool reputation_busy(const struct reputation_run *run)
{
    bool busy = run->reason_state == REASON_PENDING || list_linked(&run->changed.node);

    for (size_t i = 0; i < run->count; i++) {
        busy = busy || run->slot[i].state == LIST_STATE_PENDING;
    }
    return busy;
}

enum list_mode reputation_mode(const struct reputation_run *run, size_t list)
{
    return run->force[list].mode;
}

enum list_ask reputation_ask(const struct reputation_run *run, size_t list)
{
    return run->force[list].ask;
}

bool reputation_looks_up(const struct reputation_run *run, enum list_subject s)
{
    bool found = false;

    for (size_t i = 0; i < run->count; i++) {
        found = found || run->slot[i].subject == s;
    }
    return found;
}

bool reputation_list_source(const struct reputation_run *run, size_t list, struct buf *from, uint64_t *us)
{
    const struct slot *slowest = NULL;

    for (size_t i = 0; i < run->count; i++) {
        const struct slot *s = &run->slot[i];

        if (s->index == list && s->origin.asked && (slowest == NULL || s->origin.us > slowest->origin.us)) {
            slowest = s;
        }
    }
    if (slowest == NULL) {
        return false;
    }
    origin_put(&slowest->origin, from);
    *us = slowest->origin.us;
    return true;
}
