/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tidy.c - upkeep of the days that are over: removed by age and size, sealed, and reduced after `full_addresses`.
 *
 * history_tidy() does one step and returns.  A pass visits every day from the oldest; a new pass begins each
 * PASS_S, and after each change of day.  The row up to which a day was reduced is in its table `state`, so that a
 * restart goes on there.  Lookups stay as they are: a known address is found by its own hash, and compared in both forms.
 */
#include "history/store_priv.h"

enum { PASS_S = 3600, AGE_S = 3600, STEP_ROWS = 2000, STEP_PAGES = 2000 };

static void remove_day(struct history *h, int64_t no, const char *why)
{
    struct buf path;

    buf_init(&path, DAY_PATH_MAX);
    day_path(&path, h->dir, no);
    if (buf_ok(&path)) {
        sql_remove(path.ptr);
        store_say(h, LOG_LEVEL_INFO, "history: removed %s: %s", path.ptr, why);
        h->stats.removed++;
    }
    buf_fini(&path);
}

static uint64_t size_of_days(const struct history *h, const int64_t *days, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        struct buf path;

        buf_init(&path, DAY_PATH_MAX);
        day_path(&path, h->dir, days[i]);
        sum += buf_ok(&path) ? sql_size(path.ptr) : 0;
        buf_fini(&path);
    }
    return sum;
}

/* Today's file stays in any case.  True: a day was removed. */
static bool retain(struct history *h, int64_t now_ms)
{
    int64_t *days;
    size_t n = day_list(h->dir, &days);
    uint64_t now_s = store_monotonic_s();
    bool removed = false;

    if (n > 0 && days[0] != now_ms / DAY_MS) {
        bool old = (days[0] + 1) * DAY_MS + h->settings.keep_s * 1000 < now_ms;

        if (size_of_days(h, days, n) > h->settings.max_bytes) {
            remove_day(h, days[0], "max_size is reached");
            removed = true;
        } else if (old && now_s >= h->age_again_s) {
            remove_day(h, days[0], "it is older than keep");
            h->age_again_s = now_s + AGE_S;
            removed = true;
        }
    }
    free(days);
    return removed;
}

/* ---- reducing ---- */

/* The row with its addresses hashed.  False: it is damaged, or too long when it is reduced. */
static bool reduce_row(struct history *h, struct day *d, struct slice data, struct buf *out)
{
    struct row_reader rr;
    struct record r;
    struct record_id first;
    bool ok = true, any = false;

    buf_reset(out);
    row_read(&rr, data, &d->words);
    while (ok && row_next(&rr, &r)) {
        struct arena_mark mark = arena_mark(&h->arena);

        reduce_record(&r, HISTORY_ADDRESSES_HASH, h->settings.hash_key, &h->arena);
        ok = row_add(out, &r, &d->words, any ? &first : NULL);
        arena_rewind(&h->arena, &mark);
        first = any ? first : r.id;
        any = true;
    }
    return ok && any && !rr.r.failed;
}

static int set_reduced(struct day *d, int64_t seq)
{
    char sql[96];
    struct buf b;

    buf_init_fixed(&b, sql, sizeof(sql));
    buf_putf(&b, "INSERT OR REPLACE INTO state VALUES('reduced', %" PRId64 ")", seq);
    return sql_run(d->db, sql);
}

/* A row that cannot be read cannot be reduced, so it goes. */
static int reduce_step(struct history *h, struct day *d, int64_t from)
{
    int64_t to = from + STEP_ROWS < d->next_seq ? from + STEP_ROWS : d->next_seq;
    struct buf data, out;
    int err = day_begin(d);

    buf_init(&data, ROW_MAX);
    buf_init(&out, ROW_MAX);
    for (int64_t seq = from; seq < to && err == SQLITE_OK; seq++) {
        err = day_fetch(d, seq, &data);
        if (err == SQLITE_OK) {
            bool ok = reduce_row(h, d, buf_slice(&data), &out);

            err = day_replace(d, seq, ok ? buf_slice(&out) : SLICE_NONE);
        } else if (err == SQLITE_NOTFOUND) {
            err = SQLITE_OK;
        }
    }
    buf_fini(&data);
    buf_fini(&out);
    if (err == SQLITE_OK) {
        err = set_reduced(d, to);
    }
    return err == SQLITE_OK ? day_commit(d) : err;
}

