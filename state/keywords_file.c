/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keywords_file.c - keeps the keywords of upstream servers over a restart, in the file `keywords` of state_dir.
 *
 *     corp 10.1.1.10:25 1733044800 PIPELINING 8BITMIME SIZE=37748736
 *
 * Upstream, address, time of the last EHLO (Unix time), keywords.  The supervisor reads the file into its own memory
 * when it starts a generation, and each child has a copy.  A worker that fills a record takes the keywords from this
 * copy.  If keywords changed, the recorder's thread writes a new file and renames it.
 *
 * Trust   the file belongs to an unprivileged user.  So we read only a plain file, at most FILE_MAX octets of it,
 *         skip every line that is not exactly as above, and never log its content.
 * Limits  STATE_UPSTREAM_SERVERS addresses of an upstream (drops the oldest); KEEP_S after the last EHLO.
 */
#include "core/loop.h"
#include "state/servers.h"
#include "state/shared_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define FILE_NAME "keywords"
#define FILE_MAX (512u * 1024u)
#define KEEP_S (30 * 86400)
#define REFRESH_S 86400 /* when to rewrite an unchanged line */

static const struct {
    struct slice word;
    uint64_t bit;
} words[] = {
    { SLICE_INIT("PIPELINING"), KEYWORD_PIPELINING },
    { SLICE_INIT("8BITMIME"), KEYWORD_8BITMIME },
    { SLICE_INIT("SMTPUTF8"), KEYWORD_SMTPUTF8 },
    { SLICE_INIT("DSN"), KEYWORD_DSN },
    { SLICE_INIT("SIZE"), KEYWORD_SIZE },
    { SLICE_INIT("STARTTLS"), KEYWORD_STARTTLS },
    { SLICE_INIT("CHUNKING"), KEYWORD_CHUNKING },
    { SLICE_INIT("XCLIENT"), KEYWORD_XCLIENT },
    { SLICE_INIT("XFORWARD"), KEYWORD_XFORWARD },
    { SLICE_INIT("ENHANCEDSTATUSCODES"), KEYWORD_ENHANCED },
};

static bool same_endpoint(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port && addr_same_ip(a, b);
}

/* The entry of the address; a free one; else the oldest. */
static struct recalled *entry_for(struct state *s, int upstream, const struct addr *a)
{
    struct recalled *list = s->recalled[upstream], *best = &list[0];

    for (size_t i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        if (same_endpoint(&list[i].address, a)) {
            return &list[i];
        }
        if (best->address.family != ADDR_NONE &&
            (list[i].address.family == ADDR_NONE || list[i].at_s < best->at_s)) {
            best = &list[i];
        }
    }
    *best = (struct recalled){ .address = *a };
    return best;
}

void keywords_recall(const struct state *s, int upstream, struct server *sv, const struct addr *a)
{
    uint64_t unknown = 0;

    for (size_t i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        const struct recalled *r = &s->recalled[upstream][i];

        if (!same_endpoint(&r->address, a) || sv->keywords != 0) {
            continue;
        }
        sv->keywords_size = r->size;
        (void)atomic_compare_exchange_strong(&sv->keywords, &unknown, r->bits); /* an EHLO may come first */
    }
}

bool state_keywords_recalled(const struct state *s, int upstream, size_t i, struct state_keywords *out)
{
    const struct recalled *r;

    memset(out, 0, sizeof(*out));
    if (upstream < 0 || upstream >= STATE_UPSTREAMS || i >= STATE_UPSTREAM_SERVERS) {
        return false;
    }
    r = &s->recalled[upstream][i];
    keywords_unpack(r->bits, out);
    out->size = r->size;
    return r->address.family != ADDR_NONE;
}

/* ---- reading ---- */

/* Takes "SIZE=50" or "DSN".  False: unknown word. */
static bool take_word(struct slice word, struct recalled *r)
{
    struct slice name = slice_cut(&word, '=');

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!slice_eq(name, words[i].word)) {
            continue;
        }
        r->bits |= words[i].bit;
        return slice_empty(word) ||
               (words[i].bit == KEYWORD_SIZE && slice_to_u64(word, UINT64_MAX - 1, &r->size));
    }
    return false;
}

static void take_line(struct state *s, struct slice line, int64_t now_s)
{
    struct recalled r = { .bits = KEYWORD_KNOWN }, *to;
    char name[STATE_UPSTREAM_NAME_MAX + 1];
    struct slice word = slice_token(&line);
    uint64_t at_s;
    int upstream;

    if (word.len == 0 || word.len >= sizeof(name)) {
        return;
    }
    memcpy(name, word.ptr, word.len);
    name[word.len] = '\0';
    upstream = state_upstream_find(s, name);
    if (upstream < 0 || !addr_parse_endpoint(slice_token(&line), &r.address) ||
        !slice_to_u64(slice_token(&line), INT64_MAX, &at_s)) {
        return;
    }
    r.at_s = (int64_t)at_s < now_s ? (int64_t)at_s : now_s;
    if (now_s - r.at_s > KEEP_S) {
        return;
    }
    for (word = slice_token(&line); word.len > 0; word = slice_token(&line)) {
        if (!take_word(word, &r)) {
            return;
        }
    }
    to = entry_for(s, upstream, &r.address);
    if (to->at_s <= r.at_s) {
        *to = r;
    }
}

