/*
 * session_tags.c - the block put on top of a message: Received, tags, headers.add.
 *
 * One block, our own Received first (RFC 5321 4.4); foreign fields of the same names were stripped by
 * header.c.  Every value is ours or reduced by header_put_field.
 */
#include "policy/template.h"
#include "proxy/header.h"
#include "proxy/session.h"

static void put_received(struct session *s, struct buf *out)
{
    const struct txn *t = s->txn;
    char              id[ULID_LEN + 16], suite[128];
    struct buf        b, clause;
    struct received   r = {
          .helo = t->env.helo,
          .rdns = t->env.rdns,
          .client = s->peer,
          .hostname = slice_str(s->worker->conf->server.hostname),
          .esmtp = s->esmtp,
          .tls = s->tls,
          .utf8 = t->env.smtputf8,
          .date_s = wall_now_s(),
    };

    buf_init_fixed(&b, id, sizeof(id));
    buf_putf(&b, "%s.%u", s->id, t->number);
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

/* The facts that headers.add may name. */
static bool lookup(void *arg, struct slice name, struct buf *out)
{
    const struct session *s = arg;
    const struct txn     *t = s->txn;

    if (slice_eq(name, SLICE("client.ip"))) {
        addr_put_ip(out, &s->peer);
    } else if (slice_eq(name, SLICE("client.rdns"))) {
        buf_put_slice(out, t->env.rdns);
    } else if (slice_eq(name, SLICE("helo.name"))) {
        buf_put_slice(out, t->env.helo);
    } else if (slice_eq(name, SLICE("sender.address"))) {
        buf_put_slice(out, t->env.sender);
    } else if (slice_eq(name, SLICE("sender.domain"))) {
        buf_put_slice(out, t->env.sender_domain);
    } else if (slice_eq(name, SLICE("recipient.count"))) {
        buf_put_u64(out, t->env.rcpt_count);
    } else if (slice_eq(name, SLICE("message.size"))) {
        buf_put_u64(out, spool_size(t->spool));
    } else if (slice_eq(name, SLICE("session.id"))) {
        buf_put_str(out, s->id);
    } else if (slice_eq(name, SLICE("server.hostname"))) {
        buf_put_str(out, s->worker->conf->server.hostname);
    } else {
        return false;
    }
    return true;
}

static void put_verdict(struct session *s, struct buf *out)
{
    bool monitor = s->worker->conf->mode == MODE_MONITOR;

    header_put_field(out, SLICE("X-Glacis-Verdict"),
                     monitor ? SLICE("accept; mode=monitor") : SLICE("accept; mode=enforce"), false);
    header_put_field(out, SLICE("X-Glacis-Session"), slice_str(s->id), false);
}

void session_tags(struct session *s, struct buf *out)
{
    const struct config_headers *h = &s->worker->conf->headers;
    char                         mem[1024];
    struct buf                   value;

    if (h->received) {
        put_received(s, out);
    }
    if (h->verdict) {
        put_verdict(s, out);
    }
    if (s->exempt) { /* nothing was judged by address: whoever reads the message must be able to see it */
        header_put_field(out, SLICE("X-Glacis-Private"), SLICE("yes"), false);
    }
    for (size_t i = 0; i < h->add_count; i++) {
        buf_init_fixed(&value, mem, sizeof(mem));
        template_render(slice_str(h->add[i].value), lookup, s, &value);
        header_put_field(out, slice_str(h->add[i].name), buf_slice(&value), s->txn->env.smtputf8);
    }
}
