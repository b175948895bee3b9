/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_cmds.c - the command table: one row and one cmd_ function a verb.
 *
 * The row decides legality, argument and position once, before the handler runs.  So a handler contains only
 * its own work (T2).  MAIL and RCPT are in session_rcpt.c, DATA and BDAT in session_data.c.
 * STARTTLS is in session_tls.c, XCLIENT in session_xclient.c.
 * RFC 5321 4.1, 2920 (pipelining), 3207 (STARTTLS), 1869/5321 4.1.1.1 (EHLO).
 */
#include "policy/policy.h"
#include "proxy/session/session_priv.h"
#include "smtp/xclient.h"

#define IDLE_COMMANDS_MAX 100 /* NOOP, RSET, VRFY, EHLO between two messages (CMD-24) */
#define IN(p) (1u << PHASE_##p)
#define ANYWHERE (IN(HELO) | IN(READY) | IN(ENVELOPE))

enum {
    CMD_NO_ARG = 1,  /* any argument gets 501 */
    CMD_SYNC = 2,    /* must be the last of a pipelined group (RFC 2920 3.1) */
    CMD_IDLE = 4,    /* no progress towards a message: counted */
    CMD_CLEAR = 8,   /* works without TLS even if tls.mode is required (RFC 3207 4) */
    CMD_SECRET = 16, /* never log its argument */
};

struct command {
    struct slice verb;
    unsigned phases; /* phases where it is legal; elsewhere 503 */
    unsigned flags;
    enum cmd_result (*run)(struct session *s, struct slice arg);
};

static void put_keyword(struct buf *b, const char *word)
{
    buf_put_str(b, "250-");
    buf_put_str(b, word);
    buf_put_str(b, "\r\n");
}

/* Computes the offer for this session: ours, and the extensions that all possible upstreams take (1.12). */
static void make_offer(struct session *s)
{
    struct relay_keywords k;
    enum config_dsn dsn = s->worker->conf->smtp.dsn;

    upstreams_keywords(s->worker->upstreams, &k);
    s->offer = (struct smtp_offer){
        .esmtp = true,
        .size = true,
        .eightbitmime = k.eightbitmime,
        .smtputf8 = k.smtputf8 && k.eightbitmime && s->worker->conf->smtp.smtputf8,
        .dsn = k.dsn && (dsn == DSN_ALWAYS || (dsn == DSN_KNOWN && s->known)),
        .dsn_success = s->known,
        .size_max = k.size,
    };
}

static void reply_ehlo(struct session *s)
{
    char mem[1024];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    put_keyword(&b, s->worker->conf->server.hostname);
    put_keyword(&b, "PIPELINING");
    buf_put_str(&b, "250-SIZE");
    if (s->offer.size_max != 0) {
        buf_put_char(&b, ' ');
        buf_put_u64(&b, s->offer.size_max);
    }
    buf_put_str(&b, "\r\n");
    if (s->offer.eightbitmime) {
        put_keyword(&b, "8BITMIME");
    }
    if (s->offer.smtputf8) {
        put_keyword(&b, "SMTPUTF8");
    }
    if (s->offer.dsn) {
        put_keyword(&b, "DSN");
    }
    if (s->worker->conf->smtp.chunking) {
        put_keyword(&b, "CHUNKING");
    }
    if (session_tls_offered(s)) {
        put_keyword(&b, "STARTTLS");
    }
    if (s->trusted) {
        put_keyword(&b, XCLIENT_KEYWORD);
    }
    buf_put_str(&b, "250 ENHANCEDSTATUSCODES\r\n");
    stream_write(s->stream, buf_slice(&b));
}

