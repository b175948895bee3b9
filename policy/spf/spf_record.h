/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_record.h - the text of an SPF record as terms (RFC 7208 12).  Pure; private to policy/spf*.
 */
#ifndef POLICY_SPF_SPF_RECORD_H
#define POLICY_SPF_SPF_RECORD_H

#include "policy/spf/spf.h"

enum spf_kind {
    SPF_ALL = 0,
    SPF_INCLUDE,
    SPF_A,
    SPF_MX,
    SPF_PTR,
    SPF_IP4,
    SPF_IP6,
    SPF_EXISTS,
    SPF_REDIRECT, /* modifiers from here on */
    SPF_EXP,
    SPF_UNKNOWN_MODIFIER,
};

struct spf_term {
    enum spf_kind kind;
    char qualifier;    /* + - ~ ?; modifiers: + */
    struct slice text; /* as published, without the qualifier */
    struct slice spec; /* domain-spec; empty: the current domain */
    uint8_t v4_bits;   /* A, MX, IP4: prefix length */
    uint8_t v6_bits;   /* A, MX, IP6 */
    uint8_t ip[16];    /* IP4: the first four octets */
};

/* True for `v=spf1`, alone or before a blank (RFC 7208 4.5). */
bool spf_record_is(struct slice txt);

/* The text after the version. */
struct slice spf_record_terms(struct slice record);

/*
 * Takes the next term from *rest.  SPF_TERM_END leaves *out unset; SPF_TERM_BAD sets *problem to the reason (a
 * literal).
 */
enum spf_term_status {
    SPF_TERM_OK = 0,
    SPF_TERM_END,
    SPF_TERM_BAD,
};
enum spf_term_status spf_term_next(struct slice *rest, struct spf_term *out, const char **problem);

/* Summary of a whole record. */
struct spf_summary {
    const char *problem;   /* a syntax error: the domain's result is permerror; NULL: none */
    bool has_all;          /* redirect= is then ignored (RFC 7208 6.1) */
    struct slice redirect; /* their domain-specs; empty: absent */
    struct slice exp;
    size_t terms;
    double v4_size; /* addresses in `+` ip4 terms, and ip6 */
    double v6_size;
};

/* Checks the syntax of all terms (RFC 7208 4.6: errors anywhere count). */
void spf_record_check(struct slice record, struct spf_summary *out);

#endif
