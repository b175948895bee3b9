/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_hello.c - from the connection to READY: PROXY header, EHLO, STARTTLS; XCLIENT, XFORWARD later.
 *
 * TLS        if offered and wanted: STARTTLS, handshake, EHLO again; the offer in clear is discarded.  Exactly one
 *            reply line may precede the handshake (UTL-02, UTL-08).
 *            `opportunistic` continues in clear: on this connection if STARTTLS was refused, on a new one
 *            after any other failure up to the EHLO in TLS.  It then skips STARTTLS with this server for some
 *            minutes.  `required` and `verify` never do (UTL-03).
 * Name       in EHLO: ours, or the client's (`ehlo`).  Before a connection serves another client, EHLO is sent
 *            again with that client's name.
 * Identity   XCLIENT must be accepted: else the server would judge our own address (XCL-04).  XFORWARD is only for
 *            its log, and mail continues without it.  A server that offers neither still gets mail, and we log
 *            an error.
 *
 * Limits: a handshake has the command timeout, at most 60 s.  RFC: 3207, 7435.
 */
#include "proxy/upstream/upstream.h"

#include "smtp/proxy_put.h"
#include "state/servers.h"
#include "tls/tls.h"

#define HANDSHAKE_MS 60000U
#define CLEAR_MS 300000U /* after a failed handshake */
#define TLS_LOG_S 60U
#define IDENTITY_LOG_S 3600U

static const struct config_upstream *conf_of(const struct upstream *u)
{
    return u->server->pool->conf;
}

static bool demands_tls(const struct upstream *u)
{
    return conf_of(u)->tls == UP_TLS_REQUIRED || conf_of(u)->tls == UP_TLS_VERIFY;
}

static bool is_plain(const struct upstream *u)
{
    return stream_transport_state(u->stream) == NULL;
}

static bool begin_log(struct upstream *u, struct log_limit *limit, uint32_t interval_s, struct log_line *l,
                      enum log_level level, const char *event)
{
    uint32_t suppressed;

    if (!log_allowed(limit, loop_now(u->server->pool->ups->loop), interval_s, &suppressed) ||
        !log_begin(l, level, event)) {
        return false;
    }
    pool_log_server(l, u->server);
    log_num(l, "suppressed", (int64_t)suppressed);
    return true;
}

/* ---- TLS ---- */

static void log_tls(struct upstream *u, const char *why, const struct reply *r)
{
    struct log_line l;

    if (!begin_log(u, &u->server->tls_log, TLS_LOG_S, &l, LOG_LEVEL_WARN, "upstream_tls")) {
        return;
    }
    log_text(&l, "why", why);
    if (r) {
        log_num(&l, "code", (int64_t)r->code);
        log_str(&l, "text", r->text);
    }
    log_text(&l, "then", demands_tls(u) ? "no mail" : "in clear");
    log_end(&l);
}

/* Names the fault between STARTTLS and the first EHLO in TLS, for the log. */
static const char *odd_text(enum up_why why)
{
    switch (why) {
    case UP_WHY_LOST:
        return "closed by the server";
    case UP_WHY_TIMEOUT:
        return "no answer in time";
    case UP_WHY_GOES_AWAY:
        return "421 to STARTTLS or in TLS";
    case UP_WHY_REFUSAL:
    case UP_WHY_REFUSES_US:
        return "EHLO is refused in TLS";
    case UP_WHY_MALFORMED:
    case UP_WHY_STALE:
    case UP_WHY_NO_TLS:
    case UP_WHY_TLS_FAILED:
    case UP_WHY_UNTRUSTED:
    case UP_WHY_EARLY:
    case UP_WHY_SPOOL:
    case UP_WHY_COUNT:
        break;
    }
    return "no single, plain reply to STARTTLS";
}

/* Under `opportunistic` any failure here means "no TLS"; otherwise only a lost connection does. */
static bool is_about_tls(const struct upstream *u, enum up_why why)
{
    bool inside = (u->state == UP_STATE_EHLO || u->state == UP_STATE_HELO) && !u->greeted && !is_plain(u);

    return (u->state == UP_STATE_STARTTLS || inside) && (why == UP_WHY_LOST || !demands_tls(u));
}

