/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.c - runs the body through each canonicalisation in use and reads the running hash at each l=.
 *
 * Owns      struct dkim_body: sink, automaton and hash of one canonicalisation, and the hashes that signatures wait
 *           for, sorted by length with the whole body last.
 */
#include "policy/dkim/body.h"

#include "policy/dkim/canon.h"
#include "policy/dkim/crypto.h"

struct dkim_body {
    struct dkim_sink sink;
    struct dkim_canon_body form;
    struct dkim_hash *hash;
    uint64_t octets; /* canonical octets hashed so far */
    size_t users;    /* signatures that still wait */
    struct {         /* state at the last fork: the end of the body if nothing follows */
        uint64_t octets;
        uint8_t hash[DKIM_HASH_LEN];
    } fork;
    size_t next; /* first of wanted[] whose length is not reached yet */
    size_t count;
    struct dkim_body_hash *wanted[DKIM_FIELDS_MAX]; /* sorted, see compare_length() */
};

void dkim_bodies_init(struct dkim_bodies *b)
{
    *b = (struct dkim_bodies){ { NULL } };
}

static void free_body(struct dkim_body *body)
{
    for (size_t i = 0; i < body->count; i++) {
        free(body->wanted[i]);
    }
    dkim_hash_free(body->hash);
    free(body);
}

void dkim_bodies_fini(struct dkim_bodies *b)
{
    for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
        if (b->of[c] != NULL) {
            free_body(b->of[c]);
            b->of[c] = NULL;
        }
    }
}

/* ---- callbacks of the canonical form ---- */

/* Hashes canonical octets; stops at each wanted length to read the hash. */
static void on_canonical(void *arg, const void *data, size_t len)
{
    struct dkim_body *body = arg;
    const char *p = data;

    while (body->next < body->count && body->wanted[body->next]->has_length &&
           body->wanted[body->next]->length - body->octets <= len) {
        struct dkim_body_hash *want = body->wanted[body->next++];
        size_t part = (size_t)(want->length - body->octets);

        dkim_hash_put(body->hash, p, part);
        dkim_hash_read(body->hash, want->hash);
        p += part;
        len -= part;
        body->octets += part;
    }
    dkim_hash_put(body->hash, p, len);
    body->octets += len;
}

static void on_fork(void *arg)
{
    struct dkim_body *body = arg;

    body->fork.octets = body->octets;
    dkim_hash_read(body->hash, body->fork.hash);
}

static struct dkim_body *new_body(enum dkim_canon canon)
{
    struct dkim_body *body = xmalloc(sizeof(*body)); /* not cleared: 4 KiB of it are a buffer */

    body->hash = dkim_hash_new();
    body->octets = 0;
    body->users = 0;
    body->next = 0;
    body->count = 0;
    dkim_sink_init(&body->sink, on_canonical, body);
    dkim_canon_body_init(&body->form, canon, &body->sink, on_fork);
    return body;
}

/* ---- registration ---- */

/* Compares like strcmp(); the whole body counts as longer than any l=. */
static int compare_length(const struct dkim_body_hash *want, const struct dkim_signature *sig)
{
    if (want->has_length != sig->has_length) {
        return want->has_length ? -1 : 1;
    }
    return want->length < sig->length ? -1 : want->length > sig->length;
}

struct dkim_body_hash *dkim_bodies_want(struct dkim_bodies *b, const struct dkim_signature *sig)
{
    struct dkim_body **slot = &b->of[sig->body_canon];
    struct dkim_body *body = *slot == NULL ? (*slot = new_body(sig->body_canon)) : *slot;
    struct dkim_body_hash *want;
    size_t at = 0;

    body->users++;
    while (at < body->count && compare_length(body->wanted[at], sig) < 0) {
        at++;
    }
    if (at < body->count && compare_length(body->wanted[at], sig) == 0) {
        return body->wanted[at];
    }
    BUG_ON(body->count == ARRAY_LEN(body->wanted));
    want = xcalloc(1, sizeof(*want));
    want->has_length = sig->has_length;
    want->length = sig->length;
    memmove(&body->wanted[at + 1], &body->wanted[at], (body->count - at) * sizeof(body->wanted[0]));
    body->wanted[at] = want;
    body->count++;
    return want;
}

void dkim_bodies_leave(struct dkim_bodies *b, const struct dkim_signature *sig)
{
    b->of[sig->body_canon]->users--;
}

bool dkim_bodies_wanted(const struct dkim_bodies *b)
{
    for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
        if (b->of[c] != NULL && b->of[c]->users > 0) {
            return true;
        }
    }
    return false;
}

/* ---- the body ---- */

void dkim_bodies_put(struct dkim_bodies *b, struct slice chunk)
{
    for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
        if (b->of[c] != NULL && b->of[c]->users > 0) {
            dkim_canon_body_put(&b->of[c]->form, chunk);
        }
    }
}

static void end_body(struct dkim_body *body)
{
    uint64_t octets;

    dkim_canon_body_end(&body->form);
    on_canonical(body, "", 0); /* reads the hash for l=0 of an empty body */
    octets = body->form.forked ? body->fork.octets : body->octets;
    for (size_t i = 0; i < body->count; i++) {
        struct dkim_body_hash *want = body->wanted[i];

        want->reached = !want->has_length || want->length <= octets;
        want->longer = want->has_length && want->length < octets;
        if (!want->has_length && body->form.forked) {
            memcpy(want->hash, body->fork.hash, sizeof(want->hash));
        } else if (!want->has_length) {
            dkim_hash_read(body->hash, want->hash);
        }
    }
}

void dkim_bodies_end(struct dkim_bodies *b)
{
    for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
        if (b->of[c] != NULL && b->of[c]->users > 0) {
            end_body(b->of[c]);
        }
    }
}
