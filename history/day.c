/* SPDX-License-Identifier: Apache-2.0 */
/*
 * day.c - the file of a day: its schema, and the statements on it.
 */
#include <dirent.h>

#include "history/day.h"

enum { RECENT_LEN = 12 /* octets of an entry of `recent`: hash, offset of the row */ };

static const char *const migrations[] = {
    "CREATE TABLE rows(seq INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE segments(no INTEGER PRIMARY KEY, first INTEGER, rows INTEGER, bits INTEGER, from_ms "
    "INTEGER,"
    " to_ms INTEGER);"
    "CREATE TABLE look(key INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE recent(id INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE words(id INTEGER PRIMARY KEY, text BLOB NOT NULL);"
    "CREATE TABLE sources(slot INTEGER, start INTEGER, last INTEGER, PRIMARY KEY(slot, start)) WITHOUT ROWID;"
    "CREATE TABLE losses(quarter INTEGER PRIMARY KEY, count INTEGER);"
    "CREATE TABLE state(key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;",
};
static const struct sql_schema schema = { migrations, ARRAY_LEN(migrations) };

/* ---- names of files ---- */

void day_path(struct buf *out, const char *dir, int64_t no)
{
    time_t t = (time_t)(no * (DAY_MS / 1000));
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL) {
        memset(&tm, 0, sizeof(tm));
    }
    buf_putf(out, "%s/%04d-%02d-%02d.db", dir, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

/* The day of "YYYY-MM-DD.db"; -1 for any other name. */
static int64_t day_of_name(const char *name)
{
    static const char shape[] = "####-##-##.db";
    struct tm tm = { 0 };
    uint64_t year, month, day;

    if (strlen(name) != sizeof(shape) - 1) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        if (shape[i] == '#' ? !ascii_is_digit(name[i]) : name[i] != shape[i]) {
            return -1;
        }
    }
    if (!slice_to_u64(slice_of(name, 4), 9999, &year) || !slice_to_u64(slice_of(name + 5, 2), 12, &month) ||
        !slice_to_u64(slice_of(name + 8, 2), 31, &day) || year < 1970 || month < 1 || day < 1) {
        return -1;
    }
    tm.tm_year = (int)year - 1900;
    tm.tm_mon = (int)month - 1;
    tm.tm_mday = (int)day;
    return (int64_t)timegm(&tm) / (DAY_MS / 1000);
}

static int compare_days(const void *a, const void *b)
{
    int64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

size_t day_list(const char *dir, int64_t **out)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    size_t n = 0, cap = 0;

    *out = NULL;
    while (d != NULL && (e = readdir(d)) != NULL) {
        int64_t no = day_of_name(e->d_name);

        if (no < 0) {
            continue;
        }
        if (n == cap) {
            cap = max_size(32, cap * 2);
            *out = xrealloc(*out, cap * sizeof(**out));
        }
        (*out)[n++] = no;
    }
    if (d != NULL) {
        closedir(d);
    }
    if (n > 1) {
        qsort(*out, n, sizeof(**out), compare_days);
    }
    return n;
}

/* ---- opening ---- */

/* Numbers are given without gaps, so a gap is damage. */
static int load_words(struct day *d)
{
    sqlite3_stmt *q = NULL;
    int err = sql_prepare(d->db, "SELECT id, text FROM words ORDER BY id", &q);

    while (err == SQLITE_OK || err == SQLITE_ROW) {
        err = sqlite3_step(q);
        if (err == SQLITE_ROW && (sqlite3_column_int64(q, 0) != (int64_t)d->words.len ||
                                  words_number(&d->words, sql_octets(q, 1)) != (int)d->words.len - 1)) {
            err = SQLITE_CORRUPT;
        }
    }
    sqlite3_finalize(q);
    d->words_written = d->words.len;
    return err == SQLITE_DONE ? SQLITE_OK : err;
}