enum up_why upstream_tls_cause(struct upstream *u, enum up_why why)
{
    bool shaking = u->state == UP_STATE_HANDSHAKE && (why == UP_WHY_LOST || why == UP_WHY_TIMEOUT);

    if (!shaking && !is_about_tls(u, why)) {
        return why;
    }
    count(M_UP_TLS_FAILED);
    log_tls(u, shaking && why == UP_WHY_LOST ? tls_error(u->stream) : odd_text(why), NULL);
    if (!demands_tls(u)) {
        u->server->clear_until_ms = loop_now(u->server->pool->ups->loop) + CLEAR_MS;
    }
    return shaking && tls_untrusted(u->stream) ? UP_WHY_UNTRUSTED : UP_WHY_TLS_FAILED;
}

static bool wants_starttls(const struct upstream *u)
{
    const struct pool_server *s = u->server;

    if (conf_of(u)->tls == UP_TLS_OFF || s->pool->tls == NULL || !is_plain(u) || !u->ext.starttls ||
        u->tls_refused) {
        return false;
    }
    return demands_tls(u) || loop_now(s->pool->ups->loop) >= s->clear_until_ms;
}

void upstream_handshake(struct upstream *u)
{
    u->ext = (struct state_keywords){ .known = false };
    tls_connect(u->server->pool->tls, u->stream, u->server->conf->host, u->server->resume);
    timer_start(&u->timer, min_u64(conf_of(u)->timeouts.command_ms, HANDSHAKE_MS));
}

void upstream_encrypted(struct upstream *u)
{
    struct tls_info info;
    struct buf text;

    count(M_UP_TLS_OK);
    if (tls_info(u->stream, &info)) {
        buf_init_fixed(&text, u->tls, sizeof(u->tls));
        buf_put_str(&text, info.version);
        buf_put_char(&text, ' ');
        buf_put_str(&text, info.cipher);
    }
    upstream_enter(u, UP_STATE_EHLO);
}

/* ---- READY for the first time ---- */

static void note_no_identity(struct upstream *u, const char *why, const struct reply *r)
{
    struct log_line l;

    if (!begin_log(u, &u->server->identity_log, IDENTITY_LOG_S, &l, LOG_LEVEL_ERROR, "upstream_identity")) {
        return;
    }
    log_text(&l, "identity", conf_of(u)->identity == IDENTITY_XCLIENT ? "xclient" : "xforward");
    log_text(&l, "why", why);
    if (r) {
        log_num(&l, "code", (int64_t)r->code);
        log_str(&l, "text", r->text);
    }
    log_end(&l);
}

static bool identity_is_missing(const struct upstream *u)
{
    return (conf_of(u)->identity == IDENTITY_XCLIENT && u->offer.xclient == 0) ||
           (conf_of(u)->identity == IDENTITY_XFORWARD && u->offer.xforward == 0);
}

static void after_hello(struct upstream *u)
{
    if (wants_starttls(u)) {
        upstream_enter(u, UP_STATE_STARTTLS);
        return;
    }
    if (demands_tls(u) && is_plain(u)) { /* mail that requires TLS never goes in clear */
        upstream_fail(u, UP_WHY_NO_TLS, 0, NULL);
        return;
    }
    if (identity_is_missing(u)) {
        note_no_identity(u, "not offered", NULL);
    }
    upstream_enter(u, UP_STATE_READY);
    u->greeted = true;
    pool_greeted(u);
}

void upstream_greeted(struct upstream *u, const struct reply *r)
{
    if (reply_is(r, 2)) {
        u->is_exim = slice_has_word(r->text, SLICE("Exim"));
        upstream_enter(u, UP_STATE_EHLO);
    } else {
        upstream_fail(u, r->code == 521 ? UP_WHY_REFUSES_US : UP_WHY_REFUSAL, 0, r);
    }
}

static void on_first_hello(struct upstream *u, const struct reply *r)
{
    if (reply_accepts(r)) {
        if (u->state == UP_STATE_EHLO) {
            upstream_learn(r->text, &u->ext);
            identity_learn(r->text, &u->offer);
        }
        u->bound =
            u->bound || (u->state == UP_STATE_HELO && conf_of(u)->ehlo == EHLO_CLIENT); /* no second EHLO */
        after_hello(u);
    } else if (!reply_is(r, 5)) {
        upstream_fail(u, UP_WHY_REFUSAL, 0, r);
    } else if (u->state == UP_STATE_EHLO && r->code != 521) {
        upstream_enter(u, UP_STATE_HELO);
    } else {
        upstream_fail(u, UP_WHY_REFUSES_US, 0, r);
    }
}

