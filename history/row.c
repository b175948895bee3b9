/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row.c - puts records together and takes them apart.
 */
#include "history/row.h"

bool row_add(struct buf *row, const struct record *r, struct words *words, const struct record_id *first)
{
    struct record_writer w;
    struct slice s = record_write(&w, r, words, first);

    if (row->len + s.len + 2 > ROW_MAX) {
        return false;
    }
    record_put_varint(row, s.len);
    buf_put_slice(row, s);
    return true;
}

void row_read(struct row_reader *rr, struct slice data, const struct words *words)
{
    rr->r = reader_of(data.ptr, data.len);
    rr->words = words;
    rr->begun = false;
}

bool row_next(struct row_reader *rr, struct record *out)
{
    struct slice s;

    if (rr->r.failed || rr->r.len == 0) {
        return false;
    }
    s = reader_take(&rr->r, (size_t)min_u64(record_take_varint(&rr->r), SIZE_MAX));
    if (rr->r.failed || !record_decode(s, rr->words, rr->begun ? &rr->first : NULL, out)) {
        rr->r.failed = true;
        return false;
    }
    if (!rr->begun) {
        rr->first = out->id;
        rr->begun = true;
    }
    return true;
}
