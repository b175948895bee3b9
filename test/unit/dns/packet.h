/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.h - builds DNS messages for tests, right ones and wrong ones.
 *
 * Header only, all static: each test program is one source file.  Names are given as text with dots;
 * they are written without compression unless a pointer is asked for.
 */
#ifndef TEST_DNS_PACKET_H
#define TEST_DNS_PACKET_H

#include "core/buf.h"

#define PACKET_MAX 65535

struct packet {
    uint8_t octets[PACKET_MAX];
    size_t len;
};

static inline void pk_u8(struct packet *p, unsigned v)
{
    if (p->len < PACKET_MAX) {
        p->octets[p->len++] = (uint8_t)v;
    }
}

static inline void pk_u16(struct packet *p, unsigned v)
{
    pk_u8(p, v >> 8 & 255);
    pk_u8(p, v & 255);
}

static inline void pk_u32(struct packet *p, uint32_t v)
{
    pk_u16(p, v >> 16);
    pk_u16(p, v & 0xffff);
}

static inline void pk_raw(struct packet *p, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        pk_u8(p, ((const uint8_t *)data)[i]);
    }
}

static inline void pk_set_u16(struct packet *p, size_t at, unsigned v)
{
    p->octets[at] = (uint8_t)(v >> 8);
    p->octets[at + 1] = (uint8_t)v;
}

static inline void pk_add_u16(struct packet *p, size_t at)
{
    pk_set_u16(p, at, (unsigned)(p->octets[at] << 8 | p->octets[at + 1]) + 1);
}

/* "" is the root; "@" a pointer to the question. */
static inline void pk_name(struct packet *p, const char *text)
{
    struct slice rest = slice_str(text);

    if (slice_eq(rest, SLICE("@"))) {
        pk_u16(p, 0xc00c);
        return;
    }
    while (rest.len > 0) {
        struct slice label = slice_cut(&rest, '.');

        pk_u8(p, (unsigned)label.len);
        pk_raw(p, label.ptr, label.len);
    }
    pk_u8(p, 0);
}

/* Header with one question. */
static inline void pk_begin(struct packet *p, unsigned id, unsigned flags, const char *name, unsigned type)
{
    p->len = 0;
    pk_u16(p, id);
    pk_u16(p, flags);
    pk_u16(p, 1);
    pk_u16(p, 0);
    pk_u16(p, 0);
    pk_u16(p, 0);
    pk_name(p, name);
    pk_u16(p, type);
    pk_u16(p, 1);
}

enum pk_section { PK_ANSWER = 6, PK_AUTHORITY = 8, PK_ADDITIONAL = 10 };

/* Returns where the length of the data is, for pk_rr_end. */
static inline size_t pk_rr(struct packet *p, enum pk_section section, const char *owner, unsigned type,
                           uint32_t ttl)
{
    pk_add_u16(p, section);
    pk_name(p, owner);
    pk_u16(p, type);
    pk_u16(p, 1);
    pk_u32(p, ttl);
    pk_u16(p, 0);
    return p->len - 2;
}

static inline void pk_rr_end(struct packet *p, size_t at)
{
    pk_set_u16(p, at, (unsigned)(p->len - at - 2));
}

static inline void pk_a(struct packet *p, const char *owner, uint32_t ttl, uint32_t ip)
{
    size_t at = pk_rr(p, PK_ANSWER, owner, 1, ttl);

    pk_u32(p, ip);
    pk_rr_end(p, at);
}

static inline void pk_named(struct packet *p, const char *owner, unsigned type, uint32_t ttl,
                            const char *target)
{
    size_t at = pk_rr(p, PK_ANSWER, owner, type, ttl);

    if (type == 15) {
        pk_u16(p, 10);
    }
    pk_name(p, target);
    pk_rr_end(p, at);
}

static inline void pk_soa(struct packet *p, const char *owner, uint32_t ttl, uint32_t minimum)
{
    size_t at = pk_rr(p, PK_AUTHORITY, owner, 6, ttl);

    pk_name(p, "ns.test");
    pk_name(p, "root.test");
    for (int i = 0; i < 4; i++) {
        pk_u32(p, 1);
    }
    pk_u32(p, minimum);
    pk_rr_end(p, at);
}

static inline void pk_opt(struct packet *p, unsigned rcode_high)
{
    pk_add_u16(p, PK_ADDITIONAL);
    pk_u8(p, 0);
    pk_u16(p, 41);
    pk_u16(p, 1232);
    pk_u32(p, (uint32_t)rcode_high << 24);
    pk_u16(p, 0);
}

#endif
