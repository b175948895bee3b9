/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row.h - one row of a day: a record in its packed form, and directly behind it the records of its recipients.
 *
 * Each record is preceded by its length as a varint.
 */
#ifndef HISTORY_ROW_H
#define HISTORY_ROW_H

#include "history/record.h"
#include "history/words.h"

#define ROW_MAX 65536 /* octets */
#define ROW_NEW_MAX                                                                                          \
    (ROW_MAX / 4) /* when written: reduced addresses may be longer.  More recipients begin another row */

/* Appends a record; `first` is the id of the row's first record, NULL for itself.  False: the row is full. */
bool row_add(struct buf *row, const struct record *r, struct words *words,
             const struct record_id *first) MUST_USE;

struct row_reader {
    struct reader r;
    const struct words *words;
    struct record_id first;
    bool begun;
};

void row_read(struct row_reader *rr, struct slice data, const struct words *words);

/* The next record; false at the end, or where the row is damaged. */
bool row_next(struct row_reader *rr, struct record *out) MUST_USE;

#endif
