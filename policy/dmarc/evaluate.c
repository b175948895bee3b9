/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evaluate.c - the outcome, from the answers so far: policy, alignment, organisational domain.
 *
 * RFC     9989 4.10.1 (policy discovery), 4.10.2 (alignment), 5.3 (steps of a receiver); 7489 6.6.3, 3.2 (with org)
 * Next    walk.c
 */
#include "policy/dmarc/state.h"

/* ---- walks ---- */

/* Walks the tree from a domain, as far as the answers go; notes what is missing. */
static struct dmarc_walk walk_from(struct dmarc *d, struct slice domain)
{
    struct slice names[DMARC_WALK_MAX];
    struct dmarc_level levels[DMARC_WALK_MAX];
    size_t count = dmarc_walk_names(domain, names);

    for (size_t i = 0; i < count; i++) {
        const struct dmarc_stored *answer = dmarc_look(d, names[i]);

        levels[i] = (struct dmarc_level){ answer->found, answer->record.psd, dmarc_labels(names[i]) };
        if (answer->found == DMARC_LEVEL_RECORD && answer->record.psd != DMARC_PSD_UNKNOWN) {
            count = i + 1; /* the walk ends here: do not ask above */
        }
    }
    return dmarc_walk_read(levels, count);
}

/* The organisational domain by the list of the settings. */
static struct slice listed_org(const struct dmarc *d, struct slice domain)
{
    size_t labels = d->settings.org(d->settings.org_arg, domain);

    return labels == 0 ? domain : dmarc_suffix(domain, labels);
}

static enum dmarc_truth align_by_list(const struct dmarc *d, const struct dmarc_domain *domain)
{
    return slice_eq(listed_org(d, domain->name), listed_org(d, dmarc_author(d))) ? DMARC_YES : DMARC_NO;
}

/* Relaxed alignment.  *pending: answers are missing. */
static enum dmarc_truth align(struct dmarc *d, const struct dmarc_domain *domain, bool *pending)
{
    struct dmarc_walk own, other;

    if (slice_eq(domain->name, dmarc_author(d))) {
        return DMARC_YES;
    }
    if (d->settings.org != NULL) {
        return align_by_list(d, domain);
    }
    own = walk_from(d, dmarc_author(d));
    if (own.pending) {
        *pending = true;
        return DMARC_UNKNOWN;
    }
    if (!dmarc_walk_may_share(&own, domain->shared)) {
        return DMARC_NO; /* without a walk: it is not at or below the author's organisational domain */
    }
    other = walk_from(d, domain->name);
    if (other.pending) {
        *pending = true;
        return DMARC_UNKNOWN;
    }
    return dmarc_walk_same(&own, &other, domain->shared);
}

/* ---- policy ---- */

/* The record that applies (RFC 9989 4.10.1). */
struct found {
    bool pending;
    bool unknown;                  /* a lookup failed */
    const struct dmarc_stored *at; /* NULL: no record applies */
};

static struct found find_record_by_list(struct dmarc *d)
{
    const struct dmarc_stored *answer = dmarc_look(d, listed_org(d, dmarc_author(d)));

    return (struct found){ .pending = answer->found == DMARC_LEVEL_PENDING,
                           .unknown = answer->found == DMARC_LEVEL_ERROR,
                           .at = answer->found == DMARC_LEVEL_RECORD ? answer : NULL };
}

static struct found find_record_by_walk(struct dmarc *d)
{
    struct slice names[DMARC_WALK_MAX];
    size_t count = dmarc_walk_names(dmarc_author(d), names);
    struct dmarc_walk walk = walk_from(d, dmarc_author(d));
    struct found found = { .pending = walk.pending, .unknown = walk.error > 0 };

    if (walk.pending || found.unknown) {
        return found;
    }
    for (size_t i = 0; i < count; i++) {
        bool is_org = dmarc_labels(names[i]) == walk.org;
        const struct dmarc_stored *answer = is_org || i == walk.stop ? dmarc_look(d, names[i]) : NULL;

        if (answer != NULL && answer->found == DMARC_LEVEL_RECORD) {
            found.at = answer;
            return found;
        }
    }
    return found;
}

static struct found find_record(struct dmarc *d)
{
    const struct dmarc_stored *own = dmarc_look(d, dmarc_author(d));

