/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - joins one transaction to one upstream and decides which reply the client gets.
 *
 * The session's only view of the upstream side.  Behind it: pool.c lends connections, upstream.c speaks
 * SMTP on them, upstream_body.c writes the message, health.c probes.
 *
 *   RCPT      -> relay_rcpt     the first one leases a connection and sends MAIL.  The reply to each RCPT is
 *                               the upstream's own (validate: live) or is made here (file, none).
 *   waiting   -> (inside)       From the first RCPT reply on, a connection that waits for the client longer than
 *                               `hold` goes back to the pool, or as soon as others wait for one.  The session
 *                               does not notice.
 *   message   -> relay_message  sends the complete, judged message on the connection still held, or on a new lease
 *                               with the whole envelope again, pipelined; then DATA, content, dot, final reply.
 *
 * Answers  A callback gets the client's reply and its meaning as one value: an upstream's reply unchanged (code,
 *          enhanced, text), or one of ours (451 4.4.1, 451 4.3.5 ...).  relay_map.c decides the meaning; no other file
 *          looks at codes or texts for it.  The reply is borrowed until the callback returns.  A lost final
 *          reply becomes 451 4.4.2 (REPLY_UP_UNKNOWN), never 250 (RFC 1047).
 * Callbacks  run from the loop, exactly once, never inside the starting call, and not after relay_free.
 * Deadlines  belong to the relay: every operation ends within queue_wait, connect, command and final_reply times.
 *            If the dot is not out after final_reply, the relay gives up: the client has gone by then.
 * Ownership  the transaction owns the relay; the envelope, the spool and the added header are borrowed from
 *            the transaction until relay_free.
 */
#ifndef PROXY_UPSTREAM_RELAY_H
#define PROXY_UPSTREAM_RELAY_H

#include "proxy/spool.h"
#include "smtp/envelope.h"
#include "smtp/smtp_reply.h"

struct relay;
struct upstreams; /* all pools of this worker: upstreams_new in pool.h */

enum relay_outcome {
    RELAY_ACCEPTED = 0,
    RELAY_DEFERRED, /* 4yz */
    RELAY_REJECTED, /* 5yz */
    RELAY_UNKNOWN,  /* the final reply was lost: 451, although the upstream may have the message */
};

struct relay_answer {
    enum relay_outcome outcome;
    struct reply reply;
    bool from_upstream; /* the reply is the upstream's own, not ours */
    bool remembered;    /* RCPT: refused from the cache of the upstream's earlier refusals */
};

typedef void (*relay_cb)(void *arg, const struct relay_answer *answer);

/* For one transaction at one upstream.  Starts nothing yet.  Never NULL. */
struct relay *relay_new(struct upstreams *ups, const struct config_upstream *to,
                        const struct envelope *env) MUST_USE;

/* Another upstream accepted the recipients (a diverted message): any refusal of the envelope becomes 451 4.3.0. */
void relay_strict(struct relay *r);

/*
 * Checks one more recipient (not yet in env->rcpt; the session adds it after a 2xx).  One call at a time.  `validate`
 * is the domain's: LIVE sends RCPT; FILE and NONE reply 250 here (FILE was already looked up).
 */
void relay_rcpt(struct relay *r, const struct recipient *rcpt, enum config_validate validate, relay_cb cb,
                void *arg);

struct relay_message {
    struct slice head; /* the rewritten header section with all additions, canonical; replaces ... */
    uint64_t skip;     /* ... this many octets at the front of the spool */
    struct spool *spool;
    bool eight_bit;    /* content has octets above 127 */
    bool utf8_headers; /* the header section has */
};

/* Sends the message to all of env->rcpt (>= 1) and gives the final reply. */
void relay_message(struct relay *r, const struct relay_message *msg, relay_cb cb, void *arg);

/*
 * True from the moment the last octet of CRLF.CRLF may have left: from here on a vanished client must not
 * abort the relay; the session keeps the transaction until the callback (RFC 1047).
 */
bool relay_committed(const struct relay *r);

/* For the log: the server's label and the milliseconds since the last start; "" if no server was used. */
struct slice relay_server(const struct relay *r);
struct addr relay_address(const struct relay *r); /* family NONE: the label names it */
unsigned relay_attempts(const struct relay *r);   /* connections used, replaced ones included */
const char *
relay_tls(const struct relay *r); /* of the last connection: "TLS1.3 TLS_AES_256_GCM_SHA384"; "" in clear */

/*
 * Ends it in any state: a transaction at the upstream is ended by RSET, or by closing when content had begun
 * without its dot (DAT-38, -40).  Clears *r; NULL is allowed.
 */
void relay_free(struct relay **r);

/* ---- what EHLO may offer (CAP-09): the intersection over all servers that ever answered ---- */
struct relay_keywords {
    bool eightbitmime, smtputf8, dsn;
    uint64_t
        size; /* smallest of limits.message_size, upstreams' size and servers' SIZE less an allowance; 0: no limit */
};
void upstreams_keywords(struct upstreams *ups, struct relay_keywords *out);
bool upstreams_any_utf8(
    const struct upstreams *ups); /* is there a server that takes SMTPUTF8, as far as is known? */

#endif
