/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - the writer: from staged records to rows of a day, in one transaction a batch.
 *
 * A batch is decoded, checked against the last numbers, reduced, packed and written.  After any failure the day is
 * closed and everything in memory goes back to the last commit: sources are taken back, folds are forgotten, the day's
 * index is read again from its file.  So there is one way back, and it is also the way of a restart.
 */
#include <errno.h>

#include "history/store_priv.h"

enum {
    STAGED_RECORD = 0,
    STAGED_END = 1,
    STAGED_HEAD = 1 + 4 + 8 + 4, /* kind, slot, start, length */
    CLOCK_AHEAD_MS = 60000,
};
#define CLOCK_BEHIND_MS (2 * DAY_MS) /* a batch may have waited for a disk */
#define QUARTER_MS ((int64_t)900000)
#define REDUCE_ARENA_MAX (256u * 1024)

uint64_t store_monotonic_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec + 1; /* never 0 */
}

void store_say(struct history *h, enum log_level level, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    size_t used = h->has_message ? strnlen(h->message, sizeof(h->message) - 1) : 0;

    buf_init_fixed(&b, h->message + used, sizeof(h->message) - used);
    buf_put_str(&b, used > 0 ? "; " : "");
    va_start(ap, fmt);
    buf_vputf(&b, fmt, ap);
    va_end(ap);
    h->level = h->has_message && h->level < level ? h->level : level;
    h->has_message = true;
}

void store_set_aside(struct history *h, int64_t day, int err, int64_t now_ms)
{
    struct buf path;

    buf_init(&path, DAY_PATH_MAX);
    day_path(&path, h->dir, day);
    if (buf_ok(&path)) {
        sql_set_aside(path.ptr, now_ms / 1000);
        store_say(h, LOG_LEVEL_ERROR, "history: renamed the damaged file %s to *.broken-%" PRId64 " (%s)",
                  path.ptr, now_ms / 1000, sqlite3_errstr(err));
    }
    buf_fini(&path);
    h->stats.set_aside++;
}

/* ---- the handle ---- */

static struct history *open_handle(const struct history_settings *settings, bool writer)
{
    struct history *h = xcalloc(1, sizeof(*h));

    h->settings = *settings;
    h->dir = xstrdup(settings->dir);
    h->hash_key = slice_dup(settings->hash_key);
    h->settings.dir = h->dir;
    h->settings.hash_key = slice_of(h->hash_key, settings->hash_key.len);
    h->writer = writer;
    lookup_key_init(&h->key, h->settings.hash_key);
    sources_init(&h->sources);
    folds_init(&h->folds);
    buf_init(&h->staged, HISTORY_BATCH_MAX);
    buf_init(&h->row, ROW_MAX);
    arena_init(&h->arena, REDUCE_ARENA_MAX);
    return h;
}

struct history *history_open_write(const struct history_settings *settings)
{
    return open_handle(settings, true);
}

struct history *history_open_read(const struct history_settings *settings)
{
    return open_handle(settings, false);
}

void history_close(struct history **hp)
{
    struct history *h = *hp;

    if (h == NULL) {
        return;
    }
    *hp = NULL;
    day_close(&h->today);
    for (size_t i = 0; i < STORE_CACHED; i++) {
        day_close(&h->cached[i]);
    }
    sources_fini(&h->sources);
    folds_fini(&h->folds);
    buf_fini(&h->staged);
    buf_fini(&h->row);
    arena_fini(&h->arena);
    free(h->dir);
    free(h->hash_key);
    free(h);
}

void history_stats(const struct history *h, struct history_stats *out)
{
    *out = h->stats;
}

bool history_message(struct history *h, enum log_level *level, struct buf *out)
{
    if (!h->has_message) {
        return false;
    }
    *level = h->level;
    buf_put_str(out, h->message);
    h->has_message = false;
    return true;
}

/* ---- staging ---- */

