/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - DNS messages: encode a query, parse an answer.
 *
 * The encoder accepts any octets in a name.  The parser is bounded and pure: it puts its result into the caller's
 * arena and uses no clock and no socket.  It uses only records that answer the given question: their owner is the
 * queried name or the end of the CNAME chain that starts there.  It ignores all else in the message.
 *
 * RFC     1035 4 (messages), 2308 (negative answers), 2181 8 (TTL), 6840 5.7 (AD in a query), 6891 (EDNS)
 * Limits  WIRE_* below; a message beyond them is garbage, except that records over the cap are dropped and counted
 */
#ifndef DNS_WIRE_H
#define DNS_WIRE_H

#include "core/arena.h"
#include "dns/dns.h"

#define WIRE_NAME_MAX 255   /* octets, final zero included (RFC 1035 2.3.4) */
#define WIRE_EDNS_SIZE 1232 /* largest UDP answer that we request: never fragmented */
#define WIRE_QUERY_MAX (12 + WIRE_NAME_MAX + 4 + 11)
#define WIRE_CHAIN_MAX 10           /* CNAMEs followed */
#define WIRE_RRS_MAX 2048           /* records of the answer section to examine */
#define WIRE_RECORDS_MAX 512        /* records of one answer to keep */
#define WIRE_ARENA_MAX (512u << 10) /* recommended maximum of the arena for wire_parse */

/* A name in wire format: octet counts and labels, letters in lower case, final zero. */
struct wire_name {
    uint8_t len; /* final zero included; 1 is the root */
    uint8_t octets[WIRE_NAME_MAX];
};

struct wire_question {
    uint16_t id;
    uint16_t type; /* enum dns_type */
    bool plain;    /* no OPT record */
    struct wire_name name;
};

/* Slices point into the arena; a NUL follows each. */
struct wire_answer {
    enum dns_status status;
    enum dns_why why;
    uint16_t rcode; /* extended */
    bool ad;
    bool has_opt;           /* the server supports EDNS */
    uint16_t dropped;       /* see dns_answer */
    uint32_t ttl_s;         /* smallest of the chain and its records; negatives: RFC 2308 5; or 0 */
    struct slice canonical; /* see dns_answer */
    struct dns_record *records;
    size_t count;
};

/* Converts from text (see names.h); false if the name is not legal. */
bool wire_name_set(struct wire_name *out, struct slice text) MUST_USE;
bool wire_name_eq(const struct wire_name *a, const struct wire_name *b);

/* Writes our query: RD and AD set, one question, an OPT record without options unless `plain`.  Returns its length. */
size_t wire_put_query(uint8_t out[WIRE_QUERY_MAX], const struct wire_question *q);

/* Always sets all of *out; an unusable message gives DNS_TEMPFAIL, DNS_WHY_GARBAGE. */
void wire_parse(struct slice packet, const struct wire_question *q, struct arena *mem,
                struct wire_answer *out);

#endif
