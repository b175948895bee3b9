/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_lists.c - exchanges the state of reputation lists between proxies, every LISTS_EVERY_MS.
 *
 * Standing    demotion, return and override of a list; the newest change wins.  A demotion carries the reasons
 *             against the list and its numbers.  Each proxy runs the trial for a return itself; the first one
 *             that has enough evidence restores the list for all.
 * Evidence    the counts of each proxy (list_share.c); one worker of a proxy at a time sends them.
 *
 * No session depends on this code, and it never waits.
 */
#include "core/table.h"
#include "state/redis_priv.h"

#define LISTS_EVERY_MS 5000
#define LIST_KEEP_S (90 * 86400)
#define LISTS_TELL_S 4 /* one worker of a proxy at a time */

struct list_request {
    struct redis *r;
    char name[MEMORY_LIST_NAME];
};

/* ---- standing and overrides, both ways ---- */

static struct slice text_of(const redisReply *reply, const char *name)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        if (slice_eq(redis_element(reply, i), slice_str(name))) {
            return redis_element(reply, i + 1);
        }
    }
    return SLICE_NONE;
}

static uint64_t field_of(const redisReply *reply, const char *name)
{
    uint64_t n;

    return slice_to_u64(text_of(reply, name), UINT64_MAX, &n) ? n : 0;
}

/* Above 0: theirs is newer.  All proxies must choose the same of two changes with equal times. */
static int compare(const redisReply *reply, const struct memory_list *l)
{
    const uint64_t theirs[] = { field_of(reply, "changed"), field_of(reply, "demoted"),
                                field_of(reply, "evil"), field_of(reply, "override"),
                                field_of(reply, "until") };
    const uint64_t ours[] = { l->changed_ms, l->demoted_s, l->evil_s, l->override, l->override_until_s };

    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (theirs[i] != ours[i]) {
            return theirs[i] > ours[i] ? 1 : -1;
        }
    }
    return 0;
}

static void send_list(struct redis *r, const struct memory_list *l, const char *key)
{
    char why[sizeof(l->why)];

    memcpy(why, l->why, sizeof(why));
    why[sizeof(why) - 1] = '\0';
    redis_command(
        r, NULL, NULL,
        "HSET %s changed %llu demoted %u evil %u reason %u against %u demotions %u restored %u override %u "
        "until %u why %s",
        key, (unsigned long long)l->changed_ms, l->demoted_s, l->evil_s, (unsigned)l->reason,
        (unsigned)l->against, l->demotions, l->last_restored_s, (unsigned)l->override, l->override_until_s,
        why);
    redis_command(r, NULL, NULL, "EXPIRE %s %d", key, LIST_KEEP_S);
}

/*
 * Takes a demotion, a new reason or a return from another proxy.  Our older evidence is void then, whatever the other's
 * clock says.
 */
static void take_standing(struct memory_list *l, const redisReply *reply)
{
    struct buf why;

    l->demoted_s = (uint32_t)field_of(reply, "demoted");
    l->evil_s = (uint32_t)field_of(reply, "evil");
    l->against = (uint8_t)field_of(reply, "against");
    l->heard_s = (uint32_t)wall_now_s();
    memset(&l->trial, 0, sizeof(l->trial));
    buf_init_fixed(&why, l->why, sizeof(l->why));
    buf_put_quoted(&why, text_of(reply, "why"), sizeof(l->why) - 5);
}

static void take_list(struct memory_list *l, const redisReply *reply)
{
    uint64_t override = field_of(reply, "override");

    l->changed_ms = field_of(reply, "changed");
    if (l->demoted_s != field_of(reply, "demoted") || l->evil_s != field_of(reply, "evil")) {
        take_standing(l, reply);
    }
    l->reason = (uint8_t)field_of(reply, "reason");
    l->demotions = (uint32_t)field_of(reply, "demotions");
    l->last_restored_s = (uint32_t)field_of(reply, "restored");
    l->override = override <= OVERRIDE_OFF ? (uint8_t) override : 0;
    l->override_until_s = (uint32_t)field_of(reply, "until");
    memory_list_forget(l); /* the evidence is about the old standing */
}