/* EHLO and HELO: a new greeting ends any transaction (RFC 5321 4.1.4). */
static bool greet(struct session *s, struct slice arg)
{
    bool junk;
    struct slice name = smtp_parse_helo(arg, &junk);

    if (slice_empty(name)) {
        return false;
    }
    session_abandon(s);
    free(s->helo);
    s->helo = slice_dup(s->announced_helo != NULL ? slice_str(s->announced_helo) : slice_take(name, 255));
    judge_helo(session_judge(s), slice_str(s->helo));
    if (s->phase == PHASE_HELO) {
        session_enter(s, PHASE_READY);
    }
    return true;
}

static enum cmd_result cmd_ehlo(struct session *s, struct slice arg)
{
    if (!greet(s, arg)) {
        return session_say(s, REPLY_SYNTAX);
    }
    s->esmtp = true;
    make_offer(s);
    reply_ehlo(s);
    return CMD_REPLIED;
}

static enum cmd_result cmd_helo(struct session *s, struct slice arg)
{
    char mem[REPLY_LINE_MAX];
    struct buf b;

    if (!greet(s, arg)) {
        return session_say(s, REPLY_SYNTAX);
    }
    s->esmtp = false;
    make_offer(s);
    s->offer.esmtp = false;
    buf_init_fixed(&b, mem, sizeof(mem));
    buf_put_str(&b, "250 ");
    buf_put_str(&b, s->worker->conf->server.hostname);
    buf_put_str(&b, "\r\n");
    stream_write(s->stream, buf_slice(&b));
    return CMD_REPLIED;
}

static enum cmd_result cmd_noop(struct session *s, struct slice arg UNUSED)
{
    return session_say(s, REPLY_OK);
}

static enum cmd_result cmd_rset(struct session *s, struct slice arg UNUSED)
{
    session_abandon(s);
    return session_say(s, REPLY_OK);
}

static enum cmd_result cmd_quit(struct session *s, struct slice arg UNUSED)
{
    return session_end(s, REPLY_BYE, REASON_QUIT);
}

static enum cmd_result cmd_vrfy(struct session *s, struct slice arg UNUSED)
{
    return session_say(s, REPLY_VRFY);
}

static enum cmd_result cmd_help(struct session *s, struct slice arg UNUSED)
{
    return session_say(s, REPLY_HELP);
}

/* Known commands that are not for the Internet: never forwarded, whatever the upstream offers (CMD-09, RLY-12). */
static enum cmd_result cmd_refused(struct session *s, struct slice arg UNUSED)
{
    return session_say(s, REPLY_NOT_IMPLEMENTED);
}

static const struct command commands[] = {
    { SLICE_INIT("EHLO"), ANYWHERE, CMD_IDLE | CMD_SYNC | CMD_CLEAR, cmd_ehlo },
    { SLICE_INIT("HELO"), ANYWHERE, CMD_IDLE | CMD_CLEAR, cmd_helo },
    { SLICE_INIT("MAIL"), ANYWHERE, 0, cmd_mail },
    { SLICE_INIT("RCPT"), ANYWHERE, 0, cmd_rcpt },
    { SLICE_INIT("DATA"), ANYWHERE, CMD_SYNC, cmd_data },
    { SLICE_INIT("BDAT"), ANYWHERE, 0, cmd_bdat },
    { SLICE_INIT("RSET"), ANYWHERE, CMD_NO_ARG | CMD_IDLE, cmd_rset },
    { SLICE_INIT("NOOP"), ANYWHERE, CMD_IDLE | CMD_CLEAR, cmd_noop },
    { SLICE_INIT("QUIT"), ANYWHERE, CMD_NO_ARG | CMD_CLEAR, cmd_quit },
    { SLICE_INIT("VRFY"), ANYWHERE, CMD_IDLE, cmd_vrfy },
    { SLICE_INIT("HELP"), ANYWHERE, CMD_IDLE, cmd_help },
    { SLICE_INIT("EXPN"), ANYWHERE, 0, cmd_refused },
    { SLICE_INIT("STARTTLS"), ANYWHERE, CMD_NO_ARG | CMD_CLEAR | CMD_IDLE, cmd_starttls },
    { SLICE_INIT("AUTH"), ANYWHERE, CMD_SECRET, cmd_refused },
    { SLICE_INIT("ETRN"), ANYWHERE, 0, cmd_refused },
    { SLICE_INIT("TURN"), ANYWHERE, 0, cmd_refused },
    { SLICE_INIT("ATRN"), ANYWHERE, 0, cmd_refused },
    { SLICE_INIT("BURL"), ANYWHERE, 0, cmd_refused },
    { SLICE_INIT("SEND"), ANYWHERE, 0, cmd_refused },
    { SLICE_INIT("SOML"), ANYWHERE, 0, cmd_refused },
    { SLICE_INIT("SAML"), ANYWHERE, 0, cmd_refused },
    { SLICE_INIT("XCLIENT"), ANYWHERE, CMD_SYNC | CMD_IDLE | CMD_SECRET, cmd_xclient },
    { SLICE_INIT("XFORWARD"), ANYWHERE, 0, cmd_refused },
};

