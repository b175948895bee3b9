/*
 * smtp_params.c - ESMTP parameters: a table of keywords a command, each with its own check.
 *
 * A keyword is known only if its extension was offered (ADR-07); each may be given once (CMD-30).  Values
 * are checked to the letter, because they go upstream; AUTH= is taken from anybody and forgotten (RLY-12).
 *
 * RFC: 5321 4.1.1.11, 4.1.2; 1870 (SIZE), 6152 (BODY), 6531 (SMTPUTF8), 3461 (RET ENVID NOTIFY ORCPT),
 * 4954 (AUTH), 6533 (ORCPT in UTF-8).
 */
#include "proxy/smtp_params.h"

#include "core/utf8.h"

struct param {
    struct slice key, value;
    bool has_value; /* there was a '=' */
};

struct params { /* everything either command can fill */
    struct mail_params mail;
    struct rcpt_params rcpt;
    bool utf8; /* raw UTF-8 is allowed in ORCPT */
};

/* True if the value is what this keyword may have; then *p is filled. */
typedef bool (*param_check)(struct slice value, struct params *p);

struct keyword {
    struct slice name;
    size_t offered; /* place of the flag in struct smtp_offer */
    bool wants_value;
    param_check check;
};

/* ---- xtext (RFC 3461 4) ---- */

static bool is_upper_hex(char c)
{
    return ascii_is_digit(c) || (c >= 'A' && c <= 'F');
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
        if (s.len - i < 3 || !is_upper_hex(s.ptr[i + 1]) || !is_upper_hex(s.ptr[i + 2])) {
            return false;
        }
        i += 2;
    }
    return true;
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
    p->mail.size_given = true;
    return value.len <= 20 && slice_to_u64(value, UINT64_MAX, &p->mail.size); /* RFC 1870 5: 1*20DIGIT */
}

static bool check_body(struct slice value, struct params *p)
{
    if (slice_eq_nocase(value, SLICE("7BIT"))) {
        p->mail.body = BODY_7BIT;
    } else if (slice_eq_nocase(value, SLICE("8BITMIME"))) {
        p->mail.body = BODY_8BITMIME;
    }
    return p->mail.body != BODY_NOT_GIVEN; /* BINARYMIME is not offered: BDT-17 */
}

static bool check_smtputf8(struct slice value, struct params *p)
{
    (void)value;
    p->mail.smtputf8 = true;
    return true;
}

static bool check_ret(struct slice value, struct params *p)
{
    if (slice_eq_nocase(value, SLICE("FULL"))) {
        p->mail.ret = RET_FULL;
    } else if (slice_eq_nocase(value, SLICE("HDRS"))) {
        p->mail.ret = RET_HDRS;
    }
    return p->mail.ret != RET_NOT_GIVEN;
}

static bool check_envid(struct slice value, struct params *p)
{
    p->mail.envid = value;
    return value.len <= ENVID_MAX && xtext_valid(value);
}

static bool check_auth(struct slice value, struct params *p)
{
    (void)p;
    return value.len > 0;
}

/* NEVER alone, or some of the three others, each once (RFC 3461 4.1). */
static bool check_notify(struct slice value, struct params *p)
{
    static const struct slice words[] = { SLICE_INIT("SUCCESS"), SLICE_INIT("FAILURE"), SLICE_INIT("DELAY") };
    unsigned seen = 0, commas = 0, count = 0;
    struct slice rest = value;

    p->rcpt.notify = value;
    if (slice_eq_nocase(value, SLICE("NEVER"))) {
        return true;
    }
    for (size_t i = 0; i < value.len; i++) {
        commas += value.ptr[i] == ',';
    }
    while (rest.len > 0) {
        struct slice word = slice_cut(&rest, ',');

        for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
            if (slice_eq_nocase(word, words[i]) && (seen & 1u << i) == 0) {
                seen |= 1u << i;
                count++;
            }
        }
    }
    return count == commas + 1; /* each word between commas was a good one */
}

static bool is_raw_utf8(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f || s.ptr[i] == '=') {
            return false;
        }
    }
    return utf8_valid(s);
}

