/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authserv.h - could a reader behind us take an Authentication-Results field for one of ours?
 *
 * Pure.  A reader believes a field by its authserv-id, and readers differ in what they tolerate in front of it, in
 * it and behind it.  A field is ours if any of them could see our id; a field that every reader sees as another
 * server's is left alone.
 *
 * Owns    the copies of what is read; the value must live as long.
 * RFC     8601 2.2, 2.5, 5; 2045 5.1 (token); 2047 2
 */
#ifndef SMTP_AUTHSERV_H
#define SMTP_AUTHSERV_H

#include "core/slice.h"

#define AUTHSERV_ID_MAX 512 /* a longer id is not ours: ours have at most 253 octets */

struct authserv_reading { /* one way to read the value; see authserv.c */
    struct slice strict;  /* empty: there is no id */
    struct slice front;   /* the value from the first octet of a host name on */
    struct slice reduced; /* empty: it is no id */
    char strict_mem[AUTHSERV_ID_MAX], reduced_mem[AUTHSERV_ID_MAX];
};

struct authserv {
    struct authserv_reading as_is, decoded; /* decoded: the same value with its encoded words decoded */
    bool has_decoded;
    char decoded_mem[2048];
};

/* Reads the value of a field.  False: it has no id, or one behind a comment or quote without an end. */
bool authserv_read(struct authserv *a, struct slice value) MUST_USE;

/* Could it be `id`? */
bool authserv_may_be(const struct authserv *a, struct slice id);

#endif
