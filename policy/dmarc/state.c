/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - takes the domains of the message, gives out questions, and keeps their answers.
 *
 * RFC     9989 4.10 step 2 (which records count), 3.2.13 (existence)
 * Next    evaluate.c
 */
#include "policy/dmarc/state.h"

#include "core/buf.h"

/* ---- domains ---- */

/* Copies a name in lower case without its final dot.  False: it is not a host name; the place is free then. */
static bool set_domain(struct dmarc_domain *to, struct slice name)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    *to = (struct dmarc_domain){ .name = SLICE_NONE };
    if (!hostname_valid(name) || name.len > DMARC_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        to->text[i] = ascii_lower(name.ptr[i]);
    }
    to->name = slice_of(to->text, name.len);
    return true;
}

/* After a copy of a whole struct, the slice must point into the new one. */
static void move_domain(struct dmarc_domain *to, const struct dmarc_domain *from)
{
    *to = *from;
    to->name = slice_of(to->text, from->name.len);
}

/* Is `a` of more use than `b`?  The author's own domain first, then the closest; a pass before a temperror. */
static bool is_better(const struct dmarc *d, const struct dmarc_domain *a, const struct dmarc_domain *b)
{
    bool own_a = slice_eq(a->name, dmarc_author(d)), own_b = slice_eq(b->name, dmarc_author(d));

    if (own_a != own_b) {
        return own_a;
    }
    return a->shared != b->shared ? a->shared > b->shared : !a->unknown && b->unknown;
}

/* Puts a signing domain into the sorted places; the last one falls out if all are taken. */
static void put_dkim(struct dmarc *d, const struct dmarc_domain *domain)
{
    size_t at = DMARC_PLACE_DKIM;

    for (size_t i = DMARC_PLACE_DKIM; i < DMARC_DOMAINS_MAX; i++) {
        if (slice_eq(d->domains[i].name, domain->name)) {
            d->domains[i].unknown = d->domains[i].unknown && domain->unknown;
            return;
        }
    }
    while (at < DMARC_DOMAINS_MAX && !slice_empty(d->domains[at].name) &&
           !is_better(d, domain, &d->domains[at])) {
        at++;
    }
    if (at == DMARC_DOMAINS_MAX) {
        return;
    }
    for (size_t i = DMARC_DOMAINS_MAX - 1; i > at; i--) {
        move_domain(&d->domains[i], &d->domains[i - 1]);
    }
    move_domain(&d->domains[at], domain);
}

static void add_domain(struct dmarc *d, enum dmarc_by by, struct slice name, bool unknown)
{
    struct dmarc_domain domain;

    if (d->ended) {
        return;
    }
    if (by == DMARC_BY_SPF) {
        d->domains[DMARC_PLACE_SPF].name = SLICE_NONE;
    }
    if (!set_domain(&domain, name)) {
        return;
    }
    d->authenticated = d->authenticated || !unknown;
    domain.unknown = unknown;
    domain.shared = dmarc_shared_labels(domain.name, dmarc_author(d));
    if (domain.shared == 0) {
        return;
    }
    if (by == DMARC_BY_SPF) {
        move_domain(&d->domains[DMARC_PLACE_SPF], &domain);
    } else {
        put_dkim(d, &domain);
    }
}

void dmarc_add(struct dmarc *d, enum dmarc_by by, struct slice domain)
{
    add_domain(d, by, domain, false);
}

void dmarc_add_unknown(struct dmarc *d, enum dmarc_by by, struct slice domain)
{
    add_domain(d, by, domain, true);
}

void dmarc_end_domains(struct dmarc *d)
{
    d->ended = true;
    d->stale = true;
}

/* ---- answers ---- */

/* Names that are too long with the prefix do not exist. */
const struct dmarc_stored *dmarc_look(struct dmarc *d, struct slice name)
{
    struct dmarc_stored *answer;

    for (size_t i = 0; i < d->answer_count; i++) {
        if (slice_eq(d->answers[i].name, name)) {
            return &d->answers[i];
        }
    }
    BUG_ON(d->answer_count == DMARC_ANSWERS_MAX); /* a bound of ours: walks times names a walk */
    answer = &d->answers[d->answer_count++];
    *answer = (struct dmarc_stored){ .name = name };
    if (name.len + sizeof(DMARC_PREFIX) - 1 > DMARC_NAME_MAX) {
        answer->state = DMARC_ASK_ANSWERED;
        answer->found = DMARC_LEVEL_NONE;
        answer->nxdomain = true;
    } else if (d->expired) {
        answer->state = DMARC_ASK_ANSWERED;
        answer->found = DMARC_LEVEL_ERROR;
    }
    return answer;
}

