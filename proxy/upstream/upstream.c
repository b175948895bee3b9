/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.c - the SMTP client: upstream_enter() sends, on_reply() decides (the diagram is in upstream.h).
 *
 * It has one deadline at a time, that of the state.  It sends a command only if there is no unread input
 * (RPL-08), except while replies to pipelined commands are pending.  Every failure ends in fail(), once, which
 * closes the stream and tells the pool.  If the holder leaves in the middle of an envelope, the connection reads
 * the pending replies, resets the transaction and returns to the pool by itself.
 *
 * RFC: 5321 3.3, 4.1.1, 4.5.3.2; 2920 3.1.  EHLO, TLS and XCLIENT are in upstream_hello.c.
 */
#include "proxy/upstream/upstream.h"

#include <errno.h>
#include <sys/socket.h>

#include "proxy/upstream/relay_map.h"

#define UPSTREAM_MAGIC 0x55505354U
#define UPSTREAM_DEAD 0x44454144U

#define SHORT_COMMAND_MS 60000U /* EHLO, HELO, RSET */
#define DATA_COMMAND_MS 100000U
#define BODY_BLOCKED_MS 170000U
#define QUIT_MS 2000U

static struct upstream *upstream_of(void *arg)
{
    struct upstream *u = arg;

    BUG_ON(u->magic != UPSTREAM_MAGIC);
    return u;
}

static const struct config_upstream *conf_of(const struct upstream *u)
{
    return u->server->pool->conf;
}

static void free_upstream(void *obj)
{
    struct upstream *u = obj;

    reply_parser_fini(&u->parser);
    reply_free(&u->mail_refusal);
    buf_fini(&u->identity);
    u->magic = UPSTREAM_DEAD;
    free(u);
}

/* ---- the end ---- */

/* Closes and reports; u is freed after this turn.  Content without its dot is cut off by a reset, never ended. */
static void finish(struct upstream *u, const struct upstream_failure *f)
{
    struct loop *l = u->server->pool->ups->loop;
    enum up_state was = u->state;

    u->state = UP_STATE_CLOSED;
    timer_stop(&u->timer);
    if (was == UP_STATE_BODY || was == UP_STATE_DATA) {
        stream_abort(&u->stream);
    } else {
        stream_close(&u->stream);
    }
    pool_lost(u, f);
    loop_bury(l, &u->grave, free_upstream, u);
}

static void count_failure(enum up_why why)
{
    switch (why) {
    case UP_WHY_TIMEOUT:
        count(M_UP_TIMEOUTS);
        break;
    case UP_WHY_MALFORMED:
        count(M_UP_PROTOCOL_ERRORS);
        break;
    case UP_WHY_STALE:
        count(M_UP_STALE);
        break;
    case UP_WHY_LOST:
    case UP_WHY_GOES_AWAY:
    case UP_WHY_REFUSAL:
    case UP_WHY_REFUSES_US:
    case UP_WHY_NO_TLS:
    case UP_WHY_TLS_FAILED: /* counted where it is logged */
    case UP_WHY_UNTRUSTED:
    case UP_WHY_EARLY:
    case UP_WHY_SPOOL:
    case UP_WHY_COUNT:
        break;
    }
}

static bool dead_from_the_start(const struct upstream *u, enum up_why why)
{
    return u->was_idle &&
           (why == UP_WHY_LOST || why == UP_WHY_GOES_AWAY || (why == UP_WHY_MALFORMED && u->owed == 0));
}

void upstream_fail(struct upstream *u, enum up_why why, int err, const struct reply *reply)
{
    struct upstream_failure f = { why, u->state, err, reply };

    if (u->state == UP_STATE_CLOSED) {
        return;
    }
    if (u->state == UP_STATE_QUIT) {
        finish(u, NULL);
        return;
    }
    f.why = dead_from_the_start(u, why) ? UP_WHY_STALE : upstream_tls_cause(u, why);
    if (u->mail_refusal && u->lease) { /* the reply is known, so the lost connection does not matter */
        struct up_answer refusal = { .result = u->mail_result, .reply = u->mail_refusal };

        u->lease->ev->on_mail_refused(u->lease->arg, &refusal);
    }
    if (u->state != UP_STATE_CLOSED) {
        count_failure(f.why);
        finish(u, &f);
    }
}

static void fail(struct upstream *u, enum up_why why)
{
    upstream_fail(u, why, 0, NULL);
}

static void on_deadline(void *arg)
{
    fail(upstream_of(arg), UP_WHY_TIMEOUT);
}

