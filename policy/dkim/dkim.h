/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dkim.h - the DKIM verifier (RFC 6376): which domains signed this message, and does each signature verify?
 *
 * Effect     Pure and streaming: no I/O, no DNS, no clock, no log.  The caller takes raw fields from the header section
 *            with header_next() of smtp/field.h, looks up the keys that the verifier names, and feeds the body as it arrives:
 *
 *                dkim_new
 *                dkim_put_field ...      each field of the header section, from the top
 *                dkim_end_header         --> dkim_wants: the keys to look up
 *                dkim_put_body ...       chunks of any size
 *                dkim_answer ...         one for each key, in any order, before, between or after the body
 *                dkim_step ...           whenever an answer has come, until it no longer returns DKIM_BUSY
 *                dkim_end_body           dkim_step returns DKIM_DONE once all answers are there as well
 *                dkim_verdict_at, dkim_best, dkim_put_resinfo
 *                dkim_free               allowed at any time
 *
 *            Feed the message as received: dots removed, before any field is removed or added.
 * Work       Each call does a bounded amount.  dkim_put_field and dkim_put_body cost what their octets cost; dkim_step
 *            does one unit (a part of an index, or one signature); the others walk over at most 50 signatures.
 *            One running hash for each body canonicalisation serves all signatures and all values of l=.
 * Order      First come signatures whose d= equals the author's domain, contains it or lies under it, then the others,
 *            each from the top of the message.  The verifier examines the first max_signatures of those that parse.
 *            So junk signatures cannot displace one of the author.
 * Owner      The caller owns the verifier.  The verifier copies what it keeps; slices in results live until dkim_free.
 * Errors     Input from a peer leads to a verdict, never to an error code.  Input beyond a limit is a permerror; its
 *            memory comes from arenas with a maximum.
 * RFC        6376 (DKIM), 8301 (no rsa-sha1, 1,024 bits at least), 8463 (Ed25519), 8616 (U-labels), 8601 (results).
 * Next       signature.h reads the field, key.h the record; verify.c joins them.
 */
#ifndef POLICY_DKIM_DKIM_H
#define POLICY_DKIM_DKIM_H

#include "core/buf.h"

#define DKIM_FIELDS_MAX 50     /* DKIM-Signature fields that are parsed; the rest is only counted */
#define DKIM_SIGNATURES_MAX 10 /* default of max_signatures */
#define DKIM_HEADER_MAX                                                                                      \
    (1u << 20) /* memory for the header section; each field takes its octets plus about 60 */
#define DKIM_SIGNED_MAX                                                                                      \
    (64u << 10)             /* octets of all fields that one signature covers, its own field included */
#define DKIM_NAMES_MAX 1000 /* names in h= */
#define DKIM_KEY_MAX 4096   /* base64 octets of p= */
#define DKIM_RECORD_MAX (8u << 10) /* octets of a key record */
#define DKIM_RSA_BITS_MIN 1024     /* RFC 8301 3.2 */
#define DKIM_RSA_BITS_MAX 4096

/* RFC 8601 2.7.1. */
enum dkim_result {
    DKIM_NONE = 0, /* no signature; of a signature: not decided yet */
    DKIM_PASS,
    DKIM_FAIL,      /* the message was changed, or the signature has expired */
    DKIM_POLICY,    /* we do not accept it: SHA-1, a short key, or text after the l= octets */
    DKIM_NEUTRAL,   /* not examined */
    DKIM_TEMPERROR, /* the key lookup failed; a retry may succeed */
    DKIM_PERMERROR, /* the signature or its key is unusable; a retry cannot help */
    DKIM_RESULT_COUNT,
};

const char *dkim_result_text(enum dkim_result result); /* "none", "pass", ... */

