/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - a small read-only HTTP server for metrics and health.
 *
 * GET and HEAD, bounded heads, no bodies, one answer a connection, one handler.  It runs in the recorder process, which
 * carries no mail and may be slow without harm.
 */
#ifndef ADMIN_RECORDER_HTTP_H
#define ADMIN_RECORDER_HTTP_H

#include "core/buf.h"

struct http;

struct http_reply {
    int status;       /* 200, 404, 503 ... */
    const char *type; /* Content-Type */
    struct buf body;  /* at most HTTP_BODY_MAX */
};

#define HTTP_BODY_MAX (4u * 1024u * 1024u)

/* path: without query.  authorized: the token was right, or none is configured. */
typedef void (*http_handler)(void *arg, struct slice path, bool authorized, struct http_reply *out);

struct http_settings { /* borrowed for the life of the server */
    const char *token; /* "" for none */
    const char *const
        *names; /* hosts that clients may name, besides loopback and their own connection's address */
    size_t name_count;
    bool (*any_host)(struct slice path); /* paths that accept any Host; NULL: none */
    http_handler handler;
    void *arg;
};

/*
 * listen_fd: a listening socket, taken; -1: none, so http_turn only waits.  wake_fd: borrowed; http_turn returns when
 * it is readable.  Never NULL.
 */
struct http *http_new(int listen_fd, int wake_fd, const struct http_settings *settings) MUST_USE;
void http_free(struct http *h); /* closes connections; NULL is allowed */

/* Stops accepting and answers the connected clients, for at most this long. */
void http_finish(struct http *h, unsigned ms);

/* Serves for at most this long, or until wake_fd is readable. */
void http_turn(struct http *h, unsigned ms);

#endif
