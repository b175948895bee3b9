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
 * After STARTTLS and after each XCLIENT the server is asked by EHLO again, and what it offered before is
 * forgotten.  XCLIENT is repeated when the next transaction is another client's, XFORWARD before each MAIL;
 * nothing is pipelined behind XCLIENT, STARTTLS or EHLO.
 *
 * READY is without a transaction: idle, or lent and not yet used.  OPEN is within one, and nothing is owed.
 * With PIPELINING, MAIL and all RCPT go in one write, and the states only follow the replies.  DATA is never
 * pipelined (PIP-12).
 *
 * RPL-08: input that nobody asked for ends the connection; a command is never sent over unread input, so
 * "354 go, 250 early" cannot count.
 *
 * Ownership  the pool owns the connection; a lease holds it and hears its events.  Failure closes it, tells
 *            the pool, and the pool tells the holder; the memory lives until the end of the turn.
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
    UP_STATE_STARTTLS,  /* its 220 is owed */
    UP_STATE_HANDSHAKE, /* TLS */
    UP_STATE_READY,
    UP_STATE_RSET,
    UP_STATE_XCLIENT,  /* its 220 is owed; EHLO follows */
    UP_STATE_XFORWARD, /* with PIPELINING, MAIL and RCPT are on their way behind it */
    UP_STATE_MAIL,
    UP_STATE_RCPT,
    UP_STATE_OPEN,
    UP_STATE_DATA,  /* DATA was sent, 354 is owed */
    UP_STATE_BODY,  /* content is on its way; the dot is not yet */
    UP_STATE_FINAL, /* the dot is out */
    UP_STATE_QUIT,
    UP_STATE_CLOSED,
    UP_STATE_COUNT,
};

enum up_why {
    UP_WHY_LOST = 0, /* end of file or error */
    UP_WHY_TIMEOUT,
    UP_WHY_MALFORMED,  /* no reply, or not one to this command */
    UP_WHY_GOES_AWAY,  /* 421 */
    UP_WHY_STALE,      /* the first command on a connection that had been idle met a dead one */
    UP_WHY_REFUSAL,    /* a greeting that is not 2yz, EHLO and HELO refused */
    UP_WHY_REFUSES_US, /* 5xx to EHLO and to HELO, or to a demanded STARTTLS; 521; XCLIENT refused */
    UP_WHY_NO_TLS,     /* the configuration demands TLS and there is none (UTL-03) */
    UP_WHY_TLS_FAILED, /* STARTTLS, the handshake, EHLO in it; `opportunistic` goes on in clear, on a new connection */
    UP_WHY_UNTRUSTED, /* the handshake, over the server's certificate */
    UP_WHY_EARLY,     /* 4xx or 5xx inside content */
    UP_WHY_SPOOL,     /* our own copy of the message could not be read */
    UP_WHY_COUNT,
};

struct upstream_failure {
    enum up_why why;
    enum up_state state;       /* where it happened */
    int err;                   /* errno, or 0 */
    const struct reply *reply; /* GOES_AWAY, EARLY, REFUSAL: what was said, borrowed; else NULL */
};

/* What a reply to MAIL, RCPT, DATA or the final dot means.  relay_map.c decides it once; nothing behind it looks at
 * codes or texts. */
enum map_result {
    MAP_ACCEPTED = 0,
    MAP_DEFERRED,   /* the upstream's own 4yz about the mail */
    MAP_REJECTED,   /* its own 5yz */
    MAP_REFUSES_US, /* it refuses this server, not the mail: an operator must act */
    MAP_GOES_AWAY,  /* 421: the connection is of no more use */
    MAP_NONSENSE,   /* not a reply to this command: the connection must be closed */
};

struct up_answer {
    enum map_result result;
    bool no_such_user;         /* RCPT: the refusal says that there is no such mailbox */
    const struct reply *reply; /* as the upstream sent it, borrowed */
};

