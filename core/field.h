/*
 * field.h - a header field of our own, with a value from anywhere.
 *
 * Pure.  Nothing a peer said gets out of its place: no CR, LF, NUL or other control reaches the field.
 *
 * RFC     5322 2.2.3 (folding), 2047 2 and 4.2 (encoded words)
 */
#ifndef CORE_FIELD_H
#define CORE_FIELD_H

#include "core/buf.h"

/*
 * "Name: value" with its CRLF, folded at 78 where it can be, never over 998 octets a line.  Controls and folds
 * in the value become one blank, octets that are not UTF-8 `?`; what is not ASCII is RFC 2047-encoded unless
 * `utf8`.  The name is ours.
 */
void field_put(struct buf *out, struct slice name, struct slice value, bool utf8);

#endif