/* Where the open segment begins, and where the rows end. */
static int load_ends(struct day *d)
{
    int64_t no, first, last;
    int err = sql_number(d->db, "SELECT max(no) + 1 FROM segments", &no);

    if (err == SQLITE_OK) {
        err = sql_number(d->db, "SELECT max(first + rows) FROM segments", &first);
    }
    if (err == SQLITE_OK) {
        err = sql_number(d->db, "SELECT max(seq) FROM rows", &last);
    }
    if (err != SQLITE_OK) {
        return err;
    }
    first = first > 0 ? first : 1;
    segment_begin(&d->open, no, first);
    d->next_seq = last + 1 > first ? last + 1 : first;
    if (d->next_seq - first > SEGMENT_ROWS || no < 0) {
        return SQLITE_CORRUPT;
    }
    d->open.rows = (uint32_t)(d->next_seq - first);
    return SQLITE_OK;
}

static void take_recent(struct day *d, struct slice data)
{
    struct reader r = reader_of(data.ptr, data.len);
    struct lookup_set set;

    while (r.len >= RECENT_LEN) {
        uint64_t hash = (uint64_t)reader_u32(&r) << 32;
        uint32_t row;

        set.hash[0] = hash | reader_u32(&r);
        set.len = 1;
        row = reader_u32(&r);
        if (row < d->open.rows) {
            segment_add(&d->open, row, &set);
        }
    }
}

/* What the rows of the open segment can be found by. */
static int load_recent(struct day *d)
{
    sqlite3_stmt *q = NULL;
    int err = sql_prepare(d->db, "SELECT data FROM recent", &q);

    while (err == SQLITE_OK || err == SQLITE_ROW) {
        err = sqlite3_step(q);
        if (err == SQLITE_ROW) {
            take_recent(d, sql_octets(q, 0));
        }
    }
    sqlite3_finalize(q);
    d->recent_written = d->open.len;
    return err == SQLITE_DONE ? SQLITE_OK : err;
}

/* The time span of the open segment, of which a sealed one tells. */
static int load_span(struct day *d)
{
    int64_t from, to;
    int err = sql_number(d->db, "SELECT value FROM state WHERE key='from_ms'", &from);

    if (err == SQLITE_OK) {
        err = sql_number(d->db, "SELECT value FROM state WHERE key='to_ms'", &to);
    }
    if (err == SQLITE_OK && d->open.rows > 0) {
        segment_span(&d->open, from);
        segment_span(&d->open, to);
    }
    return err;
}

static int prepare_statements(struct day *d)
{
    const struct {
        sqlite3_stmt **q;
        const char *sql;
    } all[] = {
        { &d->insert, "INSERT INTO rows VALUES(?,?)" },
        { &d->update, "UPDATE rows SET data=?2 WHERE seq=?1" },
        { &d->look, SEGMENT_LOOK_SQL },
        { &d->fetch, "SELECT data FROM rows WHERE seq=?" },
        { &d->before, "SELECT no, first, rows, bits, from_ms, to_ms FROM segments WHERE no < ?"
                      " ORDER BY no DESC LIMIT 1" },
        { &d->data_version, "PRAGMA data_version" },
    };
    int err = SQLITE_OK;

    for (size_t i = 0; i < ARRAY_LEN(all) && err == SQLITE_OK; i++) {
        err = sql_prepare(d->db, all[i].sql, all[i].q);
    }
    return err;
}

static int read_version(struct day *d, int64_t *out)
{
    int err = sqlite3_step(d->data_version);

    *out = err == SQLITE_ROW ? sqlite3_column_int64(d->data_version, 0) : 0;
    (void)sqlite3_reset(d->data_version);
    return err == SQLITE_ROW ? SQLITE_OK : err;
}

struct day *day_open(const char *dir, int64_t no, enum sql_mode mode, int *err)
{
    struct day *d = xcalloc(1, sizeof(*d));
    struct buf path;

    d->no = no;
    words_init(&d->words);
    buf_init(&path, DAY_PATH_MAX);
    day_path(&path, dir, no);
    *err = buf_ok(&path) ? sql_open(path.ptr, mode, &schema, &d->db) : SQLITE_CANTOPEN;
    if (*err == SQLITE_OK && stat(path.ptr, &d->file) != 0) {
        *err = SQLITE_CANTOPEN;
    }
    buf_fini(&path);
    if (*err == SQLITE_OK) {
        *err = load_words(d);
    }
    if (*err == SQLITE_OK) {
        *err = load_ends(d);
    }
    if (*err == SQLITE_OK) {
        *err = load_recent(d);
    }
    if (*err == SQLITE_OK) {
        *err = load_span(d);
    }
    if (*err == SQLITE_OK) {
        *err = prepare_statements(d);
    }
    if (*err == SQLITE_OK) {
        *err = read_version(d, &d->version);
    }
    if (*err != SQLITE_OK) {
        day_close(&d);
    }
    return d;
}

