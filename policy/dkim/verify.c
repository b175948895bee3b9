/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - the state machine of the verifier (dkim.h): fields, answers and body in, verdicts out.
 *
 * Each signature moves through these states.  Only settle() sets a verdict, and it is final:
 *
 *     put_field: read --error--> settled
 *         |
 *     end_header: among the first max_signatures? --no--> settled (neutral)
 *         | yes: registers for a key and for a hash of the body      STATE_ASKED
 *     answer: is the record usable? --no--> settled
 *         | yes                                                      STATE_KEYED
 *     step: does the header hash verify? --no--> settled
 *         | yes                                                      STATE_VERIFIED
 *     end_body: is its hash bh=? --> settled
 *
 * A signature is verified as soon as its key has arrived, before the body is complete.  At the end of the body,
 * comparing 32 octets remains.  The fields are freed after the last verification, and hashing stops when no signature
 * waits for the body.
 *
 * Owns      struct dkim: two arenas (one for the fields, one for everything that lives until dkim_free), and the hashes
 *           of the body.
 */
#include "policy/dkim/body.h"
#include "policy/dkim/canon.h"
#include "policy/dkim/crypto.h"
#include "policy/dkim/header.h"
#include "policy/dkim/key.h"
#include "policy/dkim/signature.h"

#include "core/crypto.h"

#define RESULTS_MAX (512u << 10) /* enough for the parts of 50 signatures and 50 key records */

enum state {
    STATE_READ = 0, /* parsed without error; dkim_end_header decides whether to examine it */
    STATE_ASKED,    /* waits for its key */
    STATE_KEYED,    /* has its key; waits for dkim_step */
    STATE_VERIFIED, /* the header hash verifies; waits for the end of the body */
    STATE_SETTLED,
};

/* One key lookup, shared by all signatures that name this key. */
struct lookup {
    bool answered;
    struct dkim_key key;
};

struct entry {
    enum state state;
    const struct dkim_field *field;
    struct dkim_signature sig;
    struct dkim_verdict verdict;
    size_t lookup;               /* index of its key in wants and lookups */
    struct dkim_body_hash *body; /* NULL: not examined */
};

struct dkim {
    struct dkim_settings settings;
    struct dkim_header header;
    struct arena arena;
    struct dkim_bodies bodies;
    bool header_ended, body_ended;
    struct entry *entries[DKIM_FIELDS_MAX]; /* in message order; dkim_end_header sorts them (dkim.h, Order) */
    size_t count;
    size_t examined; /* entries[0..examined) are examined */
    size_t skipped;
    struct dkim_want *wants;
    struct lookup *lookups; /* parallel to wants */
    size_t want_count;
};

struct dkim *dkim_new(const struct dkim_settings *settings)
{
    struct dkim *d = xcalloc(1, sizeof(*d));

    d->settings = *settings;
    dkim_header_init(&d->header, DKIM_HEADER_MAX);
    arena_init_counted(&d->arena, RESULTS_MAX);
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

/* Copies the first characters of b=, without white space. */
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
    if (!slice_empty(sig->signature)) { /* so its text is base64 */
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

/* Sort key: 0 related to the author's domain, 1 other candidates, 2 settled already. */
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
    struct entry *sorted[DKIM_FIELDS_MAX] = { NULL };
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

/* Returns the index of the lookup of this name; adds one if there is none. */
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
        settle(d, d->entries[i], DKIM_TOO_LARGE); /* the missing field may be a signed one */
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

/* Decides an entry whose header hash verifies, after the end of the body. */
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

/* Collects the fields that h= names, in its order (RFC 6376 5.4.2), and counts octets with the signature's own. */
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

        if (f ==
            e->field) { /* a signature does not sign itself (RFC 6376 3.5, h=): take the next one above */
            f = dkim_header_pick(&d->header, name);
        }
        if (f != NULL) { /* an absent field counts as the empty string */
            fields[count++] = f;
            *octets += f->text.len;
        }
    }
    return count;
}

/* Hashes the signed fields and the signature without b= (RFC 6376 3.7); returns false if they are too large. */
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

/* Also frees the fields when no signature needs them any more. */
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
    dkim_header_fini(&d->header);
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
