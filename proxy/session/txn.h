/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.h - one transaction: from MAIL to the final reply, RSET, EHLO or close.
 *
 * "In a transaction" is s->txn != NULL; txn_free() is the only way out, so a second message can inherit
 * nothing (L2).  It owns the envelope and everything with the message's lifetime in its arena, the spool and
 * the relay; it borrows the session's client facts.
 */
#ifndef PROXY_SESSION_TXN_H
#define PROXY_SESSION_TXN_H

#include "core/arena.h"
#include "core/crypto.h"
#include "core/loop.h"
#include "proxy/spool.h"
#include "proxy/upstream/relay.h"
#include "smtp/envelope.h"
#include "smtp/line.h"

struct verdict; /* policy/policy.h */
struct session;
struct decision;

/* Acts on a decision about what is being asked: a recipient, or the message (session_priv.h). */
typedef void (*session_act)(struct session *s, const struct decision *d);

#define TXN_ARENA_MAX                                                                                        \
    (1u << 20) /* envelope and header section work: 200 recipients with DSN parameters fit ten times */

enum content_state {
    CONTENT_NONE = 0,
    CONTENT_DATA,     /* after 354 */
    CONTENT_CHUNK,    /* within a BDAT chunk */
    CONTENT_BETWEEN,  /* between BDAT chunks */
    CONTENT_FAILED,   /* a chunk was refused: every further one is eaten and gets 503 until RSET */
    CONTENT_COMPLETE, /* the end was seen */
};

enum txn_outcome { /* how it ended */
                   TXN_ACCEPTED = 0,
                   TXN_REJECTED,
                   TXN_DEFERRED,
                   TXN_UNKNOWN,   /* the upstream's final reply was lost */
                   TXN_DUPLICATE, /* answered by the duplicate guard */
                   TXN_ABORTED,   /* given up by the client */
                   TXN_OUTCOME_COUNT,
};

struct txn {
    struct session *session;
    struct arena arena;
    struct envelope env;
    struct relay *relay;                    /* from the first good recipient on */
    const struct config_upstream *upstream; /* the transaction's class */
    const struct config_upstream *divert;   /* the message goes there instead; NULL: no */
    bool bypass;                            /* the message rules are not asked */
    bool close_after;         /* a rule dropped a later recipient: close behind this transaction */
    struct recipient *asking; /* the recipient whose verdict or answer is awaited */
    struct timer tarpit;      /* a verdict is held back */
    struct verdict *held;     /* by it; in the arena */
    session_act act;          /* on the decision that is awaited */
    size_t rcpt_room;
    unsigned number;   /* of the message in its session, from 1 */
    unsigned refused;  /* recipients */
    bool rate_counted; /* limits.message_rate */
    uint64_t started;  /* ms */

    enum content_state content;
    struct body_reader body;
    struct spool *spool;
    enum spool_status spool_status;
    uint64_t size_max; /* octets this message may have: limits.message_size and the upstream's */
    bool too_big;
    bool bdat_last;      /* the chunk now read is the last */
    uint64_t bdat_left;  /* octets of the chunk still to come */
    uint64_t bdat_size;  /* of the whole chunk */
    struct sha256 *hash; /* duplicate guard */
    uint8_t digest[SHA256_LEN];
    bool digest_set;
    bool head_told;          /* the judge has the header section */
    struct slice section;    /* the header section as it came */
    struct buf section_copy; /* of it, where it is not in memory in one piece */
    struct buf head;         /* the rewritten header section */
    uint64_t data_ms;        /* when the content was complete */
};

/* Opens the transaction of a session with an empty envelope. */
struct txn *txn_new(struct session *s) MUST_USE;

/* Cancels the relay, gives the spool back, frees all; clears *t.  NULL is allowed. */
void txn_free(struct txn **t);

/* One more accepted recipient; the caller has asked limits.recipients before. */
void txn_add_recipient(struct txn *t, struct recipient *rcpt);

#endif
