/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_eval.c - check_host() of RFC 7208 over the table of facts, and the native engine.
 *
 * Walks a record term by term; an include is a recursive call, a redirect an iteration.  A missing answer ends the
 * run at once (run->missing), except that hosts of an mx and names of a client are wanted two at a time.  The ten
 * terms limit the depth.
 *
 * Departures an mx continues after a host whose address lookup failed: another may match.  Hosts are looked up by
 *            preference and name, because MX answers arrive in random order and results must be stable.
 * RFC        7208 4, 5, 6.1
 */
#include "policy/spf/spf_eval.h"

static double network_size(const struct spf *e, unsigned bits)
{
    unsigned host_bits = (e->in.client.family == ADDR_V4 ? 32U : 128U) - bits;
    double size = 1;

    for (; host_bits > 0; host_bits--) {
        size *= 2;
    }
    return size;
}

/* The prefix length for the client's family. */
unsigned spf_term_bits(const struct spf *e, const struct spf_term *t)
{
    return e->in.client.family == ADDR_V4 ? t->v4_bits : t->v6_bits;
}

/* Expands the target of a term that queries DNS, and counts the term. */
enum spf_match spf_take_target(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr,
                               struct spf_name *out)
{
    if (!spf_count_term(run)) {
        return SPF_MATCH_PERM;
    }
    if (!spf_target(run, t->spec, fr->domain, out)) {
        return run->missing ? SPF_MATCH_MISSING : SPF_MATCH_PERM;
    }
    return SPF_MATCH_YES;
}

/* Looks up a term's own name: SPF_MATCH_YES if there is an answer to examine, else no match. */
static enum spf_match ask(struct spf_run *run, enum spf_type type, const struct spf_name *name,
                          const struct spf_fact **out)
{
    *out = spf_lookup(run, type, spf_name_slice(name));
    if (*out == NULL) {
        return SPF_MATCH_MISSING;
    }
    if ((*out)->status == SPF_ANSWER_TEMPFAIL) {
        run->problem = "no answer for a name in the record";
        return SPF_MATCH_TEMP;
    }
    if (!spf_count_void(run, *out)) {
        return SPF_MATCH_PERM;
    }
    return (*out)->count > 0 ? SPF_MATCH_YES : SPF_MATCH_NO;
}

static enum spf_match match_a(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr)
{
    const struct spf_fact *f;
    struct spf_name target;
    enum spf_match m = spf_take_target(run, t, fr, &target);

    if (m == SPF_MATCH_YES) {
        m = ask(run, spf_client_type(run->e), &target, &f);
    }
    if (m == SPF_MATCH_YES) {
        m = spf_fact_matches(run->e, f, spf_term_bits(run->e, t)) ? SPF_MATCH_YES : SPF_MATCH_NO;
    }
    return m;
}

static enum spf_match match_exists(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr)
{
    const struct spf_fact *f;
    struct spf_name target;
    enum spf_match m = spf_take_target(run, t, fr, &target);

    return m == SPF_MATCH_YES ? ask(run, SPF_TYPE_A, &target, &f) : m; /* A even for IPv6: RFC 7208 5.7 */
}

static enum spf_match match_mx(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr)
{
    const struct spf_fact *f;
    struct spf_name target;
    struct spf_hosts hosts;
    enum spf_match m = spf_take_target(run, t, fr, &target);

    if (m == SPF_MATCH_YES) {
        m = ask(run, SPF_TYPE_MX, &target, &f);
    }
    if (m == SPF_MATCH_YES && f->count > SPF_HOSTS_MAX) {
        run->problem = "an mx of more than 10 hosts";
        return SPF_MATCH_PERM;
    }
    return m == SPF_MATCH_YES ? spf_ask_hosts(run, f, spf_term_bits(run->e, t), &hosts) : m;
}

static enum spf_match match_ptr(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr)
{
    struct spf_name target;
    struct slice name;
    enum spf_match m = spf_take_target(run, t, fr, &target);

    if (m != SPF_MATCH_YES) {
        return m;
    }
    if (target.len == 0) {
        return SPF_MATCH_NO;
    }
    if (!spf_validated(run, spf_name_slice(&target), spf_name_slice(&target), &name)) {
        return SPF_MATCH_MISSING;
    }
    return slice_empty(name) ? SPF_MATCH_NO : SPF_MATCH_YES;
}

static enum spf_match match_include(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr)
{
    struct spf_frame inner = { .authorised = fr->authorised && t->qualifier == '+' };
    struct spf_name target;
    enum spf_match m = spf_take_target(run, t, fr, &target);

