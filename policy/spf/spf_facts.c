/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_facts.c - the table under an SPF evaluation: names, answers and their limits.
 *
 * Both engines get every answer here.  So the limits of RFC 7208 4.6.4, the selection of the record (4.5), validated
 * names (5.5), macro expansion (7) and explanations (6.2) exist only once.
 *
 * The table is a list: a common evaluation needs three names, and only a hostile one needs 130.
 *
 * RFC        7208 4.3 to 4.8, 5, 5.5, 6.2, 7
 */
#include "policy/spf/spf_eval.h"

static const struct spf_fact nothing = { .known = true, .status = SPF_ANSWER_NXDOMAIN };
static const struct spf_fact too_much = { .known = true, .status = SPF_ANSWER_TEMPFAIL };

/* FNV-1a: only saves comparisons; a collision costs one. */
static uint32_t hash_of(enum spf_type type, struct slice name)
{
    uint32_t h = 2166136261U ^ (uint32_t)type;

    for (size_t i = 0; i < name.len; i++) {
        h = (h ^ (uint8_t)name.ptr[i]) * 16777619U;
    }
    return h;
}

static struct spf_fact *add_fact(struct spf *e, enum spf_type type, struct slice name)
{
    struct spf_fact *f = NULL;
    struct slice copy = SLICE_NONE;

    if (e->fact_count < SPF_QUERIES_MAX) {
        f = arena_alloc(&e->arena, sizeof(*f));
        copy = arena_slice(&e->arena, name);
    }
    if (f == NULL || copy.ptr == NULL) {
        return NULL;
    }
    f->want.type = type;
    f->want.name = copy;
    f->hash = hash_of(type, copy);
    e->facts[e->fact_count++] = f;
    return f;
}

const struct spf_fact *spf_lookup(struct spf_run *run, enum spf_type type, struct slice name)
{
    struct spf *e = run->e;
    uint32_t hash = hash_of(type, name);
    struct spf_fact *f = NULL;

    if (slice_empty(name)) {
        return &nothing;
    }
    for (size_t i = 0; i < e->fact_count && f == NULL; i++) {
        if (e->facts[i]->hash == hash && e->facts[i]->want.type == type &&
            slice_eq(e->facts[i]->want.name, name)) {
            f = e->facts[i];
        }
    }
    if (f == NULL && e->want_count == SPF_WANTS_MAX) {
        run->missing = true;
        return NULL;
    }
    if (f == NULL) {
        f = add_fact(e, type, name);
        if (f == NULL) {
            return &too_much;
        }
        e->wants[e->want_count++] = f->want;
    }
    if (!f->known) {
        run->missing = true;
        return NULL;
    }
    return f;
}

bool spf_count_term(struct spf_run *run)
{
    if (++run->terms <= SPF_TERMS_MAX) {
        return true;
    }
    run->problem = "more than 10 terms that ask DNS";
    return false;
}

bool spf_count_void(struct spf_run *run, const struct spf_fact *fact)
{
    if (fact->count > 0 || fact->status == SPF_ANSWER_TEMPFAIL || ++run->voids <= SPF_VOIDS_MAX) {
        return true;
    }
    run->problem = "more than 2 void lookups";
    return false;
}

/* Every label 1..63 octets, at least two of them (RFC 7208 4.3). */
static bool labels_legal(struct slice name)
{
    size_t count = 0;

    for (;;) {
        size_t dot = slice_find(name, '.');

        if (dot == 0 || dot > 63) {
            return false;
        }
        count++;
        if (dot == name.len) {
            return count >= 2;
        }
        name = slice_skip(name, dot + 1);
    }
}

void spf_name_set(struct spf_name *out, struct slice text)
{
    out->len = 0;
    if (!slice_empty(text) && text.ptr[text.len - 1] == '.') {
        text.len--;
    }
    while (text.len > SPF_NAME_MAX) {
        text = slice_skip(text, slice_find(text, '.') + 1); /* RFC 7208 7.3 */
    }
    if (slice_empty(text) || !labels_legal(text)) {
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        out->text[i] = ascii_lower(text.ptr[i]);
    }
    out->len = text.len;
    out->text[out->len] = '\0';
}

