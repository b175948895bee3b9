/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - finds, binds and queries the sockets `control` and `query`.
 *
 * A unix address holds 107 octets of path.  For a longer path the code goes through /proc/self/fd of its folder.
 */
#include "admin/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define FILE_MAX (4 * 1024 * 1024)
#define BACKLOG 16

static bool read_all(int fd, struct buf *out)
{
    char mem[8192];
    ssize_t n;

    while ((n = read(fd, mem, sizeof(mem))) != 0) {
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        buf_put(out, mem, (size_t)n);
    }
    return buf_ok(out);
}

/* Finds the value of "state_dir: x", on a line of its own or within braces, and removes quotes. */
static bool value_of_line(struct slice line, struct slice *value)
{
    static const struct slice key = SLICE_INIT("state_dir:");
    const char *at;
    size_t end = 0;

    line = slice_trim(line);
    at = line.len > 0 ? memmem(line.ptr, line.len, key.ptr, key.len) : NULL;
    if (at == NULL || line.ptr[0] == '#' || (at > line.ptr && memchr(" \t{,", at[-1], 4) == NULL)) {
        return false;
    }
    line = slice_trim(slice_skip(line, (size_t)(at - line.ptr) + key.len));
    if (line.len >= 2 && (line.ptr[0] == '"' || line.ptr[0] == '\'')) {
        char quote = line.ptr[0];

        line = slice_skip(line, 1);
        *value = slice_take(line, slice_find(line, quote));
        return true;
    }
    while (end < line.len && memchr(",}#", line.ptr[end], 3) == NULL) {
        end++;
    }
    *value = slice_trim(slice_take(line, end));
    return true;
}

bool control_state_dir(const char *config_path, struct buf *out)
{
    struct buf text;
    struct slice rest, value = SLICE(CONTROL_STATE_DIR);
    struct stat st;
    int fd = open(config_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok;

    if (fd < 0) {
        return false;
    }
    buf_init(&text, FILE_MAX);
    ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read_all(fd, &text);
    close(fd);
    rest = buf_slice(&text);
    while (ok && rest.len > 0) {
        if (value_of_line(slice_cut(&rest, '\n'), &value)) {
            break;
        }
    }
    ok = ok && value.len > 0 && slice_find(value, '$') == value.len;
    if (ok) {
        buf_put_slice(out, value);
    }
    buf_fini(&text);
    return ok && buf_ok(out);
}

/* Fills the address.  If it had to open the folder, *dir is its descriptor; the caller closes it afterwards. */
static bool address_of(const char *path, struct sockaddr_un *sa, int *dir)
{
    struct slice p = slice_str(path);
    size_t slash = slice_rfind(p, '/');
    struct buf b;
    char *folder;

    *dir = -1;
    memset(sa, 0, sizeof(*sa));
    sa->sun_family = AF_UNIX;
    if (p.len < sizeof(sa->sun_path)) {
        memcpy(sa->sun_path, path, p.len);
        return true;
    }
    folder = slice_dup(slice_take(p, slash));
    *dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (*dir < 0) {
        return false;
    }
    buf_init_fixed(&b, sa->sun_path, sizeof(sa->sun_path));
    buf_putf(&b, "/proc/self/fd/%d" SLICE_FMT, *dir, SLICE_ARG(slice_skip(p, slash)));
    return buf_ok(&b);
}

enum purpose { TO_LISTEN, TO_ASK, TO_LOOK };

static int socket_at(const char *path, enum purpose purpose)
{
    struct sockaddr_un sa;
    mode_t old;
    int dir, err, fd = -1;
    bool ok = address_of(path, &sa, &dir);

    if (ok) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (purpose == TO_ASK ? 0 : SOCK_NONBLOCK), 0);
    }
    if (fd >= 0 && purpose == TO_LISTEN) {
        old = umask(0177);
        (void)unlink(path);
        ok = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, BACKLOG) == 0;
        umask(old);
    } else if (fd >= 0) {
        ok = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
    }
    err = errno;
    if (dir >= 0) {
        close(dir);
    }
    if (fd >= 0 && !ok) {
        close(fd);
        fd = -1;
    }
    errno = err;
    return fd;
}

int control_bind(const char *path)
{
    return socket_at(path, TO_LISTEN);
}

int control_connect(const char *path)
{
    return socket_at(path, TO_ASK);
}

enum control_peer control_peer_at(const char *path, uid_t uid, pid_t *pid)
{
    struct ucred peer = { 0, (uid_t)-1, (gid_t)-1 };
    socklen_t len = sizeof(peer);
    int fd = socket_at(path, TO_LOOK);

    *pid = 0;
    if (fd < 0) {
        return errno == EAGAIN ? CONTROL_STRANGER : CONTROL_NOBODY; /* its accept queue is full */
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0) {
        *pid = peer.pid;
    }
    close(fd);
    return peer.uid == uid || peer.uid == 0 ? CONTROL_FRIEND : CONTROL_STRANGER;
}

bool control_ask(const char *path, const char *line, unsigned timeout_s, struct buf *answer)
{
    struct timeval limit = { (time_t)timeout_s, 0 };
    struct slice ask = slice_str(line);
    int err, fd = control_connect(path);
    bool ok;

    if (fd < 0) {
        return false;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    ok = send(fd, ask.ptr, ask.len, MSG_NOSIGNAL) == (ssize_t)ask.len &&
         send(fd, "\n", 1, MSG_NOSIGNAL) == 1 && shutdown(fd, SHUT_WR) == 0 && read_all(fd, answer);
    err = errno;
    close(fd);
    errno = err;
    return ok;
}
