/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_smtp.h - an SMTP server that does what a test says, in the same loop.
 *
 * A rule names an event ("GREETING", a verb, "BODY", ".") and what to answer instead of the usual; it may
 * hold for the n-th such event only, or for lines that contain a text.  Everything received is kept: command
 * lines as
 * "<connection>:<line>\n" ("<connection>*<line>\n" inside TLS), the last content exactly as it was on the
 * wire.
 *
 * With `tls` set, STARTTLS is done; XCLIENT and XFORWARD are taken; a PROXY header of version 2 is taken
 * where `header_v2` says so and kept in hex.
 */
#ifndef TEST_UNIT_PROXY_FAKE_SMTP_H
#define TEST_UNIT_PROXY_FAKE_SMTP_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "core/stream.h"
#include "tls/tls_priv.h"

#define FAKE_RULES 16
#define FAKE_CONNS 64

enum fake_do {
    DO_SAY = 0,
    DO_SAY_CLOSE, /* then close */
    DO_CLOSE,
    DO_RESET,
    DO_MUTE,
};

struct fake_rule {
    const char *event;
    const char *reply; /* raw, CRLF included */
    enum fake_do act;
    unsigned nth;         /* the n-th matching event, counted from 1; 0: each */
    const char *contains; /* in the line; NULL: any */
    unsigned seen;
};

struct fake;

struct fake_conn {
    struct fake *f;
    struct stream *s;
    unsigned number;
    bool in_data;
    bool to_tls, garbage, encrypted, header_seen;
};

struct fake {
    struct loop *loop;
    int fd;
    struct watch watch;
    struct addr addr;
    const char *ehlo;     /* keyword lines */
    const char *ehlo_tls; /* inside TLS; NULL: the same */
    struct tls_server *tls;
    bool garbage; /* instead of a handshake */
    bool header_v2;
    unsigned handshakes, resumed;
    char sni[256];
    struct fake_rule rule[FAKE_RULES];
    size_t rules;
    struct fake_conn conn[FAKE_CONNS];
    unsigned accepted, open, most_open, messages, quits;
    struct buf lines, content, before;
    unsigned chaos;             /* percent of the answers that are random */
    uint64_t seed;              /* of them */
    unsigned accepted_messages; /* dots that were answered as usual */
};

static inline void fake_gone(struct fake_conn *c)
{
    if (c->s) {
        stream_close(&c->s);
        c->f->open--;
    }
}

static inline void fake_rule_add(struct fake *f, struct fake_rule r)
{
    BUG_ON(f->rules == FAKE_RULES);
    f->rule[f->rules++] = r;
}

static inline bool fake_has(struct slice s, const char *text)
{
    return s.len && memmem(s.ptr, s.len, text, strlen(text)) != NULL;
}

static inline unsigned fake_random(struct fake *f, unsigned below)
{
    f->seed = f->seed * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(f->seed >> 33) % below;
}

static inline void fake_act(struct fake_conn *c, const struct fake_rule *r)
{
    if (r->act == DO_SAY || r->act == DO_SAY_CLOSE) {
        stream_write(c->s, slice_str(r->reply));
    }
    if (r->act == DO_SAY_CLOSE || r->act == DO_CLOSE) {
        stream_flush(c->s); /* earlier replies of the group too */
    }
    if (r->act == DO_RESET) {
        stream_abort(&c->s);
        c->f->open--;
    } else if (r->act == DO_CLOSE || r->act == DO_SAY_CLOSE) {
        fake_gone(c);
    }
}

/* Anything but an acceptance of a message. */
static inline bool fake_chaos(struct fake_conn *c, const char *event)
{
    static const char *const says[] = {
        "421 4.3.2 bye\r\n",  "450 4.2.1 later\r\n", "550 5.1.1 no\r\n", "554-5.7.1 a\r\n554 5.7.1 b\r\n",
        "503 5.5.1 what\r\n", "nonsense\r\n",        "354 go\r\n",       "35",
        "220 hi\r\n",         "550 5.7.57 you\r\n",
    };
    struct fake *f = c->f;
    struct fake_rule r = { 0 };

    if (fake_random(f, 100) >= f->chaos) {
        return false;
    }
    (void)event;
    r.act = (enum fake_do)fake_random(f, 5);
    r.reply = says[fake_random(f, ARRAY_LEN(says))];
    fake_act(c, &r);
    return true;
}

/* Answers the event: by a rule, or as usual.  True if it was as usual. */
static inline bool fake_answer(struct fake_conn *c, const char *event, struct slice line, const char *usual)
{
    struct fake *f = c->f;

    for (size_t i = 0; i < f->rules; i++) {
        struct fake_rule *r = &f->rule[i];

        if (strcmp(r->event, event) != 0 || (r->contains && !fake_has(line, r->contains))) {
            continue;
        }
        r->seen++;
        if (r->nth && r->seen != r->nth) {
            continue;
        }
        fake_act(c, r);
        return false;
    }
    if (f->chaos && fake_chaos(c, event)) {
        return false;
    }
    if (usual) {
        stream_write(c->s, slice_str(usual));
    }
    return true;
}