bool spf_target(struct spf_run *run, struct slice spec, struct slice domain, struct spf_name *out)
{
    struct spf_macro_values values = run->e->values;
    char mem[4 * (SPF_NAME_MAX + 1)];
    struct buf b;

    if (slice_empty(spec)) {
        spf_name_set(out, domain);
        return true;
    }
    values.domain = domain;
    if (spf_macro_uses_p(spec) && !spf_validated(run, domain, SLICE_NONE, &values.validated)) {
        return false;
    }
    if (slice_empty(values.validated)) {
        values.validated = SLICE("unknown");
    }
    buf_init_fixed(&b, mem, sizeof(mem));
    if (!spf_macro_name(&b, spec, &values, &run->budget)) {
        run->problem = "macros expand to too much";
        return false;
    }
    spf_name_set(out, buf_slice(&b));
    return true;
}

/* ---- the kept part of an answer ---- */

static bool keep_data(struct spf *e, struct spf_fact *f, size_t at, struct slice data)
{
    f->records[at].data = arena_slice(&e->arena, data);
    return f->records[at].data.ptr != NULL;
}

static bool make_records(struct spf *e, struct spf_fact *f, size_t count)
{
    f->records = arena_alloc(&e->arena, count * sizeof(*f->records));
    return f->records != NULL;
}

/* RFC 7208 4.5: one record or none.  Truncates a record that is too long; its length still shows that. */
static bool keep_spf_record(struct spf *e, struct spf_fact *f, const struct spf_answer *answer)
{
    struct slice found = SLICE_NONE;

    f->selection = SPF_SELECT_NONE;
    for (size_t i = 0; i < answer->count; i++) {
        if (spf_record_is(answer->records[i].data)) {
            f->selection = f->selection == SPF_SELECT_NONE ? SPF_SELECT_ONE : SPF_SELECT_SEVERAL;
            found = answer->records[i].data;
        }
    }
    f->count = answer->count;
    if (f->selection != SPF_SELECT_ONE) {
        return true;
    }
    f->record = arena_slice(&e->arena, slice_take(found, SPF_RECORD_MAX + 1));
    f->tried = arena_alloc(&e->arena, SPF_RECORD_TERMS_MAX / 8);
    spf_record_check(f->record, &f->summary);
    return f->record.ptr != NULL;
}

static bool keep_explanation_text(struct spf *e, struct spf_fact *f, const struct spf_answer *answer)
{
    f->count = answer->count;
    return f->count != 1 ||
           (make_records(e, f, 1) && keep_data(e, f, 0, slice_take(answer->records[0].data, SPF_RECORD_MAX)));
}

/* Number of leading bits that an address shares with the client's. */
static unsigned shared_bits(const struct spf *e, const uint8_t *ip, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned differs = ip[i] ^ e->in.client.ip[i];

        if (differs != 0) {
            return (unsigned)(8 * i) + (unsigned)__builtin_clz(differs) - 24;
        }
    }
    return (unsigned)(8 * len);
}

/* The nearest address: it matches if any does, whatever the prefix length. */
static bool keep_nearest(struct spf *e, struct spf_fact *f, const struct spf_answer *answer)
{
    size_t len = f->want.type == SPF_TYPE_A ? 4 : 16;
    bool comparable = f->want.type == spf_client_type(e); /* `exists` queries A even for an IPv6 client */
    struct slice best = SLICE_NONE;
    unsigned most = 0;

    for (size_t i = 0; i < answer->count; i++) {
        struct slice data = answer->records[i].data;
        unsigned bits;

        if (data.len != len) {
            continue;
        }
        bits = comparable ? shared_bits(e, (const uint8_t *)data.ptr, len) : 0;
        if (slice_empty(best) || bits > most) {
            best = data;
            most = bits;
        }
    }
    f->count = slice_empty(best) ? 0 : 1;
    return f->count == 0 || (make_records(e, f, 1) && keep_data(e, f, 0, best));
}

static bool comes_before(const struct spf_record_data *a, const struct spf_record_data *b)
{
    int order = memcmp(a->data.ptr, b->data.ptr, min_size(a->data.len, b->data.len));

    if (a->preference != b->preference) {
        return a->preference < b->preference;
    }
    return order < 0 || (order == 0 && a->data.len < b->data.len);
}

static void sort_records(struct spf_record_data *r, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t k = i; k > 0 && comes_before(&r[k], &r[k - 1]); k--) {
            struct spf_record_data swap = r[k];

            r[k] = r[k - 1];
            r[k - 1] = swap;
        }
    }
}

