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
    size_t pending;    /* requests that are out */
    size_t unanswered; /* commands; a reply beyond them would be an assertion in hiredis */
    uint64_t backoff_ms;
    struct timer retry; /* AWAY: dial again; DIALING, SLOW: give up */
    struct timer lists;
    struct log_limit said;
    bool said_up; /* the newest word about it in the log */
};

/*
 * Sends a command, format as for hiredis (%b: octets and their number); fn may be NULL: the answer is of no
 * interest.  Every command goes through here, because replies are counted.
 */
int redis_command(struct redis *r, redisCallbackFn *fn, void *arg, const char *format, ...);

/* In a callback, first: a request that was counted in `pending` has its reply, or will have none. */
void redis_reply_came(struct redis *r);

/* Then: is the reply fit for use?  If not the connection is given up, or was already. */
bool redis_reply_good(struct redis *r, const redisAsyncContext *ac, const redisReply *reply);

/* The text of the i-th element; empty if there is none. */
struct slice redis_element(const redisReply *reply, size_t i);

/* redis_lists.c: exchanges standing and evidence of all lists with the other proxies; the callback of r->lists. */
void redis_exchange_lists(void *arg);

#endif
