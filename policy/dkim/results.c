/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results.c - presents verdicts: words of RFC 8601, reasons for people, the best signature, and the text for
 * Authentication-Results.
 *
 * Every value of the peer has passed its own grammar before: d= and s= are host names, i= is a dot-string at a host
 * name, a= is one of our words, b= is base64.  So none can end a value, a line or a comment.
 *
 * RFC       8601 2.2, 2.7.1; 6008 (header.b); 2045 5.1 (token)
 */
#include "policy/dkim/dkim.h"

const char *dkim_result_text(enum dkim_result result)
{
    static const char *const words[DKIM_RESULT_COUNT] = {
        [DKIM_NONE] = "none",           [DKIM_PASS] = "pass",       [DKIM_FAIL] = "fail",
        [DKIM_POLICY] = "policy",       [DKIM_NEUTRAL] = "neutral", [DKIM_TEMPERROR] = "temperror",
        [DKIM_PERMERROR] = "permerror",
    };

    return words[result];
}

const char *dkim_algorithm_text(enum dkim_algorithm algorithm)
{
    static const char *const words[DKIM_ALGORITHM_COUNT] = {
        [DKIM_UNKNOWN_ALGORITHM] = "",
        [DKIM_RSA_SHA256] = "rsa-sha256",
        [DKIM_ED25519_SHA256] = "ed25519-sha256",
        [DKIM_RSA_SHA1] = "rsa-sha1",
    };

    return words[algorithm];
}

const char *dkim_canon_text(enum dkim_canon canon)
{
    return canon == DKIM_RELAXED ? "relaxed" : "simple";
}

static const struct {
    enum dkim_result result;
    const char *text;
} reasons[DKIM_REASON_COUNT] = {
    [DKIM_UNDECIDED] = { DKIM_NONE, "not decided yet" },
    [DKIM_VERIFIED] = { DKIM_PASS, "the signature verifies" },
    [DKIM_BAD_TAGS] = { DKIM_PERMERROR, "the field is not a list of tags" },
    [DKIM_TAG_MISSING] = { DKIM_PERMERROR, "a required tag is missing" },
    [DKIM_BAD_VERSION] = { DKIM_PERMERROR, "v= is not 1" },
    [DKIM_BAD_ALGORITHM] = { DKIM_PERMERROR, "a= is unknown" },
    [DKIM_BAD_CANON] = { DKIM_PERMERROR, "c= is unknown" },
    [DKIM_BAD_DOMAIN] = { DKIM_PERMERROR, "d= is not a domain name" },
    [DKIM_BAD_SELECTOR] = { DKIM_PERMERROR, "s= is not a selector" },
    [DKIM_BAD_IDENTITY] = { DKIM_PERMERROR, "i= is not an address within d=" },
    [DKIM_BAD_NAMES] = { DKIM_PERMERROR, "h= is not a list of field names, or is too long" },
    [DKIM_FROM_UNSIGNED] = { DKIM_PERMERROR, "h= does not cover From" },
    [DKIM_BAD_BODY_HASH] = { DKIM_PERMERROR, "bh= is not a hash of this kind" },
    [DKIM_BAD_SIGNATURE] = { DKIM_PERMERROR, "b= is not a signature of this kind" },
    [DKIM_BAD_LENGTH] = { DKIM_PERMERROR, "l= is not a number" },
    [DKIM_BAD_TIME] = { DKIM_PERMERROR, "t= or x= is not a time" },
    [DKIM_EXPIRES_BEFORE] = { DKIM_PERMERROR, "x= is not later than t=" },
    [DKIM_BAD_QUERY] = { DKIM_PERMERROR, "q= does not offer dns/txt" },
    [DKIM_TOO_LARGE] = { DKIM_PERMERROR, "the signed header fields are too large" },
    [DKIM_SHA1] = { DKIM_POLICY, "SHA-1 is not accepted" },
    [DKIM_EXPIRED] = { DKIM_FAIL, "the signature has expired" },
    [DKIM_NOT_EXAMINED] = { DKIM_NEUTRAL, "not examined: too many signatures" },
    [DKIM_KEY_UNKNOWN] = { DKIM_TEMPERROR, "no answer about the key" },
    [DKIM_TIME_OVER] = { DKIM_TEMPERROR, "not decided in time" },
    [DKIM_UNABLE] = { DKIM_TEMPERROR, "this system could not verify it" },
    [DKIM_KEY_NONE] = { DKIM_PERMERROR, "there is no key" },
    [DKIM_KEY_SEVERAL] = { DKIM_PERMERROR, "there are several key records" },
    [DKIM_KEY_SYNTAX] = { DKIM_PERMERROR, "the key record is malformed" },
    [DKIM_KEY_VERSION] = { DKIM_PERMERROR, "the key record is not of version DKIM1" },
    [DKIM_KEY_REVOKED] = { DKIM_PERMERROR, "the key was revoked" },
    [DKIM_KEY_TYPE] = { DKIM_PERMERROR, "the key is of another type" },
    [DKIM_KEY_HASH] = { DKIM_PERMERROR, "the key is not for SHA-256" },
    [DKIM_KEY_SERVICE] = { DKIM_PERMERROR, "the key is not for email" },
    [DKIM_KEY_IDENTITY] = { DKIM_PERMERROR, "the key is not for subdomains, and i= is one" },
    [DKIM_KEY_DATA] = { DKIM_PERMERROR, "the key cannot be decoded" },
    [DKIM_KEY_SHORT] = { DKIM_POLICY, "the key is shorter than 1024 bits" },
    [DKIM_KEY_LONG] = { DKIM_PERMERROR, "the key is longer than 4096 bits" },
    [DKIM_KEY_EXPONENT] = { DKIM_PERMERROR, "the exponent of the key is even, 1, or too large" },
    [DKIM_HEADER_CHANGED] = { DKIM_FAIL, "the signed header fields were changed, or the key is another" },
    [DKIM_BODY_CHANGED] = { DKIM_FAIL, "the body was changed" },
    [DKIM_BODY_SHORTER] = { DKIM_FAIL, "the body is shorter than l=" },
    [DKIM_BODY_LONGER] = { DKIM_POLICY, "the body goes on behind l=" },
};

