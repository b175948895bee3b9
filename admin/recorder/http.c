/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c - the connections of the admin listener: from accept to one answer and the close.
 *
 *     READING -- a whole head --> ANSWERING -- the answer is out --> CLOSING -- the client has closed --> gone
 *        |                           |                                  |
 *        +------- REQUEST_MS --------+----------- ANSWER_MS ------------+-- CLOSE_MS --> gone, too
 *
 * Owns       its loop, the listening socket and at most CONNECTIONS_MAX connections, each with a stream and a timer.
 * Limits     CONNECTIONS_MAX at once.  A further client replaces the one that has been READING longest, because an
 *            honest client sends its request at once; if none is READING, it waits in the kernel's queue.  Without
 *            descriptors, accepting pauses for PAUSE_MS, with one log line in LOG_S.
 * Host       checked before the handler runs, so that foreign pages see nothing (http_request.h).
 * Token      compared in constant time.
 * Next       http_request.c: the grammar.
 */
#include "admin/recorder/http.h"

#include <errno.h>

#include "admin/recorder/http_request.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/stream.h"

#define FINISH_TURN_MS 20
#define CONNECTIONS_MAX 64
#define ACCEPT_A_TURN 16
#define REQUEST_MS 10000
#define ANSWER_MS 10000
#define CLOSE_MS 1000
#define PAUSE_MS 1000
#define LOG_S 60

enum connection_state { READING = 0, ANSWERING, CLOSING };

struct connection {
    struct list_node link; /* of http.connections, the oldest first */
    struct http *h;
    struct stream *stream;
    struct timer deadline;
    enum connection_state state;
};

struct http {
    struct http_settings conf;
    struct loop *loop;
    int listen_fd; /* -1: none */
    struct list_node connections;
    size_t count;
    struct watch listening, wake;
    struct timer turn, pause;
    struct log_limit said; /* accept_paused */
};

/* ---- one connection ---- */

static void drop(struct connection *c)
{
    struct http *h = c->h;

    timer_stop(&c->deadline);
    stream_close(&c->stream);
    list_remove(&c->link);
    h->count--;
    free(c);
    if (!timer_active(&h->pause) && h->listen_fd >= 0) {
        watch_set(&h->listening, WATCH_READ);
    }
}

static const char *status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 421:
        return "Misdirected Request";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

static void put_date(struct buf *b)
{
    char text[40];
    time_t now = (time_t)wall_now_s();
    struct tm tm;

    gmtime_r(&now, &tm);
    (void)strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    buf_put_str(b, text);
}

