/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_priv.h - one client connection, from accept to close: for the files of session_*.c and txn.c.
 *
 *  accept
 *    |
 *  BANNER -- 220 --> HELO -- EHLO --> READY -- MAIL --> ENVELOPE -- DATA, 354 --> DATA -- "." --> RELAY
 *    |                ^                 |  ^               |  |        BDAT        |               |
 *    |                |      STARTTLS   |  +----- RSET ----+  +- RCPT: stays       | refused       | the final
 *    |                +------ TLS <-----+  |                                       | here          | reply
 *    |                                     +---- reply sent, transaction freed <---+---------------+
 *    +-- 421, 521 --> CLOSED <-- from any phase: QUIT, timeout, end of file, shutdown
 *
 * READY means "greeted, no transaction"; ENVELOPE means "s->txn exists".  Waiting is not a phase: while the
 * upstream, a check or TLS owes an answer a bit in s->waits is set and no line is taken, but octets are still
 * read (so an end of file is seen).  session_pump() alone takes lines; session_enter() alone changes phase.
 *
 * Files      session.c       life: accept, enter, pump, timers, replies, close
 *            session_cmds.c  the command table: one row and one cmd_ function a verb
 *            session_rcpt.c  MAIL and RCPT: from the parsed path to the reply, from any source
 *            session_policy.c asks policy/, and turns its verdicts into decisions
 *            session_early.c  those before RCPT (policy.reject_at: earliest)
 *            session_data.c  DATA and BDAT into the spool, and the final reply to the message, from any source
 *            session_tags.c  the header block put on top: Received, tags, headers.add
 *            session_tls.c   STARTTLS and implicit TLS, from the command to the forgotten EHLO
 *            session_xclient.c  a trusted peer names the client
 *            session_log.c   the records: connect, refused recipients, txn, close
 * Ownership  the worker owns sessions; a session owns its stream and its transaction (txn.h).
 * Limits     sizeof(struct session) < 1 KiB: an idle connection is this and a stream.
 */
#ifndef PROXY_SESSION_SESSION_PRIV_H
#define PROXY_SESSION_SESSION_PRIV_H

#include "core/crypto.h"
#include "core/loop.h"
#include "core/stream.h"
#include "proxy/session/session.h"
#include "proxy/session/txn.h"
#include "smtp/smtp_parse.h"
#include "smtp/smtp_reply.h"

enum phase {
    PHASE_BANNER = 0, /* accepted; nothing said; greet_delay runs */
    PHASE_HELO,       /* 220 sent; EHLO or HELO wanted; command timeout */
    PHASE_TLS,        /* STARTTLS answered; the handshake runs; handshake timeout */
    PHASE_READY,      /* greeted, no transaction; command timeout */
    PHASE_ENVELOPE,   /* a transaction is open; command timeout */
    PHASE_DATA,       /* content comes in (DATA, or within a BDAT chunk); data timeouts */
    PHASE_RELAY,      /* the message is complete and goes upstream; the relay's own deadlines */
    PHASE_CLOSED,     /* unlinked, everything cancelled; memory valid to the end of the turn */
    PHASE_COUNT,
};

enum {
    WAIT_UPSTREAM = 1, /* relay_rcpt or relay_message owes its callback */
    WAIT_TLS = 2,      /* the handshake */
    WAIT_POLICY = 4,   /* a verdict */
};

/* Protocol abuse that gives points (limits.ban); the points are in session.c and glacis.yaml(5). */
enum abuse {
    ABUSE_PREGREET = 0,
    ABUSE_PIPELINING,
    ABUSE_BARE_LF,
    ABUSE_BARE_CR,
    ABUSE_SMUGGLING,
    ABUSE_NON_SMTP,
    ABUSE_JUNK,
    ABUSE_LONG_LINE,
    ABUSE_NUL,
    ABUSE_RELAY,
    ABUSE_BDAT,
    ABUSE_STARTTLS,
    ABUSE_COUNT,
};

