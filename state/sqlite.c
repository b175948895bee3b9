/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.c - reads the tables from disk at start and writes them each minute.  The only file that uses SQLite.
 *
 *     entries   tab, key, until, gen, data   live entries of the tables that outlive a restart; data is the
 *                                            entry as it is in memory, so user_version must be TABLES_LAYOUT
 *     lists     name and its standing        one row a reputation list
 *     meta      history                      when recording started
 *
 * Passes      A full pass writes all live entries and deletes all other rows, because those left the tables.  It runs
 *             each day, and when this process did not read the database itself: a killed recorder may have lost
 *             entries it had marked as written.  Other passes write only changed entries.
 * Killed      WAL: the last committed transaction is always intact.
 * Broken      Not a database, damaged, or another layout: renames it, starts a new one, and logs that.
 * Removed     The next pass notices and makes a new file with all entries of the tables.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "state/servers.h"
#include "state/tables_priv.h"

#define EVERY_S 60
#define KEYWORDS_S 1 /* keywords of upstream servers, in a file of their own */
#define FULL_S 86400
#define ROWS_A_TRANSACTION 20000
#define BUSY_MS 2000
#define MESSAGE_MAX 400
#define BUSY_WAITS 5000 /* waits for locks in one pass; only a forged owner keeps a lock for long */
#define BUSY_WAIT_US 100

struct snapshot {
    struct state *st;
    struct tables *t;
    char *path, *state_dir;
    sqlite3 *db; /* NULL: not open */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop, done;
    /* for the main thread to log */
    bool has_message;
    enum log_level level;
    char message[MESSAGE_MAX];
    /* of the thread alone */
    int64_t full_s; /* when the next full pass is due */
    int64_t gen;
    bool keywords_failed;
    struct stat file; /* the open file */
    unsigned waits;   /* for locks, in this pass */
};

static const enum table_id stored[] = { TABLE_SEEN, TABLE_STANDING, TABLE_GREY };

PRINTF(3, 4) static void say(struct snapshot *s, enum log_level level, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    size_t used;

    pthread_mutex_lock(&s->mutex);
    used = s->has_message ? strnlen(s->message, sizeof(s->message) - 1) : 0; /* not fetched yet: both */
    buf_init_fixed(&b, s->message + used, sizeof(s->message) - used);
    buf_put_str(&b, used > 0 ? "; " : "");
    va_start(ap, fmt);
    buf_vputf(&b, fmt, ap);
    va_end(ap);
    s->level = s->has_message && s->level < level ? s->level : level;
    s->has_message = true;
    pthread_mutex_unlock(&s->mutex);
}

static bool is_damage(int err)
{
    return (err & 0xff) == SQLITE_CORRUPT || (err & 0xff) == SQLITE_NOTADB;
}

static int run_sql(struct snapshot *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

static int64_t one_number(struct snapshot *s, const char *sql, int *err)
{
    sqlite3_stmt *q = NULL;
    int64_t n = 0;

    *err = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    if (*err == SQLITE_OK) {
        *err = sqlite3_step(q);
        if (*err == SQLITE_ROW) {
            n = sqlite3_column_int64(q, 0);
            *err = SQLITE_OK;
        } else if (*err == SQLITE_DONE) {
            *err = SQLITE_OK;
        }
    }
    sqlite3_finalize(q);
    return n;
}

static void close_db(struct snapshot *s)
{
    (void)sqlite3_close_v2(s->db);
    s->db = NULL;
}

/* Renames the file and its companions. */
static void set_aside(struct snapshot *s, const char *why)
{
    static const char *const parts[] = { "", "-wal", "-shm" };
    int64_t now = wall_now_s();

    close_db(s);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        struct buf from, to;

        buf_init(&from, 8192);
        buf_init(&to, 8192);
        buf_putf(&from, "%s%s", s->path, parts[i]);
        buf_putf(&to, "%s.broken-%" PRId64 "%s", s->path, now, parts[i]);
        if (rename(from.ptr, to.ptr) != 0 && errno != ENOENT) {
            (void)unlink(from.ptr);
        }
        buf_fini(&from);
        buf_fini(&to);
    }
    say(s, LOG_LEVEL_ERROR, "The database %s is set aside as %s.broken-%" PRId64 " and begun anew: %s",
        s->path, s->path, now, why);
}

