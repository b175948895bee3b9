/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature.c - reads the tags of a DKIM-Signature field, one small reader for each.
 *
 * RFC 6376 6.1.1 asks verifiers to validate "meticulously": a value that breaks its grammar is a permerror, not a
 * guess.  Unknown tags and z= are ignored.  Values are case-sensitive unless the RFC says otherwise (3.2).
 *
 * Names     d=, s= and the domain of i= end up in DNS questions and in header fields.  They must be host names in
 *           A-labels; d= needs two labels at least.
 * t=        A signature time in the future is accepted.  RFC 6376 3.5 leaves this open, and clocks are wrong.
 */
#include "policy/dkim/signature.h"

#include "core/idna.h"
#include "policy/dkim/tags.h"

#define SIGNATURE_OCTETS_MAX (DKIM_RSA_BITS_MAX / 8)
#define ED25519_SIGNATURE_LEN 64
#define SHA1_LEN 20
#define LOCAL_MAX 64 /* RFC 5321 4.5.3.1.1 */

enum tag_id {
    TAG_V = 0, /* required tags first */
    TAG_A,
    TAG_B,
    TAG_BH,
    TAG_D,
    TAG_H,
    TAG_S,
    TAG_C,
    TAG_I,
    TAG_L,
    TAG_Q,
    TAG_T,
    TAG_X,
    TAG_COUNT,
};

#define REQUIRED_TAGS TAG_C

static const char *const tag_names[TAG_COUNT] = { "v", "a", "b", "bh", "d", "h", "s",
                                                  "c", "i", "l", "q",  "t", "x" };

/* What all readers share. */
struct reading {
    const struct dkim_signature_rules *rules;
    struct dkim_tag tags[TAG_COUNT];
    struct dkim_signature *out;
};

/* ---- names ---- */

/* Converts a host name to lower-case A-labels in the arena; returns the empty slice if it is not a host name. */
static struct slice read_host(const struct reading *r, struct slice text)
{
    char mem[IDNA_NAME_MAX + 1];
    struct buf name;

    buf_init_fixed(&name, mem, sizeof(mem));
    for (size_t i = 0; i < text.len && !r->rules->utf8; i++) {
        if ((unsigned char)text.ptr[i] > 0x7f) {
            return SLICE_NONE;
        }
    }
    if (!idna_to_ascii(text, &name) || !buf_ok(&name)) {
        return SLICE_NONE;
    }
    return arena_slice(r->rules->arena, buf_slice(&name));
}

static enum dkim_reason read_domain(struct reading *r)
{
    struct slice domain = read_host(r, r->tags[TAG_D].value);

    if (slice_find(domain, '.') == domain.len) { /* two labels at least: RFC 6376 3.5, domain-name */
        return DKIM_BAD_DOMAIN;
    }
    r->out->domain = domain;
    return DKIM_VERIFIED;
}

static enum dkim_reason read_selector(struct reading *r)
{
    struct slice selector = read_host(r, r->tags[TAG_S].value);
    struct buf name;
    char mem[IDNA_NAME_MAX + 1];

    if (slice_empty(selector)) {
        return DKIM_BAD_SELECTOR;
    }
    buf_init_fixed(&name, mem, sizeof(mem));
    buf_put_slice(&name, selector);
    buf_put_str(&name, "._domainkey.");
    buf_put_slice(&name, r->out->domain);
    if (!buf_ok(&name)) {
        return DKIM_BAD_SELECTOR;
    }
    r->out->selector = selector;
    r->out->key_name = arena_slice(r->rules->arena, buf_slice(&name));
    return slice_empty(r->out->key_name) ? DKIM_TOO_LARGE : DKIM_VERIFIED;
}

/* The value of a hexadecimal digit, capitals only (RFC 6376 2.11); 16 if `c` is not one. */
static unsigned hex_digit(char c)
{
    return ascii_is_digit(c) ? (unsigned)(c - '0') : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 16;
}

/* Decodes the dkim-quoted-printable of a local part (RFC 6376 2.11); returns false if it is malformed. */
static bool decode_local(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            continue;
        }
        if (c == '=') {
            unsigned high = text.len - i > 2 ? hex_digit(text.ptr[i + 1]) : 16;
            unsigned low = text.len - i > 2 ? hex_digit(text.ptr[i + 2]) : 16;

            if (high == 16 || low == 16) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        buf_put_char(out, c);
    }
    return true;
}