static const struct command *find_command(struct slice verb)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (slice_eq_nocase(commands[i].verb, verb)) {
            return &commands[i];
        }
    }
    return NULL;
}

static enum cmd_result unknown_command(struct session *s, struct slice verb)
{
    if (smtp_forbidden_verb(verb)) {
        session_abuse(s, ABUSE_NON_SMTP);
        return session_end(s, REPLY_NOT_SMTP, REASON_ABUSE);
    }
    if (s->suspicious > 0 && --s->suspicious == 0) { /* we are reading content as commands (PIP-02, BDT-23) */
        session_abuse(s, ABUSE_PIPELINING);
        return session_end(s, REPLY_PIPELINED_DATA, REASON_ABUSE);
    }
    return session_say(s, REPLY_UNKNOWN_COMMAND);
}

bool session_idles(struct session *s)
{
    if (++s->idle_commands <= IDLE_COMMANDS_MAX) {
        return false;
    }
    session_abuse(s, ABUSE_JUNK);
    session_end(s, REPLY_TOO_MANY_IDLE_COMMANDS, REASON_LIMIT);
    return true;
}

enum cmd_result session_fault(struct session *s, enum reply_id id)
{
    if (reply_table[id].code < 500 && ++s->idle_commands > IDLE_COMMANDS_MAX) { /* our limit: no points */
        return session_end(s, REPLY_TOO_MANY_IDLE_COMMANDS, REASON_LIMIT);
    }
    s->errors += reply_table[id].code >= 500 && !session_counts_error(reply_table[id].code);
    return session_say(s, id);
}

enum cmd_result session_command(struct session *s, struct slice line)
{
    struct slice arg, verb = smtp_verb(line, &arg);
    const struct command *c = find_command(verb);

    if (c == NULL || line.ptr[0] == ' ' || line.ptr[0] == '\t') {
        session_log_command(s, SLICE("unknown"), SLICE_NONE, true); /* it may be content */
        return unknown_command(s, verb);
    }
    session_log_command(s, c->verb, arg, (c->flags & CMD_SECRET) != 0);
    s->suspicious = 0;
    if (s->worker->conf->tls.required && !s->tls && !(c->flags & CMD_CLEAR)) {
        return session_fault(s, s->worker->tls != NULL ? REPLY_TLS_REQUIRED : REPLY_TLS_UNAVAILABLE);
    }
    if (!(c->phases & (1u << s->phase))) {
        return session_say(s, REPLY_OUT_OF_ORDER);
    }
    if ((c->flags & CMD_NO_ARG) && !slice_empty(arg)) {
        return session_say(s, REPLY_SYNTAX);
    }
    if ((c->flags & CMD_SYNC) && !slice_empty(stream_input(s->stream))) {
        s->violations++; /* cmd_data handles DATA with content behind it */
        count(M_ABUSE_PIPELINING);
    }
    if ((c->flags & CMD_IDLE) && session_idles(s)) {
        return CMD_CLOSED;
    }
    return c->run(s, arg);
}