/* Why a signature has its result.  The table in results.c maps each reason to one result. */
enum dkim_reason {
    DKIM_UNDECIDED = 0, /* dkim_step has not returned DKIM_DONE yet */
    DKIM_VERIFIED,
    /* the field */
    DKIM_BAD_TAGS,       /* not a tag list, a tag twice, or too many tags */
    DKIM_TAG_MISSING,    /* one of v a b bh d h s */
    DKIM_BAD_VERSION,    /* v= */
    DKIM_BAD_ALGORITHM,  /* a= */
    DKIM_BAD_CANON,      /* c= */
    DKIM_BAD_DOMAIN,     /* d= */
    DKIM_BAD_SELECTOR,   /* s=, or it makes the name of the key too long */
    DKIM_BAD_IDENTITY,   /* i= is not an address within d= */
    DKIM_BAD_NAMES,      /* h= */
    DKIM_FROM_UNSIGNED,  /* h= does not name From */
    DKIM_BAD_BODY_HASH,  /* bh= is not base64, or not as long as the hash that a= names */
    DKIM_BAD_SIGNATURE,  /* b= is not base64, or has a length that a= cannot produce */
    DKIM_BAD_LENGTH,     /* l= */
    DKIM_BAD_TIME,       /* t= or x= */
    DKIM_EXPIRES_BEFORE, /* x= is not later than t= */
    DKIM_BAD_QUERY,      /* q= does not offer dns/txt */
    DKIM_TOO_LARGE,      /* the header section, or the fields that h= covers */
    DKIM_SHA1,
    DKIM_EXPIRED,
    DKIM_NOT_EXAMINED,
    /* the key */
    DKIM_KEY_UNKNOWN, /* the lookup failed temporarily */
    DKIM_TIME_OVER,   /* dkim_abandon came first */
    DKIM_UNABLE,      /* this system cannot verify it: out of memory, or OpenSSL lacks the algorithm */
    DKIM_KEY_NONE,
    DKIM_KEY_SEVERAL,
    DKIM_KEY_SYNTAX,
    DKIM_KEY_VERSION,
    DKIM_KEY_REVOKED,
    DKIM_KEY_TYPE,     /* k= is not what a= needs */
    DKIM_KEY_HASH,     /* h= of the record does not allow sha256 */
    DKIM_KEY_SERVICE,  /* s= of the record does not allow email */
    DKIM_KEY_IDENTITY, /* t=s of the record, and i= is below d= */
    DKIM_KEY_DATA,     /* p= is not base64 or not a key of this type */
    DKIM_KEY_SHORT,
    DKIM_KEY_LONG,
    DKIM_KEY_EXPONENT,
    /* the message */
    DKIM_HEADER_CHANGED,
    DKIM_BODY_CHANGED,
    DKIM_BODY_SHORTER, /* than l= */
    DKIM_BODY_LONGER,  /* than l= */
    DKIM_REASON_COUNT,
};

/* A phrase for people: ASCII without quotation marks, at most 80 octets. */
const char *dkim_reason_text(enum dkim_reason reason);
enum dkim_result dkim_reason_result(enum dkim_reason reason);

enum dkim_algorithm {
    DKIM_UNKNOWN_ALGORITHM = 0,
    DKIM_RSA_SHA256,
    DKIM_ED25519_SHA256,
    DKIM_RSA_SHA1, /* recognised, never verified */
    DKIM_ALGORITHM_COUNT,
};

const char *dkim_algorithm_text(enum dkim_algorithm algorithm); /* "rsa-sha256"; "" if unknown */

enum dkim_canon {
    DKIM_SIMPLE = 0,
    DKIM_RELAXED,
    DKIM_CANON_COUNT,
};

const char *dkim_canon_text(enum dkim_canon canon); /* "simple", "relaxed" */

/* ---- the verifier ---- */

struct dkim_settings {
    int64_t now_s; /* wall clock, for x= */
    size_t
        max_signatures; /* how many to examine, each with a key lookup; values over DKIM_FIELDS_MAX mean that many */
    bool utf8; /* internationalised message (SMTPUTF8): convert U-labels in d=, i= and s= (RFC 8616 5);
                              otherwise a U-label is a permerror (RFC 6376 3.5) */
};

struct dkim;

struct dkim *dkim_new(const struct dkim_settings *settings) MUST_USE; /* copies; never NULL */
void dkim_free(struct dkim *d);                                       /* NULL is allowed */

/*
 * Adds the next field of the header section: name, colon, value with all folds, with or without its final CRLF.  Copies
 * it.  Ignores a line that header_next() does not take for a field, and any field after dkim_end_header.
 */
void dkim_put_field(struct dkim *d, struct slice field);

/*
 * Ends the header section: chooses the signatures to examine and the keys to look up.  author: the author's domain in
 * lower-case A-labels, borrowed for this call; empty if the message has no author or several, then no signature is
 * preferred.
 */
void dkim_end_header(struct dkim *d, struct slice author);

/* Hashes the next octets of the body, line ends as received.  Only between dkim_end_header and dkim_end_body. */
void dkim_put_body(struct dkim *d, struct slice chunk);
void dkim_end_body(struct dkim *d);
bool dkim_needs_body(
    const struct dkim *d); /* false: no signature waits for the body, the caller may stop feeding */

