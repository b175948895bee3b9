/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authres.c - results of authentication as header fields.
 *
 * Values    a token if the grammar allows one, else a quoted-string with `\` and `"` escaped; only printable ASCII.
 *           If a local part is not a dot-string, only the domain is written: readers disagree about quoting, and the
 *           domain is enough.
 * Results   name their identity: a result whose HELO or sender cannot be written is left out.
 * Lines     one result a line, which keeps them below 998 octets: an address has at most 320, a mechanism
 *           255.
 * Message   dkim_put_resinfo and its DMARC counterpart check the values of signatures and of DMARC.
 * RFC       8601 2.2, 2.3, 2.7.2, 2.7.3; 7208 9.1; 5322 3.2
 */
#include "policy/judge/authres.h"

#include "core/utf8.h"
#include "policy/rules/address.h"

enum {
    LOCAL_MAX = 64, /* RFC 5321 4.5.3.1.1 */
};

/* dot-atom of RFC 5322 3.2.3. */
static bool is_dot_atom(struct slice s)
{
    return address_is_dot_string(s) && !utf8_has_8bit(s);
}

/* token of RFC 2045 5.1. */
static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_print(s.ptr[i]) || strchr(" ()<>@,;:\\\"/[]?=", s.ptr[i]) != NULL) {
            return false;
        }
    }
    return !slice_empty(s);
}

static void put_quoted_string(struct buf *out, struct slice s)
{
    buf_put_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_print(s.ptr[i])) {
            continue;
        }
        if (s.ptr[i] == '"' || s.ptr[i] == '\\') {
            buf_put_char(out, '\\');
        }
        buf_put_char(out, s.ptr[i]);
    }
    buf_put_char(out, '"');
}

static void put_value(struct buf *out, struct slice s)
{
    if (is_token(s)) {
        buf_put_slice(out, s);
    } else {
        put_quoted_string(out, s);
    }
}

/* As in Received-SPF: dot-atom or quoted-string. */
static void put_atom(struct buf *out, struct slice s)
{
    if (is_dot_atom(s)) {
        buf_put_slice(out, s);
    } else {
        put_quoted_string(out, s);
    }
}

static void put_ip(struct buf *out, const struct addr *a)
{
    if (a->family == ADDR_V6) {
        buf_put_char(out, '"'); /* a colon is not allowed in a token */
        addr_put_ip(out, a);
        buf_put_char(out, '"');
    } else {
        addr_put_ip(out, a);
    }
}

/* The domain of an address; empty if it cannot be written. */
static struct slice domain_of(struct slice sender)
{
    size_t at = slice_rfind(sender, '@');
    struct slice domain = at < sender.len ? slice_skip(sender, at + 1) : sender;

    return hostname_valid(domain) ? domain : SLICE_NONE;
}

/* The local part, empty unless it is a dot-string of legal length. */
static struct slice local_of(struct slice sender)
{
    struct slice local = slice_take(sender, slice_rfind(sender, '@'));

    return local.len < sender.len && local.len <= LOCAL_MAX && is_dot_atom(local) ? local : SLICE_NONE;
}

/* A host name, or an address literal. */
static bool helo_is_legal(struct slice helo)
{
    struct slice inner = slice_take(slice_skip(helo, 1), helo.len < 2 ? 0 : helo.len - 2);
    struct addr a;

    if (hostname_valid(helo)) {
        return true;
    }
    if (helo.len < 2 || helo.ptr[0] != '[' || helo.ptr[helo.len - 1] != ']') {
        return false;
    }
    if (slice_starts_nocase(inner, SLICE("IPv6:"))) {
        inner = slice_skip(inner, 5);
    }
    return addr_parse_ip(inner, &a);
}

/* The domain to write for MAIL FROM: the sender's, else the one that was checked; empty: neither can be written. */
static struct slice mailfrom_domain(const struct authres *a, const struct spf_verdict *v)
{
    struct slice domain = domain_of(a->sender), used = slice_str(v->domain);

    return !slice_empty(domain) || !hostname_valid(used) ? domain : used;
}

static void put_mailfrom(struct buf *out, const struct authres *a, const struct spf_verdict *v)
{
    struct slice local = slice_empty(domain_of(a->sender)) ? SLICE_NONE : local_of(a->sender);

    buf_put_str(out, " smtp.mailfrom=");
    if (!slice_empty(local)) {
        buf_put_slice(out, local);
        buf_put_char(out, '@');
    }
    buf_put_slice(out, mailfrom_domain(a, v));
}

/* False for an illegal HELO, or a sender whose domain is an address: such a result is useless. */
static bool names_its_identity(const struct authres *a, const struct spf_verdict *v)
{
    return v != NULL &&
           (v->identity == SPF_MAILFROM ? !slice_empty(mailfrom_domain(a, v)) : helo_is_legal(a->helo));
}

static void put_spf(struct buf *out, const struct authres *a, const struct spf_verdict *v)
{
    buf_put_str(out, ";\r\n spf=");
    buf_put_str(out, spf_result_text(v->result));
    if (v->weak) {
        buf_put_str(out, " reason=\"weak pass\"");
    }
    if (v->identity == SPF_MAILFROM) {
        put_mailfrom(out, a, v);
    } else {
        buf_put_str(out, " smtp.helo=");
        put_value(out, a->helo);
    }
}

