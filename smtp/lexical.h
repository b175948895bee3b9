/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lexical.h - the small parts of structured header fields: blanks and comments, quoted strings, atoms,
 * encoded words.
 *
 * Pure; only the caller's buf allocates.  Each function removes what it reads from the front of the slice.
 * The text may be hostile: every function reads each octet a bounded number of times.
 *
 * RFC     5322 3.2, 4.1; 6532 3.2 (octets above 127); 2047 2
 */
#ifndef SMTP_LEXICAL_H
#define SMTP_LEXICAL_H

#include "core/buf.h"

/*
 * Skips blanks, folds and comments.  Sets *comment (may be NULL) to the content of the first comment, unless it
 * already holds one.  False: a comment has no end, so the rest is unreadable.
 */
bool lex_skip_cfws(struct slice *s, struct slice *comment) MUST_USE;

/* Takes a quoted string; *s must begin with its quote.  Puts its content without quoted pairs and folds to *out (may
 * be NULL).  False: it has no end. */
bool lex_quoted(struct slice *s, struct buf *out) MUST_USE;

/* Is it an octet of an atom?  Octets above 127 are. */
bool lex_is_atext(char c);

/*
 * Puts the text with its encoded words decoded.  Like careless readers, decodes them in any position, and drops blanks
 * between two of them.  Ignores the charset, because it changes no ASCII octet.
 */
void lex_put_decoded(struct buf *out, struct slice s);

#endif