static bool stage(struct history *h, unsigned kind, const struct history_source *source, struct slice data)
{
    uint32_t slot = source->slot, len = (uint32_t)data.len;

    BUG_ON(!h->writer);
    if (HISTORY_BATCH_MAX - h->staged.len < STAGED_HEAD + data.len + 1) {
        return false;
    }
    buf_put_char(&h->staged, (char)kind);
    buf_put(&h->staged, &slot, sizeof(slot));
    buf_put(&h->staged, &source->start, sizeof(source->start));
    buf_put(&h->staged, &len, sizeof(len));
    buf_put_slice(&h->staged, data);
    return true;
}

bool history_add(struct history *h, const struct history_source *source, struct slice record)
{
    return stage(h, STAGED_RECORD, source, slice_take(record, RECORD_MAX + 1)); /* too long: not a record */
}

bool history_end(struct history *h, const struct history_source *source, uint64_t last)
{
    return stage(h, STAGED_END, source, slice_of(&last, sizeof(last)));
}

/* ---- the day ---- */

/*
 * The last numbers of every process that may still send, from all days: a clock may have jumped between them.  A day that
 * cannot be read does not stop the others; what it alone knew is counted as lost.
 */
static void load_sources(struct history *h)
{
    int64_t *days;
    size_t n = day_list(h->dir, &days);

    for (size_t i = 0; i < n; i++) {
        int err;
        struct day *d = day_open(h->dir, days[i], SQL_READ, &err);

        if (d != NULL) {
            err = sources_load(&h->sources, d->db);
            day_close(&d);
        }
        if (err != SQLITE_OK) {
            store_say(h, LOG_LEVEL_WARN, "history: a day of %s cannot be read (%s)", h->dir,
                      sqlite3_errstr(err));
        }
    }
    free(days);
    h->sources_loaded = true;
}

static int seal_today(struct history *h)
{
    int err = day_begin(h->today);

    if (err == SQLITE_OK) {
        err = day_seal(h->today);
    }
    return err == SQLITE_OK ? day_commit(h->today) : err;
}

/* The day of the clock is open.  A day that is over is sealed; if that fails, tidy.c does it later. */
static int open_today(struct history *h, int64_t now_ms)
{
    int64_t no = now_ms / DAY_MS;
    int err = SQLITE_OK;

    if (h->today != NULL && day_is_gone(h->today, h->dir)) {
        store_say(h, LOG_LEVEL_WARN, "history: today's file was removed; it is begun anew");
        day_close(&h->today);
    }
    if (h->today != NULL && h->today->no == no) {
        return SQLITE_OK;
    }
    if (!h->sources_loaded) {
        load_sources(h);
    }
    if (h->today != NULL) {
        (void)seal_today(h);
        day_close(&h->today);
        h->tidy_again_s = 0;
    }
    folds_detach(&h->folds);
    h->today = day_open(h->dir, no, SQL_WRITE, &err);
    h->today_opened++;
    if (h->today != NULL) {
        sources_touch(&h->sources);
    }
    if (sql_is_damage(err)) {
        day_close(&h->today);
        store_set_aside(h, no, err, now_ms);
        h->today = day_open(h->dir, no, SQL_WRITE, &err);
        h->today_opened++;
        sources_touch(&h->sources);
    }
    return err;
}

/* ---- a batch ---- */

static int put_row(struct history *h, struct slice row, int64_t time_ms, int64_t *seq)
{
    const struct day_put put = { row, time_ms, &h->set };
    bool sealed = false;
    int err = day_put(h->today, &put, seq, &sealed);

    if (sealed) {
        folds_detach(&h->folds);
    }
    h->batch_rows++;
    return err;
}

static int flush_row(struct history *h)
{
    int64_t seq;

    if (!h->row_begun) {
        return SQLITE_OK;
    }
    h->row_begun = false;
    return put_row(h, buf_slice(&h->row), h->row_head.time_ms, &seq);
}

