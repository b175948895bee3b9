/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.h - match regular expressions of the configuration against text from peers.
 *
 * PCRE2 on octets, not UTF-8, without JIT.  Limits on steps, depth and heap bound the work of every match.  Only
 * regex.c includes PCRE2.
 *
 * A regex belongs to one thread at a time (it holds its match data).
 */
#ifndef CORE_REGEX_H
#define CORE_REGEX_H

#include "core/buf.h"

#define REGEX_PATTERN_MAX 4096

struct regex;

/* Returns NULL on failure, with a sentence in `why`. */
struct regex *regex_new(struct slice pattern, bool nocase, struct buf *why) MUST_USE;
void regex_free(struct regex **re); /* *re may be NULL; clears it */

enum regex_result {
    REGEX_NO = 0,
    REGEX_MATCH,
    REGEX_GAVE_UP, /* a limit was reached: the result is unknown */
};

/* Searches the whole text, unless the pattern is anchored. */
enum regex_result regex_match(const struct regex *re, struct slice text);

#endif
