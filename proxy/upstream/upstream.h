/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.h - one SMTP connection to an upstream server, as its client (RFC 5321).
 *
 *   CONNECT -> GREETING -> EHLO [-> HELO] ------------------> READY <------------- final reply
 *                          |  ^                               |  ^                  |
 *                    STARTTLS  +------------+--------------+   |  +-- RSET <-- OPEN  |
 *                          v               |              |   v               ^  |  |
 *                      HANDSHAKE (TLS) ----+  [XCLIENT] <-+- ( ) -> [XFORWARD] |  |  |
 *                                                             v               |  |  |
 *                                                            MAIL --> RCPT ---+  +--> DATA --> BODY --> FINAL
 *   QUIT -> CLOSED; CLOSED from any
 *
 * After STARTTLS and after each XCLIENT we send EHLO again and discard the earlier offer.  We repeat XCLIENT when
 * the next transaction has another client, and XFORWARD before each MAIL.  Nothing is pipelined behind XCLIENT,
 * STARTTLS or EHLO.
 *
 * READY has no transaction: idle, or leased and not yet used.  OPEN has one, and no reply is pending.
 * With PIPELINING, MAIL and all RCPT go in one write, and the states only follow the replies.  DATA is never
 * pipelined (PIP-12).
 *
 * RPL-08: unsolicited input ends the connection.  A command is never sent while unread input exists, so
 * "354 go, 250 early" cannot count.
 *
 * Ownership  the pool owns the connection; a lease holds it and gets its events.  A failure closes it and goes to
 *            the pool, which tells the holder.  The memory lives until the end of the turn.
 */
#ifndef PROXY_UPSTREAM_UPSTREAM_H
#define PROXY_UPSTREAM_UPSTREAM_H

#include "core/stream.h"
#include "proxy/upstream/pool.h"
#include "proxy/upstream/relay.h"
#include "proxy/upstream/upstream_identity.h"
#include "state/servers.h"

enum up_state {
    UP_STATE_CONNECT = 0,
    UP_STATE_GREETING,
    UP_STATE_EHLO,
    UP_STATE_HELO,
    UP_STATE_STARTTLS,  /* its 220 is pending */
    UP_STATE_HANDSHAKE, /* TLS */
    UP_STATE_READY,
    UP_STATE_RSET,
    UP_STATE_XCLIENT,  /* its 220 is pending; EHLO follows */
    UP_STATE_XFORWARD, /* with PIPELINING, MAIL and RCPT follow in the same write */
    UP_STATE_MAIL,
    UP_STATE_RCPT,
    UP_STATE_OPEN,
    UP_STATE_DATA,  /* DATA was sent, 354 is pending */
    UP_STATE_BODY,  /* sends content; the dot has not left yet */
    UP_STATE_FINAL, /* the dot has left */
    UP_STATE_QUIT,
    UP_STATE_CLOSED,
    UP_STATE_COUNT,
};

enum up_why {
    UP_WHY_LOST = 0, /* end of file or error */
    UP_WHY_TIMEOUT,
    UP_WHY_MALFORMED,  /* not a reply, or not a valid one to this command */
    UP_WHY_GOES_AWAY,  /* 421 */
    UP_WHY_STALE,      /* the first command on an idle connection found it dead */
    UP_WHY_REFUSAL,    /* a greeting that is not 2yz, EHLO and HELO refused */
    UP_WHY_REFUSES_US, /* 5xx to EHLO and to HELO, or to a demanded STARTTLS; 521; XCLIENT refused */
    UP_WHY_NO_TLS,     /* the configuration requires TLS, and there is none (UTL-03) */
    UP_WHY_TLS_FAILED, /* STARTTLS, handshake or EHLO in it failed; `opportunistic` reconnects in clear */
    UP_WHY_UNTRUSTED,  /* the handshake failed on the server's certificate */
    UP_WHY_EARLY,      /* 4xx or 5xx inside content */
    UP_WHY_SPOOL,      /* our own copy of the message could not be read */
    UP_WHY_COUNT,
};

struct upstream_failure {
    enum up_why why;
    enum up_state state;       /* where it failed */
    int err;                   /* errno, or 0 */
    const struct reply *reply; /* GOES_AWAY, EARLY, REFUSAL: the server's reply, borrowed; else NULL */
};

