/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool.h - one message: in memory, and beyond what there is plenty of in an unlinked file (M6).
 *
 * Only append, then read.  The content is canonical (line.h).  Two budgets over all workers guard it:
 * `limits.memory` and `limits.spool`, as gauges in the shared memory; a message that would exceed
 * either fails softly (452 4.3.1).  The first limits.spool_memory octets stay in memory, contiguous,
 * so the header section can be read as one slice; what follows stays there too while memory is plenty.
 */
#ifndef PROXY_SPOOL_H
#define PROXY_SPOOL_H

#include "config/config.h"
#include "core/slice.h"

struct state;
struct spool;

enum spool_status {
    SPOOL_OK = 0,
    SPOOL_NO_MEMORY, /* limits.memory */
    SPOOL_NO_SPACE,  /* limits.spool, or the file system is full */
    SPOOL_IO,        /* a file could not be made, written or read */
};

/* Is there room for one more transaction at all?  (asked at MAIL, SIZ-09) `expected`: SIZE= or 0. */
bool spool_room(struct state *st, const struct config *c, uint64_t expected);

struct spool *spool_new(struct state *st, const struct config *c);
void spool_free(struct spool **sp); /* gives the budgets back; NULL is allowed */

enum spool_status spool_put(struct spool *sp, const void *data, size_t len);
uint64_t spool_size(const struct spool *sp);

/* The contiguous part in memory: from offset 0.  Valid until spool_free. */
struct slice spool_head(const struct spool *sp);

/*
 * Up to `max` octets at `offset`: from memory without a copy, from the file through a buffer of the
 * spool's own (valid until the next call).  Empty at the end, or with *status set on a read error.
 */
struct slice spool_read(struct spool *sp, uint64_t offset, size_t max, enum spool_status *status);

#endif
