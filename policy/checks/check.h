/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - the checks that ask the DNS about names: reverse name, HELO, domain of the sender.
 *
 * Private to policy/.  Each one asks what it needs, all at once where it can, and answers with words of the facts
 * table; it knows nothing of rules or replies.  Like everywhere: the callback runs exactly once, from the loop,
 * never from inside the starting call, unless cancelled first; cancel clears the handle.  Deadlines are the
 * caller's (policy.budget); each question has its own in the resolver.  `who` is copied: the client on whose account
 * the questions are.
 */
#ifndef POLICY_CHECKS_CHECK_H
#define POLICY_CHECKS_CHECK_H

#include "core/loop.h"
#include "dns/dns.h"

/* Where an answer came from, for explain. */
struct origin {
    bool asked;
    bool network;       /* a server was asked; else all came from the cache */
    struct addr server; /* the last one */
    uint64_t us;        /* from asking to knowing */
};

void origin_note(struct origin *o, const struct dns_answer *ans, const struct dns_had *had);
void origin_put(const struct origin *o, struct buf *out); /* "dns 127.0.0.1:53", "cache" */

/* ---- rdns.c: iprev (RFC 8601 2.7.3) ---- */

#define RDNS_NAMES_MAX 10 /* of a PTR answer; more are not looked at */

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

/* Does the name look like one that a provider made from the address, or gives to dial-in customers?  Pure. */
bool rdns_is_generic(struct slice name, const struct addr *ip);

/* ---- helo.c ---- */

enum helo_kind { HELO_FQDN = 0, HELO_BARE, HELO_LITERAL, HELO_INVALID }; /* words of helo.kind */

/* Pure.  *literal is set for HELO_LITERAL. */
enum helo_kind helo_kind(struct slice name, struct addr *literal);

struct helo_result {
    const char *resolves; /* a word of helo.resolves */
    bool is_client;       /* an address of it is the client's */
    bool unsure;          /* it may be, but the addresses of the client's family could not be had */
    struct origin origin;
};
typedef void (*helo_cb)(const struct helo_result *res, void *arg);

struct helo_check;
struct helo_check *helo_start(const struct dns_asker *who, struct slice name, const struct addr *ip,
                              helo_cb cb, void *arg) MUST_USE;
void helo_cancel(struct helo_check **c);

/* ---- sender.c: could mail be sent there? (RFC 5321 5.1, RFC 7505) ---- */

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