/* iprev has no result "none": a missing name is a fail (RFC 8601 2.7.3). */
static void put_iprev(struct buf *out, const struct authres *a)
{
    static const struct slice words[] = {
        SLICE_INIT("pass"),
        SLICE_INIT("fail"),
        SLICE_INIT("temperror"),
        SLICE_INIT("permerror"),
    };
    struct slice word = words[1];

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        word = slice_eq(a->iprev, words[i]) ? words[i] : word;
    }
    buf_put_str(out, ";\r\n iprev=");
    buf_put_slice(out, word);
    if (a->client.family != ADDR_NONE) {
        buf_put_str(out, " policy.iprev=");
        put_ip(out, &a->client);
    }
    if (hostname_valid(a->rdns)) {
        buf_put_str(out, " (");
        buf_put_slice(out, a->rdns);
        buf_put_char(out, ')');
    }
}

/* ---- the message ---- */

static void put_signature(struct buf *out, const struct dkim_verdict *v)
{
    buf_put_str(out, ";\r\n ");
    dkim_put_resinfo(out, v);
}

/* Writes each examined signature; if there is none, the reason why the first one was not examined. */
static void put_dkim(struct buf *out, const struct authres *a)
{
    size_t examined = 0;

    if (a->dkim == NULL) {
        buf_put_str(out, ";\r\n dkim=none");
        return;
    }
    for (size_t i = 0; i < dkim_count(a->dkim); i++) {
        const struct dkim_verdict *v = dkim_verdict_at(a->dkim, i);

        if (v->examined) {
            put_signature(out, v);
            examined++;
        }
    }
    if (examined == 0 && dkim_count(a->dkim) > 0) {
        put_signature(out, dkim_verdict_at(a->dkim, 0));
    }
}

static void put_dmarc(struct buf *out, const struct authres *a)
{
    const struct dmarc_outcome *o = a->dmarc;

    buf_put_str(out, ";\r\n dmarc=");
    buf_put_str(out, dmarc_result_text(o->result));
    if (o->result == DMARC_TEMPERROR || o->result == DMARC_PERMERROR) {
        buf_put_str(out, " reason=\"");
        buf_put_str(out, dmarc_reason_text(o->reason));
        buf_put_char(out, '"');
    }
    if (hostname_valid(a->author)) {
        buf_put_str(out, " header.from=");
        buf_put_slice(out, a->author);
    }
    if (o->policy_known) {
        buf_put_str(out, " policy.dmarc=");
        buf_put_str(out, dmarc_policy_text(o->policy));
    }
}

void authres_put(struct buf *out, const struct authres *a)
{
    /* For the null sender both results are the same. */
    bool twice = a->spf != NULL && a->spf->identity == SPF_HELO;
    bool sender = names_its_identity(a, a->spf), helo = !twice && names_its_identity(a, a->spf_helo);

    buf_put_str(out, "Authentication-Results: ");
    put_value(out, slice_take(a->authserv_id, SPF_NAME_MAX));
    if (sender) {
        put_spf(out, a, a->spf);
    }
    if (helo) {
        put_spf(out, a, a->spf_helo);
    }
    if (a->verified) {
        put_dkim(out, a);
    }
    if (a->dmarc != NULL) {
        put_dmarc(out, a);
    }
    if (!slice_empty(a->iprev)) {
        put_iprev(out, a);
    }
    if (!sender && !helo && !a->verified && slice_empty(a->iprev)) {
        buf_put_str(out, "; none");
    }
    buf_put_str(out, "\r\n");
}

/* Puts the result as a phrase in the comment; uses only checked names. */
static void put_comment(struct buf *out, const struct authres *a, const struct spf_verdict *v)
{
    static const char *const words[SPF_RESULT_COUNT] = {
        [SPF_NONE] = "no record of",
        [SPF_NEUTRAL] = "no statement by",
        [SPF_PASS] = "authorised by",
        [SPF_FAIL] = "not authorised by",
        [SPF_SOFTFAIL] = "probably not authorised by",
        [SPF_TEMPERROR] = "no answer about",
        [SPF_PERMERROR] = "unusable record of",
    };

    if (!hostname_valid(slice_str(v->domain)) || !hostname_valid(a->authserv_id)) {
        return;
    }
    buf_put_str(out, " (");
    buf_put_slice(out, a->authserv_id);
    buf_put_str(out, ": ");
    buf_put_str(out, v->weak ? "weak pass by" : words[v->result]);
    buf_put_char(out, ' ');
    buf_put_str(out, v->domain);
    buf_put_char(out, ')');
}

static void put_key(struct buf *out, const char *key, struct slice value)
{
    buf_put_str(out, ";\r\n ");
    buf_put_str(out, key);
    buf_put_char(out, '=');
    put_atom(out, value);
}

void authres_put_received_spf(struct buf *out, const struct authres *a)
{
    const struct spf_verdict *v = a->spf != NULL ? a->spf : a->spf_helo;
    bool errs;

    if (v == NULL) {
        return;
    }
    errs = v->result == SPF_TEMPERROR || v->result == SPF_PERMERROR;
    buf_put_str(out, "Received-SPF: ");
    buf_put_str(out, spf_result_text(v->result));
    put_comment(out, a, v);
    buf_put_str(out, "\r\n identity=");
    buf_put_str(out, spf_identity_text(v->identity));
    if (a->client.family != ADDR_NONE) {
        buf_put_str(out, ";\r\n client-ip=");
        put_ip(out, &a->client);
    }
    if (!slice_empty(domain_of(a->sender)) && !slice_empty(local_of(a->sender))) {
        put_key(out, "envelope-from", a->sender);
    }
    if (helo_is_legal(a->helo)) {
        put_key(out, "helo", a->helo);
    }
    put_key(out, "receiver", slice_take(a->authserv_id, SPF_NAME_MAX));
    if (v->mechanism[0] != '\0') {
        put_key(out, "mechanism", slice_str(v->mechanism));
    }
    if (errs && v->problem[0] != '\0') {
        put_key(out, "problem", slice_str(v->problem));
    }
    buf_put_str(out, "\r\n");
}