const char *dkim_reason_text(enum dkim_reason reason)
{
    return reasons[reason].text;
}

enum dkim_result dkim_reason_result(enum dkim_reason reason)
{
    return reasons[reason].result;
}

/* ---- the best of all ---- */

/* Higher is better.  A temperror may hide a pass, so it beats every result that certainly is not one. */
static int rank(enum dkim_result result)
{
    static const int ranks[DKIM_RESULT_COUNT] = {
        [DKIM_NONE] = 0,   [DKIM_NEUTRAL] = 1,   [DKIM_PERMERROR] = 2, [DKIM_FAIL] = 3,
        [DKIM_POLICY] = 4, [DKIM_TEMPERROR] = 5, [DKIM_PASS] = 6,
    };

    return ranks[result];
}

const struct dkim_verdict *dkim_best(const struct dkim *d, dkim_aligned_fn aligned, void *arg)
{
    const struct dkim_verdict *best = NULL;
    bool best_aligned = false;

    for (size_t i = 0; i < dkim_count(d); i++) {
        const struct dkim_verdict *v = dkim_verdict_at(d, i);
        bool is_aligned = aligned != NULL && !slice_empty(v->domain) && aligned(arg, v->domain);

        if (best == NULL || rank(v->result) > rank(best->result) ||
            (rank(v->result) == rank(best->result) && is_aligned && !best_aligned)) {
            best = v;
            best_aligned = is_aligned;
        }
    }
    return best;
}

/* ---- Authentication-Results ---- */

static void put_property(struct buf *out, const char *name, struct slice value)
{
    if (slice_empty(value)) {
        return;
    }
    buf_put_str(out, " header.");
    buf_put_str(out, name);
    buf_put_char(out, '=');
    buf_put_slice(out, value);
}

/* Base64 has `/` and `=`, which need a quoted-string (RFC 2045 5.1). */
static void put_signature(struct buf *out, struct slice prefix)
{
    bool token = slice_find(prefix, '/') == prefix.len && slice_find(prefix, '=') == prefix.len;

    if (slice_empty(prefix)) {
        return;
    }
    buf_put_str(out, token ? " header.b=" : " header.b=\"");
    buf_put_slice(out, prefix);
    buf_put_str(out, token ? "" : "\"");
}

void dkim_put_resinfo(struct buf *out, const struct dkim_verdict *v)
{
    buf_put_str(out, "dkim=");
    buf_put_str(out, dkim_result_text(v->result));
    if (v->reason != DKIM_VERIFIED) {
        buf_put_str(out, " reason=\"");
        buf_put_str(out, dkim_reason_text(v->reason));
        buf_put_char(out, '"');
    }
    put_property(out, "d", v->domain);
    put_property(out, "i", v->identity);
    put_property(out, "s", v->selector);
    put_property(out, "a", slice_str(dkim_algorithm_text(v->algorithm)));
    put_signature(out, slice_str(v->signature));
}
