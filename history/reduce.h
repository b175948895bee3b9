/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reduce.h - privacy: what the store keeps of addresses (`state.history.addresses`, `full_addresses`).
 *
 *     full      everything
 *     hash      a local part becomes `~` and 16 hex digits of an HMAC of the address with state.hash_key.  A known
 *               address is still found, and groups still match; nobody without the key can read who wrote to whom.
 *     domain    a local part is dropped: `@domain`
 *
 * Reply texts and tags may quote an address, so hash and domain drop them; Message-ID and ORCPT are treated as
 * addresses.  Client addresses are never hashed: hash and domain cut them to their /24 or /48.
 */
#ifndef HISTORY_REDUCE_H
#define HISTORY_REDUCE_H

#include "core/arena.h"
#include "history/record.h"

enum history_addresses { HISTORY_ADDRESSES_FULL = 0, HISTORY_ADDRESSES_DOMAIN, HISTORY_ADDRESSES_HASH };

/*
 * Reduces r in place; new texts are in the arena, and a text that finds no room there is dropped.  Reducing twice
 * changes nothing.  A local part alone (an ITEM_ADDRESS without `@`) is hashed without a domain.
 */
void reduce_record(struct record *r, enum history_addresses how, struct slice hash_key, struct arena *arena);

/* An address as `how` keeps it; empty if there is no room. */
struct slice reduce_address(struct slice address, enum history_addresses how, struct slice hash_key,
                            struct arena *arena);

/* The network that stands for a client: /24 or /48. */
struct addr reduce_network(const struct addr *client);

#endif