enum close_reason {
    REASON_QUIT = 0,
    REASON_LOST,     /* end of file or reset by the client */
    REASON_TIMEOUT,  /* silence, a trickle, or the session's whole time */
    REASON_ABUSE,    /* protocol abuse that ends a session */
    REASON_ERRORS,   /* too many errors */
    REASON_LIMIT,    /* a limit of ours */
    REASON_POLICY,   /* a rule dropped it */
    REASON_TLS,      /* no handshake */
    REASON_SHUTDOWN, /* stop or reload */
    REASON_COUNT,
};

enum cmd_result {
    CMD_REPLIED = 0, /* one reply is queued */
    CMD_WAITING,     /* a WAIT_ bit is set */
    CMD_CLOSED,      /* the session is closed; its memory is still valid in this turn */
};

#define COMMANDS_MAX                                                                                         \
    16384 /* octets of pipelined commands that are kept while an answer is awaited (PIP-14) */

#define SESSION_MAGIC 0x5e551011u
#define SESSION_DEAD 0xdeadbeefu

struct session {
    uint32_t magic;
    enum phase phase;
    struct list_node link; /* on worker.sessions */
    struct worker *worker;
    const struct config_listener *listener;
    struct stream *stream; /* NULL once the client is gone and only the relay goes on */
    struct judge *judge;   /* facts and verdicts, by session_judge() only; made at accept, again at XCLIENT */
    struct judge_packed *resting; /* it, packed, while the session is silent: then judge is NULL */
    struct txn *txn;              /* "in a transaction" is txn != NULL */
    struct timer timer;           /* the nearest deadline of this phase */
    union {
        struct deferred resume; /* runs session_pump in the next turn */
        struct grave grave;     /* once it is closed */
    };
    struct addr peer, local; /* the client as everybody sees it, and our end */
    struct addr via;         /* who named it by PROXY or XCLIENT; family NONE: nobody */

    unsigned waits;  /* WAIT_ bits */
    bool counted;    /* in the client table: leave it at close */
    bool exempt;     /* a private client: nothing by address */
    bool esmtp;      /* EHLO, not HELO */
    bool eof;        /* the client ended its half */
    bool skipping;   /* the tail of a too long line is to be dropped */
    bool draining;   /* end at the next quiet moment */
    bool pregreet;   /* talked before the banner */
    bool known;      /* in good standing, or in allow_clients: by its address alone */
    bool undelayed;  /* the banner comes at once */
    bool farewell;   /* its end came before it can have read its 250: a reset would show that it has not */
    bool tls;        /* the stream is encrypted */
    bool trusted;    /* XCLIENT is offered */
    bool rdns_given; /* XCLIENT named the client: announced_name; it is not looked up */

    uint64_t started;               /* ms */
    uint64_t idle_since;            /* last line taken or reply written */
    uint64_t rest_tried;            /* to pack the judge; 0: not yet */
    uint64_t line_since;            /* first octet of the incomplete line; 0: none */
    uint64_t data_since, data_last; /* DATA: start, last octet */
    uint64_t paced_since;           /* DATA: PACE_OCTETS ago, or the start of the chunk */

    unsigned errors;          /* 500-504, 555, and each other 5xx of session_fault() */
    unsigned idle_commands;   /* NOOP, RSET, VRFY, EHLO since the last message */
    unsigned refused_rcpt;    /* for good, since the last accepted message */
    unsigned asked_rcpt;      /* RCPT commands since the last message */
    unsigned messages;        /* begun (MAIL accepted) in this session */
    unsigned ended, accepted; /* of them: with complete content and a final reply; with a 250 */
    unsigned violations;      /* protocol.violations */
    unsigned paced;           /* octets of content since then */
    unsigned
        suspicious; /* content may follow a refused DATA or a BDAT: so much junk closes; 0: none expected */