/* Packs the record into the row that is being put together, after reducing it. */
static bool pack(struct history *h, struct record *r, const struct record_id *first)
{
    struct arena_mark mark = arena_mark(&h->arena);
    bool ok;

    reduce_record(r, h->settings.addresses, h->settings.hash_key, &h->arena);
    ok = row_add(&h->row, r, &h->today->words, first);
    if (ok) {
        lookup_add_record(&h->set, &h->key, r);
    }
    arena_rewind(&h->arena, &mark);
    return ok;
}

static int begin_row(struct history *h, unsigned slot, struct record *r)
{
    int err = flush_row(h);

    buf_reset(&h->row);
    h->set.len = 0;
    memcpy(&h->row_head, r, offsetof(struct record, text));
    h->row_slot = slot;
    h->row_begun = pack(h, r, NULL);
    return err;
}

static int take_recipient(struct history *h, unsigned slot, struct record *r)
{
    bool same = h->row_begun && h->row_slot == slot && record_id_same(&h->row_head.id, &r->id);

    if (h->skip_recipients && record_id_same(&h->skipped, &r->id)) {
        h->batch_folded++;
        return SQLITE_OK;
    }
    if (same && h->row.len < ROW_NEW_MAX && pack(h, r, &h->row_head.id)) {
        return SQLITE_OK;
    }
    return begin_row(h, slot, r);
}

static int take_message(struct history *h, unsigned slot, struct record *r)
{
    h->skip_recipients = r->kind == RECORD_EARLY || !folds_admit(&h->folds, &r->client, r->time_ms);
    if (!h->skip_recipients) {
        return begin_row(h, slot, r);
    }
    h->skipped = r->id;
    h->batch_folded++;
    (void)folds_add(&h->folds, r);
    return SQLITE_OK;
}

static int take_record(struct history *h, const struct history_source *source, struct slice data,
                       int64_t now_ms)
{
    struct record r;

    if (!record_decode(data, NULL, NULL, &r) || r.start != source->start || r.number == 0) {
        h->batch_malformed++;
        return SQLITE_OK; /* its number was not seen, so it also counts as lost */
    }
    if (!sources_take(&h->sources, source->slot, r.start, r.number, &h->batch_lost)) {
        h->batch_repeats++;
        return SQLITE_OK;
    }
    if (r.time_ms > now_ms + CLOCK_AHEAD_MS || r.time_ms < now_ms - CLOCK_BEHIND_MS) {
        r.time_ms = now_ms;
    }
    h->batch_records++;
    return r.kind == RECORD_RECIPIENT ? take_recipient(h, source->slot, &r)
                                      : take_message(h, source->slot, &r);
}

/* What stage() wrote is whole. */
static void take_octets(struct reader *in, void *out, size_t len)
{
    struct slice s = reader_take(in, len);

    BUG_ON(s.ptr == NULL);
    memcpy(out, s.ptr, len);
}

static int take_staged(struct history *h, int64_t now_ms)
{
    struct reader in = reader_of(h->staged.ptr, h->staged.len);
    int err = SQLITE_OK;

    while (in.len > 0 && err == SQLITE_OK) {
        uint8_t kind = reader_u8(&in);
        struct history_source source;
        uint32_t slot, len;
        uint64_t last;

        take_octets(&in, &slot, sizeof(slot));
        take_octets(&in, &source.start, sizeof(source.start));
        take_octets(&in, &len, sizeof(len));
        source.slot = slot;
        if (kind == STAGED_RECORD) {
            err = take_record(h, &source, reader_take(&in, len), now_ms);
        } else {
            take_octets(&in, &last, sizeof(last));
            h->batch_lost += sources_end(&h->sources, slot, source.start, last);
        }
    }
    return err == SQLITE_OK ? flush_row(h) : err;
}

