/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - the life of a session: accept, phases, pump, timers, replies, close.
 *
 * session_pump() is the center.  While no answer is pending, it takes one line (or piece of content) after the
 * other from the stream and passes it on.  Otherwise new octets stay in the stream's bounded buffer.  So
 * pipelining needs no code of its own, and an early talker is a non-empty buffer in BANNER.
 * Next file: session_cmds.c.
 */
#include "proxy/session/session_priv.h"

#include "policy/policy.h"
#include "proxy/session/limits.h"
#include "smtp/line.h"
#include "state/clients.h"

#define REPLIES_MAX 16384        /* octets of unsent replies; above this, take no line (LIM-07) */
#define LINES_A_TURN 64          /* then other sessions run (L13) */
#define LINGER_MS 2000           /* time for the client to read the last reply (LIM-13) */
#define FAREWELL_MS 1000         /* wait for an RST after a half-close too early to have read the 250 */
#define CONTENT_MAX (256u << 10) /* content comes in larger pieces and does not wait */
#define REST_MS 500              /* silence between transactions before the judge is packed */
#define FRESH_MS 5000            /* after this time, a session without a message is idle (reload) */
#define TLS_HANDSHAKE 0x16       /* first octet of a ClientHello on the wrong port (GRT-10) */

/* Bare newlines have no points: sloppy scripts send them, and their messages are refused.  A ban would also block
 * the well-formed mail of their address. */
static const struct {
    enum metric metric;
    unsigned points;
    const char *name;
} abuse_table[ABUSE_COUNT] = {
    [ABUSE_PREGREET] = { M_ABUSE_PREGREET, 4, "pregreet" },
    [ABUSE_PIPELINING] = { M_ABUSE_PIPELINING, 5, "pipelining" },
    [ABUSE_BARE_LF] = { M_ABUSE_BARE_LF, 0, "bare_lf" },
    [ABUSE_BARE_CR] = { M_ABUSE_BARE_CR, 0, "bare_cr" },
    [ABUSE_SMUGGLING] = { M_ABUSE_SMUGGLING, 10, "smuggling" },
    [ABUSE_NON_SMTP] = { M_ABUSE_NON_SMTP, 10, "non_smtp" },
    [ABUSE_JUNK] = { M_ABUSE_JUNK, 5, "junk" },
    [ABUSE_LONG_LINE] = { M_ABUSE_LONG_LINE, 2, "long_line" },
    [ABUSE_NUL] = { M_ABUSE_NUL, 2, "nul" },
    [ABUSE_RELAY] = { M_ABUSE_RELAY, 1, "relay" },
    [ABUSE_BDAT] = { M_ABUSE_BDAT, 5, "bdat" },
    [ABUSE_STARTTLS] = { M_ABUSE_STARTTLS, 10, "starttls_injection" },
};

static const enum metric reason_metric[REASON_COUNT] = {
    [REASON_QUIT] = M_CLOSE_QUIT,     [REASON_LOST] = M_CLOSE_LOST,     [REASON_TIMEOUT] = M_CLOSE_TIMEOUT,
    [REASON_ABUSE] = M_CLOSE_ABUSE,   [REASON_ERRORS] = M_CLOSE_ERRORS, [REASON_LIMIT] = M_CLOSE_LIMIT,
    [REASON_POLICY] = M_CLOSE_POLICY, [REASON_TLS] = M_CLOSE_TLS,       [REASON_SHUTDOWN] = M_CLOSE_SHUTDOWN,
};

#define IN(p) (1u << PHASE_##p)

/* Which phases may follow which. */
static const unsigned phase_next[PHASE_COUNT] = {
    [PHASE_BANNER] = IN(HELO) | IN(TLS) | IN(CLOSED),
    [PHASE_HELO] = IN(HELO) | IN(READY) | IN(TLS) | IN(CLOSED),
    [PHASE_TLS] = IN(HELO) | IN(BANNER) | IN(CLOSED),
    [PHASE_READY] = IN(READY) | IN(ENVELOPE) | IN(TLS) | IN(HELO) | IN(CLOSED),
    [PHASE_ENVELOPE] = IN(READY) | IN(HELO) | IN(DATA) | IN(RELAY) | IN(CLOSED),
    [PHASE_DATA] = IN(ENVELOPE) | IN(READY) | IN(RELAY) | IN(CLOSED),
    [PHASE_RELAY] = IN(READY) | IN(CLOSED),
    [PHASE_CLOSED] = 0,
};