/* Is it a dot-atom (RFC 5322 3.2.3), which a header field can hold without quotation marks? */
static bool is_dot_string(struct slice s)
{
    char before = '.';

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool atext =
            ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);

        if (c == '.' ? before == '.' : !atext) {
            return false;
        }
        before = c;
    }
    return before != '.';
}

/* The domain of i= must equal d= or lie below it (RFC 6376 3.5). */
static enum dkim_reason read_identity(struct reading *r)
{
    struct slice value = r->tags[TAG_I].value, domain = r->out->domain, host;
    size_t at = slice_rfind(value, '@');
    char local_mem[LOCAL_MAX + 1], mem[LOCAL_MAX + 1 + IDNA_NAME_MAX + 1];
    struct buf local, identity;

    r->out->identity_is_domain = true;
    if (!r->tags[TAG_I].present) {
        return DKIM_VERIFIED;
    }
    host = at < value.len ? read_host(r, slice_skip(value, at + 1)) : SLICE_NONE;
    buf_init_fixed(&local, local_mem, sizeof(local_mem));
    if (slice_empty(host) || !slice_ends_nocase(host, domain) ||
        (host.len > domain.len && host.ptr[host.len - domain.len - 1] != '.') ||
        !decode_local(slice_take(value, at), &local)) {
        return DKIM_BAD_IDENTITY;
    }
    buf_init_fixed(&identity, mem, sizeof(mem));
    if (buf_ok(&local) && is_dot_string(buf_slice(&local))) {
        buf_put_slice(&identity, buf_slice(&local));
    }
    buf_put_char(&identity, '@');
    buf_put_slice(&identity, host);
    r->out->identity = arena_slice(r->rules->arena, buf_slice(&identity));
    r->out->identity_is_domain = host.len == domain.len;
    return slice_empty(r->out->identity) ? DKIM_TOO_LARGE : DKIM_VERIFIED;
}

/* ---- what is signed ---- */

static enum dkim_reason read_algorithm(struct reading *r)
{
    for (enum dkim_algorithm a = DKIM_RSA_SHA256; a < DKIM_ALGORITHM_COUNT; a++) {
        if (slice_eq(r->tags[TAG_A].value, slice_str(dkim_algorithm_text(a)))) {
            r->out->algorithm = a;
            return DKIM_VERIFIED;
        }
    }
    return DKIM_BAD_ALGORITHM;
}

static bool read_canon_word(struct slice word, enum dkim_canon *out)
{
    for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
        if (slice_eq(word, slice_str(dkim_canon_text(c)))) {
            *out = c;
            return true;
        }
    }
    return false;
}

/* "header/body".  Without "/body" the body's form is simple, whatever the header's is (RFC 6376 3.5). */
static enum dkim_reason read_canon(struct reading *r)
{
    struct slice rest = r->tags[TAG_C].value, head;
    bool has_body = slice_find(rest, '/') < rest.len;

    if (!r->tags[TAG_C].present) {
        return DKIM_VERIFIED;
    }
    head = slice_cut(&rest, '/');
    if (!read_canon_word(head, &r->out->header_canon) ||
        (has_body && !read_canon_word(rest, &r->out->body_canon))) {
        return DKIM_BAD_CANON;
    }
    return DKIM_VERIFIED;
}

bool dkim_signature_name(struct slice *rest, bool *done, struct slice *name)
{
    return dkim_tags_item(rest, done, name);
}

/* ftext of RFC 5322 3.6.8; the tag list has no semicolon or colon left in it here. */
static bool is_field_name(struct slice s)
{
    return !slice_empty(s) && slice_plain(s) == s.len && slice_find(s, ' ') == s.len;
}

static enum dkim_reason read_names(struct reading *r)
{
    struct slice rest = r->tags[TAG_H].value, name;
    bool done = false, has_from = false;
    size_t count = 0;

    while (dkim_signature_name(&rest, &done, &name)) {
        if (!is_field_name(name) || ++count > DKIM_NAMES_MAX) {
            return DKIM_BAD_NAMES;
        }
        has_from = has_from || slice_eq_nocase(name, SLICE("From"));
    }
    r->out->names = r->tags[TAG_H].value;
    return has_from ? DKIM_VERIFIED : DKIM_FROM_UNSIGNED;
}

/* Checks the length here, so that later code can compare whole hashes.  A hash of rsa-sha1 has its own length. */
static enum dkim_reason read_body_hash(struct reading *r)
{
    size_t len = r->out->algorithm == DKIM_RSA_SHA1 ? SHA1_LEN : DKIM_HASH_LEN;
    struct slice *hash = &r->out->body_hash;

