/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_sockets.c - the listening sockets: bound once, held for as long as a generation names them.
 *
 * Each address has as many SO_REUSEPORT sockets as there were workers at its first bind, and never more or
 * fewer: worker i of N owns the sockets k with k mod N = i, so every kernel queue always has a worker,
 * whatever number a reload brings.  With more workers than sockets the sockets are shared.  A socket
 * inherited from systemd is one for all.  Because the supervisor holds them, connections in a queue survive
 * every worker.
 *
 * The default pair of addresses skips a family that the host lacks; an address that the file names must bind.
 *
 * With SO_REUSEPORT two programs of one user could share an address by mistake, and each would get half of the
 * connections.  So the first socket of an address is bound without the option, which fails if another program
 * listens there.  It gets the option once it listens itself, and the other sockets follow.  --beside skips this check.
 * An address whose port we already hold on another address (0.0.0.0 and 192.0.2.1) skips it too, because the bind
 * would conflict with our own socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "proxy/process/supervisor_priv.h"

#define FIRST_INHERITED 3
#define BACKLOG 4096

static bool same_endpoint(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && addr_same_ip(a, b);
}

static struct bound *find(struct sockets *s, const struct addr *wanted, unsigned ordinal, bool admin)
{
    for (size_t i = 0; i < s->count; i++) {
        struct bound *b = &s->item[i];

        if (b->admin == admin && b->ordinal == ordinal && same_endpoint(&b->wanted, wanted)) {
            return b;
        }
    }
    return NULL;
}

/* How many listeners before this one have the same address (port 0 may be named twice). */
static unsigned ordinal_of(const struct config *c, size_t listener)
{
    unsigned n = 0;

    for (size_t i = 0; i < listener; i++) {
        n += same_endpoint(&c->server.listen[i].address, &c->server.listen[listener].address);
    }
    return n;
}

const struct bound *sockets_find(const struct sockets *s, const struct config *c, size_t listener)
{
    struct sockets *all = (struct sockets *)(uintptr_t)s; /* find() is for both const and non-const */

    return find(all, &c->server.listen[listener].address, ordinal_of(c, listener), false);
}

const struct bound *sockets_find_admin(const struct sockets *s, const struct config *c)
{
    struct sockets *all = (struct sockets *)(uintptr_t)s;

    return c->admin.enabled ? find(all, &c->admin.listen, 0, true) : NULL;
}

static void close_bound(struct bound *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->fd[i] >= 0) {
            close(b->fd[i]);
        }
    }
    b->count = 0;
}

static void remove_item(struct sockets *s, size_t i)
{
    close_bound(&s->item[i]);
    s->item[i] = s->item[s->count - 1];
    s->count--;
}

/* ---- binding ---- */

/* Opens one listening socket; -1 with errno.  alone: fail if another program listens there. */
static int bind_one(const struct addr *at, bool alone)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(at, &sa);
    int on = 1, saved;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!alone) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)); /* accepted sockets inherit these two */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (sa.ss_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, BACKLOG) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) {
        return fd;
    }
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static bool bind_all(struct bound *b, size_t sockets, bool alone)
{
    int saved;

    b->real = b->wanted;
    for (b->count = 0; b->count < sockets; b->count++) {
        b->fd[b->count] = bind_one(&b->real, alone && b->count == 0);
        if (b->fd[b->count] < 0) {
            saved = errno;
            close_bound(b);
            errno = saved;
            return false;
        }
        b->real = addr_of_socket(b->fd[0]); /* the first socket resolves port 0 for all */
    }
    return true;
}

static void explain(const struct addr *at, int err, struct buf *why)
{
    buf_put_str(why, "Cannot listen on ");
    addr_put_endpoint(why, at);
    buf_putf(why, ": %s", strerror(err));
    if (err == EADDRINUSE) {
        buf_put_str(
            why, " (another program listens there; if that is a glacis to be replaced, start with --beside)");
    } else if (err == EACCES || err == EPERM) {
        buf_put_str(why, " (ports below 1024 need root or the capability CAP_NET_BIND_SERVICE)");
    } else if (err == EADDRNOTAVAIL) {
        buf_put_str(why, " (no interface of this machine has the address)");
    }
}

static bool family_missing(int err)
{
    return err == EAFNOSUPPORT || err == EADDRNOTAVAIL || err == EPROTONOSUPPORT;
}

/* Takes over inherited sockets that listen on this address. */
static bool adopt(struct sockets *s, const struct addr *wanted, unsigned ordinal, bool admin)
{
    for (size_t i = 0; i < s->count; i++) {
        struct bound *b = &s->item[i];

        if (b->wanted.family != ADDR_NONE || !same_endpoint(&b->real, wanted)) {
            continue;
        }
        b->wanted = *wanted;
        b->ordinal = ordinal;
        b->admin = admin;
        return true;
    }
    return false;
}

/* Do we already hold this port on an address of the same family? */
static bool holds_port(const struct sockets *s, const struct addr *wanted)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->item[i].real.port == wanted->port && s->item[i].real.family == wanted->family) {
            return true;
        }
    }
    return false;
}

static bool bind_address(struct sockets *s, const struct addr *wanted, unsigned ordinal, size_t sockets)
{
    bool admin = sockets == 0;
    struct bound *b;

    if (find(s, wanted, ordinal, admin) != NULL || adopt(s, wanted, ordinal, admin)) {
        return true;
    }
    if (s->count == ADDRESSES) {
        errno = EMFILE;
        return false;
    }
    b = &s->item[s->count];
    memset(b, 0, sizeof(*b));
    b->wanted = *wanted;
    b->ordinal = ordinal;
    b->admin = admin;
    if (!bind_all(b, admin ? 1 : sockets, !s->beside && !holds_port(s, wanted))) {
        return false;
    }
    s->count++;
    return true;
}