static const char *const schema =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    "CREATE TABLE IF NOT EXISTS entries(tab INTEGER, key BLOB, until INTEGER, gen INTEGER, data BLOB,"
    " PRIMARY KEY(tab, key)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS lists(name TEXT PRIMARY KEY, demoted INTEGER, evil INTEGER, reason INTEGER,"
    " demotions INTEGER, restored INTEGER, override INTEGER, override_until INTEGER, changed INTEGER,"
    " baseline INTEGER, weight INTEGER, works INTEGER, answers INTEGER, yes INTEGER);"
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER);"
    "CREATE INDEX IF NOT EXISTS by_gen ON entries(gen);";

static int prepare_db(struct snapshot *s)
{
    int64_t version, tables;
    int err;
    char pragma[64];
    struct buf b;

    sqlite3_busy_timeout(s->db, BUSY_MS);
    version = one_number(s, "PRAGMA user_version", &err);
    if (err == SQLITE_OK) {
        tables = one_number(s, "SELECT count(*) FROM sqlite_master", &err);
    }
    if (err != SQLITE_OK) {
        return err;
    }
    if (tables > 0 && version != (int64_t)TABLES_LAYOUT) {
        return SQLITE_NOTADB; /* of another version of the layout */
    }
    buf_init_fixed(&b, pragma, sizeof(pragma));
    buf_putf(&b, "PRAGMA user_version=%u", TABLES_LAYOUT);
    err = run_sql(s, schema);
    return err == SQLITE_OK ? run_sql(s, pragma) : err;
}

/* Makes the database private, because it shows who writes to whom.  SQLite gives its other files the same mode. */
static void make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd >= 0) {
        close(fd); /* the database is not open yet, so this close drops no lock */
    }
}