/* ---- timers ---- */

static uint64_t command_due(const struct session *s)
{
    const struct config_limits *lim = &s->worker->conf->limits;
    uint64_t silence = lim->command_timeout_ms;
    uint64_t due;

    if (s->worker->stress) {
        silence = min_u64(silence, lim->stress_command_timeout_ms);
    }
    due = session_later(s->idle_since, silence);
    if (s->line_since != 0) {
        due = min_u64(due, session_later(s->line_since, lim->command_deadline_ms));
    }
    return min_u64(due, session_later(s->started, lim->session_timeout_ms));
}

/* When to try next to pack data that a silent client does not need.  A pending lookup may delay that. */
static uint64_t rest_due(const struct session *s)
{
    uint64_t since = s->rest_tried > s->idle_since ? s->rest_tried : s->idle_since;

    return s->judge == NULL ? CONFIG_OFF : session_later(since, REST_MS);
}

/* After a reload: from then on the session counts as idle like any other. */
static uint64_t fresh_due(const struct session *s)
{
    return s->draining && session_may_begin(s) ? session_later(s->idle_since, FRESH_MS) : CONFIG_OFF;
}

/* The nearest deadline of the phase; CONFIG_OFF while an answer is pending that has its own deadline. */
static uint64_t next_due(const struct session *s)
{
    const struct config *conf = s->worker->conf;

    if (s->farewell) {
        return session_later(s->idle_since, FAREWELL_MS);
    }
    if (s->waits & WAIT_TLS) {
        return session_later(s->idle_since, conf->tls.handshake_timeout_ms);
    }
    if (s->waits != 0) {
        return CONFIG_OFF;
    }
    switch (s->phase) {
    case PHASE_BANNER:
        return session_later(s->started, s->undelayed ? 0 : conf->server.greet_delay_ms);
    case PHASE_HELO:
    case PHASE_READY:
        return min_u64(min_u64(command_due(s), fresh_due(s)), rest_due(s));
    case PHASE_ENVELOPE:
        return command_due(s);
    case PHASE_DATA:
        return session_content_due(s);
    case PHASE_TLS:
    case PHASE_RELAY:
    case PHASE_CLOSED:
    case PHASE_COUNT:
        break;
    }
    return CONFIG_OFF;
}

void session_rearm(struct session *s)
{
    uint64_t due = next_due(s);

    if (due == CONFIG_OFF) {
        timer_stop(&s->timer);
    } else if (!timer_active(&s->timer) || s->timer.due > due) {
        timer_start_at(&s->timer, due);
    } /* an early alarm finds nothing due and sets itself again: cheaper than moving it each time */
}

void session_greet(struct session *s)
{
    char mem[REPLY_LINE_MAX];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_put_str(&b, "220 ");
    buf_put_str(&b, s->worker->conf->server.banner);
    buf_put_str(&b, "\r\n");
    stream_write(s->stream, buf_slice(&b));
    s->idle_since = loop_now(s->worker->loop);
}

void session_say_banner(struct session *s)
{
    session_greet(s);
    session_enter(s, PHASE_HELO);
    session_pump(s);
}

static void end_greet_delay(struct session *s)
{
    if (!session_early_banner(s)) {
        session_say_banner(s);
    }
}

