/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - makes, divides and frees the shared mapping; wakes processes.
 *
 * The mapping is anonymous and shared, and lives exactly as long as the processes that inherited it.  Untouched
 * pages cost no memory, so the tables may be large.
 */
#include "state/state.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "core/crypto.h"
#include "state/shared_priv.h"
#include "state/tables_priv.h"

#define PAGE 4096u
#define CLIENTS_MIN 4096u
#define CLIENTS_MAX (4u * 1024u * 1024u)

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

void ring_wake(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));

    (void)n; /* EAGAIN: the counter is full, so the reader is about to wake anyway */
}

static bool open_eventfds(struct state *s)
{
    s->log_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (int i = 0; i < STATE_SLOTS; i++) {
        s->wake_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    for (int i = 0; i < STATE_SLOTS; i++) {
        if (s->wake_fd[i] < 0) {
            return false;
        }
    }
    return s->log_fd >= 0;
}

static bool map_memory(struct state *s, size_t clients)
{
    size_t fixed = round_up(sizeof(struct shared), PAGE);
    size_t table;
    char *mem;

    clients = min_size(max_size(clients, CLIENTS_MIN), CLIENTS_MAX);
    s->client_sets = round_up(clients / CLIENT_WAYS, CLIENT_SHARDS);
    clients = s->client_sets * CLIENT_WAYS;
    table = round_up(clients * sizeof(struct client), PAGE);
    s->connections_stride = round_up(clients * sizeof(uint16_t), PAGE);
    s->mapped = fixed + table + STATE_SLOTS * s->connections_stride;
    mem = mmap(NULL, s->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) {
        return false;
    }
    s->sh = (struct shared *)(void *)mem;
    s->clients = (struct client *)(void *)(mem + fixed);
    s->connections = mem + fixed + table;
    return true;
}

struct state *state_new(size_t clients)
{
    struct state *s = xcalloc(1, sizeof(*s));

    _Static_assert(sizeof(struct client) == 64, "one cache line");
    s->my_slot = -1;
    s->supervisor = getpid();
    s->names.rule = xcalloc(STATE_RULES, sizeof(*s->names.rule));
    if (!open_eventfds(s) || !map_memory(s, clients) || !owned_map(s) ||
        (s->tables = tables_new(1)) == NULL) {
        log_msg(LOG_LEVEL_ERROR, "shared_memory", "Shared memory or its descriptors cannot be had: errno %d",
                errno);
        state_free(s);
        return NULL;
    }
    s->sh->magic = STATE_MAGIC;
    s->sh->layout = STATE_LAYOUT;
    random_bytes(s->seed, sizeof(s->seed));
    s->locker = (struct locker){ NULL, LOCKER_NO_SLOT };
    tables_lock_as(s->tables, &s->locker);
    return s;
}

void *state_tls_share(struct state *s)
{
    return s->sh->tls_share;
}

void state_free(struct state *s)
{
    if (s == NULL) {
        return;
    }
    if (s->my_slot >= 0) {
        metrics_use(NULL);
    }
    if (s->log_fd >= 0) {
        close(s->log_fd);
    }
    for (int i = 0; i < STATE_SLOTS; i++) {
        if (s->wake_fd[i] >= 0) {
            close(s->wake_fd[i]);
        }
    }
    if (s->sh != NULL) {
        munmap(s->sh, s->mapped);
    }
    owned_unmap(s);
    tables_free(s->tables);
    free(s->names.rule);
    free(s);
}
