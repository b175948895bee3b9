/* SPDX-License-Identifier: Apache-2.0 */
/*
 * textfile.h - small files that administrators write: one entry a line, comments after `#` or `;`.  Used for recipients
 * and groups; Spamhaus DROP lists have this format too.
 *
 * Reading blocks on the disk: call it at the start and in `check`, never in a worker.
 */
#ifndef CONFIG_TEXTFILE_H
#define CONFIG_TEXTFILE_H

#include "core/buf.h"

#define TEXTFILE_MAX ((size_t)64 << 20)

/*
 * Appends the file to *out, whose limit should be TEXTFILE_MAX.  Returns NULL, or the reason for "cannot be read: ...":
 * a system error, too large, or not a plain file (opening a pipe could block the start for ever).
 */
const char *textfile_read(const char *path, struct buf *out);

/*
 * Takes lines off *rest until one has an entry, and adds their number to *line_no.  The entry excludes the line end,
 * blanks around it and the comment (`#` or `;` at the start or after a blank).  False: no entry is left.
 */
bool textfile_next(struct slice *rest, size_t *line_no, struct slice *entry);

#endif
