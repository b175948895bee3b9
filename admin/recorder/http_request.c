/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_request.c - the head of a request (http_request.h).  RFC 9110, 9112.
 *
 * Strict where lax parsers have read one message differently: no folded fields, no blank before a colon, no control
 * characters, one Host.  Lines may end with LF alone.  An absolute target names the host and overrides the field Host
 * (RFC 9112 3.2.2).
 */
#include "admin/recorder/http_request.h"

/* Takes a line without its end; false: the end has not arrived yet. */
static bool take_line(struct slice *rest, struct slice *line)
{
    size_t end = slice_find(*rest, '\n');

    if (end == rest->len) {
        return false;
    }
    *line = slice_take(*rest, end);
    *rest = slice_skip(*rest, end + 1);
    line->len -= line->len > 0 && line->ptr[line->len - 1] == '\r';
    return true;
}

/* Is every octet printable, a blank, a tab or above 127? */
static bool is_clean(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_token(struct slice s)
{
    static const struct slice marks = SLICE_INIT("!#$%&'*+-.^_`|~");

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && slice_find(marks, c) == marks.len) {
            return false;
        }
    }
    return s.len > 0;
}

static enum http_method method_of(struct slice word)
{
    return slice_eq(word, SLICE("GET")) ? HTTP_GET : slice_eq(word, SLICE("HEAD")) ? HTTP_HEAD : HTTP_OTHER;
}

/* "http://host/path" or "/path"; drops the query. */
static bool take_target(struct slice target, struct http_request *out)
{
    static const struct slice scheme = SLICE_INIT("http://");

    if (slice_starts_nocase(target, scheme)) {
        target = slice_skip(target, scheme.len);
        out->host = slice_take(target, min_size(slice_find(target, '/'), slice_find(target, '?')));
        target = slice_skip(target, out->host.len);
        if (slice_empty(out->host)) {
            return false;
        }
        target = slice_empty(target) || target.ptr[0] == '?' ? SLICE("/") : target;
    }
    out->path = slice_take(target, slice_find(target, '?'));
    return slice_starts(out->path, SLICE("/"));
}

/* METHOD SP TARGET SP HTTP/1.x */
static enum http_parsed parse_request_line(struct slice line, struct http_request *out)
{
    struct slice method = slice_cut(&line, ' '), target = slice_cut(&line, ' ');

    if (!is_clean(line) || !is_token(method) || !is_clean(target) || !slice_starts(line, SLICE("HTTP/"))) {
        return HTTP_BAD;
    }
    line = slice_skip(line, 5);
    if (line.len != 3 || !ascii_is_digit(line.ptr[0]) || line.ptr[1] != '.' || !ascii_is_digit(line.ptr[2])) {
        return HTTP_BAD;
    }
    if (line.ptr[0] != '1') {
        return HTTP_VERSION_ELSE;
    }
    out->method = method_of(method);
    return take_target(target, out) ? HTTP_PARSED : HTTP_BAD;
}

/* Parses one field.  `hosts` counts the Host fields. */
static bool parse_field(struct slice line, struct http_request *out, unsigned *hosts)
{
    bool absolute = *hosts == 0 && !slice_empty(out->host);
    struct slice name = slice_take(line, slice_find(line, ':'));
    struct slice value = slice_trim(slice_skip(line, name.len + 1));

    if (name.len == line.len || !is_token(name) || !is_clean(value)) {
        return false;
    }
    if (slice_eq_nocase(name, SLICE("Host"))) {
        *hosts += 1;
        out->host = absolute ? out->host : value;
        return *hosts == 1;
    }
    if (slice_eq_nocase(name, SLICE("Authorization"))) {
        out->authorization = value;
    }
    return true;
}

enum http_parsed http_request_parse(struct slice input, struct http_request *out)
{
    struct slice rest = slice_take(input, HTTP_HEAD_MAX), line;
    enum http_parsed status = HTTP_INCOMPLETE;
    unsigned hosts = 0;

    *out = (struct http_request){ .method = HTTP_OTHER };
    while (take_line(&rest, &line)) {
        if (status == HTTP_INCOMPLETE && slice_empty(line)) {
            continue; /* skip empty lines before the request (RFC 9112 2.2) */
        }
        if (status == HTTP_PARSED && slice_empty(line)) {
            return HTTP_PARSED;
        }
        if (status == HTTP_PARSED && !parse_field(line, out, &hosts)) {
            return HTTP_BAD;
        }
        if (status == HTTP_INCOMPLETE) {
            status = parse_request_line(line, out);
        }
        if (status != HTTP_PARSED) {
            return status;
        }
    }
    return input.len >= HTTP_HEAD_MAX ? HTTP_TOO_LONG : HTTP_INCOMPLETE;
}

/* ---- whom it means ---- */

/* The host without its port; an IPv6 address without its brackets.  Empty: invalid. */
static struct slice without_port(struct slice host)
{
    size_t bracket = slice_find(host, ']');

    if (slice_starts(host, SLICE("["))) {
        struct slice port = slice_skip(host, bracket + 1);

        return bracket < host.len && (slice_empty(port) || port.ptr[0] == ':')
                   ? slice_take(slice_skip(host, 1), bracket - 1)
                   : SLICE_NONE;
    }
    return slice_take(host, slice_find(host, ':'));
}

static bool is_loopback_ip(const struct addr *a)
{
    static const uint8_t one[16] = { [15] = 1 };

    return a->family == ADDR_V4 ? a->ip[0] == 127 : memcmp(a->ip, one, sizeof(one)) == 0;
}

/* RFC 6761 6.3: localhost and all names below it mean this machine. */
static bool is_loopback_name(struct slice name)
{
    return slice_eq_nocase(name, SLICE("localhost")) || slice_ends_nocase(name, SLICE(".localhost"));
}

bool http_host_allowed(struct slice host, const struct addr *local, const char *const *names, size_t count)
{
    struct slice name = without_port(host);
    struct addr ip, other;
    bool is_ip = addr_parse_ip(name, &ip);

    if (!is_ip && name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    if (is_ip ? is_loopback_ip(&ip) || addr_same_ip(&ip, local) : is_loopback_name(name)) {
        return true;
    }
    for (size_t i = 0; i < count && name.len > 0; i++) {
        struct slice allowed = slice_str(names[i]);

        if (is_ip ? addr_parse_ip(allowed, &other) && addr_same_ip(&ip, &other)
                  : slice_eq_nocase(name, allowed)) {
            return true;
        }
    }
    return false;
}
