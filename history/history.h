/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.h - what was decided about every message: the store behind one interface.
 *
 * This is all that other rooms see of the store, beside record.h (what a worker writes) and record_id.h.  Nothing here
 * names SQLite, so another store can stand behind it.
 *
 * Files       `dir` holds main.db (policies, counters, audit: ledger.h) and one file a day (day.h).
 * Writer      One thread of one process opens the store for writing.  It stages what it took from the rings, commits,
 *             and only then moves the rings' tails.  If a commit fails, it takes the same records again later: each
 *             record is stored once, or counted as lost (sources.h).
 * Readers     have handles of their own, in any thread or process; a handle is used by one thread at a time.
 * Failures    A full disk or a broken file never touches mail: the store stops, counts, says so (history_message) and
 *             tries again every HISTORY_RETRY_S.  A broken day is renamed alone, and the day begins anew.
 * Clocks      Times are wall clock ms, given by the caller.  Rows go to the file of the day that the clock says; a clock
 *             that jumps back reopens an older file.  Retention by age removes one day an hour at most, so that a
 *             clock that is wrong for a moment cannot empty the history.
 * Blocking    Every call may wait for the disk: never call one from an event loop.
 */
#ifndef HISTORY_HISTORY_H
#define HISTORY_HISTORY_H

#include "core/log.h"
#include "history/record.h"
#include "history/reduce.h"

#define HISTORY_RETRY_S 10
#define HISTORY_BATCH_MAX (4u << 20)

struct history;

struct history_settings {
    const char *dir;       /* exists, and is the recorder's */
    struct slice hash_key; /* state.hash_key; copied */
    enum history_addresses addresses;
    int64_t keep_s;
    int64_t full_addresses_s; /* 0: as long as keep_s */
    uint64_t max_bytes;
};

struct history *history_open_write(const struct history_settings *settings);
struct history *history_open_read(const struct history_settings *settings);
void history_close(struct history **h); /* what was staged is not written */

/* ---- writing ---- */

/* The ring a record was in: the supervisor's word, not the worker's. */
struct history_source {
    unsigned slot;
    uint64_t start; /* of the process, as its records say */
};

/* Stages an encoded record (copied).  False: the batch is full, commit first. */
bool history_add(struct history *h, const struct history_source *source, struct slice record) MUST_USE;

/* Stages the end of a process, after its last record: `last` is the last number that it spent. */
bool history_end(struct history *h, const struct history_source *source, uint64_t last) MUST_USE;

/*
 * Writes what is staged, in one transaction.  True: it is stored, the rings' tails may move.  False: nothing of it is;
 * stage the same again later.  Either way nothing is staged afterwards.
 */
bool history_commit(struct history *h, int64_t now_ms) MUST_USE;

/*
 * One bounded step of upkeep: removes days that are too old or too many, seals and reduces days that are over.  Call it
 * about each minute, and again soon while it returns true.
 */
bool history_tidy(struct history *h, int64_t now_ms) MUST_USE;

struct history_stats {
    uint64_t records, rows, folded; /* stored since the store was opened; folded ones are among the records */
    uint64_t repeats, lost, malformed;
    uint64_t failures;  /* commits that failed */
    uint64_t set_aside; /* broken files */
    uint64_t removed;   /* days removed for age or size */
    bool stopped;       /* the last commit failed */
};
void history_stats(const struct history *h, struct history_stats *out);

/* What shall be logged, once; false: nothing new. */
bool history_message(struct history *h, enum log_level *level, struct buf *out) MUST_USE;

/* ---- reading ---- */

/* All conditions must hold; one that is empty or zero is none. */
struct history_query {
    struct record_ending id;     /* len 0: any */
    struct cidr client;          /* base.family ADDR_NONE: any; wider than /24 or /48: the rows are scanned */
    struct slice sender, author; /* addresses; ASCII case is ignored */
    struct slice recipient;      /* in force, or original */
    struct slice domain;         /* of sender, author or a recipient */
    struct slice message_id;
    int64_t since_ms, until_ms; /* since <= time < until; until 0: no end */
    size_t limit;               /* 0: none */
};

struct history_cursor;

/* Texts of the query must outlive the cursor.  The handle must outlive it, too. */
struct history_cursor *history_find(struct history *h, const struct history_query *q) MUST_USE;

/*
 * The next row's first record, newest first: a message; a fold (RECORD_EARLY); or a recipient whose message is in
 * another row of the same id.  False: no more.  Texts of *out are valid until the next call with
 * this cursor and, on a writer's handle, the next commit.  A row that is damaged is skipped.
 */
bool history_next(struct history_cursor *c, struct record *out) MUST_USE;

/* The next recipient of that row. */
bool history_recipient(struct history_cursor *c, struct record *out) MUST_USE;
void history_cursor_free(struct history_cursor **c);

/* What the answer rests on: days with a file, records lost in the span, files that could not be read. */
struct history_span {
    int64_t first_ms; /* of the oldest day; 0: there is no history */
    uint64_t days, lost, unreadable;
};
void history_span(struct history *h, int64_t since_ms, int64_t until_ms, struct history_span *out);

#endif
