/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.c - main.db.  Counters wait in a table by quarter hour and name; a flush writes them in one transaction.
 */
#include "history/ledger.h"
#include "core/table.h"
#include "history/sql.h"

#define PATH_MAX_LEN 4096

struct pending {
    struct pending *next;
    struct table_entry entry;
    int64_t time_ms, value;
    size_t len;
    char key[sizeof(int64_t) + LEDGER_NAME_MAX]; /* quarter, name */
};

struct ledger {
    char *path;
    sqlite3 *db;
    struct table table;
    struct pending *list;
};

static const char *const migrations[] = {
    "CREATE TABLE policies(hash TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, text TEXT NOT "
    "NULL);"
    "CREATE TABLE counters(time INTEGER, name TEXT, value INTEGER, PRIMARY KEY(time, name)) WITHOUT ROWID;"
    "CREATE TABLE audit(seq INTEGER PRIMARY KEY, time INTEGER, who TEXT, what TEXT);",
};
static const struct sql_schema schema = { migrations, ARRAY_LEN(migrations) };

struct ledger *ledger_open(const char *dir)
{
    struct ledger *l = xcalloc(1, sizeof(*l));
    struct buf path;

    buf_init(&path, PATH_MAX_LEN);
    buf_putf(&path, "%s/main.db", dir);
    l->path = xstrdup(buf_ok(&path) ? path.ptr : "main.db");
    buf_fini(&path);
    table_init(&l->table);
    return l;
}

static void forget_pending(struct ledger *l)
{
    while (l->list != NULL) {
        struct pending *p = l->list;

        l->list = p->next;
        table_remove(&l->table, &p->entry);
        free(p);
    }
}

void ledger_close(struct ledger **lp)
{
    struct ledger *l = *lp;

    if (l == NULL) {
        return;
    }
    *lp = NULL;
    (void)sqlite3_close_v2(l->db);
    forget_pending(l);
    table_fini(&l->table);
    free(l->path);
    free(l);
}

/* Twice: a damaged file is renamed, and then there is none. */
static int ensure_open(struct ledger *l)
{
    int err = SQLITE_OK;

    for (int i = 0; i < 2 && l->db == NULL; i++) {
        err = sql_open(l->path, SQL_WRITE, &schema, &l->db);
        if (sql_is_damage(err)) {
            sql_set_aside(l->path, (int64_t)time(NULL));
        }
    }
    return err;
}

/* A failure closes the file: it is opened again, or renamed, by the next call. */
static bool finish(struct ledger *l, int err)
{
    if (err == SQLITE_OK) {
        return true;
    }
    (void)sqlite3_close_v2(l->db);
    l->db = NULL;
    if (sql_is_damage(err)) {
        sql_set_aside(l->path, (int64_t)time(NULL));
    }
    return false;
}

/* ---- writing ---- */

void ledger_count(struct ledger *l, int64_t now_ms, struct slice name, int64_t value)
{
    int64_t time_ms = now_ms - now_ms % LEDGER_QUARTER_MS;
    struct pending *p;
    struct table_entry *found;
    char key[sizeof(p->key)];

    name = slice_take(name, LEDGER_NAME_MAX);
    memcpy(key, &time_ms, sizeof(time_ms));
    if (!slice_empty(name)) {
        memcpy(key + sizeof(time_ms), name.ptr, name.len);
    }
    found = table_find(&l->table, slice_of(key, sizeof(time_ms) + name.len));
    if (found != NULL) {
        container_of(found, struct pending, entry)->value += value;
        return;
    }
    if (l->table.len == LEDGER_PENDING_MAX) {
        return;
    }
    p = xcalloc(1, sizeof(*p));
    memcpy(p->key, key, sizeof(time_ms) + name.len);
    p->len = name.len;
    p->time_ms = time_ms;
    p->value = value;
    table_insert(&l->table, &p->entry, slice_of(p->key, sizeof(time_ms) + name.len));
    p->next = l->list;
    l->list = p;
}

static int bind_text(sqlite3_stmt *q, int at, struct slice text)
{
    return sqlite3_bind_text64(q, at, slice_empty(text) ? "" : text.ptr, text.len, SQLITE_STATIC,
                               SQLITE_UTF8);
}

static int write_pending(struct ledger *l)
{
    sqlite3_stmt *q = NULL;
    int err =
        sql_prepare(l->db,
                    "INSERT INTO counters VALUES(?,?,?) ON CONFLICT(time, name) DO UPDATE SET value = value +"
                    " excluded.value",
                    &q);

    for (struct pending *p = l->list; p != NULL && err == SQLITE_OK; p = p->next) {
        sqlite3_bind_int64(q, 1, p->time_ms);
        sqlite3_bind_int64(q, 3, p->value);
        err = bind_text(q, 2, slice_of(p->key + sizeof(p->time_ms), p->len));
        if (err == SQLITE_OK) {
            err = sql_step_once(q);
        }
    }
    sqlite3_finalize(q);
    return err;
}

/* A time that is a whole hour is already that of an hour, or its first quarter, which the others join. */
static int fold_hours(struct ledger *l, int64_t before_ms)
{
    char sql[512];
    struct buf b;

    buf_init_fixed(&b, sql, sizeof(sql));
    buf_putf(&b,
             "INSERT INTO counters SELECT time - time %% 3600000, name, sum(value) FROM counters WHERE time "
             "< %" PRId64
             " AND time %% 3600000 <> 0 GROUP BY 1, 2 ON CONFLICT(time, name) DO UPDATE SET value = value +"
             " excluded.value; DELETE FROM counters WHERE time < %" PRId64 " AND time %% 3600000 <> 0",
             before_ms, before_ms);
    return buf_ok(&b) ? sql_run(l->db, sql) : SQLITE_INTERNAL;
}

