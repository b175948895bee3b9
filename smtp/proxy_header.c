/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_header.c - the parser of PROXY v1 lines and v2 blocks.
 *
 * A header may arrive in pieces, so each step first checks whether the octets so far can still become one.  The
 * first octet that cannot belong to a header ends the parse (PXY-06).  The parser checks the lengths of TLVs, because a
 * block whose parts do not add up is not a header, and ignores their content (PXY-15).
 */
#include "smtp/proxy_header.h"

#include <netinet/in.h>

static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";
#define V2_SIGNATURE_LEN 12
static const struct slice v1_start = SLICE_INIT("PROXY ");

enum { /* octets of v2 after the signature: version and command, then family and protocol */
       V2_LOCAL = 0x20,
       V2_PROXY = 0x21,
       V2_UNSPEC = 0x00,
       V2_TCP4 = 0x11,
       V2_TCP6 = 0x21,
};

#define V2_TCP4_LEN 12
#define V2_TCP6_LEN 36
#define TLV_HEAD 3

/* Is either one the beginning of the other? */
static bool agrees(struct slice in, struct slice start)
{
    return in.len < start.len ? slice_starts(start, in) : slice_starts(in, start);
}

/* ---- version 1 ---- */

/* Parses a number without sign and leading zeros. */
static bool parse_port(struct slice text, uint16_t *port)
{
    uint64_t n;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[0] == '0') ||
        !slice_to_u64(text, 65535, &n)) {
        return false;
    }
    *port = (uint16_t)n;
    return true;
}

static bool parse_v1_ip(struct slice text, bool v6, struct addr *out)
{
    bool has_colon = slice_find(text, ':') < text.len;

    return has_colon == v6 && addr_parse_ip(text, out);
}

/* Parses "192.0.2.1 192.0.2.2 56324 25": exactly one blank between parts, nothing before or after. */
static bool parse_v1_addresses(struct slice text, bool v6, struct proxy_header *out)
{
    struct slice word[4];

    for (size_t i = 0; i < 3; i++) {
        if (slice_find(text, ' ') == text.len) {
            return false;
        }
        word[i] = slice_cut(&text, ' ');
    }
    word[3] = text;
    out->announced = true;
    return parse_v1_ip(word[0], v6, &out->source) && parse_v1_ip(word[1], v6, &out->destination) &&
           parse_port(word[2], &out->source.port) && parse_port(word[3], &out->destination.port);
}

static bool parse_v1_line(struct slice line, struct proxy_header *out)
{
    struct slice rest = slice_skip(line, v1_start.len);

    if (slice_starts(rest, SLICE("TCP4 "))) {
        return parse_v1_addresses(slice_skip(rest, 5), false, out);
    }
    if (slice_starts(rest, SLICE("TCP6 "))) {
        return parse_v1_addresses(slice_skip(rest, 5), true, out);
    }
    return slice_eq(rest, SLICE("UNKNOWN")) || slice_starts(rest, SLICE("UNKNOWN "));
}

static enum proxy_status parse_v1(struct slice in, struct proxy_header *out, size_t *used)
{
    struct slice line = slice_take(in, PROXY_V1_MAX);
    size_t end = slice_find(line, '\n');

    if (end == line.len) {
        size_t cr = slice_find(line, '\r');

        return in.len >= PROXY_V1_MAX || cr + 1 < line.len ? PROXY_BAD : PROXY_MORE;
    }
    if (slice_find(line, '\r') + 1 != end || !parse_v1_line(slice_take(line, end - 1), out)) {
        return PROXY_BAD;
    }
    *used = end + 1;
    return PROXY_DONE;
}

/* ---- version 2 ---- */

static size_t u16_at(struct slice s, size_t at)
{
    return (size_t)(unsigned char)s.ptr[at] << 8 | (unsigned char)s.ptr[at + 1];
}

static bool tlvs_add_up(struct slice tlvs)
{
    while (tlvs.len >= TLV_HEAD) {
        size_t len = u16_at(tlvs, 1);

        if (len > tlvs.len - TLV_HEAD) {
            return false;
        }
        tlvs = slice_skip(tlvs, TLV_HEAD + len);
    }
    return tlvs.len == 0;
}

static struct addr v4_at(struct slice block, size_t ip, size_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET };

    memcpy(&sa.sin_addr, block.ptr + ip, sizeof(sa.sin_addr));
    memcpy(&sa.sin_port, block.ptr + port, sizeof(sa.sin_port));
    return addr_from_sockaddr((const struct sockaddr *)&sa);
}

static struct addr v6_at(struct slice block, size_t ip, size_t port)
{
    struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };

    memcpy(&sa.sin6_addr, block.ptr + ip, sizeof(sa.sin6_addr));
    memcpy(&sa.sin6_port, block.ptr + port, sizeof(sa.sin6_port));
    return addr_from_sockaddr((const struct sockaddr *)&sa);
}

/* Can the octets received after the signature belong to a header that we accept? */
static bool v2_head_good(struct slice in)
{
    unsigned command = in.len > 12 ? (unsigned char)in.ptr[12] : V2_LOCAL;
    unsigned family = in.len > 13 ? (unsigned char)in.ptr[13] : V2_UNSPEC;

    if (command == V2_LOCAL) {
        return true; /* LOCAL: any family and length */
    }
    return command == V2_PROXY && (family == V2_UNSPEC || family == V2_TCP4 || family == V2_TCP6);
}

static bool parse_v2_block(struct slice block, unsigned family, struct proxy_header *out)
{
    size_t addresses = family == V2_TCP4 ? V2_TCP4_LEN : family == V2_TCP6 ? V2_TCP6_LEN : 0;

    if (block.len < addresses) {
        return false;
    }
    if (family == V2_TCP4) {
        out->source = v4_at(block, 0, 8);
        out->destination = v4_at(block, 4, 10);
    } else if (family == V2_TCP6) {
        out->source = v6_at(block, 0, 32);
        out->destination = v6_at(block, 16, 34);
    } else {
        return true; /* UNSPEC: ignore the content */
    }
    out->announced = true;
    return tlvs_add_up(slice_skip(block, addresses));
}

static enum proxy_status parse_v2(struct slice in, struct proxy_header *out, size_t *used)
{
    size_t len;

    if (!v2_head_good(in)) {
        return PROXY_BAD;
    }
    if (in.len < PROXY_V2_FIXED) {
        return PROXY_MORE;
    }
    len = u16_at(in, 14);
    if (len > PROXY_V2_MAX) {
        return PROXY_BAD;
    }
    if (in.len < PROXY_V2_FIXED + len) {
        return PROXY_MORE;
    }
    if ((unsigned char)in.ptr[12] == V2_PROXY &&
        !parse_v2_block(slice_take(slice_skip(in, PROXY_V2_FIXED), len), (unsigned char)in.ptr[13], out)) {
        return PROXY_BAD;
    }
    *used = PROXY_V2_FIXED + len;
    return PROXY_DONE;
}

enum proxy_status proxy_header_parse(struct slice in, struct proxy_header *out, size_t *used)
{
    struct slice signature = slice_of(v2_signature, V2_SIGNATURE_LEN);

    *out = (struct proxy_header){ .announced = false };
    *used = 0;
    if (in.len == 0) {
        return PROXY_MORE;
    }
    if (agrees(in, v1_start)) {
        return in.len < v1_start.len ? PROXY_MORE : parse_v1(in, out, used);
    }
    if (agrees(in, signature)) {
        return in.len < signature.len ? PROXY_MORE : parse_v2(in, out, used);
    }
    return PROXY_BAD;
}
