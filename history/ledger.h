/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h - main.db: what belongs to no single message and outlives the days.
 *
 *     policies   hash, from, until, text      which policy was in force when; its full text, as `check --print` gives it
 *     counters   time, name, value            sums by quarter hours; by hours after LEDGER_QUARTERS_S
 *     audit      seq, time, who, what         what administrators changed
 *
 * Counters are added up in memory and written by ledger_flush(), so a crash may lose those since the last flush; records
 * of messages are exact (sources.h), counters are for reports.  A file that is damaged is renamed and begun anew.
 * Every call but ledger_count() may wait for the disk.
 */
#ifndef HISTORY_LEDGER_H
#define HISTORY_LEDGER_H

#include "core/slice.h"

#define LEDGER_QUARTER_MS ((int64_t)900000)
#define LEDGER_QUARTERS_S (8 * 86400)
#define LEDGER_PENDING_MAX 20000 /* names of counters between two flushes; more are not counted */
#define LEDGER_NAME_MAX 128

struct ledger;

/* Never NULL; the file is opened when it is needed, and again after a failure. */
struct ledger *ledger_open(const char *dir);
void ledger_close(struct ledger **l); /* without a flush */

/* Adds to a counter of the quarter hour: "accepted", "rule.reputation.enforced", "list.zen.hits" ... */
void ledger_count(struct ledger *l, int64_t now_ms, struct slice name, int64_t value);

/* Writes the counters, and folds old quarters to hours.  False: they are kept for the next flush. */
bool ledger_flush(struct ledger *l, int64_t now_ms) MUST_USE;

/* The policy is in force from now on.  The same hash again: nothing changes. */
bool ledger_policy(struct ledger *l, int64_t now_ms, struct slice hash, struct slice text) MUST_USE;
bool ledger_audit(struct ledger *l, int64_t now_ms, struct slice who, struct slice what) MUST_USE;

/* ---- reading: each function is called with rows in order; texts are valid during the call ---- */

struct ledger_row {
    int64_t time_ms, until_ms; /* policies: until 0: in force */
    struct slice name, text;   /* policies: hash, text; counters: name; audit: who, what */
    int64_t value;
};
typedef void (*ledger_cb)(const struct ledger_row *row, void *arg);

bool ledger_each_policy(struct ledger *l, ledger_cb cb, void *arg) MUST_USE;

/* Sums of each counter over since <= time < until, by name. */
struct ledger_span {
    int64_t since_ms, until_ms;
};
bool ledger_each_counter(struct ledger *l, const struct ledger_span *span, ledger_cb cb, void *arg) MUST_USE;
bool ledger_each_audit(struct ledger *l, const struct ledger_span *span, ledger_cb cb, void *arg) MUST_USE;

#endif