/* Writes the answer and ends the connection after it.  with_body: not for HEAD. */
static void answer(struct connection *c, const struct http_reply *r, bool with_body)
{
    struct buf head;

    buf_init(&head, 2048);
    buf_putf(&head, "HTTP/1.1 %d %s\r\nDate: ", r->status, status_text(r->status));
    put_date(&head);
    buf_putf(&head, "\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", r->type, r->body.len);
    buf_put_str(&head, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    buf_put_str(&head, r->status == 401 ? "WWW-Authenticate: Bearer\r\n" : "");
    buf_put_str(&head, r->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    buf_put_str(&head, "Connection: close\r\n\r\n");
    c->state = ANSWERING;
    timer_start(&c->deadline, ANSWER_MS);
    stream_write(c->stream, buf_slice(&head));
    if (with_body) {
        stream_write(c->stream, buf_slice(&r->body));
    }
    buf_fini(&head);
}

static bool is_authorized(const struct http *h, const struct http_request *rq)
{
    static const struct slice scheme = SLICE_INIT("Bearer ");

    if (h->conf.token[0] == '\0') {
        return true;
    }
    return slice_starts_nocase(rq->authorization, scheme) &&
           secret_eq(slice_trim(slice_skip(rq->authorization, scheme.len)), slice_str(h->conf.token));
}

static bool may_name_host(const struct connection *c, const struct http_request *rq)
{
    const struct http_settings *conf = &c->h->conf;
    struct addr local = addr_of_socket(stream_fd(c->stream));

    return (conf->any_host != NULL && conf->any_host(rq->path)) ||
           http_host_allowed(rq->host, &local, conf->names, conf->name_count);
}

/* Fills the reply to a complete head. */
static void handle(struct connection *c, const struct http_request *rq, struct http_reply *r)
{
    const struct http_settings *conf = &c->h->conf;

    if (rq->method == HTTP_OTHER) {
        r->status = 405;
        buf_put_str(&r->body, "only GET and HEAD are answered\n");
    } else if (!may_name_host(c, rq)) {
        r->status = 421;
        buf_put_str(&r->body,
                    "This host name is not served here: ask by a loopback name or address, by the address "
                    "of this listener, or by a name of admin.names.\n");
    } else {
        conf->handler(conf->arg, rq->path, is_authorized(c->h, rq), r);
    }
}

static void on_input(void *arg)
{
    struct connection *c = arg;
    struct slice input = stream_input(c->stream);
    struct http_request rq;
    struct http_reply r = { 404, "text/plain; charset=utf-8", { 0 } };
    enum http_parsed parsed;

    if (c->state != READING) {
        stream_consume(c->stream, input.len); /* discard a body or second request unread */
        return;
    }
    parsed = http_request_parse(input, &rq);
    if (parsed == HTTP_INCOMPLETE) {
        return;
    }
    buf_init(&r.body, HTTP_BODY_MAX);
    if (parsed == HTTP_PARSED) {
        handle(c, &rq, &r);
    } else {
        r.status = parsed == HTTP_BAD ? 400 : parsed == HTTP_TOO_LONG ? 431 : 505;
    }
    answer(c, &r, parsed == HTTP_PARSED && rq.method != HTTP_HEAD);
    buf_fini(&r.body);
    stream_consume(c->stream, input.len);
}

/* End of file: half a request, or the close that CLOSING waits for.  While ANSWERING it may be only a half-close. */
static void on_eof(void *arg)
{
    struct connection *c = arg;

    if (c->state == READING) {
        on_input(c);
    }
    if (c->state != ANSWERING) {
        drop(c);
    }
}

static void on_error(void *arg, int err)
{
    (void)err;
    drop(arg);
}

/* A close with unread octets would reset the connection and lose the answer, so the client closes first. */
static void on_flushed(void *arg)
{
    struct connection *c = arg;

    if (c->state != ANSWERING) {
        return;
    }
    if (stream_at_eof(c->stream) || shutdown(stream_fd(c->stream), SHUT_WR) != 0) {
        drop(c);
        return;
    }
    c->state = CLOSING;
    timer_start(&c->deadline, CLOSE_MS);
}

static void on_deadline(void *arg)
{
    drop(arg);
}

/* ---- accepting ---- */

static void open_connection(struct http *h, int fd)
{
    static const struct stream_events events = {
        .on_input = on_input, .on_eof = on_eof, .on_error = on_error, .on_flushed = on_flushed
    };
    struct connection *c = xcalloc(1, sizeof(*c));

    c->h = h;
    c->stream = stream_new(h->loop, fd, &events, c);
    stream_set_input_max(c->stream, HTTP_HEAD_MAX);
    timer_init(&c->deadline, h->loop, on_deadline, c);
    timer_start(&c->deadline, REQUEST_MS);
    list_push_back(&h->connections, &c->link);
    h->count++;
}

/* Closes the connection that has been READING longest; false: none is READING. */
static bool make_room(struct http *h)
{
    struct list_node *n;

    for (n = h->connections.next; n != &h->connections; n = n->next) {
        struct connection *c = container_of(n, struct connection, link);

        if (c->state == READING) {
            drop(c);
            return true;
        }
    }
    return false;
}

static void pause_accepting(struct http *h, int err)
{
    struct log_line line;
    uint32_t before;

    count(M_ACCEPT_PAUSED);
    watch_set(&h->listening, 0);
    timer_start(&h->pause, PAUSE_MS);
    if (!log_allowed(&h->said, loop_now(h->loop), LOG_S, &before) ||
        !log_begin(&line, LOG_LEVEL_WARN, "accept_paused")) {
        return;
    }
    log_text(&line, "listener", "admin");
    log_text(&line, "error", strerror(err));
    log_num(&line, "suppressed", before);
    log_end(&line);
}

static void on_pause_over(void *arg)
{
    struct http *h = arg;

    watch_set(&h->listening, WATCH_READ);
}

static void on_acceptable(unsigned ready, void *arg)
{
    struct http *h = arg;

    (void)ready;
    for (unsigned i = 0; i < ACCEPT_A_TURN; i++) {
        int fd;

        if (h->count >= CONNECTIONS_MAX && !make_room(h)) {
            watch_set(&h->listening, 0); /* until a connection has ended */
            return;
        }
        fd = accept4(h->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            pause_accepting(h, errno);
            return;
        }
        if (fd < 0 && errno == EAGAIN) {
            return;
        }
        if (fd >= 0) {
            open_connection(h, fd);
        }
    }
}

/* ---- turns ---- */

static void on_wake(unsigned ready, void *arg)
{
    struct http *h = arg;

    (void)ready;
    loop_stop(h->loop);
}

static void on_turn(void *arg)
{
    struct http *h = arg;

    loop_stop(h->loop);
}

struct http *http_new(int listen_fd, int wake_fd, const struct http_settings *settings)
{
    struct http *h = xcalloc(1, sizeof(*h));

    h->conf = *settings;
    h->loop = loop_new();
    h->listen_fd = listen_fd;
    list_init(&h->connections);
    timer_init(&h->turn, h->loop, on_turn, h);
    timer_init(&h->pause, h->loop, on_pause_over, h);
    watch_init(&h->wake, h->loop, wake_fd, on_wake, h);
    watch_set(&h->wake, WATCH_READ);
    if (listen_fd >= 0) {
        watch_init(&h->listening, h->loop, listen_fd, on_acceptable, h);
        watch_set(&h->listening, WATCH_READ);
    }
    return h;
}

static void close_listener(struct http *h)
{
    timer_stop(&h->pause); /* it would start listening again */
    if (h->listen_fd >= 0) {
        watch_stop(&h->listening);
        close(h->listen_fd);
        h->listen_fd = -1;
    }
}

void http_finish(struct http *h, unsigned ms)
{
    uint64_t end = loop_now_us() + ms * 1000;

    close_listener(h);
    watch_stop(&h->wake);
    while (h->count > 0 && loop_now_us() < end) {
        http_turn(h, FINISH_TURN_MS);
    }
}

void http_free(struct http *h)
{
    if (h == NULL) {
        return;
    }
    timer_stop(&h->turn);
    watch_stop(&h->wake);
    close_listener(h);
    while (h->connections.next != &h->connections) {
        drop(container_of(h->connections.next, struct connection, link));
    }
    loop_free(h->loop);
    free(h);
}

void http_turn(struct http *h, unsigned ms)
{
    timer_start(&h->turn, ms);
    loop_run(h->loop);
    timer_stop(&h->turn);
}
