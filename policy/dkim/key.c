/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key.c - key records, and RSA keys in DER.
 *
 * RSA keys come in two forms: RSAPublicKey, which RFC 6376 3.6.1 specifies, and SubjectPublicKeyInfo, which most
 * domains publish.  The reader takes both, strictly: minimal definite lengths, no trailing octets.  It needs less
 * than 1 us, where d2i_PUBKEY of OpenSSL 3.0 needs 120 to 300.
 *
 * It checks size and exponent before any arithmetic, because a long exponent makes verifying as slow as signing
 * (12.9 ms for 3,072 bits).
 */
#include "policy/dkim/key.h"

#include "core/reader.h"
#include "policy/dkim/tags.h"

#define KEY_OCTETS_MAX (DKIM_KEY_MAX / 4 * 3)
#define ED25519_KEY_LEN 32
#define EXPONENT_OCTETS_MAX 4 /* odd and below 2^32 */

enum der_type {
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_SEQUENCE = 0x30,
};

enum tag_id {
    TAG_V = 0,
    TAG_H,
    TAG_K,
    TAG_P,
    TAG_S,
    TAG_T,
    TAG_COUNT,
};

static const char *const tag_names[TAG_COUNT] = { "v", "h", "k", "p", "s", "t" };

/* ---- DER (X.690 10.1) ---- */

static struct reader reader_in(struct slice s)
{
    return reader_of(s.ptr, s.len);
}

/* Takes the content of the next element; the reader fails if the element has another type or is not DER. */
static struct slice der_take(struct reader *r, enum der_type type)
{
    bool right = reader_u8(r) == (uint8_t)type;
    size_t len = reader_u8(r);

    if (len == 0x81) {
        len = reader_u8(r);
        right = right && len >= 0x80; /* else the short form is due */
    } else if (len == 0x82) {
        len = reader_u16(r);
        right = right && len >= 0x100;
    } else {
        right = right && len < 0x80;
    }
    r->failed = r->failed || !right;
    return reader_take(r, len);
}

/* Takes a positive integer, without its sign octet; empty if it is zero, negative or not minimal. */
static struct slice der_number(struct reader *r)
{
    struct slice s = der_take(r, DER_INTEGER);
    uint8_t first = s.len > 0 ? (uint8_t)s.ptr[0] : 0x80;

    if (first >= 0x80) {
        return SLICE_NONE;
    }
    if (first == 0) {
        s = slice_skip(s, 1);
        return s.len > 0 && (uint8_t)s.ptr[0] >= 0x80 ? s : SLICE_NONE;
    }
    return s;
}

/* RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 A.1.1) */
static bool read_rsa_numbers(struct slice der, struct dkim_key *out)
{
    struct reader whole = reader_in(der);
    struct reader r = reader_in(der_take(&whole, DER_SEQUENCE));

    out->modulus = der_number(&r);
    out->exponent = der_number(&r);
    return !whole.failed && !r.failed && whole.len == 0 && r.len == 0 && out->modulus.len > 0 &&
           out->exponent.len > 0;
}

/* The RSAPublicKey inside of a SubjectPublicKeyInfo (RFC 3279 2.3.1); empty if `der` is not one. */
static struct slice unwrap_rsa(struct slice der)
{
    static const struct slice rsa_encryption =
        SLICE_INIT("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"); /* 1.2.840.113549.1.1.1 */
    struct reader whole = reader_in(der);
    struct reader r = reader_in(der_take(&whole, DER_SEQUENCE));
    struct reader algorithm = reader_in(der_take(&r, DER_SEQUENCE));
    bool is_rsa = slice_eq(der_take(&algorithm, DER_OID), rsa_encryption);
    struct slice bits = der_take(&r, DER_BIT_STRING);

    if (algorithm.len > 0) { /* parameters are NULL; some encoders omit them */
        is_rsa = slice_empty(der_take(&algorithm, DER_NULL)) && is_rsa;
    }
    if (whole.failed || r.failed || algorithm.failed || !is_rsa || whole.len > 0 || r.len > 0 ||
        algorithm.len > 0 || bits.len == 0 || bits.ptr[0] != 0) { /* no unused bits */
        return SLICE_NONE;
    }
    return slice_skip(bits, 1);
}

