/*
 * verify.c - the verifier: fields in, names of keys out, answers and body in, verdicts out.
 *
 * A signature goes through these states; only settle() gives it its verdict, and nothing changes it afterwards:
 *
 *     put_field: read --error--> settled
 *         |
 *     end_header: one of the first max_signatures? --no--> settled (neutral)
 *         | yes: it wants a key and a hash of the body
 *     answer: the record is good? --no--> settled
 *         | yes
 *     step: the header hash verifies? --no--> settled
 *         | yes
 *     the body has ended: its hash is bh=? --> settled
 *
 * The signature is verified as soon as its key is there, before the body is complete: when the body ends, comparing
 * 32 octets is all that is left.  Fields are dropped when the last signature was verified, and the body is no longer
 * hashed when no signature waits for it.
 *
 * Owns      struct dkim: two arenas (fields; everything that lives until dkim_free), the hashes of the body.
 */
#include "policy/dkim/body.h"
#include "policy/dkim/canon.h"
#include "policy/dkim/crypto.h"
#include "policy/dkim/header.h"
#include "policy/dkim/key.h"
#include "policy/dkim/signature.h"

#include "core/crypto.h"

#define RESULTS_MAX (512u << 10) /* what is kept of 50 fields and of 50 records, with room */

enum state {
    STATE_READ = 0, /* without an error, but not examined yet */
    STATE_ASKED,    /* waits for the answer about its key */
    STATE_KEYED,    /* has its key */
    STATE_VERIFIED, /* its header hash verifies; waits for the body */
    STATE_SETTLED,
};

/* One key that is looked up: for all signatures that name it. */
struct lookup {
    bool answered;
    struct dkim_key key;
};

struct entry {
    enum state state;
    const struct dkim_field *field;
    struct dkim_signature sig;
    struct dkim_verdict verdict;
    size_t lookup;               /* index of its key */
    struct dkim_body_hash *body; /* NULL: not examined */
};

struct dkim {
    struct dkim_settings settings;
    struct dkim_header header;
    struct arena arena;
    struct dkim_bodies bodies;
    bool header_ended, body_ended;
    struct entry *entries[DKIM_FIELDS_MAX]; /* as they came; from dkim_end_header on by weight (dkim.h) */
    size_t count;
    size_t examined; /* the first so many of entries */
    size_t skipped;
    struct dkim_want *wants;
    struct lookup *lookups; /* of the same index */
    size_t want_count;
};

struct dkim *dkim_new(const struct dkim_settings *settings)
{
    struct dkim *d = xcalloc(1, sizeof(*d));

    d->settings = *settings;
    dkim_header_init(&d->header, DKIM_HEADER_MAX);
    arena_init(&d->arena, RESULTS_MAX);
    dkim_bodies_init(&d->bodies);
    return d;
}

void dkim_free(struct dkim *d)
{
    if (d) {
        dkim_bodies_fini(&d->bodies);
        dkim_header_fini(&d->header);
        arena_fini(&d->arena);
        free(d);
    }
}

/* ---- verdicts ---- */

static void settle(struct dkim *d, struct entry *e, enum dkim_reason reason)
{
    if (e->state == STATE_SETTLED) {
        return;
    }
    if (e->body != NULL) {
        dkim_bodies_leave(&d->bodies, &e->sig);
    }
    e->state = STATE_SETTLED;
    e->verdict.reason = reason;
    e->verdict.result = dkim_reason_result(reason);
}

/* First characters of b=, as they stand in the field. */
static void copy_prefix(char out[9], struct slice text)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len && len < 8; i++) {
        if (text.ptr[i] != ' ' && text.ptr[i] != '\t' && text.ptr[i] != '\r' && text.ptr[i] != '\n') {
            out[len++] = text.ptr[i];
        }
    }
    out[len] = '\0';
}

static void describe(struct dkim_verdict *v, const struct dkim_signature *sig)
{
    v->algorithm = sig->algorithm;
    v->header_canon = sig->header_canon;
    v->body_canon = sig->body_canon;
    v->domain = sig->domain;
    v->selector = sig->selector;
    v->identity = sig->identity;
    v->signed_s = sig->signed_s;
    v->expires_s = sig->expires_s;
    if (!slice_empty(sig->signature)) { /* it is base64 */
        copy_prefix(v->signature, sig->signature_text);
    }
}