/* ---- keys ---- */

struct dkim_want {
    struct slice
        name; /* selector._domainkey.domain in lower-case A-labels, no final dot; passes hostname_valid() */
};

/* The TXT records to look up, each name once; complete after dkim_end_header.  The array lives until dkim_free. */
size_t dkim_wants(const struct dkim *d, const struct dkim_want **wants);

enum dkim_answer_status {
    DKIM_ANSWER_OK = 0,   /* one record; `text` is its strings joined without a separator */
    DKIM_ANSWER_NONE,     /* NXDOMAIN, or no TXT record */
    DKIM_ANSWER_SEVERAL,  /* several TXT records; RFC 6376 3.6.2.2 leaves this undefined, we take none */
    DKIM_ANSWER_TEMPFAIL, /* timeout, SERVFAIL, or anything else that leaves the question open */
};

struct dkim_answer {
    enum dkim_answer_status status;
    struct slice text;
};

/* Gives the answer to wants[index]; copies it.  Ignores a second answer to the same name. */
void dkim_answer(struct dkim *d, size_t index, const struct dkim_answer *answer);

/* ---- progress ---- */

enum dkim_progress {
    DKIM_DONE = 0, /* every verdict is final */
    DKIM_BUSY,     /* more work is ready: call again, in this turn of the loop or the next */
    DKIM_WAITING,  /* needs an answer, the end of the header section, or the end of the body */
};

/* Does at most one unit of work: a part of the index, or one signature (0.3 ms at worst). */
enum dkim_progress dkim_step(struct dkim *d) MUST_USE;

/* The budget is used up: makes every undecided signature a temperror. */
void dkim_abandon(struct dkim *d);

/* ---- results ---- */

struct dkim_verdict {
    enum dkim_result result;
    enum dkim_reason reason;
    enum dkim_algorithm algorithm;
    enum dkim_canon header_canon, body_canon;
    struct slice domain;   /* d= in lower-case A-labels; empty if it is not legal */
    struct slice selector; /* s=, likewise */
    struct slice
        identity; /* i= decoded, "joe@example.org"; "@example.org" if its local part is not a dot-string (RFC
                              5322 3.2.3); empty if the tag is absent or not legal */
    char signature[9]; /* the first eight characters of b=, for header.b (RFC 6008); NUL-terminated */
    int64_t signed_s;  /* t=; -1 if absent, INT64_MAX if it has more than 12 digits */
    int64_t expires_s; /* x=, likewise */
    unsigned key_bits; /* size of the RSA key; 0 if we saw none */
    bool examined;     /* we looked up its key */
    bool testing;      /* the key record has t=y; such a signature counts like any other (RFC 6376 3.6.1) */
    size_t position;   /* its place among the DKIM-Signature fields; 0 is the topmost */
};

/*
 * All verdicts, the most relevant first: examined signatures in the order of examination, then those with an error,
 * then those that were not examined.  A caller with room for a few takes the first ones.
 */
size_t dkim_count(const struct dkim *d);
const struct dkim_verdict *dkim_verdict_at(const struct dkim *d, size_t index); /* index < dkim_count */

/* Number of DKIM-Signature fields beyond DKIM_FIELDS_MAX, which have no verdict. */
size_t dkim_skipped(const struct dkim *d);

/* Is this d= aligned with the author's domain?  DMARC defines alignment (RFC 9989), so the caller answers. */
typedef bool (*dkim_aligned_fn)(void *arg, struct slice domain);

/*
 * The signature with the best result: pass, temperror (it might have been a pass), policy, fail, permerror, neutral.
 * Among equal results it prefers an aligned signature, then the first.  Returns NULL if there is no signature.
 * aligned NULL means that none is aligned.
 */
const struct dkim_verdict *dkim_best(const struct dkim *d, dkim_aligned_fn aligned, void *arg);

/*
 * Writes one resinfo of Authentication-Results (RFC 8601 2.2): at most 900 octets of printable ASCII, no line end, no
 * semicolon.  It holds a value of the peer only if that value matches its own grammar, so none can end the line or
 * add a result:
 *
 *     dkim=fail reason="the body was changed" header.d=example.org header.i=@example.org header.s=mail
 *     header.a=rsa-sha256 header.b=dzdVyOfA
 */
void dkim_put_resinfo(struct buf *out, const struct dkim_verdict *v);

#endif
