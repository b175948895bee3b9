/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unknown_rcpt.c - a table of (upstream, address) with an age list.
 *
 * Owns its entries, at most `max`: a new one replaces the oldest.  Expired entries are freed when found or
 * replaced.
 */
#include "proxy/upstream/unknown_rcpt.h"

#include "core/list.h"
#include "core/table.h"

#define KEY_PREFIX sizeof(uint32_t)
#define KEY_MAX (KEY_PREFIX + UNKNOWN_ADDRESS_MAX)

struct entry {
    struct table_entry hash;
    struct list_node age; /* in unknown.ages */
    uint64_t until_ms;
    struct reply *reply;
    char key[]; /* number of the upstream, address */
};

struct unknown_rcpt {
    struct table table;
    struct list_node ages; /* the oldest first */
    size_t max;
    struct buf key; /* scratch */
};

struct unknown_rcpt *unknown_rcpt_new(size_t max)
{
    struct unknown_rcpt *u = xcalloc(1, sizeof(*u));

    table_init(&u->table);
    list_init(&u->ages);
    u->max = max;
    buf_init(&u->key, KEY_MAX);
    return u;
}

static struct entry *entry_of_age(struct list_node *n)
{
    return container_of(n, struct entry, age);
}

static void drop(struct unknown_rcpt *u, struct entry *e)
{
    table_remove(&u->table, &e->hash);
    list_remove(&e->age);
    reply_free(&e->reply);
    free(e);
}

void unknown_rcpt_free(struct unknown_rcpt **u)
{
    if (*u == NULL) {
        return;
    }
    while (!list_empty(&(*u)->ages)) {
        drop(*u, entry_of_age((*u)->ages.next));
    }
    table_fini(&(*u)->table);
    buf_fini(&(*u)->key);
    free(*u);
    *u = NULL;
}

/* Builds it in the scratch buffer; empty if the address is too long. */
static struct slice make_key(struct unknown_rcpt *u, unsigned upstream, struct slice address)
{
    uint32_t number = (uint32_t)upstream;

    buf_reset(&u->key);
    buf_put(&u->key, &number, KEY_PREFIX);
    buf_put_slice(&u->key, address);
    return buf_ok(&u->key) ? buf_slice(&u->key) : SLICE_NONE;
}

static struct entry *find(struct unknown_rcpt *u, struct slice key)
{
    struct table_entry *t = slice_empty(key) ? NULL : table_find(&u->table, key);

    return t ? container_of(t, struct entry, hash) : NULL;
}

void unknown_rcpt_remember(struct unknown_rcpt *u, unsigned upstream, struct slice address,
                           const struct reply *reply, uint64_t until_ms)
{
    struct slice key = make_key(u, upstream, address);
    struct entry *e = find(u, key);

    if (slice_empty(key) || reply->text.len > UNKNOWN_TEXT_MAX) {
        return;
    }
    if (e) {
        drop(u, e);
    } else if (u->table.len >= u->max) {
        drop(u, entry_of_age(u->ages.next));
    }
    e = xcalloc(1, sizeof(*e) + key.len);
    memcpy(e->key, key.ptr, key.len);
    e->reply = reply_copy(reply);
    e->until_ms = until_ms;
    list_node_init(&e->age);
    list_push_back(&u->ages, &e->age);
    table_insert(&u->table, &e->hash, slice_of(e->key, key.len));
}

const struct reply *unknown_rcpt_find(struct unknown_rcpt *u, unsigned upstream, struct slice address,
                                      uint64_t now_ms)
{
    struct entry *e = find(u, make_key(u, upstream, address));

    if (e && now_ms >= e->until_ms) {
        drop(u, e);
        e = NULL;
    }
    return e ? e->reply : NULL;
}
