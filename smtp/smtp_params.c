/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_params.c - ESMTP parameters: one table of keywords per command, each keyword with its own check.
 *
 * A keyword is known only if we offered its extension (ADR-07), and may occur once (CMD-30).  We accept AUTH= from
 * every client and ignore it (RLY-12).
 *
 * A problem with notification parameters (RFC 3461) should not cost the mail.  We refuse only plainly wrong values
 * (DSN-03: RET=SOME, NOTIFY=SOMETIMES or NEVER,SUCCESS, ORCPT without a type) and rewrite an odd but clear value
 * canonically.  We drop the rest, and every parameter of a client to which we did not offer DSN.
 *
 * RFC: 5321 4.1.1.11, 4.1.2; 1870 (SIZE), 6152 (BODY), 6531 (SMTPUTF8), 3461 (RET ENVID NOTIFY ORCPT),
 * 4954 (AUTH), 6533 (ORCPT in UTF-8).
 */
#include "smtp/smtp_params.h"

#include "core/utf8.h"

struct param {
    struct slice key, value;
    bool has_value; /* it has a '=' */
};

struct params { /* targets of both commands; the other command's is NULL */
    const struct smtp_offer *offer;
    struct mail_params *mail;
    struct rcpt_params *rcpt;
    bool utf8; /* ORCPT may have raw UTF-8 */
};

/* True: the value is valid for this keyword, and *p is filled. */
typedef bool (*param_check)(struct slice value, struct params *p);

enum keyword_kind {
    WITH_VALUE = 0,
    WITHOUT_VALUE,
    TOLERANT,     /* any value or none; only its check decides */
    NOTIFICATION, /* the same, and known whether offered or not */
};

struct keyword {
    struct slice name;
    size_t offered; /* place of the flag in struct smtp_offer */
    enum keyword_kind kind;
    param_check check;
};

/* ---- xtext (RFC 3461 4) ---- */

static int hex_value(char c)
{
    return ascii_is_digit(c)      ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

bool xtext_valid(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c <= ' ' || c > '~' || c == '=') {
            return false;
        }
        if (c != '+') {
            continue;
        }
        if (s.len - i < 3 || hex_value(s.ptr[i + 1]) < 0 || hex_value(s.ptr[i + 2]) < 0 ||
            s.ptr[i + 1] >= 'a' || s.ptr[i + 2] >= 'a') {
            return false;
        }
        i += 2;
    }
    return true;
}

/* Puts valid xtext: hex digits in upper case, a bare '=' encoded.  False: not xtext, or it encodes a control. */
static bool xtext_tidy(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        int octet = s.len - i >= 3 && hex_value(s.ptr[i + 1]) >= 0 && hex_value(s.ptr[i + 2]) >= 0
                        ? hex_value(s.ptr[i + 1]) * 16 + hex_value(s.ptr[i + 2])
                        : -1;

        if (c <= ' ' || c > '~' || (c == '+' && (octet < ' ' || octet == 0x7f))) {
            return false;
        }
        if (c == '+') {
            buf_putf(out, "+%02X", (unsigned)octet);
            i += 2;
        } else if (c == '=') {
            buf_put_str(out, "+3D");
        } else {
            buf_put_char(out, c);
        }
    }
    return buf_ok(out);
}

void xtext_put(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c > ' ' && c <= '~' && c != '+' && c != '=') {
            buf_put_char(b, s.ptr[i]);
        } else {
            buf_put_char(b, '+');
            buf_put_char(b, hex[c >> 4]);
            buf_put_char(b, hex[c & 15]);
        }
    }
}

/* ---- the values ---- */

static bool check_size(struct slice value, struct params *p)
{
    p->mail->size_given = true;
    return value.len <= 20 && slice_to_u64(value, UINT64_MAX, &p->mail->size); /* RFC 1870 5: 1*20DIGIT */
}

static bool check_body(struct slice value, struct params *p)
{
    if (slice_eq_nocase(value, SLICE("7BIT"))) {
        p->mail->body = BODY_7BIT;
    } else if (slice_eq_nocase(value, SLICE("8BITMIME"))) {
        p->mail->body = BODY_8BITMIME;
    }
    return p->mail->body != BODY_NOT_GIVEN; /* BINARYMIME is not offered: BDT-17 */
}

static bool check_smtputf8(struct slice value UNUSED, struct params *p)
{
    p->mail->smtputf8 = true;
    return true;
}

