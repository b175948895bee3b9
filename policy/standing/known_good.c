/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known_good.c - good standing: accepted on so many days, with no refusal since.
 *
 * Standing belongs to identities that no other client can have: a domain whose SPF record names its senders, and the
 * exact address with its own name.  It does not extend to neighbours in a network or machines of one owner: a
 * hoster's customers share both.  A refusal because of the content or the sender ends it.
 */
#include "policy/standing/standing.h"

#include "core/table.h"

#define DAY_S 86400
#define ESTABLISHED_S (7 * DAY_S)

bool known_good_is(const struct config_known_good *s, const struct memory_record *r, int64_t now_s)
{
    int64_t today = now_s / DAY_S, oldest = today - (int64_t)(s->within_s / DAY_S);
    unsigned days = 0, messages = 0;

    if (!r->known || !r->found || r->standing.since_s == 0) {
        return false;
    }
    for (size_t i = 0; i < MEMORY_DAYS; i++) {
        if (r->standing.day[i] != 0 && (int64_t)r->standing.day[i] >= oldest) {
            days++;
            messages += r->standing.count[i];
        }
    }
    return s->messages > 0 && days >= s->days && messages >= s->messages;
}

bool known_good_is_established(const struct config_known_good *s, const struct memory_record *r,
                               int64_t history_s, int64_t now_s)
{
    int64_t need = ESTABLISHED_S;

    if (history_s > 0 && (now_s - history_s) / 2 < need) {
        need = (now_s - history_s) / 2;
    }
    return known_good_is(s, r, now_s) && now_s - (int64_t)r->standing.since_s >= need;
}

struct memory_key standing_key_host(const struct addr *ip, struct slice name)
{
    struct addr client = addr_client(ip);
    char mem[ADDR_TEXT_MAX + 256];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    addr_put_ip(&b, &client);
    buf_put_char(&b, '\n');
    buf_put_slice(&b, slice_take(name, 253));
    return memory_key(MEMORY_HOST, buf_slice(&b));
}

struct memory_key standing_key_address(const struct addr *ip)
{
    return standing_key_host(ip, SLICE_NONE);
}

struct memory_key standing_key_network(const struct addr *ip)
{
    struct addr net = addr_network(ip, 24, 64);
    char mem[ADDR_TEXT_MAX];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    addr_put_ip(&b, &net);
    return memory_key(MEMORY_CLIENT, buf_slice(&b));
}

uint32_t standing_key_network_hash(const struct addr *ip)
{
    static const uint64_t fixed[2] = { 0x676c61636973ULL, 0x6e6574776f726bULL }; /* only within one record */
    struct addr net = addr_network(ip, 24, 48);
    uint32_t hash = (uint32_t)siphash(fixed, net.ip, sizeof(net.ip));

    return hash != 0 ? hash : 1;
}

struct slice standing_key_owner(struct slice host)
{
    size_t last = slice_rfind(host, '.'), second, third;
    struct slice middle;

    if (last >= host.len) {
        return host;
    }
    second = slice_rfind(slice_take(host, last), '.');
    if (second >= last) {
        return host; /* two labels */
    }
    middle = slice_of(host.ptr + second + 1, last - second - 1);
    if (middle.len > 3 || host.len - last - 1 != 2) {
        return slice_skip(host, second + 1);
    }
    third = slice_rfind(slice_take(host, second), '.');
    return third >= second ? host : slice_skip(host, third + 1);
}
