/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool.c - one message: memory that grows in four steps, extra memory while it is plentiful, then a file.
 *
 *   0        4 K   16 K  64 K   limits.spool_memory     three pieces      the rest
 *   |---------|-----|-----|-------------|-----------|-----------|-----------|------------------->
 *   one contiguous block                     256 K each at most        file, through one block of IO_BLOCK
 *
 * The pieces avoid most files: writing a message to a file, reading it back and freeing its pages costs several
 * times as much as a copy.  A spool takes pieces only while all messages hold less than a quarter of
 * limits.memory, so under load each message holds at most limits.spool_memory.  Once a message has a file,
 * the rest of it goes there.  An explicit limits.spool_memory is a hard limit: no pieces then.
 *
 * The block of the file collects small writes.  A large write goes straight to the file, in one call with the
 * collected octets.  From the first read on, the block holds what was read.  Normally all appends come before
 * all reads; an append after a read is possible and starts the block anew.
 *
 * Budgets: the gauges MEMORY_USED and SPOOL_USED hold the total of this process's spools.  MEMORY_HELD adds the
 * other memory that limits.memory counts (arenas of connections, the DNS cache).  Before a spool takes more, it
 * compares the sums of MEMORY_HELD and SPOOL_USED over all processes with limits.memory and limits.spool.  Two
 * processes may check at once, so a sum can pass its limit by one step each.  Each charge is returned exactly.
 *
 * Owns: memory, the file's descriptor, the charges; nothing outlives the message.  Writing to the file blocks
 * (page cache, an unlinked file), so it happens in large pieces.  Limits: limits.memory, limits.spool,
 * limits.spool_memory.
 */
#include "proxy/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "core/metrics.h"
#include "state/slots.h"
#include "state/state.h"

#define FIRST_STEP 4096u
#define GROWTH 4u
#define IO_BLOCK (256u << 10)
#define STRAIGHT (32u << 10) /* octets that justify a write of their own */
#define SPOOL_STEP IO_BLOCK  /* unit of the charges to limits.spool */

#define PIECES 3u    /* extra memory behind the first block */
#define PLENTY_OF 4u /* divisor of limits.memory: no pieces once this share is in use */

struct spool {
    struct state *st; /* NULL in tests: only this process counts */
    const struct config *conf;
    uint64_t size;

    char *head; /* the first octets of the message */
    size_t head_len;
    size_t head_cap;

    char *piece[PIECES]; /* the octets after the head; NULL: not allocated yet */
    uint64_t pieces_len; /* octets in the pieces */

    int fd;            /* -1: no file yet */
    uint64_t file_len; /* octets written to the file */
    char *block;       /* IO_BLOCK octets; NULL while there is no file */
    uint64_t block_at; /* offset of the block in the file */
    size_t block_len;  /* octets in the block */
    bool unwritten;    /* the file does not have the block's octets yet */

    uint64_t charged_memory, charged_spool;
    enum spool_status failed; /* sticky */
};

/* ---- budgets ---- */

static uint64_t used_now(struct state *st, enum metric gauge)
{
    return st != NULL ? state_gauge_sum(st, gauge) : metric_get(gauge);
}

static bool has_room(struct state *st, enum metric gauge, uint64_t limit, uint64_t more)
{
    uint64_t used;

    if (limit == CONFIG_OFF) {
        return true;
    }
    used = used_now(st, gauge);
    return used <= limit && more <= limit - used;
}

static void hold_memory(int64_t more)
{
    gauge_add(M_MEMORY_USED, more);
    gauge_add(M_MEMORY_HELD, more);
}

static bool charge_memory(struct spool *sp, uint64_t more)
{
    if (!has_room(sp->st, M_MEMORY_HELD, sp->conf->limits.memory, more)) {
        return false;
    }
    hold_memory((int64_t)more);
    sp->charged_memory += more;
    return true;
}

static bool charge_spool(struct spool *sp, uint64_t more)
{
    if (!has_room(sp->st, M_SPOOL_USED, sp->conf->limits.spool, more)) {
        return false;
    }
    gauge_add(M_SPOOL_USED, (int64_t)more);
    sp->charged_spool += more;
    return true;
}

