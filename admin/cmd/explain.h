/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.h - `glacis explain`: one envelope, judged as the proxy judges it.  Private to the files of the command.
 *
 *     cmd_explain.c    options, the file, the exit code
 *     explain_ask.c    queries memory and settings of the running glacis through the socket `query`
 *     explain_judge.c  the session: banner, EHLO, MAIL, RCPT, with the proxy's own parser, relay control and replies
 *     explain_message.c   the message behind the envelope (--message)
 *     explain_show.c   prints facts, rules, verdict and tags
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
    const char *message; /* path of a message; NULL: the envelope alone */
    bool tls, json, offline;
    struct addr client;
};

/* The command whose reply is the first refusal. */
enum explain_stage { EXPLAIN_BANNER = 0, EXPLAIN_EHLO, EXPLAIN_MAIL, EXPLAIN_RCPT, EXPLAIN_MESSAGE };
extern const char *const explain_stage_names[];

struct explain_memory {
    /* Sends one line to the running glacis; false with errno. */
    bool (*ask)(void *arg, const char *line, struct buf *answer);
    void *ask_arg;
    bool asked;           /* it answered: the judge uses its memory */
    char why[200];        /* else the reason why not */
    unsigned connections; /* connections of the client, including this one */
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
    char *socket_path; /* socket of the running glacis; NULL: do not query it */
    char id[ULID_LEN + 1];
    struct timer poll;
    uint64_t until_ms;

    /* data of the commands; the judge borrows it */
    struct arena arena;
    struct envelope env;
    struct recipient rcpt;

    struct buf message; /* canonical; empty without --message */
    size_t head_len;    /* octets of its header section */
    bool message_asked; /* the envelope was accepted */

    /* the verdict; its texts are copies */
    bool refused; /* by a rule */
    enum explain_stage stage;
    enum verdict_action action;
    const char *rule; /* or the other source of a refusal: "relay control" */
    unsigned code;    /* 0: the upstream's own answer */
    struct buf reply; /* text after the code: lines joined by '\n' */
    struct buf tags;  /* header fields */
    uint64_t tarpit_ms;
    bool monitored;
};

/*
 * Asks the running glacis for its lists' modes and the client's connections, and applies the modes to the policy.
 * Later, explain_peek() asks it for memory records.  Without an answer, or offline, `asked` is false.  Blocking.
 */
void explain_memory_open(struct explain_memory *m, struct policy *p, const struct addr *client);
/* memory_source.peek; arg is a struct explain_memory.  Blocking. */
bool explain_peek(void *arg, const struct memory_question *q, struct memory_record *out);

/* Fills the verdict and the tags; runs the loop.  The judge remains for explain_print(). */
void explain_judge(struct explain *x);

/* To standard output. */
void explain_print(const struct explain *x);

/* Reads --message; false after printing why not. */
bool explain_message_read(struct explain *x) MUST_USE;
/* Call after the recipient was accepted: passes the message to the judge for the final verdict. */
void explain_message_say(struct explain *x, void (*on_verdict)(void *arg, const struct verdict *v));
/* Prints its signatures and DMARC. */
void explain_message_print(const struct explain *x, struct buf *out);

#endif