static bool check_auth(struct slice value UNUSED, struct params *p UNUSED)
{
    return true;
}

static bool dsn_offered(const struct params *p)
{
    return p->offer->esmtp && p->offer->dsn;
}

static bool check_ret(struct slice value, struct params *p)
{
    enum dsn_ret ret = slice_eq_nocase(value, SLICE("FULL"))   ? RET_FULL
                       : slice_eq_nocase(value, SLICE("HDRS")) ? RET_HDRS
                                                               : RET_NOT_GIVEN;

    if (dsn_offered(p)) {
        p->mail->ret = ret;
    }
    return slice_empty(value) || ret != RET_NOT_GIVEN;
}

static bool check_envid(struct slice value, struct params *p)
{
    if (!dsn_offered(p) || !xtext_tidy(&p->mail->envid, value)) {
        buf_reset(&p->mail->envid);
    }
    return true;
}

static void put_upper(struct buf *out, struct slice word)
{
    buf_put_str(out, out->len > 0 ? "," : "");
    for (size_t i = 0; i < word.len; i++) {
        buf_put_char(out, word.ptr[i] >= 'a' ? (char)(word.ptr[i] - 'a' + 'A') : word.ptr[i]);
    }
}

/*
 * Takes NEVER alone, or some of the three others (RFC 3461 4.1).  Passes on SUCCESS only for known clients: a forged
 * sender would get a report for each recipient that accepts the mail.
 */
static bool check_notify(struct slice value, struct params *p)
{
    static const struct slice words[] = { SLICE_INIT("NEVER"), SLICE_INIT("SUCCESS"), SLICE_INIT("FAILURE"),
                                          SLICE_INIT("DELAY") };
    unsigned seen = 0;

    while (value.len > 0) {
        struct slice word = slice_cut(&value, ',');
        unsigned i = 0;

        while (i < ARRAY_LEN(words) && !slice_eq_nocase(word, words[i])) {
            i++;
        }
        if (word.len > 0 && i == ARRAY_LEN(words)) {
            return false;
        }
        if (word.len > 0 && (seen & 1u << i) == 0 && dsn_offered(p) && (i != 1 || p->offer->dsn_success)) {
            put_upper(&p->rcpt->notify, word);
        }
        seen |= word.len > 0 ? 1u << i : 0;
    }
    return (seen & 1) == 0 || seen == 1;
}

/* Is it UTF-8 without blanks, controls (also C1) and '='? */
static bool is_raw_utf8(struct slice s)
{
    while (s.len > 0) {
        size_t len;
        uint32_t c = utf8_decode(s, &len);

        if (len == 0 || c <= ' ' || c == '=' || (c >= 0x7f && c < 0xa0)) {
            return false;
        }
        s = slice_skip(s, len);
    }
    return true;
}

static bool is_address_type(struct slice s)
{
    bool ok = s.len > 0;

    for (size_t i = 0; i < s.len && ok; i++) {
        ok = ascii_is_alpha(s.ptr[i]) || ascii_is_digit(s.ptr[i]) || s.ptr[i] == '-';
    }
    return ok;
}

/* Takes addr-type ";" xtext (RFC 3461 4.2); with SMTPUTF8 also "utf-8;" and raw UTF-8 (RFC 6533 3). */
static bool check_orcpt(struct slice value, struct params *p)
{
    struct buf *out = &p->rcpt->orcpt;
    struct slice rest = value, type = slice_cut(&rest, ';');
    bool raw = p->utf8 && utf8_has_8bit(rest) && slice_eq_nocase(type, SLICE("utf-8"));
    bool keep = dsn_offered(p) && is_address_type(type) && rest.len > 0;

    buf_put_slice(out, type);
    buf_put_char(out, ';');
    if (raw) {
        buf_put_slice(out, rest);
        keep = keep && buf_ok(out) && is_raw_utf8(rest);
    } else {
        keep = xtext_tidy(out, rest) && keep;
    }
    if (!keep) {
        buf_reset(out);
    }
    return value.len == 0 || type.len < value.len;
}

#define OFFERED(flag) offsetof(struct smtp_offer, flag)

