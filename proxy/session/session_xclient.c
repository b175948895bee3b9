/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_xclient.c - XCLIENT: a trusted peer names the client, and the session starts over.
 *
 * From then on the announced address is the client everywhere: limits, points, facts, logs, Received,
 * identity towards the upstream.  It counts like a client that connected itself.  A private one is not
 * exempt, because the peer vouches for it.  Attributes that the peer does not know stay unchanged.  We trust
 * the peer, so it may name the next client in the same session.
 *
 * RFC: none; Postfix XCLIENT_README.
 */
#include "proxy/session/limits.h"
#include "proxy/session/session_priv.h"
#include "smtp/xclient.h"
#include "state/clients.h"

static const enum reply_id refusals[] = {
    [ADMIT_PER_CLIENT] = REPLY_CLIENT_CONNECTIONS,
    [ADMIT_PER_NETWORK] = REPLY_CLIENT_CONNECTIONS,
    [ADMIT_RATE] = REPLY_CLIENT_RATE,
    [ADMIT_BANNED] = REPLY_BANNED,
};

static void log_change(struct session *s, const struct addr *before)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_INFO, "xclient")) {
        return;
    }
    log_text(&l, "session", s->id);
    log_ip(&l, "client", &s->peer);
    log_num(&l, "port", s->peer.port);
    log_ip(&l, "before", before);
    log_ip(&l, "via", &s->via);
    log_end(&l);
}

static void replace(char **text, bool given, const char *value)
{
    free(*text);
    *text = given && value[0] != '\0' ? xstrdup(value) : NULL;
}

/* Leaves the client's entry in the tables and enters the new client.  Not ADMIT_OK: it has no entry. */
static enum admit move(struct session *s, const struct addr *to)
{
    struct limits_admission a;

    if (s->counted) {
        limits_leave(s->worker, &s->peer);
    }
    s->counted = false;
    s->peer = *to;
    a = limits_admit(s->worker, &s->peer, true);
    s->counted = a.counted;
    s->exempt = a.exempt;
    return a.result;
}

static enum admit apply(struct session *s, const struct xclient *x)
{
    struct addr to = x->client;

    if (s->via.family == ADDR_NONE) {
        s->via = s->peer;
    }
    s->rdns_given = x->name_given && !x->name_temporary;
    replace(&s->announced_name, x->name_given, x->name);
    replace(&s->announced_helo, x->helo_given, x->helo);
    if (x->destination.family != ADDR_NONE) {
        s->local = x->destination;
    }
    if (x->destination_port_given) {
        s->local.port = x->destination_port;
    }
    if (to.family == ADDR_NONE) {
        s->peer.port = x->port_given ? x->port : s->peer.port;
        return ADMIT_OK;
    }
    to.port = x->port_given ? x->port : 0;
    return move(s, &to);
}

enum cmd_result cmd_xclient(struct session *s, struct slice arg)
{
    struct addr before = s->peer;
    struct xclient x;
    enum admit admitted;

    if (!s->trusted) {
        count(M_XCLIENT_REFUSED);
        return session_say(s, REPLY_XCLIENT_DENIED);
    }
    if (s->phase != PHASE_READY) {
        return session_say(s, REPLY_OUT_OF_ORDER);
    }
    if (!xclient_parse(arg, &x)) {
        count(M_XCLIENT_REFUSED);
        return session_say(s, REPLY_SYNTAX);
    }
    count(M_XCLIENT_TAKEN);
    admitted = apply(s, &x);
    log_change(s, &before);
    if (admitted != ADMIT_OK) {
        return session_end(s, refusals[admitted], REASON_LIMIT);
    }
    session_forget(s);
    session_policy_close(s); /* another client: discard all facts of the previous one */
    session_policy_open(s);
    session_tls_facts(s); /* TLS belongs to this connection and has not changed */
    session_enter(s, PHASE_HELO);
    session_greet(s);
    return CMD_REPLIED;
}
