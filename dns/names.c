/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c - DNS names as text.
 *
 * Pure.  Every function appends to a buf whose maximum the caller sets.  A caller that must detect overflow
 * checks buf_ok() at the end.
 */
#include "dns/names.h"

#define LABEL_MAX 63

static const char hex_digits[] = "0123456789abcdef";

static struct slice without_final_dot(struct slice name)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len -= 1;
    }
    return name;
}

bool dns_name_legal(struct slice name)
{
    struct slice rest = without_final_dot(name);
    size_t label = 0;

    if (rest.len == 0 || rest.len > DNS_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] != '.') {
            label += 1;
        } else if (label == 0) {
            return false;
        } else {
            label = 0;
        }
        if (label > LABEL_MAX) {
            return false;
        }
    }
    return label > 0;
}

static void put_lower(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        buf_put_char(out, ascii_lower(text.ptr[i]));
    }
}

bool dns_put_name(struct buf *out, struct slice name)
{
    if (!dns_name_legal(name)) {
        return false;
    }
    put_lower(out, without_final_dot(name));
    return buf_ok(out);
}

/* Appends the labels of the address, last part first, each followed by a dot. */
static void put_reversed_labels(struct buf *out, const struct addr *ip)
{
    if (ip->family == ADDR_V4) {
        struct addr back = { .family = ADDR_V4, .ip = { ip->ip[3], ip->ip[2], ip->ip[1], ip->ip[0] } };

        addr_put_ip(out, &back);
        buf_put_char(out, '.');
    } else if (ip->family == ADDR_V6) {
        for (size_t i = 16; i > 0; i--) {
            buf_put_char(out, hex_digits[ip->ip[i - 1] & 15]);
            buf_put_char(out, '.');
            buf_put_char(out, hex_digits[ip->ip[i - 1] >> 4]);
            buf_put_char(out, '.');
        }
    }
}

void dns_put_reverse(struct buf *out, const struct addr *ip)
{
    put_reversed_labels(out, ip);
    if (ip->family == ADDR_V4) {
        buf_put_str(out, "in-addr.arpa");
    } else if (ip->family == ADDR_V6) {
        buf_put_str(out, "ip6.arpa");
    }
}

/* Appends the zone; true if the text appended since `start` is a legal name. */
static bool finish_list_name(struct buf *out, size_t start, struct slice zone)
{
    put_lower(out, without_final_dot(zone));
    return buf_ok(out) && dns_name_legal(slice_skip(buf_slice(out), start));
}

bool dns_put_list_name(struct buf *out, const struct addr *ip, struct slice zone)
{
    size_t start = out->len;

    if (ip->family == ADDR_NONE || !dns_name_legal(zone)) {
        return false;
    }
    put_reversed_labels(out, ip);
    return finish_list_name(out, start, zone);
}

bool dns_put_domain_list_name(struct buf *out, struct slice domain, struct slice zone)
{
    size_t start = out->len;

    if (!dns_name_legal(domain) || !dns_name_legal(zone)) {
        return false;
    }
    put_lower(out, without_final_dot(domain));
    buf_put_char(out, '.');
    return finish_list_name(out, start, zone);
}