static int write_fold(struct history *h, struct fold *fold)
{
    char mem[FOLDS_IDS * (RECORD_ID_TEXT_MAX + 12)];
    struct record r;
    struct buf ids;
    int64_t seq = fold->seq;
    int err;

    r.item_count = 0;
    buf_init_fixed(&ids, mem, sizeof(mem));
    fold_to_record(fold, &ids, &r);
    buf_reset(&h->row);
    h->set.len = 0;
    if (!pack(h, &r, NULL)) {
        return SQLITE_INTERNAL;
    }
    fold->changed = false;
    fold->written = fold->count;
    if (seq != 0) {
        const struct day_put put = { buf_slice(&h->row), r.time_ms, &h->set };

        return day_put_again(h->today, &put, seq);
    }
    err = put_row(h, buf_slice(&h->row), r.time_ms, &seq);
    if (err == SQLITE_OK && seq >= h->today->open.first) { /* else that row filled the segment */
        fold->seq = seq;
    }
    return err;
}

static int write_folds(struct history *h)
{
    int err = SQLITE_OK;

    for (struct fold *fold = h->folds.list; fold != NULL && err == SQLITE_OK; fold = fold->next) {
        if (fold->changed) {
            err = write_fold(h, fold);
        }
    }
    return err;
}

static int write_batch(struct history *h, int64_t now_ms)
{
    int err = open_today(h, now_ms);

    if (err == SQLITE_OK) {
        err = day_begin(h->today);
    }
    if (err == SQLITE_OK) {
        err = take_staged(h, now_ms);
    }
    if (err == SQLITE_OK) {
        err = write_folds(h);
    }
    if (err == SQLITE_OK) {
        err = sources_save(&h->sources, h->today->db);
    }
    if (err == SQLITE_OK && h->batch_lost > 0) {
        err = day_add_losses(h->today, now_ms / QUARTER_MS, h->batch_lost);
    }
    return err == SQLITE_OK ? day_commit(h->today) : err;
}

/* Closing the day rolls the transaction back. */
static void fail(struct history *h, int err, int64_t now_ms)
{
    day_close(&h->today);
    sources_rollback(&h->sources);
    folds_clear(&h->folds);
    h->stats.failures++;
    h->retry_at_s = store_monotonic_s() + HISTORY_RETRY_S;
    if (sql_is_damage(err)) {
        store_set_aside(h, now_ms / DAY_MS, err, now_ms);
        h->retry_at_s = 0;
    }
    if (!h->stats.stopped || err != h->last_err) {
        store_say(h, LOG_LEVEL_ERROR,
                  "history: %s cannot be written (%s); records wait in the rings and are lost when"
                  " these are full; next try in %d s",
                  h->dir, sqlite3_errstr(err), h->retry_at_s == 0 ? 0 : HISTORY_RETRY_S);
    }
    h->stats.stopped = true;
    h->last_err = err;
}

static void succeed(struct history *h)
{
    sources_commit(&h->sources);
    h->stats.records += h->batch_records;
    h->stats.rows += h->batch_rows;
    h->stats.folded += h->batch_folded;
    h->stats.repeats += h->batch_repeats;
    h->stats.malformed += h->batch_malformed;
    h->stats.lost += h->batch_lost;
    if (h->stats.stopped) {
        store_say(h, LOG_LEVEL_INFO, "history: %s is written again", h->dir);
    }
    h->stats.stopped = false;
    h->last_err = SQLITE_OK;
}

bool history_commit(struct history *h, int64_t now_ms)
{
    bool waiting = h->stats.stopped && store_monotonic_s() < h->retry_at_s;
    int err = SQLITE_OK;

    if (h->staged.len == 0) {
        return true;
    }
    h->batch_lost = h->batch_records = h->batch_rows = 0;
    h->batch_folded = h->batch_repeats = h->batch_malformed = 0;
    h->row_begun = h->skip_recipients = false;
    if (!waiting) {
        folds_expire(&h->folds, now_ms / 60000 - 1);
        err = write_batch(h, now_ms);
        if (err == SQLITE_OK) {
            succeed(h);
        } else {
            fail(h, err, now_ms);
        }
    }
    buf_reset(&h->staged);
    return !waiting && err == SQLITE_OK;
}
