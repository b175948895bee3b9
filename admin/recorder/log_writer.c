/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_writer.c - rings to standard output, standard error, a file or syslog; a thread of its own.
 *
 * It takes lines in batches and writes them whole; the first line after a pause waits GATHER_MS for others.  Each
 * batch tries again a file that cannot be written, or a named pipe without a reader.  Lines that it could not write
 * are lost and counted; it ends a truncated line before the next one.  While the file cannot be opened, lines go
 * to standard error, where systemd keeps them.  Syslog: log_syslog.h.  If standard output or error is the journal's,
 * each line starts with its priority (log.h).  The thread never logs itself, because its ring belongs to another
 * thread.  The main thread reads its newest error.
 */
#include "admin/recorder/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "admin/recorder/log_syslog.h"
#include "state/log_ring.h"

#define BATCH_BYTES (64 * 1024)
#define POLL_MS 500
#define GATHER_MS 10 /* after a wake-up: lines in this time need no wake-up and no write of their own */

struct log_writer {
    struct state *st;
    const struct config_log *log;
    pthread_t thread;
    struct log_syslog *syslog; /* NULL: another target */
    int fd;                    /* -1: syslog, or a file that could not be opened */
    bool owned;
    bool torn;    /* the last line in the file has no end yet */
    bool journal; /* fd belongs to the journal */
    _Atomic bool stop, reopen;
    _Atomic int error;
};

static void open_target(struct log_writer *w)
{
    if (w->owned && w->fd >= 0) {
        close(w->fd);
    }
    w->owned = w->torn = w->journal = false;
    w->fd = -1;
    switch (w->log->to) {
    case LOG_TO_STDOUT:
        w->fd = STDOUT_FILENO;
        break;
    case LOG_TO_STDERR:
        w->fd = STDERR_FILENO;
        break;
    case LOG_TO_SYSLOG:
        break;
    case LOG_TO_FILE:
        w->fd = open(w->log->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
        w->owned = true;
        if (w->fd < 0) {
            w->error = errno;
        }
        break;
    }
    w->journal = !w->owned && w->fd >= 0 && log_fd_is_journal(w->fd);
}

/* Returns the text that it could not write. */
static struct slice write_all(struct log_writer *w, int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0 && errno == EAGAIN) { /* a full pipe, or another process made it non-blocking */
            struct pollfd p = { fd, POLLOUT, 0 };

            (void)poll(&p, 1, POLL_MS);
            if (w->stop) {
                return text;
            }
            continue;
        }
        if (n < 0 && errno != EINTR) {
            w->error = errno;
            break;
        }
        if (n > 0) {
            w->torn = text.ptr[n - 1] != '\n';
        }
        text = slice_skip(text, n > 0 ? (size_t)n : 0);
    }
    return text;
}

static size_t count_lines(struct slice text)
{
    size_t n = 0;

    for (; text.len > 0; n++) {
        (void)slice_cut(&text, '\n');
    }
    return n;
}

static void write_lines(struct log_writer *w, struct slice batch)
{
    if (w->fd < 0) {
        open_target(w);
    }
    if (w->fd >= 0 && w->torn) {
        (void)write_all(w, w->fd, SLICE("\n"));
    }
    if (w->fd < 0) {
        batch = write_all(w, STDERR_FILENO, batch);
    } else if (!w->torn) {
        batch = write_all(w, w->fd, batch);
    }
    count_n(M_LOG_DROPPED, count_lines(batch));
}

/* After a failure it skips the rest of the batch; the next batch tries the daemon again. */
static void send_lines(struct log_writer *w, struct slice batch)
{
    int err = 0;

    while (batch.len > 0 && (err == 0 || err == EMSGSIZE)) {
        struct slice line = slice_cut(&batch, '\n');

        err = log_syslog_send(w->syslog, line, &w->stop);
        if (err != 0) {
            w->error = err;
            count(M_LOG_DROPPED);
        }
    }
    count_n(M_LOG_DROPPED, count_lines(batch));
}

