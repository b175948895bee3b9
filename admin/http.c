/*
 * http.c - evhttp behind a small face.
 *
 * The token is compared in constant time.
 *
 * Limits  Headers 8 KiB, request bodies 1 KiB (none is ever needed), 10 s for a request; methods GET and
 *         HEAD.
 */
#include "admin/http.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <sys/queue.h>

#include "core/crypto.h"

#define HEADERS_MAX 8192
#define REQUEST_BODY_MAX 1024
#define TIMEOUT_S 10
#define PATH_MAX_LEN 256

struct http {
    struct event_base *base;
    struct evhttp *server;
    struct event *wake;
    const char *token;
    http_handler handler;
    void *arg;
};

static bool is_authorized(const struct http *h, struct evhttp_request *req)
{
    static const struct slice scheme = SLICE_INIT("Bearer ");
    const char *header;
    struct slice value;

    if (h->token[0] == '\0')
        return true;
    header = evhttp_find_header(evhttp_request_get_input_headers(req), "Authorization");
    value = slice_str(header); /* bounded by HEADERS_MAX */
    if (!slice_starts_nocase(value, scheme))
        return false;
    return secret_eq(slice_trim(slice_skip(value, scheme.len)), slice_str(h->token));
}

static const char *status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 503:
        return "Service Unavailable";
    default:
        return "Error";
    }
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct http *h = arg;
    struct http_reply r = { 404, "text/plain; charset=utf-8", { 0 } };
    struct evbuffer *body;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct slice path = slice_str(evhttp_request_get_uri(req));

    buf_init(&r.body, HTTP_BODY_MAX);
    path = slice_take(path, slice_find(path, '?'));
    if (path.len <= PATH_MAX_LEN)
        h->handler(h->arg, path, is_authorized(h, req), &r);
    evhttp_add_header(headers, "Content-Type", r.type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    if (r.status == 401)
        evhttp_add_header(headers, "WWW-Authenticate", "Bearer");
    body = evbuffer_new();
    if (body != NULL)
        (void)evbuffer_add(body, r.body.ptr, r.body.len);
    evhttp_send_reply(req, r.status, status_text(r.status), body);
    if (body != NULL)
        evbuffer_free(body);
    buf_fini(&r.body);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct http *h = arg;

    (void)fd;
    (void)what;
    (void)event_base_loopbreak(h->base);
}

static bool serve(struct http *h, int listen_fd)
{
    h->server = evhttp_new(h->base);
    if (h->server == NULL)
        return false;
    evhttp_set_max_headers_size(h->server, HEADERS_MAX);
    evhttp_set_max_body_size(h->server, REQUEST_BODY_MAX);
    evhttp_set_timeout(h->server, TIMEOUT_S);
    evhttp_set_allowed_methods(h->server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_gencb(h->server, on_request, h);
    return evhttp_accept_socket_with_handle(h->server, listen_fd) != NULL;
}

struct http *http_new(int listen_fd, int wake_fd, const char *token, http_handler handler, void *arg)
{
    struct http *h = xcalloc(1, sizeof(*h));

    h->token = token;
    h->handler = handler;
    h->arg = arg;
    h->base = event_base_new();
    if (h->base != NULL)
        h->wake = event_new(h->base, wake_fd, EV_READ | EV_PERSIST, on_wake, h);
    if (h->wake == NULL || event_add(h->wake, NULL) != 0 || (listen_fd >= 0 && !serve(h, listen_fd))) {
        http_free(h);
        return NULL;
    }
    return h;
}

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    if (h->server != NULL)
        evhttp_free(h->server);
    if (h->wake != NULL)
        event_free(h->wake);
    if (h->base != NULL)
        event_base_free(h->base);
    free(h);
}

void http_turn(struct http *h, unsigned ms)
{
    struct timeval limit = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 };

    (void)event_base_loopexit(h->base, &limit);
    (void)event_base_loop(h->base, 0);
}
