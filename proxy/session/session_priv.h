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
 * READY means "greeted, no transaction"; ENVELOPE means "s->txn exists".  Waiting is not a phase: while an answer
 * from the upstream, a check or TLS is pending, a bit in s->waits is set.  The session then takes no line but still
 * reads octets, to notice an end of file.  Only session_pump() takes lines; only session_enter() changes the phase.
 *
 * Files      session.c       life: accept, enter, pump, timers, replies, close
 *            session_cmds.c  the command table: one row and one cmd_ function a verb
 *            session_rcpt.c  MAIL and RCPT: from the parsed path to the reply, from any source
 *            session_policy.c  calls policy/ and turns its verdicts into decisions
 *            session_early.c  decisions before RCPT (policy.reject_at: earliest)
 *            session_data.c  DATA and BDAT into the spool, and the final reply to the message, from any source
 *            session_tags.c  the header block added on top: Received, tags, headers.add
 *            session_tls.c   STARTTLS and implicit TLS, from the command to the discarded EHLO
 *            session_xclient.c  a trusted peer names the client
 *            session_log.c   the records: connect, refused recipients, txn, close
 * Ownership  the worker owns sessions; a session owns its stream and its transaction (txn.h).
 * Limits     sizeof(struct session) < 1 KiB: an idle connection costs this and a stream.
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
    PHASE_BANNER = 0, /* accepted; nothing sent; greet_delay runs */
    PHASE_HELO,       /* 220 sent; expects EHLO or HELO; command timeout */
    PHASE_TLS,        /* STARTTLS accepted; handshake runs; handshake timeout */
    PHASE_READY,      /* greeted, no transaction; command timeout */
    PHASE_ENVELOPE,   /* a transaction is open; command timeout */
    PHASE_DATA,       /* receives content (DATA, or within a BDAT chunk); data timeouts */
    PHASE_RELAY,      /* the message is complete and goes upstream; the relay has its own deadlines */
    PHASE_CLOSED,     /* unlinked, everything cancelled; memory valid to the end of the turn */
    PHASE_COUNT,
};

enum {
    WAIT_UPSTREAM = 1, /* the callback of relay_rcpt or relay_message is pending */
    WAIT_TLS = 2,      /* the handshake */
    WAIT_POLICY = 4,   /* a verdict is pending */
};

/* Protocol abuse that costs points (limits.ban); session.c and glacis.yaml(5) list the points. */
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
    REASON_TIMEOUT,  /* silence, a trickle, or the session's total time */
    REASON_ABUSE,    /* protocol abuse that ends a session */
    REASON_ERRORS,   /* too many errors */
    REASON_LIMIT,    /* one of our limits */
    REASON_POLICY,   /* a rule dropped the session */
    REASON_TLS,      /* the TLS handshake failed */
    REASON_SHUTDOWN, /* stop or reload */
    REASON_COUNT,
};

enum cmd_result {
    CMD_REPLIED = 0, /* one reply is queued */
    CMD_WAITING,     /* a WAIT_ bit is set */
    CMD_CLOSED,      /* the session is closed; its memory is still valid in this turn */
};

#define COMMANDS_MAX 16384 /* octets of pipelined commands kept while a reply is pending (PIP-14) */

#define SESSION_MAGIC 0x5e551011u
#define SESSION_DEAD 0xdeadbeefu

struct session {
    uint32_t magic;
    enum phase phase;
    struct list_node link; /* on worker.sessions */
    struct worker *worker;
    const struct config_listener *listener;
    struct stream *stream;        /* NULL after the client has gone and only the relay continues */
    struct judge *judge;          /* facts and verdicts; use session_judge(); new at accept and at XCLIENT */
    struct judge_packed *resting; /* the packed judge while the session is silent; judge is then NULL */
    struct txn *txn;              /* "in a transaction" is txn != NULL */
    struct timer timer;           /* the nearest deadline of this phase */
    union {
        struct deferred resume; /* runs session_pump in the next turn */
        struct grave grave;     /* after close */
    };
    struct addr peer, local; /* the client as all code sees it, and our end */
    struct addr via;         /* the peer that named the client by PROXY or XCLIENT; family NONE: none */