/* Counts the reason for a failure where it occurs, once for each message. */
static enum spool_status counted(enum spool_status status)
{
    static const enum metric metrics[] = {
        [SPOOL_NO_MEMORY] = M_LIMIT_MEMORY,
        [SPOOL_NO_SPACE] = M_LIMIT_SPOOL,
        [SPOOL_IO] = M_SPOOL_ERRORS,
    };

    if (status != SPOOL_OK) {
        count(metrics[status]);
    }
    return status;
}

bool spool_room(struct state *st, const struct config *c, uint64_t expected)
{
    uint64_t in_memory = min_u64(expected, c->limits.spool_memory);
    uint64_t in_file = expected - in_memory;

    in_memory += in_file > 0 ? IO_BLOCK : 0;
    if (in_memory < FIRST_STEP) {
        in_memory = FIRST_STEP;
    }
    if (!has_room(st, M_MEMORY_HELD, c->limits.memory, in_memory)) {
        (void)counted(SPOOL_NO_MEMORY);
        return false;
    }
    if (in_file > 0 && !has_room(st, M_SPOOL_USED, c->limits.spool, in_file)) {
        (void)counted(SPOOL_NO_SPACE);
        return false;
    }
    return true;
}

/* ---- lifecycle ---- */

struct spool *spool_new(struct state *st, const struct config *c)
{
    struct spool *sp = xcalloc(1, sizeof(*sp));

    sp->st = st;
    sp->conf = c;
    sp->fd = -1;
    return sp;
}

void spool_free(struct spool **spp)
{
    struct spool *sp = *spp;

    if (sp == NULL) {
        return;
    }
    *spp = NULL;
    hold_memory(-(int64_t)sp->charged_memory);
    gauge_add(M_SPOOL_USED, -(int64_t)sp->charged_spool);
    if (sp->fd >= 0) {
        close(sp->fd);
    }
    for (size_t i = 0; i < PIECES; i++) {
        free(sp->piece[i]);
    }
    free(sp->block);
    free(sp->head);
    free(sp);
}

uint64_t spool_size(const struct spool *sp)
{
    return sp->size;
}

struct slice spool_head(const struct spool *sp)
{
    return slice_of(sp->head, sp->head_len);
}

/* ---- memory ---- */

/* Makes room for `want` octets in the head, if the budget allows it. */
static bool grow_head(struct spool *sp, size_t want)
{
    size_t cap = sp->head_cap > 0 ? sp->head_cap : FIRST_STEP;
    char *grown;

    while (cap < want) {
        cap *= GROWTH;
    }
    cap = (size_t)min_u64(cap, sp->conf->limits.spool_memory);
    if (cap <= sp->head_cap) {
        return true;
    }
    if (!charge_memory(sp, cap - sp->head_cap)) {
        return false;
    }
    grown = realloc(sp->head, cap);
    if (grown == NULL) {
        return false; /* a peer chose the size, so fail softly; spool_free returns the charge */
    }
    sp->head = grown;
    sp->head_cap = cap;
    return true;
}

/* Fills the head; sets *taken to the octets of data stored there. */
static enum spool_status put_head(struct spool *sp, const char *data, size_t len, size_t *taken)
{
    uint64_t room = sp->conf->limits.spool_memory - min_u64(sp->head_len, sp->conf->limits.spool_memory);
    size_t n = (size_t)min_u64(len, room);

    *taken = 0;
    if (n == 0) {
        return SPOOL_OK;
    }
    if (sp->head_cap - sp->head_len < n && !grow_head(sp, sp->head_len + n)) {
        return SPOOL_NO_MEMORY;
    }
    memcpy(sp->head + sp->head_len, data, n);
    sp->head_len += n;
    *taken = n;
    return SPOOL_OK;
}

static size_t piece_size(const struct spool *sp)
{
    return (size_t)min_u64(sp->conf->limits.spool_memory, IO_BLOCK);
}