static void write_batch(struct log_writer *w, struct slice batch)
{
    if (w->syslog != NULL) {
        send_lines(w, batch);
    } else {
        write_lines(w, batch);
    }
}

#define PREFIX_LEN 3 /* "<6>" */

/* Takes one line from the rings, with its priority in front if the journal reads it.  False: there is none. */
static bool take_line(struct log_writer *w, struct buf *batch)
{
    size_t start = batch->len;
    struct slice line;

    buf_put_str(batch, w->journal ? "<6>" : "");
    if (!state_log_read(w->st, batch)) {
        buf_truncate(batch, start);
        return false;
    }
    if (batch->ptr[batch->len - 1] != '\n') {
        buf_put_char(batch, '\n');
    }
    if (w->journal) {
        line = slice_skip(buf_slice(batch), start + PREFIX_LEN);
        batch->ptr[start + 1] = (char)('0' + log_priority(log_level_of_line(line)));
    }
    return true;
}

/* Takes lines until the batch is full or the rings are empty; returns their number. */
static size_t take_batch(struct log_writer *w, struct buf *batch)
{
    size_t lines = 0;

    buf_reset(batch);
    while (batch->len + PREFIX_LEN + LOG_LINE_MAX + 1 <= BATCH_BYTES && take_line(w, batch)) {
        lines++;
    }
    return lines;
}

static void sleep_until_woken(struct log_writer *w)
{
    struct pollfd p = { state_log_fd(w->st), POLLIN, 0 };
    struct timespec gather = { 0, GATHER_MS * 1000000L };
    uint64_t n;

    if (poll(&p, 1, POLL_MS) <= 0) {
        return;
    }
    (void)!read(p.fd, &n, sizeof(n));
    if (!w->stop) {
        (void)nanosleep(&gather, NULL);
    }
}

static void *run(void *arg)
{
    struct log_writer *w = arg;
    struct buf batch;

    buf_init(&batch, BATCH_BYTES);
    open_target(w);
    for (;;) {
        bool last = w->stop; /* read it before the rings, to include lines logged before the stop */
        size_t lines;

        if (atomic_exchange(&w->reopen, false)) {
            open_target(w);
        }
        lines = take_batch(w, &batch);
        if (lines > 0) {
            write_batch(w, buf_slice(&batch));
        } else if (last) {
            break;
        } else {
            sleep_until_woken(w);
        }
    }
    buf_fini(&batch);
    if (w->owned && w->fd >= 0) {
        close(w->fd);
    }
    return NULL;
}

struct log_writer *log_writer_start(struct state *st, const struct config_log *log)
{
    struct log_writer *w = xcalloc(1, sizeof(*w));

    w->st = st;
    w->log = log;
    w->fd = -1;
    if (log->to == LOG_TO_SYSLOG) {
        w->syslog = log_syslog_new(LOG_SYSLOG_PATH);
    }
    if (pthread_create(&w->thread, NULL, run, w) == 0) {
        return w;
    }
    log_syslog_free(&w->syslog);
    free(w);
    return NULL;
}

static void nudge(struct log_writer *w)
{
    uint64_t one = 1;

    (void)!write(state_log_fd(w->st), &one, sizeof(one));
}

void log_writer_reopen(struct log_writer *w)
{
    w->reopen = true;
    nudge(w);
}

bool log_writer_stop(struct log_writer *w, unsigned wait_ms)
{
    struct timespec until;

    w->stop = true;
    nudge(w);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(wait_ms / 1000) + 1;
    if (pthread_timedjoin_np(w->thread, NULL, &until) != 0) {
        return false;
    }
    log_syslog_free(&w->syslog);
    free(w);
    return true;
}

int log_writer_error(struct log_writer *w)
{
    return atomic_exchange(&w->error, 0);
}