/* ---- the header section ---- */

static void read_signature(struct dkim *d, const struct dkim_field *field)
{
    struct dkim_signature_rules rules = { d->settings.now_s, d->settings.utf8, &d->arena };
    struct entry *e = d->count < DKIM_FIELDS_MAX ? arena_alloc(&d->arena, sizeof(*e)) : NULL;
    enum dkim_reason reason;

    if (e == NULL) {
        d->skipped++;
        return;
    }
    reason = dkim_signature_read(dkim_field_value(field), &rules, &e->sig);
    e->field = field;
    e->verdict.position = d->count;
    describe(&e->verdict, &e->sig);
    d->entries[d->count++] = e;
    if (reason != DKIM_VERIFIED) {
        settle(d, e, reason);
    }
}

void dkim_put_field(struct dkim *d, struct slice field)
{
    const struct dkim_field *f = d->header_ended ? NULL : dkim_header_put(&d->header, field);

    if (f != NULL && slice_eq_nocase(dkim_field_name(f), SLICE("DKIM-Signature"))) {
        read_signature(d, f);
    }
}

/* Is `inner` the same name as `outer`, or below it? */
static bool lies_under(struct slice inner, struct slice outer)
{
    return slice_ends_nocase(inner, outer) &&
           (inner.len == outer.len || inner.ptr[inner.len - outer.len - 1] == '.');
}

/* Examined ones: those that are related to the author, then the others.  Then errors, then what is left. */
static int weight(const struct entry *e, struct slice author)
{
    if (e->state == STATE_SETTLED) {
        return 2;
    }
    return !slice_empty(author) && (lies_under(author, e->sig.domain) || lies_under(e->sig.domain, author))
               ? 0
               : 1;
}

static void sort_entries(struct dkim *d, struct slice author)
{
    struct entry *sorted[DKIM_FIELDS_MAX];
    size_t count = 0, open = 0, examined;

    for (int w = 0; w <= 2; w++) {
        for (size_t i = 0; i < d->count; i++) {
            if (weight(d->entries[i], author) == w) {
                sorted[count++] = d->entries[i];
            }
        }
        open = w == 1 ? count : open;
    }
    examined = min_size(open, d->settings.max_signatures);
    count = 0;
    for (size_t i = 0; i < examined; i++) {
        d->entries[count++] = sorted[i];
    }
    for (size_t i = open; i < d->count; i++) {
        d->entries[count++] = sorted[i];
    }
    for (size_t i = examined; i < open; i++) {
        settle(d, sorted[i], DKIM_NOT_EXAMINED);
        d->entries[count++] = sorted[i];
    }
    d->examined = examined;
}

/* The index of the key with this name; equal names share one. */
static size_t want_key(struct dkim *d, struct slice name)
{
    for (size_t i = 0; i < d->want_count; i++) {
        if (slice_eq(d->wants[i].name, name)) {
            return i;
        }
    }
    d->wants[d->want_count].name = name;
    return d->want_count++;
}

void dkim_end_header(struct dkim *d, struct slice author)
{
    if (d->header_ended) {
        return;
    }
    d->header_ended = true;
    for (size_t i = 0; i < d->count && d->header.full; i++) {
        settle(d, d->entries[i], DKIM_TOO_LARGE); /* a field that is signed may be missing */
    }
    sort_entries(d, author);
    if (d->examined == 0) {
        dkim_header_fini(&d->header);
        return;
    }
    d->wants = arena_alloc(&d->arena, d->examined * sizeof(*d->wants));
    d->lookups = arena_alloc(&d->arena, d->examined * sizeof(*d->lookups));
    for (size_t i = 0; i < d->examined; i++) {
        struct entry *e = d->entries[i];

        if (d->wants == NULL || d->lookups == NULL) {
            settle(d, e, DKIM_UNABLE);
            continue;
        }
        e->verdict.examined = true;
        e->state = STATE_ASKED;
        e->lookup = want_key(d, e->sig.key_name);
        e->body = dkim_bodies_want(&d->bodies, &e->sig);
    }
}

