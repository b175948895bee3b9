/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - log lines: one line is one fact.
 *
 * The caller begins a line with its level and event name, adds keys and values, and ends it.  Keys appear in the
 * order of the calls, so each event always has the same order.  The format is JSON by default, or `text` (key=value)
 * for people.  Text from a peer must go through log_str(), which escapes it (S7).
 *
 * Each process has its own sink: a worker writes to its ring, the supervisor to a descriptor.  Writing never
 * blocks and never fails; the sink counts dropped lines.
 *
 *     struct log_line l;
 *     if (log_begin(&l, LOG_LEVEL_WARN, "upstream_down")) {
 *         log_str(&l, "server", name);
 *         log_num(&l, "failures", 3);
 *         log_end(&l);
 *     }
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/addr.h"
#include "core/buf.h"

enum log_level {
    LOG_LEVEL_ERROR = 0, /* an administrator must act */
    LOG_LEVEL_WARN,      /* degraded */
    LOG_LEVEL_INFO,      /* the facts: connect, txn, close, ... */
    LOG_LEVEL_DEBUG,     /* names of commands, codes of replies */
    LOG_LEVEL_TRACE,     /* commands and replies with arguments; never bodies or secrets */
    LOG_LEVEL_COUNT,
};

/* Which lines to drop first when the recorder is slow (DESIGN 3). */
enum log_class {
    LOG_CLASS_NORMAL = 0,
    LOG_CLASS_ACCEPTED, /* records of accepted sessions: dropped first */
};

enum log_format {
    LOG_FORMAT_JSON = 0,
    LOG_FORMAT_TEXT,
};

#define LOG_LINE_MAX 4000 /* octets of one line, newline included (LOG-05) */
#define LOG_VALUE_MAX 512 /* octets of one value from a peer */

typedef void (*log_sink)(enum log_level level, enum log_class cls, struct slice line, void *arg);

/*
 * Is the descriptor connected to the journal (systemd names it in JOURNAL_STREAM)?  If so, each line begins with "<N>",
 * the priority of its level (sd-daemon(3)).  The journal removes that prefix.
 */
bool log_fd_is_journal(int fd);
unsigned log_priority(enum log_level level);         /* of syslog(3): 3 for an error, ... 7 */
enum log_level log_level_of_line(struct slice line); /* of a line in either format; DEBUG if it has none */

/* The default sink writes to standard error, synchronously: for commands and early start. */
void log_set_sink(log_sink sink, void *arg);
void log_set_format(enum log_format format);
void log_set_level(enum log_level level);
void log_set_process(const char *role, unsigned index); /* "supervisor", "worker" 3: added to every line */

struct log_line {
    struct buf b;
    enum log_level level;
    enum log_class cls;
    bool cut;       /* a value did not fit: add nothing more */
    bool in_list;   /* between log_list_begin and log_list_end */
    bool list_used; /* the list has an item */
    char mem[LOG_LINE_MAX];
};

/* Is this level logged? */
bool log_shows(enum log_level level);

/* False if this level is not logged: the caller must then skip the line.  `event`: [a-z_]+. */
bool log_begin(struct log_line *l, enum log_level level, const char *event) MUST_USE;
void log_class_of(struct log_line *l, enum log_class cls);
void log_str(struct log_line *l, const char *key, struct slice value);
void log_text(struct log_line *l, const char *key, const char *value); /* NUL-terminated, never from a peer */
void log_num(struct log_line *l, const char *key, int64_t value);
void log_bool(struct log_line *l, const char *key, bool value);
void log_ip(struct log_line *l, const char *key, const struct addr *a);
void log_list_begin(struct log_line *l, const char *key); /* then log_item ..., log_list_end */
void log_item(struct log_line *l, struct slice value);
void log_list_end(struct log_line *l);
void log_end(struct log_line *l);

/* A line whose only value is `msg`. */
void log_msg(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);

/*
 * Limits repeated lines for one cause: true at most once per interval_s for this object.  *suppressed is then
 * the number of lines suppressed since the last one.
 */
struct log_limit {
    uint64_t next_ms;
    uint32_t suppressed;
};
bool log_allowed(struct log_limit *lim, uint64_t now_ms, uint32_t interval_s, uint32_t *suppressed);

#endif
