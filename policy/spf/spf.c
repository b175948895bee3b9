/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf.c - one SPF evaluation from its input to its verdict: new, step, feed, free.
 *
 * Owns       an arena that holds only the input and the facts, of at most SPF_ARENA_MAX; that is far above the 4 KiB
 *            or so of an honest evaluation.  A name that does not fit counts as unanswered:
 *            temperror.
 * Cost       each step walks the records again; ten terms with ten hosts each limit it to about eighty steps.
 * RFC        7208 2.3, 2.4, 4.1, 4.3, 7.2
 */
#include "policy/spf/spf.h"

#include "core/slab.h"
#include "policy/spf/spf_eval.h"

enum {
    STEPS_MAX = 96,
    MACRO_BUDGET = 64 * 1024, /* octets that macros may process in one run */
    INPUT_MAX = 512,          /* octets of HELO and MAIL FROM that are used */
    NIBBLES = 32,
    EVALUATIONS_KEPT = 64,
};

/* One for each thread (an exception to "no globals"): an evaluation has no owner but its caller, and is larger than
 * what malloc() caches.  Name NULL: not made yet. */
static _Thread_local struct slab evaluations;

const char *spf_result_text(enum spf_result result)
{
    static const char *const text[SPF_RESULT_COUNT] = {
        [SPF_NONE] = "none",           [SPF_NEUTRAL] = "neutral",   [SPF_PASS] = "pass",
        [SPF_FAIL] = "fail",           [SPF_SOFTFAIL] = "softfail", [SPF_TEMPERROR] = "temperror",
        [SPF_PERMERROR] = "permerror",
    };

    return text[result];
}

const char *spf_identity_text(enum spf_identity id)
{
    return id == SPF_HELO ? "helo" : "mailfrom";
}

bool spf_engine_built(enum spf_engine engine)
{
#ifdef GLACIS_HAVE_LIBSPF2
    return engine == SPF_ENGINE_NATIVE || engine == SPF_ENGINE_LIBSPF2;
#else
    return engine == SPF_ENGINE_NATIVE;
#endif
}

uint8_t spf_weak_v6_bits(uint8_t v4_bits)
{
    return v4_bits == 0 ? 0 : (uint8_t)(v4_bits + 8);
}

/* Copies the buffer to the arena, which is large enough for all input. */
static struct slice keep(struct spf *e, struct buf *b)
{
    return arena_slice(&e->arena, buf_slice(b));
}

static struct slice keep_slice(struct spf *e, struct slice s)
{
    return arena_slice(&e->arena, slice_take(s, INPUT_MAX));
}

/* Treats IPv4-mapped IPv6 addresses as IPv4, whatever their source. */
static struct addr unmap(struct addr a)
{
    static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
    struct addr out = { .family = ADDR_V4 };

    if (a.family != ADDR_V6 || memcmp(a.ip, prefix, sizeof(prefix)) != 0) {
        return a;
    }
    memcpy(out.ip, a.ip + sizeof(prefix), 4);
    return out;
}

static void put_v4_names(struct spf *e, struct buf *b)
{
    const uint8_t *ip = e->in.client.ip;
    struct addr back = { .family = ADDR_V4, .ip = { ip[3], ip[2], ip[1], ip[0] } };

    addr_put_ip(b, &e->in.client);
    e->values.ip = keep(e, b);
    e->values.readable = e->values.ip;
    e->values.version = SLICE("in-addr");
    buf_reset(b);
    addr_put_ip(b, &back);
    buf_put_str(b, ".in-addr.arpa");
    e->reverse = keep(e, b);
}

static void put_v6_names(struct spf *e, struct buf *b)
{
    static const char upper[] = "0123456789ABCDEF";
    static const char lower[] = "0123456789abcdef";
    const uint8_t *ip = e->in.client.ip;

    addr_put_ip(b, &e->in.client);
    e->values.readable = keep(e, b);
    e->values.version = SLICE("ip6");
    buf_reset(b);
    for (size_t i = 0; i < NIBBLES; i++) {
        if (i > 0) {
            buf_put_char(b, '.');
        }
        buf_put_char(b, upper[i % 2 == 0 ? ip[i / 2] >> 4 : ip[i / 2] & 15]);
    }
    e->values.ip = keep(e, b);
    buf_reset(b);
    for (size_t i = NIBBLES; i-- > 0;) {
        buf_put_char(b, lower[i % 2 == 0 ? ip[i / 2] >> 4 : ip[i / 2] & 15]);
        buf_put_char(b, '.');
    }
    buf_put_str(b, "ip6.arpa");
    e->reverse = keep(e, b);
}