static void read_all(int fd, struct buf *text)
{
    char part[4096];
    ssize_t n = 1;

    while (n > 0 && text->len < FILE_MAX - sizeof(part)) {
        n = read(fd, part, sizeof(part));
        if (n > 0) {
            buf_put(text, part, (size_t)n);
        }
    }
}

void state_keywords_read(struct state *s, const char *state_dir)
{
    struct buf path, text;
    struct slice rest;
    struct stat st;
    int64_t now_s = wall_now_s();
    int fd;

    buf_init(&path, 8192);
    buf_init(&text, FILE_MAX);
    buf_putf(&path, "%s/" FILE_NAME, state_dir);
    fd = buf_ok(&path) ? open(path.ptr, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        read_all(fd, &text);
    }
    if (fd >= 0) {
        close(fd);
    }
    rest = buf_slice(&text);
    while (!slice_empty(rest)) {
        take_line(s, slice_cut(&rest, '\n'), now_s);
    }
    buf_fini(&path);
    buf_fini(&text);
}

/* ---- writing ---- */

/* Copies the keywords of a live record into the list, if they are newer. */
static void note_record(struct state *s, int upstream, size_t i, int64_t now_s)
{
    struct state_server_info info;
    struct recalled *r;
    const struct server *sv;
    uint64_t bits, size;

    if (!state_server_info(s, upstream, i, &info)) {
        return;
    }
    sv = server_at(s, info.server);
    bits = sv->keywords;
    size = sv->keywords_size;
    if (!(bits & KEYWORD_KNOWN) || sv->keywords_at_ms == 0) {
        return;
    }
    r = entry_for(s, upstream, &info.address);
    if (r->bits == bits && r->size == size && now_s - r->at_s < REFRESH_S) {
        return;
    }
    r->bits = bits;
    r->size = size;
    r->at_s = now_s;
    s->recalled_changed = true;
}

static void put_entry(struct buf *out, const char *upstream, const struct recalled *r)
{
    buf_putf(out, "%s ", upstream);
    addr_put_endpoint(out, &r->address);
    buf_putf(out, " %" PRId64, r->at_s);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!(r->bits & words[i].bit)) {
            continue;
        }
        buf_putf(out, " " SLICE_FMT, SLICE_ARG(words[i].word));
        if (words[i].bit == KEYWORD_SIZE && r->size != 0) {
            buf_putf(out, "=%" PRIu64, r->size);
        }
    }
    buf_put_char(out, '\n');
}

static void put_all(const struct state *s, struct buf *out)
{
    for (int u = 0; u < STATE_UPSTREAMS; u++) {
        for (size_t i = 0; s->upstream[u].name[0] != '\0' && i < STATE_UPSTREAM_SERVERS; i++) {
            if (s->recalled[u][i].address.family != ADDR_NONE) {
                put_entry(out, s->upstream[u].name, &s->recalled[u][i]);
            }
        }
    }
}

static bool write_file(const char *path, struct slice text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0;

    while (ok && text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);

        ok = n > 0;
        text = slice_skip(text, ok ? (size_t)n : 0);
    }
    if (fd >= 0) {
        ok = fsync(fd) == 0 && ok;
        close(fd);
    }
    return ok;
}

/* Replaces the file completely or not at all. */
static bool replace_file(const char *state_dir, struct slice text)
{
    struct buf path, beside;
    bool ok;

    buf_init(&path, 8192);
    buf_init(&beside, 8192);
    buf_putf(&path, "%s/" FILE_NAME, state_dir);
    buf_putf(&beside, "%s/" FILE_NAME ".new", state_dir);
    ok =
        buf_ok(&path) && buf_ok(&beside) && write_file(beside.ptr, text) && rename(beside.ptr, path.ptr) == 0;
    buf_fini(&path);
    buf_fini(&beside);
    return ok;
}

bool state_keywords_write(struct state *s, const char *state_dir)
{
    int64_t now_s = wall_now_s();
    struct buf text;

    for (int u = 0; u < STATE_UPSTREAMS; u++) {
        for (size_t i = 0; s->upstream[u].name[0] != '\0' && i < STATE_UPSTREAM_SERVERS; i++) {
            note_record(s, u, i, now_s);
        }
    }
    if (!s->recalled_changed) {
        return true;
    }
    buf_init(&text, FILE_MAX);
    put_all(s, &text);
    s->recalled_changed = !buf_ok(&text) || !replace_file(state_dir, buf_slice(&text));
    buf_fini(&text);
    return !s->recalled_changed;
}