    unsigned waits;  /* WAIT_ bits */
    bool counted;    /* counted in the client table: leave it at close */
    bool exempt;     /* a private client: no limit by address applies */
    bool esmtp;      /* EHLO, not HELO */
    bool eof;        /* the client closed its half */
    bool skipping;   /* discard the rest of a line that is too long */
    bool draining;   /* ends as soon as it is idle */
    bool pregreet;   /* the client sent before the banner */
    bool known;      /* good standing or allow_clients, by its address alone */
    bool undelayed;  /* send the banner at once */
    bool farewell;   /* the client half-closed right after our 250; an RST means the 250 was never read */
    bool tls;        /* the stream is encrypted */
    bool trusted;    /* offer XCLIENT */
    bool rdns_given; /* XCLIENT gave the name (announced_name): no lookup */

    uint64_t started;               /* ms */
    uint64_t idle_since;            /* when the last line was taken or the last reply written */
    uint64_t rest_tried;            /* when packing the judge was tried; 0: not yet */
    uint64_t line_since;            /* when the incomplete line began; 0: no such line */
    uint64_t data_since, data_last; /* DATA: times of the start and of the last octet */
    uint64_t paced_since;           /* DATA: time PACE_OCTETS ago, or of the chunk's start */

    unsigned errors;          /* 500-504, 555, and each other 5xx of session_fault() */
    unsigned idle_commands;   /* NOOP, RSET, VRFY, EHLO since the last message */
    unsigned refused_rcpt;    /* permanently refused since the last accepted message */
    unsigned asked_rcpt;      /* RCPT commands since the last message */
    unsigned messages;        /* messages begun (MAIL accepted) in this session */
    unsigned ended, accepted; /* messages with complete content and a final reply; messages with a 250 */
    unsigned violations;      /* protocol.violations */
    unsigned paced;           /* octets of content since paced_since */
    unsigned suspicious;      /* lines after a refused DATA or BDAT before we close; 0: no content expected */