bool ledger_flush(struct ledger *l, int64_t now_ms)
{
    int64_t before_ms = now_ms - (int64_t)LEDGER_QUARTERS_S * 1000;
    int err = ensure_open(l);

    if (err == SQLITE_OK) {
        err = sql_run(l->db, "BEGIN IMMEDIATE");
    }
    if (err == SQLITE_OK) {
        err = write_pending(l);
    }
    if (err == SQLITE_OK) {
        err = fold_hours(l, before_ms - before_ms % 3600000);
    }
    if (err == SQLITE_OK) {
        err = sql_run(l->db, "COMMIT");
    }
    if (!finish(l, err)) {
        return false;
    }
    forget_pending(l);
    return true;
}

static int write_policy(struct ledger *l, int64_t now_ms, struct slice hash, struct slice text)
{
    sqlite3_stmt *q = NULL;
    int err = sql_prepare(l->db, "UPDATE policies SET until=?1 WHERE until=0 AND hash<>?2", &q);

    if (err == SQLITE_OK) {
        sqlite3_bind_int64(q, 1, now_ms);
        err = bind_text(q, 2, hash);
    }
    if (err == SQLITE_OK) {
        err = sql_step_once(q);
    }
    sqlite3_finalize(q);
    q = NULL;
    if (err == SQLITE_OK) {
        err = sql_prepare(l->db,
                          "INSERT INTO policies SELECT ?2, ?1, 0, ?3 WHERE NOT EXISTS"
                          " (SELECT 1 FROM policies WHERE until=0)",
                          &q);
    }
    if (err == SQLITE_OK) {
        sqlite3_bind_int64(q, 1, now_ms);
        err = bind_text(q, 2, hash);
    }
    if (err == SQLITE_OK) {
        err = bind_text(q, 3, text);
    }
    if (err == SQLITE_OK) {
        err = sql_step_once(q);
    }
    sqlite3_finalize(q);
    return err;
}

bool ledger_policy(struct ledger *l, int64_t now_ms, struct slice hash, struct slice text)
{
    int err = ensure_open(l);

    if (err == SQLITE_OK) {
        err = sql_run(l->db, "BEGIN IMMEDIATE");
    }
    if (err == SQLITE_OK) {
        err = write_policy(l, now_ms, hash, text);
    }
    if (err == SQLITE_OK) {
        err = sql_run(l->db, "COMMIT");
    }
    return finish(l, err);
}

bool ledger_audit(struct ledger *l, int64_t now_ms, struct slice who, struct slice what)
{
    sqlite3_stmt *q = NULL;
    int err = ensure_open(l);

    if (err == SQLITE_OK) {
        err = sql_prepare(l->db, "INSERT INTO audit(time, who, what) VALUES(?,?,?)", &q);
    }
    if (err == SQLITE_OK) {
        sqlite3_bind_int64(q, 1, now_ms);
        err = bind_text(q, 2, who);
    }
    if (err == SQLITE_OK) {
        err = bind_text(q, 3, what);
    }
    if (err == SQLITE_OK) {
        err = sql_step_once(q);
    }
    sqlite3_finalize(q);
    return finish(l, err);
}

/* ---- reading ---- */

/* The statement gives time, until, name, text, value; ?1 and ?2 are the span. */
static bool each(struct ledger *l, const char *sql, const struct ledger_span *span, ledger_cb cb, void *arg)
{
    sqlite3_stmt *q = NULL;
    int err = ensure_open(l);

    if (err == SQLITE_OK) {
        err = sql_prepare(l->db, sql, &q);
    }
    if (err == SQLITE_OK && span != NULL) {
        sqlite3_bind_int64(q, 1, span->since_ms);
        sqlite3_bind_int64(q, 2, span->until_ms);
    }
    while (err == SQLITE_OK || err == SQLITE_ROW) {
        err = sqlite3_step(q);
        if (err == SQLITE_ROW) {
            const struct ledger_row row = { .time_ms = sqlite3_column_int64(q, 0),
                                            .until_ms = sqlite3_column_int64(q, 1),
                                            .name = sql_octets(q, 2),
                                            .text = sql_octets(q, 3),
                                            .value = sqlite3_column_int64(q, 4) };

            cb(&row, arg);
        }
    }
    sqlite3_finalize(q);
    return finish(l, err == SQLITE_DONE ? SQLITE_OK : err);
}

bool ledger_each_policy(struct ledger *l, ledger_cb cb, void *arg)
{
    return each(l, "SELECT since, until, hash, text, 0 FROM policies ORDER BY since", NULL, cb, arg);
}

bool ledger_each_counter(struct ledger *l, const struct ledger_span *span, ledger_cb cb, void *arg)
{
    return each(
        l,
        "SELECT min(time), max(time), name, '', sum(value) FROM counters WHERE time >= ?1 AND time < ?2"
        " GROUP BY name ORDER BY name",
        span, cb, arg);
}

bool ledger_each_audit(struct ledger *l, const struct ledger_span *span, ledger_cb cb, void *arg)
{
    return each(l, "SELECT time, 0, who, what, seq FROM audit WHERE time >= ?1 AND time < ?2 ORDER BY seq",
                span, cb, arg);
}