void day_close(struct day **dp)
{
    struct day *d = *dp;

    if (d == NULL) {
        return;
    }
    *dp = NULL;
    sqlite3_finalize(d->insert);
    sqlite3_finalize(d->update);
    sqlite3_finalize(d->look);
    sqlite3_finalize(d->fetch);
    sqlite3_finalize(d->before);
    sqlite3_finalize(d->data_version);
    (void)sqlite3_close_v2(d->db);
    segment_fini(&d->open);
    words_fini(&d->words);
    free(d);
}

bool day_has_changed(struct day *d)
{
    int64_t version;

    return read_version(d, &version) != SQLITE_OK || version != d->version;
}

bool day_is_gone(const struct day *d, const char *dir)
{
    struct stat now;
    struct buf path;
    bool gone;

    buf_init(&path, DAY_PATH_MAX);
    day_path(&path, dir, d->no);
    gone = !buf_ok(&path) || stat(path.ptr, &now) != 0 || now.st_dev != d->file.st_dev ||
           now.st_ino != d->file.st_ino;
    buf_fini(&path);
    return gone;
}

/* ---- writing ---- */

int day_begin(struct day *d)
{
    return sql_run(d->db, "BEGIN IMMEDIATE");
}

static int write_words(struct day *d)
{
    sqlite3_stmt *q = NULL;
    int err;

    if (d->words_written == d->words.len) {
        return SQLITE_OK;
    }
    err = sql_prepare(d->db, "INSERT INTO words VALUES(?,?)", &q);
    for (size_t i = d->words_written; i < d->words.len && err == SQLITE_OK; i++) {
        struct slice text = SLICE_NONE;

        sqlite3_bind_int64(q, 1, (int64_t)i);
        err = words_at(&d->words, i, &text) ? sql_bind_octets(q, 2, text) : SQLITE_INTERNAL;
        if (err == SQLITE_OK) {
            err = sql_step_once(q);
        }
    }
    sqlite3_finalize(q);
    return err;
}

/* What this batch adds to the open segment, for readers and for a restart. */
static int write_recent(struct day *d)
{
    sqlite3_stmt *q = NULL;
    struct buf b;
    int err;

    if (d->recent_written >= d->open.len) {
        return SQLITE_OK;
    }
    buf_init(&b, (d->open.len - d->recent_written) * RECENT_LEN + 1);
    for (size_t i = d->recent_written; i < d->open.len; i++) {
        uint64_t hash = d->open.entries[i].hash;
        uint32_t row = d->open.entries[i].row;

        for (int shift = 56; shift >= 0; shift -= 8) {
            buf_put_char(&b, (char)(hash >> shift));
        }
        for (int shift = 24; shift >= 0; shift -= 8) {
            buf_put_char(&b, (char)(row >> shift));
        }
    }
    err = sql_prepare(d->db, "INSERT INTO recent(data) VALUES(?)", &q);
    if (err == SQLITE_OK) {
        err = sql_bind_octets(q, 1, buf_slice(&b));
    }
    if (err == SQLITE_OK) {
        err = sql_step_once(q);
    }
    sqlite3_finalize(q);
    buf_fini(&b);
    return err;
}

static int write_span(struct day *d)
{
    char sql[160];
    struct buf b;

    buf_init_fixed(&b, sql, sizeof(sql));
    buf_putf(&b, "INSERT OR REPLACE INTO state VALUES('from_ms', %" PRId64 "), ('to_ms', %" PRId64 ")",
             d->open.from_ms, d->open.to_ms);
    return d->open.rows > 0 ? sql_run(d->db, sql) : SQLITE_OK;
}

int day_commit(struct day *d)
{
    int err = write_words(d);

    if (err == SQLITE_OK) {
        err = write_recent(d);
    }
    if (err == SQLITE_OK) {
        err = write_span(d);
    }
    if (err == SQLITE_OK) {
        err = sql_run(d->db, "COMMIT");
    }
    if (err == SQLITE_OK) {
        d->recent_written = d->open.len;
        d->words_written = d->words.len;
    }
    return err;
}

