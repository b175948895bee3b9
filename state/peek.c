/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peek.c - reads the tables without changing them: the answers of embedded.c without its writes.
 *
 * Each function is the reading half of the ask_ function with the same name there.  A test compares the two.
 */
#include "state/tables_priv.h"

static int64_t not_after(uint32_t at_s, int64_t now_s)
{
    return (int64_t)at_s < now_s ? (int64_t)at_s : now_s;
}

static void peek_seen(const struct entry *e, int64_t now_s, struct memory_record *out)
{
    out->since_s = e != NULL ? not_after(((const struct entry_seen *)e)->first_s, now_s) : now_s;
}

static void peek_standing(const struct entry *e, struct memory_record *out)
{
    if (e != NULL) {
        out->standing = ((const struct entry_standing *)e)->s;
    }
}

static void peek_grey(const struct entry *e, int64_t now_s, struct memory_record *out)
{
    const struct entry_grey *grey = (const struct entry_grey *)e;

    out->since_s = grey != NULL ? not_after(grey->first_s, now_s) : now_s;
    out->passed = grey != NULL && grey->passed_s != 0;
}

/* Counts the member as just seen: in its own element, a free one, or the oldest one's. */
static void peek_burst(const struct entry *e, const struct memory_question *q, int64_t now_s,
                       struct memory_record *out)
{
    const struct entry_burst *b = (const struct entry_burst *)e;
    int64_t from = now_s - (int64_t)q->keep_s;
    unsigned others = 0;

    for (size_t i = 0; b != NULL && i < MEMORY_BURST_MAX; i++) {
        int64_t at = (int64_t)b->seen[i].at_s;

        others += at != 0 && at >= from && at <= now_s && b->seen[i].member != q->member;
    }
    out->count = others < MEMORY_BURST_MAX ? others + 1 : MEMORY_BURST_MAX;
}

static void peek_rate(const struct entry *e, int64_t now_s, struct memory_record *out)
{
    const struct entry_rate *r = (const struct entry_rate *)e;
    uint32_t minute = (uint32_t)(now_s / 60);
    unsigned left = 60 - (unsigned)(now_s % 60), now = 0, before = 0;

    if (r != NULL && r->minute == minute) {
        now = r->now;
        before = r->before;
    } else if (r != NULL && minute == r->minute + 1) {
        before = r->now;
    }
    out->count = (now < UINT16_MAX ? now + 1 : now) + before * left / 60;
}

void tables_peek(struct tables *t, const struct memory_question *q, int64_t now_s, struct memory_record *out)
{
    static const enum table_id tables[] = {
        [MEMORY_SEEN] = TABLE_SEEN,   [MEMORY_STANDING] = TABLE_STANDING, [MEMORY_GREYLIST] = TABLE_GREY,
        [MEMORY_BURST] = TABLE_BURST, [MEMORY_RATE] = TABLE_RATE,
    };
    const struct entry *e;
    struct place p;

    memset(out, 0, sizeof(*out));
    if (!place_lock(t, tables[q->what], &q->key, &p)) {
        return;
    }
    e = place_find(&p, &q->key, now_s);
    out->known = true;
    out->found = e != NULL;
    switch (q->what) {
    case MEMORY_SEEN:
        peek_seen(e, now_s, out);
        break;
    case MEMORY_STANDING:
        peek_standing(e, out);
        break;
    case MEMORY_GREYLIST:
        peek_grey(e, now_s, out);
        break;
    case MEMORY_BURST:
        peek_burst(e, q, now_s, out);
        break;
    case MEMORY_RATE:
        peek_rate(e, now_s, out);
        break;
    }
    place_unlock(&p);
}
