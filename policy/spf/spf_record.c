/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_record.c - takes terms off an SPF record one at a time, and stores none.
 *
 * A record is walked twice: once to check all of it (an error anywhere makes it useless, RFC 7208 4.6), once to
 * evaluate it.  The walk is cheap, so no list of terms is kept, and a record of 512 terms costs no
 * memory.
 *
 * Limits     8 KiB and 512 terms (spf.h); prefix lengths and octets of addresses have no leading zeros
 * RFC        7208 4.5, 4.6, 5, 6, 12
 */
#include "policy/spf/spf_record.h"

#include <arpa/inet.h>

#include "policy/spf/spf_macro.h"

static const struct slice version = SLICE_INIT("v=spf1");

/* What may and must follow the name of a mechanism. */
enum {
    TAKES_SPEC = 1, /* ":" domain-spec */
    NEEDS_SPEC = 2, /* ... which is mandatory */
    TAKES_CIDR = 4, /* dual-cidr-length */
    TAKES_IP = 8,   /* ":" network */
};

static const struct mechanism {
    struct slice name;
    enum spf_kind kind;
    unsigned takes;
} mechanisms[] = {
    { SLICE_INIT("all"), SPF_ALL, 0 },
    { SLICE_INIT("include"), SPF_INCLUDE, TAKES_SPEC | NEEDS_SPEC },
    { SLICE_INIT("a"), SPF_A, TAKES_SPEC | TAKES_CIDR },
    { SLICE_INIT("mx"), SPF_MX, TAKES_SPEC | TAKES_CIDR },
    { SLICE_INIT("ptr"), SPF_PTR, TAKES_SPEC },
    { SLICE_INIT("ip4"), SPF_IP4, TAKES_IP },
    { SLICE_INIT("ip6"), SPF_IP6, TAKES_IP },
    { SLICE_INIT("exists"), SPF_EXISTS, TAKES_SPEC | NEEDS_SPEC },
};

static bool is_name_octet(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_' || c == '.';
}

/* Octets of name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ) at the start; 0: none. */
static size_t name_len(struct slice s)
{
    size_t n = 0;

    if (slice_empty(s) || !ascii_is_alpha(s.ptr[0])) {
        return 0;
    }
    while (n < s.len && is_name_octet(s.ptr[n])) {
        n++;
    }
    return n;
}

