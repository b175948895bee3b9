/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_send.c - sends commands: one write a group, never over unread input.
 *
 * With PIPELINING a group is MAIL and all RCPT, or RSET and XFORWARD before them; without it a group is one
 * command (PIP-11, PIP-12).  RPL-08: if there is unread input while no reply is pending, the connection fails
 * and the command is not sent.
 */
#include "proxy/upstream/upstream.h"

/* Sends the scratch buffer, which holds this many commands.  False: the connection has failed. */
static bool send_scratch(struct upstream *u, unsigned commands)
{
    struct buf *b = &u->server->pool->ups->scratch;
    bool whole = buf_ok(b);

    if (u->owed == 0 && (u->parsing || stream_input(u->stream).len > 0)) {
        buf_reset(b);
        upstream_fail(u, UP_WHY_MALFORMED, 0, NULL);
        return false;
    }
    if (whole) {
        stream_write(u->stream, buf_slice(b));
        u->owed += commands;
    }
    buf_reset(b);
    if (!whole) {
        upstream_fail(u, UP_WHY_SPOOL, 0, NULL);
    }
    return whole;
}

void upstream_send_line(struct upstream *u, const char *verb, const char *arg, uint64_t deadline_ms)
{
    struct buf *b = &u->server->pool->ups->scratch;

    buf_put_str(b, verb);
    buf_put_str(b, arg);
    buf_put_str(b, "\r\n");
    if (send_scratch(u, 1)) {
        timer_start(&u->timer, deadline_ms);
    }
}

static unsigned put_rcpts(struct upstream *u, struct buf *b)
{
    unsigned n = 0;

    while (u->rcpt_sent < u->op.count && (n == 0 || u->ext.pipelining)) {
        upstream_put_rcpt(b, u->op.rcpt[u->rcpt_sent++], &u->ext);
        n++;
    }
    return n;
}

/* All of XFORWARD, if it goes with MAIL. */
static unsigned put_identity(struct upstream *u, struct buf *b)
{
    struct slice rest = slice_skip(buf_slice(&u->identity), u->identity_sent);
    unsigned n = 0;

    if (u->server->pool->conf->identity != IDENTITY_XFORWARD) {
        return 0;
    }
    buf_put_slice(b, rest);
    u->identity_sent = u->identity.len;
    while (!slice_empty(rest)) {
        (void)slice_cut(&rest, '\n');
        n++;
    }
    u->identity_owed = n;
    return n;
}

void upstream_send_identity(struct upstream *u, uint64_t deadline_ms)
{
    struct slice rest = slice_skip(buf_slice(&u->identity), u->identity_sent);
    struct slice line = slice_take(rest, slice_find(rest, '\n') + 1);

    u->identity_sent += line.len;
    buf_put_slice(&u->server->pool->ups->scratch, line);
    if (send_scratch(u, 1)) {
        timer_start(&u->timer, deadline_ms);
    }
}

/* MAIL alone, or with PIPELINING all commands that fit in one write. */
void upstream_send_envelope(struct upstream *u, bool with_rset)
{
    struct buf *b = &u->server->pool->ups->scratch;
    unsigned n = 1;

    if (with_rset) {
        buf_put_str(b, "RSET\r\n");
        n++;
    }
    n += put_identity(u, b);
    upstream_put_mail(b, &u->op, &u->ext);
    if (u->ext.pipelining) {
        n += put_rcpts(u, b);
    }
    if (send_scratch(u, n)) {
        timer_start(&u->timer, u->server->pool->conf->timeouts.command_ms);
    }
}

void upstream_send_rcpts(struct upstream *u)
{
    struct buf *b = &u->server->pool->ups->scratch;

    if (send_scratch(u, put_rcpts(u, b))) {
        timer_start(&u->timer, u->server->pool->conf->timeouts.command_ms);
    }
}