static unsigned bits_of(struct slice number)
{
    unsigned bits = (unsigned)number.len * 8;

    for (unsigned top = 0x80; top > 0 && ((uint8_t)number.ptr[0] & top) == 0; top >>= 1) {
        bits--;
    }
    return bits;
}

static bool is_odd(struct slice number)
{
    return ((uint8_t)number.ptr[number.len - 1] & 1) != 0;
}

static enum dkim_reason read_rsa(struct slice der, struct dkim_key *out)
{
    struct slice inner = unwrap_rsa(der);

    if (!read_rsa_numbers(slice_empty(inner) ? der : inner, out)) {
        return DKIM_KEY_DATA;
    }
    out->bits = bits_of(out->modulus);
    if (out->bits > DKIM_RSA_BITS_MAX) {
        return DKIM_KEY_LONG;
    }
    if (out->exponent.len > EXPONENT_OCTETS_MAX || !is_odd(out->exponent) || bits_of(out->exponent) == 1) {
        return DKIM_KEY_EXPONENT;
    }
    if (!is_odd(out->modulus)) {
        return DKIM_KEY_DATA;
    }
    return out->bits < DKIM_RSA_BITS_MIN ? DKIM_KEY_SHORT : DKIM_VERIFIED;
}

/* ---- the record ---- */

static bool read_type(const struct dkim_tag *k, enum dkim_key_type *out)
{
    *out = k->present && slice_eq(k->value, SLICE("ed25519")) ? DKIM_KEY_ED25519 : DKIM_KEY_RSA;
    return *out == DKIM_KEY_ED25519 || !k->present || slice_eq(k->value, SLICE("rsa"));
}

/* Does this list name one of two words?  An absent list allows everything. */
static bool allows(const struct dkim_tag *list, struct slice word, struct slice other)
{
    return !list->present || dkim_tags_list_has(list->value, word) ||
           (!slice_empty(other) && dkim_tags_list_has(list->value, other));
}

static enum dkim_reason read_data(struct slice text, struct arena *arena, struct dkim_key *out)
{
    struct slice octets;

    if (!dkim_tags_base64(text, KEY_OCTETS_MAX, arena, &octets)) {
        return DKIM_KEY_DATA;
    }
    if (out->type == DKIM_KEY_RSA) {
        return read_rsa(octets, out);
    }
    out->point = octets;
    return octets.len == ED25519_KEY_LEN ? DKIM_VERIFIED : DKIM_KEY_DATA;
}

enum dkim_reason dkim_key_read(struct slice record, struct arena *arena, struct dkim_key *out)
{
    struct dkim_tag tags[TAG_COUNT];
    struct slice first;

    *out = (struct dkim_key){ .type = DKIM_KEY_RSA };
    if (record.len > DKIM_RECORD_MAX || !dkim_tags_read(record, tag_names, tags, TAG_COUNT, &first)) {
        return DKIM_KEY_SYNTAX;
    }
    if (tags[TAG_V].present &&
        (!slice_eq(first, SLICE("v")) || !slice_eq(tags[TAG_V].value, SLICE("DKIM1")))) {
        return DKIM_KEY_VERSION;
    }
    if (!tags[TAG_P].present) {
        return DKIM_KEY_SYNTAX;
    }
    if (!allows(&tags[TAG_H], SLICE("sha256"), SLICE_NONE)) {
        return DKIM_KEY_HASH;
    }
    if (!allows(&tags[TAG_S], SLICE("email"), SLICE("*"))) {
        return DKIM_KEY_SERVICE;
    }
    if (slice_empty(tags[TAG_P].value)) {
        return DKIM_KEY_REVOKED;
    }
    if (!read_type(&tags[TAG_K], &out->type)) {
        return DKIM_KEY_TYPE;
    }
    out->testing = tags[TAG_T].present && dkim_tags_list_has(tags[TAG_T].value, SLICE("y"));
    out->strict = tags[TAG_T].present && dkim_tags_list_has(tags[TAG_T].value, SLICE("s"));
    out->data = read_data(tags[TAG_P].value, arena, out);
    return DKIM_VERIFIED;
}
