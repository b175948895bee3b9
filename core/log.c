/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - build one log line, JSON or text, in its own fixed memory.
 *
 *     {"time":"2026-11-21T21:00:00.123Z","level":"info","process":"worker","worker":3,"event":"txn", ...}
 *     2026-11-21T21:00:00.123Z info txn process=worker worker=3 key=value other="two words" ...
 *
 * The last octets of a line are reserved for its end.  A value that does not fit before them is removed, nothing
 * follows it, and the line gets "cut":true.  So a line is always valid JSON, whatever peers send.
 *
 * Owns       the sink, format and level of the process (every file may log).
 * Limits     LOG_LINE_MAX per line, LOG_VALUE_MAX octets of one value.
 */
#include "core/log.h"

#include <errno.h>
#include <sys/stat.h>

#define END_ROOM 32 /* `],"cut":true}` and the line feed */

bool log_fd_is_journal(int fd)
{
    struct slice text = slice_str(getenv("JOURNAL_STREAM")), device = slice_cut(&text, ':');
    struct stat st;
    uint64_t dev, ino;

    return slice_to_u64(device, UINT64_MAX, &dev) && slice_to_u64(text, UINT64_MAX, &ino) &&
           fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

unsigned log_priority(enum log_level level)
{
    static const unsigned priorities[LOG_LEVEL_COUNT] = { [LOG_LEVEL_ERROR] = 3,
                                                          [LOG_LEVEL_WARN] = 4,
                                                          [LOG_LEVEL_INFO] = 6,
                                                          [LOG_LEVEL_DEBUG] = 7,
                                                          [LOG_LEVEL_TRACE] = 7 };

    return priorities[level];
}

static void write_octets(int fd, struct slice text)
{
    while (text.len) {
        ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0 && errno != EINTR) {
            return; /* the error cannot be reported anywhere else */
        }
        text = slice_skip(text, n > 0 ? (size_t)n : 0);
    }
}

static void write_stderr(enum log_level level, enum log_class cls, struct slice line, void *arg)
{
    char mem[LOG_LINE_MAX + 8];
    struct buf b;

    (void)cls;
    (void)arg;
    buf_init_fixed(&b, mem, sizeof(mem));
    if (log_fd_is_journal(STDERR_FILENO)) {
        buf_putf(&b, "<%u>", log_priority(level));
    }
    buf_put_slice(&b, line);
    write_octets(STDERR_FILENO, buf_slice(&b));
}

static struct {
    log_sink sink;
    void *sink_arg;
    enum log_format format;
    enum log_level level;
    char role[16]; /* empty: omitted */
    unsigned index;
    int64_t second; /* of `stamp` */
    char stamp[sizeof("2026-11-21T21:00:00")];
} state = { .sink = write_stderr, .level = LOG_LEVEL_INFO, .second = -1 };

static const struct slice level_names[LOG_LEVEL_COUNT] = {
    [LOG_LEVEL_ERROR] = SLICE_INIT("error"), [LOG_LEVEL_WARN] = SLICE_INIT("warn"),
    [LOG_LEVEL_INFO] = SLICE_INIT("info"),   [LOG_LEVEL_DEBUG] = SLICE_INIT("debug"),
    [LOG_LEVEL_TRACE] = SLICE_INIT("trace"),
};

/* Both formats have the level directly after the time. */
enum log_level log_level_of_line(struct slice line)
{
    static const char key[] = "\"level\":\"";
    const char *at = memmem(line.ptr, min_size(line.len, 80), key, sizeof(key) - 1);
    struct slice level = line;

    if (at != NULL) {
        level = slice_skip(line, (size_t)(at - line.ptr) + sizeof(key) - 1);
    } else {
        (void)slice_cut(&level, ' ');
    }
    for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (slice_starts(level, level_names[i])) {
            return (enum log_level)i;
        }
    }
    return LOG_LEVEL_DEBUG;
}

void log_set_sink(log_sink sink, void *arg)
{
    state.sink = sink ? sink : write_stderr;
    state.sink_arg = arg;
}

