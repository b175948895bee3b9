/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_syslog.c - one record a line: <priority>Mmm dd hh:mm:ss glacis[pid]: line
 *
 * It does not use the C library's syslog(), which does not report losses.  The socket never blocks.  If it is full, the
 * code polls it in turns of WAIT_MS, so that it notices a stop.  It closes a failed socket and opens it once more for
 * the same record, because a restarted daemon has a new one.  If the daemon listens on a stream socket, records
 * end with a NUL.
 *
 * Facility   mail.  The pid is the recorder's, which sends for all processes; the line names its process.
 * Limits     one record, LOG_LINE_MAX and its head.
 */
#include "admin/recorder/log_syslog.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>

#include "core/buf.h"
#include "core/log.h"

#define WAIT_MS 100
#define HEAD_MAX 80

struct log_syslog {
    const char *path;
    int fd; /* -1: not connected */
    bool stream;
};

struct log_syslog *log_syslog_new(const char *path)
{
    struct log_syslog *s = xcalloc(1, sizeof(*s));

    s->path = path;
    s->fd = -1;
    tzset();
    return s;
}

static void disconnect(struct log_syslog *s)
{
    if (s->fd >= 0) {
        close(s->fd);
    }
    s->fd = -1;
}

void log_syslog_free(struct log_syslog **s)
{
    if (*s != NULL) {
        disconnect(*s);
        free(*s);
    }
    *s = NULL;
}

/* Returns 0 or an errno. */
static int connect_as(struct log_syslog *s, int type)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    size_t len = strlen(s->path);
    int err = 0;

    if (len >= sizeof(sa.sun_path)) {
        return ENAMETOOLONG;
    }
    memcpy(sa.sun_path, s->path, len);
    s->stream = type == SOCK_STREAM;
    s->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
        err = errno;
        disconnect(s);
    }
    return err;
}

static int reconnect(struct log_syslog *s)
{
    int err;

    disconnect(s);
    err = connect_as(s, SOCK_DGRAM);
    return err == EPROTOTYPE ? connect_as(s, SOCK_STREAM) : err;
}

static void put_record(struct buf *b, struct slice line)
{
    char stamp[32];
    struct tm tm;
    time_t now = time(NULL);

    localtime_r(&now, &tm);
    (void)strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
    buf_putf(b, "<%u>%s glacis[%ld]: ", LOG_MAIL | log_priority(log_level_of_line(line)), stamp,
             (long)getpid());
    buf_put_slice(b, slice_take(line, LOG_LINE_MAX));
}

/* Did the socket fail, and not the record? */
static bool is_lost(int err)
{
    return err != 0 && err != EAGAIN && err != EMSGSIZE;
}

/* Sends the whole record, including the NUL behind it if needed; 0 or an errno. */
static int send_record(struct log_syslog *s, struct slice record, const _Atomic bool *stop)
{
    record.len += s->stream ? 1 : 0;
    while (record.len > 0) {
        ssize_t n = send(s->fd, record.ptr, record.len, MSG_NOSIGNAL);
        struct pollfd p = { s->fd, POLLOUT, 0 };

        if (n >= 0) {
            record = slice_skip(record, (size_t)n);
        } else if (errno == EAGAIN && !*stop) {
            (void)poll(&p, 1, WAIT_MS);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int log_syslog_send(struct log_syslog *s, struct slice line, const _Atomic bool *stop)
{
    char mem[LOG_LINE_MAX + HEAD_MAX];
    struct buf record;
    int err = ENOTCONN;

    buf_init_fixed(&record, mem, sizeof(mem));
    put_record(&record, line);
    if (s->fd >= 0) {
        err = send_record(s, buf_slice(&record), stop);
    }
    if (is_lost(err)) {
        err = reconnect(s);
        err = err == 0 ? send_record(s, buf_slice(&record), stop) : err;
    }
    if (is_lost(err)) {
        disconnect(s);
    }
    return err;
}
