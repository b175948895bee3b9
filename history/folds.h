/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folds.h - early refusals of one client network, minute and reason as one record, with a count and the last four ids.
 *
 * FOLDS_RECORDS records of a network and minute are kept as they are; message records beyond that are folded too, so
 * that a botnet cannot rotate the history away.  Memory has a cap: beyond FOLDS_MAX folds the network is left out, and
 * beyond FOLDS_NETWORKS networks in a minute a network that is new is not limited (its records are its first ones).
 *
 * A fold has a row in the open segment, which is written again with each batch that adds to it.  When the segment is
 * sealed, what comes later goes to another row (folds_detach).  Readers add the rows up.
 */
#ifndef HISTORY_FOLDS_H
#define HISTORY_FOLDS_H

#include "core/table.h"
#include "history/record.h"

#define FOLDS_RECORDS 60
#define FOLDS_MAX 20000
#define FOLDS_NETWORKS 50000
#define FOLDS_IDS 4
#define FOLDS_REASON_MAX 48
#define FOLDS_SENDER_MAX 320

struct fold_id {
    struct record_id id;
    uint32_t code;
};

struct fold {
    struct fold *next;
    struct table_entry entry;
    struct addr network;           /* ADDR_NONE: any */
    int64_t minute;                /* since 1970 */
    int64_t count, written;        /* in all, and as its row says */
    struct fold_id ids[FOLDS_IDS]; /* newest first */
    size_t id_count;
    int64_t seq;  /* of its row; 0: none yet */
    bool changed; /* since it was written */
    char key[32 + FOLDS_REASON_MAX];
    size_t reason_len, sender_len;
    char reason[FOLDS_REASON_MAX];
    char sender[FOLDS_SENDER_MAX]; /* of the newest record that has one */
};

struct folds {
    struct table folds, networks;
    struct fold *list;
    struct fold_network *network_list;
    int64_t minute; /* older ones are forgotten */
};

void folds_init(struct folds *f);
void folds_fini(struct folds *f);
void folds_clear(struct folds *f);  /* a batch was not written: the next one begins new folds */
void folds_detach(struct folds *f); /* the segment was sealed, or it is another day */

/* Forgets what belongs to minutes before this one. */
void folds_expire(struct folds *f, int64_t minute);

/* May a record of this client be kept as it is?  Counts it. */
bool folds_admit(struct folds *f, const struct addr *client, int64_t time_ms) MUST_USE;

/* Adds a record: an early one by its reason, a message by its outcome. */
struct fold *folds_add(struct folds *f, const struct record *r);

/* The fold as a record; FIELD_LAST_IDS is written to `ids`. */
void fold_to_record(const struct fold *fold, struct buf *ids, struct record *out);

#endif