/* ---- the body ---- */

/* The header hash verified and the body is complete. */
static void compare_body(struct dkim *d, struct entry *e)
{
    const struct dkim_body_hash *body = e->body;

    if (!body->reached) {
        settle(d, e, DKIM_BODY_SHORTER);
    } else if (memcmp(body->hash, e->sig.body_hash.ptr, DKIM_HASH_LEN) != 0) {
        settle(d, e, DKIM_BODY_CHANGED);
    } else {
        settle(d, e, body->longer ? DKIM_BODY_LONGER : DKIM_VERIFIED);
    }
}

bool dkim_needs_body(const struct dkim *d)
{
    return !d->body_ended && dkim_bodies_wanted(&d->bodies);
}

void dkim_put_body(struct dkim *d, struct slice chunk)
{
    if (!d->body_ended) {
        dkim_bodies_put(&d->bodies, chunk);
    }
}

void dkim_end_body(struct dkim *d)
{
    if (d->body_ended) {
        return;
    }
    d->body_ended = true;
    dkim_bodies_end(&d->bodies);
    for (size_t i = 0; i < d->examined; i++) {
        if (d->entries[i]->state == STATE_VERIFIED) {
            compare_body(d, d->entries[i]);
        }
    }
}

/* ---- keys ---- */

size_t dkim_wants(const struct dkim *d, const struct dkim_want **wants)
{
    *wants = d->wants;
    return d->want_count;
}

static enum dkim_reason read_answer(struct dkim *d, const struct dkim_answer *answer, struct dkim_key *key)
{
    switch (answer->status) {
    case DKIM_ANSWER_OK:
        return dkim_key_read(answer->text, &d->arena, key);
    case DKIM_ANSWER_NONE:
        return DKIM_KEY_NONE;
    case DKIM_ANSWER_SEVERAL:
        return DKIM_KEY_SEVERAL;
    case DKIM_ANSWER_TEMPFAIL:
        return DKIM_KEY_UNKNOWN;
    }
    return DKIM_KEY_UNKNOWN;
}

/* May this key be used for this signature? */
static enum dkim_reason match_key(const struct dkim_key *key, const struct dkim_signature *sig)
{
    enum dkim_key_type type = sig->algorithm == DKIM_ED25519_SHA256 ? DKIM_KEY_ED25519 : DKIM_KEY_RSA;

    if (key->type != type) {
        return DKIM_KEY_TYPE;
    }
    return key->strict && !sig->identity_is_domain ? DKIM_KEY_IDENTITY : key->data;
}

void dkim_answer(struct dkim *d, size_t index, const struct dkim_answer *answer)
{
    struct lookup *lookup;
    enum dkim_reason record;

    BUG_ON(index >= d->want_count);
    lookup = &d->lookups[index];
    if (lookup->answered) {
        return;
    }
    lookup->answered = true;
    record = read_answer(d, answer, &lookup->key);
    for (size_t i = 0; i < d->examined; i++) {
        struct entry *e = d->entries[i];
        enum dkim_reason reason;

        if (e->state != STATE_ASKED || e->lookup != index) {
            continue;
        }
        e->verdict.testing = lookup->key.testing;
        e->verdict.key_bits = lookup->key.bits;
        reason = record == DKIM_VERIFIED ? match_key(&lookup->key, &e->sig) : record;
        if (reason == DKIM_VERIFIED) {
            e->state = STATE_KEYED;
        } else {
            settle(d, e, reason);
        }
    }
}

/* ---- progress ---- */

static void on_canonical(void *arg, const void *data, size_t len)
{
    sha256_update(arg, data, len);
}