static void on_starttls(struct upstream *u, const struct reply *r)
{
    bool alone = slice_find(r->text, '\n') == r->text.len && stream_input(u->stream).len == 0 &&
                 stream_queued(u->stream) == 0;

    if (reply_is(r, 2) && alone) {
        upstream_enter(u, UP_STATE_HANDSHAKE);
    } else if (r->code == 421) {
        upstream_fail(u, UP_WHY_GOES_AWAY, 0, r);
    } else if (!reply_is(r, 4) && !reply_is(r, 5)) {
        if (demands_tls(u)) {
            log_tls(u, odd_text(UP_WHY_MALFORMED), r);
        }
        upstream_fail(u, UP_WHY_MALFORMED, 0, NULL);
    } else {
        count(M_UP_TLS_FAILED);
        log_tls(u, "STARTTLS was refused", r);
        if (demands_tls(u)) {
            upstream_fail(u, reply_is(r, 5) ? UP_WHY_REFUSES_US : UP_WHY_NO_TLS, 0, r);
            return;
        }
        count(M_UP_TLS_CLEAR);
        u->tls_refused = true;
        after_hello(u);
    }
}

/* ---- identity ---- */

static bool has_proxy_identity(const struct upstream *u)
{
    return conf_of(u)->identity == IDENTITY_PROXY_V1 || conf_of(u)->identity == IDENTITY_PROXY_V2;
}

void upstream_announce(struct upstream *u)
{
    struct buf *b = &u->server->pool->ups->scratch;
    struct addr ours = addr_of_socket(stream_fd(u->stream)), *server = &u->server->address;
    const struct envelope *env = u->lease ? u->lease->env : NULL;

    if (!has_proxy_identity(u)) {
        return;
    }
    u->bound = true;
    if (ours.family == ADDR_NONE) {
        ours = *server;
    }
    if (env && env->client.family != ADDR_NONE) {
        proxy_put(b, conf_of(u)->identity == IDENTITY_PROXY_V2 ? 2 : 1, &env->client, &env->local);
    } else { /* a probe: we are the client */
        proxy_put(b, conf_of(u)->identity == IDENTITY_PROXY_V2 ? 2 : 1, &ours, server);
    }
    stream_write(u->stream, buf_slice(b));
    buf_reset(b);
}

/* The server already knows this client from XCLIENT, so do not announce it again. */
static bool is_known(const struct upstream *u, struct slice commands)
{
    return conf_of(u)->identity == IDENTITY_XCLIENT && u->identity_sent == u->identity.len &&
           slice_eq(buf_slice(&u->identity), commands);
}

void upstream_identify(struct upstream *u)
{
    struct buf *b = &u->server->pool->ups->scratch;

    if (conf_of(u)->identity == IDENTITY_XCLIENT) {
        identity_put_xclient(b, u->op.env, u->offer.xclient);
    } else if (conf_of(u)->identity == IDENTITY_XFORWARD) {
        identity_put_xforward(b, u->op.env, u->offer.xforward);
    }
    if (!is_known(u, buf_slice(b))) {
        buf_reset(&u->identity);
        buf_put_slice(&u->identity, buf_slice(b));
        u->identity_sent = 0;
    }
    u->identity_owed = 0;
    buf_reset(b);
}

bool upstream_must_announce(const struct upstream *u)
{
    return conf_of(u)->identity == IDENTITY_XCLIENT && u->identity_sent < u->identity.len;
}

static bool is_announced(const struct upstream *u)
{
    return conf_of(u)->identity == IDENTITY_XCLIENT && u->identity.len > 0 &&
           u->identity_sent == u->identity.len;
}

/* The name for EHLO: the client's if `ehlo` wants it and it is legal, else ours. */
static struct slice hello_name(const struct upstream *u)
{
    enum config_ehlo how = conf_of(u)->ehlo;
    bool theirs = how == EHLO_CLIENT || (how == EHLO_AUTO && (has_proxy_identity(u) || is_announced(u)));

    if (u->lease && theirs && identity_helo_usable(u->lease->env->helo)) {
        return u->lease->env->helo;
    }
    return slice_str(u->server->pool->ups->conf->server.hostname);
}

