/*
 * turns.c - sites that take turns; see turns.h.
 *
 * Only used while the wire is full.  Owns the sites: one exists as long as a question of it waits.
 */
#include "dns/turns.h"

#define LABELS_MAX 128 /* of a name of 255 octets */

struct site {
    struct table_entry entry;
    struct list_node order;
    struct list_node waiting; /* struct turn.node, the oldest first */
    char key[];
};

static bool ends_in(const struct wire_name *name, struct slice zone)
{
    return name->len >= zone.len && memcmp(name->octets + name->len - zone.len, zone.ptr, zone.len) == 0;
}

static size_t labels_of_site(const struct wire_name *name)
{
    if (ends_in(name, SLICE("\7in-addr\4arpa\0")))
        return 4;                                          /* a /16 */
    return ends_in(name, SLICE("\3ip6\4arpa\0")) ? 10 : 2; /* a /32 */
}

/* The last labels of a name, in wire form. */
static struct slice site_of(const struct wire_name *name)
{
    size_t wanted = labels_of_site(name), labels = 0, at, from;
    uint8_t start[LABELS_MAX];

    for (at = 0; at < name->len && name->octets[at] != 0 && labels < LABELS_MAX; at += 1u + name->octets[at])
        start[labels++] = (uint8_t)at;
    from = labels > wanted ? start[labels - wanted] : 0;
    return slice_of(name->octets + from, name->len - from);
}

static struct site *find_or_make(struct turns *q, struct slice key)
{
    struct table_entry *e = table_find(&q->sites, key);
    struct site *s;

    if (e != NULL)
        return container_of(e, struct site, entry);
    s = xcalloc(1, sizeof(*s) + key.len);
    memcpy(s->key, key.ptr, key.len);
    list_init(&s->waiting);
    list_node_init(&s->order);
    list_push_back(&q->order, &s->order);
    table_insert(&q->sites, &s->entry, slice_of(s->key, key.len));
    return s;
}

void turns_init(struct turns *q)
{
    *q = (struct turns){ .len = 0 };
    table_init(&q->sites);
    list_init(&q->order);
}

void turns_fini(struct turns *q)
{
    BUG_ON(q->len != 0);
    table_fini(&q->sites);
}

void turns_add(struct turns *q, struct turn *t, const struct wire_name *name, bool first)
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

struct turn *turns_next(struct turns *q)
{
    struct turn *t;
    struct site *s;

    if (list_empty(&q->order))
        return NULL;
    s = container_of(q->order.next, struct site, order);
    t = container_of(s->waiting.next, struct turn, node);
    list_remove(&s->order);
    list_push_back(&q->order, &s->order);
    turns_drop(q, t);
    return t;
}

void turns_drop(struct turns *q, struct turn *t)
{
    struct site *s = t->site;

    if (s == NULL)
        return;
    t->site = NULL;
    list_remove(&t->node);
    q->len -= 1;
    if (list_empty(&s->waiting)) {
        list_remove(&s->order);
        table_remove(&q->sites, &s->entry);
        free(s);
    }
}
