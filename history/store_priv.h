/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_priv.h - what store.c, tidy.c and query.c share: the handle.
 */
#ifndef HISTORY_STORE_PRIV_H
#define HISTORY_STORE_PRIV_H

#include "history/day.h"
#include "history/folds.h"
#include "history/history.h"
#include "history/sources.h"

#define STORE_MESSAGE_MAX 512
#define STORE_CACHED 48 /* days that a handle keeps open for reading */

struct history {
    struct history_settings settings; /* dir and hash_key point to the two below */
    char *dir, *hash_key;
    struct lookup_key key;
    bool writer;
    struct day *today;     /* writer: open for writing; NULL: not open */
    uint64_t today_opened; /* how often: another day may get the memory of the one before */
    struct day *cached[STORE_CACHED];
    struct sources sources;
    bool sources_loaded;
    struct folds folds;
    struct history_stats stats;
    uint64_t retry_at_s; /* monotonic; 0: at once */
    int last_err;        /* of the last failed commit; SQLITE_OK since */
    /* the batch */
    struct buf staged;
    struct buf row;
    struct record row_head; /* of the row that is being put together; its items are not kept */
    unsigned row_slot;
    bool row_begun, skip_recipients;
    struct record_id skipped;
    struct lookup_set set;
    struct arena arena;
    uint64_t batch_lost, batch_records, batch_rows, batch_folded, batch_repeats, batch_malformed;
    /* upkeep */
    int64_t tidy_day;      /* days before this one were seen to in this pass */
    uint64_t tidy_again_s; /* monotonic: when the next pass begins */
    uint64_t age_again_s;  /* monotonic: when age may remove another day */
    /* for the log */
    bool has_message;
    enum log_level level;
    char message[STORE_MESSAGE_MAX];
};

PRINTF(3, 4) void store_say(struct history *h, enum log_level level, const char *fmt, ...);
uint64_t store_monotonic_s(void);
void store_set_aside(struct history *h, int64_t day, int err, int64_t now_ms);

#endif