/* ---- a day ---- */

static bool is_to_be_reduced(const struct history *h, int64_t no, int64_t now_ms)
{
    int64_t after_ms = h->settings.full_addresses_s * 1000;

    return h->settings.addresses == HISTORY_ADDRESSES_FULL && after_ms > 0 &&
           (no + 1) * DAY_MS + after_ms < now_ms;
}

static int seal(struct day *d)
{
    int err = day_begin(d);

    if (err == SQLITE_OK) {
        err = day_seal(d);
    }
    return err == SQLITE_OK ? day_commit(d) : err;
}

/* Gives pages back that nothing uses any more; *more: there were some. */
static int shrink(struct day *d, bool *more)
{
    char sql[64];
    struct buf b;
    int64_t pages;
    int err = sql_number(d->db, "PRAGMA freelist_count", &pages);

    if (err != SQLITE_OK || pages == 0) {
        return err;
    }
    *more = true;
    buf_init_fixed(&b, sql, sizeof(sql));
    buf_putf(&b, "PRAGMA incremental_vacuum(%d)", STEP_PAGES);
    return sql_run(d->db, sql);
}

/* One step for one day; *more: it is not done yet.  secure_delete overwrites what a row held before. */
static int tidy_day(struct history *h, int64_t no, int64_t now_ms, bool *more)
{
    struct day *d;
    int64_t reduced = 0;
    int err;

    *more = false;
    d = day_open(h->dir, no, SQL_CLOSE, &err);
    if (d == NULL) {
        return err;
    }
    if (d->open.rows > 0) {
        err = seal(d);
        *more = true;
    } else if (is_to_be_reduced(h, no, now_ms)) {
        err = sql_number(d->db, "PRAGMA secure_delete=ON", &reduced);
        if (err == SQLITE_OK) {
            err = sql_number(d->db, "SELECT value FROM state WHERE key='reduced'", &reduced);
        }
        reduced = reduced > 0 ? reduced : 1;
        *more = err == SQLITE_OK && reduced < d->next_seq;
        if (*more) {
            err = reduce_step(h, d, reduced);
        }
    }
    if (err == SQLITE_OK && !*more) {
        err = shrink(d, more);
    }
    day_close(&d);
    return err;
}

/* The first day from tidy_day on that is not today's; -1: none. */
static int64_t next_day(const struct history *h, int64_t today)
{
    int64_t *days, found = -1;
    size_t n = day_list(h->dir, &days);

    for (size_t i = 0; i < n && found < 0; i++) {
        if (days[i] >= h->tidy_day && days[i] != today) {
            found = days[i];
        }
    }
    free(days);
    return found;
}

bool history_tidy(struct history *h, int64_t now_ms)
{
    int64_t today = h->today != NULL ? h->today->no : now_ms / DAY_MS, no;
    bool more;
    int err;

    BUG_ON(!h->writer);
    if (retain(h, now_ms)) {
        return true;
    }
    if (store_monotonic_s() < h->tidy_again_s) {
        return false;
    }
    no = next_day(h, today);
    if (no < 0) {
        h->tidy_day = 0;
        h->tidy_again_s = store_monotonic_s() + PASS_S;
        return false;
    }
    err = tidy_day(h, no, now_ms, &more);
    if (sql_is_damage(err)) {
        store_set_aside(h, no, err, now_ms);
    }
    if (err != SQLITE_OK || !more) {
        h->tidy_day = no + 1; /* a day that cannot be written now is seen to in the next pass */
    }
    return true;
}