static const struct keyword mail_keywords[] = {
    { SLICE_INIT("SIZE"), OFFERED(size), WITH_VALUE, check_size },
    { SLICE_INIT("BODY"), OFFERED(eightbitmime), WITH_VALUE, check_body },
    { SLICE_INIT("SMTPUTF8"), OFFERED(smtputf8), WITHOUT_VALUE, check_smtputf8 },
    { SLICE_INIT("RET"), OFFERED(dsn), NOTIFICATION, check_ret },
    { SLICE_INIT("ENVID"), OFFERED(dsn), NOTIFICATION, check_envid },
    { SLICE_INIT("AUTH"), OFFERED(esmtp), TOLERANT, check_auth },
};

static const struct keyword rcpt_keywords[] = {
    { SLICE_INIT("NOTIFY"), OFFERED(dsn), NOTIFICATION, check_notify },
    { SLICE_INIT("ORCPT"), OFFERED(dsn), NOTIFICATION, check_orcpt },
};

/* ---- the list ---- */

/* Splits esmtp-keyword ["=" esmtp-value], RFC 5321 4.1.2.  The check of the keyword validates the value. */
static bool split_param(struct slice word, struct param *out)
{
    size_t eq = slice_find(word, '=');

    out->key = slice_take(word, eq);
    out->value = slice_skip(word, eq + 1);
    out->has_value = eq < word.len;
    if (out->key.len == 0 || out->key.ptr[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < out->key.len; i++) {
        if (!ascii_is_alpha(out->key.ptr[i]) && !ascii_is_digit(out->key.ptr[i]) && out->key.ptr[i] != '-') {
            return false;
        }
    }
    return true;
}

struct keywords {
    const struct keyword *list;
    size_t count;
};

/* Position in the list, or its count if the keyword is unknown or we did not offer it. */
static size_t find_keyword(const struct keywords *known, struct slice key, const struct smtp_offer *offer)
{
    for (size_t i = 0; i < known->count; i++) {
        const struct keyword *k = &known->list[i];

        if (slice_eq_nocase(k->name, key)) {
            bool offered = offer->esmtp && *(const bool *)((const char *)offer + k->offered);

            return offered || k->kind == NOTIFICATION ? i : known->count;
        }
    }
    return known->count;
}

static enum parse_status judge_value(const struct keyword *k, const struct param *param, struct params *out)
{
    bool strict = k->kind == WITH_VALUE || k->kind == WITHOUT_VALUE;

    if (strict && utf8_has_8bit(param->value)) {
        return PARSE_UTF8_NEEDED;
    }
    if (strict &&
        (param->has_value != (k->kind == WITH_VALUE) || param->has_value != !slice_empty(param->value))) {
        return PARSE_BAD_PARAM;
    }
    return k->check(param->value, out) ? PARSE_OK : PARSE_BAD_PARAM;
}

static enum parse_status parse_params(struct slice rest, const struct keywords *known, struct params *out)
{
    enum parse_status status = PARSE_OK;
    unsigned seen = 0;

    while (status == PARSE_OK) {
        struct slice word = slice_token(&rest);
        struct param param;
        size_t at;

        if (word.len == 0) {
            return PARSE_OK;
        }
        if (!split_param(word, &param)) {
            return utf8_has_8bit(param.key) && !out->utf8 ? PARSE_UTF8_NEEDED : PARSE_BAD_PARAM;
        }
        at = find_keyword(known, param.key, out->offer);
        if (at == known->count) {
            return PARSE_UNKNOWN_PARAM;
        }
        if ((seen & 1u << at) != 0) {
            return PARSE_BAD_PARAM;
        }
        seen |= 1u << at;
        status = judge_value(&known->list[at], &param, out);
    }
    return status;
}

enum parse_status params_mail(struct slice rest, const struct smtp_offer *offer, struct mail_params *out)
{
    const struct keywords known = { mail_keywords, ARRAY_LEN(mail_keywords) };
    struct params p = { .offer = offer, .mail = out };

    *out = (struct mail_params){ .size_given = false };
    buf_init_fixed(&out->envid, out->envid_mem, sizeof(out->envid_mem));
    return parse_params(rest, &known, &p);
}

enum parse_status params_rcpt(struct slice rest, const struct smtp_offer *offer, bool utf8,
                              struct rcpt_params *out)
{
    const struct keywords known = { rcpt_keywords, ARRAY_LEN(rcpt_keywords) };
    struct params p = { .offer = offer, .rcpt = out, .utf8 = utf8 };

    buf_init_fixed(&out->notify, out->notify_mem, sizeof(out->notify_mem));
    buf_init_fixed(&out->orcpt, out->orcpt_mem, sizeof(out->orcpt_mem));
    return parse_params(rest, &known, &p);
}