/* What the holder hears.  From the loop, or from inside upstream_envelope() and upstream_data() (on_failed
 * only: the connection was found unusable before the command). */
struct upstream_events {
    /* MAIL was accepted, and this is the answer to op.rcpt[i].  With the last one the state is OPEN. */
    void (*on_rcpt)(void *arg, size_t i, const struct up_answer *answer);
    void (*on_mail_refused)(void *arg,
                            const struct up_answer *answer);     /* all replies are in, the state is READY */
    void (*on_final)(void *arg, const struct up_answer *answer); /* to the dot, or DATA was refused */
    void (*on_failed)(void *arg, const struct upstream_failure *failure); /* the lease is gone with it */
};

struct up_envelope {
    const struct envelope *env;          /* NULL: no MAIL, only more recipients for the open transaction */
    const struct recipient *const *rcpt; /* borrowed until the last answer */
    size_t count;                        /* >= 1 */
    uint64_t size;                       /* for SIZE=; 0: not said */
    enum body_type body;                 /* BODY= of MAIL */
    bool utf8;                           /* say SMTPUTF8 */
};

#define UP_TLS_TEXT 96
#define BODY_WRITER_IOVS 60 /* one call of the stream's */

struct body_writer { /* upstream_body.c */
    const struct relay_message *msg;
    struct slice chunk; /* read and not yet in the window */
    uint64_t offset;    /* in the spool, behind chunk */
    bool head_taken;
    bool chunk_lent; /* the window points into what spool_read gave */
    bool dot_placed; /* the final dot is in the window */
    char last[2];    /* of what is in the window */
    struct iovec iov[BODY_WRITER_IOVS];
    int first, count; /* the window: iov[first..count) is still to be sent */
};

struct upstream {
    unsigned magic;
    struct list_node link; /* on server->list[list] */
    enum pool_list list;
    struct pool_server *server;
    struct lease *lease; /* whose it is; NULL: nobody's */
    int ticket;          /* of the server's connections */
    bool ticket_idle;
    struct stream *stream;
    enum up_state state;
    struct timer timer; /* the deadline of the state */
    struct reply_parser parser;
    bool parsing; /* a reply has begun */
    bool greeted;
    bool probe;                /* EHLO and QUIT only */
    bool was_idle;             /* lent from the pool, and no reply yet */
    bool op_waits;             /* op begins when RSET was answered */
    bool op_sent;              /* ... and is sent already, pipelined */
    bool early;                /* a reply began before the dot was out */
    bool tls_refused;          /* STARTTLS was: goes on in clear (UTL-04) */
    bool bound;                /* belongs to one client for ever: never kept */
    bool forwarded;            /* XFORWARD may hold without a transaction: RSET before the next */
    bool is_exim;              /* its banner says so */
    bool warned;               /* the server answered 4.7.0: too many errors */
    bool envelope_refused;     /* MAIL or a recipient of the open envelope was */
    char tls[UP_TLS_TEXT];     /* "TLS1.3 TLS_AES_256_GCM_SHA384", or "" */
    struct state_keywords ext; /* of this connection's EHLO; all false after HELO (CAP-04) */
    struct identity_offer offer;
    struct buf identity;  /* the commands for op's client; XCLIENT: kept to see whether the next is another */
    size_t identity_sent; /* octets of them */
    unsigned identity_owed;
    char helo[256];    /* the name in the last EHLO, or in the one that follows */
    unsigned owed;     /* replies to what was sent */
    unsigned messages; /* content begun */
    unsigned refusals, refused_envelopes, resets;
    uint64_t born_ms;
    uint64_t idle_ms; /* since when */
    struct up_envelope op;
    size_t rcpt_sent, rcpt_answered;
    struct reply *mail_refusal;  /* the upstream's own */
    enum map_result mail_result; /* what it means */
    const struct relay_message *msg;
    struct body_writer body;
    struct grave grave;
};