    char *helo;                           /* as said, heap; NULL before EHLO */
    char *announced_name;                 /* by XCLIENT NAME, heap; NULL: none */
    char *announced_helo;                 /* by XCLIENT HELO, heap: wins over what the peer itself says */
    struct list_node tls_link;            /* on worker.handshakes while the handshake runs */
    const char *tls_version, *tls_cipher; /* "TLS1.3", "TLS_AES_..."; NULL in clear */
    struct smtp_offer offer;              /* what EHLO offered */
    bool eating;                          /* octets of a refused BDAT chunk are dropped */
    enum reply_id eat_reply;              /* what it is answered, behind its last octet */
    uint64_t eat_left;
    uint8_t *
        unconfirmed; /* duplicate guard: SHA256_LEN of the message whose 250 may not arrive, heap; NULL: none yet */
    bool unconfirmed_set;
    char id[ULID_LEN + 1];
};

_Static_assert(sizeof(struct session) < 1024, "an idle connection must stay small");

static inline struct session *session_of(void *arg)
{
    struct session *s = arg;

    BUG_ON(s->magic != SESSION_MAGIC && s->magic != SESSION_DEAD);
    return s;
}

/* A deadline; CONFIG_OFF: none. */
static inline uint64_t session_later(uint64_t from, uint64_t delay)
{
    return delay == CONFIG_OFF || from > CONFIG_OFF - delay ? CONFIG_OFF : from + delay;
}

/* Replies of ours that count for limits.errors by themselves. */
static inline bool session_counts_error(unsigned code)
{
    return (code >= 500 && code <= 504) || code == 555;
}

/* ---- within the session's files ---- */

/*
 * After a reload whoever has just come may still bring a first message: a new certificate must not cost a
 * session.  At a stop there is no such grace.
 */
bool session_may_begin(const struct session *s);

void session_enter(struct session *s, enum phase phase);
void session_pump(struct session *s);

void session_reply(struct session *s, const struct reply *r, bool ours);
enum cmd_result session_say(struct session *s,
                            enum reply_id id); /* session_reply of a table row; CMD_REPLIED or CMD_CLOSED */

/* One of our replies, then close so that it is read. */
enum cmd_result session_end(struct session *s, enum reply_id id, enum close_reason reason);

/* Nothing more is said; what is queued still goes out, then the session is closed. */
void session_finish(struct session *s, enum close_reason reason);

/* Cancels and releases everything, in one order; nothing is said to the client.  Idempotent. */
void session_close(struct session *s, enum close_reason reason);

/*
 * session_say of a refusal that is the command's own fault (5xx: one more error, whatever its code) or ours (4xx: one
 * more command without progress).  Not for recipients, which have limits of their own.
 */
enum cmd_result session_fault(struct session *s, enum reply_id id);

/* One more command that brings no message nearer.  True: it was one too many, and the session has ended. */
bool session_idles(struct session *s);

/* Points, a counter and a log line.  A ban that it leads to holds for later connections: whether this session
 * ends is the caller's business. */
void session_abuse(struct session *s, enum abuse what);

/* Ends the open transaction, if any, and returns to READY (or HELO). */
void session_reset(struct session *s);
/* The same for a message its client gives up (RSET, EHLO, STARTTLS): one with a recipient leaves a txn record. */
void session_abandon(struct session *s);

enum cmd_result session_command(struct session *s, struct slice line); /* session_cmds.c */
enum cmd_result cmd_mail(struct session *s, struct slice arg);         /* session_rcpt.c */
enum cmd_result cmd_rcpt(struct session *s, struct slice arg);
enum cmd_result cmd_data(struct session *s, struct slice arg); /* session_data.c */
enum cmd_result cmd_bdat(struct session *s, struct slice arg);
enum cmd_result cmd_starttls(struct session *s, struct slice arg); /* session_tls.c */
enum cmd_result cmd_xclient(struct session *s, struct slice arg);  /* session_xclient.c */

