/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql.h - the few calls to SQLite that the files of this room share.
 *
 * Results are SQLite's result codes.  SQLITE_FULL, SQLITE_IOERR and their kind mean "not now": the file is kept and the
 * work is done again later.  Damage (sql_is_damage) means that this file is lost: sql_set_aside() renames it.
 */
#ifndef HISTORY_SQL_H
#define HISTORY_SQL_H

#include <sqlite3.h>

#include "core/buf.h"

enum sql_mode {
    SQL_READ = 0,
    SQL_WRITE, /* with a WAL: readers and the writer do not wait for each other */
    SQL_CLOSE, /* for a file that nothing is added to any more: without a WAL, a reader opens it in a fraction of the time */
};

/*
 * Opens the file and brings its schema to the last of `migrations`; each is a script that leads from one version to the
 * next, and user_version counts those that were run.  SQL_WRITE makes a file that is missing, mode 0600.
 * A file of a later version gives SQLITE_NOTADB.  On failure *db is NULL.
 */
struct sql_schema {
    const char *const *migrations;
    int count;
};
int sql_open(const char *path, enum sql_mode mode, const struct sql_schema *schema, sqlite3 **db) MUST_USE;

int sql_run(sqlite3 *db, const char *sql) MUST_USE;
int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out) MUST_USE;

/* Steps once and resets; SQLITE_OK if the statement is done or has given a row. */
int sql_step_once(sqlite3_stmt *q) MUST_USE;

/* The first column of the first row; 0 if there is none. */
int sql_number(sqlite3 *db, const char *sql, int64_t *out) MUST_USE;

/* A column of octets; valid until the statement steps again. */
struct slice sql_octets(sqlite3_stmt *q, int column);
int sql_bind_octets(sqlite3_stmt *q, int at,
                    struct slice octets) MUST_USE; /* must stay valid until the step */

bool sql_is_damage(int err);

/* Renames the file and its companions to PATH.broken-TIME.  Nothing may have it open. */
void sql_set_aside(const char *path, int64_t now_s);

/* Removes the file and its companions. */
void sql_remove(const char *path);

/* Octets of the file and its companions on disk. */
uint64_t sql_size(const char *path);

#endif