/*
 * Connects to the server, holding the ticket.  on_failed / pool_greeted follow from the loop.  NULL if it
 * fails at once: the ticket is still the caller's.
 */
struct upstream *upstream_connect(struct pool_server *s, int ticket, uint64_t connect_ms) MUST_USE;

/* MAIL and recipients, or more recipients: see struct up_envelope.  An open transaction is reset first when
 * MAIL is wanted.  State READY or OPEN. */
void upstream_envelope(struct upstream *u, const struct up_envelope *op);

/* DATA, content, dot.  State OPEN with at least one accepted recipient.  msg is borrowed until on_final. */
void upstream_data(struct upstream *u, const struct relay_message *msg);

void upstream_let_go(struct upstream *u); /* its holder left: RSET, close, or nothing */
void upstream_quit(struct upstream *u);   /* READY: QUIT, waited for a moment; then pool_lost */
void upstream_drop(struct upstream *u);   /* closes at once; pool_lost without a failure follows inside */
bool upstream_usable(struct upstream *u); /* READY: nothing has come in, and the end was not seen */

/* The connection has failed: closes it, tells the pool, which tells the holder.  Once; then CLOSED. */
void upstream_fail(struct upstream *u, enum up_why why, int err, const struct reply *reply);

void upstream_enter(struct upstream *u, enum up_state state); /* goes there, and sends what belongs to it */
void upstream_begin_op(struct upstream *u); /* what comes next of op: XCLIENT, XFORWARD or MAIL */

/* ---- upstream_hello.c: from EHLO to READY, TLS and identity; each may end in upstream_fail() ---- */

void upstream_greeted(struct upstream *u, const struct reply *r); /* the banner */
/* An answer in UP_STATE_EHLO, _HELO, _STARTTLS, _XCLIENT or _XFORWARD. */
void upstream_hello_reply(struct upstream *u, const struct reply *r);
void upstream_announce(struct upstream *u); /* connected: the header of the PROXY protocol, if it is wanted */
void upstream_handshake(struct upstream *u);           /* UP_STATE_HANDSHAKE begins */
void upstream_encrypted(struct upstream *u);           /* ... and is done */
void upstream_identify(struct upstream *u);            /* makes the commands for op's client */
bool upstream_must_announce(const struct upstream *u); /* XCLIENT is to be said before op */
bool upstream_must_hello(const struct upstream *u);    /* ... or EHLO again, by another client's name */
const char *upstream_hello_name(struct upstream *u);   /* for the EHLO that is sent now */

/* What a failure here means for TLS: may be another `why`, and is then logged. */
enum up_why upstream_tls_cause(struct upstream *u, enum up_why why);

/* ---- upstream_send.c: each may end in upstream_fail() ---- */

void upstream_send_identity(struct upstream *u, uint64_t deadline_ms); /* the next command of u->identity */

void upstream_send_line(struct upstream *u, const char *verb, const char *arg, uint64_t deadline_ms);
void upstream_send_envelope(struct upstream *u, bool with_rset); /* MAIL, and what may go with it */
void upstream_send_rcpts(struct upstream *u);                    /* the next, or all that are left */

/* ---- upstream_cmd.c: pure ---- */

void upstream_put_mail(struct buf *out, const struct up_envelope *op, const struct state_keywords *ext);
void upstream_put_rcpt(struct buf *out, const struct recipient *r, const struct state_keywords *ext);
void upstream_learn(struct slice ehlo_text, struct state_keywords *out); /* at_ms is left 0 */

/* ---- upstream_body.c ---- */

enum body_writer_status {
    BODY_WRITER_SENT = 0, /* all of it, the dot included */
    BODY_WRITER_WAIT,     /* on_writable follows */
    BODY_WRITER_UNREADABLE,
};
void body_writer_begin(struct body_writer *b, const struct relay_message *msg);
enum body_writer_status body_writer_send(struct body_writer *b, struct stream *s) MUST_USE;

#endif
