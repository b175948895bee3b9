/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_words.h - what is wrong with a text that is not YAML, in words for people.  Private to config/.
 *
 * Pure: the text, and where and what libyaml complains about; a sentence comes out.  It looks at the lines around the
 * place, because libyaml names what its grammar wanted, and people want to know what they wrote.
 */
#ifndef CONFIG_YAML_WORDS_H
#define CONFIG_YAML_WORDS_H

#include "core/buf.h"

struct yaml_problem {
    const char *problem; /* libyaml's words */
    size_t line, column; /* of it, from 1 */
    size_t context_line; /* where the collection or text began that it is in; 0: none */
};

/* Writes the sentence, without "not YAML: ". */
void yaml_put_problem(struct buf *out, struct slice source, const struct yaml_problem *p);

/* Is the text UTF-8?  If not: line and column (in characters) of the first octet that is not, and that octet. */
bool yaml_is_utf8(struct slice source, size_t *line, size_t *column, unsigned *octet);

/* For a value or key that begins with `[` where none can be: an address in brackets without quotes?  NULL: no. */
const char *yaml_bracket_hint(struct slice source, size_t line);

#endif
