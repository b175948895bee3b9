/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lexical.h - the small parts of structured header fields: blanks and comments, quoted strings, atoms,
 * encoded words.
 *
 * Pure; nothing is allocated but by the caller's buf.  Each function takes what it reads from the front of
 * the slice.  Text from anybody: every function reads each octet a bounded number of times.
 *
 * RFC     5322 3.2, 4.1; 6532 3.2 (octets above 127); 2047 2
 */
#ifndef SMTP_LEXICAL_H
#define SMTP_LEXICAL_H

#include "core/buf.h"

/*
 * Skips blanks, folds and comments.  *comment (may be NULL) becomes the inside of the first one, unless it holds
 * one already.  False: a comment has no end; nothing behind it can be read.
 */
bool lex_skip_cfws(struct slice *s, struct slice *comment) MUST_USE;

/* Takes a quoted string, whose quote is in front; its content without quoted pairs and folds goes to *out (may be
 * NULL).  False: it has no end. */
bool lex_quoted(struct slice *s, struct buf *out) MUST_USE;

/* An octet of an atom, octets above 127 included. */
bool lex_is_atext(char c);

/*
 * Puts the text with its encoded words decoded, wherever in it they stand, as careless readers do; blanks
 * between two of them are left out.  The charset is ignored: what it says matters to no ASCII octet.
 */
void lex_put_decoded(struct buf *out, struct slice s);

#endif