static void on_list(redisAsyncContext *ac, void *answer, void *arg)
{
    struct list_request *req = arg;
    struct redis *r = req->r;
    const redisReply *reply = answer;
    struct memory_list *l;
    struct buf key;
    char mem[KEY_MAX + MEMORY_LIST_NAME];
    int newer;
    bool taken = false;

    redis_reply_came(r);
    if (!redis_reply_good(r, ac, reply) || reply->type != REDIS_REPLY_ARRAY || r->ac != ac) {
        goto out;
    }
    l = tables_list_take(r->m->tables, slice_str(req->name));
    if (l == NULL) {
        goto out;
    }
    newer = compare(reply, l);
    buf_init_fixed(&key, mem, sizeof(mem));
    buf_putf(&key, "%sl:%s", r->prefix, req->name);
    taken = newer > 0;
    if (taken) {
        take_list(l, reply);
    } else if (newer < 0) {
        send_list(r, l, mem);
    }
    tables_list_give(r->m->tables, l);
out:
    if (taken) {
        log_msg(LOG_LEVEL_INFO, "list_shared", "Another proxy changed the standing of the list %s",
                req->name);
    }
    free(req);
}

/* ---- evidence ---- */

/* The id of this proxy, a new one after each restart. */
static uint64_t proxy_id(const struct redis *r)
{
    return siphash(r->m->tables->seed, "proxy", 5);
}

static void on_evidence(redisAsyncContext *ac, void *answer, void *arg)
{
    struct list_request *req = arg;
    struct redis *r = req->r;
    const redisReply *reply = answer;
    struct memory_list *l = NULL;
    char mine[24];
    struct buf b;

    redis_reply_came(r);
    buf_init_fixed(&b, mine, sizeof(mine));
    buf_putf(&b, "%016" PRIx64, proxy_id(r));
    if (redis_reply_good(r, ac, reply) && reply->type == REDIS_REPLY_ARRAY && r->ac == ac) {
        l = tables_list_take(r->m->tables, slice_str(req->name));
    }
    if (l != NULL) {
        memory_list_others_begin(l);
    }
    for (size_t i = 0; l != NULL && i + 1 < reply->elements; i += 2) {
        struct slice who = redis_element(reply, i);

        if (!slice_eq(who, buf_slice(&b)) &&
            !memory_list_others_add(l, redis_element(reply, i + 1), wall_now_s())) {
            redis_command(r, NULL, NULL, "HDEL %se:%s %b", r->prefix, req->name, who.ptr, who.len);
        }
    }
    tables_list_give(r->m->tables, l);
    free(req);
}

/* The caller holds the record's lock, so this copies the data before it sends. */
static void exchange_evidence(struct redis *r, const char *name, const char *packed, size_t len)
{
    struct list_request *req = xcalloc(1, sizeof(*req));

    req->r = r;
    memcpy(req->name, name, sizeof(req->name));
    redis_command(r, NULL, NULL, "HSET %se:%s %016llx %b", r->prefix, name, (unsigned long long)proxy_id(r),
                  packed, len);
    redis_command(r, NULL, NULL, "EXPIRE %se:%s %d", r->prefix, name, MEMORY_LIST_PACKED_S);
    r->pending++;
    if (redis_command(r, on_evidence, req, "HGETALL %se:%s", r->prefix, name) != REDIS_OK) {
        r->pending--;
        free(req);
    }
}

void redis_exchange_lists(void *arg)
{
    struct redis *r = arg;

    timer_start(&r->lists, LISTS_EVERY_MS);
    for (size_t n = 0; n < MEMORY_LISTS && r->state == REDIS_UP && r->pending < PIPELINE_MAX; n++) {
        struct memory_list *l = tables_list_at(r->m->tables, n);
        char packed[MEMORY_LIST_PACKED];
        struct list_request *req;
        size_t len = 0;

        if (l == NULL) {
            continue;
        }
        req = xcalloc(1, sizeof(*req));
        req->r = r;
        memcpy(req->name, l->name, sizeof(req->name));
        req->name[sizeof(req->name) - 1] = '\0';
        if (memory_list_claim(l, &l->told_s, wall_now_s(), LISTS_TELL_S)) {
            len = memory_list_pack(l, wall_now_s(), packed);
        }
        tables_list_give(r->m->tables, l);
        if (len > 0) {
            exchange_evidence(r, req->name, packed, len);
        }
        r->pending++;
        if (redis_command(r, on_list, req, "HGETALL %sl:%s", r->prefix, req->name) != REDIS_OK) {
            r->pending--;
            free(req);
        }
    }
}
