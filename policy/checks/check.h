/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - checks that look up names in the DNS: reverse name, HELO, domain of the sender.
 *
 * Private to policy/.  Each check sends its queries in parallel where it can, and answers with words of the facts
 * table; it knows nothing of rules or replies.  The callback runs exactly once, from the loop, never from inside the
 * starting call; cancelling first prevents it and clears the handle.  The caller sets the deadline (policy.budget);
 * each query has its own in the resolver.  `who` (copied) is the client charged for the queries.
 */
#ifndef POLICY_CHECKS_CHECK_H
#define POLICY_CHECKS_CHECK_H

#include "core/loop.h"
#include "dns/dns.h"

/* Where an answer came from, for explain. */
struct origin {
    bool asked;
    bool network;       /* a server was queried; else all answers came from the cache */
    struct addr server; /* the last one */
    uint64_t us;        /* duration of the check */
};

void origin_note(struct origin *o, const struct dns_answer *ans, const struct dns_had *had);
void origin_put(const struct origin *o, struct buf *out); /* "dns 127.0.0.1:53", "cache" */

/* ---- rdns.c: iprev (RFC 8601 2.7.3) ---- */

#define RDNS_NAMES_MAX 10 /* names of a PTR answer to check; the rest is ignored */

struct rdns_result {
    const char *iprev;           /* a word of client.iprev */
    char name[DNS_NAME_MAX + 1]; /* verified, lower case; "": none */
    struct origin origin;
};
typedef void (*rdns_cb)(const struct rdns_result *res, void *arg);

struct rdns_check;
struct rdns_check *rdns_start(const struct dns_asker *who, const struct addr *ip, rdns_cb cb,
                              void *arg) MUST_USE;
void rdns_cancel(struct rdns_check **c);

/* Is this a generic or dynamic rDNS name (derived from the IP, or from a dial-up pool)?  Pure. */
bool rdns_is_generic(struct slice name, const struct addr *ip);

/* ---- helo.c ---- */

enum helo_kind { HELO_FQDN = 0, HELO_BARE, HELO_LITERAL, HELO_INVALID }; /* words of helo.kind */

/* Pure.  Sets *literal for HELO_LITERAL. */
enum helo_kind helo_kind(struct slice name, struct addr *literal);

struct helo_result {
    const char *resolves; /* a word of helo.resolves */
    bool is_client;       /* the client's address is among its addresses */
    bool unsure;          /* is_client may be wrong: the lookup in the client's address family failed */
    struct origin origin;
};
typedef void (*helo_cb)(const struct helo_result *res, void *arg);

struct helo_check;
struct helo_check *helo_start(const struct dns_asker *who, struct slice name, const struct addr *ip,
                              helo_cb cb, void *arg) MUST_USE;
void helo_cancel(struct helo_check **c);

/* ---- sender.c: does the domain accept mail? (RFC 5321 5.1, RFC 7505) ---- */

struct sender_result {
    const char *resolves; /* a word of sender.resolves */
    struct origin origin;
};
typedef void (*sender_cb)(const struct sender_result *res, void *arg);

struct sender_check;
struct sender_check *sender_start(const struct dns_asker *who, struct slice domain, sender_cb cb,
                                  void *arg) MUST_USE;
void sender_cancel(struct sender_check **c);

#endif
