/* SPDX-License-Identifier: Apache-2.0 */
/*
 * day.h - one day's file, `YYYY-MM-DD.db` of UTC: rows in segments, the dictionary, the last numbers, the losses.
 *
 *     rows      seq, data                          row.h
 *     segments  no, first, rows, bits, from, to    the sealed ones; rows behind the last are the open segment
 *     look      key, data                          buckets (segment.c)
 *     recent    id, data                           hashes of the open segment, one row a batch
 *     words     id, text                           the dictionary
 *     sources   slot, start, last                  sources.h
 *     losses    quarter, count                     records lost, by quarter hours since 1970
 *     state     key, value                         `reduced`: up to which row addresses were reduced; `from_ms`, `to_ms`: the
 *                                                  span of the open segment
 *
 * The writer of a day begins a transaction, puts rows, and commits.  After any failure it closes the day, and opens it
 * again later: what is in memory is then read from the file, so nothing has to be taken back singly.
 * A reader has connections of its own, and no statement of it stays open between two calls.
 */
#ifndef HISTORY_DAY_H
#define HISTORY_DAY_H

#include <sys/stat.h>

#include "history/row.h"
#include "history/segment.h"

#define DAY_MS ((int64_t)86400000)
#define DAY_PATH_MAX 4096

struct day {
    int64_t no; /* days since 1970 */
    sqlite3 *db;
    sqlite3_stmt *insert, *update, *look, *fetch, *before, *data_version;
    struct words words;
    size_t words_written;
    struct stat file; /* what is open */
    struct segment open;
    size_t recent_written; /* entries of it that are on disk */
    int64_t next_seq;
    int64_t version; /* of the file, as another connection's commits change it */
    unsigned users;  /* a reader's handle: cursors that are in it */
};

/* NULL and *err (never SQLITE_OK): it cannot be opened, or there is none (SQLITE_CANTOPEN). */
struct day *day_open(const char *dir, int64_t no, enum sql_mode mode, int *err) MUST_USE;
void day_close(struct day **d);

/* Was the file removed or replaced?  What is written to the one that is open would be lost. */
bool day_is_gone(const struct day *d, const char *dir);

/* Has another connection written since it was opened? */
bool day_has_changed(struct day *d);

int day_begin(struct day *d) MUST_USE;
int day_commit(struct day *d) MUST_USE; /* writes new words, too */

/* A new row; *seq is its number.  Seals the segment when it is full: *sealed. */
struct day_put {
    struct slice row;
    int64_t time_ms;
    const struct lookup_set *set;
};
int day_put(struct day *d, const struct day_put *put, int64_t *seq, bool *sealed) MUST_USE;
int day_put_again(struct day *d, const struct day_put *put,
                  int64_t seq) MUST_USE;                                /* seq: in the open segment */
int day_replace(struct day *d, int64_t seq, struct slice row) MUST_USE; /* any row; it is found as before */

int day_seal(struct day *d) MUST_USE; /* the open segment, if it has rows: the day is over */
int day_add_losses(struct day *d, int64_t quarter, uint64_t count) MUST_USE;
int day_losses(struct day *d, int64_t from_quarter, int64_t to_quarter, uint64_t *sum) MUST_USE;

/* The segment with the highest number below `no`, sealed ones only.  SQLITE_NOTFOUND: there is none. */
int day_segment_before(struct day *d, int64_t no, struct segment *out) MUST_USE;

/* One row, copied to *out.  SQLITE_NOTFOUND: there is none. */
int day_fetch(struct day *d, int64_t seq, struct buf *out) MUST_USE;

void day_path(struct buf *out, const char *dir, int64_t no);

/* Days that have a file, ascending; free() them. */
size_t day_list(const char *dir, int64_t **out);

#endif
