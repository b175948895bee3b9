/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - the buckets of a sealed segment.  `look.key` is the segment's number << BITS_MAX | bucket.
 */
#include "history/segment.h"

enum {
    BITS_MAX = 12,
    BUCKET_ENTRIES = 96, /* aimed at: about five buckets a page */
    ENTRY_LEN = 8,       /* 6 octets of hash, 2 of row */
};

_Static_assert(SEGMENT_ROWS <= UINT16_MAX, "a row's offset has two octets");

void segment_begin(struct segment *s, int64_t no, int64_t first)
{
    s->no = no;
    s->first = first;
    s->rows = 0;
    s->len = 0;
    s->from_ms = INT64_MAX;
    s->to_ms = INT64_MIN;
}

void segment_fini(struct segment *s)
{
    free(s->entries);
    s->entries = NULL;
    s->len = s->cap = 0;
}

void segment_span(struct segment *s, int64_t time_ms)
{
    s->from_ms = time_ms < s->from_ms ? time_ms : s->from_ms;
    s->to_ms = time_ms > s->to_ms ? time_ms : s->to_ms;
}

void segment_add(struct segment *s, uint32_t row, const struct lookup_set *set)
{
    if (s->cap - s->len < set->len) {
        s->cap = max_size(s->cap * 2, s->len + set->len + 1024);
        s->entries = xrealloc(s->entries, s->cap * sizeof(*s->entries));
    }
    for (size_t i = 0; i < set->len; i++) {
        s->entries[s->len++] = (struct segment_entry){ set->hash[i], row };
    }
}

/* ---- sealing ---- */

static int compare_entries(const void *a, const void *b)
{
    const struct segment_entry *x = a, *y = b;

    if (x->hash != y->hash) {
        return x->hash < y->hash ? -1 : 1;
    }
    return x->row < y->row ? -1 : x->row > y->row;
}

static uint64_t bucket_of(uint64_t hash, int bits)
{
    return bits == 0 ? 0 : hash >> (64 - bits);
}

/* The 48 bits behind those that chose the bucket. */
static uint64_t rest_of(uint64_t hash, int bits)
{
    return (hash << bits) >> 16;
}

static void put_entry(struct buf *b, uint64_t rest, uint32_t row)
{
    uint64_t v = rest << 16 | row;
    uint8_t octets[ENTRY_LEN];

    for (size_t i = ENTRY_LEN; i-- > 0; v >>= 8) {
        octets[i] = (uint8_t)v;
    }
    buf_put(b, octets, sizeof(octets));
}

static int write_bucket(sqlite3_stmt *q, int64_t key, const struct buf *b)
{
    int err;

    sqlite3_bind_int64(q, 1, key);
    err = sql_bind_octets(q, 2, buf_slice(b));
    return err == SQLITE_OK ? sql_step_once(q) : err;
}

static int write_buckets(const struct segment *s, sqlite3_stmt *q)
{
    struct buf b;
    size_t i = 0;
    int err = SQLITE_OK;

    buf_init(&b, (s->len + 1) * ENTRY_LEN + 1);
    while (i < s->len && err == SQLITE_OK) {
        uint64_t bucket = bucket_of(s->entries[i].hash, s->bits);

        buf_reset(&b);
        for (; i < s->len && bucket_of(s->entries[i].hash, s->bits) == bucket; i++) {
            put_entry(&b, rest_of(s->entries[i].hash, s->bits), s->entries[i].row);
        }
        err = write_bucket(q, (int64_t)((uint64_t)s->no << BITS_MAX | bucket), &b);
    }
    buf_fini(&b);
    return err;
}

static int write_segment(const struct segment *s, sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    const int64_t values[] = { s->no, s->first, s->rows, s->bits, s->from_ms, s->to_ms };
    int err = sql_prepare(db, "INSERT OR REPLACE INTO segments VALUES(?,?,?,?,?,?)", &q);

    if (err == SQLITE_OK) {
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            sqlite3_bind_int64(q, (int)i + 1, values[i]);
        }
        err = sql_step_once(q);
    }
    sqlite3_finalize(q);
    return err;
}

int segment_seal(struct segment *s, sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    int err;

    for (s->bits = 0; s->bits < BITS_MAX && s->len >> s->bits > BUCKET_ENTRIES; s->bits++) {
        ;
    }
    if (s->len > 0) {
        qsort(s->entries, s->len, sizeof(*s->entries), compare_entries);
    }
    err = sql_prepare(db, "INSERT OR REPLACE INTO look VALUES(?,?)", &q);
    if (err == SQLITE_OK) {
        err = write_buckets(s, q);
    }
    sqlite3_finalize(q);
    return err == SQLITE_OK ? write_segment(s, db) : err;
}

/* ---- finding ---- */

static void hit(struct segment_hits *hits, uint32_t row)
{
    if (row >= SEGMENT_ROWS) { /* a damaged file */
        return;
    }
    if (hits->len == hits->cap) {
        hits->cap = max_size(64, hits->cap * 2);
        hits->rows = xrealloc(hits->rows, hits->cap * sizeof(*hits->rows));
    }
    hits->rows[hits->len++] = (uint16_t)row;
}

static int compare_down(const void *a, const void *b)
{
    uint16_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x < y) - (x > y);
}

/* Newest first, each once. */
static void arrange(struct segment_hits *hits)
{
    size_t n = 0;

    if (hits->len == 0) {
        return;
    }
    qsort(hits->rows, hits->len, sizeof(*hits->rows), compare_down);
    for (size_t i = 1; i < hits->len; i++) {
        if (hits->rows[i] != hits->rows[n]) {
            hits->rows[++n] = hits->rows[i];
        }
    }
    hits->len = n + 1;
}

void segment_find_open(const struct segment *s, const struct segment_wanted *w, struct segment_hits *hits)
{
    hits->len = 0;
    for (size_t i = 0; i < s->len; i++) {
        for (size_t k = 0; k < w->count; k++) {
            if (s->entries[i].hash == w->hashes[k]) {
                hit(hits, s->entries[i].row);
            }
        }
    }
    arrange(hits);
}

static void search_bucket(struct slice data, uint64_t rest, struct segment_hits *hits)
{
    struct reader r = reader_of(data.ptr, data.len);

    while (r.len >= ENTRY_LEN) {
        uint64_t v = (uint64_t)reader_u32(&r) << 32;

        v |= reader_u32(&r);
        if (v >> 16 == rest) {
            hit(hits, (uint32_t)(v & 0xffff));
        }
    }
}

int segment_find_sealed(const struct segment *s, sqlite3_stmt *look, const struct segment_wanted *w,
                        struct segment_hits *hits)
{
    int err = SQLITE_DONE;

    hits->len = 0;
    for (size_t k = 0; k < w->count && (err == SQLITE_DONE || err == SQLITE_ROW); k++) {
        uint64_t bucket = bucket_of(w->hashes[k], s->bits);

        sqlite3_bind_int64(look, 1, (int64_t)((uint64_t)s->no << BITS_MAX | bucket));
        err = sqlite3_step(look);
        if (err == SQLITE_ROW) {
            search_bucket(sql_octets(look, 0), rest_of(w->hashes[k], s->bits), hits);
        }
        (void)sqlite3_reset(look);
    }
    arrange(hits);
    return err == SQLITE_DONE || err == SQLITE_ROW ? SQLITE_OK : err;
}

void segment_hits_fini(struct segment_hits *hits)
{
    free(hits->rows);
    memset(hits, 0, sizeof(*hits));
}
