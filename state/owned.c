/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owned.c - memory in which each process can write only its own slot; the supervisor can write all of it.
 *
 * The memory is a sealed memfd, mapped twice.  All processes read through one mapping, which the kernel never makes
 * writable again (F_SEAL_FUTURE_WRITE).  The other mapping is older than the seal and writable.  A child unmaps it
 * except for the pages of its own slot.  It cannot map them again, because no process has a descriptor of the memfd.
 *
 * A compromised worker can therefore forge its own heartbeat, numbers and log lines.  It can neither declare another
 * process dead nor write in its name.
 *
 * Limits    Kernels before 5.1 lack the seal.  There a process can make its read-only mapping writable again.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "state/shared_priv.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static bool map_both(struct state *s, int fd)
{
    void *mem;

    if (ftruncate(fd, (off_t)sizeof(struct owned)) != 0) {
        return false;
    }
    mem = mmap(NULL, sizeof(struct owned), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED) {
        return false;
    }
    s->mine = mem;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0 &&
        errno != EINVAL) {
        return false;
    }
    mem = mmap(NULL, sizeof(struct owned), PROT_READ, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED) {
        return false;
    }
    s->owned = mem;
    s->processes = &s->owned->processes;
    return true;
}

bool owned_map(struct state *s)
{
    int fd = memfd_create("glacis-owned", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool ok = fd >= 0 && map_both(s, fd);
    int err = errno;

    if (fd >= 0) {
        close(fd);
    }
    errno = err;
    return ok;
}

void owned_unmap(struct state *s)
{
    if (s->mine != NULL) {
        (void)munmap(s->mine, sizeof(*s->mine));
    }
    if (s->owned != NULL) {
        (void)munmap((void *)(uintptr_t)s->owned, sizeof(*s->owned));
    }
}

void owned_confine(struct state *s, int slot)
{
    char *begin = (char *)s->mine, *mine = (char *)&s->mine->of[slot];
    char *behind = mine + sizeof(s->mine->of[slot]), *end = begin + sizeof(*s->mine);

    BUG_ON(munmap(begin, (size_t)(mine - begin)) != 0);
    BUG_ON(behind < end && munmap(behind, (size_t)(end - behind)) != 0);
}