/* RFC 7208 4.3: no lookup for a name that cannot have a record, or for an address in place of a name. */
static struct slice checked_domain(struct spf *e, struct slice domain)
{
    struct spf_name name;
    struct slice last;
    bool numeric = true;

    if (domain.len > SPF_NAME_MAX + 1 || (!slice_empty(domain) && domain.ptr[0] == '[')) {
        return SLICE_NONE;
    }
    for (size_t i = 0; i < domain.len; i++) {
        if (!ascii_is_print(domain.ptr[i]) || domain.ptr[i] == ' ') {
            return SLICE_NONE;
        }
    }
    spf_name_set(&name, domain);
    last = spf_name_slice(&name);
    last = slice_skip(last, slice_rfind(last, '.') + 1);
    for (size_t i = 0; i < last.len; i++) {
        numeric = numeric && ascii_is_digit(last.ptr[i]);
    }
    return numeric ? SLICE_NONE : arena_slice(&e->arena, spf_name_slice(&name));
}

/* Determines the name to check and the macros s, l, o. */
static void set_sender(struct spf *e, const struct spf_input *in, struct buf *b)
{
    bool helo = in->identity == SPF_HELO || slice_empty(in->sender);
    struct slice sender = helo ? SLICE_NONE : in->sender;
    size_t at = slice_rfind(sender, '@');
    struct slice local = at < sender.len ? slice_take(sender, at) : SLICE_NONE;
    struct slice domain = helo ? in->helo : at < sender.len ? slice_skip(sender, at + 1) : sender;

    e->verdict.identity = helo ? SPF_HELO : SPF_MAILFROM;
    e->values.local = slice_empty(local) ? SLICE("postmaster") : keep_slice(e, local);
    e->values.origin = keep_slice(e, domain);
    buf_reset(b);
    buf_put_slice(b, e->values.local);
    buf_put_char(b, '@');
    buf_put_slice(b, e->values.origin);
    e->values.sender = keep(e, b);
    e->domain = checked_domain(e, domain);
}

struct spf *spf_new(const struct spf_input *in)
{
    char mem[2 * INPUT_MAX + 2];
    struct spf *e;
    struct buf b;

    if (evaluations.name == NULL) {
        slab_init(&evaluations, "spf", sizeof(struct spf), EVALUATIONS_KEPT);
    }
    e = slab_alloc(&evaluations);
    arena_init_counted(&e->arena, SPF_ARENA_MAX);
    e->in = *in;
    e->in.client = unmap(in->client);
    e->in.sender = SLICE_NONE; /* borrowed: must not be used again */
    e->in.helo = SLICE_NONE;
    e->in.receiver = SLICE_NONE;
    if (!spf_engine_built(in->engine)) {
        e->in.engine = SPF_ENGINE_NATIVE;
    }
    buf_init_fixed(&b, mem, sizeof(mem));
    if (e->in.client.family == ADDR_V4) {
        put_v4_names(e, &b);
    } else if (e->in.client.family == ADDR_V6) {
        put_v6_names(e, &b);
    }
    e->values.helo = keep_slice(e, in->helo);
    e->values.receiver = slice_empty(in->receiver) ? SLICE("unknown") : keep_slice(e, in->receiver);
    buf_reset(&b);
    buf_put_i64(&b, in->now_s);
    e->values.now = keep(e, &b);
    set_sender(e, in, &b);
    e->verdict.problem = "";
    return e;
}

void spf_free(struct spf *e)
{
    if (e != NULL) {
        arena_fini(&e->arena);
        slab_release(&evaluations, e);
    }
}

/* Copies text of a record to the verdict; it is printable, because the record was checked. */
static void report(char *out, struct slice text)
{
    struct buf b;

    buf_init_fixed(&b, out, SPF_MECHANISM_MAX + 1);
    buf_put_slice(&b, slice_take(text, SPF_MECHANISM_MAX));
}

/* Is it more than the addresses of a network of the allowed size? */
static bool is_wide(const struct spf *e, double size)
{
    bool v4 = e->in.client.family == ADDR_V4;
    uint8_t bits = v4 ? e->in.weak_v4_bits : e->in.weak_v6_bits;
    double limit = 1;

    for (unsigned i = bits; i < (v4 ? 32U : 128U); i++) {
        limit *= 2;
    }
    return bits != 0 && size > limit;
}