static void undo(struct sockets *s, size_t from)
{
    while (s->count > from) {
        remove_item(s, s->count - 1);
    }
}

/* Binds the listeners of the file.  *err: the last error. */
static bool bind_listeners(struct sockets *s, const struct config *c, struct buf *why, int *err)
{
    size_t bound = 0;

    for (size_t i = 0; i < c->server.listen_count; i++) {
        const struct addr *at = &c->server.listen[i].address;

        if (bind_address(s, at, ordinal_of(c, i), c->server.workers)) {
            bound++;
            continue;
        }
        *err = errno;
        if (!c->server.listen_given && family_missing(*err)) {
            continue;
        }
        explain(at, *err, why);
        return false;
    }
    if (bound == 0) {
        explain(&c->server.listen[0].address, *err, why);
    }
    return bound > 0;
}

bool sockets_bind(struct sockets *s, const struct config *c, struct buf *why)
{
    size_t before = s->count;
    int err = 0;
    bool ok = bind_listeners(s, c, why, &err);

    if (ok && c->admin.enabled && !bind_address(s, &c->admin.listen, 0, 0)) {
        err = errno;
        explain(&c->admin.listen, err, why);
        buf_put_str(why, "; this is admin.listen");
        ok = false;
    }
    if (!ok) {
        undo(s, before);
    }
    errno = err;
    return ok;
}

/* ---- inherited ---- */

/* A decimal number from the environment; 0 if it is missing or invalid. */
static uint64_t number_of_environment(const char *name)
{
    uint64_t n = 0;

    return slice_to_u64(slice_str(getenv(name)), INT32_MAX, &n) ? n : 0;
}

static void inherit_one(struct sockets *s, int fd)
{
    struct addr at = addr_of_socket(fd);
    int listens = 0;
    socklen_t len = sizeof(listens);
    struct bound *b;

    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || !listens ||
        at.family == ADDR_NONE) {
        close(fd);
        return;
    }
    for (size_t i = 0; i < s->count; i++) { /* several with ReusePort= belong to one address */
        b = &s->item[i];
        if (same_endpoint(&b->real, &at) && b->count < CONFIG_MAX_WORKERS) {
            b->fd[b->count++] = fd;
            return;
        }
    }
    if (s->count == ADDRESSES) {
        close(fd);
        return;
    }
    b = &s->item[s->count++];
    memset(b, 0, sizeof(*b));
    b->real = at;
    b->fd[b->count++] = fd;
}

void sockets_inherit(struct sockets *s)
{
    uint64_t fds = 0;

    if (number_of_environment("LISTEN_PID") == (uint64_t)getpid()) {
        fds = min_u64(number_of_environment("LISTEN_FDS"), ADDRESSES);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (int i = 0; i < (int)fds; i++) {
        inherit_one(s, FIRST_INHERITED + i);
    }
}

/* ---- keeping and dividing ---- */

static bool named_by(const struct bound *b, const struct config *c)
{
    if (c == NULL) {
        return false;
    }
    if (b->admin) {
        return c->admin.enabled && same_endpoint(&b->wanted, &c->admin.listen);
    }
    for (size_t i = 0; i < c->server.listen_count; i++) {
        if (same_endpoint(&b->wanted, &c->server.listen[i].address) && b->ordinal == ordinal_of(c, i)) {
            return true;
        }
    }
    return false;
}

void sockets_keep(struct sockets *s, const struct config *const *confs, size_t count)
{
    for (size_t i = s->count; i-- > 0;) {
        bool named = false;

        for (size_t k = 0; k < count && !named; k++) {
            named = named_by(&s->item[i], confs[k]);
        }
        if (!named) {
            struct buf text;

            buf_init(&text, ADDR_TEXT_MAX);
            addr_put_endpoint(&text, &s->item[i].real);
            log_msg(LOG_LEVEL_INFO, "listener_closed", "No configuration names %s any more", text.ptr);
            buf_fini(&text);
            remove_item(s, i);
        }
    }
}

void sockets_close_all(struct sockets *s)
{
    undo(s, 0);
}

size_t sockets_of_worker(const struct sockets *s, const struct config *c, unsigned index,
                         struct worker_socket out[WORKER_SOCKETS])
{
    size_t n = 0, workers = c->server.workers;

    for (size_t i = 0; i < c->server.listen_count; i++) {
        const struct bound *b = sockets_find(s, c, i);

        for (size_t k = 0; b != NULL && k < b->count; k++) {
            bool mine = workers > b->count ? index % b->count == k : k % workers == index;

            if (mine && n < WORKER_SOCKETS) {
                out[n++] = (struct worker_socket){ b->fd[k], &c->server.listen[i] };
            }
        }
    }
    return n;
}

void sockets_close_others(struct sockets *s, const struct worker_socket *mine, size_t count, int admin_fd)
{
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->item[i].count; k++) {
            int fd = s->item[i].fd[k];
            bool keep = fd == admin_fd;

            for (size_t m = 0; m < count && !keep; m++) {
                keep = mine[m].fd == fd;
            }
            if (!keep) {
                close(fd);
            }
        }
    }
    s->count = 0;
}
