/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - about 40,000 rows of a day and what they can be found by.
 *
 * The last segment of a day is open: its hashes (lookup.h) are in memory and are searched there.  A segment that is full,
 * or whose day is over, is sealed: its hashes go to the table `look`, sorted into buckets by their highest bits, so that
 * a lookup reads one small row of each segment.  An entry of a bucket has 8 octets: 48 more bits of the hash, and the
 * row's offset in the segment.  So a lookup compares up to 60 bits; the caller compares the record itself.
 *
 * The day (day.h) owns its open segment; nothing here begins or ends a transaction.
 */
#ifndef HISTORY_SEGMENT_H
#define HISTORY_SEGMENT_H

#include "history/lookup.h"
#include "history/sql.h"

#define SEGMENT_ROWS 40000

struct segment_entry {
    uint64_t hash;
    uint32_t row; /* offset in the segment */
};

struct segment {
    int64_t no;    /* in the day, from 0 */
    int64_t first; /* sequence number of its first row */
    uint32_t rows;
    int64_t from_ms, to_ms; /* of its records; from > to: none */
    int bits;               /* sealed: as many bits of a hash choose a bucket */
    /* the open segment */
    struct segment_entry *entries;
    size_t len, cap;
};

/* Offsets of rows, the newest first; owned by the caller. */
struct segment_hits {
    uint16_t *rows;
    size_t len, cap;
};

void segment_begin(struct segment *s, int64_t no, int64_t first); /* keeps its memory */
void segment_fini(struct segment *s);
void segment_span(struct segment *s, int64_t time_ms);

/* The row at offset `row` can be found by these. */
void segment_add(struct segment *s, uint32_t row, const struct lookup_set *set);

/* Writes the rows of `segments` and `look`.  The segment itself is not changed: the caller begins the next one. */
int segment_seal(struct segment *s, sqlite3 *db) MUST_USE;

/* Rows that have one of the hashes. */
struct segment_wanted {
    const uint64_t *hashes;
    size_t count;
};
void segment_find_open(const struct segment *s, const struct segment_wanted *w, struct segment_hits *hits);
int segment_find_sealed(const struct segment *s, sqlite3_stmt *look, const struct segment_wanted *w,
                        struct segment_hits *hits) MUST_USE;

/* The statement that segment_find_sealed() wants. */
#define SEGMENT_LOOK_SQL "SELECT data FROM look WHERE key=?"

void segment_hits_fini(struct segment_hits *hits);

#endif