/* The extensions of a connection. */
static inline bool fake_extension(struct fake_conn *c, struct slice line)
{
    if (slice_eq(line, SLICE("STARTTLS"))) {
        if (fake_answer(c, "STARTTLS", line, "220 2.0.0 go\r\n")) {
            c->garbage = c->f->garbage;
            c->to_tls = !c->garbage;
        }
    } else if (slice_starts(line, SLICE("XCLIENT "))) {
        fake_answer(c, "XCLIENT", line, "220 fake ESMTP\r\n");
    } else if (slice_starts(line, SLICE("XFORWARD "))) {
        fake_answer(c, "XFORWARD", line, "250 2.0.0 Ok\r\n");
    } else {
        return slice_starts(line, SLICE("PROXY "));
    }
    return true;
}

static inline void fake_command(struct fake_conn *c, struct slice line)
{
    struct fake *f = c->f;

    buf_putf(&f->lines, "%u%c%.*s\n", c->number, c->encrypted ? '*' : ':', (int)line.len, line.ptr);
    if (slice_starts(line, SLICE("EHLO"))) {
        char text[512];

        snprintf(text, sizeof(text), "250-fake greets\r\n%s250 HELP\r\n",
                 c->encrypted && f->ehlo_tls ? f->ehlo_tls : f->ehlo);
        fake_answer(c, "EHLO", line, text);
    } else if (slice_starts(line, SLICE("HELO"))) {
        fake_answer(c, "HELO", line, "250 fake\r\n");
    } else if (slice_starts(line, SLICE("MAIL"))) {
        fake_answer(c, "MAIL", line, "250 2.1.0 sender fine\r\n");
    } else if (slice_starts(line, SLICE("RCPT"))) {
        fake_answer(c, "RCPT", line, "250 2.1.5 rcpt fine\r\n");
    } else if (slice_starts(line, SLICE("RSET"))) {
        fake_answer(c, "RSET", line, "250 2.0.0 reset\r\n");
    } else if (slice_starts(line, SLICE("DATA"))) {
        c->in_data = fake_answer(c, "DATA", line, "354 go\r\n");
        buf_reset(&f->content);
    } else if (slice_starts(line, SLICE("QUIT"))) {
        f->quits++;
        if (fake_answer(c, "QUIT", line, "221 bye\r\n")) {
            stream_flush(c->s);
            fake_gone(c);
        }
    } else if (!fake_extension(c, line)) {
        stream_write(c->s, SLICE("500 what\r\n"));
    }
}

/* Content up to CRLF.CRLF; the commands behind it stay. */
static inline bool fake_content(struct fake_conn *c)
{
    struct fake *f = c->f;
    struct slice in = stream_input(c->s);
    size_t before = f->content.len;
    const char *end;
    size_t from = before >= 4 ? before - 4 : 0;

    if (before == 0 && !fake_answer(c, "BODY", in, NULL) && c->s == NULL) {
        return false;
    }
    buf_put_slice(&f->content, in);
    end = memmem(f->content.ptr + from, f->content.len - from, "\r\n.\r\n", 5);
    if (slice_starts(buf_slice(&f->content), SLICE(".\r\n"))) {
        end = f->content.ptr - 2;
    }
    if (end == NULL) {
        stream_consume(c->s, in.len);
        return false;
    }
    stream_consume(c->s, (size_t)(end + 5 - f->content.ptr) - before);
    buf_truncate(&f->content, (size_t)(end + 5 - f->content.ptr));
    c->in_data = false;
    f->messages++;
    f->accepted_messages += fake_answer(c, ".", SLICE_NONE, "250 2.0.0 queued as 42\r\n") ? 1 : 0;
    return c->s != NULL;
}

static inline void fake_handshake(struct fake_conn *c)
{
    c->to_tls = false;
    c->encrypted = true;
    stream_flush(c->s);
    tls_accept(c->f->tls, c->s);
}

static inline void fake_on_open(void *arg)
{
    struct fake_conn *c = arg;
    struct tls_session *t = stream_transport_state(c->s);
    const char *sni = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
    struct tls_info info;

    c->f->handshakes++;
    c->f->resumed += tls_info(c->s, &info) && info.resumed ? 1 : 0;
    snprintf(c->f->sni, sizeof(c->f->sni), "%s", sni ? sni : "");
}