    switch (own->found) {
    case DMARC_LEVEL_PENDING:
        return (struct found){ .pending = true };
    case DMARC_LEVEL_RECORD:
        return (struct found){ .at = own };
    case DMARC_LEVEL_ERROR:
        return (struct found){ .unknown = true };
    case DMARC_LEVEL_NONE:
        break;
    }
    return d->settings.org != NULL ? find_record_by_list(d) : find_record_by_walk(d);
}

/* t=y asks for the next milder policy (RFC 9989 4.7). */
static enum dmarc_policy with_testing(const struct dmarc_record *record, enum dmarc_policy policy)
{
    return record->testing && policy > DMARC_POLICY_NONE ? (enum dmarc_policy)(policy - 1) : policy;
}

static void set_policy(struct dmarc_outcome *o, enum dmarc_policy policy, const char *tag)
{
    o->policy = with_testing(&o->record, policy);
    o->tag = tag;
    o->policy_known = true;
}

/* sp, or np if the author's domain does not exist.  True: the existence is not known yet. */
static bool choose_sub_policy(struct dmarc *d, struct dmarc_outcome *o)
{
    const struct dmarc_record *r = &o->record;
    enum dmarc_policy sp = with_testing(r, r->sp), np = with_testing(r, r->np);
    enum dmarc_truth exists = DMARC_YES;
    bool pending = false;

    set_policy(o, r->sp, r->has_sp ? "sp" : "p");
    if (np != sp) {
        exists = dmarc_look_exists(d, &pending);
    }
    if (exists == DMARC_NO || (exists == DMARC_UNKNOWN && np < sp)) {
        set_policy(o, r->np, "np");
    }
    o->policy_known = exists != DMARC_UNKNOWN;
    return pending;
}

/* Fills in what concerns the policy.  True: answers are missing. */
static bool settle_policy(struct dmarc *d, struct dmarc_outcome *o)
{
    struct found found = find_record(d);

    if (found.pending) {
        return true;
    }
    if (found.at == NULL) {
        o->reason = found.unknown ? DMARC_RECORD_UNKNOWN : DMARC_NO_RECORD;
        return false;
    }
    o->record = found.at->record;
    o->policy_domain = found.at->name;
    if (o->record.no_policy) {
        o->reason = DMARC_NO_POLICY;
        return false;
    }
    o->reason = DMARC_UNAUTHENTICATED;
    if (slice_eq(found.at->name, dmarc_author(d))) {
        set_policy(o, o->record.p, "p");
        return false;
    }
    return choose_sub_policy(d, o);
}

/* ---- alignment ---- */

struct alignment {
    bool pending;
    bool passed;        /* a domain is aligned */
    bool maybe_failed;  /* a lookup failed that decides */
    bool maybe_unknown; /* a domain with a temperror is or may be aligned */
};

static bool is_strict(const struct dmarc_outcome *o, size_t place)
{
    return place == DMARC_PLACE_SPF ? o->record.strict_spf : o->record.strict_dkim;
}

/* An authenticated domain equals the author's: the result is certain without a walk. */
static bool has_equal(const struct dmarc *d)
{
    for (size_t i = DMARC_PLACE_SPF; i < DMARC_DOMAINS_MAX; i++) {
        if (!d->domains[i].unknown && slice_eq(d->domains[i].name, dmarc_author(d))) {
            return true;
        }
    }
    return false;
}

/* Counts one domain's alignment under the mode of the record. */
static void count_alignment(struct alignment *sum, const struct dmarc_domain *domain, enum dmarc_truth truth)
{
    if (domain->unknown) {
        sum->maybe_unknown = sum->maybe_unknown || truth != DMARC_NO;
        return;
    }
    sum->passed = sum->passed || truth == DMARC_YES;
    sum->maybe_failed = sum->maybe_failed || truth == DMARC_UNKNOWN;
}

static void count_relaxed(enum dmarc_truth *sum, const struct dmarc_domain *domain, enum dmarc_truth truth)
{
    if (truth == DMARC_YES && !domain->unknown) {
        *sum = DMARC_YES;
    } else if (truth != DMARC_NO && *sum == DMARC_NO) {
        *sum = DMARC_UNKNOWN;
    }
}

