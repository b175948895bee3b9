/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis.c - the backend that several proxies share: hiredis on our loop, the connection, the questions.
 * redis_lists.c exchanges the data of reputation lists; only these two files use hiredis.
 *
 *     AWAY --retry--> DIALING --AUTH, SELECT, history--> UP <--> SLOW (a reply is late: no new requests)
 *       ^                |                               |         |
 *       +----------------+--- error, closed, too late ---+---------+     back-off 1 s, doubling to 30 s
 *
 * memory.c answers every operation from the tables before it calls this file.  A reply improves the records and is
 * copied into the tables, so that these are nearly up to date when Redis is gone.  No operation waits longer than
 * `timeout`; while AWAY or SLOW none waits at all.
 *
 *     PREFIXs:KEY   string  first seen, seconds
 *     PREFIXg:KEY   string  first tried, seconds; after it passed, "p" and seconds
 *     PREFIXk:KEY   hash    day -> accepted; s: first one; r: newest refusal
 *     PREFIXl:NAME  hash    standing of a reputation list; the newest `changed` wins
 *     PREFIXe:NAME  hash    proxy -> its counts for the list (list_share.c)
 *     PREFIXhistory string  when recording started
 *
 * Limits  PIPELINE_MAX requests in flight; beyond that the tables answer alone.  Every key expires; no TLS.
 *         A reply is one flat array of at most ELEMENTS_MAX, with REPLY_MAX octets unread.  More closes the connection.
 */
#include "state/redis_priv.h"

#include <errno.h>

#include "core/table.h"

#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000
#define SLOW_MAX_MS 2000
#define PRUNE_ABOVE 24 /* days in a hash of standing */
#define ELEMENTS_MAX 4096
#define REPLY_MAX (1u << 20)

struct request { /* one question of an operation; lives until hiredis calls back */
    struct list_node link;
    struct memory_op *op; /* NULL: the operation ended before */
    struct redis *r;
    size_t index;
};

static void go_away(struct redis *r, const char *why);

/* ---- hiredis on a watch ---- */

static void rearm(struct redis *r, unsigned wanted)
{
    r->wanted = wanted;
    if (r->watching) {
        watch_set(&r->watch, wanted);
    }
}

static void add_read(void *arg)
{
    rearm(arg, ((struct redis *)arg)->wanted | WATCH_READ);
}

static void del_read(void *arg)
{
    rearm(arg, ((struct redis *)arg)->wanted & ~(unsigned)WATCH_READ);
}

static void add_write(void *arg)
{
    rearm(arg, ((struct redis *)arg)->wanted | WATCH_WRITE);
}

static void del_write(void *arg)
{
    rearm(arg, ((struct redis *)arg)->wanted & ~(unsigned)WATCH_WRITE);
}

static void clean_up(void *arg)
{
    struct redis *r = arg;

    if (r->watching) {
        watch_stop(&r->watch);
    }
    r->watching = false;
    r->wanted = 0;
}

/* Limits arrays, because hiredis allocates as many elements as a peer announces before one has arrived. */
static void *make_array(const redisReadTask *task, array_size elements)
{
    const struct redis *r = task->privdata;

    return task->parent != NULL || elements > ELEMENTS_MAX ? NULL : r->make_array(task, elements);
}

static void limit_replies(struct redis *r, redisReader *reader)
{
    r->make_reply = *reader->fn;
    r->make_array = r->make_reply.createArray;
    r->make_reply.createArray = make_array;
    reader->fn = &r->make_reply;
    reader->privdata = r;
}