/* Keeps the first ten names of PTR (RFC 7208 4.6.4).  An MX with more than ten is an error: keeps none. */
static bool keep_names(struct spf *e, struct spf_fact *f, const struct spf_answer *answer)
{
    size_t kept = min_size(answer->count, SPF_HOSTS_MAX);
    struct spf_name name;

    f->count = answer->count;
    if (f->want.type == SPF_TYPE_MX && answer->count > SPF_HOSTS_MAX) {
        return true;
    }
    if (!make_records(e, f, kept)) {
        return false;
    }
    for (size_t i = 0; i < kept; i++) {
        struct slice data = answer->records[i].data;

        spf_name_set(&name, data.len <= SPF_NAME_MAX + 1 ? data : SLICE_NONE);
        f->records[i].preference = answer->records[i].preference;
        if (!keep_data(e, f, i, spf_name_slice(&name))) {
            return false;
        }
    }
    f->count = f->want.type == SPF_TYPE_PTR ? kept : f->count;
    sort_records(f->records, kept);
    return true;
}

bool spf_keep_answer(struct spf *e, struct spf_fact *f, const struct spf_answer *answer)
{
    switch (f->want.type) {
    case SPF_TYPE_A:
    case SPF_TYPE_AAAA:
        return keep_nearest(e, f, answer);
    case SPF_TYPE_MX:
    case SPF_TYPE_PTR:
        return keep_names(e, f, answer);
    case SPF_TYPE_TXT:
        return keep_spf_record(e, f, answer);
    case SPF_TYPE_EXP:
        return keep_explanation_text(e, f, answer);
    case SPF_TYPE_COUNT:
        break;
    }
    return false;
}

/* ---- the record of a domain ---- */

enum spf_result spf_open(struct spf_run *run, struct slice domain, bool authorised,
                         const struct spf_fact **out)
{
    const struct spf_fact *f = spf_lookup(run, SPF_TYPE_TXT, domain);

    if (f == NULL) {
        return SPF_NONE;
    }
    if (f->status == SPF_ANSWER_TEMPFAIL) {
        run->problem = "no answer for the record";
        return SPF_TEMPERROR;
    }
    if (f->count == 0) {
        run->problem = "no record";
        return SPF_NONE;
    }
    *out = f;
    if (f->selection == SPF_SELECT_NONE) {
        run->problem = "no record";
        return SPF_NONE;
    }
    if (f->selection == SPF_SELECT_SEVERAL) {
        run->problem = "several records";
        return SPF_PERMERROR;
    }
    if (f->summary.problem != NULL) {
        run->problem = f->summary.problem;
        return SPF_PERMERROR;
    }
    if (authorised) {
        run->sum += run->e->in.client.family == ADDR_V4 ? f->summary.v4_size : f->summary.v6_size;
    }
    return SPF_PASS;
}

enum spf_type spf_client_type(const struct spf *e)
{
    return e->in.client.family == ADDR_V4 ? SPF_TYPE_A : SPF_TYPE_AAAA;
}

