/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memshim.c - realloc() of one program refuses what is larger than a test says, while it runs.
 *
 * Loaded with LD_PRELOAD.  GLACIS_REALLOC_MAX names a file of one 64-bit number, mapped once at the start: the most
 * octets that realloc() gives; 0: as many as there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_realloc(void *ptr, size_t size);

static const volatile uint64_t *most; /* NULL: nothing is refused */

__attribute__((constructor)) static void map_limit(void)
{
    const char *path = getenv("GLACIS_REALLOC_MAX");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0) {
        return;
    }
    at = mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) {
        most = at;
    }
}

void *realloc(void *ptr, size_t size)
{
    if (most != NULL && *most != 0 && size > *most) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(ptr, size);
}
