/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authserv.h - could a downstream mail reader mistake an Authentication-Results field for ours?
 *
 * Pure.  A mail reader trusts a field by its authserv-id.  Readers differ in what they tolerate before, in and after
 * the id.  We treat a field as ours if any of them could see our id, and leave it alone if every reader sees another
 * server's.
 *
 * Owns    copies of the decoded parts; the value must live as long as struct authserv.
 * RFC     8601 2.2, 2.5, 5; 2045 5.1 (token); 2047 2
 */
#ifndef SMTP_AUTHSERV_H
#define SMTP_AUTHSERV_H

#include "core/slice.h"

#define AUTHSERV_ID_MAX 512 /* a longer id is not ours: ours have at most 253 octets */

struct authserv_reading { /* one way to read the value; see authserv.c */
    struct slice strict;  /* empty: no id */
    struct slice front;   /* the value from the first octet of a host name on */
    struct slice reduced; /* empty: not an id */
    char strict_mem[AUTHSERV_ID_MAX], reduced_mem[AUTHSERV_ID_MAX];
};

struct authserv {
    struct authserv_reading as_is, decoded; /* decoded: the same value with its encoded words decoded */
    bool has_decoded;
    char decoded_mem[2048];
};

/* Reads the value of a field.  False: it has no id, or an unterminated comment or quote before the id. */
bool authserv_read(struct authserv *a, struct slice value) MUST_USE;

/* Could any reader take the field's id for `id`? */
bool authserv_may_be(const struct authserv *a, struct slice id);

#endif