/* Aligns every domain.  The names of all missing answers are noted in one pass, so that they are asked together. */
static struct alignment align_all(struct dmarc *d, struct dmarc_outcome *o, bool applies)
{
    struct alignment sum = { .pending = false };
    bool want_relaxed = (d->settings.want & DMARC_WANT_RELAXED) != 0;
    bool walks = want_relaxed || !has_equal(d);

    for (size_t i = DMARC_PLACE_SPF; i < DMARC_DOMAINS_MAX; i++) {
        const struct dmarc_domain *domain = &d->domains[i];
        bool equal = slice_eq(domain->name, dmarc_author(d)), strict = is_strict(o, i);
        enum dmarc_truth relaxed = equal ? DMARC_YES : DMARC_NO, truth;

        if (slice_empty(domain->name)) {
            continue;
        }
        if (want_relaxed || (walks && applies && !strict)) {
            relaxed = align(d, domain, &sum.pending);
        }
        truth = strict && !equal ? DMARC_NO : relaxed;
        count_alignment(&sum, domain, truth);
        count_relaxed(&o->relaxed, domain, relaxed);
        if (applies && truth == DMARC_YES && !domain->unknown) {
            o->spf = o->spf || i == DMARC_PLACE_SPF;
            o->dkim = o->dkim || i != DMARC_PLACE_SPF;
        }
    }
    return sum;
}

static enum dmarc_reason reason_of(const struct dmarc *d, const struct alignment *sum,
                                   const struct dmarc_outcome *o)
{
    if (sum->passed) {
        return DMARC_ALIGNED;
    }
    if (sum->maybe_failed) {
        return DMARC_ALIGNMENT_UNKNOWN;
    }
    if (sum->maybe_unknown) {
        return DMARC_IDENTITY_UNKNOWN;
    }
    if (!o->policy_known) {
        return DMARC_EXISTENCE_UNKNOWN;
    }
    return d->authenticated ? DMARC_UNALIGNED : DMARC_UNAUTHENTICATED;
}

/* ---- the outcome ---- */

/* Fills in the organisational domain.  True: answers are missing. */
static bool settle_org(struct dmarc *d, struct dmarc_outcome *o)
{
    struct dmarc_walk walk;

    if ((d->settings.want & DMARC_WANT_ORG) == 0) {
        return false;
    }
    if (d->settings.org != NULL) {
        o->domain = listed_org(d, dmarc_author(d));
        return false;
    }
    walk = walk_from(d, dmarc_author(d));
    if (!walk.pending && dmarc_walk_certain(&walk)) {
        o->domain = dmarc_suffix(dmarc_author(d), walk.org);
    }
    return walk.pending;
}

/* Evaluates all that is known.  True: the outcome is final. */
static bool evaluate(struct dmarc *d, struct dmarc_outcome *o)
{
    bool pending, applies;
    struct alignment sum;

    if (slice_empty(dmarc_author(d))) {
        o->reason = DMARC_NO_AUTHOR;
        return d->ended;
    }
    pending = settle_policy(d, o);
    pending = settle_org(d, o) || pending;
    if (o->reason == DMARC_UNDECIDED || !d->ended) {
        return false;
    }
    applies = o->reason == DMARC_UNAUTHENTICATED;
    sum = align_all(d, o, applies);
    if (applies) {
        o->reason = reason_of(d, &sum, o);
    }
    return !pending && !sum.pending;
}

void dmarc_settle(struct dmarc *d)
{
    struct dmarc_outcome o = { .tag = "" };

    if (!d->stale || d->done) {
        return;
    }
    d->stale = false;
    d->done = evaluate(d, &o);
    if (d->done) {
        o.result = dmarc_reason_result(o.reason);
        d->outcome = o;
    }
}

/* ---- sender.dmarc ---- */

enum dmarc_published dmarc_published(struct dmarc *d)
{
    const struct dmarc_outcome *o = dmarc_outcome(d);

    if (o->result == DMARC_TEMPERROR) {
        return DMARC_PUBLISHED_TEMPERROR;
    }
    return o->policy == DMARC_POLICY_REJECT       ? DMARC_PUBLISHED_REJECT
           : o->policy == DMARC_POLICY_QUARANTINE ? DMARC_PUBLISHED_QUARANTINE
                                                  : DMARC_PUBLISHED_NONE;
}
