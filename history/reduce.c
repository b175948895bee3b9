/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reduce.c - addresses become `~hash@domain` or `@domain`.
 */
#include "history/reduce.h"
#include "core/crypto.h"

enum { HASH_HEX = 16, NETWORK_V4_BITS = 24, NETWORK_V6_BITS = 48 };

static bool is_hashed(struct slice local)
{
    if (local.len != 1 + HASH_HEX || local.ptr[0] != '~') {
        return false;
    }
    for (size_t i = 1; i < local.len; i++) {
        if (!ascii_is_digit(local.ptr[i]) && (local.ptr[i] < 'a' || local.ptr[i] > 'f')) {
            return false;
        }
    }
    return true;
}

/* Lower case first: Anna@ and anna@ are one correspondent. */
static void put_hash(struct buf *out, struct slice address, struct slice hash_key)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t mac[SHA256_LEN];
    char lower[RECORD_TEXT_MAX];

    address = slice_take(address, sizeof(lower));
    for (size_t i = 0; i < address.len; i++) {
        lower[i] = ascii_lower(address.ptr[i]);
    }
    hmac_sha256(hash_key, slice_of(lower, address.len), mac);
    buf_put_char(out, '~');
    for (size_t i = 0; i < HASH_HEX / 2; i++) {
        buf_put_char(out, hex[mac[i] >> 4]);
        buf_put_char(out, hex[mac[i] & 15]);
    }
}

struct slice reduce_address(struct slice address, enum history_addresses how, struct slice hash_key,
                            struct arena *arena)
{
    size_t at = slice_rfind(address, '@');
    struct slice local = slice_take(address, at);
    char mem[1 + HASH_HEX + RECORD_TEXT_MAX + 1];
    struct buf b;

    if (how == HISTORY_ADDRESSES_FULL || slice_empty(local) || is_hashed(local)) {
        return address;
    }
    if (how == HISTORY_ADDRESSES_DOMAIN) {
        return slice_skip(address, at);
    }
    buf_init_fixed(&b, mem, sizeof(mem));
    put_hash(&b, address, hash_key);
    buf_put_slice(&b, slice_take(slice_skip(address, at), RECORD_TEXT_MAX - 1 - HASH_HEX));
    return arena_slice(arena, buf_slice(&b));
}

struct addr reduce_network(const struct addr *client)
{
    return addr_network(client, NETWORK_V4_BITS, NETWORK_V6_BITS);
}

void reduce_record(struct record *r, enum history_addresses how, struct slice hash_key, struct arena *arena)
{
    if (how == HISTORY_ADDRESSES_FULL) {
        return;
    }
    for (unsigned f = 1; f < FIELD_COUNT; f++) {
        if (!record_has(r, (enum field_id)f)) {
            continue;
        }
        if (field_table[f].cls == FIELD_CLASS_ADDRESS) {
            r->text[f] = reduce_address(r->text[f], how, hash_key, arena);
        } else if (field_table[f].cls == FIELD_CLASS_TEXT) {
            r->has &= ~(1u << f);
        }
    }
    for (size_t i = 0; i < r->item_count; i++) {
        struct item *item = &r->items[i];

        if (item->type == ITEM_ADDRESS) {
            item->text = reduce_address(item->text, how, hash_key, arena);
        } else if (item->type == ITEM_TEXT) {
            item->text = SLICE_NONE;
        }
    }
    if (r->client.family != ADDR_NONE) {
        r->client = reduce_network(&r->client);
    }
}
