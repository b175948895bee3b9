/*
 * field.h - header fields: the one reader of a header section, and a writer of fields of our own.
 *
 * Pure.  Reading: everybody who looks at fields (header firewall, hop counter, author) takes them from
 * header_next(), so that all see the same fields and the same end of the section.  Writing: nothing a peer
 * said gets out of its place; no CR, LF, NUL or other control reaches the field.
 *
 * RFC     5322 2.2, 2.2.3 (folding), 2047 2 and 4.2 (encoded words)
 */
#ifndef SMTP_FIELD_H
#define SMTP_FIELD_H

#include "core/buf.h"

/* ---- reading ---- */

struct header_field {
    struct slice whole; /* with continuation lines and the last CRLF */
    struct slice name;  /* without the colon and blanks before it */
    struct slice value; /* behind the colon, folds included, without the last CRLF */
};

/* Skips "From " and ">From " lines of a mailbox in front (HDR-11): they are no fields, and end nothing. */
void header_skip_mbox(struct slice *rest);

/* Takes the next field from *rest.  False at the end of the section; *rest then begins at the empty line,
 * at the first line that is no field (HDR-10), or is empty (HDR-09). */
bool header_next(struct slice *rest, struct header_field *out);

/*
 * Is the field called so, for any reader?  Case does not matter, nor do octets that are no printable ASCII:
 * there are readers that drop them.  header_name_starts: begins the name so?
 */
bool header_name_is(struct slice name, struct slice want);
bool header_name_starts(struct slice name, struct slice want);

/* ---- writing ---- */

/*
 * "Name: value" with its CRLF, folded at 78 where it can be, never over 998 octets a line.  Controls and folds
 * in the value become one blank, octets that are not UTF-8 `?`; what is not ASCII is RFC 2047-encoded unless
 * `utf8`.  The name is ours.
 */
void field_put(struct buf *out, struct slice name, struct slice value, bool utf8);

#endif
