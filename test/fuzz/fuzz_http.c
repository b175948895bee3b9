/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_http.c - any octets at the door of metrics and health: they are answered or dropped, and nobody is let
 * in who did not bring the token.
 *
 * First octet: size of the pieces.
 */
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "admin/recorder/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOKEN "s3cret-token"

static bool let_in; /* by the handler, in this input */

static void handle(void *arg, struct slice path, bool authorized, struct http_reply *out)
{
    (void)arg;
    let_in = let_in || authorized;
    out->status = authorized ? 200 : 401;
    buf_put_quoted(&out->body, path, 300);
}

static bool any_host(struct slice path)
{
    return path.len % 2 == 0;
}

static int listen_anywhere(struct sockaddr_in *at)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    BUG_ON(bind(fd, (struct sockaddr *)at, len) != 0 || listen(fd, 8) != 0);
    BUG_ON(getsockname(fd, (struct sockaddr *)at, &len) != 0);
    return fd;
}

/* Closed with a reset, so that no port waits behind thousands of runs.  -1: others have taken all ports. */
static int dial(const struct sockaddr_in *to)
{
    static const struct linger reset = { 1, 0 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    BUG_ON(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) != 0);
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Accepted, read and answered are turns of their own; none waits for the clock. */
static void turns(struct http *h)
{
    for (unsigned i = 0; i < 3; i++) {
        http_turn(h, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http *h; /* one server for all inputs, as in life */
    static struct sockaddr_in at;
    static char answer[65536];
    size_t step;
    ssize_t n;
    int fd;

    if (size < 2 || size > 16384) {
        return 0;
    }
    if (h == NULL) {
        h = http_new(listen_anywhere(&at), eventfd(0, EFD_CLOEXEC),
                     &(struct http_settings){ .token = TOKEN, .any_host = any_host, .handler = handle });
    }
    let_in = false;
    fd = dial(&at);
    if (fd < 0) {
        return 0;
    }
    step = max_size((size - 1) / (1u + data[0] % 4), 1);
    for (size_t i = 1; i < size; i += step) {
        (void)send(fd, data + i, min_size(step, size - i), MSG_NOSIGNAL | MSG_DONTWAIT);
        turns(h);
    }
    n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
    BUG_ON(n > 0 && memcmp(answer, "HTTP/", 5) != 0);
    BUG_ON(let_in && memmem(data, size, TOKEN, sizeof(TOKEN) - 1) == NULL);
    close(fd);
    turns(h);
    return 0;
}