static void on_ready(unsigned ready, void *arg)
{
    struct redis *r = arg;
    redisAsyncContext *ac = r->ac;
    char octet;

    if (ac != NULL && (ready & WATCH_READ) != 0) { /* hiredis asserts that no reply is unsolicited */
        if (r->unanswered == 0 && recv(ac->c.fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
            go_away(r, "it said what nobody had asked for");
        } else {
            redisAsyncHandleRead(ac);
        }
    }
    if (r->ac == ac && ac != NULL && ac->c.reader->len - ac->c.reader->pos > REPLY_MAX) {
        go_away(r, "a reply without end");
        return;
    }
    if (r->ac == ac && ac != NULL && (ready & WATCH_WRITE) != 0) {
        redisAsyncHandleWrite(ac);
    }
}

/* ---- up and away ---- */

static void become_up(struct redis *r)
{
    if (r->state == REDIS_DIALING) {
        gauge_set(M_SHARED_UP, 1);
        timer_start(&r->lists, 0);
        if (!r->said_up) {
            log_msg(LOG_LEVEL_INFO, "shared_memory_up", "Redis answers");
        }
        r->said_up = true;
    }
    r->state = REDIS_UP;
    r->backoff_ms = 0;
    timer_stop(&r->retry);
}

/* hiredis calls back every request in flight with a NULL reply, so each operation ends with the tables' answer. */
static void go_away(struct redis *r, const char *why)
{
    redisAsyncContext *ac = r->ac;
    uint32_t before;

    if (r->state == REDIS_AWAY) {
        return;
    }
    r->state = REDIS_AWAY;
    r->ac = NULL;
    gauge_set(M_SHARED_UP, 0);
    timer_stop(&r->lists);
    r->backoff_ms = r->backoff_ms == 0 ? BACKOFF_MIN_MS : min_u64(r->backoff_ms * 2, BACKOFF_MAX_MS);
    timer_start(&r->retry, r->backoff_ms);
    if (log_allowed(&r->said, loop_now(r->loop), 60, &before)) {
        log_msg(LOG_LEVEL_WARN, "shared_memory_away", "Redis: %s; local memory serves alone until it is back",
                why);
        r->said_up = false;
    }
    if (ac != NULL) {
        redisAsyncFree(ac);
    }
}

/* Call first, once for each reply.  False: an unsolicited reply follows. */
static bool settle(struct redis *r, const redisAsyncContext *ac, const redisReply *reply)
{
    if (ac != r->ac || reply == NULL || --r->unanswered > 0 || ac->c.reader->pos == ac->c.reader->len) {
        return true;
    }
    go_away(r, "it said more than it had been asked");
    return false;
}

static void on_ignored(redisAsyncContext *ac, void *answer, void *arg)
{
    (void)arg;
    (void)settle(ac->data, ac, answer);
}

int redis_command(struct redis *r, redisCallbackFn *fn, void *arg, const char *format, ...)
{
    va_list ap;
    int status;

    va_start(ap, format);
    status = redisvAsyncCommand(r->ac, fn != NULL ? fn : on_ignored, arg, format, ap);
    va_end(ap);
    r->unanswered += status == REDIS_OK;
    return status;
}

bool redis_reply_good(struct redis *r, const redisAsyncContext *ac, const redisReply *reply)
{
    char why[160];
    struct buf b;

    if (!settle(r, ac, reply)) {
        return false;
    }
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR) {
        return true;
    }
    if (ac != r->ac) {
        return false; /* of a connection that we closed */
    }
    buf_init_fixed(&b, why, sizeof(why));
    if (reply != NULL) {
        buf_put_quoted(&b, slice_of(reply->str, (size_t)reply->len), 100);
    } else {
        buf_put_quoted(&b, slice_str(ac->errstr), 100);
    }
    if (reply == NULL) {
        r->ac = NULL; /* hiredis is freeing it */
    }
    go_away(r, why);
    return false;
}

static struct slice reply_text(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS) {
        return SLICE_NONE;
    }
    return slice_of(reply->str, (size_t)reply->len);
}

static uint64_t to_number(struct slice text)
{
    uint64_t n;

    return slice_to_u64(text, UINT32_MAX, &n) ? n : 0;
}

static void on_history(redisAsyncContext *ac, void *answer, void *arg)
{
    struct redis *r = ac->data;
    const redisReply *reply = answer;
    int64_t ours = r->m->tables->h->history_s, theirs;

    (void)arg;
    if (!redis_reply_good(r, ac, reply)) {
        return;
    }
    theirs = (int64_t)to_number(reply_text(reply));
    if (theirs > 0 && (ours == 0 || theirs < ours)) {
        r->m->tables->h->history_s = theirs;
    }
    become_up(r);
}

