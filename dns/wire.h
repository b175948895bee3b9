/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - DNS messages: our query, their answer.
 *
 * The encoder carries any octets.  The parser is bounded and pure: it takes octets, puts what it
 * found into the caller's arena and neither knows clocks nor sockets.  It uses only records that answer
 * the question it is given: the owner must be the asked name or lie at the end of a CNAME chain that
 * starts there, everything else in the message is ignored.
 *
 * RFC     1035 4 (messages), 2308 (negative answers), 2181 8 (TTL), 6840 5.7 (AD in a query), 6891 (EDNS)
 * Limits  WIRE_* below; what exceeds them is garbage, records over the cap are dropped and counted
 */
#ifndef DNS_WIRE_H
#define DNS_WIRE_H

#include "core/arena.h"
#include "dns/dns.h"

#define WIRE_NAME_MAX 255   /* octets, final zero included (RFC 1035 2.3.4) */
#define WIRE_EDNS_SIZE 1232 /* largest answer over UDP that we ask for: never fragmented */
#define WIRE_QUERY_MAX (12 + WIRE_NAME_MAX + 4 + 11)
#define WIRE_CHAIN_MAX 10           /* CNAMEs followed */
#define WIRE_RRS_MAX 2048           /* records in the answer section that are looked at */
#define WIRE_RECORDS_MAX 512        /* records of one answer that are kept */
#define WIRE_ARENA_MAX (512u << 10) /* what the arena for wire_parse should allow */

/* A name as on the wire: octet counts and labels, letters in lower case, final zero. */
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
    bool has_opt;           /* the other side speaks EDNS */
    uint16_t dropped;       /* see dns_answer */
    uint32_t ttl_s;         /* smallest of the chain and its records; negatives: RFC 2308 5; or 0 */
    struct slice canonical; /* see dns_answer */
    struct dns_record *records;
    size_t count;
};

/* From text (see names.h); false if the name is not legal. */
bool wire_name_set(struct wire_name *out, struct slice text) MUST_USE;
bool wire_name_eq(const struct wire_name *a, const struct wire_name *b);

/* Our query: recursion desired, AD wanted, one question, an OPT record without options unless `plain`; its length. */
size_t wire_put_query(uint8_t out[WIRE_QUERY_MAX], const struct wire_question *q);

/* Always sets all of *out; a message that cannot be used is DNS_TEMPFAIL, DNS_WHY_GARBAGE. */
void wire_parse(struct slice packet, const struct wire_question *q, struct arena *mem,
                struct wire_answer *out);

#endif