    if (!dkim_tags_base64(r->tags[TAG_BH].value, len, r->rules->arena, hash) || hash->len != len) {
        return DKIM_BAD_BODY_HASH;
    }
    return DKIM_VERIFIED;
}

static enum dkim_reason read_signature(struct reading *r)
{
    struct slice *octets = &r->out->signature;

    r->out->signature_text = r->tags[TAG_B].raw;
    if (!dkim_tags_base64(r->tags[TAG_B].value, SIGNATURE_OCTETS_MAX, r->rules->arena, octets) ||
        octets->len == 0) {
        return DKIM_BAD_SIGNATURE;
    }
    if (r->out->algorithm == DKIM_ED25519_SHA256 && octets->len != ED25519_SIGNATURE_LEN) {
        return DKIM_BAD_SIGNATURE;
    }
    return DKIM_VERIFIED;
}

/* Up to 76 digits.  A value over 64 bits is longer than any body, so it saturates. */
static enum dkim_reason read_length(struct reading *r)
{
    struct slice text = r->tags[TAG_L].value;

    if (!r->tags[TAG_L].present) {
        return DKIM_VERIFIED;
    }
    if (slice_empty(text) || text.len > 76) {
        return DKIM_BAD_LENGTH;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.ptr[i])) {
            return DKIM_BAD_LENGTH;
        }
    }
    if (!slice_to_u64(text, UINT64_MAX, &r->out->length)) {
        r->out->length = UINT64_MAX;
    }
    r->out->has_length = true;
    return DKIM_VERIFIED;
}

/* ---- when and how ---- */

/* A value of more than 12 digits counts as infinite (RFC 6376 3.5, t=). */
static bool read_time(const struct dkim_tag *tag, int64_t *out)
{
    uint64_t value = INT64_MAX;

    if (!tag->present) {
        return true;
    }
    if (tag->value.len <= 12 && !slice_to_u64(tag->value, INT64_MAX, &value)) {
        return false;
    }
    for (size_t i = 0; i < tag->value.len; i++) {
        if (!ascii_is_digit(tag->value.ptr[i])) {
            return false;
        }
    }
    *out = (int64_t)value;
    return true;
}

static enum dkim_reason read_times(struct reading *r)
{
    struct dkim_signature *out = r->out;

    if (!read_time(&r->tags[TAG_T], &out->signed_s) || !read_time(&r->tags[TAG_X], &out->expires_s)) {
        return DKIM_BAD_TIME;
    }
    if (out->expires_s >= 0 && out->expires_s <= out->signed_s) {
        return DKIM_EXPIRES_BEFORE;
    }
    return DKIM_VERIFIED;
}

static enum dkim_reason read_version(struct reading *r)
{
    return slice_eq(r->tags[TAG_V].value, SLICE("1")) ? DKIM_VERIFIED : DKIM_BAD_VERSION;
}

static enum dkim_reason read_query(struct reading *r)
{
    bool known = !r->tags[TAG_Q].present || dkim_tags_list_has(r->tags[TAG_Q].value, SLICE("dns/txt"));

    return known ? DKIM_VERIFIED : DKIM_BAD_QUERY;
}

enum dkim_reason dkim_signature_read(struct slice value, const struct dkim_signature_rules *rules,
                                     struct dkim_signature *out)
{
    /* names first, so that a report can name the signer of a broken signature */
    static enum dkim_reason (*const readers[])(struct reading *) = {
        read_domain, read_selector, read_algorithm, read_signature, read_version,  read_canon,
        read_names,  read_query,    read_body_hash, read_length,    read_identity, read_times,
    };
    struct reading r = { .rules = rules, .out = out };
    enum dkim_reason reason = DKIM_VERIFIED;
    struct slice first;

    *out = (struct dkim_signature){ .signed_s = -1, .expires_s = -1 };
    if (!dkim_tags_read(value, tag_names, r.tags, TAG_COUNT, &first)) {
        return DKIM_BAD_TAGS;
    }
    for (size_t i = 0; i < REQUIRED_TAGS; i++) {
        if (!r.tags[i].present) {
            reason = DKIM_TAG_MISSING;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        enum dkim_reason found = readers[i](&r);

        reason = reason == DKIM_VERIFIED ? found : reason;
    }
    if (reason == DKIM_VERIFIED && out->algorithm == DKIM_RSA_SHA1) {
        return DKIM_SHA1;
    }
    if (reason == DKIM_VERIFIED && out->expires_s >= 0 && out->expires_s < rules->now_s) {
        return DKIM_EXPIRED;
    }
    return reason;
}
