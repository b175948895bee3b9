/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sources.c - a few processes for each slot, the newest kept.
 */
#include "history/sources.h"

void sources_init(struct sources *s)
{
    s->of = xcalloc((size_t)SOURCES_SLOTS * SOURCES_STARTS, sizeof(*s->of));
}

void sources_fini(struct sources *s)
{
    free(s->of);
    s->of = NULL;
}

/* The source, or the place for it: a free one, or that of the process that started first. */
static struct source *place(struct sources *s, unsigned slot, uint64_t start)
{
    struct source *of = s->of + (size_t)(slot % SOURCES_SLOTS) * SOURCES_STARTS, *best = of;

    for (size_t i = 0; i < SOURCES_STARTS; i++) {
        if (of[i].used && of[i].start == start) {
            return &of[i];
        }
        if (best->used && (!of[i].used || of[i].start < best->start)) {
            best = &of[i];
        }
    }
    memset(best, 0, sizeof(*best));
    best->start = start;
    best->used = true;
    return best;
}

static void advance(struct source *src, uint64_t number, uint64_t lost_of, uint64_t *lost)
{
    *lost += min_u64(lost_of, SOURCES_GAP_MAX);
    src->last = number;
    src->changed = true;
}

bool sources_take(struct sources *s, unsigned slot, uint64_t start, uint64_t number, uint64_t *lost)
{
    struct source *src = place(s, slot, start);

    if (number <= src->last) {
        return false;
    }
    advance(src, number, number - src->last - 1, lost);
    return true;
}

uint64_t sources_end(struct sources *s, unsigned slot, uint64_t start, uint64_t last)
{
    struct source *src = place(s, slot, start);
    uint64_t lost = 0;

    if (last > src->last) {
        advance(src, last, last - src->last, &lost);
    }
    return lost;
}

int sources_load(struct sources *s, sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    int err = sql_prepare(db, "SELECT slot, start, last FROM sources", &q);

    while (err == SQLITE_OK || err == SQLITE_ROW) {
        err = sqlite3_step(q);
        if (err == SQLITE_ROW) {
            struct source *src =
                place(s, (unsigned)sqlite3_column_int(q, 0), (uint64_t)sqlite3_column_int64(q, 1));
            uint64_t last = (uint64_t)sqlite3_column_int64(q, 2);

            src->last = src->committed = last > src->last ? last : src->last;
        }
    }
    sqlite3_finalize(q);
    return err == SQLITE_DONE ? SQLITE_OK : err;
}

int sources_save(struct sources *s, sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    int err = sql_prepare(db, "INSERT OR REPLACE INTO sources VALUES(?,?,?)", &q);

    for (size_t i = 0; i < (size_t)SOURCES_SLOTS * SOURCES_STARTS && err == SQLITE_OK; i++) {
        struct source *src = &s->of[i];

        if (src->used && src->changed) {
            sqlite3_bind_int(q, 1, (int)(i / SOURCES_STARTS));
            sqlite3_bind_int64(q, 2, (int64_t)src->start);
            sqlite3_bind_int64(q, 3, (int64_t)src->last);
            err = sql_step_once(q);
        }
    }
    sqlite3_finalize(q);
    return err;
}

void sources_touch(struct sources *s)
{
    for (size_t i = 0; i < (size_t)SOURCES_SLOTS * SOURCES_STARTS; i++) {
        s->of[i].changed = s->of[i].used;
    }
}

void sources_commit(struct sources *s)
{
    for (size_t i = 0; i < (size_t)SOURCES_SLOTS * SOURCES_STARTS; i++) {
        s->of[i].committed = s->of[i].last;
        s->of[i].changed = false;
    }
}

void sources_rollback(struct sources *s)
{
    for (size_t i = 0; i < (size_t)SOURCES_SLOTS * SOURCES_STARTS; i++) {
        s->of[i].last = s->of[i].committed;
        s->of[i].changed = false;
        s->of[i].used = s->of[i].used && s->of[i].committed > 0;
    }
}
