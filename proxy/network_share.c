/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_share.c - connections by network; see network_share.h.
 */
#include "proxy/network_share.h"

#define V4_BITS 24
#define V6_BITS 48
#define KEY_LEN (1 + V6_BITS / 8)

struct network {
    struct table_entry entry;
    struct list_node link;
    size_t count;
    uint8_t key[KEY_LEN];
};

static struct slice key_of(const struct addr *client, uint8_t key[KEY_LEN])
{
    struct addr net = addr_network(client, V4_BITS, V6_BITS);

    key[0] = net.family;
    memcpy(key + 1, net.ip, KEY_LEN - 1);
    return slice_of(key, KEY_LEN);
}

static struct network *find(const struct network_share *n, const struct addr *client)
{
    uint8_t key[KEY_LEN];
    struct table_entry *e = table_find(&n->table, key_of(client, key));

    return e == NULL ? NULL : container_of(e, struct network, entry);
}

void network_share_init(struct network_share *n)
{
    table_init(&n->table);
    list_init(&n->all);
}

static void drop(struct network_share *n, struct network *net)
{
    table_remove(&n->table, &net->entry);
    list_remove(&net->link);
    free(net);
}

void network_share_fini(struct network_share *n)
{
    while (!list_empty(&n->all)) {
        drop(n, container_of(n->all.next, struct network, link));
    }
    table_fini(&n->table);
}

bool network_share_enter(struct network_share *n, const struct addr *client, size_t most)
{
    struct network *net = find(n, client);

    if (net != NULL && net->count >= most) {
        return false;
    }
    if (net == NULL) {
        net = xcalloc(1, sizeof(*net));
        list_node_init(&net->link);
        list_push_back(&n->all, &net->link);
        table_insert(&n->table, &net->entry, key_of(client, net->key));
    }
    net->count += 1;
    return true;
}

void network_share_leave(struct network_share *n, const struct addr *client)
{
    struct network *net = find(n, client);

    BUG_ON(net == NULL);
    net->count -= 1;
    if (net->count == 0) {
        drop(n, net);
    }
}
