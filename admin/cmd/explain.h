/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.h - `glacis explain`: one envelope, judged as the proxy judges it.  Private to the files of the command.
 *
 *     cmd_explain.c    options, the file, the exit code
 *     explain_ask.c    what the running glacis remembers and has set: asked by the socket `query`
 *     explain_judge.c  the session: banner, EHLO, MAIL, RCPT, with the proxy's own parser, relay control and replies
 *     explain_message.c   the message behind the envelope (--message)
 *     explain_show.c   facts, rules, verdict and tags in print
 *     recorder/explain.c  the other end of explain_ask.c
 */
#ifndef ADMIN_CMD_EXPLAIN_H
#define ADMIN_CMD_EXPLAIN_H

#include "admin/recorder/explain.h"
#include "core/arena.h"
#include "core/crypto.h"
#include "dns/dns.h"
#include "policy/policy.h"
#include "smtp/envelope.h"
#include "state/memory.h"

struct explain_request { /* the command line */
    const char *ip, *helo, *from, *rcpt, *rdns, *path;
    const char *message; /* a file with one; NULL: the envelope alone */
    bool tls, json, offline;
    struct addr client;
};

/* What answers the command where the first refusal comes. */
enum explain_stage { EXPLAIN_BANNER = 0, EXPLAIN_EHLO, EXPLAIN_MAIL, EXPLAIN_RCPT, EXPLAIN_MESSAGE };
extern const char *const explain_stage_names[];

struct explain_memory {
    /* Asks one line of the running glacis; false with errno. */
    bool (*ask)(void *arg, const char *line, struct buf *answer);
    void *ask_arg;
    bool asked;           /* it answered: its memory is judged with */
    char why[200];        /* else why not */
    unsigned connections; /* that the client would have, this one included */
    int64_t history_s;
};

struct explain {
    const struct explain_request *rq;
    struct config *conf;
    struct policy *policy;
    struct loop *loop;
    struct resolver *resolver;
    struct policy_worker *pw;
    struct judge *judge;
    struct explain_memory memory;
    char *socket_path; /* of the running glacis; NULL: not asked */
    char id[ULID_LEN + 1];
    struct timer poll;
    uint64_t until_ms;

    /* what the commands said: the judge borrows it */
    struct arena arena;
    struct envelope env;
    struct recipient rcpt;

    struct buf message; /* canonical; empty without --message */
    size_t head_len;    /* of its header section */
    bool message_asked; /* the envelope let it in */

    /* the verdict; its texts are copies */
    bool refused; /* by a rule */
    enum explain_stage stage;
    enum verdict_action action;
    const char *rule; /* or what else refused: "relay control" */
    unsigned code;    /* 0: the upstream's own answer */
    struct buf reply; /* behind the code: lines joined by '\n' */
    struct buf tags;  /* header fields */
    uint64_t tarpit_ms;
    bool monitored;
};

/*
 * Asks the running glacis for its lists' modes and the client's connections, and sets the policy's lists by it; then
 * explain_peek() asks it for what it remembers.  Without an answer, or offline, `asked` is false.  Blocking.
 */
void explain_memory_open(struct explain_memory *m, struct policy *p, const struct addr *client);
/* memory_source.peek; arg is a struct explain_memory.  Blocking. */
bool explain_peek(void *arg, const struct memory_question *q, struct memory_record *out);

/* Fills the verdict and the tags; runs the loop.  The judge stays, for explain_print(). */
void explain_judge(struct explain *x);

/* To standard output. */
void explain_print(const struct explain *x);

/* Reads --message; false after saying why not. */
bool explain_message_read(struct explain *x) MUST_USE;
/* Its recipient was let in: the judge gets it, and the verdict is that of the message. */
void explain_message_say(struct explain *x, void (*on_verdict)(void *arg, const struct verdict *v));
/* Its signatures and DMARC. */
void explain_message_print(const struct explain *x, struct buf *out);

#endif