/* The meaning of a reply to MAIL, RCPT, DATA or the final dot.  relay_map.c decides it once; other files do not look
 * at codes or texts. */
enum map_result {
    MAP_ACCEPTED = 0,
    MAP_DEFERRED,   /* the upstream's own 4yz about the mail */
    MAP_REJECTED,   /* its own 5yz */
    MAP_REFUSES_US, /* it refuses this server, not the mail: an administrator must act */
    MAP_GOES_AWAY,  /* 421: the connection cannot be used any more */
    MAP_NONSENSE,   /* not a reply to this command: close the connection */
};

struct up_answer {
    enum map_result result;
    bool no_such_user;         /* RCPT: the refusal says that the mailbox does not exist */
    const struct reply *reply; /* as the upstream sent it, borrowed */
};

/* Events for the holder.  They run from the loop.  Only on_failed may also run inside upstream_envelope() and
 * upstream_data(), if the connection was unusable before the command. */
struct upstream_events {
    /* MAIL was accepted, and this is the reply to op.rcpt[i].  After the last one the state is OPEN. */
    void (*on_rcpt)(void *arg, size_t i, const struct up_answer *answer);
    void (*on_mail_refused)(void *arg, const struct up_answer *answer); /* all replies are in, state READY */
    void (*on_final)(void *arg, const struct up_answer *answer); /* reply to the dot, or a refused DATA */
    void (*on_failed)(void *arg, const struct upstream_failure *failure); /* the lease ends with it */
};

struct up_envelope {
    const struct envelope *env;          /* NULL: no MAIL, only more recipients for the open transaction */
    const struct recipient *const *rcpt; /* borrowed until the last reply */
    size_t count;                        /* >= 1 */
    uint64_t size;                       /* for SIZE=; 0: leave it out */
    enum body_type body;                 /* BODY= of MAIL */
    bool utf8;                           /* send SMTPUTF8 */
};

#define UP_TLS_TEXT 96
#define BODY_WRITER_IOVS 60 /* for one call of the stream */

struct body_writer { /* upstream_body.c */
    const struct relay_message *msg;
    struct slice chunk; /* read but not yet in the window */
    uint64_t offset;    /* in the spool, after chunk */
    bool head_taken;
    bool chunk_lent; /* the window points into the buffer of spool_read */
    bool dot_placed; /* the final dot is in the window */
    char last[2];    /* the last two octets in the window */
    struct iovec iov[BODY_WRITER_IOVS];
    int first, count; /* the window: iov[first..count) is still unsent */
};

struct upstream {
    unsigned magic;
    struct list_node link; /* on server->list[list] */
    enum pool_list list;
    struct pool_server *server;
    struct lease *lease; /* the lease that holds it; NULL: none */
    int ticket;          /* one of the server's connections */
    bool ticket_idle;
    struct stream *stream;
    enum up_state state;
    struct timer timer; /* the deadline of the state */
    struct reply_parser parser;
    bool parsing; /* a reply has begun */
    bool greeted;
    bool probe;                /* EHLO and QUIT only */
    bool was_idle;             /* from the idle list, and no reply yet */
    bool op_waits;             /* op begins after the reply to RSET */
    bool op_sent;              /* ... and is already sent, pipelined */
    bool early;                /* a reply began before the dot had left */
    bool tls_refused;          /* STARTTLS was refused: continue in clear (UTL-04) */
    bool bound;                /* bound to one client permanently: never kept */
    bool forwarded;            /* XFORWARD may apply without a transaction: RSET before the next */
    bool is_exim;              /* its banner says so */
    bool warned;               /* the server answered 4.7.0: too many errors */
    bool envelope_refused;     /* the server refused MAIL or a recipient of the open envelope */
    char tls[UP_TLS_TEXT];     /* "TLS1.3 TLS_AES_256_GCM_SHA384", or "" */
    struct state_keywords ext; /* offer of this connection's EHLO; all false after HELO (CAP-04) */
    struct identity_offer offer;
    struct buf identity;  /* the commands for op's client; XCLIENT: kept to compare with the next one */
    size_t identity_sent; /* octets of them already sent */
    unsigned identity_owed;
    char helo[256];    /* the name in the last EHLO, or in the next one */
    unsigned owed;     /* pending replies */
    unsigned messages; /* messages whose content has begun */
    unsigned refusals, refused_envelopes, resets;
    uint64_t born_ms;
    uint64_t idle_ms; /* since when */
    struct up_envelope op;
    size_t rcpt_sent, rcpt_answered;
    struct reply *mail_refusal;  /* the upstream's own reply */
    enum map_result mail_result; /* its meaning */
    const struct relay_message *msg;
    struct body_writer body;
    struct grave grave;
};

