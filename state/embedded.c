/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embedded.c - the contract of memory.h on the tables, with immediate answers.
 *
 * Worth       A full set keeps a client or domain seen on several days over one seen once, a triplet that passed
 *             over one that waits, many days of standing over few.  So a flood of new keys evicts new keys.
 * Clock       A time later than now (a clock that went back) counts as now.
 */
#include "state/tables_priv.h"

#define DAY_S 86400

static uint32_t clamp_u32(int64_t s)
{
    return s < 0 ? 0 : s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

static void touch(struct entry *e, int64_t now_s, uint32_t keep_s)
{
    e->used_s = clamp_u32(now_s);
    e->until_s = clamp_u32(now_s + (keep_s > 0 ? keep_s : 1));
    e->dirty = 1;
}

static int64_t not_after(uint32_t at_s, int64_t now_s)
{
    return (int64_t)at_s < now_s ? (int64_t)at_s : now_s;
}

static void ask_seen(struct place *p, const struct memory_question *q, int64_t now_s,
                     struct memory_record *out)
{
    struct entry_seen *e;
    bool made;

    e = (struct entry_seen *)place_make(p, &q->key, now_s, &made);
    place_write_begin(p, &e->e);
    if (made) {
        e->first_s = clamp_u32(now_s);
    }
    touch(&e->e, now_s, q->keep_s);
    out->since_s = not_after(e->first_s, now_s);
    e->e.worth = (uint8_t)min_u64((uint64_t)(now_s - out->since_s) / DAY_S, 7);
    out->found = !made;
    place_write_end(p);
}

static void ask_standing(struct place *p, const struct memory_question *q, int64_t now_s,
                         struct memory_record *out)
{
    struct entry_standing *e = (struct entry_standing *)place_find(p, &q->key, now_s);

    out->found = e != NULL;
    if (e != NULL) {
        out->standing = e->s;
    }
}

static void ask_grey(struct place *p, const struct memory_question *q, int64_t now_s,
                     struct memory_record *out)
{
    struct entry_grey *e;
    bool made;

    e = (struct entry_grey *)place_make(p, &q->key, now_s, &made);
    place_write_begin(p, &e->e);
    if (made) {
        e->first_s = clamp_u32(now_s);
        touch(&e->e, now_s, q->keep_s);
    }
    e->e.used_s = clamp_u32(now_s);
    out->since_s = not_after(e->first_s, now_s);
    out->passed = e->passed_s != 0;
    out->found = !made;
    place_write_end(p);
}

static void ask_burst(struct place *p, const struct memory_question *q, int64_t now_s,
                      struct memory_record *out)
{
    struct entry_burst *e;
    bool made;
    size_t at = 0;
    uint32_t now = clamp_u32(now_s), from = clamp_u32(now_s - (int64_t)q->keep_s);

    e = (struct entry_burst *)place_make(p, &q->key, now_s, &made);
    place_write_begin(p, &e->e);
    for (size_t i = 0; i < MEMORY_BURST_MAX; i++) { /* its own element, or the oldest */
        if (e->seen[i].at_s != 0 && e->seen[i].member == q->member) {
            at = i;
            break;
        }
        if (e->seen[i].at_s < e->seen[at].at_s) {
            at = i;
        }
    }
    e->seen[at].member = q->member;
    e->seen[at].at_s = now > 0 ? now : 1;
    for (size_t i = 0; i < MEMORY_BURST_MAX; i++) {
        out->count += e->seen[i].at_s != 0 && e->seen[i].at_s >= from && e->seen[i].at_s <= now;
    }
    touch(&e->e, now_s, q->keep_s);
    e->e.worth = (uint8_t)out->count;
    out->found = !made;
    place_write_end(p);
}

/* Keeps two whole minutes.  Estimates the part of the last minute within sixty seconds by its share. */
static void ask_rate(struct place *p, const struct memory_question *q, int64_t now_s,
                     struct memory_record *out)
{
    struct entry_rate *e;
    uint32_t minute = clamp_u32(now_s / 60);
    unsigned left = 60 - (unsigned)(now_s % 60);
    bool made;

    e = (struct entry_rate *)place_make(p, &q->key, now_s, &made);
    place_write_begin(p, &e->e);
    if (e->minute != minute) {
        e->before = minute == e->minute + 1 ? e->now : 0;
        e->now = 0;
        e->minute = minute;
    }
    if (e->now < UINT16_MAX) {
        e->now++;
    }
    out->count = e->now + e->before * left / 60;
    touch(&e->e, now_s, 120);
    out->found = !made;
    place_write_end(p);
}

static const struct {
    enum table_id table;
    void (*ask)(struct place *p, const struct memory_question *q, int64_t now_s, struct memory_record *out);
} kinds[] = {
    [MEMORY_SEEN] = { TABLE_SEEN, ask_seen },     [MEMORY_STANDING] = { TABLE_STANDING, ask_standing },
    [MEMORY_GREYLIST] = { TABLE_GREY, ask_grey }, [MEMORY_BURST] = { TABLE_BURST, ask_burst },
    [MEMORY_RATE] = { TABLE_RATE, ask_rate },
};

void tables_ask(struct tables *t, const struct memory_question *q, int64_t now_s, struct memory_record *out)
{
    struct place p;

    memset(out, 0, sizeof(*out));
    if (!place_lock(t, kinds[q->what].table, &q->key, &p)) {
        return;
    }
    out->known = true;
    kinds[q->what].ask(&p, q, now_s, out);
    place_unlock(&p);
}

/* Counts one more accepted message. */
static void accept_today(struct memory_standing *s, int64_t now_s)
{
    uint16_t today = (uint16_t)(now_s / DAY_S);
    size_t at = 0;

    if (s->since_s == 0 || (int64_t)s->since_s > now_s) {
        s->since_s = clamp_u32(now_s);
    }
    for (size_t i = 0; i < MEMORY_DAYS; i++) {
        if (s->day[i] == today) {
            at = i;
            break;
        }
        if (s->day[i] < s->day[at]) {
            at = i;
        }
    }
    if (s->day[at] != today) {
        s->day[at] = today;
        s->count[at] = 0;
    }
    if (s->count[at] < UINT16_MAX) {
        s->count[at]++;
    }
}

static void note_standing(struct place *p, enum memory_event event, const struct memory_key *key,
                          uint32_t keep_s, int64_t now_s)
{
    struct entry_standing *e;
    bool made;

    if (event == MEMORY_REFUSED && place_find(p, key, now_s) == NULL) {
        return;
    }
    e = (struct entry_standing *)place_make(p, key, now_s, &made);
    place_write_begin(p, &e->e);
    if (event == MEMORY_REFUSED) {
        memset(&e->s, 0, sizeof(e->s));
    } else {
        accept_today(&e->s, now_s);
    }
    touch(&e->e, now_s, keep_s);
    e->e.worth = 0;
    for (size_t i = 0; i < MEMORY_DAYS; i++) {
        e->e.worth = (uint8_t)(e->e.worth + (e->s.day[i] != 0));
    }
    place_write_end(p);
}

static void note_passed(struct place *p, const struct memory_key *key, uint32_t keep_s, int64_t now_s)
{
    struct entry_grey *e;
    bool made;

    e = (struct entry_grey *)place_make(p, key, now_s, &made);
    place_write_begin(p, &e->e);
    if (made) {
        e->first_s = clamp_u32(now_s);
    }
    e->passed_s = clamp_u32(now_s);
    e->e.worth = 1;
    touch(&e->e, now_s, keep_s);
    place_write_end(p);
}

void tables_note(struct tables *t, enum memory_event event, const struct memory_key *key, uint32_t keep_s,
                 int64_t now_s)
{
    struct place p;

    if (!place_lock(t, event == MEMORY_PASSED ? TABLE_GREY : TABLE_STANDING, key, &p)) {
        return;
    }
    if (event == MEMORY_PASSED) {
        note_passed(&p, key, keep_s, now_s);
    } else {
        note_standing(&p, event, key, keep_s, now_s);
    }
    place_unlock(&p);
}

void tables_learn(struct tables *t, const struct memory_question *q, const struct memory_record *r,
                  int64_t now_s)
{
    struct place p;
    struct entry *e;
    bool made;

    if (!r->found || !place_lock(t, kinds[q->what].table, &q->key, &p)) {
        return;
    }
    e = q->what == MEMORY_STANDING ? place_make(&p, &q->key, now_s, &made) : place_find(&p, &q->key, now_s);
    if (e != NULL) {
        place_write_begin(&p, e);
        if (q->what == MEMORY_STANDING) {
            ((struct entry_standing *)e)->s = r->standing;
            touch(e, now_s, q->keep_s);
        } else if (q->what == MEMORY_SEEN) {
            ((struct entry_seen *)e)->first_s = clamp_u32(r->since_s);
        } else if (q->what == MEMORY_GREYLIST) {
            ((struct entry_grey *)e)->first_s = clamp_u32(r->since_s);
            ((struct entry_grey *)e)->passed_s = r->passed ? clamp_u32(now_s) : 0;
        }
        place_write_end(&p);
    }
    place_unlock(&p);
}

void standing_put_day(struct memory_standing *s, uint16_t day, uint64_t n)
{
    size_t at = 0;

    for (size_t i = 0; i < MEMORY_DAYS; i++) {
        if (s->day[i] == day) {
            at = i;
            break;
        }
        if (s->day[i] < s->day[at]) {
            at = i;
        }
    }
    if (s->day[at] > day) {
        return;
    }
    if (s->day[at] != day) {
        s->count[at] = 0;
    }
    s->day[at] = day;
    if (n > s->count[at]) {
        s->count[at] = (uint16_t)min_u64(n, UINT16_MAX);
    }
}

void standing_join(struct memory_standing *s, const struct memory_standing *other)
{
    for (size_t i = 0; i < MEMORY_DAYS; i++) {
        if (other->day[i] != 0) {
            standing_put_day(s, other->day[i], other->count[i]);
        }
    }
    if (s->since_s == 0 || other->since_s < s->since_s) {
        s->since_s = other->since_s;
    }
}

/* ---- lists ---- */

/* A killed owner leaves counters at most one off, so this repairs only invariants. */
static bool lock_list(struct tables *t, size_t n)
{
    struct memory_list *l = &t->h->list[n];
    bool died;

    if (!shard_lock(t->who, &t->h->list_lock[n].lock, &died)) {
        count(M_MEMORY_BUSY);
        return false;
    }
    if (died) {
        l->name[MEMORY_LIST_NAME - 1] = '\0';
    }
    return true;
}

struct memory_list *tables_list_at(struct tables *t, size_t n)
{
    if (n >= MEMORY_LISTS || t->h->list[n].name[0] == '\0' || !lock_list(t, n)) {
        return NULL;
    }
    return &t->h->list[n];
}

/* The name is shorter than MEMORY_LIST_NAME. */
static bool is_named(const struct memory_list *l, struct slice name)
{
    return memcmp(l->name, name.ptr, name.len) == 0 && l->name[name.len] == '\0';
}

struct memory_list *tables_list_take(struct tables *t, struct slice name)
{
    if (name.len == 0 || name.len >= MEMORY_LIST_NAME) {
        return NULL;
    }
    for (size_t n = 0; n < MEMORY_LISTS; n++) {
        struct memory_list *l = &t->h->list[n];

        if (l->name[0] != '\0' && !is_named(l, name)) {
            continue;
        }
        if (!lock_list(t, n)) {
            return NULL;
        }
        if (l->name[0] == '\0') {
            memset(l, 0, sizeof(*l));
            memcpy(l->name + 1, name.ptr + 1, name.len - 1);
            atomic_thread_fence(memory_order_seq_cst);
            l->name[0] = name.ptr[0]; /* last: this publishes the record */
        }
        if (is_named(l, name)) {
            return l;
        }
        shard_unlock(&t->h->list_lock[n].lock); /* another process took the record meanwhile */
    }
    return NULL;
}

void tables_list_give(struct tables *t, struct memory_list *l)
{
    if (l != NULL) {
        shard_unlock(&t->h->list_lock[l - t->h->list].lock);
    }
}
