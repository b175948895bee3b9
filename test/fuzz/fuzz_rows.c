/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_rows.c - any rows, or any file, as the database of what is remembered: it is read or set aside, and
 * afterwards the tables answer.
 *
 * Input      octet 0: 0: the rest is the file itself; else rows, each a kind and a length:
 *            0 TABLE LEN UNTIL-octet octets...   an entry   1 LEN octets...   a list's name, then its numbers
 */
#include <dirent.h>
#include <sqlite3.h>

#include "state/memory.h"
#include "state/state.h"
#include "state/tables_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_MAX = 40, LIST_NUMBERS = 13, FOLDER_MAX = 64 };

static char folder[FOLDER_MAX];

static void empty_folder(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.') {
            (void)unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

static void remove_folder(void)
{
    empty_folder();
    (void)rmdir(folder);
}

static void make_folder(void)
{
    if (folder[0] == '\0') {
        memcpy(folder, "/dev/shm/glacis-fuzz-rows-XXXXXX", 33);
        BUG_ON(mkdtemp(folder) == NULL);
        (void)atexit(remove_folder);
    }
    empty_folder();
}

static const char *file_path(struct buf *b)
{
    buf_init(b, 256);
    buf_putf(b, "%s/memory.db", folder);
    return b->ptr;
}

static void write_file(struct slice s)
{
    struct buf path;
    FILE *f = fopen(file_path(&path), "we");

    BUG_ON(f == NULL || fwrite(s.ptr, 1, s.len, f) != s.len);
    fclose(f);
    buf_fini(&path);
}

/* The first octet of *s, which is taken. */
static unsigned octet(struct slice *s)
{
    unsigned n = s->len > 0 ? (uint8_t)s->ptr[0] : 0;

    *s = slice_skip(*s, 1);
    return n;
}

static void add_entry(sqlite3 *db, struct slice *s)
{
    unsigned table = octet(s) % 6, len = octet(s);
    struct slice blob = slice_take(*s, len);
    sqlite3_stmt *q = NULL;

    *s = slice_skip(*s, blob.len);
    BUG_ON(sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO entries VALUES(?,?,4000000000,1,?)", -1, &q,
                              NULL) != SQLITE_OK);
    sqlite3_bind_int(q, 1, (int)table - 1);
    sqlite3_bind_blob(q, 2, blob.ptr, (int)min_size(blob.len, 16), SQLITE_TRANSIENT);
    sqlite3_bind_blob(q, 3, blob.ptr, (int)blob.len, SQLITE_TRANSIENT);
    (void)sqlite3_step(q);
    sqlite3_finalize(q);
}

static void add_list(sqlite3 *db, struct slice *s)
{
    unsigned len = octet(s);
    struct slice name = slice_take(*s, len);
    sqlite3_stmt *q = NULL;

    *s = slice_skip(*s, name.len);
    BUG_ON(sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO lists VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)", -1, &q,
                              NULL) != SQLITE_OK);
    sqlite3_bind_text(q, 1, name.ptr, (int)name.len, SQLITE_TRANSIENT);
    for (int i = 0; i < LIST_NUMBERS; i++) {
        unsigned n = octet(s);

        if (n == 255) { /* text where a number belongs */
            sqlite3_bind_text(q, i + 2, "-9e99x", -1, SQLITE_STATIC);
        } else {
            sqlite3_bind_int64(q, i + 2, (int64_t)((uint64_t)n << (n % 60)) * (n % 3 == 0 ? -1 : 1));
        }
    }
    (void)sqlite3_step(q);
    sqlite3_finalize(q);
}

/* The layout is the program's own: one run without a file has made it. */
static void add_rows(struct slice s)
{
    struct buf path;
    sqlite3 *db = NULL;

    BUG_ON(sqlite3_open(file_path(&path), &db) != SQLITE_OK);
    BUG_ON(sqlite3_exec(db, "PRAGMA synchronous=OFF; BEGIN", NULL, NULL, NULL) != SQLITE_OK);
    for (unsigned n = 0; s.len > 0 && n < ROWS_MAX; n++) {
        if (octet(&s) % 2 == 0) {
            add_entry(db, &s);
        } else {
            add_list(db, &s);
        }
    }
    BUG_ON(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK);
    sqlite3_close(db);
    buf_fini(&path);
}

static void check_memory(struct state *st)
{
    struct memory *m = memory_new(st, NULL, NULL);
    struct memory_key key = memory_key(MEMORY_DOMAIN, SLICE("a.test"));
    struct memory_record r;

    memory_peek_standing(m, &key, wall_now_s(), &r);
    BUG_ON(!r.known);
    for (size_t n = 0; n < MEMORY_LISTS; n++) {
        struct memory_list *l = memory_list_at(m, n);

        if (l != NULL) {
            BUG_ON(strnlen(l->name, MEMORY_LIST_NAME) == MEMORY_LIST_NAME || l->override > OVERRIDE_OFF);
            memory_list_give(m, l);
        }
    }
    memory_free(&m);
}

/* Reads what is there, writes once more, ends. */
static void run_snapshot(void)
{
    struct state only = { .tables = tables_new(1024) }, *st = &only; /* small tables: a run reads them all */
    struct snapshot *s = snapshot_start(st, folder);
    struct timespec moment = { 0, 100000 };

    BUG_ON(s == NULL);
    for (unsigned i = 0; st->tables->h->loaded == 0; i++) {
        BUG_ON(i > 100000); /* ten seconds */
        nanosleep(&moment, NULL);
    }
    check_memory(st);
    BUG_ON(!snapshot_stop(s, 20000));
    snapshot_free(&s);
    check_memory(st);
    tables_free(st->tables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s;

    if (size < 1 || size > 32768) {
        return 0;
    }
    log_set_level(LOG_LEVEL_ERROR);
    make_folder();
    s = slice_of(data + 1, size - 1);
    if (data[0] == 0) {
        write_file(s);
    } else {
        run_snapshot();
        add_rows(s);
    }
    run_snapshot();
    return 0;
}