/* Adds one more piece, if memory is plentiful. */
static bool add_piece(struct spool *sp, size_t at)
{
    uint64_t limit = sp->conf->limits.memory;
    size_t size = piece_size(sp);

    limit = limit == CONFIG_OFF ? CONFIG_OFF : limit / PLENTY_OF;
    if (!has_room(sp->st, M_MEMORY_HELD, limit, size) || !charge_memory(sp, size)) {
        return false;
    }
    sp->piece[at] = malloc(size);
    return sp->piece[at] != NULL; /* on failure the file is used; spool_free returns the charge */
}

/* Fills the pieces; sets *taken to the octets of data stored there. */
static void put_pieces(struct spool *sp, const char *data, size_t len, size_t *taken)
{
    size_t size = piece_size(sp);

    *taken = 0;
    while (*taken < len && sp->fd < 0 && !sp->conf->limits.spool_memory_exact) {
        size_t at = (size_t)(sp->pieces_len / size), from = (size_t)(sp->pieces_len % size);
        size_t n = min_size(len - *taken, size - from);

        if (at == PIECES || (sp->piece[at] == NULL && !add_piece(sp, at))) {
            return;
        }
        memcpy(sp->piece[at] + from, data + *taken, n);
        sp->pieces_len += n;
        *taken += n;
    }
}

/* The octets that the pieces hold from offset `at` behind the first block. */
static struct slice read_piece(const struct spool *sp, uint64_t at)
{
    size_t size = piece_size(sp), from = (size_t)(at % size);

    return slice_of(sp->piece[at / size] + from, (size_t)min_u64(size - from, sp->pieces_len - at));
}

/* ---- the file ---- */

static int open_named(const char *dir)
{
    struct buf path;
    int fd;

    buf_init(&path, 4096);
    buf_put_str(&path, dir);
    buf_put_str(&path, "/spool-XXXXXX");
    if (!buf_ok(&path)) {
        buf_fini(&path);
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path.ptr, O_CLOEXEC);
    if (fd >= 0) {
        unlink(path.ptr);
    }
    buf_fini(&path);
    return fd;
}

static enum spool_status open_file(struct spool *sp)
{
    const char *dir = sp->conf->server.spool_dir;

    if (!charge_memory(sp, IO_BLOCK)) {
        return SPOOL_NO_MEMORY;
    }
    sp->block = malloc(IO_BLOCK);
    if (sp->block == NULL) {
        return SPOOL_NO_MEMORY;
    }
    sp->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (sp->fd < 0 && errno != EMFILE && errno != ENFILE) { /* some file systems lack O_TMPFILE */
        sp->fd = open_named(dir);
    }
    if (sp->fd < 0) {
        return errno == ENOSPC || errno == EDQUOT ? SPOOL_NO_SPACE : SPOOL_IO;
    }
    return SPOOL_OK;
}

static enum spool_status charge_file(struct spool *sp, size_t len)
{
    uint64_t more;

    if (sp->charged_spool >= sp->file_len + len) {
        return SPOOL_OK;
    }
    more = sp->file_len + len - sp->charged_spool;
    more += SPOOL_STEP - 1 - (more - 1) % SPOOL_STEP;
    if (!charge_spool(sp, more) && !charge_spool(sp, sp->file_len + len - sp->charged_spool)) {
        return SPOOL_NO_SPACE;
    }
    return SPOOL_OK;
}

/* Appends both slices to the file completely. */
static enum spool_status write_out(struct spool *sp, struct slice first, struct slice second)
{
    enum spool_status status = charge_file(sp, first.len + second.len);

    while (status == SPOOL_OK && first.len + second.len > 0) {
        struct iovec iov[2] = { { (void *)(uintptr_t)first.ptr, first.len },
                                { (void *)(uintptr_t)second.ptr, second.len } };
        bool one = first.len == 0;
        ssize_t n = pwritev(sp->fd, one ? iov + 1 : iov, one ? 1 : 2, (off_t)sp->file_len);
        size_t done;

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 || errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? SPOOL_NO_SPACE : SPOOL_IO;
        }
        sp->file_len += (size_t)n;
        done = min_size((size_t)n, first.len);
        first = slice_skip(first, done);
        second = slice_skip(second, (size_t)n - done);
    }
    return status;
}

