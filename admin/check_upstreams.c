/*
 * check_upstreams.c - glacis check --online: do the servers behind do what the proxy needs of them?
 *
 * Each server is connected once and asked what a session would ask: banner, EHLO, MAIL, and RCPT for an address
 * that nobody has, in a domain that is routed there.  Nothing is sent, and STARTTLS is only looked for: where TLS is
 * required, the questions end before MAIL.
 *
 * Limits  One server after another, PATIENCE_MS for each step: the command line may wait.  A server by name is
 * left to the running proxy, which looks it up.  Replies are cut at REPLY_MAX.
 */
#include "admin/check_upstreams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "core/crypto.h"
#include "core/loop.h"

#define PATIENCE_MS 10000u
#define REPLY_MAX 16384
#define SAID_MAX 300

enum finding { FOUND_OK = 0, FOUND_WARN, FOUND_BROKEN };

struct visit {
    const struct config *conf;
    const struct config_upstream *u;
    int fd;
    struct buf reply; /* of the last command, all its lines */
    struct buf said;  /* the sentence for people */
    enum finding found;
};

/* ---- the wire ---- */

static bool wait_for(int fd, short what, uint64_t until_us)
{
    uint64_t now = loop_now_us();
    struct pollfd p = { fd, what, 0 };

    return now < until_us && poll(&p, 1, (int)((until_us - now) / 1000) + 1) > 0;
}

static uint64_t deadline(void)
{
    return loop_now_us() + PATIENCE_MS * 1000ull;
}

static bool open_connection(struct visit *v, const struct addr *server)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(server, &sa), err_len = sizeof(int);
    int err = 0;

    v->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (v->fd < 0)
        return false;
    if (connect(v->fd, (struct sockaddr *)&sa, len) == 0)
        return true;
    if (errno != EINPROGRESS)
        return false;
    if (!wait_for(v->fd, POLLOUT, deadline())) {
        errno = ETIMEDOUT;
        return false;
    }
    (void)getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &err, &err_len);
    errno = err;
    return err == 0;
}

static bool send_all(int fd, struct slice s)
{
    uint64_t until = deadline();

    while (s.len > 0) {
        ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);

        if (n > 0)
            s = slice_skip(s, (size_t)n);
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        else if (!wait_for(fd, POLLOUT, until))
            return false;
    }
    return true;
}

/* Is the last line of a reply there: "250 ..." and not "250-..."? */
static bool is_complete(struct slice reply)
{
    while (slice_find(reply, '\n') < reply.len) {
        struct slice line = slice_cut(&reply, '\n');

        if (line.len < 4 || line.ptr[3] != '-')
            return true;
    }
    return false;
}

/* Its code; 0: there was none, or it is no reply. */
static unsigned read_reply(struct visit *v)
{
    uint64_t until = deadline(), code = 0;
    char mem[1024];

    buf_reset(&v->reply);
    while (!is_complete(buf_slice(&v->reply))) {
        ssize_t n = recv(v->fd, mem, sizeof(mem), 0);

        if (n > 0 && v->reply.len + (size_t)n < REPLY_MAX)
            buf_put(&v->reply, mem, (size_t)n);
        else if (n >= 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(v->fd, POLLIN, until))
            return 0;
    }
    return slice_to_u64(slice_take(buf_slice(&v->reply), 3), 599, &code) && code >= 200 ? (unsigned)code : 0;
}

static unsigned ask(struct visit *v, const char *verb, struct slice argument)
{
    struct buf line;
    unsigned code = 0;

    buf_init(&line, 2000);
    buf_putf(&line, "%s" SLICE_FMT "\r\n", verb, SLICE_ARG(argument));
    if (buf_ok(&line) && send_all(v->fd, buf_slice(&line)))
        code = read_reply(v);
    buf_fini(&line);
    return code;
}

/* ---- what is said ---- */

static void say(struct visit *v, enum finding found, const char *sentence)
{
    v->found = found > v->found ? found : v->found;
    buf_put_str(&v->said, v->said.len > 0 ? "; " : "");
    buf_put_str(&v->said, sentence);
}

/* The same with the first line of the reply behind it. */
static void say_reply(struct visit *v, enum finding found, const char *sentence)
{
    struct slice line = buf_slice(&v->reply);

    say(v, found, sentence);
    line = slice_take(line, slice_find(line, '\r'));
    line = slice_take(line, slice_find(line, '\n'));
    buf_put_str(&v->said, line.len > 0 ? " (" : " (no reply)");
    if (line.len > 0) {
        buf_put_quoted(&v->said, line, SAID_MAX);
        buf_put_char(&v->said, ')');
    }
}

