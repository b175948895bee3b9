/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_notify.c - systemd's notification protocol: one datagram of KEY=VALUE lines to a unix socket.
 *
 * It does nothing unless systemd started the program.  It never waits to send a datagram: losing one is harmless.
 * STATUS= is the line that `systemctl status` shows.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "proxy/process/supervisor_priv.h"

void notify_open(struct supervisor *sup)
{
    struct slice path = slice_str(getenv("NOTIFY_SOCKET"));
    struct sockaddr_un sa;
    uint64_t usec = 0;

    sup->notify_fd = -1;
    if (slice_to_u64(slice_str(getenv("WATCHDOG_USEC")), UINT64_MAX / 2, &usec)) {
        sup->watchdog_ms = usec / 3000; /* three times in each timeout */
    }
    memset(&sa, 0, sizeof(sa));
    sa.sun_family = AF_UNIX;
    if (path.len >= 2 && path.len < sizeof(sa.sun_path) && (path.ptr[0] == '/' || path.ptr[0] == '@')) {
        socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len);

        memcpy(sa.sun_path, path.ptr, path.len);
        if (path.ptr[0] == '@') {
            sa.sun_path[0] = '\0'; /* an abstract address */
        }
        sup->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (sup->notify_fd >= 0 && connect(sup->notify_fd, (struct sockaddr *)&sa, len) != 0) {
            close(sup->notify_fd);
            sup->notify_fd = -1;
        }
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_send(const struct supervisor *sup, const char *text)
{
    if (sup->notify_fd >= 0) {
        (void)send(sup->notify_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

void notify_reloading(const struct supervisor *sup)
{
    char mem[80];
    struct buf b;
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    buf_init_fixed(&b, mem, sizeof(mem));
    buf_putf(&b, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
    notify_send(sup, b.ptr);
}

void notify_serving(const struct supervisor *sup, const struct generation *g)
{
    char mem[200];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_putf(&b, "READY=1\nSTATUS=Generation %u serves with %zu workers%s", g->number, g->workers,
             sup->last_good ? ", by the last good configuration: the file is refused" : "");
    notify_send(sup, b.ptr);
}

void notify_tick(struct supervisor *sup)
{
    if (sup->watchdog_ms == 0 || sup->now_ms < sup->watchdog_next_ms) {
        return;
    }
    sup->watchdog_next_ms = sup->now_ms + sup->watchdog_ms;
    notify_send(sup, "WATCHDOG=1");
}
