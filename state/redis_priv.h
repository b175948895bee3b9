/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_priv.h - the connection to Redis, shared by redis.c (connection, questions) and redis_lists.c (lists).
 */
#ifndef STATE_REDIS_PRIV_H
#define STATE_REDIS_PRIV_H

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "state/memory_priv.h"

#define PIPELINE_MAX 2000
#define KEY_MAX 128
#define PREFIX_MAX 64

#if HIREDIS_MAJOR == 0
typedef int array_size;
#else
typedef size_t array_size;
#endif

enum redis_state { REDIS_AWAY = 0, REDIS_DIALING, REDIS_UP, REDIS_SLOW };

struct redis {
    struct memory *m;
    struct loop *loop;
    struct redis_address to;
    char prefix[PREFIX_MAX + 1];
    uint64_t timeout_ms;
    enum redis_state state;
    redisAsyncContext *ac;                /* hiredis frees it; NULL while AWAY */
    redisReplyObjectFunctions make_reply; /* hiredis' own, with a limit for arrays (limit_replies) */
    void *(*make_array)(const redisReadTask *, array_size);
    struct watch watch;
    unsigned wanted;
    bool watching;
    size_t pending;    /* requests in flight */
    size_t unanswered; /* commands in flight; one reply too many would trip an assertion in hiredis */
    uint64_t backoff_ms;
    struct timer retry; /* AWAY: dial again; DIALING, SLOW: give up */
    struct timer lists;
    struct log_limit said;
    bool said_up; /* the newest log line says "up" */
};

/*
 * Sends a command; format as for hiredis (%b: octets and their number).  fn may be NULL: the reply is ignored.
 * Every command must go through here, because this counts the replies.
 */
int redis_command(struct redis *r, redisCallbackFn *fn, void *arg, const char *format, ...);

/* Call first in a callback: a request counted in `pending` got its reply, or will get none. */
void redis_reply_came(struct redis *r);

/* Call second: is the reply usable?  If not, this closes the connection unless it is closed already. */
bool redis_reply_good(struct redis *r, const redisAsyncContext *ac, const redisReply *reply);

/* The text of the i-th element; empty if the reply has none. */
struct slice redis_element(const redisReply *reply, size_t i);

/* redis_lists.c: exchanges standing and evidence of all lists with the other proxies; the callback of r->lists. */
void redis_exchange_lists(void *arg);

#endif
