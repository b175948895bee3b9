/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.c - the table of kinds: which fields of a record give which hashes.
 */
#include "history/lookup.h"
#include "core/crypto.h"
#include "core/table.h"
#include "history/reduce.h"

void lookup_key_init(struct lookup_key *key, struct slice hash_key)
{
    uint8_t mac[SHA256_LEN];

    hmac_sha256(hash_key, SLICE("glacis history lookups 1"), mac);
    memcpy(key->sip, mac, sizeof(key->sip));
}

uint64_t lookup_hash(const struct lookup_key *key, enum lookup_kind kind, struct slice value)
{
    char text[RECORD_TEXT_MAX + 1];

    value = slice_take(value, RECORD_TEXT_MAX);
    text[0] = (char)kind;
    for (size_t i = 0; i < value.len; i++) {
        text[i + 1] = ascii_lower(value.ptr[i]);
    }
    return siphash(key->sip, text, value.len + 1);
}

uint64_t lookup_hash_ip(const struct lookup_key *key, enum lookup_kind kind, const struct addr *ip)
{
    uint8_t octets[18] = { (uint8_t)kind, ip->family };

    memcpy(octets + 2, ip->ip, sizeof(ip->ip));
    return siphash(key->sip, octets, sizeof(octets));
}

struct slice lookup_domain(struct slice address)
{
    return slice_skip(address, slice_rfind(address, '@') + 1);
}

/* A row has few hashes, and most of its recipients share a domain: the newest are compared first. */
static void add(struct lookup_set *set, uint64_t hash)
{
    for (size_t i = set->len; i-- > 0;) {
        if (set->hash[i] == hash) {
            return;
        }
    }
    if (set->len < LOOKUP_SET_MAX) {
        set->hash[set->len++] = hash;
    }
}

static void add_text(struct lookup_set *set, const struct lookup_key *key, enum lookup_kind kind,
                     struct slice text)
{
    if (!slice_empty(text)) {
        add(set, lookup_hash(key, kind, text));
    }
}

static void add_id(struct lookup_set *set, const struct lookup_key *key, const struct record_id *id)
{
    char ulid[RECORD_ULID_TEXT];

    record_id_ulid_text(id, ulid);
    add_text(set, key, LOOKUP_ENDING,
             slice_of(ulid + RECORD_ULID_TEXT - RECORD_ID_ENDING_MIN, RECORD_ID_ENDING_MIN));
}

/* The ids of folded records: "ULID.n=code ..." */
static void add_last_ids(struct lookup_set *set, const struct lookup_key *key, struct slice list)
{
    for (struct slice word = slice_token(&list); !slice_empty(word); word = slice_token(&list)) {
        struct record_id id;

        if (record_id_parse(slice_cut(&word, '='), &id)) {
            add_id(set, key, &id);
        }
    }
}

void lookup_add_record(struct lookup_set *set, const struct lookup_key *key, const struct record *r)
{
    static const struct {
        enum field_id field;
        enum lookup_kind kind;
    } addresses[] = { { FIELD_SENDER, LOOKUP_SENDER },
                      { FIELD_AUTHOR, LOOKUP_AUTHOR },
                      { FIELD_RECIPIENT, LOOKUP_RECIPIENT },
                      { FIELD_ORIGINAL, LOOKUP_RECIPIENT } };

    if (r->kind != RECORD_EARLY) { /* a folded record has no id of its own */
        add_id(set, key, &r->id);
    }
    if (r->client.family != ADDR_NONE) {
        struct addr network = reduce_network(&r->client);

        add(set, lookup_hash_ip(key, LOOKUP_CLIENT, &r->client));
        add(set, lookup_hash_ip(key, LOOKUP_NETWORK, &network));
    }
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct slice address = record_field(r, addresses[i].field);

        add_text(set, key, addresses[i].kind, address);
        add_text(set, key, LOOKUP_DOMAIN, lookup_domain(address));
    }
    add_text(set, key, LOOKUP_MESSAGE_ID, record_field(r, FIELD_MESSAGE_ID));
    add_last_ids(set, key, record_field(r, FIELD_LAST_IDS));
}