/*
 * Connects to the server with this ticket.  on_failed or pool_greeted follows from the loop.  NULL if it fails at
 * once: the caller still owns the ticket.
 */
struct upstream *upstream_connect(struct pool_server *s, int ticket, uint64_t connect_ms) MUST_USE;

/* Sends MAIL and recipients, or more recipients: see struct up_envelope.  Resets an open transaction before MAIL.
 * Call in state READY or OPEN. */
void upstream_envelope(struct upstream *u, const struct up_envelope *op);

/* Sends DATA, content and dot.  Call in OPEN with at least one accepted recipient.  Borrows msg until on_final. */
void upstream_data(struct upstream *u, const struct relay_message *msg);

void upstream_let_go(struct upstream *u); /* its holder left: sends RSET, closes, or does nothing */
void upstream_quit(struct upstream *u);   /* READY: sends QUIT and waits briefly; then pool_lost */
void upstream_drop(struct upstream *u);   /* closes at once and calls pool_lost without a failure */
bool upstream_usable(struct upstream *u); /* READY: no unread input and no end of file */

/* Closes a failed connection and tells the pool, which tells the holder.  Once; the state is then CLOSED. */
void upstream_fail(struct upstream *u, enum up_why why, int err, const struct reply *reply);

void upstream_enter(struct upstream *u, enum up_state state); /* enters the state and sends its command */
void upstream_begin_op(struct upstream *u); /* sends op's next command: XCLIENT, XFORWARD or MAIL */

/* ---- upstream_hello.c: from EHLO to READY, TLS and identity; each may end in upstream_fail() ---- */

void upstream_greeted(struct upstream *u, const struct reply *r); /* the banner */
/* Handles a reply in UP_STATE_EHLO, _HELO, _STARTTLS, _XCLIENT or _XFORWARD. */
void upstream_hello_reply(struct upstream *u, const struct reply *r);
void upstream_announce(struct upstream *u);            /* connected: sends the PROXY header, if configured */
void upstream_handshake(struct upstream *u);           /* UP_STATE_HANDSHAKE begins */
void upstream_encrypted(struct upstream *u);           /* ... and is done */
void upstream_identify(struct upstream *u);            /* builds the commands for op's client */
bool upstream_must_announce(const struct upstream *u); /* must XCLIENT precede op? */
bool upstream_must_hello(const struct upstream *u);    /* ... or EHLO again, with another client's name? */
const char *upstream_hello_name(struct upstream *u);   /* for the next EHLO */

/* The effect of a failure here on TLS: returns the same or another `why`, and logs a change. */
enum up_why upstream_tls_cause(struct upstream *u, enum up_why why);

/* ---- upstream_send.c: each may end in upstream_fail() ---- */

void upstream_send_identity(struct upstream *u, uint64_t deadline_ms); /* the next command of u->identity */

void upstream_send_line(struct upstream *u, const char *verb, const char *arg, uint64_t deadline_ms);
void upstream_send_envelope(struct upstream *u, bool with_rset); /* MAIL, and what is pipelined with it */
void upstream_send_rcpts(struct upstream *u);                    /* the next one, or all that are left */

/* ---- upstream_cmd.c: pure ---- */

void upstream_put_mail(struct buf *out, const struct up_envelope *op, const struct state_keywords *ext);
void upstream_put_rcpt(struct buf *out, const struct recipient *r, const struct state_keywords *ext);
void upstream_learn(struct slice ehlo_text, struct state_keywords *out); /* leaves at_ms 0 */

/* ---- upstream_body.c ---- */

enum body_writer_status {
    BODY_WRITER_SENT = 0, /* all content has left, including the dot */
    BODY_WRITER_WAIT,     /* on_writable follows */
    BODY_WRITER_UNREADABLE,
};
void body_writer_begin(struct body_writer *b, const struct relay_message *msg);
enum body_writer_status body_writer_send(struct body_writer *b, struct stream *s) MUST_USE;

#endif
