/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr.c - addresses and networks: parsing, formatting, comparing.
 *
 * Parsing is strict: no leading zeros, no zones, no short forms of IPv4, a port only in an endpoint.  An IPv4-mapped
 * IPv6 address (RFC 4291 2.5.5.2) becomes IPv4 at every entry point.  Texts follow RFC 5952.
 */
#include "core/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static unsigned bits_of(uint8_t family)
{
    return family == ADDR_V4 ? 32 : family == ADDR_V6 ? 128 : 0;
}

static bool is_mapped(const uint8_t ip[16])
{
    static const uint8_t prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

    return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

static struct addr from_v4(const void *ip, uint16_t port)
{
    struct addr a = { .family = ADDR_V4, .port = port };

    memcpy(a.ip, ip, 4);
    return a;
}

static struct addr from_v6(const uint8_t ip[16], uint16_t port)
{
    struct addr a = { .family = ADDR_V6, .port = port };

    if (is_mapped(ip)) {
        return from_v4(ip + 12, port);
    }
    memcpy(a.ip, ip, 16);
    return a;
}

struct addr addr_from_sockaddr(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof(in));
        return from_v4(&in.sin_addr, ntohs(in.sin_port));
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof(in6));
        return from_v6(in6.sin6_addr.s6_addr, ntohs(in6.sin6_port));
    }
    return (struct addr){ .family = ADDR_NONE };
}

struct addr addr_of_socket(int fd)
{
    struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(sa);

    (void)getsockname(fd, (struct sockaddr *)&sa, &len);
    return addr_from_sockaddr((struct sockaddr *)&sa);
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (a->family == ADDR_V4) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };

        memcpy(&in.sin_addr, a->ip, 4);
        memcpy(out, &in, sizeof(in));
        return sizeof(in);
    }
    if (a->family == ADDR_V6) {
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };

        memcpy(&in6.sin6_addr, a->ip, 16);
        memcpy(out, &in6, sizeof(in6));
        return sizeof(in6);
    }
    return 0;
}

/* Parses without unmapping: a mapped address stays IPv6. */
static bool parse_exact(struct slice text, struct addr *out)
{
    char copy[INET6_ADDRSTRLEN];
    bool v6 = slice_find(text, ':') < text.len;

    *out = (struct addr){ .family = ADDR_NONE };
    if (text.len == 0 || text.len >= sizeof(copy) || slice_find(text, '\0') < text.len) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(v6 ? AF_INET6 : AF_INET, copy, out->ip) != 1) {
        *out = (struct addr){ .family = ADDR_NONE };
        return false;
    }
    out->family = v6 ? ADDR_V6 : ADDR_V4;
    return true;
}

bool addr_parse_ip(struct slice text, struct addr *out)
{
    bool ok = parse_exact(text, out);

    if (ok && out->family == ADDR_V6) {
        *out = from_v6(out->ip, 0);
    }
    return ok;
}

bool addr_parse_endpoint(struct slice text, struct addr *out)
{
    size_t colon = slice_rfind(text, ':');
    struct slice host = slice_take(text, colon);
    uint64_t port;
    bool bracket = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';

    *out = (struct addr){ .family = ADDR_NONE };
    if (colon == text.len || !slice_to_u64(slice_skip(text, colon + 1), 65535, &port)) {
        return false;
    }
    if (bracket) {
        host = slice_of(host.ptr + 1, host.len - 2);
    }
    /* brackets if and only if IPv6: "2001:db8::1:25" is ambiguous */
    if (bracket != (slice_find(host, ':') < host.len) || !addr_parse_ip(host, out)) {
        return false;
    }
    out->port = (uint16_t)port;
    return true;
}

/* Clears everything behind the first `bits` bits. */
static void clear_host(uint8_t ip[16], unsigned bits)
{
    unsigned whole = bits / 8;

    if (whole < 16) {
        ip[whole] &= (uint8_t)(0xff00 >> bits % 8);
        memset(ip + whole + 1, 0, 15 - whole);
    }
}