static void on_handshake(redisAsyncContext *ac, void *answer, void *arg)
{
    (void)arg;
    (void)redis_reply_good(ac->data, ac, answer);
}

static void on_connected(const redisAsyncContext *ac, int status)
{
    struct redis *r = ac->data;

    if (status == REDIS_OK || r == NULL || ac != r->ac) {
        return;
    }
    r->ac = NULL; /* hiredis frees it after this */
    go_away(r, ac->errstr);
}

static void on_disconnected(const redisAsyncContext *ac, int status)
{
    struct redis *r = ac->data;

    (void)status;
    if (r == NULL || ac != r->ac) {
        return;
    }
    r->ac = NULL;
    go_away(r, ac->errstr[0] != '\0' ? ac->errstr : "the connection was closed");
}

static void dial(struct redis *r)
{
    redisAsyncContext *ac =
        r->to.path != NULL ? redisAsyncConnectUnix(r->to.path) : redisAsyncConnect(r->to.host, r->to.port);

    r->state = REDIS_DIALING;
    if (ac == NULL || ac->err != 0) {
        if (ac != NULL) {
            redisAsyncFree(ac);
        }
        go_away(r, "no connection can be made");
        return;
    }
    r->ac = ac;
    r->unanswered = 0;
    ac->data = r;
    ac->ev.data = r;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = clean_up;
    limit_replies(r, ac->c.reader);
    watch_init(&r->watch, r->loop, ac->c.fd, on_ready, r);
    r->watching = true;
    redisAsyncSetConnectCallback(ac, on_connected);
    redisAsyncSetDisconnectCallback(ac, on_disconnected);
    timer_start(&r->retry, r->timeout_ms < 1000 ? 1000 : r->timeout_ms);
    if (r->to.user != NULL) {
        redis_command(r, on_handshake, NULL, "AUTH %s %s", r->to.user, r->to.password);
    } else if (r->to.password != NULL) {
        redis_command(r, on_handshake, NULL, "AUTH %s", r->to.password);
    }
    if (r->to.db != 0) {
        redis_command(r, on_handshake, NULL, "SELECT %u", r->to.db);
    }
    redis_command(r, on_handshake, NULL, "SET %shistory %lld NX", r->prefix, (long long)wall_now_s());
    redis_command(r, on_history, NULL, "GET %shistory", r->prefix);
}

static void on_retry(void *arg)
{
    struct redis *r = arg;

    if (r->state == REDIS_AWAY) {
        dial(r);
    } else if (r->state != REDIS_UP) {
        go_away(r, "no answer in time");
    }
}

void redis_reply_came(struct redis *r)
{
    if (r->pending > 0) {
        r->pending--;
    }
    if (r->state == REDIS_SLOW && r->pending == 0) {
        become_up(r);
    }
}

/* ---- questions ---- */

static const char *key_text(const struct redis *r, char kind, const struct memory_key *key, char out[KEY_MAX])
{
    static const char hex[] = "0123456789abcdef";
    struct buf b;

    buf_init_fixed(&b, out, KEY_MAX);
    buf_put_str(&b, r->prefix);
    buf_put_char(&b, kind);
    buf_put_char(&b, ':');
    for (size_t i = 0; i < sizeof(key->octets); i++) {
        buf_put_char(&b, hex[key->octets[i] >> 4]);
        buf_put_char(&b, hex[key->octets[i] & 15]);
    }
    return out;
}

struct slice redis_element(const redisReply *reply, size_t i)
{
    return i < reply->elements ? reply_text(reply->element[i]) : SLICE_NONE;
}

/* A refusal by another proxy voids our older record; otherwise this merges the two. */
static void merge_standing(struct memory_record *rec, const redisReply *reply)
{
    struct memory_standing theirs = { 0 };
    uint64_t refused = 0;

    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        struct slice field = redis_element(reply, i);
        uint64_t n = to_number(redis_element(reply, i + 1));

        if (slice_eq(field, SLICE("r"))) {
            refused = n;
        } else if (slice_eq(field, SLICE("s"))) {
            theirs.since_s = (uint32_t)n;
        } else if (to_number(field) > 0 && to_number(field) <= UINT16_MAX) {
            standing_put_day(&theirs, (uint16_t)to_number(field), n);
        }
    }
    if (rec->standing.since_s > refused) {
        standing_join(&theirs, &rec->standing);
    }
    rec->standing = theirs;
    rec->found = rec->found || reply->elements > 0;
    rec->known = true;
}