/* ---- the message ---- */

static void drive_body(struct upstream *u)
{
    switch (body_writer_send(&u->body, u->stream)) {
    case BODY_WRITER_SENT:
        upstream_enter(u, UP_STATE_FINAL);
        break;
    case BODY_WRITER_WAIT:
        timer_start(&u->timer, BODY_BLOCKED_MS);
        break;
    case BODY_WRITER_UNREADABLE:
        fail(u, UP_WHY_SPOOL);
        break;
    }
}

static void begin_body(struct upstream *u)
{
    if (u->parsing || stream_input(u->stream).len > 0) { /* "354 go, 250 early" */
        fail(u, UP_WHY_MALFORMED);
        return;
    }
    u->messages++;
    u->early = false;
    body_writer_begin(&u->body, u->msg);
    drive_body(u);
}

/* ---- the two switches ---- */

/* With PIPELINING, the waiting commands go in the same write. */
static void enter_rset(struct upstream *u, uint64_t deadline_ms)
{
    u->op_sent = u->op_waits && u->ext.pipelining && !upstream_must_announce(u) && !upstream_must_hello(u);
    if (u->op_sent) {
        upstream_send_envelope(u, true);
    } else {
        upstream_send_line(u, "RSET", "", deadline_ms);
    }
}

static void enter_mail(struct upstream *u)
{
    u->op_waits = false;
    if (!u->op_sent) {
        upstream_send_envelope(u, false);
    }
    u->op_sent = false;
}

static void enter_xforward(struct upstream *u, uint64_t deadline_ms)
{
    u->forwarded = true;
    if (u->op_sent) {
        return;
    }
    u->op_sent = u->ext.pipelining;
    if (u->op_sent) {
        upstream_send_envelope(u, false);
    } else {
        upstream_send_identity(u, deadline_ms);
    }
}

void upstream_enter(struct upstream *u, enum up_state state)
{
    const struct config_upstream *c = conf_of(u);
    uint64_t short_ms = min_u64(c->timeouts.command_ms, SHORT_COMMAND_MS);

    u->state = state;
    switch (state) { /* flat: one case a state, in the order of on_reply */
    case UP_STATE_GREETING:
        u->owed = 1;
        timer_start(&u->timer, c->timeouts.greeting_ms);
        break;
    case UP_STATE_EHLO:
        upstream_send_line(u, "EHLO ", upstream_hello_name(u), short_ms);
        break;
    case UP_STATE_HELO:
        upstream_send_line(u, "HELO ", upstream_hello_name(u), short_ms);
        break;
    case UP_STATE_STARTTLS:
        upstream_send_line(u, "STARTTLS", "", short_ms);
        break;
    case UP_STATE_HANDSHAKE:
        upstream_handshake(u);
        break;
    case UP_STATE_READY:
    case UP_STATE_OPEN:
        timer_stop(&u->timer);
        break;
    case UP_STATE_RSET:
        u->resets++;
        enter_rset(u, short_ms);
        break;
    case UP_STATE_XCLIENT:
        upstream_send_identity(u, short_ms);
        break;
    case UP_STATE_XFORWARD:
        enter_xforward(u, short_ms);
        break;
    case UP_STATE_MAIL:
        enter_mail(u);
        break;
    case UP_STATE_RCPT:
        if (u->rcpt_sent == u->rcpt_answered) {
            upstream_send_rcpts(u);
        }
        break;
    case UP_STATE_DATA:
        upstream_send_line(u, "DATA", "", min_u64(c->timeouts.command_ms, DATA_COMMAND_MS));
        break;
    case UP_STATE_BODY:
        begin_body(u);
        break;
    case UP_STATE_FINAL:
        u->early = u->parsing || stream_input(u->stream).len > 0;
        u->owed = 1;
        timer_start(&u->timer, c->timeouts.final_reply_ms);
        break;
    case UP_STATE_QUIT:
        upstream_send_line(u, "QUIT", "", QUIT_MS);
        break;
    case UP_STATE_CONNECT:
    case UP_STATE_CLOSED:
    case UP_STATE_COUNT:
        break;
    }
}

/* MAIL and RCPT have all replies, and MAIL was refused or the holder has left. */
static void end_envelope(struct upstream *u)
{
    struct reply *refusal = u->mail_refusal;

    u->mail_refusal = NULL;
    if (refusal == NULL) {
        upstream_enter(u, UP_STATE_OPEN);
        if (u->lease == NULL) {
            upstream_enter(u, UP_STATE_RSET);
        }
        return;
    }
    upstream_enter(u, UP_STATE_READY);
    if (u->lease) {
        struct up_answer answer = { .result = u->mail_result, .reply = refusal };

        u->lease->ev->on_mail_refused(u->lease->arg, &answer);
    } else {
        pool_clean(u);
    }
    reply_free(&refusal);
}

