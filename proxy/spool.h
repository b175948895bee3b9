/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool.h - one message: in memory, and in an unlinked file once memory is no longer plentiful (M6).
 *
 * Append first, then read.  The content is canonical (line.h).  Two budgets over all workers guard it:
 * `limits.memory` and `limits.spool`, as gauges in the shared memory.  A message that would exceed either
 * gets a temporary failure (452 4.3.1).  The first limits.spool_memory octets stay in one contiguous block,
 * so the header section can be read as one slice.  The rest also stays in memory while memory is plentiful.
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
    SPOOL_IO,        /* a file could not be created, written or read */
};

/* Is there room for one more transaction?  Called at MAIL (SIZ-09).  `expected` is the value of SIZE=, or 0. */
bool spool_room(struct state *st, const struct config *c, uint64_t expected);

struct spool *spool_new(struct state *st, const struct config *c);
void spool_free(struct spool **sp); /* returns the charges to the budgets; NULL is allowed */

enum spool_status spool_put(struct spool *sp, const void *data, size_t len);
uint64_t spool_size(const struct spool *sp);

/* The contiguous part in memory, from offset 0.  Valid until spool_free. */
struct slice spool_head(const struct spool *sp);

/*
 * Returns up to `max` octets at `offset`: from memory without a copy, from the file through the spool's own buffer
 * (valid until the next call).  Empty at the end, or after a read error, which sets *status.
 */
struct slice spool_read(struct spool *sp, uint64_t offset, size_t max, enum spool_status *status);

#endif
