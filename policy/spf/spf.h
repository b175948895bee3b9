/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf.h - SPF (RFC 7208): may this client send mail for this domain?
 *
 * Effect     a pure evaluation over a table of DNS answers: no I/O, no clock, no log.  spf_step() runs over the known
 *            answers and stops at the first missing one.  The caller looks up the names that it wants (spf_check.h does
 *            that), feeds the answers, and calls it again:
 *
 *                spf_new --> spf_step --> 0: done, spf_verdict
 *                             ^    |
 *                    spf_feed +<---+ n > 0: these names are wanted (hosts of an mx, two at a time)
 *
 *            It copies and pins answers: an evaluation looks up each name once, however short its TTL.
 * Engines    native (spf_eval.c), and optionally libspf2 behind a guard (spf_libspf2.c).  Both share selection, parser,
 *            macros, limits and explanation, and are tested against each other.
 * Limits     RFC 7208 4.6.4, over includes and redirects together: 10 terms that query DNS, 2 void lookups,
 *            10 hosts of an mx (more: permerror), 10 names of a client (more are ignored).  A record is at
 *            most 8 KiB and 512 terms; an expanded name 253 octets; an explanation 1 KiB.
 *            The caller enforces the 20 seconds.
 * Memory     at most SPF_ARENA_MAX: it copies only the SPF records of a TXT answer, only the nearest address to the
 *            client of an address answer, and at most ten names of an MX or PTR answer.
 * Void       counted: no address of an `a` or `exists`, no MX, an mx host without an address.  Not counted: an
 *            mx host without AAAA (its A has no effect here), and exp= (RFC 7208 6.2).  Names of the client (PTR) are
 *            not the domain's fault: two without an address end the search, without an error.
 * Strangers  hosts of an mx and names of a client may belong to third parties.  It looks up two at a time.  The search
 *            for a host stops at the first match, at the third void lookup, or at two failed lookups.
 */
#ifndef POLICY_SPF_SPF_H
#define POLICY_SPF_SPF_H

#include "core/addr.h"
#include "core/slice.h"

#define SPF_NAME_MAX 253 /* octets of a name */
#define SPF_EXPLANATION_MAX 1024
#define SPF_MECHANISM_MAX 255 /* octets of a mechanism that are reported */
#define SPF_WANTS_MAX 2       /* names wanted by one step */
#define SPF_QUERIES_MAX 130   /* names looked up in one evaluation; 10 x (mx + 10 hosts) and a few fit */
#define SPF_TERMS_MAX 10
#define SPF_VOIDS_MAX 2
#define SPF_HOSTS_MAX 10    /* of an mx, and names of the client */
#define SPF_RECORD_MAX 8192 /* octets of a record */
#define SPF_RECORD_TERMS_MAX 512
#define SPF_ARENA_MAX (192 * 1024) /* 11 records of 8 KiB, 130 names, ten answers of MX, and a reserve */

enum spf_result {
    SPF_NONE = 0, /* no record, or not a domain that could have one */
    SPF_NEUTRAL,
    SPF_PASS,
    SPF_FAIL,
    SPF_SOFTFAIL,
    SPF_TEMPERROR, /* a DNS lookup failed */
    SPF_PERMERROR, /* the domain's records cannot be interpreted */
    SPF_RESULT_COUNT,
};

const char *spf_result_text(enum spf_result result); /* "none", "neutral", ... (RFC 7208 2.6) */

enum spf_identity {
    SPF_MAILFROM = 0, /* the null sender is postmaster@HELO (RFC 7208 2.4) */
    SPF_HELO,         /* postmaster@HELO (RFC 7208 2.3) */
    SPF_IDENTITY_COUNT,
};

const char *spf_identity_text(enum spf_identity id); /* "mailfrom", "helo" (RFC 7208 9.1) */

enum spf_engine {
    SPF_ENGINE_NATIVE = 0,
    SPF_ENGINE_LIBSPF2,
    SPF_ENGINE_COUNT,
};

bool spf_engine_built(enum spf_engine engine);

/* ---- DNS queries and their answers ---- */

enum spf_type {
    SPF_TYPE_A = 0,
    SPF_TYPE_AAAA,
    SPF_TYPE_MX,
    SPF_TYPE_PTR,
    SPF_TYPE_TXT, /* for the record */
    SPF_TYPE_EXP, /* TXT, for the text that exp= names */
    SPF_TYPE_COUNT,
};

struct spf_want {
    enum spf_type type;
    struct slice name; /* lower case, no final dot, labels of 1..63 octets (any octets), 253 in all */
};

