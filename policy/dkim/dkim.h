/*
 * dkim.h - DKIM (RFC 6376): which domains signed this message, and does each signature verify?
 *
 * Effect     Pure and streaming: no I/O, no DNS, no clock, no log.  The caller reads the header section and hands over
 *            raw fields, looks up the keys that the verifier names, and feeds the body as it arrives:
 *
 *                dkim_new
 *                dkim_put_field ...      each field of the header section, from the top
 *                dkim_end_header         --> dkim_wants: the keys to look up
 *                dkim_put_body ...       chunks of any size  \
 *                dkim_answer ...         in any order         } in any order, interleaved
 *                dkim_step ...           while it says BUSY  /
 *                dkim_end_body           then answers and steps until it says DONE
 *                dkim_verdict_at, dkim_best, dkim_put_resinfo
 *                dkim_free               allowed at any time
 *
 *            The message is the one that was received: dots removed, no field taken out or added before.
 * Work       A call does a bounded amount: dkim_put_field and dkim_put_body what their octets cost, dkim_step one unit
 *            (part of an index, or one signature).  Everything else is a walk over at most 50 signatures.
 *            One running hash for each body canonicalisation serves all signatures and all values of l=.
 * Order      Signatures whose d= equals the author's domain, contains it or lies under it come first, then the others,
 *            each from the top.  Only the first max_signatures of those without an error are examined, so junk in
 *            front displaces no signature of the author.
 * Owner      The caller owns the verifier.  It copies what it keeps; slices in its results live until dkim_free.
 * Errors     Peers can cause none but results: what they send beyond a limit is a permerror.  Memory for what they
 *            send comes from an arena with a maximum.
 * RFC        6376 (DKIM), 8301 (no rsa-sha1, 1,024 bits at least), 8463 (Ed25519), 8616 (U-labels), 8601 (results).
 * Next       signature.h reads the field, key.h the record; verify.c joins them.
 */
#ifndef POLICY_DKIM_DKIM_H
#define POLICY_DKIM_DKIM_H

#include "core/buf.h"

#define DKIM_FIELDS_MAX 50             /* DKIM-Signature fields that are read; more are only counted */
#define DKIM_SIGNATURES_MAX 10         /* the default of max_signatures */
#define DKIM_HEADER_MAX (1u << 20)     /* memory for the header section; a field takes its octets and about 60 */
#define DKIM_SIGNED_MAX (64u << 10)    /* octets of the fields that one signature covers, its own included */
#define DKIM_NAMES_MAX 1000            /* names in h= */
#define DKIM_KEY_MAX 4096              /* base64 octets of p= */
#define DKIM_RECORD_MAX (8u << 10)     /* octets of a key record */
#define DKIM_RSA_BITS_MIN 1024         /* RFC 8301 3.2 */
#define DKIM_RSA_BITS_MAX 4096

/* RFC 8601 2.7.1. */
enum dkim_result {
    DKIM_NONE = 0, /* no signature; never the result of one */
    DKIM_PASS,
    DKIM_FAIL,      /* it does not verify: the message was changed, or the signature has expired */
    DKIM_POLICY,    /* not acceptable here: SHA-1, a short key, a body that goes on behind l= */
    DKIM_NEUTRAL,   /* not examined */
    DKIM_TEMPERROR, /* the key could not be had just now */
    DKIM_PERMERROR, /* the signature or its key cannot be used, now or later */
    DKIM_RESULT_COUNT,
};

const char *dkim_result_text(enum dkim_result result); /* "none", "pass", ... */