    if (m != SPF_MATCH_YES) {
        return m;
    }
    inner.domain = spf_name_slice(&target);
    switch (spf_check_host(run, inner)) { /* the table of RFC 7208 5.2 */
    case SPF_PASS:
        return SPF_MATCH_YES;
    case SPF_FAIL:
    case SPF_SOFTFAIL:
    case SPF_NEUTRAL:
        run->matched = false;
        return SPF_MATCH_NO;
    case SPF_TEMPERROR:
        return SPF_MATCH_TEMP;
    case SPF_NONE:
        if (!run->missing) {
            run->problem = "an include without a record";
        }
        return run->missing ? SPF_MATCH_MISSING : SPF_MATCH_PERM;
    case SPF_PERMERROR:
    case SPF_RESULT_COUNT:
        return SPF_MATCH_PERM;
    }
    return SPF_MATCH_PERM;
}

enum spf_match spf_match_native(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr)
{
    const struct spf *e = run->e;
    bool v4 = e->in.client.family == ADDR_V4;

    switch (t->kind) {
    case SPF_ALL:
        return SPF_MATCH_YES;
    case SPF_IP4:
        return v4 && spf_bits_match(e->in.client.ip, t->ip, t->v4_bits) ? SPF_MATCH_YES : SPF_MATCH_NO;
    case SPF_IP6:
        return !v4 && spf_bits_match(e->in.client.ip, t->ip, t->v6_bits) ? SPF_MATCH_YES : SPF_MATCH_NO;
    case SPF_A:
        return match_a(run, t, fr);
    case SPF_MX:
        return match_mx(run, t, fr);
    case SPF_PTR:
        return match_ptr(run, t, fr);
    case SPF_EXISTS:
        return match_exists(run, t, fr);
    case SPF_INCLUDE:
        return match_include(run, t, fr);
    case SPF_REDIRECT:
    case SPF_EXP:
    case SPF_UNKNOWN_MODIFIER:
        return SPF_MATCH_NO;
    }
    return SPF_MATCH_NO;
}

/* Records which mechanism decided; for an include its inner mechanism is already recorded. */
static void note_match(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr)
{
    if (t->kind != SPF_INCLUDE) {
        bool network = t->kind == SPF_IP4 || t->kind == SPF_IP6 || t->kind == SPF_A || t->kind == SPF_MX;

        run->matched = true;
        run->decided_by = t->text;
        run->decided_kind = t->kind;
        run->decided_size = network ? network_size(run->e, spf_term_bits(run->e, t)) : 0;
    }
    if (fr->top) {
        run->mechanism = t->text;
    }
}

static enum spf_result result_of(char qualifier)
{
    switch (qualifier) {
    case '-':
        return SPF_FAIL;
    case '~':
        return SPF_SOFTFAIL;
    case '?':
        return SPF_NEUTRAL;
    default:
        return SPF_PASS;
    }
}

/* Walks the mechanisms; false: none matched, so redirect= or the default follows. */
static bool walk(struct spf_run *run, const struct spf_fact *f, const struct spf_frame *fr,
                 enum spf_result *out)
{
    struct slice rest = spf_record_terms(f->record);
    struct spf_frame at = *fr;
    struct spf_term t;

    at.tried = f->tried;
    for (; spf_term_next(&rest, &t, &run->problem) == SPF_TERM_OK; at.index++) {
        switch (run->match(run, &t, &at)) {
        case SPF_MATCH_NO:
            break;
        case SPF_MATCH_YES:
            note_match(run, &t, fr);
            *out = result_of(t.qualifier);
            return true;
        case SPF_MATCH_TEMP:
            *out = SPF_TEMPERROR;
            return true;
        case SPF_MATCH_PERM:
            *out = SPF_PERMERROR;
            return true;
        case SPF_MATCH_MISSING:
            *out = SPF_NONE;
            return true;
        }
    }
    return false;
}

enum spf_result spf_check_host(struct spf_run *run, struct spf_frame frame)
{
    struct spf_name target;
    const struct spf_fact *f = NULL;
    enum spf_result result = SPF_NEUTRAL;
    bool redirected = false;

    for (;;) {
        result = spf_open(run, frame.domain, frame.authorised, &f);
        if (result != SPF_PASS) {
            return result == SPF_NONE && redirected ? SPF_PERMERROR : result; /* RFC 7208 6.1 */
        }
        frame.domain = f->want.name; /* lives as long as the evaluation */
        if (frame.top) {
            run->exp = f->summary.exp;
            run->exp_domain = frame.domain;
        }
        if (walk(run, f, &frame, &result)) {
            return result;
        }
        if (f->summary.has_all || slice_empty(f->summary.redirect)) {
            return SPF_NEUTRAL; /* RFC 7208 4.7 */
        }
        if (!spf_count_term(run) || !spf_target(run, f->summary.redirect, frame.domain, &target)) {
            return SPF_PERMERROR;
        }
        frame.domain = spf_name_slice(&target);
        redirected = true;
    }
}