/* The server counts its refusals and delays replies, also for the next client. */
static void note_refusal(struct upstream *u)
{
    u->refusals++;
    u->refused_envelopes += u->envelope_refused ? 0 : 1;
    u->envelope_refused = true;
}

/* Fails the connection if the reply ends it, whatever the command. */
static bool ends_connection(struct upstream *u, const struct up_answer *answer)
{
    if (answer->result == MAP_GOES_AWAY) {
        upstream_fail(u, UP_WHY_GOES_AWAY, 0, answer->reply);
        return true;
    }
    if (answer->result == MAP_NONSENSE) {
        fail(u, UP_WHY_MALFORMED);
        return true;
    }
    return false;
}

static void on_mail_reply(struct upstream *u, const struct reply *r)
{
    struct up_answer answer = map_reply(UP_STATE_MAIL, r);

    if (ends_connection(u, &answer)) {
        return;
    }
    if (answer.result == MAP_ACCEPTED) {
        if (u->lease == NULL && u->owed == 0) {
            end_envelope(u);
        } else {
            upstream_enter(u, UP_STATE_RCPT);
        }
        return;
    }
    reply_free(&u->mail_refusal);
    u->mail_refusal = reply_copy(r);
    u->mail_result = answer.result;
    note_refusal(u);
    if (u->owed == 0) {
        end_envelope(u);
    } else {
        u->state = UP_STATE_RCPT; /* ignore the replies to the commands pipelined with it */
    }
}

/* Handles a reply to op.rcpt[i] that counts. */
static void take_rcpt_answer(struct upstream *u, const struct up_answer *answer)
{
    size_t i = u->rcpt_answered++;
    bool last = u->rcpt_answered == u->op.count;

    if (answer->result != MAP_ACCEPTED) {
        note_refusal(u);
    }
    timer_start(&u->timer, conf_of(u)->timeouts.command_ms);
    if (last || (u->lease == NULL && u->owed == 0)) {
        end_envelope(u);
    } else {
        upstream_enter(u, UP_STATE_RCPT);
    }
    if (u->state != UP_STATE_CLOSED && u->lease) {
        u->lease->ev->on_rcpt(u->lease->arg, i, answer);
    }
}

static void on_rcpt_reply(struct upstream *u, const struct reply *r)
{
    struct up_answer answer = map_reply(UP_STATE_RCPT, r);

    if (u->mail_refusal) {
        if (u->owed == 0) {
            end_envelope(u);
        }
        return;
    }
    if (!ends_connection(u, &answer)) {
        take_rcpt_answer(u, &answer);
    }
}

static void on_rset_reply(struct upstream *u, const struct reply *r)
{
    if (r->code == 421) {
        upstream_fail(u, UP_WHY_GOES_AWAY, 0, r);
    } else if (!reply_accepts(r)) {
        fail(u, UP_WHY_MALFORMED);
    } else if (u->op_waits && (u->lease || u->op_sent)) {
        u->forwarded = false;
        upstream_begin_op(u);
    } else {
        u->forwarded = false;
        u->op_waits = false;
        upstream_enter(u, UP_STATE_READY);
        pool_clean(u);
    }
}

/* A refusal of DATA leaves the transaction open, a final reply ends it. */
static void on_message_reply(struct upstream *u, const struct reply *r)
{
    enum up_state was = u->state;
    struct up_answer answer = map_reply(was, r);

    if (ends_connection(u, &answer)) {
        return;
    }
    if (answer.result == MAP_ACCEPTED && was == UP_STATE_DATA) {
        upstream_enter(u, UP_STATE_BODY);
        return;
    }
    if (answer.result == MAP_ACCEPTED && u->early) {
        fail(u, UP_WHY_MALFORMED);
        return;
    }
    u->msg = NULL;
    u->forwarded =
        u->forwarded && was == UP_STATE_DATA; /* a final reply ends the transaction and its XFORWARD */
    upstream_enter(u, was == UP_STATE_DATA ? UP_STATE_OPEN : UP_STATE_READY);
    u->lease->ev->on_final(u->lease->arg, &answer);
}

