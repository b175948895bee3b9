/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr.h - socket addresses and networks.
 *
 * An IPv4-mapped IPv6 address is IPv4 everywhere in glacis (addr_from_sockaddr unmaps it).
 */
#ifndef CORE_ADDR_H
#define CORE_ADDR_H

#include <sys/socket.h>

#include "core/buf.h"

enum addr_family {
    ADDR_NONE = 0, /* not set */
    ADDR_V4,
    ADDR_V6,
};

struct addr {
    uint8_t family; /* enum addr_family */
    uint16_t port;  /* host order; 0: no port */
    uint8_t ip[16]; /* network order; ADDR_V4 uses the first four, the others are 0 */
};

struct cidr {
    struct addr base; /* host bits are 0 */
    uint8_t bits;     /* 0..32 or 0..128 */
};

#define ADDR_TEXT_MAX 64 /* longest text any function here writes, NUL included */

struct addr addr_from_sockaddr(const struct sockaddr *sa); /* family NONE if unknown */
struct addr addr_of_socket(int fd);                        /* our end; family NONE if unknown */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);

/* "192.0.2.1" or "2001:db8::1"; no brackets, no port, no zone. */
bool addr_parse_ip(struct slice text, struct addr *out) MUST_USE;

/* "192.0.2.1:25", "[2001:db8::1]:25". */
bool addr_parse_endpoint(struct slice text, struct addr *out) MUST_USE;

/* "192.0.2.0/24", or an address alone (a /32 or /128).  Host bits must be 0. */
bool cidr_parse(struct slice text, struct cidr *out) MUST_USE;
bool cidr_contains(const struct cidr *net, const struct addr *a);

void addr_put_ip(struct buf *b, const struct addr *a);       /* 192.0.2.1, 2001:db8::1 */
void addr_put_literal(struct buf *b, const struct addr *a);  /* [192.0.2.1], [IPv6:2001:db8::1] */
void addr_put_endpoint(struct buf *b, const struct addr *a); /* 192.0.2.1:25, [2001:db8::1]:25 */

bool addr_same_ip(const struct addr *a, const struct addr *b); /* ports are ignored */

/* Private, loopback, link-local, unique-local, carrier-grade NAT (RFC 1918, 4193, 6598, 3927). */
bool addr_is_private(const struct addr *a);

/* The client as the limits count it: an IPv4 address or an IPv6 /64, port 0. */
struct addr addr_client(const struct addr *a);

/* The network of the given prefix length, port 0. */
struct addr addr_network(const struct addr *a, unsigned v4_bits, unsigned v6_bits);

#endif
