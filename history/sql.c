/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql.c - opens, migrates, sets aside.  A file has two companions of SQLite's: PATH-wal and PATH-shm.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "history/sql.h"

#define BUSY_MS 2000
#define PATH_MAX_LEN 4096

static const char *const companions[] = { "", "-wal", "-shm" };

int sql_run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
}

int sql_step_once(sqlite3_stmt *q)
{
    int err = sqlite3_step(q), again = sqlite3_reset(q);

    return err == SQLITE_ROW || err == SQLITE_DONE ? SQLITE_OK : again != SQLITE_OK ? again : err;
}

int sql_number(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *q = NULL;
    int err = sqlite3_prepare_v2(db, sql, -1, &q, NULL);

    *out = 0;
    if (err == SQLITE_OK) {
        err = sqlite3_step(q);
        if (err == SQLITE_ROW) {
            *out = sqlite3_column_int64(q, 0);
        }
        err = err == SQLITE_ROW || err == SQLITE_DONE ? SQLITE_OK : err;
    }
    sqlite3_finalize(q);
    return err;
}

struct slice sql_octets(sqlite3_stmt *q, int column)
{
    const void *octets = sqlite3_column_blob(q, column);
    int len = sqlite3_column_bytes(q, column);

    return octets == NULL || len <= 0 ? SLICE_NONE : slice_of(octets, (size_t)len);
}

int sql_bind_octets(sqlite3_stmt *q, int at, struct slice octets)
{
    return sqlite3_bind_blob64(q, at, slice_empty(octets) ? "" : octets.ptr, octets.len, SQLITE_STATIC);
}

bool sql_is_damage(int err)
{
    return (err & 0xff) == SQLITE_CORRUPT || (err & 0xff) == SQLITE_NOTADB;
}

static int migrate(sqlite3 *db, const struct sql_schema *schema)
{
    int64_t version;
    int err = sql_number(db, "PRAGMA user_version", &version);

    if (err != SQLITE_OK || version == schema->count) {
        return err;
    }
    if (version < 0 || version > schema->count) {
        return SQLITE_NOTADB;
    }
    err = sql_run(db, "BEGIN IMMEDIATE");
    for (int64_t i = version; i < schema->count && err == SQLITE_OK; i++) {
        err = sql_run(db, schema->migrations[i]);
    }
    if (err == SQLITE_OK) {
        char pragma[48];
        struct buf b;

        buf_init_fixed(&b, pragma, sizeof(pragma));
        buf_putf(&b, "PRAGMA user_version=%d; COMMIT", schema->count);
        err = sql_run(db, pragma);
    }
    if (err != SQLITE_OK) {
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return err;
}

/* SQLite gives the companions the mode of the file. */
static void make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd >= 0) {
        close(fd);
    }
}

static int prepare_file(sqlite3 *db, enum sql_mode mode, const struct sql_schema *schema)
{
    int64_t version;
    int err;

    sqlite3_busy_timeout(db, BUSY_MS);
    if (mode == SQL_WRITE) {
        err =
            sql_run(db, "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL");
        return err == SQLITE_OK ? migrate(db, schema) : err;
    }
    if (mode == SQL_CLOSE) { /* while a reader has it open, it keeps its WAL: the next pass sees to it */
        err = sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
        return err == SQLITE_OK || (err & 0xff) == SQLITE_BUSY || (err & 0xff) == SQLITE_LOCKED
                   ? migrate(db, schema)
                   : err;
    }
    err = sql_run(db, "PRAGMA query_only=1; PRAGMA cache_size=-256");
    if (err == SQLITE_OK) {
        err = sql_number(db, "PRAGMA user_version", &version);
    }
    return err == SQLITE_OK && version != schema->count ? SQLITE_NOTADB : err;
}

/* A reader opens for writing too, because a WAL that nobody has open cannot be read otherwise. */
int sql_open(const char *path, enum sql_mode mode, const struct sql_schema *schema, sqlite3 **db)
{
    int err;

    if (mode == SQL_WRITE) {
        make_private(path);
    }
    *db = NULL;
    err = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (err == SQLITE_OK) {
        err = prepare_file(*db, mode, schema);
    }
    if (err != SQLITE_OK) {
        (void)sqlite3_close_v2(*db);
        *db = NULL;
    }
    return err;
}

void sql_set_aside(const char *path, int64_t now_s)
{
    for (size_t i = 0; i < ARRAY_LEN(companions); i++) {
        struct buf from, to;

        buf_init(&from, PATH_MAX_LEN);
        buf_init(&to, PATH_MAX_LEN);
        buf_putf(&from, "%s%s", path, companions[i]);
        buf_putf(&to, "%s.broken-%" PRId64 "%s", path, now_s, companions[i]);
        if (buf_ok(&from) && (!buf_ok(&to) || rename(from.ptr, to.ptr) != 0) && errno != ENOENT) {
            (void)unlink(from.ptr);
        }
        buf_fini(&from);
        buf_fini(&to);
    }
}

void sql_remove(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(companions); i++) {
        struct buf b;

        buf_init(&b, PATH_MAX_LEN);
        buf_putf(&b, "%s%s", path, companions[i]);
        if (buf_ok(&b)) {
            (void)unlink(b.ptr);
        }
        buf_fini(&b);
    }
}

uint64_t sql_size(const char *path)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < ARRAY_LEN(companions); i++) {
        struct stat st;
        struct buf b;

        buf_init(&b, PATH_MAX_LEN);
        buf_putf(&b, "%s%s", path, companions[i]);
        if (buf_ok(&b) && stat(b.ptr, &st) == 0) {
            sum += (uint64_t)st.st_blocks * 512;
        }
        buf_fini(&b);
    }
    return sum;
}