static void log_reply(const struct upstream *u, const struct reply *r)
{
    static const char *const names[UP_STATE_COUNT] = {
        [UP_STATE_CONNECT] = "connect", [UP_STATE_GREETING] = "greeting", [UP_STATE_EHLO] = "ehlo",
        [UP_STATE_HELO] = "helo",       [UP_STATE_STARTTLS] = "starttls", [UP_STATE_HANDSHAKE] = "handshake",
        [UP_STATE_XCLIENT] = "xclient", [UP_STATE_XFORWARD] = "xforward", [UP_STATE_READY] = "ready",
        [UP_STATE_RSET] = "rset",       [UP_STATE_MAIL] = "mail",         [UP_STATE_RCPT] = "rcpt",
        [UP_STATE_OPEN] = "open",       [UP_STATE_DATA] = "data",         [UP_STATE_BODY] = "body",
        [UP_STATE_FINAL] = "final",     [UP_STATE_QUIT] = "quit",         [UP_STATE_CLOSED] = "closed",
    };
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_DEBUG, "upstream_reply")) {
        return;
    }
    pool_log_server(&l, u->server);
    log_text(&l, "state", names[u->state]);
    log_num(&l, "code", r->code);
    log_str(&l, "enhanced", r->enhanced);
    log_end(&l);
}

static void on_reply(struct upstream *u, const struct reply *r)
{
    bool asked = u->owed > 0;

    log_reply(u, r);

    u->owed -= asked ? 1 : 0;
    u->warned = u->warned || slice_eq(r->enhanced, SLICE("4.7.0"));
    if (asked && r->code != 421) {
        u->was_idle = false;
    }
    switch (u->state) {
    case UP_STATE_CONNECT:
    case UP_STATE_CLOSED:
    case UP_STATE_COUNT:
        break;
    case UP_STATE_GREETING:
        upstream_greeted(u, r);
        break;
    case UP_STATE_EHLO:
    case UP_STATE_HELO:
    case UP_STATE_STARTTLS:
    case UP_STATE_XCLIENT:
    case UP_STATE_XFORWARD:
        upstream_hello_reply(u, r);
        break;
    case UP_STATE_HANDSHAKE: /* no reply is pending */
    case UP_STATE_READY:
    case UP_STATE_OPEN:
        upstream_fail(u, r->code == 421 ? UP_WHY_GOES_AWAY : UP_WHY_MALFORMED, 0, r->code == 421 ? r : NULL);
        break;
    case UP_STATE_RSET:
        on_rset_reply(u, r);
        break;
    case UP_STATE_MAIL:
        on_mail_reply(u, r);
        break;
    case UP_STATE_RCPT:
        on_rcpt_reply(u, r);
        break;
    case UP_STATE_DATA:
    case UP_STATE_FINAL:
        on_message_reply(u, r);
        break;
    case UP_STATE_BODY: /* before the dot: only a refusal makes sense, and it makes the connection unusable */
        if (reply_is(r, 4) || reply_is(r, 5)) {
            upstream_fail(u, UP_WHY_EARLY, 0, r);
        } else {
            fail(u, UP_WHY_MALFORMED);
        }
        break;
    case UP_STATE_QUIT:
        finish(u, NULL);
        break;
    }
}

/* ---- from the stream ---- */

/* Reads all complete replies. */
static void pump(struct upstream *u)
{
    while (u->state != UP_STATE_CLOSED && stream_input(u->stream).len > 0) {
        struct reply r;
        size_t used = 0;
        enum reply_status st;

        if (!u->parsing) {
            reply_parser_reset(&u->parser);
        }
        u->parsing = true;
        st = reply_parser_feed(&u->parser, stream_input(u->stream), &used, &r);
        stream_consume(u->stream, used);
        if (st == REPLY_MORE) {
            return;
        }
        u->parsing = false;
        if (st == REPLY_BAD) {
            fail(u, UP_WHY_MALFORMED);
            return;
        }
        on_reply(u, &r);
    }
}

static void on_input(void *arg)
{
    pump(upstream_of(arg));
}

static void on_eof(void *arg)
{
    struct upstream *u = upstream_of(arg);

    pump(u);
    fail(u, UP_WHY_LOST);
}

static void on_error(void *arg, int err)
{
    struct upstream *u = upstream_of(arg);

    if (u->state != UP_STATE_CONNECT && u->state != UP_STATE_HANDSHAKE) {
        pump(u);
    }
    upstream_fail(u, UP_WHY_LOST, err, NULL);
}

