/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_words.h - explains syntax errors of YAML to administrators.  Private to config/.
 *
 * Pure: turns the text and libyaml's complaint into a sentence.  It looks at the lines around the place, because
 * libyaml names the token that its grammar expected, and administrators need to know what is wrong in their line.
 */
#ifndef CONFIG_YAML_WORDS_H
#define CONFIG_YAML_WORDS_H

#include "core/buf.h"

struct yaml_problem {
    const char *problem; /* libyaml's words */
    size_t line, column; /* of it, from 1 */
    size_t context_line; /* where the collection or text around it begins; 0: none */
};

/* Writes the sentence, without "not YAML: ". */
void yaml_put_problem(struct buf *out, struct slice source, const struct yaml_problem *p);

/* Is the text UTF-8?  If not: the first wrong octet, its line, and its column in characters. */
bool yaml_is_utf8(struct slice source, size_t *line, size_t *column, unsigned *octet);

/* A hint if the line has an unquoted address in brackets, which YAML reads as a list.  NULL: it has none. */
const char *yaml_bracket_hint(struct slice source, size_t line);

#endif