enum dmarc_truth dmarc_look_exists(struct dmarc *d, bool *pending)
{
    if (!dmarc_look(d, dmarc_author(d))->nxdomain) {
        return DMARC_YES; /* there is a name below it */
    }
    if (!d->exists_noted) {
        d->exists_noted = true;
        d->exists_state = d->expired ? DMARC_ASK_ANSWERED : DMARC_ASK_NEEDED;
        d->exists = DMARC_UNKNOWN;
    }
    *pending = d->exists_state != DMARC_ASK_ANSWERED;
    return d->exists;
}

/* The one DMARC record among the TXT records of a name; several count as none (RFC 9989 4.10 step 2). */
static bool choose_record(const struct dmarc_answer *from, struct dmarc_record *out)
{
    size_t found = 0;

    if (from->count > DMARC_RECORDS_MAX) {
        return false;
    }
    for (size_t i = 0; i < from->count; i++) {
        struct dmarc_record record;

        if (from->records[i].len <= DMARC_RECORD_MAX && dmarc_record_read(from->records[i], &record)) {
            *out = record;
            found++;
        }
    }
    return found == 1;
}

static void answer_txt(struct dmarc_stored *to, const struct dmarc_answer *from)
{
    to->state = DMARC_ASK_ANSWERED;
    to->nxdomain = from->status == DMARC_ANSWER_NXDOMAIN;
    if (from->status == DMARC_ANSWER_TEMPFAIL) {
        to->found = DMARC_LEVEL_ERROR;
    } else if (from->status == DMARC_ANSWER_OK && choose_record(from, &to->record)) {
        to->found = DMARC_LEVEL_RECORD;
    } else {
        to->found = DMARC_LEVEL_NONE;
    }
}

void dmarc_answer(struct dmarc *d, size_t id, const struct dmarc_answer *answer)
{
    if (id == DMARC_EXISTS_ID && d->exists_noted && d->exists_state == DMARC_ASK_SENT) {
        d->exists_state = DMARC_ASK_ANSWERED;
        d->exists = answer->status == DMARC_ANSWER_TEMPFAIL   ? DMARC_UNKNOWN
                    : answer->status == DMARC_ANSWER_NXDOMAIN ? DMARC_NO
                                                              : DMARC_YES;
        d->stale = true;
    }
    if (id < d->answer_count && d->answers[id].state == DMARC_ASK_SENT) {
        answer_txt(&d->answers[id], answer);
        d->stale = true;
    }
}

void dmarc_abandon(struct dmarc *d)
{
    d->expired = true;
    for (size_t i = 0; i < d->answer_count; i++) {
        if (d->answers[i].state != DMARC_ASK_ANSWERED) {
            d->answers[i].state = DMARC_ASK_ANSWERED;
            d->answers[i].found = DMARC_LEVEL_ERROR;
        }
    }
    d->exists_state = DMARC_ASK_ANSWERED; /* d->exists is DMARC_UNKNOWN unless the answer came */
    dmarc_end_domains(d);
}

/* ---- for the caller ---- */

struct dmarc *dmarc_new(const struct dmarc_settings *settings)
{
    struct dmarc *d = xmalloc(sizeof(*d));

    memset(d, 0, offsetof(struct dmarc, domains));
    for (size_t i = 0; i < DMARC_DOMAINS_MAX; i++) {
        d->domains[i].name = SLICE_NONE;
        d->domains[i].shared = 0;
        d->domains[i].unknown = false;
    }
    d->settings = *settings;
    d->settings.author = SLICE_NONE; /* borrowed; domains[DMARC_PLACE_AUTHOR] has the copy */
    d->exists = DMARC_UNKNOWN;
    d->stale = true;
    d->outcome.tag = "";
    (void)set_domain(&d->domains[DMARC_PLACE_AUTHOR], settings->author);
    return d;
}

void dmarc_free(struct dmarc *d)
{
    free(d);
}

bool dmarc_done(struct dmarc *d)
{
    dmarc_settle(d);
    return d->done;
}

const struct dmarc_outcome *dmarc_outcome(struct dmarc *d)
{
    dmarc_settle(d);
    return &d->outcome;
}

bool dmarc_next(struct dmarc *d, struct dmarc_query *out)
{
    struct buf name;

    dmarc_settle(d);
    for (size_t i = 0; !d->done && i < d->answer_count; i++) {
        if (d->answers[i].state == DMARC_ASK_NEEDED) {
            d->answers[i].state = DMARC_ASK_SENT;
            buf_init_fixed(&name, d->query, sizeof(d->query));
            buf_put_str(&name, DMARC_PREFIX);
            buf_put_slice(&name, d->answers[i].name);
            *out = (struct dmarc_query){ i, DMARC_ASK_TXT, buf_slice(&name) };
            return true;
        }
    }
    if (!d->done && d->exists_noted && d->exists_state == DMARC_ASK_NEEDED) {
        d->exists_state = DMARC_ASK_SENT;
        *out = (struct dmarc_query){ DMARC_EXISTS_ID, DMARC_ASK_EXISTS, dmarc_author(d) };
        return true;
    }
    return false;
}