static void prune_days(struct redis *r, const struct memory_key *key, const redisReply *reply)
{
    char name[KEY_MAX];
    uint64_t newest = 0;

    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        if (to_number(redis_element(reply, i)) > newest) {
            newest = to_number(redis_element(reply, i));
        }
    }
    (void)key_text(r, 'k', key, name);
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        uint64_t day = to_number(redis_element(reply, i));

        if (day > 0 && day + PRUNE_ABOVE / 2 < newest) {
            redis_command(r, NULL, NULL, "HDEL %s %llu", name, (unsigned long long)day);
        }
    }
}

static void merge_since(struct memory_record *rec, struct slice text, int64_t now_s)
{
    bool passed = text.len > 0 && text.ptr[0] == 'p';
    int64_t since = (int64_t)to_number(slice_skip(text, passed ? 1 : 0));

    if (since <= 0) {
        return;
    }
    if (!rec->known || since < rec->since_s) {
        rec->since_s = since < now_s ? since : now_s;
    }
    rec->found = rec->found || since < now_s || passed;
    rec->passed = rec->passed || passed;
    rec->known = true;
}

static void use_reply(struct redis *r, struct memory_op *op, size_t i, const redisReply *reply)
{
    struct memory_record *rec = &op->record[i];

    if (op->q[i].what == MEMORY_STANDING) {
        if (reply->type != REDIS_REPLY_ARRAY) {
            return;
        }
        merge_standing(rec, reply);
        if (reply->elements / 2 > PRUNE_ABOVE) {
            prune_days(r, &op->q[i].key, reply);
        }
    } else {
        merge_since(rec, reply_text(reply), op->now_s);
    }
    op->shared = true;
    tables_learn(r->m->tables, &op->q[i], rec, op->now_s);
}

static void on_reply(redisAsyncContext *ac, void *answer, void *arg)
{
    struct request *req = arg;
    struct redis *r = req->r;
    struct memory_op *op = req->op;
    const redisReply *reply = answer;
    size_t index = req->index;
    bool good;

    list_remove(&req->link);
    free(req);
    redis_reply_came(r);
    good = redis_reply_good(r, ac, reply);
    if (op == NULL) {
        return;
    }
    if (good) {
        use_reply(r, op, index, reply);
    }
    if (--op->waiting == 0) {
        timer_stop(&op->timeout);
        memory_op_done(op);
    }
}

static void send_question(struct redis *r, struct memory_op *op, size_t i)
{
    const struct memory_question *q = &op->q[i];
    struct request *req;
    char key[KEY_MAX];
    int status;

    if (q->what == MEMORY_BURST || q->what == MEMORY_RATE) {
        return; /* each proxy keeps its own count (memory.h) */
    }
    req = xcalloc(1, sizeof(*req));
    *req = (struct request){ .op = op, .r = r, .index = i };
    list_push_back(&op->asked, &req->link);
    op->waiting++;
    r->pending++;
    if (q->what == MEMORY_STANDING) {
        status = redis_command(r, on_reply, req, "HGETALL %s", key_text(r, 'k', &q->key, key));
    } else {
        (void)key_text(r, q->what == MEMORY_SEEN ? 's' : 'g', &q->key, key);
        redis_command(r, NULL, NULL, "SET %s %lld NX EX %u", key, /* Redis may have lost our record */
                      (long long)(op->record[i].known ? op->record[i].since_s : op->now_s),
                      q->keep_s > 0 ? q->keep_s : 1);
        if (q->what == MEMORY_SEEN) {
            redis_command(r, NULL, NULL, "EXPIRE %s %u", key, q->keep_s > 0 ? q->keep_s : 1);
        }
        status = redis_command(r, on_reply, req, "GET %s", key);
    }
    if (status != REDIS_OK) { /* disconnecting: on_disconnected() follows */
        list_remove(&req->link);
        free(req);
        op->waiting--;
        r->pending--;
    }
}