enum spf_status {
    SPF_ANSWER_OK = 0,
    SPF_ANSWER_NODATA,
    SPF_ANSWER_NXDOMAIN,
    SPF_ANSWER_TEMPFAIL, /* timeout, SERVFAIL, or anything else that leaves the query open */
};

struct spf_record_data {
    struct slice data;   /* A: 4 octets, AAAA: 16.  MX, PTR: a name, case and final dot do not matter.
                            TXT: the strings joined without a separator, any octets */
    uint16_t preference; /* MX */
};

struct spf_answer {
    enum spf_status status;
    size_t count; /* of records; NODATA and OK without records are the same */
    const struct spf_record_data *records;
};

/* ---- input and verdict ---- */

/*
 * A pass is weak if
 *   - the mechanism that decided, even inside includes, is `all`; or
 *   - its network (ip4, ip6, a/n, mx/n) is larger than one of weak_bits; or
 *   - the networks of all `+` ip4 and ip6 terms together are.  This counts the domain's own record and those of
 *     redirects and `+` includes that were opened, also terms after the deciding one.  Overlapping networks
 *     each count in full.
 * Only networks of the client's family count.  The addresses that exists, ptr, macros and unopened records
 * authorise cannot be measured.
 */
struct spf_input {
    struct addr client; /* an IPv4-mapped IPv6 address is treated as IPv4 (RFC 7208 5) */
    enum spf_identity identity;
    struct slice sender;    /* MAIL FROM without <>; empty: the null sender; not used with SPF_HELO */
    struct slice helo;      /* as received */
    struct slice receiver;  /* %{r}; our host name */
    int64_t now_s;          /* %{t} */
    enum spf_engine engine; /* if it was not built: native */
    uint8_t weak_v4_bits;   /* 1..32; 0: no pass is weak by size, nor (if both are 0) by `all` */
    uint8_t weak_v6_bits;   /* 1..128 */
    bool explain;           /* look up and expand exp= on a fail */
};

/*
 * Derives weak_v6_bits from the one number of a configuration, weak_v4_bits: 8 more.  The IPv6 space in use is about
 * the size of one /8, and no single sender has a /16 of it.
 */
uint8_t spf_weak_v6_bits(uint8_t v4_bits);

struct spf_verdict {
    enum spf_result result;
    bool weak;                              /* it was a weak pass: then result is SPF_NEUTRAL */
    enum spf_identity identity;             /* what was checked: SPF_HELO also for the null sender */
    unsigned lookups;                       /* names looked up */
    unsigned terms;                         /* of the 10 */
    unsigned voids;                         /* of the 2 */
    unsigned steps;                         /* runs over the table */
    const char *problem;                    /* temperror, permerror, none: a phrase of ours; otherwise "" */
    char domain[SPF_NAME_MAX + 1];          /* that was checked, lower case; "" if it was not a domain */
    char mechanism[SPF_MECHANISM_MAX + 1];  /* the term of the domain's (or redirect's) record that
                                               decided, without qualifier, as published: "all",
                                               "include:_spf.example.net"; "" if none did */
    char decided_by[SPF_MECHANISM_MAX + 1]; /* the same inside of includes: "ip4:192.0.2.0/24" */
    char explanation[SPF_EXPLANATION_MAX + 1]; /* of the domain, printable ASCII, cut at 1 KiB; "" if none.
                                                  Foreign text: for SMTP replies only, quoted in logs */
};

/* All of them are NUL-terminated printable ASCII. */

/* ---- the evaluation ---- */

struct spf;

struct spf *spf_new(const struct spf_input *in) MUST_USE; /* copies; never NULL */
void spf_free(struct spf *e);                             /* NULL is allowed */

/*
 * Evaluates as far as the answers allow.  0: done.  Otherwise the number of names in *wants, none of which has
 * been fed yet; the array and the names belong to `e` and are valid until the next step.  Called again without
 * feeding, it returns the same again.
 */
size_t spf_step(struct spf *e, const struct spf_want **wants) MUST_USE;

/*
 * Feeds the answer to a wanted name; copies it.  Ignores names that are not wanted or already answered, so answers
 * may arrive in any order and more than once.
 */
void spf_feed(struct spf *e, const struct spf_want *want, const struct spf_answer *answer);

/* Ends the evaluation as temperror because the time is up.  `problem` is a literal. */
void spf_abandon(struct spf *e, const char *problem);

/* Only after spf_step returned 0 or after spf_abandon; owned by e. */
const struct spf_verdict *spf_verdict(const struct spf *e);

#endif