/* False: not all of it is here. */
static inline bool fake_header(struct fake_conn *c)
{
    struct slice in = stream_input(c->s);
    size_t len;

    if (in.len < 16) {
        return false;
    }
    len = 16 + ((size_t)(unsigned char)in.ptr[14] << 8) + (unsigned char)in.ptr[15];
    if (in.len < len) {
        return false;
    }
    buf_putf(&c->f->lines, "%u:", c->number);
    for (size_t i = 0; i < len; i++) {
        buf_putf(&c->f->lines, "%02x", (unsigned char)in.ptr[i]);
    }
    buf_put_char(&c->f->lines, '\n');
    c->header_seen = true;
    stream_consume(c->s, len);
    return true;
}

static inline void fake_on_input(void *arg)
{
    struct fake_conn *c = arg;

    if (c->f->header_v2 && !c->header_seen && !fake_header(c)) {
        return;
    }
    if (c->garbage) {
        stream_consume(c->s, stream_input(c->s).len);
        stream_write(c->s, SLICE("this is no handshake, and it is not short either\r\n"));
        return;
    }
    while (c->s && stream_input(c->s).len > 0) {
        struct slice in = stream_input(c->s);
        const char *end;

        if (c->in_data) {
            if (!fake_content(c)) {
                return;
            }
            continue;
        }
        end = memmem(in.ptr, in.len, "\r\n", 2);
        if (end == NULL) {
            return;
        }
        fake_command(c, slice_of(in.ptr, (size_t)(end - in.ptr)));
        if (c->s) {
            stream_consume(c->s, (size_t)(end - in.ptr) + 2);
        }
        if (c->s && c->to_tls) {
            fake_handshake(c);
            return;
        }
    }
}

static inline void fake_on_end(void *arg)
{
    fake_gone(arg);
}

static inline void fake_on_error(void *arg, int err)
{
    (void)err;
    fake_gone(arg);
}

static inline void fake_on_writable(void *arg)
{
    (void)arg;
}

static const struct stream_events fake_events = {
    .on_input = fake_on_input,
    .on_eof = fake_on_end,
    .on_error = fake_on_error,
    .on_writable = fake_on_writable,
    .on_open = fake_on_open,
};

static inline void fake_accept(unsigned ready, void *arg)
{
    struct fake *f = arg;
    int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct fake_conn *c;

    (void)ready;
    if (fd < 0) {
        return;
    }
    c = &f->conn[0];
    while (c->s != NULL) {
        c++;
        BUG_ON(c == f->conn + FAKE_CONNS);
    }
    f->accepted++;
    f->open++;
    f->most_open = f->open > f->most_open ? f->open : f->most_open;
    *c = (struct fake_conn){ .f = f, .number = f->accepted };
    c->s = stream_new(f->loop, fd, &fake_events, c);
    stream_set_input_max(c->s, (size_t)1024 * 1024);
    fake_answer(c, "GREETING", SLICE_NONE, "220 fake ESMTP\r\n");
}

/* At f->addr; family NONE: the first loopback address.  Port 0: a free one.  False: the port cannot be bound. */
static inline bool fake_try_listen(struct fake *f)
{
    struct addr loopback = { .family = ADDR_V4, .port = f->addr.port, .ip = { 127, 0, 0, 1 } };
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(f->addr.family == ADDR_NONE ? &loopback : &f->addr, &sa);
    int on = 1;

    f->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (f->fd < 0) {
        return false;
    }
    setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* what it accepts inherits this */
    if (bind(f->fd, (struct sockaddr *)&sa, len) != 0 || listen(f->fd, 64) != 0) {
        close(f->fd);
        f->fd = -1;
        return false;
    }
    f->addr = addr_of_socket(f->fd);
    watch_init(&f->watch, f->loop, f->fd, fake_accept, f);
    watch_set(&f->watch, WATCH_READ);
    return true;
}

static inline void fake_listen(struct fake *f)
{
    BUG_ON(!fake_try_listen(f));
}

static inline void fake_deaf(struct fake *f) /* connects are refused from here on */
{
    watch_stop(&f->watch);
    close(f->fd);
    f->fd = -1;
}

/* False: the address is not of this machine, or taken; Call fake_fini() even then. */
static inline bool fake_init_at(struct fake *f, struct loop *l, const struct addr *at)
{
    *f = (struct fake){
        .loop = l,
        .addr = *at,
        .ehlo = "250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250-SIZE 20000000\r\n"
    };
    buf_init(&f->lines, (size_t)1024 * 1024);
    buf_init(&f->content, (size_t)16 * 1024 * 1024);
    return fake_try_listen(f);
}

static inline void fake_init(struct fake *f, struct loop *l)
{
    BUG_ON(!fake_init_at(f, l, &(struct addr){ .family = ADDR_NONE }));
}

static inline void fake_close_all(struct fake *f)
{
    for (size_t i = 0; i < FAKE_CONNS; i++) {
        fake_gone(&f->conn[i]);
    }
}

static inline void fake_fini(struct fake *f)
{
    fake_close_all(f);
    if (f->fd >= 0) {
        fake_deaf(f);
    }
    buf_fini(&f->lines);
    buf_fini(&f->content);
}

#endif