static void on_writable(void *arg)
{
    struct upstream *u = upstream_of(arg);

    if (u->state == UP_STATE_BODY) {
        drive_body(u);
    }
}

static void on_open(void *arg)
{
    struct upstream *u = upstream_of(arg);

    if (u->state == UP_STATE_CONNECT) {
        count(M_UP_CONNECTS);
        upstream_announce(u);
        upstream_enter(u, UP_STATE_GREETING);
    } else if (u->state == UP_STATE_HANDSHAKE) {
        upstream_encrypted(u);
    }
}

static const struct stream_events events = {
    .on_input = on_input,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_writable = on_writable,
    .on_open = on_open,
};

/* ---- the public face ---- */

struct upstream *upstream_connect(struct pool_server *s, int ticket, uint64_t connect_ms)
{
    struct loop *l = s->pool->ups->loop;
    struct upstream *u = xcalloc(1, sizeof(*u));

    u->magic = UPSTREAM_MAGIC;
    u->server = s;
    u->ticket = ticket;
    u->born_ms = loop_now(l);
    list_node_init(&u->link);
    timer_init(&u->timer, l, on_deadline, u);
    reply_parser_init(&u->parser);
    buf_init(&u->identity, IDENTITY_MAX);
    u->stream = stream_connect(l, &s->address, &events, u);
    if (u->stream == NULL) {
        free_upstream(u);
        return NULL;
    }
    stream_set_input_max(u->stream, REPLY_UPSTREAM_BYTES);
    upstream_enter(u, UP_STATE_CONNECT);
    timer_start(&u->timer, connect_ms);
    return u;
}

void upstream_envelope(struct upstream *u, const struct up_envelope *op)
{
    u->op = *op;
    u->rcpt_sent = u->rcpt_answered = 0;
    reply_free(&u->mail_refusal);
    u->op_sent = false;
    u->op_waits = op->env != NULL;
    if (op->env == NULL) {
        upstream_enter(u, UP_STATE_RCPT);
        return;
    }
    u->envelope_refused = false;
    upstream_identify(u);
    if (u->state == UP_STATE_OPEN || u->forwarded) {
        upstream_enter(u, UP_STATE_RSET);
    } else {
        upstream_begin_op(u);
    }
}

void upstream_begin_op(struct upstream *u)
{
    if (upstream_must_announce(u)) {
        upstream_enter(u, UP_STATE_XCLIENT);
    } else if (upstream_must_hello(u)) {
        upstream_enter(u, UP_STATE_EHLO);
    } else if (conf_of(u)->identity == IDENTITY_XFORWARD && u->identity.len > 0) {
        upstream_enter(u, UP_STATE_XFORWARD);
    } else {
        upstream_enter(u, UP_STATE_MAIL);
    }
}

void upstream_data(struct upstream *u, const struct relay_message *msg)
{
    u->msg = msg;
    upstream_enter(u, UP_STATE_DATA);
}

void upstream_let_go(struct upstream *u)
{
    switch (u->state) {
    case UP_STATE_READY:
        pool_clean(u);
        break;
    case UP_STATE_OPEN:
        upstream_enter(u, UP_STATE_RSET);
        break;
    case UP_STATE_DATA:
    case UP_STATE_BODY:
    case UP_STATE_FINAL:
        finish(u, NULL);
        break;
    case UP_STATE_CONNECT: /* it continues without us */
    case UP_STATE_GREETING:
    case UP_STATE_EHLO:
    case UP_STATE_HELO:
    case UP_STATE_STARTTLS:
    case UP_STATE_HANDSHAKE:
    case UP_STATE_XCLIENT:
    case UP_STATE_XFORWARD:
    case UP_STATE_RSET:
    case UP_STATE_MAIL:
    case UP_STATE_RCPT:
    case UP_STATE_QUIT:
    case UP_STATE_CLOSED:
    case UP_STATE_COUNT:
        break;
    }
}

void upstream_quit(struct upstream *u)
{
    upstream_enter(u, UP_STATE_QUIT);
}

void upstream_drop(struct upstream *u)
{
    if (u->state != UP_STATE_CLOSED) {
        finish(u, NULL);
    }
}

bool upstream_usable(struct upstream *u)
{
    int fd = stream_fd(u->stream);
    char octet;

    if (u->state != UP_STATE_READY || u->parsing || stream_input(u->stream).len > 0 ||
        stream_at_eof(u->stream)) {
        return false;
    }
    /* The kernel may have input that the loop has not read: a check costs less than a transaction on a dead
     * connection. */
    return fd < 0 ||
           (recv(fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}