void log_set_format(enum log_format format)
{
    state.format = format;
}

void log_set_level(enum log_level level)
{
    state.level = level;
}

void log_set_process(const char *role, unsigned index)
{
    (void)snprintf(state.role, sizeof(state.role), "%s", role);
    state.index = index;
}

/* Computes the calendar date only once per second. */
static void put_time(struct buf *b)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (ts.tv_sec != state.second) {
        struct tm tm;

        gmtime_r(&ts.tv_sec, &tm);
        (void)strftime(state.stamp, sizeof(state.stamp), "%Y-%m-%dT%H:%M:%S", &tm);
        state.second = ts.tv_sec;
    }
    buf_put_str(b, state.stamp);
    buf_put_char(b, '.');
    buf_put_digits(b, (uint64_t)ts.tv_nsec / 1000000, 3);
    buf_put_char(b, 'Z');
}

static void begin_json(struct buf *b, enum log_level level, const char *event)
{
    buf_put_str(b, "{\"time\":\"");
    put_time(b);
    buf_put_str(b, "\",\"level\":\"");
    buf_put_slice(b, level_names[level]);
    buf_put_char(b, '"');
    if (state.role[0]) {
        buf_put_str(b, ",\"process\":\"");
        buf_put_str(b, state.role);
        buf_put_char(b, '"');
    }
    if (slice_eq(slice_str(state.role), SLICE("worker"))) {
        buf_put_str(b, ",\"worker\":");
        buf_put_u64(b, state.index);
    }
    buf_put_str(b, ",\"event\":\"");
    buf_put_str(b, event);
    buf_put_char(b, '"');
}

static void begin_text(struct buf *b, enum log_level level, const char *event)
{
    put_time(b);
    buf_put_char(b, ' ');
    buf_put_slice(b, level_names[level]);
    buf_put_char(b, ' ');
    buf_put_str(b, event);
    if (state.role[0]) {
        buf_put_str(b, " process=");
        buf_put_str(b, state.role);
    }
    if (slice_eq(slice_str(state.role), SLICE("worker"))) {
        buf_put_str(b, " worker=");
        buf_put_u64(b, state.index);
    }
}

bool log_shows(enum log_level level)
{
    return level <= state.level;
}

bool log_begin(struct log_line *l, enum log_level level, const char *event)
{
    if (level > state.level) {
        return false;
    }
    buf_init_fixed(&l->b, l->mem, sizeof(l->mem));
    l->b.max = LOG_LINE_MAX - END_ROOM;
    l->level = level;
    l->cls = LOG_CLASS_NORMAL;
    l->cut = false;
    l->in_list = false;
    l->list_used = false;
    if (state.format == LOG_FORMAT_JSON) {
        begin_json(&l->b, level, event);
    } else {
        begin_text(&l->b, level, event);
    }
    return true;
}

void log_class_of(struct log_line *l, enum log_class cls)
{
    l->cls = cls;
}

static void put_key(struct log_line *l, const char *key)
{
    if (state.format == LOG_FORMAT_JSON) {
        buf_put(&l->b, ",\"", 2);
        buf_put_str(&l->b, key);
        buf_put(&l->b, "\":", 2);
    } else {
        buf_put_char(&l->b, ' ');
        buf_put_str(&l->b, key);
        buf_put_char(&l->b, '=');
    }
}

/* In a text line, plain words are not quoted; all other values are. */
static void put_word(struct buf *b, struct slice value)
{
    bool plain = value.len > 0 && value.len <= LOG_VALUE_MAX;

    for (size_t i = 0; plain && i < value.len; i++) {
        char c = value.ptr[i];

        plain = c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != ',' && c != '=';
    }
    if (plain) {
        buf_put_slice(b, value);
        return;
    }
    buf_put_char(b, '"');
    buf_put_quoted(b, value, LOG_VALUE_MAX);
    buf_put_char(b, '"');
}

static void put_value(struct log_line *l, struct slice value)
{
    if (state.format == LOG_FORMAT_JSON) {
        buf_put_json(&l->b, value, LOG_VALUE_MAX);
    } else {
        put_word(&l->b, value);
    }
}

