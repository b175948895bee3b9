/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.h - intrusive doubly linked list.
 *
 * A node on no list points to itself, so list_remove() is idempotent and list_linked() works.  Initialise
 * every node with list_node_init() (or LIST_HEAD_INIT) before its first use.
 */
#ifndef CORE_LIST_H
#define CORE_LIST_H

#include "core/base.h"

struct list_node {
    struct list_node *prev, *next;
};

/* The head of a list is a node too. */
#define list_init(head) list_node_init(head)

static inline void list_node_init(struct list_node *n)
{
    n->prev = n->next = n;
}

static inline bool list_linked(const struct list_node *n)
{
    return n->next != n;
}

static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline void list_insert_before(struct list_node *at, struct list_node *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void list_push_back(struct list_node *head, struct list_node *n)
{
    list_insert_before(head, n);
}

static inline void list_push_front(struct list_node *head, struct list_node *n)
{
    list_insert_before(head->next, n);
}

static inline void list_remove(struct list_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_node_init(n);
}

/* Removes and returns the first node; NULL if the list is empty. */
static inline struct list_node *list_pop(struct list_node *head)
{
    struct list_node *n = head->next;

    if (n == head) {
        return NULL;
    }
    list_remove(n);
    return n;
}

/* Moves everything from `from` to the empty list `to` (L6: deliver from a local head). */
static inline void list_move_all(struct list_node *from, struct list_node *to)
{
    list_init(to);
    if (list_empty(from)) {
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

/* The body may remove the current node, but no other. */
#define LIST_EACH(head, n, tmp)                                                                              \
    for ((n) = (head)->next, (tmp) = (n)->next; (n) != (head); (n) = (tmp), (tmp) = (n)->next)

#endif