static int write_row(sqlite3_stmt *q, int64_t seq, struct slice row)
{
    int err;

    sqlite3_bind_int64(q, 1, seq);
    err = sql_bind_octets(q, 2, row);
    return err == SQLITE_OK ? sql_step_once(q) : err;
}

int day_seal(struct day *d)
{
    int err;

    if (d->open.rows == 0) {
        return SQLITE_OK;
    }
    err = segment_seal(&d->open, d->db);
    if (err == SQLITE_OK) {
        err = sql_run(d->db, "DELETE FROM recent");
    }
    if (err == SQLITE_OK) {
        d->recent_written = 0;
        segment_begin(&d->open, d->open.no + 1, d->next_seq);
    }
    return err;
}

int day_put(struct day *d, const struct day_put *put, int64_t *seq, bool *sealed)
{
    int err = write_row(d->insert, d->next_seq, put->row);

    if (err != SQLITE_OK) {
        return err;
    }
    *seq = d->next_seq++;
    segment_add(&d->open, d->open.rows++, put->set);
    segment_span(&d->open, put->time_ms);
    if (d->open.rows < SEGMENT_ROWS) {
        return SQLITE_OK;
    }
    *sealed = true;
    return day_seal(d);
}

int day_put_again(struct day *d, const struct day_put *put, int64_t seq)
{
    BUG_ON(seq < d->open.first || seq >= d->next_seq);
    segment_add(&d->open, (uint32_t)(seq - d->open.first), put->set);
    return day_replace(d, seq, put->row);
}

int day_replace(struct day *d, int64_t seq, struct slice row)
{
    return write_row(d->update, seq, row);
}

int day_add_losses(struct day *d, int64_t quarter, uint64_t count)
{
    sqlite3_stmt *q = NULL;
    int err = sql_prepare(d->db,
                          "INSERT INTO losses VALUES(?,?) ON CONFLICT(quarter) DO UPDATE SET count = count +"
                          " excluded.count",
                          &q);

    if (err == SQLITE_OK) {
        sqlite3_bind_int64(q, 1, quarter);
        sqlite3_bind_int64(q, 2, (int64_t)count);
        err = sql_step_once(q);
    }
    sqlite3_finalize(q);
    return err;
}

/* ---- reading ---- */

int day_losses(struct day *d, int64_t from_quarter, int64_t to_quarter, uint64_t *sum)
{
    char sql[160];
    struct buf b;
    int64_t n;
    int err;

    buf_init_fixed(&b, sql, sizeof(sql));
    buf_putf(&b, "SELECT sum(count) FROM losses WHERE quarter BETWEEN %" PRId64 " AND %" PRId64, from_quarter,
             to_quarter);
    err = sql_number(d->db, sql, &n);
    *sum += err == SQLITE_OK && n > 0 ? (uint64_t)n : 0;
    return err;
}

int day_segment_before(struct day *d, int64_t no, struct segment *out)
{
    sqlite3_stmt *q = d->before;
    int err;

    memset(out, 0, sizeof(*out));
    sqlite3_bind_int64(q, 1, no);
    err = sqlite3_step(q);
    if (err == SQLITE_ROW) {
        out->no = sqlite3_column_int64(q, 0);
        out->first = sqlite3_column_int64(q, 1);
        out->rows = (uint32_t)min_u64((uint64_t)sqlite3_column_int64(q, 2), SEGMENT_ROWS);
        out->bits = sqlite3_column_int(q, 3) & 31;
        out->from_ms = sqlite3_column_int64(q, 4);
        out->to_ms = sqlite3_column_int64(q, 5);
    }
    (void)sqlite3_reset(q);
    return err == SQLITE_ROW ? SQLITE_OK : err == SQLITE_DONE ? SQLITE_NOTFOUND : err;
}

int day_fetch(struct day *d, int64_t seq, struct buf *out)
{
    int err;

    buf_reset(out);
    sqlite3_bind_int64(d->fetch, 1, seq);
    err = sqlite3_step(d->fetch);
    if (err == SQLITE_ROW) {
        buf_put_slice(out, sql_octets(d->fetch, 0));
    }
    (void)sqlite3_reset(d->fetch);
    return err == SQLITE_ROW ? SQLITE_OK : err == SQLITE_DONE ? SQLITE_NOTFOUND : err;
}
