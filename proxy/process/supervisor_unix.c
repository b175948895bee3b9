/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_unix.c - the sockets `control` and `query`: makes, restores, moves and removes them.
 *
 * Both are in the state directory.  It belongs to server.user, so any process of that user can remove or replace them.
 * Once a second the supervisor checks that they are still its own.  If root or our user listens on one, it belongs
 * to another glacis (an upgrade with --beside), and the supervisor leaves it alone.  It replaces anything else.
 * At the end it removes only its own.
 *
 * The recorder inherits `query`.  The supervisor sends a replacement over a socket pair, from which it never reads.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "admin/admin.h"
#include "proxy/process/supervisor_priv.h"

#define PATH_BYTES 4096
#define SAID_AGAIN_MS (60 * 60 * 1000)
#define LOOK_MS 1000

static char *path_of(const struct config *conf, const char *name)
{
    struct buf path;

    buf_init(&path, PATH_BYTES);
    buf_putf(&path, "%s/%s", conf->server.state_dir, name);
    return path.ptr != NULL ? path.ptr : xstrdup("");
}

/* Binds again; keeps the old descriptor if that fails. */
static bool bind_at(struct unix_socket *u)
{
    struct stat st;
    int fd = control_bind(u->path);

    if (fd < 0) {
        return false;
    }
    if (u->fd >= 0) {
        close(u->fd);
    }
    u->fd = fd;
    if (lstat(u->path, &st) == 0) {
        u->dev = st.st_dev;
        u->ino = st.st_ino;
    }
    return true;
}

static bool is_ours(const struct unix_socket *u)
{
    struct stat st;

    return lstat(u->path, &st) == 0 && st.st_dev == u->dev && st.st_ino == u->ino;
}

static bool open_one(struct unix_socket *u, const struct config *conf, const char *name)
{
    *u = (struct unix_socket){ .fd = -1, .path = path_of(conf, name) };
    if (bind_at(u)) {
        return true;
    }
    log_msg(LOG_LEVEL_ERROR, "control_socket", "%s cannot be made: %s", u->path, strerror(errno));
    return false;
}

static void close_one(struct unix_socket *u)
{
    if (u->fd >= 0) {
        close(u->fd);
    }
    if (u->path != NULL && is_ours(u)) {
        (void)unlink(u->path);
    }
    free(u->path);
    *u = (struct unix_socket){ .fd = -1 };
}

bool unix_sockets_taken(const struct config *conf, struct buf *why)
{
    char *path = path_of(conf, CONTROL_NAME);
    pid_t pid;
    bool taken = control_peer_at(path, geteuid(), &pid) == CONTROL_FRIEND;

    if (taken) {
        buf_putf(why,
                 "Another glacis (pid %ld) runs with server.state_dir %s; stop it, set another folder, or "
                 "start with --beside to replace it without a gap",
                 (long)pid, conf->server.state_dir);
    }
    free(path);
    return taken;
}

void unix_sockets_open(struct supervisor *sup, const struct config *conf)
{
    (void)open_one(&sup->control, conf, CONTROL_NAME);
    (void)open_one(&sup->query, conf, QUERY_NAME);
}

void unix_sockets_close(struct supervisor *sup)
{
    close_one(&sup->control);
    close_one(&sup->query);
}

void unix_sockets_close_in_child(struct supervisor *sup, bool keep_query)
{
    if (sup->control.fd >= 0) {
        close(sup->control.fd);
    }
    sup->control.fd = -1;
    if (sup->query.fd >= 0 && !keep_query) {
        close(sup->query.fd);
    }
    if (sup->to_recorder >= 0) {
        close(sup->to_recorder);
    }
    sup->to_recorder = -1;
}

/* Sends `query` to the recorder.  If that fails, a new recorder inherits it. */
static void hand_over(struct supervisor *sup)
{
    char octet = 0;
    struct iovec iov = { &octet, 1 };
    union {
        struct cmsghdr align;
        char mem[CMSG_SPACE(sizeof(int))];
    } control = { .mem = { 0 } };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.mem, .msg_controllen = sizeof(control.mem)
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    if (sup->recorder.pid == 0 || sup->to_recorder < 0 || sup->query.fd < 0) {
        return;
    }
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &sup->query.fd, sizeof(int));
    if (sendmsg(sup->to_recorder, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) {
        recorder_stop(sup);
    }
}

static void say_shared(struct supervisor *sup, struct unix_socket *u, pid_t pid)
{
    if (u->said_ms != 0 && sup->now_ms < u->said_ms + SAID_AGAIN_MS) {
        return;
    }
    u->said_ms = sup->now_ms;
    log_msg(LOG_LEVEL_WARN, "another_instance",
            "Another glacis (pid %ld) has taken over %s; it is restored when that one ends", (long)pid,
            u->path);
}

/* Restores one socket; true if it was created again. */
static bool look_after(struct supervisor *sup, struct unix_socket *u)
{
    pid_t pid;

    if (u->path == NULL || (u->fd >= 0 && is_ours(u))) {
        return false;
    }
    if (control_peer_at(u->path, geteuid(), &pid) == CONTROL_FRIEND) {
        say_shared(sup, u, pid);
        return false;
    }
    if (!bind_at(u)) {
        if (u->said_ms == 0 || sup->now_ms >= u->said_ms + SAID_AGAIN_MS) {
            log_msg(LOG_LEVEL_ERROR, "control_socket", "%s is gone and cannot be made again: %s", u->path,
                    strerror(errno));
        }
        u->said_ms = sup->now_ms;
        return false;
    }
    u->said_ms = 0;
    log_msg(LOG_LEVEL_WARN, "control_socket", "%s was removed or replaced; it is restored", u->path);
    return true;
}

void unix_sockets_tick(struct supervisor *sup)
{
    if (sup->stopping || sup->now_ms < sup->look_ms) {
        return;
    }
    sup->look_ms = sup->now_ms + LOOK_MS;
    (void)look_after(sup, &sup->control);
    if (look_after(sup, &sup->query)) {
        hand_over(sup);
    }
}

/* Moves one socket to the folder of this configuration. */
static void follow_one(struct unix_socket *u, const struct config *conf, const char *name)
{
    struct unix_socket next;
    char *path = path_of(conf, name);
    bool same = u->path != NULL && strcmp(u->path, path) == 0;

    free(path);
    if (same) {
        return;
    }
    if (!open_one(&next, conf, name)) { /* it has logged why */
        free(next.path);
        return;
    }
    log_msg(LOG_LEVEL_INFO, "control_socket", "The socket is now %s", next.path);
    close_one(u);
    *u = next;
}

void unix_sockets_follow(struct supervisor *sup, const struct config *conf)
{
    int before = sup->query.fd;

    follow_one(&sup->control, conf, CONTROL_NAME);
    follow_one(&sup->query, conf, QUERY_NAME);
    if (sup->query.fd != before) {
        hand_over(sup);
    }
}
