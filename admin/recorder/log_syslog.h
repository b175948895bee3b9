/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_syslog.h - log lines as records of syslog (RFC 3164) on its unix socket; for the log writer's thread.
 *
 * A daemon that reads slowly blocks only the caller's thread.  If the daemon is gone, each line tries again;
 * the caller counts the lines that were lost.
 */
#ifndef ADMIN_RECORDER_LOG_SYSLOG_H
#define ADMIN_RECORDER_LOG_SYSLOG_H

#include <stdatomic.h>

#include "core/slice.h"

#define LOG_SYSLOG_PATH "/dev/log"

struct log_syslog;

/* Connects at the first line.  Borrows `path`. */
struct log_syslog *log_syslog_new(const char *path) MUST_USE;
void log_syslog_free(struct log_syslog **s);

/*
 * Sends one line, without its end, at the level that the line names.  Blocks while the daemon does not read, until
 * `stop` is set.  Returns 0, or an errno: the line is then lost.
 */
int log_syslog_send(struct log_syslog *s, struct slice line, const _Atomic bool *stop) MUST_USE;

#endif