/* The kernel reports a reset even after reading has stopped. */
static bool was_reset(const struct session *s)
{
    int err = 0;
    socklen_t len = sizeof(err);

    return getsockopt(stream_fd(s->stream), SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err != 0;
}

static void say_farewell(struct session *s)
{
    if (was_reset(s)) {
        session_unconfirmed(s);
    }
    session_finish(s, REASON_LOST);
}

static void on_timer(void *arg)
{
    struct session *s = session_of(arg);
    uint64_t now = loop_now(s->worker->loop);

    if (next_due(s) > now) {
        if (s->draining) {
            session_pump(s); /* it may have become idle */
        } else {
            session_rearm(s);
        }
        return;
    }
    if (s->farewell) {
        say_farewell(s);
        return;
    }
    if (s->waits & WAIT_TLS) {
        session_close(s, REASON_TLS);
        return;
    }
    switch (s->phase) {
    case PHASE_BANNER:
        end_greet_delay(s);
        return;
    case PHASE_HELO:
    case PHASE_READY:
    case PHASE_ENVELOPE:
        if (command_due(s) > now) {
            session_policy_rest(s);
            session_rearm(s);
        } else if (session_later(s->started, s->worker->conf->limits.session_timeout_ms) <= now) {
            session_end(s, REPLY_SESSION_TIME, REASON_TIMEOUT);
        } else {
            session_end(s, REPLY_IDLE, REASON_TIMEOUT);
        }
        return;
    case PHASE_DATA:
        session_content_late(s);
        return;
    case PHASE_TLS:
    case PHASE_RELAY:
    case PHASE_CLOSED:
    case PHASE_COUNT:
        return;
    }
}

/* ---- phases ---- */

void session_enter(struct session *s, enum phase phase)
{
    BUG_ON(!(phase_next[s->phase] & (1u << phase)));
    s->phase = phase;
    if (s->stream != NULL) {
        stream_set_input_max(s->stream, phase == PHASE_DATA ? CONTENT_MAX : COMMANDS_MAX);
    }
    session_rearm(s);
}

void session_reset(struct session *s)
{
    if (s->txn != NULL) {
        txn_free(&s->txn);
        judge_reset(session_judge(s));
    }
    if (s->phase == PHASE_ENVELOPE || s->phase == PHASE_DATA || s->phase == PHASE_RELAY) {
        session_enter(s, PHASE_READY);
    }
}

/* Logs a message that its client began and abandoned: it had a recipient, so it needs a record. */
static void tell_abandoned(struct session *s)
{
    if (s->txn != NULL && s->txn->env.rcpt_count > 0) {
        session_log_txn(s, NULL, TXN_ABORTED, false);
        count(M_MESSAGES_ABORTED);
    }
}

void session_abandon(struct session *s)
{
    tell_abandoned(s);
    session_reset(s);
}

void session_forget(struct session *s)
{
    session_abandon(s);
    free(s->helo);
    s->helo = NULL;
    s->esmtp = false;
    s->offer = (struct smtp_offer){ .esmtp = false };
    s->refused_rcpt = s->asked_rcpt = 0;
    s->skipping = false;
    s->line_since = 0;
}

/* ---- replies ---- */

void session_reply(struct session *s, const struct reply *r, bool ours)
{
    char mem[2048], id[ULID_LEN + 4];
    struct buf b, tail;
    struct slice suffix = SLICE_NONE;

    if (s->stream == NULL) {
        return; /* the client is gone; the relay continued without it */
    }
    if (ours && r->code >= 400) {
        buf_init_fixed(&tail, id, sizeof(id));
        reply_put_suffix(&tail, s->id);
        suffix = buf_slice(&tail);
    }
    if (r->text.len < 400 && slice_find(r->text, '\n') == r->text.len) { /* else up to a line an octet */
        buf_init_fixed(&b, mem, sizeof(mem));
    } else {
        buf_init(&b, 4 * REPLY_UPSTREAM_BYTES);
    }
    reply_write(&b, r, true, s->txn != NULL && s->txn->env.smtputf8, suffix);
    session_log_reply(s, r);
    stream_write(s->stream, buf_slice(&b));
    buf_fini(&b);
    s->idle_since = loop_now(s->worker->loop);
    if (ours && session_counts_error(r->code)) {
        s->errors++;
    }
}

enum cmd_result session_say(struct session *s, enum reply_id id)
{
    session_reply(s, &reply_table[id], true);
    if (s->errors >= s->worker->conf->limits.errors) {
        count(M_LIMIT_ERRORS);
        session_abuse(s, ABUSE_JUNK);
        return session_end(s, REPLY_TOO_MANY_ERRORS, REASON_ERRORS);
    }
    return CMD_REPLIED;
}

/* Has the client read all our replies and sent nothing after its command?  Then nothing can overtake the last reply,
 * and an immediate close loses none.  TLS has its own close. */
static bool is_in_step(const struct session *s)
{
    return s->stream != NULL && !s->tls && stream_queued(s->stream) == 0 &&
           slice_empty(stream_input(s->stream));
}

enum cmd_result session_end(struct session *s, enum reply_id id, enum close_reason reason)
{
    bool in_step;

    if (s->phase == PHASE_CLOSED) {
        return CMD_CLOSED;
    }
    in_step = reason == REASON_QUIT && is_in_step(s);
    session_reply(s, &reply_table[id], true);
    if (in_step) {
        stream_flush_last(s->stream);
    }
    if (s->stream != NULL && !(in_step && stream_queued(s->stream) == 0)) {
        stream_linger(&s->stream, LINGER_MS);
    }
    session_close(s, reason);
    return CMD_CLOSED;
}

void session_finish(struct session *s, enum close_reason reason)
{
    stream_linger(&s->stream, LINGER_MS);
    session_close(s, reason);
}

void session_abuse(struct session *s, enum abuse what)
{
    const struct config_limits *lim = &s->worker->conf->limits;
    uint64_t now = loop_now(s->worker->loop);
    struct log_line l;

    count(abuse_table[what].metric);
    s->violations++;
    if (log_begin(&l, LOG_LEVEL_INFO, "abuse")) {
        log_text(&l, "session", s->id);
        log_ip(&l, "client", &s->peer);
        log_text(&l, "kind", abuse_table[what].name);
        log_num(&l, "points", abuse_table[what].points);
        log_end(&l);
    }
    if (lim->ban_points == 0 || abuse_table[what].points == 0 || s->exempt || s->known ||
        !state_client_abuse(s->worker->state, &s->peer, abuse_table[what].points, lim, now)) {
        return;
    }
    count(s->worker->conf->mode == MODE_ENFORCE ? M_BANS : M_BANS_MONITORED);
    if (log_begin(&l, LOG_LEVEL_WARN, "ban")) {
        log_text(&l, "session", s->id);
        log_ip(&l, "client", &s->peer);
        log_num(&l, "for_ms", (int64_t)lim->ban_for_ms);
        log_bool(&l, "enforced", s->worker->conf->mode == MODE_ENFORCE);
        log_end(&l);
    }
}

/* ---- pump ---- */

/* True if it handled a line and more may follow. */
static bool take_line(struct session *s)
{
    char mem[LINE_MAX_OCTETS];
    struct slice in = stream_input(s->stream), line;
    size_t used;
    enum line_status status;

    if (!slice_empty(in) && in.ptr[0] == TLS_HANDSHAKE && s->phase == PHASE_HELO && !s->skipping) {
        session_abuse(s, ABUSE_NON_SMTP);
        session_end(s, REPLY_NOT_SMTP, REASON_ABUSE);
        return false;
    }
    status = line_next(in, &s->skipping, &line, &used);
    if (status == LINE_READY) {
        memcpy(mem, line.ptr, line.len); /* the handler may need the line after the buffer drops it */
        line.ptr = mem;
    }
    stream_consume(s->stream, used);
    if (status == LINE_MORE) {
        bool partial = s->skipping || !slice_empty(stream_input(s->stream));

        s->line_since = !partial ? 0 : s->line_since != 0 ? s->line_since : loop_now(s->worker->loop);
        return false;
    }
    s->line_since = 0;
    s->idle_since = loop_now(s->worker->loop);
    switch (status) {
    case LINE_READY:
        session_command(s, line);
        return true;
    case LINE_TOO_LONG:
        count(M_LIMIT_LINE);
        session_abuse(s, ABUSE_LONG_LINE);
        session_say(s, REPLY_LINE_TOO_LONG);
        return true;
    case LINE_BARE_LF:
        session_abuse(s, ABUSE_BARE_LF);
        session_end(s, REPLY_BARE_LF, REASON_ABUSE);
        return false;
    case LINE_BAD_OCTET:
        session_abuse(s, ABUSE_NUL);
        session_say(s, REPLY_NUL);
        return true;
    case LINE_MORE:
        break;
    }
    return false;
}

static bool takes_input(const struct session *s)
{
    return s->stream != NULL && s->waits == 0 && s->phase != PHASE_BANNER && s->phase != PHASE_TLS &&
           s->phase != PHASE_RELAY && s->phase != PHASE_CLOSED && stream_queued(s->stream) < REPLIES_MAX;
}

void session_pump(struct session *s)
{
    unsigned turns = 0;
    bool more = true;

    while (more && takes_input(s) && turns++ < LINES_A_TURN) {
        if (s->eating) {
            more = session_eat(s);
        } else if (s->phase == PHASE_DATA) {
            more = session_take_content(s);
        } else {
            more = take_line(s);
        }
    }
    if (s->phase == PHASE_CLOSED) {
        return;
    }
    if (!more && s->eof && takes_input(s) && s->unconfirmed_set) {
        s->farewell = true; /* if an RST follows, the client has not read its 250 (RFC 1047) */
    } else if (!more && s->eof && takes_input(s)) {
        stream_linger(&s->stream, LINGER_MS); /* every complete command has its reply (L10a) */
        session_close(s, REASON_LOST);
        return;
    }
    if (more && takes_input(s)) {
        loop_defer(s->worker->loop, &s->resume);
    } else if (s->draining && !session_may_begin(s) && s->txn == NULL && takes_input(s) &&
               slice_empty(stream_input(s->stream))) {
        session_end(s, REPLY_SHUTDOWN, REASON_SHUTDOWN);
        return;
    }
    session_rearm(s);
}

static void on_resume(void *arg)
{
    session_pump(session_of(arg));
}

/* ---- what the stream says ---- */

static void on_input(void *arg)
{
    struct session *s = session_of(arg);

    if (s->phase == PHASE_BANNER && !s->pregreet) {
        s->pregreet = true;
        judge_pregreet(session_judge(s));
        session_abuse(s, ABUSE_PREGREET);
        return;
    }
    s->unconfirmed_set = false; /* the client continues, so it has read its 250 */
    session_pump(s);
}

static void on_eof(void *arg)
{
    struct session *s = session_of(arg);
    bool nothing_left = slice_empty(stream_input(s->stream));

    s->eof = true;
    if (s->phase == PHASE_RELAY) {
        return; /* process and answer a complete message (PIP-13) */
    }
    if (s->phase == PHASE_BANNER || s->phase == PHASE_TLS || (s->waits != 0 && nothing_left)) {
        session_close(s, REASON_LOST); /* the client cannot read a reply: cancel pending work */
        return;
    }
    session_pump(s);
}

static void on_error(void *arg, int err UNUSED)
{
    struct session *s = session_of(arg);

    session_unconfirmed(s);
    if (s->phase == PHASE_RELAY && session_relay_goes_on(s)) {
        stream_close(&s->stream); /* the dot is out: record the outcome without the client (RFC 1047) */
        return;
    }
    session_close(s, s->phase == PHASE_TLS ? REASON_TLS : REASON_LOST);
}

static void on_flushed(void *arg)
{
    struct session *s = session_of(arg);

    if (s->phase == PHASE_TLS) {
        session_tls_flushed(s);
        return;
    }
    s->idle_since = loop_now(s->worker->loop);
    if (s->phase != PHASE_BANNER) {
        session_pump(s);
    }
}

static void on_open(void *arg)
{
    session_tls_open(session_of(arg));
}

static const struct stream_events client_events = {
    .on_input = on_input,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_flushed = on_flushed,
    .on_open = on_open,
};

/* ---- life ---- */

void session_slab_init(struct slab *slab, size_t kept)
{
    slab_init(slab, "session", sizeof(struct session), kept);
}

void session_each(struct worker *w, void (*f)(struct session *s))
{
    struct list_node *n, *tmp;

    LIST_EACH(&w->sessions, n, tmp)
    {
        f(container_of(n, struct session, link));
    }
}

/* May it name the client?  Checks the current address: after PROXY, the announced one. */
static bool is_trusted(const struct config_listener *lc, const struct addr *peer)
{
    for (size_t i = 0; lc->xclient && i < lc->trusted_count; i++) {
        if (cidr_contains(&lc->trusted[i], peer)) {
            return true;
        }
    }
    return false;
}

void session_accept(struct worker *w, const struct config_listener *lc, int fd,
                    const struct session_client *c)
{
    struct session *s = slab_alloc(&w->session_slab);

    s->magic = SESSION_MAGIC;
    s->worker = w;
    s->listener = lc;
    s->peer = c->peer;
    s->local = c->local;
    s->via = c->via;
    s->counted = c->counted;
    s->exempt = c->exempt;
    s->trusted = is_trusted(lc, &c->peer);
    s->started = s->idle_since = loop_now(w->loop);
    ulid_make(s->id);
    list_node_init(&s->link);
    list_node_init(&s->tls_link);
    list_push_back(&w->sessions, &s->link);
    w->session_count++;
    timer_init(&s->timer, w->loop, on_timer, s);
    deferred_init(&s->resume, on_resume, s);
    s->stream = stream_new(w->loop, fd, &client_events, s);
    stream_set_input_max(s->stream, COMMANDS_MAX);
    count(M_SESSIONS);
    gauge_add(M_SESSIONS_NOW, 1);
    session_log_connect(s);
    session_policy_open(s);
    /* send the banner at once to a client not judged by address: a health check may allow only two seconds in all */
    s->undelayed = w->conf->server.greet_delay_ms == 0 || s->exempt || c->trusted || s->known ||
                   policy_greets_at_once(w->judges, &s->peer);
    if (lc->tls == TLS_MODE_IMPLICIT) {
        session_tls_implicit(s);
    } else if (s->undelayed) {
        end_greet_delay(s);
    } else {
        session_rearm(s);
    }
}

static void release(void *obj)
{
    struct session *s = obj;

    s->magic = SESSION_DEAD;
    slab_release(&s->worker->session_slab, s);
}

void session_close(struct session *s, enum close_reason reason)
{
    struct worker *w = s->worker;

    if (s->phase == PHASE_CLOSED) {
        return;
    }
    tell_abandoned(s);
    if (s->waits & WAIT_TLS) {
        session_tls_failed(s, reason);
    }
    s->phase = PHASE_CLOSED;
    timer_stop(&s->timer);
    deferred_cancel(&s->resume);
    txn_free(&s->txn);
    session_policy_close(s);
    stream_close(&s->stream);
    session_log_close(s, reason);
    if (s->counted) {
        limits_leave(w, &s->peer);
    }
    free(s->helo);
    free(s->announced_name);
    free(s->announced_helo);
    free(s->unconfirmed);
    s->unconfirmed = NULL;
    s->helo = s->announced_name = s->announced_helo = NULL;
    list_remove(&s->link);
    count(reason_metric[reason]);
    gauge_add(M_SESSIONS_NOW, -1);
    w->session_count--;
    loop_bury(w->loop, &s->grave, release, s);
    worker_session_gone(w);
}

bool session_may_begin(const struct session *s)
{
    return s->worker->replaced && s->messages == 0 && loop_now(s->worker->loop) < s->idle_since + FRESH_MS;
}

void session_drain(struct session *s)
{
    s->draining = true;
    if (s->phase == PHASE_BANNER && !session_may_begin(s)) {
        session_end(s, REPLY_SHUTDOWN, REASON_SHUTDOWN);
    } else if (s->phase == PHASE_HELO || s->phase == PHASE_READY) {
        session_pump(s);
    }
}

void session_expire(struct session *s)
{
    if (s->phase == PHASE_CLOSED || (s->phase == PHASE_RELAY && session_relay_goes_on(s))) {
        return;
    }
    if (s->phase == PHASE_TLS) {
        session_close(s, REASON_SHUTDOWN); /* no reply is possible without TLS */
        return;
    }
    session_end(s, REPLY_SHUTDOWN, REASON_SHUTDOWN);
}
