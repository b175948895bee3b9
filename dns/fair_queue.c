/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair_queue.c - sites that take turns; see fair_queue.h.
 *
 * The public suffix list names every registry, but it is a dependency that becomes outdated.  It also lists hosting
 * domains (github.io), below which an attacker can have any number of names.  We need many sites to cost an attacker
 * money; a site that is too large only makes its owners wait while all slots are taken.  So we recognise only labels
 * that country registries reserve, and no label merely because it is short: an attacker could buy a domain of three
 * letters and get a thousand sites.
 * Used only while all slots are taken.  Owns the sites: a site exists as long as one of its questions waits.
 */
#include "dns/fair_queue.h"

#define LABELS_MAX 128 /* of a name of 255 octets */

struct site {
    struct table_entry entry;
    struct list_node order;
    struct list_node waiting; /* struct fair_turn.node, the oldest first */
    char key[];
};

static bool ends_in(const struct wire_name *name, struct slice zone)
{
    return name->len >= zone.len && memcmp(name->octets + name->len - zone.len, zone.ptr, zone.len) == 0;
}

/* Is this label, before a country label, a registry for other domains: co.uk, com.au, or.jp? */
static bool is_registry(struct slice label)
{
    static const struct slice words[] = {
        SLICE_INIT("\2ac"),   SLICE_INIT("\2co"),  SLICE_INIT("\3com"), SLICE_INIT("\3edu"),
        SLICE_INIT("\2go"),   SLICE_INIT("\3gob"), SLICE_INIT("\3gov"), SLICE_INIT("\4gouv"),
        SLICE_INIT("\4govt"), SLICE_INIT("\3ltd"), SLICE_INIT("\3mil"), SLICE_INIT("\2ne"),
        SLICE_INIT("\3net"),  SLICE_INIT("\3nom"), SLICE_INIT("\2or"),  SLICE_INIT("\3org"),
        SLICE_INIT("\3sch"),
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq(label, words[i])) {
            return true;
        }
    }
    return false;
}

static size_t labels_of_site(const struct wire_name *name, const uint8_t *start, size_t labels)
{
    const uint8_t *last, *second;

    if (ends_in(name, SLICE("\7in-addr\4arpa\0"))) {
        return 4; /* a /16 */
    }
    if (ends_in(name, SLICE("\3ip6\4arpa\0"))) {
        return 10; /* a /32 */
    }
    if (labels < 3) {
        return 2;
    }
    last = name->octets + start[labels - 1];
    second = name->octets + start[labels - 2];
    return last[0] == 2 && is_registry(slice_of(second, (size_t)(last - second))) ? 3 : 2;
}

/* The last labels of a name, in wire form. */
static struct slice site_of(const struct wire_name *name)
{
    size_t wanted, labels = 0, at, from;
    uint8_t start[LABELS_MAX];

    for (at = 0; at < name->len && name->octets[at] != 0 && labels < LABELS_MAX;
         at += 1u + name->octets[at]) {
        start[labels++] = (uint8_t)at;
    }
    wanted = labels_of_site(name, start, labels);
    from = labels > wanted ? start[labels - wanted] : 0;
    return slice_of(name->octets + from, name->len - from);
}

static struct site *find_or_make(struct fair_queue *q, struct slice key)
{
    struct table_entry *e = table_find(&q->sites, key);
    struct site *s;

    if (e != NULL) {
        return container_of(e, struct site, entry);
    }
    s = xcalloc(1, sizeof(*s) + key.len);
    memcpy(s->key, key.ptr, key.len);
    list_init(&s->waiting);
    list_node_init(&s->order);
    list_push_back(&q->order, &s->order);
    table_insert(&q->sites, &s->entry, slice_of(s->key, key.len));
    return s;
}

void fair_queue_init(struct fair_queue *q)
{
    *q = (struct fair_queue){ .len = 0 };
    table_init(&q->sites);
    list_init(&q->order);
}

void fair_queue_fini(struct fair_queue *q)
{
    BUG_ON(q->len != 0);
    table_fini(&q->sites);
}

void fair_queue_add(struct fair_queue *q, struct fair_turn *t, const struct wire_name *name, bool first)
{
    struct site *s;

    BUG_ON(t->site != NULL);
    s = find_or_make(q, site_of(name));
    t->site = s;
    list_node_init(&t->node);
    if (first) {
        list_push_front(&s->waiting, &t->node);
        list_remove(&s->order);
        list_push_front(&q->order, &s->order);
    } else {
        list_push_back(&s->waiting, &t->node);
    }
    q->len += 1;
}

struct fair_turn *fair_queue_next(struct fair_queue *q)
{
    struct fair_turn *t;
    struct site *s;

    if (list_empty(&q->order)) {
        return NULL;
    }
    s = container_of(q->order.next, struct site, order);
    t = container_of(s->waiting.next, struct fair_turn, node);
    list_remove(&s->order);
    list_push_back(&q->order, &s->order);
    fair_queue_drop(q, t);
    return t;
}

void fair_queue_drop(struct fair_queue *q, struct fair_turn *t)
{
    struct site *s = t->site;

    if (s == NULL) {
        return;
    }
    t->site = NULL;
    list_remove(&t->node);
    q->len -= 1;
    if (list_empty(&s->waiting)) {
        list_remove(&s->order);
        table_remove(&q->sites, &s->entry);
        free(s);
    }
}