bool upstream_must_hello(const struct upstream *u)
{
    return conf_of(u)->ehlo == EHLO_CLIENT && u->ext.known && u->lease &&
           !slice_eq(hello_name(u), slice_str(u->helo));
}

const char *upstream_hello_name(struct upstream *u)
{
    struct buf b;

    buf_init_fixed(&b, u->helo, sizeof(u->helo));
    buf_put_slice(&b, slice_take(hello_name(u), sizeof(u->helo) - 1));
    return u->helo;
}

static void on_xclient(struct upstream *u, const struct reply *r)
{
    if (reply_is(r, 2)) { /* Postfix says 220, others 250 */
        upstream_enter(u, UP_STATE_EHLO);
    } else if (r->code == 421) {
        upstream_fail(u, UP_WHY_GOES_AWAY, 0, r);
    } else if (reply_is(r, 4) || reply_is(r, 5)) {
        count(M_UP_IDENTITY_REFUSED);
        note_no_identity(u, "XCLIENT was refused", r);
        upstream_fail(u, UP_WHY_REFUSES_US, 0, r);
    } else {
        upstream_fail(u, UP_WHY_MALFORMED, 0, NULL);
    }
}

/* An extension that the relay relies on is no longer offered. */
static bool utf8_is_lost(const struct upstream *u, const struct state_keywords *now)
{
    return u->op.utf8 && u->ext.smtputf8 && !now->smtputf8;
}

/* EHLO after XCLIENT, or with the name of the next client. */
static void on_next_hello(struct upstream *u, const struct reply *r)
{
    struct state_keywords ext;
    struct identity_offer offer;

    if (!reply_accepts(r)) {
        enum up_why why = r->code == 421   ? UP_WHY_GOES_AWAY
                          : reply_is(r, 5) ? UP_WHY_REFUSES_US
                                           : UP_WHY_REFUSAL;

        upstream_fail(u, why, 0, r);
        return;
    }
    upstream_learn(r->text, &ext);
    identity_learn(r->text, &offer);
    if ((offer.xclient & u->offer.xclient) != u->offer.xclient) {
        u->bound = true; /* it cannot announce another client */
    }
    if (u->lease && utf8_is_lost(u, &ext)) {
        upstream_fail(u, UP_WHY_MALFORMED, 0, NULL);
        return;
    }
    u->ext = ext;
    if (u->lease) {
        upstream_begin_op(u);
        return;
    }
    u->op_waits = false;
    upstream_enter(u, UP_STATE_READY);
    pool_clean(u);
}

static void refuse_xforward(struct upstream *u, const struct reply *r)
{
    count(M_UP_IDENTITY_REFUSED);
    note_no_identity(u, "XFORWARD was refused", r);
    u->offer.xforward = 0; /* on this connection */
    u->identity_sent = u->identity.len;
}

static void on_xforward(struct upstream *u, const struct reply *r)
{
    if (r->code == 421) {
        upstream_fail(u, UP_WHY_GOES_AWAY, 0, r);
        return;
    }
    if (reply_is(r, 3)) {
        upstream_fail(u, UP_WHY_MALFORMED, 0, NULL);
        return;
    }
    if (!reply_is(r, 2)) {
        refuse_xforward(u, r);
    }
    if (u->op_sent) {
        if (--u->identity_owed == 0) {
            upstream_enter(u, UP_STATE_MAIL);
        }
    } else if (u->lease == NULL) {
        u->op_waits = false;
        upstream_enter(u, UP_STATE_READY);
        pool_clean(u);
    } else if (u->identity_sent < u->identity.len) {
        upstream_enter(u, UP_STATE_XFORWARD);
    } else {
        upstream_enter(u, UP_STATE_MAIL);
    }
}

void upstream_hello_reply(struct upstream *u, const struct reply *r)
{
    switch ((unsigned)u->state) {
    case UP_STATE_STARTTLS:
        on_starttls(u, r);
        break;
    case UP_STATE_XCLIENT:
        on_xclient(u, r);
        break;
    case UP_STATE_XFORWARD:
        on_xforward(u, r);
        break;
    default:
        if (u->greeted) {
            on_next_hello(u, r);
        } else {
            on_first_hello(u, r);
        }
        break;
    }
}
