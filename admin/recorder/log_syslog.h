/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_syslog.h - log lines as records of syslog (RFC 3164) on its unix socket; for the log writer's thread.
 *
 * A daemon that reads slowly is waited for, which only the caller's thread feels; one that is gone is tried
 * again with each line, and what it did not get is for the caller to count.
 */
#ifndef ADMIN_RECORDER_LOG_SYSLOG_H
#define ADMIN_RECORDER_LOG_SYSLOG_H

#include <stdatomic.h>

#include "core/slice.h"

#define LOG_SYSLOG_PATH "/dev/log"

struct log_syslog;

/* Connects when there is a line.  `path` is borrowed. */
struct log_syslog *log_syslog_new(const char *path) MUST_USE;
void log_syslog_free(struct log_syslog **s);

/*
 * Sends one line, without its end, at the level that stands in it.  Waits for a daemon that does not read
 * until `stop` is set.  0, or an errno: then the line is lost.
 */
int log_syslog_send(struct log_syslog *s, struct slice line, const _Atomic bool *stop) MUST_USE;

#endif
