/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buffers.c - keep the buffers of TLS records apart from all other memory of OpenSSL.
 *
 * With SSL_MODE_RELEASE_BUFFERS OpenSSL allocates 17 KiB for nearly every record and frees it at once.  From malloc,
 * these buffers mix with memory that lasts as long as a connection.  A burst of handshakes then leaves holes that
 * little else fits: 3 MiB after a thousand handshakes at once.  So the buffers have a separate region of addresses, cut
 * into pieces.  The piece freed last is used next, because it is in the processor's cache.
 *
 *     region   [ piece 0 | piece 1 | ...  touched  ... | never used: no memory | ... ]
 *
 * Beyond KEPT free pieces, each freed piece returns its memory to the kernel, so a burst of handshakes leaves nothing
 * behind.  malloc serves other sizes, and records when no piece is free.
 *
 * One region per thread; all OpenSSL objects with records stay in the thread that made them.
 */
#include <openssl/crypto.h>
#include <sys/mman.h>

#include "tls/tls_priv.h"

#define PIECE ((size_t)20 * 1024) /* whole pages: a record, its overhead, OpenSSL's alignment */
#define PIECES 2048U              /* 40 MiB of addresses */
#define KEPT 32U                  /* free pieces that keep their memory */

struct region {
    char *start; /* NULL: not mapped yet, or mmap failed */
    bool tried;
    unsigned touched; /* pieces that were ever handed out */
    unsigned free_count;
    uint16_t free[PIECES]; /* their numbers; the last is the next */
};

static _Thread_local struct region region;

static bool in_region(const struct region *r, const void *at)
{
    uintptr_t start = (uintptr_t)r->start, p = (uintptr_t)at;

    return start != 0 && p >= start && p - start < PIECES * PIECE;
}

static void open_region(struct region *r)
{
    void *at = mmap(NULL, PIECES * PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);

    r->tried = true;
    if (at != MAP_FAILED) {
        (void)madvise(at, PIECES * PIECE, MADV_NOHUGEPAGE); /* fails on a kernel without huge pages */
        r->start = at;
    }
}

static void *take_piece(struct region *r)
{
    if (!r->tried) {
        open_region(r);
    }
    if (r->free_count > 0) {
        return r->start + r->free[--r->free_count] * PIECE;
    }
    if (r->start != NULL && r->touched < PIECES) {
        return r->start + r->touched++ * PIECE;
    }
    return NULL;
}

static void free_piece(struct region *r, void *at)
{
    size_t i = (size_t)((char *)at - r->start) / PIECE;

    r->free[r->free_count++] = (uint16_t)i;
    if (r->free_count > KEPT) {
        (void)madvise(at, PIECE, MADV_DONTNEED);
    }
}

static void *take(size_t size, const char *file UNUSED, int line UNUSED)
{
    void *at = size >= TLS_RECORD_MAX && size <= PIECE ? take_piece(&region) : NULL;

    if (size == 0) {
        return NULL;
    }
    return at != NULL ? at : malloc(size);
}

static void give(void *at, const char *file UNUSED, int line UNUSED)
{
    if (in_region(&region, at)) {
        free_piece(&region, at);
    } else {
        free(at);
    }
}

static void *resize(void *at, size_t size, const char *file, int line)
{
    void *fresh;

    if (!in_region(&region, at)) {
        if (size == 0) {
            free(at);
            return NULL;
        }
        return realloc(at, size);
    }
    if (size > 0 && size <= PIECE) {
        return at;
    }
    fresh = take(size, file, line);
    if (fresh != NULL) {
        memcpy(fresh, at, PIECE);
    }
    if (fresh != NULL || size == 0) {
        free_piece(&region, at);
    }
    return fresh;
}

void tls_use_buffers(void)
{
    (void)CRYPTO_set_mem_functions(take, resize, give);
}

size_t tls_buffers_in_use(void)
{
    return region.touched - region.free_count;
}
