/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.h - regular expressions of the configuration against octets of peers.
 *
 * PCRE2 with limits on steps, depth and heap, no JIT, octets and not UTF-8: the work of a match is bounded
 * whatever expression meets whatever text.  The only file that sees PCRE2 is regex.c.
 *
 * A regex belongs to one thread at a time (it holds its match data).
 */
#ifndef CORE_REGEX_H
#define CORE_REGEX_H

#include "core/buf.h"

#define REGEX_PATTERN_MAX 4096

struct regex;

/* NULL with a sentence in `why`. */
struct regex *regex_new(struct slice pattern, bool nocase, struct buf *why) MUST_USE;
void regex_free(struct regex **re); /* NULL inside is allowed; clears it */

enum regex_result {
    REGEX_NO = 0,
    REGEX_MATCH,
    REGEX_GAVE_UP, /* a limit was reached: it is not known whether it matches */
};

/* Anywhere in the text, unless the pattern is anchored. */
enum regex_result regex_match(const struct regex *re, struct slice text);

#endif