bool cidr_parse(struct slice text, struct cidr *out)
{
    struct slice rest = text;
    struct slice ip = slice_cut(&rest, '/');
    struct addr a, net;
    uint64_t bits;

    *out = (struct cidr){ .bits = 0 };
    if (!parse_exact(ip, &a)) {
        return false;
    }
    bits = bits_of(a.family);
    if (ip.len < text.len && (rest.len > 3 || !slice_to_u64(rest, bits, &bits))) {
        return false;
    }
    net = a;
    clear_host(net.ip, (unsigned)bits);
    if (!addr_same_ip(&net, &a)) {
        return false;
    }
    if (a.family == ADDR_V6 && is_mapped(a.ip) && bits >= 96) {
        net = from_v6(a.ip, 0);
        bits -= 96;
    }
    out->base = net;
    out->bits = (uint8_t)bits;
    return true;
}

bool cidr_contains(const struct cidr *net, const struct addr *a)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (net->base.family != a->family || a->family == ADDR_NONE) {
        return false;
    }
    if (memcmp(net->base.ip, a->ip, whole) != 0) {
        return false;
    }
    return rest == 0 || ((net->base.ip[whole] ^ a->ip[whole]) >> (8 - rest)) == 0;
}

/* With a single put, for speed: each message writes an address several times. */
static void put_v4(struct buf *b, const uint8_t ip[4])
{
    char text[INET_ADDRSTRLEN];
    size_t len = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (ip[i] >= 100) {
            text[len++] = (char)('0' + ip[i] / 100);
        }
        if (ip[i] >= 10) {
            text[len++] = (char)('0' + ip[i] / 10 % 10);
        }
        text[len++] = (char)('0' + ip[i] % 10);
        text[len++] = '.';
    }
    buf_put(b, text, len - 1);
}

void addr_put_ip(struct buf *b, const struct addr *a)
{
    char text[INET6_ADDRSTRLEN];

    if (a->family == ADDR_NONE) {
        buf_put_str(b, "unknown");
    } else if (a->family == ADDR_V4) {
        put_v4(b, a->ip);
    } else {
        BUG_ON(inet_ntop(AF_INET6, a->ip, text, sizeof(text)) == NULL);
        buf_put_str(b, text);
    }
}

void addr_put_literal(struct buf *b, const struct addr *a)
{
    buf_put_str(b, a->family == ADDR_V6 ? "[IPv6:" : "["); /* RFC 5321 4.1.3 */
    addr_put_ip(b, a);
    buf_put_char(b, ']');
}

void addr_put_endpoint(struct buf *b, const struct addr *a)
{
    if (a->family == ADDR_V6) {
        buf_put_char(b, '[');
    }
    addr_put_ip(b, a);
    buf_put_str(b, a->family == ADDR_V6 ? "]:" : ":");
    buf_put_u64(b, a->port);
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool addr_is_private(const struct addr *a)
{
    static const struct cidr nets[] = {
        { { ADDR_V4, 0, { 10 } }, 8 },          /* RFC 1918 */
        { { ADDR_V4, 0, { 172, 16 } }, 12 },    /* RFC 1918 */
        { { ADDR_V4, 0, { 192, 168 } }, 16 },   /* RFC 1918 */
        { { ADDR_V4, 0, { 127 } }, 8 },         /* RFC 1122 3.2.1.3 */
        { { ADDR_V4, 0, { 169, 254 } }, 16 },   /* RFC 3927 */
        { { ADDR_V4, 0, { 100, 64 } }, 10 },    /* RFC 6598 */
        { { ADDR_V6, 0, { [15] = 1 } }, 128 },  /* RFC 4291 2.5.3 */
        { { ADDR_V6, 0, { 0xfe, 0x80 } }, 10 }, /* RFC 4291 2.5.6 */
        { { ADDR_V6, 0, { 0xfc } }, 7 },        /* RFC 4193 */
    };

    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        if (cidr_contains(&nets[i], a)) {
            return true;
        }
    }
    return false;
}

struct addr addr_network(const struct addr *a, unsigned v4_bits, unsigned v6_bits)
{
    struct addr net = *a;

    net.port = 0;
    clear_host(net.ip, a->family == ADDR_V4 ? v4_bits : v6_bits);
    return net;
}

struct addr addr_client(const struct addr *a)
{
    return addr_network(a, 32, 64);
}
