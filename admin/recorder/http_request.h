/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_request.h - parses the head of an HTTP request, and checks its Host.
 *
 * Pure: octets in, slices of them out.  Private to admin/recorder/http.c and its tests.
 */
#ifndef ADMIN_RECORDER_HTTP_REQUEST_H
#define ADMIN_RECORDER_HTTP_REQUEST_H

#include "core/addr.h"
#include "core/slice.h"

#define HTTP_HEAD_MAX 8192 /* octets of a request line and its fields */

enum http_method { HTTP_GET = 0, HTTP_HEAD, HTTP_OTHER };

struct http_request {
    enum http_method method;
    struct slice path;          /* without query; begins with / */
    struct slice host;          /* as the client sent it, with or without a port; empty: none */
    struct slice authorization; /* empty: none */
};

enum http_parsed {
    HTTP_INCOMPLETE = 0, /* needs more octets */
    HTTP_PARSED,
    HTTP_BAD,          /* 400 */
    HTTP_TOO_LONG,     /* 431: no end within HTTP_HEAD_MAX */
    HTTP_VERSION_ELSE, /* 505: not HTTP/1 */
};

/* Parses a request's head from the start of `input`.  The slices of *out point into it. */
enum http_parsed http_request_parse(struct slice input, struct http_request *out) MUST_USE;

/*
 * May a client name this host?  Allowed: a loopback name or address with any port (tunnels use any), the local address
 * of its own connection, or one of `names`.  Any other host may come from a foreign page in a browser (DNS rebinding):
 * reply 421.
 */
bool http_host_allowed(struct slice host, const struct addr *local, const char *const *names, size_t count);

#endif