/* 220 and the banner: at the start, and after XCLIENT. */
void session_greet(struct session *s);
void session_say_banner(struct session *s); /* at the start: and on to HELO */

/* Nothing that was said before counts any more: EHLO, transaction, offer (RFC 3207 4.2). */
void session_forget(struct session *s);

bool session_tls_offered(const struct session *s);
void session_tls_implicit(struct session *s); /* before the banner; may close the session */
void session_tls_flushed(struct session *s);  /* the 220 is out */
void session_tls_open(struct session *s);     /* the handshake is done */
void session_tls_facts(struct session *s);    /* to the judge, if there is TLS */
void session_tls_failed(struct session *s, enum close_reason reason); /* the session ends within it */

/* When the content that comes in has come too slowly; see session_data.c. */
uint64_t session_content_due(const struct session *s);
/* Answers content that is too slow: 421, or 550 where a bare newline has refused it.  Closes the session. */
void session_content_late(struct session *s);
/* Takes content from the stream; true: go on pumping, false: nothing to do now. */
bool session_take_content(struct session *s);
/* The client vanished while a message was with the relay: does the relay go on without it? */
bool session_relay_goes_on(struct session *s);

/* ---- session_policy.c: asks the judge ---- */

enum decision_kind {
    DECISION_GO_ON = 0,
    DECISION_REFUSE,
    DECISION_DROP, /* refuse, then close the connection */
    DECISION_HOLD, /* a tarpit runs: only session_policy.c sees it */
};

struct decision { /* valid during the call that acts on it */
    enum decision_kind kind;
    struct reply reply;                   /* REFUSE, DROP: the rule's words, borrowed from the judge */
    const struct config_upstream *divert; /* GO_ON: the mail goes there instead; NULL: no */
    bool bypass;                          /* GO_ON: the message rules are not asked */
    bool alone;                           /* GO_ON: no other recipient may be in the transaction */
};

void session_policy_open(struct session *s); /* rDNS and early lists may be asked from here on */
void session_policy_close(struct session *s);
struct judge *session_judge(struct session *s); /* awake */
void session_policy_rest(
    struct session *s); /* silent between transactions: packed, unless something is asked */
void session_policy_txn(struct txn *t);
void session_policy_mail(struct session *s); /* the transaction is open: SPF may be asked */
/* Ask about a recipient, about the complete message.  `act_on` gets the decision from the loop, once, and not after the
 * transaction has ended. */
void session_policy_rcpt(struct session *s, struct recipient *rcpt, session_act act_on);
void session_policy_message(struct session *s, session_act act_on);
/* session_rcpt.c: answers what is already in the input buffer as behind a drop by `r`, and closes. */
void session_drop(struct session *s, const struct reply *r);
/* session_early.c: true while the banner waits for a verdict, which then says it, or refuses. */
bool session_early_banner(struct session *s);
enum cmd_result session_early_mail(struct session *s); /* the reply to MAIL */

/* Drops octets of a refused BDAT chunk; true: go on pumping. */
bool session_eat(struct session *s);
/* The lines that go on top of the message: Received, Authentication-Results, tags, headers.add. */
void session_tags(struct session *s, struct buf *out);
/* The client is gone without having read its 250: remembered for limits.duplicate_guard (RFC 1047). */
void session_unconfirmed(struct session *s);

void session_log_command(struct session *s, struct slice verb, struct slice arg, bool secret);
void session_log_reply(struct session *s, const struct reply *r);
void session_log_connect(struct session *s);
void session_log_close(struct session *s, enum close_reason reason);
void session_log_rcpt(struct session *s, const struct recipient *rcpt, struct slice said,
                      const struct reply *r, const char *by);
/* A refusal before there was a recipient. */
void session_log_refused(struct session *s, const struct reply *r);
/* r: the final reply; NULL: none was given. */
void session_log_txn(struct session *s, const struct reply *r, enum txn_outcome outcome, bool from_upstream);

#endif
