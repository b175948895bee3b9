/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_put.c - see proxy_put.h.
 */
#include "smtp/proxy_put.h"

/* ::ffff:192.0.2.1 */
static struct addr mapped(const struct addr *a)
{
    struct addr m = { .family = ADDR_V6, .port = a->port };

    if (a->family == ADDR_V4) {
        m.ip[10] = m.ip[11] = 0xff;
        memcpy(m.ip + 12, a->ip, 4);
    } else {
        memcpy(m.ip, a->ip, sizeof(m.ip));
    }
    return m;
}

static void put_v1(struct buf *out, const struct addr *from, const struct addr *to)
{
    buf_put_str(out, from->family == ADDR_V4 ? "PROXY TCP4 " : "PROXY TCP6 ");
    addr_put_ip(out, from);
    buf_put_char(out, ' ');
    addr_put_ip(out, to);
    buf_putf(out, " %u %u\r\n", from->port, to->port);
}

static void put_u16(struct buf *out, unsigned n)
{
    buf_put_char(out, (char)(n >> 8 & 0xff));
    buf_put_char(out, (char)(n & 0xff));
}

/* Writes signature, version and command, family, length, then addresses and ports in network order. */
static void put_v2(struct buf *out, const struct addr *from, const struct addr *to)
{
    size_t octets = from->family == ADDR_V4 ? 4 : 16;

    buf_put(out, "\r\n\r\n\0\r\nQUIT\n", 12);
    buf_put_char(out, 0x21);
    buf_put_char(out, from->family == ADDR_V4 ? 0x11 : 0x21);
    put_u16(out, (unsigned)(2 * octets + 4));
    buf_put(out, from->ip, octets);
    buf_put(out, to->ip, octets);
    put_u16(out, from->port);
    put_u16(out, to->port);
}

void proxy_put(struct buf *out, unsigned version, const struct addr *from, const struct addr *to)
{
    struct addr a = *from, b = *to;

    if (b.family == ADDR_NONE) {
        b.family = a.family; /* 0.0.0.0 or :: */
    }
    if (a.family != b.family) {
        a = mapped(&a);
        b = mapped(&b);
    }
    if (version == 2) {
        put_v2(out, &a, &b);
    } else {
        put_v1(out, &a, &b);
    }
}