    char *helo;                           /* name in the client's command, heap; NULL before EHLO */
    char *announced_name;                 /* by XCLIENT NAME, heap; NULL: none */
    char *announced_helo;                 /* from XCLIENT HELO, heap; overrides the peer's own name */
    struct list_node tls_link;            /* on worker.handshakes while the handshake runs */
    const char *tls_version, *tls_cipher; /* "TLS1.3", "TLS_AES_..."; NULL in clear */
    struct smtp_offer offer;              /* extensions that EHLO offered */
    bool eating;                          /* discards octets of a refused BDAT chunk */
    enum reply_id eat_reply;              /* the reply after the chunk's last octet */
    uint64_t eat_left;
    uint8_t *unconfirmed; /* duplicate guard: hash of a message whose 250 may be lost, heap; or NULL */
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

/* A deadline; CONFIG_OFF means none. */
static inline uint64_t session_later(uint64_t from, uint64_t delay)
{
    return delay == CONFIG_OFF || from > CONFIG_OFF - delay ? CONFIG_OFF : from + delay;
}

/* Our replies that count for limits.errors by themselves. */
static inline bool session_counts_error(unsigned code)
{
    return (code >= 500 && code <= 504) || code == 555;
}

/* ---- within the session's files ---- */

/*
 * After a reload, a client that has just connected may still send a first message: a new certificate must not cost a
 * session.  A stop has no such grace.
 */
bool session_may_begin(const struct session *s);

void session_enter(struct session *s, enum phase phase);
void session_pump(struct session *s);

void session_reply(struct session *s, const struct reply *r, bool ours);
enum cmd_result session_say(struct session *s,
                            enum reply_id id); /* sends a table row's reply; CMD_REPLIED or CMD_CLOSED */

/* Sends one of our replies, then closes so that the client can read it. */
enum cmd_result session_end(struct session *s, enum reply_id id, enum close_reason reason);

/* Sends the queued replies, then closes the session. */
void session_finish(struct session *s, enum close_reason reason);

/* Cancels and frees everything, in a fixed order, without a reply to the client.  Idempotent. */
void session_close(struct session *s, enum close_reason reason);

/*
 * session_say of a refusal: a 5xx is the command's fault (one more error, whatever its code), a 4xx is ours (one more
 * command without progress).  Not for recipients: they have their own limits.
 */
enum cmd_result session_fault(struct session *s, enum reply_id id);

/* Counts one more command without progress.  True: it exceeded the limit, and the session has ended. */
bool session_idles(struct session *s);

/* Adds points, a counter and a log line.  A resulting ban applies to later connections; the caller decides whether
 * this session ends. */
void session_abuse(struct session *s, enum abuse what);

/* Ends the open transaction, if any, and returns to READY (or HELO). */
void session_reset(struct session *s);
/* session_reset() for a message that its client abandons (RSET, EHLO, STARTTLS).  With a recipient: logs a txn
 * record. */
void session_abandon(struct session *s);

enum cmd_result session_command(struct session *s, struct slice line); /* session_cmds.c */
enum cmd_result cmd_mail(struct session *s, struct slice arg);         /* session_rcpt.c */
enum cmd_result cmd_rcpt(struct session *s, struct slice arg);
enum cmd_result cmd_data(struct session *s, struct slice arg); /* session_data.c */
enum cmd_result cmd_bdat(struct session *s, struct slice arg);
enum cmd_result cmd_starttls(struct session *s, struct slice arg); /* session_tls.c */
enum cmd_result cmd_xclient(struct session *s, struct slice arg);  /* session_xclient.c */

/* Sends 220 and the banner: at the start, and after XCLIENT. */
void session_greet(struct session *s);
void session_say_banner(struct session *s); /* at the start; enters HELO */

/* Discards all earlier input: EHLO, transaction, offer (RFC 3207 4.2). */
void session_forget(struct session *s);

bool session_tls_offered(const struct session *s);
void session_tls_implicit(struct session *s); /* before the banner; may close the session */
void session_tls_flushed(struct session *s);  /* the 220 has been sent */
void session_tls_open(struct session *s);     /* the handshake is done */
void session_tls_facts(struct session *s);    /* passes TLS facts to the judge, if there is TLS */
void session_tls_failed(struct session *s, enum close_reason reason); /* ends the session */

/* Deadline for slow content; see session_data.c. */
uint64_t session_content_due(const struct session *s);
/* Replies to content that is too slow: 421, or 550 if a bare newline already refused it.  Closes the session. */
void session_content_late(struct session *s);
/* Takes content from the stream.  True: continue pumping; false: nothing to do now. */
bool session_take_content(struct session *s);
/* The client vanished while the relay had its message: does the relay continue without it? */
bool session_relay_goes_on(struct session *s);

/* ---- session_policy.c: calls the judge ---- */

enum decision_kind {
    DECISION_GO_ON = 0,
    DECISION_REFUSE,
    DECISION_DROP, /* refuse, then close the connection */
    DECISION_HOLD, /* a tarpit runs; only session_policy.c sees this value */
};

struct decision { /* valid only during the call that acts on it */
    enum decision_kind kind;
    struct reply reply;                   /* REFUSE, DROP: the rule's reply, borrowed from the judge */
    const struct config_upstream *divert; /* GO_ON: send the mail to this upstream instead; NULL: no */
    bool bypass;                          /* GO_ON: skip the message rules */
    bool alone;                           /* GO_ON: the transaction may have no other recipient */
};

void session_policy_open(struct session *s); /* allows lookups of rDNS and early lists from here on */
void session_policy_close(struct session *s);
struct judge *session_judge(struct session *s); /* unpacked */
void session_policy_rest(struct session *s);    /* packs the judge, unless a lookup runs */
void session_policy_txn(struct txn *t);
void session_policy_mail(struct session *s); /* the transaction is open: allows SPF lookups */
/* Start a decision about a recipient or about the complete message.  The loop calls `act_on` once with it, and never
 * after the transaction has ended. */
void session_policy_rcpt(struct session *s, struct recipient *rcpt, session_act act_on);
void session_policy_message(struct session *s, session_act act_on);
/* session_rcpt.c: replies to the commands already in the input buffer as after a drop by `r`, then closes. */
void session_drop(struct session *s, const struct reply *r);
/* session_early.c: true while the banner waits for a verdict.  The verdict then sends the banner or a refusal. */
bool session_early_banner(struct session *s);
enum cmd_result session_early_mail(struct session *s); /* the reply to MAIL */

/* Discards octets of a refused BDAT chunk.  True: continue pumping. */
bool session_eat(struct session *s);
/* Writes the lines added on top of the message: Received, Authentication-Results, tags, headers.add. */
void session_tags(struct session *s, struct buf *out);
/* The client left without reading its 250: limits.duplicate_guard remembers the message (RFC 1047). */
void session_unconfirmed(struct session *s);

void session_log_command(struct session *s, struct slice verb, struct slice arg, bool secret);
void session_log_reply(struct session *s, const struct reply *r);
void session_log_connect(struct session *s);
void session_log_close(struct session *s, enum close_reason reason);
void session_log_rcpt(struct session *s, const struct recipient *rcpt, struct slice said,
                      const struct reply *r, const char *by);
/* Logs a refusal before the first recipient. */
void session_log_refused(struct session *s, const struct reply *r);
/* r: the final reply; NULL: none was given. */
void session_log_txn(struct session *s, const struct reply *r, enum txn_outcome outcome, bool from_upstream);

#endif