bool spf_bits_match(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    size_t whole = bits / 8;
    unsigned rest = bits % 8;

    if (memcmp(a, b, whole) != 0) {
        return false;
    }
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool spf_fact_matches(const struct spf *e, const struct spf_fact *fact, unsigned bits)
{
    for (size_t i = 0; i < fact->count; i++) {
        if (spf_bits_match(e->in.client.ip, (const uint8_t *)fact->records[i].data.ptr, bits)) {
            return true;
        }
    }
    return false;
}

bool spf_name_within(struct slice name, struct slice domain)
{
    size_t start;

    if (name.len < domain.len) {
        return false;
    }
    start = name.len - domain.len;
    return slice_eq(slice_skip(name, start), domain) && (start == 0 || name.ptr[start - 1] == '.');
}

/* ---- hosts of an mx, names of the client ---- */

/* Looks up the next two candidates; false: missing. */
static bool ask_two(struct spf_run *run, const struct spf_fact *names, struct slice within,
                    struct spf_hosts *h)
{
    for (unsigned asked = 0; asked < SPF_WANTS_MAX && h->count < names->count; h->count++) {
        struct slice name = names->records[h->count].data;

        h->fact[h->count] = NULL;
        if (slice_empty(name) || (!slice_empty(within) && !spf_name_within(name, within))) {
            continue;
        }
        h->fact[h->count] = spf_lookup(run, spf_client_type(run->e), name);
        asked++;
    }
    return !run->missing;
}

/* A host that lacks only AAAA is no void lookup: most hosts have none, and for IPv6 clients we query only AAAA. */
static bool count_host(struct spf_run *run, const struct spf_fact *host)
{
    return (host->want.type == SPF_TYPE_AAAA && host->status == SPF_ANSWER_NODATA) ||
           spf_count_void(run, host);
}

enum spf_match spf_ask_hosts(struct spf_run *run, const struct spf_fact *mx, unsigned bits,
                             struct spf_hosts *out)
{
    unsigned silent = 0;

    out->count = 0;
    while (out->count < mx->count && silent < SPF_WANTS_MAX) {
        size_t from = out->count;

        if (!ask_two(run, mx, SLICE_NONE, out)) {
            return SPF_MATCH_MISSING;
        }
        for (size_t i = from; i < out->count; i++) {
            if (out->fact[i] != NULL && spf_fact_matches(run->e, out->fact[i], bits)) {
                return SPF_MATCH_YES;
            }
        }
        for (size_t i = from; i < out->count; i++) {
            if (out->fact[i] != NULL && !count_host(run, out->fact[i])) {
                return SPF_MATCH_PERM;
            }
            silent += out->fact[i] != NULL && out->fact[i]->status == SPF_ANSWER_TEMPFAIL ? 1 : 0;
        }
    }
    if (silent > 0) {
        run->problem = "no answer for a host of an mx";
    }
    return silent > 0 ? SPF_MATCH_TEMP : SPF_MATCH_NO;
}

bool spf_ask_names(struct spf_run *run, const struct spf_fact *names, struct slice within,
                   struct spf_hosts *out)
{
    unsigned astray = 0;

    out->count = 0;
    while (out->count < names->count && astray < SPF_WANTS_MAX) {
        size_t from = out->count;

        if (!ask_two(run, names, within, out)) {
            return false;
        }
        for (size_t i = from; i < out->count; i++) {
            astray += out->fact[i] != NULL && out->fact[i]->count == 0 ? 1 : 0;
        }
    }
    return true;
}

bool spf_validated(struct spf_run *run, struct slice domain, struct slice within, struct slice *out)
{
    const struct spf_fact *names = spf_lookup(run, SPF_TYPE_PTR, run->e->reverse);
    unsigned bits = run->e->in.client.family == ADDR_V4 ? 32 : 128;
    struct spf_hosts hosts;
    unsigned best = 0;

    *out = SLICE_NONE;
    if (names == NULL || !spf_ask_names(run, names, within, &hosts)) {
        return false;
    }
    for (size_t i = 0; i < hosts.count; i++) {
        struct slice name = names->records[i].data;
        unsigned rank = slice_eq(name, domain) ? 3 : spf_name_within(name, domain) ? 2 : 1;

        if (hosts.fact[i] != NULL && rank > best && spf_fact_matches(run->e, hosts.fact[i], bits)) {
            best = rank;
            *out = name;
        }
    }
    return true;
}

/* ---- explanations ---- */

/* Keeps only printable ASCII; any other explanation counts as absent (RFC 7208 6.2). */
static void keep_explanation(struct spf *e, struct slice text)
{
    struct buf b;

    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_print(text.ptr[i])) {
            return;
        }
    }
    buf_init_fixed(&b, e->verdict.explanation, sizeof(e->verdict.explanation));
    buf_put_slice(&b, text);
}

bool spf_explain(struct spf_run *run)
{
    struct spf *e = run->e;
    struct spf_macro_values values = e->values;
    char mem[SPF_EXPLANATION_MAX + 1];
    struct spf_name target;
    const struct spf_fact *f;
    struct slice text;
    struct buf b;

    if (slice_empty(run->exp)) {
        return true;
    }
    if (!spf_target(run, run->exp, run->exp_domain, &target)) {
        return !run->missing;
    }
    f = spf_lookup(run, SPF_TYPE_EXP, spf_name_slice(&target));
    if (f == NULL) {
        return false;
    }
    if (f->count != 1) {
        return true;
    }
    text = f->records[0].data;
    if (!spf_macro_valid(text, SPF_MACRO_TEXT)) {
        return true;
    }
    values.domain = run->exp_domain;
    if (spf_macro_uses_p(text) && !spf_validated(run, run->exp_domain, SLICE_NONE, &values.validated)) {
        return false;
    }
    if (slice_empty(values.validated)) {
        values.validated = SLICE("unknown");
    }
    buf_init_fixed(&b, mem, sizeof(mem));
    if (spf_macro_text(&b, text, &values, &run->budget)) {
        keep_explanation(e, buf_slice(&b));
    }
    return true;
}
