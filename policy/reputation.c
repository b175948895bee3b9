/*
 * reputation.c - asking reputation lists for one session (reputation.h).
 *
 * A slot is one list with one subject: at most one question, under the list's own timeout.  Its state is
 * asked for, never pushed: on_change only says that something is new, once a turn.
 */
#include "policy/reputation_run.h"

#include "policy/guard_run.h"

/* ---- one answer ---- */

static bool in_range(const struct list_range *r, const uint8_t ip[4])
{
    for (unsigned i = 0; i < 4; i++) {
        if (ip[i] < r->low[i] || ip[i] > r->high[i]) {
            return false;
        }
    }
    return true;
}

static bool is_error(const struct reputation_list *list, const uint8_t ip[4])
{
    if (ip[0] != 127 || (ip[1] == 255 && ip[2] == 255)) {
        return true;
    }
    for (size_t i = 0; i < list->error_count; i++) {
        if (in_range(&list->errors[i], ip)) {
            return true;
        }
    }
    return false;
}

/* The largest weight of the ranges it is in; false: in none. */
static bool weigh(const struct reputation_list *list, const uint8_t ip[4], int64_t *weight)
{
    bool found = false;

    for (size_t i = 0; i < list->answer_count; i++) {
        if (in_range(&list->answers[i], ip) && (!found || list->answers[i].weight > *weight)) {
            *weight = list->answers[i].weight;
            found = true;
        }
    }
    return found;
}

enum list_result reputation_judge(const struct reputation_list *list, const struct dns_answer *ans,
                                  int64_t *weight)
{
    enum list_result result = LIST_NO;

    *weight = 0;
    if (ans->status == DNS_TEMPFAIL) {
        return LIST_ERROR;
    }
    for (size_t i = 0; ans->status == DNS_OK && i < ans->count; i++) {
        struct addr a = dns_record_addr(&ans->records[i]);
        int64_t here = 0;

        if (a.family != ADDR_V4 || is_error(list, a.ip)) {
            *weight = 0;
            return LIST_ERROR;
        }
        if (weigh(list, a.ip, &here)) {
            *weight = result == LIST_NO || here > *weight ? here : *weight;
            result = LIST_HIT;
        }
    }
    return result;
}

/* ---- questions ---- */

static void tell(struct reputation_run *run)
{
    loop_defer(run->setup.loop, &run->changed);
}

static unsigned kind_of(const struct slot *s)
{
    enum list_ask ask = s->run->force[s->index].ask;

    return ask == LIST_EARLY ? RUN_EARLY : ask == LIST_LATE ? RUN_LATE : RUN_BACKGROUND;
}

static bool is_awaited(const struct slot *s)
{
    return s->run->force[s->index].ask != LIST_BACKGROUND && !s->sampled;
}

/* Demoted: like a monitoring list.  One that the operator enforces, whatever the file says: like any other.
 */
static struct force force_of(const struct reputation_setup *setup, size_t i)
{
    const struct reputation_list *list = &setup->rep->list[i];
    struct force f = { list->mode, list->ask, 0 };

    if (setup->guard == NULL) {
        return f;
    }
    f.mode = guard_run_mode(setup->guard, i);
    if (f.mode == LIST_MONITOR) {
        f.ask = LIST_BACKGROUND;
    } else if (f.mode == LIST_ENFORCE && list->mode == LIST_MONITOR) {
        f.ask = LIST_EARLY;
    }
    return f;
}

static void tell_guard(const struct slot *s, enum guard_outcome outcome)
{
    if (s->run->setup.guard != NULL) {
        guard_run_answer(s->run->setup.guard, s->index, outcome, s->origin.network ? s->origin.us : 0);
    }
}

static void finish(struct slot *s, enum list_state state)
{
    s->run->version++;
    timer_stop(&s->timeout);
    dns_cancel(&s->req);
    s->state = state;
    s->origin.us = loop_now_us() - s->started_us;
    tell(s->run);
}

