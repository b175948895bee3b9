/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_priv.h - the front of the contract and its shared backend.  Private to state/.
 *
 * memory.c answers every question from the tables first.  With a shared backend it also gives the operation to redis.c,
 * which may improve the records.  redis.c ends the operation with memory_op_done(), at the latest after its timeout.
 */
#ifndef STATE_MEMORY_PRIV_H
#define STATE_MEMORY_PRIV_H

#include "core/list.h"
#include "state/tables_priv.h"

struct redis;

struct memory {
    struct tables *tables;
    struct loop *loop;   /* NULL: notes and lists only */
    struct redis *redis; /* NULL: embedded */
    bool apart;          /* apart.c: private tables; memory_ask() also asks the source */
    struct memory_source source;
    struct list_node ops; /* by memory_op.link */
};

struct memory_op {
    struct list_node link;
    struct memory *m;
    memory_cb cb;
    void *arg;
    int64_t now_s;
    size_t count;
    struct memory_question q[MEMORY_ASK_MAX];
    struct memory_record record[MEMORY_ASK_MAX];
    bool shared;            /* the shared backend answered */
    struct deferred ready;  /* embedded: answers in this turn */
    struct timer timeout;   /* shared */
    size_t waiting;         /* replies still expected */
    struct list_node asked; /* redis.c: its requests, by request.link */
};

/* Answers and frees the operation; from the loop only. */
void memory_op_done(struct memory_op *op);

/* apart.c: replaces *r by the source's record, if the source has one. */
void memory_ask_source(struct memory *m, const struct memory_question *q, struct memory_record *r);

/* ---- redis_address.c ---- */

struct redis_address {
    char *host; /* an address in text; NULL: path */
    char *path;
    char *user;     /* NULL: the default user of Redis */
    char *password; /* NULL: none */
    uint16_t port;
    unsigned db;
};

/* redis://[[user]:password@]address[:port][/db] or unix:/path.  Takes only addresses and `localhost`, because no call
 * here may block. */
bool redis_address_parse(struct redis_address *a, struct slice url) MUST_USE;
void redis_address_fini(struct redis_address *a);

/* ---- redis.c ---- */

struct redis *redis_new(struct memory *m,
                        const struct config_redis *conf) MUST_USE; /* NULL with a log line */
void redis_free(struct redis **r);
bool redis_up(const struct redis *r);

/* False: Redis is not connected or its pipeline is full, and nothing was started.  True: memory_op_done() will run. */
bool redis_ask(struct redis *r, struct memory_op *op) MUST_USE;
void redis_forget(struct memory_op *op); /* detaches its requests; they continue without it */
void redis_note(struct redis *r, enum memory_event event, const struct memory_key *key, uint32_t keep_s,
                int64_t now_s);

#endif