static bool is_weak(const struct spf_run *run)
{
    const struct spf *e = run->e;

    if (e->in.weak_v4_bits == 0 && e->in.weak_v6_bits == 0) {
        return false;
    }
    return (run->matched && run->decided_kind == SPF_ALL) || is_wide(e, run->decided_size) ||
           is_wide(e, run->sum);
}

static void conclude(struct spf *e, const struct spf_run *run, enum spf_result result)
{
    struct spf_verdict *v = &e->verdict;
    bool errs = result == SPF_TEMPERROR || result == SPF_PERMERROR || result == SPF_NONE;
    struct buf b;

    e->done = true;
    v->result = result;
    v->terms = run->terms;
    v->voids = run->voids;
    v->lookups = (unsigned)e->fact_count;
    v->steps = e->steps;
    v->problem = errs && run->problem != NULL ? run->problem : "";
    buf_init_fixed(&b, v->domain, sizeof(v->domain));
    buf_put_slice(&b, e->domain);
    if (!errs && run->matched) {
        report(v->mechanism, run->mechanism);
        report(v->decided_by, run->decided_by);
    }
    if (result == SPF_PASS && is_weak(run)) {
        v->result = SPF_NEUTRAL;
        v->weak = true;
    }
}

/* Runs the engine once; false: answers are missing. */
static bool run_once(struct spf *e)
{
    struct spf_run run = { .e = e, .match = spf_match_native, .budget = MACRO_BUDGET };
    enum spf_result result;

    if (e->in.client.family == ADDR_NONE || slice_empty(e->domain)) {
        run.problem = "not a domain that could have a record";
        conclude(e, &run, SPF_NONE);
        return true;
    }
#ifdef GLACIS_HAVE_LIBSPF2
    if (e->in.engine == SPF_ENGINE_LIBSPF2) {
        run.match = spf_match_libspf2;
    }
#endif
    result = spf_check_host(&run, (struct spf_frame){ .domain = e->domain, .authorised = true, .top = true });
#ifdef GLACIS_HAVE_LIBSPF2
    spf_libspf2_end(&run);
#endif
    if (run.missing) {
        return false;
    }
    if (result == SPF_FAIL && e->in.explain && !spf_explain(&run)) {
        return false;
    }
    conclude(e, &run, result);
    return true;
}

/* Forgets the wants that have been fed since. */
static void drop_known_wants(struct spf *e)
{
    e->want_count = 0;
    for (size_t i = 0; i < e->fact_count && e->want_count < SPF_WANTS_MAX; i++) {
        if (!e->facts[i]->known) {
            e->wants[e->want_count++] = e->facts[i]->want;
        }
    }
}

size_t spf_step(struct spf *e, const struct spf_want **wants)
{
    *wants = e->wants;
    if (e->done) {
        return 0;
    }
    drop_known_wants(e);
    if (e->want_count > 0) {
        return e->want_count;
    }
    if (e->steps == STEPS_MAX) {
        spf_abandon(e, "the evaluation takes too many steps");
        return 0;
    }
    e->steps++;
    if (!run_once(e) && e->want_count == 0) {
        spf_abandon(e, "the evaluation cannot go on");
    }
    return e->done ? 0 : e->want_count;
}

static struct spf_fact *find_wanted(struct spf *e, const struct spf_want *want)
{
    for (size_t i = 0; i < e->fact_count; i++) {
        struct spf_fact *f = e->facts[i];

        if (!f->known && f->want.type == want->type && slice_eq(f->want.name, want->name)) {
            return f;
        }
    }
    return NULL;
}

void spf_feed(struct spf *e, const struct spf_want *want, const struct spf_answer *answer)
{
    struct spf_fact *f = find_wanted(e, want);

    if (f == NULL) {
        return;
    }
    f->known = true;
    f->status = answer->status;
    if (answer->status == SPF_ANSWER_OK && answer->count > 0 && !spf_keep_answer(e, f, answer)) {
        f->status = SPF_ANSWER_TEMPFAIL;
        f->count = 0;
    }
    if (f->status == SPF_ANSWER_OK && f->count == 0) {
        f->status = SPF_ANSWER_NODATA;
    }
}

void spf_abandon(struct spf *e, const char *problem)
{
    struct spf_run run = { .e = e, .problem = problem };

    if (!e->done) {
        conclude(e, &run, SPF_TEMPERROR);
    }
}

const struct spf_verdict *spf_verdict(const struct spf *e)
{
    return &e->verdict;
}