static void on_answer(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    static const enum list_state states[] = {
        [LIST_NO] = LIST_NOT_LISTED,
        [LIST_HIT] = LIST_LISTED,
        [LIST_ERROR] = LIST_FAILED,
    };
    static const enum guard_outcome outcomes[] = {
        [LIST_NO] = GUARD_NO,
        [LIST_HIT] = GUARD_YES,
        [LIST_ERROR] = GUARD_ERROR,
    };
    struct slot *s = arg;
    enum list_result result = reputation_judge(s->list, ans, &s->weight);

    s->req = NULL;
    origin_note(&s->origin, ans, had);
    finish(s, states[result]);
    tell_guard(s, outcomes[result]);
}

static void on_timeout(void *arg)
{
    finish(arg, LIST_FAILED);
    tell_guard(arg, GUARD_TIMEOUT);
}

/* The name to ask; false: the list cannot have it. */
static bool put_question(const struct slot *s, struct buf *out)
{
    const struct reputation_run *run = s->run;
    const char *name = run->subject[s->subject].name;

    if (s->subject == SUBJECT_CLIENT) {
        return (run->client.family == ADDR_V4 ? s->list->ipv4 : s->list->ipv6) &&
               dns_put_list_name(out, &run->client, s->list->zone);
    }
    return name != NULL && dns_put_domain_list_name(out, slice_str(name), s->list->zone);
}

static void start_slot(struct slot *s)
{
    struct reputation_run *run = s->run;
    char mem[2 * DNS_NAME_MAX + 8];
    struct buf name;

    bool sampled = run->sampling && kind_of(s) == RUN_LATE;

    if (s->state != LIST_UNASKED || !run->subject[s->subject].known || !run->setup.wanted[s->index] ||
        run->force[s->index].mode == LIST_OFF || ((run->kinds & kind_of(s)) == 0 && !sampled)) {
        return;
    }
    run->version++;
    buf_init_fixed(&name, mem, sizeof(mem));
    if (!put_question(s, &name)) {
        s->state = LIST_NOT_LISTED;
        return;
    }
    if (run->setup.guard != NULL && !guard_run_may_ask(run->setup.guard, s->index)) {
        s->state = LIST_FAILED; /* it would not answer: nobody waits for that */
        return;
    }
    s->sampled = (run->kinds & kind_of(s)) == 0;
    s->state = LIST_PENDING;
    s->weight = 0;
    s->origin = (struct origin){ .asked = true };
    s->started_us = loop_now_us();
    timer_start(&s->timeout, s->list->timeout_ms);
    s->req = dns_query(run->setup.resolver, buf_slice(&name), DNS_TYPE_A, on_answer, s);
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
    s->state = LIST_UNASKED;
    s->sampled = false;
    s->weight = 0;
    s->origin = (struct origin){ .asked = false };
}

static void forget_reason(struct reputation_run *run)
{
    run->version++;
    timer_stop(&run->reason_timeout);
    dns_cancel(&run->reason_req);
    run->reason_state = REASON_UNASKED;
    run->reason_slot = NULL;
    run->reason_len = 0;
}

/* ---- the run ---- */

static void on_changed(void *arg)
{
    struct reputation_run *run = arg;

    run->on_change(run->arg);
}

static void on_reason_timeout(void *arg)
{
    struct reputation_run *run = arg;

    run->version++;
    dns_cancel(&run->reason_req);
    run->reason_state = REASON_DONE;
    tell(run);
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
    timer_init(&run->reason_timeout, setup->loop, on_reason_timeout, run);
    run->force = (struct force *)(void *)(run->slot + setup->rep->slot_count);
    return run;
}