/* 1*3DIGIT without leading zeros, at most `max`. */
static bool parse_bits(struct slice digits, uint8_t max, uint8_t *out)
{
    unsigned value = 0;

    if (digits.len == 0 || digits.len > 3 || (digits.len > 1 && digits.ptr[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < digits.len; i++) {
        if (!ascii_is_digit(digits.ptr[i])) {
            return false;
        }
        value = value * 10 + (unsigned)(digits.ptr[i] - '0');
    }
    if (value > max) {
        return false;
    }
    *out = (uint8_t)value;
    return true;
}

/* If s ends in "/" and digits: cuts them off and returns the digits. */
static bool cut_digits(struct slice *s, struct slice *digits)
{
    size_t i = s->len;

    while (i > 0 && ascii_is_digit(s->ptr[i - 1])) {
        i--;
    }
    if (i == s->len || i == 0 || s->ptr[i - 1] != '/') {
        return false;
    }
    *digits = slice_skip(*s, i);
    *s = slice_take(*s, i - 1);
    return true;
}

/*
 * Takes [ "/" bits ] [ "//" bits ] off the end.  "/" is also legal inside a domain-spec, so only digits up to the very
 * end count as a prefix length.
 */
static bool cut_dual_cidr(struct slice *s, struct spf_term *t)
{
    struct slice digits;

    t->v4_bits = 32;
    t->v6_bits = 128;
    if (!cut_digits(s, &digits)) {
        return true;
    }
    if (s->len > 0 && s->ptr[s->len - 1] == '/') {
        s->len--;
        if (!parse_bits(digits, 128, &t->v6_bits)) {
            return false;
        }
        if (!cut_digits(s, &digits)) {
            return true;
        }
    }
    return parse_bits(digits, 32, &t->v4_bits);
}

/* ip4-network [ "/" bits ], and the same for ip6. */
static bool parse_network(struct slice s, struct spf_term *t)
{
    char text[64];
    struct buf b;
    size_t slash = slice_find(s, '/');
    bool v4 = t->kind == SPF_IP4;
    uint8_t max = v4 ? 32 : 128;
    uint8_t bits = max;

    if (slash < s.len) {
        struct slice digits = slice_skip(s, slash + 1);

        s = slice_take(s, slash);
        if (!parse_bits(digits, max, &bits)) {
            return false;
        }
    }
    t->v4_bits = v4 ? bits : 0;
    t->v6_bits = v4 ? 0 : bits;
    buf_init_fixed(&b, text, sizeof(text));
    buf_put_slice(&b, s);
    /* inet_pton() accepts an IPv4 address only as four decimal octets without leading zeros. */
    return buf_ok(&b) && inet_pton(v4 ? AF_INET : AF_INET6, text, t->ip) == 1;
}

static enum spf_term_status parse_modifier(struct spf_term *t, size_t name_size, const char **problem)
{
    struct slice name = slice_take(t->text, name_size);

    t->spec = slice_skip(t->text, name_size + 1);
    if (slice_eq_nocase(name, SLICE("redirect"))) {
        t->kind = SPF_REDIRECT;
    } else if (slice_eq_nocase(name, SLICE("exp"))) {
        t->kind = SPF_EXP;
    } else {
        t->kind = SPF_UNKNOWN_MODIFIER;
    }
    if (!spf_macro_valid(t->spec, t->kind == SPF_UNKNOWN_MODIFIER ? SPF_MACRO_ANY : SPF_MACRO_DOMAIN)) {
        *problem = "syntax error in a modifier";
        return SPF_TERM_BAD;
    }
    return SPF_TERM_OK;
}

static const struct mechanism *find_mechanism(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++) {
        if (slice_eq_nocase(name, mechanisms[i].name)) {
            return &mechanisms[i];
        }
    }
    return NULL;
}

static bool parse_arguments(struct spf_term *t, const struct mechanism *m, struct slice args)
{
    bool colon;

    if ((m->takes & TAKES_CIDR) != 0 && !cut_dual_cidr(&args, t)) {
        return false;
    }
    colon = !slice_empty(args) && args.ptr[0] == ':';
    if ((m->takes & TAKES_IP) != 0) {
        return colon && parse_network(slice_skip(args, 1), t);
    }
    if (!colon) {
        return slice_empty(args) && (m->takes & NEEDS_SPEC) == 0;
    }
    t->spec = slice_skip(args, 1);
    return (m->takes & TAKES_SPEC) != 0 && spf_macro_valid(t->spec, SPF_MACRO_DOMAIN);
}

static enum spf_term_status parse_term(struct slice text, struct spf_term *t, const char **problem)
{
    const struct mechanism *m;
    size_t n = name_len(text);

    *t = (struct spf_term){ .qualifier = '+', .text = text };
    if (n > 0 && n < text.len && text.ptr[n] == '=') {
        return parse_modifier(t, n, problem);
    }
    if (slice_find(SLICE("+-?~"), text.ptr[0]) < 4) {
        t->qualifier = text.ptr[0];
        t->text = slice_skip(text, 1);
        n = name_len(t->text);
    }
    m = find_mechanism(slice_take(t->text, n));
    if (m == NULL) {
        *problem = "unknown mechanism";
        return SPF_TERM_BAD;
    }
    t->kind = m->kind;
    if (!parse_arguments(t, m, slice_skip(t->text, n))) {
        *problem = "syntax error in a mechanism";
        return SPF_TERM_BAD;
    }
    return SPF_TERM_OK;
}

bool spf_record_is(struct slice txt)
{
    return slice_starts_nocase(txt, version) && (txt.len == version.len || txt.ptr[version.len] == ' ');
}

struct slice spf_record_terms(struct slice record)
{
    return slice_skip(record, version.len);
}

enum spf_term_status spf_term_next(struct slice *rest, struct spf_term *out, const char **problem)
{
    struct slice text;

    do {
        if (slice_empty(*rest)) {
            return SPF_TERM_END;
        }
        text = slice_cut(rest, ' ');
    } while (slice_empty(text));
    return parse_term(text, out, problem);
}

static double network_size(unsigned host_bits)
{
    double size = 1;

    for (; host_bits > 0; host_bits--) {
        size *= 2;
    }
    return size;
}

/* False if a modifier occurs twice (RFC 7208 6). */
static bool note_term(const struct spf_term *t, struct spf_summary *out)
{
    struct slice *once = t->kind == SPF_REDIRECT ? &out->redirect : &out->exp;

    switch (t->kind) {
    case SPF_ALL:
        out->has_all = true;
        return true;
    case SPF_IP4:
        out->v4_size += t->qualifier == '+' ? network_size(32U - t->v4_bits) : 0;
        return true;
    case SPF_IP6:
        out->v6_size += t->qualifier == '+' ? network_size(128U - t->v6_bits) : 0;
        return true;
    case SPF_REDIRECT:
    case SPF_EXP:
        if (!slice_empty(*once)) {
            return false;
        }
        *once = t->spec;
        return true;
    case SPF_INCLUDE:
    case SPF_A:
    case SPF_MX:
    case SPF_PTR:
    case SPF_EXISTS:
    case SPF_UNKNOWN_MODIFIER:
        return true;
    }
    return true;
}

void spf_record_check(struct slice record, struct spf_summary *out)
{
    struct slice rest = spf_record_terms(record);
    struct spf_term t;

    *out = (struct spf_summary){ .problem = NULL };
    if (record.len > SPF_RECORD_MAX) {
        out->problem = "record longer than 8 KiB";
        return;
    }
    for (size_t i = 0; i < record.len; i++) {
        if (!ascii_is_print(record.ptr[i])) {
            out->problem = "record with an octet that is not printable ASCII";
            return;
        }
    }
    for (;;) {
        enum spf_term_status st = spf_term_next(&rest, &t, &out->problem);

        if (st != SPF_TERM_OK) {
            return;
        }
        if (++out->terms > SPF_RECORD_TERMS_MAX) {
            out->problem = "record of more than 512 terms";
            return;
        }
        if (!note_term(&t, out)) {
            out->problem = "a modifier is given twice";
            return;
        }
    }
}
