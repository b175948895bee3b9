/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - log lines: one line is one fact.
 *
 * A line is begun with its level and event name, filled with key and value, and ended; keys come in
 * the order in which they are written, so every event has the same order each time.  JSON by default,
 * `text` (key=value) for people.  Everything from a peer goes through log_str, which escapes (S7).
 *
 * The sink is a function of the process: the worker's writes into its ring, the supervisor's to a
 * descriptor.  Writing never blocks and never fails; a dropped line is counted by the sink.
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
    LOG_LEVEL_ERROR = 0, /* someone must act */
    LOG_LEVEL_WARN,      /* degraded */
    LOG_LEVEL_INFO,      /* the facts: connect, txn, close, ... */
    LOG_LEVEL_DEBUG,     /* commands and replies, by their names and codes */
    LOG_LEVEL_TRACE,     /* with their arguments; never bodies or secrets */
    LOG_LEVEL_COUNT,
};

/* What may be dropped first when the recorder is slow (DESIGN 3). */
enum log_class {
    LOG_CLASS_NORMAL = 0,
    LOG_CLASS_ACCEPTED, /* records of accepted sessions: dropped before all else */
};

enum log_format {
    LOG_FORMAT_JSON = 0,
    LOG_FORMAT_TEXT,
};

#define LOG_LINE_MAX 4000 /* octets of one line, newline included (LOG-05) */
#define LOG_VALUE_MAX 512 /* octets of one value from a peer */

typedef void (*log_sink)(enum log_level level, enum log_class cls, struct slice line, void *arg);

/*
 * Is the descriptor the journal's (systemd names it in JOURNAL_STREAM)?  Then a line begins with "<N>", the priority of
 * its level (sd-daemon(3)), which the journal takes off.
 */
bool log_fd_is_journal(int fd);
unsigned log_priority(enum log_level level);         /* of syslog(3): 3 for an error, ... 7 */
enum log_level log_level_of_line(struct slice line); /* of a line in either format; DEBUG if it has none */

/* The default sink writes to standard error, synchronously: for the command line and early start. */
void log_set_sink(log_sink sink, void *arg);
void log_set_format(enum log_format format);
void log_set_level(enum log_level level);
void log_set_process(const char *role, unsigned index); /* "supervisor", "worker" 3: joins every line */

struct log_line {
    struct buf b;
    enum log_level level;
    enum log_class cls;
    bool cut;       /* a value did not fit: nothing more is added */
    bool in_list;   /* between log_list_begin and log_list_end */
    bool list_used; /* it has an item */
    char mem[LOG_LINE_MAX];
};

/* Is this level logged? */
bool log_shows(enum log_level level);

/* False if this level is not logged: then nothing else may be called.  `event`: [a-z_]+. */
bool log_begin(struct log_line *l, enum log_level level, const char *event) MUST_USE;
void log_class_of(struct log_line *l, enum log_class cls);
void log_str(struct log_line *l, const char *key, struct slice value);
void log_text(struct log_line *l, const char *key, const char *value); /* ours, NUL-terminated */
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
 * Repeats of one cause: true at most once an interval_s for this object; `suppressed` then says how
 * many were kept back since.
 */
struct log_limit {
    uint64_t next_ms;
    uint32_t suppressed;
};
bool log_allowed(struct log_limit *lim, uint64_t now_ms, uint32_t interval_s, uint32_t *suppressed);

#endif