void run_make_slots(struct reputation_run *run)
{
    const struct reputation *rep = run->setup.rep;

    for (size_t i = 0; i < rep->count; i++) {
        run->force[i].first = run->count;
        for (unsigned s = 0; s < SUBJECT_COUNT && run->force[i].mode != LIST_OFF; s++) {
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
    forget_reason(r);
    deferred_cancel(&r->changed);
    for (unsigned s = 0; s < SUBJECT_COUNT; s++) {
        free(r->subject[s].name);
    }
    slab_release(r->setup.slab, r);
}

void reputation_set_client(struct reputation_run *run, const struct addr *ip)
{
    run->client = *ip;
    run->subject[SUBJECT_CLIENT].known = true;
    start_all(run);
}

void reputation_set_subject(struct reputation_run *run, enum list_subject s, struct slice name)
{
    reputation_drop_subject(run, s);
    run->version++;
    run->subject[s].known = true;
    run->subject[s].name = slice_empty(name) ? NULL : slice_dup(name);
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
        forget_reason(run);
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
        run->slot[i].sampled = run->slot[i].sampled && (kinds & kind_of(&run->slot[i])) == 0;
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
        if (run->slot[i].state == LIST_PENDING && is_awaited(&run->slot[i])) {
            finish(&run->slot[i], LIST_FAILED);
        }
    }
    if (run->reason_state == REASON_PENDING) {
        timer_stop(&run->reason_timeout);
        on_reason_timeout(run);
    }
}

bool reputation_waiting(const struct reputation_run *run, unsigned kinds)
{
    for (size_t i = 0; i < run->count; i++) {
        const struct slot *s = &run->slot[i];

        if (s->state == LIST_PENDING && is_awaited(s) && (kinds & kind_of(s)) != 0) {
            return true;
        }
    }
    return false;
}

uint32_t reputation_version(const struct reputation_run *run)
{
    return run->version;
}

bool reputation_busy(const struct reputation_run *run)
{
    bool busy = run->reason_state == REASON_PENDING || list_linked(&run->changed.node);

    for (size_t i = 0; i < run->count; i++) {
        busy = busy || run->slot[i].state == LIST_PENDING;
    }
    return busy;
}

bool reputation_has_unasked_late(const struct reputation_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        const struct slot *s = &run->slot[i];
        bool absent = s->subject != SUBJECT_CLIENT && run->subject[s->subject].known &&
                      run->subject[s->subject].name == NULL;

        if ((s->state == LIST_UNASKED || s->sampled) && kind_of(s) == RUN_LATE && !absent &&
            run->setup.wanted[s->index]) {
            return true;
        }
    }
    return false;
}

/* ---- what came of it ---- */

static enum list_state state_of(const struct reputation_run *run, size_t list, bool with_samples,
                                int64_t *weight)
{
    /* of several subjects the strongest one counts: LISTED, then PENDING, FAILED, NOT_LISTED, UNASKED */
    static const unsigned rank[] = {
        [LIST_UNASKED] = 0, [LIST_NOT_LISTED] = 1, [LIST_FAILED] = 2, [LIST_PENDING] = 3, [LIST_LISTED] = 4,
    };
    enum list_state state = LIST_UNASKED;

    *weight = 0;
    for (size_t i = run->force[list].first; i < run->count && run->slot[i].index == list; i++) {
        const struct slot *s = &run->slot[i];

        if (s->sampled && !with_samples) {
            continue;
        }
        if (s->state == LIST_LISTED && (state != LIST_LISTED || s->weight > *weight)) {
            *weight = s->weight;
        }
        state = rank[s->state] > rank[state] ? s->state : state;
    }
    return state;
}

enum list_state reputation_list_state(const struct reputation_run *run, size_t list, int64_t *weight)
{
    return state_of(run, list, false, weight);
}

