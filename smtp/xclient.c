/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xclient.c - the parser of XCLIENT's argument.
 *
 * Every attribute is a row; its function takes the decoded value.  An unknown or repeated attribute or a bad value
 * makes the whole command fail with 501, because half an identity is useless.  LOGIN and PROTO are checked and
 * otherwise ignored: we offer no AUTH, and the client's own EHLO or HELO follows.
 */
#include "smtp/xclient.h"

#define VALUE_MAX XCLIENT_NAME_MAX

struct value {
    bool known;     /* false: [UNAVAILABLE], or [TEMPUNAVAIL] */
    bool temporary; /* the latter */
    struct slice text;
};

/* ---- values ---- */

static int hex_value(char c)
{
    c = ascii_lower(c);
    return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes xtext (RFC 3461 4) into at most VALUE_MAX octets.  False if that yields control characters. */
static bool decode(struct slice in, struct buf *out)
{
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.ptr[i];

        if (c == '+') {
            int high = i + 2 < in.len ? hex_value(in.ptr[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_value(in.ptr[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return false;
            }
            c = (unsigned char)(high << 4 | low);
            i += 2;
        }
        if (c < ' ' || c == 0x7f || out->len == VALUE_MAX) {
            return false;
        }
        buf_put_char(out, (char)c);
    }
    return true;
}

static bool parse_address(const struct value *v, struct addr *out)
{
    struct slice text = v->text;
    bool v6 = slice_starts_nocase(text, SLICE("IPV6:"));

    if (!v->known) {
        return true;
    }
    if (v6) {
        text = slice_skip(text, 5);
    }
    return (slice_find(text, ':') < text.len) == v6 && addr_parse_ip(text, out);
}

static bool parse_port(const struct value *v, bool *given, uint16_t *out)
{
    uint64_t n;

    if (!v->known) {
        return true;
    }
    if (v->text.len > 5 || !slice_to_u64(v->text, 65535, &n)) {
        return false;
    }
    *given = true;
    *out = (uint16_t)n;
    return true;
}

static bool parse_text(const struct value *v, char mem[XCLIENT_NAME_MAX + 1])
{
    if (v->known && v->text.len == 0) {
        return false;
    }
    if (v->known) {
        memcpy(mem, v->text.ptr, v->text.len);
    }
    mem[v->known ? v->text.len : 0] = '\0';
    return true;
}

/* ---- attributes ---- */

static bool take_addr(struct xclient *x, const struct value *v)
{
    return parse_address(v, &x->client);
}

static bool take_destaddr(struct xclient *x, const struct value *v)
{
    return parse_address(v, &x->destination);
}

static bool take_port(struct xclient *x, const struct value *v)
{
    return parse_port(v, &x->port_given, &x->port);
}

static bool take_destport(struct xclient *x, const struct value *v)
{
    return parse_port(v, &x->destination_port_given, &x->destination_port);
}

static bool take_name(struct xclient *x, const struct value *v)
{
    x->name_given = true;
    x->name_temporary = v->temporary;
    return parse_text(v, x->name) && (!v->known || hostname_valid(v->text));
}

static bool take_helo(struct xclient *x, const struct value *v)
{
    x->helo_given = v->known;
    return parse_text(v, x->helo);
}

static bool take_proto(struct xclient *x UNUSED, const struct value *v)
{
    return !v->known || slice_eq_nocase(v->text, SLICE("SMTP")) || slice_eq_nocase(v->text, SLICE("ESMTP"));
}

static bool take_login(struct xclient *x UNUSED, const struct value *v UNUSED)
{
    return true;
}

static const struct {
    struct slice name;
    bool (*take)(struct xclient *x, const struct value *v);
} attributes[] = {
    { SLICE_INIT("ADDR"), take_addr },         { SLICE_INIT("NAME"), take_name },
    { SLICE_INIT("PORT"), take_port },         { SLICE_INIT("HELO"), take_helo },
    { SLICE_INIT("PROTO"), take_proto },       { SLICE_INIT("LOGIN"), take_login },
    { SLICE_INIT("DESTADDR"), take_destaddr }, { SLICE_INIT("DESTPORT"), take_destport },
};

static bool take_pair(struct xclient *x, struct slice word, unsigned *seen)
{
    char mem[VALUE_MAX + 1];
    struct buf decoded;
    struct slice name = slice_cut(&word, '=');
    struct value v = { .known = true };

    buf_init_fixed(&decoded, mem, sizeof(mem));
    v.temporary = slice_eq_nocase(word, SLICE("[TEMPUNAVAIL]"));
    v.known = !v.temporary && !slice_eq_nocase(word, SLICE("[UNAVAILABLE]"));
    if (!decode(word, &decoded)) {
        return false;
    }
    v.text = buf_slice(&decoded);
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        if (slice_eq_nocase(attributes[i].name, name)) {
            bool again = (*seen & (1u << i)) != 0;

            *seen |= 1u << i;
            return !again && attributes[i].take(x, &v);
        }
    }
    return false;
}

bool xclient_parse(struct slice arg, struct xclient *out)
{
    unsigned seen = 0;
    struct slice word = slice_token(&arg);

    *out = (struct xclient){ .port_given = false };
    while (!slice_empty(word)) {
        if (!take_pair(out, word, &seen)) {
            return false;
        }
        word = slice_token(&arg);
    }
    return seen != 0;
}
