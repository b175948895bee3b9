/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zone.h - a DNS of a few names for the tests of policy/dmarc, and the loop that asks it.
 *
 * A zone is a text, one record a line: NAME TAB RECORD.  The records `!nodata`, `!nxdomain` and `!temp` stand for such
 * answers.  A name that is not there is NXDOMAIN, unless a name below it is there.
 */
#ifndef TEST_UNIT_DMARC_ZONE_H
#define TEST_UNIT_DMARC_ZONE_H

#include "core/buf.h"
#include "policy/dmarc/dmarc.h"

enum { ZONE_ASKED_MAX = 128, ZONE_RECORDS_MAX = 64 };

enum zone_order {
    ZONE_SERIAL = 0, /* answer each question before the next */
    ZONE_PARALLEL,   /* take all open questions, then answer them from the last */
    ZONE_ORDER_COUNT,
};

struct zone_run {
    struct slice zone;
    enum zone_order order;
    size_t asked, rounds;
    struct dmarc_query query[ZONE_ASKED_MAX];
    char names[ZONE_ASKED_MAX][DMARC_NAME_MAX + 1];
};

/* Collects the records of a name; `below` tells whether a name below it is there. */
static inline size_t zone_find(struct slice zone, struct slice name, struct slice *records, bool *below)
{
    size_t count = 0;

    *below = false;
    while (!slice_empty(zone)) {
        struct slice line = slice_cut(&zone, '\n'), owner = slice_cut(&line, '\t');

        if (slice_eq_nocase(owner, name) && count < ZONE_RECORDS_MAX) {
            records[count++] = line;
        }
        if (owner.len > name.len && slice_ends_nocase(owner, name) &&
            owner.ptr[owner.len - name.len - 1] == '.') {
            *below = true;
        }
    }
    return count;
}

static inline void zone_answer(struct zone_run *run, struct dmarc *d, const struct dmarc_query *query)
{
    struct slice records[ZONE_RECORDS_MAX];
    struct dmarc_answer answer = { .status = DMARC_ANSWER_OK, .records = records };
    bool below;

    answer.count = zone_find(run->zone, query->name, records, &below);
    if (answer.count == 0) {
        answer.status = below ? DMARC_ANSWER_NODATA : DMARC_ANSWER_NXDOMAIN;
    } else if (slice_eq(records[0], SLICE("!nodata"))) {
        answer.status = DMARC_ANSWER_NODATA;
    } else if (slice_eq(records[0], SLICE("!nxdomain"))) {
        answer.status = DMARC_ANSWER_NXDOMAIN;
    } else if (slice_eq(records[0], SLICE("!temp"))) {
        answer.status = DMARC_ANSWER_TEMPFAIL;
    }
    dmarc_answer(d, query->id, &answer);
}

static inline bool zone_take(struct zone_run *run, struct dmarc *d)
{
    struct dmarc_query *query = &run->query[run->asked];
    struct buf name;

    BUG_ON(run->asked == ZONE_ASKED_MAX);
    if (!dmarc_next(d, query)) {
        return false;
    }
    BUG_ON(!hostname_valid(query->name));
    buf_init_fixed(&name, run->names[run->asked], sizeof(run->names[0]));
    buf_put_slice(&name, query->name);
    query->name = buf_slice(&name);
    run->asked++;
    return true;
}

/* Asks until nothing is open.  With all domains added and ended, the outcome is complete then. */
static inline void zone_ask(struct zone_run *run, struct dmarc *d)
{
    size_t from;

    do {
        from = run->asked;
        while (zone_take(run, d)) {
            if (run->order == ZONE_SERIAL) {
                zone_answer(run, d, &run->query[run->asked - 1]);
            }
        }
        for (size_t i = run->asked; run->order == ZONE_PARALLEL && i > from; i--) {
            zone_answer(run, d, &run->query[i - 1]);
        }
        run->rounds += run->asked > from;
    } while (run->asked > from);
}

#endif
