/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.h - one transaction: from MAIL to the final reply, RSET, EHLO or close.
 *
 * "In a transaction" means s->txn != NULL.  Only txn_free() ends a transaction, so the next message cannot
 * inherit anything (L2).  It owns the envelope and other message data in its arena, the spool and the relay.
 * It borrows the session's client facts.
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

/* Acts on a decision about a recipient or about the message (session_priv.h). */
typedef void (*session_act)(struct session *s, const struct decision *d);

#define TXN_ARENA_MAX                                                                                        \
    (1u << 20) /* for envelope and header section: ten times the need of 200 recipients with DSN parameters */

enum content_state {
    CONTENT_NONE = 0,
    CONTENT_DATA,     /* after 354 */
    CONTENT_CHUNK,    /* within a BDAT chunk */
    CONTENT_BETWEEN,  /* between BDAT chunks */
    CONTENT_FAILED,   /* a chunk was refused: discard each further one and reply 503 until RSET */
    CONTENT_COMPLETE, /* the end of the content has arrived */
};

enum txn_outcome { /* how the transaction ended */
                   TXN_ACCEPTED = 0,
                   TXN_REJECTED,
                   TXN_DEFERRED,
                   TXN_UNKNOWN,   /* the upstream's final reply was lost */
                   TXN_DUPLICATE, /* answered by the duplicate guard */
                   TXN_ABORTED,   /* the client abandoned it */
                   TXN_OUTCOME_COUNT,
};

struct txn {
    struct session *session;
    struct arena arena;
    struct envelope env;
    struct relay *relay;                    /* from the first accepted recipient on */
    const struct config_upstream *upstream; /* upstream of the transaction's class */
    const struct config_upstream *divert;   /* send the message to this upstream instead; NULL: no */
    bool bypass;                            /* skip the message rules */
    bool close_after;         /* a rule dropped a later recipient: close after this transaction */
    struct recipient *asking; /* the recipient whose verdict or reply is pending */
    struct timer tarpit;      /* delays a verdict */
    struct verdict *held;     /* the delayed verdict; in the arena */
    session_act act;          /* receives the pending decision */
    size_t rcpt_room;
    unsigned number;   /* number of the message in its session, from 1 */
    unsigned refused;  /* refused recipients */
    bool rate_counted; /* charged to limits.message_rate */
    uint64_t started;  /* ms */

    enum content_state content;
    struct body_reader body;
    struct spool *spool;
    enum spool_status spool_status;
    uint64_t size_max; /* largest size in octets: limits.message_size and the upstream's limit */
    bool too_big;
    bool bdat_last;      /* the current chunk is the last */
    uint64_t bdat_left;  /* octets of the chunk still missing */
    uint64_t bdat_size;  /* octets of the whole chunk */
    struct sha256 *hash; /* for the duplicate guard */
    uint8_t digest[SHA256_LEN];
    bool digest_set;
    bool head_told;          /* the judge has received the header section */
    struct slice section;    /* the original header section */
    struct buf section_copy; /* holds the section if memory does not have it in one piece */
    struct buf head;         /* the rewritten header section */
    uint64_t data_ms;        /* when the content was complete, ms */
};

/* Opens a transaction with an empty envelope. */
struct txn *txn_new(struct session *s) MUST_USE;

/* Cancels the relay, frees the spool and all memory, clears *t.  NULL is allowed. */
void txn_free(struct txn **t);

/* Adds an accepted recipient; the caller has checked limits.recipients. */
void txn_add_recipient(struct txn *t, struct recipient *rcpt);

#endif