/* The fields that h= names, in its order (RFC 6376 5.4.2), and how many octets they and the signature have. */
static size_t select_fields(struct dkim *d, const struct entry *e,
                            const struct dkim_field *fields[DKIM_NAMES_MAX], size_t *octets)
{
    struct slice rest = e->sig.names, name;
    bool done = false;
    size_t count = 0;

    *octets = e->field->text.len;
    dkim_header_select(&d->header);
    while (dkim_signature_name(&rest, &done, &name)) {
        const struct dkim_field *f = dkim_header_pick(&d->header, name);

        if (f == e->field) { /* a signature does not sign itself: this name means the next one above */
            f = dkim_header_pick(&d->header, name);
        }
        if (f != NULL) { /* absent fields are the empty string */
            fields[count++] = f;
            *octets += f->text.len;
        }
    }
    return count;
}

/* The hash of the fields and of the signature itself without b= (RFC 6376 3.7); false if they are too large. */
static bool hash_header(struct dkim *d, const struct entry *e, uint8_t out[DKIM_HASH_LEN])
{
    const struct dkim_field *fields[DKIM_NAMES_MAX];
    size_t octets, count = select_fields(d, e, fields, &octets);
    struct dkim_sink sink;
    struct sha256 *hash;

    if (octets > DKIM_SIGNED_MAX) {
        return false;
    }
    hash = sha256_new();
    dkim_sink_init(&sink, on_canonical, hash);
    for (size_t i = 0; i < count; i++) {
        dkim_canon_field(&sink, e->sig.header_canon, fields[i]->text, fields[i]->name_len, SLICE_NONE);
        dkim_sink_put(&sink, "\r\n", 2);
    }
    dkim_canon_field(&sink, e->sig.header_canon, e->field->text, e->field->name_len, e->sig.signature_text);
    dkim_sink_flush(&sink);
    sha256_final(hash, out);
    return true;
}

static void verify(struct dkim *d, struct entry *e)
{
    uint8_t hash[DKIM_HASH_LEN];

    if (d->header.full || !hash_header(d, e, hash)) {
        settle(d, e, DKIM_TOO_LARGE);
        return;
    }
    switch (dkim_crypto_verify(&d->lookups[e->lookup].key, hash, e->sig.signature)) {
    case DKIM_CRYPTO_GOOD:
        e->state = STATE_VERIFIED;
        if (d->body_ended) {
            compare_body(d, e);
        }
        break;
    case DKIM_CRYPTO_BAD:
        settle(d, e, DKIM_HEADER_CHANGED);
        break;
    case DKIM_CRYPTO_UNABLE:
        settle(d, e, DKIM_UNABLE);
        break;
    }
}

static size_t count_in(const struct dkim *d, enum state state)
{
    size_t count = 0;

    for (size_t i = 0; i < d->examined; i++) {
        count += d->entries[i]->state == state;
    }
    return count;
}

/* What is left for dkim_step. */
static enum dkim_progress progress(struct dkim *d)
{
    if (!d->header_ended) {
        return DKIM_WAITING;
    }
    if (count_in(d, STATE_KEYED) > 0) {
        return DKIM_BUSY;
    }
    if (count_in(d, STATE_ASKED) > 0) {
        return DKIM_WAITING;
    }
    dkim_header_fini(&d->header); /* nobody needs a field any more */
    return count_in(d, STATE_VERIFIED) > 0 ? DKIM_WAITING : DKIM_DONE;
}

enum dkim_progress dkim_step(struct dkim *d)
{
    enum dkim_progress now = progress(d);

    if (now != DKIM_BUSY) {
        return now;
    }
    if (!dkim_header_index(&d->header)) {
        return DKIM_BUSY;
    }
    for (size_t i = 0; i < d->examined; i++) {
        if (d->entries[i]->state == STATE_KEYED) {
            verify(d, d->entries[i]);
            break;
        }
    }
    return progress(d);
}

void dkim_abandon(struct dkim *d)
{
    for (size_t i = 0; i < d->count; i++) {
        settle(d, d->entries[i], DKIM_TIME_OVER);
    }
    dkim_header_fini(&d->header);
}

/* ---- results ---- */

size_t dkim_count(const struct dkim *d)
{
    return d->count;
}

const struct dkim_verdict *dkim_verdict_at(const struct dkim *d, size_t index)
{
    BUG_ON(index >= d->count);
    return &d->entries[index]->verdict;
}

size_t dkim_skipped(const struct dkim *d)
{
    return d->skipped;
}