/* Why a signature has its result.  Each reason belongs to one result: the table in results.c. */
enum dkim_reason {
    DKIM_VERIFIED = 0,
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
    DKIM_BAD_BODY_HASH,  /* bh= is not base64 of as many octets as a= says */
    DKIM_BAD_SIGNATURE,  /* b= is not base64, or of no length that a= can have */
    DKIM_BAD_LENGTH,     /* l= */
    DKIM_BAD_TIME,       /* t= or x= */
    DKIM_EXPIRES_BEFORE, /* x= is not later than t= */
    DKIM_BAD_QUERY,      /* q= has no method that we know */
    DKIM_TOO_LARGE,      /* the header section, or what h= covers */
    DKIM_SHA1,
    DKIM_EXPIRED,
    DKIM_NOT_EXAMINED,
    /* the key */
    DKIM_KEY_UNKNOWN, /* DNS could not tell */
    DKIM_TIME_OVER,   /* dkim_abandon */
    DKIM_UNABLE,      /* this system could not verify it: no memory, or an algorithm is missing */
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

/* For people; ASCII without quotation marks, at most 80 octets. */
const char *dkim_reason_text(enum dkim_reason reason);
enum dkim_result dkim_reason_result(enum dkim_reason reason);

enum dkim_algorithm {
    DKIM_UNKNOWN_ALGORITHM = 0,
    DKIM_RSA_SHA256,
    DKIM_ED25519_SHA256,
    DKIM_RSA_SHA1, /* known in order to be refused */
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
    int64_t now_s;         /* wall clock, for x= */
    size_t max_signatures; /* that are examined, each with a key lookup; at most DKIM_FIELDS_MAX are */
    bool utf8;             /* the message is internationalised (SMTPUTF8): U-labels may stand in d=, i= and s= (RFC
                              8616 5) and are made A-labels; otherwise they are a permerror (RFC 6376 3.5) */
};

struct dkim;

struct dkim *dkim_new(const struct dkim_settings *settings) MUST_USE; /* copies; never NULL */
void dkim_free(struct dkim *d);                                       /* NULL is allowed */

/*
 * One field of the header section, in the order of the message: its name, the colon, its value with all folds.  The
 * CRLF that ends it may be there or not.  Copied.  A line without a colon may be given and is ignored.
 */
void dkim_put_field(struct dkim *d, struct slice field);

/*
 * The header section is complete.  author: the domain of the only author in A-labels, lower case; empty if there are
 * several or none (then no signature is preferred).
 */
void dkim_end_header(struct dkim *d, struct slice author);

/* The next octets of the body, line ends as received.  Ignored when nothing is left to find out. */
void dkim_put_body(struct dkim *d, struct slice chunk);
bool dkim_needs_body(const struct dkim *d); /* false: dkim_put_body would ignore it (after dkim_end_header) */
void dkim_end_body(struct dkim *d);

/* ---- keys ---- */

struct dkim_want {
    struct slice name; /* selector._domainkey.domain: A-labels, lower case, no final dot; a valid host name */
};

/* TXT records to look up, all at once, after dkim_end_header; each name once.  The array lives until dkim_free. */
size_t dkim_wants(const struct dkim *d, const struct dkim_want **wants);

enum dkim_answer_status {
    DKIM_ANSWER_OK = 0,   /* one record: `text` is its strings joined without a separator */
    DKIM_ANSWER_NONE,     /* NXDOMAIN, or no TXT record */
    DKIM_ANSWER_SEVERAL,  /* several TXT records: undefined by RFC 6376 3.6.2.2, so no key */
    DKIM_ANSWER_TEMPFAIL, /* time-out, SERVFAIL, anything that leaves the question open */
};

struct dkim_answer {
    enum dkim_answer_status status;
    struct slice text;
};

/* The answer to wants[index]; copied.  A second answer to the same name is ignored. */
void dkim_answer(struct dkim *d, size_t index, const struct dkim_answer *answer);

/* ---- progress ---- */

enum dkim_progress {
    DKIM_DONE = 0, /* every verdict is final */
    DKIM_BUSY,     /* call again: there is more to do with what is known */
    DKIM_WAITING,  /* for an answer or for the end of the body */
};

/* Does one unit of work, at most: a part of the index, or one signature. */
enum dkim_progress dkim_step(struct dkim *d) MUST_USE;

/* The time is over: whatever is not decided becomes a temperror. */
void dkim_abandon(struct dkim *d);

/* ---- results ---- */

struct dkim_verdict {
    enum dkim_result result;
    enum dkim_reason reason;
    enum dkim_algorithm algorithm;
    enum dkim_canon header_canon, body_canon;
    struct slice domain;     /* d=: A-label, lower case; empty if it was not legal */
    struct slice selector;   /* s=, likewise */
    struct slice identity;   /* i= decoded, its domain in A-labels: "joe@example.org"; "@example.org" if its local part
                                is no dot-string (RFC 5322 3.2.3); empty if the tag was absent or not legal */
    char signature[9];       /* first eight characters of b=, for header.b (RFC 6008); NUL-terminated */
    int64_t signed_s;        /* t=, x=: -1 if absent; INT64_MAX if longer than 12 digits */
    int64_t expires_s;
    unsigned key_bits;       /* of an RSA key that was seen; else 0 */
    bool examined;           /* its key was looked up */
    bool testing;            /* the key record says t=y: no reason to treat it otherwise (RFC 6376 3.6.1) */
    size_t position;         /* among the DKIM-Signature fields, from the top; 0 is the first */
};

/*
 * Verdicts in the order of their weight: examined ones in the order of examination, then those with an error, then
 * those that were not examined.  A caller that has room for a few takes the first ones.
 */
size_t dkim_count(const struct dkim *d);
const struct dkim_verdict *dkim_verdict_at(const struct dkim *d, size_t index); /* index < dkim_count */

/* DKIM-Signature fields beyond DKIM_FIELDS_MAX, which nobody looked at. */
size_t dkim_skipped(const struct dkim *d);

/* Is this d= aligned with the author's domain?  Alignment is a matter of DMARC (RFC 9989). */
typedef bool (*dkim_aligned_fn)(void *arg, struct slice domain);

/*
 * The signature with the best result: pass, then temperror (it might be a pass), policy, fail, permerror, neutral.
 * Of equal results an aligned one, then the first.  NULL without any signature.  aligned NULL: none is.
 */
const struct dkim_verdict *dkim_best(const struct dkim *d, dkim_aligned_fn aligned, void *arg);

/*
 * The result of one signature for Authentication-Results (RFC 8601 2.2), one line of at most 900 octets without its
 * end; printable ASCII, and nothing of the peer's in it but what its own grammar allows:
 *
 *     dkim=fail reason="the body was changed" header.d=example.org header.i=@example.org header.s=mail
 *     header.a=rsa-sha256 header.b=dzdVyOfA
 */
void dkim_put_resinfo(struct buf *out, const struct dkim_verdict *v);

#endif