static enum spool_status flush_block(struct spool *sp)
{
    enum spool_status status = SPOOL_OK;

    if (sp->unwritten) {
        status = write_out(sp, slice_of(sp->block, sp->block_len), SLICE_NONE);
        sp->unwritten = false;
    }
    return status;
}

static enum spool_status put_file(struct spool *sp, const char *data, size_t len)
{
    enum spool_status status = sp->fd < 0 ? open_file(sp) : SPOOL_OK;

    if (status == SPOOL_OK && len >= STRAIGHT) {
        size_t collected = sp->unwritten ? sp->block_len : 0;

        sp->unwritten = false;
        sp->block_len = 0;
        return write_out(sp, slice_of(sp->block, collected), slice_of(data, len));
    }
    if (status == SPOOL_OK && !sp->unwritten) {
        sp->block_at = sp->file_len;
        sp->block_len = 0;
        sp->unwritten = true;
    }
    while (status == SPOOL_OK && len > 0) {
        size_t n = min_size(len, IO_BLOCK - sp->block_len);

        memcpy(sp->block + sp->block_len, data, n);
        sp->block_len += n;
        data += n;
        len -= n;
        if (sp->block_len == IO_BLOCK) {
            status = flush_block(sp);
            sp->block_at = sp->file_len;
            sp->block_len = 0;
            sp->unwritten = true;
        }
    }
    return status;
}

enum spool_status spool_put(struct spool *sp, const void *data, size_t len)
{
    const char *from = data;
    size_t taken = 0, more = 0;

    if (sp->failed != SPOOL_OK || len == 0) {
        return sp->failed;
    }
    sp->failed = put_head(sp, from, len, &taken);
    if (sp->failed == SPOOL_OK && taken < len) {
        put_pieces(sp, from + taken, len - taken, &more);
        taken += more;
    }
    if (sp->failed == SPOOL_OK && taken < len) {
        sp->failed = put_file(sp, from + taken, len - taken);
    }
    if (sp->failed == SPOOL_OK) {
        sp->size += len;
    }
    return counted(sp->failed);
}

/* ---- reading ---- */

/* Loads the block from offset `at` of the file. */
static enum spool_status load_block(struct spool *sp, uint64_t at)
{
    enum spool_status status = flush_block(sp);
    size_t want = (size_t)min_u64(IO_BLOCK, sp->file_len - min_u64(at, sp->file_len));

    sp->block_at = at;
    sp->block_len = 0;
    while (status == SPOOL_OK && sp->block_len < want) {
        ssize_t n =
            pread(sp->fd, sp->block + sp->block_len, want - sp->block_len, (off_t)(at + sp->block_len));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            sp->block_len = 0;
            return SPOOL_IO;
        }
        sp->block_len += (size_t)n;
    }
    return status;
}

struct slice spool_read(struct spool *sp, uint64_t offset, size_t max, enum spool_status *status)
{
    uint64_t at;
    size_t from;

    *status = sp->failed;
    if (sp->failed != SPOOL_OK || offset >= sp->size || max == 0) {
        return SLICE_NONE;
    }
    if (offset < sp->head_len) {
        return slice_take(slice_skip(spool_head(sp), (size_t)offset), max);
    }
    at = offset - sp->head_len;
    if (at < sp->pieces_len) {
        return slice_take(read_piece(sp, at), max);
    }
    at -= sp->pieces_len;
    if (at < sp->block_at || at - sp->block_at >= sp->block_len) {
        *status = sp->failed = counted(load_block(sp, at));
        if (sp->failed != SPOOL_OK) {
            return SLICE_NONE;
        }
    }
    from = (size_t)(at - sp->block_at);
    return slice_take(slice_of(sp->block + from, sp->block_len - from), max);
}
