/*
 * spf_facts.c - the table under an SPF evaluation: names, answers, and what is counted about them.
 *
 * Both engines come through here for every answer, so the limits of RFC 7208 4.6.4, the selection of the
 * record (4.5), validated names (5.5), macro expansion (7) and explanations (6.2) exist once.
 *
 * The table is a list: an evaluation that needs 130 names is hostile, a common one needs three.
 *
 * RFC        7208 4.3 to 4.8, 5, 5.5, 6.2, 7
 */
#include "policy/spf_eval.h"

static const struct spf_fact nothing = { .known = true, .status = SPF_ANSWER_NXDOMAIN };
static const struct spf_fact too_much = { .known = true, .status = SPF_ANSWER_TEMPFAIL };

/* FNV-1a: only saves comparing; a collision costs one comparison. */
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

void spf_select(struct spf_fact *f)
{
    f->selection = SPF_SELECT_NONE;
    for (size_t i = 0; i < f->count; i++) {
        if (spf_record_is(f->records[i].data)) {
            f->selection = f->selection == SPF_SELECT_NONE ? SPF_SELECT_ONE : SPF_SELECT_SEVERAL;
            f->record = f->records[i].data;
        }
    }
    if (f->selection == SPF_SELECT_ONE) {
        spf_record_check(f->record, &f->summary);
    }
}

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

bool spf_validated(struct spf_run *run, struct slice domain, struct slice within, struct slice *out)
{
    const struct spf_fact *names = spf_lookup(run, SPF_TYPE_PTR, run->e->reverse);
    unsigned bits = run->e->in.client.family == ADDR_V4 ? 32 : 128;
    unsigned best = 0;
    bool all_known = true;

    *out = SLICE_NONE;
    if (names == NULL) {
        return false;
    }
    for (size_t i = 0; i < names->count && i < SPF_HOSTS_MAX; i++) {
        struct slice name = names->records[i].data;
        unsigned rank = slice_eq(name, domain) ? 3 : spf_name_within(name, domain) ? 2 : 1;
        const struct spf_fact *f;

        if (slice_empty(name) || (!slice_empty(within) && !spf_name_within(name, within))) {
            continue;
        }
        f = spf_lookup(run, spf_client_type(run->e), name);
        all_known = all_known && f != NULL;
        if (f != NULL && rank > best && spf_fact_matches(run->e, f, bits)) {
            best = rank;
            *out = name;
        }
    }
    return all_known;
}

/* Only printable ASCII may go on; anything else is as if there were no explanation (RFC 7208 6.2). */
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
    f = spf_lookup(run, SPF_TYPE_TXT, spf_name_slice(&target));
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
