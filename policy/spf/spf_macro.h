/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_macro.h - macro-strings of SPF: syntax and expansion (RFC 7208 7).  Pure; private to policy/spf*.
 */
#ifndef POLICY_SPF_SPF_MACRO_H
#define POLICY_SPF_SPF_MACRO_H

#include "core/buf.h"

/* The context of a macro-string. */
enum spf_macro_place {
    SPF_MACRO_DOMAIN = 0, /* domain-spec: c r t are not allowed, and it must end in a toplabel or a macro */
    SPF_MACRO_ANY,        /* value of an unknown modifier */
    SPF_MACRO_TEXT,       /* explanation: blanks are literals too */
};

bool spf_macro_valid(struct slice text, enum spf_macro_place place) MUST_USE;

/* The values of the letters, before transformers. */
struct spf_macro_values {
    struct slice sender;    /* s */
    struct slice local;     /* l */
    struct slice origin;    /* o */
    struct slice domain;    /* d */
    struct slice ip;        /* i: dotted nibbles in IPv6 */
    struct slice readable;  /* c */
    struct slice validated; /* p */
    struct slice version;   /* v */
    struct slice helo;      /* h */
    struct slice receiver;  /* r */
    struct slice now;       /* t */
};

/* Does the text contain %{p}?  Only then is `validated` needed. */
bool spf_macro_uses_p(struct slice text);

/*
 * Expands a text that spf_macro_valid() accepted; lowers *budget by the octets processed.
 *
 * name   keeps at least the last `keep` octets of the result, because names are cut on their left (RFC 7208
 *        7.3); the buffer must be a fixed one of at least twice that
 * text   stops when the buffer is full
 * Both return false when the budget is used up.
 */
bool spf_macro_name(struct buf *out, struct slice text, const struct spf_macro_values *v,
                    size_t *budget) MUST_USE;
bool spf_macro_text(struct buf *out, struct slice text, const struct spf_macro_values *v,
                    size_t *budget) MUST_USE;

#endif
