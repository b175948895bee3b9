/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folds.c - two tables: folds by network, minute and reason; counts of records by network and minute.
 */
#include "history/folds.h"
#include "history/reduce.h"

enum { MINUTE_MS = 60000, KEY_MAX = 32 };

struct fold_network {
    struct fold_network *next;
    struct table_entry entry;
    int64_t minute;
    unsigned records;
    char key[KEY_MAX];
};

void folds_init(struct folds *f)
{
    memset(f, 0, sizeof(*f));
    table_init(&f->folds);
    table_init(&f->networks);
}

void folds_expire(struct folds *f, int64_t minute)
{
    struct fold **at = &f->list;
    struct fold_network **n = &f->network_list;

    if (minute == f->minute) {
        return;
    }
    f->minute = minute;
    while (*at != NULL) {
        struct fold *fold = *at;

        if (fold->minute >= minute) {
            at = &fold->next;
            continue;
        }
        *at = fold->next;
        table_remove(&f->folds, &fold->entry);
        free(fold);
    }
    while (*n != NULL) {
        struct fold_network *network = *n;

        if (network->minute >= minute) {
            n = &network->next;
            continue;
        }
        *n = network->next;
        table_remove(&f->networks, &network->entry);
        free(network);
    }
}

void folds_clear(struct folds *f)
{
    folds_expire(f, INT64_MAX);
    f->minute = 0;
}

void folds_detach(struct folds *f)
{
    for (struct fold *fold = f->list; fold != NULL; fold = fold->next) {
        fold->count -= fold->written;
        fold->written = 0;
        fold->seq = 0;
        fold->changed = fold->count > 0;
    }
}

void folds_fini(struct folds *f)
{
    folds_clear(f);
    table_fini(&f->folds);
    table_fini(&f->networks);
}

static void put_key(struct buf *b, const struct addr *network, int64_t minute)
{
    buf_put_char(b, (char)network->family);
    buf_put(b, network->ip, sizeof(network->ip));
    buf_put(b, &minute, sizeof(minute));
}

bool folds_admit(struct folds *f, const struct addr *client, int64_t time_ms)
{
    struct addr network = reduce_network(client);
    struct fold_network *n;
    struct table_entry *found;
    char mem[KEY_MAX];
    struct buf key;

    buf_init_fixed(&key, mem, sizeof(mem));
    put_key(&key, &network, time_ms / MINUTE_MS);
    found = table_find(&f->networks, buf_slice(&key));
    if (found != NULL) {
        n = container_of(found, struct fold_network, entry);
        return n->records < FOLDS_RECORDS && ++n->records > 0;
    }
    if (f->networks.len < FOLDS_NETWORKS) {
        n = xcalloc(1, sizeof(*n));
        n->minute = time_ms / MINUTE_MS;
        n->records = 1;
        memcpy(n->key, mem, key.len);
        table_insert(&f->networks, &n->entry, slice_of(n->key, key.len));
        n->next = f->network_list;
        f->network_list = n;
    }
    return true;
}

static struct fold *find_or_make(struct folds *f, const struct addr *network, int64_t minute,
                                 struct slice reason)
{
    struct fold *fold = xcalloc(1, sizeof(*fold));
    struct table_entry *found;
    struct buf key;

    reason = slice_take(reason, FOLDS_REASON_MAX);
    buf_init_fixed(&key, fold->key, sizeof(fold->key));
    put_key(&key, network, minute);
    buf_put_slice(&key, reason);
    found = table_find(&f->folds, buf_slice(&key));
    if (found != NULL) {
        free(fold);
        return container_of(found, struct fold, entry);
    }
    fold->network = *network;
    fold->minute = minute;
    if (!slice_empty(reason)) {
        memcpy(fold->reason, reason.ptr, reason.len);
    }
    fold->reason_len = reason.len;
    table_insert(&f->folds, &fold->entry, slice_of(fold->key, key.len));
    fold->next = f->list;
    f->list = fold;
    return fold;
}

struct fold *folds_add(struct folds *f, const struct record *r)
{
    struct addr network = reduce_network(&r->client);
    struct slice sender = slice_take(record_field(r, FIELD_SENDER), FOLDS_SENDER_MAX);
    struct slice reason = record_field(r, r->kind == RECORD_EARLY ? FIELD_REASON : FIELD_OUTCOME);
    struct fold *fold;

    if (f->folds.len >= FOLDS_MAX) {
        memset(&network, 0, sizeof(network));
        reason = SLICE("any");
    }
    fold = find_or_make(f, &network, r->time_ms / MINUTE_MS, reason);
    fold->count++;
    fold->changed = true;
    memmove(fold->ids + 1, fold->ids, (FOLDS_IDS - 1) * sizeof(fold->ids[0]));
    fold->ids[0].id = r->id;
    fold->ids[0].code = record_has(r, FIELD_CODE) ? (uint32_t)(uint64_t)r->num[FIELD_CODE] % 1000 : 0;
    fold->id_count += fold->id_count < FOLDS_IDS;
    if (!slice_empty(sender)) {
        memcpy(fold->sender, sender.ptr, sender.len);
        fold->sender_len = sender.len;
    }
    return fold;
}

void fold_to_record(const struct fold *fold, struct buf *ids, struct record *out)
{
    memset(out, 0, offsetof(struct record, items));
    out->kind = RECORD_EARLY;
    out->time_ms = fold->minute * MINUTE_MS;
    out->client = fold->network;
    for (size_t i = 0; i < fold->id_count; i++) {
        buf_put_str(ids, i > 0 ? " " : "");
        record_id_put(ids, &fold->ids[i].id);
        buf_put_char(ids, '=');
        buf_put_u64(ids, fold->ids[i].code);
    }
    out->id = fold->ids[0].id;
    out->num[FIELD_FOLDED] = fold->count;
    out->text[FIELD_LAST_IDS] = buf_slice(ids);
    out->text[FIELD_REASON] = slice_of(fold->reason, fold->reason_len);
    out->text[FIELD_SENDER] = slice_of(fold->sender, fold->sender_len);
    out->has = 1u << FIELD_FOLDED | 1u << FIELD_LAST_IDS;
    out->has |= fold->reason_len > 0 ? 1u << FIELD_REASON : 0;
    out->has |= fold->sender_len > 0 ? 1u << FIELD_SENDER : 0;
}