/* Tries twice: it renames an unreadable file and then makes a new one. */
static bool open_db(struct snapshot *s)
{
    for (int i = 0; i < 2 && s->db == NULL; i++) {
        int err;

        make_private(s->path);
        err = sqlite3_open_v2(s->path, &s->db,
                              SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
        if (err == SQLITE_OK) {
            err = prepare_db(s);
        }
        if (err == SQLITE_OK && stat(s->path, &s->file) == 0) {
            return true;
        }
        if (is_damage(err)) {
            set_aside(s, sqlite3_errstr(err));
            s->full_s = 0;
            continue;
        }
        count(M_SNAPSHOT_ERRORS);
        say(s, LOG_LEVEL_ERROR, "The database %s cannot be opened (%s): memory is not kept over a restart",
            s->path, sqlite3_errstr(err));
        close_db(s);
        return false;
    }
    return s->db != NULL;
}

/* ---- reading ---- */

static bool load_entries(struct snapshot *s, int64_t now_s, int64_t *rows)
{
    sqlite3_stmt *q = NULL;
    int err = sqlite3_prepare_v2(s->db, "SELECT tab, data FROM entries WHERE until > ?", -1, &q, NULL);

    if (err == SQLITE_OK) {
        sqlite3_bind_int64(q, 1, now_s);
        while ((err = sqlite3_step(q)) == SQLITE_ROW) {
            int tab = sqlite3_column_int(q, 0);
            union {
                struct entry e;
                struct entry_seen seen;
                struct entry_standing standing;
                struct entry_grey grey;
            } copy;

            if (tab < 0 || tab > TABLE_GREY || (size_t)sqlite3_column_bytes(q, 1) != s->t->table[tab].size) {
                continue;
            }
            memcpy(&copy, sqlite3_column_blob(q, 1), s->t->table[tab].size);
            tables_restore(s->t, (enum table_id)tab, &copy.e, now_s);
            (*rows)++;
        }
    }
    sqlite3_finalize(q);
    return err == SQLITE_DONE;
}

static void take_list(struct snapshot *s, sqlite3_stmt *q)
{
    struct slice name = slice_of(sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    struct memory_list *l = tables_list_take(s->t, name);

    if (l == NULL) {
        return;
    }
    if (l->changed_ms == 0) { /* otherwise the record is newer */
        l->demoted_s = (uint32_t)sqlite3_column_int64(q, 1);
        l->evil_s = (uint32_t)sqlite3_column_int64(q, 2);
        l->reason = (uint8_t)sqlite3_column_int(q, 3);
        l->demotions = (uint32_t)sqlite3_column_int64(q, 4);
        l->last_restored_s = (uint32_t)sqlite3_column_int64(q, 5);
        l->override = (uint8_t)min_u64((uint64_t)sqlite3_column_int(q, 6), OVERRIDE_OFF);
        l->override_until_s = (uint32_t)sqlite3_column_int64(q, 7);
        l->changed_ms = (uint64_t)sqlite3_column_int64(q, 8);
    }
    if (l->baseline_weight == 0) {
        l->baseline_ppm = (uint32_t)sqlite3_column_int64(q, 9);
        l->baseline_weight = (uint32_t)sqlite3_column_int64(q, 10);
    }
    l->probe_works = l->probe_works || sqlite3_column_int(q, 11) != 0;
    l->total_answers += (uint64_t)sqlite3_column_int64(q, 12);
    l->total_yes += (uint64_t)sqlite3_column_int64(q, 13);
    tables_list_give(s->t, l);
}

static bool load_lists(struct snapshot *s)
{
    sqlite3_stmt *q = NULL;
    int err = sqlite3_prepare_v2(
        s->db,
        "SELECT name, demoted, evil, reason, demotions, restored, override, override_until,"
        " changed, baseline, weight, works, answers, yes FROM lists",
        -1, &q, NULL);

    while (err == SQLITE_OK || err == SQLITE_ROW) {
        err = sqlite3_step(q);
        if (err == SQLITE_ROW) {
            take_list(s, q);
        }
    }
    sqlite3_finalize(q);
    return err == SQLITE_DONE;
}

/* Starts the history now if it is unreadable. */
static void load(struct snapshot *s, int64_t now_s)
{
    int64_t rows = 0, history = 0, theirs = s->t->h->history_s;
    int err = SQLITE_OK;

    if (open_db(s)) {
        history = one_number(s, "SELECT value FROM meta WHERE key='history'", &err);
        if (err != SQLITE_OK || !load_lists(s) || !load_entries(s, now_s, &rows)) {
            set_aside(s, "it is damaged");
        } else {
            s->full_s = now_s + FULL_S;
        }
    }
    if (history <= 0 || history > now_s) {
        history = now_s;
    }
    if (theirs == 0 || history < theirs) {
        s->t->h->history_s = history;
    }
    s->t->h->loaded = 1;
    if (s->db != NULL) {
        say(s, LOG_LEVEL_INFO, "%" PRId64 " entries were read from %s", rows, s->path);
    }
}

/* ---- writing ---- */

static int write_rows(struct snapshot *s, sqlite3_stmt *q, enum table_id id, const char *rows, size_t n)
{
    size_t size = s->t->table[id].size;
    int err = SQLITE_DONE;

    for (size_t i = 0; i < n && err == SQLITE_DONE; i++) {
        const struct entry *e = (const struct entry *)(const void *)(rows + i * size);

        sqlite3_bind_int(q, 1, (int)id);
        sqlite3_bind_blob(q, 2, e->key.octets, (int)sizeof(e->key.octets), SQLITE_STATIC);
        sqlite3_bind_int64(q, 3, e->until_s);
        sqlite3_bind_int64(q, 4, s->gen);
        sqlite3_bind_blob(q, 5, e, (int)size, SQLITE_STATIC);
        err = sqlite3_step(q);
        sqlite3_reset(q);
    }
    count_n(M_SNAPSHOT_ROWS, n);
    return err == SQLITE_DONE ? SQLITE_OK : err;
}

/* Waits for a busy lock.  Once the pass has used up its waits, it leaves these sets to the next pass. */
static void wait_for_lock(struct snapshot *s, enum table_id id, size_t *set)
{
    const struct timespec ts = { 0, BUSY_WAIT_US * 1000 };

    if (s->waits == BUSY_WAITS) {
        *set = tables_collect_end(s->t, id, *set);
        return;
    }
    s->waits++;
    nanosleep(&ts, NULL);
}

static int write_table(struct snapshot *s, sqlite3_stmt *q, enum table_id id, bool all, int64_t now_s)
{
    char *rows = xmalloc(TABLE_COLLECT_SETS * TABLE_WAYS * s->t->table[id].size);
    size_t set = 0, written = 0;
    int err = SQLITE_OK;

    while (set < s->t->table[id].sets && err == SQLITE_OK) {
        size_t before = set, n = tables_collect(s->t, id, &set, all, now_s, rows);

        if (set == before) {
            wait_for_lock(s, id, &set);
            continue;
        }
        err = write_rows(s, q, id, rows, n);
        written += n;
        if (written > ROWS_A_TRANSACTION && err == SQLITE_OK) {
            err = run_sql(s, "COMMIT; BEGIN");
            written = 0;
        }
    }
    free(rows);
    return err;
}

static int write_list(struct snapshot *s, const struct memory_list *l)
{
    sqlite3_stmt *q = NULL;
    const int64_t values[] = {
        l->demoted_s,         l->evil_s,          l->reason,           l->demotions,
        l->last_restored_s,   l->override,        l->override_until_s, (int64_t)l->changed_ms,
        l->baseline_ppm,      l->baseline_weight, l->probe_works,      (int64_t)l->total_answers,
        (int64_t)l->total_yes
    };
    int err = sqlite3_prepare_v2(s->db, "INSERT OR REPLACE INTO lists VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                                 -1, &q, NULL);

    if (err == SQLITE_OK) {
        sqlite3_bind_text(q, 1, l->name, -1, SQLITE_STATIC);
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            sqlite3_bind_int64(q, (int)i + 2, values[i]);
        }
        err = sqlite3_step(q) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(s->db);
    }
    sqlite3_finalize(q);
    return err;
}

static int write_lists(struct snapshot *s)
{
    int err = SQLITE_OK;

    for (size_t n = 0; n < MEMORY_LISTS && err == SQLITE_OK; n++) {
        struct memory_list *l = tables_list_at(s->t, n), *copy;

        if (l == NULL) {
            continue;
        }
        copy = xmalloc(sizeof(*copy));
        memory_list_copy(copy, l);
        tables_list_give(s->t, l);
        err = write_list(s, copy);
        free(copy);
    }
    return err;
}

static int finish_full(struct snapshot *s)
{
    struct buf sql;
    int err;

    buf_init(&sql, 200);
    buf_putf(&sql, "DELETE FROM entries WHERE gen <> %" PRId64, s->gen);
    err = run_sql(s, sql.ptr);
    buf_fini(&sql);
    return err;
}

static int write_all(struct snapshot *s, bool full, int64_t now_s)
{
    sqlite3_stmt *q = NULL;
    struct buf sql;
    int err = run_sql(s, "BEGIN");

    if (err == SQLITE_OK) {
        err = sqlite3_prepare_v2(s->db, "INSERT OR REPLACE INTO entries VALUES(?,?,?,?,?)", -1, &q, NULL);
    }
    for (size_t i = 0; i < ARRAY_LEN(stored) && err == SQLITE_OK; i++) {
        err = write_table(s, q, stored[i], full, now_s);
    }
    sqlite3_finalize(q);
    if (err == SQLITE_OK) {
        err = write_lists(s);
    }
    if (err == SQLITE_OK && full &&
        s->waits < BUSY_WAITS) { /* otherwise sets may be missing: keep their old rows */
        err = finish_full(s);
    }
    buf_init(&sql, 200);
    buf_putf(&sql, "INSERT OR REPLACE INTO meta VALUES('history', %" PRId64 "); COMMIT", s->t->h->history_s);
    if (err == SQLITE_OK) {
        err = run_sql(s, sql.ptr);
    } else {
        (void)run_sql(s, "ROLLBACK");
    }
    buf_fini(&sql);
    return err;
}

/* Was the file removed or replaced?  Writes to the open one would be lost. */
static bool is_gone(const struct snapshot *s)
{
    struct stat now;

    return stat(s->path, &now) != 0 || now.st_dev != s->file.st_dev || now.st_ino != s->file.st_ino;
}

static void write_pass(struct snapshot *s)
{
    int64_t now_s = wall_now_s();
    bool full;
    int err;

    if (s->db != NULL && is_gone(s)) {
        close_db(s);
        s->full_s = 0;
    }
    if (s->db == NULL && !open_db(s)) {
        return;
    }
    s->waits = 0;
    full = now_s >= s->full_s;
    if (full) {
        s->gen = now_s;
    }
    err = write_all(s, full, now_s);
    if (err == SQLITE_OK) {
        s->full_s = full ? now_s + FULL_S : s->full_s;
        return;
    }
    count(M_SNAPSHOT_ERRORS);
    s->full_s = 0; /* entries marked as written were not */
    if (is_damage(err)) {
        set_aside(s, sqlite3_errstr(err));
    } else {
        say(s, LOG_LEVEL_ERROR, "The database %s cannot be written (%s); it is tried again", s->path,
            sqlite3_errstr(err));
    }
    close_db(s);
}

static void write_keywords(struct snapshot *s)
{
    bool ok = state_keywords_write(s->st, s->state_dir);

    if (!ok && !s->keywords_failed) {
        say(s, LOG_LEVEL_WARN, "The keywords of the upstream servers cannot be written to %s: %s",
            s->state_dir, strerror(errno));
    }
    s->keywords_failed = !ok;
}

/* ---- the thread ---- */

/* True: the thread must end. */
static bool wait_s(struct snapshot *s, unsigned seconds)
{
    struct timespec until;
    bool stop;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    pthread_mutex_lock(&s->mutex);
    while (!s->stop && pthread_cond_timedwait(&s->wake, &s->mutex, &until) != ETIMEDOUT) {
        ;
    }
    stop = s->stop;
    pthread_mutex_unlock(&s->mutex);
    return stop;
}

static void *thread_main(void *arg)
{
    struct snapshot *s = arg;
    unsigned waited_s = 0;
    bool stop = false;

    if (s->t->h->loaded == 0) {
        load(s, wall_now_s());
    }
    while (!stop) {
        stop = wait_s(s, KEYWORDS_S);
        waited_s += KEYWORDS_S;
        write_keywords(s);
        if (stop || waited_s >= EVERY_S) {
            write_pass(s);
            waited_s = 0;
        }
    }
    close_db(s);
    pthread_mutex_lock(&s->mutex);
    s->done = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

struct snapshot *snapshot_start(struct state *st, const char *state_dir)
{
    struct snapshot *s = xcalloc(1, sizeof(*s));
    pthread_condattr_t attr;
    struct buf path;

    s->st = st;
    s->t = st->tables;
    s->state_dir = xstrdup(state_dir);
    s->gen = wall_now_s();
    buf_init(&path, 8192);
    buf_putf(&path, "%s/memory.db", state_dir);
    s->path = path.ptr != NULL ? path.ptr : xstrdup("memory.db");
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&s->thread, NULL, thread_main, s) == 0) {
        return s;
    }
    free(s->path);
    free(s->state_dir);
    free(s);
    return NULL;
}

bool snapshot_message(struct snapshot *s, enum log_level *level, struct buf *out)
{
    bool has;

    pthread_mutex_lock(&s->mutex);
    has = s->has_message;
    if (has) {
        *level = s->level;
        buf_put_str(out, s->message);
        s->has_message = false;
    }
    pthread_mutex_unlock(&s->mutex);
    return has;
}

bool snapshot_stop(struct snapshot *s, unsigned timeout_ms)
{
    struct timespec until;
    bool done;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    pthread_cond_broadcast(&s->wake);
    while (!s->done && pthread_cond_timedwait(&s->wake, &s->mutex, &until) != ETIMEDOUT) {
        ;
    }
    done = s->done;
    pthread_mutex_unlock(&s->mutex);
    return done;
}

void snapshot_free(struct snapshot **sp)
{
    struct snapshot *s = *sp;

    if (s == NULL) {
        return;
    }
    *sp = NULL;
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
    free(s->path);
    free(s->state_dir);
    free(s);
}
