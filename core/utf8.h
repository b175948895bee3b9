/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h - is it UTF-8?  Strictly: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629 4).
 */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include "core/slice.h"

/* Octets of the character in front: 1..4, or 0 if the octets there are not UTF-8 (or s is empty). */
size_t utf8_char(struct slice s);

/* All of it?  The empty slice is. */
bool utf8_valid(struct slice s);

/* Any octet above 127? */
bool utf8_has_8bit(struct slice s);

/* The code point in front and its length in *len; 0 with *len 0 if the octets there are not UTF-8. */
uint32_t utf8_decode(struct slice s, size_t *len);

#endif
