/*
 * http.h - a small read-only HTTP server for metrics and health.
 *
 * GET and HEAD, bounded headers, no bodies, one handler; evhttp underneath.  Belongs to the recorder process:
 * it carries no mail and may be slow without harm.
 */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

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

/*
 * listen_fd: a listening socket, taken; -1: none, then only turns are made.  wake_fd: makes http_turn return
 * when it is readable; borrowed.  token: "" for none.  NULL if libevent fails.
 */
struct http *http_new(int listen_fd, int wake_fd, const char *token, http_handler handler,
                      void *arg) MUST_USE;
void http_free(struct http *h);

/* Serves for at most this long, or until wake_fd is readable. */
void http_turn(struct http *h, unsigned ms);

#endif