static bool has_keyword(struct slice reply, struct slice word)
{
    while (reply.len > 4) {
        struct slice line = slice_skip(slice_cut(&reply, '\n'), 4);

        line = slice_trim(slice_take(line, slice_find(line, '\r')));
        if (slice_eq_nocase(slice_take(line, slice_find(line, ' ')), word))
            return true;
    }
    return false;
}

/* ---- the questions ---- */

/* A domain that is routed to the upstream, if it is checked there. */
static const struct config_domain *domain_of(const struct visit *v)
{
    for (size_t i = 0; i < v->conf->domain_count; i++) {
        const struct config_domain *d = &v->conf->domains[i];

        if ((d->upstream == v->u || d->upstream == NULL) && d->validate == VALIDATE_LIVE)
            return d;
    }
    return NULL;
}

static void ask_unknown(struct visit *v)
{
    const struct config_domain *d = domain_of(v);
    struct buf address;
    unsigned code;

    if (d == NULL)
        return;
    buf_init(&address, 600);
    buf_putf(&address, "<glacis-check-%016" PRIx64 "@%s%s>", random_u64(),
             d->subdomains ? "glacis-check." : "", d->name);
    code = ask(v, "RCPT TO:", buf_slice(&address));
    buf_fini(&address);
    if (code >= 500)
        say_reply(v, FOUND_OK, "refuses unknown recipients");
    else if (code >= 400 || code == 0)
        say_reply(v, FOUND_WARN,
                  "does not say whether a recipient is unknown: senders will try again for days");
    else
        say_reply(v, FOUND_WARN,
                  "takes unknown recipients, and will bounce or drop their mail: let it refuse them "
                  "at RCPT, or name a file in `validate`");
}

static void ask_envelope(struct visit *v)
{
    bool starttls = has_keyword(buf_slice(&v->reply), SLICE("STARTTLS"));
    bool required = v->u->tls == UP_TLS_REQUIRED || v->u->tls == UP_TLS_VERIFY;
    unsigned code;

    if (required && !starttls) {
        say(v, FOUND_BROKEN, "does not offer STARTTLS, which `tls` requires");
        return;
    }
    say(v, FOUND_OK, starttls ? "offers STARTTLS" : "has no STARTTLS");
    if (required)
        return;
    code = ask(v, "MAIL FROM:", SLICE("<>"));
    if (code == 0 || code >= 500)
        say_reply(v, FOUND_BROKEN, "refuses mail of ours at MAIL");
    else if (code >= 400)
        say_reply(v, FOUND_WARN, "limits or delays us at MAIL");
    else
        ask_unknown(v);
}

/* A header of the PROXY protocol that announces nobody (LOCAL), where one is expected. */
static bool send_identity(struct visit *v)
{
    static const char v2[16] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

    if (v->u->identity == IDENTITY_PROXY_V1)
        return send_all(v->fd, SLICE("PROXY UNKNOWN\r\n"));
    return v->u->identity != IDENTITY_PROXY_V2 || send_all(v->fd, slice_of(v2, sizeof(v2)));
}

static void visit(struct visit *v, const struct addr *server)
{
    unsigned code;

    if (!open_connection(v, server)) {
        say(v, FOUND_BROKEN, "cannot be reached: ");
        buf_put_str(&v->said, strerror(errno));
        return;
    }
    code = send_identity(v) ? read_reply(v) : 0;
    if (code != 220) {
        say_reply(v, code >= 400 && code < 500 ? FOUND_WARN : FOUND_BROKEN,
                  code == 421 ? "limits us at connect" : "does not greet us");
        return;
    }
    if (ask(v, "EHLO ", slice_str(v->conf->server.hostname)) != 250)
        say_reply(v, FOUND_BROKEN, "refuses our EHLO");
    else
        ask_envelope(v);
    (void)ask(v, "QUIT", SLICE_NONE);
}

bool check_upstream(const struct config *c, const struct config_upstream *u, size_t server)
{
    static const char *const grades[] = {
        [FOUND_OK] = "ok", [FOUND_WARN] = "warn", [FOUND_BROKEN] = "broken"
    };
    const struct config_upstream_server *s = &u->server[server];
    struct visit v = { .conf = c, .u = u, .fd = -1 };

    if (s->is_name) {
        printf("upstream %s, %s: not asked: by name; the running proxy looks it up\n", u->name, s->text);
        return true;
    }
    buf_init(&v.reply, REPLY_MAX);
    buf_init(&v.said, 4096);
    visit(&v, &s->address);
    printf("upstream %s, %s: %s: " SLICE_FMT "\n", u->name, s->text, grades[v.found],
           SLICE_ARG(buf_slice(&v.said)));
    if (v.fd >= 0)
        close(v.fd);
    buf_fini(&v.reply);
    buf_fini(&v.said);
    return v.found != FOUND_BROKEN;
}
