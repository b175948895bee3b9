/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_id.h - the id of a message, `ULID.n`: session and transaction, as octets and as people read it out.
 *
 * Ids are read out over the phone, so the reading side takes any case, O for 0, and I or L for 1.
 */
#ifndef HISTORY_RECORD_ID_H
#define HISTORY_RECORD_ID_H

#include "core/buf.h"

#define RECORD_ULID_LEN 16     /* octets of a session id */
#define RECORD_ULID_TEXT 26    /* characters of it */
#define RECORD_ID_TEXT_MAX 38  /* of `ULID.n` with its NUL */
#define RECORD_ID_ENDING_MIN 6 /* the shortest ending that is looked up */

struct record_id {
    uint8_t ulid[RECORD_ULID_LEN];
    uint32_t txn; /* 0: the session itself */
};

/* What a person typed: a whole session id or its ending, and perhaps a transaction. */
struct record_ending {
    char text[RECORD_ULID_TEXT + 1]; /* in the ids' own alphabet, NUL-terminated */
    size_t len;
    uint32_t txn; /* 0: any */
};

/* `ULID` or `ULID.n`.  False: it is no id. */
bool record_id_parse(struct slice text, struct record_id *out) MUST_USE;

/* The same for an ending of at least RECORD_ID_ENDING_MIN characters of the ULID. */
bool record_id_parse_ending(struct slice text, struct record_ending *out) MUST_USE;

void record_id_put(struct buf *out, const struct record_id *id); /* `ULID.n`; without `.n` if it is 0 */
void record_id_ulid_text(const struct record_id *id, char out[RECORD_ULID_TEXT]); /* no NUL */
bool record_id_matches(const struct record_id *id, const struct record_ending *e);
bool record_id_same(const struct record_id *a, const struct record_id *b);
int64_t record_id_time_ms(const struct record_id *id); /* when the session began, as its ULID says */

#endif
