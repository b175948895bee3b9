/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_tags.c - the block added on top of a message: Received, tags, headers.add.
 *
 * One block, our own Received first (RFC 5321 4.4).  header.c has removed foreign fields of the same names.
 * Every value is ours or reduced by field_put.
 */
#include "policy/policy.h"
#include "proxy/session/session_priv.h"
#include "smtp/field.h"
#include "smtp/header.h"

static void put_received(struct session *s, struct buf *out)
{
    const struct txn *t = s->txn;
    char id[ULID_LEN + 16], suite[128];
    struct buf b, clause;
    struct received r = {
        .helo = t->env.helo,
        .rdns = judge_rdns(session_judge(s)), /* the lookup may still have been running at MAIL */
        .client = s->peer,
        .hostname = slice_str(s->worker->conf->server.hostname),
        .esmtp = s->esmtp,
        .tls = s->tls,
        .utf8 = t->env.smtputf8,
        .date_s = wall_now_s(),
    };

    buf_init_fixed(&b, id, sizeof(id));
    buf_put_str(&b, s->id);
    buf_put_char(&b, '.');
    buf_put_u64(&b, t->number);
    r.id = buf_slice(&b);
    buf_init_fixed(&clause, suite, sizeof(suite));
    if (s->tls) {
        buf_putf(&clause, "%s %s", s->tls_version, s->tls_cipher);
        r.tls_clause = buf_slice(&clause);
    }
    if (t->env.rcpt_count == 1) {
        r.single_rcpt = t->env.rcpt[0]->address;
    }
    header_put_received(out, &r);
}

/* Adds the envelope to a diverted message, so that the other upstream's staff can return the message. */
static void put_diverted(const struct session *s, struct buf *out)
{
    const struct envelope *env = &s->txn->env;
    char mem[64];
    struct buf ip;

    buf_init_fixed(&ip, mem, sizeof(mem));
    addr_put_ip(&ip, &s->peer);
    field_put(out, SLICE("X-Glacis-Client"), buf_slice(&ip), false);
    field_put(out, SLICE("X-Glacis-Envelope-From"), env->sender, env->smtputf8);
    for (size_t i = 0; i < env->rcpt_count; i++) {
        field_put(out, SLICE("X-Glacis-Envelope-To"), env->rcpt[i]->address, env->smtputf8);
    }
}

void session_tags(struct session *s, struct buf *out)
{
    const struct config_headers *h = &s->worker->conf->headers;

    if (h->received) {
        put_received(s, out);
    }
    judge_headers(session_judge(s), out);
    if (h->verdict) {
        field_put(out, SLICE("X-Glacis-Session"), slice_str(s->id), false);
    }
    if (s->exempt) { /* no check by address: the message must show that to its reader */
        field_put(out, SLICE("X-Glacis-Private"), SLICE("yes"), false);
    }
    if (s->txn->divert != NULL) {
        put_diverted(s, out);
    }
    judge_added_headers(session_judge(s), out);
}