bool redis_ask(struct redis *r, struct memory_op *op)
{
    if (r->state != REDIS_UP) {
        count(M_SHARED_AWAY);
        return false;
    }
    if (r->pending + op->count > PIPELINE_MAX) {
        count(M_SHARED_BUSY);
        return false;
    }
    for (size_t i = 0; i < op->count; i++) {
        send_question(r, op, i);
    }
    if (op->waiting == 0) {
        return false;
    }
    count(M_SHARED_ASKED);
    timer_start(&op->timeout, r->timeout_ms);
    return true;
}

void redis_forget(struct memory_op *op)
{
    struct redis *r = op->m->redis;
    bool late = !list_empty(&op->asked) && !timer_active(&op->timeout);
    struct list_node *n;

    while ((n = list_pop(&op->asked)) != NULL) {
        container_of(n, struct request, link)->op = NULL;
    }
    if (late && r->state == REDIS_UP) {
        r->state = REDIS_SLOW;
        timer_start(&r->retry, SLOW_MAX_MS);
    }
}

void redis_note(struct redis *r, enum memory_event event, const struct memory_key *key, uint32_t keep_s,
                int64_t now_s)
{
    static const char *const refuse = "if redis.call('EXISTS',KEYS[1])==1 then redis.call('DEL',KEYS[1]) "
                                      "redis.call('HSET',KEYS[1],'r',ARGV[1]) "
                                      "redis.call('EXPIRE',KEYS[1],ARGV[2]) end return 0";
    char name[KEY_MAX];

    if (r->state != REDIS_UP) {
        return;
    }
    (void)key_text(r, event == MEMORY_PASSED ? 'g' : 'k', key, name);
    if (event == MEMORY_PASSED) {
        redis_command(r, NULL, NULL, "SET %s p%lld EX %u", name, (long long)now_s, keep_s);
    } else if (event == MEMORY_REFUSED) {
        redis_command(r, NULL, NULL, "EVAL %s 1 %s %lld %u", refuse, name, (long long)now_s, keep_s);
    } else {
        redis_command(r, NULL, NULL, "HINCRBY %s %lld 1", name, (long long)(now_s / 86400));
        redis_command(r, NULL, NULL, "HSETNX %s s %lld", name, (long long)now_s);
        redis_command(r, NULL, NULL, "EXPIRE %s %u", name, keep_s);
    }
}

/* ---- life cycle ---- */

struct redis *redis_new(struct memory *m, const struct config_redis *conf)
{
    struct redis *r = xcalloc(1, sizeof(*r));
    struct slice prefix = slice_take(slice_str(conf->prefix), PREFIX_MAX);

    r->m = m;
    r->loop = m->loop;
    r->timeout_ms = conf->timeout_ms;
    if (prefix.len > 0) {
        memcpy(r->prefix, prefix.ptr, prefix.len);
    }
    if (!redis_address_parse(&r->to, slice_str(conf->url))) {
        log_msg(LOG_LEVEL_ERROR, "shared_memory_address",
                "state.redis.url is not redis://[[user]:password@]address[:port][/db] or unix:/path: local "
                "memory "
                "serves alone");
        redis_free(&r);
        return NULL;
    }
    timer_init(&r->retry, r->loop, on_retry, r);
    timer_init(&r->lists, r->loop, redis_exchange_lists, r);
    timer_start(&r->retry, 0);
    return r;
}

void redis_free(struct redis **rp)
{
    struct redis *r = *rp;
    redisAsyncContext *ac;

    if (r == NULL) {
        return;
    }
    *rp = NULL;
    ac = r->ac;
    r->ac = NULL;
    r->state = REDIS_AWAY;
    if (ac != NULL) {
        redisAsyncFree(ac);
    }
    timer_stop(&r->retry);
    timer_stop(&r->lists);
    redis_address_fini(&r->to);
    free(r);
}

bool redis_up(const struct redis *r)
{
    return r->state == REDIS_UP;
}