enum list_state reputation_list_state_raw(const struct reputation_run *run, size_t list, int64_t *weight)
{
    return state_of(run, list, true, weight);
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

static void add_list(const struct reputation_run *run, size_t i, struct reputation_sum *sum)
{
    const struct reputation_list *list = &run->setup.rep->list[i];
    int64_t weight;
    enum list_state state = reputation_list_state(run, i, &weight);
    bool background = run->force[i].ask == LIST_BACKGROUND;
    bool missing = state == LIST_FAILED || (state == LIST_PENDING && !background);

    sum->score += weight;
    sum->low += weight;
    sum->high += weight;
    sum->incomplete = sum->incomplete || missing;
    if (missing && !background) {
        sum->low += list->weight_min;
        sum->high += list->weight_max;
    }
    if (list->zero_day) {
        sum->zero_day = sum->zero_day || state == LIST_LISTED;
        sum->zero_day_known = sum->zero_day_known && !missing;
    }
}

void reputation_sum(const struct reputation_run *run, struct reputation_sum *out)
{
    *out = (struct reputation_sum){ .zero_day_known = true };
    for (size_t i = 0; i < run->setup.rep->count; i++) {
        if (run->force[i].mode == LIST_ENFORCE) {
            add_list(run, i, out);
        }
    }
    out->zero_day_known = out->zero_day_known || out->zero_day;
}

void reputation_put_lists(const struct reputation_run *run, bool monitored, struct buf *out)
{
    const struct reputation *rep = run->setup.rep;
    int64_t weight;

    for (size_t i = 0; i < rep->count; i++) {
        enum list_mode mode = run->force[i].mode;

        if (mode == (monitored ? LIST_MONITOR : LIST_ENFORCE) &&
            reputation_list_state(run, i, &weight) == LIST_LISTED && weight > 0) {
            buf_put_str(out, out->len > 0 ? "," : "");
            buf_put_slice(out, rep->list[i].name);
        }
    }
}

/* ---- the list's own text ---- */

/* Printable ASCII in one line; a text that repeats the key of the zone is not shown at all. */
static void take_reason(struct reputation_run *run, struct slice text)
{
    const struct reputation_list *list = run->reason_slot->list;
    struct slice key = slice_take(list->zone, slice_find(list->zone, '.'));
    struct buf b;

    buf_init_fixed(&b, run->reason, sizeof(run->reason));
    for (size_t i = 0; i < text.len && b.len < REPUTATION_REASON_MAX; i++) {
        bool blank = (unsigned char)text.ptr[i] <= ' ';

        if (!blank) {
            buf_put_char(&b, ascii_is_print(text.ptr[i]) ? text.ptr[i] : '?');
        } else if (b.len > 0 && b.ptr[b.len - 1] != ' ') {
            buf_put_char(&b, ' ');
        }
    }
    run->reason_len = slice_trim(buf_slice(&b)).len;
    if (!slice_eq(list->zone, list->shown) && key.len > 0 && memmem(run->reason, b.len, key.ptr, key.len)) {
        run->reason_len = 0;
    }
}

static void on_reason(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct reputation_run *run = arg;

    (void)had;
    run->version++;
    run->reason_req = NULL;
    timer_stop(&run->reason_timeout);
    run->reason_state = REASON_DONE;
    if (ans->status == DNS_OK && ans->count > 0) {
        take_reason(run, ans->records[0].data);
    }
    tell(run);
}

bool reputation_ask_reason(struct reputation_run *run)
{
    char mem[2 * DNS_NAME_MAX + 8];
    struct buf name;

    if (run->reason_state != REASON_UNASKED) {
        return true;
    }
    buf_init_fixed(&name, mem, sizeof(mem));
    for (size_t i = 0; i < run->count; i++) {
        const struct slot *s = &run->slot[i];

        if (s->state == LIST_LISTED && s->weight > 0 && run->force[s->index].mode == LIST_ENFORCE &&
            s->list->reason && put_question(s, &name)) {
            run->version++;
            run->reason_slot = s;
            run->reason_state = REASON_PENDING;
            timer_start(&run->reason_timeout, s->list->timeout_ms);
            run->reason_req = dns_query(run->setup.resolver, buf_slice(&name), DNS_TYPE_TXT, on_reason, run);
            return true;
        }
    }
    return false;
}

bool reputation_reason_pending(const struct reputation_run *run)
{
    return run->reason_state == REASON_PENDING;
}

struct slice reputation_reason(const struct reputation_run *run)
{
    return slice_of(run->reason, run->reason_state == REASON_DONE ? run->reason_len : 0);
}
