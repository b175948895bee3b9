/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h - strict UTF-8 checks: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629 4).
 */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include "core/slice.h"

/* Octets of the first character: 1..4, or 0 if it is not UTF-8 or s is empty. */
size_t utf8_char(struct slice s);

/* Is all of s UTF-8?  True for the empty slice. */
bool utf8_valid(struct slice s);

/* Is any octet above 127? */
bool utf8_has_8bit(struct slice s);

/* Returns the first code point, with its length in *len; 0 with *len 0 if it is not UTF-8. */
uint32_t utf8_decode(struct slice s, size_t *len);

#endif
