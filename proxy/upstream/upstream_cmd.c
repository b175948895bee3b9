/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_cmd.c - writes MAIL and RCPT, and parses an EHLO reply.
 *
 * Pure.  Commands are made from the envelope, never copied from the client.  A parameter is sent only if
 * this connection's EHLO offered it (CAP-02 to CAP-04, SIZ-06).  RFC: 5321 4.1.1, 1870, 3461, 6152, 6531.
 */
#include "proxy/upstream/upstream.h"
#include "state/servers.h"

static void put_path(struct buf *out, const char *command, struct slice address)
{
    buf_put_str(out, command);
    buf_put_char(out, '<');
    buf_put_slice(out, address);
    buf_put_char(out, '>');
}

static void put_param(struct buf *out, const char *name, struct slice value)
{
    if (!slice_empty(value)) {
        buf_put_str(out, name);
        buf_put_slice(out, value);
    }
}

void upstream_put_mail(struct buf *out, const struct up_envelope *op, const struct state_keywords *ext)
{
    const struct envelope *env = op->env;

    put_path(out, "MAIL FROM:", env->sender_null ? SLICE_NONE : env->sender);
    if (ext->size_offered && op->size) {
        buf_put_str(out, " SIZE=");
        buf_put_u64(out, op->size);
    }
    if (ext->eightbitmime && op->body != BODY_NOT_GIVEN) {
        buf_put_str(out, op->body == BODY_8BITMIME ? " BODY=8BITMIME" : " BODY=7BIT");
    }
    if (ext->smtputf8 && op->utf8) {
        buf_put_str(out, " SMTPUTF8");
    }
    if (ext->dsn) {
        if (env->ret != RET_NOT_GIVEN) {
            buf_put_str(out, env->ret == RET_FULL ? " RET=FULL" : " RET=HDRS");
        }
        put_param(out, " ENVID=", env->envid);
    }
    buf_put_str(out, "\r\n");
}

void upstream_put_rcpt(struct buf *out, const struct recipient *r, const struct state_keywords *ext)
{
    put_path(out, "RCPT TO:", r->address);
    if (ext->dsn) {
        put_param(out, " NOTIFY=", r->notify);
        put_param(out, " ORCPT=", r->orcpt);
    }
    buf_put_str(out, "\r\n");
}

static void learn_line(struct slice line, struct state_keywords *out)
{
    const struct {
        struct slice word;
        bool *flag;
    } known[] = {
        { SLICE_INIT("PIPELINING"), &out->pipelining },
        { SLICE_INIT("8BITMIME"), &out->eightbitmime },
        { SLICE_INIT("SMTPUTF8"), &out->smtputf8 },
        { SLICE_INIT("DSN"), &out->dsn },
        { SLICE_INIT("STARTTLS"), &out->starttls },
        { SLICE_INIT("CHUNKING"), &out->chunking },
        { SLICE_INIT("XCLIENT"), &out->xclient },
        { SLICE_INIT("XFORWARD"), &out->xforward },
        { SLICE_INIT("ENHANCEDSTATUSCODES"), &out->enhanced },
    };
    struct slice word = slice_token(&line);

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (slice_eq_nocase(word, known[i].word)) {
            *known[i].flag = true;
            return;
        }
    }
    if (slice_eq_nocase(word, SLICE("SIZE"))) {
        struct slice number = slice_token(&line);

        out->size_offered = true;
        if (!slice_to_u64(number, UINT64_MAX - 1, &out->size)) {
            out->size = 0; /* SIZE without a valid number: no fixed limit (SIZ-08) */
        }
    }
}

void upstream_learn(struct slice ehlo_text, struct state_keywords *out)
{
    *out = (struct state_keywords){ .known = true };
    (void)slice_cut(&ehlo_text, '\n'); /* skip its name and greeting */
    while (!slice_empty(ehlo_text)) {
        learn_line(slice_cut(&ehlo_text, '\n'), out);
    }
}
