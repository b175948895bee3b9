/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sources.h - exactly once: which record of which process was stored last.
 *
 * A source is a worker's slot and its process's start.  It numbers its records from 1 and spends a number also for a
 * record that found no room.  So a number that was seen is a repeat, and a gap is a loss.  The last numbers are written
 * in the transaction of the rows: whoever dies when, each record is stored once or counted as lost.
 *
 * A worker may forge its numbers.  Then the count of losses is wrong, by at most SOURCES_GAP_MAX a record; nothing else.
 */
#ifndef HISTORY_SOURCES_H
#define HISTORY_SOURCES_H

#include "history/sql.h"

#define SOURCES_SLOTS 1024
#define SOURCES_STARTS 8 /* of one slot; an older process has ended long ago */
#define SOURCES_GAP_MAX (1u << 24)

struct source {
    uint64_t start, last, committed;
    bool used, changed;
};

struct sources {
    struct source *of; /* SOURCES_SLOTS * SOURCES_STARTS */
};

void sources_init(struct sources *s);
void sources_fini(struct sources *s);

/* Is the record new?  *lost grows by the records missing before it. */
bool sources_take(struct sources *s, unsigned slot, uint64_t start, uint64_t number, uint64_t *lost) MUST_USE;

/* The process has ended and `last` was the last number it spent: what was not seen is lost. */
uint64_t sources_end(struct sources *s, unsigned slot, uint64_t start, uint64_t last);

int sources_load(struct sources *s, sqlite3 *db) MUST_USE; /* adds to what is known */
int sources_save(struct sources *s, sqlite3 *db) MUST_USE; /* what changed */
void sources_touch(struct sources *s);                     /* another file: all of them are to be written */
void sources_commit(struct sources *s);
void sources_rollback(struct sources *s);

#endif
