/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_writer.h - the thread that takes lines out of all rings and writes them to the log's target.
 *
 * Only this thread may block on a slow disk or a full pipe.  The rings then fill, and workers drop and count
 * lines, but health and metrics still work.
 */
#ifndef ADMIN_RECORDER_LOG_WRITER_H
#define ADMIN_RECORDER_LOG_WRITER_H

#include "config/config.h"
#include "state/state.h"

struct log_writer;

/* NULL if no thread can be created. */
struct log_writer *log_writer_start(struct state *st, const struct config_log *log) MUST_USE;

/* Closes a log file and opens it again (SIGUSR1). */
void log_writer_reopen(struct log_writer *w);

/* Writes the lines in the rings, then ends.  False if it is stuck after wait_ms (then it must not be freed). */
bool log_writer_stop(struct log_writer *w, unsigned wait_ms);

/* errno of the newest failure to open or write since the last call; 0: none. */
int log_writer_error(struct log_writer *w);

#endif