/* Keeps the text put since `mark` if all of it fits; otherwise removes it and marks the line as cut. */
static bool keep_or_cut(struct log_line *l, size_t mark)
{
    if (buf_ok(&l->b)) {
        return true;
    }
    l->b.failed = false;
    buf_truncate(&l->b, mark);
    l->cut = true;
    return false;
}

void log_str(struct log_line *l, const char *key, struct slice value)
{
    size_t mark = l->b.len;

    if (l->cut) {
        return;
    }
    put_key(l, key);
    put_value(l, value);
    (void)keep_or_cut(l, mark);
}

void log_text(struct log_line *l, const char *key, const char *value)
{
    log_str(l, key, slice_str(value));
}

void log_num(struct log_line *l, const char *key, int64_t value)
{
    size_t mark = l->b.len;

    if (l->cut) {
        return;
    }
    put_key(l, key);
    buf_put_i64(&l->b, value);
    (void)keep_or_cut(l, mark);
}

void log_bool(struct log_line *l, const char *key, bool value)
{
    size_t mark = l->b.len;

    if (l->cut) {
        return;
    }
    put_key(l, key);
    buf_put_str(&l->b, value ? "true" : "false");
    (void)keep_or_cut(l, mark);
}

void log_ip(struct log_line *l, const char *key, const struct addr *a)
{
    char mem[ADDR_TEXT_MAX];
    struct buf text;

    buf_init_fixed(&text, mem, sizeof(mem));
    addr_put_ip(&text, a);
    log_str(l, key, buf_slice(&text));
}

void log_list_begin(struct log_line *l, const char *key)
{
    size_t mark = l->b.len;

    if (l->cut) {
        return;
    }
    put_key(l, key);
    if (state.format == LOG_FORMAT_JSON) {
        buf_put_char(&l->b, '[');
    }
    l->in_list = keep_or_cut(l, mark);
    l->list_used = false;
}

void log_item(struct log_line *l, struct slice value)
{
    size_t mark = l->b.len;

    if (l->cut || !l->in_list) {
        return;
    }
    if (l->list_used) {
        buf_put_char(&l->b, ',');
    }
    put_value(l, value);
    if (keep_or_cut(l, mark)) {
        l->list_used = true;
    }
}

void log_list_end(struct log_line *l)
{
    size_t mark = l->b.len;

    if (l->cut || !l->in_list) {
        return; /* log_end closes a list that was cut */
    }
    if (state.format == LOG_FORMAT_JSON) {
        buf_put_char(&l->b, ']');
    }
    l->in_list = !keep_or_cut(l, mark);
}

void log_end(struct log_line *l)
{
    l->b.max = LOG_LINE_MAX - 1;
    if (state.format == LOG_FORMAT_JSON) {
        buf_put_str(&l->b, l->in_list ? "]" : "");
        buf_put_str(&l->b, l->cut ? ",\"cut\":true}" : "}");
    } else {
        buf_put_str(&l->b, l->cut ? " cut=true" : "");
    }
    buf_put_char(&l->b, '\n');
    state.sink(l->level, l->cls, buf_slice(&l->b), state.sink_arg);
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
    struct log_line l;
    char mem[LOG_VALUE_MAX + 2]; /* one more than a value, so that log_str shows the cut */
    struct buf text;
    va_list ap;

    if (!log_begin(&l, level, event)) {
        return;
    }
    buf_init_fixed(&text, mem, sizeof(mem));
    va_start(ap, fmt);
    buf_vputf(&text, fmt, ap);
    va_end(ap);
    log_str(&l, "msg", buf_slice(&text));
    log_end(&l);
}

bool log_allowed(struct log_limit *lim, uint64_t now_ms, uint32_t interval_s, uint32_t *suppressed)
{
    *suppressed = 0;
    if (now_ms < lim->next_ms) {
        lim->suppressed++;
        return false;
    }
    *suppressed = lim->suppressed;
    lim->suppressed = 0;
    lim->next_ms = now_ms + (uint64_t)interval_s * 1000;
    return true;
}