/* addr-type ";" xtext (RFC 3461 4.2); with SMTPUTF8 also "utf-8;" and text as it is (RFC 6533 3). */
static bool check_orcpt(struct slice value, struct params *p)
{
    struct slice rest = value;
    struct slice type = slice_cut(&rest, ';');

    p->rcpt.orcpt = value;
    if (value.len > ORCPT_MAX || type.len == 0 || rest.len == 0) {
        return false;
    }
    for (size_t i = 0; i < type.len; i++) {
        if (!ascii_is_alpha(type.ptr[i]) && !ascii_is_digit(type.ptr[i]) && type.ptr[i] != '-') {
            return false;
        }
    }
    return xtext_valid(rest) || (p->utf8 && slice_eq_nocase(type, SLICE("utf-8")) && is_raw_utf8(rest));
}

#define OFFERED(flag) offsetof(struct smtp_offer, flag)

static const struct keyword mail_keywords[] = {
    { SLICE_INIT("SIZE"), OFFERED(size), true, check_size },
    { SLICE_INIT("BODY"), OFFERED(eightbitmime), true, check_body },
    { SLICE_INIT("SMTPUTF8"), OFFERED(smtputf8), false, check_smtputf8 },
    { SLICE_INIT("RET"), OFFERED(dsn), true, check_ret },
    { SLICE_INIT("ENVID"), OFFERED(dsn), true, check_envid },
    { SLICE_INIT("AUTH"), OFFERED(esmtp), true, check_auth },
};

static const struct keyword rcpt_keywords[] = {
    { SLICE_INIT("NOTIFY"), OFFERED(dsn), true, check_notify },
    { SLICE_INIT("ORCPT"), OFFERED(dsn), true, check_orcpt },
};

/* ---- the list ---- */

/* esmtp-keyword ["=" esmtp-value], RFC 5321 4.1.2. */
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
    return slice_find(out->value, '=') == out->value.len && (!out->has_value || out->value.len > 0);
}

struct keywords {
    const struct keyword *list;
    size_t count;
};

/* Position in the list, or its count if the keyword is not known or was not offered. */
static size_t find_keyword(const struct keywords *known, struct slice key, const struct smtp_offer *offer)
{
    for (size_t i = 0; i < known->count; i++) {
        if (slice_eq_nocase(known->list[i].name, key)) {
            bool offered = *(const bool *)((const char *)offer + known->list[i].offered);

            return offer->esmtp && offered ? i : known->count;
        }
    }
    return known->count;
}

static enum parse_status parse_params(struct slice rest, const struct keywords *known,
                                      const struct smtp_offer *offer, struct params *out)
{
    unsigned seen = 0;

    for (;;) {
        struct slice word = slice_token(&rest);
        const struct keyword *k;
        struct param param;
        size_t at;

        if (word.len == 0) {
            return PARSE_OK;
        }
        if (utf8_has_8bit(word) && !out->utf8) {
            return PARSE_UTF8_NEEDED;
        }
        if (!split_param(word, &param)) {
            return PARSE_BAD_PARAM;
        }
        at = find_keyword(known, param.key, offer);
        if (at == known->count) {
            return PARSE_UNKNOWN_PARAM;
        }
        k = &known->list[at];
        if ((seen & 1u << at) != 0 || k->wants_value != param.has_value || !k->check(param.value, out)) {
            return PARSE_BAD_PARAM;
        }
        seen |= 1u << at;
    }
}

enum parse_status params_mail(struct slice rest, const struct smtp_offer *offer, struct mail_params *out)
{
    const struct keywords known = { mail_keywords, ARRAY_LEN(mail_keywords) };
    struct params p = { 0 };
    enum parse_status status = parse_params(rest, &known, offer, &p);

    *out = p.mail;
    return status;
}

enum parse_status params_rcpt(struct slice rest, const struct smtp_offer *offer, bool utf8,
                              struct rcpt_params *out)
{
    const struct keywords known = { rcpt_keywords, ARRAY_LEN(rcpt_keywords) };
    struct params p = { .utf8 = utf8 };
    enum parse_status status = parse_params(rest, &known, offer, &p);

    *out = p.rcpt;
    return status;
}
